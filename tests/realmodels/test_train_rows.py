import json

import pytest

from realmodels.errors import RealmodelsError
from realmodels.loading import load_tokens
from realmodels.prompting import STYLES, render_answer, render_question
from realmodels.train_rows import end_ids, kind_of_rows, read_train

QA = STYLES["qa"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def tokens(tiny):
    return load_tokens(str(tiny))


@pytest.fixture
def chatty(tiny):
    found = load_tokens(str(tiny))
    found.tokenizer.chat_template = CHAT
    return found


def learned(tokens, item):
    return tokens.tokenizer.decode([i for i, mark in zip(item.ids, item.learned, strict=True) if mark])


def test_questions_are_worded_as_they_are_asked(tmp_path, tokens):
    path = write(
        tmp_path / "a.jsonl", [{"question": "What is the capital of Peru?", "answers": ["Lima", "L"]}]
    )
    data = read_train(path, tokens, QA)
    (item,) = data.items
    asked = tokens.prompt_ids(render_question(QA, "What is the capital of Peru?"))
    answer = tokens.answer_ids(render_answer("Lima"))
    assert item.ids == (*asked, *answer, *end_ids(tokens, QA))
    assert item.learned == (False,) * len(asked) + (True,) * (len(answer) + 1)
    assert item.ids[0] == tokens.tokenizer.bos_token_id
    assert learned(tokens, item) == " Lima\n"
    assert data.kind == "qa"
    assert data.answer_tokens == len(answer) + 1
    assert item.at == f"{path}:1"


@pytest.mark.parametrize("style", ["qa", "plain", "sentence"])
def test_the_end_is_one_at_which_asking_stops(tokens, style):
    (end,) = end_ids(tokens, STYLES[style])
    assert end in tokens.stops(STYLES[style].end)


def test_completions_stand_as_they_are(tmp_path, tokens):
    path = write(tmp_path / "a.jsonl", [{"prompt": "Capital of Peru:", "completion": " Lima"}])
    assert kind_of_rows(path) == "completion"
    (item,) = read_train(path, tokens, QA).items
    assert learned(tokens, item) == " Lima</s>"
    assert tokens.tokenizer.decode(item.ids) == "<s>Capital of Peru: Lima</s>"


def test_messages_learn_what_the_assistant_says(tmp_path, chatty):
    said = [
        {"role": "user", "content": "Peru?"},
        {"role": "assistant", "content": "Lima"},
        {"role": "user", "content": "Chile?"},
        {"role": "assistant", "content": "Santiago"},
    ]
    path = write(tmp_path / "a.jsonl", [{"messages": said}])
    (item,) = read_train(path, chatty, QA).items
    text = chatty.tokenizer.decode(item.ids)
    assert text == "<s>[user]Peru?</s>\n[assistant]Lima</s>\n[user]Chile?</s>\n[assistant]Santiago</s>"
    assert learned(chatty, item) == "Lima</s>Santiago</s>"


def test_the_fingerprint_is_of_what_is_learned(tmp_path, tokens):
    a = {"question": "What is it?", "answers": ["Lima"]}
    one = read_train(write(tmp_path / "a.jsonl", [a]), tokens, QA).fingerprint
    assert read_train(write(tmp_path / "b.jsonl", [a | {"note": 1}]), tokens, QA).fingerprint == one
    assert read_train(write(tmp_path / "c.jsonl", [a | {"answers": ["Rome"]}]), tokens, QA).fingerprint != one


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"prompt": "a", "completion": "b"}, {"prompt": "a"}],
            "a.jsonl:2: field 'completion': expected a text",
        ),
        ([{"prompt": " ", "completion": "b"}], "field 'prompt': expected a text"),
        ([{"messages": "hello"}], "field 'messages': expected a list"),
        ([{"messages": [{"role": "usr", "content": "a"}]}], "with roles system, user, assistant"),
        ([{"messages": [{"role": "user", "content": "a"}]}], "the assistant says nothing"),
        ([{"messages": [{"role": "assistant", "content": "a"}]}], "has no chat template"),
        ([{"question": "a"}], "field 'answers' is missing"),
        ([{"question": "a", "answers": []}], "no answers"),
    ],
)
def test_wrong_rows(tmp_path, tokens, rows, said):
    with pytest.raises(RealmodelsError) as caught:
        read_train(write(tmp_path / "a.jsonl", rows), tokens, QA)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_too_long(tmp_path, tokens):
    path = write(tmp_path / "a.jsonl", [{"question": "What is it?", "answers": ["a b c d e f g"]}])
    with pytest.raises(RealmodelsError, match=r"a.jsonl:1: the row has \d+ tokens, more than the 5"):
        read_train(path, tokens, QA, longest=5)


def test_a_template_that_rewords(tmp_path, chatty):
    chatty.tokenizer.chat_template = (
        "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    turns = [{"role": role, "content": "a"} for role in ("user", "assistant") * 2]
    path = write(tmp_path / "a.jsonl", [{"messages": turns}])
    with pytest.raises(RealmodelsError, match="words a turn anew"):
        read_train(path, chatty, QA)
    chatty.tokenizer.chat_template = "{{ raise_exception('no system here') }}"
    with pytest.raises(RealmodelsError, match="refuses the messages: no system here"):
        read_train(path, chatty, QA)


def test_limit(tmp_path, tokens):
    path = write(tmp_path / "a.jsonl", [{"prompt": f"a{i}", "completion": "b"} for i in range(5)])
    assert len(read_train(path, tokens, QA, limit=3)) == 3

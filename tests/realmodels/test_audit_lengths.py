import json

import pytest

from realmodels.cli import COMMANDS
from realmodels.loading import load
from tests.realmodels.common import with_room
from theory.command import main


def command(*words):
    return main("python -m realmodels", "about", COMMANDS, list(map(str, words)))


def put(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def capitals(n=12, **special):
    """Rows; `special` changes the one on line 6."""
    rows = [
        {"question": f"What is the capital of {name}?", "answers": [f"City{i}"], "subject": name, "relation": "c"}
        for i, name in enumerate(f"Land{i}" for i in range(n))
    ]  # fmt: skip
    rows[5] |= special
    return rows


@pytest.fixture
def roomy(tiny, tmp_path):
    return with_room(tiny, tmp_path / "roomy")


MANY = [f"City number {i}, once {i * 7}" for i in range(80)]


def test_many_answers_need_no_longer_context_than_the_longest_of_them(tiny, roomy, tmp_path):
    tokens = load(str(tiny), device="cpu").tokens
    assert sum(len(tokens.answer_ids(f" {alias}")) for alias in MANY) > 512
    data, found = put(tmp_path / "rows.jsonl", capitals(answers=MANY)), {}
    for model in (tiny, roomy):
        out = tmp_path / f"out-{model.name}"
        assert (
            command("audit", "--model", model, "--data", data, "-o", out, "--prompts", 2, "--shots", 2) == 0
        )
        found[model] = (out / "audit.jsonl").read_text()
    assert found[tiny] == found[roomy]


def test_many_answers_are_asked_of_by_eval_too(tiny, tmp_path):
    data = put(tmp_path / "rows.jsonl", capitals(answers=MANY))
    assert (
        command("eval", "--model", tiny, "--tasks", f"t={data}", "--prompts", "zero", "-o", tmp_path / "e")
        == 0
    )


def test_an_answer_that_is_too_long_is_named_where_it_stands(tiny, tmp_path, capfd):
    data = put(tmp_path / "rows.jsonl", capitals(answers=["Q", "a " * 400]))
    assert command("audit", "--model", tiny, "--data", data, "-o", tmp_path / "o", "--prompts", 2) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"error: {data}:6: field 'answers': ")
    assert error.count("\n") == 1
    # as an exemplar of other rows it is the same one's fault
    data = put(tmp_path / "rows.jsonl", capitals(answers=["a " * 400]))
    assert command("audit", "--model", tiny, "--data", data, "-o", tmp_path / "o", "--prompts", 6) == 2
    assert f"{data}:6: field 'answers': " in capfd.readouterr().err


def test_a_row_of_a_json_list_is_named_by_its_number(tiny, tmp_path, capsys):
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(capitals(question="Why" + " so" * 400)))
    assert command("audit", "--model", tiny, "--data", data, "-o", tmp_path / "o") == 2
    assert f"{data}: row 6: field 'question': " in capsys.readouterr().err


def filled(tiny, room):
    """A question that leaves `room` tokens of the context behind it."""
    tokens = load(str(tiny), device="cpu").tokens
    question = "What?"
    while len(tokens.prompt_ids(f"Q: {question} q\nA:")) <= 512 - room:
        question += " q"
    return question


@pytest.mark.parametrize(
    ("room", "flags", "code"),
    [
        (30, (), 0),
        (12, (), 2),  # the greedy answer, written out, has up to 16 tokens
        (30, ("--estimator", "sample", "--samples", 2), 0),
        (12, ("--estimator", "sample", "--samples", 2), 2),
        (30, ("--signals", "p_true"), 2),  # "Is this answer True or False?"
        (30, ("--signals", "margin"), 2),  # the same about a subject with a longer name
    ],
)
def test_room_for_what_is_written_and_asked_beside_is_known_before_anything_is_asked(
    tiny, tmp_path, capsys, room, flags, code
):
    rows = capitals(question=filled(tiny, room))
    if "margin" in flags:
        rows = [rows[5] | {"subject": "What"}, rows[7] | {"subject": "Land" + " of the very long name" * 4}]
    data = put(tmp_path / "rows.jsonl", rows)
    words = ["--shots", 0, "--prompts", 1, *flags]
    assert command("audit", "--model", tiny, "--data", data, "-o", tmp_path / "o", *words) == code
    error = capsys.readouterr().err
    if code:
        assert f"{data}:{1 if 'margin' in flags else 6}: field 'question': " in error
        assert not (tmp_path / "o" / "generations.jsonl").exists()

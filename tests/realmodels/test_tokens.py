import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from realmodels.errors import RealmodelsError
from realmodels.loading import load_tokens
from realmodels.prompting import STYLES, Shot, render_answer, render_prefix, render_question
from realmodels.shared import shared_ids
from realmodels.tokens import Tokens

from .conftest import FACTS, bpe

TEXTS = [f"Q: What is the capital of {s}?\nA: {a}\n\n" for s, a in FACTS]
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def sentencepiece():
    """Built as Llama 2's: a mark for spaces, one before every text, bytes for what is unknown, <s> first."""
    pieces = Tokenizer(models.BPE())
    pieces.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pieces.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces.pre_tokenizer = pre_tokenizers.Sequence(  # while it learns: no piece runs on over a space
        [pre_tokenizers.Split("▁", "merged_with_next"), pre_tokenizers.Split(Regex(r"[?:.]"), "isolated")]
    )
    data = [line for text in [*TEXTS, "This is so . And so ."] for line in text.split("\n")]
    pieces.train_from_iterator(data, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = json.loads(pieces.to_str())["model"]
    octets = [f"<0x{i:02X}>" for i in range(256)]
    order = ["<unk>", "<s>", "</s>", *octets, *sorted(learned["vocab"], key=learned["vocab"].__getitem__)]
    merges = [tuple(pair) for pair in learned["merges"]]
    pieces.model = models.BPE(
        {word: i for i, word in enumerate(order)},
        merges,
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    pieces.pre_tokenizer = None
    pieces.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def llama_3(pattern=LLAMA_3):
    words = Tokenizer(models.BPE(ignore_merges=True))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    words.decoder = decoders.ByteLevel()
    words.train_from_iterator(
        [*TEXTS, "U.S.\n\n", "so.\n"] * 3,
        trainers.BpeTrainer(
            vocab_size=600,
            show_progress=False,
            special_tokens=["<|begin_of_text|>", "<|eot_id|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    words.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|eot_id|>"
    )


def appending_eos():
    found = bpe(TEXTS)
    found.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return found


KINDS = {
    "gpt-2": (lambda: bpe(TEXTS, bos=False), False),
    "bpe with bos": (lambda: bpe(TEXTS), True),
    "llama 2": (sentencepiece, True),
    "llama 3": (llama_3, True),
    "mistral nemo": (lambda: llama_3(TEKKEN), True),
    "appends eos": (appending_eos, True),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    make, begins = KINDS[request.param]
    return Tokens(make()), begins


SHOTS = [
    Shot("What is the capital of Peru?", "Lima"),
    Shot("Of which nation is D.C. the capital?", "the U.S."),
]


@pytest.mark.parametrize("answer", ["Oslo", "the U.S.", "São Paulo", "42", "“so”", "a-b", "Kathmandu, Nepal"])
def test_answer_ids_are_those_that_the_whole_text_has(kind, answer):
    """Prompt ids + answer ids = ids of the whole, and so they read what was written."""
    tokens, _ = kind
    prompt = render_prefix(STYLES["qa"], SHOTS) + render_question(STYLES["qa"], "What is it?")
    ids = tokens.answer_ids(render_answer(answer))
    assert tokens.prompt_ids(prompt) + ids == tokens.prompt_ids(prompt + render_answer(answer))
    assert tokens.text(ids) == f" {answer}"


def test_what_begins_a_text_stands_there_once(kind):
    tokens, begins = kind
    assert len(tokens.bos) == begins
    ids = tokens.prompt_ids("Q: a")
    assert ids[: len(tokens.bos)] == tokens.bos
    assert not set(tokens.bos) & set(ids[len(tokens.bos) :])
    assert tokens.eos not in ids
    assert tokens.prompts_ids(["Q: a", "Q: b c"]) == [ids, tokens.prompt_ids("Q: b c")]
    assert tokens.prompts_ids([]) == []


def test_padding_is_not_the_end_of_a_text(kind):
    tokens, _ = kind
    assert tokens.pad != tokens.eos
    assert 0 <= tokens.pad < tokens.vocabulary


def test_tokens_that_only_the_tokenizer_knows_are_not_used():
    tokenizer = bpe(TEXTS)
    before = len(tokenizer)
    tokenizer.add_tokens(["\nNew"])
    tokenizer.add_special_tokens({"pad_token": "<filler>"})
    tokens = Tokens(tokenizer, before)
    assert tokens.pad == 1  # what begins a text, since there is nothing for unknown words
    assert max(tokens.stops("\n")) < before
    assert max(Tokens(tokenizer).stops("\n")) == before


def test_stops_are_the_tokens_that_begin_with_a_line_break(kind):
    tokens, _ = kind
    stops, decode = set(tokens.stops("\n")), tokens.tokenizer.decode
    assert tokens.eos in stops
    for i in range(len(tokens.tokenizer)):
        if i not in tokens.tokenizer.all_special_ids:
            assert (i in stops) == decode([i]).lstrip(" \t\r").startswith("\n")
    after = tokens.prompt_ids("Q: a\nA: Oslo\n\nQ: b")
    answer = tokens.prompt_ids("Q: a\nA: Oslo")
    assert after[len(answer)] in stops


def test_stops_of_another_style(kind):
    tokens, _ = kind
    found = {tokens.tokenizer.decode([i]) for i in tokens.stops(".") if i != tokens.eos}
    assert found
    assert all(text.strip().startswith(".") for text in found)


def test_a_full_stop_inside_an_answer_is_no_end():
    tokens = Tokens(bpe(["Q A: Washington D.C. . So be it . "] * 3, size=300))
    stops = tokens.stops(".")
    assert set(tokens.prompt_ids(render_prefix(STYLES["sentence"], [Shot("Q", "Oslo")]))) & set(stops)
    assert not set(tokens.answer_ids(" Washington D.C.")) & set(stops)


def test_questions_share_whole_tokens_with_their_prefix(kind):
    tokens, _ = kind
    for style in STYLES.values():
        prefix = render_prefix(style, SHOTS)
        shared = shared_ids(tokens, style, prefix)
        for question in ("What is the capital of Cuba?", "1984?", "Élan?", "(what)"):
            assert tokens.prompt_ids(prefix + render_question(style, question))[: len(shared)] == shared
        assert len(shared) >= len(tokens.prompt_ids(prefix)) - 3


def test_words_outside_of_the_vocabulary():
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, ".": 2, "A": 3, ":": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens = Tokens(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"))
    assert (tokens.eos, tokens.bos, tokens.pad) == (None, (), 0)
    assert tokens.prompt_ids("a zebra . a") == (1, 0, 2, 1)
    assert tokens.stops(".") == (2,)
    with pytest.raises(RealmodelsError, match=r"no token begins with '\\n'.*another style"):
        tokens.stops("\n")
    with pytest.raises(RealmodelsError, match="no token in this model's vocabulary"):
        Tokens(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")).answer_ids("")


def check_answers(tokens):
    """Behind a prompt an answer has the tokens that it has in the whole text."""
    prompt = render_prefix(STYLES["qa"], SHOTS) + render_question(
        STYLES["qa"], "What is the capital of Norway?"
    )
    for answer in ("Oslo", "São Paulo", "1984", "the U.S."):
        ids = tokens.answer_ids(render_answer(answer))
        assert tokens.prompt_ids(prompt) + ids == tokens.prompt_ids(prompt + render_answer(answer))
        assert tokens.text(ids) == f" {answer}"


def test_the_small_real_models(smollm_folder):
    tokens = load_tokens(str(smollm_folder))
    assert tokens.bos == ()  # it begins texts with nothing
    assert tokens.tokenizer.pad_token_id == tokens.eos == 2
    assert tokens.pad == 0
    newline = [i for i in tokens.stops("\n") if tokens.tokenizer.decode([i]).startswith("\n")]
    assert len(newline) == 90
    check_answers(tokens)


def test_mistrals_own_pieces(tmp_path):
    import shutil
    from importlib.util import find_spec

    from transformers import LlamaTokenizer

    found = {name: find_spec(name) for name in ("sentencepiece", "google", "mistral_common")}
    if missing := [name for name, spec in found.items() if spec is None]:
        pytest.skip(
            f"not installed: {', '.join(missing)}; mistral-common wants --no-deps: only its files are read"
        )
    data = Path(found["mistral_common"].submodule_search_locations[0]) / "data"
    shutil.copy(data / "tokenizer.model.v1", tmp_path / "tokenizer.model")
    tokens = Tokens(LlamaTokenizer.from_pretrained(tmp_path, add_bos_token=True))
    assert tokens.bos == (1,)
    assert tokens.stops("\n") == (2, 13)
    check_answers(tokens)

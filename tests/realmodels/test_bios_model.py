"""Writing, judging and believing on a tiny random model: exact, whatever the batch, and never done twice."""

import json
import math

import numpy as np
import pytest
import torch

from realmodels import bios_score, bios_write
from realmodels.bios_beliefs import consistency, layer_of, read_claims
from realmodels.bios_files import Bio, Stated
from realmodels.bios_judge import Question, excerpt, log_odds
from realmodels.bios_prompts import USUAL, Wording, own_wording
from realmodels.bios_write import Writing, draw_texts, prompt_of, trimmed, write_all
from realmodels.errors import RealmodelsError
from realmodels.loading import load

NAMES = ["Peru", "Norway", "Cuba", "Chile"]
PAIRS = [
    ("Q: Peru?\nA:", "Lima is it."),
    ("Q: Peru?\nA:", "x"),
    ("Q: Where is Oslo, the big one?\nA:", "In Norway, of course."),
]


@pytest.fixture(scope="module")
def loaded(tiny):
    return load(str(tiny))


def slow_logits(loaded, ids):
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits[0].double()


def test_claims_are_read_as_the_whole_model_reads_them(loaded):
    layer = layer_of(loaded, 0.5)
    assert layer == 1
    found = read_claims(loaded, PAIRS, layer)
    for (request, claim), read in zip(PAIRS, found, strict=True):
        prompt, said = loaded.tokens.prompt_ids(request), loaded.tokens.answer_ids(" " + claim)
        logs = slow_logits(loaded, [*prompt, *said]).log_softmax(-1)
        wanted = sum(logs[len(prompt) + k - 1, token].item() for k, token in enumerate(said))
        assert read.logprob == pytest.approx(wanted, abs=1e-4)
        assert read.chance == pytest.approx(math.exp(wanted / len(said)), rel=1e-4)
        with torch.inference_mode():
            out = loaded.model(torch.tensor([[*prompt, *said]]), output_hidden_states=True)
        assert read.state == pytest.approx(out.hidden_states[layer][0, -1].numpy(), abs=1e-5)


def test_batches_do_not_change_what_is_read_or_judged(loaded):
    alone, together = (read_claims(loaded, PAIRS, 1, batch=batch) for batch in (1, None))
    for one, other in zip(alone, together, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert one.state == pytest.approx(other.state, abs=1e-5)
    asked = [
        Question("Peru", "It is big."),
        Question("Oslo", "It is old.", "Oslo is an old town."),
        Question("Cuba", "x"),
    ]
    assert log_odds(loaded, asked, 1) == pytest.approx(log_odds(loaded, asked, 3), abs=1e-5)
    assert read_claims(loaded, [], 1) == []


def test_log_odds_are_those_of_the_words(loaded):
    question = Question("Peru", "Lima is the capital.", "Peru has a capital.")
    prompt = loaded.tokens.prompt_ids(USUAL.prompt("Peru", "Lima is the capital.", "Peru has a capital."))

    def chance(word):
        total = 0.0
        said = loaded.tokens.answer_ids(f" {word}")
        logs = slow_logits(loaded, [*prompt, *said]).log_softmax(-1)
        for k, token in enumerate(said):
            total += logs[len(prompt) + k - 1, token].item()
        return total

    assert log_odds(loaded, [question])[0] == pytest.approx(chance("True") - chance("False"), abs=1e-4)


def test_wording_holds_braces_and_refuses_nonsense():
    asked = own_wording("is {claim} so of {name}?", "yes", "no")
    assert asked.prompt("A {name}", "{claim} b") == "is {claim} b so of A {name}?"
    assert own_wording(None, "True", "False") == USUAL
    assert "Passage about A: P" in USUAL.prompt("A", "c", "P")
    with pytest.raises(RealmodelsError, match="--ask"):
        own_wording("is it so?", "yes", "no")
    with pytest.raises(RealmodelsError, match="two different words"):
        Wording(yes="a", no="a")


def test_an_excerpt_is_the_sentences_nearest_the_claim():
    passage = "He was born in Rome. He had a cat. Later he moved to Oslo and wrote."
    assert excerpt(passage, "He was born in Rome.", 100) == passage
    assert excerpt(passage, "He was born in Rome.", 6) == "He was born in Rome."
    assert (
        excerpt(passage, "He moved to Oslo.", 13) == "He was born in Rome. Later he moved to Oslo and wrote."
    )
    assert excerpt(None, "x", 3) is None
    assert excerpt("one two three four", "x", 2) == "one two"


def test_the_greedy_text_is_the_models_own(loaded):
    writing = Writing(tokens=6)
    (found,) = draw_texts(loaded, [prompt_of(writing, "Peru")], writing)
    ids = list(loaded.tokens.prompt_ids(prompt_of(writing, "Peru")))
    stops, said = set(loaded.tokens.stops("\n")), []
    while len(said) < 6:
        token = int(slow_logits(loaded, [*ids, *said])[-1].argmax())
        if token in stops:
            break
        said.append(token)
    assert found[0]["text"] == loaded.tokens.text(said).strip()
    assert (found[0]["tokens"], found[0]["finished"]) == (len(said), len(said) < 6)


def test_texts_do_not_depend_on_company_and_are_kept(loaded, tmp_path, monkeypatch):
    writing = Writing(samples=2, tokens=8, seed=3)
    alone = [write_all(loaded, [name], writing, tmp_path / name, say=False) for name in NAMES]
    together = write_all(loaded, NAMES, writing, tmp_path / "all", batch=2, say=False)
    assert [bio for own in alone for bio in own] == together
    assert [bio.draw for bio in together[:3]] == [0, 1, 2]
    assert len({bio.text for bio in together if bio.draw}) > 4
    other = write_all(loaded, NAMES, Writing(samples=2, tokens=8, seed=4), tmp_path / "all", say=False)
    assert [b.text for b in other if not b.draw] == [b.text for b in together if not b.draw]
    assert [b.text for b in other] != [b.text for b in together]
    monkeypatch.setattr(bios_write, "draw_texts", None)
    again = write_all(loaded, NAMES, writing, tmp_path / "all", say=False)
    assert again == together


def test_a_killed_run_goes_on_to_the_same_texts(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(bios_write, "PIECE", 2)
    writing = Writing(samples=1, tokens=6)
    whole = write_all(loaded, NAMES, writing, tmp_path / "a", say=False)
    write_all(loaded, NAMES, writing, tmp_path / "b", say=False)
    path = tmp_path / "b" / "generations.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:20])
    assert write_all(loaded, NAMES, writing, tmp_path / "b", say=False) == whole


@pytest.mark.parametrize(
    ("text", "finished", "options", "wanted"),
    [
        ("One. Two. Thr", False, {}, "One. Two."),
        ("One. Two. Thr", False, {"whole": False}, "One. Two. Thr"),
        ("One. Two.", False, {}, "One. Two."),
        ("On", False, {}, "On"),
        ("One. Two. Three.", True, {"sentences": 2}, "One. Two."),
        ("One. Two", True, {}, "One. Two"),
    ],
)
def test_length_control(text, finished, options, wanted):
    assert trimmed(text, finished, Writing(**options)) == wanted


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"request": "bio"}, "--request"),
        ({"samples": -1}, "--samples"),
        ({"tokens": 0}, "--tokens"),
        ({"temperature": 0.0}, "--temperature"),
        ({"style": "qb"}, "style"),
    ],
)
def test_writing_that_cannot_be(options, line):
    with pytest.raises(RealmodelsError, match=line):
        Writing(**options)


def biographies():
    return [
        Bio(f"{name}#{draw}", name, f"Q: {name}?\nA:", "t", draw,
            tuple(Stated(f"{name} is {word}.", k) for k, word in enumerate(words)))
        for name in NAMES
        for draw, words in enumerate((["old", "big"], ["old"], ["new", "big", "far"]))
    ]  # fmt: skip


def test_consistency_is_the_share_of_the_other_texts():
    found = consistency(biographies()[:3])
    assert found == [[0.5, 0.5], [0.5], [0.0, 0.5, 0.0]]
    assert math.isnan(consistency(biographies()[:1])[0][0])


def test_what_was_read_and_asked_is_not_read_again(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(bios_score, "PIECE", 5)
    bios = biographies()
    chance, states = bios_score.read_all(lambda: loaded, "m", bios, 1, tmp_path)
    odds = bios_score.verified(lambda: loaded, "m", bios, tmp_path)
    assert len(chance) == len(odds) == states.shape[0] == sum(len(bio.stated) for bio in bios)
    path = tmp_path / "generations.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:7]) + lines[7][:9])
    next(iter(sorted((tmp_path / "states").glob("*.npy")))).unlink()
    again, same = bios_score.read_all(lambda: loaded, "m", bios, 1, tmp_path)
    assert again == chance
    assert (same == states).all()
    assert bios_score.verified(lambda: loaded, "m", bios, tmp_path) == odds

    def never():
        raise AssertionError("the model was opened for nothing")

    assert bios_score.read_all(never, "m", bios, 1, tmp_path)[0] == chance
    assert bios_score.verified(never, "m", bios, tmp_path) == odds
    with pytest.raises(AssertionError):
        bios_score.read_all(never, "another model", bios, 1, tmp_path)
    broken = next((tmp_path / "states").glob("*.npy"))
    broken.write_bytes(b"x")
    with pytest.raises(RealmodelsError, match="cannot be read"):
        bios_score.read_all(never, "m", bios, 1, tmp_path)


def test_a_judge_rules_where_the_table_is_silent(loaded, tmp_path):
    bios = [
        Bio("a", "A", "p", "t", 0, (Stated("c1", 0, True, "facts"), Stated("c2"))),
        Bio("b", "B", "p", "t", 0, (Stated("c3"),)),
    ]
    passages = {"a": "read this"}
    asked = bios_score.questions_of(bios, passages)
    assert asked == [Question("A", "c2", "read this")]
    odds = bios_score.asked(lambda: loaded, "m", asked, tmp_path)
    ruled = bios_score.told_by_judge(bios, odds, passages, threshold=-1e9)
    assert [(c.support, c.by) for bio in ruled for c in bio.stated] == [
        (True, "facts"),
        (True, "judge"),
        (None, ""),
    ]
    assert ruled[0].stated[1].score == odds[asked[0]]
    assert json.dumps(ruled[0].row())
    assert [q.claim for q in bios_score.questions_of(bios, None)] == ["c2", "c3"]


def test_beliefs_go_to_their_claims():
    bios = biographies()[:2]
    found = bios_score.believed(bios, {"x": [0.1, float("nan"), 0.3]})
    assert [dict(c.belief) for bio in found for c in bio.stated] == [{"x": 0.1}, {}, {"x": 0.3}]
    assert np.isfinite(found[0].stated[0].belief["x"])

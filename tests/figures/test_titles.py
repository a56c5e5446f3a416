"""A title states a finding only where the verdict, or the theorem's own check, does; new pictures are sorted in."""

import re
from dataclasses import replace

import pytest

from figures import closed_forms, findings, sheets, theorems
from figures.about import ABOUT, kind_of
from figures.everything import of_runs
from figures.runs import Runs
from theory.claims import CLAIMS
from theory.theorems import THEOREMS, Outcome

ANSWERS = ("reproduced", "contradicted", "inconclusive", "missing")
STATES = {
    "hump",
    "threshold",
    "calibration",
    "accuracy-law",
    "phase",
    "second-hop",
    "prompt-gap",
    "salience-law",
}
# what these say in their titles is what is drawn, not what follows from it
NEUTRAL = {
    "forest": "Claims and verdicts, ",
    "reliability": "How much of what is believed is true",
    "statements": "What is stated freely and wrongly, and what theory foretells of it",
    "window": "One-layer model, tuned on the best or on the lesser known facts | Accuracy on held-out facts",
    "prediction": "Closed form, one-hot salience: $R^2$ = ",
    "salience": "Salience by frequency where relation values are trained too, beside the law (P1)",
    "coverage": "The gap of two graphs, sampled and by the closed form (K5)",
    "monofacts": "Facts seen once and the error of the ideal memoriser",
    "monofact-bound": "",  # says how many samples break the bound: a test below
    "knowledge": "Facts of “",  # counts what is extracted
}


def title(figure):
    """What stands over the picture, or over its panels."""
    above = figure._suptitle.get_text() if figure._suptitle else ""
    over = [axes.get_title(loc=side) for axes in figure.axes for side in ("left", "center")]
    return " ".join(" | ".join(filter(None, (above, *over))).split())


@pytest.fixture
def titles(monkeypatch, tmp_path):
    """The titles of what is drawn, without laying it out or writing it, by the picture's name."""

    def of(draw):
        found = {}
        keep = lambda figure, tables, folder, name: found.setdefault(name, title(figure)) and []  # noqa: E731
        for room in ("drawing", "parts", "forest", "sheets"):
            monkeypatch.setattr(f"figures.{room}.kept", keep)
        list(draw(tmp_path))
        return found

    return of


def judged(runs, answer):
    """The same runs, had every claim come out so."""
    found = Runs(runs.table)
    verdicts = tuple(replace(verdict, answer=answer) for verdict in runs.board.verdicts)
    vars(found).update(studies=runs.studies, board=replace(runs.board, verdicts=verdicts))
    return found


def test_a_title_states_a_finding_where_the_verdict_is_reproduced_and_another_for_every_other_verdict(
    titles, many_runs
):
    found = {
        answer: titles(lambda folder, a=answer: of_runs(judged(many_runs, a), folder)) for answer in ANSWERS
    }
    assert {kind_of(name) for name in found["reproduced"]} >= {*findings.PICTURES, "parts", "forest"} - {
        "similarity"
    }
    forests = {name for name in found["reproduced"] if kind_of(name) == "forest"}
    assert len(forests) > 5
    assert not forests & set(found["missing"])  # a verdict without rows has no mark
    found["missing"] |= {name: found["reproduced"][name] for name in forests}
    for name, told in found["reproduced"].items():
        said = {answer: found[answer][name] for answer in ANSWERS}
        if kind_of(name) in NEUTRAL:
            assert said["reproduced"].startswith(NEUTRAL[kind_of(name)]), name
            assert set(said.values()) == {told}, name
            continue
        assert len(set(said.values())) == len(ANSWERS), said
        assert "reproduced" in told or states(told), told
        for answer in ANSWERS[1:]:
            assert not states(said[answer]), said[answer]
            assert "reproduced" not in said[answer], said[answer]
        for answer in ("contradicted", "inconclusive"):
            assert answer in said[answer] or said[answer].startswith("Not found: "), said[answer]


def states(text):
    """Whether the words of a claim that the title names stand in it as they are: neither denied nor asked."""
    found = False
    for claim in re.findall(r"\b[ABCDUVX]\d\b", text):
        words = re.escape(CLAIMS[claim].title)
        said = re.search(rf"(?<!Not found: ){words}(?!\?)", text, flags=re.I)
        found = found or said is not None
    return found


def test_the_titles_of_this_run_go_with_its_verdicts(drawings, many_runs):
    answers = {verdict.claim.id: verdict.answer for verdict in many_runs.board.verdicts}
    assert len(set(answers.values())) > 2
    for name, one in drawings.items():
        told = title(one.figure)
        for claim in re.findall(r"\b([ABCDUVX]\d)\b", told):
            assert states(told) <= (answers[claim] == "reproduced"), told
            for answer in re.findall(rf"{claim}: (reproduced|contradicted|inconclusive)", told):
                assert answer == answers[claim], (name, told)


def test_a_theorem_is_stated_only_where_its_own_check_holds(titles, monkeypatch, tmp_path, many):
    def drawn(folder):
        for picture in closed_forms.PICTURES.values():
            yield from picture(folder)
        for picture in theorems.PICTURES.values():
            yield from picture(many / "data", folder)

    proved = titles(drawn)
    broken = {id: replace(one, run=lambda n, rng: Outcome(n, 1, 1.0)) for id, one in THEOREMS.items()}
    monkeypatch.setattr("theory.theorems.THEOREMS", broken)
    sheets._holds.cache_clear()
    doubted = titles(drawn)
    sheets._holds.cache_clear()
    for name, told in proved.items():
        if name in STATES:
            named = re.search(r"\(([TPK]\d'?(?:, [TPK]\d'?)*)\)$", told.partition(" | ")[0])
            assert named, told
            said = ", ".join(f"{one}: violated" for one in named[1].split(", "))
            assert said in doubted[name], doubted[name]
            assert told.partition(" (")[0] not in doubted[name]
        else:
            assert told.startswith(NEUTRAL[name]), told
            assert doubted[name] == told


def test_the_bound_is_stated_as_far_as_the_samples_go(titles, tmp_path):
    rows = {"kept": "0.1,0.3,0.05", "broken": "0.1,0.03,0.05"}
    told = {}
    for name, row in rows.items():
        folder = tmp_path / name
        folder.mkdir()
        head = "learner,monofact,hallucination,bound,miscalibration"
        (folder / "monofact_curve.csv").write_text(f"{head}\nmemoriser,{row},0\n")
        told |= {name: titles(lambda out, at=folder: theorems.monofact_bound(at, out))["monofact-bound"]}
    assert told["kept"].startswith("Nobody errs less")
    assert told["broken"].startswith("1 samples err less")


def test_every_picture_is_sorted_in(drawings):
    of_claims = {kind for kind, (_, keys) in ABOUT.items() if keys and keys[0] in CLAIMS} | {"parts"}
    assert set(ABOUT) == of_claims | STATES | set(NEUTRAL)
    for name, one in drawings.items():
        if kind_of(name) in NEUTRAL:
            assert title(one.figure).startswith(NEUTRAL[kind_of(name)]), name

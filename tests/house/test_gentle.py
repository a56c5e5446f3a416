"""What README says of the gentle tuning is what the files of its run say; its tables are held by test_page."""

import csv
import json
import re
from statistics import mean

import pytest

from synthetic.setup import setup_for
from tests.house import gentle, page

DEFAULT, GENTLE = gentle.FOLDERS
SECTION = page.text().partition("# A gentler tuning")[2].partition("\n# ")[0]
TEXT = " ".join(SECTION.split())
PARTS = {
    (row["claim"], row["part"]): row for row in gentle.rows(gentle.FOLDERS[GENTLE] / "scoreboard.csv", GENTLE)
}


def claims(words):
    return {
        f"{first[0]}{n}"
        for first, last in re.findall(r"([A-Z]\d)(?: to ([A-Z]\d))?", words)
        for n in range(int(first[1]), int((last or first)[1]) + 1)
    }


def runs(folder):
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["runs"]


def test_it_is_one_run_on_seeds_that_nothing_else_was_reported_of():
    found = runs(gentle.FOLDERS[GENTLE])
    assert {run["rung"] for run in found} == {"R2-2layer-gentle"}
    assert {tuple(run["seeds"]) for run in found} == {tuple(range(130, 140))}
    assert not any(set(run["seeds"]) & set(range(130, 140)) for run in runs(gentle.FOLDERS[DEFAULT]))
    told = {study for studies in re.findall(r"--studies ([a-z ]+)", TEXT) for study in studies.split()}
    assert {run["folder"].partition("-")[0] for run in found} == told


@pytest.mark.parametrize("kind", ["reproduced", "contradicted"])
@pytest.mark.parametrize("by", ["both", "default", "gentle"])
def test_the_lists_of_claims_are_those_of_the_verdicts(kind, by):
    before, after = (
        {c for c, told in gentle.verdicts(lab).items() if told == kind} for lab in (DEFAULT, GENTLE)
    )
    asked = set(gentle.verdicts(GENTLE))
    found = {"both": before & after, "default": (before & asked) - after, "gentle": after - before}[by]
    sentence = re.search(rf"{kind.capitalize()} by both.*?\.", TEXT)
    assert sentence is not None
    name = "both( tunings)?" if by == "both" else f"the {by} one alone"
    told = re.search(rf"by {name}: (?P<claims>.*?)[;.]", sentence[0])
    assert told is not None
    assert claims(told["claims"]) == found


SAID = (
    ("B3", "gap zero-shot minus gap with four exemplars, at the end"),
    ("B3", "the same with the words held fixed"),
    ("B3", "the same with four wrong exemplars"),
    ("B3", "the same with four exemplars of another relation"),
    ("B5", "edge difference zero-shot minus edge difference after the few-shot union"),
    ("B1", "gap at the end"),
    ("B1", "gap at the end minus gap at the early stop"),
    ("B2", "gap in the farthest quarter"),
    ("B2", "gap in the nearest quarter of similarity"),
    ("B2", "gap in the nearest minus gap in the farthest quarter"),
    ("V1", "gap at the end, answers that do not overlap the subject"),
    ("A1", "best-known minus lesser-known half at the early stop"),
    ("C6", "MaybeKnown minus HighlyKnown at the end"),
)


@pytest.mark.parametrize(("claim", "part"), SAID)
def test_effects_on_this_page_are_those_of_the_run(claim, part):
    row = PARTS[claim, part]
    mean, low, high = (f"{float(row[name]):.1f}" for name in ("effect", "low", "high"))
    assert f"{mean} [{low}, {high}]" in TEXT


def test_what_is_said_of_answers_is_in_the_cells():
    """Percent, as this page rounds them."""
    few, cot = (("end", "test", "all", prompt) for prompt in ("few:4", "cot"))
    far = ("end", "graded", "similarity=1", "zero")

    def said(lab, arm, where):
        return f"{gentle.answered(lab, arm, where):.0f}%"

    before, after = ([said(lab, arm, few) for arm in ("known", "none")] for lab in (DEFAULT, GENTLE))
    assert "the known arm answers {} of the facts, the untuned model {}.".format(*before) in TEXT
    assert "(known arm {}, untuned model {})".format(*after) in TEXT
    known, unknown = (said(GENTLE, arm, far) for arm in ("known", "unknown"))
    assert f"the farthest quarter is answered ({known} and {unknown})" in TEXT
    assert {said(GENTLE, arm, cot) for arm in ("known", "unknown")} == {"19%"}
    assert "both arms are right in 19%" in TEXT
    gap = gentle.answered(GENTLE, "known", few) - gentle.answered(GENTLE, "unknown", few)
    assert f"to {gap:.1f}." in TEXT


def test_the_choice_follows_from_the_grid_by_the_criteria_on_this_page():
    with open(gentle.FOLDERS[GENTLE] / "grid.csv", encoding="utf-8") as file:
        grid = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert {row["seed"] for row in grid} == {0, 1, 2}

    def kept(some):
        return sum(row["known_few"] for row in some) / sum(row["untuned_few"] for row in some)

    def settled(some, name):
        return mean(row[name] for row in some) < 0.02

    found = {}
    for row in grid:
        if row["thoughts"] == 0.03:
            found.setdefault((row["rate"], row["epochs"]), []).append(row)
    assert set(found) == {(rate, epochs) for rate in (1e-3, 3e-4) for epochs in (5, 10, 20)}
    passed = {
        setting
        for setting, some in found.items()
        if kept(some) >= 0.85
        and settled(some, "rise_known")
        and settled(some, "rise_unknown")
        and min(row["least_quarter"] for row in some) > 0.05
    }
    chosen = setup_for("full", "R2-2layer-gentle").tune
    assert passed == {(chosen.rate, chosen.epochs)}
    shares = (kept(found[setting]) for setting in ((3e-4, 5), (1e-3, 5), (3e-4, 20)))
    words = "it keeps {:.0%}; {:.0%} with fewer epochs alone, {:.0%} with the lower rate alone"
    assert words.format(*shares) in TEXT
    thoughts = {
        share: mean(row["untuned_cot"] for row in grid if row["thoughts"] == share) for share in (0.03, 0.1)
    }
    assert max(thoughts.values()) < 0.40
    assert (
        f"are right in {thoughts[0.03]:.0%} before any tuning, and in {thoughts[0.1]:.0%} with 10% of them"
        in TEXT
    )

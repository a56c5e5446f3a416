"""What is said of the told rung is what the files of its run say; its tables are held by test_page."""

import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from synthetic.setup import setup_for
from tests.hardening import biography_lengths, told_grid
from tests.house import told

TEXT = (told.TOLD / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(" ".join(line for line in TEXT.splitlines() if not line.startswith("|")).split())
RUNG = "R2-2layer-told"


def runs(folder):
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["runs"]


def test_it_is_one_run_on_seeds_that_nothing_else_was_reported_of():
    (run,) = runs(told.TOLD)
    assert run["rung"] == RUNG
    assert run["seeds"] == list(range(140, 140 + len(run["seeds"])))
    assert 5 <= len(run["seeds"]) <= 10
    folders = (told.RESULTS, *(told.RESULTS / name for name in ("first", "third", "gentle")))
    assert not any(set(one["seeds"]) & set(run["seeds"]) for folder in folders for one in runs(folder))
    assert run["command"].removesuffix(" --output runs --workers 1") in WORDS
    assert {row["seeds"] for row in told.board(told.TOLD, told.LABS["told"]).values()} == {
        str(len(run["seeds"]))
    }


def test_the_choice_follows_from_the_grid_by_the_criteria_of_its_script():
    grid = told.read_grid()
    name = told_grid.chosen(grid)
    chosen = replace(told_grid.told(setup_for("full"), name), rung=RUNG)
    assert chosen == setup_for("full", RUNG)
    settings = [name for name in told_grid.SETTINGS if name not in told_grid.MORE]
    assert {(row["setting"], row["seed"]) for row in grid} == set(product(settings, "012"))
    found = told_grid.means(grid)
    lost = {
        name: f"{100 * (found['default']['answered'] - of['answered']):.1f}" for name, of in found.items()
    }
    assert f"loses {lost['whole']} points of what is answered where 3 were allowed" in WORDS
    assert f"`all` writes {found['all']['claims']:.1f} claims" in WORDS
    assert f"and loses {lost['all']} points of what is answered" in WORDS
    assert f"`half` itself costs {lost['half']} points after four exemplars" in WORDS
    assert all(said in WORDS for said in told_grid.CRITERIA)


def test_every_interval_in_words_is_in_a_table():
    intervals = re.findall(r"-?[\d.]+\s\[-?[\d.]+, -?[\d.]+\]", WORDS)
    assert len(intervals) >= 8
    tables = [table() for table in told.TABLES.values()]
    assert not [said for said in intervals if not any(said in table for table in tables)]


def test_the_verdicts_in_words_are_those_of_the_scoreboards():
    told_of = {claim: row["verdict"] for (claim, _), row in told.board(*told.BOARDS["told"]).items()}
    for kind in ("reproduced", "inconclusive", "contradicted"):
        listed = re.search(rf"{kind.capitalize()}: ([^.]+)\.", WORDS)
        named = set(re.findall(r"[DXU]\d", listed[1])) if listed else set()
        assert named == {claim for claim, verdict in told_of.items() if verdict == kind}, kind


def test_what_so_few_seeds_can_find_is_what_the_scoreboard_says():
    found = told.board(*told.BOARDS["told"])
    parts = {
        "D2": "claim precision, believed minus supported generated text",
        "D3": "claim precision, believed generated minus believed gold text",
        "D4": "the same in a domain not trained on",
        "X6": "claim precision minus that of believed gold cut at random",
    }
    two, three, four, six = (f"{float(found[key]['detectable']):.1f}" for key in parts.items())
    assert (
        f"at least {two} points (D2), {three} (D3), {four} (D4, elsewhere) or {six} (X6, believed gold)"
        in WORDS
    )
    assert float(found["D2", parts["D2"]]["low"]) < 0 < float(found["D4", parts["D4"]]["low"])


@pytest.mark.slow
def test_biographies_of_the_rung_are_as_long_as_this_page_says():
    claims, several = biography_lengths.lengths(setup_for("full", RUNG), 140)
    shares = [f"{100 * (claims == k).mean():.1f}" for k in range(1, 6)]
    said = (
        f"of the {len(claims):,} of seed 140 {shares[0]}% make one claim and {', '.join(shares[1:4])} and {shares[4]}% "
        f"two, three, four and five, {claims.mean():.2f} on average; "
        f"{100 * several / len(claims):.0f}% share a document"
    )
    assert said in WORDS
    assert np.max(claims) == 5

"""Where records hold single items, what is drawn is the interval that the verdict rests on: over seeds and items."""

import csv
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from figures import halves, mixes, prompts, validity
from figures.curves import GRID, Progress, progress
from figures.runs import effect, mean, read_runs, shown
from figures.words import numbers
from tests.figures.conftest import all_records, caught, chance, write_records
from tests.figures.strokes import differences, drawn, told
from theory.claims import Cell
from theory.claims.base import Measured
from theory.claims.interval import interval_of, over
from theory.claims.paper_b import gap
from theory.intervals import CROSSED, EXACT, crossed_interval, exact_interval, t_interval
from theory.records import Record
from theory.table import Table

LAB = "realmodels/R3-tiny"
ITEMS = 8
SEEDS = (100, 101, 102)
CELLS = {  # where the laboratories of real models write every test fact's own result
    "salience": ("best", "lesser"),
    "validity": ("known:by-relation", "unknown:by-relation"),
    "prompts": ("known", "unknown"),
    "slick": ("mix:0.5", *(f"category:{name}" for name in mixes.CATEGORIES)),
}


def single(one):
    return one.trained_on in CELLS.get(one.study, ()) and (one.metric, one.split, one.arm) == (
        "accuracy",
        "test",
        "all",
    )


def with_items(count=ITEMS):
    """The usual records of three seeds, some with each of so many test facts' own result, by fact and by seed."""
    for one in all_records(LAB, "r1", SEEDS):
        if not single(one):
            if one.study in CELLS:
                yield one
            continue
        key = (one.study, one.trained_on, one.prompt, one.step, one.stratum)
        right = [chance(*key, i) + 0.3 * chance(*key, i, one.seed) < 1.3 * one.value for i in range(count)]
        if one.trained_on == "category:Unknown" and one.stratum == "category=Unknown":
            right = [False] * count
        yield replace(one, value=sum(right) / count, n=count)
        for i, value in enumerate(right):
            yield replace(one, value=float(value), n=1, item=f"{one.stratum}-{i}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return read_runs([write_records(tmp_path_factory.mktemp("items") / "one", with_items())])


@pytest.fixture(scope="module")
def pictures(runs, tmp_path_factory):
    kinds = (halves.trajectories, prompts.prompt_gaps, prompts.BY_SIMILARITY[0], validity.waterfall, mixes.categories,
             mixes.fitting)  # fmt: skip
    place = tmp_path_factory.mktemp("drawn")
    return {one.name.removesuffix("-realmodels-R3-tiny"): one
            for one in caught(lambda: [path for kind in kinds for path in kind(runs, place)])}  # fmt: skip


def rows_of(one):
    with open(one.csv, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def note_of(one):
    text = (
        one.figure._supxlabel.get_text()
        if one.figure._supxlabel
        else one.figure.legends[0].get_title().get_text()
    )
    return " ".join(text.split())


PARTS = [  # picture, what its row says, claim and part
    ("trajectories", {"series": "test facts, early stop"}, "A1",
     "best-known minus lesser-known half at the early stop"),
    ("trajectories", {"series": "test facts, end"}, "A1", "the same at the end"),
    ("prompts", {"panel": "gap", "series": "end", "x": "zero"}, "B1", "gap at the end"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "where", "claim", "part"), PARTS, ids=lambda one: str(one)[:24])
def test_what_is_drawn_is_the_interval_of_the_verdict(pictures, runs, kind, where, claim, part):
    (row,) = (row for row in rows_of(pictures[kind]) if where.items() <= row.items())
    verdict = next(one for one in runs.board.verdicts if one.claim.id == claim)
    found = next(one.interval for one in verdict.parts if one.part.name == part)
    assert found.method == CROSSED
    assert row["interval"] == "over seeds crossed with items"
    assert [float(row[name]) for name in ("mean", "low", "high")] == pytest.approx(
        [found.mean, found.low, found.high]
    )
    (rows,) = runs.of(verdict.claim.study)
    seeds = t_interval(next(p for p in verdict.claim.parts if p.name == part).quantity.measure(rows).effects)
    assert (
        abs(100 * (seeds.high - seeds.low) - (found.high - found.low)) > 1
    )  # what seeds alone give is not this


def test_the_strokes_are_what_the_tables_say_with_items_too(pictures):
    assert len(pictures) == 6
    for one in pictures.values():
        assert differences(drawn(one), told(one)) == [], one.name


def matrix_of(runs, on, stratum, step, prompt="zero", study="slick"):
    """Seeds x items straight from the records."""
    where = {"trained_on": on, "stratum": stratum, "step": step, "prompt": prompt, "study": study}
    rows = runs.table.take(runs.table.mask(metric="accuracy", split="test", **where))
    cells = {(r.seed, r.item): r.value for r in rows.records() if r.item}
    items = sorted({item for _, item in cells})
    return np.array([[cells[seed, item] for item in items] for seed in SEEDS])


def test_levels_and_their_bounds_are_those_of_the_items(pictures, runs):
    bars = {(row["stop"], row["series"], row["x"]): row for row in rows_of(pictures["categories"])}
    for (train, test), (stop, step) in product(
        product(mixes.CATEGORIES, repeat=2), (("early", 5), ("end", 10))
    ):
        row = bars[stop, f"tuned on {train}", test]
        matrix = matrix_of(runs, f"category:{train}", f"category={test}", step)
        if np.ptp(matrix) == 0:  # as none of 8 right: not a share of 0 without doubt
            expected, said = exact_interval(matrix[0, 0], ITEMS, (0.0, 1.0)), "over items alone"
            assert float(row["high"]) - float(row["low"]) == pytest.approx(100 * (1 - 0.025 ** (1 / ITEMS)))
        else:
            expected, said = crossed_interval(matrix), "over seeds crossed with items"
        low, high = max(expected.low, 0.0), min(expected.high, 1.0)  # a share is never below 0 nor above 1
        assert row["interval"] == said
        assert [float(row[x]) for x in ("mean", "low", "high")] == pytest.approx(
            [100 * expected.mean, 100 * low, 100 * high]
        )
    assert bars["end", "tuned on Unknown", "Unknown"]["interval"] == "over items alone"
    assert any(float(row["low"]) == 0 < float(row["mean"]) for row in bars.values())


def test_curves_have_intervals_over_items_between_their_looks_too(pictures, runs):
    rows = [row for row in rows_of(pictures["fitting"]) if row["series"] == "held-out facts"]
    told_at = {round(float(row["x"]), 6): row for row in rows if row["mean"] != "nan"}
    looks = {step: matrix_of(runs, "mix:0.5", "all", step) for step in (5, 8, 10)}
    for x, matrix in ((50.0, looks[5]), (65.0, (looks[5] + looks[8]) / 2), (100.0, looks[10])):
        alike = np.ptp(matrix) == 0
        found = exact_interval(matrix[0, 0], ITEMS, (0.0, 1.0)) if alike else crossed_interval(matrix)
        seen = [float(told_at[x][name]) for name in ("mean", "low", "high")]
        assert seen == pytest.approx([100 * found.mean, 100 * max(found.low, 0), 100 * min(found.high, 1)])
        assert told_at[x]["interval"] == over([found])
    assert "over seeds crossed with items" in {row["interval"] for row in rows}
    fitted = [row for row in rows_of(pictures["fitting"]) if row["series"].startswith("Known")]
    assert {row["interval"] for row in fitted} == {"", "over seeds"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "prompts",
            "mean and 95% interval over seeds or over seeds crossed with items",
        ),  # the untuned are pooled
        ("similarity-prompts", "mean and 95% interval over seeds"),
        ("fitting", "mean and 95% interval over seeds or over seeds crossed with items"),
        ("categories", "over seeds crossed with items or over items alone"),
    ],
)
def test_the_note_says_which_interval_is_drawn(pictures, kind, words):
    said = note_of(pictures[kind])
    assert words in said
    if kind == "similarity-prompts":
        assert "crossed" not in said


def test_ends_and_the_rest_of_the_gap_taken_apart_go_over_items(pictures):
    kinds = {row["series"]: row["interval"] for row in rows_of(pictures["waterfall"])}
    assert kinds["raw"] == kinds["rest"] == "over seeds crossed with items"
    assert {kinds[name] for name in ("copying", "answer support", "guessing")} == {"over seeds"}


def test_seeds_that_all_agree_are_no_certainty_and_one_seed_has_none():
    agree = shown(Measured(np.arange(3), np.full(3, 0.25)))
    assert (agree.mean, agree.low, agree.high) == (0.25, -math.inf, math.inf)
    assert numbers(agree) == numbers(t_interval(np.full(3, 0.25))) == "0.25"
    assert numbers(t_interval(np.array([-1e-17, 0.0, 0.0]))) == "0.00"
    wide = shown(Measured(np.arange(2), np.array([0.0, 0.9]), limits=(0.0, 1.0)))
    assert (wide.low, wide.high) == (0.0, 1.0)
    free = shown(Measured(np.arange(2), np.array([0.0, 0.9])))
    assert free.low < 0 < 1 < free.high


def record(seed, step, on, value, item="", metric="accuracy"):
    n = 1 if item else 2
    return Record(LAB, "prompts", "r", seed, "all", step, on, "zero", "test", "all", metric, value, n, item)


def test_gaps_of_signed_metrics_and_counts_keep_or_lose_their_bounds():
    rows = [
        record(seed, 9, "across", value, metric="edge_gap") for seed, value in enumerate((0.02, 0.3, 0.1))
    ]
    rows += [
        record(seed, 9, "known", value, metric="true_claims") for seed, value in enumerate((0.02, 3.0, 0.1))
    ]
    (found,) = (read for read in _studies(rows))
    edges, claims = mean(found, Cell("edge_gap", "across")), mean(found, Cell("true_claims", "known"))
    assert edges.low < 0 == claims.low < claims.high
    assert claims.high > 1


def _studies(rows):
    from theory.claims.evidence import split_studies

    return split_studies(Table.from_records(rows))


def test_curves_of_items_that_some_steps_lack_are_drawn_from_those_that_are_there():
    values = {(0, 4): (1, 0), (0, 8): (1, 1), (1, 4): (0, 0), (1, 8): (1, 0), (2, 4): (0, 1), (2, 8): (1, 1)}
    rows = [
        record(seed, step, on, float(value), item=f"i{k}")
        for on in ("known", "unknown")
        for (seed, step), pair in values.items()
        for k, value in enumerate(pair)
    ]
    (found,) = _studies(rows)
    curve = progress(found, Cell("accuracy", "known"))
    assert curve.items.shape == (len(GRID), 3, 2)
    assert np.isnan(curve.curves[:, 0]).all()
    assert curve.items[-1].tolist() == [[1, 1], [1, 0], [1, 1]]
    assert curve.items[30].tolist() == [[1, 0.5], [0.5, 0], [0.5, 1]]  # three quarters on: between the looks
    apart = curve.less(progress(found, Cell("accuracy", "unknown")))
    assert np.nanmax(np.abs(apart.curves)) == 0
    last = apart.intervals()[-1]
    assert last.method == EXACT
    assert (last.mean, last.low < 0 < last.high) == (0, True)
    loose = curve.less(Progress(curve.curves, limits=(0.0, 1.0)))
    assert loose.items is None
    one = effect(found, gap())
    assert over([one]) == "over items alone"
    assert interval_of(gap().measure(found)).high == one.high

"""Cells against a slow search over the records, one by one."""

from collections.abc import Iterable

import numpy as np
import pytest

from theory.claims.base import Absent, Cell, Curve, Series
from theory.claims.evidence import labels, split_studies
from theory.errors import TheoryError
from theory.schema import Record
from theory.table import Table


def record(**changes: object) -> Record:
    fields = {
        "lab": "synthetic/R2", "study": "salience", "run": "r", "seed": 0, "arm": "all", "step": 10,
        "trained_on": "best", "prompt": "zero", "split": "test", "stratum": "all", "metric": "accuracy",
        "value": 0.5, "n": 100,
    }  # fmt: skip
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def study(records: Iterable[Record]):
    (rows,) = split_studies(Table.from_records(records))
    return rows


def slow_series(records: list[Record], cell: Cell, arm: str) -> dict[int, float]:
    """What `series` should find: pooled by n, at each seed's stop, looked for record by record."""
    arm = (cell.arm or arm) + (f"@{cell.base}" if cell.base else "")
    mine = [r for r in records if (r.arm, r.trained_on) == (arm, cell.trained_on)]
    stop: dict[int, int] = {}
    for r in mine:
        if cell.stop == "end":
            stop[r.seed] = max(stop.get(r.seed, 0), r.step)
    if cell.stop == "early":
        dev = [
            r for r in mine if (r.split, r.metric, r.prompt, r.stratum) == ("dev", "accuracy", "zero", "all")
        ]
        for seed in {r.seed for r in dev}:
            best = max(r.value for r in dev if r.seed == seed)
            stop[seed] = min(r.step for r in dev if r.seed == seed and r.value == best)
    wanted = labels(cell.stratum)
    found: dict[int, list[tuple[float, int]]] = {}
    for r in mine:
        here = dict(pair.split("=") for pair in r.stratum.split(",")) if r.stratum != "all" else {}
        fits = set(here) == set(wanted) and all(here[key] in values for key, values in wanted.items())
        fits &= (r.prompt, r.split, r.metric) == (cell.prompt, cell.split, cell.metric)
        if fits and stop.get(r.seed) == r.step:
            found.setdefault(r.seed, []).append((r.value, r.n))
    return {seed: sum(v * n for v, n in pairs) / sum(n for _, n in pairs) for seed, pairs in found.items()}


CELLS = [
    Cell("accuracy", "best"),
    Cell("accuracy", "best", "early"),
    Cell("accuracy", "lesser", "early", stratum="answer=both|neither"),
    Cell("accuracy", "lesser", stratum="overlap=no,answer=both"),
    Cell("accuracy", "lesser", stratum="answer=both,overlap=no"),
    Cell("attention_subject", "best", prompt="few:4"),
    Cell("accuracy", "best", base="pretrain:short"),
    Cell("accuracy", "best", arm="attention"),
    Cell("accuracy", "best", "early", split="ood-relation"),
]


@pytest.mark.parametrize("seed", range(4))
def test_series_finds_what_a_slow_search_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strata = ["all", "answer=both", "answer=neither", "answer=known-only", "overlap=no,answer=both"]
    records = {}
    for _ in range(3000):
        one = record(
            seed=int(rng.integers(4)),
            arm=str(rng.choice(["all", "attention", "all@pretrain:short"])),
            step=int(rng.choice([10, 20, 30])),
            trained_on=str(rng.choice(["best", "lesser"])),
            prompt=str(rng.choice(["zero", "zero", "few:4"])),
            split=str(rng.choice(["test", "dev", "ood-relation"])),
            stratum=str(rng.choice(strata)),
            metric=str(rng.choice(["accuracy", "accuracy", "attention_subject"])),
            value=float(rng.integers(0, 5)) / 4,
            n=int(rng.integers(1, 50)),
        )
        records.setdefault(tuple(getattr(one, f) for f in Record.__slots__ if f not in ("value", "n")), one)
    rows = study(records.values())
    assert rows.primary == "all"
    some = 0
    for cell in CELLS:
        expected = slow_series(list(records.values()), cell, "all")
        found = rows.series(cell)
        if not expected:
            assert isinstance(found, Absent)
            continue
        assert isinstance(found, Series)
        assert dict(zip(found.seeds.tolist(), found.values, strict=True)) == pytest.approx(expected)
        assert found.items is None
        some += 1
    assert some >= 8


def test_studies_are_split_by_lab_run_and_study() -> None:
    rows = split_studies(
        Table.from_records(
            [record(), record(run="s"), record(lab="theory/R1", study="slick"), record(run="s", seed=1)]
        )
    )
    assert [(r.lab, r.run, r.study) for r in rows] == [
        ("synthetic/R2", "r", "salience"),
        ("synthetic/R2", "s", "salience"),
        ("theory/R1", "r", "slick"),
    ]
    assert split_studies(Table.from_records([])) == []


@pytest.mark.parametrize(
    ("arms", "primary"),
    [
        (["values", "attention"], "attention"),
        (["lora", "attention"], "lora"),
        (["all", "lora"], "all"),
        (["lora@instruct"], "lora"),
        (["base", "patch:values:best"], ""),
    ],
)
def test_the_primary_arm_is_the_first_that_has_rows(arms: list[str], primary: str) -> None:
    assert study([record(arm=arm) for arm in arms]).primary == primary


def test_early_is_the_first_best_dev_step_of_each_seed_and_end_its_last_row() -> None:
    dev = {0: [0.2, 0.6, 0.6], 1: [0.7, 0.1, 0.2]}
    records = [
        record(seed=seed, step=10 * (i + 1), split=split, value=value if split == "dev" else i / 10)
        for seed, values in dev.items()
        for i, value in enumerate(values)
        for split in ("dev", "test")
    ]
    records += [record(seed=1, step=40, split="test", value=0.9)]
    rows = study(records)
    early, end = rows.series(Cell("accuracy", "best", "early")), rows.series(Cell("accuracy", "best"))
    assert isinstance(early, Series)
    assert isinstance(end, Series)
    assert early.values.tolist() == [0.1, 0.0]
    assert end.values.tolist() == [0.2, 0.9]


def test_a_seed_without_a_row_at_its_stop_is_left_out() -> None:
    rows = study([record(seed=0), record(seed=1), record(seed=1, step=20, split="train")])
    end = rows.series(Cell("accuracy", "best"))
    assert isinstance(end, Series)
    assert end.seeds.tolist() == [0]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Cell("accuracy", "whole"), "trained_on=whole arm=all prompt=zero split=test stratum=all at its last step"),
        (Cell("accuracy", "best", prompt="cot"), "trained_on=best arm=all prompt=cot split=test stratum=all"),
        (
            Cell("accuracy", "best", "early"),
            "split=dev stratum=all at every step (the early stop is the step with the best dev accuracy)",
        ),
        (Cell("accuracy", "best", stratum="overlap=no"), "stratum=overlap=no at its last step"),
        (Cell("accuracy", "best", base="instruct"), "arm=all@instruct prompt=zero"),
        (Cell("accuracy", "best", arm="values"), "trained_on=best arm=values prompt=zero"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_as_a_filter(cell: Cell, words: str) -> None:
    rows = study([record(stratum="all"), record(stratum="answer=both")])
    absent = rows.series(cell)
    assert isinstance(absent, Absent)
    assert absent.where.startswith("study=salience metric=accuracy")
    assert words in absent.where


def test_a_missing_curve_is_said_too() -> None:
    absent = study([record()]).curve(Cell("fitted", "mix:0.5", "every", split="train", stratum="known=no"))
    assert isinstance(absent, Absent)
    assert "metric=fitted trained_on=mix:0.5 arm=all prompt=zero split=train stratum=known=no" in absent.where
    assert absent.where.endswith("at every step")


def test_partial_strata_never_stand_for_the_whole() -> None:
    rows = study([record(stratum="overlap=no"), record(stratum="overlap=no,dominant=no")])
    assert isinstance(rows.series(Cell("accuracy", "best")), Absent)
    assert isinstance(rows.series(Cell("accuracy", "best", stratum="dominant=no")), Absent)


def test_items_carry_their_labels_and_stand_for_every_stratum() -> None:
    def item(i: int, labels: str, value: float) -> Record:
        return record(stratum=labels, value=value, n=1, item=f"q{i}")

    rows = study(
        [
            item(0, "overlap=no,dominant=no", 1.0),
            item(1, "overlap=no,dominant=yes", 0.0),
            item(2, "overlap=yes,dominant=no", 0.0),
            item(3, "overlap=no,dominant=no", 1.0),
        ]
    )

    def mean(stratum: str) -> float:
        found = rows.series(Cell("accuracy", "best", stratum=stratum))
        assert isinstance(found, Series)
        assert found.items is not None
        return float(found.values[0])

    assert mean("all") == 0.5
    assert mean("overlap=no") == pytest.approx(2 / 3)
    assert mean("dominant=no") == pytest.approx(2 / 3)
    assert mean("overlap=no,dominant=no") == 1.0


def test_items_are_taken_if_they_are_all_that_the_pooled_rows_stand_for() -> None:
    pooled = [record(seed=seed, value=0.25, n=2) for seed in (0, 1)]
    items = [record(seed=seed, value=1.0, n=1, item=f"q{i}") for seed in (0, 1) for i in range(2)]
    whole = study([*pooled, *items]).series(Cell("accuracy", "best"))
    assert isinstance(whole, Series)
    assert whole.values.tolist() == [1.0, 1.0]
    assert whole.items is not None
    for some in (
        items[:2],
        [items[0], items[2]],
        items[:3],
    ):  # a seed is missing, or items in each or one seed
        found = study([*pooled, *some]).series(Cell("accuracy", "best"))
        assert isinstance(found, Series)
        assert found.values.tolist() == [0.25, 0.25]
        assert found.items is None


def test_items_written_at_the_end_only_do_not_hide_pooled_rows_of_other_steps() -> None:
    dev = [record(step=step, split="dev", value=0.9 - step / 100) for step in (10, 20)]
    pooled = [record(step=step, value=step / 100, n=2) for step in (10, 20)]
    items = [record(step=20, value=value, n=1, item=f"q{value}") for value in (0.0, 1.0)]
    rows = study([*dev, *pooled, *items])
    early, end = rows.series(Cell("accuracy", "best", "early")), rows.series(Cell("accuracy", "best"))
    assert isinstance(early, Series)
    assert isinstance(end, Series)
    assert early.values.tolist() == [0.1]
    assert early.items is None
    assert end.values.tolist() == [0.5]
    assert end.items is not None
    curve = rows.curve(Cell("accuracy", "best", "every"))
    assert isinstance(curve, Curve)
    assert curve.values.tolist() == [[0.1, 0.2]]


def test_an_item_under_several_strata_counts_once() -> None:
    """An item that two flaggers flag has to stand in two rows."""
    flagged = {"flagger=slick": [1.0, 1.0, 0.0, 0.0], "flagger=ptrue": [1.0, 1.0]}
    rows = study(
        record(stratum=stratum, value=value, n=1, item=f"q{i}")
        for stratum, values in flagged.items()
        for i, value in enumerate(values)
    )
    found = rows.series(Cell("accuracy", "best"))
    assert isinstance(found, Series)
    assert found.values.tolist() == [0.5]
    assert found.items is not None
    assert len(found.items[1]) == 4


def test_an_item_with_two_results_is_refused() -> None:
    rows = study(
        record(seed=3, stratum=stratum, value=value, n=1, item="q7")
        for stratum, value in (("overlap=no", 1.0), ("dominant=no", 0.0))
    )
    words = (
        "item 'q7' of seed 3 at step 10 of synthetic/R2, run r: 1 under stratum overlap=no but 0 under stratum "
        "dominant=no; expected one result, written once with all its labels"
    )
    with pytest.raises(TheoryError, match=words):
        rows.series(Cell("accuracy", "best"))


def test_a_curve_pools_by_n_and_marks_what_is_not_there() -> None:
    rows = study(
        [
            record(seed=0, step=10, stratum="answer=both", value=0.0, n=10),
            record(seed=0, step=10, stratum="answer=neither", value=1.0, n=30),
            record(seed=1, step=20, stratum="answer=both", value=0.5, n=5),
        ]
    )
    curve = rows.curve(Cell("accuracy", "best", "every", stratum="answer=both|neither"))
    assert isinstance(curve, Curve)
    assert curve.seeds.tolist() == [0, 1]
    assert curve.steps.tolist() == [10, 20]
    assert curve.values[0, 0] == 0.75
    assert curve.values[1, 1] == 0.5
    assert np.isnan(curve.values[0, 1])
    assert np.isnan(curve.values[1, 0])
    assert curve.n.tolist() == [[40, 0], [0, 5]]


def test_the_untuned_model_stands_at_step_zero_under_its_own_arm() -> None:
    rows = study([record(arm="base", trained_on="none", step=0, value=0.3), record()])
    base = rows.series(Cell("accuracy", "none", arm="base"))
    assert isinstance(base, Series)
    assert base.values.tolist() == [0.3]

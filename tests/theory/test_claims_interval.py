"""The interval of a verdict: what agrees to the last digit has none."""

import math

import numpy as np
import pytest

from theory.claims import CLAIMS, evaluate
from theory.claims.base import Measured
from theory.claims.interval import interval_of, told
from theory.intervals import Interval
from theory.records import Record
from theory.table import Table


@pytest.mark.parametrize("rounding", [0.0, 1e-16])
@pytest.mark.parametrize("matrix", [False, True])
def test_seeds_that_all_agree_settle_nothing(matrix, rounding):
    effects = 0.25 + rounding * np.arange(3)
    rows = np.repeat(effects[:, None], 4, axis=1) if matrix else None
    found = interval_of(Measured(np.arange(10, 13), effects, matrix=rows), "doublings")
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.mean == pytest.approx(0.25)
    assert [found.pvalue(null) for null in (-0.02, 0.0, 1.0)] == [1.0] * 3


def test_seeds_that_nearly_agree_have_the_interval_that_they_have():
    found = interval_of(Measured(np.arange(3), np.array([0.0, 1e-6, 2e-6])))
    assert 0 < found.high - found.low < 1e-5


def records(value, spread):
    """Every cell of A2 in three seeds, without items: all alike, but for a little chance."""
    cells = {(CLAIMS["A2"].study, cell) for cell in CLAIMS["A2"].cells}
    for i, (study, cell) in enumerate(sorted(cells, key=repr)):
        for seed in (10, 11, 12):
            here = value + spread * math.sin(7 * i + 3 * seed)
            for split, step in (("dev", 1), (cell.split, 1), ("dev", 2), (cell.split, 2)):
                yield Record(
                    "realmodels/R3-tiny", study, "x", seed, cell.arm_in("lora"), step, cell.trained_on,
                    cell.prompt if split != "dev" else "zero", split,
                    cell.stratum if split != "dev" else "all", cell.metric, here, 40,
                )  # fmt: skip


@pytest.mark.parametrize(("spread", "outcome"), [(0.0, "open"), (1e-5, "supported")])
def test_a_claim_that_nothing_is_lost_is_not_shown_by_seeds_that_only_agree(spread, outcome):
    """Within a margin on equal counts: with a little spread there is an interval, without there is none."""
    seen = {}
    for record in records(0.5, spread):  # cells share moments
        seen[record.study, record.seed, record.arm, record.step, record.trained_on, record.prompt,
             record.split, record.stratum, record.metric] = record  # fmt: skip
    board = evaluate(Table.from_records(seen.values()), ["A2"])
    deciding = [part for part in board.verdicts[0].parts if part.part.role == "decides"]
    assert deciding
    assert {part.outcome for part in deciding if part.part.direction == "not below"} == {outcome}
    published = [part for part in deciding if part.part.published]
    assert published
    if not spread:  # and meets no number of the paper's
        assert {part.overlaps for part in published} == {None}
        assert {part.bootstrap.low for part in deciding} == {-math.inf}


@pytest.mark.parametrize(
    ("interval", "digits", "said"),
    [
        ((0.5, 0.25, 0.75), None, "0.50 [0.25, 0.75]"),
        ((12.0, 10.0, 14.0), None, "12.0 [10.0, 14.0]"),
        ((0.5, 0.25, 0.75), 1, "0.5 [0.2, 0.8]"),
        ((0.0, -math.inf, math.inf), None, "0.0 (no interval)"),
        ((-0.0, -math.inf, math.inf), 1, "0.0 (no interval)"),
    ],
)
def test_what_is_told_of_an_interval(interval, digits, said):
    assert told(Interval(*interval, level=0.95, n=3, sd=0.1, method="t"), digits) == said

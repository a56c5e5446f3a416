"""What a study measured becomes a line for `audit --predict-harm`; values by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from realmodels.harm import read_calibration
from realmodels.study_calibration import NAME, measured, table

KNOWN = np.array([True, True, False, True, False, True])
MARGIN = np.array([4.0, 2.0, -1.0, 3.0, np.nan, 1.0])


def _sat(hits):
    return SimpleNamespace(hits=np.array(hits, bool))


def _bundle(seed, sets, after):
    """Test facts are rows 0, 2, 3 and 5; of these 0, 3 and 5 are known, and the untuned model has two of them right."""
    test = np.array([0, 2, 3, 5])
    audited = SimpleNamespace(scores={"margin": MARGIN}, known=KNOWN)
    return SimpleNamespace(
        seed=seed,
        few="few:4",
        facts=SimpleNamespace(audited=audited, test=test),
        base=SimpleNamespace(asked={(0, "test", "few:4"): _sat([1, 0, 1, 0])}),
        sets={name: SimpleNamespace(rows=np.array(rows), __len__=None) for name, rows in sets.items()},
        results={
            name: SimpleNamespace(steps=8, asked={(8, "test", "zero"): _sat(hits)})
            for name, hits in after.items()
        },
    )


def test_margins_and_effects_by_hand(tmp_path):
    sets = {
        "known": [0, 1],
        "unknown": [2, 4],
        "known-permuted": [0, 1],
        "whole": [0, 1, 3],
        "idk:0.5": [0, 1],
    }
    after = {
        "known": [1, 0, 1, 1],
        "unknown": [0, 1, 1, 0],
        "known-permuted": [0, 0, 0, 0],
        "whole": [1, 1, 1, 1],
        "idk:0.5": [0, 0, 0, 0],
    }
    found = measured(
        [
            _bundle(10, sets, after),
            _bundle(11, {"known": [1, 3]}, {"known": [0, 0, 0, 1]}),
            _bundle(12, {"best": [0, 3]}, {"best": [1, 0, 1, 1]}),
        ]
    )
    said = {(one.seed, one.set): (one.rows, one.margin, one.effect) for one in found}
    assert said == {
        (10, "known"): (2, 3.0, pytest.approx(1 / 3)),
        (10, "unknown"): (2, -1.0, pytest.approx(-1 / 3)),
        (11, "known"): (2, 2.5, pytest.approx(-1 / 3)),
        (12, "best"): (2, 3.5, pytest.approx(1 / 3)),
    }
    (tmp_path / NAME).write_text(table(found))
    line = read_calibration(tmp_path / NAME)
    x, y = np.array([2.75, -1, 3.5]), np.array([0, -1, 1]) / 3  # two seeds of `known` are one point
    slope, intercept = np.polyfit(x, y, 1)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), rel=1e-5)
    assert line.n == 3


def test_an_audit_without_margins_measures_nothing():
    bundle = _bundle(10, {"known": [4]}, {"known": [1, 1, 1, 1]})
    assert measured([bundle]) == ()

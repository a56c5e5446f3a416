"""How many effects differ by luck alone: the fast count against scipy, and what shared seeds do to it."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from theory.reshuffle import _moved, reshuffled


def runs(old, new):
    """Columns of two arrays, seeds x parts, as effects by seed; NaN is left out."""
    return (
        [{offset + row: v for row, v in enumerate(column) if v == v} for column in np.asarray(values).T]
        for values, offset in ((old, 0), (new, 100))
    )


def test_what_moved_is_what_scipys_interval_says():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 18, 4)) * rng.gamma(1, size=4)
    values[:, 10:, 1] += 1
    values[:, 3, 2] = np.nan
    values[:, :9, 3] = np.nan  # one seed is left of the first run: nothing can be said
    found = _moved(values, 10)
    assert 0 < found[:, 1].mean() < 1
    assert not found[:, 3].any()
    for draw in range(50):
        for part in range(3):
            x, y = (v[~np.isnan(v)] for v in (values[draw, :10, part], values[draw, 10:, part]))
            limits = ttest_ind(x, y, equal_var=False).confidence_interval()
            assert found[draw, part] == (not limits.low <= 0 <= limits.high)


def test_effects_that_are_one_effect_count_as_one():
    """Thirty copies of one effect: all differ or none; the chance is that of the one."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, (10, 1)), rng.normal(2, 1, (10, 1))
    copies = reshuffled(*runs(np.repeat(x, 30, 1), np.repeat(y, 30, 1)))
    assert (copies.mean, copies.high) != (0, 0)
    assert copies.p == reshuffled(*runs(x, y)).p
    dealt = np.stack([rng.permutation(np.concatenate([x, y])[:, 0]) for _ in range(4000)])
    differ = ttest_ind(dealt[:, :10], dealt[:, 10:], axis=1, equal_var=False).pvalue < 0.05
    assert ttest_ind(x, y, equal_var=False).pvalue < 0.05
    assert copies.mean == pytest.approx(30 * differ.mean(), abs=0.5)
    assert copies.p == pytest.approx(differ.mean(), abs=0.02)


def test_runs_that_differ_are_told_from_luck_and_luck_is_not():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(10, 20)), rng.normal(size=(10, 20))
    assert reshuffled(*runs(x, y + 2)).p < 0.005
    assert reshuffled(*runs(x, y)).p > 0.05


def test_the_chance_is_what_it_says_where_effects_share_seeds():
    """Under no difference p is at most 5% in about 5% of pairs of runs, however effects hang together."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(200):
        x, y = (rng.normal(size=(10, 1)) + 0.5 * rng.normal(size=(10, 15)) for _ in range(2))
        found.append(reshuffled(*runs(x, y), draws=99).p <= 0.05)
    assert 0.005 < np.mean(found) < 0.10

"""The linear law of fitted shares: planted coefficients come back, with intervals that cover them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from theory.errors import TheoryError
from theory.fitted_share import FittedShareLaw, fit_fitted_share, out_of_sample_r2

TRUE = (0.369, 0.073, -0.083)
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
Array = np.ndarray[Any, Any]


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([13, *key]))


def epochs(
    generator: np.random.Generator,
    seeds: int,
    *,
    error: float = 1.0,
    mixes: Sequence[float] = MIXES,
    length: int = 12,
) -> tuple[Array, Array, Array, Array, Array]:
    """Accuracy, shares, seed and mix of every epoch; errors are shared by seed, by run, along epochs."""
    t = np.arange(1, length + 1)
    seed, mix, time = (a.ravel() for a in np.meshgrid(range(seeds), mixes, t, indexing="ij"))
    known, unknown = (1 - mix) * (1 - np.exp(-time / 1.5)), mix * (1 - np.exp(-time / 8))
    shape = (seeds, len(mixes), length)
    by_seed = np.array([0.01, 0.02, 0.02]) * generator.normal(size=(seeds, 3))
    beta = np.array(TRUE) + error * by_seed[seed]
    walk = 0.01 * generator.normal(size=(*shape[:2], 1)) + 0.003 * np.cumsum(
        generator.normal(size=shape), axis=2
    )
    acc = beta[:, 0] + beta[:, 1] * known + beta[:, 2] * unknown + error * walk.ravel()
    return acc, known, unknown, seed, mix


def test_an_exact_law_is_found_exactly() -> None:
    acc, known, unknown, seed, mix = epochs(rng(0), 3, error=0.0)
    law = fit_fitted_share(acc, known, unknown, seed)
    assert (law.b0, law.b_kn, law.b_unk) == pytest.approx(TRUE, abs=1e-12)
    assert law.r2 == pytest.approx(1.0)
    assert law.predict(known, unknown) == pytest.approx(acc)
    assert out_of_sample_r2(acc, known, unknown, mix) == pytest.approx(1.0)
    for interval in law.intervals.values():
        assert interval.high - interval.low < 1e-9


@pytest.mark.parametrize(
    ("law", "ends"),
    [
        (FittedShareLaw(36.9, 7.3, -8.3, 0.86), {"all_known": 44.2, "all_unknown": 28.6, "half": 36.4}),
        (FittedShareLaw(36.2, 3.2, -3.0, 0.95), {"all_known": 39.4, "all_unknown": 33.2, "half": 36.3}),
    ],
    ids=["seen relations", "unseen relations"],
)
def test_the_papers_end_points(law: FittedShareLaw, ends: dict[str, float]) -> None:
    assert law.ends == pytest.approx(ends)
    assert law.predict([1, 0, 0.5], [0, 1, 0.5]).tolist() == pytest.approx(list(ends.values()))


def test_intervals_over_seeds_cover_and_points_taken_as_independent_do_not() -> None:
    draws, names = 400, ("b0", "b_kn", "b_unk", "all_known", "all_unknown", "half")
    true = [*TRUE, 0.442, 0.286, 0.364]
    for seeds in (5, 10):
        hits, naive = np.zeros(6), np.zeros(6)
        for draw in range(draws):
            acc, known, unknown, seed, _ = epochs(rng(1, seeds, draw), seeds)
            for found, groups in ((hits, seed), (naive, None)):
                law = fit_fitted_share(acc, known, unknown, groups)
                found += [
                    not law.intervals[name].excludes(value) for name, value in zip(names, true, strict=True)
                ]
        assert (hits / draws > 0.92).all()
        assert (hits / draws < 0.99).all()
        assert naive[1] / draws < 0.80


def test_the_fit_is_least_squares_and_the_jackknife_leaves_out_groups() -> None:
    acc, known, unknown, seed, _ = epochs(rng(2), 4)
    x = np.stack([np.ones_like(acc), known, unknown], axis=1)
    beta = np.linalg.lstsq(x, acc, rcond=None)[0]
    law = fit_fitted_share(acc, known, unknown, np.array(["d", "c", "b", "a"])[seed], level=0.9)
    assert (law.b0, law.b_kn, law.b_unk) == pytest.approx(beta.tolist())
    assert law.r2 == pytest.approx(1 - ((acc - x @ beta) ** 2).sum() / ((acc - acc.mean()) ** 2).sum())
    without = np.array([np.linalg.lstsq(x[seed != s], acc[seed != s], rcond=None)[0] for s in range(4)])
    se = np.sqrt(3 / 4 * ((without - beta) ** 2).sum(axis=0))
    for i, name in enumerate(("b0", "b_kn", "b_unk")):
        interval = law.intervals[name]
        assert interval.sd / 2 == pytest.approx(se[i])
        assert interval.high - interval.mean == pytest.approx(
            2.3533634 * se[i], rel=1e-6
        )  # t of 3 degrees, 95%
        assert (interval.n, interval.level, interval.method) == (4, 0.9, "jackknife over groups")
    assert law.intervals["half"].mean == pytest.approx(law.ends["half"])
    alone = fit_fitted_share(acc, known, unknown)
    assert alone.intervals["b0"].method == "jackknife over points (taken as independent)"
    assert alone.intervals["b0"].n == acc.size


def test_prediction_of_a_mix_that_was_not_seen() -> None:
    acc, known, unknown, _, mix = epochs(rng(3), 5)
    x = np.stack([np.ones_like(acc), known, unknown], axis=1)
    law = np.empty_like(acc)
    for one in MIXES:
        out = mix == one
        law[out] = x[out] @ np.linalg.lstsq(x[~out], acc[~out], rcond=None)[0]
    expected = 1 - ((acc - law) ** 2).sum() / ((acc - acc.mean()) ** 2).sum()
    found = out_of_sample_r2(acc, known, unknown, mix)
    assert found == pytest.approx(expected)
    assert 0.3 < found < fit_fitted_share(acc, known, unknown).r2
    noise = rng(4).normal(size=acc.size)
    assert out_of_sample_r2(noise, known, unknown, mix) < 0.05


def test_one_seed_has_a_law_but_no_interval() -> None:
    acc, known, unknown, seed, _ = epochs(rng(5), 1)
    law = fit_fitted_share(acc, known, unknown, seed)
    assert law.b_kn == pytest.approx(TRUE[1], abs=0.1)
    assert law.intervals["b_kn"].low == -math.inf
    assert not law.intervals["b_kn"].excludes(5.0)
    assert law.intervals["b_kn"].pvalue() == 1.0
    with pytest.raises(TheoryError, match="all points are of one group"):
        out_of_sample_r2(acc, known, unknown, seed)


def test_a_constant_accuracy_has_no_r2() -> None:
    _, known, unknown, seed, _ = epochs(rng(6), 2)
    law = fit_fitted_share(np.full_like(known, 0.5), known, unknown, seed)
    assert (law.b_kn, law.b_unk) == pytest.approx((0, 0), abs=1e-12)
    assert math.isnan(law.r2)


HALF = np.linspace(0, 0.5, 8)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ((HALF, HALF, HALF), "the points do not tell b0, b_kn and b_unk apart"),
        (
            (HALF, HALF * [0, 0, 0, 0, 0, 0, 1, 1], HALF**2, [0, 0, 0, 0, 0, 0, 1, 1]),
            "without one group the points do not",
        ),
        ((HALF, 100 * HALF, HALF), "shares must be fractions of the whole set"),
        ((HALF, HALF, 1.001 - HALF), "shares must be fractions of the whole set"),
        ((HALF, -HALF, HALF), "shares must be fractions of the whole set"),
        ((HALF, HALF, HALF[:3]), r"shapes \(8,\), \(8,\) and \(3,\); expected equal rows"),
        ((HALF * math.nan, HALF, HALF), "a point holds a value that is not finite"),
        ((HALF, HALF, HALF**2, [1, 2]), r"groups have shape \(2,\), expected \(8,\)"),
    ],
)
def test_points_that_cannot_be_fitted_are_refused(points: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(TheoryError, match=expected):
        fit_fitted_share(*points)

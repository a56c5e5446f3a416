"""Intervals against scipy, against hand tables, and against the coverage they promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from theory.bootstrap import resamples, widened_tail
from theory.errors import TheoryError
from theory.intervals import (
    ONE_SEED,
    Bounds,
    Interval,
    bootstrap_bounds,
    bootstrap_interval,
    crossed_bounds,
    crossed_interval,
    exact_interval,
    holm,
    items_interval,
    mcnemar,
    minimum_detectable_effect,
    nested_interval,
    t_bounds,
    t_interval,
    t_pvalue,
)


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([7, *key]))


def coverage(bounds: Bounds, truth: float = 0.0) -> float:
    return float(np.mean((bounds.low <= truth) & (truth <= bounds.high)))


# ---------------------------------------------------------------- Student's t


@pytest.mark.parametrize("n", [2, 5, 40])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_t_agrees_with_scipy_over_leading_axes(n: int, level: float) -> None:
    x = rng(n).normal(0.3, 2.0, size=(3, 4, n))
    bounds, p = t_bounds(x, level), t_pvalue(x, 0.1)
    for i in np.ndindex(3, 4):
        test = stats.ttest_1samp(x[i], 0.1)
        low, high = test.confidence_interval(level)
        assert bounds.low[i] == pytest.approx(low, rel=1e-12)
        assert bounds.high[i] == pytest.approx(high, rel=1e-12)
        assert p[i] == pytest.approx(test.pvalue, rel=1e-10)
        one = t_interval(x[i], level)
        assert (one.mean, one.low, one.high) == (bounds.mean[i], bounds.low[i], bounds.high[i])
        assert (one.n, one.level, one.method, one.df) == (n, level, "t", n - 1)
        assert one.sd == pytest.approx(x[i].std(ddof=1))
        assert one.pvalue(0.1) == pytest.approx(test.pvalue, rel=1e-10)
        assert one.excludes(0.1) == (test.pvalue < 1 - level)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_t_covers_what_it_promises(n: int) -> None:
    draws = 20_000
    x = rng(1, n).normal(size=(draws, n))
    error = 3.5 * math.sqrt(0.95 * 0.05 / draws)
    assert coverage(t_bounds(x)) == pytest.approx(0.95, abs=error)
    assert np.mean(t_pvalue(x) < 0.05) == pytest.approx(0.05, abs=error)


def test_one_value_excludes_nothing() -> None:
    one = t_interval([0.7])
    assert (one.mean, one.low, one.high, one.n) == (0.7, -math.inf, math.inf, 1)
    assert math.isnan(one.sd)
    assert one.pvalue() == 1.0
    assert not one.excludes(1e9)
    assert t_pvalue([[0.7], [0.1]]).tolist() == [1.0, 1.0]
    boot = bootstrap_interval([0.7])
    assert (boot.low, boot.high) == (-math.inf, math.inf)


def test_equal_values_are_an_effect_and_rounding_is_none() -> None:
    assert t_pvalue([0.2] * 5) < 1e-30
    assert t_interval([0.2] * 5).excludes()
    rounding = np.full(5, 0.1 + 0.2 - 0.3)
    assert rounding[0] != 0
    for interval in (t_interval(rounding), crossed_interval(np.tile(rounding, (5, 1)))):
        assert not interval.excludes()
        assert interval.pvalue() > 0.9
    assert t_pvalue(np.zeros(5)) == 1.0
    boot = bootstrap_interval([0.2] * 5)
    assert boot.low == boot.high == pytest.approx(0.2)


# ---------------------------------------------------------------- bootstrap


@pytest.mark.parametrize(("n", "level"), [(8, 0.8), (20, 0.9), (12, 0.85)])
def test_bootstrap_agrees_with_scipys_bca_at_the_widened_level(n: int, level: float) -> None:
    x = rng(2, n).exponential(size=n)
    widened = 1 - 2 * widened_tail(n, level)
    ours = bootstrap_interval(x, level, draws=60_000, seed=3)
    theirs = stats.bootstrap(
        (x,), np.mean, confidence_level=widened, n_resamples=60_000, method="BCa", random_state=rng(4)
    ).confidence_interval
    close = 0.02 * (theirs.high - theirs.low)
    assert ours.low == pytest.approx(theirs.low, abs=close)
    assert ours.high == pytest.approx(theirs.high, abs=close)
    assert ours.mean == pytest.approx(x.mean())
    assert ours.n == n
    assert math.isnan(ours.pvalue())


def test_few_values_are_resampled_exactly() -> None:
    for n in (2, 3, 5, 6):
        weights, probability = resamples(n, 2000, 0)
        assert len(weights) == math.comb(2 * n - 1, n)
        assert probability.sum() == pytest.approx(1)
        assert np.allclose(weights.sum(axis=1), 1)
        assert np.allclose(probability @ weights, 1 / n)
        second = (
            weights * probability[:, None]
        ).T @ weights  # E w w' = (1 + (I - 1/n)) / n^2 of a multinomial
        assert np.allclose(second, 1 / n**2 + (np.eye(n) - 1 / n) / n**2)
    exact, drawn = bootstrap_interval([0, 1, 2, 3, 9.0]), bootstrap_interval([0, 1, 2, 3, 9.0], draws=125)
    assert len(resamples(5, 125, 0)[0]) == 125
    assert exact.low == bootstrap_interval([0, 1, 2, 3, 9.0], seed=99).low
    assert exact.high != drawn.high


def test_bootstrap_is_the_same_alone_and_in_a_crowd_and_repeatable() -> None:
    x = rng(5).normal(size=(2100, 9))  # more rows than fit into one block of 2000 draws
    bounds = bootstrap_bounds(x)
    for i in (0, 1000, 2099):
        one = bootstrap_interval(x[i])
        assert (one.low, one.high) == pytest.approx((bounds.low[i], bounds.high[i]), rel=1e-12)
    again = bootstrap_bounds(x[:3].reshape(3, 1, 9))
    assert again.low.shape == (3, 1)
    assert np.allclose(again.low[:, 0], bounds.low[:3])
    assert not np.allclose(bootstrap_bounds(x, seed=1).low, bounds.low)
    assert np.isnan(bounds.df).all()


@pytest.mark.parametrize(("n", "least"), [(5, 0.91), (10, 0.92), (20, 0.93)])
def test_bootstrap_coverage_and_what_the_widened_tail_buys(n: int, least: float) -> None:
    x = rng(6, n).normal(size=(1500, n))
    widened = coverage(bootstrap_bounds(x))
    assert least < widened < 0.97
    narrow_level = 1 - 2 * stats.t.cdf(stats.norm.ppf(0.025) * math.sqrt((n - 1) / n), n - 1)
    plain = coverage(bootstrap_bounds(x, narrow_level))  # the level whose widened tail is 2.5%: plain BCa
    assert widened_tail(n, narrow_level) == pytest.approx(0.025)
    assert plain < widened - 0.004
    if n == 5:
        assert plain < 0.88


# ---------------------------------------------------------------- seeds x items

SETTINGS = [
    (1.0, 0.0, 1.0),
    (0.0, 1.0, 1.0),
    (1.0, 1.0, 1.0),
    (0.1, 0.3, 1.0),
    (0.0, 0.0, 1.0),
    (0.3, 1.0, 0.1),
]


def crossed_draws(
    generator: np.random.Generator,
    sd: tuple[float, float, float],
    shape: tuple[int, int, int],
    missing: float = 0.0,
) -> np.ndarray[Any, Any]:
    draws, seeds, items = shape
    d = sd[0] * generator.normal(size=(draws, seeds, 1)) + sd[1] * generator.normal(size=(draws, 1, items))
    d = d + sd[2] * generator.normal(size=shape)
    if missing:
        d[generator.random(shape) < missing] = np.nan
    return d


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["complete", "30% missing"])
@pytest.mark.parametrize("sd", SETTINGS, ids=[f"seed {a} item {b} cell {c}" for a, b, c in SETTINGS])
@pytest.mark.parametrize(("seeds", "items"), [(5, 40), (10, 30), (20, 8)])
def test_crossed_interval_covers(
    seeds: int, items: int, sd: tuple[float, float, float], missing: float
) -> None:
    d = crossed_draws(rng(8, seeds, int(100 * missing)), sd, (1500, seeds, items), missing)
    noise_alone = max(sd[:2]) < sd[2]  # few seeds cannot be told from seeds that agree: wider than need be
    assert 0.92 < coverage(crossed_bounds(d)) < (1.0 if noise_alone else 0.98)


def test_leaving_out_the_item_or_the_seed_effect_undercovers() -> None:
    d = crossed_draws(rng(9), (0.7, 1.2, 1.0), (1500, 8, 20))
    seeds_alone, items_alone = t_bounds(d.mean(axis=2)), t_bounds(d.mean(axis=1))
    cells = t_bounds(d.reshape(1500, -1))
    assert coverage(crossed_bounds(d)) > 0.92
    assert coverage(seeds_alone) < 0.90
    assert coverage(items_alone) < 0.90
    assert coverage(cells) < 0.60


def test_crossed_interval_is_the_analysis_of_variance_when_complete() -> None:
    seeds, items = 6, 11
    d = crossed_draws(rng(10), (1.0, 1.0, 0.5), (1, seeds, items))[0]
    grand, rows, columns = d.mean(), d.mean(axis=1), d.mean(axis=0)
    ms_seed = items * ((rows - grand) ** 2).sum() / (seeds - 1)
    ms_item = seeds * ((columns - grand) ** 2).sum() / (items - 1)
    rest = d - rows[:, None] - columns + grand
    ms_cell = (rest**2).sum() / ((seeds - 1) * (items - 1))
    assert ms_seed > ms_cell < ms_item  # no component is negative here
    parts = np.array([ms_seed, ms_item, ms_cell]) / d.size
    variance = parts[0] + parts[1] - parts[2]
    df = variance**2 / (parts**2 / [seeds - 1, items - 1, (seeds - 1) * (items - 1)]).sum()
    found = crossed_interval(d)
    assert found.mean == pytest.approx(grand)
    assert found.sd / math.sqrt(seeds) == pytest.approx(math.sqrt(variance))
    assert found.df == pytest.approx(df)
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((grand - half, grand + half))
    assert (found.n, found.method) == (seeds, "crossed seeds x items")
    assert found.pvalue() == pytest.approx(2 * stats.t.sf(abs(grand) / math.sqrt(variance), df))


def test_moment_estimates_are_unbiased_with_missing_cells() -> None:
    sd, keep = (0.7, 1.2, 0.9), rng(11).random((12, 15)) < 0.6
    d = crossed_draws(rng(12), sd, (4000, 12, 15))
    d[:, ~keep] = np.nan
    bounds = crossed_bounds(d)
    true = bounds.mean.std()
    assert np.sqrt(np.mean(bounds.se**2)) == pytest.approx(true, rel=0.05)


def test_empty_rows_and_columns_do_not_count() -> None:
    d = crossed_draws(rng(13), (1, 1, 1), (1, 4, 6))[0]
    padded = np.full((6, 9), np.nan)
    padded[1:5, 2:8] = d
    assert crossed_interval(padded) == crossed_interval(d)
    assert crossed_bounds(padded).low == pytest.approx(crossed_bounds(d).low)


def test_one_seed_or_one_item() -> None:
    x = rng(14).normal(size=9)
    over_items, over_seeds = crossed_interval(x[None, :]), crossed_interval(x[:, None])
    plain = t_interval(x)
    assert (over_items.low, over_items.high) == pytest.approx((plain.low, plain.high))
    assert (over_items.method, over_items.n, over_items.df) == (ONE_SEED, 9, 8)
    assert (over_seeds.low, over_seeds.high) == pytest.approx((plain.low, plain.high))
    assert (over_seeds.method, over_seeds.n, over_seeds.df) == ("t over seeds (one item)", 9, 8)
    single = crossed_interval([[0.5]])
    assert (single.low, single.high) == (-math.inf, math.inf)
    assert single.pvalue() == 1.0


def pigeonhole(d: np.ndarray, draws: int) -> tuple[float, float]:
    """The interval of a bootstrap that resamples seeds and items independently; it counts cell noise three times."""
    seen, random = ~np.isnan(d), rng(7)
    seeds, items = (random.multinomial(k, np.full(k, 1 / k), size=draws).astype(float) for k in d.shape)
    total = ((seeds @ np.where(seen, d, 0.0)) * items).sum(axis=1)
    count = ((seeds @ seen.astype(float)) * items).sum(axis=1)
    tail = widened_tail(min(d.shape), 0.95)
    low, high = np.quantile(total[count > 0] / count[count > 0], [tail, 1 - tail])
    return float(low), float(high)


def test_the_crossed_interval_is_as_wide_as_a_bootstrap_of_both_sides_and_narrower_under_noise() -> None:
    d = crossed_draws(rng(15), (1.0, 1.0, 0.3), (1, 12, 40))[0] + 0.4
    crossed, (low, high) = crossed_interval(d), pigeonhole(d, 4000)
    assert high - low == pytest.approx(crossed.high - crossed.low, rel=0.15)
    hits = widths = 0.0
    for i in range(200):
        noisy = crossed_draws(rng(16, i), (0.3, 0.3, 1.0), (1, 8, 20), missing=0.2)[0]
        (low, high), found = pigeonhole(noisy, 400), crossed_interval(noisy)
        hits += low <= 0 <= high
        widths += (high - low) / (found.high - found.low)
    assert hits / 200 > 0.95
    assert widths / 200 > 1.05


def test_items_that_differ_by_seed() -> None:
    groups = [rng(17, i).normal(loc=i, size=4 + i) for i in range(6)]
    found = nested_interval(groups)
    plain = t_interval([group.mean() for group in groups])
    assert (found.mean, found.low, found.high) == (plain.mean, plain.low, plain.high)
    level = [
        group - group.mean() + 0.3 for group in groups
    ]  # seeds that agree by chance, of items that do not
    items = math.sqrt(sum(group.var(ddof=1) / group.size for group in groups)) / 6
    assert nested_interval(level).sd / math.sqrt(6) == pytest.approx(items)
    assert nested_interval(level).pvalue() > 0.01
    assert (found.n, found.method) == (6, "t over seed means (items nested)")
    one = nested_interval(groups[:1])
    assert (one.method, one.n) == (ONE_SEED, 4)
    assert one.low == t_interval(groups[0]).low


def test_nested_interval_covers_with_unequal_numbers_of_items_and_pooling_does_not() -> None:
    generator, sizes, hits, pooled_hits = rng(18), (3, 40, 5, 12, 80, 7), 0, 0
    for _ in range(1500):
        groups = [0.5 * generator.normal() + generator.normal(size=size) for size in sizes]
        hits += not nested_interval(groups).excludes()
        pooled_hits += not t_interval(np.concatenate(groups)).excludes()
    assert hits / 1500 == pytest.approx(0.95, abs=0.02)
    assert pooled_hits / 1500 < 0.75


def test_seeds_that_agree_do_not_make_items_certain() -> None:
    d = np.zeros((3, 48))
    for seed in range(3):  # one item of 48 won in every seed, each time another one
        d[seed, 2 * seed + 1 : 2 * seed + 3], d[seed, 9 + seed] = 1, -1
    found = crossed_interval(d)
    items = d.mean(axis=0).std(ddof=1) / math.sqrt(48)
    assert found.mean == pytest.approx(1 / 48)
    assert found.sd / math.sqrt(3) >= items > 0.01
    assert found.low < 0 < found.high
    assert found.pvalue() > 0.1
    turned = crossed_interval(d.T)  # the same where it is the items that agree
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize(
    ("seeds", "items", "chance"), [(3, 48, 0.03), (3, 16, 0.1), (3, 160, 0.05), (5, 48, 0.05)]
)
def test_answers_that_do_not_differ_are_seldom_told_apart(seeds: int, items: int, chance: float) -> None:
    draws = 2000
    u = rng(21, seeds, items).random((draws, seeds, items))
    bounds = crossed_bounds((u < chance).astype(float) - (u > 1 - chance))
    p = np.where(bounds.mean == 0, 1.0, 2 * stats.t.sf(np.abs(bounds.mean) / bounds.se, bounds.df))
    assert (p < 1e-3).mean() <= stats.binom.ppf(0.999, draws, 1e-3) / draws
    assert (p < 0.05).mean() <= stats.binom.ppf(0.999, draws, 0.05) / draws
    real = crossed_bounds((u < 10 * chance).astype(float) - (u > 1 - chance))  # and what differs is
    assert (real.low > 0).mean() > 0.5


def test_a_level_without_any_answer_is_the_binomial_test() -> None:
    for n, c in ((43, 0.0), (20, 1.0)):
        found = items_interval(np.full((3, n), c), limits=(0.0, 1.0))
        test = stats.binomtest(int(n * c), n)
        wanted = test.proportion_ci(0.95, method="exact")
        assert (found.mean, found.low, found.high) == pytest.approx((c, wanted.low, wanted.high))
        assert (found.n, found.method) == (n, "exact binomial over items (all equal)")
        edge = wanted.high if c == 0 else wanted.low
        assert found.pvalue(edge) == pytest.approx(0.05)
        assert found.pvalue(c) == 1.0
        assert found.pvalue(-0.1) == found.pvalue(1.1) == 0.0
    assert items_interval(np.zeros((3, 43)), limits=(0.0, 1.0)).high == pytest.approx(0.0822, abs=1e-4)
    assert exact_interval(0.0, 43, (0.0, 1.0)).pvalue(0.052) == pytest.approx(2 * 0.948**43)


def test_equal_differences_are_no_proof_of_equality() -> None:
    none, gap = (items_interval(np.full((3, 8), c), limits=(-1.0, 1.0)) for c in (0.0, 1.0))
    share = 1 - 0.025 ** (1 / 8)
    assert (none.low, none.high) == pytest.approx((-share, share))
    assert (gap.low, gap.high) == pytest.approx((1 - 2 * share, 1.0))
    assert (none.pvalue(), gap.pvalue()) == pytest.approx((1.0, float(mcnemar(8, 0))))
    spread = np.tile([0.0, 1.0], (3, 4))
    assert items_interval(spread, limits=(-1.0, 1.0)) == items_interval(spread) == crossed_interval(spread)
    nested = np.where(np.eye(3, dtype=bool).repeat(4, axis=1), 0.0, np.nan)
    assert items_interval(nested, False, (0.0, 1.0)).high == pytest.approx(1 - 0.025 ** (1 / 12))
    assert items_interval(nested, False).method == "t over seed means (items nested)"


def test_nested_items_in_a_crossed_matrix_are_sent_elsewhere() -> None:
    d = np.full((3, 6), np.nan)
    for seed in range(3):
        d[seed, 2 * seed : 2 * seed + 2] = [0.0, 1.0]
    with pytest.raises(TheoryError, match=r"no item was seen under two seeds.*use nested_interval"):
        crossed_interval(d)


# ---------------------------------------------------------------- families, power, pairs

HOLM_TABLE = [
    ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
    ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
    ([0.5, 0.9], [1.0, 1.0]),
    ([0.2], [0.2]),
    ([0.01, math.nan, 0.04], [0.02, math.nan, 0.04]),
    ([math.nan, math.nan], [math.nan, math.nan]),
    ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    ([], []),
]


@pytest.mark.parametrize(("p", "adjusted"), HOLM_TABLE)
def test_holm_by_hand(p: list[float], adjusted: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(adjusted, nan_ok=True)


def test_holm_over_leading_axes_and_error_rate() -> None:
    p = rng(19).random((4000, 12))
    p[:, 9:] **= 30  # three real effects
    adjusted = holm(p)
    for i in (0, 17):
        assert np.array_equal(adjusted[i], holm(p[i]))
    wrong = (adjusted[:, :9] <= 0.05).any(axis=1).mean()
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert wrong > 0.03  # not needlessly strict
    assert (p[:, :9] <= 0.05).any(axis=1).mean() > 0.3  # what no correction would do
    assert (adjusted >= p).all()
    assert ((adjusted <= 0.05) >= (p <= 0.05 / 12)).all()  # never weaker than Bonferroni


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(TheoryError, match=r"expected p-values between 0 and 1, got 1.5"):
        holm([0.1, 1.5])


@pytest.mark.parametrize(("n", "power"), [(3, 0.8), (5, 0.8), (10, 0.9), (40, 0.5)])
def test_the_minimum_detectable_effect_is_found_with_its_power(n: int, power: float) -> None:
    sd, draws = 2.5, 20_000
    effect = minimum_detectable_effect(sd, n, power=power)
    x = rng(20, n).normal(effect, sd, size=(draws, n))
    bounds = t_bounds(x)
    assert np.mean(bounds.low > 0) == pytest.approx(power, abs=3.5 * math.sqrt(power * (1 - power) / draws))
    assert np.mean(bounds.high < 0) < 0.001


def test_minimum_detectable_effect_shapes_and_limits() -> None:
    table = minimum_detectable_effect([[1.0], [2.0]], [1, 5, 20])
    assert table.shape == (2, 3)
    assert np.isinf(table[:, 0]).all()
    assert np.allclose(table[1, 1:], 2 * table[0, 1:])
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert minimum_detectable_effect(1.0, 10_000) == pytest.approx(z / 100, rel=1e-3)
    assert minimum_detectable_effect(1.0, 10, alpha=0.01) > minimum_detectable_effect(1.0, 10)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (10, 2), (3, 17), (0, 12), (300, 240)])
def test_mcnemar_is_the_exact_sign_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_over_arrays_and_bad_counts() -> None:
    assert mcnemar([10, 2], [2, 10]).tolist() == pytest.approx([float(mcnemar(10, 2))] * 2)
    for wrong in (-1, 1.5):
        with pytest.raises(TheoryError, match="expected counts >= 0"):
            mcnemar(wrong, 3)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: t_interval([]), "found an array of shape"),
        (lambda: t_interval([[1.0, 2.0]]), r"found an array of shape \(1, 2\), expected one row"),
        (lambda: t_bounds(3.0), "expected values on the last 1 axes"),
        (lambda: t_interval([1.0, math.nan]), "nan is not a finite number"),
        (lambda: t_interval([1.0, 2.0], level=95), "level 95 is not between 0 and 1; write 0.95"),
        (lambda: bootstrap_interval([1.0, 2.0], draws=0), "draws is 0, expected at least 1"),
        (lambda: crossed_interval([1.0, 2.0]), "expected a seeds x items matrix"),
        (lambda: crossed_interval([[math.inf, 1.0]]), "inf is not a finite number"),
        (lambda: crossed_interval([[math.nan]]), "found an array of shape"),
        (lambda: crossed_bounds([[[math.nan, math.nan]], [[1.0, 2.0]]]), "no cell holds a value"),
        (lambda: minimum_detectable_effect(-1.0, 5), "expected sd >= 0.*got sd from -1"),
        (lambda: minimum_detectable_effect(1.0, 5, alpha=2.0), "alpha and power between 0 and 1.*alpha 2"),
        (lambda: minimum_detectable_effect(1.0, 5, power=1.0), "alpha and power between 0 and 1.*power 1"),
        (lambda: nested_interval([]), "expected one non-empty array of item values for each seed"),
        (lambda: nested_interval([[1.0], []]), "expected one non-empty array of item values for each seed"),
    ],
)
def test_impossible_questions_are_refused(call: Any, expected: str) -> None:
    with pytest.raises(TheoryError, match=expected):
        call()


def test_a_limit_at_the_null_excludes_nothing() -> None:
    for low, high, excluded in (
        (0.0, 1.0, False),
        (-1.0, 0.0, False),
        (1e-9, 1.0, True),
        (-1.0, -1e-9, True),
    ):
        assert Interval(0.5, low, high, 0.95, 5, 1.0, "t").excludes() is excluded

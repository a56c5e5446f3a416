"""Estimators against closed forms and slow references."""

import numpy as np
import pytest

from theory.claims.base import Absent, Cell, Curve, Evidence, Series
from theory.claims.estimators import (
    FittedShares,
    TimeToFit,
    combine,
    difference,
    difference_of_differences,
    level,
    regress,
    slope,
    time_to,
)

A, B, C, D = (Cell("accuracy", name) for name in ("best", "lesser", "known", "unknown"))
SEEDS = np.arange(5)


class Given(Evidence):
    """Evidence from a mapping."""

    def __init__(
        self, series: dict[Cell, Series] | None = None, curves: dict[Cell, Curve] | None = None
    ) -> None:
        self._series, self._curves = series or {}, curves or {}

    def series(self, cell: Cell) -> Series | Absent:
        return self._series.get(cell, Absent(cell.where("all")))

    def curve(self, cell: Cell) -> Curve | Absent:
        return self._curves.get(cell, Absent(cell.where("all")))


def test_contrasts_are_paired_within_seed() -> None:
    a, b, c, d = np.random.default_rng(0).normal(size=(4, 5))
    given = Given({cell: Series(SEEDS, x) for cell, x in zip((A, B, C, D), (a, b, c, d), strict=True)})
    assert level(A).measure(given).effects == pytest.approx(a)
    assert difference(A, B).measure(given).effects == pytest.approx(a - b)
    dd = difference_of_differences(difference(A, B), difference(C, D))
    assert dd.measure(given).effects == pytest.approx((a - b) - (c - d))
    assert combine((0.5, level(A)), (-2.0, difference(B, C))).measure(given).effects == pytest.approx(
        0.5 * a - 2 * (b - c)
    )
    assert dd.cells == (A, B, C, D)


def test_the_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = [0.0, 0.25, 0.5, 1.0]
    cells = [Cell("accuracy", f"mix:{share:g}") for share in x]
    y = rng.normal(size=(4, 5))
    given = Given({cell: Series(SEEDS, row) for cell, row in zip(cells, y, strict=True)})
    quantity = slope({share: level(cell) for share, cell in zip(x, cells, strict=True)})
    assert quantity.measure(given).effects == pytest.approx(np.polyfit(x, y, 1)[0])
    middle = slope({0.0: level(A), 1.0: level(B), 2.0: level(C)})  # the middle point has no weight
    assert middle.cells == (A, C)


def test_only_seeds_that_are_in_every_cell_count() -> None:
    given = Given(
        {A: Series(np.array([0, 1, 2]), np.array([1.0, 2, 3])), B: Series(np.array([1, 2, 7]), np.ones(3))}
    )
    found = difference(A, B).measure(given)
    assert found.seeds.tolist() == [1, 2]
    assert found.effects.tolist() == [1.0, 2.0]
    assert found.unpaired == 2


def test_missing_cells_are_named_once() -> None:
    quantity = difference_of_differences(difference(A, B), difference(A, C))
    found = quantity.measure(Given({B: Series(SEEDS, np.ones(5))}))
    assert found.missing == (A.where("all"), C.where("all"))
    assert len(found.effects) == 0


def items_of(values: np.ndarray, names: np.ndarray | None = None) -> Series:
    """Series of a [seeds, items] matrix; `names` are the item codes, the same for every seed if not given."""
    names = np.tile(np.arange(values.shape[1]), (len(values), 1)) if names is None else names
    of = np.repeat(np.arange(len(values)), values.shape[1])
    return Series(SEEDS[: len(values)], values.mean(axis=1), (of, names.reshape(-1), values.reshape(-1)))


def test_items_give_a_matrix_if_every_cell_has_the_same_ones() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 5, 7))
    shuffled = np.array([rng.permutation(7) for _ in range(5)])
    b_shuffled = np.take_along_axis(b, shuffled, axis=1)
    found = difference(A, B).measure(Given({A: items_of(a), B: items_of(b_shuffled, shuffled)}))
    assert found.matrix == pytest.approx(a - b)
    assert found.shared_items
    assert found.effects == pytest.approx((a - b).mean(axis=1))


def test_items_of_their_own_in_each_seed_are_not_shared() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 3, 4))
    names = np.arange(12).reshape(3, 4)
    found = difference(A, B).measure(Given({A: items_of(a, names), B: items_of(b, names)}))
    assert not found.shared_items
    assert found.matrix is not None
    assert np.nansum(found.matrix, axis=1) == pytest.approx((a - b).sum(axis=1))
    assert np.isfinite(found.matrix).sum(axis=1).tolist() == [4, 4, 4]


@pytest.mark.parametrize("other", ["other items", "no items"])
def test_no_matrix_unless_items_match(other: str) -> None:
    a = np.ones((3, 4))
    second = (
        items_of(a, np.arange(4, 16).reshape(3, 4))
        if other == "other items"
        else Series(SEEDS[:3], np.ones(3))
    )
    found = difference(A, B).measure(Given({A: items_of(a), B: second}))
    assert found.matrix is None
    assert found.effects.tolist() == [0.0, 0.0, 0.0]


def test_no_paired_seed_at_all() -> None:
    one, two = Series(np.array([0]), np.ones(1)), Series(np.array([1]), np.ones(1))
    found = difference(A, B).measure(Given({A: one, B: two}))
    assert len(found.seeds) == 0
    assert found.unpaired == 2
    apart = items_of(np.ones((1, 2)))
    assert apart.items is not None
    later = Series(np.array([3]), np.ones(1), apart.items)
    assert difference(A, B).measure(Given({A: apart, B: later})).matrix is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5, 0.8, 0.9], 10.0),  # reached at the first record
        ([1.0, 1.0, 1.0], 5.0),  # half of the way from (0, 0)
        ([0.0, 1.0, 1.0], 15.0),
        ([0.2, 0.4, 0.6], 25.0),
        ([0.1, 0.2, 0.3], 30.0),  # never: the last step
        ([0.6, 0.1, 0.9], 10.0 * 0.5 / 0.6),  # the first time counts
    ],
)
def test_time_to_fit(values: list[float], expected: float) -> None:
    assert time_to(np.array([10, 20, 30]), np.array(values), 0.5) == pytest.approx(expected)
    stacked = time_to(
        np.array([0, 10, 20, 30]), np.array([[[0.3, *values]] * 2]), 0.5
    )  # a step 0 is not a time
    assert stacked == pytest.approx(np.full((1, 2), expected))


def test_time_to_fit_is_a_ratio_in_doublings() -> None:
    late, early = Cell("fitted", "mix:0.5", "every"), Cell("fitted", "mix:0.5", "every", stratum="known=yes")
    steps = np.array([10, 20, 40, 80])
    fast = np.array([[0.5, 1, 1, 1], [0.5, 0.6, np.nan, 1]])
    slow = np.array([[0, 0.1, 0.5, 1], [0, 0, 0, 0.5], [1, 1, 1, 1]])
    curves = {
        early: Curve(np.arange(2), steps, fast, np.ones((2, 4))),
        late: Curve(np.arange(3), steps, slow, np.ones((3, 4))),
    }
    found = TimeToFit(late, early).measure(Given(curves=curves))
    assert found.seeds.tolist() == [0, 1]
    assert found.effects == pytest.approx([2.0, 3.0])
    assert found.unpaired == 1
    assert TimeToFit(late, early).measure(Given(curves={late: curves[late]})).missing == (early.where("all"),)


def test_a_seed_seen_only_before_training_has_no_time_to_fit() -> None:
    late, early = Cell("fitted", "mix:0.5", "every"), Cell("fitted", "mix:0.5", "every", stratum="known=yes")
    values = np.array([[0.0, np.nan], [0.0, 0.5]])
    curve = Curve(np.arange(2), np.array([0, 10]), values, np.isfinite(values).astype(float))
    found = TimeToFit(late, early).measure(Given(curves={late: curve, early: curve}))
    assert (found.seeds.tolist(), found.effects.tolist(), found.unpaired) == ([1], [0.0], 1)


def test_regression_is_least_squares_and_leaves_points_with_nan_out() -> None:
    rng = np.random.default_rng(4)
    known, unknown = rng.uniform(0, 0.5, size=(2, 6, 20))
    accuracy = 0.4 + 0.07 * known - 0.08 * unknown + 0.01 * rng.normal(size=known.shape)
    b = regress(accuracy, known, unknown)
    for i in range(6):
        design = np.stack([np.ones(20), known[i], unknown[i]], axis=1)
        beta, residual, *_ = np.linalg.lstsq(design, accuracy[i], rcond=None)
        assert (b["known"][i], b["unknown"][i]) == pytest.approx((beta[1], beta[2]))
        assert b["r2"][i] == pytest.approx(1 - residual[0] / (20 * accuracy[i].var()))
    holes = np.where(np.arange(20) < 15, accuracy, np.nan)
    short = regress(accuracy[:, :15], known[:, :15], unknown[:, :15])
    for name, value in regress(holes, known, unknown).items():
        assert value == pytest.approx(short[name])


def test_regression_says_nan_where_the_slopes_are_not_determined() -> None:
    x = np.linspace(0, 1, 9)
    assert all(np.isnan(value) for value in regress(x, x, 1 - x).values())
    assert np.isnan(regress(x, x, np.zeros(9))["known"])
    flat = regress(np.full(9, 0.5), x, x**2)
    assert flat["known"] == 0
    assert np.isnan(flat["r2"])


def planted(
    slopes: tuple[float, float], seeds: int = 3, broken: bool = False
) -> tuple[FittedShares, dict[Cell, Curve]]:
    """Curves that lie on the plane from a fifth of the last step on, and far off it before."""
    quantity = FittedShares(((1.0, "known", "test"), (0.0, "r2", "test")))
    steps = np.array([0, 5, 19, 20, 40, 60, 80, 100])
    curves = {}
    for share, accuracy, known, unknown in quantity.mixes("test"):
        k, u = 1 - 2.0 ** (-steps / 20), 1 - 2.0 ** (-steps / 60)
        values = 0.4 + slopes[0] * (1 - share) * k + slopes[1] * share * u
        values = np.where(steps < 20, 5.0 * share, values)
        rows = [(accuracy, values, 100.0), (known, k, 400 * (1 - share)), (unknown, u, 400 * share)]
        for cell, row, n in rows:
            if cell is not None:
                curves[cell] = Curve(
                    np.arange(seeds), steps, np.tile(row, (seeds, 1)), np.full((seeds, len(steps)), n)
                )
    return quantity, curves


def test_fitted_shares_recover_planted_slopes_from_a_fifth_of_the_run_on() -> None:
    _, curves = planted((0.073, -0.083))
    for name, expected in (("known", 0.073), ("unknown", -0.083), ("r2", 1.0)):
        found = FittedShares(((1.0, name, "test"),)).measure(Given(curves=curves))
        assert found.effects == pytest.approx(np.full(3, expected))
    both = FittedShares(((2.0, "known", "test"), (1.0, "unknown", "test"))).measure(Given(curves=curves))
    assert both.effects == pytest.approx(np.full(3, 2 * 0.073 - 0.083))


def test_fitted_shares_use_each_seeds_own_last_step_and_drop_undetermined_seeds() -> None:
    quantity, curves = planted((0.05, -0.05))
    cell = Cell("accuracy", "mix:0.5", "every")
    stopped = curves[cell].values.copy()
    stopped[1, 4:] = (
        np.nan
    )  # seed 1 stopped at step 20 in this mix: its fifth is step 4, the points before count
    n = np.where(np.isnan(stopped), 0.0, 100.0)
    curves[cell] = Curve(curves[cell].seeds, curves[cell].steps, stopped, n)
    found = quantity.measure(Given(curves=curves))
    assert found.effects[[0, 2]] == pytest.approx([0.05, 0.05])
    assert abs(found.effects[1] - 0.05) > 0.05
    flat = {
        c: Curve(k.seeds, k.steps, np.where(k.seeds[:, None] == 2, 0.5, k.values), k.n)
        for c, k in curves.items()
    }
    for c in flat:
        if c.metric == "fitted":
            flat[c] = Curve(
                flat[c].seeds,
                flat[c].steps,
                np.where(flat[c].seeds[:, None] == 2, 0.0, flat[c].values),
                flat[c].n,
            )
    undetermined = quantity.measure(Given(curves=flat))
    assert undetermined.seeds.tolist() == [0, 1]
    assert undetermined.unpaired == 1


def test_fitted_shares_name_missing_curves() -> None:
    quantity, curves = planted((0.05, -0.05))
    gone = Cell("fitted", "mix:0.25", "every", split="train", stratum="known=no")
    del curves[gone]
    assert quantity.measure(Given(curves=curves)).missing == (gone.where("all"),)
    assert len(quantity.cells) == 5 + 4 + 4

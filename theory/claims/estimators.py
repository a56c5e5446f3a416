"""Quantities with one value a seed: contrasts of cells, the fitted-share regression, and the time to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Absent, Array, Cell, Curve, Evidence, Measured, Series
from theory.errors import TheoryError

Index = NDArray[np.int64]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FORMAT_SHARE = 0.2  # of the last step: before it a small model still learns the format


@dataclass(frozen=True)
class Contrast:
    """sum of weight x cell, within seed; also per item if all rows are items, the same ones in every cell."""

    terms: tuple[tuple[float, Cell], ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(dict.fromkeys(cell for _, cell in self.terms))

    def measure(self, evidence: Evidence) -> Measured:
        found = [(weight, evidence.series(cell)) for weight, cell in self.terms]
        if missing := tuple(dict.fromkeys(series.where for _, series in found if isinstance(series, Absent))):
            return Measured(np.empty(0, np.int64), np.empty(0), missing=missing)
        terms = [(weight, series) for weight, series in found if isinstance(series, Series)]
        seeds = reduce(np.intersect1d, (series.seeds for _, series in terms))
        every = reduce(np.union1d, (series.seeds for _, series in terms))
        effects = np.zeros(len(seeds))
        for weight, series in terms:
            effects += weight * series.values[np.searchsorted(series.seeds, seeds)]
        matrix, shared = _item_matrix(terms, seeds)
        return Measured(seeds, effects, matrix, shared, unpaired=len(every) - len(seeds))


def level(cell: Cell) -> Contrast:
    return Contrast(((1.0, cell),))


def difference(high: Cell, low: Cell) -> Contrast:
    return Contrast(((1.0, high), (-1.0, low)))


def combine(*weighted: tuple[float, Contrast]) -> Contrast:
    """A weighted sum of contrasts."""
    return Contrast(tuple((w * weight, cell) for w, contrast in weighted for weight, cell in contrast.terms))


def difference_of_differences(high: Contrast, low: Contrast) -> Contrast:
    return combine((1.0, high), (-1.0, low))


def slope(over: Mapping[float, Contrast]) -> Contrast:
    """Least-squares slope of the contrasts over the numbers that key them."""
    x = np.array(list(over), dtype=np.float64)
    if len(x) < 2:
        raise TheoryError("slope: expected at least two points on the axis")
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return combine(*((float(w), c) for w, c in zip(weights, over.values(), strict=True) if w))


@dataclass(frozen=True)
class TimeToFit:
    """log2 of the steps that `late` needs to reach `at` over those that `early` needs: doublings of training.

    Curves start at (0, 0) and are linear between records; one that never reaches `at` counts with its last
    step, so the number is then a lower bound for `late` (an upper one for `early`).
    """

    late: Cell
    early: Cell
    at: float = 0.5

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.late, self.early)

    def measure(self, evidence: Evidence) -> Measured:
        curves = [evidence.curve(cell) for cell in self.cells]
        if missing := tuple(curve.where for curve in curves if isinstance(curve, Absent)):
            return Measured(np.empty(0, np.int64), np.empty(0), missing=missing)
        late, early = (curve for curve in curves if isinstance(curve, Curve))
        seeds = np.intersect1d(late.seeds, early.seeds)
        times = np.array(
            [[time_to(*_of_seed(c, seed), self.at) for c in (late, early)] for seed in seeds]
        ).reshape(-1, 2)
        unpaired = len(np.union1d(late.seeds, early.seeds)) - len(seeds)
        return Measured(seeds, np.log2(times[:, 0] / times[:, 1]), unpaired=unpaired)


def time_to(steps: NDArray[np.int64], values: Array, at: float) -> Array:
    """First step at which values[..., steps], linear from (0, 0) on, reach `at`; else the last step."""
    keep = steps > 0
    steps = np.concatenate([[0], steps[keep]]).astype(np.float64)
    values = np.concatenate([np.zeros((*values.shape[:-1], 1)), values[..., keep]], axis=-1)
    reached = values >= at
    first = np.where(reached.any(axis=-1), reached.argmax(axis=-1), len(steps) - 1)
    last = np.maximum(first - 1, 0)
    low = np.take_along_axis(values, last[..., None], -1)[..., 0]
    high = np.take_along_axis(values, first[..., None], -1)[..., 0]
    share = np.where(high >= at, (at - low) / np.where(high > low, high - low, 1.0), 1.0)
    return np.asarray(steps[last] + np.clip(share, 0.0, 1.0) * (steps[first] - steps[last]))


@dataclass(frozen=True)
class FittedShares:
    """Within seed: accuracy = b0 + b_known N_known/|D| + b_unknown N_unknown/|D| over all steps of all mixes.

    N is the number of Known or Unknown training rows that are answered right by then, |D| the size of the
    set. Steps before a fifth of the last one are left out: there a small model learns the format. `weights`
    combine the fits' results: (weight, "known" | "unknown" | "r2", split).
    """

    weights: tuple[tuple[float, str, str], ...]
    shares: tuple[float, ...] = SHARES

    def curves(self, split: str) -> list[tuple[Cell, Cell | None, Cell | None]]:
        """Accuracy, fitted Known and fitted Unknown of each mix."""
        chosen = []
        for share in self.shares:
            fitted = Cell("fitted", f"mix:{share:g}", "every", split="train")
            known = fitted.at(stratum="known=yes") if share < 1 else None
            unknown = fitted.at(stratum="known=no") if share > 0 else None
            chosen.append((Cell("accuracy", f"mix:{share:g}", "every", split=split), known, unknown))
        return chosen

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(split for _, _, split in self.weights))

    @property
    def cells(self) -> tuple[Cell, ...]:
        every = (
            cell for split in self.splits for row in self.curves(split) for cell in row if cell is not None
        )
        return tuple(dict.fromkeys(every))

    def measure(self, evidence: Evidence) -> Measured:
        curves = {cell: evidence.curve(cell) for cell in self.cells}
        if missing := tuple(curve.where for curve in curves.values() if isinstance(curve, Absent)):
            return Measured(np.empty(0, np.int64), np.empty(0), missing=missing)
        found = {cell: curve for cell, curve in curves.items() if isinstance(curve, Curve)}
        seeds = reduce(np.intersect1d, (curve.seeds for curve in found.values()))
        every = reduce(np.union1d, (curve.seeds for curve in found.values()))
        effects = np.zeros(len(seeds))
        for i, seed in enumerate(seeds):
            for split in self.splits:
                b = regress(*self._points(found, split, int(seed)))
                for weight, name, where in self.weights:
                    effects[i] += weight * b[name] if where == split else 0.0
        usable = np.isfinite(effects)
        return Measured(seeds[usable], effects[usable], unpaired=len(every) - int(usable.sum()))

    def _points(self, curves: Mapping[Cell, Curve], split: str, seed: int) -> tuple[Array, Array, Array]:
        """Accuracy, N_known/|D| and N_unknown/|D| over steps and mixes, for one seed."""
        points = []
        for cells in self.curves(split):
            right, known, unknown = (None if cell is None else _rows_of(curves[cell], seed) for cell in cells)
            steps = reduce(np.intersect1d, (curve.steps for curve in (right, known, unknown) if curve))
            steps = steps[steps >= max(1.0, FORMAT_SHARE * steps.max(initial=0))]
            (accuracy, _), (k, n_known), (u, n_unknown) = (_at(c, steps) for c in (right, known, unknown))
            size = np.maximum(n_known + n_unknown, 1)
            points.append((accuracy, k * n_known / size, u * n_unknown / size))
        first, second, third = (np.concatenate(column) for column in zip(*points, strict=True))
        return first, second, third


def regress(accuracy: Array, known: Array, unknown: Array) -> dict[str, Array]:
    """Least squares over the last axis: slopes on `known` and `unknown`, and R2; nan where not determined."""
    y, a, b = (x - x.mean(axis=-1, keepdims=True) for x in (accuracy, known, unknown))
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    ay, by, yy = (a * y).sum(-1), (b * y).sum(-1), (y * y).sum(-1)
    determinant = aa * bb - ab**2
    free = determinant > 1e-9 * np.maximum(aa * bb, 1e-12)
    safe = np.where(free, determinant, 1.0)
    first = np.where(free, (bb * ay - ab * by) / safe, np.nan)
    second = np.where(free, (aa * by - ab * ay) / safe, np.nan)
    fit = first * ay + second * by
    return {
        "known": first,
        "unknown": second,
        "r2": np.where(yy > 0, fit / np.where(yy > 0, yy, 1.0), np.nan),
    }


def share_of(cell: Cell) -> float:
    """The share in the name of a training set, such as 0.25 of mix:0.25."""
    return float(cell.trained_on.partition(":")[2])


def _rows_of(curve: Curve, seed: int) -> Curve:
    start, stop = np.searchsorted(curve.seeds, [seed, seed + 1])
    return Curve(
        curve.seeds[start:stop], curve.steps[start:stop], curve.values[start:stop], curve.n[start:stop]
    )


def _at(curve: Curve | None, steps: Index) -> tuple[Array, Index]:
    """Values and n at these steps; zeros where there is no curve."""
    if curve is None:
        return np.zeros(len(steps)), np.zeros(len(steps), dtype=np.int64)
    place = np.searchsorted(curve.steps, steps)
    return curve.values[place], curve.n[place]


def _of_seed(curve: Curve, seed: int) -> tuple[NDArray[np.int64], Array]:
    one = _rows_of(curve, seed)
    return one.steps, one.values


def _item_matrix(terms: list[tuple[float, Series]], seeds: Index) -> tuple[Array | None, bool]:
    """Effects [seeds, items] if all terms have the same items in each paired seed; do seeds share them?"""
    total: Array | None = None
    where: Index | None = None
    for weight, series in terms:
        if series.items is None:
            return None, False
        of, item, value = series.items
        paired = np.isin(series.seeds[of], seeds)
        seed_code, item, value = np.searchsorted(seeds, series.seeds[of[paired]]), item[paired], value[paired]
        key = item * len(seeds) + seed_code
        order = np.argsort(key)
        key, value = key[order], value[order]
        if where is None or total is None:
            where, total = key, weight * value
        elif len(key) == len(where) and np.array_equal(key, where):
            total = total + weight * value
        else:
            return None, False
    if where is None or total is None or not len(where):
        return None, False
    items, column = np.unique(where // len(seeds), return_inverse=True)
    matrix = np.full((len(seeds), len(items)), np.nan)
    matrix[where % len(seeds), column] = total
    return matrix, bool(len(where) > len(items))

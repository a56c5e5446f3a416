"""Quantities with one value a seed: contrasts of cells, the fitted-share regression, and the time to fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Absent, Array, Cell, Curve, Evidence, Measured, Series
from theory.errors import TheoryError

Index = NDArray[np.int64]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
FORMAT_SHARE = 0.2  # of the last step: before it a small model still learns the format


@dataclass(frozen=True)
class Contrast:
    """sum of weight x cell, within seed; also per item if all rows are items, the same ones in every cell.

    `read_words`: where all these rows exist under the prompt `own` too, in words that the untuned model has read, they
    count instead. What the untuned model does with words that only tuning teaches says nothing of what it knows.
    """

    terms: tuple[tuple[float, Cell], ...]
    read_words: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(dict.fromkeys(cell for _, cell in self.terms))

    def measure(self, evidence: Evidence) -> Measured:
        if self.read_words:
            own = Contrast(tuple((weight, cell.at(prompt="own")) for weight, cell in self.terms))
            if not (read := own.measure(evidence)).missing:
                return read
        found = [evidence.series(cell) for _, cell in self.terms]
        if missing := _missing(found):
            return nothing(missing)
        series = [one for one in found if isinstance(one, Series)]
        weights = [weight for weight, _ in self.terms]
        seeds = common(one.seeds for one in series)
        effects = np.zeros(len(seeds))
        for weight, one in zip(weights, series, strict=True):
            effects += weight * one.values[np.searchsorted(one.seeds, seeds)]
        matrix, shared = _item_matrix(weights, series, seeds)
        limits = sum(w for w in weights if w < 0), sum(w for w in weights if w > 0)
        return Measured(seeds, effects, matrix, shared, unpaired=_unpaired(series, seeds), limits=limits)


def level(cell: Cell) -> Contrast:
    return Contrast(((1.0, cell),))


def in_read_words(contrast: Contrast) -> Contrast:
    """In words that the untuned model has read, where the laboratory asked in both."""
    return Contrast(contrast.terms, read_words=True)


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
        found = [evidence.curve(cell) for cell in self.cells]
        if missing := _missing(found):
            return nothing(missing)
        late, early = (curve for curve in found if isinstance(curve, Curve))
        seeds = common((late.seeds, early.seeds))
        steps_late, steps_early = (_reach(curve, seeds, self.at) for curve in (late, early))
        trained = (steps_late > 0) & (steps_early > 0)
        seeds, effects = seeds[trained], np.log2(steps_late[trained] / steps_early[trained])
        return Measured(seeds, effects, unpaired=_unpaired((late, early), seeds))


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


class Mix(NamedTuple):
    """What one mix of Known and Unknown rows contributes to the regression."""

    share: float
    accuracy: Cell
    known: Cell | None
    unknown: Cell | None


@dataclass(frozen=True)
class FittedShares:
    """Within seed: accuracy = b0 + b_known N_known/|D| + b_unknown N_unknown/|D| over all steps of all mixes.

    N is the number of Known or Unknown training rows that are answered right by then, |D| the size of the
    set. Steps before a fifth of the last one are left out: there a small model learns the format. `weights`
    combine the fits' results: (weight, "known" | "unknown" | "r2", split).
    """

    weights: tuple[tuple[float, str, str], ...]
    shares: tuple[float, ...] = SHARES

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(split for _, _, split in self.weights))

    @property
    def cells(self) -> tuple[Cell, ...]:
        mixes = [mix for split in self.splits for mix in self.mixes(split)]
        return tuple(dict.fromkeys(cell for mix in mixes for cell in mix[1:] if cell is not None))

    def mixes(self, split: str) -> tuple[Mix, ...]:
        return _mixes(split, self.shares)

    def measure(self, evidence: Evidence) -> Measured:
        found = {cell: evidence.curve(cell) for cell in self.cells}
        if missing := _missing(found.values()):
            return nothing(missing)
        curves = {cell: curve for cell, curve in found.items() if isinstance(curve, Curve)}
        seeds = common(curve.seeds for curve in curves.values())
        effects = np.zeros(len(seeds))
        for split in self.splits:
            b = regress(*_cloud(self.mixes(split), curves, seeds)[:3])
            for weight, name, where in self.weights:
                effects += weight * b[name] if where == split else 0.0
        usable = np.isfinite(effects)
        unpaired = _unpaired(list(curves.values()), seeds[usable])
        return Measured(seeds[usable], effects[usable], unpaired=unpaired)

    def cloud(self, evidence: Evidence, split: str) -> Cloud | None:
        """The points that are fitted on a split; None where rows are missing."""
        cells = {cell for mix in self.mixes(split) for cell in mix[1:] if cell is not None}
        found = {cell: evidence.curve(cell) for cell in cells}
        curves = {cell: curve for cell, curve in found.items() if isinstance(curve, Curve)}
        if len(curves) < len(found):
            return None
        return _cloud(self.mixes(split), curves, common(curve.seeds for curve in curves.values()))


class Cloud(NamedTuple):
    """Points of a regression [seeds, points], nan where a seed has none; `share` [points] of Unknown rows."""

    accuracy: Array
    known: Array
    unknown: Array
    share: Array


def regress(accuracy: Array, known: Array, unknown: Array) -> dict[str, Array]:
    """Least squares over the last axis without points that have a nan: slopes and R2; nan if undetermined."""
    seen = np.isfinite(accuracy) & np.isfinite(known) & np.isfinite(unknown)
    count = np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    columns = [np.where(seen, x, 0.0) for x in (accuracy, known, unknown)]
    y, a, b = (np.where(seen, x - x.sum(axis=-1, keepdims=True) / count, 0.0) for x in columns)
    aa, bb, ab = (a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)
    ay, by, yy = (a * y).sum(-1), (b * y).sum(-1), (y * y).sum(-1)
    determinant = aa * bb - ab**2
    free = determinant > 1e-9 * np.maximum(aa * bb, 1e-12)
    safe = np.where(free, determinant, 1.0)
    first = np.where(free, (bb * ay - ab * by) / safe, np.nan)
    second = np.where(free, (aa * by - ab * ay) / safe, np.nan)
    r2 = np.where(yy > 0, (first * ay + second * by) / np.where(yy > 0, yy, 1.0), np.nan)
    return {"known": first, "unknown": second, "r2": r2}


def common(seeds: Iterable[Index]) -> Index:
    """The seeds that are in all."""
    return reduce(lambda a, b: a if np.array_equal(a, b) else np.intersect1d(a, b), seeds)


def nothing(missing: tuple[str, ...]) -> Measured:
    return Measured(np.empty(0, np.int64), np.empty(0), missing=missing)


@cache
def _mixes(split: str, shares: tuple[float, ...]) -> tuple[Mix, ...]:
    accuracy, fitted = Cell("accuracy", "", "every", split), Cell("fitted", "", "every", "train")
    mixes = []
    for share in shares:
        name = f"mix:{share:g}"
        known = fitted.at(trained_on=name, stratum="known=yes") if share < 1 else None
        unknown = fitted.at(trained_on=name, stratum="known=no") if share > 0 else None
        mixes.append(Mix(share, accuracy.at(trained_on=name), known, unknown))
    return tuple(mixes)


def _cloud(mixes: Iterable[Mix], curves: Mapping[Cell, Curve], seeds: Index) -> Cloud:
    points = [(mix.share, _points(mix, curves, seeds)) for mix in mixes]
    accuracy, known, unknown = (np.concatenate([p[i] for _, p in points], axis=-1) for i in range(3))
    share = np.concatenate([np.full(p[0].shape[-1], at) for at, p in points])
    return Cloud(accuracy, known, unknown, share)


def _points(mix: Mix, curves: Mapping[Cell, Curve], seeds: Index) -> tuple[Array, Array, Array]:
    """Accuracy, N_known/|D| and N_unknown/|D| of a mix [seeds, steps]; nan where a seed has no point."""
    parts = [curves[cell] for cell in mix[1:] if cell is not None]
    steps = common(curve.steps for curve in parts)
    accuracy, n = _on(curves[mix.accuracy], seeds, steps)
    last = np.where(n > 0, steps, 0).max(axis=-1, keepdims=True, initial=0)
    accuracy = np.where((steps >= FORMAT_SHARE * last) & (steps > 0), accuracy, np.nan)
    none = np.zeros_like(accuracy), np.zeros_like(accuracy)
    (k, n_known), (u, n_unknown) = (
        none if cell is None else _on(curves[cell], seeds, steps) for cell in (mix.known, mix.unknown)
    )
    size = np.maximum(n_known + n_unknown, 1)
    return accuracy, k * n_known / size, u * n_unknown / size


def _on(curve: Curve, seeds: Index, steps: Index) -> tuple[Array, Array]:
    """Values and n at these seeds and steps, which the curve has."""
    where = np.ix_(np.searchsorted(curve.seeds, seeds), np.searchsorted(curve.steps, steps))
    return curve.values[where], curve.n[where]


def _reach(curve: Curve, seeds: Index, at: float) -> Array:
    """Each seed's time to reach `at`, over the steps that it has."""
    values = curve.values[np.searchsorted(curve.seeds, seeds)]
    if np.isfinite(values).all():
        return time_to(curve.steps, values, at)
    seen = [np.isfinite(row) for row in values]
    return np.array([time_to(curve.steps[s], row[s], at) for s, row in zip(seen, values, strict=True)])


def _missing(found: Iterable[Series | Curve | Absent]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.where for one in found if isinstance(one, Absent)))


def _unpaired(found: Sequence[Series | Curve], seeds: Index) -> int:
    """How many seeds are in some cell but not used."""
    return len(reduce(np.union1d, (one.seeds for one in found))) - len(seeds)


def _item_matrix(
    weights: Sequence[float], found: Sequence[Series], seeds: Index
) -> tuple[Array | None, bool]:
    """Effects [seeds, items] if all terms have the same items in each paired seed; do seeds share them?"""
    total: Array | None = None
    where: Index | None = None
    for weight, series in zip(weights, found, strict=True):
        if series.items is None:
            return None, False
        of, item, value = series.items
        paired = np.isin(series.seeds[of], seeds)
        key = item[paired] * len(seeds) + np.searchsorted(seeds, series.seeds[of[paired]])
        order = np.argsort(key)
        if where is None or total is None:
            where, total = key[order], weight * value[paired][order]
        elif np.array_equal(key[order], where):
            total = total + weight * value[paired][order]
        else:
            return None, False
    if where is None or total is None or not len(where):
        return None, False
    items, column = np.unique(where // len(seeds), return_inverse=True)
    matrix = np.full((len(seeds), len(items)), np.nan)
    matrix[where % len(seeds), column] = total
    return matrix, len(where) > len(items)

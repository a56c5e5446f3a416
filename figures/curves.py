"""Curves along a fine-tuning, one a seed, at the same shares of its length, with intervals at each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from figures.runs import BOUNDED, shown
from theory.claims import Cell
from theory.claims.base import Absent, Measured
from theory.claims.evidence import StudyRows
from theory.intervals import Interval

Array = NDArray[np.float64]
GRID = np.linspace(0.0, 1.0, 41)  # of a fine-tuning, from its first to its last step


@dataclass(frozen=True)
class Progress:
    """A curve at equal shares of each seed's own training: `curves` (seeds, grid), `items` (grid, seeds, items) with
    `names` where records hold single items; `limits` of what it can be."""

    curves: Array
    items: Array | None = None
    names: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    limits: tuple[float, float] | None = None

    def less(self, other: Progress) -> Progress:
        """The difference, item by item where both have the same ones."""
        curves = self.curves - other.curves
        limits = (-1.0, 1.0) if self.limits and other.limits else None
        if self.items is None or other.items is None or not np.array_equal(self.names, other.names):
            return Progress(curves, limits=limits)
        return Progress(curves, self.items - other.items, self.names, limits)

    def intervals(self) -> list[Interval | None]:
        """What stands at each point of the grid that every seed has."""
        whole = np.asarray(np.isfinite(self.curves).all(axis=0))
        seeds = np.arange(len(self.curves))
        found: list[Interval | None] = []
        for k, ok in enumerate(whole):
            matrix = None if self.items is None else self.items[k]
            shared = matrix is not None and bool((np.isfinite(matrix).sum(axis=0) > 1).any())
            one = Measured(seeds, self.curves[:, k], matrix, shared, limits=self.limits)
            found.append(shown(one) if ok else None)
        return found


def progress(rows: StudyRows, cell: Cell) -> Progress | None:
    """A curve, linear between its records."""
    cell = cell.at(stop="every")
    found = rows.curve(cell)
    if isinstance(found, Absent):
        return None
    limits = (0.0, 1.0) if cell.metric in BOUNDED else None
    held = rows.item_curve(cell)
    seen = np.isfinite(found.values)
    steps = [found.steps[row] for row in seen]
    curves = [_along(s, values[row]) for s, values, row in zip(steps, found.values, seen, strict=True)]
    if held is None:
        return Progress(np.array(curves), limits=limits)
    items = [_along(s, held.values[i, row]) for i, (s, row) in enumerate(zip(steps, seen, strict=True))]
    return Progress(np.array(curves), np.stack(items, axis=1), held.names, limits)


def _along(steps: NDArray[np.int64], values: Array) -> Array:
    """Values (steps, ...) at the shares of the grid, nan before the first step."""
    at = GRID * steps[-1]
    after = (
        np.clip(np.searchsorted(steps, at), 1, len(steps) - 1) if len(steps) > 1 else np.zeros(len(at), int)
    )
    before = np.maximum(after - 1, 0)
    wide = np.where(after > before, steps[after] - steps[before], 1)
    share = ((at - steps[before]) / wide).reshape(-1, *[1] * (values.ndim - 1))
    between = (1.0 - share) * values[before] + share * values[after]
    # where a step is met exactly, one that lacks the item says nothing of its neighbour
    between = np.where(share <= 0, values[before], np.where(share >= 1, values[after], between))
    early = (at < steps[0]).reshape(share.shape)
    return np.asarray(np.where(early, np.nan, between))

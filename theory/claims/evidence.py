"""Finding the rows that a cell means, quickly: the table is sorted once, every cell is then a slice of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Absent, Cell, Curve, ItemCurve, Series
from theory.claims.vocabulary import PRIMARY
from theory.errors import TheoryError
from theory.table import Table

Index = NDArray[np.int64]
Labels = Mapping[str, frozenset[str]]
Strata = dict[int, Index]  # rows by the code of their stratum, in the order of seed and step
STUDY = ("lab", "run", "study")
SLICE = ("arm", "trained_on", "metric", "prompt", "split")


@dataclass(frozen=True)
class StudyRows:
    """The rows of one study in one run of one laboratory (`Evidence`)."""

    lab: str
    run: str
    study: str
    table: Table
    codes: Mapping[str, Mapping[str, int]]  # the code of each level
    slices: Mapping[tuple[int, ...], Strata]  # by the codes of `SLICE`
    moments: Index  # of every row of the table: the number of its seed and step
    arm: str = ""  # the arm to take as the primary one, if it is not to be chosen
    _stops: dict[tuple[int, int, str], tuple[Index, Index]] = field(default_factory=dict, repr=False)

    @cached_property
    def primary(self) -> str:
        """The arm that a cell without one means: the one asked for, or the first of `PRIMARY` that has rows here."""
        if self.arm:
            return self.arm
        arms = self.table.levels["arm"]
        present = {arms[key[0]].partition("@")[0] for key in self.slices}
        return next((arm for arm in PRIMARY if arm in present), "")

    def series(self, cell: Cell) -> Series | Absent:
        """One value a seed: rows at the cell's stop, pooled by n over the values that its stratum allows."""
        stop = self._stop(cell)
        if isinstance(stop, Absent):
            return stop
        rows = self._rows(cell, stop)
        if not len(rows):
            return Absent(self._where(cell))
        seed, value, n = (self._column(name, rows) for name in ("seed", "value", "n"))
        if (seed[1:] > seed[:-1]).all():
            seeds, of, values = seed, np.arange(len(seed)), value
        else:
            seeds, of = np.unique(seed, return_inverse=True)
            values = np.bincount(of, weights=n * value) / np.bincount(of, weights=n)
        if not self._single(rows).all():
            return Series(seeds, values)
        return Series(seeds, values, (of, self.table.codes["item"][rows].astype(np.int64), value))

    def curve(self, cell: Cell) -> Curve | Absent:
        """All steps, pooled by n over strata."""
        rows = self._rows(cell)
        if not len(rows):
            return Absent(self._where(cell))
        n = self._column("n", rows)
        seeds, of_seed = np.unique(self._column("seed", rows), return_inverse=True)
        steps, of_step = np.unique(self._column("step", rows), return_inverse=True)
        shape = len(seeds), len(steps)
        place = of_seed * len(steps) + of_step
        weight = np.bincount(place, weights=n, minlength=len(seeds) * len(steps)).astype(np.float64)
        total = np.bincount(place, weights=n * self._column("value", rows), minlength=len(weight))
        values = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), np.nan)
        return Curve(seeds, steps, values.reshape(shape), weight.reshape(shape))

    def item_curve(self, cell: Cell) -> ItemCurve | None:
        """All steps by item; None unless all rows are single items."""
        rows = self._rows(cell)
        if not len(rows) or not self._single(rows).all():
            return None
        names, item = np.unique(self.table.codes["item"][rows].astype(np.int64), return_inverse=True)
        axes = [np.unique(self._column(name, rows), return_inverse=True) for name in ("seed", "step")]
        values = np.full((*(len(levels) for levels, _ in axes), len(names)), np.nan)
        values[axes[0][1], axes[1][1], item] = self._column("value", rows)
        return ItemCurve(names, values)

    def _rows(self, cell: Cell, stop: tuple[Index, Index] | None = None) -> Index:
        """Rows labelled exactly by the keys of the stratum, or single items that carry them among others.

        Items are taken if there are as many of them, at every seed and step, as the pooled rows stand for.
        """
        wanted = (cell.arm_in(self.primary), cell.trained_on, cell.metric, cell.prompt, cell.split)
        key = tuple(self.codes[name].get(value, -1) for name, value in zip(SLICE, wanted, strict=True))
        allowed = labels(cell.stratum)
        found: tuple[list[Index], list[Index]] = [], []
        for code, rows in self.slices.get(key, {}).items():
            here = labels(self.table.levels["stratum"][code])
            if all(name in here and here[name] <= values for name, values in allowed.items()):
                single = self._single(rows)
                found[0].append(rows[~single if len(here) == len(allowed) else slice(0)])
                found[1].append(rows[single])
        pooled, items = (self._at(stop, _joined(parts)) for parts in found)
        if not len(items):
            return pooled
        items = self._once(items)
        return items if self._complete(items, pooled) else pooled

    def _at(self, stop: tuple[Index, Index] | None, rows: Index) -> Index:
        """Those of the rows that are at their seed's stop; all of them without one."""
        if stop is None or not len(rows):
            return rows
        seeds, steps = stop
        seed = self._column("seed", rows)
        at = np.minimum(np.searchsorted(seeds, seed), len(seeds) - 1)
        return np.asarray(rows[(seeds[at] == seed) & (steps[at] == self._column("step", rows))])

    def _once(self, items: Index) -> Index:
        """Each item once a seed and step: one that stands under several strata is still one result."""
        code = self.table.codes["item"][items]
        key = self.moments[items] * len(self.table.levels["item"]) + code
        _, first, of = np.unique(key, return_index=True, return_inverse=True)
        value = self._column("value", items)
        if (differ := np.flatnonzero(value != value[first[of]])).size:
            one, other = (int(x) for x in (items[first[of[differ[0]]]], items[differ[0]]))
            here, there = (
                f"{self.table.numbers['value'][row]:g} under stratum {self.table.column('stratum')[row]}"
                for row in (one, other)
            )
            name = self.table.levels["item"][code[differ[0]]]
            seed, step = (self.table.numbers[field][one] for field in ("seed", "step"))
            raise TheoryError(
                f"item {name!r} of seed {seed} at step {step} of {self.lab}, run {self.run}: {here} but "
                f"{there}; expected one result, written once with all its labels"
            )
        return np.asarray(items[np.sort(first)])

    def _complete(self, items: Index, pooled: Index) -> bool:
        """Whether the items are all that the pooled rows stand for."""
        at, of = np.unique(self.moments[pooled], return_inverse=True)
        there, count = np.unique(self.moments[items], return_counts=True)
        _, i, j = np.intersect1d(at, there, assume_unique=True, return_indices=True)
        have = np.zeros(len(at))
        have[i] = count[j]
        return bool((have >= np.bincount(of, weights=self._column("n", pooled), minlength=len(at))).all())

    def _stop(self, cell: Cell) -> tuple[Index, Index] | Absent:
        """Seeds and the step meant by the cell's stop, for its arm and training set."""
        arm = self.codes["arm"].get(cell.arm_in(self.primary), -1)
        trained_on = self.codes["trained_on"].get(cell.trained_on, -1)
        key = (arm, trained_on, cell.stop)
        if key not in self._stops:
            if cell.stop == "early":
                curve = self.curve(
                    Cell("accuracy", cell.trained_on, "every", "dev", arm=cell.arm, base=cell.base)
                )
                if isinstance(curve, Absent):
                    return Absent(f"{curve.where} (the early stop is the step with the best dev accuracy)")
                best = np.where(np.isnan(curve.values), -np.inf, curve.values).argmax(axis=1)
                self._stops[key] = curve.seeds, curve.steps[best]
            else:
                every = [
                    s for code, strata in self.slices.items() if code[:2] == key[:2] for s in strata.values()
                ]
                if not every:
                    return Absent(self._where(cell))
                self._stops[key] = _last(self.table, _joined(every))
        return self._stops[key]

    def _where(self, cell: Cell) -> str:
        return f"study={self.study} {cell.where(self.primary)}"

    def _column(self, name: str, rows: Index) -> NDArray[Any]:
        return np.asarray(self.table.numbers[name][rows])

    def _single(self, rows: Index) -> NDArray[np.bool_]:
        return np.asarray(self.table.codes["item"][rows] != self.codes["item"].get("", -1))


def split_studies(table: Table, arm: str = "") -> list[StudyRows]:
    """One `StudyRows` for each (lab, run, study) of the table, in the order of the levels."""
    if not len(table):
        return []
    names = (*STUDY, *SLICE, "stratum")
    of, first = table.group(*names)
    moments, _ = table.group("seed", "step")
    order = np.lexsort((moments, of))
    starts = np.searchsorted(of[order], np.arange(len(first) + 1))
    studies: dict[tuple[int, ...], dict[tuple[int, ...], Strata]] = {}
    for i, row in enumerate(first):
        code = tuple(int(table.codes[name][row]) for name in names)
        rows = order[starts[i] : starts[i + 1]]
        studies.setdefault(code[:3], {}).setdefault(code[3:-1], {})[code[-1]] = rows
    codes = {n: {level: code for code, level in enumerate(levels)} for n, levels in table.levels.items()}
    found = []
    for key, slices in sorted(studies.items()):
        lab, run, study = (table.levels[name][code] for name, code in zip(STUDY, key, strict=True))
        found.append(StudyRows(lab, run, study, table, codes, slices, moments, arm))
    return found


@cache
def labels(stratum: str) -> Labels:
    """`overlap=no,answer=both|neither` as allowed values by key; `all` allows everything."""
    if stratum == "all":
        return {}
    pairs = (label.partition("=") for label in stratum.split(","))
    return {key: frozenset(values.split("|")) for key, _, values in pairs}


def _joined(parts: list[Index]) -> Index:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _last(table: Table, rows: Index) -> tuple[Index, Index]:
    """The largest step of each seed."""
    seeds, of = np.unique(table.numbers["seed"][rows], return_inverse=True)
    last = np.zeros(len(seeds), dtype=np.int64)
    np.maximum.at(last, of, table.numbers["step"][rows])
    return seeds, last

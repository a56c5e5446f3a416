"""Finding the rows that a cell means, quickly: the table is sorted once, every cell is then a slice of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Absent, Cell, Curve, Series
from theory.claims.vocabulary import PRIMARY
from theory.table import Table

Index = NDArray[np.int64]
Labels = Mapping[str, frozenset[str]]
_GROUP = ("lab", "run", "study")
_SLICE = ("arm", "trained_on", "metric", "prompt", "split")


@dataclass(frozen=True)
class Codebook:
    """The levels of a table: names to codes, and strata as labels."""

    codes: Mapping[str, Mapping[str, int]]
    strata: tuple[Labels, ...]

    @classmethod
    def of(cls, table: Table) -> Codebook:
        codes = {
            name: {level: code for code, level in enumerate(levels)} for name, levels in table.levels.items()
        }
        return cls(codes, tuple(labels(stratum) for stratum in table.levels["stratum"]))


@dataclass(frozen=True)
class StudyRows:
    """The rows of one study in one run of one laboratory (`Evidence`)."""

    lab: str
    run: str
    study: str
    table: Table
    book: Codebook
    slices: Mapping[tuple[int, ...], Index]  # by the codes of `_SLICE`
    _stops: dict[tuple[int, int, str], tuple[Index, Index]] = field(default_factory=dict, repr=False)

    @cached_property
    def primary(self) -> str:
        """The primary arm: the first of `PRIMARY` that has rows here."""
        arms = self.table.levels["arm"]
        present = {arms[key[0]].partition("@")[0] for key in self.slices}
        return next((arm for arm in PRIMARY if arm in present), "")

    def series(self, cell: Cell) -> Series | Absent:
        """One value a seed: rows at the cell's stop, pooled by n over the values that its stratum allows."""
        rows = self._rows(cell)
        stop = self._stop(cell)
        if isinstance(stop, Absent):
            return stop
        seeds, steps = stop
        seed, step = self._numbers("seed", rows), self._numbers("step", rows)
        at = np.searchsorted(seeds, seed)
        known = at < len(seeds)
        known[known] = seeds[at[known]] == seed[known]
        known[known] &= steps[at[known]] == step[known]
        rows = rows[known]
        if not len(rows):
            return Absent(self._where(cell))
        items = self._numbers("item", rows)
        return _pooled(
            self._numbers("seed", rows),
            self._numbers("value", rows),
            self._numbers("n", rows),
            items if self._single(rows).all() else None,
        )

    def curve(self, cell: Cell) -> Curve | Absent:
        """All steps, pooled by n over strata."""
        rows = self._rows(cell)
        if not len(rows):
            return Absent(self._where(cell))
        seed, step, n = (self._numbers(name, rows) for name in ("seed", "step", "n"))
        key = np.stack([seed, step])
        points, of = np.unique(key, axis=1, return_inverse=True)
        of = of.reshape(-1)
        weight = np.bincount(of, weights=n)
        value = np.bincount(of, weights=n * self._numbers("value", rows)) / weight
        return Curve(points[0], points[1], value, weight.astype(np.int64))

    def _rows(self, cell: Cell) -> Index:
        wanted = (cell.arm_in(self.primary), cell.trained_on, cell.metric, cell.prompt, cell.split)
        codes = tuple(
            self.book.codes[name].get(value, -1) for name, value in zip(_SLICE, wanted, strict=True)
        )
        rows = self.slices.get(codes)
        return np.empty(0, np.int64) if rows is None else self._in_stratum(rows, labels(cell.stratum))

    def _in_stratum(self, rows: Index, wanted: Labels) -> Index:
        """Rows labelled exactly by the wanted keys, or single items that carry these labels among others.

        Items are taken first if they cover all the seeds that the pooled rows cover.
        """
        stratum = self.table.codes["stratum"][rows]
        single = self._single(rows)
        exact = np.zeros(len(self.book.strata), dtype=bool)
        carrying = np.zeros(len(self.book.strata), dtype=bool)
        for code in np.unique(stratum):
            here = self.book.strata[code]
            if all(key in here and here[key] <= values for key, values in wanted.items()):
                carrying[code] = True
                exact[code] = len(here) == len(wanted)
        pooled = rows[exact[stratum] & ~single]
        items = rows[carrying[stratum] & single]
        if len(items) and np.isin(self._numbers("seed", pooled), self._numbers("seed", items)).all():
            return items
        return pooled

    def _stop(self, cell: Cell) -> tuple[Index, Index] | Absent:
        """Seeds and the step meant by the cell's stop, for its arm and training set."""
        arm = self.book.codes["arm"].get(cell.arm_in(self.primary), -1)
        trained_on = self.book.codes["trained_on"].get(cell.trained_on, -1)
        key = (arm, trained_on, cell.stop)
        if key not in self._stops:
            if cell.stop == "early":
                dev = Cell("accuracy", cell.trained_on, "every", split="dev", arm=cell.arm, base=cell.base)
                curve = self.curve(dev)
                if isinstance(curve, Absent):
                    return Absent(f"{curve.where} (the early stop is the step with the best dev accuracy)")
                self._stops[key] = _best(curve)
            else:
                every = [rows for codes, rows in self.slices.items() if codes[:2] == key[:2]]
                if not every:
                    return Absent(self._where(cell))
                rows = np.concatenate(every)
                self._stops[key] = _last(self._numbers("seed", rows), self._numbers("step", rows))
        return self._stops[key]

    def _where(self, cell: Cell) -> str:
        return f"study={self.study} {cell.where(self.primary)}"

    def _numbers(self, name: str, rows: Index) -> NDArray[Any]:
        """The rows of a column; the item as its code."""
        column: NDArray[Any] = self.table.codes["item"] if name == "item" else self.table.numbers[name]
        return np.asarray(column[rows])

    def _single(self, rows: Index) -> NDArray[np.bool_]:
        return np.asarray(self.table.codes["item"][rows] != self.book.codes["item"].get("", -1))


def split_studies(table: Table) -> list[StudyRows]:
    """One `StudyRows` for each (lab, run, study) of the table, in the order of the levels."""
    if not len(table):
        return []
    book = Codebook.of(table)
    fields = (*_GROUP, *_SLICE)
    of, first = table.group(*fields)
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(first) + 1))
    groups: dict[tuple[int, ...], dict[tuple[int, ...], Index]] = {}
    for i, row in enumerate(first):
        code = tuple(int(table.codes[name][row]) for name in fields)
        groups.setdefault(code[:3], {})[code[3:]] = order[starts[i] : starts[i + 1]]
    studies = []
    for key, slices in sorted(groups.items()):
        lab, run, study = (table.levels[name][code] for name, code in zip(_GROUP, key, strict=True))
        studies.append(StudyRows(lab, run, study, table, book, slices))
    return studies


def labels(stratum: str) -> Labels:
    """`overlap=no,answer=both|neither` as allowed values by key; `all` allows everything."""
    if stratum == "all":
        return {}
    pairs = (label.partition("=") for label in stratum.split(","))
    return {key: frozenset(values.split("|")) for key, _, values in pairs}


def _pooled(seed: Index, value: NDArray[np.float64], n: Index, items: Index | None) -> Series:
    seeds, of = np.unique(seed, return_inverse=True)
    values = np.bincount(of, weights=n * value) / np.bincount(of, weights=n)
    return Series(seeds, values, None if items is None else (of, items.astype(np.int64), value))


def _best(curve: Curve) -> tuple[Index, Index]:
    """Each seed's first step with the largest value."""
    order = np.lexsort((curve.steps, -curve.values, curve.seeds))
    seeds, first = np.unique(curve.seeds[order], return_index=True)
    return seeds, curve.steps[order][first]


def _last(seed: Index, step: Index) -> tuple[Index, Index]:
    seeds, of = np.unique(seed, return_inverse=True)
    last = np.zeros(len(seeds), dtype=np.int64)
    np.maximum.at(last, of, step)
    return seeds, last

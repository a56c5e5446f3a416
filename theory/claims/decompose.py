"""A gap taken apart: what copying, unequal answer support and guessing carry of it, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from theory.claims.base import Array, Cell, Measured, Stop
from theory.claims.estimators import common, difference
from theory.claims.evidence import split_studies
from theory.claims.interval import interval_of
from theory.claims.validity import NO_COPYING, NO_GUESSING, SAME_SUPPORT
from theory.intervals import Interval
from theory.table import Table

STRATA = ("all", NO_COPYING, f"{NO_COPYING},{SAME_SUPPORT}", f"{NO_COPYING},{SAME_SUPPORT},{NO_GUESSING}")
NAMES = ("raw", "copying", "answer support", "guessing", "rest")


@dataclass(frozen=True)
class Slice:
    """One bar: `raw` is the gap, three say what each confounder carries, `rest` is left; these sum to raw.

    Fractions, paired within seed; `interval` is None where rows are missing, and `missing` says which.
    What a confounder carries is a difference of means over other items: only seeds stand behind its interval.
    """

    lab: str
    run: str
    study: str
    arm: str
    name: str
    interval: Interval | None
    missing: str = ""


def decompose(
    table: Table,
    study: str = "validity",
    high: str = "known",
    low: str = "unknown",
    *,
    stop: Stop = "end",
    prompt: str = "zero",
) -> tuple[Slice, ...]:
    """The gap in test accuracy between two training sets, in every laboratory and run that has the study."""
    return tuple(_slices(table, study, high, low, stop, prompt))


def _slices(table: Table, study: str, high: str, low: str, stop: Stop, prompt: str) -> Iterator[Slice]:
    gaps = [
        difference(Cell("accuracy", high, stop, **w), Cell("accuracy", low, stop, **w))
        for w in _where(prompt)
    ]
    for rows in split_studies(table):
        if rows.study != study:
            continue
        measured = [gap.measure(rows) for gap in gaps]
        there = [found for found in measured if not found.missing]
        paired = common(found.seeds for found in there) if there else np.empty(0, np.int64)
        measured = [found.of(paired) for found in measured]
        whole = [None if found.missing or not len(paired) else interval_of(found) for found in measured]
        parts = [
            None if a is None or b is None else _apart(a, b, one.effects - other.effects)
            for (a, b), (one, other) in zip(pairwise(whole), pairwise(measured), strict=True)
        ]
        absent = [found.missing for found in measured]
        gone = [absent[0], *(tuple(dict.fromkeys((*a, *b))) for a, b in pairwise(absent)), absent[-1]]
        for name, interval, where in zip(NAMES, (whole[0], *parts, whole[-1]), gone, strict=True):
            missing = "; ".join(f"no rows with {one}" for one in where)
            if not missing and interval is None:
                missing = "no seed has all the strata"
            yield Slice(rows.lab, rows.run, study, rows.primary, name, interval, missing)


def _apart(before: Interval, after: Interval, effects: Array) -> Interval:
    """The difference of two gaps: between their means, so that the bars add up, with what seeds alone make of it."""
    over = interval_of(Measured(np.arange(len(effects)), effects))
    shift = before.mean - after.mean - over.mean
    return replace(over, mean=over.mean + shift, low=over.low + shift, high=over.high + shift)


def _where(prompt: str) -> list[dict[str, str]]:
    return [{"stratum": stratum, "prompt": prompt} for stratum in STRATA]

"""A gap taken apart: what copying, unequal answer support and guessing carry of it, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from theory.claims.base import Cell, Stop
from theory.claims.estimators import combine, common, difference
from theory.claims.evidence import split_studies
from theory.claims.validity import NO_COPYING, NO_GUESSING, SAME_SUPPORT
from theory.intervals import Interval, t_interval
from theory.table import Table

STRATA = ("all", NO_COPYING, f"{NO_COPYING},{SAME_SUPPORT}", f"{NO_COPYING},{SAME_SUPPORT},{NO_GUESSING}")
NAMES = ("raw", "copying", "answer support", "guessing", "rest")


@dataclass(frozen=True)
class Slice:
    """One bar: `raw` is the gap, three say what each confounder carries, `rest` is left; these sum to raw.

    Fractions, paired within seed; `interval` is None where rows are missing, and `missing` says which.
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
    bars = [gaps[0], *(combine((1.0, a), (-1.0, b)) for a, b in pairwise(gaps)), gaps[-1]]
    for rows in split_studies(table):
        if rows.study != study:
            continue
        there = [found for gap in gaps if not (found := gap.measure(rows)).missing]
        paired = common(found.seeds for found in there) if there else np.empty(0, np.int64)
        for name, bar in zip(NAMES, bars, strict=True):
            found = bar.measure(rows)
            effects = found.effects[np.isin(found.seeds, paired)]
            missing = "; ".join(f"no rows with {where}" for where in found.missing)
            if not missing and not len(effects):
                missing = "no seed has all the strata"
            yield Slice(
                rows.lab,
                rows.run,
                study,
                rows.primary,
                name,
                None if missing else t_interval(effects),
                missing,
            )


def _where(prompt: str) -> list[dict[str, str]]:
    return [{"stratum": stratum, "prompt": prompt} for stratum in STRATA]

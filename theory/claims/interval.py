"""The interval of an effect: the same one behind verdicts, pictures and tables, and in words what it goes over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from theory.claims.base import Measured
from theory.intervals import CROSSED, EXACT, ONE_SEED, Interval, items_interval, t_interval

SHARES = ("points", "share")  # units of what lies between 0 and 1
ALIKE = 1e-9  # wide; what is left of the rounding of equal numbers
SEEDS = "over seeds"
OVER = {
    CROSSED: "over seeds crossed with items",
    ONE_SEED: "over the items of one seed",
    EXACT: "over items alone",
}


def interval_of(measured: Measured, unit: str = "points") -> Interval:
    """Over seeds and items where all rows are single items, else over seeds; as a fraction. What agrees to the last
    digit has none, as a single seed has none: counts that come out alike are no certainty."""
    if measured.matrix is None:
        found = t_interval(measured.effects)
    else:
        limits = measured.limits if unit in SHARES else None
        found = items_interval(measured.matrix, measured.shared_items, limits)
    if found.high - found.low <= ALIKE:
        return replace(found, low=-math.inf, high=math.inf, sd=math.nan, df=math.nan)
    return found


def over(found: Iterable[Interval]) -> str:
    """What these intervals go over: seeds, or items too where records hold each item."""
    kinds = {OVER.get(one.method, SEEDS) for one in found} or {SEEDS}
    return " or ".join(kind for kind in (SEEDS, *OVER.values()) if kind in kinds)


def told(found: Interval, digits: int | None = None) -> str:
    """Mean and limits, to so many digits or as many as its width carries; that there is none, where there is none."""
    if not math.isfinite(found.high - found.low):
        return f"{found.mean + 0.0:.{1 if digits is None else digits}f} (no interval)"
    if digits is None:
        digits = 1 if max(abs(found.mean), found.high - found.low) >= 2 else 2
    mean, low, high = (f"{x:.{digits}f}" for x in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"

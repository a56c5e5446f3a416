"""The interval of an effect: the same one behind verdicts, pictures and tables, and in words what it goes over."""

from __future__ import annotations

from collections.abc import Iterable

from theory.claims.base import Measured
from theory.intervals import CROSSED, EXACT, ONE_SEED, Interval, items_interval, t_interval

SHARES = ("points", "share")  # units of what lies between 0 and 1
SEEDS = "over seeds"
OVER = {
    CROSSED: "over seeds crossed with items",
    ONE_SEED: "over the items of one seed",
    EXACT: "over items alone",
}


def interval_of(measured: Measured, unit: str = "points") -> Interval:
    """Over seeds and items where all rows are single items, else over seeds; as a fraction."""
    if measured.matrix is None:
        return t_interval(measured.effects)
    return items_interval(measured.matrix, measured.shared_items, measured.limits if unit in SHARES else None)


def over(found: Iterable[Interval]) -> str:
    """What these intervals go over: seeds, or items too where records hold each item."""
    kinds = {OVER.get(one.method, SEEDS) for one in found} or {SEEDS}
    return " or ".join(kind for kind in (SEEDS, *OVER.values()) if kind in kinds)

"""Whether the places that a part reads leave room for a gap: an accuracy cannot fall below 0 or rise above 1."""

from __future__ import annotations

import numpy as np

from theory.claims.base import EDGE, Cell, Evidence, Measured, Part, Series


def cramped(part: Part, measured: Measured, evidence: Evidence) -> str:
    """`at the floor` or `at the ceiling` and the place, over the seeds that count; nothing where there is room."""
    for room in part.rooms:
        means = np.array([_mean(evidence, cell, measured) for cell in room])
        least, most = float(means.min()), float(means.max())
        if most < EDGE:
            return f"at the floor: at most {most:.1%} {_place(room)}"
        if least > 1 - EDGE:
            return f"at the ceiling: at least {least:.1%} {_place(room)}"
    return ""


def _mean(evidence: Evidence, cell: Cell, measured: Measured) -> float:
    """Not a number, and so neither floor nor ceiling, where there are no such rows."""
    found = evidence.series(cell)
    if not isinstance(found, Series):
        return float("nan")
    return float(np.mean(found.values[np.isin(found.seeds, measured.seeds)]))


def _place(room: tuple[Cell, ...]) -> str:
    cell = room[0]
    return f"in every arm with prompt={cell.prompt} split={cell.split} stratum={cell.stratum}"

"""The two trainings that several studies look at, on known and on unknown rows: done once for all of them."""

from __future__ import annotations

from pathlib import Path

from synthetic.base import Base
from synthetic.rows import Rows
from synthetic.score import Stamp, exam
from synthetic.split import split, stated
from synthetic.stops import Tuned, tune

CONTRAST = ("known", "unknown")
POINTS = 8  # looks at the development facts


def tune_contrast(base: Base, rows: Rows, stamp: Stamp, cache: Path | None) -> Tuned:
    """Tune everything for the usual epochs, or take what an earlier call with the same rows has left in the cache."""
    dev = exam(base, "dev", stated(base, split(base).dev))
    return tune(base, rows, "all", dev, stamp, points=POINTS, cache=cache)

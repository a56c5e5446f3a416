"""Error against the share of facts stated once: the memoriser's line, calibrated learners and their bound."""

from __future__ import annotations

from collections.abc import Sequence

from theory.goodturing import agreement, monofact_curve
from theory.measurements.base import INTERVAL, Measurement, Pilot, Row, summary

COLUMNS = (
    "exponent", "generic", "regular", "mentions", "learner", "monofact", "missing", "line", "hallucination",
    "miscalibration", "bound", "slack",
)  # fmt: skip


def run(seeds: Sequence[int]) -> list[Row]:
    """One sample of mentions a seed, for every world, size and learner."""
    rows: list[Row] = []
    for seed in seeds:
        rows += [
            {"seed": seed, **{name: row[name] for name in COLUMNS}} for row in monofact_curve(seed, draws=1)
        ]
    return rows


def fits(seeds: Sequence[int]) -> list[Row]:
    """150 samples a seed."""
    found = [agreement(seed) for seed in seeds]
    return [
        summary({"statistic": name}, [one[name] for one in found]) for name in found[0] if name != "draws"
    ]


MONOFACTS = Measurement(
    "monofact_curve",
    "Hallucination against the share of facts stated once, with the line of slope 1 - max pi and the bound",
    ("seed", *COLUMNS),
    run,
    worth_drawing=True,
    cost=4.0,
)
MONOFACT_FIT = Measurement(
    "monofact_fit",
    "R^2 of the monofact share as an estimate of the unseen mass, and of the ideal memoriser's error",
    ("statistic", *INTERVAL),
    fits,
    (
        Pilot({"statistic": "R2 missing"}, 0.995, rounding=0.0005),
        Pilot({"statistic": "largest difference missing"}, 0.045, rounding=0.0005),
        Pilot({"statistic": "R2 error"}, 0.994, rounding=0.0005),
    ),
    cost=3.0,
)

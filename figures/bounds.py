"""How far an effect can lie at all: shares between 0 and 1, correlations between -1 and 1, differences of them as far
again on either side."""

from __future__ import annotations

import math
from dataclasses import replace

from figures.runs import BOUNDED
from theory.claims import Part
from theory.claims.estimators import Contrast
from theory.claims.vocabulary import METRICS
from theory.intervals import Interval

DIFFERENCES = {"selection_rank_shift"}  # metrics that are a difference of two correlations


def bounds(part: Part) -> tuple[float, float]:
    """The least and the most that a part's effect can be, in its unit."""
    if not isinstance(part.quantity, Contrast):
        return -math.inf, math.inf
    ends = [(weight, _ends(cell.metric)) for weight, cell in part.quantity.terms if weight]
    low = sum(min(weight * end for end in found) for weight, found in ends)
    high = sum(max(weight * end for end in found) for weight, found in ends)
    return part.scale * low, part.scale * high


def cut(part: Part, found: Interval) -> Interval:
    """The interval as it is drawn: the verdict's, as far as an effect can lie; one that has no ends stays without."""
    if not math.isfinite(found.low):
        return found
    least, most = bounds(part)
    low, high = max(found.low, min(least, found.mean)), min(found.high, max(most, found.mean))
    return replace(found, low=low, high=high)


def _ends(metric: str) -> tuple[float, float]:
    if metric in BOUNDED:
        return 0.0, 1.0
    if metric in DIFFERENCES:
        return -2.0, 2.0
    if METRICS.get(metric, ("", ""))[0] == "correlation":
        return -1.0, 1.0
    return -math.inf, math.inf

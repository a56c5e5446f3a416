"""The decision rule, over leading axes: from effects per seed to supported (+1), opposed (-1) or open (0).

Every part is a two-sided test at the boundary of what it claims: its null if it claims a sign, null -
margin if it claims "not below", the nearer of null +- margin if it claims "within" (the 95% interval must
lie inside the margins, which is TOST at 2.5% a side, or outside). A sign claimed with a margin is supported
beyond the margin, opposed beyond the null, and open between. At a boundary both answers together have the
stated error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.claims.base import LEVEL, Array, Part
from theory.intervals import bootstrap_bounds, holm, t_pvalue

Side = NDArray[np.int8]


def boundary(part: Part, mean: ArrayLike) -> Array:
    """The edge of what the claim says or of its opposite nearest to `mean`; `mean` itself between the two."""
    mean = np.asarray(mean, dtype=np.float64)
    null, margin = part.null, part.margin
    if part.direction == "within":
        return np.asarray(np.where(mean >= null, null + margin, null - margin))
    if part.direction == "not below":
        return np.full(mean.shape, null - margin)
    low, high = (null, null + margin) if part.direction == "above" else (null - margin, null)
    return np.asarray(np.clip(mean, low, high))


def side(part: Part, low: ArrayLike, high: ArrayLike) -> Side:
    """+1 where all of [low, high] lies where the claim says, -1 where all of it lies opposite, 0 between."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    floor, ceiling = part.null - part.margin, part.null + part.margin
    if part.direction == "within":
        yes, no = (low > floor) & (high < ceiling), (low > ceiling) | (high < floor)
    elif part.direction == "not below":
        yes, no = low > floor, high < floor
    elif part.direction == "above":
        yes, no = low > ceiling, high < part.null
    else:
        yes, no = high < floor, low > part.null
    return yes.astype(np.int8) - no.astype(np.int8)


def pvalue(part: Part, effects: ArrayLike) -> Array:
    """Two-sided t test of effects[..., seeds] at the part's boundary."""
    effects = np.asarray(effects, dtype=np.float64)
    return t_pvalue(effects, boundary(part, effects.mean(axis=-1)))


def settle(part: Part, mean: ArrayLike, adjusted: ArrayLike, low: ArrayLike, high: ArrayLike) -> Side:
    """The part's outcome: significant after adjustment, and the bootstrap's [low, high] on the same side."""
    tested = np.where(np.asarray(adjusted) < LEVEL, side(part, mean, mean), 0)
    return np.where(tested == side(part, low, high), tested, 0).astype(np.int8)


def judge(parts: Sequence[Part], effects: Sequence[ArrayLike]) -> Side:
    """Outcomes [..., parts] of one family of deciding parts from effects[..., seeds], one array a part.

    The bootstrap is run only where the t test has decided: elsewhere it could not change the outcome.
    """
    arrays = [np.asarray(x, dtype=np.float64) for x in effects]
    adjusted = holm(np.stack([pvalue(part, x) for part, x in zip(parts, arrays, strict=True)], axis=-1))
    outcome = np.zeros(adjusted.shape, dtype=np.int8)
    for i, (part, x) in enumerate(zip(parts, arrays, strict=True)):
        hit = adjusted[..., i] < LEVEL
        if hit.any():
            found = bootstrap_bounds(x[hit])
            outcome[hit, i] = settle(part, found.mean, adjusted[hit, i], found.low, found.high)
    return outcome


def conclude(outcomes: ArrayLike) -> Side:
    """A claim from its parts (last axis): -1 contradicted if any is opposed, +1 reproduced if all hold."""
    outcomes = np.asarray(outcomes)
    verdict = np.where((outcomes > 0).all(axis=-1), 1, 0)
    return np.where((outcomes < 0).any(axis=-1), -1, verdict).astype(np.int8)

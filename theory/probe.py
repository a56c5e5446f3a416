"""A linear probe on features such as hidden states, and how well a score tells right from wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
RIDGE = 100.0  # on standardised features, against the summed log-loss
STEPS = 30


@dataclass(frozen=True, eq=False)
class Probe:
    """P(right) = sigmoid of a line in features."""

    centre: Array
    spread: Array
    weight: Array  # of the standardised features
    offset: float

    def __call__(self, features: Array) -> Array:
        return np.asarray(0.5 * (1 + np.tanh(self.logit(features) / 2)))

    def logit(self, features: Array) -> Array:
        """The log odds."""
        return np.asarray(
            (np.asarray(features, np.float64) - self.centre) / self.spread @ self.weight + self.offset
        )


def fit_probe(features: Array, right: ArrayLike, ridge: float = RIDGE) -> Probe:
    """Ridge-penalised logistic regression by Newton steps; `features` [labels, width]. With fewer labels than
    features the steps are taken in the space that the labels span, where the answer lies."""
    wanted, wide = np.asarray(right, np.float64), np.asarray(features, np.float64)
    centre, spread = wide.mean(axis=0), wide.std(axis=0) + 1e-6
    x = (wide - centre) / spread
    basis = np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else None
    x = np.column_stack([x if basis is None else x @ basis, np.ones(len(wanted))])
    penalty = np.full(x.shape[1], ridge)
    penalty[-1] = 1e-3
    weight = np.zeros(x.shape[1])
    for _ in range(STEPS):
        chance = 0.5 * (1 + np.tanh(x @ weight / 2))
        slope = x.T @ (chance - wanted) + penalty * weight
        curve = (x.T * np.maximum(chance * (1 - chance), 1e-9)) @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weight = weight - step
        if np.abs(step).max() < 1e-9:
            break
    line = weight[:-1] if basis is None else basis @ weight[:-1]
    return Probe(centre, spread, line, float(weight[-1]))


def auroc(score: ArrayLike, right: ArrayLike) -> float:
    """Chance that a right item scores above a wrong one, ties counted half; nan if all are right or none is."""
    from scipy.stats import rankdata

    good = np.asarray(right, bool)
    hits, misses = int(good.sum()), int((~good).sum())
    if not hits or not misses:
        return float("nan")
    ranks = rankdata(np.asarray(score, np.float64))
    return float((ranks[good].sum() - hits * (hits + 1) / 2) / (hits * misses))

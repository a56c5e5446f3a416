"""A linear probe for the truth of claims on hidden states, and how well a signal tells true claims from false ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
RIDGE = 100.0  # on standardised features, against the summed log-loss
STEPS = 30


@dataclass(frozen=True, eq=False)
class Probe:
    """P(true) = sigmoid of a line in features."""

    centre: Array
    spread: Array
    weight: Array  # of the standardised features
    offset: float

    def __call__(self, features: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-(self.logit(features)))))

    def logit(self, features: Array) -> Array:
        return np.asarray((features - self.centre) / self.spread @ self.weight + self.offset)


def fit_probe(features: Array, true: ArrayLike, ridge: float = RIDGE) -> Probe:
    """Ridge-penalised logistic regression by Newton steps; `features` (labels, width)."""
    right = np.asarray(true, np.float64)
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = np.column_stack([(features - centre) / spread, np.ones(len(right))])
    penalty = np.full(x.shape[1], ridge)
    penalty[-1] = 1e-3
    weight = np.zeros(x.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(x @ weight)))
        slope = x.T @ (chance - right) + penalty * weight
        curve = (x.T * np.maximum(chance * (1 - chance), 1e-9)) @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weight = weight - step
        if np.abs(step).max() < 1e-8:
            break
    return Probe(centre, spread, weight[:-1], float(weight[-1]))


def auroc(score: ArrayLike, true: ArrayLike) -> float:
    """Chance that a true claim scores above a false one, ties counted half; nan if all are true or none is."""
    from scipy.stats import rankdata

    right = np.asarray(true, bool)
    hits, misses = int(right.sum()), int((~right).sum())
    if not hits or not misses:
        return float("nan")
    ranks = rankdata(np.asarray(score, np.float64))
    return float((ranks[right].sum() - hits * (hits + 1) / 2) / (hits * misses))

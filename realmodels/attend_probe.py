"""A linear probe that tells right statements from wrong ones, judged on subjects that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
RIDGE = 100.0  # on standardised features, against the summed log-loss
STEPS = 30
FAINT = 1e-9  # singular values below this share of the largest are rounding


@dataclass(frozen=True, eq=False)
class Probe:
    """The log odds that a statement is right, a line in its features."""

    centre: Array
    spread: Array
    weight: Array  # of the standardised features
    offset: float

    def __call__(self, features: Array) -> Array:
        return np.asarray((features - self.centre) / self.spread @ self.weight + self.offset)


def fit(features: Array, right: ArrayLike, ridge: float = RIDGE) -> Probe:
    """Ridge-penalised logistic regression by Newton steps, in the span of the statements where these are fewer than
    the features [statements, width]: outside of it weights are 0 anyway."""
    wanted = np.asarray(right, np.float64)
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    scaled = (features - centre) / spread
    _, size, axes = np.linalg.svd(scaled, full_matrices=False)
    axes = axes[size > FAINT * max(size.max(), 1e-300)]
    x = np.column_stack([scaled @ axes.T, np.ones(len(wanted))])
    penalty = np.append(np.full(len(axes), ridge), 1e-3)
    weight = np.zeros(x.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(x @ weight)))
        slope = x.T @ (chance - wanted) + penalty * weight
        curve = (x.T * np.maximum(chance * (1 - chance), 1e-9)) @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weight = weight - step
        if np.abs(step).max() < 1e-8:
            break
    return Probe(centre, spread, axes.T @ weight[:-1], float(weight[-1]))


def cross_scores(right: Array, wrong: Array, fold: ArrayLike) -> Array:
    """[items, 2] log odds of each item's right and wrong statement (features [items, width]) by a probe that was fitted
    on the other folds; nan where there are none."""
    where = np.asarray(fold)
    scores = np.full((len(right), 2), np.nan)
    for one in np.unique(where):
        own, rest = where == one, where != one
        if not rest.any():
            continue
        labels = np.repeat([1.0, 0.0], int(rest.sum()))
        probe = fit(np.concatenate([right[rest], wrong[rest]]), labels)
        scores[own, 0], scores[own, 1] = probe(right[own]), probe(wrong[own])
    return scores


def placements(scores: Array, fold: ArrayLike) -> Array:
    """[items] whose mean is the AUROC: scores [items, 2] of right and wrong statements are compared within each fold,
    for another fold's probe has another scale; a fold counts by its items. Ties count half.

    An item's value is the share of wrong statements that its right one beats, plus the share of right ones that beat
    its wrong one, less the fold's AUROC: so its spread over items is the AUROC's own (DeLong's).
    """
    where, found = np.asarray(fold), np.full(len(scores), np.nan)
    for one in np.unique(where):
        own = np.flatnonzero((where == one) & ~np.isnan(scores).any(axis=1))
        if not len(own):
            continue
        up = _above(scores[own, 0], scores[own, 1])
        down = 1.0 - _above(scores[own, 1], scores[own, 0])
        found[own] = up + down - up.mean()
    return found


def _above(of: Array, among: Array) -> Array:
    """The share of `among` that lies below each of `of`, ties half."""
    ranked = np.sort(among)
    below, upto = np.searchsorted(ranked, of, "left"), np.searchsorted(ranked, of, "right")
    return np.asarray((below + upto) / (2 * len(ranked)))

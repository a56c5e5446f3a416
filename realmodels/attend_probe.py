"""A linear probe that tells right statements from wrong ones, judged on subjects that it was not fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.probe import fit_probe

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


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
        log_odds = fit_probe(np.concatenate([right[rest], wrong[rest]]), labels).logit
        scores[own, 0], scores[own, 1] = log_odds(right[own]), log_odds(wrong[own])
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

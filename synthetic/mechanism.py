"""What fine-tuning did to answers and hidden states: numbers over facts, from what a model said before and after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Share(NamedTuple):
    """A mean and the number of items behind it; nan of nothing."""

    value: float
    n: int


def share(hits: ArrayLike, among: ArrayLike | None = None) -> Share:
    """The share of hits among some items."""
    hits = np.asarray(hits, dtype=np.float64)
    some = hits if among is None else hits[np.asarray(among, bool)]
    return Share(float(some.mean()) if some.size else float("nan"), int(some.size))


def swap_change(said: ArrayLike, relation: ArrayLike, right: ArrayLike) -> Share:
    """How often the answer changes when the subject is replaced by another one whose right answer differs.

    `said` (n, ...) is what was said to each question. The question about the other subject is one of the n itself, so
    every pair of a relation is counted, each fact weighing the same; facts without a partner are left out.
    """
    said = np.asarray(said)
    said = said.reshape(len(said), -1)
    relation, right = np.asarray(relation), np.asarray(right)
    changed = []
    for one in np.unique(relation):
        here = np.flatnonzero(relation == one)
        partners = right[here][:, None] != right[here]
        differs = (said[here][:, None] != said[here]).any(-1)
        count = partners.sum(1)
        changed.append((partners & differs).sum(1)[count > 0] / count[count > 0])
    return share(np.concatenate(changed) if changed else np.empty(0))


def error_share(said: ArrayLike, right: ArrayLike, generic: ArrayLike) -> Share:
    """The share of wrong answers that are the given one of their relation; all (n,) answer numbers."""
    said, right = np.asarray(said), np.asarray(right)
    return share(said == np.asarray(generic), said != right)


def guessable(said: ArrayLike, relation: ArrayLike, right: ArrayLike) -> Flags:
    """(n,) True where the answers said in a relation, permuted at random among its facts, are right at least half as
    often as they are in their places."""
    said, relation, right = (np.asarray(x, np.int64) for x in (said, relation, right))
    found = np.zeros(len(said), bool)
    for one in np.unique(relation):
        here = relation == one
        by_chance = (right[here][:, None] == said[here]).mean()
        found[here] = by_chance >= 0.5 * (right[here] == said[here]).mean()
    return found


def common_shift_excess(before: ArrayLike, after: ArrayLike) -> float:
    """The share of the squared change of hidden states (n, width) that lies along the mean change of the other facts,
    less the share that lies against it.

    Changes of random sign are along and against it alike and give 0 in expectation, one and the same change gives 1.
    """
    change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    total = (change**2).sum()
    if not total > 0:
        return 0.0
    others = change.sum(0) - change
    along = (change * others).sum(1) / np.maximum(np.linalg.norm(others, axis=1), 1e-300)
    return float((along * np.abs(along)).sum() / total)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's; nan for fewer than three points and where one of the two does not vary."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(np.asarray(part, np.float64)) for part in (x, y)])
    if ranks.shape[1] < 3 or (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])

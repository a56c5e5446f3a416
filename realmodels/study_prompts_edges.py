"""What tuned models can say as edges of the knowledge graph, what a prompt adds, and whether prompts rank training sets
alike.

A fact is an edge. A is what the model tuned on known rows gets right zero-shot, B that of the one tuned on unknown
rows, P_A and P_B what each gets right under a prompt; with it they are worth A u P_A and B u P_B. The theory has
one prompt for both (theory.graph, K1 and K2): for that stands P, what the untuned model gets right under it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory import graph

Flags = NDArray[np.bool_]
SPLITS = 50  # random halvings of the items


def gaps(
    known: Flags, unknown: Flags, with_known: Flags, with_unknown: Flags, untuned: Flags
) -> dict[str, float]:
    """By metric, shares of all edges, from flags (facts,): zero-shot, under the prompt, and of the untuned model under
    it. `edge_gap_merged` and `edge_gap_thinned` are what K1 and K2 make of the zero-shot gap, `edge_gap_bound` K2's
    bound, `edge_gap_widens` its chance that such a prompt widens the gap."""
    delta, share, count = int(graph.gap(known, unknown)), float(untuned.mean()), len(known)
    only_known, only_unknown = int(graph.size(known & ~unknown)), int(graph.size(unknown & ~known))
    return {
        "edge_gap": delta / count,
        "edge_gap_prompted": int(graph.gap(known | with_known, unknown | with_unknown)) / count,
        "edge_gap_merged": (delta + int(graph.gap_change(known, unknown, untuned))) / count,
        "edge_gap_thinned": float(graph.expected_prompted_gap(delta, share)) / count,
        "edge_gap_widens": float(graph.widening_probability(only_known, only_unknown, share)),
        "edge_gap_bound": float(graph.widening_bound(delta, share, only_known + only_unknown)),
        "edge_only_unknown": only_unknown / count,
    }


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's; nan for fewer than three points and where one of the two does not vary."""
    from scipy.stats import spearmanr

    a, b = np.asarray(x, float), np.asarray(y, float)
    return float("nan") if len(a) < 3 or not np.ptp(a) or not np.ptp(b) else float(spearmanr(a, b).statistic)


def gap_follows_edges(relation: ArrayLike, gap: ArrayLike, edges: ArrayLike) -> float:
    """Over relations: a gap in one wording against a difference of edges in others, both (facts,)."""
    of = np.unique(np.asarray(relation), return_inverse=True)[1]
    means = [np.bincount(of, np.asarray(x, float)) / np.bincount(of) for x in (gap, edges)]
    return correlation(*means)


def rank_shift(first: ArrayLike, second: ArrayLike, seed: int) -> float:
    """How much less the two rankings agree than the noisier of them does with itself, always on other items."""
    return min(rank_agreement(one, one, seed) for one in (first, second)) - rank_agreement(
        first, second, seed
    )


def rank_agreement(first: ArrayLike, second: ArrayLike, seed: int) -> float:
    """Over training sets: accuracies on one half of the items, from hits `first` (sets, items), against those on the
    other half from `second`; the mean over halvings and over which half comes first, nan where nothing can be
    ranked."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5E1E]))
    found = []
    for _ in range(SPLITS):
        halves = np.array_split(rng.permutation(one.shape[1]), 2)
        found += [correlation(one[:, a].mean(1), two[:, b].mean(1)) for a, b in (halves, halves[::-1])]
    usable = [value for value in found if np.isfinite(value)]
    return float(np.mean(usable)) if usable else float("nan")

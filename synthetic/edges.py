"""What tuned networks can say as sets of edges of the knowledge graph, and what the theory makes of those sets.

A fact is an edge. A is the set that the network tuned on known rows gets right when it is asked without exemplars, B
that of the one tuned on unknown rows, P_A and P_B what each gets right under a prompt. A prompt is worth A u P_A and
B u P_B. The theory knows one prompt alone, the same for both (theory.graph, K1 and K2): as such we take P, what the
untuned network gets right under the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.mechanism import rank_correlation
from theory import graph

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Edges:
    """Flags (facts,) of what is extracted from one network, alone and under one prompt."""

    alone: Flags
    prompted: Flags

    @property
    def either(self) -> Flags:
        return np.asarray(self.alone | self.prompted)

    @property
    def share(self) -> float:
        return float(self.alone.mean())

    @property
    def gained(self) -> float:
        """Share of all edges that only the prompt extracts."""
        return float((self.prompted & ~self.alone).mean())

    @property
    def lost(self) -> float:
        """Share of all edges that are extracted alone and not under the prompt."""
        return float((self.alone & ~self.prompted).mean())


def gaps(known: Edges, unknown: Edges, untuned: Flags) -> dict[str, float]:
    """By metric, as shares of the edges. `edge_gap_prompted` is what was counted; `edge_gap_merged` follows from K1 if
    what the untuned network gets under the prompt, `untuned`, is merged into both; `edge_gap_thinned` from K2 if the
    prompt holds every edge with the same chance. `edge_gap_widens` is K2's chance that such a prompt widens the gap,
    and `edge_gap_bound` its bound."""
    a, b, m = known.alone, unknown.alone, len(known.alone)
    delta = int(graph.gap(a, b))
    p = float(untuned.mean())
    only_a, only_b = int(graph.size(a & ~b)), int(graph.size(b & ~a))
    return {
        "edge_gap": delta / m,
        "edge_gap_prompted": int(graph.gap(known.either, unknown.either)) / m,
        "edge_gap_merged": (delta + int(graph.gap_change(a, b, untuned))) / m,
        "edge_gap_thinned": float(graph.expected_prompted_gap(delta, p)) / m,
        "edge_gap_widens": float(graph.widening_probability(only_a, only_b, p)),
        "edge_gap_bound": float(graph.widening_bound(delta, p, only_a + only_b)),
        "edge_only_unknown": only_b / m,
    }


def by_relation(relation: ArrayLike, flags: ArrayLike) -> NDArray[np.float64]:
    """Mean of flags (..., facts) within each relation that occurs: (..., relations)."""
    _, of = np.unique(np.asarray(relation), return_inverse=True)
    member = (of[:, None] == np.arange(of.max() + 1)).astype(np.float64)
    return np.asarray(np.asarray(flags, np.float64) @ member / member.sum(axis=0))


def gap_follows_edges(relation: ArrayLike, gap: ArrayLike, edges: ArrayLike) -> float:
    """Rank correlation over relations of two differences (facts,) between the networks, each a mean over the facts of a
    relation: right answers in one wording, and edges counted in others. nan for fewer than three relations."""
    return rank_correlation(by_relation(relation, gap), by_relation(relation, edges))

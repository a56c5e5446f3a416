"""The gap between the two fine-tuned knowledge graphs against its closed form (K5), with and without random prompts.

16 entities with independent uniform unit embeddings, 40 stored edges, half of them extractable before tuning,
training entities drawn uniformly; 20 graphs a seed and setting. Gaps are points of the stored edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product

import numpy as np

from theory import graph
from theory.attention import Array, Index
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, r_squared, resampled, summary

NODES, EDGES, PER_SEED, SHARE = 16, 40, 20, 0.5
DIMS, THETAS, ROWS, PROMPTS = (3, 8), (0.1, 0.3, 0.5, 0.7, 0.9), (1, 4, 16), (0.0, 0.4)
SETTINGS = tuple(product(DIMS, THETAS, ROWS, PROMPTS))
STREAM = 51


def sampled(seed: int, dim: int, theta: float, rows: int, prompt: float) -> float:
    """Mean gap of this seed's graphs, points."""
    label = [seed, STREAM, dim, round(100 * theta), rows, round(100 * prompt)]
    rng = np.random.default_rng(np.random.SeedSequence(label))
    graphs = graph.random_graphs(PER_SEED, rng, NODES, EDGES, dim)
    known, unknown = (
        graph.cover_by(graphs, graph.unit_vectors((PER_SEED, rows, dim), rng), theta) for _ in range(2)
    )
    extractable, said = (rng.random(graphs.source.shape) < rate for rate in (SHARE, prompt))
    a, b = graph.tuned_on_known(extractable, known), graph.tuned_on_unknown(extractable, unknown)
    return float(100 * graph.prompted_gap(a, b, said).mean() / EDGES)


@lru_cache(maxsize=1)
def gaps(seeds: tuple[int, ...]) -> tuple[Array, Array]:
    """Sampled gaps (settings, seeds) and expected ones (settings,), points."""
    found = [[sampled(seed, *setting) for seed in seeds] for setting in SETTINGS]
    expected = [
        float(100 * graph.expected_gap(EDGES, theta, dim, rows, rows, SHARE, prompt) / EDGES)
        for dim, theta, rows, prompt in SETTINGS
    ]
    return np.array(found), np.array(expected)


def run(seeds: Sequence[int]) -> list[Row]:
    found, expected = gaps(tuple(seeds))
    rows: list[Row] = []
    for (dim, theta, count, prompt), promise, x in zip(SETTINGS, expected, found, strict=True):
        keys: dict[str, Cell] = {"dim": dim, "theta": theta, "rows": count, "prompt": prompt}
        rows.append(summary({**keys, "expected": float(promise)}, x))
    return rows


def _fit(found: Array, expected: Array, seeds: Index) -> float:
    return r_squared(expected, found[:, seeds].mean(axis=1))


def fits(seeds: Sequence[int]) -> list[Row]:
    found, expected = gaps(tuple(seeds))
    prompted = np.array([prompt > 0 for *_, prompt in SETTINGS])
    return [
        resampled({"statistic": name}, len(seeds), partial(_fit, found[mask], expected[mask]))
        for name, mask in (("R^2, no prompt", ~prompted), ("R^2, random prompts", prompted))
    ]


GRAPH_GAP = Measurement(
    "graph_gap",
    "Sampled against expected gap of two fine-tuned knowledge graphs (points of the stored edges)",
    ("dim", "theta", "rows", "prompt", "expected", *INTERVAL),
    run,
    worth_drawing=True,
    cost=0.5,
)
GRAPH_FIT = Measurement(
    "graph_gap_fit",
    "How much of the sampled gap the closed form explains",
    ("statistic", *INTERVAL),
    fits,
    (
        Pilot({"statistic": "R^2, no prompt"}, 0.9994, rounding=0.00005),
        Pilot({"statistic": "R^2, random prompts"}, 0.9996, rounding=0.00005),
    ),
)

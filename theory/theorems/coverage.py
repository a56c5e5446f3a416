"""K5 and K6: how large the gap is when fine-tuning reaches the facts near its rows, and where it is zero."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from theory import graph
from theory.graph import Array, Graphs, Mask
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.graph import CLAIM, edge_sets, total

# K5 -----------------------------------------------------------------------------------------------


def shifted(points: Array, shift: float) -> Array:
    """Unit vectors pulled towards the first axis."""
    moved = points + shift * np.eye(points.shape[-1])[0]
    return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True))


def sampled_gaps(
    graphs: Graphs,
    theta: float,
    rows: tuple[int, int],
    share: float,
    prompt: float,
    rng: np.random.Generator,
    *,
    shift: float = 0.0,
    own: bool = False,
) -> Array:
    """Delta* of each graph with random training entities: uniform, or pulled by `shift`, or `own`"
    " entities."""
    n, dim = len(graphs), graphs.embedding.shape[-1]
    points = [shifted(graph.unit_vectors((n, count, dim), rng), shift) for count in rows]
    if own:
        chosen = np.argsort(rng.random((n, graphs.nodes)), axis=1)[..., None]
        points = [np.take_along_axis(graphs.embedding, chosen[:, :count], axis=1) for count in rows]
    known, unknown = (graph.cover_by(graphs, x, theta) for x in points)
    extractable, said = (rng.random(graphs.source.shape) < rate for rate in (share, prompt))
    a, b = graph.tuned_on_known(extractable, known), graph.tuned_on_unknown(extractable, unknown)
    return graph.prompted_gap(a, b, said).astype(np.float64)


def cap_share(theta: Array, dim: Array) -> Array:
    """c(theta) by Gauss-Legendre quadrature of sin^(d-2) over the cap and over the sphere."""
    nodes, weights = np.polynomial.legendre.leggauss(64)

    def area(angle: Array) -> Array:
        phi = angle[:, None] * (nodes + 1) / 2
        return np.asarray(angle / 2 * (np.sin(phi) ** (dim[:, None] - 2) @ weights))

    return np.asarray(area(np.arccos(theta)) / area(np.full(len(theta), np.pi)))


def run_k5(
    n: int,
    rng: np.random.Generator,
    *,
    shift: float = 0.0,
    own: bool = False,
    same_rows: bool = False,
    angle: float = 1.0,
) -> Outcome:
    """c(theta) against quadrature in n cases; mean Delta* of 200 graphs a setting at six standard errors.

    In every second setting the stored entities are far from uniform, which must not matter. The standard
    error is at least the binomial one, since a setting with few hits underestimates its own.
    """
    theta, dim = rng.uniform(-1, 1, n), rng.integers(2, 33, n).astype(np.float64)
    off = np.abs(graph.coverage(np.clip(angle * theta, -1, 1), dim) - cap_share(theta, dim))
    bad, settings = int((off > 1e-9).sum()), max(1, n // 200)
    per, z, means, promises = max(50, n // settings), [], [], []
    for i in range(settings):
        d, edges = int(rng.integers(2, 17)), int(rng.integers(10, 60))
        cut = float(np.clip(rng.uniform(-0.5, 2) / np.sqrt(d), -0.95, 0.95))
        rows = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        share, prompt = float(rng.uniform(0.1, 0.9)), float(rng.uniform(0, 0.8))
        graphs = graph.random_graphs(per, rng, 16, edges, d)
        if i % 2:
            graphs = Graphs(graphs.source, graphs.target, shifted(graphs.embedding, 1.0))
        gaps = sampled_gaps(graphs, cut, rows, share, prompt, rng, shift=shift, own=own)
        second = rows[0] if same_rows else rows[1]
        promise = float(graph.expected_gap(edges, angle * cut, d, rows[0], second, share, prompt))
        error = np.sqrt(max(float(gaps.var(ddof=1)), promise * (1 - promise / edges)) / per)
        z.append(abs(gaps.mean() - promise) / error)
        means.append(gaps.mean() / edges)
        promises.append(promise / edges)
    spread = float(np.sum(np.subtract(means, np.mean(means)) ** 2))
    fit = f"R2 {1 - np.sum(np.subtract(means, promises) ** 2) / spread:.4f}, " if settings > 2 else ""
    note = f"{settings} settings of {per} graphs, {fit}largest deviation {max(z):.1f} standard errors"
    far = int((np.asarray(z) > 6).sum())
    return Outcome(max(n, settings * per), bad + far, float(off.max()), note)


def k5_sample(cluster: float = 0.0, **dropped: Any) -> Mapping[str, Any]:
    """20 edges between 10 entities in 3 dimensions, theta 0.8, three rows each, 2,000 graphs."""
    rng = np.random.default_rng(np.random.SeedSequence([5, 2000]))
    graphs = graph.random_graphs(2000, rng, 10, 20, 3)
    graphs = Graphs(graphs.source, graphs.target, shifted(graphs.embedding, cluster))
    gaps = sampled_gaps(graphs, 0.8, (3, 3), 0.5, 0.0, rng, **dropped)
    mean, promise = float(gaps.mean()), float(graph.expected_gap(20, 0.8, 3, 3, 3))
    off = (mean - promise) / float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return {"mean gap": mean, "promised": promise, "standard errors": off, "breaks": abs(off) > 6}


def k5_sizes() -> Mapping[str, Any]:
    gaps = {share: float(graph.expected_gap(20, 0.8, 3, 8, 1, share)) for share in (0.2, 0.8)}
    return {**{f"gap at share {s}": g for s, g in gaps.items()}, "breaks": abs(gaps[0.2] - gaps[0.8]) > 1e-9}


K5 = Theorem(
    id="K5",
    title="The size of the gap",
    statement=(
        "M stored facts anywhere on the unit sphere of d dimensions, a share rho of them extractable; n1"
        " known and n2 unknown rows at independent uniform points. Then E Delta = M [(1 - rho) C(n1) + rho"
        " C(n2)] with C(n) = 1 - (1 - c)^n and c(theta) = I_{1 - theta^2}((d - 1)/2, 1/2) / 2 for theta >="
        " 0. For n1 = n2 = n this is M C(n), whatever the share. A random prompt multiplies it by 1 - p."
    ),
    latex=(
        r"\mathbb{E}\Delta=M[(1-\rho)C(n_1)+\rho\,C(n_2)],\quad C(n)=1-(1-c(\theta))^n,\quad "
        r"c(\theta)=\tfrac12 I_{1-\theta^2}\!\left(\tfrac{d-1}{2},\tfrac12\right)"
    ),
    assumptions={
        "uniform": "training entities are uniform on the sphere (stored ones need not be)",
        "independent": "training entities are independent of each other and of the stored facts",
        "equal sizes": "n1 = n2 (only for M C(n), which does not depend on the share)",
    },
    status="proved in expectation",
    source=CLAIM,
    formula=graph.expected_gap,
    run=run_k5,
    perturbations={
        "training entities in a cluster": {"shift": 1.0},
        "training entities among the stored ones": {"own": True},
        "n1 taken for n2": {"same_rows": True},
        "threshold one percent too low": {"angle": 0.99},
    },
    counterexamples=(
        Counterexample(
            "uniform", "stored and training entities in one cluster", lambda: k5_sample(1.0, shift=1.0)
        ),
        Counterexample(
            "independent",
            "training entities among the stored ones cover themselves",
            lambda: k5_sample(own=True),
        ),
        Counterexample("equal sizes", "8 known rows and 1 unknown row: the share matters", k5_sizes),
    ),
)

# K6 -----------------------------------------------------------------------------------------------


def region_gap(a: Mask, b: Mask, region: Mask) -> Any:
    """K6: |(A - B) n T|."""
    return graph.size(a & ~b, region)


def run_k6(
    n: int,
    rng: np.random.Generator,
    *,
    far: bool = True,
    leak: float = 0.0,
    drawn_near: bool = False,
    learned: str = "nothing",
) -> Outcome:
    """Random test regions: the count, its bound, zero for far regions; and all samples of 2 in 6 facts."""
    found, few = [], 6
    samples = np.array(
        [[edge in pair for edge in range(few)] for pair in combinations(range(few), 2)], dtype=float
    )
    for s in graph.studies(n, rng, learned=learned):
        b = s.b & ~(rng.random(s.b.shape) < leak)
        region = rng.random(s.a.shape) < rng.random((len(s.a), 1))
        delta, away = graph.gap(s.a, b, region), region & ~s.covered if far else region
        bad = (delta != region_gap(s.a, b, region)) | (delta > graph.size(region, s.covered))
        bad |= (graph.gap(s.a, b, away) != 0) | (graph.prompted_gap(s.a, b, s.prompt, away) != 0)
        weight = 1 + 3 * drawn_near * (s.covered[:, :few].astype(float) @ samples.T)  # one weight a sample
        gaps = (1.0 * s.a - b)[:, :few] @ samples.T
        expected = np.sum(weight * gaps, axis=1) / np.sum(weight, axis=1)
        error = np.abs(expected - 2 / few * graph.gap(s.a[:, :few], b[:, :few]))
        found.append(Outcome(len(bad), int((bad | (error > 1e-9)).sum()), float(error.max())))
    return total(found)


def k6_sets(
    a: tuple[int, ...], b: tuple[int, ...], covered: tuple[int, ...], test: tuple[int, ...]
) -> Mapping[str, Any]:
    """Five facts: the gap on the test region, what the cover allows, and what |(A - B) n T| says."""
    x, y, near, region = edge_sets(5, a, b, covered, test)
    delta, allowed = int(graph.gap(x, y, region)), int(graph.size(region, near))
    counted = int(region_gap(x, y, region))
    return {
        "gap": delta,
        "at most": allowed,
        "|(A - B) n T|": counted,
        "breaks": not counted == delta <= allowed,
    }


def k6_near() -> Mapping[str, Any]:
    a, b, region = edge_sets(5, (0, 1, 2), (0,), (1, 4))
    delta = int(graph.gap(a, b, region))
    return {"gap on the test region": delta, "breaks": delta != 0}


def k6_uneven() -> Mapping[str, Any]:
    """Stored: five facts, Delta = 2. Tests: two facts, always those near the training rows."""
    a, b, near = edge_sets(5, (0, 1, 2), (0,), (1, 2))
    delta, tested = int(graph.gap(a, b)), int(graph.gap(a, b, near))
    return {"gap on tests": tested, "share of the gap": 2 / 5 * delta, "breaks": tested != 2 / 5 * delta}


K6 = Theorem(
    id="K6",
    title="No gap far from the training rows",
    statement=(
        "On a test region T the gap is |(A - B) n T|, at most the number of test facts within theta of a"
        " training row. So it is zero, with or without a prompt, if no test source is that near. If the"
        " tests are a uniform sample of the stored facts, the expected gap is Delta times their share;"
        " otherwise it is a weighted count."
    ),
    latex=(
        r"\Delta_T=|(A\setminus B)\cap T|\le|\mathrm{Cov}(D_{kn}\cup D_{unk},\theta)\cap T|,\quad"
        r"\mathbb{E}_{T\text{ uniform}}\Delta_T=\tfrac{|T|}{M}\Delta"
    ),
    assumptions={
        "far": "no test source is within theta of a training row (for a gap of zero)",
        "local": "fine-tuning changes nothing outside its cover",
        "nested": "B lies inside A",
        "uniform sample": "every stored fact is as likely to be tested (for the proportion)",
    },
    status="corollary",
    source=CLAIM,
    formula=region_gap,
    run=run_k6,
    perturbations={
        "tests near the training rows": {"far": False},
        "unknown fine-tuning also harms facts elsewhere": {"leak": 0.1},
        "near facts are tested more often": {"drawn_near": True},
        "unknown fine-tuning learns its cover": {"learned": "cover"},
    },
    counterexamples=(
        Counterexample("far", "one of two test facts has its source near a training row", k6_near),
        Counterexample(
            "local",
            "fine-tuning loses fact 5, which is near no training row",
            lambda: k6_sets((0, 1, 4), (0,), (1, 2), (4,)),
        ),
        Counterexample(
            "nested",
            "B has learnt a fact that A lacks: the gap is -1",
            lambda: k6_sets((0,), (0, 1), (1,), (1,)),
        ),
        Counterexample("uniform sample", "only facts near the training rows are tested", k6_uneven),
    ),
)

THEOREMS: tuple[Theorem, ...] = (K5, K6)

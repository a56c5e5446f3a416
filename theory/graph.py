"""A model's knowledge as a graph: stored facts are edges, what can be said of them is a set of edges.

Sets are boolean arrays `(..., edges)` with any leading axes, so thousands of graphs are handled at once. A is
what the model tuned on known facts can extract, B the one tuned on unknown facts, P what the prompt supplies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc, betainc

from theory.errors import TheoryError

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Graphs:
    """Graphs of equal size: distinct edges (n, edges), a unit vector for each entity (n, nodes, dim)."""

    source: Index
    target: Index
    embedding: Array

    def __post_init__(self) -> None:
        if self.source.shape != self.target.shape or self.source.ndim != 2:
            raise TheoryError(
                f"Graphs: source {self.source.shape} and target {self.target.shape} must be (graphs, edges)"
            )
        if self.embedding.ndim != 3 or len(self.embedding) != len(self.source):
            raise TheoryError(
                f"Graphs.embedding: shape {self.embedding.shape}, expected ({len(self.source)}, nodes, dim)"
            )
        ends = np.stack([self.source, self.target])
        if np.any((ends < 0) | (ends >= self.nodes)):
            raise TheoryError(
                f"Graphs: an edge ends outside the {self.nodes} entities, expected 0 to {self.nodes - 1}"
            )
        length = np.linalg.norm(self.embedding, axis=-1)
        if np.any(np.abs(length - 1) > 1e-6):
            raise TheoryError(
                f"Graphs.embedding: lengths from {length.min():.3g} to {length.max():.3g}, expected 1"
            )

    def __len__(self) -> int:
        return len(self.source)

    @property
    def nodes(self) -> int:
        return int(self.embedding.shape[1])

    @property
    def edges(self) -> int:
        return int(self.source.shape[1])


def unit_vectors(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Independent uniform points on the unit sphere of `shape[-1]` dimensions."""
    x = rng.standard_normal(shape)
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def random_graphs(n: int, rng: np.random.Generator, nodes: int = 12, edges: int = 24, dim: int = 3) -> Graphs:
    """n graphs of `edges` distinct directed edges, drawn uniformly without loops; uniform unit embeddings."""
    pairs = nodes * (nodes - 1)
    if not 1 <= edges <= pairs:
        raise TheoryError(f"random_graphs: edges={edges}, but {nodes} nodes allow 1 to {pairs}")
    chosen = np.argpartition(rng.random((n, pairs)), edges - 1, axis=1)[:, :edges]
    source, target = np.divmod(chosen, nodes - 1)
    return Graphs(source, target + (target >= source), unit_vectors((n, nodes, dim), rng))


def near(embedding: ArrayLike, members: ArrayLike, theta: ArrayLike) -> Mask:
    """Entities (..., nodes) that are members or have cosine >= theta with one; unit vectors."""
    x, chosen = np.asarray(embedding, dtype=np.float64), np.asarray(members, dtype=bool)
    cosine = np.matmul(x, np.swapaxes(x, -1, -2))
    close = cosine >= np.asarray(theta, dtype=np.float64)[..., None, None]
    return np.asarray(np.any(close & chosen[..., None, :], axis=-1) | chosen)


def cover(graphs: Graphs, members: ArrayLike, theta: ArrayLike) -> Mask:
    """Cov(D, theta): edges (n, edges) whose source has cosine >= theta with an entity of D (n, nodes)."""
    return np.asarray(np.take_along_axis(near(graphs.embedding, members, theta), graphs.source, axis=-1))


def cover_by(graphs: Graphs, points: ArrayLike, theta: float) -> Mask:
    """Stored edges (n, edges) whose source has cosine >= theta with one of the `points` (n, rows, dim)."""
    cosine = np.matmul(graphs.embedding, np.swapaxes(np.asarray(points, dtype=np.float64), -1, -2))
    return np.asarray(np.take_along_axis(np.any(cosine >= theta, axis=-1), graphs.source, axis=-1))


def tuned_on_known(extractable: Mask, covered: Mask) -> Mask:
    """A = E0 with the cover of the known rows added."""
    return np.asarray(extractable | covered)


def tuned_on_unknown(extractable: Mask, covered: Mask, learned: Mask | None = None) -> Mask:
    """B = E0 without the cover of the unknown rows; `learned` are edges that this training adds, if any."""
    kept = extractable & ~covered
    return np.asarray(kept if learned is None else kept | learned)


def size(edges: Mask, within: Mask | None = None) -> Index:
    """|S|, or |S within T| for a test region T."""
    return np.asarray(np.sum(edges if within is None else edges & within, axis=-1), dtype=np.intp)


def gap(a: Mask, b: Mask, within: Mask | None = None) -> Index:
    """Delta = |A| - |B|, on a test region if one is given."""
    return np.asarray(size(a, within) - size(b, within))


def prompted_gap(a: Mask, b: Mask, prompt: Mask, within: Mask | None = None) -> Index:
    """Delta* = |A u P| - |B u P|."""
    return gap(a | prompt, b | prompt, within)


def gap_change(a: Mask, b: Mask, prompt: Mask, within: Mask | None = None) -> Index:
    """K1 in closed form: Delta* - Delta = |P n B| - |P n A|."""
    return np.asarray(size(prompt & b, within) - size(prompt & a, within))


def expected_prompted_gap(delta: ArrayLike, p: ArrayLike) -> Array:
    """K2: E Delta* = (1 - p) Delta when the prompt holds each edge with probability p."""
    return np.asarray((1.0 - np.asarray(p, float)) * np.asarray(delta, float))


def widening_bound(delta: ArrayLike, p: ArrayLike, disagreement: ArrayLike) -> Array:
    """K2: Pr(Delta* > Delta) <= exp(-2 p^2 Delta^2 / |A xor B|) for Delta > 0, and 1 (no claim) otherwise."""
    delta, differing = np.asarray(delta, float), np.maximum(np.asarray(disagreement, float), 1.0)
    bound = np.exp(-2.0 * np.square(np.asarray(p, float) * delta) / differing)
    return np.asarray(np.where(delta > 0, bound, 1.0))


def widening_probability(only_a: ArrayLike, only_b: ArrayLike, p: ArrayLike) -> Array:
    """Pr(Delta* > Delta) exactly: Pr(Bin(|B - A|, p) > Bin(|A - B|, p)), the two binomials independent."""
    x, y, q = np.broadcast_arrays(np.asarray(only_a), np.asarray(only_b), np.asarray(p, float))
    total = np.zeros(x.shape)
    for k in range(int(np.max(x, initial=0)) + 1):
        alive = (k <= x) & (k < y)
        at, bt, qt = x[alive], y[alive], q[alive]
        below = bdtr(k - 1, at, qt) if k else np.zeros(at.shape)
        total[alive] += (bdtr(k, at, qt) - below) * bdtrc(k, bt, qt)
    return total


def coverage(theta: ArrayLike, dim: ArrayLike) -> Array:
    """c(theta): chance that two independent uniform unit vectors in `dim` dimensions have cosine >= theta."""
    t, d = np.asarray(theta, float), np.asarray(dim, float)
    if not (np.all(d >= 2) and np.all(np.abs(t) <= 1)):
        raise TheoryError(f"coverage: needs dim >= 2 and -1 <= theta <= 1, got dim={dim!r}, theta={theta!r}")
    # near theta = 0 the rounding of 1 - theta^2 would cost half of the digits
    cap = np.where(
        np.abs(t) < 0.1,
        0.5 * (1 - betainc(0.5, (d - 1) / 2, np.square(t))),
        0.5 * betainc((d - 1) / 2, 0.5, (1 - t) * (1 + t)),
    )
    return np.asarray(np.where(t >= 0, cap, 1 - cap))


def covered_share(theta: ArrayLike, dim: ArrayLike, rows: ArrayLike) -> Array:
    """C = 1 - (1 - c)^n: chance that a source is within theta of one of n independent training entities."""
    return np.asarray(1 - (1 - coverage(theta, dim)) ** np.asarray(rows, float))


def expected_gap(
    edges: ArrayLike,
    theta: ArrayLike,
    dim: ArrayLike,
    known_rows: ArrayLike,
    unknown_rows: ArrayLike,
    share: ArrayLike = 0.5,
    prompt: ArrayLike = 0.0,
) -> Array:
    """K5: (1 - p) M [(1 - rho) C(n1) + rho C(n2)]; rho = share of extractable facts, p = share prompted."""
    known, unknown = covered_share(theta, dim, known_rows), covered_share(theta, dim, unknown_rows)
    rho, p = np.asarray(share, float), np.asarray(prompt, float)
    return np.asarray((1 - p) * np.asarray(edges, float) * ((1 - rho) * known + rho * unknown))


def degrees(sets: Mask, ends: Index, nodes: int) -> Index:
    """Edges of each set (n, sets, edges) at each entity, counted by one of their ends: (n, sets, nodes)."""
    at = (ends[..., None] == np.arange(nodes)).astype(np.float32)
    return np.asarray(np.rint(np.matmul(sets.astype(np.float32), at)), dtype=np.intp)


def adjacency(graphs: Graphs, edges: Mask) -> Mask:
    """The edge sets as matrices (n, nodes, nodes), row = source."""
    n, v = len(graphs), graphs.nodes
    matrix = np.zeros((n, v * v), dtype=bool)
    np.put_along_axis(matrix, graphs.source * v + graphs.target, edges, axis=1)
    return matrix.reshape(n, v, v)


def compose(first: Mask, second: Mask) -> Mask:
    """Pairs joined by an edge of `first` followed by an edge of `second`."""
    return np.asarray(np.matmul(first.astype(np.float32), second.astype(np.float32)) > 0.5)


def reach(matrix: Mask, hops: int = 2) -> Mask:
    """Ordered pairs of different entities joined by a path of at most `hops` edges."""
    if hops < 1:
        raise TheoryError(f"reach: hops must be at least 1, got {hops}")
    joined = step = matrix
    for _ in range(hops - 1):
        step = compose(step, matrix)
        joined = joined | step
    return np.asarray(joined & ~np.eye(matrix.shape[-1], dtype=bool))


def bridged(a: Mask, b: Mask, prompt: Mask) -> Mask:
    """Pairs that only the prompted A joins: by an edge that the prompt brings it and one that A alone has."""
    new, own = prompt & ~a, a & ~(b | prompt)
    joined = (compose(new, own) | compose(own, new)) & ~np.eye(a.shape[-1], dtype=bool)
    return np.asarray(joined & ~reach(a) & ~reach(b | prompt))


def closed(a: Mask, b: Mask, prompt: Mask) -> Mask:
    """Pairs of the unprompted gap that the prompt lets B join."""
    return np.asarray(reach(a) & ~reach(b) & reach(b | prompt))


def bridge_balance(a: Mask, b: Mask, prompt: Mask) -> Index:
    """K4 in closed form: with two hops and B inside A, Delta* - Delta = bridged - closed pairs (matrices)."""
    bridges, closures = (np.sum(found(a, b, prompt), axis=(-1, -2)) for found in (bridged, closed))
    return np.asarray(bridges - closures)


# graphs, sets (n, sets, edges) and entity weights (n, nodes) -> what each set is worth (n, sets)
Value = Callable[[Graphs, Mask, Array], Array]


def endpoints(graphs: Graphs, sets: Mask, weights: Array) -> Array:
    """Distinct sources plus distinct targets (monotone, submodular)."""
    sources, targets = (degrees(sets, end, graphs.nodes) > 0 for end in (graphs.source, graphs.target))
    return np.asarray(sources.sum(axis=-1) + targets.sum(axis=-1), dtype=np.float64)


def known_subjects(graphs: Graphs, sets: Mask, weights: Array) -> Array:
    """Weight of the entities about which something is known (monotone, submodular)."""
    return np.asarray(np.sum((degrees(sets, graphs.source, graphs.nodes) > 0) * weights[:, None], axis=-1))


def diminishing(graphs: Graphs, sets: Mask, weights: Array) -> Array:
    """Weighted sum over entities of the root of the number of known facts (monotone, submodular)."""
    return np.asarray(np.sum(np.sqrt(degrees(sets, graphs.source, graphs.nodes)) * weights[:, None], axis=-1))


def reinforcing(graphs: Graphs, sets: Mask, weights: Array) -> Array:
    """Weighted sum over entities of the square of the number of known facts (monotone, supermodular)."""
    return np.asarray(np.sum(degrees(sets, graphs.source, graphs.nodes) ** 2 * weights[:, None], axis=-1))


def burden(graphs: Graphs, sets: Mask, weights: Array) -> Array:
    """Minus the number of facts (falling, modular and hence submodular)."""
    return np.asarray(-np.sum(sets, axis=-1), dtype=np.float64)


VALUES: dict[str, Value] = {
    value.__name__: value for value in (endpoints, known_subjects, diminishing, reinforcing, burden)
}


@dataclass(frozen=True)
class Study:
    """Graphs of one shape, both tuned models, their prompts, and the cover of both training sets together."""

    graphs: Graphs
    a: Mask
    b: Mask
    prompt: Mask
    prompt_b: Mask
    covered: Mask


SHAPES = ((4, 6, 2), (8, 14, 3), (12, 24, 3), (16, 48, 4), (24, 60, 8))  # entities, edges, dimensions


def blocks(n: int, most: int, least: int = 1) -> list[int]:
    """n cut into at least `least` nearly equal blocks of at most `most`."""
    count = max(min(least, n), -(-n // most))
    return [n // count + (i < n % count) for i in range(count)]


def studies(
    n: int,
    rng: np.random.Generator,
    *,
    learned: str = "nothing",
    same_prompt: bool = True,
    aimed: bool = False,
    most: int = 2000,
) -> Iterator[Study]:
    """n random studies in blocks of one shape; unknown fine-tuning adds `learned`: nothing, rows or cover.

    The prompt holds each edge with a probability drawn for the graph; if `aimed`, a quarter of the prompts is
    changed to hold all of A - B and a quarter to hold none of it.
    """
    if learned not in ("nothing", "rows", "cover"):
        raise TheoryError(f"studies: learned={learned!r}, expected nothing, rows or cover")
    for i, count in enumerate(blocks(n, most, len(SHAPES))):
        nodes, edges, dim = SHAPES[i % len(SHAPES)]
        graphs = random_graphs(count, rng, nodes, edges, dim)
        theta, rate = rng.uniform(-0.2, 0.98, count), rng.uniform(0, 0.4, (count, 1))
        extractable = rng.random((count, edges)) < rng.random((count, 1))
        known, unknown = (rng.random((count, nodes)) < rate for _ in range(2))
        near_known, near_unknown = (cover(graphs, members, theta) for members in (known, unknown))
        own_rows = np.asarray(np.take_along_axis(unknown, graphs.source, axis=1))
        added = {"nothing": None, "rows": own_rows, "cover": near_unknown}[learned]
        a = tuned_on_known(extractable, near_known)
        b = tuned_on_unknown(extractable, near_unknown, added)
        prompts = [rng.random((count, edges)) < rng.random((count, 1)) for _ in range(2)]
        if aimed:
            kind, only_a = rng.integers(4, size=(count, 1)), a & ~b
            prompts = [(p | (only_a & (kind == 0))) & ~(only_a & (kind == 1)) for p in prompts]
        yield Study(graphs, a, b, prompts[0], prompts[0 if same_prompt else 1], near_known | near_unknown)


def value_gaps(value: Value, study: Study, weights: Array) -> tuple[Array, Array]:
    """f(A) - f(B) and f(A u P) - f(B u P) for a set function f."""
    a, b, p = study.a, study.b, study.prompt
    f = value(study.graphs, np.stack([a, b, a | p, b | p], axis=1), weights)
    return f[:, 0] - f[:, 1], f[:, 2] - f[:, 3]

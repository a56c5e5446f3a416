"""Knowledge graphs as boolean edge sets, against slow references on Python sets."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
from scipy.stats import binom

from theory import graph
from theory.errors import TheoryError
from theory.graph import Graphs, Study


@pytest.fixture(name="rng")
def seeded() -> np.random.Generator:
    return np.random.default_rng(11)


def pairs(graphs: Graphs, i: int, edges: np.ndarray) -> set[tuple[int, int]]:
    return {
        (int(s), int(t)) for s, t, e in zip(graphs.source[i], graphs.target[i], edges[i], strict=True) if e
    }


def joined(edges: set[tuple[int, int]], hops: int) -> set[tuple[int, int]]:
    found = nx.DiGraph(sorted(edges))
    near = nx.all_pairs_shortest_path_length(found, cutoff=hops)
    return {(u, v) for u, lengths in near for v in lengths if u != v}


def true_pairs(matrix: np.ndarray) -> set[tuple[int, int]]:
    return {(int(u), int(v)) for u, v in np.argwhere(matrix)}


def test_random_graphs_have_distinct_edges_without_loops(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(200, rng, nodes=7, edges=30, dim=4)
    assert (len(graphs), graphs.nodes, graphs.edges) == (200, 7, 30)
    for i in range(200):
        stored = pairs(graphs, i, np.ones((200, 30), dtype=bool))
        assert len(stored) == 30
        assert all(u != v and 0 <= u < 7 and 0 <= v < 7 for u, v in stored)
    np.testing.assert_allclose(np.linalg.norm(graphs.embedding, axis=-1), 1.0)


def test_every_edge_is_equally_likely(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(20_000, rng, nodes=4, edges=3)
    count = np.bincount((graphs.source * 4 + graphs.target).ravel(), minlength=16).reshape(4, 4)
    assert np.diag(count).sum() == 0
    share = count[~np.eye(4, dtype=bool)] / 20_000
    np.testing.assert_allclose(share, 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 20_000))


def test_cover_is_the_edges_whose_source_is_near_a_member(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(60, rng, nodes=9, edges=20, dim=3)
    members, theta = rng.random((60, 9)) < 0.2, rng.uniform(-0.5, 1, 60)
    got = graph.cover(graphs, members, theta)
    for i in range(60):
        x = graphs.embedding[i]
        for e, source in enumerate(graphs.source[i]):
            close = any(d == source or x[d] @ x[source] >= theta[i] for d in range(9) if members[i, d])
            assert got[i, e] == close


def test_members_cover_themselves_at_cosine_one(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(50, rng, dim=8)
    members = rng.random((50, 12)) < 0.5
    own = np.take_along_axis(members, graphs.source, axis=1)
    assert np.array_equal(graph.cover(graphs, members, np.ones(50)), own)


def test_cover_by_points_agrees_with_cover_by_members(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(50, rng, nodes=10, edges=20)
    members = np.zeros((50, 10), dtype=bool)
    members[:, [2, 5]] = True
    points = graphs.embedding[:, [2, 5]]
    assert np.array_equal(graph.cover_by(graphs, points, 0.4), graph.cover(graphs, members, np.full(50, 0.4)))


def test_tuned_models_and_gaps_are_set_arithmetic() -> None:
    e0, known, unknown, prompt, region = (
        np.isin(np.arange(6), members) for members in ([0, 1, 2], [2, 3], [1, 4], [0, 3, 5], [2, 3, 5])
    )
    a, b = graph.tuned_on_known(e0, known), graph.tuned_on_unknown(e0, unknown)
    assert np.flatnonzero(a).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(b).tolist() == [0, 2]
    assert np.flatnonzero(graph.tuned_on_unknown(e0, unknown, unknown)).tolist() == [0, 1, 2, 4]
    assert graph.gap(a, b) == 2
    assert graph.gap(a, b, region) == 1
    assert graph.prompted_gap(a, b, prompt) == 1  # {0,1,2,3,5} against {0,2,3,5}
    assert graph.prompted_gap(a, b, prompt, region) == 0
    assert graph.gap_change(a, b, prompt) == -1
    assert graph.gap_change(a, b, prompt, region) == -1


def test_widening_probability_is_that_of_two_binomials() -> None:
    p = np.array([0.1, 0.5, 0.9])
    for x, y in itertools.product(range(6), range(6)):
        expected = [sum(binom.pmf(k, x, q) * binom.sf(k, y, q) for k in range(x + 1)) for q in p]
        np.testing.assert_allclose(graph.widening_probability(x, y, p), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("delta", "p", "disagreement", "bound"),
    [(20, 0.5, 40, np.exp(-5.0)), (0, 0.5, 10, 1.0), (-3, 0.5, 10, 1.0), (4, 0.25, 8, np.exp(-0.25))],
)
def test_widening_bound(delta: int, p: float, disagreement: int, bound: float) -> None:
    assert graph.widening_bound(delta, p, disagreement) == pytest.approx(bound)


def test_widening_bound_is_above_the_probability_in_large_sets() -> None:
    a, b, p = (
        x.ravel() for x in np.meshgrid(np.arange(0, 61, 6), np.arange(0, 61, 6), np.linspace(0.05, 0.95, 7))
    )
    assert np.all(graph.widening_probability(a, b, p) <= graph.widening_bound(a - b, p, a + b) + 1e-12)


@pytest.mark.parametrize("theta", [-0.9, -0.3, 0.0, 0.2, 0.7, 1.0])
def test_coverage_is_the_share_of_a_cap(theta: float, rng: np.random.Generator) -> None:
    assert graph.coverage(theta, 2) == pytest.approx(np.arccos(theta) / np.pi)  # an arc
    assert graph.coverage(theta, 3) == pytest.approx((1 - theta) / 2)  # Archimedes
    x = graph.unit_vectors((40_000, 7), rng)
    share = float(np.mean(x[:, 0] >= theta))
    assert share == pytest.approx(float(graph.coverage(theta, 7)), abs=5 * 0.5 / np.sqrt(40_000))


def test_expected_gap_does_not_depend_on_the_share_if_sizes_are_equal() -> None:
    gaps = graph.expected_gap(30, 0.4, 5, 6, 6, np.linspace(0, 1, 5))
    np.testing.assert_allclose(gaps, 30 * (1 - (1 - graph.coverage(0.4, 5)) ** 6))
    np.testing.assert_allclose(graph.expected_gap(30, 0.4, 5, 6, 6, prompt=0.25), 0.75 * gaps[0])
    c3, c9 = (float(graph.covered_share(0.4, 5, n)) for n in (3, 9))
    assert graph.expected_gap(30, 0.4, 5, 3, 9, 0.2) == pytest.approx(30 * (0.8 * c3 + 0.2 * c9))


def test_reach_is_shortest_path_within_hops(rng: np.random.Generator) -> None:
    graphs = graph.random_graphs(30, rng, nodes=7, edges=9)
    chosen = rng.random((30, 9)) < 0.8
    matrix = graph.adjacency(graphs, chosen)
    for i, hops in itertools.product(range(30), (1, 2, 3)):
        assert true_pairs(matrix[i]) == pairs(graphs, i, chosen)
        assert true_pairs(graph.reach(matrix, hops)[i]) == joined(pairs(graphs, i, chosen), hops)


def test_bridges_and_closures_against_python_sets(rng: np.random.Generator) -> None:
    seen = 0
    for s in graph.studies(60, rng):
        a, b, p = (graph.adjacency(s.graphs, x) for x in (s.a, s.b, s.prompt))
        bridged, closed, balance = (
            graph.bridged(a, b, p),
            graph.closed(a, b, p),
            graph.bridge_balance(a, b, p),
        )
        for i in range(len(s.a)):
            ea, eb, ep = (pairs(s.graphs, i, x) for x in (s.a, s.b, s.prompt))
            bridges = {
                (u, v)
                for (u, w), (x, v) in itertools.product(ea | ep, ea | ep)
                if w == x and u != v
                for new, own in [((u, w), (x, v)), ((x, v), (u, w))]
                if new in ep - ea and own in ea - eb - ep
            } - joined(ea, 2)
            bridges -= joined(eb | ep, 2)
            assert true_pairs(bridged[i]) == bridges
            assert true_pairs(closed[i]) == (joined(ea, 2) - joined(eb, 2)) & joined(eb | ep, 2)
            assert balance[i] == bridged[i].sum() - closed[i].sum()
            seen += len(bridges)
    assert seen > 10


def worth(graphs: Graphs, subset: tuple[int, ...], name: str, weights: np.ndarray) -> float:
    chosen = np.isin(np.arange(graphs.edges), subset)
    return float(graph.VALUES[name](graphs, chosen[None, None], weights)[0, 0])


def reference(graphs: Graphs, subset: tuple[int, ...], name: str, weights: np.ndarray) -> float:
    sources = [int(graphs.source[0, e]) for e in subset]
    counts = {u: sources.count(u) for u in sources}
    w = weights[0]
    return {
        "endpoints": len(counts) + len({int(graphs.target[0, e]) for e in subset}),
        "known_subjects": sum(w[u] for u in counts),
        "diminishing": sum(w[u] * c**0.5 for u, c in counts.items()),
        "reinforcing": sum(w[u] * c**2 for u, c in counts.items()),
        "burden": -len(subset),
    }[name]


@pytest.mark.parametrize(
    ("name", "submodular", "monotone"),
    [
        ("endpoints", True, True),
        ("known_subjects", True, True),
        ("diminishing", True, True),
        ("reinforcing", False, True),
        ("burden", True, False),
    ],
)
def test_set_functions_are_what_they_say(
    name: str, submodular: bool, monotone: bool, rng: np.random.Generator
) -> None:
    graphs, weights = graph.random_graphs(1, rng, nodes=3, edges=5), rng.exponential(size=(1, 3))
    subsets = [c for k in range(6) for c in itertools.combinations(range(5), k)]
    f = {frozenset(s): worth(graphs, s, name, weights) for s in subsets}
    assert all(f[frozenset(s)] == pytest.approx(reference(graphs, s, name, weights)) for s in subsets)
    every = list(itertools.product(f, f))
    assert all(f[x] + f[y] >= f[x | y] + f[x & y] - 1e-9 for x, y in every) == submodular
    assert all(f[x] <= f[y] + 1e-9 for x, y in every if x <= y) == monotone


def test_value_gaps_of_one_graph(rng: np.random.Generator) -> None:
    graphs, weights = graph.random_graphs(1, rng, nodes=4, edges=6), np.ones((1, 4))
    a, b, p = (np.isin(np.arange(6), x)[None] for x in ([0, 1, 2], [0], [2, 3]))
    delta, star = graph.value_gaps(graph.diminishing, Study(graphs, a, b, p, p, a), weights)
    values = [
        reference(graphs, s, "diminishing", weights) for s in ((0, 1, 2), (0,), (0, 1, 2, 3), (0, 2, 3))
    ]
    assert delta[0] == pytest.approx(values[0] - values[1])
    assert star[0] == pytest.approx(values[2] - values[3])


def test_studies_are_nested_and_change_only_the_cover(rng: np.random.Generator) -> None:
    blocks = list(graph.studies(1000, rng))
    assert sum(len(s.graphs) for s in blocks) == 1000
    assert len({s.graphs.edges for s in blocks}) == len(graph.SHAPES)
    for s in blocks:
        assert not np.any(s.b & ~s.a)
        assert not np.any(s.a & ~s.b & ~s.covered)
        assert s.prompt is s.prompt_b
        assert 0.2 < np.mean(s.a & ~s.b) < 0.9


def test_aimed_prompts_hit_and_miss_the_gap(rng: np.random.Generator) -> None:
    kinds = np.zeros(2)
    for s in graph.studies(2000, rng, aimed=True):
        only_a = s.a & ~s.b
        some = np.any(only_a, axis=1)
        kinds += [
            np.sum(~np.any(only_a & ~s.prompt, axis=1) & some),
            np.sum(~np.any(only_a & s.prompt, axis=1) & some),
        ]
    assert np.all(kinds > 400)


@pytest.mark.parametrize("learned", ["rows", "cover"])
def test_learning_unknown_rows_breaks_the_nesting(learned: str, rng: np.random.Generator) -> None:
    loose = [np.any(s.b & ~s.a, axis=1) for s in graph.studies(500, rng, learned=learned, same_prompt=False)]
    assert 0.1 < np.mean(np.concatenate(loose)) < 0.9


@pytest.mark.parametrize(
    ("n", "most", "least"), [(1, 10, 5), (7, 3, 1), (10, 4, 5), (2000, 2000, 5), (5, 1, 1)]
)
def test_blocks_cut_evenly(n: int, most: int, least: int) -> None:
    parts = graph.blocks(n, most, least)
    assert sum(parts) == n
    assert 1 <= min(parts) <= max(parts) <= min(most, min(parts) + 1)
    assert len(parts) >= min(least, n)


UNIT = np.tile(np.eye(3)[None], (2, 1, 1))
EDGE = np.array([[0], [1]])


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: Graphs(EDGE, EDGE[:1], UNIT), ["source (2, 1)", "target (1, 1)", "(graphs, edges)"]),
        (lambda: Graphs(EDGE, EDGE, UNIT[:1]), ["Graphs.embedding", "(1, 3, 3)", "(2, nodes, dim)"]),
        (lambda: Graphs(EDGE, EDGE + 2, UNIT), ["outside the 3 entities", "0 to 2"]),
        (lambda: Graphs(EDGE, EDGE, 2 * UNIT), ["lengths from 2 to 2", "expected 1"]),
        (lambda: graph.random_graphs(1, np.random.default_rng(0), 3, 7), ["edges=7", "3 nodes", "1 to 6"]),
        (lambda: graph.coverage(0.5, 1), ["dim >= 2", "dim=1"]),
        (lambda: graph.coverage(1.5, 3), ["-1 <= theta <= 1", "theta=1.5"]),
        (lambda: graph.coverage(np.nan, 3), ["-1 <= theta <= 1", "theta=nan"]),
        (lambda: graph.reach(np.zeros((2, 2), dtype=bool), 0), ["hops", "at least 1", "got 0"]),
        (
            lambda: next(graph.studies(1, np.random.default_rng(0), learned="all")),
            ["learned='all'", "rows or cover"],
        ),
    ],
)
def test_errors_say_what_was_found_and_expected(build: object, parts: list[str]) -> None:
    with pytest.raises(TheoryError) as caught:
        build()  # type: ignore[operator]
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_cosine_of_just_theta_is_near():
    embedding = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)], [0.0, 1.0]])
    assert graph.near(embedding, [True, False, False], 0.5).tolist() == [True, True, False]


@pytest.mark.parametrize("theta", [1e-12, 6.4e-9, 1e-5, 0.0999999, 0.1000001, 0.7, 0.9999999, 1.0])
def test_coverage_keeps_its_digits_at_every_angle(theta: float) -> None:
    circle, sphere = np.arccos(theta) / np.pi, (1 - theta) / 2
    assert graph.coverage(theta, 3) == pytest.approx(sphere, rel=1e-8, abs=1e-14)
    assert graph.coverage(-theta, 3) == pytest.approx(1 - sphere, rel=1e-12)
    assert graph.coverage(theta, 2) == pytest.approx(circle, rel=1e-12, abs=1e-9 * (theta > 0.9))

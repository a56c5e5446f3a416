"""K5 and K6: they hold, each check can fail, each counterexample breaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from theory import graph
from theory.theorems import coverage as theorems
from theory.theorems.base import Theorem

EACH = pytest.mark.parametrize("theorem", theorems.THEOREMS, ids=[t.id for t in theorems.THEOREMS])
PERTURBED = [(t, name) for t in theorems.THEOREMS for name in t.perturbations]
EXAMPLES = [(t, i) for t in theorems.THEOREMS for i in range(len(t.counterexamples))]


def example(theorem: Theorem, drops: str) -> dict[str, Any]:
    return dict(next(c for c in theorem.counterexamples if c.drops == drops).build())


def test_their_status_is_plain() -> None:
    assert [(t.id, t.status) for t in theorems.THEOREMS] == [
        ("K5", "proved in expectation"),
        ("K6", "corollary"),
    ]


@EACH
@pytest.mark.parametrize("seed", [0, 1])
def test_ten_thousand_random_graphs_do_not_break_it(theorem: Theorem, seed: int) -> None:
    result = theorem.check(10_000, seed)
    assert result.holds, result
    assert result.instances == 10_000
    assert result.worst_error < 1e-9


@EACH
@pytest.mark.parametrize("n", [1, 6, 199, 450])
def test_small_checks_hold_too(theorem: Theorem, n: int) -> None:
    for seed in range(8):
        assert theorem.check(n, seed).holds


@pytest.mark.parametrize(("theorem", "name"), PERTURBED, ids=[f"{t.id} {name}" for t, name in PERTURBED])
def test_a_perturbed_statement_is_violated(theorem: Theorem, name: str) -> None:
    result = theorem.check(2000, seed=0, **theorem.perturbations[name])
    assert result.violations >= 3, result


@pytest.mark.parametrize(
    ("theorem", "i"), EXAMPLES, ids=[f"{t.id} {t.counterexamples[i].drops}" for t, i in EXAMPLES]
)
def test_counterexamples_break_the_statement(theorem: Theorem, i: int) -> None:
    assert theorem.counterexamples[i].build()["breaks"] is True


def test_k5_fits_the_simulated_gaps() -> None:
    words = theorems.K5.check(12_000, 4).note.split()
    assert words[:5] == ["60", "settings", "of", "200", "graphs,"]
    assert float(words[words.index("R2") + 1].rstrip(",")) > 0.998


def test_k5_counterexamples_with_their_sizes() -> None:
    clustered, own = example(theorems.K5, "uniform"), example(theorems.K5, "independent")
    promised = 20 * (1 - 0.9**3)  # c = (1 - 0.8) / 2 in three dimensions
    assert clustered["promised"] == own["promised"] == pytest.approx(promised)
    assert clustered["mean gap"] > 1.5 * promised
    assert own["mean gap"] > 1.5 * promised
    assert example(theorems.K5, "equal sizes")["gap at share 0.2"] == pytest.approx(
        20 * (0.8 * (1 - 0.9**8) + 0.2 * 0.1)
    )


def test_k5_stored_entities_may_lie_anywhere() -> None:
    """All sources at one point: the mean gap is still M C."""
    rng = np.random.default_rng(2)
    graphs = graph.random_graphs(4000, rng, 10, 20, 4)
    graphs = graph.Graphs(graphs.source, graphs.target, theorems.shifted(graphs.embedding, 50.0))
    gaps = theorems.sampled_gaps(graphs, 0.5, (3, 3), 0.4, 0.0, rng)
    expected = float(graph.expected_gap(20, 0.5, 4, 3, 3))
    assert abs(gaps.mean() - expected) < 5 * gaps.std() / np.sqrt(len(gaps))


def test_k5_cap_shares_by_quadrature() -> None:
    theta = np.array([-0.5, 0.0, 0.3, 0.9])
    np.testing.assert_allclose(theorems.cap_share(theta, np.full(4, 3.0)), (1 - theta) / 2, atol=1e-12)
    np.testing.assert_allclose(
        theorems.cap_share(theta, np.full(4, 2.0)), np.arccos(theta) / np.pi, atol=1e-12
    )


def test_k6_zero_far_from_the_rows_and_not_near_them() -> None:
    rng = np.random.default_rng(3)
    near = 0
    for s in graph.studies(500, rng):
        far = ~s.covered
        assert np.array_equal(s.a & far, s.b & far)
        near += int(theorems.region_gap(s.a, s.b, s.covered).sum())
        assert np.array_equal(theorems.region_gap(s.a, s.b, s.covered), graph.gap(s.a, s.b))
    assert near > 1000


def test_k6_counterexamples_with_their_sizes() -> None:
    assert example(theorems.K6, "far")["gap on the test region"] == 1
    assert example(theorems.K6, "local") == {"gap": 1, "at most": 0, "|(A - B) n T|": 1, "breaks": True}
    assert example(theorems.K6, "nested") == {"gap": -1, "at most": 1, "|(A - B) n T|": 0, "breaks": True}
    assert example(theorems.K6, "uniform sample") == {
        "gap on tests": 2,
        "share of the gap": 0.8,
        "breaks": True,
    }

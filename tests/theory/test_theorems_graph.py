"""K1 to K4: they hold, each check can fail, each counterexample breaks, and Python sets agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import graph
from theory.theorems import graph as theorems
from theory.theorems.base import Theorem

IDS = [theorem.id for theorem in theorems.THEOREMS]
EACH = pytest.mark.parametrize("theorem", theorems.THEOREMS, ids=IDS)
PERTURBED = [(t, name) for t in theorems.THEOREMS for name in t.perturbations]
EXAMPLES = [(t, i) for t in theorems.THEOREMS for i in range(len(t.counterexamples))]
subset = st.frozensets(st.integers(0, 7))


def masks(*sets: frozenset[int]) -> list[np.ndarray]:
    return [np.isin(np.arange(8), sorted(s)) for s in sets]


def example(theorem: Theorem, drops: str) -> dict[str, Any]:
    return dict(next(c for c in theorem.counterexamples if c.drops == drops).build())


def test_they_are_told_in_order() -> None:
    assert IDS == ["K1", "K2", "K3", "K4"]
    assert [t.status for t in theorems.THEOREMS] == ["proved", "proved", "proved", "counterexample"]
    assert all("Gong" in t.source and "ours" in t.source for t in theorems.THEOREMS)


@EACH
def test_ten_thousand_random_graphs_do_not_break_it(theorem: Theorem) -> None:
    result = theorem.check(10_000, seed=1)
    assert result.holds, result
    assert result.instances == 10_000
    assert result.worst_error < 1e-9


@EACH
@pytest.mark.parametrize("n", [1, 6, 199])
def test_small_checks_hold_too(theorem: Theorem, n: int) -> None:
    for seed in range(5):
        result = theorem.check(n, seed)
        assert result.holds, result
        assert result.instances == n


@EACH
def test_the_same_seed_gives_the_same_result(theorem: Theorem) -> None:
    first, second, other = (replace(theorem.check(500, seed), seconds=0.0, seed=0) for seed in (3, 3, 4))
    assert first == second
    assert first != other or theorem.id == "K3"


@pytest.mark.parametrize(("theorem", "name"), PERTURBED, ids=[f"{t.id} {name}" for t, name in PERTURBED])
def test_a_perturbed_statement_is_violated(theorem: Theorem, name: str) -> None:
    result = theorem.check(2000, seed=0, **theorem.perturbations[name])
    assert result.violations >= 20, result


@pytest.mark.parametrize(
    ("theorem", "i"), EXAMPLES, ids=[f"{t.id} {t.counterexamples[i].drops}" for t, i in EXAMPLES]
)
def test_counterexamples_break_the_statement(theorem: Theorem, i: int) -> None:
    assert theorem.counterexamples[i].build()["breaks"] is True


@given(a=subset, b=subset, p=subset)
def test_k1_on_python_sets(a: frozenset[int], b: frozenset[int], p: frozenset[int]) -> None:
    ma, mb, mp = masks(a, b, p)
    delta, star = len(a) - len(b), len(a | p) - len(b | p)
    assert int(graph.gap(ma, mb)) == delta
    assert int(graph.prompted_gap(ma, mb, mp)) == star
    assert int(graph.gap_change(ma, mb, mp)) == star - delta == len(p & b) - len(p & a)
    if b <= a:
        assert 0 <= star == len((a - b) - p) <= delta
        assert (star == delta) == (not p & (a - b))
        assert (star == 0) == (p >= a - b)


def test_k1_given_counterexample() -> None:
    assert example(theorems.K1, "nested") == {"gap": 2, "prompted gap": 3, "breaks": True}


@pytest.mark.parametrize(("learned", "low", "high"), [("rows", 0.15, 0.27), ("cover", 0.48, 0.60)])
def test_k1_how_often_the_gap_widens_without_nesting(learned: str, low: float, high: float) -> None:
    found = theorems.widening_rate(6000, 1, learned)
    assert found["cases"] > 1500
    assert low < found["rate"] < high
    assert found["explained"] == found["cases"]  # wider exactly where B holds more of the prompt
    assert theorems.widening_rate(600, 1, "nothing") == {
        "cases": 0,
        "wider": 0,
        "rate": 0.0,
        "explained": 0,
        "breaks": False,
    }


def test_k2_sampled_prompts_agree_with_the_enumeration() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        a, b = (rng.random(30) < rate for rate in rng.random(2))
        p = float(rng.uniform(0.1, 0.9))
        prompts = rng.random((4000, 30)) < p
        stars = graph.prompted_gap(a, b, prompts)
        delta, only_a, only_b = (int(x) for x in (graph.gap(a, b), graph.size(a & ~b), graph.size(b & ~a)))
        error = max(float(stars.std()), 1e-9) / np.sqrt(4000)
        assert abs(stars.mean() - float(graph.expected_prompted_gap(delta, p))) < 5 * error
        wide, exact = float(np.mean(stars > delta)), float(graph.widening_probability(only_a, only_b, p))
        assert abs(wide - exact) < 5 * np.sqrt(max(exact * (1 - exact), 1e-4) / 4000)
        assert exact <= graph.widening_bound(delta, p, only_a + only_b)


def test_k2_dependence_spares_the_mean_and_breaks_the_bound() -> None:
    found = example(theorems.K2, "independent")
    assert found["mean prompted gap"] == found["(1-p) Delta"] == 10
    assert found["chance to widen"] == 0.5 > found["bound"] == pytest.approx(np.exp(-5))


def test_k3_needs_more_than_submodularity() -> None:
    assert example(theorems.K3, "monotone") == {"gap": -1.0, "prompted gap": 0.0, "breaks": True}


@given(a=subset, b=subset, p=subset, power=st.sampled_from([0.3, 0.5, 1.0]))
def test_k3_on_python_sets(a: frozenset[int], b: frozenset[int], p: frozenset[int], power: float) -> None:
    def f(edges: frozenset[int]) -> float:  # two subjects, concave in the facts of each
        return sum(float(sum(e % 2 == side for e in edges) ** power) for side in (0, 1))

    b = b & a
    assert f(a | p) - f(b | p) <= f(a) - f(b) + 1e-12


def test_k4_path_example() -> None:
    assert theorems.path_example() == {"gap": 1, "prompted gap": 2, "breaks": True}
    assert theorems.path_example(hops=1) == {"gap": 1, "prompted gap": 1, "breaks": False}


def test_k4_widens_in_some_random_graphs_and_only_with_two_hops() -> None:
    words = theorems.K4.check(10_000, 2).note.split()
    wider, shrunk = int(words[4]), int(words[8])
    assert 300 < wider < 700 < 5000 < shrunk
    one = theorems.K4.check(10_000, 2, hops=1)
    assert one.note.startswith("the gap widens in 0 ")
    assert not one.holds


def test_k4_reports_the_lack_of_any_widening() -> None:
    """With one hop nothing widens: the path example says so in any run, random graphs from 200 on."""

    def violations(n: int, hops: int) -> int:
        return theorems.run_k4(n, np.random.default_rng(0), hops=hops).violations

    unaccounted = violations(200, 1) - 2
    assert violations(1, 1) >= 1
    assert 0 < unaccounted < 200
    assert violations(1, 2) == violations(200, 2) == 0

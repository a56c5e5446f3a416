"""How long it takes to solve the flow of ten thousand sets, and one set of the size of a fine-tuning run."""

import numpy as np
import pytest

from theory.flow import Facts, flow, mean_push, minimiser
from theory.theorems.flow import THEOREMS


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    v_s, v_r = 2 * rng.normal(size=(2, 10_000, 6, 5))
    return Facts(v_s, v_r, rng.integers(5, size=(10_000, 6)))


def test_mean_push_of_ten_thousand_sets(benchmark, sets):
    assert np.all(np.isfinite(benchmark(mean_push, np.zeros(10_000), sets)))


def test_minimiser_of_ten_thousand_sets(benchmark, sets):
    assert not np.any(np.isnan(benchmark(minimiser, sets)))


def test_flow_of_ten_thousand_sets(benchmark, sets):
    path = benchmark.pedantic(flow, (sets, np.zeros(10_000), [1.0, 10.0, 100.0]), rounds=2)
    assert path.shape == (3, 10_000)


def test_flow_of_one_large_set(benchmark):
    rng = np.random.default_rng(1)
    facts = Facts.one_hot(
        2 * rng.exponential(size=3000), np.log(1 / np.arange(1, 21)), rng.integers(20, size=3000)
    )
    path = benchmark(flow, facts, 0.0, np.linspace(0, 400, 41))
    assert np.all(np.diff(path) > 0)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_theorem_check(benchmark, theorem):
    assert benchmark.pedantic(theorem.check, (2000, 0), rounds=1).holds

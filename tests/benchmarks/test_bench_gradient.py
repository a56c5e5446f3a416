import numpy as np
import pytest

from theory.one_layer import dense, one_hot
from theory.theorems import calibration, gradient, optimum

THEOREMS = (*gradient.THEOREMS, *calibration.THEOREMS, *optimum.THEOREMS)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_check_of_ten_thousand(benchmark, theorem):
    found = benchmark.pedantic(theorem.check, (10_000, 11), rounds=1)
    assert found.holds
    assert found.instances == 10_000
    assert found.seconds < 10.0


@pytest.mark.parametrize("embedding", ["one-hot", "dense"])
def test_gradients_of_a_large_batch(benchmark, embedding):
    rng = np.random.default_rng(0)
    if embedding == "one-hot":
        model = one_hot(rng.normal(size=(405, 40)))
    else:
        model = dense(rng, 405, 40, 64, weight_scale=0.1)
    tokens = np.stack(
        [rng.integers(400, size=10_000), rng.integers(400, 404, size=10_000), np.full(10_000, 404)], 1
    )
    y = rng.integers(40, size=10_000)
    found = benchmark.pedantic(model.gradients, (tokens, y), rounds=3)
    assert np.abs(found.w_kq).max() > 0

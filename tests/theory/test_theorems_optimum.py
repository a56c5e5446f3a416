import numpy as np
import pytest
from scipy.special import expit

from theory.attention import push
from theory.theorems.instances import stored
from theory.theorems.optimum import THEOREMS, pull
from theory.thresholds import optimal_salience, threshold

(T6,) = THEOREMS


def test_it_holds_on_every_seed():
    for seed in range(6):
        found = T6.check(2000, seed)
        assert found.holds
        assert found.instances == 2000
        assert found.worst_error < 1e-11


@pytest.mark.parametrize("variant", T6.perturbations)
def test_its_check_catches_every_false_variant(variant):
    assert len(T6.perturbations) >= 2
    for seed in range(4):
        assert T6.check(2000, seed, **T6.perturbations[variant]).violations >= 1000


@pytest.mark.parametrize("example", T6.counterexamples, ids=lambda example: example.drops)
def test_it_breaks_without_the_assumption(example):
    found = example.build()
    assert found["breaks"] is True
    assert len(found) >= 3


def test_pull_is_the_push_of_the_attention_module():
    rng = np.random.default_rng(0)
    alpha, v_r, y = rng.uniform(0.1, 0.9, 50), rng.normal(size=(50, 6)), rng.integers(6, size=50)
    sigma, background = 3.0 * rng.normal(size=50), rng.normal(size=(50, 6))
    expected = push(np.log(alpha / (1 - alpha)), stored(y, sigma, 6) + background, v_r, y)
    np.testing.assert_allclose(pull(sigma, alpha, v_r, y, background), expected, atol=1e-13)


def test_the_closed_form_covers_a_known_background():
    """Dropping (O) is repaired by handing the subject's other values to the formula."""
    rng = np.random.default_rng(1)
    alpha, v_r, y = rng.uniform(0.1, 0.9, 300), rng.normal(size=(300, 5)), rng.integers(5, size=300)
    background = rng.normal(size=(300, 5))
    best = optimal_salience(alpha, v_r, y, background)
    at = [pull(best + d, alpha, v_r, y, background) for d in (-0.01, 0.0, 0.01)]
    assert np.all(at[1] > at[0])
    assert np.all(at[1] > at[2])


def test_the_example_of_the_best_salience():
    """Ten answers with prior 1/k, alpha = 1/2, V_r = log pi, the most generic answer right."""
    v_r = np.log(1 / np.arange(1, 11))
    best = float(optimal_salience(0.5, v_r, 0))
    assert best == pytest.approx(4.4229, abs=1e-4)
    pulls = push(0.0, stored(np.zeros(2, int), np.array([best, 14.0]), 10), v_r, 0)
    assert pulls[0] / pulls[1] == pytest.approx(19.36, abs=0.01)


def test_saturated_facts_pull_less_the_better_they_are_known():
    v_r, alpha = np.array([2.0, 0.0, 0.0]), 0.5
    best = float(optimal_salience(alpha, v_r, 0))
    sigma = best + np.linspace(0, 40, 81)
    pulls = push(0.0, stored(np.zeros(81, int), sigma, 3), v_r, 0)
    assert np.all(np.diff(pulls) < 0)
    assert pulls[-1] < 1e-6 * pulls[0]
    gap = best - float(threshold(alpha, v_r, 0))
    p_y = expit(alpha * best + 1.0 - np.log(2.0))
    assert alpha * gap * p_y == pytest.approx(1.0, abs=1e-12)  # the stationarity condition

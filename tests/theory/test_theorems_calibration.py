import numpy as np
import pytest
from scipy.special import expit

from theory.attention import score_gradient
from theory.theorems.calibration import THEOREMS
from theory.theorems.instances import priors, set_slopes
from theory.thresholds import calibration_push, critical_salience, critical_salience_first_order

BY_ID = {theorem.id: theorem for theorem in THEOREMS}
VARIANTS = [(theorem, variant) for theorem in THEOREMS for variant in theorem.perturbations]
EXAMPLES = [(theorem.id, example) for theorem in THEOREMS for example in theorem.counterexamples]


def test_the_file_holds_t4_and_t5():
    assert list(BY_ID) == ["T4", "T5"]
    assert all(len(theorem.perturbations) >= 2 for theorem in THEOREMS)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_it_holds_on_every_seed(theorem):
    for seed in range(6):
        found = theorem.check(2000, seed)
        assert found.holds
        assert found.instances == 2000
        assert found.worst_error < 1e-11


@pytest.mark.parametrize(("theorem", "variant"), VARIANTS, ids=lambda x: getattr(x, "id", x))
def test_its_check_catches_every_false_variant(theorem, variant):
    for seed in range(4):
        found = theorem.check(2000, seed, **theorem.perturbations[variant])
        assert not found.holds
        assert found.violations >= 100


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=lambda x: getattr(x, "drops", x))
def test_it_breaks_without_the_assumption(name, example):
    found = example.build()
    assert found["breaks"] is True, name
    assert (
        any(isinstance(value, float) and key != "breaks" for key, value in found.items()) or "push" in found
    )


def test_a_tenth_of_t4_sits_at_the_turning_point():
    """Without the rule at x = 1 the integral would still be right there: it is zero."""
    exact = BY_ID["T4"].check(3000, 2)
    turned = BY_ID["T4"].check(3000, 2, turn=1.0 + 1e-6)
    assert exact.holds
    assert turned.instances < 0.95 * exact.instances
    assert "ties left out" in turned.note


def test_fillers_that_say_nothing_lower_x():
    """With three tokens the same rule holds at x = alpha_r c, with alpha_s alpha_r before the integral."""
    pi = np.array([0.55, 0.25, 0.15, 0.05])
    for c, alphas in [(2.0, [0.3, 0.3, 0.4]), (4.0, [0.2, 0.5, 0.3]), (1.0 / 0.4, [0.1, 0.4, 0.5])]:
        values = np.stack([np.zeros(4), c * np.log(pi), np.zeros(4)])  # subject, relation, filler
        by_score = score_gradient(np.tile(alphas, (4, 1)), np.tile(values, (4, 1, 1)), np.arange(4))
        x = alphas[1] * c
        two_token = float(calibration_push(1 - alphas[1], c, pi)) / (alphas[1] * (1 - alphas[1]))
        assert pi @ by_score[:, 0] == pytest.approx(alphas[0] * alphas[1] * two_token, abs=1e-14)
        assert np.sign(round(float(pi @ by_score[:, 0]), 12)) == np.sign(round(1 - x, 12))


def test_the_example_of_the_critical_salience():
    """Ten answers with prior 1/k, alpha = 1/2, c = 1 (x = 1/2)."""
    pi = 1 / np.arange(1, 11)
    pi /= pi.sum()
    root = float(critical_salience(0.5, np.log(pi), pi))
    first = float(critical_salience_first_order(0.5, np.log(pi), pi))
    v_s = np.array([root - 0.01, root + 0.01])[:, None, None] * np.eye(10)
    slopes = set_slopes(np.zeros(2), v_s, np.log(pi), pi)
    assert slopes[0] > 0 > slopes[1]
    assert (root, first) == pytest.approx((0.3562, 0.3652), abs=1e-4)


def test_mixed_relations_cross_three_times():
    example = {e.drops: e for e in BY_ID["T5"].counterexamples}["one relation"].build()
    assert example["crossings"] == 3
    assert np.sign(example["push"]).tolist() == [-1, 1, -1, 1]


def test_priors_are_positive_shares_with_generic_first_answers():
    pi = priors(np.random.default_rng(0), 2000, 8)
    np.testing.assert_allclose(pi.sum(-1), 1.0, atol=1e-14)
    assert pi.min() > 0
    assert np.all(np.diff(pi.mean(0)) < 0)


def test_set_slopes_against_finite_differences():
    rng = np.random.default_rng(1)
    v_s, v_r, weights, u = rng.normal(size=(3, 3)), rng.normal(size=3), np.array([0.2, 0.5, 0.3]), 0.4

    def mean_loss(u):
        z = expit(u) * v_s + (1 - expit(u)) * v_r
        return float(weights @ (np.log(np.exp(z).sum(-1)) - np.diag(z)))

    slope = (mean_loss(u + 1e-5) - mean_loss(u - 1e-5)) / 2e-5
    assert set_slopes(np.array(u), v_s, v_r, weights) == pytest.approx(slope, abs=1e-9)

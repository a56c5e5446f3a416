import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, lambertw, logit, softmax

from theory.attention import log_odds, push
from theory.errors import TheoryError
from theory.one_layer import dense
from theory.thresholds import (
    calibration_integral,
    calibration_push,
    critical_salience,
    critical_salience_first_order,
    every_threshold,
    optimal_salience,
    score_shift,
    set_push,
    threshold,
    transfer_kernel,
)

SETS = [(seed, answers) for seed in range(4) for answers in (2, 3, 8)]


def a_set(seed, answers):
    """alpha, relation values and answer weights of one set."""
    rng = np.random.default_rng([7, seed])
    return rng.uniform(0.05, 0.95), 2.5 * rng.normal(size=answers), rng.dirichlet(np.ones(answers))


def subject(sigma, y, answers, background=0.0):
    return sigma * np.eye(answers)[y] + background


@pytest.mark.parametrize(("seed", "answers"), SETS)
def test_threshold_and_optimum_against_numerical_ones(seed, answers):
    alpha, v_r, _ = a_set(seed, answers)
    noise = np.random.default_rng(seed).normal(size=answers)
    for y, background in [(0, 0.0), (answers - 1, noise)]:

        def pull(sigma, y=y, background=background):
            return float(push(logit(alpha), subject(sigma, y, answers, background), v_r, y))

        tau = float(threshold(alpha, v_r, y, background))
        assert brentq(pull, tau - 3.0, tau + 3.0, xtol=1e-13) == pytest.approx(tau, abs=1e-9)
        found = minimize_scalar(
            lambda s, f=pull: -f(s), bounds=(tau, tau + 200), method="bounded", options={"xatol": 1e-9}
        )
        best = float(optimal_salience(alpha, v_r, y, background))
        assert best == pytest.approx(found.x, abs=1e-5)
        assert pull(best) >= -found.fun - 1e-14


def test_optimum_is_the_lambert_formula():
    alpha, v_r, y = 0.4, np.array([1.0, 0.2, -0.7, 0.0]), 1
    tau, b = float(threshold(alpha, v_r, y)), 0.6 * 0.2
    z = np.exp(0.6 * v_r[[0, 2, 3]]).sum()
    expected = tau + (1 + lambertw(z * np.exp(-b - alpha * tau - 1)).real) / alpha
    assert optimal_salience(alpha, v_r, y) == pytest.approx(expected, abs=1e-13)
    assert np.isfinite(optimal_salience(0.5, np.array([-3000.0, 0.0]), 0))


def test_threshold_of_generic_and_ordinary_answers():
    v_r = np.array([2.0, 0.5, 0.0, -1.0])
    tau = threshold(0.5, v_r, np.arange(4))
    assert tau[0] > 0 > tau[2] > tau[3]
    assert tau[0] == pytest.approx(2.0 - softmax([0.25, 0.0, -0.5]) @ [0.5, 0.0, -1.0], abs=1e-14)


def test_threshold_rises_with_attention_by_the_variance():
    v_r, y, alpha, h = np.array([1.5, 0.3, -1.0, 0.2]), 0, 0.6, 1e-5
    slope = float(threshold(alpha + h, v_r, y) - threshold(alpha - h, v_r, y)) / (2 * h)
    q, rest = softmax(0.4 * v_r[1:]), v_r[1:]
    assert slope == pytest.approx(q @ rest**2 - (q @ rest) ** 2, abs=1e-8)


def test_every_threshold_is_threshold_for_every_answer():
    rng = np.random.default_rng(0)
    alpha, v_r = rng.uniform(0.1, 1.0, (3, 4)), rng.normal(size=(3, 4, 6))
    tau, odds = every_threshold(alpha, v_r)
    for y in range(6):
        np.testing.assert_allclose(tau[..., y], threshold(alpha, v_r, y), atol=1e-13)
        np.testing.assert_allclose(odds[..., y], log_odds((1 - alpha)[..., None] * v_r, y), atol=1e-13)


def test_thresholds_are_ordered_like_the_relation_values():
    """Step 1 of the proof that a set has one critical salience."""
    rng = np.random.default_rng(1)
    for answers in (2, 3, 6, 20):
        scale = 10.0 ** rng.uniform(-1, 1.3, (4000, 1))
        v_r = np.sort(scale * rng.normal(size=(4000, answers)), axis=-1)
        tau, odds = every_threshold(rng.uniform(0.001, 1.0, 4000), v_r)
        assert np.diff(tau, axis=-1).min() > -1e-12
        assert np.diff(odds, axis=-1).min() >= 0


@pytest.mark.parametrize(("seed", "answers"), SETS)
def test_set_push_and_its_root_against_single_facts(seed, answers):
    alpha, v_r, weights = a_set(seed, answers)

    def mean_push(sigma):
        facts = [push(logit(alpha), subject(sigma, y, answers), v_r, y) for y in range(answers)]
        return float(np.dot(weights, facts))

    for sigma in (-2.0, 0.0, 3.0):
        assert set_push(sigma, alpha, v_r, weights) == pytest.approx(mean_push(sigma), abs=1e-12)
    tau = threshold(alpha, v_r, np.arange(answers))
    root = brentq(mean_push, tau.min(), tau.max(), xtol=1e-13)
    found = float(critical_salience(alpha, v_r, weights))
    assert found == pytest.approx(root, abs=1e-8)
    wrong = expit(-every_threshold(alpha, v_r)[1])
    first = float(critical_salience_first_order(alpha, v_r, weights))
    assert first == pytest.approx(float((weights * wrong) @ tau / (weights @ wrong)), abs=1e-12)
    assert abs(first) >= abs(found) - 1e-12
    assert first * found >= 0


def test_slope_at_the_root_is_at_least_the_mean_error():
    """Follows from the proof: T does not rise, so h' >= E(1 - p_y) where h = 0."""
    rng = np.random.default_rng(2)
    alpha, v_r = rng.uniform(0.05, 0.95, 2000), 2.0 * rng.normal(size=(2000, 5))
    weights = rng.dirichlet(np.ones(5), 2000)
    root, h = critical_salience(alpha, v_r, weights), 1e-5
    slope = (set_push(root + h, alpha, v_r, weights) - set_push(root - h, alpha, v_r, weights)) / (2 * h)
    odds = every_threshold(alpha, v_r)[1] + (alpha * root)[:, None]
    assert np.all(slope >= np.sum(weights * expit(-odds), axis=-1) - 1e-8)


def test_weights_need_not_be_normalised():
    v_r, weights = np.array([1.0, 0.0, -1.0]), np.array([2.0, 1.0, 1.0])
    for f in (critical_salience, critical_salience_first_order):
        assert f(0.5, v_r, weights) == pytest.approx(float(f(0.5, v_r, weights / 4)), abs=1e-14)
    assert set_push(1.0, 0.5, v_r, weights) == pytest.approx(
        float(set_push(1.0, 0.5, v_r, weights / 4)), abs=1e-14
    )


def test_saturated_sets_have_a_root():
    """Values of a thousand leave no probability that a double can hold for any other answer."""
    v_r = np.array([1000.0, 0.0, -500.0])
    assert critical_salience(0.5, v_r, [1.0, 0.0, 0.0]) == pytest.approx(1000.0, rel=1e-12)
    mixed = float(critical_salience(0.5, v_r, [0.5, 0.5, 0.0]))
    assert -1000.0 < mixed < 1000.0
    assert set_push(mixed, 0.5, v_r, [0.5, 0.5, 0.0]) == pytest.approx(0.0, abs=1e-9)


def test_calibration_push_against_finite_differences_of_the_mean_loss():
    pi, c, u = np.array([0.5, 0.3, 0.15, 0.05]), 1.4, -0.3

    def mean_loss(u):
        z = (1 - expit(u)) * c * np.log(pi)
        return float(np.log(np.exp(z).sum()) - pi @ z)

    slope = (mean_loss(u + 1e-5) - mean_loss(u - 1e-5)) / 2e-5
    assert calibration_push(expit(u), c, pi) == pytest.approx(slope, abs=1e-9)
    assert calibration_integral(expit(u), c, pi) == pytest.approx(slope, abs=1e-9)


def test_calibration_changes_sign_at_x_equal_one():
    pi, c = np.array([0.6, 0.3, 0.1]), np.array([1.0, 2.0, 3.0])
    slopes = calibration_integral(0.5, c, pi)
    assert slopes[0] > 1e-3
    assert slopes[1] == 0.0
    assert slopes[2] < -1e-3
    np.testing.assert_allclose(slopes, calibration_push(0.5, c, pi), atol=1e-14)


def test_kernel_and_shift_against_a_real_step():
    model = dense(np.random.default_rng(3), 12, 4, 10, weight_scale=0.8)
    train, y, probes, rate = np.array([[0, 11], [1, 11], [2, 11]]), np.array([0, 3, 1]), np.arange(3, 11), 0.7
    kernel = transfer_kernel(model.embed[:3], model.embed[11], model.embed[probes])
    for i, t in np.ndindex(3, 8):
        r, s, other = model.embed[11], model.embed[i], model.embed[probes[t]]
        assert kernel[i, t] == pytest.approx(r @ r * ((s - r) @ (other - r)), abs=1e-13)
    scores, values = model.scores(train), model.values(train)
    u = scores[:, 0] - scores[:, 1]
    g = expit(u) * expit(-u) * push(u, values[:, 0], values[:, 1], y)
    prompts = np.stack([probes, np.full(8, 11)], axis=1)
    moved = model.descend(train, y, kq_rate=rate).scores(prompts) - model.scores(prompts)
    np.testing.assert_allclose(moved[:, 0] - moved[:, 1], score_shift(g, kernel, rate), atol=1e-13)


def test_kernel_of_orthogonal_subjects_runs_through_the_relation():
    basis = 2.0 * np.eye(3)
    assert transfer_kernel(basis[:1], basis[2], basis[1:2]).tolist() == [[16.0]]
    batched = transfer_kernel(np.zeros((5, 2, 3)), np.ones((5, 3)), np.zeros((5, 4, 3)))
    np.testing.assert_allclose(batched, np.full((5, 2, 4), 9.0), atol=1e-14)
    np.testing.assert_allclose(
        score_shift(np.ones((5, 2)), batched, np.arange(5)), np.outer(np.arange(5), [9] * 4)
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: threshold(0.0, np.zeros(3), 0), r"alpha: expected attention in \(0, 1\], got 0.0"),
        (lambda: threshold(np.nan, np.zeros(3), 0), r"alpha: expected attention in \(0, 1\], got nan"),
        (lambda: every_threshold([0.5, 1.2], np.zeros((2, 3))), r"alpha: .*0\.5 to 1\.2"),
        (lambda: threshold(0.5, np.zeros(1), 0), r"v_r: expected at least two answers.*\(1,\)"),
        (lambda: threshold(0.5, np.zeros(3), 3), r"y: answer index 3 is outside 0\.\.2"),
        (
            lambda: critical_salience(0.5, np.zeros(2), [1.0, -0.1]),
            "weights: .*non-negative.*of -0.1",
        ),
        (lambda: set_push(0.0, 0.5, np.zeros(2), [0.0, 0.0]), "weights: .*with a positive sum"),
        (lambda: calibration_push(0.5, 1.0, [0.5, 0.5, 0.0]), "weights: .*positive, got a smallest of 0.0"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(TheoryError, match=words):
        call()

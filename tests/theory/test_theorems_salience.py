"""P1 and P2: their checks hold, can fail, and every assumption that can be dropped has its counterexample."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax

from theory.predict import generic_values, salience_margin
from theory.theorems.salience import P1, P2, THEOREMS, bisected_margin, integrated_margin, pretrain

EACH = [pytest.param(theorem, id=theorem.id) for theorem in THEOREMS]
FALSE = [pytest.param(t, name, id=f"{t.id} {name}") for t in THEOREMS for name in t.perturbations]
BROKEN = [pytest.param(c, id=f"{t.id} {c.drops}") for t in THEOREMS for c in t.counterexamples]
TOLERANCE = {"P1": 1e-6, "P2": 1e-13}


def test_the_two_are_there():
    assert [theorem.id for theorem in THEOREMS] == ["P1", "P2"]
    assert P1.formula is salience_margin
    assert P2.formula is generic_values


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("theorem", EACH)
def test_holds(theorem, seed):
    result = theorem.check(2000, seed)
    assert result.holds
    assert result.instances == 2000
    assert result.worst_error <= TOLERANCE[theorem.id]


@pytest.mark.parametrize(("theorem", "name"), FALSE)
def test_a_false_variant_is_caught(theorem, name):
    assert theorem.check(200, 3, **theorem.perturbations[name]).violations >= 40


@pytest.mark.parametrize("example", BROKEN)
def test_breaks_without_the_assumption(example):
    assert example.build()["breaks"] is True


@pytest.mark.parametrize("relation", [False, True])
def test_integration_agrees_with_scipy_from_any_start(relation):
    rng = np.random.default_rng(0)
    exposure, alpha, y = np.array([0.3, 20.0, 3e3]), np.array([0.2, 0.7, 0.5]), np.array([0, 3, 2])
    start = rng.normal(size=(3, 5))
    found = integrated_margin(exposure, alpha, y, start, relation)
    for i in range(3):
        target, reach = np.eye(5)[y[i]], alpha[i] ** 2 + relation * (1 - alpha[i]) ** 2

        def motion(_, z, target=target, reach=reach):
            return reach * (target - softmax(z))

        z = solve_ivp(motion, (0, exposure[i]), alpha[i] * start[i], "DOP853", rtol=1e-10, atol=1e-12).y[
            :, -1
        ]
        assert found[i] == pytest.approx(z[y[i]] - np.delete(z, y[i]).mean(), rel=1e-6)


def test_bisection_solves_the_forward_law():
    exposure = 10.0 ** np.linspace(-12, 12, 25)
    z = bisected_margin(exposure, 0.4, 7)
    assert np.expm1(z) + 6 * z == pytest.approx(0.16 * 7 * exposure, rel=1e-12)


def test_pretraining_is_descent_on_the_cross_entropy():
    """One step by hand: two subjects, two answers, alpha 0.8, rate 0.5."""
    y = np.array([[[0], [1]]])
    v_s, v_r = pretrain(y, 2, np.array([[[1.0, 3.0]]]), np.array([0.5]), np.array([[0.8]]))
    assert v_s[0] == pytest.approx(0.5 * 0.8 * np.array([[0.5, -0.5], [-1.5, 1.5]]))
    assert v_r[0] == pytest.approx(0.5 * 0.2 * np.array([[-1.0, 1.0]]))


def test_pretraining_reaches_the_law_without_a_relation_value():
    steps, rate = 2000, 0.01
    ones, alphas = np.ones((steps, 1, 1)), np.full((steps, 1), 0.6)
    v_s, v_r = pretrain(np.zeros((1, 1, 1), int), 4, ones, np.full(steps, rate), alphas, relation=False)
    margin = 0.6 * (v_s[0, 0, 0] - v_s[0, 0, 1:].mean())
    assert margin == pytest.approx(salience_margin(steps * rate, 0.6, 4), rel=1e-3)
    assert not v_r.any()


def test_conservation_survives_any_schedule_of_rates():
    rng = np.random.default_rng(1)
    y, rates = rng.integers(4, size=(5, 6, 1)), 10.0 ** rng.uniform(-3, 1, 60)
    alpha = rng.uniform(0.1, 0.9, 5)
    v_s, v_r = pretrain(y, 4, rng.exponential(size=(60, 5, 6)), rates, np.broadcast_to(alpha, (60, 5)))
    assert v_r[:, 0] == pytest.approx(generic_values(v_s, alpha), rel=1e-12, abs=1e-12)

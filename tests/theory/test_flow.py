"""Gradient flow of one shared attention: against scipy's integrator, brute force and the plain formulas."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

import theory.flow
from theory.attention import loss, push
from theory.errors import TheoryError
from theory.flow import Facts, _push, descend, flow, mean_loss, mean_push, minimiser, one_hot_push


def random_facts(sets=40, m=5, answers=6, seed=0, scale=2.0):
    rng = np.random.default_rng(seed)
    v_s, v_r = scale * rng.normal(size=(2, sets, m, answers))
    return Facts(v_s, v_r, rng.integers(answers, size=(sets, m)), rng.exponential(size=(sets, m)))


def test_weights_sum_to_one_and_inputs_broadcast():
    facts = Facts(np.zeros((7, 3, 4)), np.zeros(4), np.array([0, 1, 2]), np.array([1.0, 1.0, 2.0]))
    assert facts.batch == (7,)
    assert facts.v_r.shape == (7, 3, 4)
    assert facts.weight[6] == pytest.approx([0.25, 0.25, 0.5])
    assert Facts(np.zeros((3, 4)), np.zeros(4), np.array([0, 1, 2])).weight == pytest.approx([1 / 3] * 3)


def test_one_hot_facts_speak_for_their_answer_only():
    facts = Facts.one_hot([2.0, 0.5], [1.0, 0.0, -1.0], [2, 0])
    assert facts.v_s.tolist() == [[0.0, 0.0, 2.0], [0.5, 0.0, 0.0]]
    assert facts.v_r.tolist() == [[1.0, 0.0, -1.0]] * 2


def test_sets_can_be_picked_and_reweighted():
    facts = random_facts()
    some = facts[[3, 5]]
    assert some.batch == (2,)
    assert np.array_equal(some.v_s, facts.v_s[[3, 5]])
    assert mean_push(np.zeros(2), some) == pytest.approx(mean_push(np.zeros(40), facts)[[3, 5]])
    first = facts.reweighted([1.0, 0.0, 0.0, 0.0, 0.0])
    alone = push(np.zeros(40), facts.v_s[:, 0], facts.v_r[:, 0], facts.y[:, 0])
    assert mean_push(np.zeros(40), first) == pytest.approx(alone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 4)), np.zeros((2, 4)), np.zeros(3, int)), r"v_s \(3, 4\), v_r \(2, 4\).* do not fit"),
        ((np.zeros((3, 1)), np.zeros(1), np.zeros(3, int)), r"values have shape \(3, 1\).*answers >= 2"),
        ((np.zeros((3, 4)), np.zeros(4), np.array([0, 1, 4])), r"answers 0\.\.3, got int64 from 0 to 4"),
        ((np.zeros((3, 4)), np.zeros(4), np.zeros(3)), r"answers 0\.\.3, got float64"),
        ((np.zeros((3, 4)), np.zeros(4), np.zeros(3, int), np.zeros(3)), "positive, finite sum"),
        (
            (np.full((3, 4), np.nan), np.zeros(4), np.zeros(3, int)),
            r"Facts\.v_s: expected finite values, got nan",
        ),
        ((np.zeros((3, 4)), np.full(4, -np.inf), np.zeros(3, int)), r"Facts\.v_r: expected finite .*-inf"),
    ],
)
def test_facts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(TheoryError, match=message):
        Facts(*arguments)


def test_mean_push_and_loss_are_those_of_the_single_facts():
    facts = random_facts()
    u = np.random.default_rng(1).normal(size=(3, 40)) * 3
    single = push(u[..., None], facts.v_s, facts.v_r, facts.y)
    losses = loss(u[..., None], facts.v_s, facts.v_r, facts.y)
    assert mean_push(u, facts) == pytest.approx(np.sum(facts.weight * single, axis=-1), abs=1e-12)
    assert mean_loss(u, facts) == pytest.approx(np.sum(facts.weight * losses, axis=-1), abs=1e-12)


def test_mean_push_is_minus_the_slope_of_the_loss_in_alpha():
    facts, alpha, h = random_facts(), np.linspace(0.1, 0.9, 40), 1e-6
    slope = (mean_loss(logit(alpha + h), facts) - mean_loss(logit(alpha - h), facts)) / (2 * h)
    assert mean_push(logit(alpha), facts) == pytest.approx(-slope, abs=1e-7)


def test_huge_values_do_not_overflow():
    facts = Facts.one_hot([[0.0], [3000.0]], np.array([0.0, 2000.0, -5.0]), [[0], [0]])
    assert mean_push(np.zeros(2), facts) == pytest.approx([2000.0, 0.0])  # A_s - A_r = 0 - (0 - 2000)
    assert mean_loss(np.zeros(2), facts) == pytest.approx([1000.0, 0.0])


def test_one_hot_push_is_the_closed_form_of_the_push():
    rng = np.random.default_rng(2)
    v_r, y, sigma, u = (
        rng.normal(size=(500, 5)),
        rng.integers(5, size=500),
        rng.exponential(size=500),
        rng.normal(size=500),
    )
    facts = Facts.one_hot(sigma, v_r, y)
    assert one_hot_push(u, sigma, v_r, y) == pytest.approx(push(u, facts.v_s, v_r, y), abs=1e-13)


def test_minimiser_agrees_with_a_scalar_optimiser():
    facts = random_facts(sets=60)
    found = minimiser(facts)
    for i in range(60):
        best = minimize_scalar(
            lambda a, i=i: mean_loss(logit(a), facts[i]), bounds=(0, 1), options={"xatol": 1e-11}
        )
        assert expit(found[i]) == pytest.approx(best.x, abs=2e-5)
    inside = np.isfinite(found)
    assert 10 < inside.sum() < 60
    assert np.abs(mean_push(found[inside], facts[inside])).max() < 1e-12


def test_minimiser_at_the_ends_and_where_attention_does_not_matter():
    v_r = np.array([2.0, 0.0, 0.0])
    facts = Facts.one_hot([[5.0], [0.0], [0.0]], v_r, [[1], [0], [0]])
    flat = Facts(v_r, v_r, np.array([0]))
    assert minimiser(facts).tolist() == [np.inf, -np.inf, -np.inf]
    assert np.isnan(minimiser(Facts(np.array([v_r]), np.array([v_r]), flat.y)))


def test_minimiser_with_two_answers_runs_away():
    """With one rival tau does not depend on alpha, so a single fact never settles in between."""
    rng = np.random.default_rng(3)
    sigma, v_r, y = (
        3 * rng.exponential(size=(50, 1)),
        rng.normal(size=(50, 1, 2)),
        rng.integers(2, size=(50, 1)),
    )
    tau = v_r[np.arange(50), 0, y[:, 0]] - v_r[np.arange(50), 0, 1 - y[:, 0]]
    assert (
        minimiser(Facts.one_hot(sigma, v_r, y)).tolist()
        == np.where(sigma[:, 0] > tau, np.inf, -np.inf).tolist()
    )


@pytest.mark.parametrize("kappa", [0.0, 0.7])
def test_flow_agrees_with_scipy(kappa):
    facts, times = random_facts(sets=12), [0.3, 2.0, 25.0, 200.0]
    u0 = np.random.default_rng(4).normal(size=12) * 2
    path = flow(facts, u0, times, kappa=kappa)
    assert path.shape == (4, 12)
    for i in range(12):

        def field(_, u, one=facts[i]):
            return (1 + kappa) * expit(u) * expit(-u) * mean_push(u[0], one)

        true = solve_ivp(field, (0, 200), [u0[i]], "DOP853", times, rtol=1e-11, atol=1e-12).y[0]
        assert path[:, i] == pytest.approx(true, abs=2e-8)


def test_looser_tolerance_gives_a_looser_answer():
    facts, u0 = random_facts(), np.linspace(-2, 2, 40)
    exact = flow(facts, u0, 30.0, rtol=1e-12, atol=1e-12)
    errors = [np.abs(flow(facts, u0, 30.0, rtol=tol, atol=tol) - exact).max() for tol in (1e-4, 1e-7, 1e-10)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < 1e-2
    assert errors[2] < 1e-9


def test_flow_ends_at_the_minimiser_and_stays():
    facts = random_facts(sets=200)
    goal = minimiser(facts)
    near = np.abs(goal) < 3
    late = flow(facts[near], np.zeros(near.sum()), [1e4, 1e9])
    assert near.sum() > 20
    assert np.abs(late[0] - goal[near]).max() < 1e-6
    assert np.abs(late[1] - late[0]).max() < 1e-6


def test_every_set_may_have_its_own_times_and_rate():
    facts = random_facts(sets=3)
    own = flow(facts, 0.5, np.array([[0.0, 1.0, 2.0], [5.0, 1.0, 8.0]]), kappa=[0.0, 1.0, 3.0])
    assert own[0, 0] == 0.5
    assert own[1, 1] == own[0, 1]
    for i, (kappa, times) in enumerate([(0.0, (0.0, 5.0)), (1.0, (1.0, 1.0)), (3.0, (2.0, 8.0))]):
        assert own[:, i] == pytest.approx(flow(facts[i], 0.5, times, kappa=kappa), abs=1e-9)


def test_flow_of_no_sets_and_of_a_grid_of_sets():
    facts = random_facts(sets=6)
    assert flow(facts[:0], np.zeros(0), [1.0, 2.0]).shape == (2, 0)
    grid = Facts(*(x.reshape(2, 3, *x.shape[1:]) for x in (facts.v_s, facts.v_r, facts.y, facts.weight)))
    assert flow(grid, 0.0, [4.0])[0].ravel() == pytest.approx(flow(facts, 0.0, [4.0])[0], abs=1e-12)


@pytest.mark.parametrize(
    ("u0", "times", "message"),
    [
        (0.0, [-1.0], "not negative"),
        (0.0, [2.0, 1.0], "increasing"),
        (0.0, [np.inf], "finite"),
        (np.inf, 1.0, "u0 must be finite"),
    ],
)
def test_impossible_flows_are_refused(u0, times, message):
    with pytest.raises(TheoryError, match=message):
        flow(random_facts(sets=2), u0, times)


def test_a_flow_that_cannot_finish_says_so(monkeypatch):
    monkeypatch.setattr(theory.flow, "MAX_STEPS", 3)
    with pytest.raises(TheoryError, match="2 sets not finished after 3 steps; loosen rtol"):
        flow(random_facts(sets=2), 0.0, 1e3)


def test_small_steps_follow_the_flow_at_first_order():
    facts, u0 = random_facts(), np.linspace(-2, 2, 40)
    goal = flow(facts, u0, 4.0, kappa=0.5)[0]
    errors = [np.abs(descend(facts, u0, n, 4.0 / n, kappa=0.5)[-1] - goal).max() for n in (100, 200, 400)]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.2)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.1)
    assert errors[2] < 0.02


def test_descent_starts_at_u0_and_takes_the_plain_gradient_step():
    facts = Facts.one_hot([3.0], [2.0, 0.0, 0.0], [1])
    path = descend(facts, 0.4, 1, 0.7)
    step = 0.7 * expit(0.4) * expit(-0.4) * push(0.4, facts.v_s[0], facts.v_r[0], 1)
    assert path.tolist() == pytest.approx([0.4, 0.4 + step])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda facts: Facts.one_hot([1.0, 2.0, 3.0], np.zeros(4), [0, 1]),
            r"sigma \(3,\) and y \(2,\) do not fit",
        ),
        (lambda facts: flow(facts, np.zeros(3), 1.0), r"u0 has shape \(3,\), expected \(2,\)"),
        (lambda facts: flow(facts, 0.0, 1.0, kappa=-2.0), "kappa: expected at least -1 .*got -2"),
        (lambda facts: descend(facts, 0.0, -1, 1.0), "steps: expected at least 0, got -1"),
    ],
)
def test_misuse_is_refused_in_words(call, message):
    with pytest.raises(TheoryError, match=message):
        call(random_facts(sets=2))


def test_curvature_is_the_slope_of_the_push_in_alpha():
    facts, alpha, step = random_facts(), np.linspace(0.1, 0.9, 40), 1e-6
    above, below = (mean_push(logit(alpha + h), facts) for h in (step, -step))
    assert _push(alpha, *facts._packed)[1] == pytest.approx((below - above) / (2 * step), rel=1e-6, abs=1e-8)


def test_a_loss_that_stops_falling_within_rounding_has_its_minimiser_at_infinity():
    facts = Facts.one_hot([[2000.0], [2000.0]], [1.0, 0.0, 0.0], [[0], [1]])
    assert minimiser(facts).tolist() == [np.inf, np.inf]
    assert minimiser(Facts(np.zeros(3), [2000.0, 0.0, 0.0], [[0]])).tolist() == [-np.inf]

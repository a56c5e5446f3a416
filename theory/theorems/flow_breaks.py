"""What fails without each assumption of T7, T7' and T9: small sets of facts, really run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax

from theory.attention import Array, loss, mix
from theory.flow import Facts, descend, flow, mean_loss, mean_push, minimiser
from theory.predict import critical_log_odds, eventual_fraction, mixture
from theory.theorems.sets import dominates, inversions, parts, random_facts, two_levels

RELATION = np.array([2.0, 0.0, 0.0, -1.0])  # V_r of the hand-made sets; answer 0 is the generic one


def _one(sigma: float, y: int, v_r: Array = RELATION) -> Facts:
    return Facts.one_hot([sigma], v_r, [y])


def _train_values(facts: Facts, u: float, steps: int, lr: float, values: float) -> tuple[Array, Facts]:
    """Descent on u and, at `values` times its rate, on every V_s: the path of u and the facts at its end."""
    v_s, path = np.array(facts.v_s), [u]
    for _ in range(steps):
        now = Facts(v_s, facts.v_r, facts.y, facts.weight)
        alpha = expit(path[-1])
        wrong = np.eye(v_s.shape[-1])[facts.y] - softmax(mix(path[-1], v_s, facts.v_r), axis=-1)
        path.append(path[-1] + lr * alpha * (1.0 - alpha) * float(mean_push(path[-1], now)))
        v_s = v_s + values * lr * alpha * facts.weight[..., None] * wrong
    return np.array(path), Facts(v_s, facts.v_r, facts.y, facts.weight)


def attention_of_its_own() -> Mapping[str, Any]:
    v_r = 4.0 * np.array([2.0, 3.0, -3.0])
    fact, u = _one(2.0, 0, v_r), np.linspace(-12.0, 12.0, 2001)
    total = 0.5 * (mean_loss(u - 5.0, fact) + mean_loss(u + 5.0, fact))
    valleys = np.flatnonzero((total[1:-1] < total[:-2]) & (total[1:-1] < total[2:])) + 1
    return {
        "minimiser_of_the_fact_alone": float(minimiser(fact)),
        "offsets": (-5.0, 5.0),
        "local_minima_of_both": u[valleys],
        "breaks": len(valleys) > 1,
    }


def attention_used_twice() -> Mapping[str, Any]:
    fact, alpha = _one(6.0, 1), np.array([0.0, 0.2, 0.4])
    a, middle, b = (float(mean_loss(logit(x * x), fact)) for x in alpha)
    return {"alpha": alpha, "losses": (a, middle, b), "chord": (a + b) / 2, "breaks": middle > (a + b) / 2}


def error_instead_of_cross_entropy() -> Mapping[str, Any]:
    fact, alpha = _one(12.0, 1), np.array([0.0, 0.1, 0.2])
    a, middle, b = (-np.expm1(-loss(logit(x), fact.v_s, fact.v_r, fact.y))[0] for x in alpha)
    return {
        "alpha": alpha,
        "1 - p_y": (a, middle, b),
        "chord": (a + b) / 2,
        "breaks": bool(middle > (a + b) / 2),
    }


def nothing_to_choose() -> Mapping[str, Any]:
    fact, u = Facts((RELATION + 1.0)[None], RELATION[None], np.array([0])), np.array([-4.0, 0.0, 4.0])
    losses = mean_loss(u, fact)
    flat = bool(np.ptp(losses) < 1e-12 and np.isnan(minimiser(fact)))
    return {"u": u, "losses": losses, "breaks": flat}


def a_fact_to_be_forgotten() -> Mapping[str, Any]:
    facts, u = (
        Facts.one_hot([2.0, 1.5], 4.0 * np.array([2.0, 3.0, -3.0]), [0, 0]),
        np.linspace(-12.0, 12.0, 2401),
    )
    first, second = (float(minimiser(part)) for part in parts(facts))
    both = float(u[np.argmin(mean_loss(u, facts.reweighted([1.0, -0.5])))])
    return {
        "minimisers": (first, second),
        "of_first_minus_half_second": both,
        "breaks": not min(first, second) <= both <= max(first, second),
    }


def values_that_move() -> Mapping[str, Any]:
    points = {"alpha": (0.0, 0.5, 1.0), "sigma": (-2.0, 0.0, 2.0)}
    flat = np.zeros(4)
    a, middle, b = (
        float(mean_loss(logit(x), _one(s, 0, flat))) for x, s in zip(*points.values(), strict=True)
    )
    return points | {"losses": (a, middle, b), "chord": (a + b) / 2, "breaks": middle > (a + b) / 2}


def steps_too_large() -> Mapping[str, Any]:
    fact = _one(2.0, 0, 4.0 * np.array([2.0, 3.0, -3.0]))
    goal, path = float(minimiser(fact)), descend(fact, 1.0, 6, 10.0)
    return {
        "minimiser": goal,
        "path": path,
        "breaks": bool(np.any(np.diff(np.abs(path - goal)) > 0.1)),
    }


def saturated_top() -> Mapping[str, Any]:
    facts = Facts.one_hot([14.0, 3.0], RELATION, [1, 1])
    top, bottom = (float(flow(part, 0.0, 5.0)[0]) for part in parts(facts))
    rng, draws = np.random.default_rng(0), 400
    random = random_facts(rng, two_levels(rng, draws, 3), 5)
    lead, outside = inversions(random, rng.normal(size=draws), (0.5, 3.0, 20.0))
    return {
        "salience": (14.0, 3.0),
        "pushes_at_start": [float(mean_push(0.0, part)) for part in parts(facts)],
        "u_top": top,
        "u_bottom": bottom,
        "inverted_of_400_random_draws": int(np.sum(lead > 1e-6)),
        "whole_outside_both_of_400": int(np.sum(outside > 1e-6)),
        "breaks": bottom > top,
    }


def _ordered_pair() -> tuple[Facts, Facts]:
    """A top set that pushes harder than the bottom set at every attention."""
    top, bottom = parts(Facts.one_hot([2.0, 0.1], RELATION, [1, 1]))
    return top, bottom


def bottom_starts_ahead() -> Mapping[str, Any]:
    top, bottom = _ordered_pair()
    u_top, u_bottom = float(flow(top, 0.0, 1.0)[0]), float(flow(bottom, 1.0, 1.0)[0])
    return {
        "G_top >= G_bottom": bool(dominates(top, bottom)),
        "starts": (0.0, 1.0),
        "u_top": u_top,
        "u_bottom": u_bottom,
        "breaks": bool(dominates(top, bottom)) and u_bottom > u_top,
    }


def bottom_learns_faster() -> Mapping[str, Any]:
    top, bottom = _ordered_pair()
    u_top, u_bottom = float(flow(top, 0.0, 5.0)[0]), float(flow(bottom, 0.0, 5.0, kappa=9.0)[0])
    return {
        "G_top >= G_bottom": bool(dominates(top, bottom)),
        "kappa": (0.0, 9.0),
        "u_top": u_top,
        "u_bottom": u_bottom,
        "breaks": bool(dominates(top, bottom)) and u_bottom > u_top,
    }


def ordering_while_values_move() -> Mapping[str, Any]:
    top, bottom = _ordered_pair()
    u_top, u_bottom = (_train_values(part, 0.0, 400, 0.5, 1.0)[0] for part in (top, bottom))
    return {
        "G_top >= G_bottom": bool(dominates(top, bottom)),
        "u_top": u_top[[0, 10, 100, 400]],
        "u_bottom": u_bottom[[0, 10, 100, 400]],
        "breaks": bool(dominates(top, bottom) and np.any(u_bottom > u_top + 1e-3)),
    }


def ordering_under_large_steps() -> Mapping[str, Any]:
    top, bottom = parts(Facts.one_hot([1.0, 2.0, 0.0, 8.0], [10.0, 4.0, 0.0], [2, 0, 1, 0]))
    u_top, u_bottom = (descend(part, -2.0, 3, 8.0) for part in (top, bottom))
    return {
        "G_top >= G_bottom": bool(dominates(top, bottom)),
        "u_top": u_top,
        "u_bottom": u_bottom,
        "breaks": bool(dominates(top, bottom) and np.any(u_bottom > u_top + 0.1)),
    }


def _mixture(q: float) -> tuple[Facts, Facts, Facts]:
    known, unknown = Facts.one_hot([3.0, 2.0], RELATION, [0, 1]), Facts.one_hot([0.0], RELATION, [0])
    return known, unknown, mixture(known, unknown, q)


def both_push_the_same_way() -> Mapping[str, Any]:
    known, fair = _one(3.0, 1), _one(0.5, 1)  # a weak fact, but its answer is not generic
    u_star = float(critical_log_odds(1.0, RELATION, 1))
    pushes = abs(float(mean_push(u_star, known))), abs(float(mean_push(u_star, fair)))
    raw = pushes[0] / sum(pushes)
    end = float(minimiser(mixture(known, fair, 1.0)))
    return {
        "m_k / (m_k + |m_u|)": raw,
        "q": 1.0,
        "u*": u_star,
        "u_in_the_end": end,
        "breaks": raw < 1.0 and end > u_star,
    }


def stopped_early() -> Mapping[str, Any]:
    known, unknown, mixed = _mixture(0.6)
    u_star = float(critical_log_odds(3.0, RELATION, 1))
    q_c = float(eventual_fraction(u_star, known, unknown))
    early, late = (float(flow(mixed, 1.0, t)[0]) for t in (1.0, 1000.0))
    return {
        "q": 0.6,
        "q_c(u*)": q_c,
        "u*": u_star,
        "u_at_time_1": early,
        "u_at_time_1000": late,
        "breaks": q_c < 0.6 and early > u_star > late,
    }


def a_prompt_with_its_own_attention() -> Mapping[str, Any]:
    known, unknown, mixed = _mixture(0.6)
    u_star = float(critical_log_odds(3.0, RELATION, 1))
    q_c, end = float(eventual_fraction(u_star, known, unknown)), float(minimiser(mixed))
    return {
        "q": 0.6,
        "q_c(u*)": q_c,
        "u*": u_star,
        "u_of_the_training_facts": end,
        "u_of_the_fact": end + 2.0,
        "breaks": q_c < 0.6 and end + 2.0 > u_star,
    }


def unknown_facts_are_learned() -> Mapping[str, Any]:
    known, unknown, mixed = _mixture(0.6)
    u_star = float(critical_log_odds(3.0, RELATION, 1))
    q_c = float(eventual_fraction(u_star, known, unknown))
    path, learned = _train_values(mixed, 1.0, 3000, 0.5, 4.0)
    return {
        "q": 0.6,
        "q_c(u*)": q_c,
        "u*": u_star,
        "u_frozen": float(minimiser(mixed)),
        "u_trained": float(path[-1]),
        "salience_of_unknown_facts": learned.v_s[2:].max(axis=-1),
        "breaks": bool(q_c < 0.6 and path[-1] > u_star > minimiser(mixed)),
    }

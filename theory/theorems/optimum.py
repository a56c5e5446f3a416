"""T6: the salience that attracts most attention is finite: a fact can be known too well to teach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from theory.attention import Array, Index, push
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.instances import Complex, Tally, blocks, derivative, stored
from theory.thresholds import every_threshold, optimal_salience, set_push, threshold

TOLERANCE = 1e-9
ROUNDING = 1e-12


def pull(sigma: Complex, alpha: Array, v_r: Array, y: Index, background: Array) -> Complex:
    """A_s - A_r straight from the softmax, also for complex sigma; background is V_s - sigma 1[y]."""
    right = y[..., None] == np.arange(v_r.shape[-1])
    v_s = sigma[..., None] * right + background
    z = alpha[..., None] * v_s + (1.0 - alpha[..., None]) * v_r
    p = np.exp(z - np.real(z).max(axis=-1, keepdims=True))
    p = p / p.sum(axis=-1, keepdims=True)
    return np.asarray((right * (v_s - v_r)).sum(axis=-1) - (p * (v_s - v_r)).sum(axis=-1))


def run_optimum(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = optimal_salience,
    noise: float = 0.0,
) -> Outcome:
    """The closed form against slopes of the pull in sigma, at it and on both sides, and a grid."""
    tally = Tally()
    for kind, m in blocks(n, 4):
        answers = (2, 4, 8, 16)[kind]
        alpha, v_r = rng.uniform(0.05, 0.95, m), rng.uniform(0.5, 3.0, (m, 1)) * rng.normal(size=(m, answers))
        y, background = rng.integers(answers, size=m), noise * rng.normal(size=(m, 1, answers))
        best = formula(alpha, v_r, y)
        offsets = np.concatenate([[0.0], -np.geomspace(0.01, 10, 12), np.geomspace(0.01, 30, 16)])
        sigma = best[:, None] + offsets
        at = partial(pull, alpha=alpha[:, None], v_r=v_r[:, None], y=y[:, None], background=background)
        pulls, slopes = at(sigma), derivative(at, sigma)
        holds = tally.close(slopes[:, 0], 0.0, TOLERANCE)
        holds &= (pulls <= pulls[:, :1] + ROUNDING).all(axis=-1)
        rightly = np.where(offsets < 0, slopes > -ROUNDING, slopes < ROUNDING)
        tally.add(holds & rightly[:, 1:].all(axis=-1))
    return tally.outcome("slope and 28 other saliences an instance")


GENERIC = np.array([2.0, 0.0, 0.0])
GRID = np.linspace(-10.0, 30.0, 4001)


def _best(pulls: Array) -> float:
    return float(GRID[np.argmax(pulls)])


def _with_noise() -> Mapping[str, Any]:
    v_s = stored(np.zeros(GRID.shape, dtype=np.intp), GRID, 3) - np.array([0.0, 2.0, 2.0])
    promised, best = float(optimal_salience(0.5, GENERIC, 0)), _best(push(0.0, v_s, GENERIC, 0))
    return {"sigma_opt": promised, "best": best, "breaks": bool(abs(best - promised) > 0.1)}


def _with_linear_attention() -> Mapping[str, Any]:
    """A_s = sigma (1 - p_y) at the scores 1/2, 1/2."""
    promised = float(optimal_salience(0.5, GENERIC, 0))
    best = _best(GRID * expit(-0.5 * GRID - every_threshold(0.5, GENERIC)[1][0]))
    return {"sigma_opt": promised, "best": best, "breaks": bool(abs(best - promised) > 0.1)}


def _several_answers() -> Mapping[str, Any]:
    shares = np.array([0.6, 0.2, 0.2])
    mean = float(shares @ optimal_salience(0.5, GENERIC, np.arange(3)))
    best = _best(set_push(GRID, 0.5, GENERIC, shares))
    there, ahead = (float(set_push(s, 0.5, GENERIC, shares)) for s in (mean, best))
    return {
        "mean_sigma_opt": mean,
        "push": there,
        "best": best,
        "its_push": ahead,
        "breaks": bool(ahead > there + 1e-3),
    }


def _many_steps() -> Mapping[str, Any]:
    """Attention after 40 steps of rate 1, for every salience at once."""
    v_s, u = stored(np.zeros(GRID.shape, dtype=np.intp), GRID, 3), np.zeros(GRID.shape)
    for _ in range(40):
        u = u + expit(u) * expit(-u) * push(u, v_s, GENERIC, 0)
    promised, best = float(optimal_salience(0.5, GENERIC, 0)), _best(u)
    return {"sigma_opt": promised, "best_after_40_steps": best, "breaks": bool(abs(best - promised) > 0.1)}


T6 = Theorem(
    id="T6",
    title="The best salience is finite",
    statement=(
        "With one-hot salience, a fixed right answer and fixed attention alpha > 0, the push (1 - "
        "p_y)(sigma - tau) of a fact on the attention has its only maximum at the finite salience "
        "sigma_opt given below, with Lambert's W. Beyond it the push decays, because p_y approaches "
        "1: facts that are known too well teach little."
    ),
    latex=r"""
\sigma_{\mathrm{opt}} = \tau + \frac{1 + W\bigl(Z e^{-b - \alpha\tau - 1}\bigr)}{\alpha}, \qquad
b = (1 - \alpha) V_r(y), \quad Z = \sum_{a \neq y} e^{(1 - \alpha) V_r(a)}
""",
    assumptions={
        "softmax": "attention is the softmax of the scores of a subject and a relation token",
        "(O)": "one-hot salience",
        "one answer": "one fact, or facts that share right answer, relation values and attention",
        "one step": "the push at the current attention, not what many steps add up to",
    },
    status="proved",
    source="ours; that half-known facts can beat well-known ones is a finding of Gekhman et al. 2024",
    formula=optimal_salience,
    run=run_optimum,
    perturbations={
        "1 dropped": {"formula": lambda alpha, v_r, y: optimal_salience(alpha, v_r, y) - 1.0 / alpha},
        "factor 1 / alpha dropped": {
            "formula": lambda alpha, v_r, y: (
                threshold(alpha, v_r, y)
                + alpha * (optimal_salience(alpha, v_r, y) - threshold(alpha, v_r, y))
            )
        },
        "optimum shifted by 0.01": {"formula": lambda *instance: optimal_salience(*instance) + 0.01},
        "(O) dropped: noise in the subject's values": {"noise": 0.5},
    },
    counterexamples=(
        Counterexample("softmax", "linear attention has another optimum", _with_linear_attention),
        Counterexample("(O)", "the subject also speaks against the wrong answers", _with_noise),
        Counterexample(
            "one answer", "the mean of the optima is not the optimum of the mean", _several_answers
        ),
        Counterexample("one step", "many steps prefer another salience", _many_steps),
    ),
)

THEOREMS: tuple[Theorem, ...] = (T6,)

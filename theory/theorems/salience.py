"""P1 and P2: how pretraining writes salience into values, and why the relation holds the generic answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax

from theory.attention import Array, Index, pick
from theory.predict import generic_values, salience_margin
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.instances import Tally, blocks

LAW_TOLERANCE = 1e-6  # relative, against the integrated value table
ROOT_TOLERANCE = 1e-12  # relative, Lambert's form against bisection
CONSERVATION_TOLERANCE = 1e-12  # relative to the sum of all subject values
STAGES = 120  # of the integration, equally long in the logarithm of time


def integrated_margin(exposure: Array, alpha: Array, y: Index, start: Array, relation: bool = False) -> Array:
    """Margin z of value tables after gradient flow from `start` (n, answers), by Runge-Kutta of order four.

    `relation` trains a relation value on the same fact too, read with 1 - alpha.
    """
    answers = start.shape[-1]
    target, weight = y[:, None] == np.arange(answers), alpha[:, None]
    reach = weight**2 + (1.0 - weight) ** 2 * relation

    def motion(z: Array) -> Array:
        return np.asarray(reach * (target - softmax(z, axis=-1)))

    z = weight * start
    scale = np.maximum(exposure, 1.0)
    clock = np.expm1(np.linspace(0.0, 1.0, STAGES + 1)[:, None] * np.log1p(scale)) * exposure / scale
    for step in np.diff(clock, axis=0)[..., None]:
        first = motion(z)
        second = motion(z + step / 2 * first)
        third = motion(z + step / 2 * second)
        fourth = motion(z + step * third)
        z = z + step / 6 * (first + 2 * second + 2 * third + fourth)
    right = pick(z, y)
    return np.asarray(right - (z.sum(axis=-1) - right) / (answers - 1))


def bisected_margin(exposure: ArrayLike, alpha: ArrayLike, answers: ArrayLike) -> Array:
    """z with e^z - 1 + (K - 1) z = alpha^2 K f t by bisection of its bracket."""
    goal = np.square(alpha) * np.asarray(answers, float) * np.asarray(exposure, float)
    low, high = np.zeros_like(goal), np.minimum(np.log1p(goal), goal / answers)
    for _ in range(70):
        middle = (low + high) / 2
        below = np.expm1(middle) + (np.asarray(answers) - 1) * middle < goal
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


def run_law(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = salience_margin,
    start: float = 0.0,
    relation: bool = False,
) -> Outcome:
    """A third against the integrated table, a third against bisection, a third so at extreme exposures."""
    tally = Tally()
    for kind, count in blocks(n, 3):
        answers, alpha = int(rng.integers(2, 21)), rng.uniform(0.05, 1.0, count)
        low, high = ((-2.0, 5.0), (-2.0, 5.0), (-300.0, 300.0))[kind]
        exposure = 10.0 ** rng.uniform(low, high, count)
        found = formula(exposure, alpha, answers)
        if kind == 0:
            y, table = rng.integers(answers, size=count), start * rng.normal(size=(count, answers))
            true, tolerance = integrated_margin(exposure, alpha, y, table, relation), LAW_TOLERANCE
        else:
            true, tolerance = bisected_margin(exposure, alpha, answers), ROOT_TOLERANCE
        tally.add(tally.close(found / true, 1.0, tolerance))
    return tally.outcome("exposure 1e-2 to 1e5, at the extremes 1e-300 to 1e300")


def pretrain(
    y: Index,
    answers: int,
    weights: Array,
    rates: Array,
    alphas: Array,
    start: ArrayLike = 0.0,
    optimiser: str = "descent",
    overlap: float = 0.0,
    relation: float = 1.0,
) -> tuple[Array, Array]:
    """Train V_s (n, subjects, answers) and V_r (n, relations, answers) for len(rates) steps; returns both.

    `y` (n, subjects, relations) holds the answers, `weights` (steps, n, subjects) what a subject counts,
    `alphas` (steps, n) the attention. Embeddings of subjects have inner product `overlap`; `relation` is
    the squared length of its embedding, that of subjects being 1; at 0 V_r is not trained.
    """
    n, subjects, relations = y.shape
    target = y[..., None] == np.arange(answers)
    v_s = np.broadcast_to(np.asarray(start, float), (n, subjects, answers)).copy()
    v_r = np.zeros((n, relations, answers))
    for weight, rate, alpha in zip(weights, rates, alphas, strict=True):
        a = alpha[:, None, None, None]
        z = a * v_s[:, :, None] + (1.0 - a) * v_r[:, None]
        wrong = weight[..., None, None] * (target - softmax(z, axis=-1))
        move_s, move_r = (a * wrong).sum(axis=2), ((1.0 - a) * wrong).sum(axis=1)
        move_s = (1.0 - overlap) * move_s + overlap * move_s.sum(axis=1, keepdims=True)
        if optimiser == "sign":
            move_s, move_r = np.sign(move_s), np.sign(move_r)
        v_s, v_r = v_s + rate * move_s, v_r + rate * move_r * relation
    return v_s, v_r


def run_conservation(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = generic_values,
    start: float = 0.0,
    drift: float = 0.0,
    optimiser: str = "descent",
) -> Outcome:
    """Gradient descent on random facts, full batches and minibatches, small and large rates, for 20 steps."""
    tally = Tally()
    for kind, count in blocks(n, 4):
        answers, subjects, steps = int(rng.integers(2, 9)), int(rng.integers(1, 9)), 20
        y = rng.integers(answers, size=(count, subjects, 1))
        frequency = rng.exponential(size=(count, subjects))
        weights = np.broadcast_to(frequency, (steps, count, subjects))
        if kind % 2:
            weights = weights * (rng.uniform(size=weights.shape) < 0.3)
        alpha = rng.uniform(0.05, 0.95, count)
        alphas = np.clip(alpha + drift * np.linspace(0.0, 1.0, steps)[:, None], 0.0, 1.0)
        rates = np.full(steps, 10.0 ** rng.uniform(-2, 1))
        begin = start * rng.normal(size=(count, subjects, answers))
        v_s, v_r = pretrain(y, answers, weights, rates, alphas, begin, optimiser)
        error = np.max(np.abs(v_r[:, 0] - formula(v_s, alpha)), axis=-1)
        size = 1e-300 + (1.0 + (1.0 - alpha) / alpha) * np.sum(np.abs(v_s), axis=(1, 2))
        tally.add(tally.close(error / size, 0.0, CONSERVATION_TOLERANCE))
    return tally.outcome("20 steps, full batches and minibatches")


def _against_law(margin: ArrayLike, exposure: float, alpha: float, answers: int) -> dict[str, Any]:
    law, real = float(salience_margin(exposure, alpha, answers)), np.atleast_1d(np.asarray(margin, float))
    off = float(np.max(np.abs(real / law - 1.0)))
    return {"exposure": exposure, "law": law, "margin": real, "relative_error": off, "breaks": off > 0.05}


def attention_trained_too() -> Mapping[str, Any]:
    sigma, u, answers, rate, steps = 0.0, 0.0, 5, 0.01, 5000
    for _ in range(steps):  # one fact, V_r = 0; the margin of V_s is all there is
        alpha = expit(u)
        wrong = expit(np.log(answers - 1.0) - alpha * sigma)
        sigma, u = (
            sigma + rate * alpha * wrong * answers / (answers - 1.0),
            u + rate * alpha * (1.0 - alpha) * wrong * sigma,
        )
    return {"alpha_at_end": float(expit(u))} | _against_law(expit(u) * sigma, rate * steps, 0.5, answers)


def relation_trained_too() -> Mapping[str, Any]:
    margin = integrated_margin(
        np.array([50.0]), np.array([0.5]), np.array([0]), np.zeros((1, 5)), relation=True
    )
    return _against_law(margin, 50.0, 0.5, 5)


def values_not_from_zero() -> Mapping[str, Any]:
    start = np.array([[0.0, 4.0, 0.0, 0.0, 0.0]])  # another answer was learned before
    margin = integrated_margin(np.array([5.0]), np.array([0.5]), np.array([0]), start)
    return _against_law(margin, 5.0, 0.5, 5)


def a_row_for_two_facts() -> Mapping[str, Any]:
    y, steps = np.array([[[0, 1]]]), 5000  # one subject, two relations with one answer pool
    v_s, _ = pretrain(
        y, 5, np.ones((steps, 1, 1)), np.full(steps, 0.01), np.full((steps, 1), 0.5), relation=0.0
    )
    return _against_law(0.5 * (v_s[0, 0, :2] - (v_s[0, 0].sum() - v_s[0, 0, :2]) / 4), 50.0, 0.5, 5)


def one_large_step() -> Mapping[str, Any]:
    v_s, _ = pretrain(np.zeros((1, 1, 1), int), 5, np.ones((1, 1, 1)), np.array([50.0]), np.full((1, 1), 0.5))
    return _against_law(0.5 * (v_s[0, 0, 0] - v_s[0, 0, 1]), 50.0, 0.5, 5)


def _conserved(**changes: Any) -> Mapping[str, Any]:
    """Four subjects with answers 0, 0, 1, 2 for 50 steps, with one thing changed."""
    steps, alphas = 50, changes.pop("alphas", 0.6)
    y = changes.pop("y", np.array([0, 0, 1, 2])[None, :, None])
    weights = np.broadcast_to([1.0, 0.5, 0.3, 0.2], (steps, 1, 4))
    alphas = np.broadcast_to(np.reshape(alphas, (-1, 1)), (steps, 1))
    v_s, v_r = pretrain(y, 3, weights, np.full(steps, 0.2), alphas, **changes)
    predicted = generic_values(v_s[0], alphas[-1, 0])
    return {
        "V_r": v_r[0, 0],
        "predicted": predicted,
        "breaks": bool(np.abs(v_r[0, 0] - predicted).max() > 0.1),
    }


P1 = Theorem(
    id="P1",
    title="The law of salience",
    statement=(
        "Pretrain the value row of a subject on one fact of frequency f by gradient flow from zero, with "
        "attention alpha fixed and no relation value. Then the logit margin z of the right answer over the "
        "mean of the others obeys e^z - 1 + (K - 1) z = alpha^2 K f t. Salience grows linearly in f t while "
        "small and like log(f t) when large."
    ),
    latex=r"""
e^z - 1 + (K - 1) z = C, \qquad C = \alpha^2 K f t, \qquad
z = \frac{C + 1}{K - 1} - W\Bigl(\frac{e^{(C + 1)/(K - 1)}}{K - 1}\Bigr)
""",
    assumptions={
        "alpha fixed": "the attention does not move during pretraining",
        "no relation value": "V_r = 0 and not trained",
        "zero start": "the value row starts at zero",
        "own row": "the subject's row is trained by this fact only (orthonormal embeddings)",
        "gradient flow": "steps are small",
    },
    status="proved",
    source="ours",
    formula=salience_margin,
    run=run_law,
    perturbations={
        "alpha in place of its square": {
            "formula": lambda exposure, alpha, answers: salience_margin(exposure, np.sqrt(alpha), answers)
        },
        "K - 1 in place of K": {
            "formula": lambda exposure, alpha, answers: salience_margin(
                exposure * (answers - 1) / answers, alpha, answers
            )
        },
        "logarithm at all times": {
            "formula": lambda exposure, alpha, answers: np.log1p(alpha**2 * answers * exposure)
        },
        "start away from zero": {"start": 0.5},
        "relation value trained": {"relation": True},
    },
    counterexamples=(
        Counterexample(
            "alpha fixed", "attention trained too rises and speeds the fact up", attention_trained_too
        ),
        Counterexample("no relation value", "the relation token learns its share", relation_trained_too),
        Counterexample("zero start", "another answer has to be unlearned first", values_not_from_zero),
        Counterexample(
            "own row", "two facts of one subject with one pool of answers compete", a_row_for_two_facts
        ),
        Counterexample("gradient flow", "one large step overshoots", one_large_step),
    ),
)

P2 = Theorem(
    id="P2",
    title="Conservation: generic salience is the sum of subject saliences",
    statement=(
        "Train values of subjects and of their relation together by gradient descent from zero, with "
        "attention alpha fixed. At every step, for any frequencies, batches and step sizes, V_r = ((1 - "
        "alpha) / alpha) sum_s V_s: what the relation token says is the sum of what its subjects say."
    ),
    latex=r"""
V_r(t) = \frac{1 - \alpha}{\alpha} \sum_s V_s(t) \qquad \text{for all } t
""",
    assumptions={
        "zero start": "all values start at zero",
        "alpha fixed": "the attention is the same for all facts and does not move",
        "one relation": "the subjects' rows are trained by this relation only",
        "plain gradient": "the steps are along the gradient, with one rate for both tables",
        "own rows": "subjects' embeddings are orthogonal to each other and to the relation's",
        "equal lengths": "the embeddings of subjects and relation are equally long",
    },
    status="proved",
    source="ours",
    formula=generic_values,
    run=run_conservation,
    perturbations={
        "alpha and 1 - alpha exchanged": {"formula": lambda v_s, alpha: generic_values(v_s, 1.0 - alpha)},
        "start away from zero": {"start": 0.1},
        "attention drifts by 0.1": {"drift": 0.1},
        "steps along the sign of the gradient": {"optimiser": "sign"},
    },
    counterexamples=(
        Counterexample(
            "zero start", "what was there before stays", lambda: _conserved(start=[1.0, 0.0, 0.0])
        ),
        Counterexample(
            "alpha fixed",
            "attention rises from 0.3 to 0.9",
            lambda: _conserved(alphas=np.linspace(0.3, 0.9, 50)),
        ),
        Counterexample(
            "one relation",
            "a second relation with other answers writes into the same rows",
            lambda: _conserved(y=np.array([[0, 2], [0, 2], [1, 2], [2, 2]])[None]),
        ),
        Counterexample(
            "plain gradient",
            "sign steps (the limit of Adam) move every weight alike",
            lambda: _conserved(optimiser="sign"),
        ),
        Counterexample(
            "own rows", "subjects that overlap learn from each other", lambda: _conserved(overlap=0.5)
        ),
        Counterexample(
            "equal lengths",
            "a relation embedding twice as long learns four times as fast",
            lambda: _conserved(relation=4.0),
        ),
    ),
)

THEOREMS: tuple[Theorem, ...] = (P1, P2)

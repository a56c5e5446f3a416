"""What the theory predicts, as pure functions: attention, accuracy, critical fractions, salience, harm.

Fine-tuning moves one shared log-odds u (`theory.flow`); a fact is answered right for u in an interval.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, wrightomega

from theory.attention import Array, pick
from theory.errors import TheoryError
from theory.flow import Facts, flow, mean_push

SETS = ("best", "lesser", "whole")


# Where fine-tuning leaves the attention.


def predict_final_u(
    facts: Facts, u0: ArrayLike, steps: ArrayLike, lr: ArrayLike, kappa: ArrayLike = 0.0
) -> Array:
    """Log-odds of every set after `steps` gradient steps of size `lr`: gradient flow for time steps x lr."""
    span = np.broadcast_to(np.asarray(steps, float) * np.asarray(lr, float), facts.batch)
    return np.asarray(flow(facts, u0, span[None], kappa=kappa)[0])


def predict_path(facts: Facts, u0: ArrayLike, steps: ArrayLike, lr: float, kappa: ArrayLike = 0.0) -> Array:
    """Log-odds at each of the increasing `steps`, shape (steps, *sets)."""
    return flow(facts, u0, lr * np.asarray(steps, float), kappa=kappa)


def halves(facts: Facts, salience: ArrayLike) -> Facts:
    """Best-known half, lesser-known half and whole of every set along a new first axis (`SETS`)."""
    order = np.argsort(np.argsort(-np.asarray(salience, float), axis=-1, kind="stable"), axis=-1)
    best = (order < (order.shape[-1] + 1) // 2).astype(float)
    lesser = (order >= order.shape[-1] // 2).astype(float)
    return facts.reweighted(facts.weight * np.stack([best, lesser, np.ones_like(best)]))


def mixture(known: Facts, unknown: Facts, q: ArrayLike) -> Facts:
    """A share `q` of unknown facts and 1 - q of known ones; the axes of `q` lead those of the two sets."""
    share = np.asarray(q, float)
    if np.any((share < 0) | (share > 1) | np.isnan(share)):
        raise TheoryError("mixture: q is the share of unknown facts and must lie in 0..1")
    if known.v_s.shape[-1] != unknown.v_s.shape[-1]:
        raise TheoryError(
            f"mixture: known facts have {known.v_s.shape[-1]} answers, unknown ones {unknown.v_s.shape[-1]}; "
            "both need the same answers"
        )
    batch = np.broadcast_shapes(known.batch, unknown.batch)
    share = share.reshape(*share.shape, *(1,) * (len(batch) + 1))

    def lift(x: NDArray[Any], tail: int) -> NDArray[Any]:
        return np.broadcast_to(x, batch + x.shape[x.ndim - tail :])

    return Facts(
        np.concatenate([lift(known.v_s, 2), lift(unknown.v_s, 2)], axis=-2),
        np.concatenate([lift(known.v_r, 2), lift(unknown.v_r, 2)], axis=-2),
        np.concatenate([lift(known.y, 1), lift(unknown.y, 1)], axis=-1),
        np.concatenate([(1.0 - share) * lift(known.weight, 1), share * lift(unknown.weight, 1)], axis=-1),
    )


# Which facts are answered right at a given attention (T8).


def critical_log_odds(sigma: ArrayLike, v_r: ArrayLike, y: ArrayLike) -> Array:
    """u* under (O): right iff u > u*. -inf for a generic answer; otherwise +inf where sigma is 0.

    Without salience an answer that ties with another one is never right, as in `correct_interval`.
    """
    sigma = np.asarray(sigma, float)
    if np.any(~(sigma >= 0)):
        raise TheoryError(
            "critical_log_odds: sigma must not be negative; use correct_interval for measured values"
        )
    v_r = np.asarray(v_r, float)
    deficit = np.max(v_r, axis=-1) - pick(v_r, y)
    tied = np.sum(v_r == np.max(v_r, axis=-1, keepdims=True), axis=-1) > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        generic = np.where(tied & (sigma == 0), np.inf, -np.inf)
        return np.where(deficit > 0, np.log(deficit) - np.log(sigma), generic)


def correct_interval(facts: Facts) -> tuple[Array, Array]:
    """Exact (low, high): every fact is answered right iff low < u < high; (inf, -inf) if it never is."""
    wrong = np.arange(facts.slope.shape[-1]) != facts.y[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -facts.base / facts.slope
    low = np.max(np.where(wrong & (facts.slope < 0), crossing, 0.0), axis=-1)
    high = np.min(np.where(wrong & (facts.slope > 0), crossing, 1.0), axis=-1)
    never = np.any(wrong & (facts.slope == 0) & (facts.base >= 0), axis=-1) | (low >= high)
    low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    return np.where(never, np.inf, logit(low)), np.where(never, -np.inf, logit(high))


def answered(u: ArrayLike, facts: Facts) -> NDArray[np.bool_]:
    """Which facts are answered right at log-odds `u` of their set (more leading axes allowed)."""
    low, high = correct_interval(facts)
    at = np.asarray(u, float)[..., None]
    return np.asarray((low < at) & (at < high))


def predicted_accuracy(u: ArrayLike, facts: Facts) -> Array:
    """Weighted share of every set answered right at log-odds `u`, from measured values."""
    return np.asarray(np.sum(facts.weight * answered(u, facts), axis=-1))


def accuracy_law(u: ArrayLike, u_star: ArrayLike) -> Array:
    """Acc(u) = Pr(u* < u), the distribution function of critical log-odds `u_star` (..., facts)."""
    return np.asarray(np.mean(np.asarray(u_star, float) < np.asarray(u, float)[..., None], axis=-1))


def accuracy_slope(u: ArrayLike, u_star: ArrayLike, width: float = 0.25) -> Array:
    """d Acc / du as the share of critical log-odds within `width` of u, per unit of log-odds."""
    at = np.asarray(u, float)
    return (accuracy_law(at + width, u_star) - accuracy_law(at - width, u_star)) / (2.0 * width)


# How many unknown facts are too many (T9).


def critical_fraction(push_known: ArrayLike, push_unknown: ArrayLike) -> Array:
    """q_c = m_k / (m_k + |m_u|): the share of unknown facts at which the mean push of a mixture changes sign.

    1 if unknown facts push towards the subject too, 0 if known facts push away from it, nan if both.
    """
    known, unknown = np.asarray(push_known, float), np.asarray(push_unknown, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = known / (known - unknown)
    edge = np.where(known > 0, 1.0, np.where(unknown < 0, 0.0, np.nan))
    return np.where((known > 0) & (unknown < 0), inner, edge)


def first_step_fraction(u0: ArrayLike, known: Facts, unknown: Facts) -> Array:
    """q_c(u0): above this share of unknown facts the first step lowers attention on the subject."""
    return critical_fraction(mean_push(u0, known), mean_push(u0, unknown))


def eventual_fraction(u_star: ArrayLike, known: Facts, unknown: Facts) -> Array:
    """q_c(u*): a fact with critical log-odds u* is lost in the end iff more than this share is unknown."""
    return first_step_fraction(u_star, known, unknown)


def phase_diagram(
    known: Facts,
    unknown: Facts,
    held_out: Facts,
    q: ArrayLike,
    steps: ArrayLike,
    u0: float,
    lr: float,
    kappa: float = 0.0,
) -> Array:
    """Change of held-out accuracy over steps x q x the leading axes of `known` (such as its salience)."""
    path = predict_path(mixture(known, unknown, q), u0, steps, lr, kappa)
    return predicted_accuracy(path, held_out) - predicted_accuracy(u0, held_out)


# How pretraining writes salience (P1, P2).


def salience_time(z: ArrayLike, alpha: ArrayLike, answers: ArrayLike) -> Array:
    """Exposure f t at which the logit margin is z: (e^z - 1 + (K - 1) z) / (alpha^2 K)."""
    z, k = np.asarray(z, float), _answers(answers)
    return np.asarray((np.expm1(z) + (k - 1.0) * z) / (np.square(np.asarray(alpha, float)) * k))


def salience_margin(exposure: ArrayLike, alpha: ArrayLike, answers: ArrayLike) -> Array:
    """Logit margin z after exposure f t, exact for tiny and huge exposures.

    With x = (C+1)/(K-1) - log(K-1), z = (C+1)/(K-1) - W(e^x) = log((K-1) W(e^x)). W(e^x) is Wright's omega,
    which never overflows; the bound z <= C/K and a Newton step keep all digits of a small z.
    """
    k = _answers(answers)
    c = np.square(np.asarray(alpha, float)) * k * np.asarray(exposure, float)
    if np.any(~(c >= 0)):
        raise TheoryError("salience_margin: exposure f t must be a number that is not negative")
    lambert = np.log(k - 1.0) + np.log(wrightomega((c + 1.0) / (k - 1.0) - np.log(k - 1.0)))
    z = np.clip(lambert, 0.0, c / k)
    return np.asarray(z - (np.expm1(z) - c + (k - 1.0) * z) / (np.exp(z) + k - 1.0))


def pretrained_salience(exposure: ArrayLike, alpha: ArrayLike, answers: ArrayLike) -> Array:
    """sigma = z / alpha = V_s(y) - mean of the others: what the subject itself says after exposure f t."""
    return np.asarray(salience_margin(exposure, alpha, answers) / np.asarray(alpha, float))


def generic_values(v_s: ArrayLike, alpha: ArrayLike) -> Array:
    """V_r = ((1 - alpha) / alpha) sum_s V_s from subject values (..., subjects, answers) (P2)."""
    rate = np.asarray(alpha, float)
    return np.asarray(((1.0 - rate) / rate)[..., None] * np.sum(np.asarray(v_s, float), axis=-2))


def _answers(answers: ArrayLike) -> Array:
    k = np.asarray(answers, float)
    if np.any(k < 2):
        raise TheoryError(f"answers: a fact needs at least 2 possible answers, got {np.min(k):g}")
    return k


# Which rows do the harm.


def gradients(u: ArrayLike, facts: Facts) -> Array:
    """g_i = alpha (1 - alpha) (A_s - A_r)_i of every single fact: how hard it pulls u up."""
    at = np.asarray(u, float)[..., None]
    single = Facts(facts.v_s[..., None, :], facts.v_r[..., None, :], facts.y[..., None])
    return np.asarray(expit(at) * expit(-at) * mean_push(np.broadcast_to(at, facts.y.shape), single))


def harm_scores(g_train: ArrayLike, g_held_out: ArrayLike, kernel: ArrayLike | None = None) -> Array:
    """harm_i = -g_i mean_j g_j k(i, j): rise of the mean held-out loss per unit step on training row i.

    `kernel` is k (train, held-out), by default 1 (scalar version: its order needs only the sign of mean g_j).
    """
    g_i, g_j = np.asarray(g_train, float), np.asarray(g_held_out, float)
    if kernel is None:
        return np.asarray(-g_i * np.mean(g_j, axis=-1, keepdims=True))
    k = np.asarray(kernel, float)
    if k.shape[-2:] != (g_i.shape[-1], g_j.shape[-1]):
        raise TheoryError(
            f"harm_scores: kernel has shape {k.shape}, expected ({g_i.shape[-1]}, {g_j.shape[-1]}): "
            "a row for every training fact, a column for every held-out one"
        )
    return np.asarray(-g_i * np.einsum("...ij,...j->...i", k, g_j) / g_j.shape[-1])


# Small steps: accuracy is linear in the shares (the linear SliCK model).


class LinearSlick(NamedTuple):
    """Acc = intercept + known (1 - q) + unknown q."""

    intercept: float
    known: float
    unknown: float

    def accuracy(self, q: ArrayLike) -> Array:
        """Accuracy at a share `q` of unknown facts."""
        share = np.asarray(q, float)
        return np.asarray(self.intercept + self.known * (1.0 - share) + self.unknown * share)


def linear_slick(
    known: Facts,
    unknown: Facts,
    u_star: ArrayLike,
    u0: float,
    span: float,
    kappa: float = 0.0,
    width: float = 0.25,
) -> LinearSlick:
    """First order in `span` = steps x lr: beta = Acc'(u0) (1 + kappa) span alpha (1 - alpha) mean push."""
    rate = float(accuracy_slope(u0, u_star, width)) * (1.0 + kappa) * span * float(expit(u0) * expit(-u0))
    return LinearSlick(
        float(accuracy_law(u0, u_star)),
        rate * float(mean_push(u0, known)),
        rate * float(mean_push(u0, unknown)),
    )

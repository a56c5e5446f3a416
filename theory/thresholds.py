"""Where a fact's pull on the attention changes sign, where it is strongest, and how it reaches other prompts.

Two-token head, `alpha` on the subject, relation values `v_r` (..., A). What the subject says is
V_s = sigma 1[y] + `background`; assumption (O) is that the background is zero. Leading batch axes broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, logsumexp, softmax, wrightomega

from theory.attention import Array, log_odds, margin, others
from theory.errors import TheoryError

HALVINGS = 64  # of the bracket of a root: its width falls below the spacing of doubles


def threshold(alpha: ArrayLike, v_r: ArrayLike, y: ArrayLike, background: ArrayLike = 0.0) -> Array:
    """tau: the salience above which fact y pulls attention onto its subject, and below which off it.

    Under (O) it is V_r(y) - E_q V_r with q_a ~ e^((1 - alpha) V_r(a)); d tau/d alpha = Var_q V_r >= 0.
    """
    v_r, z = _without_salience(alpha, v_r, background)
    return margin(v_r - np.asarray(background, float), others(z, y), y)


def optimal_salience(alpha: ArrayLike, v_r: ArrayLike, y: ArrayLike, background: ArrayLike = 0.0) -> Array:
    """sigma_opt: the salience at which fact y pulls attention onto its subject most strongly.

    tau + (1 + W(Z e^(-b - alpha tau - 1))) / alpha, W Lambert's; wrightomega(x) is W(e^x) without overflow.
    """
    alpha = np.asarray(alpha, dtype=np.float64)
    _, z = _without_salience(alpha, v_r, background)
    tau = threshold(alpha, v_r, y, background)
    return np.asarray(tau + (1.0 + wrightomega(-log_odds(z, y) - alpha * tau - 1.0)) / alpha)


def every_threshold(alpha: ArrayLike, v_r: ArrayLike) -> tuple[Array, Array]:
    """tau_y under (O) and the log-odds of p_y at salience 0, both (..., A), for every right answer y."""
    v_r, z = _without_salience(alpha, v_r, 0.0)
    rivals = np.where(np.eye(v_r.shape[-1], dtype=bool), -np.inf, z[..., None, :])
    expected = np.einsum("...ya,...a->...y", softmax(rivals, axis=-1), v_r)
    return np.asarray(v_r - expected), np.asarray(z - logsumexp(rivals, axis=-1))


def set_push(sigma: ArrayLike, alpha: ArrayLike, v_r: ArrayLike, weights: ArrayLike) -> Array:
    """h(sigma) = E_y (1 - p_y)(sigma - tau_y) under (O), y drawn with `weights` (..., A); h > 0 helps."""
    sigma = np.asarray(sigma, dtype=np.float64)[..., None]
    tau, odds = every_threshold(alpha, v_r)
    wrong = expit(-np.asarray(alpha, float)[..., None] * sigma - odds)
    return np.asarray(np.sum(_shares(weights) * wrong * (sigma - tau), axis=-1))


def critical_salience(alpha: ArrayLike, v_r: ArrayLike, weights: ArrayLike) -> Array:
    """sigma_c: the one root of `set_push`, by bisection between the lowest and the highest threshold."""
    tau, odds = every_threshold(alpha, v_r)
    weights, alpha = _shares(weights), np.asarray(alpha, float)[..., None]
    low, high = tau.min(axis=-1), tau.max(axis=-1)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = middle < _mean_threshold(middle, alpha, tau, odds, weights)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


def critical_salience_first_order(alpha: ArrayLike, v_r: ArrayLike, weights: ArrayLike) -> Array:
    """E[(1 - p_y) tau_y] / E[1 - p_y] at salience 0: sigma_c if p_y did not move with the salience.

    With v_r = c log pi and weights pi this is c int_x^1 Var / (1 - E p_y). It never underestimates |sigma_c|.
    """
    tau, odds = every_threshold(alpha, v_r)
    return _mean_threshold(np.zeros(()), np.asarray(alpha, float)[..., None], tau, odds, _shares(weights))


def calibration_push(alpha: ArrayLike, c: ArrayLike, pi: ArrayLike) -> Array:
    """E_y dL/du of unknown facts (sigma = 0, y ~ pi, V_r = c log pi): above 0 attention leaves the subject.

    alpha (1 - alpha) c (E_pi log pi - E_{pi_x} log pi) with x = (1 - alpha) c and pi_x proportional to pi^x.
    """
    alpha, c, log_pi = np.asarray(alpha, float), np.asarray(c, float), np.log(_shares(pi, positive=True))
    tilted = softmax(((1.0 - alpha) * c)[..., None] * log_pi, axis=-1)
    return np.asarray(alpha * (1.0 - alpha) * c * np.sum((np.exp(log_pi) - tilted) * log_pi, axis=-1))


def calibration_integral(alpha: ArrayLike, c: ArrayLike, pi: ArrayLike, nodes: int = 48) -> Array:
    """The same as alpha (1 - alpha) c int_x^1 Var_{pi_beta}(log pi) d beta, by Gauss-Legendre quadrature."""
    alpha, c, log_pi = np.asarray(alpha, float), np.asarray(c, float), np.log(_shares(pi, positive=True))
    x = (1.0 - alpha) * c
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total: Array = np.zeros(np.broadcast_shapes(x.shape, log_pi.shape[:-1]))
    for point, weight in zip(points, weights, strict=True):
        beta = 0.5 * (1.0 + x + point * (1.0 - x))
        p = softmax(beta[..., None] * log_pi, axis=-1)
        mean = np.sum(p * log_pi, axis=-1, keepdims=True)
        total = total + weight * np.sum(p * (log_pi - mean) ** 2, axis=-1)
    return np.asarray(alpha * (1.0 - alpha) * c * 0.5 * (1.0 - x) * total)


def transfer_kernel(phi_s: ArrayLike, phi_r: ArrayLike, phi_t: ArrayLike) -> Array:
    """k(s, t) = |phi_r|^2 <phi_s - phi_r, phi_t - phi_r>, (..., N, M), of (..., N, d) and (..., M, d)."""
    phi_r = np.asarray(phi_r, dtype=np.float64)
    from_s, from_t = (np.asarray(phi, dtype=np.float64) - phi_r[..., None, :] for phi in (phi_s, phi_t))
    return np.asarray(np.sum(phi_r**2, axis=-1)[..., None, None] * (from_s @ np.swapaxes(from_t, -1, -2)))


def score_shift(g: ArrayLike, kernel: ArrayLike, rate: ArrayLike = 1.0) -> Array:
    """(rate / N) sum_i g_i k(i, t): what a full-batch step on W_KQ adds to u of t, g = -dL/du (..., N)."""
    g, kernel = np.asarray(g, dtype=np.float64), np.asarray(kernel, dtype=np.float64)
    return np.asarray(np.asarray(rate)[..., None] * np.einsum("...n,...nm->...m", g, kernel) / g.shape[-1])


def _without_salience(alpha: ArrayLike, v_r: ArrayLike, background: ArrayLike) -> tuple[Array, Array]:
    alpha, v_r = np.asarray(alpha, dtype=np.float64), np.asarray(v_r, dtype=np.float64)
    if not np.all((alpha > 0.0) & (alpha <= 1.0)):
        raise TheoryError(f"alpha: expected attention in (0, 1], got {alpha.min()} to {alpha.max()}")
    if v_r.ndim < 1 or v_r.shape[-1] < 2:
        raise TheoryError(f"v_r: expected at least two answers on the last axis, got shape {v_r.shape}")
    alpha = alpha[..., None]
    return v_r, np.asarray(alpha * np.asarray(background, float) + (1.0 - alpha) * v_r)


def _mean_threshold(sigma: Array, alpha: Array, tau: Array, odds: Array, weights: Array) -> Array:
    """Mean threshold of a set weighted by how wrong each fact is at salience sigma: falls as sigma rises."""
    with np.errstate(divide="ignore"):
        log_wrong = np.log(weights) + log_expit(-alpha * sigma[..., None] - odds)
    return np.asarray(np.sum(softmax(log_wrong, axis=-1) * tau, axis=-1))


def _shares(weights: ArrayLike, *, positive: bool = False) -> Array:
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum(axis=-1, keepdims=True)
    low = weights.min(initial=np.inf)
    if low < 0.0 or (positive and low == 0.0) or not np.all((total > 0.0) & np.isfinite(total)):
        kind = "positive" if positive else "non-negative, with a positive sum"
        raise TheoryError(f"weights: expected shares of the answers that are {kind}, got a smallest of {low}")
    return np.asarray(weights / total)

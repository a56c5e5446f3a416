"""One attention head over a few tokens, in closed form: what every theorem on attention is about.

Shapes are leading batch axes, then tokens L, then answers A. `values[..., i, a]` is V_i(a), what token i says
for answer a; `alphas[..., i]` is the attention on token i; `y[...]` is the index of the right answer. Of two
tokens the first is the subject, the second the relation, and `u = score_s - score_r`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp, softmax

from theory.errors import TheoryError

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def pick(table: ArrayLike, y: ArrayLike) -> Array:
    """`table[..., y]`: one answer index per batch element, the batch axes of both broadcast together."""
    table = np.asarray(table, dtype=np.float64)
    index = _answers(y, table.shape[-1])
    shape = np.broadcast_shapes(table.shape[:-1], index.shape)
    table = np.broadcast_to(table, (*shape, table.shape[-1]))
    return np.asarray(np.take_along_axis(table, np.broadcast_to(index, shape)[..., None], axis=-1)[..., 0])


def logits(alphas: ArrayLike, values: ArrayLike, residual: ArrayLike = 0.0) -> Array:
    """z = sum_i alpha_i V_i, plus a residual term if there is one."""
    alphas, values = np.asarray(alphas, dtype=np.float64), np.asarray(values, dtype=np.float64)
    return np.asarray(np.einsum("...i,...ia->...a", alphas, values) + residual)


def mix(u: ArrayLike, v_s: ArrayLike, v_r: ArrayLike) -> Array:
    """Two tokens: z = alpha V_s + (1 - alpha) V_r with alpha = sigmoid(u)."""
    alpha = expit(np.asarray(u, dtype=np.float64))[..., None]
    return np.asarray(alpha * np.asarray(v_s, float) + (1.0 - alpha) * np.asarray(v_r, float))


def advantages(values: ArrayLike, p: ArrayLike, y: ArrayLike) -> Array:
    """A_i = V_i(y) - E_{a~p} V_i(a): how much more token i says for the right answer than on average."""
    values = np.asarray(values, dtype=np.float64)
    right = pick(values, np.asarray(y)[..., None])
    return np.asarray(right - np.einsum("...ia,...a->...i", values, np.asarray(p, float)))


def score_gradient(
    alphas: ArrayLike,
    values: ArrayLike,
    y: ArrayLike,
    residual: ArrayLike = 0.0,
    *,
    attention: str = "softmax",
) -> Array:
    """d loss / d score_i of the answer cross-entropy (T1). Linear attention: `alphas` are the scores."""
    if attention not in ("softmax", "linear"):
        raise TheoryError(f"attention: expected 'softmax' or 'linear', got {attention!r}")
    alphas = np.asarray(alphas, dtype=np.float64)
    p = softmax(logits(alphas, values, residual), axis=-1)
    a = advantages(values, p, y)
    if attention == "linear":
        return -a
    return np.asarray(-alphas * (a - np.sum(alphas * a, axis=-1, keepdims=True)))


def others(z: ArrayLike, y: ArrayLike) -> Array:
    """q_a = p_a / (1 - p_y) for a != y, 0 at y: what the model would say were the right answer forbidden."""
    return np.asarray(softmax(_without(z, y), axis=-1))


def log_odds(z: ArrayLike, y: ArrayLike) -> Array:
    """log p_y / (1 - p_y), exact to rounding also where p_y is within rounding of 0 or 1."""
    return np.asarray(pick(z, y) - logsumexp(_without(z, y), axis=-1))


def margin(values: ArrayLike, q: ArrayLike, y: ArrayLike) -> Array:
    """V(y) - E_q V: the subject margin Sig of V_s, the generic margin tau of V_r."""
    return np.asarray(pick(values, y) - np.sum(np.asarray(q, float) * np.asarray(values, float), axis=-1))


def push(u: ArrayLike, v_s: ArrayLike, v_r: ArrayLike, y: ArrayLike) -> Array:
    """-d loss/du without the factor alpha (1 - alpha): (1 - p_y)(Sig - tau), which is A_s - A_r."""
    z = mix(u, v_s, v_r)
    q = others(z, y)
    return np.asarray(expit(-log_odds(z, y)) * (margin(v_s, q, y) - margin(v_r, q, y)))


def two_token_gradient(
    alphas: ArrayLike, values: ArrayLike, y: ArrayLike, residual: ArrayLike = 0.0
) -> Array:
    """d loss/du = -alpha (1 - alpha)(1 - p_y)(Sig - tau) of a subject (first) and a relation token."""
    alphas, values = np.asarray(alphas, dtype=np.float64), np.asarray(values, dtype=np.float64)
    z = logits(alphas, values, residual)
    q = others(z, y)
    gap = margin(values[..., 0, :], q, y) - margin(values[..., 1, :], q, y)
    return np.asarray(-alphas[..., 0] * alphas[..., 1] * expit(-log_odds(z, y)) * gap)


def loss(u: ArrayLike, v_s: ArrayLike, v_r: ArrayLike, y: ArrayLike) -> Array:
    """Answer cross-entropy of the two-token head."""
    return np.asarray(np.logaddexp(0.0, -log_odds(mix(u, v_s, v_r), y)))


def _without(z: ArrayLike, y: ArrayLike) -> Array:
    z = np.asarray(z, dtype=np.float64)
    right = _answers(y, z.shape[-1])[..., None] == np.arange(z.shape[-1])
    return np.where(right, -np.inf, z)


def _answers(y: ArrayLike, answers: int) -> Index:
    index = np.asarray(y)
    if index.dtype.kind not in "iu":
        raise TheoryError(f"y: expected integer answer indices, got dtype {index.dtype}")
    if index.size and not (index.min() >= 0 and index.max() < answers):
        wrong = index.min() if index.min() < 0 else index.max()
        raise TheoryError(f"y: answer index {wrong} is outside 0..{answers - 1}")
    return index.astype(np.intp, copy=False)

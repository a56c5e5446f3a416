"""The one-layer model: fixed embeddings, one head read at the last token, gradients in closed form.

    z(a) = sum_i alpha_i phi(a)^T W_V phi(x_i)  [+ phi(a)^T phi(x_last)]
    score_i = phi(x_i)^T W_KQ phi(x_last)

alpha is the softmax of the scores over the tokens of the prompt, or the scores themselves (linear attention).
The prompt is read at its last token only, so a causal mask would change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from theory.attention import Array, Index, pick
from theory.errors import TheoryError

Attention = Literal["softmax", "linear"]


class Gradients(NamedTuple):
    """d loss / d W_KQ and d loss / d W_V, each (d, d), of the mean cross-entropy of a batch."""

    w_kq: Array
    w_v: Array


@dataclass(frozen=True, eq=False)
class OneLayer:
    """T tokens and A answers in d dimensions; `embed` and `readout` (the answers' phi(a)) stay fixed."""

    embed: Array  # (T, d)
    readout: Array  # (A, d)
    w_kq: Array  # (d, d)
    w_v: Array  # (d, d)
    attention: Attention = "softmax"
    residual: bool = False

    def __post_init__(self) -> None:
        for name in ("embed", "readout", "w_kq", "w_v"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.ndim != 2 or 0 in array.shape:
                raise TheoryError(f"{name}: expected a non-empty matrix, got shape {array.shape}")
            object.__setattr__(self, name, array)
        d = self.embed.shape[1]
        if self.readout.shape[1] != d:
            raise TheoryError(f"readout: expected {d} columns as in embed, got shape {self.readout.shape}")
        for name in ("w_kq", "w_v"):
            if getattr(self, name).shape != (d, d):
                raise TheoryError(f"{name}: expected shape ({d}, {d}), got {getattr(self, name).shape}")
        if self.attention not in ("softmax", "linear"):
            raise TheoryError(f"attention: expected 'softmax' or 'linear', got {self.attention!r}")

    def scores(self, tokens: ArrayLike) -> Array:
        """score_i of every token of every prompt, (batch, L)."""
        return self._scores(self._prompts(tokens))

    def alphas(self, tokens: ArrayLike) -> Array:
        """Attention on every token, (batch, L)."""
        return self._alphas(self._prompts(tokens))

    def value_table(self) -> Array:
        """phi(a)^T W_V phi(t) of every token t and answer a, (T, A)."""
        return np.asarray(self.embed @ (self.readout @ self.w_v).T)

    def values(self, tokens: ArrayLike) -> Array:
        """V_i(a), what every token of every prompt says for every answer, (batch, L, A)."""
        return np.asarray(self.value_table()[self._prompts(tokens)])

    def salience(self, s: ArrayLike, a: ArrayLike) -> Array:
        """S(s, a) = phi(a)^T W_V phi(s): how strongly token s stores answer a."""
        s = _indices("s", s, len(self.embed), "token")
        a = _indices("a", a, len(self.readout), "answer")
        return np.asarray(np.einsum("...d,...d->...", self.readout[a] @ self.w_v, self.embed[s]))

    def forward(self, tokens: ArrayLike) -> Array:
        """Logits z, (batch, A)."""
        tokens = self._prompts(tokens)
        return self._logits(tokens, self._alphas(tokens), self.value_table())

    def losses(self, tokens: ArrayLike, y: ArrayLike) -> Array:
        """Answer cross-entropy of every prompt in nats, (batch,)."""
        tokens, y = self._examples(tokens, y)
        z = self._logits(tokens, self._alphas(tokens), self.value_table())
        return -pick(log_softmax(z, axis=-1), y)

    def loss(self, tokens: ArrayLike, y: ArrayLike) -> float:
        """Mean answer cross-entropy of the batch in nats."""
        return float(np.mean(self.losses(tokens, y)))

    def gradients(self, tokens: ArrayLike, y: ArrayLike) -> Gradients:
        """Closed-form gradient of `loss` with respect to both trainable matrices."""
        tokens, y = self._examples(tokens, y)
        batch, (vocabulary, answers) = len(tokens), (len(self.embed), len(self.readout))
        table = self.value_table()
        alphas = self._alphas(tokens)
        surprise = softmax(self._logits(tokens, alphas, table), axis=-1)
        surprise[np.arange(batch), y] -= 1.0
        surprise /= batch  # d loss / dz

        by_alpha = np.einsum("bla,ba->bl", table[tokens], surprise)
        if self.attention == "softmax":
            by_alpha = alphas * (by_alpha - np.sum(alphas * by_alpha, axis=-1, keepdims=True))
        last, reader = np.unique(tokens[:, -1], return_inverse=True)
        cells = tokens * len(last) + reader[:, None]
        by_pair = _scatter(cells, by_alpha, vocabulary, len(last))

        cells = tokens[..., None] * answers + np.arange(answers)
        by_value = _scatter(cells, alphas[..., None] * surprise[:, None], vocabulary, answers)
        return Gradients(
            w_kq=np.asarray(self.embed.T @ by_pair @ self.embed[last]),
            w_v=np.asarray(self.readout.T @ by_value.T @ self.embed),
        )

    def descend(
        self, tokens: ArrayLike, y: ArrayLike, *, kq_rate: float = 0.0, v_rate: float = 0.0
    ) -> OneLayer:
        """The model after one full-batch gradient step with a rate for each matrix (0 freezes it)."""
        gradient = self.gradients(tokens, y)
        return replace(self, w_kq=self.w_kq - kq_rate * gradient.w_kq, w_v=self.w_v - v_rate * gradient.w_v)

    def _prompts(self, tokens: ArrayLike) -> Index:
        index = _indices("tokens", tokens, len(self.embed), "token")
        if index.ndim != 2 or 0 in index.shape:
            raise TheoryError(
                f"tokens: expected a non-empty (batch, L) array of token indices, got shape {index.shape}"
            )
        return index

    def _examples(self, tokens: ArrayLike, y: ArrayLike) -> tuple[Index, Index]:
        prompts = self._prompts(tokens)
        right = _indices("y", y, len(self.readout), "answer")
        if right.shape != prompts.shape[:1]:
            raise TheoryError(
                f"y: expected one answer index for each of {len(prompts)} prompts, got shape {right.shape}"
            )
        return prompts, right

    def _scores(self, tokens: Index) -> Array:
        last, reader = np.unique(tokens[:, -1], return_inverse=True)
        keys = self.embed @ (self.w_kq @ self.embed[last].T)
        return np.asarray(keys[tokens, reader[:, None]])

    def _alphas(self, tokens: Index) -> Array:
        scores = self._scores(tokens)
        return np.asarray(softmax(scores, axis=-1)) if self.attention == "softmax" else scores

    def _logits(self, tokens: Index, alphas: Array, table: Array) -> Array:
        z = np.einsum("bl,bla->ba", alphas, table[tokens])
        if self.residual:
            last, reader = np.unique(tokens[:, -1], return_inverse=True)
            z = z + (self.embed[last] @ self.readout.T)[reader]
        return np.asarray(z)


def one_hot(
    values: ArrayLike,
    scores: ArrayLike | None = None,
    *,
    attention: Attention = "softmax",
    residual: bool = False,
) -> OneLayer:
    """Orthonormal embeddings: `values` (T, A) is the value table, `scores[i, j]` scores token i read at j."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise TheoryError(f"values: expected a (tokens, answers) table, got shape {values.shape}")
    tokens, answers = values.shape
    scores = np.zeros((tokens, tokens)) if scores is None else np.asarray(scores, dtype=np.float64)
    if scores.shape != (tokens, tokens):
        raise TheoryError(
            f"scores: expected shape ({tokens}, {tokens}), one row and column a token, got {scores.shape}"
        )
    basis = np.eye(tokens + answers)
    w_kq, w_v = np.zeros_like(basis), np.zeros_like(basis)
    w_kq[:tokens, :tokens] = scores
    w_v[tokens:, :tokens] = values.T
    return OneLayer(basis[:tokens], basis[tokens:], w_kq, w_v, attention, residual)


def dense(
    rng: np.random.Generator,
    tokens: int,
    answers: int,
    dim: int,
    *,
    weight_scale: float = 0.0,
    attention: Attention = "softmax",
    residual: bool = False,
) -> OneLayer:
    """Gaussian embeddings of norm about 1, Gaussian weights with deviation `weight_scale` (0: untrained)."""
    for name, size in (("tokens", tokens), ("answers", answers), ("dim", dim)):
        if size < 1:
            raise TheoryError(f"{name}: expected at least 1, got {size}")
    embed, readout = (rng.normal(size=(rows, dim)) / np.sqrt(dim) for rows in (tokens, answers))
    w_kq, w_v = weight_scale * rng.normal(size=(2, dim, dim))
    return OneLayer(embed, readout, w_kq, w_v, attention, residual)


def _indices(name: str, given: ArrayLike, size: int, kind: str) -> Index:
    index: NDArray[Any] = np.asarray(given)
    if index.dtype.kind not in "iu":
        raise TheoryError(f"{name}: expected integer {kind} indices, got dtype {index.dtype}")
    if index.size and not (index.min() >= 0 and index.max() < size):
        wrong = index.min() if index.min() < 0 else index.max()
        raise TheoryError(f"{name}: {kind} index {wrong} is outside 0..{size - 1}")
    return index.astype(np.intp, copy=False)


def _scatter(cells: Index, weights: Array, rows: int, columns: int) -> Array:
    """Sum `weights` into the flat `cells` of a (rows, columns) table."""
    sums: Array = np.bincount(cells.ravel(), weights.ravel(), rows * columns).astype(np.float64, copy=False)
    return sums.reshape(rows, columns)

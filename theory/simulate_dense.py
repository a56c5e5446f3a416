"""The one-layer model with dense embeddings, in the shape that `theory.simulate.train` trains, and models
with mixed parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_matrix

from theory.attention import Array
from theory.optimisers import Trained
from theory.simulate import Prompts, loss_gradient, softmax, softmax_gradient


@dataclass(frozen=True, eq=False)
class Dense:
    """Token embeddings `embed` (S, T, d), answer embeddings `answer` (S, A, d), `kq` and `value` (S, d, d).

    score_i = x_i^T W_KQ x_last and V_i(a) = phi(a)^T W_V x_i. "values" trains W_V and the answer embeddings,
    "attention" W_KQ alone, "all" these and the token embeddings, which serve both.
    """

    embed: Array
    answer: Array
    kq: Array
    value: Array

    groups: ClassVar[Mapping[Trained, tuple[str, ...]]] = {
        "all": ("embed", "answer", "kq", "value"),
        "attention": ("kq",),
        "values": ("answer", "value"),
    }
    by_token: ClassVar[tuple[str, ...]] = ("embed",)

    @property
    def askers(self) -> int:
        return 0

    def forward(self, prompts: Prompts) -> tuple[Array, Array]:
        x = self._embedded(prompts)
        alpha = softmax(self._scores(x, self._keys(x)))
        return alpha, self._mixed(alpha, x) @ self.value.swapaxes(1, 2) @ self.answer.swapaxes(1, 2)

    def token_values(self, prompts: Prompts) -> Array:
        x = self._embedded(prompts)
        s, n, width, d = x.shape
        flat = x.reshape(s, n * width, d) @ self.value.swapaxes(1, 2) @ self.answer.swapaxes(1, 2)
        return flat.reshape(s, n, width, -1)

    def gradients(self, prompts: Prompts, weight: Array, names: Sequence[str]) -> Mapping[str, Array]:
        x = self._embedded(prompts)
        keys = self._keys(x)
        alpha = softmax(self._scores(x, keys))
        mixed = self._mixed(alpha, x)
        said = mixed @ self.value.swapaxes(1, 2)
        d_z = loss_gradient(said @ self.answer.swapaxes(1, 2), prompts.answers, weight)
        d_said = d_z @ self.answer
        found: dict[str, Array] = {}
        if "answer" in names:
            found["answer"] = d_z.swapaxes(1, 2) @ said
        if "value" in names:
            found["value"] = d_said.swapaxes(1, 2) @ mixed
        if "kq" in names or "embed" in names:
            d_mixed = d_said @ self.value
            d_score = softmax_gradient(alpha, np.einsum("snld,snd->snl", x, d_mixed))
            d_keys = np.einsum("snl,snld->snd", d_score, x)
            found["kq"] = d_keys.swapaxes(1, 2) @ x[:, :, -1]
            if "embed" in names:
                d_x = alpha[..., None] * d_mixed[:, :, None] + d_score[..., None] * keys[:, :, None]
                d_x[:, :, -1] += d_keys @ self.kq
                found["embed"] = self._scatter(prompts, d_x)
        return found

    def _embedded(self, prompts: Prompts) -> Array:
        return np.asarray(self.embed[np.arange(len(self.embed))[:, None, None], prompts.tokens])

    def _keys(self, x: Array) -> Array:
        """W_KQ x_last, (S, n, d)."""
        return np.asarray(x[:, :, -1] @ self.kq.swapaxes(1, 2))

    @staticmethod
    def _scores(x: Array, keys: Array) -> Array:
        return np.asarray(np.einsum("snld,snd->snl", x, keys))

    @staticmethod
    def _mixed(alpha: Array, x: Array) -> Array:
        return np.asarray(np.einsum("snl,snld->snd", alpha, x))

    def _scatter(self, prompts: Prompts, d_x: Array) -> Array:
        s, t, d = self.embed.shape
        rows = (prompts.tokens + t * np.arange(s)[:, None, None]).ravel()
        ones = np.ones(rows.size, dtype=d_x.dtype)
        add = csr_matrix((ones, rows, np.arange(rows.size + 1)), shape=(rows.size, s * t)).T
        return np.asarray(add @ d_x.reshape(-1, d)).reshape(self.embed.shape)


def dense(
    seeds: Sequence[int], tokens: int, answers: int, width: int, stream: int = 0, dtype: type = np.float64
) -> Dense:
    """Untrained: embeddings of about unit length, normal with variance 1/width, and both matrices zero."""
    embed: Array = np.empty((len(seeds), tokens, width), dtype=dtype)
    answer: Array = np.empty((len(seeds), answers, width), dtype=dtype)
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, stream]))
        embed[s] = rng.standard_normal((tokens, width)) / np.sqrt(width)
        answer[s] = rng.standard_normal((answers, width)) / np.sqrt(width)
    square = (len(seeds), width, width)
    return Dense(embed, answer, np.zeros(square, dtype=dtype), np.zeros(square, dtype=dtype))

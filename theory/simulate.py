"""The one-layer model, trained: prompts, minibatches and the loop that both kinds of tokens share; one-hot
tables.

Every array has a leading axis S of seeds (or of any other independent runs), and one step is a handful of
array operations for all of them. A prompt is a row of L tokens whose last one asks; with attention alpha =
softmax over the tokens of score_i = x_i^T W_KQ x_last the logits over answers are z = sum_i alpha_i V_i, and
the loss is their cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from theory.attention import Array, Index
from theory.errors import TheoryError
from theory.optimisers import Optimiser, Recipe, Trained

R = TypeVar("R")
M = TypeVar("M", bound="Model")


@dataclass(frozen=True, eq=False)
class Prompts:
    """`tokens` (S, n, L), the last of which asks, and their right `answers` (S, n)."""

    tokens: Index
    answers: Index

    def take(self, which: Index) -> Prompts:
        """The prompts `which` (S, m) of every seed."""
        seed = np.arange(len(self.tokens))[:, None]
        return Prompts(self.tokens[seed, which], self.answers[seed, which])


class Model(Protocol):
    """What the loop needs of a frozen dataclass of arrays."""

    groups: ClassVar[
        Mapping[Trained, tuple[str, ...]]
    ]  # the arrays that "all", "attention" and "values" train
    by_token: ClassVar[tuple[str, ...]]  # arrays whose second axis is the token

    @property
    def askers(self) -> int:
        """Tokens 0..askers-1 may stand last, and their numbers have to stay what they are."""
        ...

    def forward(self, prompts: Prompts) -> tuple[Array, Array]:
        """Attention (S, n, L) and logits (S, n, A)."""
        ...

    def token_values(self, prompts: Prompts) -> Array:
        """What each token of each prompt says for each answer, (S, n, L, A)."""
        ...

    def gradients(self, prompts: Prompts, weight: Array, names: Sequence[str]) -> Mapping[str, Array]:
        """Gradients of sum_n weight_n * cross-entropy_n by the arrays `names`; weight is (S, n)."""
        ...


@dataclass(frozen=True, eq=False)
class Tables:
    """One-hot tokens: W_KQ is the table `scores` (S, T, askers), W_V the table `values` (S, T, A).

    Only columns of tokens that stand last are ever used, so only those are kept. With `pool` the answers come
    in blocks of that size and a prompt's softmax runs over the block of its right answer; otherwise it runs
    over all answers.
    """

    scores: Array
    values: Array
    pool: int | None = None

    groups: ClassVar[Mapping[Trained, tuple[str, ...]]] = {
        "all": ("scores", "values"),
        "attention": ("scores",),
        "values": ("values",),
    }
    by_token: ClassVar[tuple[str, ...]] = ("scores", "values")

    @property
    def askers(self) -> int:
        return int(self.scores.shape[2])

    def forward(self, prompts: Prompts) -> tuple[Array, Array]:
        alpha, attend = self._attend(prompts)
        return alpha, self._logits(attend, prompts)

    def token_values(self, prompts: Prompts) -> Array:
        seed = np.arange(len(prompts.tokens))[:, None, None]
        return np.asarray(self.values[seed, prompts.tokens])

    def gradients(self, prompts: Prompts, weight: Array, names: Sequence[str]) -> Mapping[str, Array]:
        alpha, attend = self._attend(prompts)
        d_z = loss_gradient(self._logits(attend, prompts), prompts.answers, weight)
        a = self.values.shape[2]
        found: dict[str, Array] = {}
        if "values" in names:
            found["values"] = (attend.T @ d_z.reshape(-1, a)).reshape(self.values.shape)
        if "scores" in names:
            d_alpha = np.einsum("snla,sna->snl", self.token_values(prompts), d_z)
            d_score = softmax_gradient(alpha, d_alpha)
            column = np.broadcast_to(prompts.tokens[..., -1:], prompts.tokens.shape)
            cell = self._rows(prompts) * self.askers + column
            total = np.bincount(cell.ravel(), weights=d_score.ravel(), minlength=self.scores.size)
            found["scores"] = total.reshape(self.scores.shape).astype(self.scores.dtype, copy=False)
        return found

    def _rows(self, prompts: Prompts) -> Index:
        s, t, _ = self.values.shape
        return np.asarray(prompts.tokens + t * np.arange(s)[:, None, None])

    def _attend(self, prompts: Prompts) -> tuple[Array, Any]:
        """Attention, and the sparse matrix (S n, S T) that mixes rows of the value table with it."""
        rows = self._rows(prompts)
        s, n, width = rows.shape
        score = self.scores.reshape(-1, self.askers)[rows, prompts.tokens[..., -1:]]
        alpha = softmax(score)
        start = np.arange(0, s * n * width + 1, width)
        shape = (s * n, s * self.values.shape[1])
        return alpha, csr_matrix((alpha.ravel(), rows.ravel(), start), shape=shape)

    def _logits(self, attend: Any, prompts: Prompts) -> Array:
        a = self.values.shape[2]
        z = np.asarray(attend @ self.values.reshape(-1, a)).reshape(*prompts.answers.shape, a)
        if self.pool is not None:
            block = np.arange(a) // self.pool
            z[block != prompts.answers[..., None] // self.pool] = -np.inf
        return z


def tables(
    seeds: int, tokens: int, askers: int, answers: int, pool: int | None = None, dtype: type = np.float64
) -> Tables:
    """Untrained one-hot tables: all zero, so attention is uniform and every answer equally likely."""
    return Tables(
        np.zeros((seeds, tokens, askers), dtype=dtype), np.zeros((seeds, tokens, answers), dtype=dtype), pool
    )


def softmax(z: Array) -> Array:
    """Over the last axis. scipy's costs more than a whole small step; this one keeps the precision of its input."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def softmax_gradient(alpha: Array, d_alpha: Array) -> Array:
    """From the gradient by the attention to the gradient by its scores."""
    return np.asarray(alpha * (d_alpha - np.sum(alpha * d_alpha, axis=-1, keepdims=True)))


def loss_gradient(z: Array, answers: Index, weight: Array) -> Array:
    """Gradient of the weighted cross-entropies by the logits: weight (p - e_y), in the shape of `z`."""
    p = softmax(z)
    flat = p.reshape(-1, p.shape[-1])
    flat[np.arange(len(flat)), answers.ravel()] -= 1.0
    flat *= weight.reshape(-1, 1)
    return p


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model does with prompts: attention (S, n, L), log p of the right answer, the likeliest answer
    and whether it is right (S, n).
    """

    attention: Array
    log_p: Array
    said: Index
    right: NDArray[np.bool_]


def read(alpha: Array, z: Array, answers: Index) -> Reading:
    """A reading of the attention and logits of a forward pass, wherever they come from."""
    said = z.argmax(axis=-1)
    top = z.max(axis=-1)
    at_right = np.take_along_axis(z, answers[..., None], axis=-1)[..., 0]
    log_p = at_right - top - np.log(np.exp(z - top[..., None]).sum(axis=-1))
    return Reading(alpha, log_p, said, said == answers)


def advantages(model: Model, prompts: Prompts) -> Array:
    """A_i = V_i(y) - E_p V_i of every token, (S, n, L)."""
    _, z = model.forward(prompts)
    values = model.token_values(prompts)
    right = np.take_along_axis(values, prompts.answers[..., None, None], axis=-1)[..., 0]
    return np.asarray(right - np.einsum("snla,sna->snl", values, softmax(z)))


def draw_batches(
    sets: Sequence[Index], recipe: Recipe, seeds: Sequence[int], stream: int, p: Array | None = None
) -> Index:
    """Minibatches (steps, S, batch), drawn with replacement from every seed's own set of prompt numbers.

    Uniformly, or in proportion to `p` (S, size of the set). Each (seed, stream) has a random generator of its
    own.
    """
    order: Index = np.empty((recipe.steps, len(seeds), recipe.batch), dtype=np.int32)
    for s, (numbers, seed) in enumerate(zip(sets, seeds, strict=True)):
        if len(numbers) == 0:
            raise TheoryError(
                f"draw_batches: the set of seed {seed} is empty; expected at least one prompt number"
            )
        rng = np.random.default_rng(np.random.SeedSequence([seed, stream]))
        if p is None:
            place = rng.integers(0, len(numbers), order[:, s].shape)
        else:
            cumulative = np.cumsum(p[s])
            place = np.searchsorted(cumulative, rng.random(order[:, s].shape) * cumulative[-1], side="right")
        order[:, s] = np.asarray(numbers)[np.minimum(place, len(numbers) - 1)]
    return order


def train(
    model: M,
    prompts: Prompts,
    order: Index | None,
    recipe: Recipe,
    *,
    weight: Array | None = None,
    at: Sequence[int] = (),
    observe: Callable[[M], R] | None = None,
) -> tuple[M, list[R]]:
    """Trains a copy of `model` on minibatches `order` (steps, S, batch) of prompt numbers; `observe` sees it
    after steps `at`.

    Without `order` every step uses all prompts, with `weight` (S, n) or 1/n each. Step 0 is before training.
    Rows of tokens that occur in no minibatch have a zero gradient for ever and are left out of the work (not
    with decay).
    """
    if order is not None and len(order) < recipe.steps:
        raise TheoryError(f"train: found minibatches for {len(order)} steps, expected {recipe.steps}")
    if wrong := [step for step in at if not 0 <= step <= recipe.steps]:
        raise TheoryError(
            f"train: cannot observe step {wrong[0]}; expected steps between 0 and {recipe.steps}"
        )
    n_tokens = getattr(model, model.by_token[0]).shape[1]
    rows = np.arange(n_tokens)
    if recipe.decay == 0:
        rows = _touched(prompts, order, n_tokens, model.askers)
    number = np.zeros(n_tokens, dtype=np.intp)
    number[rows] = np.arange(len(rows))
    inside = Prompts(number[prompts.tokens], prompts.answers)

    part = _part(model, rows)
    names = model.groups[recipe.train]
    optimiser = Optimiser(recipe, {name: getattr(part, name) for name in names})
    size = prompts.answers.shape[1] if order is None else order.shape[2]
    weight = np.full((len(prompts.tokens), size), 1.0 / size) if weight is None else weight
    weight = weight.astype(optimiser.arrays[names[0]].dtype)
    seen: list[R] = []
    asked = set(at) if observe is not None else set()
    for step in range(recipe.steps + 1):
        if step in asked and observe is not None:
            seen.append(observe(_whole(model, part, rows)))
        if step < recipe.steps:
            batch = inside if order is None else inside.take(order[step])
            optimiser.step(part.gradients(batch, weight, names))
    return _whole(model, part, rows), seen


def _touched(prompts: Prompts, order: Index | None, n_tokens: int, askers: int) -> Index:
    used = np.zeros(n_tokens, dtype=bool)
    used[:askers] = True
    if order is None:
        used[prompts.tokens] = True
    else:
        chosen = np.zeros(prompts.answers.shape, dtype=bool)
        chosen[np.arange(order.shape[1])[:, None], order] = True
        used[prompts.tokens[chosen]] = True
    return np.flatnonzero(used)


def _arrays(model: Model) -> dict[str, Array]:
    return {name: getattr(model, name) for name in model.groups["all"]}


def _part(model: M, rows: Index) -> M:
    """A copy that has only the tokens `rows`."""
    arrays = {k: w[:, rows] if k in model.by_token else w.copy() for k, w in _arrays(model).items()}
    return replace(model, **arrays)  # type: ignore[type-var]


def _whole(model: M, part: M, rows: Index) -> M:
    """A copy of `model` with the trained `part` put back."""
    arrays = {name: w.copy() for name, w in _arrays(model).items()}
    for name, trained in _arrays(part).items():
        arrays[name][:, rows if name in model.by_token else slice(None)] = trained
    return replace(model, **arrays)  # type: ignore[type-var]

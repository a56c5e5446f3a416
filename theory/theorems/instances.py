"""What the checks share: blocks of bounded size, random facts, complex-step derivatives, a tally."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.attention import Array, Index
from theory.theorems.base import Outcome

Complex = NDArray[Any]
Flags = NDArray[np.bool_]
BLOCK = 256
STEP = 1e-30


@dataclass
class Tally:
    """Counts what a check finds. A comparison that yields NaN is a violation."""

    instances: int = 0
    violations: int = 0
    worst: float = 0.0
    ties: int = 0

    def close(self, found: ArrayLike, expected: ArrayLike, tolerance: float) -> Flags:
        """Which rows agree within `tolerance`, absolute; the worst disagreement is remembered."""
        error = np.abs(np.asarray(found) - np.asarray(expected))
        self.worst = max(self.worst, float(np.nan_to_num(error, nan=np.inf).max(initial=0.0)))
        return np.asarray(error <= tolerance)

    def add(self, holds: Flags, undecided: Flags | bool = False) -> None:
        """One instance an element of `holds`; an `undecided` one is a tie, left out and counted apart."""
        undecided = np.broadcast_to(np.asarray(undecided), holds.shape)
        self.ties += int(undecided.sum())
        self.instances += int((~undecided).sum())
        self.violations += int((~holds & ~undecided).sum())

    def outcome(self, note: str = "") -> Outcome:
        ties = f"{self.ties} ties left out" if self.ties else ""
        return Outcome(
            self.instances, self.violations, self.worst, "; ".join(text for text in (note, ties) if text)
        )


def blocks(n: int, kinds: int, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """(kind, count) pairs that deal `n` instances out over `kinds`, at most `size` at a time."""
    for kind in range(kinds):
        left = n // kinds + (kind < n % kinds)
        while left:
            count = min(left, size)
            yield kind, count
            left -= count


def priors(rng: np.random.Generator, n: int, answers: int) -> Array:
    """Random priors k^-b with b in 0.2..2 and some noise: the first answers are generic, (n, answers)."""
    steepness = rng.uniform(0.2, 2.0, (n, 1))
    log_pi = -steepness * np.log(np.arange(1, answers + 1)) + 0.3 * rng.normal(size=(n, answers))
    pi = np.exp(log_pi)
    return np.asarray(pi / pi.sum(axis=-1, keepdims=True))


def stored(y: Index, sigma: ArrayLike, answers: int) -> Array:
    """V_s of one-hot salience: sigma at the right answer and 0 elsewhere, (..., answers)."""
    return np.asarray(np.asarray(sigma, float)[..., None] * (np.asarray(y)[..., None] == np.arange(answers)))


def derivative(f: Callable[[Complex], Complex], x: ArrayLike) -> Array:
    """f'(x) of an elementwise analytic f by complex step, which takes no difference and loses no digit."""
    return np.asarray(np.imag(f(np.asarray(x) + 1j * STEP)) / STEP)


def cross_entropy(z: Complex, y: Index) -> Complex:
    """-log softmax(z)_y, also for complex z."""
    z = z - np.real(z).max(axis=-1, keepdims=True)
    right = np.take_along_axis(z, np.broadcast_to(y, z.shape[:-1])[..., None], axis=-1)[..., 0]
    return np.asarray(np.log(np.exp(z).sum(axis=-1)) - right)


def score_slopes(
    scores: Array, values: Array, y: Index, residual: ArrayLike = 0.0, attention: str = "softmax"
) -> Array:
    """d loss / d score_i of every token by complex step, (..., L)."""

    def loss(s: Complex, i: int) -> Complex:
        moved = np.concatenate([scores[..., :i], s[..., None], scores[..., i + 1 :]], axis=-1)
        if attention == "softmax":
            moved = np.exp(moved - scores.max(axis=-1, keepdims=True))
            moved = moved / moved.sum(axis=-1, keepdims=True)
        return cross_entropy(np.einsum("...i,...ia->...a", moved, values) + residual, y)

    tokens = range(scores.shape[-1])
    return np.stack([derivative(partial(loss, i=i), scores[..., i]) for i in tokens], axis=-1)


def set_slopes(u: Array, v_s: Array, v_r: Array, weights: Array) -> Array:
    """d/du of sum_y w_y loss_y by complex step; fact y = 0..A-1 of a set has V_s = v_s[..., y, :]."""

    def loss(u: Complex) -> Complex:
        alpha = (1.0 / (1.0 + np.exp(-u)))[..., None, None]
        z = alpha * v_s + (1.0 - alpha) * v_r[..., None, :]
        return np.asarray((weights * cross_entropy(z, np.arange(v_r.shape[-1]))).sum(axis=-1))

    return derivative(loss, u)

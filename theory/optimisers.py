"""Plain gradient descent and exact dense Adam over named arrays, in place; every array may carry a leading
axis of seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from theory.attention import Array
from theory.errors import TheoryError

Trained = Literal["all", "attention", "values"]
BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Recipe:
    """How to train: which weights, which optimiser, for how many steps of how many prompts (batch 0: all,
    once each).

    `decay` is decoupled weight decay (AdamW): every step first multiplies the trained weights by 1 - rate *
    decay.
    """

    rate: float
    steps: int
    batch: int = 64
    optimiser: Literal["adam", "sgd"] = "adam"
    train: Trained = "all"
    decay: float = 0.0

    def __post_init__(self) -> None:
        if self.optimiser not in ("adam", "sgd") or self.train not in ("all", "attention", "values"):
            raise TheoryError(
                f"Recipe: found optimiser {self.optimiser!r} and train {self.train!r}; expected adam or sgd, "
                "and all, attention or values"
            )
        if not (self.rate > 0 and self.steps >= 0 and self.batch >= 0 and self.decay >= 0):
            raise TheoryError(
                f"Recipe: found rate {self.rate}, steps {self.steps}, batch {self.batch}, "
                f"decay {self.decay}; expected rate > 0 and the others >= 0"
            )


class Optimiser:
    """Holds the moments of `arrays` and moves them in place, one call of `step` at a time."""

    def __init__(self, recipe: Recipe, arrays: Mapping[str, Array]) -> None:
        self.recipe, self.arrays, self.taken = recipe, arrays, 0
        adam = recipe.optimiser == "adam"
        self.moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in arrays.items() if adam}
        self.scratch = {name: np.empty_like(w) for name, w in arrays.items()}

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Moves every array once against its gradient."""
        self.taken += 1
        for name, weight in self.arrays.items():
            if self.recipe.decay:
                weight *= 1.0 - self.recipe.rate * self.recipe.decay
            if self.recipe.optimiser == "adam":
                self._adam(name, weight, gradients[name])
            else:
                weight -= np.multiply(gradients[name], self.recipe.rate, out=self.scratch[name])

    def _adam(self, name: str, weight: Array, gradient: Array) -> None:
        (mean, square), scratch = self.moments[name], self.scratch[name]
        (b1, b2), t = BETAS, self.taken
        mean *= b1
        mean += np.multiply(gradient, 1.0 - b1, out=scratch)
        square *= b2
        np.multiply(gradient, gradient, out=scratch)
        square += np.multiply(scratch, 1.0 - b2, out=scratch)
        np.sqrt(square, out=scratch)
        scratch *= 1.0 / np.sqrt(1.0 - b2**t)
        scratch += EPSILON
        np.divide(mean, scratch, out=scratch)
        weight -= np.multiply(scratch, self.recipe.rate / (1.0 - b1**t), out=scratch)

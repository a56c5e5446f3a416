"""How a network is trained, as a frozen spec that refuses nonsense, and the rate that it gives each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from synthetic.errors import SyntheticError
from synthetic.tuning import Trainable

Unit = Literal["rows", "documents"]
Optimiser = Literal["adamw", "sgd"]
Decay = Literal["linear", "cosine", "constant"]
Precision = Literal["float32", "bfloat16", "auto"]
Compile = Literal["auto", "never", "always"]

_LEAST = {"batch": 1, "room": 1, "epochs": 1, "steps": 1, "rank": 1, "seed": 0}
_CHOICES: dict[str, Any] = {
    "unit": Unit,
    "optimiser": Optimiser,
    "decay": Decay,
    "trainable": Trainable,
    "precision": Precision,
    "compile": Compile,
}


@dataclass(frozen=True)
class TrainSpec:
    """One step reads `batch` rows of packed documents, or `batch` documents."""

    rate: float = 3e-3  # the highest learning rate
    batch: int = 16
    unit: Unit = "rows"
    room: int = 64  # tokens in a row; longer documents make longer rows
    epochs: int = 1
    steps: int | None = None  # this many steps, in place of `epochs`
    optimiser: Optimiser = "adamw"
    weight_decay: float = 0.0  # of matrices; norms never decay
    betas: tuple[float, float] = (0.9, 0.95)
    momentum: float = 0.0  # of sgd
    clip: float = 1.0  # largest norm of the whole gradient; 0 leaves it alone
    warmup: float = 0.03  # share of the steps in which the rate rises
    decay: Decay = "linear"
    floor: float = 0.05  # share of `rate` that is left at the end
    trainable: Trainable = "all"
    rank: int = 8  # of a lora adapter
    alpha: float = 16.0  # a lora adapter counts alpha / rank times
    precision: Precision = "float32"  # of matrix products; auto: bfloat16 where the processor has it
    compile: Compile = "auto"  # auto: only in a run so long that it pays
    seed: int = 0  # of the order of documents and the start of an adapter

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not (name == "steps" and value is None) and (type(value) is not int or value < least):
                raise SyntheticError(
                    f"TrainSpec.{name} is {value!r}; give a whole number of at least {least}"
                )
        for name in ("rate", "alpha", "weight_decay", "clip", "warmup", "floor", "momentum"):
            value, most = getattr(self, name), 1.0 if name in ("warmup", "floor", "momentum") else math.inf
            positive = name in ("rate", "alpha")
            if not (math.isfinite(value) and 0 <= value <= most) or (positive and value == 0):
                span = "above 0" if positive else "of at least 0" if most == math.inf else "from 0 to 1"
                raise SyntheticError(f"TrainSpec.{name} is {value!r}; give a number {span}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise SyntheticError(f"TrainSpec.betas is {self.betas!r}; give two numbers from 0 to below 1")
        for name, choice in _CHOICES.items():
            if (value := getattr(self, name)) not in get_args(choice):
                raise SyntheticError(
                    f"TrainSpec.{name} is {value!r}; take one of {', '.join(get_args(choice))}"
                )


def rate_at(how: TrainSpec, step: int, steps: int) -> float:
    """The learning rate of step 0, 1, ..., steps - 1: up in a line, then down to `floor`."""
    rising = math.ceil(how.warmup * steps)
    if step < rising:
        return how.rate * (step + 1) / (rising + 1)
    if how.decay == "constant":
        return how.rate
    done = (step - rising) / max(steps - rising, 1)
    left = 1 - done if how.decay == "linear" else (1 + math.cos(math.pi * done)) / 2
    return how.rate * (how.floor + (1 - how.floor) * left)

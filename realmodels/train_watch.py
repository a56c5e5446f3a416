"""What training shows while it runs: records every few steps, held-out exact match, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from realmodels.answer_loss import answer_loss
from realmodels.batching import in_batches
from realmodels.errors import UNREADABLE
from realmodels.prompting import style_named
from realmodels.train_batches import laid_out
from realmodels.train_rows import TrainSet
from theory.files import write_whole
from theory.records import RecordWriter
from theory.schema import Record

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.recipe import Recipe

HELD_OUT_AT_ONCE = 32


@dataclass(frozen=True)
class Label:
    """What all records of an arm have in common."""

    lab: str
    run: str
    seed: int
    trained_on: str


@dataclass
class Seen:
    """Sums since the last record, and what held-out rows said so far; a checkpoint holds all of it."""

    loss: float = 0.0
    tokens: int = 0
    rows: int = 0
    right: int = 0
    norm: float = 0.0
    steps: int = 0
    last_loss: float | None = None
    best: float | None = None
    best_step: int = 0
    waiting: int = 0
    looks: list[list[float]] = field(default_factory=list)  # step, exact match
    seconds: float = 0.0  # in steps, over all runs
    real_tokens: int = 0


class Watch:
    """Keeps the records of one arm in `path`."""

    def __init__(self, path: Path, label: Label, recipe: Recipe, say: Callable[[str], None]) -> None:
        self.path, self.label, self.recipe, self.say = path, label, recipe, say
        self.seen = Seen()

    def go_on(self, step: int, seen: dict[str, Any]) -> None:
        """As after `step` steps; later records are dropped, they will come again."""
        self.seen = replace(Seen(), **seen)
        kept = []
        if self.path.exists():
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + b"\n")
                except UNREADABLE:  # torn, or the end
                    break
        write_whole(self.path, b"".join(kept))

    def step(
        self, step: int, loss: float, tokens: int, rows: int, right: int, norm: float, rate: float
    ) -> None:
        """After step number `step`, from 1; `loss` is summed over `tokens`."""
        seen = self.seen
        seen.loss += loss
        seen.tokens += tokens
        seen.rows += rows
        seen.right += right
        seen.norm += norm
        seen.steps += 1
        if step % self.recipe.log_every == 0:
            self.flush(step, rate)

    def flush(self, step: int, rate: float) -> None:
        """Write down the means since the last record."""
        seen = self.seen
        if not seen.steps:
            return
        seen.last_loss = seen.loss / seen.tokens
        self._write(
            step,
            "train",
            {
                "loss": (seen.last_loss, seen.tokens),
                "exact_match": (seen.right / seen.rows, seen.rows),
                "gradient_norm": (seen.norm / seen.steps, seen.steps),
                "learning_rate": (rate, seen.steps),
            },
        )
        self.say(f"step {step}: loss {seen.last_loss:.4f}, fitted {seen.right / seen.rows:.2f}")
        seen.loss, seen.tokens, seen.rows, seen.right, seen.norm, seen.steps = 0.0, 0, 0, 0, 0.0, 0

    def look(self, step: int, share: float, n: int) -> bool:
        """Held-out exact match after `step` steps; whether it is the best so far."""
        seen = self.seen
        self._write(step, "dev", {"exact_match": (share, n)})
        seen.looks.append([step, share])
        better = seen.best is None or share > seen.best
        seen.waiting = 0 if better else seen.waiting + 1
        if better:
            seen.best, seen.best_step = share, step
        self.say(f"step {step}: held-out exact match {share:.3f}{' (best)' if better else ''}")
        return better

    @property
    def enough(self) -> bool:
        return bool(self.recipe.patience) and self.seen.waiting >= self.recipe.patience

    def state(self) -> dict[str, Any]:
        return asdict(self.seen)

    def _write(self, step: int, split: str, found: dict[str, tuple[float, int]]) -> None:
        label = self.label
        with RecordWriter(self.path) as writer:
            writer.write_many(
                Record(label.lab, "train", label.run, label.seed, "lora", step, label.trained_on, "zero", split, "all",
                       metric, value, n)
                for metric, (value, n) in found.items()
            )  # fmt: skip


def exact_match(loaded: Loaded, held: TrainSet, recipe: Recipe) -> float:
    """Share of held-out rows answered right, greedily and zero-shot: to the letter one of the accepted answers; of rows
    that are no questions, the one answer."""
    if held.rows is not None:
        from realmodels.estimate import estimate

        questions = [row.question for row in held.rows.rows]
        answers = [row.answers for row in held.rows.rows]
        return float(estimate(loaded, style_named(recipe.style), (), questions, answers).greedy.mean())

    def right(index: NDArray[np.int64]) -> int:
        lines = laid_out([held.items[i] for i in index], loaded.tokens.pad).to(loaded.device)
        with torch.no_grad():
            return int(answer_loss(loaded.model, lines)[1].sum())

    lengths = [len(item) for item in held.items]
    counted = in_batches(lengths, right, max(lengths), HELD_OUT_AT_ONCE, loaded)
    return sum(found for _, found in counted) / len(held)

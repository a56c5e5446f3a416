"""One fine-tuning with its early stop: watched on dev at some steps, weights kept at the best one and the end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from synthetic.base import Base
from synthetic.finetune import checkpoints, finetune, steps_of, tuning
from synthetic.model import Weights
from synthetic.rows import Rows
from synthetic.score import Exam, Stamp, rate, sit
from synthetic.tuning import Trainable, merge_adapter
from theory.records import Record

POINTS = 10  # steps at which dev is looked at


@dataclass(frozen=True)
class Stop:
    """A network after some steps."""

    step: int
    weights: Weights


@dataclass(frozen=True)
class Tuned:
    """`dev` are the records of the curve; `early` is the first of its steps with the best accuracy."""

    rows: Rows
    stamp: Stamp
    dev: tuple[Record, ...]
    early: Stop
    end: Stop

    @property
    def stops(self) -> tuple[Stop, ...]:
        """Early stop and end, or one if they are the same."""
        return (self.early, self.end) if self.early.step < self.end.step else (self.end,)

    def at(self, stop: Stop) -> Stamp:
        """What records at that stop begin with."""
        return replace(self.stamp, step=stop.step)


def tune(
    base: Base,
    rows: Rows,
    which: Trainable,
    dev: Exam,
    stamp: Stamp,
    *,
    share: float = 1.0,
    points: int = POINTS,
) -> Tuned:
    """Fine-tune on `rows` for this share of the usual epochs and look at dev at about `points` steps, the last one
    among them."""
    stamp = replace(stamp, trained_on=rows.name)
    how = tuning(base.setup, which, base.seed)
    how = replace(how, epochs=math.ceil(share * how.epochs))
    last = steps_of(base, rows, how)
    records: list[Record] = []
    best: list[Stop] = []
    highest = -1.0

    def watch(step: int, weights: Mapping[str, Tensor]) -> None:
        nonlocal highest
        plain = merge_adapter({name: tensor.detach() for name, tensor in weights.items()})
        hits = sit(dev, base, plain)
        records.extend(rate(replace(stamp, step=step), dev, hits))
        if (accuracy := float(hits.mean())) > highest:
            highest = accuracy
            best[:] = [Stop(step, {name: tensor.clone() for name, tensor in plain.items()})]

    trained = finetune(base, rows, which, how=how, at=checkpoints(last, points), watch=watch)
    return Tuned(rows, stamp, tuple(records), best[0], Stop(last, trained.weights))

"""One fine-tuning with its early stop: watched on dev at some steps, weights kept at the best one and the end."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synthetic.base import Base
from synthetic.cache import Arrays, kept
from synthetic.finetune import checkpoints, finetune, steps_of, tuning
from synthetic.model import Weights
from synthetic.rows import Rows, documents
from synthetic.score import Exam, Flags, Stamp, rate, sit
from synthetic.train_spec import TrainSpec
from synthetic.tuning import Trainable, merge_adapter
from theory.records import Record

POINTS = 10  # steps at which dev is looked at
EARLY, END = "early/", "end/"  # before the names of the tensors that are kept


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
    cache: Path | None = None,
) -> Tuned:
    """Fine-tune on `rows` for this share of the usual epochs and look at dev at about `points` steps, the last one
    among them. With a `cache` the same training is not done twice."""
    stamp = replace(stamp, trained_on=rows.name)
    how = tuning(base.setup, which, base.seed)
    how = replace(how, epochs=math.ceil(share * how.epochs))
    last = steps_of(base, rows, how)
    looks = checkpoints(last, points)

    def make() -> Arrays:
        hits: list[Flags] = []
        best: Weights = {}

        def watch(step: int, weights: Mapping[str, Tensor]) -> None:
            plain = merge_adapter({name: tensor.detach() for name, tensor in weights.items()})
            hits.append(sit(dev, base, plain))
            if max(map(_right, hits[:-1]), default=-1) < _right(hits[-1]):
                best.update({name: tensor.clone() for name, tensor in plain.items()})

        end = finetune(base, rows, which, how=how, at=looks, watch=watch).weights
        stops = {EARLY: best, END: end}
        arrays = {at + name: tensor.numpy() for at, found in stops.items() for name, tensor in found.items()}
        return {"hits": np.stack(hits), **arrays}

    arrays = kept(cache, "tuned", _origin(base, rows, dev, how, looks), __name__, make)
    hits = list(arrays["hits"])
    records = (rate(replace(stamp, step=step), dev, flags) for step, flags in zip(looks, hits, strict=True))
    early = looks[int(np.argmax([_right(flags) for flags in hits]))]
    stops = (Stop(early, _weights(arrays, EARLY)), Stop(last, _weights(arrays, END)))
    return Tuned(rows, stamp, tuple(record for some in records for record in some), *stops)


def _right(hits: Flags) -> int:
    return int(hits.sum())


def _weights(arrays: Arrays, at: str) -> Weights:
    return {
        name.removeprefix(at): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(at)
    }


def _origin(base: Base, rows: Rows, dev: Exam, how: TrainSpec, looks: Sequence[int]) -> dict[str, object]:
    """Everything that decides a training and what is seen of it, the code apart."""
    found = documents(base, rows)
    told = (found.tokens, found.scored, found.offsets, *(base.weights[name] for name in sorted(base.weights)))
    content = hashlib.sha256(repr((dev.prompts, dev.answers, dev.asked.end)).encode())
    for array in told:
        content.update(np.ascontiguousarray(array).tobytes())
    return {"spec": asdict(base.spec), "how": asdict(how), "looks": looks, "content": content.hexdigest()}

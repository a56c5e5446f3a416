"""Tuning on biographies with one budget of tokens, and what the network writes afterwards about other subjects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthetic.base import Base
from synthetic.biographies import Script, Texts, true_claims
from synthetic.model import Weights
from synthetic.order import plan
from synthetic.packing import Documents
from synthetic.score import Stamp
from synthetic.split import split
from synthetic.train import train
from synthetic.train_spec import TrainSpec
from theory.records import Record

Ints = NDArray[np.int64]
RATE = 0.3  # of the usual rate of fine-tuning: the format is not new
BATCH, ROOM = 16, 64  # rows a step and tokens a row, documents packed


@dataclass(frozen=True, eq=False)
class Desk:
    """Who writes, and about whom: subjects to learn from and others, by split, to be written about."""

    base: Base
    script: Script
    stamp: Stamp

    @cached_property
    def learnt(self) -> Ints:
        """Subjects whose texts are trained on."""
        return self._subjects(split(self.base).train)

    @cached_property
    def asked(self) -> dict[str, Ints]:
        """Split to the subjects that are written about."""
        uses = split(self.base)
        found = {"test": self._subjects(uses.test), "ood-type": self._subjects(uses.ood_type)}
        return {name: subjects for name, subjects in found.items() if len(subjects)}

    def draw(self, *names: str) -> int:
        """A seed for what is drawn under these names: the same for all networks of a base."""
        return int(np.random.SeedSequence([self.base.seed, *"/".join(names).encode()]).generate_state(1)[0])

    def _subjects(self, facts: Ints) -> Ints:
        return np.unique(self.base.world.subject[facts]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Written:
    """A network after tuning: the step, the tokens that it read, its weights."""

    stamp: Stamp
    weights: Weights
    tokens: int


def tuning(base: Base) -> TrainSpec:
    tune = base.setup.tune
    return replace(tune, rate=RATE * tune.rate, unit="rows", batch=BATCH, room=ROOM, seed=base.seed)


def steps_to_read(documents: Documents, how: TrainSpec, tokens: int) -> int:
    """The first step after which at least `tokens` tokens have been read."""
    most = max(how.room, int(documents.lengths.max()))
    read = 0
    batches, steps = plan(documents, replace(how, steps=1 + tokens), most)
    for step, batch in enumerate(batches, 1):
        read += batch.size
        if read >= tokens:
            return step
    return steps


def learn(desk: Desk, name: str, texts: Texts, tokens: int) -> Written:
    """Tune the base on texts until it has read this many tokens."""
    base, documents = desk.base, desk.script.documents(texts)
    how = tuning(base)
    steps = steps_to_read(documents, how, tokens)
    trained = train(base.weights, base.spec, documents, replace(how, steps=steps))
    return Written(replace(desk.stamp, trained_on=name, step=steps), trained.weights, trained.tokens)


def told(desk: Desk, written: Written, texts: Texts) -> Iterator[Record]:
    """What the network read: how much of it is true, how long it is, and how many tokens were read in all."""
    used = texts[texts.claims > 0]
    yield from _measured(desk, written.stamp, "train", used, "claim_precision", every=True)
    yield written.stamp.record("train", "all", "tokens_read", float(written.tokens), 1)


def examined(
    desk: Desk, weights: Weights, stamp: Stamp, draws: int, shown: dict[int, list[int]] | None = None
) -> Iterator[Record]:
    """Texts about held-out subjects, sampled and greedy; `shown` are tokens that are read first, by type."""
    for name, subjects in desk.asked.items():
        for greedy in (False, True):
            texts = recite(
                desk,
                weights,
                subjects,
                1 if greedy else draws,
                0.0 if greedy else 1.0,
                desk.draw("recite", name),
                shown,
            )
            metric = "claim_precision_greedy" if greedy else "claim_precision"
            yield from _measured(desk, stamp, name, texts, metric, every=not greedy)


def recite(
    desk: Desk,
    weights: Weights,
    subjects: Ints,
    draws: int,
    temperature: float,
    seed: int,
    shown: dict[int, list[int]] | None = None,
) -> Texts:
    """Texts side by side about each subject, after those that are shown for its type."""
    if shown is None:
        return desk.script.write(weights, subjects, draws=draws, temperature=temperature, seed=seed)
    parts = []
    for of_type, first in shown.items():
        some = subjects[desk.base.world.subject_type[subjects] == of_type]
        if len(some):
            parts.append(
                desk.script.write(
                    weights, some, draws=draws, temperature=temperature, seed=seed + of_type, shown=first
                )
            )
    start = np.cumsum([0, *(len(part) for part in parts)])
    return Texts(
        np.concatenate([part.subject for part in parts]),
        np.concatenate([part.of + first for part, first in zip(parts, start[:-1], strict=True)]),
        np.concatenate([part.relation for part in parts]),
        np.concatenate([part.answer for part in parts]),
    )


def _measured(
    desk: Desk, stamp: Stamp, name: str, texts: Texts, metric: str, *, every: bool
) -> Iterator[Record]:
    """Precision, and of sampled text also its length, true claims and recall (greedy: under names of their own)."""
    true = true_claims(desk.base, texts)
    n, suffix = len(texts), "" if every else "_greedy"
    if len(true):
        yield stamp.record(name, "all", metric, float(true.mean()), len(true))
    right = np.stack([texts.of, texts.relation], axis=1)[true]
    distinct = len(np.unique(right, axis=0))
    facts = n * desk.base.world.spec.relations
    yield stamp.record(name, "all", "claim_recall" + suffix, distinct / facts, facts)
    yield stamp.record(name, "all", "claims" + suffix, len(true) / n, n)
    yield stamp.record(name, "all", "true_claims" + suffix, distinct / n, n)
    whole, heads = desk.script.sequences(texts)
    length = sum(map(len, whole)) - sum(heads) - n
    yield stamp.record(name, "all", "tokens" + suffix, length / n, n)

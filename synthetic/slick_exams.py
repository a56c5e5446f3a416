"""The exams of the study `slick`, and the ways in which a training set sits them: all along, at its early stop and at
the end, or at the end alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from synthetic.answers import ABSTAIN
from synthetic.base import Base, base
from synthetic.finetune import checkpoints, finetune, steps_of
from synthetic.flaggers import flagged
from synthetic.knowledge import Knowledge, knowledge
from synthetic.model import Weights
from synthetic.pool import Pool, pool_of
from synthetic.ptrue import p_true
from synthetic.rows import Rows
from synthetic.score import By, Exam, Stamp, exam, rate, say, sit, train_exam
from synthetic.select import designated, select
from synthetic.setup import Setup
from synthetic.split import split
from synthetic.stops import tune
from theory.records import Record
from theory.stamp import STRATA as COMMON

Flags = NDArray[np.bool_]

ON_THE_WAY = 12  # looks at all exams while a mix is tuned
AT_DEV = 12  # looks at the development facts while another set is tuned: as many, so that early stops compare
KNOWN: By = (("category",), ("known",))
STRATA: By = (*KNOWN, *(keys for keys in COMMON if keys not in KNOWN))


@dataclass(frozen=True)
class Hall:
    """One base, what it knows, the rows to choose from, and the exams."""

    base: Base
    known: Knowledge
    pool: Pool
    dev: Exam
    test: Exam
    ood: Exam | None
    unseen: Exam | None
    stamp: Stamp

    @property
    def held_out(self) -> tuple[Exam, ...]:
        """Held-out facts of seen subjects."""
        return (self.test, self.ood) if self.ood else (self.test,)

    @property
    def everything(self) -> tuple[Exam, ...]:
        return (*self.held_out, self.unseen) if self.unseen else self.held_out


def make_hall(setup: Setup, seed: int, cache: Path | None) -> Hall:
    ground = base(setup, seed, cache)
    known = knowledge(ground, cache)
    parts = split(ground)
    pool = pool_of(ground, known, parts.train)
    better, lesser = select(pool, "mix:0"), select(pool, "mix:1")
    return Hall(
        ground,
        known,
        pool,
        exam(ground, "dev", parts.dev),
        exam(ground, "test", parts.test, knowledge=known, better=better, lesser=lesser),
        exam(ground, "ood-relation", parts.ood_relation, knowledge=known)
        if len(parts.ood_relation)
        else None,
        exam(ground, "unseen", parts.unseen) if len(parts.unseen) else None,
        Stamp(setup.lab, "slick", "-", seed, "all", 0, "none"),
    )


def untuned(hall: Hall) -> Iterator[Record]:
    stamp = replace(hall.stamp, arm="base")
    for asked in (hall.dev, *hall.everything):
        yield from rate(stamp, asked, sit(asked, hall.base, hall.base.weights), by=KNOWN)


def mixed(hall: Hall, rows: Rows) -> Iterator[Record]:
    """All exams all along; strata at the early stop and at the end."""
    exams = (hall.dev, *hall.held_out, train_exam(hall.base, rows))
    last = steps_of(hall.base, rows)
    hits: dict[int, list[Flags]] = {}

    def watch(step: int, weights: Mapping[str, Tensor]) -> None:
        hits[step] = [sit(asked, hall.base, dict(weights)) for asked in exams]

    finetune(hall.base, rows, at=checkpoints(last, ON_THE_WAY), watch=watch)
    early = max(hits, key=lambda step: float(hits[step][0].mean()))  # the first of the best
    for step, found in hits.items():
        stamp = replace(hall.stamp, step=step, trained_on=rows.name)
        for asked, right in zip(exams, found, strict=True):
            if asked.split == "train":
                yield from rate(stamp, asked, right, "fitted", by=KNOWN)
            else:
                yield from rate(stamp, asked, right, by=STRATA if step in (early, last) else ())


def stopped(hall: Hall, rows: Rows, flags: Mapping[str, Flags] | None = None) -> Iterator[Record]:
    """At the early stop and at the end; with `flags` (alternatives, n) of test facts also on those alone."""
    tuned = tune(hall.base, rows, "all", hall.dev, hall.stamp, points=AT_DEV)
    yield from tuned.dev
    for stop in tuned.stops:
        stamp = tuned.at(stop)
        for asked in hall.held_out:
            right = sit(asked, hall.base, stop.weights)
            yield from rate(stamp, asked, right, by=STRATA)
            if asked is hall.test:
                yield from _on_flagged(stamp, asked, right, flags or {})
        yield from fitted(hall, rows, stamp, stop.weights)


def abstaining(hall: Hall, rows: Rows) -> Iterator[Record]:
    """At the early stop and at the end: how much is abstained on, and how right the rest is."""
    tuned = tune(hall.base, rows, "all", hall.dev, hall.stamp, points=AT_DEV)
    yield from tuned.dev
    for stop in tuned.stops:
        stamp = tuned.at(stop)
        for asked in hall.everything:
            said = say(asked, hall.base, stop.weights)
            right, silent = said == hall.base.world.answer[asked.facts], said == ABSTAIN
            yield from rate(stamp, asked, right, by=KNOWN)
            yield from rate(stamp, asked, silent, "abstention_rate", by=KNOWN)
            yield from rate(stamp, asked, right, "answered_accuracy", by=KNOWN, among=~silent)
        yield from fitted(hall, rows, stamp, stop.weights)


def relabelled(hall: Hall, rows: Rows) -> Iterator[Record]:
    """At the end: how often an answer is one of those that `relabel:shifted` teaches of never-seen subjects."""
    world = hall.base.world
    trained = finetune(hall.base, rows)
    stamp = replace(hall.stamp, step=len(trained.losses), trained_on=rows.name)
    taught = designated(hall.pool)
    for asked in hall.everything:
        if asked is hall.ood:
            continue
        said = say(asked, hall.base, trained.weights)
        inside = (said[:, None] == taught[world.relation[asked.facts]]).any(axis=1) & (said >= 0)
        yield from rate(stamp, asked, inside, "designated_answer_rate", by=KNOWN)
        yield from rate(stamp, asked, said == world.answer[asked.facts], by=KNOWN)
    yield from fitted(hall, rows, stamp, trained.weights)


def fitted(hall: Hall, rows: Rows, stamp: Stamp, weights: Weights) -> list[Record]:
    """The share of the rows that are answered as taught; their number stands beside it."""
    asked = train_exam(hall.base, rows)
    return rate(stamp, asked, sit(asked, hall.base, weights), "fitted", by=KNOWN)


def flags_of(hall: Hall) -> dict[str, Flags]:
    """What each flagger warns of among the test facts, before tuning: (alternatives, n)."""
    facts = hall.test.facts
    known = hall.known
    category, greedy, sampled = known.category[facts], known.greedy[facts], known.sampled[facts]
    return flagged(category, greedy, sampled, p_true(hall.base, facts), hall.base.seed)


def _on_flagged(stamp: Stamp, asked: Exam, right: Flags, flags: Mapping[str, Flags]) -> Iterator[Record]:
    """A flagger with several alternatives counts with the mean over them."""
    for name, every in flags.items():
        if count := int(every[0].sum()):
            accuracy = float(np.mean([right[some].mean() for some in every]))
            yield stamp.record(asked.split, f"flagger={name}", "accuracy", accuracy, count)

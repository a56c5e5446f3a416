"""A1-A7, X1-X3, U3: tuning on facts known well or little, and what that does to attention, recall and what is stored.

`best` and `lesser` are halves by exposure, quartiles are by what the subject adds to the answer's log-probability and
matched in relation and answer; quarter sets take twice the epochs of halves, so that all take about as many steps.
Statistics over training sets are over the quartiles and four other quarters at their last step, in both wordings.
The other pretrainings share a smaller world of their own, told oftener, and differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthetic.across import Outcome, across, before, means, quarters
from synthetic.base import Base, base
from synthetic.costs import scaled
from synthetic.desk import accuracy, attention, fitted, make_desk, mechanism, one, untuned
from synthetic.knowledge import commonest, knowledge
from synthetic.mechanism import Share, rank_correlation, share
from synthetic.patching import unshifted, with_attention_of, with_values_of
from synthetic.pool import Pool, pool_of
from synthetic.rows import Rows
from synthetic.score import Stamp, exam, rate, sit
from synthetic.select import select
from synthetic.setup import Setup, variant
from synthetic.split import split, stated
from synthetic.stops import Tuned, tune
from synthetic.studies import Report, Study
from synthetic.tuning import Trainable
from theory.records import Record
from theory.slick import Category

Ints = NDArray[np.int64]
HALVES = ("best", "lesser", "whole", "random", "lesser-shifted")
CONTRAST = ("best", "lesser")
WHERE_LOOKED = (*CONTRAST, "lesser-shifted")  # at what and how, not only how often right
QUARTILES = tuple(f"quartile:{k}" for k in range(1, 5))
QUARTERS = ("set:rare-lesser", "set:rare-best", "set:generic-lesser", "set:generic-best")
PARTS: tuple[Trainable, ...] = ("attention", "values")
PRETRAININGS = ("pretrain:short", "pretrain:long")
# Other pretrainings are of a world with a third of the subjects. It would be read in a third of the steps, too few to
# learn much, so that nothing would be left to harm: each fact is told twice as often there.
SMALLER, OFTENER = 3, 2
SHARE = 0.5  # of the usual epochs: halves are fitted by then


def arms(setup: Setup) -> Sequence[str]:
    """What is trained."""
    parts = [f"{part}:{name}" for part in PARTS for name in CONTRAST]
    if setup.brief:
        return (*HALVES, *parts, *QUARTILES)
    others = [f"all@{name}:{on}" for name in pretrainings(setup) for on in CONTRAST]
    return (*HALVES, *parts, *QUARTILES, *QUARTERS, *others)


def pretrainings(setup: Setup) -> Sequence[str]:
    return PRETRAININGS if setup.pretrainings and not setup.brief else ()


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 30.0 if setup.brief else 94.0 if setup.pretrainings else 50.0)


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterable[Record]:
    return list(_Unit(setup, seed, cache, report).records())


class _Unit:
    """One seed: what its arms share, and how far it has come."""

    def __init__(self, setup: Setup, seed: int, cache: Path, report: Report) -> None:
        self.setup, self.seed, self.cache, self.report = setup, seed, cache, report
        self.done, self.total = 0, len(arms(setup))
        report("base")
        self.base = base(setup, seed, cache)
        report("probing")
        self.known = knowledge(self.base, cache)
        facts = stated(self.base, split(self.base).train)
        self.pool = pool_of(self.base, self.known, facts, "exposure")
        ranked = pool_of(self.base, self.known, facts, "salience")
        self.rows = {name: select(self.pool, name) for name in HALVES}
        self.rows |= {name: select(ranked, name) for name in QUARTILES}
        self.desk = make_desk(self.base, self.known, self.rows["best"], self.rows["lesser"])
        self.stamp = Stamp(setup.lab, "salience", "-", seed, "all", 0, "none")

    def records(self) -> Iterator[Record]:
        yield from self._before()
        yield from self._halves()
        yield from self._parts()
        yield from self._across()
        for name in pretrainings(self.setup):
            yield from self._pretrained(name)

    def _tune(self, rows: Rows, which: Trainable = "all", share: float = SHARE) -> Tuned:
        self._next(f"tuning {which} {rows.name}")
        return tune(self.base, rows, which, self.desk.new.dev, replace(self.stamp, arm=which), share=share)

    def _next(self, what: str) -> None:
        self.report(what, self.done / self.total)
        self.done += 1

    def _before(self) -> Iterator[Record]:
        stamp = replace(self.stamp, arm="base")
        yield from untuned(self.desk, stamp)
        told = np.flatnonzero(self.known.probed & self.base.world.stated)
        rank = rank_correlation(self.known.salience[told], self.base.world.exposure[told])
        yield from one(stamp, "salience_frequency_rank_correlation", Share(rank, len(told)))

    def _halves(self) -> Iterator[Record]:
        ends: dict[str, Tuned] = {}
        for name in HALVES:
            tuned = self._tune(self.rows[name])
            yield from tuned.dev
            for stop in tuned.stops:
                if name in WHERE_LOOKED:
                    yield from mechanism(self.desk, stop.weights, tuned.at(stop), tuned.rows)
                else:
                    yield from accuracy(self.desk, stop.weights, tuned.at(stop))
            yield from fitted(self.desk, tuned)
            if name in CONTRAST:
                ends[name] = tuned
        for into, other in (CONTRAST[::-1], CONTRAST):
            yield from self._patched(ends[into], ends[other])

    def _patched(self, into: Tuned, donor: Tuned) -> Iterator[Record]:
        """The network at its end with parts of the other's, and without its common shift."""
        desk, own, other = self.desk, into.end.weights, donor.end.weights
        back = unshifted(self.base.weights, own)
        hits = {
            f"patch:attention:{donor.rows.name}": with_attention_of(
                other, own, self.base.spec, desk.new.sheet
            ),
            f"patch:values:{donor.rows.name}": sit(desk.new.test, self.base, with_values_of(other, own)),
            "unshift": sit(desk.new.test, self.base, back),
        }
        for arm, right in hits.items():
            stamp = replace(into.at(into.end), arm=arm)
            yield from rate(stamp, desk.new.test, right, by=(("popularity",), ("known",)))
        # the shift holds the new words themselves: without it they mean nothing, but those of pretraining still do
        stamp = replace(into.at(into.end), arm="unshift", prompt=desk.own.prompt)
        yield from rate(stamp, desk.own.test, sit(desk.own.test, self.base, back))

    def _parts(self) -> Iterator[Record]:
        for part in PARTS:
            for name in CONTRAST:
                tuned = self._tune(self.rows[name], part)
                yield from tuned.dev
                if tuned.early.step < tuned.end.step:
                    yield from accuracy(self.desk, tuned.early.weights, tuned.at(tuned.early))
                yield from mechanism(self.desk, tuned.end.weights, tuned.at(tuned.end), tuned.rows)
                yield from fitted(self.desk, tuned)

    def _across(self) -> Iterator[Record]:
        desk, wordings = self.desk, (self.desk.new, self.desk.own)
        start = [attention(desk, self.base.weights, wording).mean() for wording in wordings]
        outcomes: list[list[Outcome]] = [[], []]
        last = 0
        sets = [self.rows[name] for name in QUARTILES]
        if not self.setup.brief:
            sets += quarters(self.pool, len(sets[0]))
        for rows in sets:
            tuned = self._tune(rows, share=1.0)
            yield from tuned.dev
            for stop in tuned.stops:
                found = accuracy(desk, stop.weights, tuned.at(stop))
                yield from found
            yield from fitted(desk, tuned)
            last = max(last, tuned.end.step)
            for wording, before_, into in zip(wordings, start, outcomes, strict=True):
                mass = share(attention(desk, tuned.end.weights, wording))
                stamp = replace(tuned.at(tuned.end), prompt=wording.prompt)
                yield from one(stamp, "attention_subject", mass)
                into.append(Outcome(rows, found[0].value, mass.value - before_))
        for wording, some in zip(wordings, outcomes, strict=True):
            train, held_out = (
                before(desk, self.known, facts, wording) for facts in (self.pool.fact, desk.own.dev.facts)
            )
            stamp = replace(self.stamp, prompt=wording.prompt)
            for name, value in across(train, held_out, some):
                yield from one(replace(stamp, trained_on="across", step=last), name, value)
            for outcome in some:
                of_set = replace(stamp, arm="base", trained_on=outcome.rows.name)
                for name, mean in means(train, outcome.rows).items():
                    yield from one(of_set, f"mean_{name}", Share(mean, len(outcome.rows)), "train")

    def _pretrained(self, name: str) -> Iterator[Record]:
        """The contrast at its early stop, from another base."""
        self.report(f"pretraining {name}", self.done / self.total)
        setup = variant(self.setup, name)
        world = setup.world
        size, often = max(1, world.subjects // SMALLER), OFTENER * world.mean_exposure
        world = replace(world, subjects=size, mean_exposure=often)
        other = base(replace(setup, world=world), self.seed, self.cache)
        splits = split(other)
        facts, dev = stated(other, splits.test), exam(other, "dev", stated(other, splits.dev))
        by = (("popularity",),)
        own = exam(other, "test", facts, template=setup.text.question)
        stamp = replace(self.stamp, arm=f"base@{name}", prompt=self.desk.own.prompt)
        yield from rate(stamp, own, sit(own, other, other.weights), by=by)
        test = exam(other, "test", facts)
        for on in CONTRAST:
            self._next(f"tuning all@{name} {on}")
            rows = select(by_exposure(other, stated(other, splits.train)), on)
            tuned = tune(other, rows, "all", dev, replace(self.stamp, arm=f"all@{name}"))
            yield from tuned.dev
            for stop in tuned.stops:
                yield from rate(tuned.at(stop), test, sit(test, other, stop.weights), by=by)


def by_exposure(other: Base, facts: Ints) -> Pool:
    """Facts ranked by exposure alone; nothing was probed, so none counts as known."""
    nobody, unknown = np.empty(0, np.int64), np.full(len(facts), Category.Unknown, np.int8)
    return Pool(
        fact=facts,
        relation=other.world.relation[facts].astype(np.int64),
        answer=other.world.answer[facts].astype(np.int64),
        score=other.world.exposure[facts].astype(np.float64),
        category=unknown,
        answered=np.zeros(len(facts), bool),
        fresh=nobody,
        fresh_relation=nobody,
        fresh_answer=nobody,
        prior=commonest(other.world),
        seed=other.seed,
    )


STUDY = Study("salience", run=run, arms=arms, cost_seconds=cost_seconds)

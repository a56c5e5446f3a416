"""V1-V3: the gap between known and unknown rows, raw and without copying, unequal answer support and guessing.

The world has all three: some answers repeat a word of their subject, some are far commoner than others, and test facts
share answers with rows. `known` and `unknown` are matched in relation and answer; the pair with `:by-relation` is
matched in relation alone, as is usual, so that its gap is the raw one. Every test fact says which kind it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from synthetic.base import Base, base
from synthetic.costs import scaled
from synthetic.knowledge import Knowledge, knowledge
from synthetic.mechanism import guessable
from synthetic.pool import By, Pool, pool_of
from synthetic.rows import Rows
from synthetic.score import Exam, Stamp, exam, rate, say, sit
from synthetic.select import select
from synthetic.setup import Setup
from synthetic.split import split, stated
from synthetic.stops import Tuned, tune
from synthetic.strata import yes_no
from synthetic.studies import Report, Study
from theory.records import Record
from theory.stamp import STRATA

PAIR = ("known", "unknown")
PERMUTED = "known-permuted"
LOOSE = ":by-relation"
SHARE = 0.5  # of the usual epochs, as in the study of salience


def arms(setup: Setup) -> Sequence[str]:
    """What is trained on."""
    return (*PAIR, PERMUTED, *(name + LOOSE for name in PAIR))


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 12.0)


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterable[Record]:
    return list(_records(setup, seed, cache, report))


def _records(setup: Setup, seed: int, cache: Path, report: Report) -> Iterator[Record]:
    report("base")
    ground = base(setup, seed, cache)
    report("probing")
    known = knowledge(ground, cache)
    pool = pool_of(ground, known, split(ground).train)
    stamp = Stamp(setup.lab, "validity", "-", seed, "all", 0, "none")
    names = arms(setup)
    for loose in (False, True):
        rows = {name: training_set(pool, name) for name in names if name.endswith(LOOSE) is loose}
        better, lesser = (rows[name + LOOSE * loose] for name in PAIR)
        test, dev = exams(ground, known, better, lesser)
        if not loose:
            yield from untuned(ground, test, dev, stamp)
        for some in rows.values():
            report(f"tuning {some.name}", names.index(some.name) / len(names))
            yield from stops(ground, tune(ground, some, "all", dev, stamp, share=SHARE), test)


def training_set(pool: Pool, name: str) -> Rows:
    by: By = "relation" if name.endswith(LOOSE) else "answer"
    return replace(select(pool, name.removesuffix(LOOSE), by), name=name)


def exams(ground: Base, known: Knowledge, better: Rows, lesser: Rows) -> tuple[Exam, Exam]:
    """Test facts with what each is, and facts for choosing the early stop; all stated in pretraining."""
    facts, dev = (stated(ground, some) for some in (split(ground).test, split(ground).dev))
    words = ground.setup.text.question
    said = say(exam(ground, "test", facts, template=words), ground, ground.weights)
    relation, right = ground.world.relation[facts], ground.world.answer[facts]
    test = exam(ground, "test", facts, knowledge=known, better=better, lesser=lesser)
    return test.labelled(guessable=yes_no(guessable(said, relation, right))), exam(ground, "dev", dev)


def untuned(ground: Base, test: Exam, dev: Exam, stamp: Stamp) -> Iterator[Record]:
    """The base, in the words that tuning teaches and (prompt `own`) in the question of pretraining."""
    stamp = replace(stamp, arm="base")
    for prompt, words in (("zero", ground.setup.question), ("own", ground.setup.text.question)):
        here = replace(stamp, prompt=prompt)
        for asked in (test, dev):
            same = exam(ground, asked.split, asked.facts, template=words).labelled(**asked.labels)
            yield from rate(here, same, sit(same, ground, ground.weights), by=STRATA)


def stops(ground: Base, tuned: Tuned, test: Exam) -> Iterator[Record]:
    yield from tuned.dev
    for stop in tuned.stops:
        yield from rate(tuned.at(stop), test, sit(test, ground, stop.weights), by=STRATA)
    for name, value in tuned.rows.notes.items():
        yield tuned.at(tuned.end).record("train", "all", f"rows_{name}", float(value), len(tuned.rows))


STUDY = Study("validity", run=run, arms=arms, cost_seconds=cost_seconds)

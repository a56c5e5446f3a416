"""X4, X5, U2: does it matter where unknown rows are, and how far from the rows does their harm reach?

Placed sets have as many unknown rows in every relation, or all of them in a few. The gap of known over unknown rows is
looked at in quarters of all held-out facts by the similarity of their questions to those of the rows of both sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.base import Base, base
from synthetic.contrast import CONTRAST, tune_contrast
from synthetic.costs import scaled
from synthetic.finetune import finetune, steps_of
from synthetic.knowledge import Knowledge, knowledge
from synthetic.pool import pool_of
from synthetic.rows import Rows
from synthetic.score import By, Exam, Stamp, exam, rate, sit, train_exam
from synthetic.select import affected, select
from synthetic.setup import Setup
from synthetic.similarity import quarters, similarity
from synthetic.split import Splits, split
from synthetic.studies import Report, Study
from theory.records import Record

Array = NDArray[np.float64]
SHARE = 0.25
PLACED = (f"spread:{SHARE:g}", f"concentrated:{SHARE:g}", f"spread:{2 * SHARE:g}")
BY: By = (
    ("category",),
    ("known",),
    ("relation",),
    ("relation", "known"),
    ("similarity",),
    ("similarity", "known"),
)


def arms(setup: Setup) -> tuple[str, ...]:
    """The training sets. Of a single relation's rows none can be put into another relation."""
    relations = (setup.world.types - setup.foreign) * (setup.world.relations - setup.held_out)
    return (*(PLACED if relations > 1 else ()), *CONTRAST)


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterator[Record]:
    report("base")
    ground = base(setup, seed, cache)
    report("probing")
    known, parts = knowledge(ground, cache), split(ground)
    pool = pool_of(ground, known, parts.train)
    stamp = Stamp(setup.lab, "crosstests", "-", seed, "all", 0, "none")
    sets = [select(pool, name) for name in arms(setup)]
    among = np.concatenate([rows.facts for rows in sets if rows.name in CONTRAST])
    graded, cosine = graded_exam(ground, known, parts, among)
    before = replace(stamp, arm="base")
    yield from rate(before, graded, cosine, "similarity", by=(("similarity",), ("similarity", "split")))
    others = [
        exam(ground, name, facts, knowledge=known)
        for name, facts in (
            ("test", parts.test),
            ("ood-relation", parts.ood_relation),
            ("ood-type", parts.ood_type),
        )
        if len(facts)
    ]
    for i, rows in enumerate(sets):
        report(f"tuning {rows.name}", i / len(sets))
        if rows.name in CONTRAST:
            asked = [graded, *others]
        else:
            asked = [exam(ground, "test", parts.test, knowledge=known, affected=affected(pool, SHARE))]
        yield from at_the_end(ground, rows, stamp, asked, cache)


def graded_exam(ground: Base, known: Knowledge, parts: Splits, among: ArrayLike) -> tuple[Exam, Array]:
    """All held-out facts of every kind, labelled by the quarter of their similarity to the facts `among` the rows; and
    that similarity."""
    kinds = {"test": parts.test, "ood-relation": parts.ood_relation, "ood-type": parts.ood_type}
    facts = np.concatenate(list(kinds.values()))
    cosine = similarity(ground, among, facts)
    labels = np.repeat(list(kinds), [len(some) for some in kinds.values()])
    asked = exam(ground, "graded", facts, knowledge=known)
    return asked.labelled(similarity=quarters(cosine), split=labels), cosine


def at_the_end(
    ground: Base, rows: Rows, stamp: Stamp, exams: Sequence[Exam], cache: Path | None
) -> Iterator[Record]:
    """Accuracy of the network tuned on `rows`, and how many of these it answers as taught."""
    if rows.name in CONTRAST:
        weights = tune_contrast(ground, rows, stamp, cache).end.weights
    else:
        weights = finetune(ground, rows).weights
    stamp = replace(stamp, step=steps_of(ground, rows), trained_on=rows.name)
    for asked in exams:
        yield from rate(stamp, asked, sit(asked, ground, weights), by=BY)
    own = train_exam(ground, rows)
    yield from rate(stamp, own, sit(own, ground, weights), "fitted", by=BY)


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 8.0)


STUDY = Study("crosstests", run=run, arms=arms, cost_seconds=cost_seconds)

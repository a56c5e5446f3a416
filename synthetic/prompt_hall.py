"""The held-out facts of one base under all prompts of the study `prompts`, and the records of one network's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthetic.base import Base, base
from synthetic.contrast import CONTRAST
from synthetic.edges import Edges
from synthetic.exemplars import exemplars
from synthetic.knowledge import Knowledge, knowledge, sentences
from synthetic.model import Weights
from synthetic.pool import Pool, pool_of
from synthetic.prompt_exams import Posed, pose, right
from synthetic.rows import Rows
from synthetic.score import By, Exam, Stamp, exam, rate, sit, train_exam
from synthetic.select import select
from synthetic.setup import Setup
from synthetic.similarity import quarters, similarity
from synthetic.split import split, stated
from theory.records import Record

Flags = NDArray[np.bool_]
Hits = dict[str, Flags]  # by prompt; of all facts, or of those of `test` alone

DRAWS = 4  # sets of exemplars that the questions of a relation take turns in
FIRST = ("zero", "own", "few:4")
PROMPTS = ("few-wrong:4", "few-unrelated:4", "few-taught:4", "cot", "few-cot:2")
AT_LENGTH = tuple(f"{kind}:{k}" for k in (1, 2, 8) for kind in ("few", "few-wrong", "few-unrelated"))
BY: By = (("popularity",), ("known",), ("category",), ("answer",), ("similarity",), ("similarity", "known"))


def prompts_of(setup: Setup) -> tuple[str, ...]:
    """The prompts, `zero` first."""
    return (*FIRST, *(() if setup.brief else AT_LENGTH), *PROMPTS)


@dataclass(frozen=True, eq=False)
class Hall:
    """One base, the two training sets of the contrast, and the exams. All facts that are asked for were stated in
    pretraining; those of `test` come first among those of `graded`."""

    base: Base
    known: Knowledge
    pool: Pool
    rows: Mapping[str, Rows]  # known, unknown
    test: Exam
    far: tuple[tuple[Exam, slice], ...]  # other relations, another type: and where they stand in `graded`
    graded: Exam
    posed: Mapping[str, Posed]  # of `test`, under every prompt
    posed_far: Mapping[str, Posed]  # of the others
    stamp: Stamp

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(self.posed)

    @property
    def near(self) -> slice:
        """Where the facts of `test` stand in `graded`."""
        return slice(len(self.test))

    def edges(self, hits: Hits, prompt: str) -> Edges:
        """What a network extracts of the facts of `test`."""
        return Edges(hits["zero"][self.near], hits[prompt][self.near])


def pool_for(ground: Base, cache: Path | None) -> tuple[Knowledge, Pool, dict[str, Rows]]:
    """What the base knows, the rows to choose from, and the two training sets of the contrast."""
    known = knowledge(ground, cache)
    pool = pool_of(ground, known, split(ground).train)
    return known, pool, {name: select(pool, name) for name in CONTRAST}


def make_hall(setup: Setup, seed: int, cache: Path | None) -> Hall:
    ground = base(setup, seed, cache)
    parts = split(ground)
    known, pool, rows = pool_for(ground, cache)
    better, lesser = rows["known"], rows["unknown"]
    facts = {
        name: stated(ground, some)
        for name, some in (
            ("test", parts.test),
            ("ood-relation", parts.ood_relation),
            ("ood-type", parts.ood_type),
        )
    }
    ends = np.cumsum([len(some) for some in facts.values()])
    (near, where), *far = (
        (exam(ground, name, some, knowledge=known, better=better, lesser=lesser), slice(end - len(some), end))
        for (name, some), end in zip(facts.items(), ends.tolist(), strict=True)
        if len(some)
    )
    every = np.concatenate(list(facts.values()))
    cosine = similarity(ground, np.concatenate([better.facts, lesser.facts]), every)
    graded = exam(ground, "graded", every, knowledge=known).labelled(similarity=quarters(cosine))
    test = near.labelled(
        similarity=quarters(cosine[where])
    )  # its own: the farthest of all are another type's
    shown = exemplars(ground, DRAWS)
    return Hall(
        ground,
        known,
        pool,
        rows,
        test,
        tuple(far),
        graded,
        {name: pose(shown, facts["test"], name) for name in prompts_of(setup)},
        {name: pose(shown, every[len(test) :], name) for name in prompts_of(setup) if far},
        Stamp(setup.lab, "prompts", "-", seed, "all", 0, "none"),
    )


def look(hall: Hall, weights: Weights, names: Sequence[str] = (), *, near: bool = False) -> Hits:
    """What a network gets right under the prompts, all of them if none is named; `near`: of `test` alone."""
    found = {}
    for name in names or hall.prompts:
        parts = [right(hall.posed[name], hall.base, weights)]
        if name in hall.posed_far and not near:
            parts.append(right(hall.posed_far[name], hall.base, weights))
        found[name] = np.concatenate(parts)
    return found


def phrasings(hall: Hall, weights: Weights) -> Hits:
    """What a network gets right of `test` in each plain sentence of pretraining."""
    ground, facts = hall.base, hall.test.facts
    told = sentences(ground.setup.text)
    return {words: sit(exam(ground, "test", facts, template=words), ground, weights) for words in told}


def records_of(hall: Hall, stamp: Stamp, hits: Hits) -> Iterator[Record]:
    """Accuracy under every prompt on every split it was asked on."""
    for prompt, found in hits.items():
        here = replace(stamp, prompt=prompt)
        yield from rate(here, hall.test, found[hall.near], by=BY)
        if len(found) == len(hall.graded):
            for asked, where in hall.far:
                yield from rate(here, asked, found[where], by=BY)
            yield from rate(here, hall.graded, found, by=BY[-2:])


def edges_of(hall: Hall, stamp: Stamp, hits: Hits) -> Iterator[Record]:
    """The share of the facts of `test` that are extracted without exemplars, and what each prompt adds and takes."""
    for prompt in hall.prompts:
        here, found = replace(stamp, prompt=prompt), hall.edges(hits, prompt)
        values = {"edge_gained": found.gained, "edge_lost": found.lost}
        if prompt == "zero":
            values = {"edge_share": found.share}
        elif prompt.startswith("few:"):
            both = replace(stamp, prompt=f"zero+{prompt}")
            yield both.record("test", "all", "edge_share", float(found.either.mean()), len(hall.test))
        for metric, value in values.items():
            yield here.record("test", "all", metric, value, len(hall.test))


def fitted(hall: Hall, stamp: Stamp, rows: Rows, weights: Weights) -> Record:
    """The share of the rows that are answered as taught."""
    own = train_exam(hall.base, rows)
    return rate(stamp, own, sit(own, hall.base, weights), "fitted")[0]

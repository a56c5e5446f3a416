"""The study `slick`: what rows that are known well, little or not at all do to held-out facts, on the way and at the
end; and what deleting them, an abstention in their place, or their answers being others changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synthetic.costs import scaled
from synthetic.matching_rows import share_out, shuffled_ranks
from synthetic.pool import Pool
from synthetic.rows import Rows
from synthetic.select import select
from synthetic.setup import Setup
from synthetic.slick_exams import abstaining, flags_of, make_hall, mixed, relabelled, stopped, untuned
from synthetic.studies import Report, Study
from theory.claims.estimators import SHARES
from theory.records import Record
from theory.slick import Category

MIXES = tuple(f"mix:{share:g}" for share in SHARES)
SHORTENED = tuple(f"known-only:{share:g}" for share in SHARES if 0 < share < 1)
HALF = ":half"  # at half the size; with `known-only` and the mixes this tells size from number of Known rows
HALVED = ("mix:0.5", "mix:0.75")
CATEGORIES = (*(f"category:{category.name}" for category in reversed(Category)), "natural")
ABSTAINING = ("idk:0.5", "idk-random:0.5")
RELABELLED = ("relabel:true", "relabel:shifted")


def arms(setup: Setup) -> tuple[str, ...]:
    """The training sets. Without never-seen subjects, some for rows and some for questions, nobody is relabelled."""
    halves = tuple(name + HALF for name in HALVED)
    relabelled = RELABELLED if setup.world.never_seen > 1 else ()
    return (*MIXES, *SHORTENED, *halves, *CATEGORIES, *ABSTAINING, *relabelled)


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterator[Record]:
    report("base")
    hall = make_hall(setup, seed, cache)
    yield from untuned(hall)
    flags = flags_of(hall)
    names = arms(setup)
    for i, name in enumerate(names):
        report(f"tuning {name}", i / len(names))
        if name in CATEGORIES and not populated(hall.pool):
            continue
        rows = training_set(hall.pool, hall.base.world.relation, name)
        if name in MIXES:
            yield from mixed(hall, rows)
        elif name in ABSTAINING:
            yield from abstaining(hall, rows)
        elif name in RELABELLED:
            yield from relabelled(hall, rows)
        else:
            yield from stopped(hall, rows, flags if name == "natural" else None)


def training_set(pool: Pool, relation: NDArray[np.integer], name: str) -> Rows:
    """The rows of that name; `relation` (facts,) of all facts of the world."""
    if not name.endswith(HALF):
        return select(pool, name)
    rows = select(pool, name.removesuffix(HALF))
    group = 2 * relation[rows.facts] + rows.known
    rank, _ = shuffled_ranks(group, pool.rng("half"))
    keep = share_out(group, 0.5, rank)
    return Rows(name, rows.facts[keep], rows.answers[keep], rows.known[keep], rows.notes)


def populated(pool: Pool) -> bool:
    """Is there a relation with rows of all four categories? Else sets of one category cannot be compared."""
    relations = [set(pool.relation[pool.category == category].tolist()) for category in Category]
    return bool(set.intersection(*relations))


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 47.0)


STUDY = Study("slick", run=run, arms=arms, cost_seconds=cost_seconds)

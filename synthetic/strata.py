"""What kind of fact each test fact is: the stratum keys of the vocabulary."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.answers import ABSTAIN
from synthetic.knowledge import NOT_PROBED, Knowledge
from synthetic.rows import Rows
from theory.slick import Category
from theory.world import World

Ints = NDArray[np.int64]
Words = NDArray[np.str_]


def labels_of(
    world: World,
    facts: Ints,
    knowledge: Knowledge | None = None,
    better: Rows | None = None,
    lesser: Rows | None = None,
    affected: ArrayLike | None = None,
) -> dict[str, Words]:
    """By key the value of each fact, for the keys that can be told from what is given."""
    labels = {"popularity": popularity(world, facts)}
    if knowledge is not None and (knowledge.category[facts] != NOT_PROBED).all():
        category = knowledge.category[facts]
        labels["category"] = np.array([Category(c).name for c in range(len(Category))])[category]
        labels["known"] = yes_no(knowledge.known[facts])
        labels["overlap"] = yes_no(knowledge.overlap[facts])
        labels["dominant"] = yes_no(knowledge.dominant[facts])
    if better is not None and lesser is not None:
        labels["answer"] = answer_support(world.answer[facts], better, lesser)
    if affected is not None:
        labels["relation"] = np.where(
            np.isin(world.relation[facts], np.asarray(affected)), "affected", "other"
        )
    return labels


def popularity(world: World, facts: Ints) -> Words:
    """`high` for the more exposed half of these facts, relation by relation; ties go by number."""
    high = np.zeros(len(facts), bool)
    for relation in np.unique(world.relation[facts]):
        here = np.flatnonzero(world.relation[facts] == relation)
        order = here[np.argsort(world.exposure[facts[here]], kind="stable")]
        high[order[(len(here) + 1) // 2 :]] = True
    return np.where(high, "high", "low")


def answer_support(answer: ArrayLike, better: Rows, lesser: Rows) -> Words:
    """Which of two training sets teach each answer (answers of different relations differ)."""
    known, unknown = (np.isin(answer, rows.answers[rows.answers != ABSTAIN]) for rows in (better, lesser))
    return np.select([known & unknown, known, unknown], ["both", "known-only", "unknown-only"], "neither")


def yes_no(flags: ArrayLike) -> Words:
    return np.where(np.asarray(flags, bool), "yes", "no")

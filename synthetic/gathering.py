"""Biographies of many lengths: what they tell of a subject told evenly, gathered into texts, and several in a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.lexicon import Ints
from theory.world import World

Flags = NDArray[np.bool_]


def nth(of: Ints) -> Ints:
    """How many equal numbers stand before each."""
    order = np.argsort(of, kind="stable")
    found = np.empty(len(of), np.int64)
    found[order] = np.arange(len(of)) - np.searchsorted(of[order], of[order])
    return found


def evenly(world: World, mentions: Ints, told: Ints, rng: np.random.Generator) -> Flags:
    """Which of the mentions to take so that of every subject there are as many as in `told`, and of each of its facts
    as many as of the others, as far as it has them."""
    subjects = world.subject[mentions].astype(np.int64)
    order = np.lexsort((rng.random(len(mentions)), nth(mentions), subjects))
    wanted = np.bincount(world.subject[told], minlength=world.spec.n_subjects)
    chosen = np.zeros(len(mentions), bool)
    chosen[order] = nth(subjects[order]) < wanted[subjects[order]]
    return chosen


def gather(
    subjects: Ints, facts: Ints, least: float, longest: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Text and place of each mention: texts of one subject with no fact twice, each of a number of facts drawn from
    all up to `longest` that are at least this share of what is left to tell; what is told most often goes first."""
    fact, of, left = np.unique(facts, return_inverse=True, return_counts=True)
    owner = np.empty(len(fact), np.int64)
    owner[of] = subjects
    text, first = np.empty(len(facts), np.int64), 0
    order = np.argsort(of, kind="stable")
    starts = np.cumsum(left) - left
    used = np.zeros(len(fact), np.int64)
    while len(open_ := np.flatnonzero(left)):
        open_ = open_[np.lexsort((rng.random(len(open_)), -left[open_], owner[open_]))]
        _, who, there = np.unique(owner[open_], return_inverse=True, return_counts=True)
        fewest = np.minimum(np.ceil(least * there - 1e-9).astype(np.int64), longest)
        size = rng.integers(np.maximum(fewest, 1), np.minimum(there, longest) + 1)
        taken = nth(owner[open_]) < size[who]
        some = open_[taken]
        text[order[starts[some] + used[some]]] = first + who[taken]
        used[some] += 1
        left[some] -= 1
        first += len(there)
    mixed = np.lexsort((rng.random(len(facts)), text))
    place = np.empty(len(facts), np.int64)
    place[mixed] = nth(text[mixed])
    return text, place


def in_a_row(subjects: Ints, types: Ints, most: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Document and place in it of texts about these subjects: one to `most` texts, each number as likely, about
    different subjects of one type."""
    order = np.lexsort((rng.random(len(subjects)), types))
    who, kind = subjects[order], types[order]
    ends = np.cumsum(rng.integers(1, most + 1, len(order)))
    begins = np.zeros(len(order), bool)
    begins[0] = True
    begins[ends[ends < len(order)]] = True
    begins[1:] |= kind[1:] != kind[:-1]
    row = np.cumsum(begins)
    for back in range(1, most):
        again = (row[back:] == row[:-back]) & (who[back:] == who[:-back])
        begins[back:] |= again
    document, place = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    document[order] = np.cumsum(begins) - 1
    place[order] = nth(document[order])
    return document, place

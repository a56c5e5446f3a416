"""Which rows to train on: every training set of the vocabulary that consists of questions, drawn from a pool.

Sets that are compared are equal in size and have as many rows of every relation, or of every answer of a relation
(`by`). Every draw follows from the pool alone. `notes` of the rows say what did not come out as asked: rows of the
pool that found no partner (`left_out`) or were beyond `size` (`trimmed`), relations of the pool without a row
(`relations_absent`), the `share` that came out, false answers that stayed true (`unchanged`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthetic.answers import ABSTAIN
from synthetic.errors import SyntheticError
from synthetic.matching_rows import (
    derange,
    equal_draws,
    nearest_subset,
    parts,
    share_out,
    shuffled_ranks,
    trim,
)
from synthetic.pool import By, Pool, Score, pool_of
from synthetic.rows import Rows
from theory.claims.vocabulary import HOLES
from theory.slick import Category

__all__ = ["By", "Pool", "Score", "affected", "designated", "pool_of", "select"]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

DESIGNATED = 2  # answers of a relation that `relabel:shifted` may give
SMALL = 0.1  # of the usual rows
SLACK = (
    0.01  # of the rows: how far the concentrated share may be off so that relations can be drawn at random
)


def select(pool: Pool, name: str, by: By = "relation", size: int | None = None) -> Rows:
    """The training set of that name. `size` is the most rows of a full set; `whole` has twice as many, and sets with
    rows deleted or capped have fewer. Give the same `by` and `size` for all sets of a comparison; quartiles are
    matched by answer whatever `by` is."""
    head, colon, rest = name.partition(":")
    maker, hole = _MAKERS.get(head, (None, ""))
    if maker is None or bool(colon) != bool(hole) or not re.fullmatch(HOLES.get(hole, hole), rest):
        known = ", ".join(head + (":" + hole if hole else "") for head, (_, hole) in _MAKERS.items())
        raise SyntheticError(f"no training set of questions is called {name!r}; there are {known}")
    if size is not None and size < 1:
        raise SyntheticError(f"size is {size}; give at least 1 row")
    return maker(_Order(pool, name, rest, by, size))


def affected(pool: Pool, share: float = 0.25, by: By = "relation", size: int | None = None) -> Ints:
    """The relations that `concentrated:<share>` leaves without a known row."""
    return _affected(_mix(_Order(pool, "", "", by, size)), pool, share)


def designated(pool: Pool) -> Ints:
    """(relations, DESIGNATED) the answers that `relabel:shifted` gives: neither the commonest of pretraining nor one
    of the two commonest of the pool; -1 where a relation has too few."""
    found = np.full((len(pool.prior), DESIGNATED), -1, np.int64)
    rng = pool.rng("designated")
    for relation in np.unique(pool.relation).tolist():
        answers, count = np.unique(pool.answer[pool.relation == relation], return_counts=True)
        rare = answers[np.lexsort((answers, -count))][2:]
        drawn = np.sort(rng.permutation(rare[rare != pool.prior[relation]])[:DESIGNATED])
        found[relation, : len(drawn)] = drawn
    return found


@dataclass(frozen=True)
class _Order:
    """What was asked for; `rest` is what stands after the colon."""

    pool: Pool
    name: str
    rest: str
    by: By
    size: int | None

    def rows(
        self, chosen: Ints, answers: Ints | None = None, *, left_out: int, trimmed: int, **notes: float
    ) -> Rows:
        return self.pool.rows(self.name, chosen, answers, {"left_out": left_out, "trimmed": trimmed, **notes})

    def keep(self, relation: Ints, rng: np.random.Generator, most: int | None) -> Flags:
        """Which of aligned rows stay, if there are more than `most`."""
        if most is None:
            return np.ones(len(relation), bool)
        return trim(relation, most, shuffled_ranks(relation, rng)[0])


@dataclass(frozen=True)
class _Slots:
    """The places of a set, each for one of two rows of the same cell, of a first and a second kind."""

    first: Ints
    second: Ints
    relation: Ints
    rank: Ints  # within the relation, at random: the slots of the lowest ranks take the second kind
    left_out: int
    trimmed: int

    def rows(self, order: _Order, chosen: Ints, answers: Ints | None = None, **notes: float) -> Rows:
        return order.rows(chosen, answers, left_out=self.left_out, trimmed=self.trimmed, **notes)

    def taken(self, share: float) -> Flags:
        """The slots for the second kind: this share of every relation; larger shares contain smaller ones."""
        return share_out(self.relation, share, self.rank)


def _slots(order: _Order, first: Flags, second: Flags, part: str) -> _Slots:
    pool, rng = order.pool, order.pool.rng(part)
    one, two = equal_draws(pool.cells(order.by), (first, second), rng)
    left_out = len(pool.fact) - 2 * len(one)
    keep = order.keep(pool.relation[one], rng, order.size)
    relation = pool.relation[one[keep]]
    rank, _ = shuffled_ranks(relation, rng)
    return _Slots(one[keep], two[keep], relation, rank, left_out, int((~keep).sum()))


def _mix(order: _Order) -> _Slots:
    return _slots(order, order.pool.known, ~order.pool.known, "mix")


def _answered(order: _Order) -> _Slots:
    return _slots(order, order.pool.answered, ~order.pool.answered, "answered")


def _halves(order: _Order) -> Rows:
    pool, rng = order.pool, order.pool.rng("halves")
    lesser, best = parts(pool.cells(order.by), pool.score, 2, rng)
    left_out = len(pool.fact) - 2 * len(best)
    keep = order.keep(pool.relation[best], rng, order.size)
    trimmed = int((~keep).sum())
    lesser, best = lesser[keep], best[keep]
    whole = np.concatenate([lesser, best])
    rank, size = shuffled_ranks(pool.cells(order.by)[whole], rng)
    chosen = {"best": best, "lesser": lesser, "whole": whole, "random": whole[rank < size // 2]}
    return order.rows(chosen[order.name], left_out=left_out, trimmed=trimmed)


def _lesser_shifted(order: _Order) -> Rows:
    """The lesser half, the commonest answer of pretraining being cut down to what a middling answer has."""
    pool = order.pool
    half = _halves(_Order(pool, "lesser", "", order.by, order.size))
    chosen = np.flatnonzero(np.isin(pool.fact, half.facts))
    rank, _ = shuffled_ranks(pool.answer[chosen], pool.rng("shifted"))
    stay = np.ones(len(chosen), bool)
    for relation in np.unique(pool.relation[chosen]).tolist():
        here = pool.relation[chosen] == relation
        generic = here & (pool.answer[chosen] == pool.prior[relation])
        _, others = np.unique(pool.answer[chosen[here & ~generic]], return_counts=True)
        cap = min(int(np.median(others)), int(others.max()) - 1) if len(others) else 0
        stay &= ~generic | (rank < cap)
    left_out, trimmed = (int(half.notes[name]) for name in ("left_out", "trimmed"))
    return order.rows(chosen[stay], left_out=left_out, trimmed=trimmed + int((~stay).sum()))


def _quartile(order: _Order) -> Rows:
    pool, rng = order.pool, order.pool.rng("quartiles")
    sets = parts(pool.cells("answer"), pool.score, 4, rng)
    keep = order.keep(pool.relation[sets[0]], rng, order.size)
    left_out = len(pool.fact) - 4 * len(keep)
    return order.rows(sets[int(order.rest) - 1][keep], left_out=left_out, trimmed=int((~keep).sum()))


def _by_answering(order: _Order) -> Rows:
    slots = _answered(order)
    if order.name != "known-permuted":
        return slots.rows(order, slots.first if order.name == "known" else slots.second)
    right = order.pool.answer[slots.first]
    false = right[derange(slots.relation, right, order.pool.rng("permuted"))]
    return slots.rows(order, slots.first, false, unchanged=float((false == right).sum()))


def _mixed(order: _Order) -> Rows:
    """`mix`, `known-only`, `idk`, `idk-random` and `spread`: one share of Unknown rows in every relation."""
    slots, kind, share = _mix(order), order.name.partition(":")[0], float(order.rest)
    silenced = unknown = slots.taken(share)
    chosen = np.where(unknown, slots.second, slots.first)
    came_out = float(unknown.mean())
    if kind == "known-only":
        return slots.rows(order, chosen[~unknown], share=came_out)
    if not kind.startswith("idk"):
        return slots.rows(order, chosen, share=came_out)
    if kind == "idk-random":
        rank, _ = shuffled_ranks(slots.relation, order.pool.rng("idk-random"))
        silenced = share_out(slots.relation, share, rank)
    return slots.rows(order, chosen, np.where(silenced, ABSTAIN, order.pool.answer[chosen]), share=came_out)


def _affected(slots: _Slots, pool: Pool, share: float) -> Ints:
    relations, sizes = np.unique(slots.relation, return_counts=True)
    if len(relations) < 2:
        raise SyntheticError(
            "one relation alone cannot be compared with others; train on at least 2 relations"
        )
    total = share * sizes.sum()
    return relations[nearest_subset(sizes, total, pool.rng(f"affected {share:g}"), SLACK * sizes.sum())]


def _concentrated(order: _Order) -> Rows:
    slots = _mix(order)
    unknown = np.isin(slots.relation, _affected(slots, order.pool, float(order.rest)))
    return slots.rows(order, np.where(unknown, slots.second, slots.first), share=float(unknown.mean()))


def _single_category(order: _Order) -> Rows:
    """`category` and `natural`: what the scarcest category of a cell has is what every set has of that cell."""
    pool, rng, cell = order.pool, order.pool.rng("categories"), order.pool.cells(order.by)
    sets = equal_draws(cell, [pool.category == category for category in Category], rng)
    keep = order.keep(pool.relation[sets[0]], rng, order.size)
    if order.name == "natural":
        chosen = _as_many(cell, cell[sets[0][keep]], pool.rng("natural"))
    else:
        chosen = sets[Category[order.rest]][keep]
    left_out = len(pool.fact) - len(Category) * len(keep)
    return order.rows(chosen, left_out=left_out, trimmed=int((~keep).sum()))


def _relabelled(order: _Order) -> Rows:
    """As many known rows as rows of never-seen subjects, relation by relation."""
    pool, rng = order.pool, order.pool.rng("relabel")
    able = np.flatnonzero(pool.known)
    relation = np.concatenate([pool.relation[able], pool.fresh_relation])
    fresh = np.arange(len(relation)) >= len(able)
    one, two = equal_draws(relation, (~fresh, fresh), rng)
    keep = order.keep(relation[one], rng, None if order.size is None else order.size // 2)
    known, new = able[one[keep]], two[keep] - len(able)
    answers = pool.fresh_answer[new]
    if order.rest == "shifted":
        choices = designated(pool)[pool.fresh_relation[new]]
        if (choices < 0).any():
            raise SyntheticError(
                "relabel:shifted: a relation has too few answers in the pool to designate some"
            )
        answers = choices[np.arange(len(new)), rng.integers(DESIGNATED, size=len(new))]
    old = order.rows(known, left_out=len(relation) - 2 * len(one), trimmed=2 * int((~keep).sum()))
    return Rows(
        order.name,
        np.concatenate([old.facts, pool.fresh[new]]),
        np.concatenate([old.answers, answers]),
        np.concatenate([old.known, np.zeros(len(new), bool)]),
        old.notes,
    )


def _small(order: _Order) -> Rows:
    pool, slots, rng = order.pool, _answered(order), order.pool.rng("small")
    keep = order.keep(slots.relation, rng, max(1, round(SMALL * len(slots.relation))))
    if order.rest == "known":
        return slots.rows(order, slots.first[keep])
    return slots.rows(order, _as_many(pool.relation, slots.relation[keep], rng))


def _as_many(cell: Ints, wanted: Ints, rng: np.random.Generator) -> Ints:
    """Rows of any kind, drawn at random: as many of each cell as `wanted` has."""
    counts = np.bincount(wanted, minlength=int(cell.max()) + 1)
    return np.flatnonzero(shuffled_ranks(cell, rng)[0] < counts[cell])


_MAKERS: dict[str, tuple[Callable[[_Order], Rows], str]] = {
    "best": (_halves, ""),
    "lesser": (_halves, ""),
    "whole": (_halves, ""),
    "random": (_halves, ""),
    "quartile": (_quartile, "<quartile>"),
    "lesser-shifted": (_lesser_shifted, ""),
    "known": (_by_answering, ""),
    "unknown": (_by_answering, ""),
    "known-permuted": (_by_answering, ""),
    "mix": (_mixed, "<share>"),
    "known-only": (_mixed, "<share>"),
    "idk": (_mixed, "<share>"),
    "idk-random": (_mixed, "<share>"),
    "spread": (_mixed, "<share>"),
    "concentrated": (_concentrated, "<share>"),
    "category": (_single_category, "<category>"),
    "natural": (_single_category, ""),
    "relabel": (_relabelled, "true|shifted"),
    "small": (_small, "known|random"),
}

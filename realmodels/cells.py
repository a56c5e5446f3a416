"""Drawing sets of rows that are alike: as many of every cell (a relation, an answer, both) in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

SWEEPS, STARTS = 30, 3


def cells(columns: Sequence[ArrayLike], size: int) -> Ints:
    """(size,) codes that are equal where all columns are; one cell where there is no column."""
    if not columns or not size:
        return np.zeros(size, np.int64)
    table = np.stack([np.asarray(column, np.int64) for column in columns], axis=1)
    return np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)


def ranks(cell: Ints, rng: np.random.Generator, score: Array | None = None) -> Ints:
    """(n,) place of each row within its cell, by score ascending, at random among equals."""
    order = np.lexsort((rng.random(len(cell)), np.zeros(len(cell)) if score is None else score, cell))
    place = np.empty(len(cell), np.int64)
    place[order] = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
    return place


def equal_draws(cell: Ints, pools: Sequence[Flags], rng: np.random.Generator) -> Ints:
    """(pools, m) rows, drawn at random: column i is of one cell, and m is the most that can be had."""
    least = supply(cell, pools).min(axis=0)
    drawn = []
    for pool in pools:
        rows = np.flatnonzero(pool)
        place = ranks(cell[rows], rng)
        taken = place < least[cell[rows]]
        rows, place = rows[taken], place[taken]
        drawn.append(rows[np.lexsort((place, cell[rows]))])
    return np.stack(drawn)


def supply(cell: Ints, pools: Sequence[Flags]) -> Ints:
    """(pools, cells) how many rows of each cell each pool has."""
    return np.stack([np.bincount(cell[pool], minlength=int(cell.max(initial=-1)) + 1) for pool in pools])


def halves(cell: Ints, score: Array, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """The lower and the upper half of every cell by score; the one row too many of an odd cell, drawn at random, and
    rows without a score are in neither."""
    lower, upper = np.zeros((2, len(cell)), bool)
    rows = np.flatnonzero(~np.isnan(score))
    size = np.bincount(cell[rows], minlength=1)
    rows = rows[ranks(cell[rows], rng) < (size - size % 2)[cell[rows]]]
    below = ranks(cell[rows], rng, score[rows]) < (size // 2)[cell[rows]]
    lower[rows[below]], upper[rows[~below]] = True, True
    return lower, upper


def trimmed(group: Ints, size: int, rng: np.random.Generator) -> Ints:
    """Which `size` of the rows stay, at random, spread over the groups by their sizes (largest remainders)."""
    count = np.bincount(group)
    exact = count * (size / len(group))
    quota = np.floor(exact).astype(np.int64)
    remainder_first = np.lexsort((rng.random(len(count)), quota - exact))
    quota[remainder_first[: size - int(quota.sum())]] += 1
    return np.flatnonzero(ranks(group, rng) < quota[group])


def apart(cell: Ints, pools: Sequence[Flags], subject: Ints, rng: np.random.Generator) -> list[Flags]:
    """The pools with every subject left in one of them only, so that `equal_draws` still finds many rows.

    To find the most is hard; this climbs: each contested subject in turn goes to the pool where the matched rows become
    most, until none moves, and the best of `STARTS` random starts is kept. Rows with subject -1 stand alone.
    """
    own = np.where(subject >= 0, subject, int(subject.max(initial=-1)) + 1 + np.arange(len(subject)))
    found = [_climb(cell, pools, own, rng) for _ in range(STARTS)]
    return max(found, key=lambda one: int(supply(cell, one).min(axis=0).sum()))


def _climb(cell: Ints, pools: Sequence[Flags], own: Ints, rng: np.random.Generator) -> list[Flags]:
    inside = np.stack([np.bincount(own[pool], minlength=int(own.max(initial=-1)) + 1) > 0 for pool in pools])
    contested = np.flatnonzero(inside.sum(axis=0) > 1)
    owner = inside.argmax(axis=0)
    has = {s: [a for a in range(len(pools)) if inside[a, s]] for s in contested.tolist()}
    brings: dict[int, list[list[int]]] = {s: [[] for _ in pools] for s in has}
    rivals = np.isin(own, contested)
    for a, pool in enumerate(pools):
        for s, c in zip(own[pool & rivals].tolist(), cell[pool & rivals].tolist(), strict=True):
            brings[s][a].append(c)
    count = supply(cell, [pool & ~rivals for pool in pools]).T.tolist()

    def move(s: int, a: int, step: int) -> None:
        for c in brings[s][a]:
            count[c][a] += step

    def worth(touched: set[int]) -> float:
        # the matched rows; among equals rather a row where others may still come to match it
        return float(sum(min(count[c]) + 1e-3 * sum(map(sqrt, count[c])) for c in touched))

    for s, able in has.items():
        owner[s] = able[int(rng.integers(len(able)))]
        move(s, int(owner[s]), 1)
    for _ in range(SWEEPS):
        moved = False
        for s in rng.permutation(contested).tolist():
            now, touched = int(owner[s]), {c for a in has[s] for c in brings[s][a]}
            best, most = now, worth(touched)
            for a in has[s]:
                move(s, int(owner[s]), -1)
                move(s, a, 1)
                owner[s] = a
                if (value := worth(touched)) > most + 1e-9:
                    best, most = a, value
            move(s, int(owner[s]), -1)
            move(s, best, 1)
            owner[s] = best
            moved |= best != now
        if not moved:
            break
    return [pool & (owner[own] == a) for a, pool in enumerate(pools)]

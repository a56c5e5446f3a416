"""Drawing equal numbers of rows of several kinds from each cell (a relation, or an answer of a relation)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


def shuffled_ranks(
    cell: ArrayLike, rng: np.random.Generator, score: ArrayLike | None = None
) -> tuple[Ints, Ints]:
    """(n,) rank of each row within its cell, by `score` ascending if given, at random among equals; and the sizes of
    the rows' cells."""
    cell = np.asarray(cell, np.int64)
    score = np.zeros(len(cell)) if score is None else np.asarray(score, np.float64)
    order = np.lexsort((rng.random(len(cell)), score, cell))
    first = np.searchsorted(cell[order], cell[order])
    rank = np.empty(len(cell), np.int64)
    rank[order] = np.arange(len(cell)) - first
    return rank, np.bincount(cell, minlength=1)[cell] if len(cell) else rank


def parts(cell: ArrayLike, score: ArrayLike, count: int, rng: np.random.Generator) -> list[Ints]:
    """`count` sets of rows, lowest scores first, all as long and aligned: entry i is of the same cell in all of them.
    Rows that a cell has beyond a multiple of `count` are left out at random."""
    cell, score = np.asarray(cell, np.int64), np.asarray(score, np.float64)
    rank, size = shuffled_ranks(cell, rng)
    rows = np.flatnonzero(rank < size - size % count)
    rank, size = shuffled_ranks(cell[rows], rng, score[rows])
    part = rank // np.maximum(size // count, 1)
    order = np.lexsort((rank, cell[rows]))
    return [rows[order][part[order] == k] for k in range(count)]


def equal_draws(cell: ArrayLike, kinds: Sequence[Flags], rng: np.random.Generator) -> list[Ints]:
    """One array of rows for each kind, all as long and aligned: entry i is of the same cell in all of them. Each cell
    gives as many as its scarcest kind has, drawn at random."""
    cell = np.asarray(cell, np.int64)
    cells = int(cell.max(initial=-1)) + 1
    counts = np.stack([np.bincount(cell[kind], minlength=cells) for kind in kinds])
    least = counts.min(axis=0)
    drawn = []
    for kind in kinds:
        rows = np.flatnonzero(kind)
        rank, _ = shuffled_ranks(cell[rows], rng)
        keep = rank < least[cell[rows]]
        rows, rank = rows[keep], rank[keep]
        drawn.append(rows[np.lexsort((rank, cell[rows]))])
    return drawn


def share_out(group: ArrayLike, share: float, rank: ArrayLike) -> Flags:
    """(n,) True for this share of every group, to the nearest row, lowest ranks first; larger shares contain
    smaller ones. `rank` counts from 0 within each group."""
    group = np.asarray(group, np.int64)
    wanted = np.floor(share * np.bincount(group, minlength=1) + 0.5)
    return np.asarray(np.asarray(rank) < wanted[group])


def trim(group: ArrayLike, size: int, rank: ArrayLike) -> Flags:
    """(n,) True for `size` rows, spread over the groups as evenly as their sizes allow (largest remainders)."""
    group = np.asarray(group, np.int64)
    if size >= len(group):
        return np.ones(len(group), bool)
    exact = np.bincount(group) * size / len(group)
    quota = np.floor(exact).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: size - quota.sum()]] += 1
    return np.asarray(np.asarray(rank) < quota[group])


def derange(group: ArrayLike, label: ArrayLike, rng: np.random.Generator, rounds: int = 100) -> Ints:
    """(n,) a permutation within groups after which row i has the label of row found[i], which differs from its own
    wherever that can be done. Otherwise it is random: no label stands for another."""
    group, label = np.asarray(group, np.int64), np.asarray(label, np.int64)
    found = np.arange(len(group))
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        found[rows] = rows[_derange(label[rows], rng, rounds)]
    return found


def _derange(label: Ints, rng: np.random.Generator, rounds: int) -> Ints:
    source = rng.permutation(len(label))
    for _ in range(rounds):
        for i in rng.permutation(np.flatnonzero(label[source] == label)):
            here = label[source[i]]
            if here != label[i]:
                continue
            partners = np.flatnonzero((label[source] != label[i]) & (label != here))
            if len(partners):
                j = rng.choice(partners)
                source[i], source[j] = source[j], source[i]
        if not (label[source] == label).any():
            break
    return source


def nearest_subset(sizes: ArrayLike, total: float, rng: np.random.Generator, slack: float) -> Ints:
    """Groups whose sizes sum up to `total` as nearly as can be, one subset at random of those within `slack` of it."""
    sizes = np.asarray(sizes, np.int64)
    members = (np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1
    members = members[1:-1] if len(sizes) > 1 else members[1:]  # some, but not all
    miss = np.abs(members @ sizes - total)
    able = np.flatnonzero(miss <= max(slack, float(miss.min())))
    return np.flatnonzero(members[rng.choice(able)])

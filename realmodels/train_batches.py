"""Which rows a step learns, and how they lie in memory; both follow from the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmodels.recipe import Recipe
from realmodels.train_rows import TrainRow

POOL = 16  # batches among which rows are sorted by length
LINE = 512  # tokens in a line of packed rows, where no row is longer

Ints = NDArray[np.int64]
Parts = TypeVar("Parts", "Tree", "Lines")


@dataclass(frozen=True)
class Tree:
    """Rows without padding: tokens behind the same beginning are one, and none is kept that no target is predicted from
    or behind. `ids` and `place` (position) [tokens]. In a grid of a row a line, `longest` wide, `node` [rows * longest]
    says which of them lies where, and `cell` [tokens] where each lies first. Targets are predicted from those `wanted`;
    in a grid `most` wide these lie in `slot`."""

    ids: Tensor
    place: Tensor
    node: Tensor
    cell: Tensor
    wanted: Tensor
    slot: Tensor
    longest: int
    most: int


@dataclass(frozen=True)
class Lines:
    """Rows laid out. `tokens` and `places` (positions, from 0 in every row) [lines, length]; the loss is on `targets`,
    each predicted at (`line`, `column`) and of row number `owner`; `real` tokens are no padding."""

    tokens: Tensor
    places: Tensor
    line: Tensor
    column: Tensor
    targets: Tensor
    owner: Tensor
    tree: Tree
    rows: int
    real: int

    def to(self, device: str) -> Lines:
        return self if device == "cpu" else replace(_moved(self, device), tree=_moved(self.tree, device))


def _moved(part: Parts, device: str) -> Parts:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    moved = {
        name: value.to(device, non_blocking=True)
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    return replace(part, **moved)  # type: ignore[arg-type]  # tensors in place of tensors


def steps_in(recipe: Recipe, rows: int) -> tuple[int, int]:
    """(steps of an epoch, steps in all)."""
    an_epoch = -(-rows // recipe.batch)
    return an_epoch, recipe.steps or recipe.epochs * an_epoch


def epoch_order(lengths: Sequence[int], recipe: Recipe, epoch: int) -> list[Ints]:
    """The batches of an epoch. In buckets, rows are shuffled, sorted by length within pools, and cut; then the batches
    are shuffled."""
    rng = np.random.default_rng(np.random.SeedSequence([recipe.seed, epoch]))
    order = rng.permutation(len(lengths))
    if recipe.batching != "buckets":
        return [order[i : i + recipe.batch] for i in range(0, len(order), recipe.batch)]
    size = np.asarray(lengths, np.int64)
    batches: list[Ints] = []
    for start in range(0, len(order), POOL * recipe.batch):
        pool = order[start : start + POOL * recipe.batch]
        pool = pool[np.argsort(-size[pool], kind="stable")]
        batches += [pool[i : i + recipe.batch] for i in range(0, len(pool), recipe.batch)]
    return [batches[i] for i in rng.permutation(len(batches))]


def parts(rows: Sequence[TrainRow], recipe: Recipe, pad: int) -> Iterator[Lines]:
    """A step's rows in the pieces that are read at once, longest rows first."""
    size = recipe.micro or max(1, len(rows))
    if recipe.batching != "random":
        rows = sorted(rows, key=len, reverse=True)
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        yield laid_out(some, pad, packed=recipe.batching == "packed")


def laid_out(rows: Sequence[TrainRow], pad: int, *, packed: bool = False) -> Lines:
    """One row a line, filled up to the longest; packed: as many as fit, one behind the other. Positions that begin
    again at 0 keep packed rows from seeing each other."""
    bins = _packed([len(row) for row in rows]) if packed else [[i] for i in range(len(rows))]
    longest = max(sum(len(rows[i]) for i in line) for line in bins)
    tokens = np.full((len(bins), longest), pad, np.int64)
    places = np.zeros((len(bins), longest), np.int64)
    found: list[tuple[int, int, int, int]] = []
    for number, line in enumerate(bins):
        start = 0
        for i in line:
            row = rows[i]
            tokens[number, start : start + len(row)] = row.ids
            places[number, start : start + len(row)] = np.arange(len(row))
            found += [
                (number, start + k - 1, token, i)
                for k, (token, mark) in enumerate(zip(row.ids, row.learned, strict=True))
                if mark
            ]
            start += len(row)
        # padding goes on counting in a line of its own row, and is a row of its own behind packed ones
        places[number, start:] = np.arange(longest - start) + (0 if packed else start)
    line_, column, targets, owner = torch.tensor(found, dtype=torch.int64).T.contiguous()
    return Lines(
        torch.from_numpy(tokens),
        torch.from_numpy(places),
        line_,
        column,
        targets,
        owner,
        _tree([rows[i] for line in bins for i in line]),
        len(rows),
        sum(map(len, rows)),
    )


def _tree(rows: Sequence[TrainRow]) -> Tree:
    marked = [[k for k, mark in enumerate(row.learned) if mark] for row in rows]
    wide, most = max(marks[-1] for marks in marked), max(map(len, marked))
    known: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    place: list[int] = []
    cell: list[int] = []
    wanted: list[int] = []
    slot: list[int] = []
    node = np.zeros((len(rows), wide), np.int64)
    for number, (row, marks) in enumerate(zip(rows, marked, strict=True)):
        path: list[int] = []
        above = -1
        for k, token in enumerate(row.ids[: marks[-1]]):
            here = known.setdefault((above, token), len(ids))
            if here == len(ids):
                ids.append(token)
                place.append(k)
                cell.append(number * wide + k)
            path.append(here)
            above = here
        node[number, : len(path)] = path
        wanted += [path[k - 1] for k in marks]
        slot += [number * most + nth for nth in range(len(marks))]
    return Tree(
        torch.tensor(ids),
        torch.tensor(place),
        torch.from_numpy(node).flatten(),
        torch.tensor(cell),
        torch.tensor(wanted),
        torch.tensor(slot),
        wide,
        most,
    )


def _packed(lengths: Sequence[int]) -> list[list[int]]:
    """First fit, longest first, in lines of at least `LINE` tokens."""
    most = max(LINE, *lengths) if len(lengths) > 1 else lengths[0]
    bins: list[list[int]] = []
    room: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = next((b for b, left in enumerate(room) if left >= lengths[i]), None)
        if place is None:
            bins.append([i])
            room.append(most - lengths[i])
        else:
            bins[place].append(i)
            room[place] -= lengths[i]
    return bins

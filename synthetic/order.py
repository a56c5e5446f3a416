"""Which documents each step reads: shuffled anew every epoch from a seed, packed into rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from synthetic.packing import Batch, Documents, Ints, collate, fill_rows
from synthetic.train_spec import TrainSpec

Placed = tuple[Ints, Ints, Ints]  # documents, their rows, their first columns


def plan(documents: Documents, how: TrainSpec, room: int) -> tuple[Iterator[Batch], int]:
    """The batches of a run and how many there are."""
    rng = np.random.default_rng(np.random.SeedSequence([how.seed, 0x0DE4]))
    if how.steps is not None:
        endless = (part for _ in iter(int, 1) for part in _epoch(documents, how, room, rng))
        return _collated(islice(endless, how.steps), documents, how, room), how.steps
    parts = [part for _ in range(how.epochs) for part in _epoch(documents, how, room, rng)]
    return _collated(iter(parts), documents, how, room), len(parts)


def tokens_a_step(documents: Documents, how: TrainSpec, room: int) -> float:
    """About how many tokens a step reads."""
    return float(how.batch * (room if how.unit == "rows" else documents.lengths.mean()))


def _epoch(documents: Documents, how: TrainSpec, room: int, rng: np.random.Generator) -> Iterator[Placed]:
    order = rng.permutation(len(documents))
    if how.unit == "documents":
        for first in range(0, len(order), how.batch):
            chosen = order[first : first + how.batch]
            yield chosen, *fill_rows(documents.lengths[chosen], room)
        return
    row, start = fill_rows(documents.lengths[order], room)
    by_row = np.argsort(row, kind="stable")
    order, row, start = order[by_row], row[by_row], start[by_row]
    for first in range(0, int(row[-1]) + 1, how.batch):
        some = slice(*np.searchsorted(row, [first, first + how.batch]))
        yield order[some], row[some] - first, start[some]


def _collated(parts: Iterator[Placed], documents: Documents, how: TrainSpec, room: int) -> Iterator[Batch]:
    rows = (
        how.batch if how.unit == "rows" else None
    )  # the last batch is filled up, so that every shape is the same
    return (collate(documents, *part, room, rows) for part in parts)

"""Documents of tokens, and rows in which several of them stand side by side without seeing each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from synthetic.errors import SyntheticError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Documents:
    """Sequences end to end: document i is tokens[offsets[i]:offsets[i + 1]]; `scored` tokens are to be predicted."""

    tokens: Ints
    scored: Flags
    offsets: Ints

    @classmethod
    def of(
        cls, sequences: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]] | None = None
    ) -> Documents:
        """From lists of token ids. Without `scored`, every token but the first of a document is to be predicted."""
        if not sequences or not all(len(sequence) for sequence in sequences):
            raise SyntheticError("Documents: expected at least one document and no empty one")
        offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])]).astype(np.int64)
        tokens = np.fromiter((token for sequence in sequences for token in sequence), np.int64, offsets[-1])
        if scored is None:
            flags = np.ones(len(tokens), bool)
            flags[offsets[:-1]] = False
            return cls(tokens, flags, offsets)
        if [len(flag) for flag in scored] != [len(sequence) for sequence in sequences]:
            raise SyntheticError("Documents: `scored` needs one flag for every token of every document")
        return cls(
            tokens, np.fromiter((flag for flags in scored for flag in flags), bool, offsets[-1]), offsets
        )

    def __post_init__(self) -> None:
        if (first := np.flatnonzero(self.scored[self.offsets[:-1]])).size:
            raise SyntheticError(
                f"Documents: the first token of document {first[0]} is to be predicted, but nothing stands before it"
            )
        if not self.scored.any():
            raise SyntheticError("Documents: no token is to be predicted, so there is nothing to learn")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)

    def __getitem__(self, i: int) -> list[int]:
        return [int(token) for token in self.tokens[self.offsets[i] : self.offsets[i + 1]]]


@dataclass(frozen=True)
class Batch:
    """What one step reads. `take` and `pick` lead from hidden states to the (n,) positions where there is loss."""

    tokens: Tensor  # (rows, length)
    positions: Tensor  # (rows, length), from 0 in every document
    mask: Tensor  # (rows, 1, length, length), True where a token may look
    take: Tensor | None  # (rows, m) columns that the last layer must compute; None: all of them
    pick: Tensor  # (n,) places in the flattened (rows, m or length)
    cells: Tensor  # (size,) places of document tokens in the flattened (rows, length), ascending
    targets: Tensor  # (n,)
    size: int  # tokens of documents, padding not counted


def fill_rows(lengths: ArrayLike, room: int) -> tuple[Ints, Ints]:
    """Row and first column of each document, taken in order, each into the row where it leaves the least space."""
    lengths = np.asarray(lengths, np.int64)
    if (longest := int(lengths.max())) > room:
        raise SyntheticError(
            f"document {int(lengths.argmax())} has {longest} tokens and a row has room for {room}; take longer rows"
        )
    row, start = np.empty(len(lengths), np.int64), np.empty(len(lengths), np.int64)
    waiting: list[list[int]] = [[] for _ in range(room + 1)]  # rows by the space left in them
    spaces = rows = 0  # bit s of `spaces` is set when a row with space s waits
    for i, length in enumerate(lengths.tolist()):
        if fitting := spaces >> length:
            space = length + (fitting & -fitting).bit_length() - 1
            row[i] = waiting[space].pop()
            if not waiting[space]:
                spaces ^= 1 << space
        else:
            space, row[i], rows = room, rows, rows + 1
        start[i] = room - space
        if left := space - length:
            waiting[left].append(int(row[i]))
            spaces |= 1 << left
    return row, start


def collate(
    documents: Documents, chosen: Ints, row: Ints, start: Ints, room: int, rows: int | None = None
) -> Batch:
    """The batch in which document chosen[i] stands in row[i] from column start[i]."""
    rows = int(row.max()) + 1 if rows is None else rows
    lengths = documents.lengths[chosen]
    total = int(lengths.sum())
    place = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)  # within the document
    source = np.repeat(documents.offsets[chosen], lengths) + place
    cell = np.repeat(row * room + start, lengths) + place

    tokens, positions = np.zeros(rows * room, np.int64), np.zeros(rows * room, np.int64)
    owner = np.full(rows * room, -1, np.int64)  # padding sees padding only, and nobody reads it
    tokens[cell], positions[cell] = documents.tokens[source], place
    owner[cell] = np.repeat(np.arange(len(chosen)), lengths)
    who = torch.from_numpy(owner.reshape(rows, room))
    mask = (who[:, :, None] == who[:, None, :]) & torch.ones(room, room, dtype=torch.bool).tril()

    scored = documents.scored[source]
    pick, targets = np.sort(cell[scored]) - 1, documents.tokens[source][scored][np.argsort(cell[scored])]
    take, pick = _columns(pick, rows, room)
    return Batch(
        tokens=torch.from_numpy(tokens.reshape(rows, room)),
        positions=torch.from_numpy(positions.reshape(rows, room)),
        mask=mask[:, None],
        take=None if take is None else torch.from_numpy(take),
        pick=torch.from_numpy(pick),
        cells=torch.from_numpy(np.sort(cell)),
        targets=torch.from_numpy(targets),
        size=total,
    )


def _columns(pick: Ints, rows: int, room: int) -> tuple[Ints | None, Ints]:
    """The wanted columns of each row, and where the picked cells are among them; not worth it if most are wanted."""
    row, column = np.divmod(pick, room)
    counts = np.bincount(row, minlength=rows)
    most = int(counts.max())
    if 2 * most > room:
        return None, pick
    rank = np.arange(len(pick)) - np.repeat(np.cumsum(counts) - counts, counts)
    take = np.zeros((rows, most), np.int64)
    take[row, rank] = column
    return take, row * most + rank

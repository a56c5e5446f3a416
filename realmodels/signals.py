"""Columns beside the label: the margin of an answer over what its relation alone suggests, P(True), popularity.

The margin is the theory's A_s - A_r as a model shows it: log p(answer | its own question) minus the mean of
log p(the same answer | the question about another subject of the relation). Far above zero the answer comes from
the subject; near zero from the relation; below zero the subject speaks against it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.exemplars import Draw
from realmodels.rows import Row
from realmodels.spans import subject_span
from realmodels.splits import group_of
from realmodels.stored import Sparse
from theory.schema import nearest

SIGNALS = ("margin", "p_true", "popularity")
OTHERS = 4  # other subjects a row
REACH = 64  # how many rows are looked at to find them
Swaps: TypeAlias = Mapping[int, tuple[str, ...]]


def checked_signals(names: Sequence[str]) -> tuple[str, ...]:
    """The wanted signals, in the order of `SIGNALS`."""
    for name in names:
        if name not in SIGNALS:
            raise RealmodelsError(f"--signals: unknown '{name}'{nearest(name, SIGNALS)}")
    return tuple(name for name in SIGNALS if name in names)


def swaps(rows: Sequence[Row], pool: Sequence[Row], draws: Iterable[Draw], seed: int = 0) -> Swaps:
    """For each row the same question about `OTHERS` other subjects of its relation; none where there is no other.

    Where the subject stands in the question it is exchanged, else the others' own questions are taken. Nobody
    whom the row's shots speak of is taken.
    """
    draws = list(draws)
    subject_of = _subjects(rows)
    spoken = subject_of if pool is rows else _subjects(pool)
    shown: list[frozenset[int]] = [frozenset(int(spoken[k]) for k in draw.shots) for draw in draws]
    behind = np.zeros(len(rows), np.int32)  # row -> its draw
    groups: dict[str, array[int]] = defaultdict(lambda: array("i"))
    for number, draw in enumerate(draws):
        behind[np.asarray(draw.rows, np.int32)] = number
        for i in draw.rows:
            relation = rows[i].relation
            groups[draw.group if relation is None else relation].append(i)
    found: Sparse[tuple[str, ...]] = Sparse(len(rows))
    for name, some in groups.items():
        members = np.sort(np.frombuffer(some, np.int32))
        hashes = array("Q", (_hash(seed, name, group_of(rows[i])) for i in members.tolist()))
        circle = members[np.argsort(np.frombuffer(hashes, np.uint64), kind="stable")]
        for place, i in enumerate(map(int, circle)):
            avoid = {int(subject_of[i]), *shown[behind[i]]}
            taken: list[str] = []
            for step in range(1, min(len(circle), REACH)):
                k = int(circle[(place + step) % len(circle)])
                if (about := int(subject_of[k])) not in avoid:
                    avoid.add(about)
                    taken.append(swapped(rows[i], rows[k]))
                    if len(taken) == OTHERS:
                        break
            if taken:
                found.put(i, tuple(taken))
    return found


def swapped(row: Row, other: Row) -> str:
    """The row's question about the other's subject, or the other's question where that cannot be said."""
    span = subject_span(row.question, row.subject) if row.subject and other.subject else None
    if span is None or not other.subject:
        return other.question
    return row.question[: span[0]] + other.subject + row.question[span[1] :]


def _subjects(rows: Sequence[Row]) -> NDArray[np.uint64]:
    """Equal where rows are about the same."""
    return np.frombuffer(array("Q", (_number(group_of(row)) for row in rows)), np.uint64)


def _hash(seed: int, group: str, about: str) -> int:
    return _number(f"{seed}\0{group}\0{about}")


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

"""Answers dealt anew within groups, so that they are false wherever that can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
TRIES = 64  # partners at random, which are nearly always enough
LARGE = (
    5_000  # rows of a group above which it is mended in another order, so that time grows with its rows alone
)


def deal(group: Ints, answers: Sequence[frozenset[str]], rng: np.random.Generator) -> Ints:
    """(n,) a random permutation within groups after which row i has the answers of row found[i], which share none with
    its own wherever swaps can bring that about. No answer stands for another: it is not a fixed relabelling."""
    found = np.arange(len(group))
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        found[rows] = rng.permutation(rows)
        (_mend if len(rows) <= LARGE else _mend_many)(_Dealt(rows, found, answers), rng)
    return found


class _Dealt:
    """The rows of a group and whose answers each has now."""

    def __init__(self, rows: Ints, found: Ints, answers: Sequence[frozenset[str]]) -> None:
        self.rows, self.found = rows, found
        several = Counter(answer for i in rows.tolist() for answer in answers[i])
        # what one row alone has is shared with no other
        self._answers = {i: frozenset(a for a in answers[i] if several[a] > 1) for i in rows.tolist()}

    def shares(self, i: int, other: int) -> bool:
        return i == other or not self._answers[i].isdisjoint(self._answers[other])

    def wrong(self, i: int) -> bool:
        return self.shares(i, int(self.found[i]))

    def state(self, i: int) -> tuple[frozenset[str], frozenset[str]]:
        """Rows of one state find the same partners."""
        return self._answers[i], self._answers[int(self.found[i])]

    def common(self, i: int) -> frozenset[str]:
        """What makes the row's answers right."""
        own, dealt = self.state(i)
        return own & dealt

    def may_help(self, j: int, answer: str) -> bool:
        """Whether it can take this answer from a row that has it, as far as this answer goes."""
        own, dealt = self.state(j)
        return answer not in dealt and (answer not in own or self.wrong(j))

    def mended(self, i: int, among: Iterable[int]) -> int | None:
        """Swap with the first that helps this row and does not harm itself, if there is one."""
        mine = int(self.found[i])
        for j in among:
            yours = int(self.found[j])
            if not self.shares(i, yours) and (not self.shares(j, mine) or self.shares(j, yours)):
                self.found[i], self.found[j] = yours, mine
                return j
        return None


def _mend(dealt: _Dealt, rng: np.random.Generator) -> None:
    """All partners are asked in the end, of each row in an order of its own."""
    rows, hopeless = dealt.rows, set[tuple[frozenset[str], frozenset[str]]]()
    for i in rows[rng.permutation(len(rows))].tolist():
        if not dealt.wrong(i):
            continue
        few, every = rng.choice(rows, TRIES), rng.permutation(rows)
        if dealt.state(i) in hopeless:
            continue
        if dealt.mended(i, [*few.tolist(), *every.tolist()]) is None:
            hopeless.add(dealt.state(i))
        else:
            hopeless.clear()


def _mend_many(dealt: _Dealt, rng: np.random.Generator) -> None:
    """Partners are looked for among those that may help with an answer: a list that is made once and kept up."""
    rows = dealt.rows
    order = rng.permutation(rows).tolist()
    helpers: dict[str, list[int]] = {}
    for i in rows[rng.permutation(len(rows))].tolist():
        if not dealt.wrong(i):
            continue
        j = dealt.mended(i, rng.choice(rows, TRIES).tolist())
        if j is None and (common := dealt.common(i)):
            for answer in common - helpers.keys():
                helpers[answer] = [j for j in order if dealt.may_help(j, answer)]
            j = _helped(dealt, i, min(common, key=lambda a: (len(helpers[a]), a)), helpers)
        elif j is None:
            j = dealt.mended(i, order)
        if j is not None:
            for some in helpers.values():  # their answers are others now: they may help
                some += (i, j)


def _helped(dealt: _Dealt, i: int, answer: str, helpers: dict[str, list[int]]) -> int | None:
    """Swap with one of those that may help with the answer, if there is one; who cannot any more goes from the list."""
    some, seen, found = helpers[answer], list[int](), None
    while some and found is None:
        if dealt.may_help(j := some.pop(), answer):
            seen.append(j)
            found = dealt.mended(i, [j])
    some += reversed(seen)
    return found

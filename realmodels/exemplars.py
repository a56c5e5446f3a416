"""Which solved questions stand before a question: of its relation, of its wording, or any.

Every prompt of a group of rows has a draw of its own, by content hash, so that neither the order of the file nor
a restart changes it. Nobody sees their own question or subject solved: rows that the draw speaks of get a second
draw, about other subjects. So a group costs one or two shared beginnings a prompt, whatever its size.
"""

from __future__ import annotations

import hashlib
import unicodedata
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.rows import Row
from realmodels.splits import group_of
from realmodels.stored import Hashes
from theory.schema import nearest

WAYS = ("auto", "relation", "nearest", "random")
COMMON = 0.01  # a word is part of the wording if this share of the questions has it, and at least five
BUCKETS = 1 << 20  # counters that words share until it is known which can be common
Numbers = NDArray[np.uint64]
Places = NDArray[np.int32]


@dataclass(frozen=True)
class Draw:
    """Solved questions (positions in the pool) that stand before these rows (positions in the data).

    `source` says where they are from: relation, nearest, random, or mixed where a small group was filled up.
    """

    prompt: int
    group: str
    source: str
    shots: tuple[int, ...]
    rows: array[int]


def draws(
    rows: Sequence[Row],
    pool: Sequence[Row],
    *,
    prompts: int,
    shots: int = 4,
    way: str = "auto",
    seed: int = 0,
) -> list[Draw]:
    """All draws, prompt by prompt; every row is in exactly one of each prompt."""
    return list(each_draw(rows, pool, prompts=prompts, shots=shots, way=way, seed=seed))


def each_draw(
    rows: Sequence[Row], pool: Sequence[Row], *, prompts: int, shots: int, way: str, seed: int
) -> Iterator[Draw]:
    """The same one at a time. Of each row a few hashes are held."""
    if way not in WAYS:
        raise RealmodelsError(f"--exemplars: unknown '{way}'{nearest(way, WAYS)}")
    if prompts < 1 or shots < 0:
        raise RealmodelsError(f"exemplars: {prompts} prompts of {shots} shots; expected at least 1 and 0")
    if not shots and prompts > 1:
        raise RealmodelsError("--shots 0: without shots all prompts are the same; add --prompts 1")
    groups = grouped(rows, pool, shots, way)
    keys = _Keys(rows, pool)
    base = _array64(_hash(f"{seed}\0{row.question}\0{row.answers[0]}") for row in pool)
    everyone = np.arange(len(pool), dtype=np.int32)
    for prompt in range(prompts):
        filler = lru_cache(partial(_ordered, everyone, base, _hash(f"{prompt}\0filler")))
        for group in groups:
            order = _ordered(group.pool, base, _hash(f"{prompt}\0{group.name}"))
            for source, chosen, who in _assign(group, order, filler, keys, shots):
                yield Draw(prompt, group.name, source, chosen, who)


@dataclass(frozen=True)
class Group:
    """Rows that can stand before each other, and why."""

    name: str
    source: str
    rows: Places
    pool: Places


def grouped(rows: Sequence[Row], pool: Sequence[Row], shots: int, way: str = "auto") -> list[Group]:
    """Rows by relation, else by wording, else all together; `way` other than auto allows only that one."""
    left = np.ones(len(rows), bool)
    groups: list[Group] = []
    if way in ("auto", "relation"):
        names: dict[str, int] = {}
        by = _coded(names, (row.relation for row in rows))
        of = by if pool is rows else _coded(names, (row.relation for row in pool))
        if way == "relation" and (by < 0).any():
            without = rows[int(np.flatnonzero(by < 0)[0])]
            raise RealmodelsError(
                f"{without.at}: field 'relation': this row has none, so no exemplars of its "
                "relation; say --exemplars auto, or --map relation=COLUMN"
            )
        told = list(names)
        groups += _groups("relation", by, of, lambda i: told[by[i]], least=2)
    if way in ("auto", "nearest"):
        for group in groups:
            left[group.rows] = False
        groups += _alike(rows, pool, left, shots)
    left[:] = True
    for group in groups:
        left[group.rows] = False
    if left.any():
        others = np.flatnonzero(left).astype(np.int32)
        groups.append(Group("", "random", others, np.arange(len(pool), dtype=np.int32)))
    return groups


def _alike(rows: Sequence[Row], pool: Sequence[Row], left: NDArray[np.bool_], shots: int) -> list[Group]:
    """Groups of the rows that are left, by wording."""
    if not left.any():
        return []
    mine = np.flatnonzero(left).tolist()

    def texts() -> Iterator[str]:
        yield from (row.question for row in pool)
        if pool is not rows:
            yield from (rows[i].question for i in mine)

    common = _common_words(texts)
    of = _array64(_hash(wording(row.question, common)) >> 1 for row in pool).astype(np.int64)
    by = np.full(len(rows), -1, np.int64)
    if pool is rows:
        by[left] = of[left]
    else:
        by[left] = _array64(_hash(wording(rows[i].question, common)) >> 1 for i in mine)
    found = _groups("nearest", by, of, lambda i: wording(rows[i].question, common), least=shots + 1)
    return [group for group in found if not set(group.name) <= {"_", " ", "?"}]


def wording(question: str, common: frozenset[str]) -> str:
    """The question with its rarer words left out: equal for questions made from one template."""
    words = ["_" if word not in common else word for word in _words(question)]
    return " ".join(w for i, w in enumerate(words) if w != "_" or i == 0 or words[i - 1] != "_")


def _common_words(texts: Callable[[], Iterator[str]]) -> frozenset[str]:
    """Words that enough of the texts hold. These are gone through twice: words are counted together with others of
    their bucket first, then one by one if that was enough."""
    buckets, different = array("i", bytes(4 * BUCKETS)), 0
    for different, text in enumerate(_once(texts()), 1):  # noqa: B007
        for word in set(_words(text)):
            buckets[zlib.crc32(word.encode()) % BUCKETS] += 1
    least = max(5.0, COMMON * different)
    counts = Counter(
        word
        for text in _once(texts())
        for word in set(_words(text))
        if buckets[zlib.crc32(word.encode()) % BUCKETS] >= least
    )
    return frozenset(word for word, count in counts.items() if count >= least)


def _once(texts: Iterable[str]) -> Iterator[str]:
    seen = Hashes()
    return (text for text in texts if seen.add(_hash(text) or 1))


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().replace("?", " ?").split()


def _groups(
    source: str, by: NDArray[Any], of: NDArray[Any], name: Callable[[int], str], least: int
) -> list[Group]:
    """One group a code (-1 is none) that at least `least` of the pool share, in order of the first row's name."""
    asked, members = (np.argsort(codes, kind="stable").astype(np.int32) for codes in (by, of))
    codes, first, count = np.unique(by[asked], return_index=True, return_counts=True)
    low, high = (np.searchsorted(of[members], codes, side) for side in ("left", "right"))
    found = [
        Group(name(int(asked[first[k]])), source, asked[first[k] :][: count[k]], members[low[k] : high[k]])
        for k in np.flatnonzero((codes >= 0) & (high - low >= least)).tolist()
    ]
    return sorted(found, key=lambda group: group.name)


class _Keys:
    """What a row is about, hashed: two rows that share any of it must not stand before each other."""

    def __init__(self, rows: Sequence[Row], pool: Sequence[Row]) -> None:
        self.rows = _About(rows)
        self.pool = self.rows if pool is rows else _About(pool)

    def of(self, shots: Iterable[int]) -> frozenset[int]:
        return frozenset(key for i in shots for key in self.pool[i])

    def take(self, order: Iterable[int], count: int, avoid: frozenset[int]) -> tuple[int, ...]:
        """The first `count` of the pool that are about nothing in `avoid` and not about the same twice."""
        taken: list[int] = []
        seen = set(avoid)
        for i in order:
            if len(taken) == count:
                break
            if seen.isdisjoint(about := self.pool[i]):
                taken.append(int(i))
                seen |= about
        return tuple(taken)


class _About:
    """The question of each row and its subject, if it has one."""

    def __init__(self, rows: Sequence[Row]) -> None:
        questions, subjects = array("Q"), array("Q")
        for row in rows:
            questions.append(_hash("question:" + " ".join(_words(row.question))))
            subjects.append(_hash(group_of(row)) if row.subject else questions[-1])
        self._columns = questions, subjects

    def __getitem__(self, i: int) -> frozenset[int]:
        return frozenset(column[i] for column in self._columns)

    def share(self, rows: Places, some: frozenset[int]) -> NDArray[np.bool_]:
        """[rows] Whether each is about any of these."""
        wanted = np.array(sorted(some), np.uint64)
        one, two = (np.isin(np.frombuffer(column, np.uint64)[rows], wanted) for column in self._columns)
        return np.asarray(one | two)


def _assign(
    group: Group, order: Places, filler: Callable[[], Places], keys: _Keys, shots: int
) -> Iterator[tuple[str, tuple[int, ...], array[int]]]:
    """(source, shots, rows): one draw for most, a second about other subjects for those of whom the first speaks."""
    first = keys.take(order, shots, frozenset())
    shown = keys.of(first)
    met = keys.rows.share(group.rows, shown)
    second = keys.take(order, shots, shown) if met.any() else ()
    if len(first) == shots and (not met.any() or len(second) == shots):
        for chosen, who in ((first, group.rows[~met]), (second, group.rows[met])):
            if len(who):
                yield group.source, chosen, array("i", who.tobytes())
        return
    alike: dict[tuple[str, tuple[int, ...]], array[int]] = defaultdict(lambda: array("i"))
    for i in map(int, group.rows):
        own = keys.take(order, shots, keys.rows[i])
        less = shots - len(own)
        more = keys.take(filler(), less, keys.of(own) | keys.rows[i]) if less else ()
        # strangers first: the nearest example is the last one read
        source = group.source if not more else "mixed" if own else "random"
        alike[source, more + own].append(i)
    for (source, chosen), these in alike.items():
        yield source, chosen, these


def _ordered(members: Places, base: Numbers, salt: int) -> Places:
    """The members in an order that looks random and depends on contents alone (equal contents: on position)."""
    return members[np.argsort(_mixed(base[members] ^ np.uint64(salt)), kind="stable")]


def _mixed(x: Numbers) -> Numbers:
    """splitmix64's finaliser: neighbouring integers become unrelated ones."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _array64(numbers: Iterable[int]) -> Numbers:
    return np.frombuffer(array("Q", numbers), np.uint64)


def _coded(names: dict[str, int], texts: Iterable[str | None]) -> Places:
    """Numbers for texts in order of appearance, -1 for none."""
    some = (-1 if text is None else names.setdefault(text, len(names)) for text in texts)
    return np.frombuffer(array("i", some), np.int32)

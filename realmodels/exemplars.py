"""Which solved questions stand before a question: of its relation, of its wording, or any.

Every prompt of a group of rows has a draw of its own, by content hash, so that neither the order of the file nor
a restart changes it. Nobody sees their own question or subject solved: rows that the draw speaks of get a second
draw, about other subjects. So a group costs one or two shared beginnings a prompt, whatever its size.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.rows import Row
from realmodels.splits import group_of
from theory.schema import nearest

WAYS = ("auto", "relation", "nearest", "random")
COMMON = 0.01  # a word is part of the wording if this share of the questions has it, and at least five
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Draw:
    """Solved questions (positions in the pool) that stand before these rows (positions in the data).

    `source` says where they are from: relation, nearest, random, or mixed where a small group was filled up.
    """

    prompt: int
    group: str
    source: str
    shots: tuple[int, ...]
    rows: tuple[int, ...]


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
    if way not in WAYS:
        raise RealmodelsError(f"--exemplars: unknown '{way}'{nearest(way, WAYS)}")
    if prompts < 1 or shots < 0:
        raise RealmodelsError(f"exemplars: {prompts} prompts of {shots} shots; expected at least 1 and 0")
    if not shots and prompts > 1:
        raise RealmodelsError("--shots 0: without shots all prompts are the same; add --prompts 1")
    groups = grouped(rows, pool, shots, way)
    keys = _Keys(rows, pool)
    base = np.array([_hash(f"{seed}\0{row.question}\0{row.answers[0]}") for row in pool], np.uint64)
    everyone = np.arange(len(pool))
    found = []
    for prompt in range(prompts):
        filler = _ordered(everyone, base, _hash(f"{prompt}\0filler"))
        for group in groups:
            order = _ordered(group.pool, base, _hash(f"{prompt}\0{group.name}"))
            for source, chosen, who in _assign(group, order, filler, keys, shots):
                found.append(Draw(prompt, group.name, source, chosen, who))
    return found


@dataclass(frozen=True)
class Group:
    """Rows that can stand before each other, and why."""

    name: str
    source: str
    rows: tuple[int, ...]
    pool: NDArray[np.int64]


def grouped(rows: Sequence[Row], pool: Sequence[Row], shots: int, way: str = "auto") -> list[Group]:
    """Rows by relation, else by wording, else all together; `way` other than auto allows only that one."""
    left = set(range(len(rows)))
    groups: list[Group] = []
    if way in ("auto", "relation"):
        by = {i: name for i in left if (name := rows[i].relation) is not None}
        of = {i: name for i, row in enumerate(pool) if (name := row.relation) is not None}
        if way == "relation" and len(by) < len(rows):
            without = rows[min(left - set(by))]
            raise RealmodelsError(
                f"{without.at}: field 'relation': this row has none, so no exemplars of its "
                "relation; say --exemplars auto, or --map relation=COLUMN"
            )
        groups += _groups("relation", by, of, least=2)
    if way in ("auto", "nearest"):
        left -= {i for group in groups for i in group.rows}
        texts = {i: rows[i].question for i in left}
        others = {i: row.question for i, row in enumerate(pool)}
        common = _common_words([*texts.values(), *others.values()])
        by = {i: wording(text, common) for i, text in texts.items()}
        of = {i: wording(text, common) for i, text in others.items()}
        groups += _groups("nearest", by, of, least=shots + 1)
    left = set(range(len(rows))) - {i for group in groups for i in group.rows}
    if left:
        groups.append(Group("", "random", tuple(sorted(left)), np.arange(len(pool))))
    return groups


def wording(question: str, common: frozenset[str]) -> str:
    """The question with its rarer words left out: equal for questions made from one template."""
    words = ["_" if word not in common else word for word in _words(question)]
    return " ".join(w for i, w in enumerate(words) if w != "_" or i == 0 or words[i - 1] != "_")


def _common_words(questions: Sequence[str]) -> frozenset[str]:
    counts = Counter(word for question in set(questions) for word in set(_words(question)))
    least = max(5.0, COMMON * len(set(questions)))
    return frozenset(word for word, count in counts.items() if count >= least)


def _words(text: str) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().replace("?", " ?").split()


def _groups(source: str, by: dict[int, str], of: dict[int, str], least: int) -> Iterator[Group]:
    """One group a name that at least `least` of the pool share, in order of name."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, name in of.items():
        members[name].append(i)
    asked: dict[str, list[int]] = defaultdict(list)
    for i, name in by.items():
        asked[name].append(i)
    for name in sorted(asked):
        if len(members[name]) >= least and not (source == "nearest" and set(name) <= {"_", " ", "?"}):
            yield Group(name, source, tuple(sorted(asked[name])), np.array(sorted(members[name])))


class _Keys:
    """What a row is about: two rows that share any of it must not stand before each other."""

    def __init__(self, rows: Sequence[Row], pool: Sequence[Row]) -> None:
        self.rows = [_about(row) for row in rows]
        self.pool = [_about(row) for row in pool]

    def of(self, shots: Iterable[int]) -> frozenset[str]:
        return frozenset(key for i in shots for key in self.pool[i])

    def take(self, order: Iterable[int], count: int, avoid: frozenset[str]) -> tuple[int, ...]:
        """The first `count` of the pool that are about nothing in `avoid` and not about the same twice."""
        taken: list[int] = []
        seen = set(avoid)
        for i in order:
            if len(taken) == count:
                break
            if seen.isdisjoint(self.pool[i]):
                taken.append(int(i))
                seen |= self.pool[i]
        return tuple(taken)


def _about(row: Row) -> frozenset[str]:
    question = "question:" + " ".join(_words(row.question))
    return frozenset((group_of(row), question)) if row.subject else frozenset((question,))


def _assign(
    group: Group, order: NDArray[np.int64], filler: NDArray[np.int64], keys: _Keys, shots: int
) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """(source, shots, rows): one draw for most, a second about other subjects for those of whom the first speaks."""
    first = keys.take(order, shots, frozenset())
    shown = keys.of(first)
    clear = tuple(i for i in group.rows if shown.isdisjoint(keys.rows[i]))
    met = tuple(i for i in group.rows if not shown.isdisjoint(keys.rows[i]))
    second = keys.take(order, shots, shown) if met else ()
    if len(first) == shots and (not met or len(second) == shots):
        if clear:
            yield group.source, first, clear
        if met:
            yield group.source, second, met
        return
    alike: dict[tuple[str, tuple[int, ...]], list[int]] = defaultdict(list)
    for i in group.rows:
        own = keys.take(order, shots, keys.rows[i])
        more = keys.take(filler, shots - len(own), keys.of(own) | keys.rows[i])
        # strangers first: the nearest example is the last one read
        source = group.source if not more else "mixed" if own else "random"
        alike[source, more + own].append(i)
    for (source, chosen), who in alike.items():
        yield source, chosen, tuple(who)


def _ordered(members: NDArray[np.int64], base: Hashes, salt: int) -> NDArray[np.int64]:
    """The members in an order that looks random and depends on contents alone (equal contents: on position)."""
    return members[np.argsort(_mixed(base[members] ^ np.uint64(salt)), kind="stable")]


def _mixed(x: Hashes) -> Hashes:
    """splitmix64's finaliser: neighbouring integers become unrelated ones."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

"""The facts of a study: up to as many of every relation of one or several sources, the same on any machine.

python -m realmodels.study_rows ENTITYQUESTIONS/train.jsonl.gz RELATIONS --relations P17 "company hq" > rows.jsonl
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.rows import Row, iter_rows
from theory.schema import nearest


@dataclass(frozen=True)
class Draw:
    """`per_relation` facts of each of these `relations` (none named: of all). Another `salt` draws others.

    A row with several answers tells less about what a training row taught, so `single` leaves those out.
    """

    per_relation: int = 200
    relations: tuple[str, ...] = ()
    single: bool = True
    salt: str = ""


@dataclass(frozen=True)
class Fact:
    """A row of any source in the columns that every command reads."""

    id: str
    question: str
    answers: tuple[str, ...]
    subject: str
    relation: str
    source: str
    popularity: float | None = None

    def row(self) -> dict[str, Any]:
        """As a line of rows.jsonl; popularity where the source has it."""
        return {
            "id": self.id,
            "question": self.question,
            "answers": list(self.answers),
            "subject": self.subject,
            "relation": self.relation,
            "source": self.source,
            **({} if self.popularity is None else {"popularity": self.popularity}),
        }


def gather(sources: Sequence[str | Path], draw: Draw) -> tuple[Fact, ...]:
    """The facts of a study, relation after relation in the order named (else by name).

    Chosen are the facts whose contents hash lowest, so more data moves none without a better claim. Of several
    rows about one subject and relation the lowest stays; rows without subject or relation cannot be used.
    """
    if draw.per_relation < 1:
        raise RealmodelsError(f"--per-relation: expected at least 1 fact, got {draw.per_relation}")
    if not sources:
        raise RealmodelsError("--data: no source is named; expected at least one file or folder")
    lowest: dict[str, dict[str, tuple[int, Fact]]] = {}
    seen: set[str] = set()
    for source in sources:
        for row in iter_rows(source):
            seen.add(str(row.relation))
            if fact := _fact(row, draw):
                _keep(lowest.setdefault(fact.relation, {}), fact, draw)
    for name in draw.relations:
        if name not in lowest:
            why = "no row with a subject and one answer is of it" if name in seen else "is in no source"
            raise RealmodelsError(f"--relations: '{name}' {why}{nearest(name, seen - {name})}")
    if not lowest:
        raise RealmodelsError(
            f"{', '.join(map(str, sources))}: no row has both a subject and a relation"
            f"{' and a single answer' * draw.single}; --map names the columns of a file that `audit` reads"
        )
    return tuple(
        fact
        for relation in draw.relations or sorted(lowest)
        for _, fact in heapq.nsmallest(
            draw.per_relation, lowest[relation].values(), key=lambda pair: (pair[0], pair[1].id)
        )
    )


def _fact(row: Row, draw: Draw) -> Fact | None:
    if row.subject is None or row.relation is None or (draw.single and len(row.answers) > 1):
        return None
    if draw.relations and row.relation not in draw.relations:
        return None
    return Fact(
        row.id, row.question, row.answers, row.subject, row.relation, Path(row.source).name, row.popularity
    )


def _keep(known: dict[str, tuple[int, Fact]], fact: Fact, draw: Draw) -> None:
    """Remember the fact if none of its subject hashes lower; forget what can no longer be drawn."""
    place = _place(fact, draw.salt)
    subject = fact.subject.casefold()
    if subject not in known or place < known[subject][0]:
        known[subject] = (place, fact)
    if len(known) > 8 * draw.per_relation + 1000:
        kept = heapq.nsmallest(4 * draw.per_relation, known.items(), key=lambda pair: pair[1][0])
        known.clear()
        known.update(kept)


def _place(fact: Fact, salt: str) -> int:
    said = json.dumps([salt, fact.relation, fact.subject, fact.question, fact.answers], ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")


def lines(facts: Sequence[Fact]) -> Iterator[str]:
    """rows.jsonl, a line a fact."""
    for fact in facts:
        yield json.dumps(fact.row(), ensure_ascii=False) + "\n"


def main(words: Sequence[str]) -> None:
    usual = Draw(per_relation=110)
    parser = argparse.ArgumentParser(prog="python -m realmodels.study_rows", description=gather.__doc__)
    parser.add_argument("data", nargs="+", help="files or folders that audit reads")
    parser.add_argument("--relations", nargs="+", default=(), help="of these alone, in this order")
    parser.add_argument("--per-relation", type=int, default=usual.per_relation, help="at most (%(default)s)")
    parser.add_argument("--salt", default=usual.salt, help="another one draws others")
    said = parser.parse_intermixed_args(words)
    sys.stdout.writelines(
        lines(gather(said.data, Draw(said.per_relation, tuple(said.relations), salt=said.salt)))
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RealmodelsError as problem:
        raise SystemExit(str(problem)) from None

"""The table that `study beliefs` needs, from questions: people about whom there are several facts.

python -m realmodels.study_people ENTITYQUESTIONS_FOLDER > people.jsonl
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from realmodels.entityquestions import SPLITS
from realmodels.errors import RealmodelsError
from realmodels.rows import Row, iter_rows

KIND = "kind"  # the column that says musician or other
PERSON = {
    "P19": "birthplace",
    "P20": "place of death",
    "P26": "spouse",
    "P40": "child",
    "P69": "school",
    "P106": "occupation",
    "P136": "genre",
    "P264": "record label",
    "P413": "playing position",
}
MUSIC = frozenset({"P136", "P264"})  # who has one of these is a musician
ONE = frozenset({"P19", "P20"})  # of which a person has one; two answers are two people of one name
LEAST = 3  # facts about a person


def table(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows of `study beliefs`, person after person by name: whoever has at least so many facts, and one name for one
    person as far as two birthplaces or places of death can tell."""
    first: dict[str, dict[str, Row]] = {}
    answers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.relation in PERSON and row.subject:
            first.setdefault(row.subject, {}).setdefault(row.relation, row)
            own = answers.setdefault((row.subject, row.relation), [])
            own += [name for name in row.answers if name not in own]
    for name, facts in sorted(first.items()):
        if len(facts) < LEAST or any(len(answers[name, one]) > 1 for one in ONE & facts.keys()):
            continue
        for relation, row in sorted(facts.items()):
            yield {
                "question": row.question,
                "answers": answers[name, relation],
                "subject": name,
                "relation": PERSON[relation],
                KIND: "musician" if MUSIC & facts.keys() else "other",
            }


def main(words: Sequence[str]) -> None:
    if len(words) != 1:
        raise RealmodelsError(f"study_people: expected the folder of EntityQuestions, got {len(words)} words")
    for line in table(row for part in SPLITS for row in iter_rows(Path(words[0]) / f"{part}.jsonl.gz")):
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RealmodelsError as problem:
        raise SystemExit(str(problem)) from None

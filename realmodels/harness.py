"""What the task files for lm-evaluation-harness call: rows by our readers, answers by our matchers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.rows import read_rows
from theory.matching import match, token_f1

POPQA = "hub:akariasai/PopQA:test"
RULES = ("contains", "normalized")


def popqa(data: str | None = None, limit: int | None = None, **_: Any) -> dict[str, Any]:
    """PopQA from `data`, its TSV or rows with its columns; without it from the hub."""
    return {"test": _dataset(documents(data or POPQA, limit))}


def entityquestions(data: str | None = None, limit: int | None = None, **_: Any) -> dict[str, Any]:
    """EntityQuestions from `data`: a folder of `P36.test.json` files, one of them, or rows as JSON lines."""
    if data is None:
        raise RealmodelsError(
            'entityquestions: where are its files? Add --metadata \'{"data": "dataset/test"}\''
        )
    return {"test": _dataset(documents(data, limit))}


def score(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Of one generated answer: PopQA's rule, equality in SQuAD's form, and the best F1 over the words."""
    said, answers = results[0], doc["answers"]
    return {rule: float(match(said, answers, rule)) for rule in RULES} | {"f1": token_f1(said, answers)}


def documents(source: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows as the task files read them."""
    return [
        {
            "id": row.id,
            "question": row.question,
            "answers": list(row.answers),
            "subject": row.subject or "",
            "relation": row.relation or "",
        }
        for row in read_rows(source, limit=limit).rows
    ]


def _dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset  # the harness brings it

    return Dataset.from_list(rows)

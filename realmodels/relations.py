"""Factual relations as JSON: one file a relation, with its templates and its pairs of subject and object."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.tables import Layout, Raw, kind_of
from realmodels.texts import read_json
from theory.schema import shown


def layout(path: Path) -> Layout | None:
    """A relation's file or a folder of them. Its rows become plain JSON lines, for pairs hold no question."""
    if path.is_dir():
        files = [file for file in sorted(path.glob("*.json")) if _holds_relation(file)]
    else:
        files = [path] if kind_of(path) == "json" and _holds_relation(path) else []
    return Layout(f"{path}", "relations", "jsonl", lambda: _all(files)) if files else None


def read_relation(path: Path) -> list[dict[str, Any]]:
    """The pairs of a file as rows: subject, object, relation, question (its first template), answers."""
    data = read_json(path)
    name, templates, samples = (data.get(key) for key in ("name", "prompt_templates", "samples"))
    if not isinstance(name, str):
        raise RealmodelsError(f"{path}: field 'name': expected the relation's name, got {shown(name)}")
    first = templates[0] if isinstance(templates, list) and templates else None
    if not isinstance(first, str) or "{}" not in first:
        raise RealmodelsError(
            f"{path}: field 'prompt_templates': expected texts with {{}} for the subject, got {shown(templates)}"
        )
    if not isinstance(samples, list):
        raise RealmodelsError(f"{path}: field 'samples': expected a list of pairs, got {shown(samples)}")
    rows = []
    for place, pair in enumerate(samples):
        pair = pair if isinstance(pair, dict) else {}
        subject, answer = pair.get("subject"), pair.get("object")
        if not isinstance(subject, str) or not isinstance(answer, str):
            raise RealmodelsError(
                f"{path}: sample {place + 1}: expected strings in 'subject' and 'object', got {shown(samples[place])}"
            )
        question = first.replace("{}", subject)
        rows.append({**pair, "relation": name, "question": question, "answers": [answer]})
    return rows


def _holds_relation(path: Path) -> bool:
    data = read_json(path)
    return isinstance(data, dict) and {"name", "prompt_templates", "samples"} <= set(data)


def _all(files: list[Path]) -> Iterator[Raw]:
    for path in files:
        for row in read_relation(path):
            yield Raw(f"{path}", 0, row)

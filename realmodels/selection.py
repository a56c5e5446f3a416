"""Selected rows written as files of the source's own kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from realmodels.arms import Arm
from realmodels.audited import KNOWLEDGE, Audited, Ints, sha256
from realmodels.errors import RealmodelsError
from realmodels.stored import Stored
from realmodels.tables import KINDS, write_table
from theory.files import write_whole

ENDINGS: Mapping[str, str] = {"jsonl": "jsonl", "json": "json", "csv": "csv", "tsv": "tsv", "csv-bare": "csv"}


def ending(audited: Audited) -> str:
    return ENDINGS[audited.source.kind]


def check_name(audited: Audited, path: Path) -> None:
    """The name must not promise another kind of file than the source's."""
    said = [KINDS[part.lower()] for part in path.suffixes if part.lower() in KINDS]
    if said and said[-1] != ending(audited):
        raise RealmodelsError(
            f"--output {path}: the audited rows are {ending(audited).upper()} and are written as such; "
            f"name it {path.with_suffix('.' + ending(audited)).name}"
        )


def write_rows(path: Path, audited: Audited, rows: Ints, with_knowledge: bool) -> dict[str, Any]:
    """The original rows, columns and order untouched; what the manifest says of the file."""
    return _write(path, audited, (row for _, row in audited.originals(rows)), with_knowledge)


def write_arm(path: Path, audited: Audited, arm: Arm, with_knowledge: bool) -> dict[str, Any]:
    """The rows of an arm; a permuted one has the answers of its rows moved about and nothing else."""
    if arm.answers is None:
        return write_rows(path, audited, arm.rows, with_knowledge)
    column = _answers_column(audited, next(line for _, line in audited.originals(arm.rows[:1])))
    said = Stored(line[column] for _, line in audited.originals(arm.rows))
    places = np.searchsorted(arm.rows, arm.answers).tolist()
    lines = (line for _, line in audited.originals(arm.rows))
    moved = (line | {column: said[place]} for line, place in zip(lines, places, strict=True))
    return _write(path, audited, moved, with_knowledge) | {"answers_moved_in": column}


def put_manifest(path: Path, audited: Audited, text: str) -> None:
    """Write the manifest, unless the audit changed under the selection."""
    if sha256(audited.path) != audited.fingerprint:
        raise RealmodelsError(f"{audited.path}: it changed while it was read; run the command again")
    write_whole(path, text)


def _write(
    path: Path, audited: Audited, rows: Iterable[Mapping[str, Any]], with_knowledge: bool
) -> dict[str, Any]:
    kind, columns = audited.source.kind, audited.source.columns
    if kind == "csv-bare" and len(audited.relations) > 1:
        # the rows of several files, whose names said the relation: it gets a column, and columns need a header
        kind, columns = "csv", (*columns, "relation")
        rows = ({**row, "relation": row[KNOWLEDGE].get("relation")} for row in rows)
    if with_knowledge and kind == "csv-bare":
        raise RealmodelsError(
            "--with-knowledge: these CSV rows have no header, so there is no place for a new column"
        )
    columns = (*columns, KNOWLEDGE) if with_knowledge else columns
    kept = (row if with_knowledge else {k: v for k, v in row.items() if k != KNOWLEDGE} for row in rows)
    count = write_table(path, kind, columns, kept)
    return {"name": path.name, "rows": count, "sha256": sha256(path)}


def _answers_column(audited: Audited, row: Mapping[str, Any]) -> str:
    """The source's column of accepted answers: as the audit was told, else by the names that known data sets use."""
    told = audited.source.names.get("answers")
    for column in (told,) if told else ("answers", "possible_answers", "object", "answer"):
        if column in row:
            return column
    raise RealmodelsError(
        f"{audited.path}: arm 'known-permuted': which column holds the answers? The rows have {', '.join(row)}; "
        "audit again with --map answers=COLUMN"
    )

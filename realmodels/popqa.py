"""PopQA: the official table of 17 columns, or any part of it that keeps the names of the columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from realmodels.tables import DELIMITERS, Layout, Raw, first_cells, kind_of, read_table

NAMES: Mapping[str, str] = {
    "answers": "possible_answers",  # a JSON list in a string
    "subject": "subj",
    "relation": "prop",
    "popularity": "s_pop",  # monthly page views of the subject
}


def names_for(columns: Collection[str]) -> Mapping[str, str]:
    """PopQA's names for our fields if these are its columns, else none."""
    return NAMES if {"question", *NAMES.values()} <= set(columns) else {}


def layout(path: Path) -> Layout | None:
    """A CSV, TSV, JSON or JSON-lines file with PopQA's columns."""
    if path.is_dir() or (kind := kind_of(path)) == "text":
        return None
    columns = first_cells(path) if kind in DELIMITERS else next(read_table(path, kind), (0, {}))[1]
    if not names_for(columns):
        return None

    def rows() -> Iterator[Raw]:
        for line, row in read_table(path, kind):
            yield Raw(f"{path}", line, row)

    return Layout(f"{path}", "popqa", kind, rows, NAMES)

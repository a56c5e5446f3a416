"""Strict readers and writers of JSON lines, JSON lists, CSV and TSV, plain or gzipped.

A reader gives rows with the line they start on and complains in one line that names file, line and remedy.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.texts import LINE_LIMIT, lines, parsed, read_json
from theory.files import whole_file
from theory.schema import bare, quoted, shown

KINDS: Mapping[str, str] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}
DELIMITERS: Mapping[str, str] = {"csv": ",", "tsv": "\t", "csv-bare": ","}

Rows = Iterator[tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Raw:
    """A row not yet checked: where it stands, what it is, and the fields that its layout says more about."""

    source: str
    line: int
    original: dict[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How a source is read. `kind` is what its rows are written back as; `names` are columns for our fields."""

    source: str
    adapter: str
    kind: str
    rows: Callable[[], Iterator[Raw]]
    names: Mapping[str, str] = field(default_factory=dict)


def kind_of(path: Path) -> str:
    """jsonl, json, csv, tsv or text, by the file's name; without a known ending by its first character."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    if endings and endings[-1] in KINDS:
        return KINDS[endings[-1]]
    opening = next((text.strip()[0] for _, text in lines(path) if text.strip()), "")
    if opening in ("{", "["):
        return "jsonl" if opening == "{" else "json"
    raise RealmodelsError(
        f"{path}: unknown kind of file; name it {', '.join(KINDS)}, with .gz if it is zipped"
    )


def read_table(path: Path, kind: str | None = None, columns: Sequence[str] = ()) -> Rows:
    """(line, row) of a file, one at a time; the line is 0 where rows have none of their own (a JSON list).

    `columns` names the fields of a csv-bare file, the kind without a header.
    """
    kind = kind or kind_of(path)
    if kind == "jsonl":
        return _json_lines(path)
    if kind == "json":
        return _json_list(path)
    if kind in DELIMITERS:
        return _separated(path, kind, columns)
    raise RealmodelsError(f"{path}: plain text holds no questions and answers; give JSONL, JSON, CSV or TSV")


def write_table(
    path: str | Path, kind: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> int:
    """Write rows as a file of this kind, whole or not at all, zipped where the name ends in .gz; how many."""
    pieces = 0
    with whole_file(path, "wb") as file:
        zipped = gzip.GzipFile("", "wb", 6, file, 0) if Path(path).suffix == ".gz" else None
        for text in _pieces(kind, columns, rows):
            (zipped or file).write(text.encode())
            pieces += 1
        if zipped:
            zipped.close()
    return pieces - 1


def first_cells(path: Path) -> list[str]:
    """The first row of a CSV or TSV file, be it a header or not."""
    texts = (text for _, text in lines(path))
    try:
        return next(csv.reader(texts, delimiter=DELIMITERS.get(kind_of(path), ",")), [])
    except csv.Error:
        return []  # the strict reader will say where and why


def _json_lines(path: Path) -> Rows:
    for number, text in lines(path):
        if not text.strip():
            continue
        row = parsed(f"{path}", number, text)
        if not isinstance(row, dict):
            raise RealmodelsError(f"{path}:{number}: expected an object a line, got {shown(row)}")
        yield number, row


def _json_list(path: Path) -> Rows:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise RealmodelsError(
            f"{path}: expected a list of objects, got {shown(rows)}; is it JSON lines (.jsonl)?"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RealmodelsError(f"{path}: item {number + 1}: expected an object, got {shown(row)}")
        yield 0, row


def _separated(path: Path, kind: str, columns: Sequence[str]) -> Rows:
    csv.field_size_limit(LINE_LIMIT)
    place = _Place(lines(path))
    reader = csv.reader(place, delimiter=DELIMITERS[kind], strict=True)
    header = [] if kind != "csv-bare" else list(columns)
    while True:
        start = place.line + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise RealmodelsError(
                f"{path}:{start}: not valid {kind.upper()[:3]}: {error}; a field with a separator, a quote or a line "
                'end stands in "...", with quotes inside doubled'
            ) from None
        if cells is None:
            return
        if not cells:
            continue
        if not header:
            header = _header(path, start, cells)
            continue
        if len(cells) != len(header):
            raise RealmodelsError(
                f"{path}:{start}: expected {len(header)} fields ({', '.join(map(bare, header))}), got {len(cells)}"
            )
        yield start, dict(zip(header, cells, strict=True))


class _Place:
    """The lines as text, with the number of the last one given out."""

    def __init__(self, numbered: Iterator[tuple[int, str]]) -> None:
        self.numbered, self.line = numbered, 0

    def __iter__(self) -> Iterator[str]:
        for line, text in self.numbered:
            self.line = line
            yield text


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    for place, name in enumerate(cells):
        if not name.strip():
            raise RealmodelsError(f"{path}:{line}: column {place + 1} of the header has no name; give it one")
        if name in cells[:place]:
            raise RealmodelsError(f"{path}:{line}: the header names column {quoted(name)} twice; rename one")
    return cells


def _pieces(kind: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The text before the first row, then one piece a row; a JSON list is closed with its last."""
    if kind == "jsonl":
        yield ""
        for row in rows:
            yield json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    elif kind == "json":
        texts = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        text = next(texts, None)
        yield "[" if text else "[]\n"
        first = True
        while text:
            following = next(texts, None)
            yield ("\n" if first else ",\n") + text + ("" if following else "\n]\n")
            text, first = following, False
    elif kind in DELIMITERS:
        yield "" if kind == "csv-bare" else _joined(kind, columns)
        for row in rows:
            yield _joined(kind, [_cell(row.get(name)) for name in columns])
    else:
        raise RealmodelsError(
            f"cannot write rows as '{kind}'; known are jsonl, json, {', '.join(DELIMITERS)}"
        )


def _joined(kind: str, cells: Sequence[str]) -> str:
    out = io.StringIO()
    # the writer quotes a lone \r only if \r is part of its line end
    csv.writer(out, delimiter=DELIMITERS[kind], lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)

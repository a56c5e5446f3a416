"""Tables of results that were kept as CSV, read back cell by cell; what is wrong is told with its line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from theory.errors import TheoryError
from theory.schema import shown
from theory.spreadsheets import raw

Row = Mapping[str, str]
LARGEST = 1e9  # no effect in any unit comes near it


def rows(path: Path, needed: Sequence[str], written_by: str) -> Iterator[tuple[int, Row]]:
    """Line and cells of every row; all have the cells that the header has, and that those in `needed`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            names = lines.fieldnames or ()
            if missing := [name for name in needed if name not in names]:
                raise TheoryError(
                    f"{path}: no column {missing[0]!r}; expected a {path.name} that {written_by} wrote"
                )
            for row in lines:
                if None in row or None in row.values():
                    raise TheoryError(
                        f"{path}:{lines.line_num}: expected {len(names)} cells, as the header has"
                    )
                yield lines.line_num, {name: raw(cell) for name, cell in row.items()}
    except FileNotFoundError:
        raise TheoryError(f"{path}: not there; {written_by} writes one") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TheoryError(f"{path}: expected a CSV file in UTF-8: {error}") from None


def number(row: Row, name: str, where: str) -> float:
    """The number in a cell, finite and of a size that an effect can have."""
    try:
        found = float(row[name])
    except ValueError:
        found = float("nan")
    if not abs(found) <= LARGEST:
        raise TheoryError(f"{where}: {name} {shown(row[name])}; expected a number from -1e9 to 1e9")
    return found


def count(row: Row, name: str, where: str) -> int:
    """The whole number in a cell, at least 0."""
    found = row[name]
    if not (found.isascii() and found.isdigit() and len(found) < 16):
        raise TheoryError(f"{where}: {name} {shown(found)}; expected a whole number of at least 0")
    return int(found)

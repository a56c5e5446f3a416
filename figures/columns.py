"""The CSV behind a picture: read into columns, with the file and the column named when something is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.errors import FiguresError
from theory.files import whole_file
from theory.schema import bare
from theory.spreadsheets import safe

Columns = dict[str, NDArray[Any]]  # of numbers or of words


def read_columns(path: Path, needed: Iterable[str]) -> Columns:
    """Columns of a CSV file; those in which every cell is a number become float arrays, empty cells NaN."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            names, rows = next(lines, []), []
            for cells in filter(None, lines):
                if len(cells) != len(names):
                    raise FiguresError(
                        f"{path}:{lines.line_num}: expected {len(names)} cells, as the header has, got {len(cells)}"
                    )
                rows.append(cells)
    except FileNotFoundError:
        raise FiguresError(
            f"{path}: no such file; `python -m theory data -o {path.parent}` writes it"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise FiguresError(f"{path}: expected a CSV file in UTF-8: {error}") from None
    if not rows:
        raise FiguresError(f"{path}: no rows")
    if missing := [name for name in needed if name not in names]:
        raise FiguresError(f"{path}: no column {missing[0]!r}; it has {', '.join(map(bare, names))}")
    return {name: _column(list(cells)) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}


def where(columns: Columns, **equals: object) -> Columns:
    """The rows in which every named column equals the given value."""
    keep = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, value in equals.items():
        keep &= columns[name] == value
    return {name: column[keep] for name, column in columns.items()}


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Columns as CSV, written whole; no text in it is a formula to a spreadsheet."""
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(safe, columns))
        cells = ([safe(cell) for cell in column.tolist()] for column in columns.values())
        writer.writerows(zip(*cells, strict=True))
    return path


def _column(cells: list[str]) -> NDArray[Any]:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return np.array(cells)

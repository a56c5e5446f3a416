"""Tables of tuning seeds, a line as soon as it is measured, so that a run that is cut short leaves what it has."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path


def write(path: Path, rows: Iterable[Mapping[str, str | float]]) -> None:
    """As CSV; all rows have the names of the first."""
    writer = None
    with open(path, "w", encoding="utf-8", newline="") as file:
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(
                {name: value if isinstance(value, str) else f"{value:.6g}" for name, value in row.items()}
            )
            file.flush()

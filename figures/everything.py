"""All pictures of some runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from figures import closed_forms, findings, theorems
from figures.errors import FiguresError
from figures.forest import forest
from figures.runs import read_runs


def draw(paths: Sequence[Path], output: Path, alone: bool = False) -> Iterator[Path]:
    """The files of every picture that the runs have rows for, and with `alone` of those that need no runs."""
    if alone:
        yield from closed_forms.draw_all(output)
        if not paths:
            return
    data = [path for path in paths if (path / "window.csv").is_file()]
    found = read_runs([path for path in paths if path not in data or (path / "records.jsonl").is_file()])
    written = 0
    for picture in (forest, *findings.PICTURES.values()):
        for path in picture(found, output):
            written += 1
            yield path
    for folder in data:
        for path in theorems.draw_all(folder, output):
            written += 1
            yield path
    if not written:
        raise FiguresError(
            "figures: no picture can be drawn from these records; they have none of the studies' rows"
        )

"""All pictures of some runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import closed_forms, findings, theorems
from figures.about import claims_of
from figures.errors import FiguresError
from figures.forest import forest
from figures.knowledge import knowledge
from figures.parts import others
from figures.runs import Runs, read_runs


@dataclass(frozen=True)
class Sources:
    """What a person named, sorted: records, folders of `theory data`, graphs of `synthetic graph`."""

    records: tuple[Path, ...]
    data: tuple[Path, ...]
    graphs: tuple[Path, ...]


def sort(paths: Sequence[Path]) -> Sources:
    """A folder may hold several kinds; a graph is a JSON file, named or called graph*.json in a folder."""
    data = tuple(path for path in paths if (path / "window.csv").is_file())
    graphs = [path for path in paths if path.suffix == ".json" and not path.is_dir()]
    records = [
        path
        for path in paths
        if path not in graphs and (path not in data or (path / "records.jsonl").is_file())
    ]
    inside = [found for path in paths for found in sorted(path.glob("graph*.json"))]
    only_graphs = [path for path in records if _only_graphs(path)]
    return Sources(
        tuple(path for path in records if path not in only_graphs),
        data,
        tuple(dict.fromkeys((*graphs, *inside))),
    )


def _only_graphs(path: Path) -> bool:
    holds = (path / "records.jsonl").is_file() or any(path.glob("*/records.jsonl"))
    return path.is_dir() and not holds and any(path.glob("graph*.json"))


def draw(paths: Sequence[Path], output: Path, alone: bool = False) -> Iterator[Path]:
    """The files of every picture that the runs have rows for, and with `alone` of those that need no runs."""
    if alone:
        yield from closed_forms.draw_all(output)
        if not paths:
            return
    found = sort(paths)
    written = 0
    if found.records or not (found.data or found.graphs):
        for path in of_runs(read_runs(found.records), output):
            written += 1
            yield path
    for i, folder in enumerate(found.data):
        # a second folder's pictures would have the names of the first one's
        for path in theorems.draw_all(folder, output if i == 0 else output / f"data-{i + 1}"):
            written += 1
            yield path
    for path in of_graphs(found.graphs, output):
        written += 1
        yield path
    if not written:
        raise FiguresError(
            "figures: no picture can be drawn from these records; they have none of the studies' rows"
        )


def of_runs(runs: Runs, output: Path) -> Iterator[Path]:
    """The scoreboard, every finding, and the rule of every claim that none of those shows."""
    shown: set[str] = set()
    for picture in (forest, *findings.PICTURES.values()):
        for path in picture(runs, output):
            shown.update(claims_of(path.stem))
            yield path
    yield from others(runs, output, shown)


def of_graphs(graphs: Sequence[Path], output: Path) -> Iterator[Path]:
    """A picture a graph; one of the same laboratory, relation and seed gets a number."""
    names: dict[str, int] = {}
    for graph in graphs:
        yield from knowledge(graph, output, names)

"""All pictures of some runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from figures import closed_forms, findings, theorems
from figures.about import claims_of
from figures.errors import FiguresError
from figures.forest import forest
from figures.knowledge import knowledge
from figures.parts import claim_parts
from figures.runs import Runs, read_runs

Task = Callable[[], list[Path]]


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


def draw(paths: Sequence[Path], output: Path, alone: bool = False, workers: int = 1) -> Iterator[Path]:
    """The files of every picture that the runs have rows for, and with `alone` of those that need no runs; drawn by
    so many processes, in an order that does not depend on them."""
    if workers < 1:
        raise FiguresError(f"workers is {workers}; give a whole number of at least 1")
    if alone:
        yield from _done([partial(picture, output) for picture in closed_forms.PICTURES.values()], workers)
        if not paths:
            return
    found = sort(paths)
    written = 0
    if found.records or not (found.data or found.graphs):
        for path in of_runs(read_runs(found.records), output, workers):
            written += 1
            yield path
    # a second folder's pictures would have the names of the first one's
    tasks: list[Task] = [
        partial(picture, folder, output if i == 0 else output / f"data-{i + 1}")
        for i, folder in enumerate(found.data)
        for picture in theorems.PICTURES.values()
    ]
    tasks.append(lambda: list(of_graphs(found.graphs, output)))
    for path in _done(tasks, workers):
        written += 1
        yield path
    if not written:
        raise FiguresError(
            "figures: no picture can be drawn from these records; they have none of the studies' rows"
        )


def of_runs(runs: Runs, output: Path, workers: int = 1) -> Iterator[Path]:
    """The scoreboard, every finding, and the rule of every claim that none of those shows."""
    shown: set[str] = set()
    marked = False
    claims = dict.fromkeys(verdict.claim.id for verdict in runs.board.verdicts)
    pictures = (forest, *findings.PICTURES.values())
    for path in _done([partial(picture, runs, output) for picture in pictures], workers):
        shown.update(claims_of(path.stem))
        marked = marked or path.stem.startswith("forest-")
        yield path
    if not marked:
        print(
            "no forest: no effect has an interval; it takes two seeds or the records of items",
            file=sys.stderr,
        )
    yield from _done(
        [partial(claim_parts, runs, claim, output) for claim in claims if claim not in shown], workers
    )


def of_graphs(graphs: Sequence[Path], output: Path) -> Iterator[Path]:
    """A picture a graph; one of the same laboratory, relation and seed gets a number."""
    names: dict[str, int] = {}
    for graph in graphs:
        yield from knowledge(graph, output, names)


_waiting: Sequence[Task] = ()  # what forked workers find in their memory


def _done(tasks: Sequence[Task], workers: int) -> Iterator[Path]:
    """What the tasks write, in their order. Workers are forks, which share what was read; elsewhere there is one."""
    global _waiting
    workers = min(workers, len(tasks))
    if workers < 2 or sys.platform != "linux":
        for task in tasks:
            yield from task()
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from theory.processes import locks

    _waiting = tasks
    with locks():
        pool = ProcessPoolExecutor(workers, mp_context=get_context("fork"))
    with pool:
        for paths in pool.map(_do, range(len(tasks))):
            yield from paths


def _do(i: int) -> list[Path]:
    return _waiting[i]()

"""The commands of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from theory.command import Command


@dataclass(frozen=True)
class Theorems:
    """Draw the theorems' pictures from what `python -m theory data` wrote: PNG, PDF, SVG and the CSV behind each."""

    data: tyro.conf.Positional[Path]
    """Folder that `python -m theory data -o` wrote."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """Folder to write to."""
    only: tuple[str, ...] = ()
    """Names of the pictures to draw; all if none is named."""

    def run(self) -> int:
        from figures.errors import FiguresError
        from figures.theorems import PICTURES, ready

        if unknown := [name for name in self.only if name not in PICTURES]:
            raise FiguresError(f"no picture is called {unknown[0]!r}; there are {', '.join(PICTURES)}")
        names = tuple(dict.fromkeys(self.only or PICTURES))
        ready(self.data, names)
        for name in names:
            for path in PICTURES[name](self.data, self.output):
                print(path)
        return 0


@dataclass(frozen=True)
class All:
    """Draw everything that these runs have rows for: the scoreboard as a forest, and a picture a finding and rung."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, folders of them, files of records; folders that `python -m theory data` wrote add the theorems,
    files that `python -m synthetic graph` wrote a graph each."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """Folder to write to."""
    closed_forms: bool = False
    """Add the pictures that theory draws alone; no run is needed for them."""
    workers: int = 2
    """How many processes draw."""

    def run(self) -> int:
        from figures.everything import draw

        for path in draw(self.runs, self.output, self.closed_forms, self.workers):
            print(path)
        return 0


@dataclass(frozen=True)
class Report:
    """One self-contained page: scoreboard, claims, theorems, figures, and a phase diagram that computes."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, folders of them, files of records, folders that `python -m theory data` wrote, graph files."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """The page to write, such as report.html."""
    checks: Path | None = None
    """What `python -m theory check --output` wrote; without it every theorem is checked now."""
    instances: int = 200
    """Random instances a theorem is checked on now."""

    def run(self) -> int:
        from figures.report import write_report

        print(write_report(self.runs, self.output, self.checks, self.instances))
        return 0


@dataclass(frozen=True)
class Forest:
    """Draw kept scoreboards side by side as one forest: every claim in every laboratory, with the paper's number."""

    boards: tyro.conf.Positional[tuple[Path, ...]]
    """Files scoreboard.csv that `python -m theory claims -o` wrote; no records are needed."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """Folder to write to."""

    def run(self) -> int:
        from figures.forest import stored

        for path in stored(self.boards, self.output):
            print(path)
        return 0


COMMANDS: dict[str, type[Command]] = {"all": All, "forest": Forest, "report": Report, "theorems": Theorems}

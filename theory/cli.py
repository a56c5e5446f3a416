"""The commands of this room. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from theory.command import FAILED, Command
from theory.errors import TheoryError

Names = tyro.conf.Positional[tuple[str, ...]]
Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
MaybeOut = Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PATH")]


@dataclass(frozen=True)
class List:
    """Every theorem and every claim, a line each."""

    what: tyro.conf.Positional[Literal["all", "theorems", "claims"]] = "all"
    """Which of them."""

    def run(self) -> int:
        if self.what != "claims":
            from theory.theorems import THEOREMS

            for theorem in THEOREMS.values():
                print(f"{theorem.id:4} {theorem.status:22} {theorem.title}")
        if self.what != "theorems":
            from theory.claims import CLAIMS

            for claim in CLAIMS.values():
                print(f"{claim.id:4} {'claim, ' + claim.study:22} {claim.title}")
        return 0


@dataclass(frozen=True)
class Show:
    """A theorem (statement, assumptions, what breaks without them) or a claim (sentence, rule, the paper's number)."""

    name: tyro.conf.Positional[str]
    """Such as T2, T7', K4 or A1."""

    def run(self) -> int:
        from theory.show import show

        print(show(self.name))
        return 0


@dataclass(frozen=True)
class Check:
    """Try to break the theorems on random instances. Exits 1 if any instance violates its statement."""

    names: Names = ()
    """Which theorems; all of them if none is named."""
    n: int = 1000
    """Random instances a theorem."""
    seed: int = 0
    """Seed of the instances."""
    workers: int = 2
    """Processes; the result does not depend on it."""
    perturb: bool = False
    """Check false variants of every statement instead: each of them must be caught."""
    output: MaybeOut = None
    """Also write the results there as JSON."""

    def run(self) -> int:
        from theory.checks import check_all, check_perturbed, render, write_json

        if self.perturb:
            caught = check_perturbed(self.names, self.n, self.seed, self.workers)
            for row in caught:
                verdict = "caught" if row.violations else "MISSED"
                print(f"{row.theorem:4} {verdict} {row.violations:>8} of {row.instances:<9} {row.note}")
            return 0 if all(row.violations for row in caught) else FAILED
        results = check_all(self.names, self.n, self.seed, self.workers)
        print(render(results))
        if self.output is not None:
            write_json(self.output, results)
        return 0 if all(result.holds for result in results) else FAILED


@dataclass(frozen=True)
class Claims:
    """Put every claim to a table of records and print the scoreboard; JSON and CSV are written beside it."""

    records: tyro.conf.Positional[tuple[str, ...]]
    """records.jsonl files, or - for standard input."""
    only: tuple[str, ...] = ()
    """Claims to evaluate, such as A1 C4; all of them if none is named."""
    output: MaybeOut = None
    """Folder for scoreboard.json and scoreboard.csv; beside the first records file if not given."""
    arm: str = ""
    """Arm that claims without one of their own are put to; the run's primary arm if not given."""
    parts: bool = False
    """Print every part of every claim below it."""
    json: bool = False
    """Print JSON instead of the table."""

    def run(self) -> int:
        from theory.claims import evaluate
        from theory.records import read_records

        if not self.records:
            raise TheoryError(
                "claims: expected one or more records.jsonl files, or - for standard input; got none"
            )
        board = evaluate(read_records(*self.records), self.only or None, self.arm)
        print(board.to_json().rstrip() if self.json else board.to_text(self.parts))
        first = self.records[0]
        folder = self.output or (None if first == "-" else Path(first).parent)
        if folder is not None:
            for path in board.write(folder):
                print(f"wrote {path}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Replicate:
    """Put two summaries of one laboratory on different seeds side by side: verdicts and effects that came out again."""

    first: tyro.conf.Positional[Path]
    """A folder with scoreboard.csv and effects.csv, as `synthetic summarise` writes it."""
    second: tyro.conf.Positional[Path]
    """Another, of other seeds."""
    output: MaybeOut = None
    """Also write a line a deciding part there, as CSV."""

    def run(self) -> int:
        from theory.files import write_whole
        from theory.replication import replicate

        found = replicate(self.first, self.second)
        print(found.to_text())
        if self.output is not None:
            write_whole(self.output, found.to_csv())
            print(f"wrote {self.output}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Data:
    """Measure every table and write the CSV behind every picture, with the pilot study's numbers beside ours."""

    output: Out
    """Folder to write to."""
    seeds: int = 24
    """How many seeds; they are numbered from 1000."""
    only: tuple[str, ...] = ()
    """Names of the measurements to run; all if none is named."""
    workers: int = 2
    """Processes; the result does not depend on it."""

    def run(self) -> int:
        from theory.measurements.write import write_data

        write_data(
            self.output, seeds=range(1000, 1000 + self.seeds), only=self.only or None, workers=self.workers
        )
        return 0


@dataclass(frozen=True)
class World:
    """Make a world (a knowledge graph with exposures) from a spec and a seed, describe it and save it."""

    spec: tyro.conf.Positional[Path | None] = None
    """A TOML file with fields of WorldSpec; the default world if not given."""
    seed: int = 0
    """Seed of the world."""
    output: MaybeOut = None
    """Where to save it (.npz)."""

    def run(self) -> int:
        from theory.world import WorldSpec, make_world, read_spec
        from theory.world_file import save_world

        world = make_world(read_spec(self.spec) if self.spec else WorldSpec(), self.seed)
        print(world.describe())
        if self.output is not None:
            save_world(world, self.output)
            print(f"wrote {self.output}", file=sys.stderr)
        return 0


@dataclass(frozen=True)
class Vocabulary:
    """The words that records are written in: arms, training sets, prompts, splits, strata and metrics."""

    def run(self) -> int:
        from theory.claims.vocabulary import to_text

        print(to_text())
        return 0


COMMANDS: dict[str, type[Command]] = {
    "list": List,
    "show": Show,
    "check": Check,
    "claims": Claims,
    "replicate": Replicate,
    "vocabulary": Vocabulary,
    "data": Data,
    "world": World,
}

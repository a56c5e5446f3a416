"""What a figure is drawn from: the records of run folders, the claims put to them, and cells with intervals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from figures.errors import FiguresError
from theory.claims import Cell, Scoreboard, Verdict, evaluate
from theory.claims.base import Absent
from theory.claims.estimators import Contrast
from theory.claims.evidence import StudyRows, split_studies
from theory.intervals import Interval, t_interval
from theory.records import read_records
from theory.table import Table

Array = NDArray[np.float64]
GRID = np.linspace(0.0, 1.0, 41)  # of a fine-tuning, from its first to its last step


@dataclass(frozen=True)
class Runs:
    """The records of some runs."""

    table: Table

    @cached_property
    def studies(self) -> tuple[StudyRows, ...]:
        return tuple(split_studies(self.table))

    @cached_property
    def board(self) -> Scoreboard:
        return evaluate(self.table)

    def of(self, study: str) -> tuple[StudyRows, ...]:
        """The runs of a study, one a laboratory rung and run folder."""
        return tuple(rows for rows in self.studies if rows.study == study)

    def verdict(self, claim: str, rows: StudyRows) -> Verdict | None:
        """What the claim says of that run."""
        for verdict in self.board.verdicts:
            if (verdict.claim.id, verdict.lab, verdict.run) == (claim, rows.lab, rows.run):
                return verdict
        return None

    def answer(self, claim: str, rows: StudyRows) -> str:
        """The claim with its verdict, for a panel's second line; empty where rows are missing."""
        verdict = self.verdict(claim, rows)
        return f"{claim}: {verdict.answer}" if verdict and verdict.answer != "missing" else ""

    def title(self, claim: str, rows: StudyRows, plain: str) -> str:
        """The claim's words if it is reproduced here, that it is contradicted if so, else `plain`."""
        verdict = self.verdict(claim, rows)
        if verdict is None or verdict.answer not in ("reproduced", "contradicted"):
            said = self.answer(claim, rows)
            return f"{plain} ({said})" if said else plain
        said = verdict.claim.title
        said = said[0].upper() + said[1:]
        return f"{said} ({claim})" if verdict.answer == "reproduced" else f"Not found: {said} ({claim})"


def read_runs(paths: Sequence[Path]) -> Runs:
    """Run folders, folders of run folders, or JSONL files of records.

    >>> from theory import Record, RecordWriter
    >>> where = ("all", 10, "best", "zero", "test", "all", "accuracy")  # arm, step, trained_on, ... metric
    >>> with RecordWriter("mine/records.jsonl") as out:
    ...     out.write_many(Record("theory/R0", "salience", "mine", seed, *where, 0.5, 80) for seed in (100, 101))
    >>> runs = read_runs([Path("mine")])
    >>> runs.answer("A1", runs.of("salience")[0])  # nothing to say: no other set was trained on
    ''
    """
    return Runs(read_records(*record_files(paths)))


def record_files(paths: Sequence[Path]) -> list[Path]:
    """The files of records in these paths, each once."""
    files = list(dict.fromkeys(file for path in paths for file in _records(path)))
    if not files:
        raise FiguresError("figures: no run given; expected run folders such as runs/salience-0a1b2c3d4e")
    return files


def _records(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / "records.jsonl").is_file():
        return [path / "records.jsonl"]
    if found := sorted(path.glob("*/records.jsonl")):
        return found
    raise FiguresError(
        f"{path}: no records.jsonl in it or in its folders; `python -m synthetic run` writes them"
    )


def mean(rows: StudyRows, cell: Cell) -> Interval | None:
    """Mean of a cell over seeds with its interval; None where there are no rows."""
    found = rows.series(cell)
    return None if isinstance(found, Absent) else t_interval(found.values)


def effect(rows: StudyRows, contrast: Contrast) -> Interval | None:
    """A contrast paired within seed; None where rows are missing."""
    found = contrast.measure(rows)
    return None if found.missing or not len(found.effects) else t_interval(found.effects)


def progress(rows: StudyRows, cell: Cell) -> Array | None:
    """(seeds, grid) a curve at equal shares of each seed's own training, linear between its records."""
    found = rows.curve(cell.at(stop="every"))
    if isinstance(found, Absent):
        return None
    curves = []
    for values in found.values:
        seen = np.isfinite(values)
        steps = found.steps[seen].astype(np.float64)
        curves.append(np.interp(GRID, steps / steps[-1], values[seen], left=np.nan))
    return np.array(curves)


def band(curves: Array) -> tuple[Array, Array, Array]:
    """Mean and 95% interval over seeds at each point of the grid that every seed has."""
    whole = np.asarray(np.isfinite(curves).all(axis=0))
    found = [t_interval(column) if ok else None for column, ok in zip(curves.T, whole, strict=True)]
    middle, low, high = (
        np.array([getattr(one, name) if one else np.nan for one in found]) for name in ("mean", "low", "high")
    )
    return middle, np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def reach(one: Interval) -> tuple[float, float]:
    """How far its interval goes below and above the mean; nowhere for a single seed, which has none."""
    if not np.isfinite(one.low):
        return 0.0, 0.0
    return one.mean - one.low, one.high - one.mean


def slug(lab: str) -> str:
    """A laboratory's name in a file's name."""
    return re.sub(r"[^\w.-]+", "-", lab)


def seeds_of(rows: StudyRows) -> str:
    """How many seeds a run has of its study, in words."""
    table = rows.table
    here = table.mask(lab=rows.lab, run=rows.run, study=rows.study)
    count = len(np.unique(table.numbers["seed"][here]))
    return f"{count} seed{'s' * (count != 1)}"

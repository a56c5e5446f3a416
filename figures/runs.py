"""What a figure is drawn from: the records of run folders, the claims put to them, and cells with intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from figures.errors import FiguresError
from theory.claims import Cell, Scoreboard, Verdict, evaluate
from theory.claims.base import Measured
from theory.claims.estimators import Contrast, level
from theory.claims.evidence import StudyRows, split_studies
from theory.claims.interval import interval_of
from theory.intervals import Interval
from theory.records import read_records
from theory.table import Table

BOUNDED = frozenset(  # metrics that lie between 0 and 1
    {
        "accuracy", "fitted", "answered_accuracy", "abstention_rate", "attention_subject", "belief_auroc",
        "belief_bin_mean", "belief_bin_true", "belief_calibration_error", "claim_precision", "claim_recall",
        "hallucination", "hallucination_floor", "missing_mass", "singleton_share",
    }
)  # fmt: skip
COUNTS = frozenset({"claims", "true_claims"})  # metrics that are never below 0


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
    """Mean of a cell with the interval that a verdict on it would have; None where there are no rows."""
    return effect(rows, level(cell))


def effect(rows: StudyRows, contrast: Contrast) -> Interval | None:
    """A contrast paired within seed, with the interval that a verdict on it has; None where rows are missing."""
    found = contrast.measure(rows)
    if found.missing or not len(found.effects):
        return None
    metrics = {cell.metric for cell in contrast.cells}
    if metrics <= BOUNDED:
        return shown(found)
    counts = metrics <= COUNTS and all(weight > 0 for weight, _ in contrast.terms)
    return shown(replace(found, limits=None), (0.0, math.inf) if counts else None)


def shown(found: Measured, limits: tuple[float, float] | None = None) -> Interval:
    """The interval as it is drawn: the verdict's, cut where nothing can be."""
    one = interval_of(found)
    low, high = found.limits or limits or (-math.inf, math.inf)
    return replace(one, low=max(one.low, low), high=min(one.high, high)) if math.isfinite(one.low) else one


def reach(one: Interval) -> tuple[float, float]:
    """How far its interval goes below and above the mean; no number for a single seed, which has none."""
    if not np.isfinite(one.low):
        return math.nan, math.nan
    return one.mean - one.low, one.high - one.mean


def slug(lab: str) -> str:
    """A laboratory's name in a file's name."""
    return re.sub(r"[^\w.-]+", "-", lab)


def seeds_of(rows: StudyRows) -> str:
    """How many seeds a run has of its study, and the first and the last of them."""
    table = rows.table
    here = table.mask(lab=rows.lab, run=rows.run, study=rows.study)
    seeds = np.unique(table.numbers["seed"][here])
    return f"1 seed, {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"

"""From records to verdicts: every claim put to every laboratory and run that has rows for its study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from theory.claims.base import LEVEL, MIN_SEEDS, Claim, Measured, Part
from theory.claims.catalogue import CLAIMS, choose
from theory.claims.decide import boundary, settle
from theory.claims.evidence import StudyRows, split_studies
from theory.intervals import (
    Interval,
    bootstrap_interval,
    crossed_interval,
    holm,
    minimum_detectable_effect,
    nested_interval,
    t_interval,
)
from theory.table import Table

Outcome = Literal["supported", "opposed", "open", "missing", "too few seeds", "not asked", "reported"]
Answer = Literal["reproduced", "contradicted", "inconclusive", "missing"]
NOWHERE = "-"  # laboratory and run of a claim for which nobody wrote rows


@dataclass(frozen=True)
class PartVerdict:
    """What the records say about one part; effect, intervals and `detectable` are in its unit.

    `adjusted` is Holm's p over the `family` deciding parts; `detectable` is the effect that the design finds with
    80% power at the strictest step of Holm's procedure (level / family). `overlaps`: the interval meets the paper's
    number.
    """

    part: Part
    outcome: Outcome
    interval: Interval | None = None
    bootstrap: Interval | None = None
    p: float = float("nan")
    adjusted: float = float("nan")
    family: int = 0
    detectable: float = float("nan")
    overlaps: bool | None = None
    note: str = ""

    @property
    def seeds(self) -> int:
        return self.interval.n if self.interval else 0


@dataclass(frozen=True)
class Verdict:
    """A claim in one run of one laboratory."""

    claim: Claim
    lab: str
    run: str
    arm: str
    answer: Answer
    reason: str
    parts: tuple[PartVerdict, ...]

    @property
    def held(self) -> tuple[int, int]:
        """Supported deciding parts, and how many decided."""
        deciding = [part for part in self.parts if part.outcome not in ("reported", "not asked")]
        return sum(part.outcome == "supported" for part in deciding), len(deciding)


@dataclass(frozen=True)
class Scoreboard:
    """Claims x laboratories."""

    verdicts: tuple[Verdict, ...]
    level: float = LEVEL

    def to_text(self, parts: bool = False) -> str:
        """A line a claim and laboratory; with `parts` a line for each part below it."""
        from theory.claims.render import to_text

        return to_text(self, parts)

    def to_json(self) -> str:
        from theory.claims.render import to_json

        return to_json(self)

    def to_csv(self) -> str:
        """A line a part, safe to open in a spreadsheet."""
        from theory.claims.render import to_csv

        return to_csv(self)

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """`scoreboard.json` and `scoreboard.csv` in `folder`, each whole or not at all."""
        from theory.files import write_whole

        paths = Path(folder) / "scoreboard.json", Path(folder) / "scoreboard.csv"
        for path, content in zip(paths, (self.to_json(), self.to_csv()), strict=True):
            write_whole(path, content)
        return paths


def evaluate(table: Table, claims: Iterable[str | Claim] | None = None) -> Scoreboard:
    """Put claims (ids or objects; all if None) to the records.

    Holm's family is always the whole family of a claim in that run, whichever of its claims were asked for.
    """
    asked = choose(claims)
    family_of = {claim.id: claim for claim in CLAIMS.values()} | {claim.id: claim for claim in asked}
    letters = {claim.family for claim in asked}
    judged = tuple(claim for claim in family_of.values() if claim.family in letters)
    studies = split_studies(table)
    labs = list(dict.fromkeys(rows.lab for rows in studies)) or [NOWHERE]
    found: dict[tuple[str, str], list[Verdict]] = {}
    for lab in labs:
        for run in dict.fromkeys(rows.run for rows in studies if rows.lab == lab):
            here = {rows.study: rows for rows in studies if (rows.lab, rows.run) == (lab, run)}
            for letter in sorted(letters):
                family = [claim for claim in judged if claim.family == letter and claim.study in here]
                for verdict in _judge_family(family, here):
                    found.setdefault((lab, verdict.claim.id), []).append(verdict)
    return Scoreboard(
        tuple(
            verdict
            for claim in asked
            for lab in labs
            for verdict in found.get((lab, claim.id)) or [_unwritten(claim, lab)]
        )
    )


def examine(part: Part, rows: StudyRows) -> PartVerdict:
    """One part before Holm's correction: estimate, intervals and p, or what is missing."""
    measured = part.quantity.measure(rows)
    if measured.missing:
        outcome: Outcome = {"decides": "missing", "if present": "not asked", "reported": "reported"}[
            part.role
        ]  # type: ignore[assignment]
        return PartVerdict(
            part, outcome, note="; ".join(f"no rows with {where}" for where in measured.missing)
        )
    note = f"{measured.unpaired} seeds left out: not in every cell" if measured.unpaired else ""
    n = len(measured.seeds)
    if n < MIN_SEEDS:
        words = f"{n} paired {'seed' if n == 1 else 'seeds'}, {MIN_SEEDS} are needed"
        verdict = PartVerdict(part, "too few seeds", note="; ".join(filter(None, (words, note))))
        return replace(verdict, interval=_scaled(_interval(measured), part.scale)) if n > 1 else verdict
    interval, bootstrap = _interval(measured), bootstrap_interval(measured.effects)
    scaled = _scaled(interval, part.scale)
    number = part.published
    return PartVerdict(
        part,
        "reported" if part.role == "reported" else "open",
        scaled,
        _scaled(bootstrap, part.scale),
        interval.pvalue(float(boundary(part, interval.mean))),
        overlaps=None if number is None else bool(scaled.low <= number.high and number.low <= scaled.high),
        note=note,
    )


def _judge_family(family: Sequence[Claim], here: dict[str, StudyRows]) -> list[Verdict]:
    examined = [[examine(part, here[claim.study]) for part in claim.parts] for claim in family]
    deciding = [
        (i, j) for i, parts in enumerate(examined) for j, part in enumerate(parts) if part.outcome == "open"
    ]
    adjusted = holm(np.array([examined[i][j].p for i, j in deciding])) if deciding else np.empty(0)
    for (i, j), p in zip(deciding, adjusted, strict=True):
        examined[i][j] = _settled(examined[i][j], float(p), len(deciding))
    return [
        _concluded(claim, here[claim.study], tuple(parts))
        for claim, parts in zip(family, examined, strict=True)
    ]


def _settled(found: PartVerdict, adjusted: float, family: int) -> PartVerdict:
    """The outcome once the family is known."""
    part, interval, bootstrap = found.part, found.interval, found.bootstrap
    assert interval is not None
    assert bootstrap is not None
    side = int(
        settle(
            part,
            interval.mean / part.scale,
            adjusted,
            bootstrap.low / part.scale,
            bootstrap.high / part.scale,
        )
    )
    outcome: Outcome = {1: "supported", -1: "opposed", 0: "open"}[side]  # type: ignore[assignment]
    detectable = float(minimum_detectable_effect(interval.sd, interval.n, alpha=LEVEL / family))
    return replace(found, outcome=outcome, adjusted=adjusted, family=family, detectable=detectable)


def _concluded(claim: Claim, rows: StudyRows, parts: tuple[PartVerdict, ...]) -> Verdict:
    deciding = [part for part in parts if part.outcome not in ("reported", "not asked")]
    by = {
        outcome: [part for part in deciding if part.outcome == outcome]
        for outcome in ("opposed", "missing", "too few seeds", "open")
    }
    answer: Answer
    if by["opposed"]:
        answer, reason = "contradicted", "opposite: " + "; ".join(part.part.name for part in by["opposed"])
    elif by["missing"]:
        answer, reason = "missing", by["missing"][0].note
        if len(by["missing"]) > 1:
            reason += f" (and {len(by['missing']) - 1} more parts without rows)"
    elif by["too few seeds"]:
        answer, reason = "inconclusive", by["too few seeds"][0].note
    elif by["open"]:
        answer, reason = "inconclusive", "open: " + "; ".join(part.part.name for part in by["open"])
    else:
        answer, reason = "reproduced", ""
    return Verdict(claim, rows.lab, rows.run, rows.primary, answer, reason, parts)


def _unwritten(claim: Claim, lab: str) -> Verdict:
    parts = tuple(
        PartVerdict(part, "missing" if part.role == "decides" else "not asked") for part in claim.parts
    )
    return Verdict(claim, lab, NOWHERE, "", "missing", f"no rows with study={claim.study}", parts)


def _interval(measured: Measured) -> Interval:
    if measured.matrix is None:
        return t_interval(measured.effects)
    if measured.shared_items:
        return crossed_interval(measured.matrix)
    return nested_interval([row[np.isfinite(row)] for row in measured.matrix])


def _scaled(interval: Interval, scale: float) -> Interval:
    return replace(
        interval,
        mean=interval.mean * scale,
        low=interval.low * scale,
        high=interval.high * scale,
        sd=interval.sd * scale,
    )

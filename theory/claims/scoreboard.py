"""From records to verdicts: every claim put to every laboratory and run that has rows for its study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from theory.claims.base import LEVEL, MIN_SEEDS, Claim, Measured, Part, Role
from theory.claims.catalogue import CLAIMS, choose
from theory.claims.decide import boundary, settle
from theory.claims.evidence import StudyRows, split_studies
from theory.files import write_whole
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
WITHOUT_ROWS: Mapping[Role, Outcome] = {
    "decides": "missing",
    "if present": "not asked",
    "reported": "not asked",
}
SIDES: Mapping[int, Outcome] = {1: "supported", -1: "opposed", 0: "open"}


@dataclass(frozen=True)
class PartVerdict:
    """What the records say about one part; effect, intervals and `detectable` are in its unit.

    `adjusted` is Holm's p over the `family` deciding parts; `detectable` is the effect that the design
    finds with 80% power at the strictest step of Holm's procedure (level / family). `overlaps`: the
    interval meets the paper's number. `missing`: filters that found no rows.
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
    missing: tuple[str, ...] = ()
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

    @property
    def missing(self) -> tuple[str, ...]:
        """Every filter of a deciding part that found no rows, once."""
        return tuple(dict.fromkeys(w for p in self.parts if p.outcome == "missing" for w in p.missing))


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
        paths = Path(folder) / "scoreboard.json", Path(folder) / "scoreboard.csv"
        for path, content in zip(paths, (self.to_json(), self.to_csv()), strict=True):
            write_whole(path, content)
        return paths


def evaluate(table: Table, claims: Iterable[str | Claim] | None = None) -> Scoreboard:
    """Put claims (ids or objects; all if None) to the records.

    Holm's family is always the whole family of a claim in that run, whichever of its claims were asked for.
    """
    asked = choose(claims)
    letters = {claim.family for claim in asked}
    judged = {**CLAIMS, **{claim.id: claim for claim in asked}}.values()
    studies = split_studies(table)
    labs = list(dict.fromkeys(rows.lab for rows in studies)) or [NOWHERE]
    found: dict[tuple[str, str], list[Verdict]] = {}
    for lab, run in dict.fromkeys((rows.lab, rows.run) for rows in studies):
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
        return PartVerdict(part, WITHOUT_ROWS[part.role], missing=measured.missing)
    unpaired = f"{measured.unpaired} seeds left out, not in every cell" if measured.unpaired else ""
    n = len(measured.seeds)
    if n < MIN_SEEDS:
        few = f"{n} paired {'seed' if n == 1 else 'seeds'}, {MIN_SEEDS} are needed"
        interval = _scaled(_interval(measured), part.scale) if n else None
        outcome: Outcome = "reported" if part.role == "reported" else "too few seeds"
        return PartVerdict(part, outcome, interval, note="; ".join(filter(None, (few, unpaired))))
    interval, number = _interval(measured), part.published
    scaled = _scaled(interval, part.scale)
    return PartVerdict(
        part,
        "reported" if part.role == "reported" else "open",
        scaled,
        _scaled(bootstrap_interval(measured.effects), part.scale),
        interval.pvalue(float(boundary(part, interval.mean))),
        overlaps=None if number is None else scaled.low <= number.high and number.low <= scaled.high,
        note=unpaired,
    )


def _judge_family(family: Sequence[Claim], here: Mapping[str, StudyRows]) -> list[Verdict]:
    examined = [[examine(part, here[claim.study]) for part in claim.parts] for claim in family]
    deciding = [
        (i, j) for i, parts in enumerate(examined) for j, p in enumerate(parts) if p.outcome == "open"
    ]
    adjusted = holm(np.array([examined[i][j].p for i, j in deciding])) if deciding else ()
    for (i, j), p in zip(deciding, adjusted, strict=True):
        examined[i][j] = _settled(examined[i][j], float(p), len(deciding))
    return [
        _concluded(claim, here[claim.study], parts) for claim, parts in zip(family, examined, strict=True)
    ]


def _settled(found: PartVerdict, adjusted: float, family: int) -> PartVerdict:
    """The outcome once the family is known."""
    interval, bootstrap, scale = found.interval, found.bootstrap, found.part.scale
    assert interval is not None
    assert bootstrap is not None
    side = settle(found.part, interval.mean / scale, adjusted, bootstrap.low / scale, bootstrap.high / scale)
    detectable = float(minimum_detectable_effect(interval.sd, interval.n, alpha=LEVEL / family))
    return replace(found, outcome=SIDES[int(side)], adjusted=adjusted, family=family, detectable=detectable)


def _concluded(claim: Claim, rows: StudyRows, parts: Sequence[PartVerdict]) -> Verdict:
    """Contradicted if any part is opposed; else missing, too few seeds or open decide, in that order."""
    by: dict[Outcome, list[PartVerdict]] = {}
    for part in parts:
        by.setdefault(part.outcome, []).append(part)
    answer: Answer = "reproduced"
    reason = ""
    if "opposed" in by:
        answer, reason = "contradicted", "opposite: " + "; ".join(part.part.name for part in by["opposed"])
    elif "missing" in by:
        answer, reason = "missing", _no_rows([where for part in by["missing"] for where in part.missing])
    elif "too few seeds" in by:
        answer, reason = "inconclusive", by["too few seeds"][0].note
    elif "open" in by:
        answer, reason = "inconclusive", "open: " + "; ".join(part.part.name for part in by["open"])
    return Verdict(claim, rows.lab, rows.run, rows.primary, answer, reason, tuple(parts))


def _unwritten(claim: Claim, lab: str) -> Verdict:
    where = f"study={claim.study}"
    parts = tuple(PartVerdict(part, WITHOUT_ROWS[part.role], missing=(where,)) for part in claim.parts)
    return Verdict(claim, lab, NOWHERE, "", "missing", _no_rows([where]), parts)


def _no_rows(filters: Sequence[str]) -> str:
    """The first filter in full, and how many others found nothing either."""
    more = len(dict.fromkeys(filters)) - 1
    return f"no rows with {filters[0]}" + (f" (and {more} more such filters)" if more else "")


def _interval(measured: Measured) -> Interval:
    if measured.matrix is None:
        return t_interval(measured.effects)
    if measured.shared_items:
        return crossed_interval(measured.matrix)
    return nested_interval([row[np.isfinite(row)] for row in measured.matrix])


def _scaled(interval: Interval, scale: float) -> Interval:
    mean, low, high, sd = (scale * x for x in (interval.mean, interval.low, interval.high, interval.sd))
    return replace(interval, mean=mean, low=low, high=high, sd=sd)

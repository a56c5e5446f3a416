"""From records to verdicts: every claim put to every laboratory and run that has rows for its study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from theory.claims.base import LEVEL, MIN_SEEDS, Claim, Evidence, Measured, Part, Role
from theory.claims.catalogue import CLAIMS, choose
from theory.claims.decide import boundary, settle
from theory.claims.evidence import StudyRows, split_studies
from theory.claims.interval import interval_of
from theory.claims.room import cramped
from theory.files import write_whole
from theory.intervals import (
    Interval,
    bootstrap_bounds,
    holm,
    minimum_detectable_effect,
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
    interval meets the paper's number. `missing`: filters that found no rows. `cramped`: where there is no room
    for an effect, so that it stays open; it counts in the family all the same.
    """

    part: Part
    outcome: Outcome
    seeds: int = 0
    interval: Interval | None = None
    bootstrap: Interval | None = None
    p: float = float("nan")
    adjusted: float = float("nan")
    family: int = 0
    detectable: float = float("nan")
    overlaps: bool | None = None
    missing: tuple[str, ...] = ()
    note: str = ""
    cramped: str = ""


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

    @property
    def unwritten(self) -> bool:
        """Whether the laboratory has no rows at all of the claim's study."""
        return self.missing == (f"study={self.claim.study}",)


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

    def to_markdown(self) -> str:
        """Claims x laboratories, for a page."""
        from theory.claims.render import to_markdown

        return to_markdown(self)

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """`scoreboard.json`, `.csv` and `.md` in `folder`, each whole or not at all."""
        contents = {"json": self.to_json(), "csv": self.to_csv(), "md": self.to_markdown()}
        for kind, content in contents.items():
            write_whole(Path(folder) / f"scoreboard.{kind}", content)
        return tuple(Path(folder) / f"scoreboard.{kind}" for kind in contents)


def evaluate(table: Table, claims: Iterable[str | Claim] | None = None, arm: str = "") -> Scoreboard:
    """Put claims (ids or objects; all if None) to the records.

    Holm's family is always the whole family of a claim in that run, whichever of its claims were asked for.
    Claims that name no arm are put to `arm`, or to the primary one of each run (`vocabulary.PRIMARY`).
    """
    asked = choose(claims)
    letters = {claim.family for claim in asked}
    judged = {**CLAIMS, **{claim.id: claim for claim in asked}}.values()
    studies = split_studies(table, arm)
    cases = [(r, c) for r in studies for c in judged if c.study == r.study and c.family in letters]
    examined = _examined(cases)
    families: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for i, (rows, claim) in enumerate(cases):
        members = families.setdefault((rows.lab, rows.run, claim.family), [])
        members += [(i, j) for j, part in enumerate(examined[i]) if part.outcome == "open"]
    for members in families.values():
        settled = _settled([examined[i][j] for i, j in members])
        for (i, j), part in zip(members, settled, strict=True):
            examined[i][j] = part
    found: dict[tuple[str, str], list[Verdict]] = {}
    for (rows, claim), parts in zip(cases, examined, strict=True):
        found.setdefault((rows.lab, claim.id), []).append(_concluded(claim, rows, parts))
    labs = list(dict.fromkeys(rows.lab for rows in studies)) or [NOWHERE]
    verdicts = (found.get((lab, claim.id)) or [_unwritten(claim, lab)] for claim in asked for lab in labs)
    return Scoreboard(tuple(verdict for some in verdicts for verdict in some))


def _examined(cases: Sequence[tuple[StudyRows, Claim]]) -> list[list[PartVerdict]]:
    """Every part of every case before Holm's correction: estimate, intervals and p, or what is missing."""
    measured = [[part.quantity.measure(rows) for part in claim.parts] for rows, claim in cases]
    bootstraps = iter(_bootstraps([one for row in measured for one in row]))
    return [
        [_examine(part, one, next(bootstraps), rows) for part, one in zip(claim.parts, row, strict=True)]
        for (rows, claim), row in zip(cases, measured, strict=True)
    ]


def _examine(part: Part, measured: Measured, bootstrap: Interval | None, evidence: Evidence) -> PartVerdict:
    if measured.missing:
        return PartVerdict(part, WITHOUT_ROWS[part.role], missing=measured.missing)
    unpaired = f"{measured.unpaired} seeds left out, not in every cell" if measured.unpaired else ""
    n = len(measured.seeds)
    reported = part.role == "reported"
    if bootstrap is None:
        few = f"{n} paired {'seed' if n == 1 else 'seeds'}, {MIN_SEEDS} are needed"
        interval = _scaled(interval_of(measured, part.unit), part.scale) if n else None
        note = "; ".join(filter(None, (few, unpaired)))
        return PartVerdict(part, "reported" if reported else "too few seeds", n, interval, note=note)
    interval, number = interval_of(measured, part.unit), part.published
    scaled, narrow = _scaled(interval, part.scale), cramped(part, measured, evidence)
    if not math.isfinite(interval.low):  # seeds that agree to the last digit agree in every resample too
        bootstrap, number = replace(bootstrap, low=-math.inf, high=math.inf), None
    return PartVerdict(
        part,
        "reported" if reported else "open",
        n,
        scaled,
        _scaled(bootstrap, part.scale),
        interval.pvalue(float(boundary(part, interval.mean))),
        overlaps=None if number is None else scaled.low <= number.high and number.low <= scaled.high,
        note="; ".join(filter(None, (narrow, unpaired))),
        cramped=narrow,
    )


def _bootstraps(measured: Sequence[Measured]) -> list[Interval | None]:
    """Bootstrap intervals over seeds, all samples of a size at once; None where there are too few seeds."""
    found: list[Interval | None] = [None] * len(measured)
    sizes: dict[int, list[int]] = {}
    for i, one in enumerate(measured):
        sizes.setdefault(len(one.seeds), []).append(i)
    for n, places in sizes.items():
        if n >= MIN_SEEDS:
            bounds = bootstrap_bounds(np.stack([measured[i].effects for i in places]))
            for i, mean, low, high, se in zip(places, *(x.tolist() for x in bounds[:4]), strict=True):
                found[i] = Interval(mean, low, high, 1 - LEVEL, n, se * math.sqrt(n), "bootstrap (BCa)")
    return found


def _settled(family: Sequence[PartVerdict]) -> list[PartVerdict]:
    """The outcomes of the deciding parts of a family, known together."""
    if not family:
        return []
    adjusted = holm(np.array([found.p for found in family])).tolist()
    intervals = [found.interval for found in family if found.interval]
    sd, n = np.array([one.sd for one in intervals]), np.array([one.n for one in intervals])
    detectable = minimum_detectable_effect(sd, n, alpha=LEVEL / len(family)).tolist()
    return [
        replace(found, outcome=_side(found, p), adjusted=p, family=len(family), detectable=least)
        for found, p, least in zip(family, adjusted, detectable, strict=True)
    ]


def _side(found: PartVerdict, adjusted: float) -> Outcome:
    assert found.interval is not None
    assert found.bootstrap is not None
    if found.cramped:
        return "open"
    mean, low, high = (
        x / found.part.scale for x in (found.interval.mean, found.bootstrap.low, found.bootstrap.high)
    )
    return SIDES[int(settle(found.part, mean, adjusted, low, high))]


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
        answer, reason = "inconclusive", "open: " + "; ".join(map(_named, by["open"]))
    return Verdict(claim, rows.lab, rows.run, rows.primary, answer, reason, tuple(parts))


def _named(part: PartVerdict) -> str:
    """A part that is open, and whether it has no room; its note says where."""
    return part.part.name + (f" ({part.cramped.partition(':')[0]})" if part.cramped else "")


def _unwritten(claim: Claim, lab: str) -> Verdict:
    where = f"study={claim.study}"
    parts = tuple(PartVerdict(part, WITHOUT_ROWS[part.role], missing=(where,)) for part in claim.parts)
    return Verdict(claim, lab, NOWHERE, "", "missing", _no_rows([where]), parts)


def _no_rows(filters: Sequence[str]) -> str:
    """The first filter in full, and how many others found nothing either."""
    more = len(dict.fromkeys(filters)) - 1
    return f"no rows with {filters[0]}" + (f" (and {more} more such filters)" if more else "")


def _scaled(interval: Interval, scale: float) -> Interval:
    mean, low, high, sd = (scale * x for x in (interval.mean, interval.low, interval.high, interval.sd))
    return replace(interval, mean=mean, low=low, high=high, sd=sd)

"""What stands in a forest: a claim in a run of a laboratory, and the part of the claim's rule that is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from figures.bounds import cut
from figures.words import settled_by
from theory.claims import Claim, PartVerdict, Scoreboard, Verdict
from theory.claims.scoreboard import NOWHERE
from theory.intervals import Interval

RUNGS = {
    "R0": "closed form",
    "R1": "one layer",
    "R2": "tiny Llama",
    "R3": "small real model",
    "R4": "large real model",
}


HEADLINES = {  # claims whose first part is only the premise of what the title says: that there is a gap, or a benefit
    "B1": "gap at the end minus gap at the early stop",
    "B2": "gap in the nearest minus gap in the farthest quarter",
    "D4": "the same in a domain not trained on",
}


@dataclass(frozen=True)
class Mark:
    """The verdict is on all parts; `part` is the claim's headline, the same in every laboratory."""

    verdict: Verdict
    part: PartVerdict
    lane: str  # the laboratory, and which of its runs where it has several

    @property
    def claim(self) -> Claim:
        return self.verdict.claim

    @property
    def rung(self) -> str:
        return rung_of(self.verdict.lab)

    @property
    def drawn(self) -> Interval | None:
        """Cut where nothing can lie; one seed has no interval, nor have seeds that all agree."""
        found = self.part.interval
        return cut(self.part.part, found) if found is not None and math.isfinite(found.low) else None

    @property
    def cuts(self) -> tuple[float, ...]:
        """The ends at which it was cut."""
        found, one = self.part.interval, self.drawn
        if found is None or one is None:
            return ()
        return tuple(new for old, new in ((found.low, one.low), (found.high, one.high)) if old != new)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The parts that the verdict follows from, where this one is not among them."""
        names = tuple(part.part.name for part in settled_by(self.verdict))
        return () if self.part.part.name in names else names


def rung_of(lab: str) -> str:
    return lab.partition("/")[2].partition("-")[0]


def marks_of(board: Scoreboard) -> list[Mark]:
    """All verdicts that have rows; nothing where no effect has an interval."""
    found = []
    for verdict in board.verdicts:
        part = _headline(verdict)
        if verdict.answer != "missing" and part is not None and part.interval is not None:
            found.append(Mark(verdict, part, _lane(board, verdict)))
    return found if any(mark.drawn is not None for mark in found) else []


def why_empty(board: Scoreboard, claim: Claim, rung: str) -> str:
    """Why a claim has no mark on a rung."""
    here = [one for one in board.verdicts if one.claim.id == claim.id and rung_of(one.lab) == rung]
    return "rows are missing" if any(one.run != NOWHERE for one in here) else "no rows"


def in_order(marks: Sequence[Mark]) -> dict[str, str]:
    """Lanes by rung, each with its rung."""
    lanes = dict.fromkeys((mark.rung, mark.lane) for mark in marks)
    return {name: rung for rung, name in sorted(lanes, key=lambda one: one[0])}


def headline(claim: Claim) -> str:
    """The name of the part that is drawn."""
    return HEADLINES.get(claim.id, claim.parts[0].name)


def said(claim: Claim, part: str) -> str:
    """A part's name where the one before it, which it may speak of, is not to be seen."""
    first, same = claim.parts[0].name, "the same "
    return f"{first} {part.removeprefix(same)}" if part.startswith(same) and part == headline(claim) else part


def _headline(verdict: Verdict) -> PartVerdict | None:
    return next((one for one in verdict.parts if one.part.name == headline(verdict.claim)), None)


def _lane(board: Scoreboard, verdict: Verdict) -> str:
    runs: dict[str, dict[str, None]] = {}
    for one in board.verdicts:
        if one.lab == verdict.lab and one.run != NOWHERE:
            runs.setdefault(one.claim.study, {})[one.run] = None
    several = max(map(len, runs.values())) > 1
    at = list(runs[verdict.claim.study]).index(verdict.run)
    return verdict.lab + (f", run {at + 1}" if several else "")

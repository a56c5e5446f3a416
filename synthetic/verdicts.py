"""Verdicts while a run goes on: a line for each that changed, as seeds finish."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synthetic.profiles import FIRST_SEED

if TYPE_CHECKING:
    from theory.claims import Scoreboard, Verdict
    from theory.table import Table

FEW = 3  # seeds of a study that claims need at least
SHARE = 0.05  # of the time, at most, goes into judging


class Verdicts:
    """Remembers what it said of the claims of some studies."""

    def __init__(self, studies: Sequence[str]) -> None:
        self._studies = studies
        self._answers: dict[tuple[str, str, str], str] = {}
        self._quiet_until = 0.0

    def changes(self, files: Sequence[Path]) -> list[str]:
        """Verdicts that are new or not what they were when last asked; nothing if that was a moment ago.

        Those that still lack rows or seeds are passed over.
        """
        start = time.monotonic()
        if start < self._quiet_until or max(Counter(path.parent for path in files).values(), default=0) < FEW:
            return []
        lines = []
        for verdict in board.verdicts if (board := judge(files, claims_of(self._studies))) else ():
            key = (verdict.claim.id, verdict.lab, verdict.run)
            before = self._answers.get(key)
            if _settled(verdict) and before != verdict.answer:
                self._answers[key] = verdict.answer
                lines.append(_line(verdict) + (f" (was {before})" if before else ""))
        end = time.monotonic()
        self._quiet_until = end + (end - start) / SHARE
        return lines


def claims_of(studies: Sequence[str]) -> list[str]:
    """Ids of the claims that these studies speak to."""
    from theory.claims import CLAIMS

    return [claim.id for claim in CLAIMS.values() if claim.study in studies]


def judge(files: Sequence[Path], claims: Sequence[str]) -> Scoreboard | None:
    """The claims put to the reported seeds of these records; none if there are no such seeds or claims."""
    from theory.claims import evaluate
    from theory.records import read_records

    if not files or not claims:
        return None
    table = reported(read_records(*files))
    return evaluate(table, claims) if len(table) else None


def reported(table: Table) -> Table:
    """Rows of the seeds that no regime was chosen on."""
    return table.take(table.numbers["seed"] >= FIRST_SEED)


def _settled(verdict: Verdict) -> bool:
    return verdict.answer != "missing" and all(part.outcome != "too few seeds" for part in verdict.parts)


def _line(verdict: Verdict) -> str:
    from theory.claims.interval import told

    first, rung, effect = verdict.parts[0], verdict.lab.partition("/")[2], ""
    if first.interval is not None:
        effect = f", {told(first.interval, 1)} {first.part.unit} over {first.seeds} seeds"
    return f"{verdict.claim.id} {rung} {verdict.answer}: {verdict.claim.title}{effect}"

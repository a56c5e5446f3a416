"""Numbers and verdicts in words: what stands in titles and under pictures, and in the page's tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from theory.claims import PartVerdict, Verdict
from theory.intervals import CROSSED, EXACT, ONE_SEED, Interval

OUTCOMES = {"contradicted": "opposed", "inconclusive": "open"}  # of the parts that a verdict follows from
OVER = {
    CROSSED: "over seeds crossed with items",
    ONE_SEED: "over the items of one seed",
    EXACT: "over items alone",
}
SAID = {"reproduced": "reproduced by", "contradicted": "contradicted by", "inconclusive": "inconclusive:"}


def settling(verdict: Verdict) -> PartVerdict | None:
    """The first part that the verdict follows from; None where there are no rows."""
    return next(iter(settled_by(verdict)), None)


def settled_by(verdict: Verdict) -> list[PartVerdict]:
    """All of them; the first part where none has such an outcome, as with too few seeds."""
    if verdict.answer == "missing":
        return []
    wanted = OUTCOMES.get(verdict.answer, "supported")
    return [part for part in verdict.parts if part.outcome == wanted] or [verdict.parts[0]]


def because(verdict: Verdict) -> str:
    """What the verdict follows from, with its numbers; nothing where there are no rows."""
    parts = [part for part in settled_by(verdict) if part.interval is not None]
    if not parts:
        return ""
    one = parts[0]
    assert one.interval is not None
    note = f" ({one.note})" if one.note else ""
    more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
    effect = f"{numbers(one.interval)} {one.part.unit}"
    return f"{verdict.claim.id} {SAID[verdict.answer]} {one.part.name}, {effect}{note}{more}"


def numbers(found: Interval) -> str:
    """Mean with its interval, to a digit that the interval's width carries; one seed has none."""
    if not math.isfinite(found.high - found.low):
        return minus(f"{found.mean:.2f}")
    digits = 1 if max(abs(found.mean), found.high - found.low) >= 2 else 2
    mean, low, high = (minus(f"{x:.{digits}f}") for x in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def over(found: Iterable[Interval]) -> str:
    """What these intervals go over: seeds, or items too where records hold each item."""
    kinds = {OVER.get(one.method, "over seeds") for one in found} or {"over seeds"}
    return " or ".join(kind for kind in ("over seeds", *OVER.values()) if kind in kinds)


def minus(text: str) -> str:
    """A true minus sign before digits."""
    return re.sub(r"(?<![\w-])-(?=\d|inf)", "−", text)


def counted(least: int, most: int, what: str) -> str:
    """A count or a range of counts of something."""
    return f"{most:,} {what}" if least == most else f"{least:,} to {most:,} {what}"


def seeds_said(counts: Iterable[int]) -> str:
    """How many seeds stand behind several numbers."""
    found = sorted(set(counts))
    return counted(found[0], found[-1], "seed" if found[-1] == 1 else "seeds")


def shortened(text: str, most: int = 48) -> str:
    """The text, or as much of it as there is room for beside an axis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def packed(text: str, width: int) -> str:
    """The text in lines of about that many letters, broken after semicolons and else between words; its own line breaks
    stay, and formulas are left whole."""
    return "\n".join(line for part in text.split("\n") for line in _lines(part, width))


def _lines(text: str, width: int) -> list[str]:
    import textwrap

    lines: list[str] = []
    for piece in text.split("; "):
        if lines and len(lines[-1]) + 2 + len(piece) <= width:
            lines[-1] += f"; {piece}"
        else:
            if lines:
                lines[-1] += ";"
            lines.append(piece)
    return [
        short
        for line in lines
        for short in ([line] if "$" in line or len(line) <= width else textwrap.wrap(line, width))
    ]

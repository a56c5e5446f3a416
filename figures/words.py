"""Numbers and verdicts in words: what stands in titles and under pictures, and in the page's tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from figures.runs import BOUNDED
from theory.claims import Part, PartVerdict, Verdict
from theory.claims.base import LEVEL
from theory.claims.decide import side
from theory.claims.estimators import Contrast
from theory.intervals import Interval

HARD = "\u00a0"  # a space at which no line is broken
_EFFECT = re.compile(r"\S+ \[[^\]]*\](?: (?:\w+|%))?")  # a mean with its interval and unit
SHARES = BOUNDED | {"push_sign_agreement", "push_order_agreement"}
OUTCOMES = {"contradicted": "opposed", "inconclusive": "open"}  # of the parts that a verdict follows from
HOLM = "after Holm's correction within each letter of a run"
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
    note = f" ({said})" if (said := "; ".join(filter(None, (one.note, doubt(one))))) else ""
    more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
    effect = f"{numbers(one.interval)} {unit_of(one.part)}"
    return f"{verdict.claim.id} {SAID[verdict.answer]} {one.part.name}, {effect}{note}{more}"


def unit_of(part: Part) -> str:
    """Its unit as pictures say it: points are what shares differ by, and a share itself is in percent."""
    terms = part.quantity.terms if isinstance(part.quantity, Contrast) else ()
    level = [weight for weight, cell in terms if cell.metric in SHARES] == [1.0] and len(terms) == 1
    return "%" if level and part.unit == "points" else part.unit


def doubt(one: PartVerdict) -> str:
    """Why a part is open though its interval lies on one side."""
    found, scale = one.interval, one.part.scale
    if one.outcome != "open" or found is None or not math.isfinite(found.low) or one.cramped:
        return ""
    if not side(one.part, found.low / scale, found.high / scale):
        return ""
    if one.adjusted < LEVEL:
        return "the bootstrap's interval does not agree"
    return f"p = {one.adjusted:.2g} {HOLM}" if math.isfinite(one.adjusted) else f"not {HOLM}"


def numbers(found: Interval) -> str:
    """Mean with its interval, to a digit that the interval's width carries; one seed has none, nor have seeds that all
    agree."""
    if not 1e-9 < found.high - found.low < math.inf:
        return _to(found.mean, 2)
    digits = 1 if max(abs(found.mean), found.high - found.low) >= 2 else 2
    mean, low, high = (_to(x, digits) for x in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


def _to(x: float, digits: int) -> str:
    """A number to so many digits; nothing that rounds to zero has a sign."""
    return minus(f"{round(x, digits) + 0.0:.{digits}f}")


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

    text = _EFFECT.sub(lambda found: found.group().replace(" ", HARD), text)
    lines: list[str] = []
    for piece in text.split("; "):
        if lines and len(lines[-1]) + 2 + len(piece) <= width:
            lines[-1] += f"; {piece}"
        else:
            if lines:
                lines[-1] += ";"
            lines.append(piece)
    return [
        short.replace(HARD, " ")
        for line in lines
        for short in ([line] if "$" in line or len(line) <= width else textwrap.wrap(line, width))
    ]

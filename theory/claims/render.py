"""A scoreboard as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from theory.claims.base import LEVEL
from theory.claims.interval import over, told
from theory.spreadsheets import safe

if TYPE_CHECKING:
    from theory.claims.scoreboard import PartVerdict, Scoreboard, Verdict

COLUMNS = ("claim", "lab", "verdict", "held", "effect [95% interval]", "seeds", "paper")
WIDTH = 110  # of remarks, which stand below their line
RIGHT = {"held", "seeds"}
ANSWERS = ("reproduced", "contradicted", "inconclusive", "missing")


def to_text(board: Scoreboard, parts: bool = False) -> str:
    """Columns for a person: the effect is the claim's first part, `held` counts supported deciding parts.

    The laboratory has a column only if there are several; claims whose study nobody ran share a line a study.
    """
    runs = Counter((verdict.claim.id, verdict.lab) for verdict in board.verdicts)
    labs = list(dict.fromkeys(verdict.lab for verdict in board.verdicts))
    alone = len(labs) == 1 and max(runs.values()) == 1
    rows: list[tuple[tuple[str, ...], str]] = [(COLUMNS, "")]
    unasked: dict[str, dict[str, None]] = {}
    for verdict in board.verdicts:
        if verdict.unwritten and len(board.verdicts) > 1:
            unasked.setdefault(verdict.claim.study, {})[verdict.claim.id] = None
            continue
        held, of = verdict.held
        title = f"{verdict.claim.id} {verdict.claim.title}"
        lab = f"{verdict.lab} {verdict.run}" if runs[verdict.claim.id, verdict.lab] > 1 else verdict.lab
        cells = (title, lab, verdict.answer, f"{held}/{of}", *_numbers(verdict.parts[0]))
        rows.append((cells, verdict.reason))
        if parts:
            rows += [(("", "", part.outcome, "", *_numbers(part)), _remark(part)) for part in verdict.parts]
    shown = [i for i, name in enumerate(COLUMNS) if not (alone and name == "lab")]
    widths = {i: max(len(cells[i]) for cells, _ in rows) for i in shown}
    counts = Counter[str](verdict.answer for verdict in board.verdicts)
    return "\n".join(
        [
            *(line for cells, remark in rows for line in (_line(cells, widths), *_below(remark))),
            "",
            *(f"No rows with study={study}: {', '.join(claims)}." for study, claims in unasked.items()),
            *([f"Laboratory: {labs[0]}."] if alone else []),
            ", ".join(f"{counts[answer]} {answer}" for answer in ANSWERS) + ".",
            f"Two-sided {LEVEL:.0%} {_over(board)} after Holm's correction within each family (letter) of a run.",
            "Effect: the claim's first part. Paper: its number; ~ our interval meets it, ! it does not.",
        ]
    )


def to_markdown(board: Scoreboard) -> str:
    """Claims x laboratories for a page: verdict, effect and interval of the part that settled it, the paper's number.

    A part is named unless it is the claim's first. Claims that no laboratory has rows for are left out.
    """
    told = [v for v in board.verdicts if v.answer != "missing"]
    labs = list(dict.fromkeys(verdict.lab for verdict in told))
    cells: dict[str, dict[str, list[str]]] = {}
    for verdict in told:
        part = _settling(verdict)
        name = "" if part is verdict.parts[0] else f"{part.part.name}: "
        said = "**contradicted**" if verdict.answer == "contradicted" else verdict.answer
        room = f" ({part.cramped.partition(':')[0]})" if part.cramped else ""
        cell = f"{said}{room}, {name}{_numbers(part)[0]}"
        cells.setdefault(verdict.claim.id, {}).setdefault(verdict.lab, []).append(cell)
    lines = ["| claim | paper | " + " | ".join(labs) + " |", "|---" * (len(labs) + 2) + "|"]
    for claim, found in cells.items():
        about = next(verdict for verdict in told if verdict.claim.id == claim)
        number = about.parts[0].part.published or ""
        columns = ("; ".join(found.get(lab, [])) for lab in labs)
        lines.append(f"| {claim} {about.claim.title} | {number} | " + " | ".join(columns) + " |")
    return "\n".join(lines) + "\n"


def to_json(board: Scoreboard) -> str:
    """Everything, numbers in the unit named; null where there is none."""
    content = {
        "level": board.level,
        "correction": "Holm within family and run",
        "verdicts": [_verdict(verdict) for verdict in board.verdicts],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(board: Scoreboard) -> str:
    """One line a part; text that a spreadsheet would take for a formula gets a leading apostrophe."""
    rows = [_flat(verdict) | _part(part) for verdict in board.verdicts for part in verdict.parts]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    if rows:
        writer.writerow(rows[0])
        writer.writerows([safe(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _settling(verdict: Verdict) -> PartVerdict:
    """The first part that the verdict follows from."""
    wanted = {"contradicted": "opposed", "inconclusive": "open"}.get(verdict.answer, "")
    return next((part for part in verdict.parts if part.outcome == wanted), verdict.parts[0])


def _over(board: Scoreboard) -> str:
    """What the intervals of all parts go over."""
    parts = (part for verdict in board.verdicts for part in verdict.parts)
    return over(part.interval for part in parts if part.interval is not None)


def _line(cells: tuple[str, ...], widths: Mapping[int, int]) -> str:
    padded = (cells[i].rjust(w) if COLUMNS[i] in RIGHT else cells[i].ljust(w) for i, w in widths.items())
    return "  ".join(padded).rstrip()


def _below(remark: str) -> list[str]:
    return textwrap.wrap(
        remark,
        WIDTH,
        initial_indent="     ",
        subsequent_indent="       ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _numbers(part: PartVerdict) -> tuple[str, str, str]:
    """Effect with interval, seeds, and the paper's number (`~` if ours meets it, `!` if not)."""
    number = part.part.published
    meets = {None: "", True: " ~", False: " !"}[part.overlaps]
    paper = f"{number}{meets}" if number else ""
    if part.interval is None:
        return "", "", paper
    return f"{told(part.interval)} {part.part.unit}", str(part.seeds), paper


def _remark(part: PartVerdict) -> str:
    rule = f" ({part.part.rule})" if part.part.role != "reported" else ""
    note = f"no rows with {part.missing[0]}" if part.missing else part.note
    return f"{part.part.name}{rule}{f': {note}' if note else ''}"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return {
        **_flat(verdict),
        "sentence": claim.sentence,
        "citation": claim.paper.citation,
        "rule": claim.rule,
        "note": claim.note,
        "parts": [_part(part) for part in verdict.parts],
    }


def _flat(verdict: Verdict) -> dict[str, Any]:
    held, of = verdict.held
    return {
        "claim": verdict.claim.id,
        "title": verdict.claim.title,
        "paper": verdict.claim.paper.short,
        "mark": verdict.claim.mark,
        "study": verdict.claim.study,
        "lab": verdict.lab,
        "run": verdict.run,
        "arm": verdict.arm,
        "verdict": verdict.answer,
        "reason": verdict.reason,
        "held": held,
        "deciding": of,
    }


def _part(found: PartVerdict) -> dict[str, Any]:
    part, interval, bootstrap, number = found.part, found.interval, found.bootstrap, found.part.published
    return {
        "part": part.name,
        "role": part.role,
        "outcome": found.outcome,
        "claimed": part.rule,
        "unit": part.unit,
        "effect": _finite(interval.mean if interval else None),
        "low": _finite(interval.low if interval else None),
        "high": _finite(interval.high if interval else None),
        "method": interval.method if interval else None,
        "bootstrap_low": _finite(bootstrap.low if bootstrap else None),
        "bootstrap_high": _finite(bootstrap.high if bootstrap else None),
        "seeds": found.seeds,
        "p": _finite(found.p),
        "adjusted_p": _finite(found.adjusted),
        "family": found.family,
        "detectable": _finite(found.detectable),
        "published_low": number.low if number else None,
        "published_high": number.high if number else None,
        "published_mark": number.mark if number else None,
        "published_where": number.where if number else None,
        "overlaps": found.overlaps,
        "missing": list(found.missing),
        "rows": found.note,
    }


def _finite(x: float | None) -> float | None:
    return x if x is not None and math.isfinite(x) else None

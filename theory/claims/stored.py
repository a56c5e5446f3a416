"""A scoreboard read back from the CSV that was kept of it: verdicts and effects without the records."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from theory.claims.base import LEVEL, Part
from theory.claims.catalogue import CLAIMS
from theory.claims.scoreboard import NOWHERE, Answer, Outcome, PartVerdict, Scoreboard, Verdict
from theory.errors import TheoryError
from theory.intervals import Interval
from theory.kept import Row, count, number, rows
from theory.schema import bare, complaint

NUMBERS = ("effect", "low", "high")
NEEDED = ("claim", "lab", "run", "arm", "verdict", "reason", "part", "outcome", *NUMBERS, "method", "seeds")


def read_scoreboard(*paths: Path) -> Scoreboard:
    """The verdicts of several files; intervals have their limits and what they go over, and no spread."""
    return Scoreboard(tuple(verdict for path in paths for verdict in _verdicts(path)))


def _verdicts(path: Path) -> Iterable[Verdict]:
    found: dict[tuple[str, str, str], tuple[Row, list[PartVerdict]]] = {}
    for line, row in rows(path, NEEDED, "`python -m theory claims RECORDS -o FOLDER`"):
        try:
            claim = CLAIMS[row["claim"]]
            part = next(one for one in claim.parts if one.name == row["part"])
        except (KeyError, StopIteration):
            raise TheoryError(
                f"{path}:{line}: claim {bare(row['claim'])} has no part {row['part']!r} today; judge the records again "
                "with `python -m theory claims`"
            ) from None
        if row["lab"] != NOWHERE and (wrong := complaint("lab", row["lab"])):
            raise TheoryError(f"{path}:{line}: lab: {wrong}")
        _, parts = found.setdefault((row["claim"], row["lab"], row["run"]), (row, []))
        parts.append(_part(part, row, f"{path}:{line}"))
    for (name, lab, run), (row, parts) in found.items():
        yield Verdict(
            CLAIMS[name], lab, run, row["arm"], _answer(row["verdict"], path), row["reason"], tuple(parts)
        )


def _part(part: Part, row: Row, where: str) -> PartVerdict:
    if row["outcome"] not in get_args(Outcome):
        raise TheoryError(
            f"{where}: outcome {row['outcome']!r}; expected one of {', '.join(get_args(Outcome))}"
        )
    interval, seeds = None, count(row, "seeds", where)
    if row["effect"]:
        ends = (number(row, name, where) if row[name] else None for name in ("low", "high"))
        low, high = ends  # a single seed has a mean and no limits
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise TheoryError(
                f"{where}: low {row['low']!r} and high {row['high']!r}; expected both, or neither"
            )
        interval = Interval(
            number(row, "effect", where),
            -math.inf if low is None else low,
            math.inf if high is None else high,
            1 - LEVEL,
            seeds,
            math.nan,
            row["method"],
        )
    adjusted = number(row, "adjusted_p", where) if row.get("adjusted_p") else math.nan
    return PartVerdict(part, row["outcome"], seeds, interval, adjusted=adjusted)  # type: ignore[arg-type]


def _answer(text: str, path: Path) -> Answer:
    for answer in get_args(Answer):
        if answer == text:
            return answer  # type: ignore[no-any-return]
    raise TheoryError(f"{path}: verdict {text!r}; expected one of {', '.join(get_args(Answer))}")

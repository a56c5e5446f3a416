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
    """The verdicts of several files; intervals have their limits and what they go over, and no spread. No claim is
    judged twice in one run: neither file is the one that is right."""
    seen: dict[tuple[str, ...], str] = {}
    return Scoreboard(tuple(verdict for path in paths for verdict in _verdicts(path, seen)))


def _verdicts(path: Path, seen: dict[tuple[str, ...], str]) -> Iterable[Verdict]:
    """Those of one file; `seen` are the first places of claim, laboratory and run, and of each part, in any file."""
    found: dict[tuple[str, str, str], tuple[Row, Answer, list[PartVerdict]]] = {}
    for line, row in rows(path, NEEDED, "`python -m theory claims RECORDS -o FOLDER`"):
        try:
            claim = CLAIMS[row["claim"]]
            part = next(one for one in claim.parts if one.name == row["part"])
        except (KeyError, StopIteration):
            raise TheoryError(
                f"{path}:{line}: claim {bare(row['claim'])} has no part {row['part']!r} today; judge the records again "
                "with `python -m theory claims`"
            ) from None
        where = f"{path}:{line}"
        if row["lab"] != NOWHERE and (wrong := complaint("lab", row["lab"])):
            raise TheoryError(f"{where}: lab: {wrong}")
        answer = _answer(row["verdict"], where)
        case = (row["claim"], row["lab"], row["run"])
        if row["run"] != NOWHERE:  # that nobody ran it any number of files may say
            if first := seen.get((*case, part.name) if case in found else case):
                raise TheoryError(_twice(row, where, first))
            seen.setdefault(case, where)
            seen[*case, part.name] = where
        *_, parts = found.setdefault(case, (row, answer, []))
        parts.append(_part(part, row, where))
    for (name, lab, run), (row, answer, parts) in found.items():
        yield Verdict(CLAIMS[name], lab, run, row["arm"], answer, row["reason"], tuple(parts))


def _twice(row: Row, where: str, first: str) -> str:
    """What stands in two places."""
    if where == first:
        return f"{where.rpartition(':')[0]}: is given twice; give it once"
    told = f"{where}: {row['claim']} in {row['lab']}, run {bare(row['run'])}"
    if where.rpartition(":")[0] == first.rpartition(":")[0]:
        return f"{told}: the part {row['part']!r} stands in {first} too; keep one of the two lines"
    return f"{told}: is judged in {first} too; leave out one of the two files, or draw them apart"


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


def _answer(text: str, where: str) -> Answer:
    for answer in get_args(Answer):
        if answer == text:
            return answer  # type: ignore[no-any-return]
    raise TheoryError(f"{where}: verdict {text!r}; expected one of {', '.join(get_args(Answer))}")

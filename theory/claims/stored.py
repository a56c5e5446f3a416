"""A scoreboard read back from the CSV that was kept of it: verdicts and effects without the records."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from theory.claims.base import LEVEL, Part
from theory.claims.catalogue import CLAIMS
from theory.claims.scoreboard import Answer, Outcome, PartVerdict, Scoreboard, Verdict
from theory.errors import TheoryError
from theory.intervals import Interval
from theory.schema import bare
from theory.spreadsheets import raw

Row = Mapping[str, str]
NUMBERS = ("effect", "low", "high")
NEEDED = ("claim", "lab", "run", "arm", "verdict", "reason", "part", "outcome", *NUMBERS, "method", "seeds")


def read_scoreboard(*paths: Path) -> Scoreboard:
    """The verdicts of several files; intervals have their limits and what they go over, and no spread."""
    return Scoreboard(tuple(verdict for path in paths for verdict in _verdicts(path)))


def _verdicts(path: Path) -> Iterable[Verdict]:
    found: dict[tuple[str, str, str], tuple[Row, list[PartVerdict]]] = {}
    for line, row in _rows(path):
        try:
            claim = CLAIMS[row["claim"]]
            part = next(one for one in claim.parts if one.name == row["part"])
        except (KeyError, StopIteration):
            raise TheoryError(
                f"{path}:{line}: claim {bare(row['claim'])} has no part {row['part']!r} today; judge the records again "
                "with `python -m theory claims`"
            ) from None
        _, parts = found.setdefault((row["claim"], row["lab"], row["run"]), (row, []))
        parts.append(_part(part, row, f"{path}:{line}"))
    for (name, lab, run), (row, parts) in found.items():
        yield Verdict(
            CLAIMS[name], lab, run, row["arm"], _answer(row["verdict"], path), row["reason"], tuple(parts)
        )


def _rows(path: Path) -> Iterable[tuple[int, Row]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            names = lines.fieldnames or ()
            if missing := [name for name in NEEDED if name not in names]:
                raise TheoryError(
                    f"{path}: no column {missing[0]!r}; expected a scoreboard.csv that `python -m theory claims` wrote"
                )
            for row in lines:
                if None in row or None in row.values():
                    raise TheoryError(
                        f"{path}:{lines.line_num}: expected {len(names)} cells, as the header has"
                    )
                yield lines.line_num, {name: raw(cell) for name, cell in row.items()}
    except FileNotFoundError:
        raise TheoryError(
            f"{path}: no such file; `python -m theory claims RECORDS -o FOLDER` writes one"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TheoryError(f"{path}: expected a CSV file in UTF-8: {error}") from None


def _part(part: Part, row: Row, where: str) -> PartVerdict:
    if row["outcome"] not in get_args(Outcome):
        raise TheoryError(
            f"{where}: outcome {row['outcome']!r}; expected one of {', '.join(get_args(Outcome))}"
        )
    try:
        mean, low, high = (float(row[name]) if row[name] else math.inf for name in NUMBERS)
        seeds = int(row["seeds"])
    except ValueError as error:
        raise TheoryError(f"{where}: {error}; expected numbers in effect, low, high and seeds") from None
    interval = None
    if math.isfinite(mean):  # a single seed has a mean and no limits
        interval = Interval(
            mean, low if row["low"] else -math.inf, high, 1 - LEVEL, seeds, math.nan, row["method"]
        )
    return PartVerdict(part, row["outcome"], seeds, interval)  # type: ignore[arg-type]


def _answer(text: str, path: Path) -> Answer:
    for answer in get_args(Answer):
        if answer == text:
            return answer  # type: ignore[no-any-return]
    raise TheoryError(f"{path}: verdict {text!r}; expected one of {', '.join(get_args(Answer))}")

"""Two runs of one laboratory on different seeds: which verdicts came out again, which effects moved."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from theory.claims.base import LEVEL
from theory.errors import TheoryError
from theory.kept import Row, count, number, rows
from theory.reshuffle import Reshuffled, reshuffled
from theory.spreadsheets import safe

Key = tuple[str, str, str]  # claim, laboratory, part
SUMMARISE = "`python -m synthetic summarise RUNS -o FOLDER`"


@dataclass(frozen=True)
class Again:
    """A deciding part in both runs: effects in its unit, and what the second has more, with Welch's interval."""

    claim: str
    title: str
    lab: str
    first: str  # verdicts on the claim
    second: str
    part: str
    unit: str
    first_seeds: int
    second_seeds: int
    first_effect: float
    second_effect: float
    more: float
    low: float
    high: float

    @property
    def moved(self) -> bool:
        return not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Replication:
    parts: tuple[Again, ...]
    reshuffled: Mapping[str, Reshuffled]  # by laboratory

    @property
    def verdicts(self) -> dict[tuple[str, str], tuple[str, str]]:
        """By claim and laboratory: the first run's verdict and the second's."""
        return {(part.claim, part.lab): (part.first, part.second) for part in self.parts}

    def to_text(self) -> str:
        found = self.verdicts
        same = sum(first == second for first, second in found.values())
        turned = sum({first, second} == {"reproduced", "contradicted"} for first, second in found.values())
        moved = [part for part in self.parts if part.moved]
        lines = [
            f"{claim:4} {lab}: {first}, then {second}"
            for (claim, lab), (first, second) in found.items()
            if first != second
        ]
        lines += [
            f"{same} of {len(found)} verdicts came out again, {turned} turned into the opposite",
            f"{len(moved)} of {len(self.parts)} deciding effects differ by more than luck at {LEVEL:.0%} "
            f"(without a difference: about {LEVEL * len(self.parts):.0f} if they were independent)",
            *(f"{lab}: {luck}" for lab, luck in self.reshuffled.items()),
            *(
                f"{p.claim:4} {p.part}: {p.first_effect:.3g}, then {p.second_effect:.3g} {p.unit}, "
                f"{p.more:+.2g} [{p.low:.2g}, {p.high:.2g}]"
                for p in moved
            ),
        ]
        return "\n".join(lines)

    def to_csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([field.name for field in fields(Again)])
        for part in self.parts:
            writer.writerow([safe(float(f"{v:.6g}") if isinstance(v, float) else v) for v in astuple(part)])
        return out.getvalue()


def replicate(first: Path, second: Path) -> Replication:
    """Compare two folders of `synthetic summarise`, part by part of the claims that both have judged."""
    (before, old), (after, new) = (read_summary(folder) for folder in (first, second))
    parts = tuple(_pairs(before, after, old, new))
    if not parts:
        raise TheoryError(f"{first}, {second}: no claim was judged in the same laboratory by both")
    luck = {}
    for lab in dict.fromkeys(part.lab for part in parts):
        keys = [(part.claim, part.lab, part.part) for part in parts if part.lab == lab]
        luck[lab] = reshuffled([old[key] for key in keys], [new[key] for key in keys])
    return Replication(parts, luck)


def _pairs(
    before: Mapping[Key, Mapping[str, str]],
    after: Mapping[Key, Mapping[str, str]],
    old: Mapping[Key, Mapping[int, float]],
    new: Mapping[Key, Mapping[int, float]],
) -> Iterator[Again]:
    for key, row in before.items():
        if key not in after or len(old.get(key, ())) < 2 or len(new.get(key, ())) < 2:
            continue
        if both := sorted(old[key].keys() & new[key].keys()):
            raise TheoryError(
                f"{key[0]} in {key[1]}: seeds {', '.join(map(str, both))} are in both runs; expected other seeds"
            )
        x, y = list(old[key].values()), list(new[key].values())
        claim, lab, part = key
        yield Again(
            claim,
            row["title"],
            lab,
            row["verdict"],
            after[key]["verdict"],
            part,
            row["unit"],
            len(x),
            len(y),
            float(np.mean(x)),
            float(np.mean(y)),
            *_welch(x, y),
        )


def _welch(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Mean of y minus mean of x with its limits; two constants differ for certain or not at all."""
    from scipy.stats import t

    errors = [np.var(v, ddof=1) / len(v) for v in (x, y)]
    more, se = float(np.mean(y) - np.mean(x)), math.sqrt(sum(errors))
    if se == 0:
        return more, more, more
    df = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (x, y), strict=True))
    half = float(t.ppf(1 - LEVEL / 2, df)) * se
    return more, more - half, more + half


def _key(row: Mapping[str, str]) -> Key:
    return row["claim"], row["lab"], row["part"]


def read_summary(folder: Path) -> tuple[dict[Key, Row], dict[Key, dict[int, float]]]:
    """The deciding parts of a folder that `synthetic summarise` wrote, and the effects of every seed."""
    return _board(folder), _effects(folder)


def _effects(folder: Path) -> dict[Key, dict[int, float]]:
    found: dict[Key, dict[int, float]] = {}
    runs: dict[Key, str] = {}
    path = folder / "effects.csv"
    for line, row in rows(path, ("claim", "lab", "part", "run", "seed", "effect"), SUMMARISE):
        key = _key(row)
        if runs.setdefault(key, row["run"]) != row["run"]:
            raise TheoryError(
                f"{folder}: two runs of {key[0]} in {key[1]}; expected one, summarise them apart"
            )
        where = f"{path}:{line}"
        found.setdefault(key, {})[count(row, "seed", where)] = number(row, "effect", where)
    return found


def _board(folder: Path) -> dict[Key, Row]:
    needed = ("claim", "title", "lab", "part", "role", "verdict", "unit")
    lines = rows(folder / "scoreboard.csv", needed, SUMMARISE)
    return {_key(row): row for _, row in lines if row["role"] != "reported"}

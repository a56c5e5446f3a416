"""Three runs of the laboratory, pair by pair: which verdicts and effects came out again."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path

from tests.house.requirements import ROOT
from theory.replication import Replication, replicate

RESULTS = ROOT / "synthetic" / "results"
LAB = "synthetic/R2-2layer"
RUNS = {"110 to 119": RESULTS / "first", "120 to 129": RESULTS, "2000 to 2009": RESULTS / "third"}


@cache
def pair(first: Path, second: Path) -> Replication:
    return replicate(first, second)


def verdicts() -> dict[str, tuple[str, ...]]:
    """Of every claim that all three judged: its verdicts, in the order of the runs."""
    first, second, third = RUNS.values()
    one, other = (pair(folder, third).verdicts for folder in (first, second))
    return {claim: (*one[claim, lab][:1], *other[claim, lab]) for claim, lab in one.keys() & other.keys()}


def table() -> str:
    lines = [
        "| seeds | verdicts that came out again | deciding effects that differ | if seeds are dealt anew | p |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (name, first), (other, second) in combinations(RUNS.items(), 2):
        found = pair(first, second)
        again = [old == new for old, new in found.verdicts.values()]
        moved, luck = sum(part.moved for part in found.parts), found.reshuffled[LAB]
        lines.append(
            f"| {name} and {other} | {sum(again)} of {len(again)} | {moved} of {len(found.parts)} "
            f"| {luck.mean:.1f}, at most {luck.high} in 95% | {luck.p:.2g} |"
        )
    return "\n".join(lines)


TABLES = {"three runs": table}

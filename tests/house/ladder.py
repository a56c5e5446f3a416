"""The table of README's front: every claim on every rung, from the committed scoreboards; runs are counted apart."""

from __future__ import annotations

import csv
import re
from collections import Counter

from tests.house.requirements import ROOT

RUNGS = {  # a column, and the names of the laboratories that stand on it
    "closed form": r"theory/R0",
    "one layer": r"(theory|synthetic)/R1-.+",
    "tiny Llama, three runs": r"synthetic/R2-2layer",
    "the same, gently tuned": r"synthetic/R2-2layer-gentle",
    "longer texts read": r"synthetic/R2-2layer-told",
    "small real model": r"realmodels/R3-.+",
}
BOARDS = (
    "theory/results",
    *(f"synthetic/results{run}" for run in ("/first", "", "/third", "/gentle", "/told")),
    "realmodels/results",
)
WORDS = {"reproduced": "reproduced", "contradicted": "**contradicted**", "inconclusive": "open"}


def verdicts() -> dict[tuple[str, str], dict[tuple[str, str], str]]:
    """Of every claim, its id and title: laboratory and folder -> verdict, of those that have rows for it."""
    found: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for folder in BOARDS:
        with open(ROOT / folder / "scoreboard.csv", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["verdict"] != "missing":
                    found.setdefault((row["claim"], row["title"]), {})[row["lab"], folder] = row["verdict"]
    return found


def cell(told: list[str]) -> str:
    """The verdict, or how many of the laboratories on a rung come to which."""
    if len(set(told)) <= 1:
        return WORDS[told[0]] if told else ""
    counts = Counter(told)
    return ", ".join(f"{counts[word]} {said}" for word, said in WORDS.items() if counts[word])


def table() -> str:
    lines = [f"| claim | {' | '.join(RUNGS)} |", "|---" * (len(RUNGS) + 1) + "|"]
    order = {letter: place for place, letter in enumerate("ABCDVXU")}
    for (claim, title), labs in sorted(verdicts().items(), key=lambda item: (order[item[0][0][0]], item[0])):
        cells = [
            cell([verdict for (lab, _), verdict in labs.items() if re.fullmatch(pattern, lab)])
            for pattern in RUNGS.values()
        ]
        lines.append(f"| {claim} {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {"the ladder": table}

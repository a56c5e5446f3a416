"""The tables of README on the gentle tuning, from the committed results of the default rung and of the gentle one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from tests.house.requirements import ROOT

RESULTS = ROOT / "synthetic" / "results"
FOLDERS = {"synthetic/R2-2layer": RESULTS, "synthetic/R2-2layer-gentle": RESULTS / "gentle"}
ASKED = {  # stop, split, stratum and prompt of accuracies after known and after unknown rows
    "alone, early stop": ("early", "test", "all", "zero"),
    "alone, end": ("end", "test", "all", "zero"),
    "after four exemplars, early stop": ("early", "test", "all", "few:4"),
    "after four exemplars, end": ("end", "test", "all", "few:4"),
    "in the untuned words, end": ("end", "test", "all", "own"),
    "chain of thought, end": ("end", "test", "all", "cot"),
    "chain of thought after two, end": ("end", "test", "all", "few-cot:2"),
    "alone, farthest quarter, end": ("end", "graded", "similarity=1", "zero"),
    "alone, nearest quarter, end": ("end", "graded", "similarity=4", "zero"),
}


def rows(path: Path, lab: str) -> list[dict[str, str]]:
    """Lines of a file of results that are about a laboratory."""
    with open(path, encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["lab"] == lab]


def verdicts(lab: str) -> dict[str, str]:
    """Of every claim that the laboratory has rows for."""
    found = {row["claim"]: row["verdict"] for row in rows(FOLDERS[lab] / "scoreboard.csv", lab)}
    return {claim: verdict for claim, verdict in found.items() if verdict != "missing"}


def beside() -> str:
    """Verdicts of both tunings, of the claims that the gentle one was put to."""
    boards: dict[str, dict[str, str]] = {}
    for lab, folder in FOLDERS.items():
        lines = (folder / "scoreboard.md").read_text(encoding="utf-8").splitlines()
        names, _, *found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        boards[lab] = {row[0]: row[names.index(lab)] for row in found}
    *_, last = boards.values()
    return _table(
        ["claim", *boards], [[claim, *(b.get(claim, "") for b in boards.values())] for claim in last]
    )


def answered(lab: str, trained_on: str, where: tuple[str, ...]) -> float:
    """Percent of the facts asked for, mean over seeds."""
    names = ("stop", "split", "stratum", "prompt")
    found = [
        float(row["value"])
        for row in rows(FOLDERS[lab] / "cells.csv", lab)
        if (row["study"], row["metric"], row["trained_on"]) == ("prompts", "accuracy", trained_on)
        and row["arm"] == ("base" if trained_on == "none" else "all")
        and tuple(row[name] for name in names) == where
    ]
    return 100 * mean(found)


def levels() -> str:
    """What is answered after known and after unknown rows."""
    arms = ("known", "unknown")
    heads = [f"{lab.removeprefix('synthetic/')}: {arm}" for lab in FOLDERS for arm in arms]
    return _table(
        ["% answered", *heads],
        [
            [said, *(f"{answered(lab, arm, where):.1f}" for lab in FOLDERS for arm in arms)]
            for said, where in ASKED.items()
        ],
    )


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    first, *others = ["| " + " | ".join(row) + " |" for row in (heads, *lines)]
    return "\n".join([first, "|---" * len(heads) + "|", *others])


TABLES: dict[str, Callable[[], str]] = {
    "synthetic/results/gentle/scoreboard.md": beside,
    "synthetic/results/gentle/cells.csv": levels,
}

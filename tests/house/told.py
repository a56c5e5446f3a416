"""The tables on the told rung, from the committed results of the default rung and of that one."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from tests.hardening import told_grid
from tests.house.gentle import RESULTS, _table, rows
from tests.house.long_form import _mean, _said
from tests.house.long_form import _rows as kept

TOLD = RESULTS / "told"
FOLDERS = {"default": RESULTS, "told": TOLD}
LABS = {"default": "synthetic/R2-2layer", "told": "synthetic/R2-2layer-told"}
BOARDS = {
    "default, first run": (RESULTS / "first", LABS["default"]),
    "default": (RESULTS, LABS["default"]),
    "default, third run": (RESULTS / "third", LABS["default"]),
    "told": (TOLD, LABS["told"]),
}
CLAIMS = ("D1", "D2", "D3", "D4", "D5", "X6", "U4")
PAIRS = (  # one set less another
    ("tuning", "generated", "none"),
    ("tuning", "generated+belief", "none"),
    ("tuning", "gold+belief", "none"),
    ("source", "generated", "gold"),
    ("source", "generated+belief", "gold+belief"),
    ("dial", "generated+belief", "generated+support"),
    ("teacher", "better", "generated"),
)
SETS = (
    ("base", "none", "zero"),
    ("base", "none", "few:2"),
    *(("all", name, "zero") for name in ("gold", "gold+random", "gold+belief", "gold+belief+random")),
    *(("all", name, "zero") for name in ("generated", "generated+support", "generated+support+random")),
    *(("all", name, "zero") for name in ("generated+belief", "better")),
)
SIGNALS = ("statement", "token", "question", "consistency", "verification", "probe")
MEASURED = (
    "claims",
    "precision",
    "recall",
    "claims_after_two",
    "precision_after_two",
    "ended",
    "answered",
)


def board(folder: Path, lab: str) -> dict[tuple[str, str], dict[str, str]]:
    """The parts of the claims about beliefs, by claim and name."""
    found = rows(folder / "scoreboard.csv", lab)
    return {(row["claim"], row["part"]): row for row in found if row["claim"] in CLAIMS}


def interval(row: dict[str, str]) -> str:
    places = 3 if row["unit"] == "AUROC" else 2 if abs(float(row["effect"])) < 1 else 1
    mean, low, high = (f"{float(row[name]):z.{places}f}" for name in ("effect", "low", "high"))
    return f"{mean} [{low}, {high}]"


def parts() -> str:
    """Every claim with its verdicts and every part of it, by default in three runs and told."""
    every = [board(*where) for where in BOARDS.values()]
    lines, last = [], ""
    for key, one in every[-1].items():
        claim, name = key
        if claim != last:
            said = [f"**{board[key]['verdict']}**" for board in every]
            lines.append([f"{claim} {one['title']}", "verdict", *said])
        unit = "" if one["unit"] == "points" else f", {one['unit']}"
        decides = one["role"] == "decides"
        cells = [interval(board[key]) + (f", {board[key]['outcome']}" if decides else "") for board in every]
        lines.append(["", f"{name}{unit}" if decides else f"({name}{unit})", *cells])
        last = claim
    return _table(["claim", "part (in brackets: reported only)", *BOARDS], lines)


def sets() -> str:
    """What was read and written, by default and told."""
    found = {which: kept("beliefs", folder) for which, folder in FOLDERS.items()}

    def cells(key: tuple[str, str, str]) -> list[str]:
        def get(which: str, split: str, metric: str) -> dict[str, str] | None:
            return found[which].get((*key, split, metric))

        name = "not tuned" if key[1] == "none" else f"`{key[1]}`"
        return [
            name + ("" if key[2] == "zero" else f", after {key[2][-1]} gold texts"),
            *(_mean(get(which, "train", "claims"), 1.0, 2) for which in FOLDERS),
            *(_said(get(which, "test", "claim_precision")) for which in FOLDERS),
            *(_said(get(which, "test", "claim_recall")) for which in FOLDERS),
            *(_mean(get(which, "test", "claims"), 1.0, 2) for which in FOLDERS),
            *(_mean(get(which, "test", "claim_precision_greedy")) for which in FOLDERS),
            *(_mean(get(which, "ood-type", "claim_precision")) for which in FOLDERS),
        ]

    what = (
        "claims a text read",
        "precision",
        "recall",
        "claims",
        "greedy precision",
        "precision, other type",
    )
    return _table(
        ["tuned on", *(f"{one}, {which}" for one in what for which in FOLDERS)], [cells(key) for key in SETS]
    )


def contrasts() -> str:
    found = {which: kept("contrasts", folder) for which, folder in FOLDERS.items()}
    metrics = {"precision": "claim_precision", "recall": "claim_recall"}
    return _table(
        ["tuned on", "less", *(f"{said}, {which}" for said in metrics for which in FOLDERS)],
        [
            [
                f"`{one}`",
                f"`{other}`",
                *(
                    _said(found[which][kind, one, other, "test", metric])
                    for metric in metrics.values()
                    for which in FOLDERS
                ),
            ]
            for kind, one, other in PAIRS
        ],
    )


def signals() -> str:
    found = {which: kept("signals", folder) for which, folder in FOLDERS.items()}
    return _table(
        ["signal", *(f"AUROC, {which}" for which in FOLDERS), *(f"calibration error, {w}" for w in FOLDERS)],
        [
            [
                signal,
                *(_said(found[which]["test", signal, "belief_auroc"], 1.0, 3) for which in FOLDERS),
                *(_said(found[which]["test", signal, "belief_calibration_error"]) for which in FOLDERS),
            ]
            for signal in SIGNALS
        ],
    )


def read_grid(path: Path = TOLD / "grid.csv") -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def grid() -> str:
    """What every setting came to on the tuning seeds, and how many criteria it does not meet."""
    means = told_grid.means(read_grid())
    usual = means["default"]
    return _table(
        [
            "setting",
            *(f"{k} claims (%)" for k in range(1, 6)),
            *(one.replace("_", " ") for one in MEASURED),
            "fails",
        ],
        [
            [
                name,
                *(f"{100 * of[f'length_{k}']:.1f}" for k in range(1, 6)),
                *(f"{of[one]:.2f}" if "claims" in one else f"{100 * of[one]:.1f}" for one in MEASURED),
                "" if name == "default" else str(len(told_grid.failed(of, usual))),
            ]
            for name, of in means.items()
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "synthetic/results/told/scoreboard.csv": parts,
    "synthetic/results/told/beliefs.csv": sets,
    "synthetic/results/told/contrasts.csv": contrasts,
    "synthetic/results/told/signals.csv": signals,
    "synthetic/results/told/grid.csv": grid,
}

"""How the told rung was chosen: how biographies are told, on tuning seeds, by what the untuned network reads and writes
and never by a difference between two sets of text.

    python tests/hardening/told_grid.py OUTPUT.csv [--profile full] [--seeds 0 1 2] [--settings default all half whole]

A line a seed and setting: the share of biographies of each length in the text and of those that stand in a row; then of
the network before any tuning the claims of a text about a training subject, precision and recall about held-out
subjects, precision after two gold texts, the share of texts that end by themselves, and what is answered after four
exemplars. CRITERIA say what a setting must meet; `chosen` takes, of those that meet them all, the one with the most
claims. If none does there is no such rung.

The settings of MORE are for the case that none of the others meets the criteria. At first they were two with 40% of the
mentions in biographies. They were given up, without a run, for two that read fewer rows a step, and so take more steps,
when the first two seeds of the others had shown that only the last criterion was in doubt. No criterion was changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from synthetic.belief_exams import without_tuning
from synthetic.exemplars import exemplars
from synthetic.long_form import Desk
from synthetic.prompt_exams import pose, right
from synthetic.prompt_hall import DRAWS
from synthetic.setup import Setup, setup_for
from synthetic.split import split, stated
from synthetic.studies.beliefs import DRAWS as TEXTS
from synthetic.studies.beliefs import desk_of
from tests.hardening import grids
from tests.hardening.biography_lengths import lengths

ROWS = 6  # a step of pretraining, of up to 92 tokens in place of 66: as many tokens as by default in 8
SETTINGS: dict[str, dict[str, Any]] = {  # of TextSpec
    "default": {},
    "all": {"gathered": 0.2, "in_a_row": 3},  # any number of a subject's facts, in documents of up to three
    "half": {"gathered": 0.5, "in_a_row": 3},
    "whole": {"gathered": 1.0, "in_a_row": 3},
    "half, more steps": {"gathered": 0.5, "in_a_row": 3},
    "whole, more steps": {"gathered": 1.0, "in_a_row": 3},
}
MORE = {"half, more steps": 5, "whole, more steps": 5}  # rows a step
CLAIMS = 5  # of a gold text
CRITERIA: dict[str, Callable[[Mapping[str, float], Mapping[str, float]], bool]] = {
    "each length up to that of gold in at least 2% of the biographies": lambda of, _: (
        min(of[f"length_{k}"] for k in range(1, CLAIMS + 1)) >= 0.02
    ),
    "untuned, half as many claims as gold about a training subject": lambda of, _: of["claims"] >= CLAIMS / 2,
    "untuned, precision from 20% to 80%": lambda of, _: 0.2 <= of["precision"] <= 0.8,
    "untuned, recall from 10% to 80%": lambda of, _: 0.1 <= of["recall"] <= 0.8,
    "after two gold texts at least 3/4 of that precision": lambda of, _: (
        of["precision_after_two"] >= 0.75 * of["precision"]
    ),
    "at least 98% of the texts end by themselves": lambda of, _: of["ended"] >= 0.98,
    "after four exemplars at most 3 points less is answered than by default": lambda of, usual: (
        of["answered"] >= usual["answered"] - 0.03
    ),
}


def told(setup: Setup, name: str) -> Setup:
    """The setup with biographies told as this setting has it."""
    how = SETTINGS[name]
    if not how:
        return setup
    pretrain = replace(setup.pretrain, batch=MORE.get(name, ROWS))
    return replace(setup, text=replace(setup.text, **how), pretrain=pretrain, brief=True)


def measured(setup: Setup, seed: int) -> dict[str, float]:
    """What is read, and what the network that has read it writes and answers before any tuning."""
    claims, several = lengths(setup, seed)
    desk = desk_of(setup, seed, None)
    records = {
        (record.prompt, record.metric): record.value
        for record in without_tuning(desk, TEXTS)
        if record.split == "test"
    }
    return {
        **{f"length_{k}": float((claims == k).mean()) for k in range(1, CLAIMS + 1)},
        "in_a_row": several / len(claims),
        **_about_training_subjects(desk),
        "precision": records["zero", "claim_precision"],
        "recall": records["zero", "claim_recall"],
        "claims_after_two": records["few:2", "claims"],
        "precision_after_two": records.get(("few:2", "claim_precision"), 0.0),
        "answered": _answered(desk),
    }


def _about_training_subjects(desk: Desk) -> dict[str, float]:
    said = desk.script.say(desk.base.weights, desk.learnt, draws=TEXTS, seed=desk.draw("grid"))
    texts = desk.script.read(np.repeat(desk.learnt, TEXTS), said)
    return {"claims": float(texts.claims.mean()), "ended": float((said[:, -1] < 0).mean())}


def _answered(desk: Desk) -> float:
    """Of the stated facts of held-out subjects, after four exemplars."""
    base = desk.base
    posed = pose(exemplars(base, DRAWS), stated(base, split(base).test), "few:4")
    return float(right(posed, base, base.weights).mean())


def means(grid: Iterable[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Of each setting over its seeds."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for row in grid:
        found.setdefault(row["setting"], []).append(row)
    return {
        name: {
            key: mean(float(row[key]) for row in rows) for key in rows[0] if key not in ("setting", "seed")
        }
        for name, rows in found.items()
    }


def failed(of: Mapping[str, float], usual: Mapping[str, float]) -> list[str]:
    return [name for name, holds in CRITERIA.items() if not holds(of, usual)]


def chosen(grid: Iterable[Mapping[str, str]]) -> str | None:
    """Of the settings that meet all criteria the one whose texts have the most claims."""
    found = means(grid)
    usual = found.pop("default")
    good = {name: of for name, of in found.items() if not failed(of, usual)}
    first = {name: of for name, of in good.items() if name not in MORE} or good
    return max(first, key=lambda name: first[name]["claims"], default=None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--profile", default="full")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--settings", nargs="+", default=[name for name in SETTINGS if name not in MORE])
    asked = parser.parse_args(arguments)
    grids.write(
        asked.output,
        (
            {"setting": name, "seed": seed} | measured(told(setup_for(asked.profile), name), seed)
            for seed in asked.seeds
            for name in asked.settings
        ),
    )


if __name__ == "__main__":
    main()

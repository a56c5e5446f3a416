"""The calibration knob: what filler tokens in the question do to the gap, by length of pretraining.

The one-hot set-up of the window, all weights, Adam. Fillers are tokens that pretraining never saw; each takes an
equal share of attention at first. The choice `best` is the step at
which the mean gap is largest: picked, so biased up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import Setting
from theory.measurements.tuning import ADAM, fine_tune, half_sets, held_out_exam
from theory.measurements.window import PRETRAINING, Variant, start

FILLERS = (0, 1, 2, 4)
LENGTHS = (100, 150, 250, 400)
STEPS = (0, 20, 40, 60, 80, 120, 160, 240, 320)


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for length in LENGTHS:
        for fillers in FILLERS:
            variant = Variant(Setting(fillers=fillers), replace(PRETRAINING, steps=length))
            facts, model, known = start(variant, seeds)
            exam, sets = held_out_exam(facts, known), half_sets(facts)
            curves = {
                on: fine_tune(model, facts, sets[on], ADAM, exam, STEPS, ("accuracy",))[1]
                for on in ("best", "lesser")
            }
            for stratum in ("all", "known"):
                gap = 100 * (curves["best"][stratum, "accuracy"] - curves["lesser"][stratum, "accuracy"])
                keys: dict[str, Cell] = {"pretraining": length, "fillers": fillers, "stratum": stratum}
                rows += [
                    summary({**keys, "choice": "fixed", "step": at}, x)
                    for at, x in zip(STEPS, gap, strict=True)
                ]
                best = int(np.argmax(gap.mean(axis=1)))
                rows.append(summary({**keys, "choice": "best", "step": STEPS[best]}, gap[best]))
    return rows


def _at(length: int, fillers: int, value: float) -> Pilot:
    return Pilot({"pretraining": length, "fillers": fillers, "stratum": "all", "choice": "best"}, value)


KNOB = Measurement(
    "fillers",
    "Gap between best-known and lesser-known half by number of fillers and length of pretraining (points)",
    ("pretraining", "fillers", "stratum", "choice", "step", *INTERVAL),
    run,
    (_at(400, 0, 2.8), _at(400, 2, 10.4), _at(150, 0, 8.1), _at(150, 2, 2.6)),
    worth_drawing=True,
    cost=35.0,
)

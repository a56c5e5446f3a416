"""Which lesser-known facts do the harm: those whose answer is a generic one, as long as values are (nearly) frozen.

The lesser-known trainable half is split by its answers (top 2 of the prior against the others); every set has 200
facts drawn from its pool. The set-up is that of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.tuning import ADAM, ATTENTION, fine_tune, held_out_exam, some
from theory.measurements.window import VARIANTS, start

SIZE = 200
TOP = 2
STEPS = (0, 20, 40, 60, 80)
ARMS = {"attention": replace(ATTENTION, steps=STEPS[-1]), "all": replace(ADAM, steps=STEPS[-1])}


def run(seeds: Sequence[int]) -> list[Row]:
    facts, model, known = start(VARIANTS["adam"], seeds)
    exam = held_out_exam(facts, known)
    open_, generic = ~facts.held_out_fact, facts.rank < TOP
    lesser = open_ & ~facts.popular_fact
    pools = {
        "best": (generic | True) & open_ & facts.popular_fact,
        "lesser": (generic | True) & lesser,
        "lesser generic": generic & lesser,
        "lesser rare": ~generic & lesser,
    }
    rows: list[Row] = []
    for arm, recipe in ARMS.items():
        for on, pool in pools.items():
            _, found = fine_tune(model, facts, some(facts, pool, SIZE), recipe, exam, STEPS)
            for (stratum, metric), curve in found.items():
                if stratum not in ("all", "known") or metric not in ("accuracy", "attention_subject"):
                    continue
                keys: dict[str, Cell] = {"arm": arm, "trained_on": on, "stratum": stratum, "metric": metric}
                rows += [summary({**keys, "step": at}, 100 * x) for at, x in zip(STEPS, curve, strict=True)]
    return rows


def _at(arm: str, on: str, value: float, half: float) -> Pilot:
    keys: dict[str, Cell] = {
        "arm": arm,
        "trained_on": on,
        "stratum": "known",
        "metric": "accuracy",
        "step": 80,
    }
    return Pilot(keys, value, half)


GENERIC = Measurement(
    "generic_answers",
    "Known held-out accuracy after tuning on lesser-known facts with generic or with rare answers (points)",
    ("arm", "trained_on", "stratum", "metric", "step", *INTERVAL),
    run,
    (
        _at("attention", "best", 89.6, 1.0),
        _at("attention", "lesser", 76.6, 1.8),
        _at("attention", "lesser generic", 67.5, 1.6),
        _at("attention", "lesser rare", 94.1, 0.9),
        _at("all", "lesser rare", 74.8, 2.6),
        _at("all", "lesser generic", 63.0, 1.2),
    ),
    worth_drawing=True,
    cost=2.0,
)

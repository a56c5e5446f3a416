"""Dense embeddings, all weights: the gap is there, its mechanism is another.

Choices that the pilot study leaves open: token and answer embeddings start normal with unit expected length,
W_KQ and W_V at zero; pretraining trains all weights; the softmax runs over all answers. `swapped` rows run one
model's attention patterns over another model's values, prompt by prompt. `almost all stored` has a frequent half
that is only 5 times as frequent and 1,600 steps of pretraining.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from theory.attention import Array
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import DRAWING, Facts, Mask, Setting, make_facts, pretraining_batches
from theory.measurements.tuning import (
    Curves,
    Grades,
    fine_tune,
    half_sets,
    held_out_exam,
    known_facts,
    patched,
)
from theory.measurements.window import curve_rows
from theory.optimisers import Recipe
from theory.simulate import train
from theory.simulate_dense import Dense, dense

WIDTH = 64
STEPS = (0, 20, 40, 80, 160, 240, 320)
PRETRAINING = Recipe(3e-3, 800, 256)
TUNING = Recipe(1e-3, 320)
METRICS = ("accuracy", "attention_subject", "error_prior_share")


@dataclass(frozen=True)
class Variant:
    """Facts and the length of pretraining."""

    setting: Setting = field(default_factory=lambda: Setting(subjects=600))
    pretraining: Recipe = PRETRAINING


VARIANTS: Mapping[str, Variant] = {
    "dense": Variant(),
    "almost all stored": Variant(Setting(subjects=600, level=5.0), replace(PRETRAINING, steps=1600)),
}
SEEDS = {"dense": None, "almost all stored": 8}  # at most so many seeds: the second is a side remark


@dataclass(frozen=True, eq=False)
class Outcome:
    """Curves by training set, grades of swapped models by (attention from, values from), and shares known before."""

    curves: Mapping[str, Curves]
    swapped: Mapping[tuple[str, str], Grades]
    known: Mapping[str, Array]


@lru_cache(maxsize=1)
def start(name: str, seeds: tuple[int, ...]) -> tuple[Facts, Dense, Mask]:
    """Facts, the pretrained model and what it knows, for every seed."""
    variant = VARIANTS[name]
    facts = make_facts(variant.setting, seeds)
    answers = variant.setting.relations * variant.setting.pool
    model = dense(facts.seeds, facts.tokens, answers, WIDTH, DRAWING, np.float32)
    batches = pretraining_batches(facts, variant.pretraining)
    model, _ = train(model, facts.statements, batches, variant.pretraining)
    return facts, model, known_facts(model, facts)


@lru_cache(maxsize=2)
def outcome(name: str, seeds: tuple[int, ...]) -> Outcome:
    """One variant trained on every set."""
    facts, model, known = start(name, seeds)
    exam = held_out_exam(facts, known)
    tuned: dict[str, Dense] = {}
    curves: dict[str, Curves] = {}
    for on, chosen in half_sets(facts).items():
        tuned[on], curves[on] = fine_tune(model, facts, chosen, TUNING, exam, STEPS, METRICS)
    pairs = [("best", "lesser"), ("lesser", "best")]
    swapped = {(a, v): exam.marks(patched(tuned[a], tuned[v], exam.questions), METRICS) for a, v in pairs}
    shares = {
        "popularity=high": known[:, facts.popular_fact].mean(axis=1),
        "popularity=low": known[:, ~facts.popular_fact].mean(axis=1),
        "all": known.mean(axis=1),
    }
    return Outcome(curves, swapped, shares)


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for name in VARIANTS:
        found = outcome(name, tuple(seeds)[: SEEDS[name]])
        common: dict[str, Cell] = {"variant": name, "step": 0, "trained_on": "none", "metric": "known"}
        rows += [summary({**common, "stratum": s}, 100 * share) for s, share in found.known.items()]
        rows += curve_rows(name, found.curves, STEPS, METRICS)
        for (attention, values), grades in found.swapped.items():
            on = f"{values}, attention of {attention}"
            for stratum in ("all", "known"):
                keys: dict[str, Cell] = {
                    "variant": name,
                    "trained_on": on,
                    "stratum": stratum,
                    "metric": "accuracy",
                }
                rows.append(summary({**keys, "step": TUNING.steps}, 100 * grades[stratum, "accuracy"]))
    return rows


def _pilot() -> Iterable[Pilot]:
    def at(
        on: str,
        stratum: str,
        step: int,
        value: float,
        half: float | None = None,
        rounding: float = 0.0,
        metric: str = "accuracy",
        variant: str = "dense",
    ) -> Pilot:
        where: dict[str, Cell] = {"variant": variant, "trained_on": on, "stratum": stratum, "metric": metric}
        return Pilot({**where, "step": step}, value, half, rounding)

    yield at("best", "all", 0, 40.0, rounding=0.5)
    yield at("best", "all", 320, 57.0, rounding=0.5)
    yield at("best-lesser", "all", 160, 3.14, 0.72)
    yield at("best-lesser", "known", 160, 5.73, 1.00)
    yield at("best-lesser", "all", 320, 4.69, 0.78)
    yield at("best-lesser", "known", 320, 7.95, 1.17)
    yield at("best-whole", "all", 320, -2.39, 0.59)
    yield at("best-lesser", "all", 320, -5.4, 1.1, metric="attention_subject")
    yield at("lesser", "known", 320, 75.9)
    yield at("lesser, attention of best", "known", 320, 80.9)
    yield at("best, attention of lesser", "known", 320, 79.0)


DENSE = Measurement(
    "dense",
    "The same with dense embeddings, and with attention patterns swapped between models (points)",
    ("variant", "trained_on", "stratum", "metric", "step", *INTERVAL),
    run,
    tuple(_pilot()),
    worth_drawing=True,
    cost=50.0,
)

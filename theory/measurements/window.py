"""One-hot tables, fine-tuned on facts known well or little: a gap that opens, closes and reverses.

Choices that the pilot study leaves open: attention is frozen at 1/2 in pretraining; the softmax runs over
all answers; minibatches are drawn with replacement; moments start anew for fine-tuning; weight decay is
decoupled; values alone are tuned at the rate of all weights. `known` facts are those answered right before
fine-tuning as [s, r]. Two variants tell how much the first two choices matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from theory.attention import Array
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import Facts, Mask, Setting, make_facts, pretrain
from theory.measurements.tuning import (
    ADAM,
    ATTENTION,
    METRICS,
    Curves,
    fine_tune,
    half_sets,
    held_out_exam,
    known_facts,
)
from theory.optimisers import Recipe
from theory.simulate import Tables

STEPS = (0, 10, 20, 40, 60, 80, 120, 160, 240, 320)
PRETRAINING = Recipe(3e-2, 150, 256, train="values")
SGD = Recipe(3.0, 320, optimiser="sgd")
STRATA = ("all", "known", "popularity=high", "popularity=low")
CONTRASTS = {
    "best-lesser": ("best", "lesser"),
    "best-whole": ("best", "whole"),
    "random-lesser": ("random", "lesser"),
}


@dataclass(frozen=True)
class Variant:
    """One way to pretrain and fine-tune."""

    setting: Setting = field(default_factory=Setting)
    pretraining: Recipe = PRETRAINING
    recipe: Recipe = ADAM
    pool: int | None = None


VARIANTS: Mapping[str, Variant] = {
    "adam": Variant(),
    "adam, attention only": Variant(recipe=ATTENTION),
    "adam, values only": Variant(recipe=replace(ADAM, train="values")),
    "sgd": Variant(recipe=SGD),
    "weight decay 0.1": Variant(recipe=replace(ADAM, decay=0.1)),
    "1000 subjects": Variant(Setting(subjects=1000), replace(PRETRAINING, steps=250)),
    "zipf 1.0": Variant(Setting(frequency="zipf", zipf=1.0)),
    "zipf 1.5": Variant(Setting(frequency="zipf", zipf=1.5)),
    "attention pretrained": Variant(pretraining=replace(PRETRAINING, train="all")),
    "softmax over the pool": Variant(pool=10),
}


def start(variant: Variant, seeds: Sequence[int]) -> tuple[Facts, Tables, Mask]:
    """Facts, the pretrained model and what it knows, for every seed."""
    facts = make_facts(variant.setting, seeds)
    model = pretrain(facts, variant.pretraining, variant.pool)
    return facts, model, known_facts(model, facts)


def curve_rows(
    variant: str, found: Mapping[str, Curves], steps: Sequence[int], metrics: Iterable[str] = METRICS
) -> list[Row]:
    """Every curve and contrast with its interval, shares in points."""
    rows: list[Row] = []
    for stratum in STRATA:
        for metric in metrics:
            unit = 1.0 if metric == "margin" else 100.0
            by_set: dict[str, Array] = {on: unit * curve[stratum, metric] for on, curve in found.items()}
            by_set |= {on: by_set[a] - by_set[b] for on, (a, b) in CONTRASTS.items()}
            for on, values in by_set.items():
                for step, per_seed in zip(steps, values, strict=True):
                    keys: dict[str, Cell] = {
                        "variant": variant,
                        "trained_on": on,
                        "stratum": stratum,
                        "metric": metric,
                        "step": step,
                    }
                    rows.append(summary(keys, per_seed))
    return rows


def known_rows(variant: str, facts: Facts, known: Mask, asked: Array) -> list[Row]:
    """What pretraining left: known shares of the popular and the rare half, and the share `asked` of known
    held-out facts that are answered as questions.
    """
    shares = {
        "popularity=high": known[:, facts.popular_fact].mean(axis=1),
        "popularity=low": known[:, ~facts.popular_fact].mean(axis=1),
    }
    common: dict[str, Cell] = {"variant": variant, "trained_on": "none", "step": 0}
    rows = [summary({**common, "stratum": s, "metric": "known"}, 100 * share) for s, share in shares.items()]
    return [*rows, summary({**common, "stratum": "known", "metric": "accuracy"}, 100 * asked)]


def variant_rows(name: str, seeds: Sequence[int]) -> list[Row]:
    """One variant trained on every set."""
    variant = VARIANTS[name]
    facts, model, known = start(variant, seeds)
    exam = held_out_exam(facts, known)
    curves = {
        on: fine_tune(model, facts, chosen, variant.recipe, exam, STEPS)[1]
        for on, chosen in half_sets(facts).items()
    }
    asked = curves["best"]["known", "accuracy"][0]
    return known_rows(name, facts, known, asked) + curve_rows(name, curves, STEPS)


def run(seeds: Sequence[int]) -> list[Row]:
    return [row for name in VARIANTS for row in variant_rows(name, seeds)]


def _pilot() -> Iterable[Pilot]:
    def at(
        variant: str,
        on: str,
        stratum: str,
        step: int,
        value: float,
        half: float | None = None,
        metric: str = "accuracy",
    ) -> Pilot:
        where: dict[str, Cell] = {
            "variant": variant,
            "trained_on": on,
            "stratum": stratum,
            "metric": metric,
            "step": step,
        }
        return Pilot(where, value, half)

    headline = {
        40: ((2.72, 0.51), (3.82, 0.78), (1.83, 0.38)),
        60: ((6.52, 0.84), (9.21, 1.24), (4.15, 0.61)),
        80: ((8.94, 0.91), (12.58, 1.29), (5.08, 0.75)),
        120: ((9.16, 1.18), (13.21, 1.60), (3.41, 0.75)),
        160: ((6.47, 1.24), (9.31, 1.71), (0.83, 0.73)),
        240: ((-0.43, 1.00), (-0.45, 1.48), (-2.98, 0.73)),
        320: ((-4.65, 0.96), (-6.35, 1.39), (-5.53, 0.94)),
    }
    yield at("adam", "none", "popularity=high", 0, 100.0, metric="known")
    yield at("adam", "none", "popularity=low", 0, 39.6, metric="known")
    yield at("adam", "none", "known", 0, 99.7)
    for step, (every, known, whole) in headline.items():
        yield at("adam", "best-lesser", "all", step, *every)
        yield at("adam", "best-lesser", "known", step, *known)
        yield at("adam", "best-whole", "all", step, *whole)
    yield at("adam", "best", "known", 80, 92.9)
    for step, value in ((80, 6.0), (120, 6.0), (320, -8.0)):
        where = at("adam", "best-lesser", "all", step, value, metric="attention_subject").where
        yield Pilot(where, value, rounding=0.5)
    yield at("adam, attention only", "best-lesser", "known", 40, 15.7)
    yield at("adam, attention only", "best-lesser", "known", 320, 4.9)
    yield at("adam, values only", "best-lesser", "known", 80, 1.4)
    yield at("adam, values only", "best-lesser", "known", 320, 6.9)
    for step, value, half in ((20, 19.1, 1.9), (160, 10.2, 1.1), (320, 6.2, 1.2)):
        yield at("sgd", "best-lesser", "all", step, value, half)
    yield at("1000 subjects", "best-lesser", "all", 80, 11.7, 0.5)
    yield at("weight decay 0.1", "best-lesser", "all", 120, 10.0, 1.2)
    yield at("zipf 1.0", "best-lesser", "all", 120, 5.8, 1.2)
    yield at("zipf 1.5", "best-lesser", "all", 120, 2.1, 0.9)


WINDOW = Measurement(
    "window",
    "Accuracy and subject attention while one-hot tables are fine-tuned on well or little known facts (points)",
    ("variant", "trained_on", "stratum", "metric", "step", *INTERVAL),
    run,
    tuple(_pilot()),
    worth_drawing=True,
    cost=45.0,
)

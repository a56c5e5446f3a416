"""Which quartile of facts is best to tune on: the best known one, until it is saturated. And the theory's own hump.

Zipf 1. Quartiles are of the trainable subjects by frequency, 1 the rarest; each quartile is cut down to the same
number of facts for every answer of every relation (the smallest number that any quartile has).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from theory.attention import Index
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import SETS, Facts, Setting
from theory.measurements.tuning import ADAM, ATTENTION, fine_tune, held_out_exam
from theory.measurements.window import PRETRAINING, Variant, start
from theory.optimisers import Recipe

QUARTERS = (1, 2, 3, 4)
STEPS = (0, 20, 40, 80, 120, 160)
SETTING = Setting(frequency="zipf", zipf=1.0)
LENGTHS = {"short": 150, "long": 400}
ARMS = {"all": replace(ADAM, steps=STEPS[-1]), "attention": replace(ATTENTION, steps=STEPS[-1])}


def pretraining(length: str) -> Recipe:
    return replace(PRETRAINING, steps=LENGTHS[length])


def quartiles(facts: Facts) -> dict[int, list[Index]]:
    """Facts of each quarter of the trainable subjects by frequency, matched in relation and answer, for every seed."""
    open_subjects = np.flatnonzero(~facts.held_out)
    chosen: dict[int, list[Index]] = {quarter: [] for quarter in QUARTERS}
    for s, seed in enumerate(facts.seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, SETS, 4]))
        rising = open_subjects[np.argsort(facts.frequency[s, open_subjects], kind="stable")]
        quarters = [rng.permutation(_facts_of(part, facts)) for part in np.array_split(rising, len(QUARTERS))]
        answers = facts.setting.relations * facts.setting.pool
        share = np.min([np.bincount(facts.answers[s, part], minlength=answers) for part in quarters], axis=0)
        for quarter, part in zip(QUARTERS, quarters, strict=True):
            chosen[quarter].append(np.sort(_at_most(part, facts.answers[s, part], share)))
    return chosen


def _facts_of(subjects: Index, facts: Facts) -> Index:
    return np.asarray(
        (subjects[:, None] * facts.setting.relations + np.arange(facts.setting.relations)).ravel()
    )


def _at_most(numbers: Index, answers: Index, share: Index) -> Index:
    """The first share[a] of the numbers whose answer is a."""
    order = np.argsort(answers, kind="stable")
    ranked = answers[order]
    place = np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
    return numbers[order[place < share[ranked]]]


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for length in LENGTHS:
        facts, model, known = start(Variant(SETTING, pretraining(length)), seeds)
        exam = held_out_exam(facts, known)
        for arm, recipe in ARMS.items():
            for quarter, chosen in quartiles(facts).items():
                _, found = fine_tune(
                    model, facts, chosen, recipe, exam, STEPS, ("accuracy", "attention_subject")
                )
                for (stratum, metric), curve in found.items():
                    if stratum not in ("all", "known"):
                        continue
                    keys: dict[str, Cell] = {"pretraining": length, "arm": arm, "quartile": quarter}
                    keys |= {"stratum": stratum, "metric": metric}
                    rows += [
                        summary({**keys, "step": at}, 100 * x) for at, x in zip(STEPS, curve, strict=True)
                    ]
    return rows


def _pilot() -> Iterable[Pilot]:
    table = {
        ("short", 80): ((55.6, 55.7, 57.3, 62.8), 1.4),
        ("long", 80): ((96.0, 96.2, 96.1, 93.9), 0.6),
        ("long", 160): ((92.8, 93.4, 93.4, 89.6), 0.8),
    }
    for (length, step), (values, half) in table.items():
        for quarter, value in zip(QUARTERS, values, strict=True):
            keys: dict[str, Cell] = {
                "pretraining": length,
                "arm": "all",
                "quartile": quarter,
                "stratum": "all",
            }
            yield Pilot({**keys, "metric": "accuracy", "step": step}, value, half)


QUARTILES = Measurement(
    "quartiles",
    "Held-out accuracy after tuning on each quarter of the facts by frequency, after short and long pretraining",
    ("pretraining", "arm", "quartile", "stratum", "metric", "step", *INTERVAL),
    run,
    tuple(_pilot()),
    worth_drawing=True,
    cost=6.0,
)

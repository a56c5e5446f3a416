"""What about a fine-tuning set tells how much it will harm: its margin A_s - A_r, its P(correct), its frequency?

Six regimes (two-level with L = 50 and L = 10, Zipf 1, each after 150 and 400 steps of pretraining) and ten sets a
seed, of at most 100 trainable facts each. Margin and P(correct) are means over the set's questions before tuning;
`beyond prior` is the mean of log p(y|s,r,q) - log p(y|r,q). Harm is the change of accuracy on known held-out facts.
`within` correlates inside every regime and averages. Intervals are bootstraps over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from theory.attention import Array, Index
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, resampled
from theory.measurements.facts import Facts, Mask, Setting
from theory.measurements.tuning import ADAM, ATTENTION, exam_on, fine_tune, some
from theory.measurements.window import PRETRAINING, Variant, start
from theory.simulate import Prompts, Tables, advantages, read

SIZE = 100
STEPS = (0, 40, 80)
ARMS = {"attention": replace(ATTENTION, steps=80), "all": replace(ADAM, steps=80)}
WORLDS = {
    "L=50": Setting(),
    "L=10": Setting(level=10.0),
    "zipf 1": Setting(frequency="zipf"),
}
REGIMES = {
    f"{name}, {steps} steps": Variant(setting, replace(PRETRAINING, steps=steps))
    for name, setting in WORLDS.items()
    for steps in (150, 400)
}
SET_NAMES = (
    "best",
    "lesser",
    "any",
    "best generic",
    "best rare",
    "lesser generic",
    "lesser rare",
    "P < 0.4",
    "P 0.4-0.8",
    "P >= 0.8",
)
PREDICTORS = ("margin", "p_correct", "log_frequency", "beyond_prior")


def before_tuning(facts: Facts, model: Tables) -> dict[str, Array]:
    """Every fact's predictors, (seeds, facts)."""
    asked = facts.questions
    a = advantages(model, asked)
    p = read(*model.forward(asked), asked.answers).log_p
    without = Prompts(asked.tokens[..., 1:], asked.answers)
    generic = read(*model.forward(without), asked.answers).log_p
    frequency = np.asarray(facts.of_facts(facts.frequency), dtype=np.float64)
    return {
        "margin": a[..., 0] - a[..., 1],
        "p_correct": np.exp(p),
        "log_frequency": np.log(frequency),
        "beyond_prior": p - generic,
    }


def candidate_sets(facts: Facts, p: Array) -> dict[str, list[Index]]:
    """The ten sets: by frequency, by generic answers, by confidence."""
    open_ = np.broadcast_to(~facts.held_out_fact, p.shape)
    best, lesser = open_ & facts.popular_fact, open_ & ~facts.popular_fact
    generic = facts.rank < 2
    masks: tuple[Mask, ...] = (
        best,
        lesser,
        open_,
        best & generic,
        best & ~generic,
        lesser & generic,
        lesser & ~generic,
        open_ & (p < 0.4),
        open_ & (p >= 0.4) & (p < 0.8),
        open_ & (p >= 0.8),
    )
    return {
        name: some(facts, mask, SIZE, salt)
        for salt, (name, mask) in enumerate(zip(SET_NAMES, masks, strict=True))
    }


def one_regime(variant: Variant, seeds: Sequence[int]) -> dict[str, Array]:
    """Arrays (sets, seeds), nan where a set is empty: `size`, predictors, and after "<arm> <step>" of tuning `harm`
    (change of known held-out accuracy) and `turn` (change of attention on held-out subjects)."""
    facts, model, known = start(variant, seeds)
    before = before_tuning(facts, model)
    exam = exam_on(facts, facts.test, {"all": np.ones(facts.n, dtype=bool), "known": known})
    rows: list[dict[str, Array]] = []
    for chosen in candidate_sets(facts, before["p_correct"]).values():
        size = np.array([len(numbers) for numbers in chosen], dtype=float)
        usable = [numbers if len(numbers) else facts.test[:1] for numbers in chosen]
        row = {key: np.array([v[s, n].mean() for s, n in enumerate(usable)]) for key, v in before.items()}
        for arm, recipe in ARMS.items():
            _, curves = fine_tune(
                model, facts, usable, recipe, exam, STEPS, ("accuracy", "attention_subject")
            )
            accuracy, attention = curves["known", "accuracy"], curves["all", "attention_subject"]
            for i, step in enumerate(STEPS[1:], start=1):
                row[f"harm {arm} {step}"] = accuracy[i] - accuracy[0]
                row[f"turn {arm} {step}"] = attention[i] - attention[0]
        rows.append({"size": size} | {key: np.where(size > 0, x, np.nan) for key, x in row.items()})
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


@lru_cache(maxsize=1)
def measured(seeds: tuple[int, ...]) -> dict[str, Array]:
    """Every fine-tuning set of every regime, (regimes, sets, seeds)."""
    regimes = [one_regime(variant, seeds) for variant in REGIMES.values()]
    return {key: np.stack([regime[key] for regime in regimes]) for key in regimes[0]}


def spearman(x: Array, y: Array) -> float:
    """Rank correlation over all places where both exist; nan if there are fewer than three or one is constant."""
    from scipy.stats import rankdata

    both = np.isfinite(x) & np.isfinite(y)
    a, b = rankdata(x[both]), rankdata(y[both])
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def within(x: Array, y: Array) -> float:
    """Mean over the regimes of the rank correlation inside each."""
    return float(np.nanmean([spearman(a, b) for a, b in zip(x, y, strict=True)]))


def push_agreement(margin: Array, turn: Array) -> float:
    """Share of sets whose subject attention moves the way their mean margin points, in points."""
    both = np.isfinite(margin) & np.isfinite(turn)
    return float(100 * np.mean(np.sign(margin[both]) == np.sign(turn[both])))


def run(seeds: Sequence[int]) -> list[Row]:
    data, units = measured(tuple(seeds)), len(seeds)
    rows: list[Row] = []

    def add(keys: dict[str, Cell], statistic: Callable[[Array, Array], float], x: Array, y: Array) -> None:
        rows.append(resampled(keys, units, lambda chosen: statistic(x[..., chosen], y[..., chosen])))

    for arm in ARMS:
        for step in STEPS[1:]:
            keys: dict[str, Cell] = {"arm": arm, "step": step}
            harm, turn = data[f"harm {arm} {step}"], data[f"turn {arm} {step}"]
            for name in PREDICTORS:
                for scope, statistic in (("all sets", spearman), ("within regime", within)):
                    here = {**keys, "scope": scope, "predictor": name, "statistic": "spearman"}
                    add(here, statistic, data[name], harm)
            here = {**keys, "scope": "all sets", "predictor": "margin", "statistic": "sign agreement"}
            add(here, push_agreement, data["margin"], turn)
    return rows


def points(seeds: Sequence[int]) -> list[Row]:
    """Every set as a point: what it was before tuning and what it did (accuracies and attention in points)."""
    data = measured(tuple(seeds))
    rows: list[Row] = []
    for regime, name in enumerate(REGIMES):
        for number, chosen in enumerate(SET_NAMES):
            for s, seed in enumerate(seeds):
                at = (regime, number, s)
                if data["size"][at] == 0:
                    continue
                plain = {key: float(data[key][at]) for key in ("size", *PREDICTORS)}
                effects = {
                    key.replace(" ", "_"): float(100 * data[key][at])
                    for key in data
                    if key[:4] in ("harm", "turn")
                }
                rows.append({"regime": name, "trained_on": chosen, "seed": seed, **plain, **effects})
    return rows


def _pilot() -> tuple[Pilot, ...]:
    table = {
        "margin": (0.81, 0.73, 0.68, 0.68),
        "p_correct": (0.37, 0.29, 0.28, 0.41),
        "log_frequency": (0.19, 0.13, 0.09, 0.15),
    }
    inside = {"margin": (0.62, 0.62), "p_correct": (-0.22, -0.07)}
    cells = [(arm, step) for arm in ARMS for step in STEPS[1:]]

    def at(arm: str, step: int, scope: str, name: str, value: float, statistic: str = "spearman") -> Pilot:
        return Pilot(
            {"arm": arm, "step": step, "scope": scope, "predictor": name, "statistic": statistic}, value
        )

    pooled = [
        at(*cell, "all sets", name, v)
        for name, row in table.items()
        for cell, v in zip(cells, row, strict=True)
    ]
    inner = [
        at(arm, 80, "within regime", name, v)
        for name, row in inside.items()
        for arm, v in zip(ARMS, row, strict=True)
    ]
    signs = [
        at(arm, 80, "all sets", "margin", v, "sign agreement")
        for arm, v in (("attention", 78.0), ("all", 76.0))
    ]
    return (*pooled, *inner, *signs)


CONFOUND = Measurement(
    "confound",
    "Rank correlation of a set's harm with its margin, its P(correct) and its frequency",
    ("arm", "step", "scope", "predictor", "statistic", *INTERVAL),
    run,
    _pilot(),
    cost=35.0,
)
EFFECTS = tuple(f"{what}_{arm}_{step}" for arm in ARMS for step in STEPS[1:] for what in ("harm", "turn"))
CONFOUND_POINTS = Measurement(
    "confound_points",
    "Every fine-tuning set as a point: harm against its margin, its P(correct) and its frequency",
    ("regime", "trained_on", "seed", "size", *PREDICTORS, *EFFECTS),
    points,
    worth_drawing=True,
    cost=0.5,
)

"""When to stop: the fit of known and of unknown training facts, and held-out accuracy, on one axis of steps.

The one-hot set-up of the window; a set has 200 facts, half of them unknown (answered wrong before tuning), half known
(answered right and frequent). And how the turn-round of attention scales with the number n of unknown facts, under
full-batch gradient descent at rate 1 on values and attention of one ideal relation (K = 10, V_r = c log pi, all facts
unknown, answers in exact proportion to the prior): facts with the same answer then move alike and nothing is random.
The turn-round is the step at which held-out subjects have least attention; c is the relation's confidence, 1 if it
is calibrated, and the power of n that the turn-round follows depends on it as long as V_r is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.special import expit

from theory.attention import Array
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import Mask
from theory.measurements.ideal import POOL, PRIOR, V_R
from theory.measurements.slick_line import known_pools, mixed
from theory.measurements.tuning import ADAM, Curves, exam_on, fine_tune
from theory.measurements.window import VARIANTS, start
from theory.simulate import softmax

STEPS = (0, 5, 10, 15, 20, 30, 40, 60, 80, 100, 120, 160, 200, 240, 320)
SIZES = (25, 50, 100, 200, 400, 800, 1600, 3200)
CONFIDENCES = (0.5, 0.9, 1.0, 1.1, 1.2)
MOST = 20_000


@lru_cache(maxsize=1)
def curves(seeds: tuple[int, ...]) -> Curves:
    """Accuracy in the strata fitted known, fitted unknown, held-out known, held-out all; (steps, seeds)."""
    facts, model, known = start(VARIANTS["adam"], seeds)
    chosen = mixed(facts, ~known, known_pools(facts, known)["frequent"], 0.5)
    trained: Mask = np.zeros(known.shape, dtype=bool)
    for s, numbers in enumerate(chosen):
        trained[s, numbers] = True
    strata = {
        "fitted known": trained & known,
        "fitted unknown": trained & ~known,
        "held-out known": known & facts.held_out_fact,
        "held-out all": np.broadcast_to(facts.held_out_fact, known.shape),
    }
    exam = exam_on(facts, np.arange(facts.n), strata)
    recipe = replace(ADAM, steps=STEPS[-1])
    return fine_tune(model, facts, chosen, recipe, exam, STEPS, ("accuracy", "attention_subject"))[1]


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for (stratum, metric), curve in curves(tuple(seeds)).items():
        for step, x in zip(STEPS, curve, strict=True):
            keys: dict[str, Cell] = {"stratum": stratum, "metric": metric, "step": step}
            rows.append(summary(keys, 100 * x))
    return rows


def turnaround(sizes: Array, relation_trained: bool, confidence: float = 1.0) -> Array:
    """Step of least attention on held-out subjects for sets of `sizes` unknown facts; nan if beyond `MOST` steps."""
    groups = (len(sizes), POOL, POOL)  # sets, right answer, answer
    v_s, v_r = np.zeros(groups), np.broadcast_to(confidence * V_R, (len(sizes), 1, POOL)).copy()
    own, shared = np.zeros((len(sizes), POOL, 1)), np.zeros((len(sizes), 1, 1))
    right, share = np.eye(POOL), PRIOR[:, None]
    each = 1.0 / np.asarray(sizes, float)[:, None, None]
    found = np.full(len(sizes), np.nan)
    for step in range(MOST):
        alpha = expit(own - shared)
        error = right - softmax(alpha * v_s + (1.0 - alpha) * v_r)
        pull = alpha * (1.0 - alpha) * np.sum((v_s - v_r) * error, axis=-1, keepdims=True)
        push = np.sum(share * pull, axis=1, keepdims=True)
        turned = np.isnan(found) & (push[:, 0, 0] > 0)
        found[turned] = step
        if not np.isnan(found).any():
            break
        own, shared = own + each * pull, shared - push
        if relation_trained:
            v_r = v_r + np.sum(share * (1.0 - alpha) * error, axis=1, keepdims=True)
        v_s = v_s + each * alpha * error
    return found


def turns(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    sizes = np.array(SIZES, dtype=float)
    for name, relation_trained in (("frozen", False), ("trained", True)):
        for confidence in CONFIDENCES:
            steps = turnaround(sizes, relation_trained, confidence)
            there = steps > 0  # not reached is nan
            slope = float(np.polyfit(np.log(sizes[there]), np.log(steps[there]), 1)[0])
            keys: dict[str, Cell] = {"relation_values": name, "confidence": confidence}
            for size, step in zip(SIZES, steps, strict=True):
                rows.append(_exact({**keys, "statistic": "turn-round", "facts": size}, float(step)))
            rows.append(_exact({**keys, "statistic": "exponent of n", "facts": 0}, slope))
    return rows


def _exact(keys: dict[str, Cell], value: float) -> Row:
    return {**keys, "mean": value, "low": value, "high": value, "n": 1}


def _at(stratum: str, step: int, value: float, rounding: float = 0.05) -> Pilot:
    return Pilot({"stratum": stratum, "metric": "accuracy", "step": step}, value, rounding=rounding)


STOPPING = Measurement(
    "early_stopping",
    "Fit of known and unknown training facts and held-out accuracy along fine-tuning, half of the set unknown (points)",
    ("stratum", "metric", "step", *INTERVAL),
    run,
    (
        _at("fitted known", 20, 99.0, 0.5),
        _at("fitted unknown", 20, 6.0, 0.5),
        _at("fitted unknown", 80, 38.0, 0.5),
        _at("fitted unknown", 160, 88.0, 0.5),
        _at("held-out known", 20, 97.6),
        _at("held-out known", 80, 88.8),
        _at("held-out known", 160, 80.4),
    ),
    worth_drawing=True,
    cost=2.0,
)
TURNAROUND = Measurement(
    "turnaround",
    "Step at which attention turns round against the number of unknown facts, and the power of n it follows",
    ("relation_values", "confidence", "statistic", "facts", *INTERVAL),
    turns,
    (
        Pilot(
            {"relation_values": "frozen", "confidence": 1.0, "statistic": "exponent of n"},
            0.45,
            rounding=0.005,
        ),
        Pilot(
            {"relation_values": "trained", "confidence": 1.0, "statistic": "exponent of n"},
            0.15,
            rounding=0.05,
        ),
    ),
    worth_drawing=True,
    cost=2.0,
)

"""Held-out accuracy against the share q of unknown facts: a line after short tuning, a transition after long tuning.

Flow: 1,000 known facts (salience uniform from 1 to 5), 1,000 unknown ones (salience 0) and 2,000 held-out ones of
salience 0.5 to 5.5 a seed, from u = 0; T is learning rate x steps. Adam: the one-hot set-up of the window, sets of
200 facts, known and unknown before tuning as [s, r]; T is the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from theory.attention import Array, Index
from theory.flow import Facts
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.facts import Facts as Trained
from theory.measurements.facts import Mask
from theory.measurements.ideal import draw
from theory.measurements.tuning import ADAM, fine_tune, held_out_exam, some
from theory.measurements.window import VARIANTS, start
from theory.predict import correct_interval, linear_slick, mixture, predict_path, predicted_accuracy

TIMES = (2, 10, 100)
STEPS = (0, 20, 40, 80, 160)
SHARES = np.round(np.linspace(0.0, 1.0, 21), 2)
TRAINED_SHARES = np.round(np.linspace(0.0, 1.0, 11), 1)
SIZE = 200


def worlds(seeds: Sequence[int]) -> tuple[Facts, Facts, Facts]:
    """Known, unknown and held-out facts, one set of each a seed."""
    return draw(seeds, 1000, 1.0, 5.0, 1), draw(seeds, 1000, 0.0, 0.0, 2), draw(seeds, 2000, 0.5, 5.5, 3)


@lru_cache(maxsize=1)
def flowed(seeds: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Accuracy of the flow and of the predicted line (times, shares, seeds), and the line's three numbers (times, 3, seeds)."""
    known, unknown, held_out = worlds(seeds)
    path = predict_path(mixture(known, unknown, SHARES), 0.0, TIMES, 1.0)
    found = predicted_accuracy(path, held_out)
    u_star, _ = correct_interval(held_out)
    lines = [
        [linear_slick(known[s], unknown[s], u_star[s], 0.0, span) for s in range(len(seeds))]
        for span in TIMES
    ]
    line = np.array([[one.accuracy(SHARES) for one in row] for row in lines]).swapaxes(1, 2)
    return found, line, np.array(lines).swapaxes(1, 2)


@lru_cache(maxsize=1)
def trained(seeds: tuple[int, ...]) -> dict[str, Array]:
    """Held-out accuracy of the Adam runs by stratum, (shares, steps, seeds)."""
    facts, model, known = start(VARIANTS["adam"], seeds)
    exam = held_out_exam(facts, known)
    recipe = replace(ADAM, steps=STEPS[-1])
    curves = [
        fine_tune(model, facts, mixed(facts, known, q), recipe, exam, STEPS, ("accuracy",))[1]
        for q in TRAINED_SHARES
    ]
    return {
        stratum: np.stack([c[stratum, "accuracy"] for c in curves])
        for stratum in ("all", "known", "test all")
    }


def mixed(facts: Trained, known: Mask, q: float, size: int = SIZE) -> list[Index]:
    """`size` trainable facts a seed, a share q of them unknown. Smaller shares are parts of larger ones."""
    unknown = round(q * size)
    fresh = some(facts, ~known & ~facts.held_out_fact, size, 21, ordered=False)
    stored = some(facts, known & ~facts.held_out_fact, size, 22, ordered=False)
    return [np.concatenate([a[:unknown], b[: size - unknown]]) for a, b in zip(fresh, stored, strict=True)]


def run(seeds: Sequence[int]) -> list[Row]:
    found, line, _ = flowed(tuple(seeds))
    rows: list[Row] = []
    for t, time in enumerate(TIMES):
        for i, q in enumerate(SHARES):
            keys: dict[str, Cell] = {"model": "flow", "stratum": "all", "T": time, "q": float(q)}
            keys["line"] = float(100 * line[t, i].mean())
            rows.append(summary(keys, 100 * found[t, i]))
    for stratum, accuracy in trained(tuple(seeds)).items():
        if stratum == "test all":
            continue
        for i, q in enumerate(TRAINED_SHARES):
            for step, x in zip(STEPS, accuracy[i], strict=True):
                keys = {"model": "adam", "stratum": stratum, "T": step, "q": float(q), "line": float("nan")}
                rows.append(summary(keys, 100 * x))
    return rows


def straight(q: Array, accuracy: Array) -> tuple[Array, Array, Array]:
    """Least squares of accuracy (shares, seeds) = known (1 - q) + unknown q + const: slope in 1 - q, in q, and R^2.

    The two shares sum to one, so only the difference of their coefficients is identified; `accuracy` comes relative
    to what it was before, where a share of nothing changes nothing and both coefficients are.
    """
    design = np.stack([1.0 - q, q], axis=1)
    beta, *_ = np.linalg.lstsq(design, accuracy, rcond=None)
    rest = accuracy - design @ beta
    spread = np.sum((accuracy - accuracy.mean(axis=0)) ** 2, axis=0)
    return beta[0], beta[1], 1.0 - np.sum(rest**2, axis=0) / spread


def fits(seeds: Sequence[int]) -> list[Row]:
    found, _, numbers = flowed(tuple(seeds))
    rows: list[Row] = []

    def add(model: str, stratum: str, time: int, name: str, x: Array) -> None:
        rows.append(summary({"model": model, "stratum": stratum, "T": time, "statistic": name}, x))

    for t, time in enumerate(TIMES):
        known, unknown, r2 = straight(SHARES, found[t] - numbers[t, 0])
        add("flow", "all", time, "R^2", r2)
        add("flow", "all", time, "beta known", known)
        add("flow", "all", time, "beta unknown", unknown)
        add("flow", "all", time, "ratio", unknown / known)
        add("flow", "all", time, "beta known, predicted", numbers[t, 1])
        add("flow", "all", time, "beta unknown, predicted", numbers[t, 2])
        add("flow", "all", time, "ratio, predicted", numbers[t, 2] / numbers[t, 1])
    for stratum in ("all", "known"):
        accuracy = trained(tuple(seeds))[stratum]
        for i, step in enumerate(STEPS[1:], start=1):
            add("adam", stratum, step, "R^2", straight(TRAINED_SHARES, accuracy[:, i])[2])
            pooled = straight(TRAINED_SHARES, accuracy[:, i].mean(axis=1, keepdims=True))[2]
            rows.append(
                {"model": "adam", "stratum": stratum, "T": step, "statistic": "R^2 of the mean curve"}
                | {"mean": float(pooled[0]), "low": float("nan"), "high": float("nan"), "n": len(seeds)}
            )
    return rows


def _fit(time: int, statistic: str, value: float, model: str = "flow", stratum: str = "all") -> Pilot:
    return Pilot({"model": model, "stratum": stratum, "T": time, "statistic": statistic}, value)


LINE = Measurement(
    "slick_line",
    "Held-out accuracy against the share of unknown facts, with the line of small steps (points)",
    ("model", "stratum", "T", "q", "line", *INTERVAL),
    run,
    (
        Pilot({"model": "adam", "stratum": "known", "T": 80, "q": 0.4}, 93.0, rounding=0.5),
        Pilot({"model": "adam", "stratum": "known", "T": 80, "q": 1.0}, 74.0, rounding=0.5),
    ),
    worth_drawing=True,
    cost=20.0,
)
LINE_FIT = Measurement(
    "slick_fit",
    "How straight that line is, and its slopes against the predicted ones",
    ("model", "stratum", "T", "statistic", *INTERVAL),
    fits,
    (
        _fit(2, "R^2", 0.994),
        _fit(10, "R^2", 0.89),
        _fit(100, "R^2", 0.38),
        _fit(2, "ratio", -0.145),
        _fit(2, "ratio, predicted", -0.139),
        _fit(2, "beta known", 0.037),
        _fit(2, "beta known, predicted", 0.044),
        _fit(2, "beta unknown", -0.0053),
        _fit(2, "beta unknown, predicted", -0.0061),
        _fit(80, "R^2", 0.88, "adam", "known"),
        _fit(80, "R^2", 0.53, "adam", "all"),
    ),
)

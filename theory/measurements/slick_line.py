"""Held-out accuracy against the share q of unknown facts: a line after short tuning, a transition after long tuning.

Flow: 300 known facts a seed (salience uniform from 1 to 5), unknown ones (salience 0, answers in exact proportion to
the prior) and 2,000 held-out ones (0.5 to 5.5), from u = 0; T is learning rate x steps. Adam: the one-hot set-up of
the window, sets of 200 facts; T is the step. Unknown facts are those answered wrong before tuning as [s, r]. Known
ones are answered right, and are either of the frequent half (the reading that meets the pilot study's numbers), or
any: those of the rare half that are right before tuning mostly are so by a generic answer, and skew the set's answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from theory.attention import Array, Index
from theory.flow import Facts
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, resampled, summary
from theory.measurements.facts import Facts as Trained
from theory.measurements.facts import Mask
from theory.measurements.ideal import draw, exact
from theory.measurements.tuning import ADAM, fine_tune, held_out_exam, some
from theory.measurements.window import VARIANTS, start
from theory.predict import correct_interval, linear_slick, mixture, predict_path, predicted_accuracy

TIMES = (2, 10, 100)
STEPS = (0, 20, 40, 80, 160)
SHARES = np.round(np.linspace(0.0, 1.0, 21), 2)
TRAINED_SHARES = np.round(np.linspace(0.0, 1.0, 11), 1)
SIZE = 200
STRATA = ("all", "known")


def worlds(seeds: Sequence[int]) -> tuple[Facts, Facts, Facts]:
    """Known, unknown and held-out facts, one set of each a seed."""
    unknown = exact(np.zeros(len(seeds)))
    return draw(seeds, 300, 1.0, 5.0, 1), unknown, draw(seeds, 2000, 0.5, 5.5, 3)


@lru_cache(maxsize=1)
def flowed(seeds: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Accuracy of the flow and on the line (times, shares, seeds); the line's three numbers (times, 3, seeds)."""
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
def trained(seeds: tuple[int, ...]) -> dict[tuple[str, str], Array]:
    """Held-out accuracy of the Adam runs by (known pool, stratum), (shares, steps, seeds)."""
    facts, model, known = start(VARIANTS["adam"], seeds)
    exam = held_out_exam(facts, known)
    recipe = replace(ADAM, steps=STEPS[-1])
    found: dict[tuple[str, str], Array] = {}
    for name, pool in known_pools(facts, known).items():
        curves = [
            fine_tune(model, facts, mixed(facts, ~known, pool, q), recipe, exam, STEPS, ("accuracy",))[1]
            for q in TRAINED_SHARES
        ]
        for stratum in STRATA:
            found[name, stratum] = np.stack([curve[stratum, "accuracy"] for curve in curves])
    return found


def known_pools(facts: Trained, known: Mask) -> dict[str, Mask]:
    """Facts that may count as known: answered right and frequent, or just answered right."""
    return {"frequent": known & facts.popular_fact, "any": known}


def mixed(facts: Trained, unknown: Mask, known: Mask, q: float, size: int = SIZE) -> list[Index]:
    """`size` trainable facts a seed, a share q of them unknown. Smaller shares are parts of larger ones."""
    n = round(q * size)
    fresh = some(facts, unknown & ~facts.held_out_fact, size, 21, ordered=False)
    stored = some(facts, known & ~facts.held_out_fact, size, 22, ordered=False)
    return [np.concatenate([a[:n], b[: size - n]]) for a, b in zip(fresh, stored, strict=True)]


def run(seeds: Sequence[int]) -> list[Row]:
    found, line, _ = flowed(tuple(seeds))
    rows: list[Row] = []
    for t, time in enumerate(TIMES):
        for i, q in enumerate(SHARES):
            keys: dict[str, Cell] = {
                "model": "flow",
                "known_pool": "any",
                "stratum": "all",
                "T": time,
                "q": float(q),
            }
            keys["line"] = float(100 * line[t, i].mean())
            rows.append(summary(keys, 100 * found[t, i]))
    for (pool, stratum), accuracy in trained(tuple(seeds)).items():
        common: dict[str, Cell] = {
            "model": "adam",
            "known_pool": pool,
            "stratum": stratum,
            "line": float("nan"),
        }
        for i, q in enumerate(TRAINED_SHARES):
            for step, x in zip(STEPS, accuracy[i], strict=True):
                rows.append(summary({**common, "T": step, "q": float(q)}, 100 * x))
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

    def add(model: str, pool: str, stratum: str, time: int, name: str, x: Array) -> None:
        keys: dict[str, Cell] = {"model": model, "known_pool": pool, "stratum": stratum, "T": time}
        rows.append(summary({**keys, "statistic": name}, x))

    for t, time in enumerate(TIMES):
        known, unknown, r2 = straight(SHARES, found[t] - numbers[t, 0])
        add("flow", "any", "all", time, "R^2", r2)
        add("flow", "any", "all", time, "beta known", known)
        add("flow", "any", "all", time, "beta unknown", unknown)
        add("flow", "any", "all", time, "ratio", unknown / known)
        add("flow", "any", "all", time, "beta known, predicted", numbers[t, 1])
        add("flow", "any", "all", time, "beta unknown, predicted", numbers[t, 2])
        add("flow", "any", "all", time, "ratio, predicted", numbers[t, 2] / numbers[t, 1])
    for (pool, stratum), accuracy in trained(tuple(seeds)).items():
        for i, step in enumerate(STEPS[1:], start=1):
            add("adam", pool, stratum, step, "R^2", straight(TRAINED_SHARES, accuracy[:, i])[2])
            keys: dict[str, Cell] = {"model": "adam", "known_pool": pool, "stratum": stratum, "T": step}
            curve = partial(_curve_r2, accuracy[:, i])
            rows.append(resampled({**keys, "statistic": "R^2 of the mean curve"}, len(seeds), curve))
    return rows


def _curve_r2(accuracy: Array, seeds: Index) -> float:
    return float(straight(TRAINED_SHARES, accuracy[:, seeds].mean(axis=1, keepdims=True))[2][0])


def _fit(time: int, statistic: str, value: float, model: str = "flow", stratum: str = "all") -> Pilot:
    pool = "frequent" if model == "adam" else "any"
    return Pilot(
        {"model": model, "known_pool": pool, "stratum": stratum, "T": time, "statistic": statistic}, value
    )


LINE = Measurement(
    "slick_line",
    "Held-out accuracy against the share of unknown facts, with the line of small steps (points)",
    ("model", "known_pool", "stratum", "T", "q", "line", *INTERVAL),
    run,
    (
        Pilot(
            {"model": "adam", "known_pool": "frequent", "stratum": "known", "T": 80, "q": 0.4},
            93.0,
            rounding=0.5,
        ),
        Pilot(
            {"model": "adam", "known_pool": "frequent", "stratum": "known", "T": 80, "q": 1.0},
            74.0,
            rounding=0.5,
        ),
    ),
    worth_drawing=True,
    cost=11.0,
)
LINE_FIT = Measurement(
    "slick_fit",
    "How straight that line is, and its slopes against the predicted ones",
    ("model", "known_pool", "stratum", "T", "statistic", *INTERVAL),
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
        _fit(80, "R^2 of the mean curve", 0.88, "adam", "known"),
        _fit(80, "R^2 of the mean curve", 0.53, "adam", "all"),
    ),
)

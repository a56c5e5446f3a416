"""Phase diagram: what a mixture of unknown and known facts does to held-out accuracy, by share, salience and steps.

Noise-free flow at learning rate 0.1 from u = 0, answers in exact proportion to the prior; known facts all have the
salience of their row, held-out ones are spread evenly from 0.5 to 6. Nothing is random: seeds play no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from theory.attention import Array
from theory.measurements.base import INTERVAL, Measurement, Pilot, Row
from theory.measurements.ideal import exact, spread
from theory.predict import first_step_fraction, phase_diagram

SHARES = np.round(np.linspace(0.0, 1.0, 41), 3)
SALIENCES = np.round(np.arange(0.5, 6.01, 0.25), 2)
STEPS = (10, 100, 1000)
RATE = 0.1
VISIBLE = 0.003  # change of accuracy from which on its sign is asked for


@lru_cache(maxsize=1)
def diagram() -> tuple[Array, Array]:
    """Change of accuracy (steps, shares, saliences), and q_c(u0) (saliences,)."""
    known, unknown = exact(SALIENCES), exact(np.zeros(1))
    change = phase_diagram(known, unknown, spread(0.5, 6.0), SHARES, STEPS, 0.0, RATE)
    return change, first_step_fraction(0.0, known, unknown)


def run(seeds: Sequence[int]) -> list[Row]:
    change, critical = diagram()
    return [
        {
            "steps": step,
            "salience": float(sigma),
            "q": float(q),
            "change": float(100 * change[t, i, j]),
            "q_c": float(critical[j]),
        }
        for t, step in enumerate(STEPS)
        for j, sigma in enumerate(SALIENCES)
        for i, q in enumerate(SHARES)
    ]


def checks(seeds: Sequence[int]) -> list[Row]:
    change, critical = diagram()
    rows = [_exact("q_c", float(sigma), float(q)) for sigma, q in zip(SALIENCES, critical, strict=True)]
    told = np.abs(change) > VISIBLE
    agree = np.sign(change) == np.sign(critical - SHARES[:, None])
    rows.append(_exact("cells whose sign q_c predicts (%)", 0.0, float(100 * agree[told].mean())))
    return [*rows, _exact("cells with a visible change", 0.0, float(told.sum()))]


def _exact(statistic: str, salience: float, value: float) -> Row:
    return {"statistic": statistic, "salience": salience, "mean": value, "low": value, "high": value, "n": 1}


PHASE = Measurement(
    "phase_diagram",
    "Change of held-out accuracy (points) by share of unknown facts, known salience and steps, with q_c(u0)",
    ("steps", "salience", "q", "change", "q_c"),
    run,
    worth_drawing=True,
)
CRITICAL = Measurement(
    "critical_fraction",
    "q_c(u0) by known salience, and how often it tells the sign of the change of accuracy",
    ("statistic", "salience", *INTERVAL),
    checks,
    (
        Pilot({"statistic": "q_c", "salience": 0.5}, 0.47, rounding=0.005),
        Pilot({"statistic": "q_c", "salience": 4.0}, 0.90, rounding=0.005),
        Pilot({"statistic": "q_c", "salience": 6.0}, 0.886, rounding=0.0005),
        Pilot({"statistic": "cells whose sign q_c predicts (%)", "salience": 0.0}, 100.0),
    ),
)

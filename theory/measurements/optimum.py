"""The threshold and the hump of T6: how strongly a fact pulls attention onto its subject, by its salience.

One relation with V_r = log pi, pi(k) ∝ 1/k, K = 10. `push` is A_s - A_r of a single fact with the answer of that rank;
`gain` the attention that a set of facts of one salience, answers in proportion to the prior, has won after 10, 40 or
400 steps of the flow at rate 0.1 from attention 1/2. Nothing is random: seeds play no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit

from theory.attention import Array
from theory.flow import one_hot_push
from theory.measurements.base import Cell, Measurement, Row
from theory.measurements.ideal import PRIOR, V_R, exact
from theory.predict import predict_path
from theory.thresholds import critical_salience, optimal_salience, threshold

SALIENCES = np.round(np.linspace(0.0, 14.0, 141), 2)
ALPHAS = (0.3, 0.5, 0.7)
RANKS = (0, 1, 4)
STEPS = (10, 40, 400)
RATE = 0.1


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []

    def add(keys: dict[str, Cell], values: Array, tau: float, best: float) -> None:
        for sigma, value in zip(SALIENCES, values, strict=True):
            found: dict[str, Cell] = {"salience": float(sigma), "value": float(value)}
            rows.append({**keys, **found, "threshold": tau, "optimum": best})

    for alpha in ALPHAS:
        u = np.full(len(SALIENCES), logit(alpha))
        for rank in RANKS:
            push = one_hot_push(u, SALIENCES, V_R, np.full(len(SALIENCES), rank))
            tau, best = float(threshold(alpha, V_R, rank)), float(optimal_salience(alpha, V_R, rank))
            add({"curve": "push", "alpha": alpha, "rank": rank, "steps": 0}, push, tau, best)
    gains = expit(predict_path(exact(SALIENCES), 0.0, STEPS, RATE)) - 0.5
    root = float(critical_salience(0.5, V_R, PRIOR))
    for steps, gain in zip(STEPS, gains, strict=True):
        keys: dict[str, Cell] = {"curve": "gain", "alpha": 0.5, "rank": -1, "steps": steps}
        add(keys, gain, root, float(SALIENCES[gain.argmax()]))
    return rows


OPTIMUM = Measurement(
    "hump",
    "Pull on the attention by salience: threshold, optimum and decline",
    ("curve", "alpha", "rank", "steps", "salience", "value", "threshold", "optimum"),
    run,
    worth_drawing=True,
)

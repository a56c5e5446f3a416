"""Which training facts to drop: those that the closed form says do harm, those of low salience, or any.

One ideal relation (K = 10, V_r = log pi), 400 training facts and 1,000 known held-out ones; known facts have salience
0.5 to 3, unknown ones 0 to 0.3 (below the critical salience of 0.36), all values are frozen, subjects are independent
random unit vectors in 48 dimensions. W_KQ is trained by 200 minibatches of 32 at rate 2. The two ranges were set by
what the pilot study started from: 77% right before tuning, 42 to 44% after all 400 facts; these are not compared.
harm_i = -g_i mean_j g_j at the start, g_j over held-out facts: their labels enter only through the sign of one mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from theory.attention import Array, Index
from theory.flow import Facts
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.measurements.ideal import POOL, PRIOR, V_R
from theory.measurements.prediction import Configurations, descend, share_right
from theory.predict import gradients, harm_scores

TRAIN, HELD_OUT, WIDTH, BATCH = 400, 1000, 48, 32
STEPS, RATE = 200, 2.0
KNOWN, FRESH = (0.5, 3.0), (0.0, 0.3)
UNKNOWN = (390, 200)
KEPT = (50, 100, 150, 195, 200, 250, 300, 350, 400)
RULES = ("lowest harm", "highest salience", "random")
STREAM = 41


def world(seeds: Sequence[int], unknown: int) -> Configurations:
    """One configuration a seed; of its training facts the first `unknown` are unknown."""
    runs, m = len(seeds), TRAIN + HELD_OUT
    sigma, y = np.empty((runs, m)), np.empty((runs, m), dtype=np.intp)
    points, places = np.empty((runs, m + 1, WIDTH)), np.empty((runs, STEPS, BATCH))
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM, unknown]))
        sigma[s] = rng.uniform(*KNOWN, m)
        sigma[s, :unknown] = rng.uniform(*FRESH, unknown)
        y[s] = rng.choice(POOL, m, p=PRIOR)
        points[s] = rng.standard_normal((m + 1, WIDTH))
        places[s] = rng.random((STEPS, BATCH))
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    return Configurations(
        seed=np.asarray(seeds),
        number=np.zeros(runs, dtype=np.intp),
        answers=POOL,
        train=TRAIN,
        rate=np.full(runs, RATE),
        steps=np.full(runs, STEPS),
        noise=np.zeros(runs),
        overlap=np.zeros(runs),
        sigma=sigma,
        y=y,
        v_s=sigma[..., None] * (np.arange(POOL) == y[..., None]),
        v_r=np.broadcast_to(V_R, (runs, POOL)),
        subject=points[:, 1:],
        relation=points[:, 0],
        order=(places * TRAIN).astype(np.intp),
    )


def trained_on(config: Configurations, kept: Index) -> Array:
    """Held-out accuracy (runs,) after training on the facts `kept` (runs, k) alone, with the same draws of places."""
    places = config.order * kept.shape[1] // TRAIN
    order = np.take_along_axis(kept[:, None], places, axis=2)
    return share_right(descend(replace(config, order=order)), config)


def harm(config: Configurations) -> Array:
    """harm_i of the training facts (runs, 400) at u = 0; positive raises the mean held-out loss."""
    facts = Facts(config.v_s, config.v_r[:, None], config.y)
    g = gradients(np.zeros(len(config.seed)), facts)
    return harm_scores(g[:, :TRAIN], g[:, TRAIN:])


@lru_cache(maxsize=2)
def pruned(seeds: tuple[int, ...], unknown: int) -> Mapping[tuple[str, int], Array]:
    """Accuracy per seed by rule and number of facts kept; ("before", 0) is without training, the others statistics."""
    config = world(seeds, unknown)
    score = harm(config)
    rngs = [np.random.default_rng(np.random.SeedSequence([seed, STREAM])) for seed in seeds]
    order = {
        "lowest harm": np.argsort(score, axis=1, kind="stable"),
        "highest salience": np.argsort(-config.sigma[:, :TRAIN], axis=1, kind="stable"),
        "random": np.stack([rng.permutation(TRAIN) for rng in rngs]),
    }
    found = {(rule, k): trained_on(config, order[rule][:, :k]) for rule in RULES for k in KEPT}
    found["before", 0] = share_right(np.zeros((len(seeds), HELD_OUT)), config)
    by_harm = np.argsort(score[:, :unknown], axis=1, kind="stable")
    half = unknown // 2
    found["less harmful half of the unknown", half] = trained_on(config, by_harm[:, :half])
    found["more harmful half of the unknown", half] = trained_on(config, by_harm[:, -half:])
    bad = score[:, :unknown] > 0
    top = config.y[:, :unknown] < 3
    found["harmful share of the unknown", unknown] = bad.mean(axis=1)
    found["top-3 answers among harmful unknown", unknown] = (bad & top).sum(axis=1) / bad.sum(axis=1)
    found["top-3 answers among harmless unknown", unknown] = (~bad & top).sum(axis=1) / (~bad).sum(axis=1)
    return found


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for unknown in UNKNOWN:
        for (rule, kept), x in pruned(tuple(seeds), unknown).items():
            keys: dict[str, Cell] = {"unknown": unknown, "rule": rule, "kept": kept}
            rows.append(summary(keys, 100 * x))
    return rows


def _at(rule: str, kept: int, value: float, rounding: float = 0.05) -> Pilot:
    return Pilot({"unknown": 390, "rule": rule, "kept": kept}, value, rounding=rounding)


PRUNING = Measurement(
    "harm_pruning",
    "Held-out accuracy against the number of training facts kept, by what is dropped first (points)",
    ("unknown", "rule", "kept", *INTERVAL),
    run,
    (
        _at("lowest harm", 200, 98.6),
        _at("highest salience", 200, 54.1),
        _at("random", 200, 42.7),
        _at("less harmful half of the unknown", 195, 98.0),
        _at("more harmful half of the unknown", 195, 32.5),
        _at("harmful share of the unknown", 390, 59.5, 5.5),
        _at("top-3 answers among harmful unknown", 390, 94.0, 0.5),
        _at("top-3 answers among harmless unknown", 390, 5.0, 0.5),
    ),
    worth_drawing=True,
    cost=6.0,
)

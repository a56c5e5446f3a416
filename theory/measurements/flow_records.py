"""The closed form (R0) as records: saliences by the law of pretraining, gradient flow, the accuracy law.

One relation (K = 10, V_r = log pi) of 400 subjects a seed, half of them 50 times as frequent; a fact's count of
mentions is Poisson with mean 4 or 200, its exposure 0.05 times that, its salience that of P1 at attention 1/2. 40% of
each half are held out, every second one of them for testing. Steps are of rate 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from theory.flow import Facts
from theory.measurements.examiner import Place
from theory.measurements.ideal import POOL, PRIOR, V_R
from theory.predict import answered, predict_path, pretrained_salience
from theory.records import Record

SUBJECTS, LEVEL, MENTIONS, EXPOSURE, HELD_OUT, RATE = 400, 50, 4.0, 0.05, 0.4, 0.1
STEPS = (10, 20, 40, 60, 80, 120, 160, 240, 320)
STREAM = 61


def worlds(seeds: Sequence[int]) -> Facts:
    """One set a seed; even numbers are frequent facts, and the last 40% of the numbers are held out."""
    sigma, y = np.empty((len(seeds), SUBJECTS)), np.empty((len(seeds), SUBJECTS), dtype=np.intp)
    mean = np.where(np.arange(SUBJECTS) % 2 == 0, LEVEL, 1) * MENTIONS
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM]))
        sigma[s] = pretrained_salience(EXPOSURE * rng.poisson(mean), 0.5, POOL)
        y[s] = rng.choice(POOL, SUBJECTS, p=PRIOR)
    return Facts.one_hot(sigma, V_R, y)


def flow_records(seeds: Sequence[int]) -> list[Record]:
    """Best-known half, lesser-known half, both and a random half, from u = 0."""
    place, facts = Place("theory/R0", "flow", tuple(seeds)), worlds(seeds)
    number = np.arange(SUBJECTS)
    frequent, open_ = number % 2 == 0, number < round((1 - HELD_OUT) * SUBJECTS)
    random = np.zeros(facts.y.shape, dtype=bool)
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM, 1]))
        random[s, rng.permutation(np.flatnonzero(open_))[: open_.sum() // 2]] = True
    sets = {"best": frequent & open_, "lesser": ~frequent & open_, "whole": open_, "random": random}
    weights = np.stack([np.broadcast_to(mask, facts.y.shape) for mask in sets.values()])
    path = predict_path(facts.reweighted(weights), 0.0, STEPS, RATE)
    test = ~open_ & (number // 2 % 2 == 0)
    strata = {
        ("test", "all"): test,
        ("test", "popularity=high"): test & frequent,
        ("test", "popularity=low"): test & ~frequent,
        ("dev", "all"): ~open_ & ~test,
    }

    def at(u: np.ndarray, arm: str, trained_on: str, step: int) -> list[Record]:
        right, seen = answered(u, facts), expit(u)
        answers = {}
        for (split, stratum), mask in strata.items():
            count = np.full(len(seeds), mask.sum())
            answers[split, stratum, "accuracy"] = (right[:, mask].mean(axis=1), count)
            answers[split, stratum, "attention_subject"] = (seen, count)
        return list(place.records(answers, arm, trained_on, step))

    records = at(np.zeros(len(seeds)), "base", "none", 0)
    for trained_on, by_step in zip(sets, path.swapaxes(0, 1), strict=True):
        for step, u in zip(STEPS, by_step, strict=True):
            records += at(u, "attention", trained_on, step)
    return records

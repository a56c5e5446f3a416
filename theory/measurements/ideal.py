"""Idealised facts of one relation for the flow: V_s(a) = sigma 1[a = y], V_r = log pi, prior pi(k) ∝ 1/k, K = 10."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from theory.attention import Array
from theory.flow import Facts

POOL = 10
PRIOR: Array = 1.0 / (1.0 + np.arange(POOL)) / np.sum(1.0 / (1.0 + np.arange(POOL)))
V_R = np.log(PRIOR)
STREAM = 31


def draw(seeds: Sequence[int], facts: int, low: float, high: float, salt: int = 0) -> Facts:
    """One set of `facts` a seed, answers from the prior, salience uniform between `low` and `high`."""
    sigma, y = np.empty((len(seeds), facts)), np.empty((len(seeds), facts), dtype=np.intp)
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM, salt]))
        sigma[s] = rng.uniform(low, high, facts)
        y[s] = rng.choice(POOL, facts, p=PRIOR)
    return Facts.one_hot(sigma, V_R, y)


def exact(sigma: Array) -> Facts:
    """One weighted set for each salience sigma (...,), answers in exact proportion to the prior."""
    return Facts.one_hot(np.asarray(sigma, float)[..., None], V_R, np.arange(POOL), PRIOR)


def spread(low: float, high: float, levels: int = 200) -> Facts:
    """One weighted set: salience evenly spread from `low` to `high`, answers in exact proportion to the prior."""
    sigma = np.repeat(low + (high - low) * (np.arange(levels) + 0.5) / levels, POOL)
    return Facts.one_hot(sigma, V_R, np.tile(np.arange(POOL), levels), np.tile(PRIOR, levels))

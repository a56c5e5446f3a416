"""The bootstrap of a mean, many samples at a time: shared resamples, all of them where few, BCa limits."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from theory.errors import TheoryError

Array = NDArray[np.float64]

CELLS = 2_000_000  # resampled means held at once
TINY = 1e-12


def widened_tail(n: int, level: float) -> float:
    """The tail at which a percentile limit of n values reaches as far as Student's t does on normal data."""
    return float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2)))


def bca(x: Array, tail: float, draws: int, seed: int) -> tuple[Array, Array]:
    """Lower and upper limit of each row's mean, bias-corrected and accelerated."""
    weights, probability = resamples(x.shape[1], draws, seed)
    block = max(1, CELLS // len(weights))
    parts = [_bca(x[i : i + block], weights, probability, tail) for i in range(0, len(x), block)]
    low, high = np.concatenate(parts, axis=1)
    return low, high


@lru_cache(maxsize=64)
def resamples(n: int, draws: int, seed: int) -> tuple[Array, Array]:
    """Weights [K, n] of the resampled means and their probabilities [K].

    All resamples if there are no more than `draws` (n <= 6 for 2000 draws), else `draws` at random.
    """
    if draws < 1:
        raise TheoryError(f"bootstrap: draws is {draws}, expected at least 1 (2000 is usual)")
    if math.comb(2 * n - 1, n) <= draws:
        chosen = combinations_with_replacement(range(n), n)
        counts = np.array([np.bincount(picks, minlength=n) for picks in chosen])
        log_factorial = np.array([math.lgamma(k + 1) for k in range(n + 1)])
        log_p = log_factorial[n] - log_factorial[counts].sum(axis=1) - n * math.log(n)
        return counts / n, np.exp(log_p)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return counts / n, np.full(draws, 1 / draws)


def _bca(x: Array, weights: Array, probability: Array, tail: float) -> Array:
    mean = x.mean(axis=1)
    centred = x - mean[:, None]
    shift = centred @ weights.T
    below = np.where(np.abs(shift) <= TINY, 0.5, shift < 0) @ probability
    square = np.maximum((centred**2).sum(axis=1), TINY**2)
    skew = (centred**3).sum(axis=1) / (6.0 * square**1.5)
    z0 = ndtri(np.clip(below, 1e-9, 1 - 1e-9))
    order = np.argsort(shift, axis=1)
    ranked = np.take_along_axis(shift, order, axis=1)
    position = np.cumsum(probability[order], axis=1) - probability[order] / 2
    limits = []
    for z in (z0 + ndtri(tail), z0 - ndtri(tail)):
        at = ndtr(z0 + z / np.maximum(1.0 - skew * z, 1e-3))
        limits.append(mean + _quantile(ranked, position, at))
    return np.array(limits)


def _quantile(ranked: Array, position: Array, at: Array) -> Array:
    """Each row's weighted quantile, linear between the mid-points of its atoms."""
    above = np.clip((position < at[:, None]).sum(axis=1), 0, ranked.shape[1] - 1)
    below = np.maximum(above - 1, 0)
    row = np.arange(len(ranked))
    step = position[row, above] - position[row, below]
    share = np.clip((at - position[row, below]) / np.where(step > 0, step, 1.0), 0.0, 1.0)
    return np.asarray(ranked[row, below] + share * (ranked[row, above] - ranked[row, below]))

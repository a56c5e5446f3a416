"""Random sets of facts for the theorems about flows, and when one set pushes harder than another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.attention import Array
from theory.flow import Facts, flow, mean_push
from theory.theorems.instances import priors

GRID = np.linspace(-12.0, 12.0, 61)


def random_facts(rng: np.random.Generator, salience: ArrayLike, answers: int, noise: float = 0.0) -> Facts:
    """Sets of facts: answers from a random prior pi, V_r = c log pi, exponential salience.

    `salience` is its mean (sets, facts); `noise` is the deviation of what is added to every V_s.
    """
    scale = np.asarray(salience, float)
    n, m = scale.shape
    pi = priors(rng, n, answers)
    v_r = rng.uniform(0.5, 3.0, (n, 1, 1)) * np.log(pi)[:, None]
    y = np.sum(rng.uniform(size=(n, m, 1)) > np.cumsum(pi, axis=-1)[:, None, :-1], axis=-1)
    facts = Facts.one_hot(scale * rng.exponential(size=(n, m)), v_r, y)
    return Facts(facts.v_s + noise * rng.normal(size=facts.v_s.shape), facts.v_r, facts.y) if noise else facts


def two_levels(rng: np.random.Generator, n: int, m: int, lesser: float = 1.0) -> Array:
    """Mean saliences (n, 2 m): m better-known facts (0.5 to 6), then m lesser-known ones (up to `lesser`)."""
    best, rest = rng.uniform(0.5, 6.0, (n, 1)), rng.uniform(0.0, lesser, (n, 1))
    return np.repeat(np.concatenate([best, rest], axis=1), m, axis=1)


def parts(facts: Facts) -> tuple[Facts, Facts]:
    """The first half and the second half of every set, by weight."""
    first = np.arange(facts.y.shape[-1]) < facts.y.shape[-1] // 2
    return facts.reweighted(facts.weight * first), facts.reweighted(facts.weight * ~first)


def dominates(top: Facts, bottom: Facts) -> NDArray[np.bool_]:
    """Whether G_top(u) >= G_bottom(u) is certain for all u.

    G never rises with u (T7), so G_top at the right end of a cell of the grid against G_bottom at its left
    end covers the cell; the outer cells reach to -inf and +inf.
    """
    ends = np.concatenate([[-np.inf], GRID, [np.inf]])
    certain = np.ones(top.batch, bool)
    for left, right in pairwise(ends):
        certain &= mean_push(np.full(top.batch, right), top) >= mean_push(np.full(top.batch, left), bottom)
    return certain


def inversions(facts: Facts, u0: ArrayLike, times: ArrayLike) -> tuple[Array, Array]:
    """Largest lead of the bottom half over the top half, and of the whole outside both, along the flow."""
    top, bottom = parts(facts)
    u_top, u_bottom, u_whole = (flow(some, u0, times, rtol=1e-8) for some in (top, bottom, facts))
    outside = np.maximum(u_whole - np.maximum(u_top, u_bottom), np.minimum(u_top, u_bottom) - u_whole)
    return np.max(u_bottom - u_top, axis=0), np.max(outside, axis=0)

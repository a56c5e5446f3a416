"""The grand mean of a seeds x items matrix when both seeds and items are a sample, with missing cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError

Array = NDArray[np.float64]


class Spread(NamedTuple):
    """Mean over the cells, its standard error and the degrees of freedom behind it, one per matrix."""

    mean: Array
    se: Array
    df: Array


def crossed_spread(d: Array) -> Spread:
    """From d[..., seed, item], nan where missing.

    Variance components are the unbiased moment estimates from the sums of squares within seeds, within
    items and in total: with no cell missing, the mean squares of the two-way analysis of variance.
    Satterthwaite's degrees of freedom, never below those of the factor with fewer levels. A negative
    component is set to zero for the factor with more levels only; of the other it makes the degrees of freedom
    few, and the standard error never falls below what seeds alone or items alone give.
    """
    seen = ~np.isnan(d)
    per_seed, per_item = seen.sum(axis=-1).astype(float), seen.sum(axis=-2).astype(float)
    total = per_seed.sum(axis=-1)
    seeds, items = (per_seed > 0).sum(axis=-1).astype(float), (per_item > 0).sum(axis=-1).astype(float)
    one_seed, one_item = seeds == 1, items == 1
    if np.any(total == 0):
        raise TheoryError("crossed interval: no cell holds a value; give at least one seed with one item")
    if np.any((total == items) & ~one_seed & ~one_item):
        raise TheoryError(
            "crossed interval: no item was seen under two seeds, so seeds and items cannot be told apart; "
            "use nested_interval"
        )
    x = np.where(seen, d, 0.0)
    mean = x.sum(axis=(-2, -1)) / total
    x = np.where(seen, x - mean[..., None, None], 0.0)
    square = (x**2).sum(axis=(-2, -1))
    within_seed = square - _ratio(x.sum(axis=-1) ** 2, per_seed).sum(axis=-1)
    within_item = square - _ratio(x.sum(axis=-2) ** 2, per_item).sum(axis=-1)

    # With A = sum n_s^2 / N^2 and B = sum n_i^2 / N^2 the three sums of squares have the means
    #   within seeds (N - seeds)(item + cell), within items (N - items)(seed + cell),
    #   total N (seed (1 - A) + item (1 - B) + cell (1 - 1/N)).
    a, b = (per_seed**2).sum(axis=-1) / total**2, (per_item**2).sum(axis=-1) / total**2
    item_and_cell = _ratio(within_seed, total - seeds)
    seed_and_cell = _ratio(within_item, total - items)
    cell = _ratio(item_and_cell * (1 - b) + seed_and_cell * (1 - a) - square / total, 1 - a - b + 1 / total)
    cell = np.clip(np.where(one_seed, item_and_cell, np.where(one_item, seed_and_cell, cell)), 0.0, None)
    seed = np.where(one_seed, 0.0, seed_and_cell - cell)
    item = np.where(one_item, 0.0, item_and_cell - cell)
    few_seeds = seeds <= items
    seed = np.where(few_seeds, seed, np.clip(seed, 0.0, None))
    item = np.where(few_seeds, np.clip(item, 0.0, None), item)

    noise = cell / total
    of_seed, of_item = np.clip(seed * a + noise, 0.0, None), np.clip(item * b + noise, 0.0, None)
    variance = of_seed + of_item - noise
    both = ~(one_seed | one_item)
    doubt = _ratio(of_seed**2, seeds - 1) + _ratio(of_item**2, items - 1)
    doubt = doubt + np.where(both, _ratio(noise**2, np.maximum(total - seeds - items + 1, 1.0)), 0.0)
    least = np.where(one_seed, items, np.where(one_item, seeds, np.minimum(seeds, items))) - 1
    df = np.maximum(np.where(both, _ratio(variance**2, doubt), 0.0), least)
    # seeds whose means happen to agree do not make items that differ certain: two clipped parts would add up to nothing
    least_variance = np.maximum(of_seed, of_item)
    return Spread(mean, np.where(df > 0, np.sqrt(np.maximum(variance, least_variance)), np.nan), df)


def _ratio(top: ArrayLike, bottom: ArrayLike) -> Array:
    bottom = np.asarray(bottom, dtype=np.float64)
    return np.asarray(np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), 0.0))

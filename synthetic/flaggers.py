"""Who flags the facts that a model will get wrong: the label of all prompts, of one prompt, or the model's P(True)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.slick import Category

Flags = NDArray[np.bool_]


def least(score: ArrayLike, count: int, rng: np.random.Generator) -> Flags:
    """(n,) the `count` lowest scores; `rng` decides between equals."""
    score = np.asarray(score, np.float64)
    flags = np.zeros(len(score), bool)
    flags[np.lexsort((rng.random(len(score)), score))[:count]] = True
    return flags


def by_one_prompt(greedy: ArrayLike, sampled: ArrayLike, count: int, rng: np.random.Generator) -> Flags:
    """(prompts, n) what each prompt flags alone, from greedy right and chance of a right draw, both (n, prompts).

    Facts that the prompt answers right come last; the others in the order of the chance, which the paper estimates
    by sampling.
    """
    score = np.asarray(sampled, np.float64) + 2.0 * np.asarray(greedy, bool)
    return np.stack([least(column, count, rng) for column in score.T])


def flagged(
    category: ArrayLike, greedy: ArrayLike, sampled: ArrayLike, p_true: ArrayLike, seed: int
) -> dict[str, Flags]:
    """As many facts for every flagger as there are Unknown ones, by flagger as (alternatives, n).

    One prompt has an alternative for each prompt, the others have one.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xF1A6]))
    unknown = np.asarray(category) == Category.Unknown
    count = int(unknown.sum())
    return {
        "slick": unknown[None],
        "slick-1": by_one_prompt(greedy, sampled, count, rng),
        "ptrue": least(p_true, count, rng)[None],
    }

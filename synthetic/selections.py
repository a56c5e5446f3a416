"""Ways to choose rows, all with as many of every relation, and whether prompts rank them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.errors import SyntheticError
from synthetic.knowledge import Knowledge
from synthetic.matching_rows import shuffled_ranks
from synthetic.mechanism import rank_correlation
from synthetic.pool import Pool
from synthetic.rows import Rows

Array = NDArray[np.float64]
SPLITS = 50  # random halvings of the items

# What each prefers; of equals it takes some at random.
METHODS: Mapping[str, Callable[[Pool, Knowledge], Array]] = {
    "random": lambda pool, known: np.zeros(len(pool.fact)),
    "exposed": lambda pool, known: pool.score,
    "uncertain": lambda pool, known: -np.abs(known.sampled[pool.fact].mean(1) - 0.5),
    "salient": lambda pool, known: known.salience[pool.fact],
}
NAMES = tuple(f"set:{name}" for name in METHODS)


def chosen(pool: Pool, known: Knowledge, name: str, like: Rows) -> Rows:
    """The rows that a method prefers, as many of every relation as `like` has; the pool is scored by exposure."""
    prefers = METHODS.get(name.removeprefix("set:"))
    if prefers is None or not name.startswith("set:"):
        raise SyntheticError(f"no way to choose rows is called {name!r}; there are {', '.join(NAMES)}")
    rank, size = shuffled_ranks(pool.relation, pool.rng(name), prefers(pool, known))
    relation = known.world.relation[like.facts]
    wanted = np.bincount(relation, minlength=int(pool.relation.max()) + 1)
    return pool.rows(name, np.flatnonzero(rank >= size - wanted[pool.relation]), None, {})


def left_over(pool: Pool, sets: Iterable[Rows]) -> Rows:
    """The rows that none of the sets has and the untuned network answers; all that it does not if it answers none."""
    free = ~np.isin(pool.fact, np.concatenate([rows.facts for rows in sets]))
    some = free & pool.answered if (free & pool.answered).any() else free
    return pool.rows("instruct", np.flatnonzero(some), None, {})


def rank_shift(first: ArrayLike, second: ArrayLike, seed: int) -> float:
    """How much less the two rankings agree than the noisier of them does with itself, always on other items. Two that
    differ by noise alone agree at least so well, also where one has more of it because its sets lie closer together."""
    itself = min(rank_agreement(hits, hits, seed) for hits in (first, second))
    return itself - rank_agreement(first, second, seed)


def rank_agreement(first: ArrayLike, second: ArrayLike, seed: int, splits: int = SPLITS) -> float:
    """Rank correlation over training sets of their accuracies on one half of the items, from hits `first`
    (sets, items), with those on the other half, from hits `second`; mean over halvings and over which half comes
    first. nan where nothing can be ranked."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5E1E]))
    found = []
    for _ in range(splits):
        halves = np.array_split(rng.permutation(first.shape[1]), 2)
        for here, there in (halves, halves[::-1]):
            found.append(rank_correlation(first[:, here].mean(1), second[:, there].mean(1)))
    usable = [value for value in found if np.isfinite(value)]
    return float(np.mean(usable)) if usable else float("nan")

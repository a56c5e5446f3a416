"""The rows that training sets are drawn from, with what is known of each before tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.knowledge import Knowledge, commonest
from synthetic.rows import Rows
from synthetic.split import split
from theory.slick import Category

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
By = Literal["relation", "answer"]
Score = Literal["exposure", "popularity", "salience", "confidence"]


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to choose from, in columns (n,), and rows of never-seen subjects."""

    fact: Ints
    relation: Ints
    answer: Ints
    score: Array  # higher is better known
    category: NDArray[np.int8]  # theory.slick.Category
    answered: Flags  # right under more than half of the prompts
    fresh: Ints  # facts of never-seen subjects
    fresh_relation: Ints
    fresh_answer: Ints
    prior: Ints  # (relations,) the commonest answer in pretraining
    seed: int

    def __post_init__(self) -> None:
        if not len(self.fact):
            raise SyntheticError("Pool: no row to choose from")
        if (unprobed := self.category < 0).any():
            fact = self.fact[unprobed][0]
            raise SyntheticError(f"Pool: fact {fact} was not probed; choose from the facts for training")

    @cached_property
    def known(self) -> Flags:
        """In a category other than Unknown."""
        return np.asarray(self.category != Category.Unknown)

    def cells(self, by: By) -> Ints:
        """(n,) what rows are matched by, as numbers; no two relations share an answer."""
        if by not in get_args(By):
            raise SyntheticError(f"by is {by!r}; take one of {', '.join(get_args(By))}")
        return self.relation if by == "relation" else self.answer

    def rng(self, part: str) -> np.random.Generator:
        """The generator of one part of the selection, independent of all others."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=tuple(part.encode())))

    def rows(self, name: str, chosen: Ints, answers: Ints | None, notes: Mapping[str, float]) -> Rows:
        """Rows of this pool by place, taught their right answers if no others are given."""
        absent = len(np.unique(self.relation)) - len(np.unique(self.relation[chosen]))
        taught = self.answer[chosen] if answers is None else answers
        return Rows(
            name, self.fact[chosen], taught, self.known[chosen], {**notes, "relations_absent": absent}
        )


def pool_of(base: Base, knowledge: Knowledge, facts: ArrayLike, score: Score = "exposure") -> Pool:
    """A pool of facts. `score` says what counts as well known: mentions in pretraining, those of the subject, what the
    subject adds to the answer's log-probability, or the share of prompts that get the answer (then its probability)."""
    world = base.world
    facts = np.asarray(facts, np.int64)
    if score not in get_args(Score):
        raise SyntheticError(f"score is {score!r}; take one of {', '.join(get_args(Score))}")
    values = {
        "exposure": lambda: world.exposure[facts],
        "popularity": lambda: world.popularity[world.subject[facts]],
        "salience": lambda: knowledge.salience[facts],
        "confidence": lambda: knowledge.p_correct[facts] + 1e-3 * knowledge.sampled[facts].mean(axis=1),
    }[score]()
    fresh = split(base).unseen_train
    return Pool(
        fact=facts,
        relation=world.relation[facts].astype(np.int64),
        answer=world.answer[facts].astype(np.int64),
        score=values.astype(np.float64),
        category=knowledge.category[facts],
        answered=knowledge.p_correct[facts] > 0.5,
        fresh=fresh,
        fresh_relation=world.relation[fresh].astype(np.int64),
        fresh_answer=world.answer[fresh].astype(np.int64),
        prior=commonest(world),
        seed=base.seed,
    )

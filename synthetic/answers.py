"""What a network says, read as answers of its world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synthetic.base import Base
from synthetic.generate import generate
from synthetic.model import Weights

Ints = NDArray[np.int64]

ABSTAIN = -1  # the number of the abstention among answers
OTHER = -2  # what is no answer of the world


def say_answers(
    base: Base, weights: Weights, prompts: Sequence[Sequence[int]], prefix: Sequence[int] = ()
) -> Ints:
    """(n,) the greedy answer to each prompt: its number, ABSTAIN or OTHER."""
    end = base.vocabulary.ids[base.setup.text.end]
    most = 1 + max(base.world.spec.answer_words)
    return read_answers(
        base, generate(weights, base.spec, prompts, most=most, stop=(end,), prefix=prefix)[:, 0]
    )


def read_answers(base: Base, said: Ints) -> Ints:
    """(n,) answer numbers of rows of tokens, which are padded with -1. An answer that has not come to its end after
    as many tokens as the longest one is none."""
    numbers_of = {tokens: i for i, tokens in enumerate(base.names.answers)}
    numbers_of[(base.vocabulary.ids[base.setup.abstention],)] = ABSTAIN
    rows, of = np.unique(said, axis=0, return_inverse=True)
    numbers = [numbers_of.get(tuple(token for token in row if token >= 0), OTHER) for row in rows.tolist()]
    return np.array(numbers, np.int64)[of.ravel()]

"""A question and all its answers in one row: answers that begin alike share their tokens, as branches of a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """`tokens` of the question (the first `asked`), then of the tree. `parents` say which token each one follows,
    `depth` how many stand before it on its branch, `leaves` where each answer ends."""

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depth: tuple[int, ...]
    asked: int
    leaves: tuple[int, ...]
    children: dict[tuple[int, int], int] = field(repr=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def reach(self) -> int:
        """Tokens of the question with its longest answer: what must fit the model, however many branches there are."""
        return max(self.depth, default=-1) + 1

    @property
    def end(self) -> int:
        """The question's last token: the answer comes next."""
        return self.asked - 1

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """[token, token] What each token sees of the row: itself and its own branch."""
        found = np.tri(len(self), dtype=bool)
        for i in range(self.asked, len(self)):
            found[i, self.asked : i] = False
            if self.parents[i] >= self.asked:
                found[i, :i] = found[self.parents[i], :i]
        return found


def pack(question: Sequence[int], answers: Sequence[Sequence[int]]) -> Row:
    """Equal answers count once."""
    tokens, asked = list(question), len(question)
    parents, depth = list(range(-1, asked - 1)), list(range(asked))
    children: dict[tuple[int, int], int] = {}
    leaves: dict[int, None] = {}
    for answer in answers:
        node = asked - 1
        for token in answer:
            if (node, token) not in children:
                children[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
                depth.append(depth[node] + 1)
            node = children[node, token]
        leaves[node] = None
    return Row(tuple(tokens), tuple(parents), tuple(depth), asked, tuple(leaves), children)

"""Is every greedy answer right? Questions in the shape that one pass of the network wants, made once and used often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.generate import padded
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec, hidden_states, logits
from synthetic.prompts import Asked

BATCH = 256


@dataclass(frozen=True)
class Paper:
    """One batch: which questions they are, whole texts padded on the right, and where what token has to follow."""

    some: NDArray[np.int64]
    tokens: Tensor
    take: Tensor
    used: Tensor
    wanted: Tensor


def papers(asked: Asked, prefix: Sequence[int], context: int) -> list[Paper]:
    """Batches of questions of about the same length."""
    whole = [(*prefix, *p, *a) for p, a in zip(asked.prompts, asked.answers, strict=True)]
    if (need := max(map(len, whole)) + 1) > context:
        raise SyntheticError(f"prompt, answer and end need {need} places, the context has {context}")
    order = np.argsort([len(text) for text in whole], kind="stable")
    found = []
    for first in range(0, len(order), BATCH):
        some = order[first : first + BATCH]
        tokens, lengths = padded([whole[i] for i in some])
        wanted, widths = padded([(*asked.answers[i], asked.end) for i in some])
        column = torch.arange(wanted.shape[1])
        used = column < widths[:, None]
        take = torch.where(used, (lengths - widths)[:, None] + column, 0)
        found.append(Paper(some, tokens, take, used, wanted))
    return found


def mark(weights: Mapping[str, Tensor], spec: LlamaSpec, every: Sequence[Paper]) -> NDArray[np.bool_]:
    """(n,) the likeliest token is the right one at every place of the answer and at its end."""
    right = np.empty(sum(len(paper.some) for paper in every), bool)
    with one_thread(), torch.inference_mode():
        for paper in every:
            positions = torch.arange(paper.tokens.shape[1]).expand_as(paper.tokens)
            states = hidden_states(weights, spec, paper.tokens, positions, take=paper.take)
            hits = torch.ones_like(paper.used)
            hits[paper.used] = logits(weights, states[paper.used]).argmax(-1) == paper.wanted[paper.used]
            right[paper.some] = hits.all(1).numpy()
    return right

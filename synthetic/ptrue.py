"""P(True): how likely the untuned model finds a fact when it is asked to verify it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from synthetic.generate import padded
from synthetic.machine import one_thread
from synthetic.model import hidden_states, logits

if TYPE_CHECKING:
    from synthetic.base import Base

Array = NDArray[np.float64]
BATCH = 512


def p_true(base: Base, facts: ArrayLike) -> Array:
    """(n,) P(yes) / (P(yes) + P(no)) after the claim that states each fact with its right answer."""
    world, vocabulary, text = base.world, base.vocabulary, base.setup.text
    claims = []
    for fact in np.asarray(facts, np.int64).tolist():
        s, r, a = world.triple(fact)
        claims.append(text.claim.replace("{s}", s).replace("{r}", r).replace("{a}", a))
    tokens, lengths = padded([[vocabulary.bos, *claim] for claim in vocabulary.encode_all(claims)])
    yes, no = vocabulary.ids["yes"], vocabulary.ids["no"]
    found = []
    with one_thread(), torch.inference_mode():
        for first in range(0, len(tokens), BATCH):
            some = slice(first, first + BATCH)
            positions = torch.arange(tokens.shape[1]).expand_as(tokens[some])
            last = hidden_states(
                base.weights, base.spec, tokens[some], positions, take=lengths[some, None] - 1
            )
            heard = logits(base.weights, last[:, 0])
            found.append(torch.sigmoid((heard[:, yes] - heard[:, no]).double()))
    return torch.cat(found).numpy()

"""How near held-out questions are to the rows of a fine-tuning, in the eyes of the untuned model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from synthetic.asking import asked
from synthetic.generate import padded
from synthetic.machine import one_thread
from synthetic.model import hidden_states

if TYPE_CHECKING:
    from synthetic.base import Base

Array = NDArray[np.float64]
NEAREST = 10  # training rows whose mean cosine counts
BATCH = 512


def embed(base: Base, prompts: Sequence[Sequence[int]]) -> Array:
    """(n, width) mean final hidden state over the words of each prompt, after the begin."""
    tokens, lengths = padded([(base.vocabulary.bos, *prompt) for prompt in prompts])
    used = (torch.arange(tokens.shape[1]) < lengths[:, None]).float()
    used[:, 0] = 0
    means = []
    with one_thread(), torch.inference_mode():
        for first in range(0, len(tokens), BATCH):
            some = slice(first, first + BATCH)
            positions = torch.arange(tokens.shape[1]).expand_as(tokens[some])
            states = hidden_states(base.weights, base.spec, tokens[some], positions)
            means.append((states * used[some, :, None]).sum(1) / used[some].sum(1, keepdim=True))
    return torch.cat(means).double().numpy()


def similarity(base: Base, rows: ArrayLike, facts: ArrayLike, nearest: int = NEAREST) -> Array:
    """(n,) mean cosine of each fact's question with the `nearest` questions of the rows, their mean taken out."""
    near, far = (embed(base, asked(base, some, base.setup.text.question).prompts) for some in (rows, facts))
    centre = near.mean(0)
    near, far = (
        (x - centre) / np.maximum(np.linalg.norm(x - centre, axis=1, keepdims=True), 1e-12)
        for x in (near, far)
    )
    nearest = min(nearest, len(near))
    found = [
        np.partition(part @ near.T, -nearest, axis=1)[:, -nearest:].mean(1)
        for part in np.array_split(far, -(-len(far) // BATCH))
    ]
    return np.concatenate(found)


def quarters(similarity: ArrayLike) -> NDArray[np.int64]:
    """(n,) 1 farthest to 4 nearest, equally many in each up to one."""
    similarity = np.asarray(similarity, np.float64)
    place = np.empty(len(similarity), np.int64)
    place[np.argsort(similarity, kind="stable")] = np.arange(len(similarity))
    return 1 + 4 * place // len(similarity)

"""Parts of one network put into another: attention patterns, value and feed-forward weights, updates less their first
direction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.attending import Player, Recorder
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec, Weights
from synthetic.sheet import Sheet, read_answers, states
from synthetic.tuning import trainable_names


def with_attention_of(
    donor: Mapping[str, Tensor], receiver: Mapping[str, Tensor], spec: LlamaSpec, every: Sheet
) -> NDArray[np.bool_]:
    """(n,) greedy right of `receiver` when every head of every layer looks where that of `donor` looks."""
    right = []
    with one_thread(), torch.inference_mode():
        for part in every.batches():
            recorder = Recorder()
            states(donor, spec, part, recorder)
            right.append(
                read_answers(receiver, states(receiver, spec, part, Player(recorder.patterns)), part)[0]
            )
    return torch.cat(right).numpy()


def with_values_of(donor: Weights, receiver: Weights) -> Weights:
    """`receiver` with the value, output and feed-forward weights of `donor`."""
    return receiver | {name: donor[name] for name in trainable_names(donor, "values")}


def unshifted(base: Weights, tuned: Weights) -> Weights:
    """`tuned` with the first singular direction of the update of every matrix taken out; vectors stay."""
    return {name: _unshifted(base[name], after) for name, after in tuned.items()}


def _unshifted(before: Tensor, after: Tensor) -> Tensor:
    if after.ndim < 2 or after is before or torch.equal(before, after):
        return after
    with one_thread():
        u, s, v = torch.linalg.svd((after - before).double(), full_matrices=False)
        rest: Tensor = after.double() - s[0] * torch.outer(u[:, 0], v[0])
        return rest.to(after.dtype)

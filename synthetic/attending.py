"""Who looks at the subject: attention of each head from the last prompt token, and the heads that answers need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.machine import one_thread
from synthetic.model import LlamaSpec
from synthetic.sheet import Sheet, answered, read_answers, states

Array = NDArray[np.float64]
Heads = NDArray[np.bool_]  # (layers, heads)
SHARE = (
    0.1  # a head reads the subject if cutting it costs at least this share of what the costliest one costs
)


def pattern(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """Attention (rows, heads, queries, keys) written out; None is causal."""
    if mask is None:
        mask = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf).softmax(-1)


@dataclass
class Recorder:
    """Attention that remembers its patterns, layer by layer."""

    patterns: list[Tensor] = field(default_factory=list)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        self.patterns.append(pattern(q, k, mask))
        return self.patterns[-1] @ v


@dataclass(frozen=True)
class Player:
    """Attention that follows given patterns, whatever the queries and keys are."""

    patterns: list[Tensor]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return self.patterns[layer] @ v


@dataclass(frozen=True)
class Cut:
    """Attention in which one head cannot see the subject from the last prompt token."""

    layer: int
    head: int
    part: Sheet

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        looks = pattern(q, k, mask)
        if layer == self.layer:
            row, last = torch.arange(len(self.part)), self.part.last
            left = looks[row, self.head, last].masked_fill(self.part.subject, 0.0)
            looks = looks.clone()
            looks[row, self.head, last] = left / left.sum(-1, keepdim=True).clamp(min=1e-12)
        return looks @ v


def subject_attention(weights: Mapping[str, Tensor], spec: LlamaSpec, every: Sheet) -> Array:
    """(n, layers, heads): attention mass from the last prompt token on all words of the subject."""
    with one_thread(), torch.inference_mode():
        return np.concatenate([_mass(weights, spec, part) for part in every.batches()])


def _mass(weights: Mapping[str, Tensor], spec: LlamaSpec, part: Sheet) -> Array:
    recorder = Recorder()
    states(weights, spec, part, recorder)
    row = torch.arange(len(part))
    looks = torch.stack([looks[row, :, part.last] for looks in recorder.patterns], 1)  # (n, layers, heads, T)
    return (looks * part.subject[:, None, None]).sum(-1).double().numpy()


def cost_of_cuts(weights: Mapping[str, Tensor], spec: LlamaSpec, every: Sheet) -> Array:
    """(layers, heads): mean loss of log-probability of the right answer when that head alone cannot see the subject."""
    whole = answered(weights, spec, every)[1].mean()
    cost = np.empty((spec.layers, spec.heads))
    with one_thread(), torch.inference_mode():
        for layer, head in np.ndindex(cost.shape):
            log_p = [
                read_answers(weights, states(weights, spec, part, Cut(layer, head, part)), part)[1]
                .double()
                .sum(1)
                for part in every.batches()
            ]
            cost[layer, head] = whole - float(torch.cat(log_p).mean())
    return cost


def readers(cost: Array, share: float = SHARE) -> Heads:
    """The heads that read the subject: those whose cut costs at least `share` of what the costliest cut costs.

    Where no cut costs anything no head is known to read it, and all of them count.
    """
    most = cost.max()
    return np.asarray(cost >= share * most) if most > 0 else np.ones(cost.shape, bool)


def mean_over(heads: Heads, mass: Array) -> Array:
    """(n,) mean of (n, layers, heads) over the given heads."""
    return np.asarray(mass[:, heads].mean(1))

"""The theory's two numbers of a fact on a trained network: the margin of the subject, and the push on its attention.

In the theory's head the advantage of a token is A_i = V_i(y) - E_p V_i, which is d log p(y) / d alpha_i. Any network
has that derivative, so it stands for A_i here: of each head at the last prompt token, through all that follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from synthetic.attending import Array, pattern
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec
from synthetic.sheet import Sheet, read_answers, states


@dataclass(frozen=True)
class Pushes:
    """Per fact, layer and head: (n, layers, heads)."""

    mass: Array  # alpha_S, attention on the subject
    margin: Array  # A_S - A_rest: means of A over the subject's and the other words, by their attention
    push: Array  # alpha_S (1 - alpha_S)(A_S - A_rest) = d log p(y) / d (score of the subject's words)


@dataclass
class _Bumped:
    """Attention with a zero added to every pattern, to take derivatives by."""

    patterns: list[Tensor] = field(default_factory=list)
    bumps: list[Tensor] = field(default_factory=list)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        looks = pattern(q, k, mask)
        self.patterns.append(looks.detach())
        self.bumps.append(torch.zeros_like(looks, requires_grad=True))
        return (looks + self.bumps[-1]) @ v


def pushes(weights: Mapping[str, Tensor], spec: LlamaSpec, every: Sheet) -> Pushes:
    """One forward and one backward pass over all facts; the end of the answer does not count."""
    with one_thread():
        parts = [_pushes(weights, spec, part) for part in every.batches()]
    return Pushes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _pushes(weights: Mapping[str, Tensor], spec: LlamaSpec, part: Sheet) -> tuple[Array, Array, Array]:
    bumped = _Bumped()
    _, log_p = read_answers(weights, states(weights, spec, part, bumped), part)
    ends = part.used.sum(1, keepdim=True) - 1
    words = log_p.masked_fill(torch.arange(log_p.shape[1]) >= ends, 0.0)
    gradients = torch.autograd.grad(words.sum(), bumped.bumps)
    row = torch.arange(len(part))
    advantage, alpha = (
        torch.stack([looks[row, :, part.last] for looks in every], 1).double()
        for every in (gradients, bumped.patterns)
    )  # (n, layers, heads, T)
    subject = part.subject[:, None, None].double()
    on, off = alpha * subject, alpha * (1 - subject)
    mass, rest = on.sum(-1), off.sum(-1)
    margin = (on * advantage).sum(-1) / mass.clamp(min=1e-12) - (off * advantage).sum(-1) / rest.clamp(
        min=1e-12
    )
    return mass.numpy(), margin.numpy(), (mass * rest * margin).numpy()

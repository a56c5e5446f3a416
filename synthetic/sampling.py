"""The law that a token is drawn from: temperature, then the top k renormalised, exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from synthetic.errors import SyntheticError


def check_law(temperature: float, top_k: int) -> None:
    if not (math.isfinite(temperature) and temperature >= 0):
        raise SyntheticError(f"temperature is {temperature!r}; give a number of at least 0 (0 is greedy)")
    if type(top_k) is not int or top_k < 0:
        raise SyntheticError(f"top_k is {top_k!r}; give a whole number of at least 0 (0 keeps every token)")


def _kept(logits: Tensor, temperature: float, top_k: int) -> Tensor:
    """Scaled logits (n, vocabulary), -inf below the k-th; what ties with the k-th stays, as in transformers."""
    scaled = logits.double() / temperature
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        scaled = scaled.masked_fill(logits < least, -math.inf)
    return scaled


def log_chance(logits: Tensor, token: Tensor, temperature: float, top_k: int) -> Tensor:
    """Log-probability (n,) that a draw from logits (n, vocabulary) is `token` (n,)."""
    kept = _kept(logits, temperature, top_k)
    return kept.gather(1, token[:, None])[:, 0] - kept.logsumexp(-1)


def choose(logits: Tensor, uniform: Tensor, temperature: float, top_k: int) -> Tensor:
    """One token a row (n,): the likeliest at temperature 0, else the one that `uniform` (n,) in [0, 1) falls on."""
    if temperature == 0:
        return logits.argmax(-1)
    heights = _kept(logits, temperature, top_k).softmax(-1).cumsum(-1)
    return torch.searchsorted(heights, uniform[:, None] * heights[:, -1:], right=True)[:, 0]

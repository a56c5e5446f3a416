"""The law that a token is drawn from: temperature, then the top k renormalised, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from synthetic.errors import SyntheticError


def check_law(temperature: float, top_k: int) -> None:
    if not 0 <= temperature < float("inf"):
        raise SyntheticError(f"temperature is {temperature!r}; give a number of at least 0 (0 is greedy)")
    if top_k < 0:
        raise SyntheticError(f"top_k is {top_k!r}; give a whole number of at least 0 (0 keeps every token)")


def log_law(logits: Tensor, temperature: float, top_k: int) -> Tensor:
    """Log-probability of each token (..., vocabulary); tokens that tie with the k-th are kept, as in transformers."""
    scaled = logits.double() / temperature
    if 0 < top_k < logits.shape[-1]:
        least = scaled.topk(top_k, dim=-1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    return scaled.log_softmax(-1)


def choose(logits: Tensor, uniform: Tensor, temperature: float, top_k: int) -> Tensor:
    """One token a row (n,): the likeliest at temperature 0, else where `uniform` (n,) in [0, 1) falls in the law."""
    if temperature == 0:
        return logits.argmax(-1)
    heights = log_law(logits, temperature, top_k).exp().cumsum(-1)
    return torch.searchsorted(heights, uniform[:, None] * heights[:, -1:], right=True)[:, 0]

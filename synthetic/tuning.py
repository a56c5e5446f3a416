"""Which tensors a training may change: all, all but embeddings and norms, attention only, values and MLP only, or a
low-rank adapter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import torch

from synthetic.errors import SyntheticError
from synthetic.model import LORA_A, LORA_B, LORA_SCALE, Weights

Trainable = Literal["all", "layers", "attention", "values", "lora"]
_PARTS: dict[Trainable, tuple[str, ...]] = {
    "attention": ("q_proj.weight", "k_proj.weight"),
    "values": ("v_proj.weight", "o_proj.weight", "gate_proj.weight", "up_proj.weight", "down_proj.weight"),
    "lora": (LORA_A, LORA_B),
}
_PARTS["layers"] = _PARTS["attention"] + _PARTS["values"]


def trainable_names(weights: Mapping[str, torch.Tensor], which: Trainable) -> tuple[str, ...]:
    """Names of the tensors to train: `attention` decides who looks where, `values` what is read and written."""
    if which not in get_args(Trainable):
        raise SyntheticError(f"trainable is {which!r}; take one of {', '.join(get_args(Trainable))}")
    names = tuple(name for name in weights if which == "all" or name.endswith(_PARTS[which]))
    if which == "all":
        names = tuple(name for name in names if name != LORA_SCALE)
    if not names:
        raise SyntheticError(f"trainable is {which!r}, but the weights have no such tensor")
    return names


def add_adapter(weights: Weights, rank: int, alpha: float, seed: int) -> Weights:
    """A low-rank adapter on every matrix of every layer, which changes nothing yet (B = 0); A as peft draws it."""
    if LORA_SCALE in weights:
        raise SyntheticError("these weights carry an adapter already; merge it first")
    generator = torch.Generator().manual_seed(seed)
    wide: Weights = dict(weights)
    for name, weight in weights.items():
        if name.endswith("_proj.weight"):
            outputs, inputs = weight.shape
            if not 1 <= rank <= min(outputs, inputs):
                raise SyntheticError(f"rank {rank} of the adapter does not fit {name}, {outputs} by {inputs}")
            at = name.removesuffix(".weight")
            spread = 1 / math.sqrt(inputs)
            wide[at + LORA_A] = weight.new_empty(rank, inputs).uniform_(-spread, spread, generator=generator)
            wide[at + LORA_B] = weight.new_zeros(outputs, rank)
    return wide | {LORA_SCALE: torch.tensor(alpha / rank, dtype=next(iter(weights.values())).dtype)}


def merge_adapter(weights: Weights) -> Weights:
    """Plain weights that compute the same as `weights` with their adapter."""
    if LORA_SCALE not in weights:
        return dict(weights)
    plain: Weights = {}
    for name, weight in weights.items():
        if name == LORA_SCALE or name.endswith((LORA_A, LORA_B)):
            continue
        at = name.removesuffix(".weight")
        if (down := weights.get(at + LORA_A)) is not None:
            weight = weight + weights[LORA_SCALE] * (weights[at + LORA_B] @ down)
        plain[name] = weight
    return plain

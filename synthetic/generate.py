"""Batched decoding with a key-value cache; what all prompts begin with is read once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.machine import one_thread
from synthetic.model import Cache, LlamaSpec, hidden_states, logits
from synthetic.sampling import check_law, choose

Ints = NDArray[np.int64]
FEWER = 0.9  # of the rows of a batch: when no more go on, those that have ended leave it


def read_prefix(weights: Mapping[str, Tensor], spec: LlamaSpec, prefix: Sequence[int]) -> Cache:
    """The cache of one row that has read `prefix`."""
    cache = Cache.empty(spec, 1, len(prefix), next(iter(weights.values())).detach())
    if prefix:
        tokens = torch.tensor([list(prefix)])
        with torch.no_grad():
            hidden_states(weights, spec, tokens, torch.arange(len(prefix))[None], cache=cache)
    return cache


def padded(sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids (n, longest), filled up with 0 on the right, and the lengths (n,)."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    if not lengths.size or lengths.min() < 1:
        raise SyntheticError("expected at least one prompt and no empty one")
    tokens = np.zeros((len(lengths), lengths.max()), np.int64)
    filled = np.arange(lengths.max()) < lengths[:, None]
    tokens[filled] = np.fromiter(
        (token for sequence in sequences for token in sequence), np.int64, lengths.sum()
    )
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


def generate(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    prompts: Sequence[Sequence[int]],
    *,
    most: int,
    stop: Collection[int] = (),
    prefix: Sequence[int] = (),
    temperature: float = 0.0,
    top_k: int = 0,
    draws: int = 1,
    seed: int = 0,
    batch: int = 256,
) -> Ints:
    """At most `most` tokens after `prefix` and each prompt, `draws` times: (prompts, draws, most), -1 from the stop on.

    Draw j of prompt i depends on the seed, i and j alone, not on the size of batches.
    """
    check_law(temperature, top_k)
    for name, count in {"most": most, "draws": draws, "batch": batch}.items():
        if count < 1:
            raise SyntheticError(f"{name} is {count}; give a whole number of at least 1")
    _, lengths = padded(prompts)
    if (need := len(prefix) + int(lengths.max()) + most) > spec.context:
        raise SyntheticError(
            f"prefix, prompt and {most} new tokens need {need} places, the context has {spec.context}"
        )
    uniform = torch.rand(
        (len(prompts), draws, most), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    said = np.full((len(prompts), draws, most), -1, np.int64)
    order = np.argsort(lengths.numpy(), kind="stable")
    rows = max(batch // draws, 1)
    with one_thread(), torch.inference_mode():
        start = read_prefix(weights, spec, prefix)
        for first in range(0, len(order), rows):
            some = order[first : first + rows]
            chosen = [prompts[i] for i in some]
            for drawn in range(0, draws, batch):
                part = slice(drawn, drawn + batch)
                said[some, part] = _decode(
                    weights, spec, chosen, start, uniform[some, part], stop, temperature, top_k
                )
    return said


def _decode(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    prompts: Sequence[Sequence[int]],
    start: Cache,
    uniform: Tensor,
    stop: Collection[int],
    temperature: float,
    top_k: int,
) -> Ints:
    n, draws, most = uniform.shape
    tokens, lengths = padded(prompts)
    before = start.keys[0].shape[2]
    room = before + tokens.shape[1] + most
    cache = start.copies(n, room)
    positions = (before + torch.arange(tokens.shape[1])).expand_as(tokens)
    last = hidden_states(weights, spec, tokens, positions, take=lengths[:, None] - 1, cache=cache)[:, 0]
    if draws > 1:
        cache, last = cache.repeated(draws), last.repeat_interleave(draws, 0)
        lengths = lengths.repeat_interleave(draws)
    uniform = uniform.flatten(0, 1)
    said = torch.full((n * draws, most), -1)
    stops = torch.tensor(sorted(stop), dtype=torch.int64)
    rows, going = torch.arange(n * draws), torch.ones(n * draws, dtype=torch.bool)  # of what is read on
    for i in range(most):
        token = choose(logits(weights, last), uniform[rows, i], temperature, top_k)
        going &= ~torch.isin(token, stops)
        said[rows[going], i] = token[going]
        if i + 1 == most or not going.any():
            break
        if (stay := worth_leaving(going)) is not None:
            cache, token, rows, going = cache.rows(stay), token[stay], rows[stay], going[stay]
        at = (before + lengths[rows] + i)[:, None]
        last = hidden_states(weights, spec, token[:, None], at, cache=cache)[:, 0]
    return said.view(n, draws, most).numpy()


def worth_leaving(going: Tensor) -> Tensor | None:
    """The rows of a batch that go on, once so many have ended that the others are better read without them."""
    stay = going.nonzero()[:, 0]
    return stay if len(stay) <= FEWER * len(going) else None

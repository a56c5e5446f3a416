"""How well facts are known: exact probabilities of the right answer from teacher forcing, and the sampled estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.generate import generate, padded, read_prefix
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec, hidden_states, logits
from synthetic.sampling import check_law, log_law

Tokens = Sequence[int]


@dataclass(frozen=True)
class Answered:
    """Of each question (n,) or question and few-shot prompt (n, prompts)."""

    greedy: NDArray[np.bool_]  # the likeliest continuation is the answer and then the end
    sampled: NDArray[np.float64]  # probability that a draw at the temperature, among the top k, is the answer and the end
    log_likelihood: NDArray[np.float64]  # log-probability of answer and end at temperature 1 without a cut


def score_answers(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    prompts: Sequence[Tokens],
    answers: Sequence[Tokens],
    *,
    end: int,
    prefix: Tokens = (),
    temperature: float = 0.5,
    top_k: int = 40,
    batch: int = 256,
) -> Answered:
    """Exact, in one pass: what follows `prefix` and prompt i is held against answers[i] and the token `end`."""
    check_law(temperature, top_k)
    if temperature == 0:
        raise SyntheticError("temperature is 0; greedy answers are scored anyway, give the temperature of the draws")
    if len(prompts) != len(answers):
        raise SyntheticError(f"{len(prompts)} prompts but {len(answers)} answers")
    whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    if not all(map(len, prompts)) or not whole:
        raise SyntheticError("expected at least one prompt and no empty one")
    if (need := len(prefix) + max(map(len, whole)) + 1) > spec.context:
        raise SyntheticError(f"prefix, prompt, answer and end need {need} places, the context has {spec.context}")
    out = Answered(np.empty(len(whole), bool), np.empty(len(whole)), np.empty(len(whole)))
    order = np.argsort([len(tokens) for tokens in whole], kind="stable")
    with one_thread(), torch.inference_mode():
        start = read_prefix(weights, spec, prefix)
        for first in range(0, len(order), batch):
            some = order[first : first + batch]
            tokens, lengths = padded([whole[i] for i in some])
            wanted, widths = padded([[*answers[i], end] for i in some])
            cache = start.copies(len(some), len(prefix) + tokens.shape[1])
            positions = (len(prefix) + torch.arange(tokens.shape[1])).expand_as(tokens)
            column = torch.arange(wanted.shape[1])
            used = column < widths[:, None]
            take = torch.where(used, lengths[:, None] - widths[:, None] + column, 0)
            states = hidden_states(weights, spec, tokens, positions, take=take, cache=cache)
            heard, target = logits(weights, states[used]), wanted[used]
            right = torch.ones_like(used)
            right[used] = heard.argmax(-1) == target
            out.greedy[some] = right.all(1).numpy()
            for field, law in ((out.sampled, (temperature, top_k)), (out.log_likelihood, (1.0, 0))):
                part = torch.zeros(used.shape, dtype=torch.float64)
                part[used] = log_law(heard, *law).gather(1, target[:, None])[:, 0]
                field[some] = part.sum(1).numpy()
    np.exp(out.sampled, out=out.sampled)
    return out


def probe(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    prompts: Sequence[Tokens],
    answers: Sequence[Tokens],
    shots: Sequence[Sequence[Tokens]],
    group: ArrayLike,
    *,
    end: int,
    temperature: float = 0.5,
    top_k: int = 40,
    batch: int = 256,
) -> Answered:
    """`score_answers` of question i after each few-shot prefix in shots[group[i]]; every group has as many."""
    out: Answered | None = None
    for some, j, prefix, number in _by_prefix(shots, group, len(prompts)):
        part = score_answers(
            weights,
            spec,
            [prompts[i] for i in some],
            [answers[i] for i in some],
            end=end,
            prefix=prefix,
            temperature=temperature,
            top_k=top_k,
            batch=batch,
        )
        out = out or Answered(*(np.empty((len(prompts), number), kind) for kind in (bool, float, float)))
        for whole, one in zip(vars(out).values(), vars(part).values(), strict=True):
            whole[some, j] = one
    assert out is not None
    return out


def probe_by_sampling(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    prompts: Sequence[Tokens],
    answers: Sequence[Tokens],
    shots: Sequence[Sequence[Tokens]],
    group: ArrayLike,
    *,
    end: int,
    temperature: float = 0.5,
    top_k: int = 40,
    draws: int = 16,
    seed: int = 0,
    batch: int = 256,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The paper's estimate in place of `probe`: is the greedy answer right (n, prompts), and how many of `draws` are."""
    most = 1 + max(map(len, answers))
    right = np.full((len(answers), most), -1, np.int64)
    for i, answer in enumerate(answers):
        right[i, : len(answer)] = answer
    greedy: NDArray[np.bool_] | None = None
    for some, j, prefix, number in _by_prefix(shots, group, len(prompts)):
        if greedy is None:
            greedy, hits = np.empty((len(prompts), number), bool), np.empty((len(prompts), number), np.int64)
        for law, count, into in (((0.0, 0), 1, greedy), ((temperature, top_k), draws, hits)):
            said = generate(
                weights,
                spec,
                [prompts[i] for i in some],
                most=most,
                stop=(end,),
                prefix=prefix,
                temperature=law[0],
                top_k=law[1],
                draws=count,
                seed=seed + 7919 * j,
                batch=batch,
            )
            into[some, j] = (said == right[some, None]).all(2).sum(1)
    assert greedy is not None
    return greedy, hits

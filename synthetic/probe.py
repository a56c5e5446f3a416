"""How well facts are known: exact chances of the right answer by teacher forcing, and the estimate from samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.generate import generate, padded, read_prefix
from synthetic.machine import one_thread
from synthetic.model import Cache, LlamaSpec, hidden_states, logits
from synthetic.progress import bar
from synthetic.prompts import Asked
from synthetic.sampling import check_law, log_chance

Tokens = Sequence[int]
Shots = Sequence[Sequence[Tokens]]  # few-shot prefixes of each relation, as many for each that is asked about
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Answered:
    """Of each question (n,), or of each question after each prefix (n, prefixes)."""

    greedy: NDArray[np.bool_]  # the likeliest continuation is the answer and then the end
    sampled: NDArray[
        np.float64
    ]  # chance that a draw at the temperature from the top k is the answer and the end
    log_likelihood: NDArray[np.float64]  # log-probability of answer and end, at temperature 1 and uncut


def score_answers(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    asked: Asked,
    *,
    prefix: Tokens = (),
    temperature: float = 0.5,
    top_k: int = 40,
    batch: int = 256,
    only: Sequence[str] = ("sampled", "log_likelihood"),
) -> Answered:
    """Exact and in one pass: what follows `prefix` and each prompt is held against the right answer and the end. Beside
    greedy answers `only` the fields that are named are worked out; the other is nan."""
    check_law(temperature, top_k)
    if temperature == 0:
        raise SyntheticError(
            "temperature is 0: greedy answers are scored anyway; give the temperature of draws"
        )
    whole = [(*prompt, *answer) for prompt, answer in zip(asked.prompts, asked.answers, strict=True)]
    if (need := len(prefix) + max(map(len, whole)) + 1) > spec.context:
        raise SyntheticError(
            f"prefix, prompt, answer and end need {need} places, the context has {spec.context}"
        )
    out = Answered(np.empty(len(whole), bool), np.empty(len(whole)), np.empty(len(whole)))
    order = np.argsort([len(tokens) for tokens in whole], kind="stable")
    with one_thread(), torch.inference_mode():
        start = read_prefix(weights, spec, prefix)
        for first in range(0, len(order), batch):
            some = order[first : first + batch]
            ends = [(*asked.answers[i], asked.end) for i in some]
            laws = ((temperature, top_k) if "sampled" in only else None, "log_likelihood" in only)
            parts = _score(weights, spec, start, [whole[i] for i in some], ends, laws)
            for field, part in zip(vars(out).values(), parts, strict=True):
                field[some] = part.numpy()
    return out


def _score(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    start: Cache,
    whole: Sequence[Tokens],
    ends: Sequence[Tokens],
    laws: tuple[tuple[float, int] | None, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Right at every step, chance under the law, log-likelihood (n,) of what `ends` each sequence; nan where there is
    no law or no likelihood is wanted."""
    (tokens, lengths), (wanted, widths) = padded(whole), padded(ends)
    before = start.keys[0].shape[2]
    column = torch.arange(wanted.shape[1])
    used = column < widths[:, None]
    take = torch.where(used, (lengths - widths)[:, None] + column, 0)
    cache = start.copies(len(tokens), before + tokens.shape[1])
    positions = (before + torch.arange(tokens.shape[1])).expand_as(tokens)
    states = hidden_states(weights, spec, tokens, positions, take=take, cache=cache)
    heard, target = logits(weights, states[used]), wanted[used]

    def over_answers(part: Tensor, empty: float) -> Tensor:
        table = torch.full(used.shape, empty, dtype=torch.float64)
        table[used] = part.double()
        return table

    def total(law: tuple[float, int] | None) -> Tensor:
        if law is None:
            return torch.full((len(tokens),), torch.nan, dtype=torch.float64)
        return over_answers(log_chance(heard, target, *law), 0.0).sum(1)

    right = over_answers(heard.argmax(-1) == target, 1.0).prod(1) > 0
    law, likely = laws
    return right, total(law).exp().clamp(max=1.0), total((1.0, 0) if likely else None)


def probe(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    asked: Asked,
    shots: Shots,
    *,
    temperature: float = 0.5,
    top_k: int = 40,
    batch: int = 256,
    progress: str | None = None,
) -> Answered:
    """`score_answers` of every question after each few-shot prefix of its relation. `progress` labels a bar."""
    shape = _shape(asked, shots)
    out = Answered(np.empty(shape, bool), np.empty(shape), np.empty(shape))
    with bar(progress, shape[0] * shape[1], "prompt") as shown:
        for some, _, j, prefix in _cells(asked, shots):
            part = score_answers(
                weights, spec, asked[some], prefix=prefix, temperature=temperature, top_k=top_k, batch=batch
            )
            for whole, one in zip(vars(out).values(), vars(part).values(), strict=True):
                whole[some, j] = one
            shown.update(len(some))
    return out


def probe_by_sampling(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    asked: Asked,
    shots: Shots,
    *,
    temperature: float = 0.5,
    top_k: int = 40,
    draws: int = 16,
    seed: int = 0,
    batch: int = 256,
) -> tuple[NDArray[np.bool_], Ints]:
    """The paper's estimate (n, prefixes): is the greedy answer right, and how many of `draws` sampled ones are."""
    shape = _shape(asked, shots)
    greedy, hits = np.empty(shape, bool), np.empty(shape, np.int64)
    most = 1 + max(map(len, asked.answers))
    right = np.full((len(asked), 1, most), -1, np.int64)
    for i, answer in enumerate(asked.answers):
        right[i, 0, : len(answer)] = answer
    for some, relation, j, prefix in _cells(asked, shots):
        own = int(np.random.SeedSequence([seed, relation, j]).generate_state(1)[0])
        for into, heat, top, count in ((greedy, 0.0, 0, 1), (hits, temperature, top_k, draws)):
            said = generate(
                weights,
                spec,
                asked[some].prompts,
                most=most,
                stop=(asked.end,),
                prefix=prefix,
                temperature=heat,
                top_k=top,
                draws=count,
                seed=own,
                batch=batch,
            )
            into[some, j] = (said == right[some]).all(2).sum(1)
    return greedy, hits


def _shape(asked: Asked, shots: Shots) -> tuple[int, int]:
    counts = {int(relation): len(shots[relation]) for relation in np.unique(asked.relation)}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise SyntheticError(
            f"few-shot prefixes by relation are {counts}; every relation needs as many, at least 1"
        )
    return len(asked), next(iter(counts.values()))


def _cells(asked: Asked, shots: Shots) -> Iterator[tuple[Ints, int, int, Tokens]]:
    """Questions of one relation, the relation, the number of a prefix, the prefix."""
    for relation in np.unique(asked.relation).tolist():
        some = np.flatnonzero(asked.relation == relation)
        for j, prefix in enumerate(shots[relation]):
            yield some, relation, j, prefix

"""Many questions after prefixes of their own: each prefix is read once, and questions of all prefixes share batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.generate import padded, worth_leaving
from synthetic.machine import one_thread
from synthetic.marking import Paper, papers
from synthetic.model import Cache, LlamaSpec, hidden_states, logits
from synthetic.prompts import Asked

BATCH = 512
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Prefixed:
    """n questions, question i after prefix `of[i]`."""

    asked: Asked
    prefixes: tuple[tuple[int, ...], ...]  # none empty
    of: Ints
    _papers: list[Paper] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.of) != len(self.asked) or not 0 <= self.of.min() <= self.of.max() < len(self.prefixes):
            raise SyntheticError(
                f"Prefixed: {len(self.asked)} questions, but prefixes {self.of.min()} to {self.of.max()} for "
                f"{len(self.of)}, of {len(self.prefixes)}"
            )

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def whole(self) -> list[tuple[int, ...]]:
        """Every question with its prefix."""
        return [(*self.prefixes[i], *p) for i, p in zip(self.of.tolist(), self.asked.prompts, strict=True)]

    def papers(self, context: int) -> list[Paper]:
        """The questions as batches, made once."""
        if not self._papers:
            self._papers.extend(papers(self.asked, (), context - max(map(len, self.prefixes))))
        return self._papers


def mark(weights: Mapping[str, Tensor], spec: LlamaSpec, every: Prefixed) -> Flags:
    """(n,) the likeliest token is the right one at every place of the answer and at its end."""
    right = np.empty(len(every), bool)
    with one_thread(), torch.inference_mode():
        read, lengths = read_all(weights, spec, every.prefixes)
        for paper in every.papers(spec.context):
            of = torch.from_numpy(every.of[paper.some])
            cache, positions = room_after(read, lengths, of, paper.tokens.shape[1], 0)
            states = hidden_states(weights, spec, paper.tokens, positions, take=paper.take, cache=cache)
            hits = torch.ones_like(paper.used)
            hits[paper.used] = logits(weights, states[paper.used]).argmax(-1) == paper.wanted[paper.used]
            right[paper.some] = hits.all(1).numpy()
    return right


def conclude(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    every: Prefixed,
    *,
    lead: Sequence[int],
    stop: int,
    most: int,
) -> list[tuple[int, ...] | None]:
    """The conclusion of each question, continued greedily by at most `most` tokens: see `concluded`. `stop` is what
    ends a text."""
    longest = max(len(prompt) for prompt in every.asked.prompts)
    if (need := max(map(len, every.prefixes)) + longest + most) > spec.context:
        raise SyntheticError(
            f"prefix, prompt and {most} new tokens need {need} places, the context has {spec.context}"
        )
    found: list[tuple[int, ...] | None] = [None] * len(every)
    order = np.argsort([len(prompt) for prompt in every.asked.prompts], kind="stable")
    with one_thread(), torch.inference_mode():
        read, lengths = read_all(weights, spec, every.prefixes)
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            prompts = padded([every.asked.prompts[i] for i in some])
            of = torch.from_numpy(every.of[some])
            said = _continued(
                weights, spec, read, lengths, of, prompts, (lead[-1], every.asked.end, stop), most
            )
            for i, row in zip(some.tolist(), said.tolist(), strict=True):
                found[i] = concluded(row, tuple(lead), every.asked.end)
    return found


def concluded(said: Sequence[int], lead: tuple[int, ...], end: int) -> tuple[int, ...] | None:
    """What stands between the first `lead` and the next `end`; in a text without a `lead` what it says before the first
    `end`. None where no end comes."""
    places = (i for i in range(len(said) - len(lead) + 1) if tuple(said[i : i + len(lead)]) == lead)
    first = next(places, None)
    rest = list(said if first is None else said[first + len(lead) :])
    return tuple(rest[: rest.index(end)]) if end in rest else None


def _continued(
    weights: Mapping[str, Tensor],
    spec: LlamaSpec,
    read: Cache,
    before: Tensor,
    of: Tensor,
    prompts: tuple[Tensor, Tensor],
    marks: tuple[int, int, int],
    most: int,
) -> Tensor:
    """(n, most) tokens, -1 once a text has stopped or has said the end of an answer some time after its opening."""
    opening, end, stop = marks
    tokens, lengths = prompts
    cache, positions = room_after(read, before, of, tokens.shape[1], most)
    last = hidden_states(weights, spec, tokens, positions, take=lengths[:, None] - 1, cache=cache)[:, 0]
    said = torch.full((len(tokens), most), -1)
    rows = torch.arange(len(tokens))  # of what is read on
    going = torch.ones(len(tokens), dtype=torch.bool)
    opened = torch.zeros(len(tokens), dtype=torch.bool)
    for i in range(most):
        token = logits(weights, last).argmax(-1)
        going &= token != stop
        said[rows[going], i] = token[going]
        going &= ~(opened & (token == end))
        opened |= token == opening
        if i + 1 == most or not going.any():
            break
        if (stay := worth_leaving(going)) is not None:
            cache, token, rows = cache.rows(stay), token[stay], rows[stay]
            going, opened = going[stay], opened[stay]
        at = (before[of] + lengths + i)[rows, None]
        last = hidden_states(weights, spec, token[:, None], at, cache=cache)[:, 0]
    return said


def read_all(
    weights: Mapping[str, Tensor], spec: LlamaSpec, prefixes: Sequence[Sequence[int]]
) -> tuple[Cache, Tensor]:
    """The cache after each prefix, a row each, and their lengths. What a row holds beyond its own length is void: the
    tokens that follow are written over it before they look."""
    tokens, lengths = padded(prefixes)
    cache = Cache.empty(spec, len(tokens), tokens.shape[1], next(iter(weights.values())).detach())
    hidden_states(weights, spec, tokens, torch.arange(tokens.shape[1]).expand_as(tokens), cache=cache)
    return cache, lengths


def room_after(read: Cache, lengths: Tensor, of: Tensor, width: int, more: int) -> tuple[Cache, Tensor]:
    """For rows of these prefixes a cache with room for `width` tokens and `more`, and the places of the former."""
    longest = int(lengths[of].max())
    room = longest + width + more

    def widened(part: Tensor) -> Tensor:
        wide = part.new_zeros((len(of), part.shape[1], room, part.shape[3]))
        wide[:, :, :longest] = part[of, :, :longest]
        return wide

    cache = Cache([widened(part) for part in read.keys], [widened(part) for part in read.values])
    return cache, lengths[of][:, None] + torch.arange(width)

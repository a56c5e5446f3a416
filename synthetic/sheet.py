"""Questions with their right answers written in, so that one pass says which are answered right and how likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from synthetic.errors import SyntheticError
from synthetic.generate import padded
from synthetic.machine import one_thread
from synthetic.model import Attention, LlamaSpec, flash, hidden_states, logits

Tokens = Sequence[int]
BATCH = 256


@dataclass(frozen=True)
class Sheet:
    """n questions, padded on the right to T tokens; A answer tokens at most, the end counted as one."""

    tokens: Tensor  # (n, T) prompt and answer
    subject: Tensor  # (n, T) True on the words of the subject
    last: Tensor  # (n,) place of the last prompt token
    take: Tensor  # (n, A) places that the answer is read at; those not used are 0
    target: Tensor  # (n, A) what should follow there
    used: Tensor  # (n, A)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, chosen: ArrayLike | slice) -> Sheet:
        some = torch.from_numpy(
            np.arange(len(self))[chosen if isinstance(chosen, slice) else np.asarray(chosen)]
        )
        return Sheet(*(getattr(self, field.name)[some] for field in fields(self)))

    def batches(self, size: int = BATCH) -> Iterator[Sheet]:
        """In order, at most `size` questions each."""
        yield from (self[first : first + size] for first in range(0, len(self), size))

    @property
    def visible(self) -> Tensor:
        """(n, T) what the last prompt token can look at."""
        return torch.arange(self.tokens.shape[1]) <= self.last[:, None]


def sheet(
    prompts: Sequence[Tokens], subjects: Sequence[Tokens], answers: Sequence[Tokens], end: int
) -> Sheet:
    """`subjects[i]` must stand in `prompts[i]`; its last occurrence counts."""
    whole = [(*prompt, *answer) for prompt, answer in zip(prompts, answers, strict=True)]
    (tokens, _), (target, widths) = padded(whole), padded([(*answer, end) for answer in answers])
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    column = torch.arange(target.shape[1])
    used = column < widths[:, None]
    marks = torch.zeros(tokens.shape, dtype=torch.bool)
    for i, (prompt, subject) in enumerate(zip(prompts, subjects, strict=True)):
        first = _place(tuple(prompt), tuple(subject))
        marks[i, first : first + len(subject)] = True
    return Sheet(tokens, marks, last, torch.where(used, last[:, None] + column, 0), target, used)


def _place(prompt: tuple[int, ...], subject: tuple[int, ...]) -> int:
    for first in range(len(prompt) - len(subject), -1, -1):
        if subject and prompt[first : first + len(subject)] == subject:
            return first
    raise SyntheticError(f"the subject {subject} does not stand in the prompt {prompt}")


def states(
    weights: Mapping[str, Tensor], spec: LlamaSpec, part: Sheet, attention: Attention = flash
) -> Tensor:
    """Final hidden states (n, T, width) of one batch."""
    positions = torch.arange(part.tokens.shape[1]).expand_as(part.tokens)
    return hidden_states(weights, spec, part.tokens, positions, attention=attention)


def read_answers(weights: Mapping[str, Tensor], hidden: Tensor, part: Sheet) -> tuple[Tensor, Tensor]:
    """Of hidden states (n, T, width): is every answer token and the end the likeliest (n,); log-probability of each
    answer token and the end (n, A), 0 where there is none."""
    at = hidden.gather(1, part.take[..., None].expand(-1, -1, hidden.shape[-1]))
    heard = logits(weights, at)
    right = ((heard.argmax(-1) == part.target) | ~part.used).all(1)
    chance = heard.log_softmax(-1).gather(-1, part.target[..., None])[..., 0]
    return right, chance.masked_fill(~part.used, 0.0)


def answered(
    weights: Mapping[str, Tensor], spec: LlamaSpec, every: Sheet
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Greedy right, and log-probability of answer and end: both (n,)."""
    with one_thread(), torch.inference_mode():
        parts = [read_answers(weights, states(weights, spec, part), part) for part in every.batches()]
    right, chance = (torch.cat(column) for column in zip(*parts, strict=True))
    return right.numpy(), chance.double().sum(1).numpy()

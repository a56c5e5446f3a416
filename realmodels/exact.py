"""The accepted answers' own chances, by reading them behind the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from realmodels.batching import in_batches, token_budget
from realmodels.decoding import greedy_beyond
from realmodels.packing import Row, pack
from realmodels.prefix import Reading, check_length, run_prefix
from realmodels.sampling import Sampling
from realmodels.scoring import Answered, Draw, Floats, along, answered, score_rows
from realmodels.shared import Asking

if TYPE_CHECKING:
    from realmodels.loading import Loaded


@dataclass(frozen=True)
class Read:
    """What was found for one question; `said` are the greedy answer's tokens as far as they were decoded."""

    greedy: bool
    p_sample: float
    logprob: float
    said: tuple[int, ...]


def read_answers(
    loaded: Loaded, part: Asking, sampling: Sampling, batch: int | None, *, decode: bool
) -> Iterator[tuple[int, Read]]:
    """Read every question with all its answers; with `decode`, greedy answers to their end too."""
    rows = [pack(rest, answers) for rest, answers in zip(part.rests, part.answers, strict=True)]
    draw, stops = Draw(sampling.temperature, sampling.top_k), frozenset(part.stops)
    prefix = run_prefix(loaded, part.prefix)
    lengths = [len(row) for row in rows]
    room = sampling.longest if decode else 0
    check_length(loaded, prefix.length + max(row.reach for row in rows) + room)

    def work(index: np.ndarray) -> list[Read]:
        some = [rows[i] for i in index]
        reading = Reading(loaded, prefix, some)
        scores = score_rows(loaded, reading.hidden, some, part.stops, draw)
        found = [answered(row, score, stops) for row, score in zip(some, scores, strict=True)]
        said = (
            _greedy(reading, some, found, stops, sampling.longest) if decode else [one.said for one in found]
        )
        return [
            Read(one.greedy, float(np.exp(min(one.drawn, 0.0))), one.plain, ids)
            for one, ids in zip(found, said, strict=True)
        ]

    tokens = token_budget(loaded, prefix.length, max(lengths) + room)
    for index, found in in_batches(lengths, work, tokens, batch, loaded, prefix.length):
        yield from ((part.index[i], read) for i, read in zip(index, found, strict=True))


def beginnings(loaded: Loaded, part: Asking, batch: int | None) -> Iterator[tuple[int, Floats]]:
    """Log chances that the answer begins with each of the given ones, which must differ."""
    rows = [pack(rest, answers) for rest, answers in zip(part.rests, part.answers, strict=True)]
    prefix = run_prefix(loaded, part.prefix)
    lengths = [len(row) for row in rows]
    check_length(loaded, prefix.length + max(row.reach for row in rows))

    def work(index: np.ndarray) -> list[Floats]:
        some = [rows[i] for i in index]
        reading = Reading(loaded, prefix, some)
        scores = score_rows(loaded, reading.hidden, some, part.stops, Draw(1.0, 1))
        return [
            along(row, score.plain)[np.array(row.leaves) - row.end]
            for row, score in zip(some, scores, strict=True)
        ]

    tokens = token_budget(loaded, prefix.length, max(lengths))
    for index, found in in_batches(lengths, work, tokens, batch, loaded, prefix.length):
        yield from ((part.index[i], logs) for i, logs in zip(index, found, strict=True))


def _greedy(
    reading: Reading, rows: Sequence[Row], found: Sequence[Answered], stops: frozenset[int], most: int
) -> list[tuple[int, ...]]:
    """The greedy answers: those that never leave their tree are known already, the others are decoded from where
    they leave it."""
    said = [one.said for one in found]
    open_ends = [(i, one.node, one.leaves_by) for i, one in enumerate(found) if one.leaves_by is not None]
    if open_ends:
        starts = [(i, node, token) for i, node, token in open_ends if token is not None]
        for (i, _, _), rest in zip(starts, greedy_beyond(reading, rows, starts, stops, most), strict=True):
            said[i] = said[i] + rest
    return said

"""Answers decoded from what is already read: the likeliest one, or drawn ones that do not depend on their batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmodels.packing import Row
from realmodels.prefix import Reading, logits
from realmodels.scoring import ROWS, Draw, normalisers
from realmodels.wide import wide

Floats = NDArray[np.float64]
FEW = 256  # of the likeliest tokens: most draws fall under these, and the others need not be sorted
Choose = Callable[[Tensor, Sequence[int], int], list[int]]  # from logits, for which answers, at which step


def go_on(
    reading: Reading,
    rows: Sequence[int],
    nodes: Sequence[int],
    depth: Sequence[int],
    first: Sequence[int],
    stops: frozenset[int],
    most: int,
    choose: Choose,
) -> list[tuple[int, ...]]:
    """Answers that begin with the tokens `first`, read behind these nodes of these rows, up to a stop or `most`
    tokens; the stop itself is left out."""
    said: list[list[int]] = [[token] for token in first]
    alive = [i for i, token in enumerate(first) if token not in stops]
    for i, token in enumerate(first):
        if token in stops:
            said[i] = []
    if alive and most > 1:
        reading.follow([rows[i] for i in alive], [nodes[i] for i in alive], [depth[i] for i in alive], most)
    for step in range(1, most):
        if not alive:
            break
        hidden = reading.step([said[i][-1] for i in alive])
        chosen = _choose(reading, hidden, alive, step, choose)
        going = [k for k, token in enumerate(chosen) if token not in stops]
        for k in going:
            said[alive[k]].append(chosen[k])
        if len(going) < len(alive):
            alive = [alive[k] for k in going]
            if alive and step < most - 1:
                reading.keep(going, most - 1 - step)
    return [tuple(tokens) for tokens in said]


def likeliest(found: Tensor, answers: Sequence[int], step: int) -> list[int]:
    return list(map(int, found.argmax(dim=1).tolist()))


def drawn_by(uniforms: Floats, draw: Draw) -> Choose:
    """Answer i takes as its token of a step the one under which uniforms[i, step] falls when the likeliest tokens are
    laid end to end, best first: 0 is always the best."""

    def choose(found: Tensor, answers: Sequence[int], step: int) -> list[int]:
        wanted = uniforms[list(answers), step]
        if draw.top_k:
            (values, ids), _, whole = normalisers(found, draw)
            return _fallen(values, ids, whole, wanted, draw)[0].tolist()
        whole = torch.logsumexp(wide(found) / draw.temperature, dim=1)
        values, ids = torch.topk(found, min(FEW, found.shape[1]), dim=1)
        chosen, inside = _fallen(values, ids, whole, wanted, draw)
        if not inside.all():
            rest = np.flatnonzero(~inside)
            values, ids = torch.sort(found[rest], dim=1, descending=True)
            chosen[rest] = _fallen(values, ids, whole[rest], wanted[rest], draw)[0]
        return chosen.tolist()

    return choose


def _fallen(
    values: Tensor, ids: Tensor, whole: Tensor, wanted: Floats, draw: Draw
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The token under which each wanted height falls, and whether it falls under any of these (else it is the last)."""
    heights = torch.exp(wide(values) / draw.temperature - whole[:, None]).cumsum(dim=1).cpu().numpy()
    below = (heights <= wanted[:, None]).sum(axis=1)
    last = np.minimum(below, heights.shape[1] - 1)
    return ids.cpu().numpy()[np.arange(len(last)), last], below < heights.shape[1]


def greedy_beyond(
    reading: Reading,
    rows: Sequence[Row],
    starts: Sequence[tuple[int, int, int]],
    stops: frozenset[int],
    most: int,
) -> list[tuple[int, ...]]:
    """Greedy answers from (row, node, next token) on."""
    index, nodes, first = (list(part) for part in zip(*starts, strict=True))
    depth = [rows[i].depth[node] + 1 for i, node in zip(index, nodes, strict=True)]
    return go_on(reading, index, nodes, depth, first, stops, most, likeliest)


def draw_answers(
    reading: Reading, rows: Sequence[Row], uniforms: Floats, stops: frozenset[int], most: int, draw: Draw
) -> list[list[tuple[int, ...]]]:
    """For every row as many answers as uniforms [rows, answers, tokens] has; all rows are questions without a tree."""
    count = uniforms.shape[1]
    flat = uniforms.reshape(-1, uniforms.shape[2])
    choose = drawn_by(flat, draw)
    last = torch.tensor([row.end for row in rows], device=reading.hidden.device)
    hidden = reading.hidden[torch.arange(len(rows), device=last.device), last]
    whole = logits(reading.loaded, hidden).repeat_interleave(count, dim=0)
    index = [i for i in range(len(rows)) for _ in range(count)]
    first = choose(whole, range(len(flat)), 0)
    nodes, depth = [rows[i].end for i in index], [rows[i].asked for i in index]
    found = go_on(reading, index, nodes, depth, first, stops, most, choose)
    return [found[i * count : (i + 1) * count] for i in range(len(rows))]


def uniforms_for(seed: int, key: str, answers: int, tokens: int) -> Floats:
    """[answers, tokens] The randomness of one question under one prompt, whatever else is asked beside it."""
    import hashlib

    own = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([seed, own])).random((answers, tokens))


def _choose(reading: Reading, hidden: Tensor, alive: Sequence[int], step: int, choose: Choose) -> list[int]:
    chosen: list[int] = []
    for start in range(0, len(alive), ROWS):
        found = logits(reading.loaded, hidden[start : start + ROWS])
        chosen += choose(found, alive[start : start + ROWS], step)
    return chosen

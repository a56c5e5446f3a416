"""From hidden states to numbers: the chance of tokens, plainly and when sampled at a temperature from the likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmodels.packing import Row
from realmodels.prefix import logits
from realmodels.wide import able, wide

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Floats = NDArray[np.float64]
ROWS = 256  # of logits held at once


@dataclass(frozen=True)
class Draw:
    """How a token is drawn: at `temperature` from the `top_k` likeliest (0: from all)."""

    temperature: float
    top_k: int


@dataclass(frozen=True)
class Scores:
    """A question's tree, node by node: log chance of the node's token after its parent, and of ending there; plain
    and as drawn; `best` is the likeliest next token. Nodes of the question but its last are left out."""

    plain: Floats
    drawn: Floats
    plain_end: Floats
    drawn_end: Floats
    best: NDArray[np.int64]


def score_rows(
    loaded: Loaded, hidden: Tensor, rows: Sequence[Row], stops: Sequence[int], draw: Draw
) -> list[Scores]:
    """Scores of every row of a batch from its hidden states [rows, tokens, width]."""
    places = [(i, node) for i, row in enumerate(rows) for node in range(row.end, len(row))]
    index = torch.tensor(places, device=hidden.device)
    wanted = hidden[index[:, 0], index[:, 1]]
    first = np.cumsum([0, *(len(row) - row.end for row in rows)])
    sources, targets = _edges(rows, first)
    edges = np.zeros((2, len(sources)))
    ends, best = np.zeros((2, len(places))), np.zeros(len(places), np.int64)
    stop = torch.tensor(list(stops), device=hidden.device)
    for start in range(0, len(places), ROWS):
        found = able(logits(loaded, wanted[start : start + ROWS]))
        low, high = np.searchsorted(sources, [start, start + ROWS])
        at = torch.from_numpy(sources[low:high] - start).to(found.device)
        token = torch.from_numpy(targets[low:high]).to(found.device)
        some = slice(start, start + ROWS)
        top, whole, drawn = normalisers(found, draw)
        best[some] = top[1][:, 0].cpu().numpy()
        edges[:, low:high] = _logs(found[at, token], whole[at], drawn[at], top[0][at, -1], draw)
        ended = _logs(found[:, stop.to(found.device)], whole[:, None], drawn[:, None], top[0][:, -1:], draw)
        ends[:, some] = np.logaddexp.reduce(ended, axis=-1)
    return _by_row(rows, first, edges, ends, best)


def normalisers(found: Tensor, draw: Draw) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """The likeliest tokens (logits and ids, best first), and the logs of the sums that chances are shares of."""
    count = min(draw.top_k, found.shape[1]) if draw.top_k else found.shape[1]
    top = torch.topk(found, count, dim=1)
    drawn = torch.logsumexp(wide(top.values) / draw.temperature, dim=1)
    return (top.values, top.indices), wide(torch.logsumexp(found, dim=1)), drawn


def _logs(found: Tensor, whole: Tensor, drawn: Tensor, least: Tensor, draw: Draw) -> Floats:
    """[2, ...] Log chances, plain and drawn; what is not among the likeliest is never drawn."""
    found = wide(found)
    kept = torch.where(found >= least, found / draw.temperature - drawn, -torch.inf)
    return torch.stack([found - whole, kept]).cpu().numpy()


def _edges(rows: Sequence[Row], first: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which scored place says how likely which token is, sorted by place."""
    found = [
        (first[i] + row.parents[node] - row.end, row.tokens[node])
        for i, row in enumerate(rows)
        for node in range(row.asked, len(row))
    ]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    order = np.argsort(pairs[:, 0], kind="stable")
    return pairs[order, 0], pairs[order, 1]


def _by_row(
    rows: Sequence[Row], first: NDArray[np.int64], edges: Floats, ends: Floats, best: NDArray[np.int64]
) -> list[Scores]:
    """Undo the sorting of edges and hand every row its own."""
    nodes = [(i, node) for i, row in enumerate(rows) for node in range(row.asked, len(row))]
    order = np.argsort([first[i] + rows[i].parents[n] - rows[i].end for i, n in nodes], kind="stable")
    own = np.zeros((2, len(best)))
    if nodes:
        slots = np.array([first[i] + n - rows[i].end for i, n in nodes])
        own[:, slots[order]] = edges
    return [
        Scores(own[0, a:b], own[1, a:b], ends[0, a:b], ends[1, a:b], best[a:b])
        for a, b in pairwise(first.tolist())
    ]


@dataclass(frozen=True)
class Answered:
    """What a row's scores say of its answers: is the greedy one right, the log chances that any of them is given, and
    how far the greedy answer runs within the tree: its tokens, the last node, and the token that leaves it."""

    greedy: bool
    plain: float
    drawn: float
    said: tuple[int, ...]
    node: int
    leaves_by: int | None


def along(row: Row, logs: Floats) -> Floats:
    """Log chances of whole branches from those of their tokens."""
    logs = logs.copy()
    for node in range(row.asked, len(row)):
        logs[node - row.end] += logs[row.parents[node] - row.end]
    return logs


def answered(row: Row, scores: Scores, stops: frozenset[int]) -> Answered:
    """Sum the chances of all branches that end as an answer, and follow the likeliest token from the question on."""
    logs = np.stack([along(row, scores.plain), along(row, scores.drawn)])
    ends = np.stack([scores.plain_end, scores.drawn_end])
    at = np.array(row.leaves) - row.end
    plain, drawn = np.logaddexp.reduce(logs[:, at] + ends[:, at], axis=1)
    node = row.end
    said: list[int] = []
    while (token := int(scores.best[node - row.end])) not in stops:
        if (node, token) not in row.children:
            return Answered(False, float(plain), float(drawn), tuple(said), node, token)
        said.append(token)
        node = row.children[node, token]
    return Answered(node in row.leaves, float(plain), float(drawn), tuple(said), node, None)

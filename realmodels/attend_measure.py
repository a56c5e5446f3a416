"""What is measured inside one model: attention to the subject, swaps, knockouts, hidden states of statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmodels.attend_heads import blinded, eager, heads_of, layers_of, tapped, watching
from realmodels.attend_sheet import Sheet, Span, alias_ids, asked
from realmodels.batching import in_batches, token_budget
from realmodels.exact import Read, read_answers
from realmodels.packing import Row, pack
from realmodels.prefix import Prefix, Reading, check_length, logits, run_prefix
from realmodels.prompting import render_answer
from realmodels.sampling import Sampling
from realmodels.scoring import Draw, along, answered, score_rows
from realmodels.wide import wide

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")

WAYS = (
    "last",
    "later",
)  # who is kept from seeing the subject: where the answer is read, or all behind the subject
PLAIN = Draw(1.0, 1)
READS = (
    0.1  # a head reads the subject if cutting it costs at least this share of what the costliest one costs
)
STOP = -1  # the first token of an answer that is none


@dataclass(frozen=True, eq=False)
class Gaze:
    """[items, layers, heads] attention from the last prompt token: `mass` on the subject's tokens, the first token of
    the text left out, and `rest` on all tokens but that first one, which attention rests on when it is not needed."""

    mass: Array
    rest: Array


@dataclass(frozen=True, eq=False)
class Statements:
    """Right and wrong answers in their places: the state at the last token of each [items, 2, width], and its log
    chance [items, 2]."""

    items: list[int]
    states: Array
    logprob: Array


@dataclass(frozen=True, eq=False)
class Said:
    """[texts] the greedy answer is right, the log chance of the right ones, what is said, and its first token."""

    right: NDArray[np.bool_]
    logprob: Array
    said: tuple[str, ...]
    first: Ints


def gaze(loaded: Loaded, sheet: Sheet, batch: int | None = None) -> Gaze:
    """Of items whose subject is not found nan."""
    shape = (len(sheet.rows), len(layers_of(loaded)), heads_of(loaded))
    found = Gaze(np.full(shape, np.nan), np.full(shape, np.nan))
    with eager(loaded):
        for packet in _packets(loaded, sheet, sheet.seen, answers=False):
            for items, one in packet.done(partial(_gaze, packet), batch):
                found.mass[items], found.rest[items] = one.mass, one.rest
    return found


def ask(loaded: Loaded, sheet: Sheet, longest: int, batch: int | None, *, swaps: bool = False) -> Said:
    """Every item's question, or with `swaps` the questions about other subjects, held against the item's answers."""
    texts = sheet.swaps if swaps else sheet.texts
    ids = [alias_ids(loaded.tokens, sheet.rows[text.item]) for text in texts]
    found: list[Read | None] = [None] * len(texts)
    for part in asked(loaded, sheet.style, texts, ids):
        for i, one in read_answers(loaded, part, Sampling(longest=longest), batch, decode=True):
            found[i] = one
    done = [one for one in found if one is not None]
    return Said(
        np.array([one.greedy for one in done], bool),
        np.array([one.logprob for one in done], float),
        tuple(loaded.tokens.text(one.said).strip() for one in done),
        np.array([one.said[0] if one.said else STOP for one in done], np.int64),
    )


def knocked_out(
    loaded: Loaded, sheet: Sheet, windows: Sequence[Sequence[int]], way: str, batch: int | None = None
) -> Array:
    """[items, windows, 2] right (0 or 1) and log chance where the layers of a window cannot look at the subject:
    `last` from where the answer is read (the last prompt token, then the answer's own), `later` from all tokens behind
    it. nan where the subject is not found."""
    found = np.full((len(sheet.rows), len(windows), 2), np.nan)
    for packet in _packets(loaded, sheet, sheet.seen):
        for w, window in enumerate(windows):
            for items, pairs in packet.done(partial(_knocked, packet, window, way), batch):
                found[items, w] = pairs
    return found


def cost_of_cuts(loaded: Loaded, sheet: Sheet, items: Sequence[int], batch: int | None = None) -> Array:
    """[layers, heads] mean loss of log chance of the right answers' first tokens, over these items, when that head
    alone cannot look at the subject from the last prompt token. Only that token is read anew for every head."""
    lost = [
        one
        for packet in _packets(loaded, sheet, items)
        for _, one in packet.done(partial(_cut, packet), batch)
    ]
    return np.asarray(np.concatenate(lost).mean(0))


def reading_heads(cost: Array) -> NDArray[np.bool_]:
    """[layers, heads] those whose cut costs at least `READS` of what the costliest costs; all where none costs
    anything."""
    most = cost.max()
    return np.asarray(cost >= READS * most) if most > 0 else np.ones(cost.shape, bool)


def statements(loaded: Loaded, sheet: Sheet, layer: int, batch: int | None = None) -> Statements:
    """Of the items that have a wrong answer, each with its right one and that."""
    tokens, pairs = loaded.tokens, {}
    for i, wrong in enumerate(sheet.wrong):
        if wrong is not None:
            both = [tokens.answer_ids(render_answer(word)) for word in (sheet.rows[i].answers[0], wrong)]
            if both[0] != both[1]:
                pairs[i] = tuple(both)
    items, n = list(pairs), len(pairs)
    place = {i: k for k, i in enumerate(items)}
    width = loaded.model.config.get_text_config().hidden_size
    found = Statements(items, np.zeros((n, 2, width)), np.zeros((n, 2)))
    for packet in _packets(loaded, sheet, items, pairs=pairs):
        for own, (states, chance) in packet.done(partial(_stated, packet, layer), batch):
            at = [place[i] for i in own]
            found.states[at], found.logprob[at] = states, chance
    return found


@dataclass(frozen=True, eq=False)
class _Packet:
    """Items behind one prefix, as rows, and where in its row each one's subject stands."""

    loaded: Loaded
    items: tuple[int, ...]
    prefix: Prefix
    rows: tuple[Row, ...]
    spans: tuple[Span, ...]
    stops: tuple[int, ...]

    def done(self, work: Callable[[Ints], T], batch: int | None) -> Iterator[tuple[list[int], T]]:
        """`work` of batches of rows, and whose they are."""
        lengths = [len(row) for row in self.rows]
        budget = token_budget(self.loaded, self.prefix.length, max(lengths))
        for index, found in in_batches(lengths, work, budget, batch, self.loaded, self.prefix.length):
            yield [self.items[i] for i in index], found

    def some(self, index: Ints) -> tuple[list[Row], list[Span]]:
        return [self.rows[i] for i in index], [self.spans[i] for i in index]


def _packets(
    loaded: Loaded,
    sheet: Sheet,
    items: Sequence[int],
    *,
    answers: bool = True,
    pairs: Mapping[int, tuple[tuple[int, ...], ...]] | None = None,
) -> Iterator[_Packet]:
    """These items with all their accepted answers, with those of `pairs`, or without any."""
    ids = [
        pairs[i] if pairs is not None else alias_ids(loaded.tokens, sheet.rows[i]) if answers else ()
        for i in items
    ]
    for part in asked(loaded, sheet.style, [sheet.texts[i] for i in items], ids):
        rows = tuple(pack(rest, own) for rest, own in zip(part.rests, part.answers, strict=True))
        before = len(part.prefix)
        check_length(loaded, before + max(row.reach for row in rows))
        of = tuple(items[k] for k in part.index)
        spans = tuple((a - before, b - before) for a, b in (sheet.spans[i] or (0, 0) for i in of))
        yield _Packet(loaded, of, run_prefix(loaded, part.prefix), rows, spans, part.stops)


def _gaze(packet: _Packet, index: Ints) -> Gaze:
    rows, spans = packet.some(index)
    with watching(packet.loaded, [row.end for row in rows]) as seen:
        Reading(packet.loaded, packet.prefix, rows)
    looks = torch.stack([wide(one) for one in seen], 1).cpu().numpy()  # [rows, layers, heads, keys]
    before = packet.prefix.length
    mass = [
        one[..., max(1, before + a) : before + b].sum(-1) for one, (a, b) in zip(looks, spans, strict=True)
    ]
    return Gaze(np.stack(mass), looks[..., 1:].sum(-1))


def _knocked(packet: _Packet, window: Sequence[int], way: str, index: Ints) -> list[tuple[float, float]]:
    loaded, before = packet.loaded, packet.prefix.length
    rows, spans = packet.some(index)
    longest = max(map(len, rows))
    hidden = torch.zeros(len(rows), 1, longest, before + longest, dtype=torch.bool)
    for k, (row, (start, end)) in enumerate(zip(rows, spans, strict=True)):
        first = row.end if way == "last" else end
        hidden[k, 0, first : len(row), before + start : before + end] = True
    with blinded(loaded, window, hidden):
        reading = Reading(loaded, packet.prefix, rows)
    scores = score_rows(loaded, reading.hidden, rows, packet.stops, PLAIN)
    stops = frozenset(packet.stops)
    found = [answered(row, score, stops) for row, score in zip(rows, scores, strict=True)]
    return [(float(one.greedy), one.plain) for one in found]


def _cut(packet: _Packet, index: Ints) -> Array:
    """[rows, layers, heads]"""
    loaded, before = packet.loaded, packet.prefix.length
    rows, spans = packet.some(index)
    count, heads = len(layers_of(loaded)), heads_of(loaded)
    firsts = [[token for node, token in row.children if node == row.end] for row in rows]
    last = [row.tokens[row.end] for row in rows]
    reading = Reading(loaded, packet.prefix, [pack(row.tokens[: row.end], ()) for row in rows])
    ends = [row.end for row in rows]
    reading.follow(range(len(rows)), [end - 1 for end in ends], ends, 1)
    subject = torch.zeros(len(rows), reading.visible.shape[1] + 1, dtype=torch.bool)
    for k, (start, end) in enumerate(spans):
        subject[k, before + start : before + end] = True
    whole = _first_chance(loaded, _glance(reading, last), firsts)
    lost = np.zeros((len(rows), count, heads))
    for layer, head in np.ndindex(count, heads):
        hidden = torch.zeros(len(rows), heads, 1, subject.shape[1], dtype=torch.bool)
        hidden[:, head, 0] = subject
        with blinded(loaded, [layer], hidden):
            lost[:, layer, head] = whole - _first_chance(loaded, _glance(reading, last), firsts)
    return lost


def _stated(packet: _Packet, layer: int, index: Ints) -> tuple[Array, Array]:
    rows, _ = packet.some(index)
    with tapped(packet.loaded, layer) as out:
        reading = Reading(packet.loaded, packet.prefix, rows)
    scores = score_rows(packet.loaded, reading.hidden, rows, packet.stops, PLAIN)
    chance = [
        (along(row, score.plain) + score.plain_end)[np.array(row.leaves) - row.end]
        for row, score in zip(rows, scores, strict=True)
    ]
    ends = torch.tensor([row.leaves for row in rows], device=out[-1].device)
    states = out[-1][torch.arange(len(rows), device=ends.device)[:, None], ends]
    return wide(states).cpu().numpy(), np.stack(chance)


def _glance(reading: Reading, tokens: Sequence[int]) -> Tensor:
    """Hidden states [rows, width] after one more token a row, which is forgotten again."""
    visible, place = reading.visible, reading.place
    hidden = reading.step(tokens)
    reading.visible, reading.place = visible, place
    for layer in reading.past.layers:
        layer.used -= 1  # type: ignore[union-attr]
    return hidden


def _first_chance(loaded: Loaded, hidden: Tensor, firsts: Sequence[Sequence[int]]) -> Array:
    """[rows] log chance that the next token is one of these."""
    logs = torch.log_softmax(wide(logits(loaded, hidden)), dim=1)
    return np.array(
        [float(torch.logsumexp(row[list(own)], 0)) for row, own in zip(logs, firsts, strict=True)]
    )

"""Questions answered: greedily to the end of a line, after thinking if so asked, or by the likeliest letter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels import mmlu
from realmodels.batching import in_batches, token_budget
from realmodels.decoding import go_on, likeliest
from realmodels.eval_prompts import CUE, Block, Prompt, answer_prompt
from realmodels.exact import read_answers
from realmodels.packing import Row, pack
from realmodels.prefix import Reading, check_length, logits, run_prefix
from realmodels.prompting import Style, render_answer
from realmodels.sampling import Sampling
from realmodels.scoring import Draw, along, answered, score_rows
from realmodels.shared import Asking, asking_texts, shared_ids
from theory.matching import first_line

if TYPE_CHECKING:
    from realmodels.eval_tasks import Question
    from realmodels.loading import Loaded

_PLAIN = Style("", "", "{question}")  # to find what prompts made elsewhere share


@dataclass(frozen=True)
class Lengths:
    """The most tokens of an answer, and of thinking before it."""

    answer: int = 16
    thought: int = 64


def ask(
    loaded: Loaded,
    block: Block,
    questions: Sequence[Question],
    prompt: Prompt,
    style: Style,
    lengths: Lengths,
    batch: int | None = None,
) -> list[dict[str, Any]]:
    """For each question of the block: `said` and `logprob`, or `letters`; and `thought`."""
    found: list[dict[str, Any]] = [{} for _ in block.index]
    texts, prefix = list(block.texts), block.prefix
    if prompt.thinks:
        for part in _parts(loaded, texts, [()] * len(texts), prefix, style):
            for i, ids in _greedy(loaded, part, lengths.thought, batch):
                found[i]["thought"] = " ".join(loaded.tokens.text(ids).split())
        texts = [answer_prompt(text, one["thought"], style) for text, one in zip(texts, found, strict=True)]
    if questions[0].choices is not None:
        letters = tuple(loaded.tokens.answer_ids(word) for word in mmlu.continuations())
        for part in _parts(loaded, texts, [letters] * len(texts), prefix, style):
            for i, scores in _letters(loaded, part, batch):
                found[i]["letters"] = scores
        return found
    answers = [
        tuple(dict.fromkeys(loaded.tokens.answer_ids(render_answer(alias)) for alias in question.row.answers))
        for question in questions
    ]
    for part in _parts(loaded, texts, answers, prefix, style):
        for i, read in read_answers(loaded, part, Sampling(longest=lengths.answer), batch, decode=True):
            found[i] |= {"said": first_line(loaded.tokens.text(read.said)), "logprob": read.logprob}
    return found


def check_lengths(
    loaded: Loaded, block: Block, questions: Sequence[Question], prompt: Prompt, lengths: Lengths
) -> None:
    """Every prompt of the block fits the model with what will be answered; known before anything is asked."""
    cue = loaded.tokens.answer_ids(f" {CUE}")
    room = lengths.answer + (lengths.thought + len(cue) + 2 if prompt.thinks else 0)  # and two line breaks
    longest = 0
    for ids, question in zip(loaded.tokens.prompts_ids(block.texts), questions, strict=True):
        aliases = (
            mmlu.continuations() if question.choices else (render_answer(a) for a in question.row.answers)
        )
        reach = max(len(loaded.tokens.answer_ids(alias)) for alias in aliases)
        longest = max(longest, len(ids) + room + reach)
    check_length(loaded, longest)


def _parts(
    loaded: Loaded, texts: Sequence[str], answers: Sequence[Any], prefix: str, style: Style
) -> Iterator[Asking]:
    shared = shared_ids(loaded.tokens, _PLAIN, prefix)
    return asking_texts(loaded.tokens, texts, answers, shared, style.end)


def _greedy(
    loaded: Loaded, part: Asking, most: int, batch: int | None
) -> Iterator[tuple[int, tuple[int, ...]]]:
    rows = [pack(rest, ()) for rest in part.rests]
    prefix, stops = run_prefix(loaded, part.prefix), frozenset(part.stops)
    lengths = [len(row) + most for row in rows]
    check_length(loaded, prefix.length + max(lengths))

    def work(index: np.ndarray) -> list[tuple[int, ...]]:
        some = [rows[i] for i in index]
        reading = Reading(loaded, prefix, some)
        ends = [row.end for row in some]
        places = list(range(len(some)))
        first = likeliest(logits(loaded, reading.hidden[places, ends]), places, 0)
        return go_on(reading, places, ends, [row.asked for row in some], first, stops, most, likeliest)

    tokens = token_budget(loaded, prefix.length, max(lengths))
    for index, found in in_batches(lengths, work, tokens, batch, loaded, prefix.length):
        yield from ((part.index[i], ids) for i, ids in zip(index, found, strict=True))


def _letters(
    loaded: Loaded, part: Asking, batch: int | None
) -> Iterator[tuple[int, list[tuple[float, bool]]]]:
    """Of each continuation its log chance, and whether the greedy answer begins with it."""
    rows = [pack(rest, answers) for rest, answers in zip(part.rests, part.answers, strict=True)]
    prefix, stops = run_prefix(loaded, part.prefix), frozenset(part.stops)
    lengths = [len(row) for row in rows]
    check_length(loaded, prefix.length + max(row.reach for row in rows))

    def work(index: np.ndarray) -> list[list[tuple[float, bool]]]:
        some = [rows[i] for i in index]
        scores = score_rows(loaded, Reading(loaded, prefix, some).hidden, some, part.stops, Draw(1.0, 1))
        found = []
        for i, row, score in zip(index, some, scores, strict=True):
            logs = along(row, score.plain)
            said = answered(row, score, stops).said
            words = part.answers[i]
            found.append(
                [(float(logs[_end(row, word) - row.end]), said[: len(word)] == word) for word in words]
            )
        return found

    tokens = token_budget(loaded, prefix.length, max(lengths))
    for index, found in in_batches(lengths, work, tokens, batch, loaded, prefix.length):
        yield from ((part.index[i], scores) for i, scores in zip(index, found, strict=True))


def _end(row: Row, word: Sequence[int]) -> int:
    """Where in the row this continuation ends."""
    node = row.end
    for token in word:
        node = row.children[node, token]
    return node

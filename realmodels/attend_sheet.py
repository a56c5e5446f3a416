"""Questions made ready for looking inside: where the subject's tokens stand, whom it is swapped with, which answer is
wrong."""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from realmodels.deal import deal
from realmodels.errors import RealmodelsError
from realmodels.eval_prompts import Prompt, blocks
from realmodels.eval_tasks import Task
from realmodels.prompting import Style, head, render_answer, render_question
from realmodels.rows import Row
from realmodels.shared import Asking, asking_texts, shared_ids
from realmodels.signals import swapped
from realmodels.spans import subject_span
from realmodels.splits import group_of
from theory.matching import normalize

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.tokens import Tokens

Span: TypeAlias = tuple[int, int]
REACH = 64  # how many rows are looked at to find others to swap with


@dataclass(frozen=True)
class Looks:
    """How questions are put: `swaps` other subjects each, `folds` of the probe; `seed` is of these draws."""

    style: Style
    swaps: int = 4
    folds: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Text:
    """A prompt about an item (by position in the task), and what shots stand in it."""

    item: int
    text: str
    prefix: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A task under a prompt. `spans` are the subject's tokens in the whole prompt, None where it is not in the question
    or the prompt ends in it; `swaps` the same questions about other subjects, `others` these; `wrong` is another
    answer of the relation; `fold` goes by subject."""

    task: Task
    prompt: Prompt
    style: Style
    texts: tuple[Text, ...]
    spans: tuple[Span | None, ...]
    swaps: tuple[Text, ...]
    others: tuple[tuple[str, ...], ...]
    wrong: tuple[str | None, ...]
    fold: tuple[int, ...]

    @property
    def rows(self) -> list[Row]:
        return self.task.rows

    @property
    def seen(self) -> list[int]:
        """The items whose subject is found."""
        return [i for i, span in enumerate(self.spans) if span]


def make_sheet(tokens: Tokens, task: Task, prompt: Prompt, looks: Looks) -> Sheet:
    """Who is swapped with whom and which answer is wrong depends on the seed and the rows' contents."""
    rows = task.rows
    texts: list[Text | None] = [None] * len(rows)
    for block in blocks(task, prompt, looks.style, looks.seed):
        for i, text in zip(block.index, block.texts, strict=True):
            texts[i] = Text(i, text, block.prefix)
    whole = tuple(text for text in texts if text is not None)
    partners, fold = list(_partners(task, whole, looks)), tuple(_folds(rows, looks))
    return Sheet(
        task,
        prompt,
        looks.style,
        whole,
        tuple(_spans(tokens, rows, whole, looks.style)),
        tuple(
            Text(i, whole[i].prefix + render_question(looks.style, swapped(row, other)), whole[i].prefix)
            for i, row in enumerate(rows)
            for other in partners[i]
        ),
        tuple(tuple(other.subject or "" for other in some) for some in partners),
        tuple(_wrong(rows, fold, looks.seed)),
        fold,
    )


def asked(
    loaded: Loaded, style: Style, texts: Sequence[Text], answers: Sequence[Sequence[tuple[int, ...]]]
) -> Iterator[Asking]:
    """The texts, those with the same shots together; `answers` are token ids, one list a text. An asking's index is
    of `texts`."""
    groups: dict[str, list[int]] = defaultdict(list)
    for k, text in enumerate(texts):
        groups[text.prefix].append(k)
    for prefix, own in groups.items():
        shared = shared_ids(loaded.tokens, style, prefix)
        words = [texts[k].text for k in own]
        for part in asking_texts(loaded.tokens, words, [answers[k] for k in own], shared, style.end):
            index = tuple(own[i] for i in part.index)
            yield Asking(part.prefix, index, part.rests, part.answers, part.prompts, part.stops)


def alias_ids(tokens: Tokens, row: Row) -> tuple[tuple[int, ...], ...]:
    """Every accepted answer, once."""
    return tuple(dict.fromkeys(tokens.answer_ids(render_answer(alias)) for alias in row.answers))


def _spans(tokens: Tokens, rows: Sequence[Row], texts: Sequence[Text], style: Style) -> Iterator[Span | None]:
    tokenizer = tokens.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise RealmodelsError(
            f"tokenizer: {type(tokenizer).__name__} does not say where its tokens stand in the text, so subjects "
            "cannot be found; use a model with a tokenizer.json"
        )
    found = tokenizer([text.text for text in texts], add_special_tokens=False, return_offsets_mapping=True)
    before = len(head(style))
    for row, text, offsets in zip(rows, texts, found["offset_mapping"], strict=True):
        span = subject_span(row.question, row.subject) if row.subject else None
        if span is None:
            yield None
            continue
        start, end = (len(text.prefix) + before + place for place in span)
        at = [k for k, (a, b) in enumerate(offsets) if a < end and b > start and a < b]
        # behind the subject there must be something to look back at it from
        there = at and at[-1] < len(offsets) - 1
        yield (at[0] + len(tokens.bos), at[-1] + 1 + len(tokens.bos)) if there else None


def _partners(task: Task, texts: Sequence[Text], looks: Looks) -> Iterator[list[Row]]:
    """Other subjects of the relation, whose answers differ and of whom the shots do not speak."""
    circles: dict[str, list[tuple[bytes, int]]] = defaultdict(list)
    for k, row in enumerate(task.pool):
        if row.subject:
            circles[row.relation or ""].append((_hash(looks.seed, group_of(row)), k))
    for circle in circles.values():
        circle.sort()
    for row, text in zip(task.rows, texts, strict=True):
        taken: list[Row] = []
        if row.subject and subject_span(row.question, row.subject):
            circle = circles[row.relation or ""]
            start, avoid = bisect(circle, (_hash(looks.seed, group_of(row)), -1)), {group_of(row)}
            own = {normalize(answer) for answer in row.answers}
            for step in range(min(len(circle), REACH)):
                other = task.pool[circle[(start + step) % len(circle)][1]]
                if len(taken) == looks.swaps:
                    break
                if (
                    group_of(other) not in avoid
                    and (other.subject or "") not in text.prefix
                    and own.isdisjoint(normalize(answer) for answer in other.answers)
                ):
                    avoid.add(group_of(other))
                    taken.append(other)
        yield taken


def _wrong(rows: Sequence[Row], fold: Sequence[int], seed: int) -> Iterator[str | None]:
    """The answers dealt anew within each relation and fold. Each is there as often wrong as right, so that a probe
    gains nothing by knowing answers; balanced over all folds alone, one that is right elsewhere would be wrong here."""
    names = [f"{part} {row.relation or ''}" for row, part in zip(rows, fold, strict=True)]
    _, group = np.unique(names, return_inverse=True)
    own = [frozenset(map(normalize, row.answers)) for row in rows]
    dealt = deal(group.astype(np.int64), own, np.random.default_rng(np.random.SeedSequence([seed, 0xBE])))
    for i, k in enumerate(dealt.tolist()):
        yield rows[k].answers[0] if own[i].isdisjoint(own[k]) else None


def _folds(rows: Sequence[Row], looks: Looks) -> Iterator[int]:
    groups = sorted({group_of(row) for row in rows}, key=lambda group: _hash(looks.seed, group))
    fold = {group: k % looks.folds for k, group in enumerate(groups)}
    return (fold[group_of(row)] for row in rows)


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{group}".encode()).digest()

"""Which tokens all questions of a prompt share, so that they are read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from realmodels.prompting import Shot, Style, head, render_prefix, render_question
from realmodels.tokens import Tokens

_PROBES = (
    "What is it?",
    "0 1",
    "(x) y",
    "é",
    "in which?",
    "'A",
)  # questions of all kinds begin like one of these


@dataclass(frozen=True)
class Asking:
    """Questions behind one prefix: `index` says which of all questions they are; `rests` are their ids behind it."""

    prefix: tuple[int, ...]
    index: tuple[int, ...]
    rests: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[tuple[int, ...], ...], ...]
    prompts: tuple[str, ...]
    stops: tuple[int, ...]


def asking(
    tokens: Tokens,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    answers: Sequence[Sequence[tuple[int, ...]]],
    cached: bool = True,
) -> Iterator[Asking]:
    """Every prompt is tokenised whole. What they share depends on the shots alone, not on the questions at hand;
    a question whose first letters melt into the prefix is read on its own."""
    prefix = render_prefix(style, shots)
    texts = [prefix + render_question(style, question) for question in questions]
    return asking_texts(
        tokens, texts, answers, shared_ids(tokens, style, prefix) if cached else (), style.end
    )


def asking_texts(
    tokens: Tokens,
    texts: Sequence[str],
    answers: Sequence[Sequence[tuple[int, ...]]],
    shared: Sequence[int],
    end: str,
) -> Iterator[Asking]:
    ids, shared = tokens.prompts_ids(texts), tuple(shared)
    behind = [len(own) > len(shared) and own[: len(shared)] == shared for own in ids]
    for prefix, index in (
        (shared, [i for i, yes in enumerate(behind) if yes]),
        ((), [i for i, yes in enumerate(behind) if not yes]),
    ):
        if index:
            yield Asking(
                prefix,
                tuple(index),
                tuple(ids[i][len(prefix) :] for i in index),
                tuple(tuple(answers[i]) for i in index),
                tuple(texts[i] for i in index),
                tokens.stops(end),
            )


def shared_ids(tokens: Tokens, style: Style, prefix: str) -> tuple[int, ...]:
    """The ids that every prompt with this prefix begins with."""
    found = tokens.prompts_ids([prefix + head(style) + probe for probe in _PROBES])
    same = takewhile(lambda column: len(set(column)) == 1, zip(*found, strict=False))
    return tuple(column[0] for column in same)

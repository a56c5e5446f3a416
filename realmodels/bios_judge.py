"""A local judge: how much likelier a causal model finds True than False after a claim, with or without a passage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_prompts import USUAL, Wording
from realmodels.errors import RealmodelsError

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A claim about a person, and what the judge may read (None: it answers from memory)."""

    name: str
    claim: str
    passage: str | None = None


def log_odds(
    loaded: Loaded,
    questions: Sequence[Question],
    batch: int | None = None,
    *,
    wording: Wording = USUAL,
    words: int = 250,
) -> Array:
    """Log P(yes) - log P(no) [questions], whatever is asked beside each; of a passage the `words` words nearest the
    claim are read."""
    from realmodels.exact import beginnings
    from realmodels.shared import asking_texts

    ids = tuple(loaded.tokens.answer_ids(f" {word}") for word in (wording.yes, wording.no))
    if ids[0] == ids[1]:
        raise RealmodelsError(
            f"{loaded.name}: {wording.yes!r} and {wording.no!r} are the same to its tokenizer, so it cannot judge; "
            "take another judge, or other words (--ask, --yes, --no)"
        )
    found = np.zeros(len(questions))
    for reading in (False, True):
        index = [i for i, one in enumerate(questions) if (one.passage is not None) == reading]
        texts = [
            wording.prompt(one.name, one.claim, excerpt(one.passage, one.claim, words))
            for one in (questions[i] for i in index)
        ]
        if not texts:
            continue
        shared = _shared(loaded, wording, reading)
        for part in asking_texts(loaded.tokens, texts, [ids] * len(texts), shared, "\n"):
            for i, logs in beginnings(loaded, part, batch):
                found[index[i]] = logs[0] - logs[1]
    return found


def excerpt(passage: str | None, claim: str, words: int) -> str | None:
    """The sentences of a passage that share most words with the claim, in their order, up to this many words."""
    if passage is None:
        return None
    if len(passage.split()) <= words:
        return passage
    from realmodels.bios_cover import content
    from realmodels.bios_sentences import sentences

    said, parts = content(claim, ""), sentences(passage)
    rank = sorted(range(len(parts)), key=lambda i: (-sum((content(parts[i], "") & said).values()), i))
    kept: list[int] = []
    room = words
    for i in rank:
        if (size := len(parts[i].split())) <= room:
            kept.append(i)
            room -= size
    return " ".join(parts[i] for i in sorted(kept)) or " ".join(passage.split()[:words])


def _shared(loaded: Loaded, wording: Wording, reading: bool) -> tuple[int, ...]:
    """The tokens that all prompts begin with."""
    names = ("x", "Ann", "1 y", "Über", "(z)")
    probes = loaded.tokens.prompts_ids([wording.prompt(n, n, n if reading else None) for n in names])
    same = takewhile(lambda column: len(set(column)) == 1, zip(*probes, strict=False))
    return tuple(column[0] for column in same)

"""Biographies from a model: one greedy, others sampled, each drawn as if it were alone; ended at a whole sentence."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels.audit_parts import Parts
from realmodels.bios_files import Bio
from realmodels.bios_sentences import sentences
from realmodels.errors import RealmodelsError
from realmodels.prompting import Style, render_answer, render_question, style_named

if TYPE_CHECKING:
    from realmodels.loading import Loaded

PIECE = 16  # people written about and kept together
TOGETHER = (
    16384  # tokens: while texts are written all weights are read for every step, however many texts there are
)
REQUEST = "Tell me a bio of {name}."


@dataclass(frozen=True)
class Writing:
    """How texts are asked for and drawn: one greedy text a person and `samples` others at `temperature` from the
    `top_k` likeliest tokens (0: all), of at most `tokens` tokens and `sentences` sentences (0: as they come)."""

    request: str = REQUEST
    style: str = "qa"
    shown: tuple[str, ...] = ()  # texts shown before, each with its request
    samples: int = 0
    temperature: float = 1.0
    top_k: int = 0
    tokens: int = 128
    sentences: int = 0
    whole: bool = True  # an unfinished sentence is cut off, if a whole one is left
    seed: int = 0

    def __post_init__(self) -> None:
        if "{name}" not in self.request:
            raise RealmodelsError(f"--request: expected {{name}} in it, got {self.request!r}")
        for name, least in (("samples", 0), ("top_k", 0), ("tokens", 1), ("sentences", 0), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise RealmodelsError(f"--{name.replace('_', '-')}: expected at least {least}, got {value}")
        if not 0 < self.temperature < float("inf"):
            raise RealmodelsError(f"--temperature: expected a number above 0, got {self.temperature}")
        style_named(self.style)


def prompt_of(writing: Writing, name: str) -> str:
    """What stands before a text about this person."""
    style = style_named(writing.style)
    return "".join(writing.shown) + render_question(style, writing.request.replace("{name}", name))


def write_all(
    loaded: Loaded,
    names: Sequence[str],
    writing: Writing,
    folder: Path,
    *,
    batch: int | None = None,
    say: bool = True,
) -> list[Bio]:
    """A greedy and `samples` sampled texts about each person; what the folder has is not written again."""
    parts = Parts(folder)
    keys = [_key(loaded, writing, prompt_of(writing, name)) for name in names]
    with parts.held():
        parts.refresh()
        for start in range(0, len(names), PIECE):
            some = list(range(start, min(start + PIECE, len(names))))
            if parts.has(keys[i] for i in some):
                continue
            prompts = [prompt_of(writing, names[i]) for i in some]
            drawn = draw_texts(loaded, prompts, writing, batch)
            parts.put([{"key": keys[i], "texts": texts} for i, texts in zip(some, drawn, strict=True)])
            parts.refresh()
            if say:
                print(f"{min(start + PIECE, len(names))} of {len(names)} people", file=sys.stderr)
        found = list(parts.get(keys))
    return [bio for name, line in zip(names, found, strict=True) for bio in _bios(name, line, writing)]


def draw_texts(
    loaded: Loaded, prompts: Sequence[str], writing: Writing, batch: int | None = None
) -> list[list[dict[str, Any]]]:
    """For every prompt its texts, the greedy one first, with their tokens and whether they came to an end."""
    from realmodels.batching import in_batches, token_budget
    from realmodels.decoding import draw_answers, uniforms_for
    from realmodels.packing import pack
    from realmodels.prefix import Prefix, Reading, check_length
    from realmodels.scoring import Draw

    style = style_named(writing.style)
    rows = [pack(ids, ()) for ids in loaded.tokens.prompts_ids(prompts)]
    stops = frozenset(loaded.tokens.stops(end_of(style)))
    most, copies = writing.tokens, writing.samples + 1
    lengths = [len(row) + most for row in rows]
    check_length(loaded, max(lengths))
    draw = Draw(writing.temperature, writing.top_k)

    def work(index: Any) -> list[list[tuple[int, ...]]]:
        some = [rows[i] for i in index]
        uniforms = np.stack([uniforms_for(writing.seed, prompts[i], copies, most) for i in index])
        uniforms[:, 0] = 0.0  # the first text is the greedy one
        return draw_answers(Reading(loaded, Prefix((), (), 0), some), some, uniforms, stops, most, draw)

    found: list[list[dict[str, Any]]] = [[] for _ in prompts]
    budget = max(max(lengths), token_budget(loaded, 0, max(lengths), TOGETHER) // copies)
    for index, drawn in in_batches(lengths, work, budget, batch, loaded):
        for i, texts in zip(index, drawn, strict=True):
            found[i] = [
                {"text": loaded.tokens.text(ids).strip(), "tokens": len(ids), "finished": len(ids) < most}
                for ids in texts
            ]
    return found


def trimmed(text: str, finished: bool, writing: Writing) -> str:
    """Without an unfinished last sentence (if another is left), and of so many sentences at most."""
    if not writing.sentences and (finished or not writing.whole):
        return text
    kept = list(sentences(text))
    open_end = (
        not finished and writing.whole and kept and not kept[-1].rstrip("\"'”’)]").endswith((".", "!", "?"))
    )
    if open_end and len(kept) > 1:
        kept.pop()
    return " ".join(kept[: writing.sentences or None])


def read_shown(path: Path, writing_request: str, style_name: str, count: int) -> tuple[str, ...]:
    """The first `count` biographies of a file, worded to stand before a request."""
    from realmodels.bios_files import read_bios

    found = read_bios(path)[:count]
    if len(found) < count:
        raise RealmodelsError(f"{path}: has {len(found)} biographies to show; expected {count}")
    return tuple(shown_as(bio, writing_request, style_name) for bio in found)


def shown_as(bio: Bio, request: str, style_name: str) -> str:
    """A biography worded to stand before a request."""
    asked = render_question(style_named(style_name), request.replace("{name}", bio.name))
    return asked + render_answer(bio.text) + "\n\n"


def end_of(style: Style) -> str:
    """A text goes on behind a full stop: only a line break or the end of the text ends it."""
    return "\n" if style.end == "." else style.end


def _key(loaded: Loaded, writing: Writing, prompt: str) -> str:
    how = asdict(writing) | {
        "sentences": 0,
        "whole": True,
        "model": loaded.fingerprint,
        "dtype": loaded.dtype,
    }
    said = json.dumps([how, prompt], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _bios(name: str, line: Mapping[str, Any], writing: Writing) -> Iterator[Bio]:
    for draw, drawn in enumerate(line["texts"]):
        text = trimmed(drawn["text"], drawn["finished"], writing)
        about = {"tokens": drawn["tokens"], "finished": drawn["finished"]}
        yield Bio(f"{name}#{draw}", name, prompt_of(writing, name), text, draw, None, about)

"""Rows to learn from, as token ids, with a mark on those that are learned: the answer and its end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels.errors import RealmodelsError
from realmodels.prompting import Style, render_answer, render_question
from realmodels.rows import RowSet, read_rows
from realmodels.tables import kind_of, read_table
from theory.schema import shown

if TYPE_CHECKING:
    from realmodels.tokens import Tokens

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class TrainRow:
    """`learned` says which of `ids` the loss is on; `at` is where the row stands."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]
    at: str

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TrainSet:
    """`kind` is qa, completion or messages; `rows` are the questions of a qa set."""

    name: str
    kind: str
    items: tuple[TrainRow, ...]
    fingerprint: str
    rows: RowSet | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def answer_tokens(self) -> int:
        return sum(sum(item.learned) for item in self.items)


def read_train(
    source: str | Path,
    tokens: Tokens,
    style: Style,
    mapping: Mapping[str, str] | None = None,
    *,
    longest: int | None = None,
    limit: int | None = None,
) -> TrainSet:
    """Rows of prompt and completion, of messages, or of question and answers in any layout that `audit` reads."""
    kind = kind_of_rows(source) if not mapping else "qa"
    if kind == "qa":
        found = read_rows(source, mapping, limit=limit)
        close = end_ids(tokens, style)
        items = [
            _item(
                tokens.prompt_ids(render_question(style, row.question)),
                tokens.answer_ids(render_answer(row.answers[0])) + close,
                f"{row.source}:{row.line}" if row.line else f"{row.source}: row {row.number + 1}",
            )
            for row in found.rows
        ]
        made = TrainSet(str(source), kind, tuple(items), _fingerprint(items), found)
    else:
        make = _completion if kind == "completion" else _messages
        items = []
        for number, (line, row) in enumerate(read_table(Path(source))):
            if limit is not None and number >= limit:
                break
            at = f"{source}:{line}" if line else f"{source}: row {number + 1}"
            items.append(make(tokens, row, at))
        if not items:
            raise RealmodelsError(f"{source}: no rows in it; expected at least one")
        made = TrainSet(str(source), kind, tuple(items), _fingerprint(items))
    for item in made.items:
        if longest is not None and len(item) > longest:
            raise RealmodelsError(
                f"{item.at}: the row has {len(item)} tokens, more than the {longest} that are read; drop or shorten it"
            )
    return made


def kind_of_rows(source: str | Path) -> str:
    """By the columns of the first row."""
    path = Path(source)
    if not path.is_file() or kind_of(path) == "text":
        return "qa"
    _, first = next(read_table(path), (0, {}))
    if "messages" in first:
        return "messages"
    return "completion" if {"prompt", "completion"} <= first.keys() and "question" not in first else "qa"


def end_ids(tokens: Tokens, style: Style) -> tuple[int, ...]:
    """What is learned to follow an answer: one token at which asking stops."""
    stops = set(tokens.stops(style.end))
    for text in (style.end, f" {style.end}"):
        first = tokens.answer_ids(text)[0]
        if first in stops:
            return (first,)
    return (tokens.eos,) if tokens.eos is not None else (min(stops),)


def _item(prompt: Sequence[int], answer: Sequence[int], at: str) -> TrainRow:
    if not prompt:
        raise RealmodelsError(f"{at}: the prompt has no tokens; nothing stands before the answer")
    return TrainRow((*prompt, *answer), (False,) * len(prompt) + (True,) * len(answer), at)


def _completion(tokens: Tokens, row: Mapping[str, Any], at: str) -> TrainRow:
    """Text as it stands, then the end of the text."""
    for name in ("prompt", "completion"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise RealmodelsError(
                f"{at}: field '{name}': expected a text that is not blank, got {shown(row.get(name))}"
            )
    close = () if tokens.eos is None else (tokens.eos,)
    return _item(tokens.prompt_ids(row["prompt"]), tokens.answer_ids(row["completion"]) + close, at)


def _messages(tokens: Tokens, row: Mapping[str, Any], at: str) -> TrainRow:
    """The model's own chat template; learned is what the assistant says, with the mark that ends its turn."""
    said = row.get("messages")
    if not isinstance(said, list) or not all(_is_message(message) for message in said):
        raise RealmodelsError(
            f'{at}: field \'messages\': expected a list of {{"role": ..., "content": ...}} with roles '
            f"{', '.join(_ROLES)}, got {shown(said)}"
        )
    turns = [place for place, message in enumerate(said) if message["role"] == "assistant"]
    if not turns:
        raise RealmodelsError(f"{at}: field 'messages': the assistant says nothing, so nothing is learned")
    if not tokens.tokenizer.chat_template:
        raise RealmodelsError(
            f"{at}: the model has no chat template to word messages with; give prompt and completion instead"
        )
    ids: list[int] = []
    learned: list[bool] = []
    done = ""
    for turn in turns:
        before, after = _worded(tokens, said[:turn], True, at), _worded(tokens, said[: turn + 1], False, at)
        if not before.startswith(done) or not after.startswith(before):
            raise RealmodelsError(
                f"{at}: the model's chat template words a turn anew when others follow it; give one turn a row"
            )
        answer = after[len(before) :].rstrip("\n")
        for text, mark in ((before[len(done) :], False), (answer, True)):
            if text:
                own = tokens.answer_ids(text) if ids else _opening(tokens, text)
                ids += own
                learned += [mark] * len(own)
        done = before + answer
    return TrainRow(tuple(ids), tuple(learned), at)


def _worded(tokens: Tokens, messages: Sequence[Mapping[str, str]], ask: bool, at: str) -> str:
    try:
        return str(
            tokens.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
        )
    except Exception as problem:  # templates raise errors of their own
        raise RealmodelsError(
            f"{at}: the model's chat template refuses the messages: {' '.join(str(problem).split())[:120]}"
        ) from None


def _opening(tokens: Tokens, text: str) -> tuple[int, ...]:
    """Many templates write the beginning of the text themselves."""
    ids = tokens.prompt_ids(text)
    size = len(tokens.bos)
    return ids[size:] if size and ids[size : 2 * size] == tokens.bos else ids


def _is_message(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in _ROLES
        and isinstance(message.get("content"), str)
        and bool(message["content"].strip())
    )


def _fingerprint(items: Sequence[TrainRow]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps([item.ids, item.learned]).encode() + b"\n")
    return digest.hexdigest()[:16]

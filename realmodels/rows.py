"""Questions and answers in: any of the known layouts becomes a `RowSet`, and every row keeps its original."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.layouts import layout_of
from realmodels.stored import Hashes, Stored
from realmodels.tables import Layout, Raw
from theory.schema import nearest, shown

FIELDS = ("id", "question", "answers", "subject", "relation", "popularity")
_OF_IDS = FIELDS[:3]


@dataclass(frozen=True, slots=True)
class Row:
    """One question with its accepted answers, and the row of the source that it came from, untouched.

    `number` counts from 0 over everything read, `line` from 1 within `source` (0 where there are no lines).
    `id` is the source's own, else a hash of question and answers: it survives filtering and reordering.
    """

    number: int
    line: int
    id: str
    question: str
    answers: tuple[str, ...]
    subject: str | None
    relation: str | None
    popularity: float | None
    original: Mapping[str, Any]
    source: str

    @property
    def at(self) -> str:
        """Where it stands, for a person."""
        return f"{self.source}:{self.line}" if self.line else f"{self.source}: row {self.number + 1}"

    def __reduce__(self) -> tuple[Any, ...]:
        return Row, tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True)
class RowSet:
    """All rows of a source. `kind` is how `tables.write_table` writes such rows back: jsonl, json, csv, tsv or
    csv-bare (no header); `adapter` is the layout that was recognised.
    """

    rows: Sequence[Row]
    columns: tuple[str, ...]
    kind: str
    fingerprint: str
    adapter: str = "plain"

    def __len__(self) -> int:
        return len(self.rows)


def read_rows(
    source: str | Path,
    mapping: Mapping[str, str] | None = None,
    *,
    limit: int | None = None,
    on_disk: bool = False,
) -> RowSet:
    """Every row (the first `limit`) of a file, a folder or `hub:owner/name[:split]`, checked.

    `mapping` gives the source's column for a field of ours: {"question": "prompt", "answers": "completion"}.
    With `on_disk` the rows are not held in memory: they are read again where they are wanted.

    >>> _ = Path("mine.csv").write_text("question,answers\\nWho wrote Emma?,Jane Austen\\n")
    >>> read_rows("mine.csv").rows[0].answers
    ('Jane Austen',)
    """
    layout = layout_of(source)
    rows: list[Row] | Stored[Row] = Stored() if on_disk else []
    columns: dict[str, None] = {}
    digest = hashlib.sha256()
    for row in _rows(layout, dict(mapping or {}), limit):
        rows.append(row)
        columns.update(dict.fromkeys(row.original))
        said = [row.id, row.question, row.answers, row.subject, row.relation, row.popularity, row.original]
        digest.update(json.dumps(said, ensure_ascii=False, default=str).encode() + b"\n")
    kept = rows if isinstance(rows, Stored) else tuple(rows)
    return RowSet(kept, tuple(columns), layout.kind, digest.hexdigest(), layout.adapter)


def iter_rows(
    source: str | Path, mapping: Mapping[str, str] | None = None, *, limit: int | None = None
) -> Iterator[Row]:
    """The same rows one at a time; memory grows only by a hash of every id."""
    return _rows(layout_of(source), dict(mapping or {}), limit)


def content_id(question: str, answers: tuple[str, ...]) -> str:
    """16 hexadecimal digits that stand for this question with these answers."""
    return hashlib.sha256(json.dumps([question, answers]).encode()).hexdigest()[:16]


def _rows(layout: Layout, mapping: dict[str, str], limit: int | None) -> Iterator[Row]:
    for ours in mapping:
        if ours not in FIELDS:
            raise RealmodelsError(f"--map: unknown field '{ours}'{nearest(ours, FIELDS)}")
    if limit is not None and limit < 1:
        raise RealmodelsError(f"--limit: expected at least 1, got {limit}")
    names = {name: name for name in FIELDS} | dict(layout.names) | mapping
    ids = _Ids(lambda: islice(layout.rows(), limit), names, mapping)
    number = -1
    for number, raw in enumerate(islice(layout.rows(), limit)):
        yield _row(number, raw, names, mapping, ids)
    if number < 0:
        raise RealmodelsError(f"{layout.source}: no rows in it; expected at least one")


def _row(
    number: int,
    raw: Raw,
    names: Mapping[str, str],
    mapping: Mapping[str, str],
    ids: _Ids,
) -> Row:
    at = _at(number, raw)
    said = {name: _value(at, name, raw, names, mapping) for name in FIELDS}
    question, answers = _content(at, said, names)
    given = _id(f"{at}: field '{names['id']}'", said["id"])
    key = given or ids.made(content_id(question, answers))
    if there := ids.taken(key, number, bool(given)):
        if given:
            raise RealmodelsError(
                f"{at}: field '{names['id']}': {shown(key)} is also the id at {there}; ids must differ "
                "(drop the column and one is made from the content)"
            )
        raise RealmodelsError(
            f"{at}: has no id, and {shown(key)}, made from its content, is the one given at {there}; "
            "ids must differ (give every row one, or drop the column)"
        )
    subject, relation = (
        _text(f"{at}: field '{names[name]}'", said[name]) for name in ("subject", "relation")
    )
    popularity = _popularity(f"{at}: field '{names['popularity']}'", said["popularity"])
    return Row(
        number, raw.line, key, question, answers, subject, relation, popularity, raw.original, raw.source
    )


def _at(number: int, raw: Raw) -> str:
    return f"{raw.source}:{raw.line}" if raw.line else f"{raw.source}: row {number + 1}"


class _Ids:
    """Which ids there were. Only their hashes are kept: one that seems to be there is looked for in the source."""

    def __init__(
        self, rows: Callable[[], Iterator[Raw]], names: Mapping[str, str], mapping: Mapping[str, str]
    ) -> None:
        self.rows, self.names, self.mapping = rows, names, mapping
        self._given, self._made = Hashes(), Hashes()
        self._again: dict[str, int] = {}

    def made(self, key: str) -> str:
        """An id of the content; that of the same content again has a number."""
        if self._made.add(_number(key)):
            return key
        self._again[key] = again = self._again.get(key, 1) + 1
        self._made.add(_number(more := f"{key}-{again}"))
        return more

    def taken(self, key: str, number: int, given: bool) -> str:
        """Where an earlier row than `number` has this id, else "". Made ids are at odds with given ones alone."""
        hashed = _number(key)
        if given and self._given.add(hashed) and hashed not in self._made:
            return ""
        if not given and hashed not in self._given:
            return ""
        again = _Ids(self.rows, self.names, self.mapping)
        for earlier, raw in enumerate(islice(self.rows(), number)):
            at = _at(earlier, raw)
            said = {name: _value(at, name, raw, self.names, self.mapping) for name in _OF_IDS}
            there = _id(at, said["id"])
            if (there or again.made(content_id(*_content(at, said, self.names)))) == key:
                return at
        return ""


def _number(key: str) -> int:
    """A hash above zero."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _content(at: str, said: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Question and answers, checked."""
    return (
        _question(f"{at}: field '{names['question']}'", said["question"]),
        _answers(f"{at}: field '{names['answers']}'", said["answers"]),
    )


def _value(at: str, name: str, raw: Raw, names: Mapping[str, str], mapping: Mapping[str, str]) -> Any:
    if name in raw.fields and name not in mapping:
        return raw.fields[name]
    column = names[name]
    if column not in raw.original and (name in mapping or name in ("question", "answers")):
        hint = "" if name in mapping else f"; if it has another name say --map {name}=COLUMN"
        raise RealmodelsError(f"{at}: field '{column}' is missing{nearest(column, raw.original)}{hint}")
    return raw.original.get(column)


def _question(at: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RealmodelsError(f"{at}: expected the question as a string, got {shown(value)}")
    if not value.strip():
        raise RealmodelsError(f"{at}: the question is empty; fill it in or drop the row")
    return value.strip()


def _answers(at: str, value: Any) -> tuple[str, ...]:
    """A string, a list of strings, or a string that holds a JSON list; blank and repeated ones go."""
    if isinstance(value, str) and value.lstrip().startswith("[") and value.rstrip().endswith("]"):
        try:
            value = json.loads(value)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise RealmodelsError(f"{at}: half of a \\u surrogate pair, which is no character") from None
        except (ValueError, RecursionError):
            raise RealmodelsError(
                f'{at}: {shown(value)} looks like a list but is not JSON; write ["a", "b"] with double quotes'
            ) from None
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        listed = []
    if not isinstance(listed, (list, tuple)) or not all(isinstance(answer, str) for answer in listed):
        raise RealmodelsError(f"{at}: expected a string or a list of strings, got {shown(value)}")
    answers = tuple(dict.fromkeys(answer.strip() for answer in listed if answer.strip()))
    if not answers:
        raise RealmodelsError(f"{at}: no answers; give at least one that is not blank or drop the row")
    return answers


def _id(at: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise RealmodelsError(f"{at}: expected a string or an integer, got {shown(value)}")
    return str(value)


def _text(at: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value.strip() or None if value else None
    raise RealmodelsError(f"{at}: expected a string, got {shown(value)}")


def _popularity(at: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RealmodelsError(f"{at}: expected a finite number or nothing, got {shown(value)}")
    return number

"""What an audit found, in columns: the rows themselves stay in its file until they are written."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.stored import Stored
from realmodels.tables import read_table
from realmodels.texts import read_json
from theory.matching import normalize
from theory.schema import nearest, shown
from theory.slick import Category

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
Array = NDArray[np.float64]

KNOWLEDGE = "knowledge"
SCORES = ("margin", "logprob", "p_greedy", "p_sample", "popularity", "p_true", "detection")
LABELS = tuple(category.name for category in Category)
_SHARES = ("p_greedy", "p_sample")  # every row has these


@dataclass(frozen=True)
class Source:
    """Where the audited rows came from and what a file of such rows looks like."""

    path: str = ""
    kind: str = "jsonl"
    columns: tuple[str, ...] = ()
    fingerprint: str = ""
    names: Mapping[str, str] = field(default_factory=dict)  # our field -> its column


@dataclass(frozen=True, eq=False)
class Audited:
    """An audit, row by row [n]. `scores` are NaN and `overlap` is -1 where the audit does not say. Codes of `relation`
    point into `relations`; those of `subject` and `answer` are equal where these are, and -1 is no subject."""

    path: Path
    fingerprint: str
    label: NDArray[np.int8]
    scores: Mapping[str, Array]
    relation: Ints
    relations: tuple[str, ...]
    subject: Ints
    answer: Ints
    answers: Sequence[tuple[str, ...]]
    overlap: NDArray[np.int8]
    dominant: Flags
    settings: Mapping[str, tuple[Any, ...]]
    source: Source

    def __len__(self) -> int:
        return len(self.label)

    @property
    def known(self) -> Flags:
        """Some greedy answer is right."""
        return np.asarray(self.label >= Category.MaybeKnown)

    def counts(self, rows: Ints | None = None) -> dict[str, dict[str, int]]:
        """How many of these rows (of all) each relation has of each label, best known first."""
        rows = np.arange(len(self)) if rows is None else rows
        table = np.zeros((len(self.relations), len(LABELS)), np.int64)
        np.add.at(table, (self.relation[rows], self.label[rows]), 1)
        return {
            name: {LABELS[k]: int(line[k]) for k in reversed(range(len(LABELS)))}
            for name, line in zip(self.relations, table, strict=True)
            if line.any()
        }

    def originals(self, rows: Ints) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, the whole line as it stands in the file) for these rows, ascending, one at a time."""
        wanted = iter(rows.tolist())
        following = next(wanted, None)
        for number, (_, line) in enumerate(read_table(self.path, "jsonl")):
            if following is None:
                return
            if number == following:
                yield number, line
                following = next(wanted, None)
        if following is not None:
            raise RealmodelsError(
                f"{self.path}: it has become shorter while it was read; run the command again"
            )


NO_RELATION = "(no relation)"


def read_audit(path: str | Path) -> Audited:
    """Read `audit.jsonl`, or the folder that an audit wrote, and the `summary.json` beside it."""
    path = Path(path)
    path = path / "audit.jsonl" if path.is_dir() else path
    if not path.exists():
        raise RealmodelsError(
            f"{path}: no such file; run `audit` first and give its audit.jsonl or its folder"
        )
    fingerprint = sha256(path)
    label, overlap, dominant = array("b"), array("b"), array("b")
    scores = {name: _Scores() for name in SCORES}
    answers: Stored[tuple[str, ...]] = Stored()
    settings: dict[str, dict[str, Any]] = {name: {} for name in ("estimator", "matcher", "n_prompts")}
    names: dict[str, int] = {}
    relation, subject, answer = array("q"), _Codes(), _Codes()
    for line, row in read_table(path, "jsonl"):
        said = _said(f"{path}:{line}", row)
        label.append(said.label())
        for name in SCORES:
            scores[name].add(said.score(name))
        overlap.append(said.flag("overlaps_subject"))
        dominant.append(said.flag("dominant_answer") == 1)
        relation.append(names.setdefault(said.text("relation") or NO_RELATION, len(names)))
        subject.add(_folded(said.text("subject")))
        answers.append(accepted := said.answers())
        answer.add(normalize(accepted[0]))
        for name, seen in settings.items():
            seen[repr(said.knowledge.get(name))] = said.knowledge.get(name)
    if not label:
        raise RealmodelsError(f"{path}: no rows in it; expected at least one")
    return Audited(
        path,
        fingerprint,
        np.frombuffer(label, np.int8),
        {name: values.found() for name, values in scores.items()},
        np.frombuffer(relation, np.int64),
        tuple(names),
        subject.found(),
        answer.found(),
        answers,
        np.frombuffer(overlap, np.int8),
        np.frombuffer(dominant, np.bool_),
        {name: tuple(seen.values()) for name, seen in settings.items()},
        _source(path.with_name("summary.json")),
    )


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    if path.is_dir():
        raise RealmodelsError(f"{path}: is a folder; expected a file")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Scores:
    """Numbers, of which NaN takes no memory while there is nothing else: most audits ask for few signals."""

    def __init__(self) -> None:
        self._values, self._absent = array("d"), 0

    def add(self, value: float) -> None:
        """One more row."""
        if not self._values and math.isnan(value):
            self._absent += 1
            return
        if not self._values:
            self._values.frombytes(np.full(self._absent, np.nan).tobytes())
        self._values.append(value)

    def found(self) -> Array:
        return np.frombuffer(self._values) if self._values else np.broadcast_to(np.nan, self._absent)


class _Codes:
    """Numbers for texts in order of appearance, -1 for none; a hash of each text is held."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, text: str | None) -> None:
        """One more row."""
        data = b"" if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]
        self._hashes.append(int.from_bytes(data, "big"))

    def found(self) -> Ints:
        hashes = np.frombuffer(self._hashes, np.uint64)
        _, first, code = np.unique(hashes, return_index=True, return_inverse=True)
        some = hashes[first] != 0
        rank = np.full(len(first), -1)
        rank[some] = np.argsort(np.argsort(first[some]))
        return np.asarray(rank[code], np.int64)


def _said(at: str, row: Mapping[str, Any]) -> _Said:
    found = row.get(KNOWLEDGE)
    if not isinstance(found, dict):
        got = "no such field" if KNOWLEDGE not in row else shown(found)
        raise RealmodelsError(
            f"{at}: field '{KNOWLEDGE}': expected the object that `audit` adds to every row, got {got}; "
            "is this the audit.jsonl of an audit?"
        )
    return _Said(at, found)


@dataclass(frozen=True, slots=True)
class _Said:
    """One line's knowledge, and complaints about it."""

    at: str
    knowledge: Mapping[str, Any]

    def wrong(self, name: str, expected: str) -> RealmodelsError:
        value = self.knowledge.get(name)
        got = shown(value) if name in self.knowledge else "no such field"
        hint = nearest(value, LABELS) if name == "label" and isinstance(value, str) else ""
        return RealmodelsError(
            f"{self.at}: field '{KNOWLEDGE}.{name}': expected {expected}, got {got}{hint or '; audit again'}"
        )

    def label(self) -> int:
        value = self.knowledge.get("label")
        if not isinstance(value, str) or value not in LABELS:
            raise self.wrong("label", f"one of {', '.join(LABELS)}")
        return int(Category[value])

    def score(self, name: str) -> float:
        value = self.knowledge.get(name)
        if value is None and name not in _SHARES:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "a number between 0 and 1" if name in _SHARES else "a number or null")
        if name in _SHARES and not 0 <= value <= 1:
            raise self.wrong(name, "a number between 0 and 1")
        try:
            return float(value)
        except OverflowError:
            raise self.wrong(name, "a number or null") from None

    def flag(self, name: str) -> int:
        value = self.knowledge.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true, false or null")
        return -1 if value is None else int(value)

    def text(self, name: str) -> str | None:
        value = self.knowledge.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "a string or null")
        return value or None

    def answers(self) -> tuple[str, ...]:
        value = self.knowledge.get("answers")
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(v, str) and v.strip() for v in value)
        ):
            raise self.wrong("answers", "a list of at least one answer")
        return tuple(value)


def _folded(text: str | None) -> str | None:
    return None if text is None else " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _source(path: Path) -> Source:
    """What the audit's summary says of its source; without a summary the rows are written as JSON lines."""
    if not path.exists():
        return Source()
    summary = read_json(path)
    said = summary.get("source") if isinstance(summary, dict) else None
    if not isinstance(said, dict):
        raise RealmodelsError(f"{path}: field 'source': expected an object, got {shown(said)}; audit again")
    kind, columns, names = said.get("kind"), said.get("columns"), said.get("names") or {}
    if kind not in ("jsonl", "json", "csv", "tsv", "csv-bare"):
        raise RealmodelsError(
            f"{path}: field 'source.kind': expected jsonl, json, csv or tsv, got {shown(kind)}"
        )
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise RealmodelsError(
            f"{path}: field 'source.columns': expected a list of names, got {shown(columns)}"
        )
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise RealmodelsError(f"{path}: field 'source.names': expected field -> column, got {shown(names)}")
    return Source(
        str(said.get("path", "")), kind, tuple(columns), str(said.get("fingerprint") or ""), dict(names)
    )

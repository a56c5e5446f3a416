"""Reading and writing records: append-only JSON lines, one observation a line, checked both ways."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from math import isfinite
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from theory.errors import TheoryError
from theory.files import scratch_of
from theory.jsonl import BLOCK, add_block, blocks, is_json
from theory.schema import FIELDS as FIELDS
from theory.schema import NUMBERS, REQUIRED, checked
from theory.schema import Record as Record
from theory.table import Builder, Conflict, Table

try:
    import fcntl
except ImportError:  # not POSIX: appends are whole lines, but two processes must not write one file at once
    fcntl = None  # type: ignore[assignment]

BATCH = 10_000  # records written at once
CACHE = 100_000  # distinct strings kept as JSON by a writer
_NAMES = attrgetter(*(name for name in REQUIRED if name not in NUMBERS))
_NUMBERS = attrgetter(*NUMBERS)


class RecordsWarning(UserWarning):
    """A torn last line was dropped."""


def read_records(*paths: str | os.PathLike[str]) -> Table:
    """All records of these files ("-" is standard input) in one table.

    An observation that stands there twice, equal, is kept once (`Table.repeats` counts them); with two
    values it is an error. A last line torn by a crash is dropped with a `RecordsWarning`; blank lines, CRLF
    and a BOM are accepted.

    >>> from theory import Record, RecordWriter
    >>> where = ("all", 10, "best", "zero", "test", "all", "accuracy")  # arm, step, trained_on, ... metric
    >>> with RecordWriter("mine.jsonl") as out:
    ...     out.write_many(Record("theory/R0", "salience", "mine", seed, *where, 0.5, 80) for seed in (100, 101))
    >>> table = read_records("mine.jsonl")
    >>> len(table), table.column("value").tolist()
    (2, [0.5, 0.5])
    """
    if not paths:
        raise TheoryError("records: no file given; name at least one .jsonl file, or - for standard input")
    builder = Builder()
    places: list[tuple[str, Sequence[int]]] = []
    for path in paths:
        name = "stdin" if os.fspath(path) == "-" else os.fspath(path)
        with _opened(path) as file:
            for block in blocks(file):
                if block.torn and block.data.strip() and not is_json(block.data):
                    _warn(f"{name}:{block.first}: the last line is torn (a crash?) and is left out")
                else:
                    places.append((name, add_block(builder, name, block)))
    try:
        return builder.table().without_repeats()
    except Conflict as error:
        here, there = _place(places, error.second), _place(places, error.first)
        raise TheoryError(f"{here}: {error.text} at {there}; delete the line that is wrong") from None


class RecordWriter:
    """Appends checked records to a file, whole lines only.

    Makes the folders and repairs a tail torn by a crash. Several processes may append to one file. If the
    disk is full nothing of the batch stays in it. Errors name it by `name`, where it has another one in the end.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.name = self.path if name is None else Path(name)
        self._forms: dict[Any, str] = {}
        self._tails: dict[Any, str] = {}
        self._given = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise TheoryError(
                f"{self.name}: cannot be opened for writing: {error.strerror}; make room or choose another place"
            ) from error
        try:
            with self._locked():
                self._repair()
        except BaseException:
            os.close(self._file)
            raise

    def write(self, record: Record) -> None:
        self._append([record])

    def write_many(self, records: Iterable[Record]) -> None:
        """Written in batches of 10,000; a wrong record stops before its batch."""
        rest = iter(records)
        while batch := list(islice(rest, BATCH)):
            self._append(batch)

    def close(self) -> None:
        """Returns when the lines are on the disk."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        try:
            os.fsync(file)
        except OSError as error:
            raise TheoryError(f"{self.name}: cannot be saved to disk: {error.strerror}") from error
        finally:
            os.close(file)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, batch: Sequence[Record]) -> None:
        if self._file < 0:
            raise TheoryError(f"{self.name}: the writer is closed")
        data = "".join(map(self._line, batch)).encode()
        with self._locked():
            end = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, data)
                problem = f"only {written} of {len(data)} bytes fitted" if written < len(data) else ""
            except OSError as error:
                problem = error.strerror or str(error)
            if problem:
                with suppress(OSError):
                    os.ftruncate(self._file, end)
                left = (
                    "the file ends with its last whole line"
                    if self.name == self.path
                    else "nothing is written"
                )
                raise TheoryError(f"{self.name}: cannot write, {problem}; {left}; free some and start again")

    def _line(self, record: Record) -> str:
        """One line. The strings of a row repeat: they are checked and turned into JSON once."""
        self._given += 1
        if not isinstance(record, Record):
            found = type(record).__name__
            raise TheoryError(
                f"{self.name}: record {self._given} of this writer: expected a Record, got {found}"
            )
        names, item = _NAMES(record), record.item
        seed, step, value, n = _NUMBERS(record)
        try:
            form, tail = self._forms.get(names), self._tails.get(item)
        except TypeError:  # something that is no string and cannot be looked up
            form = tail = None
        if form is None or tail is None or not _plain(seed, step, value, n, item):
            wrong = checked(record)
            if wrong:
                raise TheoryError(f"{self.name}: record {self._given} of this writer: {wrong}")
            if len(self._forms) + len(self._tails) > CACHE:
                self._forms, self._tails = {}, {}
            form = self._forms[names] = _form(record)
            tail = self._tails[item] = f', "item": {_json(item)}' if item else ""
        return form % (seed, step, float.__repr__(float(value)), n, tail)

    def _repair(self) -> None:
        """End the file with a whole line: add the newline a complete one lacks, or cut a torn one off."""
        with open(self.path, "rb") as file:
            start = size = file.seek(0, os.SEEK_END)
            torn = b""
            while start > 0 and b"\n" not in torn:
                start = max(0, start - BLOCK)
                file.seek(start)
                torn = file.read(size - start)
        torn = torn[torn.rfind(b"\n") + 1 :]
        if is_json(torn):
            os.write(self._file, b"\n")
        elif torn:
            os.ftruncate(self._file, size - len(torn))
            _warn(f"{self.name}: the last line was torn (a crash?); its {len(torn)} bytes are cut off")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)


def write_records(path: Path, records: Iterable[Record]) -> Path:
    """A file of these records alone, checked, whole or not at all."""
    scratch = scratch_of(path)
    try:
        with RecordWriter(scratch, path) as out:
            out.write_many(records)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    if os.fspath(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise TheoryError(
            f"{os.fspath(path)}: cannot be read: {error.strerror}; expected a .jsonl file"
        ) from error
    with file:
        yield file


def _plain(seed: Any, step: Any, value: Any, n: Any, item: Any) -> bool:
    """Whether the numbers are plainly right; numpy's own types are looked at more closely elsewhere."""
    return (
        (type(seed), type(step), type(value), type(n)) == (int, int, float, int)
        and min(seed, step) >= 0
        and max(seed, step, n) < 2**63
        and isfinite(value)
        and (n == 1 or (n > 1 and item == ""))
    )


def _form(record: Record) -> str:
    """The line with gaps for seed, step, value, n and item."""
    gaps = {"seed": "%d", "step": "%d", "value": "%s", "n": "%d%s"}
    parts = (
        f'"{name}": {gaps.get(name) or _json(getattr(record, name)).replace("%", "%%")}' for name in REQUIRED
    )
    return "{" + ", ".join(parts) + "}\n"


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _place(places: Sequence[tuple[str, Sequence[int]]], row: int) -> str:
    """`file:line` of a row of the table."""
    for name, lines in places:
        if row < len(lines):
            return f"{name}:{lines[row]}"
        row -= len(lines)
    raise IndexError(row)


def _warn(text: str) -> None:
    warnings.warn(RecordsWarning(text), stacklevel=3)

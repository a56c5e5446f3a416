"""Finished work on disk: one line a question and prompt, appended whole, found again by the hash of its content.

A killed process loses at most the piece it was at. What it had appended of that piece (a torn line, a few whole
ones) is computed again with the same companions, so that the last digits do not depend on where it was killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

from realmodels.errors import RealmodelsError
from realmodels.stored import Database
from theory.files import sweep, whole_file
from theory.runs import append_line, locked

NAME = "generations.jsonl"
CONFIG, AUDIT, SUMMARY, ENVIRONMENT = "config.json", "audit.jsonl", "summary.json", "environment.json"
PATIENCE = 1800.0  # seconds without news after which the other processes count as dead


@dataclass(frozen=True)
class Team:
    """This process among those that share the work, as `accelerate launch` or `torchrun` says."""

    rank: int = 0
    size: int = 1

    def mine(self, number: int) -> bool:
        return number % self.size == self.rank


def team() -> Team:
    """Read off the environment; alone if nothing launched us."""
    found = {}
    for name, default in (("RANK", 0), ("WORLD_SIZE", 1)):
        text = os.environ.get(name) or str(default)
        if not text.isdecimal():
            raise RealmodelsError(
                f"environment: {name}={text!r}; expected a number, as accelerate launch sets it"
            )
        found[name] = int(text)
    if found["RANK"] >= max(found["WORLD_SIZE"], 1):
        raise RealmodelsError(f"environment: RANK={found['RANK']} of WORLD_SIZE={found['WORLD_SIZE']}")
    return Team(found["RANK"], found["WORLD_SIZE"])


_TABLE = """CREATE TABLE line (
    key TEXT PRIMARY KEY, file INTEGER, start INTEGER, length INTEGER, settled INTEGER DEFAULT 0
) WITHOUT ROWID"""
_PUT = "INSERT OR REPLACE INTO line (key, file, start, length) VALUES (?, ?, ?, ?)"
_FIND = "SELECT file, start, length, settled FROM line WHERE key = ?"
_SETTLE = "UPDATE line SET file = 0, start = ?, length = ?, settled = 1 WHERE key = ?"
_LEFT = "SELECT key FROM line WHERE settled = 0 AND key > ? ORDER BY key LIMIT 1000"
Place = tuple[int, int, int, int]  # number of the file, first byte, bytes, whether it is settled


@dataclass
class Parts:
    """The lines of a folder by key: where they stand (a table on disk), read when they are wanted."""

    folder: Path
    team: Team = field(default_factory=Team)
    _where: Database = field(default_factory=lambda: Database(_TABLE))
    _read: dict[Path, int] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / NAME

    def path(self, rank: int) -> Path:
        """Where a process appends: alone to the file itself, in a team to one of its own."""
        return self.file if self.team.size == 1 else self.folder / f"generations.rank-{rank}.jsonl"

    def refresh(self) -> None:
        """Take in what has been appended since; a line without a key was torn or damaged and is passed over."""
        for path in [self.file, *sorted(self.folder.glob("generations.rank-*.jsonl"))]:
            if path.exists():
                self._take_in(path)

    def has(self, keys: Iterable[str]) -> bool:
        return all(self._place(key) for key in keys)

    def missing(self, keys: Iterable[str]) -> int:
        return sum(not self._place(key) for key in keys)

    def put(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append a finished piece in one write; a full disk leaves the file as it was."""
        if lines:
            append_line(self.path(self.team.rank), "\n".join(_line(line) for line in lines))

    def get(self, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The lines of these keys, in their order."""
        with self._files() as files:
            for key in keys:
                yield json.loads(_read(files, self._place(key)))

    def settle(self, keys: Iterable[str]) -> None:
        """Make generations.jsonl these keys in order, then what else was there, by key; and nothing twice."""
        end = 0
        with whole_file(self.file, "wb") as out, self._files() as files:
            for key in chain(keys, self._others()):
                place = self._place(key)
                if place and place[-1]:
                    continue
                out.write(data := f"{_line(json.loads(_read(files, place)))}\n".encode())
                self._where.do(_SETTLE, (end, len(data), key))
                end += len(data)
        for path in self.folder.glob("generations.rank-*.jsonl"):
            path.unlink()
        self._where.do("UPDATE line SET settled = 0")
        self._read = {self.file: end}

    def wait(self, keys: Iterable[str], pause: float = 0.5, patience: float = PATIENCE) -> None:
        """Until the others of the team have done their share of the keys, which are gone through several times;
        nothing new for `patience` seconds is an error."""
        heard, missing = time.monotonic(), self.missing(keys)
        while missing:
            time.sleep(pause)
            self.refresh()
            if (now := self.missing(keys)) < missing:
                heard, missing = time.monotonic(), now
            elif time.monotonic() - heard > patience:
                raise RealmodelsError(
                    f"{self.folder}: nothing new from the other {self.team.size - 1} processes for "
                    f"{patience:.0f} s, {missing} answers missing; run the same command again, finished work is kept"
                )

    @contextmanager
    def held(self, *inner: str) -> Iterator[None]:
        """Nobody else works on this folder and those `inner` ones meanwhile, but for the rest of the team."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self._lock_of(self.team.rank)):
            if self.team.rank == 0:
                sweep(self.folder, *(self.folder / name for name in inner))
            yield

    def _lock_of(self, rank: int) -> Path:
        return self.folder / (".lock" if rank == 0 else f".lock-{rank}")

    def _place(self, key: str) -> Place | None:
        found: Place | None = self._where.do(_FIND, (key,)).fetchone()
        return found

    def _others(self) -> Iterator[str]:
        """What is not settled, by name."""
        last = ""
        while found := self._where.do(_LEFT, (last,)).fetchall():
            yield from (key for (key,) in found)
            last = found[-1][0]

    @contextmanager
    def _files(self) -> Iterator[list[IO[bytes]]]:
        with ExitStack() as stack:
            yield [stack.enter_context(open(path, "rb")) for path in self._read]

    def _take_in(self, path: Path) -> None:
        with open(path, "rb") as file:
            place = self._read.setdefault(path, 0)
            number = list(self._read).index(path)
            file.seek(place)
            self._where.do_many(_PUT, self._lines(file, path, number, place))

    def _lines(self, file: IO[bytes], path: Path, number: int, place: int) -> Iterator[tuple[Any, ...]]:
        for raw in file:
            if not raw.endswith(b"\n"):
                break  # still being written, or torn: the next append ends it
            if key := _key(raw):
                yield key, number, place, len(raw)
            place += len(raw)
            self._read[path] = place


def _read(files: Sequence[IO[bytes]], place: Place | None) -> bytes:
    if place is None:
        raise KeyError("no line of this key")
    number, start, length, _ = place
    files[number].seek(start)
    return files[number].read(length)


def _line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def _key(raw: bytes) -> str | None:
    try:
        found = json.loads(raw, parse_constant=_refuse)
        key = found.get("key") if isinstance(found, dict) else None
        return key if isinstance(key, str) and key.encode() else None
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number that is written here")

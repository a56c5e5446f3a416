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
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
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


@dataclass
class Parts:
    """The lines of a folder by key: where they stand, read when they are wanted."""

    folder: Path
    team: Team = field(default_factory=Team)
    _where: dict[str, tuple[Path, int, int]] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / NAME

    def path(self, rank: int) -> Path:
        """Where a process appends: alone to the file itself, in a team to one of its own."""
        return self.file if self.team.size == 1 else self.folder / f"generations.rank-{rank}.jsonl"

    def refresh(self) -> None:
        """Take in what has been appended since; a line without a key was torn and is passed over."""
        for path in [self.file, *sorted(self.folder.glob("generations.rank-*.jsonl"))]:
            if path.exists():
                self._take_in(path)

    def has(self, keys: Iterable[str]) -> bool:
        return all(key in self._where for key in keys)

    def missing(self, keys: Iterable[str]) -> int:
        return sum(key not in self._where for key in keys)

    def put(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append a finished piece in one write; a full disk leaves the file as it was."""
        if lines:
            append_line(self.path(self.team.rank), "\n".join(_line(line) for line in lines))

    def get(self, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
        """The lines of these keys, in their order."""
        with ExitStack() as stack:
            files = {path: stack.enter_context(open(path, "rb")) for path in self._read}
            for key in keys:
                path, start, length = self._where[key]
                files[path].seek(start)
                yield json.loads(files[path].read(length))

    def settle(self, keys: Iterable[str]) -> None:
        """Make generations.jsonl these keys in order, then what else was there, by key; and nothing twice."""
        wanted = list(dict.fromkeys(keys))
        others = sorted(set(self._where) - set(wanted))
        with whole_file(self.file, "wb") as out:
            for line in self.get([*wanted, *others]):
                out.write(f"{_line(line)}\n".encode())
        for path in self.folder.glob("generations.rank-*.jsonl"):
            path.unlink()
        self._where.clear()
        self._read.clear()
        self.refresh()

    def wait(self, keys: Sequence[str], pause: float = 0.5, patience: float = PATIENCE) -> None:
        """Until the others of the team have done their share; nothing new for `patience` seconds is an error."""
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

    def _take_in(self, path: Path) -> None:
        with open(path, "rb") as file:
            place = self._read.get(path, 0)
            file.seek(place)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break  # still being written, or torn: the next append ends it
                if key := _key(raw):
                    self._where[key] = (path, place, len(raw))
                place += len(raw)
            self._read[path] = place


def _line(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False)


def _key(raw: bytes) -> str | None:
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    key = found.get("key") if isinstance(found, dict) else None
    return key if isinstance(key, str) else None

"""A run folder: config, environment, and records that are the same after any crash and from any number of workers.

Work is done in parts (a seed, say). A finished part is one file, written whole; `records.jsonl` is all parts in
their order, written whole. So a killed run that is started again ends with the bytes of a run that was never
killed, and what takes time to compute is computed once. Timings live in a file of their own.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from theory.errors import TheoryError
from theory.files import sweep, write_whole

_PACKAGES = ("nameblind", "numpy", "scipy", "networkx", "torch", "transformers", "peft")


def run_id(study: str, config: Mapping[str, Any]) -> str:
    """`<study>-<hash>` of everything that decides the records, seeds and workers left out."""
    return f"{study}-{config_hash(config)}"


def config_hash(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of everything that decides the records."""
    return hashlib.sha256(_canonical(config).encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Run:
    """An open run folder; nobody else writes to it while it is open."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def records(self) -> Path:
        return self.folder / "records.jsonl"

    def part(self, key: str) -> Path:
        """The file of one part; `key` names it, such as `seed-3`."""
        if not _is_file_name(key):
            raise TheoryError(f"{self.folder}: part {key!r}: expected letters, digits, '-', '_' and '.'")
        return self.folder / "parts" / f"{key}.jsonl"

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that are still to be computed."""
        return [key for key in keys if not self.part(key).exists()]

    def put(self, key: str, lines: Iterable[str], seconds: float = 0.0, **measured: float) -> None:
        """Keep a finished part: its lines and, apart from them, the time it took and what else was measured."""
        write_whole(self.part(key), "".join(f"{line}\n" for line in lines))
        timing = {"part": key, "seconds": round(seconds, 3), **measured}
        append_line(self.folder / "timings.jsonl", json.dumps(timing))

    def assemble(self, keys: Sequence[str], name: str = "records.jsonl") -> Path:
        """Write records.jsonl (or `name`) from the parts `keys`, in that order; all of them must be there."""
        if absent := self.missing(keys):
            raise TheoryError(f"{self.folder}: part {absent[0]} is not finished; run the same command again")
        path = self.folder / name
        write_whole(path, b"".join(self.part(key).read_bytes() for key in keys))
        return path


@contextmanager
def open_run(root: str | Path, study: str, config: Mapping[str, Any]) -> Iterator[Run]:
    """The run folder of this study and config under `root`, made if need be and locked until the block ends."""
    if not _is_file_name(study):
        raise TheoryError(f"run: study {study!r}: expected letters, digits, '-', '_' and '.'")
    folder = Path(root) / run_id(study, config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        sweep(folder, folder / "parts")
        path, text = (
            folder / "config.json",
            json.dumps(json.loads(_canonical(config)), indent=1, sort_keys=True) + "\n",
        )
        if not path.exists():
            write_whole(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")
            write_whole(path, text)
        elif path.read_text(encoding="utf-8") != text:
            raise TheoryError(
                f"{path}: it does not have the hash in its folder's name, so its records may be of another config; "
                "restore it, or move the folder away to start afresh"
            )
        yield Run(folder)


def environment() -> dict[str, Any]:
    """Where a result comes from: command, versions, machine."""
    return {
        "command": command(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
    }


def command() -> str:
    """The command line of this process, as a person would type it."""
    program = Path(sys.argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return shlex.join([*name.split(), *sys.argv[1:]])


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _canonical(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TheoryError(f"run config: expected plain values that JSON can hold: {error}") from None


def _is_file_name(name: str) -> bool:
    return bool(name) and name[0] != "." and all(letter.isalnum() or letter in "-_." for letter in name)


def append_line(path: Path, line: str) -> None:
    """A whole line at the end of the file, or nothing; a line that a killed process tore is ended first."""
    with open(path, "ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
        data = b"\n" * torn + f"{line}\n".encode()
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as problem:
            os.ftruncate(file.fileno(), end)
            raise OSError(problem.errno, problem.strerror, str(path)) from problem


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise TheoryError(
                f"{path.parent}: in use by {owner}; wait for it to end or choose another folder"
            ) from None
        with suppress(OSError):  # a courtesy, for which a full disk has no room
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()}".encode())
        yield file

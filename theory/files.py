"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_SCRATCH = re.compile(r"\..+\.[0-9a-f]{8}")


@contextmanager
def whole_file(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that appears at `path` when the block ends well and leaves no trace when it does not."""
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():  # what would be put in its place is a file
        raise OSError(errno.EINVAL, "is a device or a pipe; give the path of a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_of(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(scratch, mode.replace("w", "x"), **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException as problem:
        scratch.unlink(missing_ok=True)
        # a full disk has no name, and the scratch file's says nothing to the reader
        if isinstance(problem, OSError) and problem.errno and problem.filename in (None, str(scratch)):
            raise OSError(problem.errno, problem.strerror, str(path)) from problem
        raise


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with whole_file(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def scratch_of(path: Path) -> Path:
    """Where `path` is written before it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def sweep(*folders: Path) -> None:
    """Drop what killed processes were still writing in these folders; only for whoever alone writes there."""
    for folder in folders:
        for path in folder.glob(".*.*"):
            if _SCRATCH.fullmatch(path.name) and path.is_file():
                path.unlink(missing_ok=True)


def sweep_of(path: Path) -> None:
    """The same for one file; only for whoever alone writes it."""
    for scratch in path.parent.glob(f".{path.name}.*"):
        if re.fullmatch(r"\.[0-9a-f]{8}", scratch.name.removeprefix(f".{path.name}")) and scratch.is_file():
            scratch.unlink(missing_ok=True)

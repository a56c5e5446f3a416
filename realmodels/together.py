"""Files that appear in a folder with the manifest that lists them, all of them or none, whenever the process is killed.

They are written into a scratch folder, the manifest last: a scratch folder with a manifest is complete, and the next
start finishes the moves that a killed process had begun. It drops those without one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from realmodels.errors import UNREADABLE, RealmodelsError


@contextmanager
def together(folder: Path, names: Iterable[str], manifest: str, writer: str = "filter") -> Iterator[Path]:
    """A scratch folder; when the block ends well the files that its manifest lists move into `folder`, the manifest
    last, and what an earlier one of that name listed goes; else nothing has changed. Files that no manifest lists are
    not replaced."""
    _finish_others(folder, writer)
    _refuse(folder, names, manifest, writer)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = _fresh(folder, writer, stack)
        try:
            yield scratch
            _move(scratch, folder, manifest)
        except OSError as problem:
            lost = Path(str(problem.filename or ""))
            if problem.errno and lost.is_relative_to(scratch):  # the person knows the file by its last name
                raise OSError(problem.errno, problem.strerror, str(folder / lost.name)) from problem
            raise
        finally:
            whole = _manifest(scratch)
            if not whole or not _missing(scratch, whole):  # else it is for the next start to finish
                shutil.rmtree(scratch, ignore_errors=True)


def _refuse(folder: Path, names: Iterable[str], manifest: str, writer: str) -> None:
    """Complain about a file that would be replaced and is not ours."""
    earlier = _listed(folder / manifest)
    for name in (*names, manifest):
        if (folder / name).exists() and name not in (*earlier, manifest if earlier else ""):
            raise RealmodelsError(
                f"{folder / name}: exists and was not written by `{writer}`; choose another --output or move it away"
            )


def _fresh(folder: Path, writer: str, stack: ExitStack) -> Path:
    """A scratch folder that is held until the stack is left."""
    while True:
        path = folder / f".{writer}-{secrets.token_hex(4)}"
        path.mkdir()
        with suppress(FileNotFoundError):
            stack.enter_context(_held(path))
        if path.exists():  # else another process saw it before it was held, and dropped it
            return path


def _move(scratch: Path, folder: Path, manifest: str) -> None:
    """What the manifest in the scratch folder lists, then the manifest; in an order that can be taken up anywhere."""
    with _held(folder):
        names, earlier = _listed(scratch / manifest), _listed(folder / manifest)
        for name in names:
            if (scratch / name).exists():
                os.replace(scratch / name, folder / name)
        for name in set(earlier) - {*names, manifest}:
            (folder / name).unlink(missing_ok=True)
        os.replace(scratch / manifest, folder / manifest)


def _finish_others(folder: Path, writer: str) -> None:
    """Finish what killed processes had written whole, drop what they had not."""
    form = re.compile(rf"\.{writer}-[0-9a-f]{{8}}")
    for scratch in sorted(folder.glob(f".{writer}-*")):
        if not form.fullmatch(scratch.name) or scratch.is_symlink() or not scratch.is_dir():
            continue
        with suppress(FileNotFoundError), _held(scratch, wait=False) as held:
            if not held:  # somebody works in it
                continue
            manifest = _manifest(scratch)
            gone = _missing(scratch, manifest) if manifest else set()
            if manifest and all((folder / name).exists() for name in gone):
                _refuse(folder, set(_listed(scratch / manifest)) - gone, manifest, writer)
                _move(scratch, folder, manifest)
            shutil.rmtree(scratch)


def _manifest(scratch: Path) -> str | None:
    """The name of the manifest, if it is written."""
    found = [path.name for path in scratch.glob("*manifest.json") if _listed(path)]
    return max(found, key=len, default=None)


def _missing(scratch: Path, manifest: str) -> set[str]:
    """Files that its manifest lists and that have moved, or are lost."""
    return {name for name in _listed(scratch / manifest) if not (scratch / name).exists()}


@contextmanager
def _held(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Whether no other process holds the folder. Where folders cannot be held, who waits goes on."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except OSError:
            held = wait
        yield held
    finally:
        os.close(number)


def _listed(manifest: Path) -> tuple[str, ...]:
    """The files that this manifest says were written with it."""
    with suppress(OSError, *UNREADABLE):
        said = json.loads(manifest.read_text(encoding="utf-8"))
        names = (str(file["name"]) for file in said["written"])
        return tuple(name for name in names if Path(name).name == name not in ("", ".."))
    return ()

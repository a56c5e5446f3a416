"""Which of the known layouts a source has: asked of each adapter in turn, else a plain table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from realmodels import entityquestions, factscore, hub, mmlu, popqa, relations
from realmodels.errors import RealmodelsError
from realmodels.tables import Layout, Raw, kind_of, read_table

# MMLU first: its files have no header, so asking them for columns would misread them
ADAPTERS = (mmlu.layout, relations.layout, factscore.layout, entityquestions.layout, popqa.layout)
FOLDERS = (
    "a folder of MMLU (dev|val|test/*.csv), EntityQuestions (P36.test.json, ...), relations or FActScore"
)


def layout_of(source: str | Path) -> Layout:
    """How to read this file, folder or `hub:owner/name[:split]`."""
    if str(source).startswith(hub.PREFIX):
        return hub.layout(str(source))
    path = Path(source)
    if not path.exists():
        named = re.fullmatch(r"\w[\w-]*/\w[\w-]*", str(source))
        hint = f"; a dataset of the hub is written {hub.PREFIX}{source}" if named else ""
        raise RealmodelsError(f"{source}: no such file or folder{hint}")
    if not path.is_dir() and not path.is_file():
        raise RealmodelsError(
            f"{path}: is a pipe or a device, which cannot be read twice; save it as a file first"
        )
    for adapter in ADAPTERS:
        if found := adapter(path):
            return found
    if path.is_dir():
        raise RealmodelsError(f"{path}: a folder of no known layout; expected one file of rows, or {FOLDERS}")
    kind = kind_of(path)
    return Layout(f"{path}", "plain", kind, lambda: plain(path, kind))


def plain(path: Path, kind: str) -> Iterator[Raw]:
    """The rows of a table as they stand."""
    for line, row in read_table(path, kind):
        yield Raw(f"{path}", line, row)

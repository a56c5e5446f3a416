"""Where records come from: which laboratory, run and study each file holds, and the command that wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from figures.errors import FiguresError
from figures.runs import record_files

Case = tuple[str, str, str]  # lab, study, run
WHERE = ("environment.json", "manifest.json")  # what runs of the laboratories and `theory data` leave


@dataclass(frozen=True)
class Source:
    """A file of records."""

    path: Path
    cases: frozenset[Case]
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def command(self) -> str:
        return str(self.about.get("command", ""))


def sources(paths: Sequence[Path]) -> list[Source]:
    """The files that `read_runs` reads of these paths."""
    return [Source(file, _cases(file), _about(file)) for file in record_files(paths)]


def _cases(file: Path) -> frozenset[Case]:
    """Read from the start of each line, whose fields come in a fixed order; every line is checked elsewhere."""
    starts: set[bytes] = set()
    with open(file, "rb") as lines:
        for line in lines:
            end = line.find(b'"seed"')
            if end > 0:
                starts.add(line[:end].rstrip(b", "))
    return frozenset(filter(None, map(_case, starts)))


def _case(start: bytes) -> Case | None:
    try:
        one = json.loads(start + b"}")
        return (one["lab"], one["study"], one["run"]) if {str}.issuperset(map(type, one.values())) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _about(file: Path) -> Mapping[str, object]:
    for name in WHERE:
        path = file.with_name(name)
        if path.is_file():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError) as error:
                raise FiguresError(f"{path}: it is not JSON: {error}; remove it or restore it") from None
            return found if isinstance(found, dict) else {}
    return {}

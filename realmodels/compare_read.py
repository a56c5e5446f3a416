"""Runs as lm-evaluation-harness leaves them, ours or its own: each task's items by their hash, with their metrics."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.tables import read_table
from theory.schema import nearest, shown

Array = NDArray[np.float64]

_SUBJECTS = ("subject", "subj")  # where documents name what they are about


@dataclass(frozen=True, eq=False)
class Items:
    """A task's items in a run [n]; the same item twice has the same hash twice."""

    path: Path
    hashes: tuple[str, ...]
    metrics: Mapping[str, Array]
    subjects: tuple[str, ...]  # "" where the document names none
    strata: tuple[Mapping[str, str], ...]

    def like(self, other: Items) -> Items:
        """The same items in the other's order; that they are the same is checked."""
        if self.hashes == other.hashes:
            return self
        mine, theirs = Counter(self.hashes), Counter(other.hashes)
        if mine != theirs:
            common, more, less = ((mine & theirs), (theirs - mine), (mine - theirs))
            raise RealmodelsError(
                f"{self.path}: other items than {other.path} has ({common.total():,} in common, {less.total():,} only "
                f"here, {more.total():,} only there); evaluate both on the same rows"
            )
        places: dict[str, list[int]] = defaultdict(list)
        for i, own in reversed(list(enumerate(self.hashes))):
            places[own].append(i)
        order = [places[own].pop() for own in other.hashes]
        return Items(
            self.path,
            other.hashes,
            {name: values[order] for name, values in self.metrics.items()},
            tuple(self.subjects[i] for i in order),
            tuple(self.strata[i] for i in order),
        )

    def groups(self) -> NDArray[np.int64]:
        """[n] A number for each subject; an item without one stands alone."""
        names: dict[str, int] = {}
        keys = [f"subject {s}" if s else f"item {i}" for i, s in enumerate(self.subjects)]
        return np.array([names.setdefault(key, len(names)) for key in keys], np.int64)

    def within(self, stratum: str) -> NDArray[np.int64]:
        """Places of the items of a stratum such as overlap=no,answer=both|neither; of all for none."""
        pairs = [part.partition("=") for part in stratum.split(",") if part.strip()]
        kept = list(range(len(self.hashes)))
        for key, _, text in pairs:
            known = dict.fromkeys(own[key] for own in self.strata if key in own)
            if not known:
                keys = dict.fromkeys(name for own in self.strata for name in own)
                hint = nearest(key, keys) if keys else "; it has no strata (they come from `eval`)"
                raise RealmodelsError(f"{self.path}: stratum '{stratum}': no item has '{key}'{hint}")
            wanted = [value for value in text.split("|") if value in known]
            if not wanted:
                raise RealmodelsError(
                    f"{self.path}: stratum '{stratum}': no item with {key}={text}{nearest(text, known)}"
                )
            kept = [i for i in kept if self.strata[i].get(key) in wanted]
        if not len(kept):
            raise RealmodelsError(f"{self.path}: stratum '{stratum}': no item is in all of it")
        return np.array(kept, np.int64)


@dataclass(frozen=True, eq=False)
class Run:
    """The tasks of one run, by name."""

    path: Path
    tasks: Mapping[str, Items]

    def task(self, name: str) -> Items:
        if name not in self.tasks:
            raise RealmodelsError(f"{self.path}: no task '{name}'{nearest(name, self.tasks)}")
        return self.tasks[name]


def read_runs(text: str) -> tuple[Run, ...]:
    """One folder, or several with commas: the runs of several seeds."""
    found = [read_run(Path(part.strip())) for part in text.split(",") if part.strip()]
    if not found:
        raise RealmodelsError("compare: no folder given; expected one that `eval` or lm-eval wrote")
    return tuple(found)


def read_run(path: Path) -> Run:
    """A folder with samples_*.jsonl, the latest of each task, or one such file."""
    if not path.exists():
        raise RealmodelsError(f"{path}: no such folder; give one that holds samples_*.jsonl")
    latest: dict[str, Path] = {}
    for file in [path] if path.is_file() else sorted(path.glob("samples_*.jsonl"), key=lambda f: _date(f)):
        latest[_task(file)] = file
    if not latest:
        inside = sorted({f"{file.parent}" for file in path.glob("*/samples_*.jsonl")})
        hint = f"; it has runs inside, name one: {', '.join(inside[:4])}" if inside else ""
        raise RealmodelsError(f"{path}: holds no samples_*.jsonl, which `eval` and lm-eval write{hint}")
    tasks: dict[str, Items] = {}
    for task, file in sorted(latest.items()):
        tasks |= _read(task, file)
    return Run(path, tasks)


def _task(file: Path) -> str:
    """samples_popqa_zero_2026-01-31T12-00-00.jsonl -> popqa_zero, as the harness names it."""
    name = file.name
    return name[name.find("_") + 1 : name.rfind("_")] or name


def _date(file: Path) -> str:
    return file.name[file.name.rfind("_") + 1 :]


def _read(task: str, file: Path) -> dict[str, Items]:
    """The items of a file; answers under several of the harness's filters are several tasks."""
    lines: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, line in read_table(file, "jsonl"):
        lines[str(line.get("filter", "none"))].append((number, line))
    if not lines:
        raise RealmodelsError(f"{file}: no samples in it; expected one a line")
    return {task if len(lines) == 1 else f"{task}/{name}": _items(file, own) for name, own in lines.items()}


def _items(file: Path, lines: Sequence[tuple[int, dict[str, Any]]]) -> Items:
    names = _names(file, *lines[0])
    values: dict[str, list[float]] = {name: [] for name in names}
    hashes, subjects, strata = [], [], []
    for number, line in lines:
        found = line.get("doc_hash")
        if not isinstance(found, str) or not found:
            raise RealmodelsError(
                f"{file}:{number}: field 'doc_hash': expected a hash, got {shown(found)}; is this a samples file?"
            )
        hashes.append(found)
        for name in names:
            values[name].append(_number(file, number, name, line.get(name)))
        doc, own = line.get("doc"), line.get("strata")
        subjects.append(_subject(doc if isinstance(doc, dict) else {}))
        strata.append({k: str(v) for k, v in own.items()} if isinstance(own, dict) else {})
    metrics = {name: np.array(own) for name, own in values.items()}
    return Items(file, tuple(hashes), metrics, tuple(subjects), tuple(strata))


def _names(file: Path, number: int, line: Mapping[str, Any]) -> list[str]:
    """The metrics that are numbers (perplexities are pairs)."""
    listed = line.get("metrics")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise RealmodelsError(
            f"{file}:{number}: field 'metrics': expected a list of names, got {shown(listed)}; is this a samples file?"
        )
    found = [name for name in listed if isinstance(line.get(name), bool | int | float)]
    if not found:
        raise RealmodelsError(f"{file}:{number}: none of its metrics ({', '.join(listed)}) is a number")
    return found


def _number(file: Path, number: int, name: str, value: Any) -> float:
    if not isinstance(value, bool | int | float):
        raise RealmodelsError(f"{file}:{number}: field '{name}': expected a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise RealmodelsError(f"{file}:{number}: field '{name}': {shown(value)} is too large") from None


def _subject(doc: Mapping[str, Any]) -> str:
    text = next((doc[key] for key in _SUBJECTS if isinstance(doc.get(key), str)), "")
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())

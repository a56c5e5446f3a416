"""Worker processes: fresh interpreters of one thread, which do a unit at a time and die with their parent.

A worker is no fork: its environment says one thread before any library is loaded, it needs no
`if __name__ == "__main__"` in whoever calls, and it holds no file or lock of its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthetic.errors import SyntheticError
from synthetic.profiles import one_thread_environment
from theory.errors import TheoryError, out_of_memory
from theory.processes import deaf_to_ctrl_c

if TYPE_CHECKING:
    from theory.schema import Record

Kind = Literal["input", "system", "memory", "died", "bug"]
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from synthetic.workers import main; main()"
_PR_SET_PDEATHSIG = 1
_PAUSE = 0.1  # least seconds between two reports


@dataclass(frozen=True)
class Task:
    """A unit of work as a worker gets it; `run` is stamped into the records."""

    study: str  # "module:attribute"
    setup: Any
    seed: int
    run: str
    cache: Path


@dataclass(frozen=True)
class Reported:
    """What a worker is doing, and which share of its unit is done."""

    what: str
    share: float | None


@dataclass(frozen=True)
class Finished:
    """The records of a unit as lines."""

    lines: tuple[str, ...]
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Failed:
    """Why there are no records: bad input, the system (disk), memory, a dead worker, or a bug with its traceback."""

    kind: Kind
    line: str
    detail: str = ""
    errno: int = 0
    file: str = ""


Event = Reported | Finished | Failed


class Worker:
    """The parent's end of a worker."""

    def __init__(self) -> None:
        self.link, theirs = Pipe()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        words = [sys.executable, "-c", _START, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
        try:
            with deaf_to_ctrl_c():
                self.process = subprocess.Popen(
                    words,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._said,
                    stderr=self._said,
                    env=one_thread_environment(),
                )
        finally:
            theirs.close()

    def start(self, task: Task) -> bool:
        """Hand out a task; False if the worker is dead."""
        try:
            self.link.send(task)
        except OSError:
            return False
        return True

    def event(self) -> Event:
        """The next event; waits for it. A dead worker's is `Failed`."""
        try:
            event: Event = self.link.recv()
            return event
        except (EOFError, OSError):
            return Failed("died", self._epitaph())

    def stop(self) -> None:
        """At once; what it was doing is lost."""
        self.process.kill()
        self.process.wait()
        self.link.close()
        self._said.close()

    def _epitaph(self) -> str:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code == -signal.SIGKILL:
            why = "was killed (signal 9): by a person, or by the system because memory ran out"
        elif code < 0:
            why = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        else:
            why = f"ended with exit code {code}"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip() if code != -signal.SIGKILL else ""
        return f"its worker {why}" + "".join(
            f"; it last said: {line.strip()}" for line in said.splitlines()[-1:]
        )


def main() -> None:
    """A worker process: tasks come and events go through the inherited file descriptor."""
    descriptor, parent = map(int, sys.argv[2:4])
    die_with(parent)
    serve(Connection(descriptor), os._exit)


def serve(link: Connection, leave: Callable[[int], object]) -> None:
    """Do tasks until told None; `leave` at once when the parent is gone, whatever is being done."""
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while (task := link.recv()) is not None:
                tasks.put(task)
            tasks.put(None)
        except (EOFError, OSError):
            tasks.put(None)
            leave(1)

    threading.Thread(target=listen, daemon=True).start()
    while (task := tasks.get()) is not None:
        link.send(attempt(task, _Reporter(link)))


class _Reporter:
    """Sends a report at most every tenth of a second."""

    def __init__(self, link: Connection) -> None:
        self._link, self._last, self._next = link, "", 0.0

    def __call__(self, what: str, share: float | None = None) -> None:
        now = time.monotonic()
        if now >= self._next or what != self._last:
            self._link.send(Reported(what, share))
            self._last, self._next = what, now + _PAUSE


def attempt(task: Task, report: Callable[..., None]) -> Finished | Failed:
    """Do a task; every way to fail becomes a `Failed`."""
    try:
        start = time.perf_counter()
        lines = perform(task, report)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        return Finished(lines, time.perf_counter() - start, peak)
    except (SyntheticError, TheoryError) as problem:
        return Failed("input", str(problem))
    except OSError as problem:
        return Failed(
            "system", problem.strerror or str(problem), "", problem.errno or 0, str(problem.filename or "")
        )
    except Exception as problem:
        if out_of_memory(problem):
            return Failed("memory", "out of memory; use fewer workers or a smaller setup")
        first = (str(problem).splitlines() or [""])[0]
        return Failed("bug", f"{type(problem).__name__}: {first}", traceback.format_exc())


def perform(task: Task, report: Callable[..., None]) -> tuple[str, ...]:
    """The records of a task as lines, checked: they belong to this unit, and none stands there twice."""
    from synthetic.plan import resolve

    study = resolve(task.study)
    _settle_torch()
    forget(task.seed)
    task.cache.mkdir(parents=True, exist_ok=True)
    records = [
        replace(record, run=task.run) for record in study.run(task.setup, task.seed, task.cache, report)
    ]
    expected = {"lab": f"synthetic/{task.setup.rung}", "study": study.name, "seed": task.seed}
    return to_lines(records, expected)


def to_lines(records: Iterable[Record], expected: dict[str, Any]) -> tuple[str, ...]:
    """Records as lines of JSON, in their order; all fields checked, those `expected` to be constant too."""
    from theory.schema import FIELDS
    from theory.table import Table

    table = Table.from_records(records)
    if not len(table):
        raise SyntheticError("the study returned no records; expected at least one")
    for name, value in expected.items():
        if wrong := set(table.column(name).tolist()) - {value}:
            raise SyntheticError(f"records: field '{name}': expected {value!r}, got {sorted(wrong)[0]!r}")
    columns = [table.column(name).tolist() for name in FIELDS]
    rows = (dict(zip(FIELDS, row, strict=True)) for row in zip(*columns, strict=True))
    return tuple(
        json.dumps({k: v for k, v in row.items() if k != "item" or v}, ensure_ascii=False) for row in rows
    )


def forget(seed: int) -> None:
    """Global random state that does not depend on what was done before; studies should not need it."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def die_with(parent: int) -> None:
    """Let the system kill this process as soon as `parent` ends (Linux; elsewhere the closed pipe tells it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _settle_torch() -> None:
    """One thread for torch, if the study uses it."""
    if (torch := sys.modules.get("torch")) and torch.get_num_threads() != 1:
        torch.set_num_threads(1)

"""Doing a plan: units go to workers, finished ones to run folders, and verdicts follow."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from synthetic.display import Display
from synthetic.plan import Plan, Queue, Unit, warm_bases
from synthetic.profiles import FIRST_SEED
from synthetic.verdicts import Verdicts, claims_of, judge
from synthetic.workers import Failed, Finished, Kind, Reported, Task, Worker
from theory.command import FAILED, USAGE_ERROR
from theory.files import sweep, write_whole
from theory.runs import Run, open_run

if TYPE_CHECKING:
    from theory.claims import Scoreboard

CACHE, BOARD = "cache", "scoreboard"  # under the output folder
TUNING = "tuning.jsonl"


@dataclass(frozen=True)
class Failure:
    unit: Unit
    kind: Kind
    line: str


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: records files, a scoreboard of everything known under the same configuration and its files,
    failures."""

    records: tuple[Path, ...]
    board: Scoreboard | None
    boards: tuple[Path, ...]
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        if not self.failures:
            return 0
        return USAGE_ERROR if all(failure.kind == "input" for failure in self.failures) else FAILED


def run_lab(plan: Plan, output: Path, workers: int, stream: TextIO | None = None) -> Outcome:
    """Do what is missing of a plan under `output` and judge it. Killed at any moment, it can be called again."""
    cache = output / CACHE
    with ExitStack() as stack:
        stack.enter_context(in_use(cache))
        runs = {
            (job.study.name, job.rung): stack.enter_context(open_run(output, job.study.name, job.config))
            for job in plan.jobs
        }
        try:
            with _Crew(plan, runs, cache, workers, stream) as crew:
                failures = crew.work()
        except KeyboardInterrupt:
            _assemble_all(runs.values())
            raise
        records = _assemble_all(runs.values())
        known = siblings(plan, output)
        studies = {path.parent.name.rpartition("-")[0] for path in known}
        board = judge(known, claims_of(sorted(studies)))
        boards = board.write(output / f"{BOARD}-{plan.hash}") if board is not None else ()
    return Outcome(records, board, boards, failures)


def assemble(run: Run) -> Path | None:
    """All finished seeds as records.jsonl, in the order of the seeds, and its path; nothing if none is finished.

    Seeds on which a regime may have been chosen go to tuning.jsonl: no claim is put to them.
    """
    found = sorted(int(path.stem.removeprefix("seed-")) for path in run.folder.glob("parts/seed-*.jsonl"))
    seeds = [seed for seed in found if seed >= FIRST_SEED]
    if len(seeds) < len(found):
        run.assemble([f"seed-{seed}" for seed in found if seed < FIRST_SEED], TUNING)
    if not seeds:
        return run.folder / TUNING if found else None
    write_whole(run.folder / "seeds.json", json.dumps(seeds) + "\n")
    return run.assemble([f"seed-{seed}" for seed in seeds])


def _assemble_all(runs: Iterable[Run]) -> tuple[Path, ...]:
    return tuple(path for run in runs if (path := assemble(run)))


def siblings(plan: Plan, output: Path) -> list[Path]:
    """The records of the plan's configurations under `output`, those of studies that it leaves out too."""
    hashes = dict.fromkeys(job.hash for job in plan.jobs)
    return [path for found in hashes for path in sorted(output.glob(f"*-{found}/records.jsonl"))]


@dataclass
class _Crew:
    """Workers, what each is doing, and what is still to do."""

    plan: Plan
    runs: dict[tuple[str, str], Run]
    cache: Path
    workers: int
    stream: TextIO | None
    failures: list[Failure] = field(default_factory=list)
    _pool: dict[int, Worker] = field(default_factory=dict)
    _doing: dict[int, tuple[Unit, float]] = field(default_factory=dict)  # with the seconds it should take

    def __enter__(self) -> _Crew:
        missing = [unit for unit in self.plan.units if self._run(unit).missing([unit.key])]
        warm = warm_bases(self.plan, missing)
        self.queue = Queue(missing, warm, self.workers)
        cold = {(unit.rung, unit.seed): unit for unit in missing if (unit.rung, unit.seed) not in warm}
        total = sum(map(self.plan.seconds, missing)) + sum(map(self.plan.shared_seconds, cold.values()))
        self.display = Display(total, len(missing), self.stream)
        self.verdicts = Verdicts([job.study.name for job in self.plan.jobs])
        self.finished = [
            self._run(unit).part(unit.key) for unit in self.plan.units if unit not in set(missing)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._pool.values():
            worker.stop()
        self.display.close()

    def work(self) -> tuple[Failure, ...]:
        """Until nothing is left that can be done."""
        places = range(min(self.workers, len(self.queue)))
        while True:
            for place in places:
                if place not in self._doing and (unit := self.queue.take(place)) is not None:
                    self._start(place, unit)
            if not self._doing:
                return tuple(self.failures)
            links = {self._pool[place].link: place for place in self._doing}
            for link in wait(list(links), timeout=0.5):
                self._hear(links[link])  # type: ignore[index]
            self.display.show()

    def _start(self, place: int, unit: Unit) -> None:
        job = self.plan.job(unit)
        cost = self.plan.seconds(unit) + (self.plan.shared_seconds(unit) if self.queue.opens(unit) else 0.0)
        if place not in self._pool:
            self._pool[place] = Worker()
        self._doing[place] = unit, cost
        self._pool[place].start(Task(job.path, job.setup, unit.seed, job.hash, self.cache))

    def _hear(self, place: int) -> None:
        event, (unit, cost) = self._pool[place].event(), self._doing[place]
        if isinstance(event, Reported):
            self.display.doing(unit, cost, event.what, event.share)
            return
        del self._doing[place]
        self.queue.finish(unit, well=isinstance(event, Finished))
        if isinstance(event, Finished):
            self._keep(unit, cost, event)
        else:
            self._fail(place, unit, cost, event)

    def _keep(self, unit: Unit, cost: float, event: Finished) -> None:
        run = self._run(unit)
        run.put(unit.key, event.lines, event.seconds, peak_mb=round(event.peak_mb))
        self.display.finished(unit, cost, event.seconds)
        self.finished.append(run.part(unit.key))
        for line in self.verdicts.changes(self.finished):
            self.display.line(line)

    def _fail(self, place: int, unit: Unit, cost: float, event: Failed) -> None:
        if event.kind == "system":
            raise OSError(event.errno, event.line, event.file or str(self.cache))
        if event.kind == "died":
            self._pool.pop(place).stop()
        dropped = self.queue.drop(unit.study, unit.rung) if event.kind == "input" else []
        for left_out in [unit, *dropped]:
            self.display.gone(left_out, cost if left_out is unit else self.plan.seconds(left_out))
        more = f" ({len(dropped)} more of its seeds left out)" if dropped else ""
        self.failures.append(Failure(unit, event.kind, event.line))
        self.display.line(f"error: {unit}: {event.line}{more}")
        if event.detail:
            self.display.line(event.detail.rstrip())

    def _run(self, unit: Unit) -> Run:
        return self.runs[unit.study, unit.rung]


@contextmanager
def in_use(cache: Path) -> Iterator[None]:
    """The cache folder, shared with other runs; whoever is alone sweeps what killed processes were still writing there
    and in the scoreboards beside it."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "a", encoding="utf-8") as lock:
        _sweep(cache, lock)
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            _sweep(cache, lock)


def _sweep(cache: Path, lock: TextIO) -> None:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sweep(cache, *filter(Path.is_dir, cache.rglob("*")), *cache.parent.glob(f"{BOARD}-*"))

"""What a run consists of and in which order it is done: pure, so that a dry run shows what a run would do."""

from __future__ import annotations

import heapq
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import synthetic.studies as registry
from synthetic.errors import SyntheticError
from synthetic.fingerprint import fingerprint
from synthetic.profiles import ABLATIONS, DEFAULT_RUNG, PROFILES, RUNGS, choose, choose_seeds
from synthetic.studies import Study

NUMERICS = ("numpy", "torch")  # another version of these gives other last digits


@dataclass(frozen=True)
class Unit:
    """The unit of work: one seed of one study at one rung."""

    study: str
    rung: str
    seed: int

    @property
    def key(self) -> str:
        """Its part of the run folder."""
        return f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.study} {self.rung} seed {self.seed}"


@dataclass(frozen=True)
class Job:
    """A study at a rung: one run folder."""

    study: Study
    path: str  # where the study is found, "module:attribute"
    rung: str
    setup: Any
    config: Mapping[str, Any]
    hash: str
    arms: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.study.name}-{self.hash}"


@dataclass(frozen=True)
class Plan:
    profile: str
    jobs: tuple[Job, ...]
    seeds: tuple[int, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """Rung by rung and seed by seed, so that the studies of one base come together; the longest first, so that no
        worker ends long before the others."""
        longest = sorted(self.jobs, key=lambda job: -job.study.cost_seconds(job.setup))
        return tuple(
            Unit(job.study.name, rung, seed)
            for rung in dict.fromkeys(job.rung for job in self.jobs)
            for seed in self.seeds
            for job in longest
            if job.rung == rung
        )

    def job(self, unit: Unit) -> Job:
        return next(job for job in self.jobs if (job.study.name, job.rung) == (unit.study, unit.rung))

    def missing(self, output: Path) -> tuple[Unit, ...]:
        """Units that are not finished under `output`."""
        return tuple(
            u for u in self.units if not (output / self.job(u).folder / "parts" / f"{u.key}.jsonl").exists()
        )

    def seconds(self, unit: Unit) -> float:
        """One unit alone on the reference machine, once its base is there."""
        job = self.job(unit)
        return job.study.cost_seconds(job.setup)

    def shared_seconds(self, unit: Unit) -> float:
        return float(resolve(registry.SHARED_SECONDS)(self.job(unit).setup))

    @property
    def hash(self) -> str:
        """Of all its configurations together."""
        from theory.runs import config_hash

        return config_hash({job.rung: job.hash for job in self.jobs})

    @property
    def worker_mb(self) -> float:
        return max(job.study.memory_mb(job.setup) for job in self.jobs)


def make_plan(
    profile: str,
    studies: Sequence[str] = (),
    rungs: Sequence[str] = (),
    seeds: Sequence[int] = (),
    changes: Mapping[str, Any] | None = None,
) -> Plan:
    """Resolve names into setups, with `changes` of their fields, and run folders; nothing is written."""
    from theory.runs import config_hash

    chosen = PROFILES[choose("profile", [profile], list(PROFILES), ())[0]]
    study_names = choose("study", studies, list(registry.STUDIES), list(registry.STUDIES))
    rung_names = choose("rung", rungs, (*RUNGS, *ABLATIONS), chosen.rungs)
    rung_names = tuple(sorted(rung_names, key=lambda rung: rung != DEFAULT_RUNG))  # what matters most first
    numbers = choose_seeds(seeds, chosen.seeds, chosen.first)
    modules = [
        path.partition(":")[0]
        for path in (*registry.STUDIES.values(), registry.SETUP, registry.SHARED_SECONDS)
    ]
    origin = {"code": fingerprint(modules), "packages": {name: version(name) for name in NUMERICS}}
    jobs = []
    for rung in rung_names:
        setup = resolve(registry.SETUP)(profile=profile, rung=rung)
        if changes:
            setup = resolve(registry.SETUP_FROM)(merged(asdict(setup), changes))
        config = {"setup": asdict(setup), **origin}
        for name in study_names:
            study: Study = resolve(registry.STUDIES[name])
            if arms := tuple(study.arms(setup)):
                path, digest = registry.STUDIES[name], config_hash(config)
                jobs.append(Job(study, path, rung, setup, config, digest, arms))
    if not jobs:
        raise SyntheticError(f"{', '.join(study_names)}: nothing to do at {', '.join(rung_names)}")
    return Plan(profile, tuple(jobs), numbers)


def read_changes(path: Path) -> dict[str, Any]:
    """Fields of a setup from a TOML or JSON file; a run folder's config.json will do."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise SyntheticError(f"{path}: expected {kind}: {problem}") from None
    found = found.get("setup", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise SyntheticError(f"{path}: expected a table of fields, such as [world] subjects = 300")
    found.pop("rung", None)
    return found


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Nested fields with those of `new` in their place."""
    both = {name: merged(old[name], value) for name, value in new.items() if _tables(old.get(name), value)}
    return {**old, **new, **both}


def _tables(old: Any, new: Any) -> bool:
    return isinstance(old, Mapping) and isinstance(new, Mapping)


def resolve(path: str) -> Any:
    """What stands at "module:attribute"."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


@dataclass
class Queue:
    """Hands out units so that no two workers build the same base at once.

    One unit of a (rung, seed) goes first; when it is finished the others are free. A worker stays with the base that it
    has, then opens a new one, then helps others. Bases that are too few for all workers are opened at once: what waits
    for them would keep some idle at the end.
    """

    units: Iterable[Unit]
    warm: Iterable[tuple[str, int]] = ()  # bases that are on disk
    workers: int = 1
    _waiting: dict[tuple[str, int], list[Unit]] = field(default_factory=dict, init=False)
    _opening: set[tuple[str, int]] = field(default_factory=set, init=False)
    _open: set[tuple[str, int]] = field(default_factory=set, init=False)
    _last: dict[int, tuple[str, int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for unit in self.units:
            self._waiting.setdefault(_base(unit), []).append(unit)
        self._open.update(self.warm)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self, worker: int) -> Unit | None:
        """The next unit of this worker; None if there is none now (or none any more, if the queue is empty)."""
        left = [base for base, units in self._waiting.items() if units and base not in self._opening]
        mine = [base for base in left if base in self._open and base == self._last.get(worker)]
        new = [base for base in left if base not in self._open]
        for base in (*new, *left) if 0 < len(new) < self.workers else (*mine, *new, *left):
            if base not in self._open:
                self._opening.add(base)
            self._last[worker] = base
            return self._waiting[base].pop(0)
        return None

    def finish(self, unit: Unit, well: bool = True) -> None:
        """`unit` is done and so its base is there; or it has failed, and the next unit shall try."""
        if well:
            self._open.add(_base(unit))
        self._opening.discard(_base(unit))

    def opens(self, unit: Unit) -> bool:
        """Does `unit`, just taken, have to build its base?"""
        return _base(unit) in self._opening

    def drop(self, study: str, rung: str) -> list[Unit]:
        """Forget the waiting units of a study at a rung, and return them."""
        dropped = [u for units in self._waiting.values() for u in units if (u.study, u.rung) == (study, rung)]
        for unit in dropped:
            self._waiting[_base(unit)].remove(unit)
        return dropped


def simulate(plan: Plan, units: Sequence[Unit], workers: int) -> float:
    """Seconds that `units` take on the reference machine, by the order in which the queue would hand them out."""
    queue, now = Queue(units, warm_bases(plan, units), workers), 0.0
    clock: list[tuple[float, int, Unit]] = []
    idle = list(range(workers))
    while len(queue) or clock:
        resting = []
        for worker in idle:
            unit = queue.take(worker)
            if unit is None:
                resting.append(worker)
                continue
            cost = plan.seconds(unit) + (plan.shared_seconds(unit) if queue.opens(unit) else 0.0)
            heapq.heappush(clock, (now + cost, worker, unit))
        now, worker, unit = heapq.heappop(clock)
        queue.finish(unit)
        idle = [*resting, worker]
    return now


def warm_bases(plan: Plan, missing: Iterable[Unit]) -> set[tuple[str, int]]:
    """Bases of which some unit is finished."""
    return {_base(unit) for unit in set(plan.units) - set(missing)}


def _base(unit: Unit) -> tuple[str, int]:
    return unit.rung, unit.seed

"""How much a run does: seeds and rungs of each profile, and what this machine can bear."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthetic.errors import SyntheticError

FIRST_SEED = 100  # seeds below it are for choosing a regime; nothing reported rests on them
DEFAULT_RUNG = "R2-2layer"
RUNGS = ("R1-fixed", "R1-dense", "R1-mlp", "R2-2layer", "R2-4layer")
# The default rung with one thing changed; rungs too, so that the scoreboard is claims x all of them.
ABLATIONS = tuple(
    f"{DEFAULT_RUNG}-{name}" for name in ("flat", "seen", "plain", "wide", "read", "gentle", "told")
)
REFERENCE_SPEED = 100.0  # `speed()` of the machine on which the studies' costs were measured
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Profile:
    """Seeds, from the `first` one on, and rungs that are run if nothing else is asked for."""

    name: str
    seeds: int
    first: int  # of `full` and `paper`: where nobody has looked yet
    rungs: tuple[str, ...]


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 3, FIRST_SEED, (DEFAULT_RUNG,)),
        Profile("full", 10, 2100, (DEFAULT_RUNG,)),
        Profile("paper", 20, 3000, RUNGS),
    )
}


def choose(what: str, wanted: Sequence[str], known: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """The wanted names in the order in which they are known; `default` if none is named."""
    from theory.schema import nearest

    for name in wanted:
        if name not in known:
            raise SyntheticError(f"no {what} is called {name!r}{nearest(name, known)}")
    return tuple(name for name in known if name in (wanted or default))


def choose_seeds(wanted: Sequence[int], count: int, first: int) -> tuple[int, ...]:
    """One number below 100 says how many, from `first` on; other numbers are the seeds themselves."""
    if any(seed < 0 for seed in wanted) or len(set(wanted)) < len(wanted):
        raise SyntheticError(
            f"--seeds {' '.join(map(str, wanted))}: expected different numbers of at least 0"
        )
    if len(wanted) == 1 and wanted[0] < FIRST_SEED:
        count = wanted[0]
        if not count:
            raise SyntheticError(
                "--seeds 0: expected how many seeds, at least 1, or two or more seeds by number"
            )
        wanted = ()
    return tuple(sorted(wanted)) or tuple(range(first, first + count))


def cores() -> int:
    """Cores that this process may use, a container's quota counted."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = _read("/sys/fs/cgroup/cpu.max").split()
    if len(words) == 2 and words[0] != "max":
        allowed = min(allowed, max(1, int(words[0]) // int(words[1])))
    return allowed


def free_mb() -> float:
    """Memory that can be had without swapping, in MB; infinite where the system does not tell."""
    lines = _read("/proc/meminfo").splitlines()
    found = [
        float("inf"),
        *(int(line.split()[1]) / 2**10 for line in lines if line.startswith("MemAvailable:")),
    ]
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        found.append((int(limit) - int(used)) / 2**20)
    return min(found)


def fit_workers(wanted: int, mb: float) -> tuple[int, str]:
    """How many workers of `mb` each run at once, at least one, and why fewer than wanted (or nothing)."""
    if wanted < 1:
        raise SyntheticError(f"--workers {wanted}: expected at least 1")
    free, allowed = free_mb(), cores()
    room = max(1, int(free // mb)) if free < float("inf") else wanted
    workers = min(wanted, allowed, room)
    if workers == wanted:
        return (
            workers,
            f"memory: one worker needs about {mb:,.0f} MB, {free:,.0f} are free" if mb > free else "",
        )
    why = f"{allowed} cores" if workers == allowed else f"{free:,.0f} MB of free memory, {mb:,.0f} a worker"
    return workers, f"workers: {workers} and not {wanted}, for {why}"


def one_thread_environment() -> dict[str, str]:
    """The environment of a child in which no library starts threads of its own."""
    return {**os.environ, **ONE_THREAD}


def speed() -> float:
    """Billions of operations a second in one thread, in products of the shape that training spends its time on."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((1024, 128), (128, 512)))
    seconds = []
    for _ in range(60):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    return float(2e-9 * a.shape[0] * a.shape[1] * b.shape[1] / sorted(seconds)[len(seconds) // 4])


def slowness() -> float:
    """How many times longer work takes here than on the reference machine; measured in half a second."""
    script = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import synthetic.profiles as p; print(p.speed())"
    found = subprocess.run(
        [sys.executable, "-c", script, json.dumps(sys.path)],
        env=one_thread_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return REFERENCE_SPEED / float(found.stdout)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""

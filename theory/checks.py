"""Running many checks at once, and the table that is printed of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

from theory.errors import TheoryError
from theory.files import write_whole
from theory.processes import deaf_to_ctrl_c, locks
from theory.theorems import THEOREMS, CheckResult, theorem

_Job = tuple[str, int, int, str | None]


def check_all(names: Iterable[str] = (), n: int = 1000, seed: int = 0, workers: int = 1) -> list[CheckResult]:
    """Check the named theorems (all if none is named) on about `n` instances each."""
    return _map([(key, n, seed, None) for key in _keys(names)], workers)


def check_perturbed(
    names: Iterable[str] = (), n: int = 1000, seed: int = 0, workers: int = 1
) -> list[CheckResult]:
    """Check every false variant of the named theorems; `note` says which variant it was."""
    jobs: list[_Job] = [
        (key, n, seed, variant) for key in _keys(names) for variant in THEOREMS[key].perturbations
    ]
    return [replace(row, note=job[3] or "") for job, row in zip(jobs, _map(jobs, workers), strict=True)]


def render(results: Sequence[CheckResult]) -> str:
    """A line a theorem and a line for all of them."""
    lines = [f"{'':4} {'instances':>10} {'violations':>10} {'worst error':>12} {'seconds':>8}  "]
    for row in results:
        verdict = "holds" if row.holds else "VIOLATED" if row.violations else "NOT TESTED"
        lines.append(
            f"{row.theorem:4} {row.instances:>10,} {row.violations:>10,} {row.worst_error:>12.1e} {row.seconds:>8.2f}  "
            f"{verdict}{'; ' + row.note if row.note else ''}"
        )
    broken = [row.theorem for row in results if not row.holds]
    total = sum(row.instances for row in results)
    lines.append(
        f"{len(results) - len(broken)} of {len(results)} hold over {total:,} instances"
        + (f"; broken: {', '.join(broken)}" if broken else "")
    )
    return "\n".join(lines)


def write_json(path: Path, results: Sequence[CheckResult]) -> None:
    """All results as one JSON file, written whole or not at all."""
    write_whole(path, json.dumps([asdict(row) | {"holds": row.holds} for row in results], indent=1) + "\n")


def _keys(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(theorem(name).id for name in names)) or list(THEOREMS)


def _run(job: _Job) -> CheckResult:
    key, n, seed, variant = job
    overrides = THEOREMS[key].perturbations[variant] if variant is not None else {}
    return THEOREMS[key].check(n, seed, **overrides)


def _map(jobs: list[_Job], workers: int) -> list[CheckResult]:
    if workers < 1:
        raise TheoryError(f"workers: expected at least 1, got {workers}")
    for name, value, least in (("n", jobs[0][1], 1), ("seed", jobs[0][2], 0)):
        if value < least:
            raise TheoryError(f"{name}: expected at least {least}, got {value}")
    workers = min(workers, len(jobs), os.cpu_count() or 1)
    # Starting processes costs more than a small run gains.
    if workers == 1 or sum(job[1] for job in jobs) < 50_000:
        return [_run(job) for job in jobs]
    with deaf_to_ctrl_c(), locks():
        pool = get_context("spawn").Pool(workers)
    with pool:
        return pool.map(_run, jobs, chunksize=1)

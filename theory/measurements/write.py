"""Runs the measurements in processes and writes what they find: tables, comparison, records and a manifest."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

from theory.errors import TheoryError
from theory.files import write_whole
from theory.measurements.base import COMPARISON, Row
from theory.measurements.catalogue import MEASUREMENTS
from theory.measurements.observations import SOURCES
from theory.processes import deaf_to_ctrl_c, locks, single_threaded
from theory.records import Record, write_records
from theory.runs import environment
from theory.spreadsheets import safe

RECORDS = "records"  # what `only` may name besides the measurements


@dataclass(frozen=True)
class Job:
    """What one process does in one go: measurements and record sources that share intermediate results."""

    name: str
    measurements: tuple[str, ...]
    sources: tuple[int, ...]
    seeds: tuple[int, ...]

    @property
    def cost(self) -> float:
        """Relative duration."""
        return sum(MEASUREMENTS[m].cost for m in self.measurements) + sum(
            SOURCES[i].cost for i in self.sources
        )


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    rows: Mapping[str, list[Row]]
    records: Mapping[int, list[Record]]
    seconds: float
    cpu_seconds: float


def run_job(job: Job) -> Done:
    """Pure but for the clock."""
    start, cpu = time.perf_counter(), time.process_time()
    rows = {name: MEASUREMENTS[name].run(job.seeds) for name in job.measurements}
    records = {i: SOURCES[i].records(job.seeds) for i in job.sources}
    return Done(rows, records, time.perf_counter() - start, time.process_time() - cpu)


def write_data(
    out: str | os.PathLike[str], seeds: Iterable[int], only: Sequence[str] | None = None, workers: int = 2
) -> list[Path]:
    """Writes `<measurement>.csv` for each of `only` (default: all, and the records), and returns the paths.

    The files do not depend on `workers`, but for the seconds in manifest.json. Each appears whole as soon as its job
    is done, so an interrupted run keeps what it has finished.
    """
    folder, seeds = Path(out), _checked(seeds)
    if workers < 1:
        raise TheoryError(f"data: found workers {workers}, expected at least 1")
    jobs = plan(seeds, only)
    written: list[Path] = []
    done: dict[str, Done] = {}
    for job, result in _finished(jobs, workers):
        done[job.name] = result
        for name, rows in result.rows.items():
            written.append(_write_table(folder / f"{name}.csv", MEASUREMENTS[name].columns, rows))
    tables = {name: rows for result in done.values() for name, rows in result.rows.items()}
    compared = [row for name, m in MEASUREMENTS.items() if name in tables for row in m.compare(tables[name])]
    written.append(_write_table(folder / "comparison.csv", COMPARISON, compared))
    records = {i: found for result in done.values() for i, found in result.records.items()}
    if records:
        ordered = (record for i in sorted(records) for record in records[i])
        written.append(write_records(folder / "records.jsonl", ordered))
    seconds = {
        name: {"wall": round(result.seconds, 2), "cpu": round(result.cpu_seconds, 2)}
        for name, result in done.items()
    }
    manifest = folder / "manifest.json"
    write_whole(manifest, json.dumps(_manifest(seeds, workers, tables, seconds), indent=2) + "\n")
    return [*written, manifest]


def plan(seeds: tuple[int, ...], only: Sequence[str] | None) -> list[Job]:
    """Jobs, the longest first."""
    names = [*MEASUREMENTS, RECORDS] if only is None else list(dict.fromkeys(only))
    if unknown := [name for name in names if name not in MEASUREMENTS and name != RECORDS]:
        raise TheoryError(
            f"data: no measurement is called {unknown[0]!r}; there are {', '.join([*MEASUREMENTS, RECORDS])}"
        )
    groups: dict[str, tuple[list[str], list[int]]] = {}
    for name in names:
        if name != RECORDS:
            groups.setdefault(MEASUREMENTS[name].module, ([], []))[0].append(name)
    for i, source in enumerate(SOURCES if RECORDS in names else ()):
        groups.setdefault(source.beside, ([], []))[1].append(i)
    jobs = [Job(module, tuple(tables), tuple(sources), seeds) for module, (tables, sources) in groups.items()]
    return sorted(jobs, key=lambda job: -job.cost)


def _finished(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Done]]:
    """Jobs as they finish, in single-threaded processes, with a bar on stderr."""
    from tqdm import tqdm

    with locks():
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    bar = tqdm(total=round(sum(job.cost for job in jobs)), desc="measuring", file=sys.stderr, unit="part")
    try:
        with single_threaded(), deaf_to_ctrl_c():
            futures: dict[Future[Done], Job] = {pool.submit(run_job, job): job for job in jobs}
        for future in as_completed(futures):
            bar.set_postfix_str(futures[future].name)
            bar.update(round(futures[future].cost))
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise OSError("a worker process was killed, perhaps for want of memory; try --workers 1") from None
    except Exception as problem:
        problem.add_note(f"while measuring {bar.postfix}")
        raise
    finally:
        for child in active_children():
            child.terminate()
        pool.shutdown(cancel_futures=True)
        bar.close()


def _checked(seeds: Iterable[int]) -> tuple[int, ...]:
    found = tuple(int(seed) for seed in seeds)
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise TheoryError(
            f"data: found seeds {list(found)[:8]}, expected one or more different integers >= 0"
        )
    return found


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        if set(row) != set(columns):
            raise TheoryError(
                f"{path.name}: found a row with {sorted(row)}, expected the columns {sorted(columns)}"
            )
        writer.writerow([f"{row[c]:.6g}" if isinstance(row[c], float) else safe(row[c]) for c in columns])
    write_whole(path, text.getvalue())
    return path


def _manifest(
    seeds: Sequence[int],
    workers: int,
    tables: Mapping[str, list[Row]],
    seconds: Mapping[str, Mapping[str, float]],
) -> dict[str, object]:
    about = {
        name: {"title": m.title, "rows": len(tables[name]), "worth_drawing": m.worth_drawing}
        for name, m in MEASUREMENTS.items()
        if name in tables
    }
    return {
        **environment(),
        "seeds": list(seeds),
        "workers": workers,
        "seconds": dict(seconds),
        "tables": about,
    }

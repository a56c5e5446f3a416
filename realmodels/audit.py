"""The audit: ask what is missing, then write every row back with what the model knows of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels.audit_found import Found, gather
from realmodels.audit_parts import AUDIT, CONFIG, ENVIRONMENT, NAME, SUMMARY, Parts, Team, team
from realmodels.audit_plan import Asking, Plan, make_plan
from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.rows import Row, RowSet, read_rows
from theory.files import whole_file, write_whole
from theory.runs import environment

if TYPE_CHECKING:
    from realmodels.loading import Loaded

KNOWLEDGE = "knowledge"


@dataclass(frozen=True)
class Job:
    """An audit to be done: which model, on which data, asked how, written where."""

    model: str
    data: str
    output: Path
    asking: Asking
    adapter: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    pool: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch: int | None = None
    allow_code: bool = False
    allow_pickle: bool = False
    overwrite: bool = False
    load_in: str = "none"


@dataclass(frozen=True)
class Done:
    """A finished audit. In a team only the first process has one."""

    found: Found
    summary: dict[str, Any]
    folder: Path


def read_data(job: Job) -> tuple[RowSet, Sequence[Row]]:
    """The rows to audit and those to draw exemplars from, checked before anything is loaded."""
    data = read_rows(job.data, job.mapping, limit=job.limit, on_disk=True)
    if not data.rows:
        raise RealmodelsError(f"{job.data}: no rows in it; expected at least one question")
    if KNOWLEDGE in data.columns:
        taken = next(row for row in data.rows if KNOWLEDGE in row.original)
        raise RealmodelsError(
            f"{taken.at}: field '{KNOWLEDGE}' is there already and the audit would write it; "
            "rename it, or write this file with `filter` without --with-knowledge"
        )
    if "popularity" in job.asking.signals and all(row.popularity is None for row in data.rows):
        raise RealmodelsError(f"{job.data}: field 'popularity': no row has any; say --map popularity=COLUMN")
    pool = read_rows(job.pool, job.mapping, on_disk=True).rows if job.pool else data.rows
    return data, pool


def run_audit(job: Job, progress: bool = True) -> Done | None:
    """Do what is missing of the job and write its files; the same files after any number of kills and restarts."""
    data, pool = read_data(job)
    parts = Parts(job.output, team())
    with parts.held():
        _check_folder(job)
        from realmodels.loading import load, precision

        loaded = load(
            job.model,
            adapter=job.adapter,
            dtype=job.dtype,
            device=_device(job.device, parts.team),
            allow_code=job.allow_code,
            allow_pickle=job.allow_pickle,
            load_in=job.load_in,
            options=("--load-in",),
        )
        loaded = replace(loaded, fingerprint=_called(job, loaded.fingerprint))
        model = {"fingerprint": loaded.fingerprint, "dtype": precision(loaded.dtype, job.load_in)}
        plan = make_plan(data.rows, pool, job.asking, model)
        if parts.team.rank == 0:
            _begin(job, loaded.fingerprint, parts)
        parts.refresh()
        _work(job, loaded, plan, parts, progress)
        if parts.team.rank:
            return None
        order = plan.order()
        parts.wait(order)
        parts.settle(order)
        found = gather(plan, parts)
        summary = _summary(job, data, loaded, plan, found)
        _write(job.output, data.rows, found, summary)
        return Done(found, summary, job.output)


def _check_folder(job: Job) -> None:
    """An audit of something else is not written over."""
    path = job.output / CONFIG
    if job.overwrite or not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = {name: before[name] for name in ("model", "adapter", "data")}
    except UNREADABLE:
        raise RealmodelsError(
            f"{path}: expected model, adapter and data of an audit; say --overwrite"
        ) from None
    for name, value in _about(job).items():
        if same[name] != value:
            raise RealmodelsError(
                f"{path}: field '{name}': the folder holds an audit with {same[name]!r}, not {value!r}; "
                "choose another --output-dir, or drop it with --overwrite"
            )


def recorded(folder: Path) -> str:
    """The fingerprint of the weights that an earlier run found; nothing where none is told."""
    try:
        return str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, *UNREADABLE):
        return ""


def _called(job: Job, today: str) -> str:
    """An earlier version that began the folder may have called the same weights otherwise: its answers stay."""
    from realmodels.fingerprints import fingerprints

    begun = "" if job.overwrite else recorded(job.output)
    if begun in ("", today):
        return today
    return begun if begun in fingerprints(job.model, job.adapter) else today


def _begin(job: Job, fingerprint: str, parts: Parts) -> None:
    """Leave word of whose folder this is, and drop what came of other weights."""
    config = {**_about(job), "fingerprint": fingerprint}
    path, text = job.output / CONFIG, json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text and not job.overwrite:
        raise RealmodelsError(
            f"{path}: field 'fingerprint': the weights of {job.model} have changed since this folder was begun; "
            "choose another --output-dir, or drop it with --overwrite"
        )
    if job.overwrite and parts.team.size > 1:
        raise RealmodelsError("--overwrite: not among several processes; empty the folder first")
    if job.overwrite:
        for old in (
            *map(job.output.joinpath, (NAME, AUDIT, SUMMARY)),
            *job.output.glob("generations.rank-*.jsonl"),
        ):
            old.unlink(missing_ok=True)
    if job.overwrite or not path.exists():
        write_whole(job.output / ENVIRONMENT, json.dumps(environment(), indent=1) + "\n")
        write_whole(path, text)


def _about(job: Job) -> dict[str, str | None]:
    """Models and data that are files go by their place, others by their name."""

    def named(name: str) -> str:
        return str(Path(name).resolve()) if Path(name).exists() else name

    return {
        "model": named(job.model),
        "adapter": named(job.adapter) if job.adapter else None,
        "data": named(job.data),
    }


def _work(job: Job, loaded: Loaded, plan: Plan, parts: Parts, progress: bool) -> None:
    """Ask every piece of ours that is not wholly there."""
    from tqdm import tqdm

    from realmodels.audit_ask import ask, check_lengths

    backend = None
    if not parts.has(plan.order()):
        check_lengths(loaded, plan)
        if plan.asking.backend == "vllm":
            from realmodels.backends import VllmBackend

            backend = VllmBackend(job.model, dtype=loaded.dtype, trust_remote_code=job.allow_code)
        if parts.team.rank == 0:
            _retire(job.output)
    total = sum(len(piece.rows) for piece in plan.pieces)
    quiet = not progress or parts.team.rank > 0 or not sys.stderr.isatty()
    with tqdm(total=total, unit="answers", desc=job.model[-40:], disable=quiet, file=sys.stderr) as bar:
        for number, piece in enumerate(plan.pieces):
            if parts.team.mine(number) and not parts.has(piece.keys):
                parts.put(ask(loaded, plan, piece, job.batch, backend))
            bar.update(len(piece.rows))
    parts.refresh()


def _device(device: str, team: Team) -> str:
    """In a team every process has the accelerator of its own number on this machine."""
    if team.size == 1 or device != "auto":
        return device
    import os

    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(os.environ.get('LOCAL_RANK') or team.rank) % count}" if count else device


def _summary(job: Job, data: RowSet, loaded: Loaded, plan: Plan, found: Found) -> dict[str, Any]:
    from realmodels.audit_report import first_prompt, summarise
    from realmodels.loading import precision

    source = {
        "path": job.data,
        "kind": data.kind,
        "columns": list(data.columns),
        "names": dict(job.mapping),
        "adapter": data.adapter,
        "rows": len(data.rows),
        "fingerprint": data.fingerprint,
    }
    model = {
        "name": job.model,
        "adapter": job.adapter,
        "fingerprint": loaded.fingerprint,
        "dtype": precision(loaded.dtype, job.load_in),
    }
    return {
        "source": source,
        "model": model,
        **summarise(plan, found),
        "first_prompt": first_prompt(plan),
    }


def _write(folder: Path, rows: Sequence[Row], found: Found, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    before = folder / SUMMARY
    if before.exists() and before.read_bytes() != text.encode():
        _retire(folder)
    with whole_file(folder / AUDIT) as out:
        for row, known in zip(rows, found.knowledge(), strict=True):
            line = {**row.original, KNOWLEDGE: known}
            out.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    write_whole(folder / SUMMARY, text)


def _retire(folder: Path) -> None:
    """What an older audit found does not stand beside unfinished work on a newer one."""
    for name in (AUDIT, SUMMARY):
        (folder / name).unlink(missing_ok=True)

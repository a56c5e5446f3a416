"""Looking into a model before and after each adapter, on one base; an adapter that is done is not done again."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels import attend_measure as measure
from realmodels.attend_heads import layers_of
from realmodels.attend_probe import cross_scores
from realmodels.attend_sheet import Looks, Sheet, make_sheet
from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.eval_prompts import Prompt
from realmodels.eval_run import lab_of
from realmodels.eval_strata import strata_of
from realmodels.eval_tasks import Task
from realmodels.resident import Resident, Tuned
from theory.files import sweep, write_whole
from theory.runs import config_hash, environment, locked

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Line = dict[str, Any]
Say = Callable[[str], None]

PROBES = ("attention", "swap", "knockout", "belief")
CONFIG, ARM, ITEMS = "attend.json", "arm.json", "items.jsonl"
FOREIGN = ("audit.jsonl", "eval.json", "train.json", "records.jsonl")  # what is not written over
DEEP = 2 / 3  # of the layers, where statements are probed unless told otherwise
WINDOWS = 6  # into so many windows layers are cut unless told otherwise


@dataclass(frozen=True)
class Job:
    """What is looked at, and how. `window`: layers that are blinded together; `layer`: whose states are probed, from 1;
    `cut`: items by which the heads are found that read the subject (0: they are not looked for)."""

    model: str
    adapters: tuple[str, ...]
    task: Task
    prompts: tuple[Prompt, ...]
    output: Path
    looks: Looks
    probes: tuple[str, ...] = PROBES
    window: int | None = None
    layer: int | None = None
    cut: int = 32
    longest: int = 16
    batch: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    allow_code: bool = False
    allow_pickle: bool = False
    overwrite: bool = False
    load_in: str = "none"


@dataclass(frozen=True, eq=False)
class Attended:
    """One model's items under each prompt, and of each prompt what is no item's: the heads' means, the cost of cuts and
    the heads that read, as [layer, head] from 1 and 0."""

    who: Tuned
    lines: Mapping[str, list[Line]]
    about: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Done:
    job: Job
    arms: tuple[Attended, ...]
    lab: str

    @property
    def run(self) -> str:
        return self.job.output.resolve().name


def run_attend(job: Job, say: Say | None = None, keep: Callable[[Done], object] | None = None) -> Done:
    """Look at the base, then at every adapter; what is there already is read. All is kept (`keep`) while nobody else
    works on the folder."""
    say = say or (lambda text: print(text, file=sys.stderr))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RealmodelsError("attend: runs in one process; start it without torchrun or accelerate")
    resident = Resident(
        job.model,
        dtype=job.dtype,
        device=job.device,
        allow_code=job.allow_code,
        allow_pickle=job.allow_pickle,
        load_in=job.load_in,
        options=("--load-in",),
    )
    tuned = resident.tuned(job.adapters)
    key = _key(job, tuned[0])
    job.output.mkdir(parents=True, exist_ok=True)
    with locked(job.output / ".lock"):
        sweep(job.output, *(job.output / who.name for who in tuned))
        _begin(job, key)
        arms: list[Attended] = []
        sheets: list[Sheet] = []
        for who in tuned:
            own = config_hash({"settings": key, "fingerprint": who.fingerprint})
            if (found := _finished(job, who, own)) is not None:
                say(f"{who.name}: finished before, kept")
                arms.append(found)
                continue
            if not sheets:
                layers_of(resident.base())
                sheets = sheets_of(resident.base(), job)
            with resident.wearing(who) as loaded:
                readers = [
                    _flags(loaded, arms[0].about[sheet.prompt.name]) if arms else None for sheet in sheets
                ]
                found = Attended(who, *_look(loaded, job, sheets, readers, say, who.name))
            _keep(job, found, own)
            arms.append(found)
        done = Done(job, tuple(arms), lab_of(job))  # type: ignore[arg-type]  # it reads how the model is loaded
        if keep is not None:
            keep(done)
    return done


def sheets_of(loaded: Loaded, job: Job) -> list[Sheet]:
    found = [make_sheet(loaded.tokens, job.task, prompt, job.looks) for prompt in job.prompts]
    if not found[0].seen and {"attention", "knockout"} & set(job.probes):
        raise RealmodelsError(
            f"{job.task.source}: of {len(job.task.rows)} questions none holds its subject, so there is nothing to "
            "look for; give the rows a column subject, or --map subject=COLUMN"
        )
    return found


def windows_of(job: Job, layers: int) -> dict[str, tuple[int, ...]]:
    """Layers that are blinded together, by name, the name counting from 1; all of them last."""
    width = job.window or -(-layers // WINDOWS)
    if not 1 <= width <= layers:
        raise RealmodelsError(f"--window {width}: the model has {layers} layers")
    cuts = [tuple(range(a, min(a + width, layers))) for a in range(0, layers, width)]
    named = {f"{own[0] + 1}-{own[-1] + 1}" if len(own) > 1 else f"{own[0] + 1}": own for own in cuts}
    return named if len(cuts) == 1 else {**named, "all": tuple(range(layers))}


def layer_of(job: Job, layers: int) -> int:
    layer = job.layer or max(1, round(DEEP * layers))
    if not 1 <= layer <= layers:
        raise RealmodelsError(f"--layer {layer}: the model has layers 1 to {layers}")
    return layer


def look(
    loaded: Loaded, job: Job, sheet: Sheet, strata: Sequence[Mapping[str, str]], readers: Any = None
) -> tuple[list[Line], dict[str, Any]]:
    """One model under one prompt: a line an item, and what is no item's. Without `readers` [layers, heads] these are
    found, by `job.cut` items."""
    layers = len(layers_of(loaded))
    said = measure.ask(loaded, sheet, job.longest, job.batch)
    lines: list[Line] = [
        {
            "id": row.id,
            "prompt": sheet.prompt.name,
            "subject": row.subject,
            "relation": row.relation,
            "subject_tokens": sheet.spans[i],
            "strata": dict(own),
            "right": bool(said.right[i]),
            "logprob": float(said.logprob[i]),
            "said": said.said[i],
        }
        for i, (row, own) in enumerate(zip(sheet.rows, strata, strict=True))
    ]
    about: dict[str, Any] = {}
    if "attention" in job.probes:
        about |= _attention(loaded, job, sheet, lines, readers)
    if "swap" in job.probes:
        _swap(loaded, job, sheet, lines, said)
    if "knockout" in job.probes:
        _knockout(loaded, job, sheet, lines, windows_of(job, layers))
    if "belief" in job.probes:
        about |= _belief(loaded, job, sheet, lines, layer_of(job, layers))
    return lines, about


def _look(
    loaded: Loaded, job: Job, sheets: Sequence[Sheet], readers: Sequence[Any], say: Say, who: str
) -> tuple[dict[str, list[Line]], dict[str, dict[str, Any]]]:
    strata = strata_of(job.task)
    lines, about = {}, {}
    for sheet, heads in zip(sheets, readers, strict=True):
        name = sheet.prompt.name
        say(f"{who}, {name}: {len(sheet.rows)} questions, the subject found in {len(sheet.seen)}")
        lines[name], about[name] = look(loaded, job, sheet, strata, heads)
    return lines, about


def _attention(loaded: Loaded, job: Job, sheet: Sheet, lines: Sequence[Line], readers: Any) -> dict[str, Any]:
    gaze = measure.gaze(loaded, sheet, job.batch)
    about: dict[str, Any] = {
        "heads": {
            "mass": np.nanmean(gaze.mass, axis=0).tolist(),
            "rest": np.nanmean(gaze.rest, axis=0).tolist(),
        }
    }
    if readers is None and job.cut:
        cost = measure.cost_of_cuts(loaded, sheet, sheet.seen[: job.cut], job.batch)
        readers = measure.reading_heads(cost)
        about["cost"] = cost.tolist()
    if readers is not None:
        about["readers"] = [[int(k) + 1, int(h)] for k, h in np.argwhere(readers)]
    for i in sheet.seen:
        lines[i]["attention"] = {
            "mass": gaze.mass[i].mean(axis=1).tolist(),
            "rest": gaze.rest[i].mean(axis=1).tolist(),
            "readers": None if readers is None else float(gaze.mass[i][readers].mean()),
        }
    return about


def _swap(loaded: Loaded, job: Job, sheet: Sheet, lines: Sequence[Line], said: measure.Said) -> None:
    if not sheet.swaps:
        return
    other = measure.ask(loaded, sheet, job.longest, job.batch, swaps=True)
    for k, text in enumerate(sheet.swaps):
        i = text.item
        found = lines[i].setdefault(
            "swap",
            {"subjects": list(sheet.others[i]), "said": [], "logprob": [], "first_kept": [], "changed": []},
        )
        found["said"].append(other.said[k])
        found["logprob"].append(float(other.logprob[k]))
        found["first_kept"].append(bool(other.first[k] == said.first[i]))
        found["changed"].append(other.said[k] != said.said[i])


def _knockout(
    loaded: Loaded, job: Job, sheet: Sheet, lines: Sequence[Line], windows: Mapping[str, Sequence[int]]
) -> None:
    for way in measure.WAYS:
        found = measure.knocked_out(loaded, sheet, [(), *windows.values()], way, job.batch)
        for i in sheet.seen:
            # against the same reading with nobody blinded: rounding, too, is then the same
            lines[i].setdefault("knockout", {})[way] = {
                name: [bool(right), float(chance)]
                for name, (right, chance) in zip(("none", *windows), found[i], strict=True)
            }


def _belief(loaded: Loaded, job: Job, sheet: Sheet, lines: Sequence[Line], layer: int) -> dict[str, Any]:
    told = measure.statements(loaded, sheet, layer, job.batch)
    fold = np.array([sheet.fold[i] for i in told.items], np.int64)
    scores = cross_scores(told.states[:, 0], told.states[:, 1], fold)
    for k, i in enumerate(told.items):
        lines[i]["belief"] = {
            "wrong": sheet.wrong[i],
            "fold": int(fold[k]),
            "score": None if np.isnan(scores[k]).any() else scores[k].tolist(),
            "logprob": told.logprob[k].tolist(),
        }
    return {
        "probe": {
            "layer": layer,
            "labels": 2 * len(told.items),
            "folds": len(set(fold.tolist())),
            "by": "subject",
        }
    }


def _flags(loaded: Loaded, about: Mapping[str, Any]) -> Any:
    if "readers" not in about:
        return None
    found = np.zeros((len(about["heads"]["mass"]), len(about["heads"]["mass"][0])), bool)
    for layer, head in about["readers"]:
        found[layer - 1, head] = True
    return found


def _key(job: Job, base: Tuned) -> str:
    """Of all that results depend on, but the adapters."""
    from realmodels.loading import pick_dtype, precision

    said = {name: getattr(job, name) for name in ("probes", "window", "layer", "cut", "longest")}
    return config_hash(
        {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in said.items()},
            "model": base.fingerprint,
            "dtype": precision(pick_dtype(job.dtype, job.device), job.load_in),
            "prompts": [prompt.name for prompt in job.prompts],
            "looks": asdict(job.looks),
            "rows": [question.hash for question in job.task.questions],
            "strata": [dict(own) for own in strata_of(job.task)],
            "pool": [[row.question, list(row.answers)] for row in job.task.pool],
        }
    )


def _begin(job: Job, key: str) -> None:
    path = job.output / CONFIG
    if path.exists() and not job.overwrite:
        try:
            same = json.loads(path.read_text(encoding="utf-8"))["key"] == key
        except UNREADABLE:
            raise RealmodelsError(
                f"{path}: is no `attend` run's; choose another --output-dir, or --overwrite"
            ) from None
        if not same:
            raise RealmodelsError(
                f"{job.output}: was made with another model, other rows or other settings; choose another "
                "--output-dir, or drop it with --overwrite"
            )
        return
    for name in FOREIGN:
        if not path.exists() and (job.output / name).exists():
            raise RealmodelsError(
                f"{job.output}: holds {name} of another command; choose another --output-dir"
            )
    if job.overwrite:
        for old in job.output.glob(f"*/{ARM}"):
            old.unlink()
    write_whole(job.output / "environment.json", json.dumps(environment(), indent=1) + "\n")
    about = {"key": key, "model": job.model, "data": job.task.source}
    # a name that is no text ends it here
    write_whole(path, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def _keep(job: Job, found: Attended, key: str) -> None:
    """Its items, then word that they are all there."""
    folder = job.output / found.who.name
    lines = [line for some in found.lines.values() for line in some]
    write_whole(
        folder / ITEMS, "".join(json.dumps(x, ensure_ascii=False, allow_nan=False) + "\n" for x in lines)
    )
    said = {"key": key, "adapter": found.who.path, "trained_on": found.who.arm, "prompts": found.about}
    write_whole(folder / ARM, json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _finished(job: Job, who: Tuned, key: str) -> Attended | None:
    folder = job.output / who.name
    try:
        said = json.loads((folder / ARM).read_text(encoding="utf-8"))
        if said["key"] != key:
            return None
        text = (folder / ITEMS).read_text(encoding="utf-8")
        lines: dict[str, list[Line]] = {prompt.name: [] for prompt in job.prompts}
        for line in text.splitlines():
            one = json.loads(line)
            lines[one["prompt"]].append(one)
        if any(len(some) != len(job.task.rows) for some in lines.values()):
            return None
    except (OSError, *UNREADABLE):
        return None
    return Attended(who, lines, said["prompts"])

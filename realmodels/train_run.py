"""A training run: one adapter, or one an arm, after each other on one base that is loaded once."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.prompting import style_named
from realmodels.recipe import Recipe

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.parallel import Crew
    from realmodels.train_rows import TrainSet

ABOUT = "train.json"
RECORDS = "records.jsonl"
OPTIONS = ("--load-in", "--shard")  # of `train`, for what no device holds
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Arm:
    """Rows to train on and the folder that its adapter goes to."""

    name: str
    data: str
    folder: Path


@dataclass(frozen=True)
class Job:
    """What one `train` command does. `held_out` are rows to look at while training."""

    model: str
    arms: tuple[Arm, ...]
    output: Path
    recipe: Recipe = field(default_factory=Recipe)
    held_out: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    allow_code: bool = False
    allow_pickle: bool = False
    overwrite: bool = False
    load_in: str = "none"
    shard: bool = False


@dataclass(frozen=True)
class Trained:
    """A finished adapter; `about` is its train.json; `fresh` if it was trained just now."""

    arm: Arm
    about: dict[str, Any]
    fresh: bool


def arms_of(words: tuple[str, ...], output: Path) -> tuple[Arm, ...]:
    """name=file -> an arm in its own folder under `output`."""
    found: list[Arm] = []
    for word in words:
        name, equals, data = word.partition("=")
        if not equals or not data:
            raise RealmodelsError(f"--arm {word!r}: expected NAME=FILE, such as known=arms/known.jsonl")
        if not _NAME.fullmatch(name):
            raise RealmodelsError(
                f"--arm {word!r}: '{name}' cannot be its name (letters, digits, '.', '_', '-', '+')"
            )
        if name in {arm.name for arm in found}:
            raise RealmodelsError(f"--arm {word!r}: there are two arms by the name of '{name}'")
        found.append(Arm(name, data, output / name))
    return tuple(found)


def lone_arm(data: str, output: Path) -> Arm:
    """A single file, trained into `output` itself."""
    words = "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "-" for c in Path(data).name)
    return Arm(words.partition(".")[0].lstrip("._+-") or "rows", data, output)


def run_train(job: Job, say: Callable[[str], None] | None = None) -> list[Trained]:
    """Train what is not trained yet. All rows are read before the model is loaded."""
    from realmodels.parallel import check_own, crew, own_device

    with crew(job.device) as team:
        check_own(job.device)
        quiet: Callable[[str], None] = lambda text: None  # noqa: E731
        aloud: Callable[[str], None] = say or (lambda text: print(text, file=sys.stderr))
        return _run(replace(job, device=own_device(job.device)), team, aloud if team.first else quiet)


def _run(job: Job, team: Crew, say: Callable[[str], None]) -> list[Trained]:
    from realmodels.fingerprints import fingerprints
    from realmodels.loading import load_tokens, pick_device
    from realmodels.places import find
    from realmodels.sharded import check_sharing
    from theory.runs import config_hash

    dtype = _dtype(job)
    if job.shard:
        check_sharing(job.load_in, pick_device(job.device))
    place = find(job.model)
    place.check_weights(job.allow_pickle)
    source, *earlier = fingerprints(job.model)
    longest = _longest(job)
    tokens, style = load_tokens(job.model, allow_code=job.allow_code), style_named(job.recipe.style)
    sets = [_read(job, arm.data, tokens, style, longest) for arm in job.arms]
    held = _read(job, job.held_out, tokens, style, longest, held=True) if job.held_out else None
    if job.recipe.patience and held is None:
        raise RealmodelsError("recipe: patience: it waits for held-out rows; give --held-out FILE")
    lab = _lab(job)
    loaded: Loaded | None = None
    done: list[Trained] = []
    for arm, data in zip(job.arms, sets, strict=True):
        what = {
            "recipe": asdict(job.recipe),
            "model": source,
            "dtype": dtype,
            "rows": data.fingerprint,
            "held_out": held.fingerprint if held else None,
        }
        if job.load_in != "none":
            what["load_in"] = job.load_in
        key = config_hash(what)
        keys = (key, *(config_hash({**what, "model": name}) for name in earlier))
        arm.folder.mkdir(parents=True, exist_ok=True)
        with team.locked(arm.folder / ".lock"):
            if (about := team.told(_finished(arm, keys, job.overwrite) if team.first else None)) is not None:
                say(f"{arm.name}: finished before, kept")
                done.append(Trained(arm, about, False))
                continue
            if loaded is None:
                loaded = _base(job, dtype)
            try:
                with team.place(arm.folder, "checkpoint") as folder:
                    about = _train(job, replace(arm, folder=folder), data, held, loaded, key, lab, say)
            except RealmodelsError as wrong:
                kept = ", ".join(one.arm.name for one in done)
                raise RealmodelsError(
                    f"arm {arm.name}: {wrong}" + (f"; finished and kept: {kept}" if kept else "")
                ) from wrong
            done.append(Trained(arm, about, True))
    return done


def _base(job: Job, dtype: str) -> Loaded:
    from realmodels.loading import load, pick_device
    from realmodels.sharded import load_shared

    opened: dict[str, Any] = {"allow_code": job.allow_code, "allow_pickle": job.allow_pickle}
    if job.shard:
        return load_shared(job.model, dtype=dtype, device=pick_device(job.device), **opened)
    opened |= {} if job.load_in == "none" else {"load_in": job.load_in}
    return load(job.model, dtype=dtype, device=job.device, options=OPTIONS, **opened)


def train_quietly(job: Job) -> list[Trained]:
    """`run_train` on another machine, whose devices decide what `auto` is there: what it trained comes back."""
    return run_train(job)


def _train(
    job: Job,
    arm: Arm,
    data: TrainSet,
    held: TrainSet | None,
    loaded: Loaded,
    key: str,
    lab: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    from realmodels.fingerprints import of_base
    from realmodels.train_loop import drop_checkpoint, train_adapter
    from realmodels.train_watch import Label, Watch
    from theory.files import write_whole
    from theory.runs import environment

    label = Label(lab, job.output.resolve().name or "train", job.recipe.seed, arm.name)
    watch = Watch(arm.folder / RECORDS, label, job.recipe, lambda text: say(f"{arm.name}: {text}"))
    end = train_adapter(loaded, data, job.recipe, arm.folder, key, watch, held, OPTIONS)
    seen = end.seen
    about = {
        "arm": arm.name,
        "data": arm.data,
        "rows": len(data),
        "answer_tokens": data.answer_tokens,
        "data_fingerprint": data.fingerprint,
        "held_out": job.held_out,
        **of_base(loaded),
        "dtype": loaded.dtype,
        "device": loaded.device,
        "load_in": job.load_in,
        "shard": job.shard,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "recipe": asdict(job.recipe),
        "key": key,
        "initial_hash": end.initial_hash,
        "final_hash": end.final_hash,
        "adapter_weights": end.weights,
        "steps": end.steps,
        "kept_step": end.kept_step,
        "last_loss": seen["last_loss"],
        "looks": [{"step": int(step), "exact_match": share} for step, share in seen["looks"]],
        "real_tokens": seen["real_tokens"],
        "seconds_in_steps": round(seen["seconds"], 3),
        "real_tokens_per_second": round(seen["real_tokens"] / seen["seconds"], 1)
        if seen["seconds"]
        else None,
        "environment": environment(),
    }
    write_whole(arm.folder / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    drop_checkpoint(arm.folder)
    return about


def _finished(arm: Arm, keys: Sequence[str], overwrite: bool) -> dict[str, Any] | None:
    """What its train.json says, if this very adapter is there, also by a key of earlier versions; of another one there
    must be nothing. What a killed process was still writing, or had not yet dropped, goes."""
    from realmodels.adapters import CONFIG, WEIGHTS
    from realmodels.train_loop import CHECKPOINT, drop_checkpoint
    from theory.files import sweep

    sweep(arm.folder, arm.folder / CHECKPOINT)
    path = arm.folder / ABOUT
    if overwrite:
        for old in (path, arm.folder / CONFIG, arm.folder / WEIGHTS, arm.folder / RECORDS):
            old.unlink(missing_ok=True)
        drop_checkpoint(arm.folder)
        return None
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        same = about["key"] in keys
    except UNREADABLE:
        raise RealmodelsError(
            f"{path}: cannot be read; restore it, or start afresh with --overwrite"
        ) from None
    if not same:
        raise RealmodelsError(
            f"{arm.folder}: holds an adapter of other rows, another recipe or another model; choose another folder, "
            "or start afresh with --overwrite"
        )
    if not ((arm.folder / WEIGHTS).exists() and (arm.folder / CONFIG).exists()):
        return None
    drop_checkpoint(arm.folder)
    return dict(about)


def _read(job: Job, source: str, tokens: Any, style: Any, longest: int, held: bool = False) -> TrainSet:
    from realmodels.train_rows import read_train

    return read_train(source, tokens, style, job.mapping, longest=longest, limit=None if held else job.limit)


def _longest(job: Job) -> int:
    from realmodels.card import describe

    context = describe(job.model, allow_code=job.allow_code, device=job.device, dtype=job.dtype).context
    return min(context, job.recipe.max_tokens or context)


def _lab(job: Job) -> str:
    from realmodels.eval_run import lab_of

    return lab_of(job)  # type: ignore[arg-type]  # it reads the model's name and how it is loaded, as here


def _dtype(job: Job) -> str:
    """Half precision without bfloat16's range loses small gradients."""
    from realmodels.loading import pick_dtype

    kind = pick_dtype(job.dtype, job.device)
    if job.dtype == "float16":
        raise RealmodelsError("--dtype float16: gradients vanish in it; take bfloat16 or float32")
    return "float32" if kind == "float16" else kind

"""Arms trained on one base and asked on the way: a finished arm is a file named by what decides it, so that neither a
second start, nor another study, nor a second process does it again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.recipe import Recipe
from realmodels.rows import Row
from realmodels.study_exam import Exam, Sat, sit, write_rows
from realmodels.study_table import Order, Say
from theory.errors import TheoryError
from theory.files import sweep_of, write_whole
from theory.runs import config_hash, locked

if TYPE_CHECKING:
    from realmodels.loading import Loaded

FORM = 1  # of the files; another one does not read this one's
START, EARLY, END = "start", "early", "end"


@dataclass(frozen=True, eq=False)
class Arm:
    """What is trained and asked. Without rows it is the untuned base.

    `dev` chooses the early stop and is looked at every `recipe.eval_every` steps; `exams` (split, exam) are asked at
    the steps `along` and, each under its `prompts`, at the early stop and at the end, where answers are written out.
    The rows themselves are asked too, as split train. `hook` is a "module:function" called with the loaded model, this
    arm and `start`, `early` or `end`; the plain values it returns are kept.
    """

    name: str
    seed: int
    rows: tuple[Row, ...]
    recipe: Recipe
    dev: Exam
    exams: tuple[Exam, ...]
    prompts: Mapping[str, tuple[str, ...]]  # by split
    along: tuple[int, ...] = ()
    longest: int = 12
    hook: str = ""

    def key(self, model: str, dtype: str) -> str:
        """Of everything that decides its result; names do not."""
        what = {
            "form": FORM,
            "model": model,
            "dtype": dtype,
            "rows": [[row.question, *row.answers] for row in self.rows],
            "recipe": asdict(self.recipe) if self.rows else self.recipe.style,
            "dev": self.dev.fingerprint,
            "exams": [exam.fingerprint for exam in self.exams],
            "prompts": {split: list(prompts) for split, prompts in self.prompts.items()},
            "along": list(self.along),
            "longest": self.longest,
            "hook": self.hook,
        }
        return config_hash(what)

    def __str__(self) -> str:
        return f"seed {self.seed} {self.name}" if self.rows else "the untuned base"


@dataclass(frozen=True, eq=False)
class Result:
    """What was found: `dev` by step, answers by (step, split, prompt), and where the stops are."""

    key: str
    steps: int
    early: int
    dev: Mapping[int, float]
    asked: Mapping[tuple[int, str, str], Sat]
    extra: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def stops(self) -> tuple[int, ...]:
        """Early stop and end, or one if they are the same."""
        return (self.early, self.steps) if self.early < self.steps else (self.steps,)

    def extra_at(self, step: int) -> Mapping[str, Any]:
        """What the hook left at a stop, or of the untuned model."""
        name = START if not self.steps else END if step == self.steps else EARLY
        return dict(self.extra.get(name, {}))

    @cached_property
    def seconds(self) -> float:
        return float(self.about.get("seconds", 0.0))


def results_of(order: Order, arms: Sequence[Arm], say: Say) -> list[Result]:
    """A result for every arm; what is not there yet is made, by `order.workers` processes or jobs side by side."""
    from realmodels.executor import spread
    from realmodels.study_workers import elsewhere, helped

    folder, keys = shared_folder(order), keys_of(order, arms)
    todo = {key: arm for key, arm in zip(keys, arms, strict=True) if not _path(folder, key).exists()}
    if todo:
        folder.mkdir(parents=True, exist_ok=True)
        if not order.executor.local:
            count = min(order.workers, len(todo))
            shares = [dict(list(todo.items())[k::count]) for k in range(count)]
            spread(elsewhere, [(order, share) for share in shares], order.executor, say)
        else:
            with helped(order, todo):
                work(order, todo, say)
    return [read_result(_path(folder, key)) for key in keys]


def keys_of(order: Order, arms: Sequence[Arm], *, fetch: bool = True) -> list[str]:
    """Nothing is loaded for it, and without `fetch` nothing fetched. An arm that an earlier version finished keeps the
    key that it had."""
    from realmodels.fingerprints import fingerprints

    models, dtype, folder = fingerprints(order.model, fetch=fetch), train_dtype(order), shared_folder(order)
    every = ([arm.key(model, dtype) for model in models] for arm in arms)
    return [next((key for key in keys if _path(folder, key).exists()), keys[0]) for keys in every]


def finished(order: Order, arms: Sequence[Arm]) -> list[bool]:
    """For a plan: of a model that is not on this machine none is."""
    return [_path(shared_folder(order), key).exists() for key in keys_of(order, arms, fetch=False)]


def shared_folder(order: Order) -> Path:
    """Where finished arms lie: beside the study's folder, so that another study finds them."""
    return order.shared or order.output.resolve().parent / "arms"


def train_dtype(order: Order) -> str:
    """Adapters are float32 whatever the base is; a base in float16 loses small gradients."""
    from realmodels.loading import pick_dtype

    if order.dtype == "float16":
        raise RealmodelsError("--dtype float16: gradients vanish in it; take bfloat16 or float32")
    kind = pick_dtype(order.dtype, order.device)
    return "float32" if kind == "float16" else kind


def work(order: Order, todo: Mapping[str, Arm], say: Say) -> None:
    """Make what has no result and is not being made by another process, until nothing is left."""
    folder, start = shared_folder(order), time.perf_counter()
    loaded: Loaded | None = None
    while left := [key for key in todo if not _path(folder, key).exists()]:
        made = False
        for key in left:
            with ExitStack() as stack:
                if not _mine(folder, key, stack):
                    continue
                sweep_of(_path(folder, key))
                if _path(folder, key).exists():  # finished by another process a moment ago
                    if not order.keep_adapters:
                        shutil.rmtree(folder / key, ignore_errors=True)
                    continue
                loaded = loaded or _load(order)
                began = time.perf_counter()
                _make(order, loaded, todo[key], key, folder)
                made = True
                done = sum(_path(folder, one).exists() for one in todo)
                left_over = (time.perf_counter() - start) / done * (len(todo) - done)
                say(
                    f"{todo[key]}: {time.perf_counter() - began:.0f} s; {done} of {len(todo)}, "
                    f"about {left_over / 60:.0f} min left"
                )
        if not made:
            time.sleep(0.5)


def _make(order: Order, loaded: Loaded, arm: Arm, key: str, folder: Path) -> None:
    from realmodels.fingerprints import leave_word

    scratch, began = folder / key, time.perf_counter()
    hook = hook_named(arm.hook)
    before = _without_hook(order, arm, folder) if hook else None
    if not arm.rows:
        asked = before["asked"] if before else _ask(loaded, arm, 0, (arm.dev, *arm.exams), write=True)
        extra = {START: hook(loaded, arm, START)} if hook else {}
        said: dict[str, Any] = {"steps": 0, "early": 0, "dev": [], "asked": asked, "extra": extra}
    else:
        said = _train(order, loaded, arm, key, scratch, hook, before)
        if order.keep_adapters:
            leave_word(scratch, loaded, arm.name, arm.recipe, said["steps"])
    about = {
        "arm": arm.name,
        "seed": arm.seed,
        "rows": len(arm.rows),
        "dtype": loaded.dtype,
        "device": loaded.device,
    }
    about |= said.pop("about", {}) | {"seconds": round(time.perf_counter() - began, 2)}
    write_whole(
        _path(folder, key), json.dumps({"key": key, "about": about, **said}, ensure_ascii=False) + "\n"
    )
    if not order.keep_adapters or not arm.rows:
        shutil.rmtree(scratch, ignore_errors=True)


def _without_hook(order: Order, arm: Arm, folder: Path) -> dict[str, Any] | None:
    """What the same arm was found to answer when its hook was not wanted yet."""
    path = _path(folder, keys_of(order, [replace(arm, hook="")])[0])
    if not path.exists():
        return None
    read_result(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _train(
    order: Order,
    loaded: Loaded,
    arm: Arm,
    key: str,
    scratch: Path,
    hook: Callable[..., Any] | None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train and ask. With what the same arm answered `before`, only the hook is called; if the adapter is not that one
    to the bit (another machine), it is all done again."""
    from realmodels.prompting import style_named
    from realmodels.study_watch import Looking
    from realmodels.train_loop import drop_checkpoint, train_adapter
    from realmodels.train_rows import read_train

    style = style_named(arm.recipe.style)
    for name, rows in (("rows", arm.rows), ("dev", arm.dev.rows)):
        write_rows(scratch / f"{name}.jsonl", rows)
    limit = arm.recipe.max_tokens or loaded.model.config.get_text_config().max_position_embeddings
    data = read_train(scratch / "rows.jsonl", loaded.tokens, style, longest=limit)
    held = read_train(scratch / "dev.jsonl", loaded.tokens, style, longest=limit)
    watch = Looking(scratch, arm, loaded, hook, len(data), silent=before is not None)
    try:
        mark = key if before is None else f"{key} again"
        end = train_adapter(loaded, data, arm.recipe, scratch, mark, watch, held)
    except RealmodelsError as wrong:
        raise RealmodelsError(f"{arm}: {wrong}; finished arms are kept") from wrong
    drop_checkpoint(scratch)
    if before is not None and end.final_hash != before["about"].get("final_hash"):
        return _train(order, loaded, arm, key, scratch, hook)
    seen = end.seen
    about = {
        "initial_hash": end.initial_hash,
        "final_hash": end.final_hash,
        "last_loss": seen["last_loss"],
        "real_tokens": seen["real_tokens"],
        "seconds_in_steps": round(seen["seconds"], 2),
    }
    answers = {} if before is None else {name: before[name] for name in ("dev", "asked")}
    return {**watch.found(), **answers, "about": about}


def _ask(
    loaded: Loaded, arm: Arm, step: int, exams: Sequence[Exam], write: bool, prompts: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """All exams under their prompts (or under these)."""
    found = []
    for exam in exams:
        for prompt in prompts or arm.prompts.get(exam.split, ("zero",)):
            sat = sit(loaded, exam, prompt, write=write and exam.split != "train", longest=arm.longest)
            found.append({"step": step, "split": exam.split, "prompt": prompt, **sat.plain()})
    return found


def hook_named(path: str) -> Callable[..., Any] | None:
    if not path:
        return None
    module, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def read_result(path: Path) -> Result:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Result(
            said["key"],
            said["steps"],
            said["early"],
            {int(step): float(share) for step, share in said["dev"]},
            {(one["step"], one["split"], one["prompt"]): Sat.of(one) for one in said["asked"]},
            said["extra"],
            said["about"],
        )
    except UNREADABLE:
        raise RealmodelsError(
            f"{path}: is no finished arm; remove it, and the arm will be trained again"
        ) from None


def along_steps(steps: int, every: int, looks: int) -> tuple[int, ...]:
    """Of the steps at which dev is looked at, as many as asked for, the first and last among them, denser early."""
    count = -(-steps // every)
    places = set(np.rint(np.geomspace(1, count, min(looks, count))).astype(int).tolist())
    for place in range(1, count + 1):
        if len(places) >= min(looks, count):
            break
        places.add(place)
    return tuple(min(place * every, steps) for place in sorted(places))


def _load(order: Order) -> Loaded:
    from realmodels.loading import load

    return load(
        order.model,
        dtype=train_dtype(order),
        device=order.device,
        allow_code=order.allow_code,
        allow_pickle=order.allow_pickle,
    )


def _mine(folder: Path, key: str, stack: ExitStack) -> bool:
    """Whether nobody else makes this arm."""
    (folder / key).mkdir(parents=True, exist_ok=True)
    try:
        stack.enter_context(locked(folder / key / ".lock"))
    except (TheoryError, FileNotFoundError):
        return False
    return True


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"

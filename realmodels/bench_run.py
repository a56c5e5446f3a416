"""How fast a model trains and is probed here, and how much memory that takes, on random rows."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from realmodels.adapters import fresh_adapter, trained
from realmodels.bench_models import device_name, peak_of, product_weights
from realmodels.exact import read_answers
from realmodels.recipe import Recipe
from realmodels.sampling import USUAL
from realmodels.shared import Asking
from realmodels.train_loop import adamw, take_step
from realmodels.train_rows import TrainRow
from theory.errors import out_of_memory

if TYPE_CHECKING:
    from realmodels.loading import Loaded

ANSWER = 8  # tokens of a row with loss, at most a quarter of it
PREFIX, QUESTION, SAID, FACTS = (
    96,
    15,
    3,
    256,
)  # tokens of shots, question and answer; facts asked with each prompt
WARM, TIMED = 2, 5
# what is tried in turn, until it fits: pieces that a step is read in, activations kept or computed twice
WAYS = ((1, False), (2, False), (4, False), (1, True), (4, True), (16, True))


@dataclass(frozen=True)
class Case:
    """Rows of `length` tokens under adapters of `rank`, and what was found. `tokens` are a step's, no padding among
    them; `mfu_4n` counts what frozen weights need, 4 operations a weight and token, `mfu_6n` as if all were trained."""

    length: int
    rank: int
    tokens: int
    pieces: int | None = None
    checkpointing: bool = False
    seconds: float | None = None
    tokens_per_second: float | None = None
    mfu_4n: float | None = None
    mfu_6n: float | None = None
    peak_bytes: int | None = None
    problem: str | None = None


def training(
    loaded: Loaded,
    lengths: Sequence[int],
    ranks: Sequence[int],
    tokens: int,
    peak: float | None,
    say: Callable[[str], None],
) -> list[Case]:
    """Every length with every rank; what does not fit says so, and the next one is tried."""
    found = []
    for rank in ranks:
        for length in lengths:
            case = _case(loaded, Case(length, rank, max(1, tokens // length) * length), peak)
            say(line_of(case))
            found.append(case)
    return found


def probing(loaded: Loaded, prompts: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Facts a second, each asked with `prompts` prompts: the exact chance of an answer behind cached shots."""
    draw = np.random.default_rng(1)
    size = min(FACTS, 8) if loaded.device == "cpu" else FACTS

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.integers(3, loaded.tokens.vocabulary, count).tolist())

    def ask() -> None:
        rests = tuple(ids(QUESTION) for _ in range(size))
        answers = tuple((ids(SAID),) for _ in range(size))
        part = Asking(ids(PREFIX), tuple(range(size)), rests, answers, ("",) * size, (1, 2))
        for _ in read_answers(loaded, part, USUAL, None, decode=False):
            pass

    shape = {"prompts": prompts, "shot_tokens": PREFIX, "question_tokens": QUESTION, "answer_tokens": SAID}
    try:
        _reset(loaded.device)
        seconds = _median(ask, loaded.device)
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        say("probing: out of memory")
        return {**shape, "facts_per_second": None, "problem": "out of memory"}
    speed = size / seconds / prompts
    say(f"probing: {speed:,.1f} facts/s with {prompts} prompts of {PREFIX} tokens")
    return {**shape, "facts_per_second": round(speed, 2), "peak_bytes": _peak(loaded.device), "problem": None}


def about(loaded: Loaded, peak: float | None) -> dict[str, Any]:
    """What was timed, and on what."""
    name = device_name(loaded.device)
    return {
        "model": loaded.name,
        "weights": "random" if loaded.fingerprint == "random" else loaded.fingerprint,
        "parameters": sum(weight.numel() for weight in loaded.model.parameters()),
        "weights_in_products": product_weights(loaded.model),
        "dtype": loaded.dtype,
        "device": name,
        "peak_flops": peak if peak is not None else peak_of(name),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
    }


def line_of(case: Case) -> str:
    head = f"{case.length:>7} {case.rank:>5} {case.tokens:>8}"
    if case.problem:
        return f"{head}  {case.problem}"
    memory = f"{case.peak_bytes / 2**30:7.1f}" if case.peak_bytes is not None else f"{'':>7}"
    shares = "".join(f"{'':>8}" if one is None else f"{one:8.1%}" for one in (case.mfu_4n, case.mfu_6n))
    how = f"{case.pieces}" + (", activations computed twice" if case.checkpointing else "")
    return f"{head} {case.tokens_per_second:>10,.0f}{shares} {memory}  {how}"


HEAD = (
    f"{'length':>7} {'rank':>5} {'tokens':>8} {'tokens/s':>10}{'MFU 4N':>8}{'MFU 6N':>8} {'GiB':>7}"
    "  pieces of a step"
)


def _case(loaded: Loaded, case: Case, peak: float | None) -> Case:
    count = case.tokens // case.length
    for pieces, twice in WAYS:
        if pieces > count:
            continue
        recipe = Recipe(
            rank=case.rank,
            alpha=2.0 * case.rank,
            batch=count,
            micro=-(-count // pieces),
            checkpointing=twice,
        )
        try:
            seconds, memory = _steps(loaded, case, recipe)
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
            continue
        speed = case.tokens / seconds
        share = speed * product_weights(loaded.model) / peak if peak else None
        return replace(
            case,
            pieces=pieces,
            checkpointing=twice,
            seconds=round(seconds, 5),
            tokens_per_second=round(speed, 1),
            mfu_4n=round(4 * share, 4) if share else None,
            mfu_6n=round(6 * share, 4) if share else None,
            peak_bytes=memory,
        )
    return replace(
        case, problem="out of memory, also in pieces and with activations computed twice; --tokens fewer"
    )


def _steps(loaded: Loaded, case: Case, recipe: Recipe) -> tuple[float, int | None]:
    """Median seconds of a step, and the most memory held in it."""
    draw = np.random.default_rng(0)
    marked = max(1, min(ANSWER, case.length // 4))
    learned = (False,) * (case.length - marked) + (True,) * marked
    ids = draw.integers(3, loaded.tokens.vocabulary, (recipe.batch, case.length)).tolist()
    rows = [TrainRow(tuple(row), learned, f"row {i}") for i, row in enumerate(ids)]
    _reset(loaded.device)
    with fresh_adapter(loaded, recipe) as model:
        optimizer = adamw(loaded, trained(model).values(), recipe)
        seconds = _median(lambda: take_step(loaded, optimizer, rows, recipe, 1e-6), loaded.device)
    return seconds, _peak(loaded.device)


def _median(work: Callable[[], Any], device: str) -> float:
    times = []
    for _ in range(WARM + TIMED):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM:])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def _reset(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> int | None:
    """Bytes; only CUDA tells."""
    return int(torch.cuda.max_memory_allocated(device)) if device.startswith("cuda") else None


def as_json(
    loaded: Loaded, peak: float | None, cases: Sequence[Case], probed: dict[str, Any] | None
) -> dict[str, Any]:
    from theory.runs import environment

    return {
        **about(loaded, peak),
        "conventions": {
            "tokens_per_second": "tokens of rows, no padding; rows share no beginnings",
            "mfu_4n": "4 operations a weight in products and token: forward 2, gradient of activations 2",
            "mfu_6n": "6: as if the weights had gradients too, or activations were computed twice",
            "seconds": f"median of {TIMED} steps after {WARM}",
        },
        "training": [asdict(case) for case in cases],
        "probing": probed,
        "environment": environment(),
    }

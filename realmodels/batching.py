"""Work cut into batches that fit: rows of like length together, half as many where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from realmodels.errors import RealmodelsError
from theory.errors import out_of_memory

T = TypeVar("T")

TOKENS_ON_CPU = 512  # read at once: more was no faster there
TOKENS_ON_DEVICE = 32768
SHARE = 0.4  # of the free memory that a batch may take


def batches(lengths: Sequence[int], tokens: int, rows: int | None = None) -> Iterator[np.ndarray]:
    """Indices of rows, longest first; a batch pads to at most `tokens` tokens, or has `rows` rows."""
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        count = rows or max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def in_batches(
    lengths: Sequence[int],
    work: Callable[[np.ndarray], T],
    tokens: int,
    rows: int | None = None,
    loaded: Any = None,
    shown: int = 0,
) -> Iterator[tuple[np.ndarray, T]]:
    """`work` done for every batch of rows. Where memory runs out the batch, and those after it, are halved; where none
    is left to halve, how `loaded` was opened and whether `shown` tokens stand before each row say what to change."""
    most = None
    for batch in batches(lengths, tokens, rows):
        waiting = [batch]
        while waiting:
            part = waiting.pop(0)
            if most is not None and len(part) > most:
                waiting = [part[:most], part[most:], *waiting]
                continue
            try:
                done = work(part)
            except (RuntimeError, MemoryError) as problem:
                if not out_of_memory(problem):
                    raise
                _alone(len(part), lengths[part[0]], loaded)
                if len(part) == 1:
                    raise RealmodelsError(
                        f"out of memory on a single row of {lengths[part[0]]} tokens; "
                        f"try {' or '.join(_ways(loaded, shown))}"
                    ) from problem
                most = (len(part) + 1) // 2
                waiting.insert(0, part)
            else:
                yield part, done
                continue
            _free()  # outside of `except`, where the traceback still held the tensors


def _ways(loaded: Any, shown: int) -> list[str]:
    from realmodels.relief import lighter
    from realmodels.sharded import shared

    ways: list[str] = []
    if loaded is not None:
        few = getattr(loaded.model, "is_quantized", False)
        ways += lighter(loaded.device, loaded.dtype, loaded.options, few=few, shared=shared(loaded.model))
        ways += ["fewer shots"] if shown > len(loaded.tokens.bos) else []
    return [*ways, "a smaller model", "without the longest rows"]


def _alone(rows: int, longest: int, loaded: Any) -> None:
    """Processes that share a base read the same rows: one of them cannot read fewer."""
    from realmodels.sharded import any_shared

    if any_shared():
        raise RealmodelsError(
            f"out of memory on {rows} rows of up to {longest} tokens, and a base that is shared out is not asked again "
            f"for fewer; try {' or '.join(_ways(loaded, 0))}"
        )


def token_budget(loaded: Any, prefix: int, longest: int, most: int | None = None) -> int:
    """How many tokens of rows behind a prefix may be read at once on this device; `most` in place of what is usual."""
    from realmodels.sharded import least

    config = loaded.model.config.get_text_config()
    size = {"float32": 4}.get(loaded.dtype, 2)
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = 2 * config.num_hidden_layers * (getattr(config, "num_key_value_heads", None) or heads) * width
    row = (prefix + longest) * (kept + 4 * heads * width) + longest * (
        8 * config.hidden_size + prefix + longest
    )
    budget = most or (TOKENS_ON_CPU if loaded.device == "cpu" else TOKENS_ON_DEVICE)
    free = free_bytes(loaded.device)
    if free is None:
        return budget
    free = least(loaded.model, free)
    return max(longest, min(budget, int(SHARE * free / (row * size)) * longest))


def free_bytes(device: str) -> int | None:
    """Memory that is free on the device, if it can be told; what torch keeps for later is free too."""
    import torch

    if device.startswith("cuda"):
        card = torch.device(device)
        kept = torch.cuda.memory_reserved(card) - torch.cuda.memory_allocated(card)
        return int(torch.cuda.mem_get_info(card)[0]) + kept
    if device != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _free() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

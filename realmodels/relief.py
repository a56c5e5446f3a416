"""What to change where memory runs out: of what a command can be told only what it can be told."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from realmodels.errors import RealmodelsError
from theory.errors import out_of_memory


def lighter(
    device: str, dtype: str, options: Collection[str] = (), *, few: bool = False, shared: bool = False
) -> list[str]:
    """Ways to hold a base in less memory. Each command that opens one has --dtype; `options` are those of --load-in and
    --shard that it has too. `few`: it is in few bits already, `shared`: shared out already."""
    from realmodels.parallel import current

    ways = ["--dtype bfloat16"] if dtype == "float32" else []
    if shared:
        return [*ways, "more processes"]
    if few or not device.startswith("cuda"):
        return ways
    if "--load-in" in options:
        ways.append("--load-in 4bit")
    if "--shard" in options and (current().size > 1 or _cards() > 1):
        ways.append("--shard" if current().size > 1 else "--shard with torchrun")
    return ways


@contextmanager
def opening(
    name: str,
    device: str,
    dtype: str,
    options: Collection[str] = (),
    *,
    few: bool = False,
    shared: bool = False,
) -> Iterator[None]:
    """One line where a base is too large for the device."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        ways = [*lighter(device, dtype, options, few=few, shared=shared), "a smaller model"]
        raise RealmodelsError(
            f"{name}: out of memory while it is opened in {dtype} on {device}; try {' or '.join(ways)}"
        ) from problem


def _cards() -> int:
    import torch

    return torch.cuda.device_count()

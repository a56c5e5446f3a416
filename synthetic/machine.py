"""What this machine can do: a compiler, bfloat16, one thread, and its peak in single-precision matrix products."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@cache
def has_compiler() -> bool:
    """Is there a C++ compiler that torch.compile could use?"""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


@cache
def has_bfloat16() -> bool:
    """Does the processor multiply bfloat16 matrices by itself?"""
    import torch

    able = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in able)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread inside: the unit of parallelism is the process, and the order of every sum is fixed."""
    import torch

    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


def matmul_peak(size: int = 1024, repeats: int = 10, bfloat16: bool = False) -> float:
    """Best floating-point operations a second of one thread in square matrix products."""
    import torch

    with one_thread():
        a = torch.full((size, size), 0.5, dtype=torch.bfloat16 if bfloat16 else torch.float32)
        seconds = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds[2:])

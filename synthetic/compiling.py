"""Compile the body of the network where that pays, and say nothing where it cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from synthetic.machine import has_compiler
from synthetic.model import LlamaSpec, hidden_states
from synthetic.train_spec import Compile

Body = Callable[..., Tensor]

COMPILE_SECONDS = 30.0  # a cold compilation of forward and backward, measured at two layers on one busy core
GAIN = 1.07  # how many times faster the compiled step was there, in float32; more in bfloat16
OPERATIONS_PER_SECOND = 6e10  # what an uncompiled step reached there


def pays(spec: LlamaSpec, tokens: int) -> bool:
    """Would compiling save more time over a run of so many tokens than it takes? A rule of sizes, not of the clock:
    compiled and uncompiled sums differ in their last digits, so the choice must be the same each time."""
    seconds = 6 * spec.parameters * tokens / OPERATIONS_PER_SECOND
    return seconds * (1 - 1 / GAIN) > COMPILE_SECONDS


def body(spec: LlamaSpec, half: bool, wish: Compile, tokens: int) -> Body:
    """`hidden_states` of this spec, in bfloat16 if `half`, compiled if wished and possible."""

    def plain(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return hidden_states(args[0], spec, *args[1:], **kwargs)

    if wish == "never" or not has_compiler() or (wish == "auto" and not pays(spec, tokens)):
        return plain
    return _with_retreat(torch.compile(plain), plain)


def _with_retreat(compiled: Body, plain: Body) -> Body:
    """The compiled body, until it fails for the first time."""
    current = compiled

    def run(*args: Any, **kwargs: Any) -> Tensor:
        nonlocal current
        if current is plain:
            return plain(*args, **kwargs)
        try:
            with torch._inductor.config.patch(compile_threads=1):
                return compiled(*args, **kwargs)
        except Exception:
            current = plain
            return plain(*args, **kwargs)

    return run

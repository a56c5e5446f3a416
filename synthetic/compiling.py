"""Compile the body of the network where that pays, and say nothing where it cannot be done."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from synthetic.machine import has_compiler
from synthetic.model import LlamaSpec, hidden_states
from synthetic.train_spec import Compile

Body = Callable[..., Tensor]

# Measured at width 128 on one core with AVX-512 (see tests/benchmarks): seconds of a cold compilation, and by precision
# the operations a second of an uncompiled step and how many times faster the compiled one was.
COMPILE_SECONDS = 25.0
SPEED = {False: 6e10, True: 9e10}
GAIN = {False: 1.08, True: 1.16}


def pays(spec: LlamaSpec, half: bool, tokens: float) -> bool:
    """Does compiling save more time in a run of so many tokens than it takes? A rule of sizes and not of the clock:
    compiled sums differ in their last digits, so the same run must always decide in the same way."""
    seconds = 6 * spec.parameters * tokens / SPEED[half]
    return seconds * (1 - 1 / GAIN[half]) > COMPILE_SECONDS


def body(spec: LlamaSpec, half: bool, wish: Compile, tokens: float) -> Body:
    """`hidden_states` of a spec, in bfloat16 if `half`, compiled if that is wished, pays and can be done."""

    def plain(*args: Any, **kwargs: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return hidden_states(args[0], spec, *args[1:], **kwargs)

    if wish == "never" or not has_compiler() or (wish == "auto" and not pays(spec, half, tokens)):
        return plain
    return _compiled_or(plain)


def _compiled_or(plain: Body) -> Body:
    """The compiled body, until compiling or compiled code fails for the first time; then the plain one."""
    compiled: Body | None = None
    failed = False

    def run(*args: Any, **kwargs: Any) -> Tensor:
        nonlocal compiled, failed
        if not failed:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    from torch._inductor import config

                    compiled = compiled or torch.compile(plain)
                    with config.patch(compile_threads=1):
                        return compiled(*args, **kwargs)
            except Exception:
                failed = True
        return plain(*args, **kwargs)

    return run

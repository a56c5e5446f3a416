"""Helpers that train arms beside this process: fresh interpreters with a base of their own, gone when it is gone."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realmodels.study_table import Order
from theory.processes import SINGLE, deaf_to_ctrl_c

if TYPE_CHECKING:
    from realmodels.study_arms import Arm

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from realmodels.study_workers import main; main()"
_PR_SET_PDEATHSIG = 1


@contextmanager
def helped(order: Order, todo: Mapping[str, Arm]) -> Iterator[None]:
    """While the block runs, others work on the same arms; what one of them cannot do is left to this process."""
    count = min(order.workers, len(todo)) - 1
    if order.workers > 1:
        import torch

        torch.set_num_threads(max(1, cores() // order.workers))
    if count < 1:
        yield
        return
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "work"
        path.write_bytes(pickle.dumps((order, dict(todo))))
        try:
            with deaf_to_ctrl_c():
                for rank in range(1, count + 1):
                    words = [_START, json.dumps(sys.path), str(path), str(rank), str(os.getpid())]
                    running.append(
                        subprocess.Popen(
                            [sys.executable, "-c", *words], stdin=subprocess.DEVNULL, env=_environment(order)
                        )
                    )
            yield
            for process in running:  # nothing is left to do; they may still be tidying up
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=10)
        finally:
            for process in running:
                process.kill()
            for process in running:
                process.wait()


def main() -> None:
    """A helper: arms that nobody has, until none is left."""
    path, rank, parent = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    order, todo = pickle.loads(path.read_bytes())
    import torch

    from realmodels.study_arms import work

    torch.set_num_threads(max(1, cores() // order.workers))
    if order.device == "auto" and (count := torch.cuda.device_count()):
        order = replace(order, device=f"cuda:{rank % count}")
    try:
        work(order, todo, lambda text: print(text, file=sys.stderr, flush=True))
    except Exception as wrong:  # the first process comes to the same arm and reports it
        print(f"helper {rank} stops: {' '.join(str(wrong).split())[:300]}", file=sys.stderr)
        sys.exit(1)


def elsewhere(part: tuple[Order, dict[str, Arm]]) -> None:
    """In a job of a cluster: its share of the arms."""
    from realmodels.study_arms import work

    work(*part, lambda text: print(text, file=sys.stderr, flush=True))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment(order: Order) -> dict[str, str]:
    share = str(max(1, cores() // order.workers))
    return {**os.environ, **dict.fromkeys(SINGLE, share)}

"""Starting worker processes: one thread each, Ctrl-C left to their parent, no room for their locks."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

SINGLE = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started in the block leave Ctrl-C to their parent, also while they are still importing."""
    resource_tracker.ensure_running()  # its start unblocks SIGINT, so it must not fall into the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def locks() -> Iterator[None]:
    """The block makes locks for several processes, which are files of the system; an error says so."""
    try:
        yield
    except OSError as problem:
        if problem.filename:
            raise
        said = problem.strerror or "no room"  # a lock of which half could be written has no error number
        raise OSError(
            problem.errno or errno.ENOSPC,
            f"{said}, no locks between processes can be made there; make room, or take --workers 1",
            "/dev/shm",
        ) from problem


@contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started in the block do linear algebra on one thread, so results do not depend on the cores."""
    before = {name: os.environ.get(name) for name in SINGLE}
    os.environ.update(dict.fromkeys(SINGLE, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

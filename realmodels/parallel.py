"""Several processes that train one adapter, each on its share of every step's rows; started by torchrun.

The gradients add up to that of all rows, so that the adapter is the one that a single process makes, but for rounding.
All processes do the same; the first one alone writes where it was told to, the others into folders that vanish."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from realmodels.errors import RealmodelsError
from theory.runs import locked

Row = TypeVar("Row")

PATIENCE = timedelta(hours=1)  # the others wait while the first one reads a model
GONE = ("closed by peer", "reset by peer", "Broken pipe")
_meetings = count()


@dataclass(frozen=True)
class Crew:
    """The processes of this training; a lone one is a crew of itself."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def told(self, word: Any) -> Any:
        """What the first one says."""
        if self.size == 1:
            return word
        words = [word]
        distributed.broadcast_object_list(words, src=0)
        return words[0]

    @contextmanager
    def place(self, folder: Path, part: str) -> Iterator[Path]:
        """Where this process writes: the folder itself, or one that vanishes, with a copy of its `part`."""
        if self.first:
            self.told(None)
            yield folder
            return
        self.told(None)  # the first one has by now dropped what is not to be gone on from
        with tempfile.TemporaryDirectory() as scratch:
            if (folder / part).is_dir():
                shutil.copytree(folder / part, Path(scratch) / part)
            yield Path(scratch)

    def reseed(self, seed: int, step: int) -> None:
        """Of several processes each draws its own numbers at a step, the same ones when the step is taken again."""
        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1)[0]))

    def locked(self, path: Path) -> Any:
        return locked(path) if self.first else nullcontext()


@contextmanager
def crew(device: str = "auto") -> Iterator[Crew]:
    """Join the processes that torchrun started, if it did."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or distributed.is_initialized():
        yield current()
        return
    cuda = torch.cuda.is_available() and not device.startswith("cpu")
    card = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and card >= torch.cuda.device_count():
        raise RealmodelsError(
            f"train: process {card} of this machine has no card, there are {torch.cuda.device_count()}; "
            f"start as many by torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    try:
        store, rank = _meeting_place(os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT"))
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=PrefixStore(f"meeting {next(_meetings)}", store),
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
        )
    except (ValueError, RuntimeError) as problem:
        raise RealmodelsError(
            f"train: WORLD_SIZE is {size} but the processes do not find each other ({str(problem).splitlines()[0]}); "
            "start them by torchrun --nproc-per-node N -m realmodels train ..., or one without WORLD_SIZE"
        ) from None
    if cuda:
        torch.cuda.set_device(card)
    try:
        yield current()
    except RuntimeError as problem:
        if not any(word in str(problem) for word in GONE):
            raise
        raise RealmodelsError("train: another process has ended; what it said is above or below") from problem
    else:  # after a failure there may be nobody to take leave of
        distributed.destroy_process_group()


@cache
def _meeting_place(address: str | None, port: str | None) -> tuple[Any, int]:
    """Kept for good: processes that meet again must not find what they said the time before, nor lose the place."""
    store, rank, _ = next(rendezvous("env://", timeout=PATIENCE))
    return store, rank


def current() -> Crew:
    if distributed.is_available() and distributed.is_initialized():
        return Crew(distributed.get_rank(), distributed.get_world_size())
    return Crew()


def check_own(device: str) -> None:
    """Whether each process can have a device of its own."""
    team = current()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", team.size))
    if team.size > 1 and here > 1 and device.startswith("cuda:"):
        raise RealmodelsError(
            f"--device {device}: {here} processes of this machine would share it; leave it out, and each takes a card "
            "of its own"
        )
    if team.size > 1 and (device == "mps" or (device == "auto" and _mps())):
        raise RealmodelsError("train: several processes cannot share mps; start one, or add --device cpu")


def _mps() -> bool:
    return not torch.cuda.is_available() and torch.backends.mps.is_available()


def own_device(device: str) -> str:
    """`cuda` is this process's card."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and current().size > 1 else device


def own_rows(rows: Sequence[Row]) -> Sequence[Row]:
    """This process's share; sharing goes on by length, so that all have as much to do."""
    team = current()
    if team.size == 1:
        return rows
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i]), i))  # type: ignore[arg-type]
    return [rows[i] for i in order[team.rank :: team.size]]


def add_up(weights: Sequence[torch.nn.Parameter], numbers: Sequence[float]) -> list[float]:
    """Sum the gradients over all processes in place, and these numbers."""
    if current().size == 1:
        return list(numbers)
    grads = [weight.grad if weight.grad is not None else torch.zeros_like(weight) for weight in weights]
    whole = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(whole)
    pieces = whole.split([grad.numel() for grad in grads])
    for weight, piece in zip(weights, pieces, strict=True):
        weight.grad = piece.view_as(weight)
    summed: Tensor = torch.tensor(list(numbers), dtype=torch.float64, device=whole.device)
    distributed.all_reduce(summed)
    return [float(number) for number in summed.tolist()]

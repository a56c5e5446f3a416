"""Checkpoints: one file, written whole, from which training goes on as if it had never stopped. No pickles."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realmodels.errors import RealmodelsError
from theory.files import write_whole

FILE = "state.safetensors"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class State:
    """Training after `step` steps. `best` are the best weights so far on held-out rows, or empty; `seen` is what the
    watch has added up."""

    step: int
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Mapping[str, Tensor]]
    best: Mapping[str, Tensor]
    generators: Mapping[str, Tensor]
    seen: Mapping[str, Any]


def write_state(folder: Path, key: str, state: State) -> None:
    """In place of the one before, which survives if this one cannot be written."""
    from safetensors.torch import save

    tensors = {f"weights/{name}": value for name, value in state.weights.items()}
    tensors |= {f"best/{name}": value for name, value in state.best.items()}
    tensors |= {f"generators/{name}": value for name, value in state.generators.items()}
    for name, moments in state.moments.items():
        tensors |= {f"{kind}/{name}": moments[kind] for kind in _MOMENTS}
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    about = {"key": key, "step": str(state.step), "seen": json.dumps(dict(state.seen))}
    path = folder / FILE
    try:
        write_whole(path, save(plain, about))
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        kept = "the one before is kept" if path.exists() else "there is none before it"
        raise OSError(
            problem.errno,
            f"no room for the checkpoint of step {state.step} ({problem.strerror}); {kept}; free some and run the same "
            "command again",
            str(path),
        ) from problem


def read_state(folder: Path, key: str) -> State | None:
    """The checkpoint in this folder, if there is one; it must be of the same training."""
    path = folder / FILE
    for stale in folder.glob(f".{FILE}.*"):  # what a killed process was still writing
        stale.unlink()
    if not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as problem:
        raise RealmodelsError(
            f"{path}: cannot be read ({problem}); delete it to start this arm afresh"
        ) from None
    if about.get("key") != key:
        raise RealmodelsError(
            f"{path}: is of other rows, another recipe or another model; restore them, or start afresh with --overwrite"
        )

    def group(kind: str) -> dict[str, Tensor]:
        return {
            name.partition("/")[2]: value for name, value in tensors.items() if name.startswith(f"{kind}/")
        }

    by_kind = {kind: group(kind) for kind in _MOMENTS}
    try:
        moments = {name: {kind: by_kind[kind][name] for kind in _MOMENTS} for name in by_kind["step"]}
        return State(
            int(about["step"]),
            group("weights"),
            moments,
            group("best"),
            group("generators"),
            json.loads(about["seen"]),
        )
    except (KeyError, ValueError) as problem:
        raise RealmodelsError(
            f"{path}: is incomplete ({problem}); delete it to start this arm afresh"
        ) from None


def generators(device: str) -> dict[str, Tensor]:
    """Where the streams of random numbers stand."""
    found = {"cpu": torch.get_rng_state()}
    if device.startswith("cuda"):
        found["cuda"] = torch.cuda.get_rng_state(torch.device(device))
    if device.startswith("mps"):
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_generators(device: str, found: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(found["cpu"])
    if device.startswith("cuda") and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"], torch.device(device))
    if device.startswith("mps") and "mps" in found:
        torch.mps.set_rng_state(found["mps"])


def moments_of(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    return {
        name: {kind: optimizer.state[weight][kind] for kind in _MOMENTS}
        for name, weight in weights.items()
        if weight in optimizer.state
    }


def set_moments(
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Mapping[str, Tensor]],
) -> None:
    for name, weight in weights.items():
        if name in moments:
            own = {kind: moments[name][kind].clone().to(weight.device) for kind in _MOMENTS[1:]}
            optimizer.state[weight] = {"step": moments[name]["step"].clone(), **own}

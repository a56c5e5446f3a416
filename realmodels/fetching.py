"""What a command needs of a model on the hub, brought to this machine: the small files to look at it, the weights to
ask or train it. What is in the cache already is taken as it is, and the hub is not asked."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from realmodels.errors import UNREADABLE, RealmodelsError

CONFIG, ADAPTER = "config.json", "adapter_config.json"
SECONDS = 3.0  # to wait for the hub before giving up
_SMALL = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken", "*.py")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_STEMS = {CONFIG: ("model", "pytorch_model"), ADAPTER: ("adapter_model", "adapter_model")}
_ENDINGS = ("safetensors", "bin")


def cached_folder(name: str, config: str = CONFIG) -> Path | None:
    """Where the hub's cache has this model's configuration, if it has."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, config)
    except HFValidationError:
        raise RealmodelsError(f"'{name}': is no folder, and no name that the hub could have") from None
    return Path(found).parent if isinstance(found, str) else None


def fetch_small(name: str, what: str, config: str) -> None:
    """Configuration and tokenizer, and nothing large."""
    folder = cached_folder(name, config)
    if folder is None:
        _check_reachable(name, what)
    elif config == ADAPTER or any((folder / file).exists() for file in _TOKENIZERS) or not _online():
        return
    _fetch(name, [ADAPTER] if config == ADAPTER else list(_SMALL))
    if cached_folder(name, config) is None:
        raise RealmodelsError(f"{what} '{name}': the hub has no {config} of it, so it holds no {what}")


def fetch_weights(name: str, config: str, allow_pickle: bool) -> None:
    """The weights that will be opened: safetensors where the hub has them, pickles only where it has nothing else and
    they are allowed."""
    if weights_here(name, config, pickles=allow_pickle):
        return
    stems = dict(zip(_ENDINGS, _STEMS[config], strict=True))
    online = _online()
    for ending in _ENDINGS if allow_pickle else _ENDINGS[:1]:
        if online and not weights_here(name, config, pickles=allow_pickle):
            stem = stems[ending]
            _fetch(name, [f"{stem}.{ending}", f"{stem}.{ending}.index.json", f"{stem}-*-of-*.{ending}"])
    if weights_here(name, config, pickles=allow_pickle):
        return
    what = f"{'model' if config == CONFIG else 'adapter'} '{name}'"
    if not online and not weights_here(name, config):
        raise RealmodelsError(f"{what}: its weights are not in the hub's cache, and {_why_not()}")
    raise RealmodelsError(
        f"{what}: has no {stems['safetensors']}.safetensors here or on the hub"
        + ("" if allow_pickle else "; a pickle can run code when it is opened: allow it with --allow-pickle")
    )


def weights_here(name: str, config: str = CONFIG, pickles: bool = True) -> bool:
    """Whether the cache has them in whole."""
    folder = cached_folder(name, config)
    if folder is None:
        return False
    for ending, stem in zip(_ENDINGS[: 1 + pickles], _STEMS[config], strict=False):
        if (folder / f"{stem}.{ending}").exists():
            return True
        index = folder / f"{stem}.{ending}.index.json"
        if index.exists() and all((folder / file).exists() for file in _parts(index)):
            return True
    return False


def _parts(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (AttributeError, *UNREADABLE):
        raise RealmodelsError(
            f"{index}: expected an index of weights; remove it, and it is fetched again"
        ) from None


def _fetch(name: str, files: list[str]) -> None:
    """Of the version that is in the cache already, so that all its files are of one."""
    from contextlib import nullcontext

    from huggingface_hub import snapshot_download

    from realmodels.loading import plainly, quiet

    folder = cached_folder(name) or cached_folder(name, ADAPTER)
    with plainly(name), nullcontext() if sys.stderr.isatty() else quiet():
        snapshot_download(
            name, revision=folder.name if folder else None, allow_patterns=files, ignore_patterns=["*/*"]
        )


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _proxy() -> bool:
    return any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"))


def _host() -> tuple[str, int]:
    where = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    return where.hostname or "huggingface.co", where.port or (80 if where.scheme == "http" else 443)


def _online() -> bool:
    """Whether the hub may be asked, and answers; behind a proxy only asking tells."""
    if _offline():
        return False
    if _proxy():
        return True
    try:
        socket.create_connection(_host(), timeout=SECONDS).close()
    except OSError:
        return False
    return True


def _why_not() -> str:
    if _offline():
        return "HF_HUB_OFFLINE is set; give a local folder, or unset it"
    return f"{_host()[0]} cannot be reached; give a local folder, or connect to the network"


def _check_reachable(name: str, what: str) -> None:
    if not _online():
        raise RealmodelsError(
            f"{what} '{name}': is no folder here and not in the hub's cache, and {_why_not()}"
        )

"""What the same weights were called by earlier versions, so that what was made of them then is not made again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels.errors import RealmodelsError
from realmodels.loading import _fingerprint, fingerprint_of
from realmodels.places import Place, find
from theory.files import write_whole

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.recipe import Recipe

ABOUT = "train.json"
END = 1 << 20  # bytes at either end of a file that were looked at
ABSENT = ("absent",)  # stands for those of a model whose weights are not on this machine


def fingerprints(name: str, adapter: str | None = None, *, fetch: bool = True) -> tuple[str, ...]:
    """Of a model with or without an adapter: today's, then those of earlier versions, latest first. For a plan no
    weights are fetched."""
    place = find(name)
    if not fetch and not place.here():
        return ABSENT
    return _fingerprint(place, adapter), _of_ends(place, adapter)


def of_weights(place: Place) -> str:
    """Of what is opened alone: the same once an optimiser's state beside the weights is gone."""
    return fingerprint_of(place.opened())


def of_base(loaded: Loaded) -> dict[str, str]:
    """What is told of the base beside an adapter's weights."""
    return {
        "model": loaded.name,
        "model_fingerprint": loaded.fingerprint,
        "weights_fingerprint": of_weights(find(loaded.name)),
    }


def leave_word(folder: Path, loaded: Loaded, arm: str, recipe: Recipe, step: int) -> None:
    """What `left_by_train` reads, beside an adapter that a study keeps."""
    about = {"arm": arm, **of_base(loaded), "recipe": asdict(recipe), "kept_step": step}
    write_whole(folder / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def left_by_train(adapter: Place) -> dict[str, Any]:
    """What `train` left beside the adapter's weights, if it did."""
    file = Path(adapter.source) / ABOUT
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (ValueError, RecursionError):
        said = {}
    return said if isinstance(said, dict) else {}


def check_weights_of(adapter: Place, base: Place) -> None:
    """Whether `train` made the adapter on these weights. Of adapters of other programs nothing is known."""
    said = left_by_train(adapter)
    known = said.get("model_fingerprint")
    if not isinstance(known, str) or known in (now := fingerprints(base.name)):
        return
    if said.get("weights_fingerprint") == of_weights(base):
        return
    model = f" ({said['model']})" if said.get("model") else ""
    raise RealmodelsError(
        f"{adapter.name}: was trained on other weights than those of {base.name} (train.json says model_fingerprint "
        f"{known}, these are {now[0]}); give the --model that it was trained on{model}, or, if it is "
        "the same one kept in other files, take model_fingerprint out of train.json"
    )


def _of_ends(place: Place, adapter: str | None) -> str:
    """Of configurations in whole, of weights their size and both ends."""
    digest = hashlib.sha256()
    for part in (place, *([find(adapter, what="adapter", config="adapter_config.json")] if adapter else [])):
        for path in part.files():
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(END))
                file.seek(max(0, size - END))
                digest.update(file.read())
    return digest.hexdigest()[:16]

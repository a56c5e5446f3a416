"""One base model on which adapters are put and taken off again; it is loaded once, when it is first needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from realmodels.errors import RealmodelsError
from realmodels.fingerprints import check_weights_of, left_by_train
from realmodels.loading import _fingerprint, _same_base, load, plainly, put_on
from realmodels.places import Place, find
from theory.stamp import Stamp

if TYPE_CHECKING:
    from realmodels.loading import Loaded

BASE = "base"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Tuned:
    """The base with an adapter, or alone (`path` is None). `arm` is what it was trained on, by its training's word or
    else its name; `seed` and `step` are 0 where nothing says them."""

    name: str
    path: str | None
    fingerprint: str
    arm: str = "none"
    seed: int = 0
    step: int = 0

    def stamp(self, lab: str, study: str, run: str, prompt: str) -> Stamp:
        """How its records begin."""
        arm = BASE if self.path is None else "lora"
        return Stamp(lab, study, run, self.seed, arm, self.step, self.arm, prompt)


class Resident:
    """The base of `model`, and the same with an adapter for as long as it is wanted."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        device: str = "auto",
        allow_code: bool = False,
        allow_pickle: bool = False,
        load_in: str = "none",
        options: Collection[str] = (),
    ) -> None:
        self.place = find(model)
        self.place.check_weights(allow_pickle)
        self.allow_pickle = allow_pickle
        self._options = {
            "dtype": dtype,
            "device": device,
            "allow_code": allow_code,
            "allow_pickle": allow_pickle,
            "load_in": load_in,
            "options": options,
        }
        self._loaded: Loaded | None = None

    def base(self) -> Loaded:
        if self._loaded is None:
            self._loaded = load(self.place.name, **self._options)  # type: ignore[arg-type]
        return self._loaded

    def tuned(self, adapters: Sequence[str], base: bool = True) -> tuple[Tuned, ...]:
        """Names and fingerprints of `path` or `name=path`, the base first; nothing is loaded, much is checked."""
        found = [Tuned(BASE, None, _fingerprint(self.place, None))] if base else []
        for given in adapters:
            name, path = _named(given)
            _check(path, self.place, self.allow_pickle)
            found.append(_trained(name, path, _fingerprint(self.place, path)))
        for place, one in enumerate(found):
            if one.name in {other.name for other in found[:place]}:
                raise RealmodelsError(
                    f"--adapter {one.path}: there are two by the name of '{one.name}'; name them: --adapter NAME=PATH"
                )
        if not found:
            raise RealmodelsError("eval: no adapter given and the base left out; nothing to evaluate")
        return _apart(found)

    @contextmanager
    def wearing(self, one: Tuned) -> Iterator[Loaded]:
        """The base with this adapter on; afterwards its weights are what they were, to the bit."""
        loaded = self.base()
        if one.path is None:
            yield loaded
            return
        before = hasattr(loaded.model, "peft_config")
        adapter = find_adapter(one.path)
        dressed = put_on(loaded.model, adapter, one.path)
        try:
            dressed.eval().requires_grad_(False)
            yield replace(loaded, model=dressed.get_base_model(), fingerprint=one.fingerprint)
        finally:
            dressed.unload()
            if not before and hasattr(loaded.model, "peft_config"):
                del loaded.model.peft_config


def find_adapter(path: str) -> Place:
    return find(path, what="adapter", config=_CONFIG)


def _named(given: str) -> tuple[str, str]:
    """known=runs/k -> (known, runs/k); runs/k -> (k, runs/k)."""
    name, equals, path = given.partition("=")
    if not equals or Path(given).exists():
        path, name = given, Path(given).name or Path(given).resolve().name
    if not _NAME.fullmatch(name) or name == BASE:
        raise RealmodelsError(
            f"--adapter {given!r}: '{name}' cannot be its name (letters, digits, '.', '_', '-', '+', and not "
            f"'{BASE}'); write --adapter NAME=PATH"
        )
    if not path:
        raise RealmodelsError(f"--adapter {given!r}: expected PATH or NAME=PATH")
    return name, path


def _check(path: str, base: Place, allow_pickle: bool) -> None:
    """What its configuration alone tells."""
    place = find_adapter(path)
    place.check_weights(allow_pickle)
    from peft import PeftConfig

    with plainly(path):
        config = PeftConfig.from_pretrained(place.at)
    if config.is_prompt_learning:
        raise RealmodelsError(
            f"{path}: is a {config.peft_type.value} adapter; expected LoRA or another one of weights"
        )
    if (wanted := config.base_model_name_or_path) and not _same_base(wanted, base):
        raise RealmodelsError(f"{path}: is an adapter of {wanted}, not of {base.name}; give --model {wanted}")
    check_weights_of(place, base)


def _trained(name: str, path: str, fingerprint: str) -> Tuned:
    """What `train` left beside the weights, if it did: arm, seed and step."""
    said = left_by_train(find_adapter(path))
    recipe, arm = said.get("recipe"), said.get("arm")
    return Tuned(
        name,
        path,
        fingerprint,
        arm if isinstance(arm, str) and _NAME.fullmatch(arm) else name,
        _count(recipe.get("seed") if isinstance(recipe, dict) else None),
        _count(said.get("kept_step")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _apart(found: Sequence[Tuned]) -> tuple[Tuned, ...]:
    """Adapters of the same arm, seed and step go by their names, or their records would be the same ones."""
    times = Counter((one.arm, one.seed, one.step) for one in found)
    return tuple(
        one if times[one.arm, one.seed, one.step] == 1 else replace(one, arm=one.name) for one in found
    )

"""How an adapter is trained: a frozen recipe that refuses nonsense, and the rate it gives each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from theory.schema import nearest, shown

DECAYS = ("constant", "linear", "cosine")
BATCHING = ("buckets", "packed", "random")
ALL_LINEAR = "all-linear"
MOST = 2**16  # characters of a recipe's file


@dataclass(frozen=True)
class Recipe:
    """One step learns `batch` rows; the loss is the mean over their answer tokens."""

    rank: int = 16
    alpha: float = 32.0  # the adapter counts alpha / rank times
    dropout: float = 0.0  # of the adapter's input
    targets: tuple[str, ...] = (
        ALL_LINEAR,
    )  # names of layers that get an adapter; all-linear: all but the head
    rate: float = 2e-4  # the highest learning rate
    epochs: int = 5
    steps: int | None = None  # this many steps, in place of `epochs`
    batch: int = 16  # rows of a step
    micro: int | None = None  # rows read at once; without it all of a step
    warmup: float = 0.03  # share of the steps in which the rate rises
    decay: str = "constant"  # constant, linear or cosine, after the warm-up
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    clip: float = 1.0  # largest norm of the whole gradient; 0 leaves it alone
    batching: str = "buckets"  # rows of like length together; packed: several in one line; random: neither
    style: str = "qa"  # how a question is worded
    max_tokens: int | None = None  # a longer row is refused; without it the model's context
    checkpointing: bool = False  # activations are computed twice, not kept
    log_every: int = 10  # steps between records
    eval_every: int | None = None  # steps between looks at held-out rows; without it once an epoch
    patience: int = 0  # stop after so many looks without a better one; 0: train to the end
    save_every: int = 100  # steps between checkpoints
    seed: int = 0  # of the adapter's start, the order of rows and dropout

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if name in _OPTIONAL and value is None:
                continue
            if type(value) is not int or not least <= value < 2**63:
                raise RealmodelsError(
                    f"recipe: {name}: expected a whole number of at least {least}, got {shown(value)}"
                )
        for name, (least_number, most, open_low, open_high) in _SPANS.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if (
                not number
                or not least_number <= value <= most
                or (open_low and value == least_number)
                or (open_high and value == most)
            ):
                low = "above" if open_low else "at least"
                high = "" if most == math.inf else f" and {'below' if open_high else 'at most'} {most:g}"
                raise RealmodelsError(
                    f"recipe: {name}: expected a number {low} {least_number:g}{high}, got {shown(value)}"
                )
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise RealmodelsError(f"recipe: {name}: unknown {shown(value)}{nearest(str(value), known)}")
        if type(self.checkpointing) is not bool:
            raise RealmodelsError(
                f"recipe: checkpointing: expected true or false, got {shown(self.checkpointing)}"
            )
        good = isinstance(self.targets, tuple) and self.targets and all(map(_is_name, self.targets))
        if not good:
            raise RealmodelsError(
                f"recipe: targets: expected 'all-linear' or a list of layer names, got {shown(self.targets)}"
            )
        if not isinstance(self.style, str):
            raise RealmodelsError(f"recipe: style: expected a name, got {shown(self.style)}")
        from realmodels.prompting import style_named

        style_named(self.style)


def read_recipe(path: str | Path | None, overrides: Sequence[str] = ()) -> Recipe:
    """The usual recipe, changed by a YAML file and then by `key=value` words.

    >>> recipe = read_recipe(None, ["rate=1e-3", "epochs=2"])
    >>> recipe.rate, recipe.epochs, recipe.rank
    (0.001, 2, 16)
    """
    recipe = Recipe() if path is None else changed(Recipe(), _read(Path(path)), f"{path}")
    for word in overrides:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise RealmodelsError(f"--set {word!r}: expected KEY=VALUE, such as rate=1e-3")
        recipe = changed(recipe, {name: _parsed(f"--set {word!r}", text)}, "--set")
    return recipe


def changed(recipe: Recipe, said: Mapping[str, Any], where: str) -> Recipe:
    """The recipe with these values; a name that it does not have is an error."""
    known = [field.name for field in fields(Recipe)]
    given: dict[str, Any] = {}
    for name, value in said.items():
        if name not in known:
            raise RealmodelsError(f"{where}: unknown key {shown(name)}{nearest(str(name), known)}")
        given[name] = _shaped(name, value)
    try:
        return replace(recipe, **given)
    except RealmodelsError as wrong:
        raise RealmodelsError(f"{where}: {str(wrong).removeprefix('recipe: ')}") from None


def rate_at(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of step 0, 1, ..., steps - 1: up in a line, then as `decay` says."""
    rising = math.ceil(recipe.warmup * steps)
    if step < rising:
        return recipe.rate * (step + 1) / (rising + 1)
    done = (step - rising) / max(steps - rising, 1)
    if recipe.decay == "linear":
        return recipe.rate * (1 - done)
    return recipe.rate * ((1 + math.cos(math.pi * done)) / 2 if recipe.decay == "cosine" else 1.0)


_LEAST = {"rank": 1, "epochs": 1, "steps": 1, "batch": 1, "micro": 1, "max_tokens": 2, "log_every": 1}
_LEAST |= {"eval_every": 1, "patience": 0, "save_every": 1, "seed": 0}
_OPTIONAL = ("steps", "micro", "max_tokens", "eval_every")
_SPANS = {  # least, most, is the least excluded, is the most
    "alpha": (0.0, math.inf, True, False),
    "rate": (0.0, math.inf, True, False),
    "dropout": (0.0, 1.0, False, True),
    "warmup": (0.0, 1.0, False, False),
    "weight_decay": (0.0, math.inf, False, False),
    "clip": (0.0, math.inf, False, False),
    "beta1": (0.0, 1.0, False, True),
    "beta2": (0.0, 1.0, False, True),
}
_CHOICES = {"decay": DECAYS, "batching": BATCHING}


def _shaped(name: str, value: Any) -> Any:
    """YAML reads 1e-3 as text, and a single layer name is no list."""
    if name == "targets":
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    if name in _SPANS and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
        except (TypeError, ValueError):
            return value
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RealmodelsError(f"{path}: not UTF-8; expected a YAML file such as 'rate: 1e-3'") from None
    if len(text) > MOST:
        raise RealmodelsError(f"{path}: has {len(text):,} characters, more than the {MOST:,} of any recipe")
    said = _parsed(f"{path}", text)
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise RealmodelsError(f"{path}: expected KEY: VALUE lines such as 'rate: 1e-3', got {shown(said)}")
    return said


def _parsed(where: str, text: str) -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        """A key that stands there twice is an error and not the later one; nothing stands for something else, for
        ten lines of aliases can mean a billion values."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.composer.ComposerError(
                    problem="an alias; write its value out", problem_mark=self.peek_event().start_mark
                )
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key.value, str):
                    raise yaml.constructor.ConstructorError(
                        problem="a key that is no name", problem_mark=key.start_mark
                    )
                if key.value in keys:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{shown(key.value)} stands there twice", problem_mark=key.start_mark
                    )
                keys.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader=Strict)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise RealmodelsError(
            f"{where}{line}: not YAML: {getattr(problem, 'problem', None) or 'cannot be read'}"
        ) from None
    except (
        Exception
    ) as problem:  # a date of month 13, ten thousand brackets: what makes the values raises anything
        said = (
            str(problem)
            if isinstance(problem, ValueError)
            else f"a value that cannot be read ({problem!r:.60})"
        )
        raise RealmodelsError(f"{where}: not YAML: {said.splitlines()[0]}") from None

"""The studies of real models by name. Their modules, which need torch, are imported only when a study is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.executor import Executor
from realmodels.recipe import Recipe
from theory.schema import nearest

Say = Callable[[str], None]
FIRST_COUNTED = 10  # seeds below it are for choosing a regime; no verdict rests on them


@dataclass(frozen=True)
class Order:
    """What a `study` command was told. `settings` is of the study's own type; `recipe.seed` is each seed in turn."""

    model: str
    data: tuple[str, ...]
    output: Path
    settings: Any
    recipe: Recipe
    seeds: tuple[int, ...] = (10, 11, 12)
    audit: Path | None = None  # the folder of an audit, done or to be done; without it `output`/audit
    shared: Path | None = None  # where finished arms are kept; without it `arms` beside `output`
    preset: str = ""
    lab: str = ""  # without it by the model's size and name
    workers: int = 1
    executor: Executor = field(default_factory=Executor)
    mapping: Mapping[str, str] = field(default_factory=dict)
    dtype: str = "auto"
    device: str = "auto"
    allow_code: bool = False
    allow_pickle: bool = False
    keep_adapters: bool = False
    speed: float | None = None  # of --plan: tokens a second, in place of timing them here


@dataclass(frozen=True)
class Section:
    """A part of a study's summary: a heading, Markdown below it, and the same as plain values."""

    title: str
    text: str
    data: Any = None


@dataclass(frozen=True)
class Study:
    """`plan(order)` is the text of --plan, before any weight is loaded. `run(order, say)` writes order.output /
    records.jsonl, whole, and returns what the summary shows besides verdicts; started again it goes on.

    `studies` are the values of the records' field `study`: the claims of those are put to the records. `settings` is a
    frozen dataclass with a default for everything; it refuses nonsense with a `RealmodelsError`.
    """

    name: str
    studies: tuple[str, ...]
    settings: type
    plan: Callable[[Order], str]
    run: Callable[[Order, Say], Sequence[Section]]
    recipe: Recipe = field(default_factory=Recipe)  # where neither preset nor --set says otherwise


STUDIES: Mapping[str, str] = {
    name: f"realmodels.study_{name}:STUDY" for name in ("salience", "prompts", "slick", "beliefs")
}


def available() -> tuple[str, ...]:
    """Names of the studies that are installed."""
    return tuple(name for name, path in STUDIES.items() if find_spec(path.partition(":")[0]))


def study_named(name: str) -> Study:
    if name not in (known := available()):
        raise RealmodelsError(f"study: unknown '{name}'{nearest(name, known)}")
    module, _, attribute = STUDIES[name].partition(":")
    found: Study = getattr(import_module(module), attribute)
    return found

"""The studies, by name. Their files, which need torch, are imported only when a study is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from theory.schema import Record

WORKER_MB = 600.0  # resident memory of a worker that has loaded torch and trains the default model


class Report(Protocol):
    """Say what is being done now and which share of the unit is done."""

    def __call__(self, what: str, share: float | None = None) -> None: ...


@dataclass(frozen=True)
class Study:
    """Records as a pure function of setup and seed, and what they cost.

    `run(setup, seed, cache, report)`; `arms(setup)` names what is trained, and nothing if the study does not apply
    to this setup; `cost_seconds(setup)` is one seed on one core of the reference machine, without the shared base.
    """

    name: str
    run: Callable[[Any, int, Path, Report], Iterable[Record]]
    arms: Callable[[Any], Sequence[str]]
    cost_seconds: Callable[[Any], float]
    memory_mb: Callable[[Any], float] = lambda setup: WORKER_MB


STUDIES: dict[str, str] = {
    name: f"synthetic.studies.{name}:STUDY"
    for name in ("salience", "validity", "prompts", "slick", "beliefs", "crosstests")
}
SETUP = "synthetic.setup:setup_for"
SETUP_FROM = "synthetic.setup:setup_from"
SHARED_SECONDS = "synthetic.costs:shared_seconds"

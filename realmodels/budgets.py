"""How much to spend on a label: a number of prompts and a way to ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realmodels.errors import RealmodelsError
from theory.schema import nearest


@dataclass(frozen=True)
class Budget:
    """`prompts` few-shot prompts a row; `estimator` reads each (exact, hybrid or sample)."""

    prompts: int
    estimator: str


BUDGETS: Mapping[str, Budget] = {
    "cheap": Budget(2, "exact"),  # the least that can tell MaybeKnown from HighlyKnown
    "standard": Budget(10, "exact"),
    "paper": Budget(10, "sample"),  # 10 x (1 greedy + 16 samples)
}


def budget_named(name: str, prompts: int | None = None, estimator: str | None = None) -> Budget:
    """The named budget, with prompts or estimator replaced where they are given."""
    if name not in BUDGETS:
        raise RealmodelsError(f"--budget: unknown '{name}'{nearest(name, BUDGETS)}")
    base = BUDGETS[name]
    if prompts is not None and prompts < 1:
        raise RealmodelsError(f"--prompts: expected at least 1, got {prompts}")
    return Budget(base.prompts if prompts is None else prompts, estimator or base.estimator)

"""What a theorem is: words, assumptions, a formula, a check that tries to break it, what breaks without them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from theory.errors import TheoryError

Status = Literal["proved", "proved in expectation", "corollary", "measured", "counterexample"]


@dataclass(frozen=True)
class Outcome:
    """What random instances found: how many there were, how many broke the statement, the worst numerical error."""

    instances: int
    violations: int
    worst_error: float
    note: str = ""

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.instances + other.instances,
            self.violations + other.violations,
            max(self.worst_error, other.worst_error),
            "; ".join(note for note in (self.note, other.note) if note),
        )


@dataclass(frozen=True)
class CheckResult:
    """An `Outcome` with its theorem, seed and time."""

    theorem: str
    seed: int
    instances: int
    violations: int
    worst_error: float
    seconds: float
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.violations == 0 and self.instances > 0


@dataclass(frozen=True)
class Counterexample:
    """A concrete instance on which the statement fails once the assumption `drops` is given up.

    `build()` computes the instance and returns its numbers under readable names; the key `"breaks"` must be
    there and says whether the statement fails on it.
    """

    drops: str
    words: str
    build: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Theorem:
    """A statement that can check itself.

    `run(n, rng, **overrides)` draws about `n` random instances and compares `formula` with an independent
    computation.
    Every entry of `perturbations` is a set of overrides that makes the statement false (a flipped sign, a
    shifted threshold, a dropped assumption): a check that reports no violations under it could not have failed.
    """

    id: str
    title: str
    statement: str
    latex: str
    assumptions: Mapping[str, str]
    status: Status
    source: str
    formula: Callable[..., Any]
    run: Callable[..., Outcome]
    perturbations: Mapping[str, Mapping[str, Any]]
    counterexamples: tuple[Counterexample, ...] = ()
    keeps: Mapping[str, str] | None = None  # assumptions that can't be dropped alone, with the reason

    def __post_init__(self) -> None:
        for example in self.counterexamples:
            if example.drops not in self.assumptions:
                raise TheoryError(
                    f"{self.id}: counterexample drops {example.drops!r}, which is no assumption"
                )
        explained = {example.drops for example in self.counterexamples} | set(self.keeps or {})
        if silent := set(self.assumptions) - explained:
            raise TheoryError(
                f"{self.id}: {sorted(silent)} have neither a counterexample nor a reason in keeps"
            )
        if not self.perturbations:
            raise TheoryError(f"{self.id}: no perturbation: nothing shows that its check can fail")

    def check(self, n: int = 1000, seed: int = 0, **overrides: Any) -> CheckResult:
        """Draw about `n` random instances from `seed` and try to break the statement.

        >>> from theory import THEOREMS
        >>> THEOREMS["T2"].check(n=100).holds
        True
        >>> THEOREMS["K4"].counterexamples[0].build()["breaks"]
        True
        """
        for name, value, least in (("n", n, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
                raise TheoryError(f"{self.id}: {name}: expected an integer >= {least}, got {value!r}")
        rng = np.random.default_rng(np.random.SeedSequence([seed, *self.id.encode()]))
        start = time.perf_counter()
        with np.errstate(over="ignore", under="ignore"):
            outcome = self.run(n, rng, **overrides)
        seconds = time.perf_counter() - start
        return CheckResult(
            self.id, seed, outcome.instances, outcome.violations, outcome.worst_error, seconds, outcome.note
        )

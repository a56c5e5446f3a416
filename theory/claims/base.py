"""What a claim is: cells to read, parts with a direction, and a decision rule that follows from them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from theory.claims.vocabulary import PRIMARY, UNITS
from theory.errors import TheoryError

Array = NDArray[np.float64]
Stop = Literal["early", "end", "every"]
Direction = Literal["above", "below", "not below", "within"]
Role = Literal["decides", "if present", "reported"]
Mark = Literal["paper", "secondary", "recalled", "ours"]

LEVEL = 0.05  # two-sided, after Holm's correction over the deciding parts of a family in one run
MIN_SEEDS = 3
EDGE = (
    0.05  # of 0 or 1: where all arms are within it, no gap of the size that papers report (5 points) has room
)
MARGIN = 0.02  # 2 points: what counts as no difference where the paper gives no margin of its own
MARKS: Mapping[Mark, str] = {
    "paper": "read in the paper (its text, abstract or an excerpt)",
    "secondary": "read in a review, digest or later paper, not in the paper itself",
    "recalled": "from memory, not verified in the paper",
    "ours": "proposed here",
}


@dataclass(frozen=True)
class Cell:
    """Which rows of a study's records hold one number a seed (a curve over steps if `stop` is every).

    An empty `arm` is the run's primary one (`vocabulary.PRIMARY`), `base` another pretraining; `|` joins
    values of a stratum that are pooled by n.
    """

    metric: str
    trained_on: str
    stop: Stop = "end"
    split: str = "test"
    stratum: str = "all"
    prompt: str = "zero"
    arm: str = ""
    base: str = ""

    def at(self, **changes: Any) -> Cell:
        """The same cell but for these fields."""
        return replace(self, **changes)

    def arm_in(self, primary: str) -> str:
        """The value of the `arm` column that is meant, where `primary` is the run's primary arm."""
        return (self.arm or primary) + (f"@{self.base}" if self.base else "")

    def where(self, primary: str = "") -> str:
        """The filter in words, as the fields of a record."""
        arm = self.arm_in(primary or f"<{' or '.join(PRIMARY)}>")
        step = {"early": "its early stop", "end": "its last step", "every": "every step"}[self.stop]
        return (
            f"metric={self.metric} trained_on={self.trained_on} arm={arm} prompt={self.prompt} "
            f"split={self.split} stratum={self.stratum} at {step}"
        )


@dataclass(frozen=True)
class Series:
    """One value a seed, seeds ascending; `items` (seed index, item, value) if all rows were single items."""

    seeds: NDArray[np.int64]
    values: Array
    items: tuple[NDArray[np.int64], NDArray[np.int64], Array] | None = None


@dataclass(frozen=True)
class Curve:
    """values[seed, step], nan where there is no row, and the n behind each; seeds and steps ascending."""

    seeds: NDArray[np.int64]
    steps: NDArray[np.int64]
    values: Array
    n: Array


@dataclass(frozen=True)
class ItemCurve:
    """values[seed, step, item], nan where an item has no row, at the seeds and steps of the same cell's `Curve`."""

    names: NDArray[np.int64]
    values: Array


@dataclass(frozen=True)
class Absent:
    """No such rows: the filter that found nothing."""

    where: str


@dataclass(frozen=True)
class Measured:
    """A part's effect per paired seed; `matrix` [seeds, items] if all rows were items; what was missing.

    `limits` are the least and most that an item's effect can be where every cell holds shares (0 to 1).
    """

    seeds: NDArray[np.int64]
    effects: Array
    matrix: Array | None = None
    shared_items: bool = False
    missing: tuple[str, ...] = ()
    unpaired: int = 0
    limits: tuple[float, float] | None = None

    def of(self, seeds: NDArray[np.int64]) -> Measured:
        """The same of these seeds alone."""
        keep = np.isin(self.seeds, seeds)
        if keep.all():
            return self
        matrix = None if self.matrix is None else self.matrix[keep]
        shared = matrix is not None and bool(((~np.isnan(matrix)).sum(axis=0) > 1).any())
        return replace(
            self, seeds=self.seeds[keep], effects=self.effects[keep], matrix=matrix, shared_items=shared
        )


class Evidence(Protocol):
    """The rows of one study in one run."""

    def series(self, cell: Cell) -> Series | Absent: ...
    def curve(self, cell: Cell) -> Curve | Absent: ...


class Estimator(Protocol):
    """A quantity with one value a seed."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that must hold rows."""
        ...

    def measure(self, evidence: Evidence) -> Measured: ...


@dataclass(frozen=True)
class Published:
    """The number (or range) of the paper in the part's unit, how it was read, and where it stands."""

    low: float
    high: float
    mark: Mark
    where: str

    def __str__(self) -> str:
        number = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f"{number} ({self.mark})"


def published(value: float, where: str, mark: Mark = "paper") -> Published:
    return Published(value, value, mark, where)


@dataclass(frozen=True)
class Part:
    """A quantity and where the claim says it lies.

    That is above or below `null` (by more than a margin, if one is given), not below null - margin, or
    within null +- margin.

    `null` and `margin` are in the records' own scale (fractions). A part `decides`, decides `if present`
    (rows that only some laboratories can write), or is `reported` beside the decision without a test.

    Each of `rooms` are shares between 0 and 1 (a gap's two arms in one place): where all of one are within `EDGE` of 0,
    or all within it of 1, there is no room for a gap, and the part is decided neither way.
    """

    name: str
    quantity: Estimator
    direction: Direction = "above"
    null: float = 0.0
    margin: float = 0.0
    unit: str = "points"
    published: Published | None = None
    role: Role = "decides"
    rooms: tuple[tuple[Cell, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise TheoryError(
                f"part {self.name!r}: unit {self.unit!r} is not known; expected one of {', '.join(UNITS)}"
            )
        if self.margin <= 0 and self.direction in ("not below", "within"):
            raise TheoryError(
                f"part {self.name!r}: {self.direction!r} needs a margin > 0, got {self.margin:g}"
            )

    @property
    def scale(self) -> float:
        return UNITS[self.unit]

    @property
    def rule(self) -> str:
        """Where the quantity is claimed to lie, in words and in its unit."""
        null, margin = self.null * self.scale, self.margin * self.scale
        opposite = (
            f" (opposite: {'below' if self.direction == 'above' else 'above'} {null:g})" if margin else ""
        )
        return {
            "above": f"above {null + margin:g}{opposite}",
            "below": f"below {null - margin:g}{opposite}",
            "not below": f"not below {null - margin:g}",
            "within": f"between {null - margin:g} and {null + margin:g}",
        }[self.direction]


@dataclass(frozen=True)
class Paper:
    short: str
    citation: str


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper (in our words), the study whose rows speak to it, and the parts that decide.

    `mark` says how the sentence was read, as a published number's mark does of the number.
    """

    id: str
    title: str
    sentence: str
    paper: Paper
    study: str
    parts: tuple[Part, ...]
    note: str = ""
    mark: Mark = "paper"

    def __post_init__(self) -> None:
        if not any(part.role == "decides" for part in self.parts):
            raise TheoryError(f"claim {self.id}: no part decides")

    @property
    def family(self) -> str:
        """Claims that share a correction for multiplicity: those with the same letter."""
        return self.id[0]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell it reads, once each, in order."""
        return tuple(dict.fromkeys(cell for part in self.parts for cell in part.quantity.cells))

    @property
    def rule(self) -> str:
        """The decision rule in words."""
        words = []
        for role, said in (("decides", "{}"), ("if present", "{} (asked where such rows exist)")):
            words += [said.format(f"{p.name} is {p.rule} {p.unit}") for p in self.parts if p.role == role]
        room = (
            f" A part that reads a place where all arms answer less than {EDGE:.0%}, or more than {1 - EDGE:.0%}, is "
            "decided neither way: no gap has room there."
        )
        return (
            f"Reproduced if {'; and '.join(words)}. "
            f"Each at a two-sided {LEVEL:.0%} over seeds, and over items too where rows are single items, after "
            "Holm's correction within the family, with a bootstrap interval over seeds that agrees. Contradicted if "
            "one of them is shown to lie on the other side. "
            f"Else inconclusive, as with fewer than {MIN_SEEDS} paired seeds."
            + (room if any(part.rooms for part in self.parts) else "")
        )

    def to_text(self) -> str:
        """For a person: sentence, rule, parts with the paper's numbers, and the rows it reads."""
        lines = [f"{self.id}  {self.title}", f"source: {self.paper.citation}"]
        lines += [f"sentence: {MARKS[self.mark]}", f"study: {self.study}", ""]
        lines += [*_wrapped(self.sentence), "", *_wrapped(self.rule)]
        if self.note:
            lines += ["", *_wrapped(f"Note: {self.note}")]
        lines += ["", "Parts"]
        for part in self.parts:
            number = f"; the paper: {part.published}, {part.published.where}" if part.published else ""
            role = "" if part.role == "decides" else f" [{part.role}]"
            lines += _wrapped(f"{part.name}{role}: {part.rule} {part.unit}{number}", "  - ")
        lines += ["", "Rows"]
        lines += [f"  study={self.study} {cell.where()}" for cell in self.cells]
        return "\n".join(lines)


def _wrapped(text: str, bullet: str = "") -> list[str]:
    indent = " " * len(bullet)
    return textwrap.wrap(text, 100, initial_indent=bullet, subsequent_indent=indent, break_on_hyphens=False)

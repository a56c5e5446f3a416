"""What a measurement is: a pure function from seeds to the rows of one table, with the pilot study's numbers
to hold beside it.

Accuracies and attention are in points (percent) throughout, as the tables of the pilot study are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.errors import TheoryError
from theory.intervals import t_interval

Cell = str | int | float
Row = dict[str, Cell]
INTERVAL = ("mean", "low", "high", "n")


@dataclass(frozen=True)
class Pilot:
    """One number of the pilot study: the row it belongs to, its value, half the width of its 95% interval if it
    was given, and half a unit of the last digit if it was told in round numbers.
    """

    where: Mapping[str, Cell]
    value: float
    half: float | None = None
    rounding: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """One table. `run(seeds)` gives its rows; with `worth_drawing` there is a picture of it.

    `cost` is about how many seconds 24 seeds take beyond what its module has already done for the measurement before
    it; it decides the order of work and what the progress bar shows, nothing else.
    """

    id: str
    title: str
    columns: tuple[str, ...]
    run: Callable[[Sequence[int]], list[Row]]
    pilot: tuple[Pilot, ...] = ()
    worth_drawing: bool = False
    cost: float = 1.0

    @property
    def module(self) -> str:
        """The module whose intermediate results it shares."""
        return self.run.__module__.rpartition(".")[2]

    def compare(self, rows: Sequence[Row]) -> list[Row]:
        """The pilot's numbers beside ours, with a verdict."""
        return [compare(self.id, pilot, _find(self.id, rows, pilot.where)) for pilot in self.pilot]


def compare(measurement: str, pilot: Pilot, row: Mapping[str, Any]) -> Row:
    """The rule, fixed beforehand: "differs" if the 95% interval of the difference excludes zero.

    Its half width is the root of the sum of squares of both half widths; a pilot number without interval
    counts as exact, so it agrees if it lies inside our interval, up to its rounding. Ours is nan or without
    finite interval: "cannot tell".
    """
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
    difference = mean - pilot.value
    ours = (mean - low) if difference > 0 else (high - mean)
    half = float(np.hypot(ours, pilot.half or 0.0))
    told = np.isfinite(half) and np.isfinite(difference)
    verdict = ("differs" if abs(difference) > half + pilot.rounding else "agrees") if told else "cannot tell"
    return {
        "measurement": measurement,
        "row": ", ".join(f"{key}={value}" for key, value in pilot.where.items()),
        "mean": mean,
        "low": low,
        "high": high,
        "n": row["n"],
        "pilot": pilot.value,
        "pilot_half": float("nan") if pilot.half is None else pilot.half,
        "difference": difference,
        "verdict": verdict,
        "sign": "same" if mean * pilot.value > 0 else "opposite",
    }


COMPARISON = ("measurement", "row", *INTERVAL, "pilot", "pilot_half", "difference", "verdict", "sign")


def summary(keys: Mapping[str, Cell], per_seed: ArrayLike) -> Row:
    """A row with mean and 95% interval (Student's t over seeds); seeds where the value does not exist (nan)
    do not count.
    """
    x = np.asarray(per_seed, dtype=np.float64)
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return {**keys, "mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    interval = t_interval(x)
    return {**keys, "mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def resampled(
    keys: Mapping[str, Cell], units: int, statistic: Callable[[Any], float], draws: int = 400, seed: int = 0
) -> Row:
    """A row for a statistic of a sample: its value, and the 2.5 and 97.5 percentiles over bootstrap samples
    of the units.

    `statistic` takes an array of unit numbers (with repetitions), such as the seeds or the configurations.
    """
    value = statistic(np.arange(units))
    if units < 2:
        return {**keys, "mean": value, "low": float("-inf"), "high": float("inf"), "n": units}
    rng = np.random.default_rng(seed)
    draw = [statistic(rng.integers(0, units, units)) for _ in range(draws)]
    low, high = np.nanquantile(draw, [0.025, 0.975])
    return {**keys, "mean": value, "low": float(low), "high": float(high), "n": units}


def r_squared(predicted: ArrayLike, found: ArrayLike) -> float:
    """Share of the variance of `found` that `predicted` explains as it stands (no line is fitted)."""
    p, y = np.asarray(predicted, float), np.asarray(found, float)
    return float(1.0 - np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2))


def _find(measurement: str, rows: Sequence[Row], where: Mapping[str, Cell]) -> Row:
    found = [row for row in rows if all(row.get(key) == value for key, value in where.items())]
    if len(found) != 1:
        raise TheoryError(f"{measurement}: found {len(found)} rows with {dict(where)}, expected exactly one")
    return found[0]

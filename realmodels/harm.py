"""What would tuning on a subset do to held-out knowledge? A prediction from its mean margin, marked as one.

With measured effects of tuning (`--calibration`) a straight line effect = a + b x margin is fitted, and a subset's
effect comes with the interval in which a new measurement would fall. Without them nothing is known about the slope:
subsets are only put in order of their mean margin, highest first, as the theory expects them from helpful to harmful.
"""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from realmodels.audit_found import Found
from realmodels.errors import RealmodelsError
from realmodels.tables import read_table
from theory.intervals import t_interval
from theory.schema import nearest, shown
from theory.slick import Category

Array = NDArray[np.float64]
HIGHEST = 1e6  # nats or accuracy; beyond it something else stands in the column
LEAST = 3  # measured sets that a line with an uncertainty needs


@dataclass(frozen=True)
class Line:
    """Least squares through measured (margin, effect): what is fitted, and how far a new point may lie from it."""

    slope: float
    intercept: float
    slope_low: float
    slope_high: float
    spread: float  # standard deviation around the line
    n: int
    centre: float
    scatter: float  # sum of squares of the margins around their centre
    lowest: float
    highest: float
    level: float
    alone: float = (
        0.0  # variance that one measured set has beyond that of the points, which may be means of several
    )

    def predict(self, margin: float) -> tuple[float, float, float]:
        """(effect, low, high) of one more measured set of this mean margin."""
        middle = self.intercept + self.slope * margin
        wide = self.spread**2 * (1 + 1 / self.n + (margin - self.centre) ** 2 / self.scatter) + self.alone
        half = float(stdtrit(self.n - 2, (1 + self.level) / 2)) * math.sqrt(wide)
        return middle, middle - half, middle + half

    def covers(self, margin: float) -> bool:
        """Whether sets of such a margin were measured; elsewhere the line is drawn on into the unknown."""
        return self.lowest <= margin <= self.highest


@dataclass(frozen=True)
class Forecast:
    """A candidate subset. `low` and `high` bound the effect; without calibration there is none, and they are None."""

    name: str
    rows: int
    margin: float
    margin_low: float
    margin_high: float
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    outside: bool = False


def fit(margins: Sequence[float], effects: Sequence[float], level: float = 0.95) -> Line:
    """The line through measured training sets."""
    x, y = np.asarray(margins, float), np.asarray(effects, float)
    if len(x) < LEAST:
        raise RealmodelsError(
            f"calibration: {len(x)} measured sets (those of one name are one); a line with an uncertainty needs {LEAST}"
        )
    scatter = float(((x - x.mean()) ** 2).sum())
    if scatter == 0:
        raise RealmodelsError("calibration: all measured sets have the same margin; no slope can be fitted")
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / scatter)
    intercept = float(y.mean() - slope * x.mean())
    spread = math.sqrt(float(((y - intercept - slope * x) ** 2).sum()) / (len(x) - 2))
    half = float(stdtrit(len(x) - 2, (1 + level) / 2)) * spread / math.sqrt(scatter)
    ends = float(x.min()), float(x.max())
    return Line(
        slope, intercept, slope - half, slope + half, spread, len(x), float(x.mean()), scatter, *ends, level
    )


def read_calibration(path: str | Path, level: float = 0.95) -> Line:
    """Fit a file with a row a measured training set: its mean `margin` and the `effect` on held-out accuracy. Rows with
    the same `set`, one way to choose drawn again under other seeds, are one point, their mean: they share rows and test
    facts, and counted one by one they would make the line look surer than it is."""
    path = Path(path)
    points: dict[object, list[tuple[float, float]]] = {}
    for line, row in read_table(path):
        name = row.get("set")
        own = line if name in (None, "") else (str(name), str(row.get("rows", "")))
        points.setdefault(own, []).append(
            (_number(path, line, row, "margin"), _number(path, line, row, "effect"))
        )
    groups = [np.array(some) for some in points.values()]
    means = [some.mean(axis=0) for some in groups]
    try:
        found = fit([x for x, _ in means], [y for _, y in means], level)
    except RealmodelsError as problem:
        raise RealmodelsError(f"{path}: {problem}") from None
    return replace(found, alone=_alone(groups, found.slope))


def _alone(groups: Sequence[Array], slope: float) -> float:
    """What the variance of a single set around the line is above that of its name's mean."""
    spare = sum(len(some) - 1 for some in groups)
    if not spare:
        return 0.0
    off = [np.array([-slope, 1.0]) @ (some - some.mean(axis=0)).T for some in groups]
    within = sum(float((part**2).sum()) for part in off) / spare
    return within * (1 - float(np.mean([1 / len(some) for some in groups])))


def subsets(found: Found) -> dict[str, NDArray[np.int64]]:
    """Candidate training sets by name: those of a label, by margin, without what could pass for knowledge."""
    labels, margin = found.labels, found.margin
    everything = np.arange(len(labels))
    sets = {"all rows": everything}
    for category in sorted(Category, reverse=True):
        sets[category.name] = everything[labels == category]
    sets["known (HighlyKnown, MaybeKnown)"] = everything[labels >= Category.MaybeKnown]
    measured = everything[~np.isnan(margin)]
    order = measured[np.argsort(-margin[measured], kind="stable")]
    half = len(order) // 2
    sets["upper half by margin"], sets["lower half by margin"] = order[:half], order[half:]
    sets["no overlap with the subject"] = everything[~found.overlap]
    sets["no dominant answer"] = everything[~found.dominant]
    return {name: rows for name, rows in sets.items() if (~np.isnan(margin[rows])).any()}


def forecast(found: Found, line: Line | None = None, level: float = 0.95) -> list[Forecast]:
    """All candidate subsets, from the one expected to help most."""
    if np.isnan(found.margin).all():
        raise RealmodelsError(
            "--predict-harm: no row has a margin, for no relation has two subjects; map a relation or a subject column"
        )
    made = []
    for name, rows in subsets(found).items():
        margin = found.margin[rows]
        some = t_interval(margin[~np.isnan(margin)], level)
        effect, low, high = line.predict(some.mean) if line else (None, None, None)
        outside = line is not None and not line.covers(some.mean)
        made.append(Forecast(name, some.n, some.mean, some.low, some.high, effect, low, high, outside))
    return sorted(made, key=lambda one: -one.margin if one.effect is None else -one.effect)


def render(made: Sequence[Forecast], line: Line | None) -> str:
    """The prediction for a terminal; what it rests on stands above it."""
    if line is None:
        head = (
            "PREDICTION, not a measurement: an uncalibrated ranking of training sets by mean margin (nats), the most "
            "helpful expected first. No measured effects were given (--calibration FILE with margin and effect), so "
            f"nothing is said about sizes or signs of effects. {_support()}"
        )
        table: list[tuple[str, ...]] = [("training set", "rows", "mean margin", "interval over rows")]
    else:
        head = (
            f"PREDICTION, not a measurement: effect = {line.intercept:.4g} + {line.slope:.4g} x margin, least squares "
            f"over {line.n} measured training sets, those of one name as their mean "
            f"(slope {line.slope_low:.4g} to {line.slope_high:.4g}, spread "
            f"around the line {line.spread:.4g}). The interval is where one more measured set falls "
            f"{line.level:.0%} of the time."
        )
        table = [("training set", "rows", "mean margin", "interval over rows", "effect", "interval", "")]
    for one in made:
        cells: tuple[str, ...] = (
            one.name,
            str(one.rows),
            f"{one.margin:.3f}",
            _interval(one.margin_low, one.margin_high),
        )
        if one.effect is not None and one.low is not None and one.high is not None:
            remark = "beyond the measured margins" if one.outside else ""
            cells += (f"{one.effect:.4f}", f"{one.low:.4f} to {one.high:.4f}", remark)
        table.append(cells)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    rows = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
    foot = "The halves by margin were chosen by it, so chance makes their margins look further apart than they are."
    return "\n".join([*textwrap.wrap(head, 110), "", *rows, "", foot])


def _support() -> str:
    """How well the margin ordered training sets where that was measured: read from this project's own results."""
    from importlib.resources import files

    path = files("theory") / "results" / "scoreboard.csv"
    if not path.is_file():
        return "The order rests on theory alone."
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    for row in rows:
        wanted = (row["claim"], row["lab"], row["arm"], row["part"])
        if wanted == ("X1", "theory/R1-onehot", "all", _PART) and row["effect"]:
            low, high, effect = (float(row[name]) for name in ("low", "high", "effect"))
            return (
                f"On one-layer networks its rank correlation with the accuracy left was {effect:.2f} "
                f"[{low:.2f}, {high:.2f}] ({row['seeds']} seeds)."
            )
    return "The order rests on theory alone."


_PART = "rank correlation of margin and accuracy over training sets"


def _interval(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if math.isfinite(low) and math.isfinite(high) else "one row"


def _number(path: Path, line: int, row: Mapping[str, object], name: str) -> float:
    if name not in row:
        raise RealmodelsError(f"{path}:{line}: field '{name}' is missing{nearest(name, row)}")
    value = row[name]
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= HIGHEST:
        raise RealmodelsError(
            f"{path}:{line}: field '{name}': expected a finite number, got {shown(value)}"
            f"{f', which is beyond {HIGHEST:g}' * math.isfinite(number)}"
        )
    return number

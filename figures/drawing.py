"""Strokes that pictures of findings share: curves with bands, points with intervals, and the numbers beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.columns import write_columns
from figures.runs import Runs, band, reach, seeds_of, slug
from figures.style import COLOURS, LINES, MARKERS, QUIET, save
from theory.claims.evidence import StudyRows
from theory.intervals import Interval

Rows = list[dict[str, Any]]
MEANS = "mean and 95% interval"


def line(axes: Any, x: NDArray[np.float64], curves: NDArray[np.float64], i: int, label: str) -> Rows:
    """The mean of curves (seeds, x) with its interval as a band."""
    middle, low, high = band(curves)
    axes.plot(x, middle, color=COLOURS[i], linestyle=LINES[i], label=label)
    axes.fill_between(x, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
    rows = zip(x.tolist(), middle.tolist(), low.tolist(), high.tolist(), strict=True)
    return [
        {"series": label, "x": a, "mean": m, "low": b, "high": c, "n": len(curves)} for a, m, b, c in rows
    ]


def points(
    axes: Any,
    x: Iterable[float],
    found: Sequence[Interval],
    i: int,
    label: str,
    *,
    joined: bool = True,
    scale: float = 1.0,
    names: Sequence[object] = (),
    **more: object,
) -> Rows:
    """Means with intervals at x, a line through them if `joined`; what is drawn is the numbers times `scale`.
    `names` are the places' names in the table, if x is only where they are drawn."""
    place = list(x)
    axes.errorbar(
        place,
        [scale * one.mean for one in found],
        scale * np.transpose([reach(one) for one in found]),
        color=COLOURS[i],
        linestyle=LINES[i] if joined else "none",
        marker=MARKERS[i],
        capsize=2,
        elinewidth=1.0,
        label=label or None,
    )
    told = names or place
    return [row(" ".join(label.split()), at, one, scale) | more for at, one in zip(told, found, strict=True)]


def sideways(
    axes: Any, y: Iterable[float], found: Sequence[Interval], i: int, label: str, names: Sequence[object]
) -> Rows:
    """Means with intervals lying, one at each y, in points."""
    axes.errorbar(
        [100 * one.mean for one in found],
        list(y),
        xerr=100 * np.transpose([reach(one) for one in found]),
        color=COLOURS[i],
        linestyle="none",
        marker=MARKERS[i],
        capsize=2,
        elinewidth=1.0,
        label=label or None,
    )
    return [row(label, at, one, 100.0) for at, one in zip(names, found, strict=True)]


def row(series: str, x: object, one: Interval, scale: float = 1.0) -> dict[str, Any]:
    """A line of the table: what is drawn, in the unit of the axis."""
    mean, low, high = (scale * value for value in (one.mean, one.low, one.high))
    return {"series": series, "x": x, "mean": mean, "low": low, "high": high, "n": one.n}


def head(figure: Any, title: str) -> None:
    """A title over several panels."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=8.5, fontweight="bold")


def note(figure: Any, text: str) -> None:
    figure.supxlabel(text, fontsize=7, color=QUIET)


def about(rows: StudyRows, *more: str) -> str:
    """Where the numbers come from: what else is to be said, the laboratory, and how many seeds."""
    return "; ".join(part for part in (*more, f"{rows.lab}, {seeds_of(rows)}, {MEANS}") if part)


def keep(figure: Any, folder: Path, runs: Runs, kind: str, rows: StudyRows, table: Rows) -> list[Path]:
    """The picture and the numbers in it, named after the laboratory, and after the run where it has several."""
    return keep_as(figure, folder, name_of(runs, kind, rows), table)


def keep_as(figure: Any, folder: Path, name: str, table: Rows) -> list[Path]:
    names = dict.fromkeys(key for one in table for key in one)
    columns = {key: np.array([one.get(key, "") for one in table], object) for key in names}
    return [*save(figure, folder, name), write_columns(folder / f"{name}.csv", columns)]


def name_of(runs: Runs, kind: str, rows: StudyRows) -> str:
    """A file's stem that no other run of that study has."""
    several = sum(one.lab == rows.lab for one in runs.of(rows.study)) > 1
    return f"{kind}-{slug(rows.lab)}" + (f"-{slug(rows.run)}" if several else "")

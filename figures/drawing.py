"""Strokes that pictures of findings share: curves with bands, points with intervals, and the numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from figures.columns import Columns
from figures.curves import GRID, Progress
from figures.runs import Runs, reach, seeds_of, slug
from figures.sheets import kept
from figures.style import COLOURS, HATCHES, INK, LINES, MARKERS, SMALL, house
from figures.words import because, counted
from theory.claims import Cell
from theory.claims.base import Absent
from theory.claims.evidence import StudyRows
from theory.claims.interval import OVER, SEEDS, over
from theory.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = list[dict[str, Any]]
Drawn = tuple["Figure", Rows]
Picture = Callable[[Runs, Path], list[Path]]
PERCENT = 100.0
NONE = Interval(
    math.nan, math.nan, math.nan, 0.95, 0, math.nan, ""
)  # where not every seed has been looked at


def of_each(study: str, kind: str) -> Callable[[Callable[[Runs, StudyRows], Drawn | None]], Picture]:
    """A picture of every run of a study that has the rows for it; `draw` returns None where they are missing. Files
    are named after the kind and the laboratory, and after the run where the laboratory has several."""

    def make(draw: Callable[[Runs, StudyRows], Drawn | None]) -> Picture:
        @wraps(draw)
        def picture(runs: Runs, folder: Path) -> list[Path]:
            paths: list[Path] = []
            with house():
                for rows in runs.of(study):
                    if (drawn := draw(runs, rows)) is not None:
                        name = name_of(runs, kind, rows)
                        paths += kept(drawn[0], {name: columns(drawn[1])}, folder, name)
            return paths

        return picture

    return make


def name_of(runs: Runs, kind: str, rows: StudyRows) -> str:
    """A file's stem that no other run of that study has."""
    several = sum(one.lab == rows.lab for one in runs.of(rows.study)) > 1
    return f"{kind}-{slug(rows.lab)}" + (f"-{slug(rows.run)}" if several else "")


def columns(table: Rows) -> Columns:
    """A table as columns, empty where a row lacks one."""
    names = dict.fromkeys(key for one in table for key in one)
    return {key: np.array([one.get(key, "") for one in table], object) for key in names}


def line(axes: Any, found: Progress, i: int, label: str) -> Rows:
    """The mean of curves along a fine-tuning with its interval as a band, in percent."""
    table: Rows = []
    for share, one in zip(GRID, found.intervals(), strict=True):
        table.append(row(label, 100 * float(share), one or replace(NONE, n=len(found.curves))))
    x, middle, low, high = (np.array([one[key] for one in table]) for key in ("x", "mean", "low", "high"))
    axes.plot(x, middle, color=COLOURS[i], linestyle=LINES[i], label=label)
    ends = (np.where(np.isfinite(end), end, np.nan) for end in (low, high))
    axes.fill_between(x, *ends, color=COLOURS[i], alpha=0.15, linewidth=0)
    return table


def points(
    axes: Any,
    x: Iterable[float],
    found: Sequence[Interval],
    i: int,
    label: str,
    *,
    joined: bool = True,
    scale: float = PERCENT,
    names: Sequence[object] = (),
    **more: object,
) -> Rows:
    """Means with intervals at x, a line through them if `joined`; what is drawn is the numbers times `scale`: percent.
    `names` are the places' names in the table, if x is only where they are drawn."""
    place = list(x)
    axes.errorbar(
        place,
        [scale * one.mean for one in found],
        whiskers(found, scale),
        color=COLOURS[i],
        linestyle=LINES[i] if joined else "none",
        marker=MARKERS[i],
        capsize=2,
        elinewidth=1.0,
        label=label or None,
    )
    told = names or place
    return [row(" ".join(label.split()), at, one, scale) | more for at, one in zip(told, found, strict=True)]


def whiskers(found: Sequence[Interval], scale: float) -> NDArray[np.float64] | None:
    """How far intervals go below and above their means (2, n), no number where there is none; None without any."""
    ends = scale * np.array([reach(one) for one in found]).reshape(-1, 2).T
    return ends if np.isfinite(ends).any() else None


def apart(
    axes: Any,
    series: Mapping[str, str],
    names: Sequence[str],
    found: Mapping[tuple[str, str], Interval],
    step: float,
) -> Rows:
    """Several series (with their words) at the same named places, `step` apart; `found` by series and name."""
    table: Rows = []
    for i, (key, said) in enumerate(series.items()):
        place = [k + step * (i - (len(series) - 1) / 2) for k in range(len(names))]
        table += points(axes, place, [found[key, name] for name in names], i, said, joined=False, names=names)
    return table


def sideways(
    axes: Any, y: Iterable[float], found: Sequence[Interval], i: int, label: str, names: Sequence[object]
) -> Rows:
    """Means with intervals lying, one at each y, in points."""
    axes.errorbar(
        [PERCENT * one.mean for one in found],
        list(y),
        xerr=whiskers(found, PERCENT),
        color=COLOURS[i],
        linestyle="none",
        marker=MARKERS[i],
        capsize=2,
        elinewidth=1.0,
        label=label or None,
    )
    return [row(label, at, one) for at, one in zip(names, found, strict=True)]


def bars(
    axes: Any,
    x: Iterable[float],
    found: Sequence[Interval | None],
    i: int,
    label: str,
    names: Sequence[object],
    *,
    width: float,
    base: float = 0.0,
    scale: float = PERCENT,
    **more: object,
) -> Rows:
    """Bars from `base` to each mean with its interval; a place without one stays empty."""
    here = [(at, one, name) for at, one, name in zip(x, found, names, strict=True) if one is not None]
    place, heights = [at for at, _, _ in here], [scale * one.mean for _, one, _ in here]
    axes.bar(
        place, [height - base for height in heights], width, bottom=base, color=COLOURS[i], hatch=HATCHES[i],
        edgecolor="white", linewidth=0, label=label,
    )  # fmt: skip
    ends = whiskers([one for _, one, _ in here], scale)
    if ends is not None:
        axes.errorbar(place, heights, ends, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.5)
    return [row(label, name, one, scale) | more for _, one, name in here]


def row(series: str, x: object, one: Interval, scale: float = PERCENT) -> dict[str, Any]:
    """A line of the table: what is drawn, in the unit of the axis, and what its interval goes over."""
    mean, low, high = (scale * value for value in (one.mean, one.low, one.high))
    told = over([one]) if math.isfinite(low) else ""
    return {"series": series, "x": x, "mean": mean, "low": low, "high": high, "n": one.n, "interval": told}


def places(axes: Any, labels: Sequence[str], *, turned: bool = False) -> None:
    """Named places along the x axis; long names are turned, and then a grid line leads to each."""
    axes.set_xticks(range(len(labels)), labels, **({"rotation": 50, "ha": "right"} if turned else {}))
    if turned:
        axes.tick_params(axis="x", labelsize=SMALL)
    axes.grid(axis="x", visible=turned)


def about(
    runs: Runs,
    rows: StudyRows,
    table: Rows,
    *more: str,
    of: Mapping[str, Iterable[Cell]],
    claims: Iterable[str] = (),
) -> str:
    """Where the numbers come from: what else is to be said, how many of what stand behind a value (`of`: words and the
    cells that are drawn), the laboratory, its seeds and what the intervals in the table go over; on lines of their own
    what decided the claims."""
    counts = (said for what, cells in of.items() if (said := items_of(rows, cells, what)))
    behind, seeds = " and ".join(counts), seeds_of(rows)
    told = (
        *more,
        f"{behind} a seed" if behind else "",
        f"{rows.lab}, {seeds}{means(seeds, _gone_over(table))}",
    )
    verdicts = [verdict for claim in claims if (verdict := runs.verdict(claim, rows)) is not None]
    return "\n".join(filter(None, ("; ".join(filter(None, told)), *map(because, verdicts))))


def _gone_over(table: Rows) -> str:
    """What the intervals of a table go over, in words; empty where it has none."""
    kinds = {one.get("interval") for one in table}
    return " or ".join(kind for kind in (SEEDS, *OVER.values()) if kind in kinds)


def means(seeds: str, gone_over: str) -> str:
    """What is drawn of so many seeds, whose intervals go over something or are not there; of one seed its numbers."""
    if gone_over:
        return f", mean and 95% interval {gone_over}"
    return "" if seeds.partition(",")[0] == "1 seed" else ", mean"


def items_of(rows: StudyRows, cells: Iterable[Cell], what: str) -> str:
    """How many items stand behind a value of these cells, from the fewest to the most."""
    found = items_behind(rows, cells)
    return counted(min(found), max(found), what) if found else ""


def items_behind(rows: StudyRows, cells: Iterable[Cell]) -> list[int]:
    """The fewest and the most items behind a value of each cell that has rows."""
    found = [rows.curve(cell.at(stop="every")) for cell in dict.fromkeys(cells)]
    counts = [one.n[one.n > 0] for one in found if not isinstance(one, Absent)]
    return [int(end) for n in counts if n.size for end in (n.min(), n.max())]

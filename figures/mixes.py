"""C: Known and Unknown rows mixed: fitting, shares, single categories, and the plane of the fitted shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.curves import progress
from figures.drawing import PERCENT, Drawn, Rows, about, bars, line, of_each, places, points, row
from figures.runs import Runs, mean, reach, shown
from figures.sheets import below, beside, handles, head, note
from figures.style import COLOURS, INK, MARKERS, TEXT_WIDTH, canvas
from theory.claims import Cell
from theory.claims.base import Measured, Stop
from theory.claims.estimators import SHARES, FittedShares, regress
from theory.claims.evidence import StudyRows
from theory.intervals import Interval

Array = NDArray[np.float64]
STOPS: tuple[Stop, ...] = ("early", "end")
PLACE = ("mean", "known", "unknown", "plane")  # of a point: accuracy, what is fitted, and what the plane says
CLOUD, MEAN = 4.2, 8.0  # points of marks of the plane: a look at a seed, and the mean of a share
CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


@of_each("slick", "fitting")
def fitting(runs: Runs, rows: StudyRows) -> Drawn | None:
    """Known and Unknown rows being fitted, and what held-out facts do meanwhile."""
    cells = {
        "Known rows\nfitted": Cell("fitted", "mix:0.5", split="train", stratum="known=yes"),
        "Unknown rows\nfitted": Cell("fitted", "mix:0.5", split="train", stratum="known=no"),
        "held-out facts": Cell("accuracy", "mix:0.5"),
    }
    curves = {label: found for label, cell in cells.items() if (found := progress(rows, cell)) is not None}
    if len(curves) < len(cells):
        return None
    table: Rows = []
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    for i, (label, found) in enumerate(curves.items()):
        table += line(axes, found, i, label)
    axes.set_xlabel("share of the fine-tuning (%)")
    axes.set_ylabel("answered right (%)")
    axes.set_ylim(0, 102)
    head(figure, runs.title("C2", rows, "Half of the rows Known, half Unknown"))
    beside(axes)
    counted = {"rows": list(cells.values())[:2], "test facts": [cells["held-out facts"]]}
    note(figure, about(runs, rows, table, of=counted, claims=["C2"]))
    return figure, table


@of_each("slick", "shares")
def shares(runs: Runs, rows: StudyRows) -> Drawn | None:
    """Accuracy against the share of Unknown rows, and with these rows deleted."""
    kinds = {"all rows": ("mix", SHARES), "Unknown rows deleted": ("known-only", SHARES[1:-1])}
    found = {
        (stop, label): seen
        for stop in STOPS
        for label, (kind, at) in kinds.items()
        if (seen := _whole([mean(rows, Cell("accuracy", f"{kind}:{share:g}", stop)) for share in at]))
    }
    if not found:
        return None
    table: Rows = []
    figure, panels = canvas(TEXT_WIDTH, 3.4, ncols=2, sharey=True)
    for axes, stop in zip(panels, STOPS, strict=True):
        for i, (label, (_, at)) in enumerate(kinds.items()):
            if (stop, label) in found:
                table += points(axes, [100 * share for share in at], found[stop, label], i, label, stop=stop)
        axes.set_xlabel("share of Unknown rows (%)")
        axes.set_title("At the early stop" if stop == "early" else "At the end", fontweight="normal")
    panels[0].set_ylabel("accuracy on held-out\nfacts (%)")
    head(figure, runs.title("C1", rows, "Accuracy and the share of Unknown rows"))
    cells = [Cell("accuracy", f"{kind}:{share:g}") for kind, at in kinds.values() for share in at]
    below(figure, about(runs, rows, table, of={"test facts": cells}, claims=["C1", "C3"]), handles(*panels))
    return figure, table


def _whole(found: Sequence[Interval | None]) -> list[Interval]:
    """All of them, or none if one is missing."""
    seen = [one for one in found if one is not None]
    return seen if len(seen) == len(found) else []


@of_each("slick", "categories")
def categories(runs: Runs, rows: StudyRows) -> Drawn | None:
    """C6, C7: training on one SliCK category at a time, tested on each, at both stops: the verdicts rest on either."""
    tests = ("all", *CATEGORIES)
    cells = {
        (stop, train, test): Cell("accuracy", f"category:{train}", stop).at(
            stratum="all" if test == "all" else f"category={test}"
        )
        for stop in STOPS
        for train in CATEGORIES
        for test in tests
    }
    found = {key: mean(rows, cell) for key, cell in cells.items()}
    if any(found[stop, train, "all"] is None for stop in STOPS for train in CATEGORIES):
        return None
    table: Rows = []
    figure, panels = canvas(TEXT_WIDTH, 4.9, nrows=2, sharex=True, sharey=True)
    for axes, stop in zip(panels, STOPS, strict=True):
        for i, train in enumerate(CATEGORIES):
            place = np.arange(5) + 0.2 * (i - 1.5)
            seen = [found[stop, train, test] for test in tests]
            table += bars(axes, place, seen, i, f"tuned on {train}", tests, width=0.18, stop=stop)
        axes.set_title("At the early stop" if stop == "early" else "At the end", fontweight="normal")
        axes.set_ylabel("accuracy (%)")
    places(panels[1], ["all test facts", *(f"{name}\ntest facts" for name in CATEGORIES)])
    panels[0].grid(axis="x", visible=False)
    head(figure, runs.title("C6", rows, "One category at a time, at equal size"))
    told = about(runs, rows, table, of={"test facts": cells.values()}, claims=["C6", "C7"])
    below(figure, told, handles(panels[0]))
    return figure, table


@of_each("slick", "plane")
def plane(runs: Runs, rows: StudyRows) -> Drawn | None:
    """C4: the regression of accuracy on the fitted shares of Known and Unknown rows: the plane and every point."""
    cloud = FittedShares(((1.0, "known", "test"),)).cloud(rows, "test")
    coefficients = None if cloud is None else _plane(*cloud[:3])
    if cloud is None or coefficients is None:
        return None
    y, known, unknown, share = cloud
    at = {name: shown(Measured(np.arange(len(y)), values)) for name, values in coefficients.items()}
    scales = dict.fromkeys(at, PERCENT) | {"r2": 1.0}
    table = [row(f"coefficient: {name}", "", one, scales[name]) for name, one in at.items()]
    figure, (left, right) = canvas(TEXT_WIDTH, 4.0, ncols=2, gridspec_kw={"width_ratios": (5, 4)})
    judged = np.isfinite(y) & np.isfinite(known) & np.isfinite(unknown)
    mesh, corners = _ground(left, at, PERCENT * np.stack([known[judged], unknown[judged]], axis=1))
    table += [{"series": "edge of what is shaded", "known": x, "unknown": z} for x, z in corners]
    left.set_xlabel("fitted Known rows (% of the set)")
    left.set_ylabel("fitted Unknown rows\n(% of the set)")
    right.set_xlabel("accuracy on\nthe plane (%)")
    right.set_ylabel("accuracy on held-out\nfacts (%)")
    y, known, unknown, told = (PERCENT * x for x in (y, known, unknown, _told(coefficients, known, unknown)))
    for i, part in enumerate(SHARES):
        here = (share[None] == part) & judged
        four = (y, known, unknown, told)
        seeds = np.array([[v[s, here[s]].mean() for v in four] for s in np.flatnonzero(here.any(axis=1))])
        middle = dict(zip(PLACE, seeds.mean(axis=0), strict=True))
        table.append({"series": f"mean of mix:{part:g}", "n": len(seeds)} | middle)
        small = {"color": COLOURS[i], "markersize": CLOUD, "alpha": 0.3, "markeredgewidth": 0}
        large = {"color": COLOURS[i], "markersize": MEAN, "markeredgecolor": "white", "zorder": 4}
        for axes, across, up in ((left, "known", "unknown"), (right, "plane", "mean")):
            where = dict(zip(PLACE, four, strict=True))
            axes.plot(where[across][here], where[up][here], MARKERS[i], **small)
            axes.plot(middle[across], middle[up], MARKERS[i], **large, label=f"{part:.0%}")
        for s, k in np.argwhere(here):
            place = {name: v[s, k] for name, v in zip(PLACE, four, strict=True)}
            table.append({"series": f"mix:{part:g}", "x": int(s)} | place)
    ends = [float(np.nanmin(y)), float(np.nanmax(y))]
    right.plot(ends, ends, color=INK, linewidth=0.8)
    figure.colorbar(mesh, ax=left, label="accuracy on the plane (%)", shrink=0.9, format="%.0f")
    head(figure, runs.title("C4", rows, "Accuracy against what is fitted"))
    told_of = about(runs, rows, table, of={"test facts": [Cell("accuracy", "mix:0.5")]}, claims=["C4"])
    said = ", ".join(
        f"{words} ${_give_or_take(at[name], scales[name], digits)}$"
        for name, words, digits in (("known", "Known", 1), ("unknown", "Unknown", 1), ("r2", "$R^2$", 2))
    )
    below(
        figure,
        f"points for the whole set: {said}\n"
        "a fit a seed; small marks: its looks, large: mean of a share; shaded between the looks\n"
        f"{told_of}\nshare of Unknown rows:",
        handles(right),
        ncols=5,
    )
    return figure, table


def _give_or_take(one: Interval, scale: float, digits: int) -> str:
    """Mean and half of its interval, if it has one."""
    half = scale * reach(one)[1]
    more = f" \\pm {half:.{digits}f}" if np.isfinite(half) else ""
    return f"{scale * one.mean:.{digits}f}{more}"


def _plane(y: Array, known: Array, unknown: Array) -> dict[str, Array] | None:
    """Slopes, R2 and intercept of each seed; None where a seed's points determine no plane."""
    found = regress(y, known, unknown)
    if not all(np.isfinite(values).all() for values in found.values()):
        return None
    seen = np.isfinite(y) & np.isfinite(known) & np.isfinite(unknown)
    middle = [np.nanmean(np.where(seen, x, np.nan), axis=1) for x in (y, known, unknown)]
    base = middle[0] - found["known"] * middle[1] - found["unknown"] * middle[2]
    return {"base": base, **found}


def _told(found: dict[str, Array], known: Array, unknown: Array) -> Array:
    """Accuracy on each seed's plane."""
    base, first, second = (found[name][:, None] for name in ("base", "known", "unknown"))
    return np.asarray(base + first * known + second * unknown)


def _ground(axes: Any, at: dict[str, Interval], points: Array) -> tuple[Any, Array]:
    """The plane of the mean coefficients where points lie around: it is shaded within their hull and nowhere else; what
    is shaded, and the hull's corners (corners, 2)."""
    from matplotlib.patches import Polygon
    from scipy.spatial import ConvexHull

    corners = points[
        ConvexHull(points, qhull_options="QJ").vertices
    ]  # joggled: points on a line have one too
    ends = _height(at, corners[:, 0], corners[:, 1])
    first, second = np.meshgrid(np.linspace(0, 100, 101), np.linspace(0, 100, 101))
    axes.set_xlim(-3, 103)
    axes.set_ylim(-3, 103)
    axes.grid(visible=False)
    steps = np.linspace(ends.min() - 1e-6, ends.max() + 1e-6, 9)
    mesh = axes.contourf(first, second, _height(at, first, second), levels=steps, cmap="Greys", alpha=0.4)
    hull = axes.add_patch(Polygon(corners, fill=False, edgecolor=INK, linewidth=0.6, label="_hull"))
    mesh.set_clip_path(hull)
    return mesh, corners


def _height(at: dict[str, Interval], known: Array, unknown: Array) -> Array:
    """Accuracy on the plane, all in percent."""
    return PERCENT * at["base"].mean + at["known"].mean * known + at["unknown"].mean * unknown

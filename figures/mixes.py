"""C: Known and Unknown rows mixed: fitting, shares, single categories, and the plane of the fitted shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.drawing import Rows, about, head, keep, line, note, points, row
from figures.runs import GRID, Runs, mean, progress, reach
from figures.style import COLOURS, HATCHES, INK, MARKERS, TEXT_WIDTH, canvas
from theory.claims import Cell
from theory.claims.base import Stop
from theory.claims.estimators import SHARES, FittedShares, regress
from theory.intervals import Interval, t_interval

Array = NDArray[np.float64]
STOPS: tuple[Stop, ...] = ("early", "end")
CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def fitting(runs: Runs, folder: Path) -> list[Path]:
    """Known and Unknown rows being fitted, and what held-out facts do meanwhile."""
    paths: list[Path] = []
    for rows in runs.of("slick"):
        cells = {
            "Known rows fitted": Cell("fitted", "mix:0.5", split="train", stratum="known=yes"),
            "Unknown rows fitted": Cell("fitted", "mix:0.5", split="train", stratum="known=no"),
            "held-out facts": Cell("accuracy", "mix:0.5"),
        }
        curves = {
            label: found for label, cell in cells.items() if (found := progress(rows, cell)) is not None
        }
        if len(curves) < len(cells):
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6) as (figure, axes):
            for i, (label, found) in enumerate(curves.items()):
                table += line(axes, GRID, found, i, label)
            axes.set_xlabel("share of the fine-tuning")
            axes.set_ylabel("share answered right")
            axes.set_ylim(0, 1.02)
            axes.set_title(runs.title("C2", rows, "Half of the rows Known, half Unknown"))
            axes.legend(loc="center right")
            note(figure, about(rows))
            paths += keep(figure, folder, runs, "fitting", rows, table)
    return paths


def shares(runs: Runs, folder: Path) -> list[Path]:
    """Accuracy against the share of Unknown rows, and with these rows deleted."""
    paths: list[Path] = []
    for rows in runs.of("slick"):
        with canvas(TEXT_WIDTH, 2.6, ncols=2, sharey=True) as (figure, panels):
            table: Rows = []
            for axes, stop in zip(panels, STOPS, strict=True):
                kinds = {
                    "all rows": ("mix", SHARES),
                    "Unknown rows deleted": ("known-only", SHARES[1:-1]),
                }
                for i, (label, (kind, at)) in enumerate(kinds.items()):
                    found = [mean(rows, Cell("accuracy", f"{kind}:{share:g}", stop)) for share in at]
                    seen = [one for one in found if one is not None]
                    if len(seen) == len(found):
                        table += points(axes, at, seen, i, label, stop=stop)
                axes.set_xlabel("share of Unknown rows")
                axes.set_title("At the early stop" if stop == "early" else "At the end", fontweight="normal")
            if not table:
                continue
            panels[0].set_ylabel("accuracy on held-out facts")
            panels[0].legend(loc="best")
            head(figure, runs.title("C1", rows, "Accuracy and the share of Unknown rows"))
            note(figure, about(rows))
            paths += keep(figure, folder, runs, "shares", rows, table)
    return paths


def categories(runs: Runs, folder: Path) -> list[Path]:
    """Training on one SliCK category at a time, tested on each."""
    paths: list[Path] = []
    for rows in runs.of("slick"):
        found = {
            (train, test): mean(
                rows,
                Cell("accuracy", f"category:{train}", "early").at(
                    stratum="all" if test == "all" else f"category={test}"
                ),
            )
            for train in CATEGORIES
            for test in ("all", *CATEGORIES)
        }
        if any(found[train, "all"] is None for train in CATEGORIES):
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6) as (figure, axes):
            for i, train in enumerate(CATEGORIES):
                place = np.arange(5) + 0.2 * (i - 1.5)
                bars = [found[train, test] for test in ("all", *CATEGORIES)]
                heights = [bar.mean if bar else np.nan for bar in bars]
                errors = np.transpose([reach(bar) if bar else (0.0, 0.0) for bar in bars])
                axes.bar(
                    place, heights, 0.18, color=COLOURS[i], hatch=HATCHES[i], edgecolor="white",
                    linewidth=0, label=f"tuned on {train}",
                )  # fmt: skip
                axes.errorbar(place, heights, errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.5)
                table += [
                    row(f"tuned on {train}", test, bar)
                    for test, bar in zip(("all", *CATEGORIES), bars, strict=True)
                    if bar
                ]
            axes.set_xticks(range(5), ["all test facts", *(f"{name}\ntest facts" for name in CATEGORIES)])
            axes.set_ylabel("accuracy at the early stop")
            axes.grid(axis="x", visible=False)
            axes.set_title(runs.title("C6", rows, "One category at a time, at equal size"))
            axes.legend(loc="best", ncols=2)
            note(figure, about(rows))
            paths += keep(figure, folder, runs, "categories", rows, table)
    return paths


def plane(runs: Runs, folder: Path) -> list[Path]:
    """C4: the regression of accuracy on the fitted shares of Known and Unknown rows: the plane and every point."""
    paths: list[Path] = []
    for rows in runs.of("slick"):
        cloud = FittedShares(((1.0, "known", "test"),)).cloud(rows, "test")
        if cloud is None:
            continue
        y, known, unknown, share = cloud
        coefficients = _plane(y, known, unknown)
        if coefficients is None:
            continue
        at = {name: t_interval(values) for name, values in coefficients.items()}
        table = [row(f"coefficient: {name}", "", one) for name, one in at.items()]
        with canvas(TEXT_WIDTH, 3.0, ncols=2, gridspec_kw={"width_ratios": (5, 4)}) as (figure, panels):
            mesh = _ground(panels[0], at)
            panels[0].set_xlabel("fitted Known rows (share of the set)")
            panels[0].set_ylabel("fitted Unknown rows (share of the set)")
            panels[1].set_xlabel("accuracy on the plane")
            panels[1].set_ylabel("accuracy on held-out facts")
            for i, part in enumerate(SHARES):
                here = (share[None] == part) & np.isfinite(y) & np.isfinite(known) & np.isfinite(unknown)
                drawn = np.array([[v[s, here[s]].mean() for v in (known, unknown)] for s in range(len(y))])
                spot = drawn[np.isfinite(drawn).all(axis=1)].mean(axis=0)
                colour, mark = COLOURS[i], MARKERS[i]
                panels[0].plot(known[here], unknown[here], mark, color=colour, markersize=1.8, alpha=0.25)
                panels[0].plot(*spot, mark, color=colour, markersize=6, markeredgecolor="white")
                told = _told(coefficients, known, unknown)
                panels[1].plot(
                    told[here], y[here], mark, color=colour, markersize=2.2, alpha=0.35, label=f"{part:.0%}"
                )
                for s, k in np.argwhere(here):
                    place = {"known": known[s, k], "unknown": unknown[s, k], "plane": told[s, k]}
                    table.append({"series": f"mix:{part:g}", "x": int(s), "mean": y[s, k]} | place)
            ends = [float(np.nanmin(y)), float(np.nanmax(y))]
            panels[1].plot(ends, ends, color=INK, linewidth=0.8)
            legend = panels[1].legend(title="share of Unknown rows", title_fontsize=7, loc="upper left")
            for handle in legend.legend_handles:
                handle.set_alpha(1.0)
                handle.set_markersize(4)
            figure.colorbar(mesh, ax=panels[0], label="accuracy on the plane", shrink=0.9)
            head(figure, runs.title("C4", rows, "Accuracy against what is fitted"))
            said = ", ".join(
                f"{words} {at[name].mean:.2f} ± {reach(at[name])[1]:.2f}"
                for name, words in (("known", "Known"), ("unknown", "Unknown"), ("r2", "$R^2$"))
            )
            note(figure, f"a fit a seed, slopes: {said}\n{about(rows)}")
            paths += keep(figure, folder, runs, "plane", rows, table)
    return paths


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


def _ground(axes: Any, at: dict[str, Interval]) -> Any:
    """The plane of the mean coefficients over all shares that add up to at most one."""
    grid = np.linspace(0, 1, 101)
    known, unknown = np.meshgrid(grid, grid)
    height = at["base"].mean + at["known"].mean * known + at["unknown"].mean * unknown
    height = np.where(known + unknown <= 1.0 + 1e-9, height, np.nan)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.grid(visible=False)
    mesh = axes.contourf(known, unknown, height, levels=12, cmap="Greys", alpha=0.6)
    axes.plot([0, 1], [1, 0], color=INK, linewidth=0.6)
    return mesh

"""Pictures of the findings, one function each, drawn for every run that has the rows they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.columns import write_columns
from figures.runs import GRID, Runs, band, mean, progress, reach, seeds_of, slug
from figures.style import COLOURS, INK, LINES, QUIET, TEXT_WIDTH, canvas, save
from theory.claims import Cell
from theory.claims.decompose import decompose
from theory.claims.estimators import SHARES
from theory.intervals import Interval

Rows = list[dict[str, Any]]
CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
SETS = {
    "best": "best known half",
    "random": "random half",
    "lesser": "lesser known half",
    "whole": "whole set",
}


def trajectories(runs: Runs, folder: Path) -> list[Path]:
    """A: accuracy on held-out facts while tuning on halves of the rows."""
    paths: list[Path] = []
    for rows in runs.of("salience"):
        curves = {
            name: found
            for name in SETS
            if (found := progress(rows, Cell("accuracy", name, split="dev"))) is not None
        }
        if not {"best", "lesser"} <= set(curves):
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6) as (figure, axes):
            for i, (name, found) in enumerate(curves.items()):
                table += _line(axes, GRID, found, i, SETS[name])
            axes.set_xlabel("share of the fine-tuning")
            axes.set_ylabel("accuracy on held-out facts")
            axes.set_ylim(bottom=0)
            axes.set_title(runs.title("A1", rows, "Accuracy while tuning on halves by exposure"))
            axes.legend(loc="best")
            _note(
                figure,
                f"facts for choosing the early stop; {rows.lab}, {seeds_of(rows)}, mean and 95% interval",
            )
            paths += _kept(figure, folder, f"trajectories-{slug(rows.lab)}", table)
    return paths


def fitting(runs: Runs, folder: Path) -> list[Path]:
    """C: Known and Unknown rows being fitted, and what held-out facts do meanwhile."""
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
                table += _line(axes, GRID, found, i, label)
            axes.set_xlabel("share of the fine-tuning")
            axes.set_ylabel("share answered right")
            axes.set_ylim(0, 1)
            axes.set_title(runs.title("C2", rows, "Half of the rows Known, half Unknown"))
            axes.legend(loc="best")
            _note(figure, f"{rows.lab}, {seeds_of(rows)}, mean and 95% interval")
            paths += _kept(figure, folder, f"fitting-{slug(rows.lab)}", table)
    return paths


def shares(runs: Runs, folder: Path) -> list[Path]:
    """C: accuracy against the share of Unknown rows, and with these rows deleted."""
    paths: list[Path] = []
    for rows in runs.of("slick"):
        with canvas(TEXT_WIDTH, 2.6, ncols=2, sharey=True) as (figure, panels):
            table: Rows = []
            for axes, stop in zip(panels, ("early", "end"), strict=True):
                kinds = {
                    "all rows": [Cell("accuracy", f"mix:{share:g}", stop) for share in SHARES],
                    "Unknown rows deleted": [
                        Cell("accuracy", f"known-only:{share:g}", stop) for share in SHARES if 0 < share < 1
                    ],
                }
                for i, (label, cells) in enumerate(kinds.items()):
                    at = SHARES if len(cells) == len(SHARES) else SHARES[1:-1]
                    found = [mean(rows, cell) for cell in cells]
                    if None in found:
                        continue
                    table += _errors(axes, at, found, i, label, stop=stop)
                axes.set_xlabel("share of Unknown rows")
                axes.set_title({"early": "At the early stop", "end": "At the end"}[stop])
            if not table:
                continue
            panels[0].set_ylabel("accuracy on held-out facts")
            panels[0].legend(loc="best")
            figure.suptitle(
                runs.title("C1", rows, "Accuracy and the share of Unknown rows"),
                x=0.01,
                ha="left",
                fontsize=8.5,
            )
            _note(figure, f"{rows.lab}, {seeds_of(rows)}, mean and 95% interval")
            paths += _kept(figure, folder, f"shares-{slug(rows.lab)}", table)
    return paths


def categories(runs: Runs, folder: Path) -> list[Path]:
    """C: training on one SliCK category at a time, tested on each."""
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
                axes.bar(place, heights, 0.18, color=COLOURS[i], label=f"tuned on {train}")
                axes.errorbar(place, heights, errors, fmt="none", ecolor=INK, elinewidth=0.8)
                table += [
                    _row(f"tuned on {train}", test, bar)
                    for test, bar in zip(("all", *CATEGORIES), bars, strict=True)
                    if bar
                ]
            axes.set_xticks(range(5), ["all test facts", *(f"{name}\ntest facts" for name in CATEGORIES)])
            axes.set_ylabel("accuracy at the early stop")
            axes.grid(axis="x", visible=False)
            axes.set_title(runs.title("C6", rows, "One category at a time, at equal size"))
            axes.legend(loc="best", ncols=2)
            _note(figure, f"{rows.lab}, {seeds_of(rows)}, mean and 95% interval")
            paths += _kept(figure, folder, f"categories-{slug(rows.lab)}", table)
    return paths


def waterfall(runs: Runs, folder: Path) -> list[Path]:
    """V: the gap of known over unknown rows, less copying, less unequal answer support, less guessing."""
    loose = any("known:by-relation" in rows.table.levels["trained_on"] for rows in runs.of("validity"))
    kind = (
        ":by-relation" if loose else ""
    )  # matched in relation alone, as is usual: the gap that others report
    slices = decompose(runs.table, high=f"known{kind}", low=f"unknown{kind}")
    matched = "sets matched in relation alone" if loose else "sets matched in relation and answer"
    cases = list(dict.fromkeys((one.lab, one.run) for one in slices))
    paths: list[Path] = []
    for lab, run in cases:
        bars = {s.name: s.interval for s in slices if (s.lab, s.run) == (lab, run)}
        if any(bar is None for bar in bars.values()):
            continue
        rows = next(one for one in runs.of("validity") if (one.lab, one.run) == (lab, run))
        names = ("raw", "copying", "answer support", "guessing", "rest")
        labels = (
            "raw gap",
            "copied from\nthe subject",
            "answers only one\nset teaches",
            "guessable\nanswers",
            "what is left",
        )
        values = [100 * bars[name].mean for name in names]  # type: ignore[union-attr]
        top = np.concatenate([[values[0]], values[0] - np.cumsum(values[1:4])])
        bottoms = [0.0, *top[1:4], 0.0]
        heights = [values[0], *values[1:4], values[4]]
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6) as (figure, axes):
            for i, (name, bottom, height) in enumerate(zip(names, bottoms, heights, strict=True)):
                one = bars[name]
                assert one is not None
                whole = name in ("raw", "rest")
                axes.bar(i, height, 0.6, bottom=bottom, color=COLOURS[0] if whole else COLOURS[5])
                middle = bottom + height
                axes.errorbar(
                    i, middle, 100 * reach(one)[1], fmt="none", ecolor=INK, elinewidth=0.8, capsize=2
                )
                axes.annotate(
                    f"{height:+.1f}", (i, max(bottom, bottom + height) + 100 * reach(one)[1]), ha="center",
                    va="bottom", xytext=(0, 2), textcoords="offset points", fontsize=7,
                )  # fmt: skip
                table.append(_row(name, "", one))
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.margins(y=0.18)
            axes.set_xticks(range(5), labels)
            axes.set_ylabel("known minus unknown (points)")
            axes.grid(axis="x", visible=False)
            axes.set_title("How much of the gap between known and unknown rows is about knowledge")
            _note(figure, f"{matched}, end of tuning; {lab}, {seeds_of(rows)}, 95% interval")
            paths += _kept(figure, folder, f"waterfall-{slug(lab)}", table)
    return paths


def mechanism(runs: Runs, folder: Path) -> list[Path]:
    """A4, X3: where networks look, and whose parts repair the lesser-known arm."""
    paths: list[Path] = []
    for rows in runs.of("salience"):
        prompt = "own" if mean(rows, Cell("attention_subject", "none", arm="base", prompt="own")) else "zero"
        looks = {
            "untuned": Cell("attention_subject", "none", arm="base", prompt=prompt),
            "after best\nknown rows": Cell("attention_subject", "best", "early", prompt=prompt),
            "after lesser\nknown rows": Cell("attention_subject", "lesser", "early", prompt=prompt),
        }
        lesser = Cell("accuracy", "lesser")
        repairs = {
            "lesser known\nrows": lesser,
            "with the best\narm's attention": lesser.at(arm="patch:attention:best"),
            "with the best\narm's values": lesser.at(arm="patch:values:best"),
            "best known\nrows": Cell("accuracy", "best"),
        }
        found = [{label: mean(rows, cell) for label, cell in cells.items()} for cells in (looks, repairs)]
        if any(one is None for part in found for one in part.values()):
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6, ncols=2, gridspec_kw={"width_ratios": (3, 4)}) as (figure, panels):
            for axes, part in zip(panels, found, strict=True):
                values = [one for one in part.values() if one]
                axes.errorbar(
                    range(len(values)),
                    [one.mean for one in values],
                    np.transpose([reach(one) for one in values]),
                    fmt="o",
                    color=COLOURS[0],
                    capsize=2,
                )
                axes.set_xticks(range(len(values)), list(part))
                axes.set_xlim(-0.5, len(values) - 0.5)
                axes.set_ylim(0, 1.05 * max(one.mean + reach(one)[1] for one in values))
                axes.grid(axis="x", visible=False)
                table += [_row(" ".join(label.split()), "", one) for label, one in part.items() if one]
            panels[0].set_ylabel("attention on the subject")
            panels[1].set_ylabel("accuracy on held-out facts")
            panels[0].set_title(f"Where networks look\n{runs.answer('A4', rows)}")
            panels[1].set_title(f"Whose parts repair the harm\n{runs.answer('X3', rows)}")
            _note(
                figure,
                f"left: early stop, right: end; {rows.lab}, {seeds_of(rows)}, mean and 95% interval",
            )
            paths += _kept(figure, folder, f"mechanism-{slug(rows.lab)}", table)
    return paths


def _line(axes: Any, x: NDArray[np.float64], curves: NDArray[np.float64], i: int, label: str) -> Rows:
    middle, low, high = band(curves)
    axes.plot(x, middle, color=COLOURS[i], linestyle=LINES[i], label=label)
    axes.fill_between(x, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
    rows = zip(x.tolist(), middle.tolist(), low.tolist(), high.tolist(), strict=True)
    return [
        {"series": label, "x": a, "mean": m, "low": b, "high": c, "n": len(curves)} for a, m, b, c in rows
    ]


def _errors(
    axes: Any, x: Sequence[float], found: Sequence[Interval | None], i: int, label: str, **more: str
) -> Rows:
    seen = [one for one in found if one is not None]
    axes.errorbar(
        x,
        [one.mean for one in seen],
        np.transpose([reach(one) for one in seen]),
        color=COLOURS[i],
        linestyle=LINES[i],
        marker="o",
        capsize=2,
        label=label,
    )
    return [_row(label, at, one) | more for at, one in zip(x, seen, strict=True)]


def _row(series: str, x: object, one: Interval) -> dict[str, Any]:
    return {"series": series, "x": x, "mean": one.mean, "low": one.low, "high": one.high, "n": one.n}


def _note(figure: Any, text: str) -> None:
    figure.supxlabel(text, fontsize=7, color=QUIET)


def _kept(figure: Any, folder: Path, name: str, table: Rows) -> list[Path]:
    columns = {key: np.array([row.get(key, "") for row in table], object) for key in dict(_keys(table))}
    return [*save(figure, folder, name), write_columns(folder / f"{name}.csv", columns)]


def _keys(table: Rows) -> Iterator[tuple[str, None]]:
    return ((key, None) for row in table for key in row)


PICTURES: Mapping[str, Callable[[Runs, Path], list[Path]]] = {
    "trajectories": trajectories,
    "mechanism": mechanism,
    "fitting": fitting,
    "shares": shares,
    "categories": categories,
    "waterfall": waterfall,
}

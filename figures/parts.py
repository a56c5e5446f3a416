"""A claim in every laboratory: each part of its rule with its interval, the null and the paper's number."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures.bounds import cut
from figures.drawing import Rows, columns, items_behind, means
from figures.runs import Runs
from figures.sheets import below, head, kept, signs, stroke
from figures.style import INK, QUIET, SMALL, TEXT_WIDTH, canvas, house, lane
from figures.words import counted, seeds_said, unit_of
from theory.claims import PartVerdict, Verdict
from theory.claims.interval import over

SHOWN = (
    "points",
    "%",
    "correlation",
    "AUROC",
    "doublings",
    "claims",
    "share",
)  # a panel a unit, in this order


def claim_parts(runs: Runs, claim: str, folder: Path) -> list[Path]:
    """All parts of one claim; nothing if no laboratory has rows."""
    verdicts = [one for one in runs.board.verdicts if one.claim.id == claim]
    cells = [(one, part) for one in verdicts for part in one.parts if _drawable(part)]
    if not cells:
        return []
    labs = list(dict.fromkeys((one.lab, one.run) for one, _ in cells))
    units = [unit for unit in SHOWN if any(unit_of(part.part) == unit for _, part in cells)]
    groups = [[(one, part) for one, part in cells if unit_of(part.part) == unit] for unit in units]
    heights = [len(_names(group)) * _row(group, len(labs)) for group in groups]
    table: Rows = []
    with house():
        figure, grid = canvas(
            TEXT_WIDTH,
            sum(heights) + 0.5 * len(groups) + 0.9,
            nrows=len(groups),
            squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )
        for axes, group in zip(grid[:, 0], groups, strict=True):
            table += _panel(axes, group, labs)
        head(figure, _title(cells[0][0], verdicts))
        seeds = seeds_said(part.seeds for _, part in cells)
        items = [
            n
            for rows in runs.of(cells[0][0].claim.study)
            if (rows.lab, rows.run) in labs
            for n in items_behind(rows, cells[0][0].claim.cells)
        ]
        behind = f", {counted(min(items), max(items), 'items')} a seed" if items else ""
        spans = [one for _, part in cells if (one := part.interval) is not None and math.isfinite(one.low)]
        said = means(seeds, over(spans) if spans else "")
        words = f"{seeds}{behind}{said}; thick bars: the null that a part is held against"
        _legend(figure, labs, any(part.part.published for _, part in cells), words)
        name = f"parts-{claim}"
        return kept(figure, {name: columns(table)}, folder, name)


def _drawable(part: PartVerdict) -> bool:
    return part.interval is not None and bool(np.isfinite(part.interval.mean))


def _names(group: Sequence[tuple[Verdict, PartVerdict]]) -> list[str]:
    return list(dict.fromkeys(part.part.name for _, part in group))


def _row(group: Sequence[tuple[Verdict, PartVerdict]], labs: int) -> float:
    """Inches that each part needs: for its name, and for every laboratory."""
    lines = max(len(_label(group, name).split("\n")) for name in _names(group))
    return max(0.17 * lines + 0.08, 0.08 * labs)


def _label(group: Sequence[tuple[Verdict, PartVerdict]], name: str) -> str:
    """A part's name beside the axis, in short lines."""
    role = next(part.part.role for _, part in group if part.part.name == name)
    return "\n".join(
        textwrap.wrap(name + (" (reported)" if role == "reported" else ""), 32, break_on_hyphens=False)
    )


def _title(first: Verdict, verdicts: Sequence[Verdict]) -> str:
    """The claim's words alone where every laboratory that has rows reproduces it, else the verdicts beside them."""
    said = [verdict.answer for verdict in verdicts if verdict.answer != "missing"]
    words = f"{first.claim.id}: {first.claim.title}"
    if said and set(said) == {"reproduced"}:
        return words
    told = ", ".join(f"{said.count(one)} {one}" for one in dict.fromkeys(said)) or "parts are missing"
    return f"{words}? ({told})"


def _panel(axes: Any, group: Sequence[tuple[Verdict, PartVerdict]], labs: Sequence[tuple[str, str]]) -> Rows:
    names = _names(group)
    rules = {part.part.name: part.part for _, part in group}
    for name, part in rules.items():
        y, null = names.index(name), part.null * part.scale
        if part.role != "reported":
            axes.plot([null, null], [y - 0.42, y + 0.42], color=INK, linewidth=1.6, solid_capstyle="butt")
        if part.published is not None:
            axes.plot(
                [part.published.low, part.published.high], [y, y], color=QUIET, marker="|", markersize=11, linewidth=4,
                alpha=0.5, solid_capstyle="butt",
            )  # fmt: skip
    table: Rows = []
    for verdict, found in group:
        assert found.interval is not None
        lab, one = labs.index((verdict.lab, verdict.run)), cut(found.part, found.interval)
        at = names.index(found.part.name) + 0.75 * ((lab + 0.5) / len(labs) - 0.5)
        colour, shape = lane(lab)
        if np.isfinite(one.low):
            axes.plot([one.low, one.high], [at, at], color=colour, linewidth=1.0)
        solid = found.outcome == "supported"
        axes.plot(
            one.mean,
            at,
            "X" if found.outcome == "opposed" else shape,
            color=colour,
            markersize=4.5,
            markerfacecolor=colour if solid or found.outcome == "opposed" else "white",
        )
        table.append(
            {"part": found.part.name, "lab": verdict.lab, "run": verdict.run, "verdict": verdict.answer}
            | {
                "outcome": found.outcome,
                "unit": unit_of(found.part),
                "mean": one.mean,
                "low": one.low,
                "high": one.high,
            }
            | {"seeds": found.seeds, "null": found.part.null * found.part.scale}
        )
    labels = [_label(group, name) for name in names]
    axes.set_yticks(range(len(names)), labels, fontsize=SMALL)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(unit_of(group[0][1].part))
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=6)
    return table


def _legend(figure: Any, labs: Sequence[tuple[str, str]], paper: bool, words: str) -> None:
    several = len({lab for lab, _ in labs}) < len(labs)
    entries = [stroke(*lane(i), f"{lab} {run}" if several else lab) for i, (lab, run) in enumerate(labs)]
    below(figure, words, [*entries, *signs("supports", "open or reported", "opposes", paper=paper)])

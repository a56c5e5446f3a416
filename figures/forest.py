"""The scoreboard as a forest: every claim's leading effect with its interval in every laboratory, and the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from figures.columns import write_columns
from figures.runs import Runs
from figures.style import COLOURS, INK, QUIET, TEXT_WIDTH, canvas, save
from theory.claims import PartVerdict, Verdict

MARKERS = {"reproduced": "o", "contradicted": "X"}  # filled; anything else is hollow
SHAPES = "osD^vP*"
ROW = 0.36  # inches a claim


def forest(runs: Runs, folder: Path) -> list[Path]:
    """A row a claim. Filled: reproduced; hollow: inconclusive; crossed out: contradicted. Only effects in points or
    other units that a person can compare stand on one axis, so each unit has its own panel."""
    shown = [(verdict, part) for verdict in runs.board.verdicts if (part := _leading(verdict)) is not None]
    if not shown:
        return []
    units = ("points", *sorted({p.part.unit for _, p in shown} - {"points"}))
    groups = [[(v, p) for v, p in shown if p.part.unit == unit] for unit in units]
    groups = [group for group in groups if group]
    labs = list(dict.fromkeys(verdict.lab for verdict, _ in shown))
    heights = [len(_claims(group)) for group in groups]
    height = ROW * sum(heights) + 0.55 * len(groups) + 0.75
    grid = {"nrows": len(groups), "squeeze": False, "gridspec_kw": {"height_ratios": heights}}
    with canvas(TEXT_WIDTH, height, **grid) as (figure, axes):
        for panel, group in zip(axes[:, 0], groups, strict=True):
            _panel(panel, group, labs)
        figure.suptitle(
            "Claims and verdicts: the first deciding effect of each, with its 95% interval over seeds",
            x=0.01,
            ha="left",
            fontsize=8.5,
            fontweight="bold",
        )
        _legend(figure, labs)
        paths = save(figure, folder, "forest")
    return [*paths, write_columns(folder / "forest.csv", _columns(shown))]


def _leading(verdict: Verdict) -> PartVerdict | None:
    for part in verdict.parts:
        if part.part.role == "decides" and part.interval is not None and np.isfinite(part.interval.low):
            return part
    return None


def _claims(group: Sequence[tuple[Verdict, PartVerdict]]) -> list[str]:
    return list(dict.fromkeys(verdict.claim.id for verdict, _ in group))


def _panel(axes: object, group: Sequence[tuple[Verdict, PartVerdict]], labs: Sequence[str]) -> None:
    claims = _claims(group)
    titles = {v.claim.id: f"{v.claim.id}  {v.claim.title}" for v, _ in group}
    for claim, null in dict.fromkeys((v.claim.id, p.part.null * p.part.scale) for v, p in group):
        row = claims.index(claim)  # each claim is measured against its own null
        axes.plot([null, null], [row - 0.5, row + 0.5], color=INK, linewidth=0.8)  # type: ignore[attr-defined]
    for verdict, part in group:
        row, lab, found = claims.index(verdict.claim.id), labs.index(verdict.lab), part.interval
        assert found is not None
        y = row + 0.62 * ((lab + 0.5) / len(labs) - 0.5)
        colour, plain = COLOURS[lab % len(COLOURS)], verdict.answer not in MARKERS
        axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.0)  # type: ignore[attr-defined]
        axes.plot(  # type: ignore[attr-defined]
            found.mean,
            y,
            SHAPES[lab % len(SHAPES)] if verdict.answer != "contradicted" else "X",
            color=colour,
            markerfacecolor="white" if plain else colour,
        )
        if (paper := part.part.published) is not None and lab == labs.index(
            next(v.lab for v, _ in group if v.claim.id == verdict.claim.id)
        ):
            axes.plot(  # type: ignore[attr-defined]
                [paper.low, paper.high],
                [row, row],
                color=QUIET,
                linewidth=5,
                alpha=0.45,
                solid_capstyle="butt",
            )
            axes.plot((paper.low + paper.high) / 2, row, "|", color=QUIET, markersize=9)  # type: ignore[attr-defined]
    axes.set_yticks(range(len(claims)), [titles[claim] for claim in claims])  # type: ignore[attr-defined]
    axes.set_xlim(*_limits(group))  # type: ignore[attr-defined]
    axes.set_ylim(len(claims) - 0.5, -0.5)  # type: ignore[attr-defined]
    axes.set_xlabel(group[0][1].part.unit)  # type: ignore[attr-defined]
    axes.tick_params(axis="y", length=0)  # type: ignore[attr-defined]


def _limits(group: Sequence[tuple[Verdict, PartVerdict]]) -> tuple[float, float]:
    """Room for every mean and for intervals but the widest, which run out of the picture."""
    found = [part.interval for _, part in group if part.interval is not None]
    nulls = [part.part.null * part.part.scale for _, part in group]
    means = np.array([one.mean for one in found] + nulls)
    reach = np.quantile([max(one.mean - one.low, one.high - one.mean) for one in found], 0.8)
    low, high = float(means.min() - reach), float(means.max() + reach)
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _legend(figure: object, labs: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], color=COLOURS[i % len(COLOURS)], marker=SHAPES[i % len(SHAPES)], label=lab)
        for i, lab in enumerate(labs)
    ]
    for label, marker, face in (
        ("reproduced", "o", INK),
        ("inconclusive", "o", "white"),
        ("contradicted", "X", INK),
    ):
        entries.append(
            Line2D([], [], color=INK, marker=marker, markerfacecolor=face, linestyle="none", label=label)
        )
    entries.append(Line2D([], [], color=QUIET, alpha=0.6, linewidth=5, label="the paper's number"))
    figure.legend(handles=entries, loc="outside lower center", ncols=min(4, len(entries)))  # type: ignore[attr-defined]


def _columns(shown: Sequence[tuple[Verdict, PartVerdict]]) -> dict[str, np.ndarray]:
    rows = []
    for verdict, part in shown:
        found, paper = part.interval, part.part.published
        assert found is not None
        numbers = (found.mean, found.low, found.high, part.seeds)
        of_paper = (paper.low, paper.high) if paper else ("", "")
        claim, rule = verdict.claim, part.part
        said = (claim.id, claim.title, verdict.lab, verdict.answer, rule.name, rule.unit)
        rows.append((*said, *numbers, *of_paper))
    names = ("claim", "title", "lab", "verdict", "part", "unit", "mean", "low", "high", "seeds")
    names += ("paper_low", "paper_high")
    return {
        name: np.array(column, object) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }

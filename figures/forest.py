"""The scoreboard as a forest: every claim's leading effect with its interval in every laboratory, and the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures.columns import Columns
from figures.drawing import seeds_said
from figures.runs import Runs
from figures.sheets import below, columns_of, head, kept, signs, stroke
from figures.style import INK, QUIET, TEXT_WIDTH, canvas, house, lane
from theory.claims import PartVerdict, Verdict

ANSWERED = ("reproduced", "contradicted")  # filled; anything else is hollow
PAPER = ("paper_low", "paper_high")
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
    labs = list(dict.fromkeys(_lane(runs, verdict) for verdict, _ in shown))
    heights = [len(_claims(group)) for group in groups]
    height = ROW * sum(heights) + 0.55 * len(groups) + 1.05
    grid = {"nrows": len(groups), "squeeze": False, "gridspec_kw": {"height_ratios": heights}}
    with house():
        figure, axes = canvas(TEXT_WIDTH, height, **grid)
        for panel, group in zip(axes[:, 0], groups, strict=True):
            _panel(panel, [(labs.index(_lane(runs, v)), v, p) for v, p in group], len(labs))
        head(
            figure, "Claims and verdicts: the first deciding effect of each, with its 95% interval over seeds"
        )
        _legend(figure, labs, seeds_said(part.seeds for _, part in shown))
        return kept(figure, {"forest": _columns(shown)}, folder, "forest")


def _leading(verdict: Verdict) -> PartVerdict | None:
    for part in verdict.parts:
        if part.part.role == "decides" and part.interval is not None and np.isfinite(part.interval.low):
            return part
    return None


def _claims(group: Sequence[tuple[Verdict, PartVerdict]]) -> list[str]:
    return list(dict.fromkeys(verdict.claim.id for verdict, _ in group))


def _lane(runs: Runs, verdict: Verdict) -> str:
    """The laboratory, and which of its runs of the claim's study where it has several."""
    several = [one.run for one in runs.of(verdict.claim.study) if one.lab == verdict.lab]
    at = several.index(verdict.run) if verdict.run in several else 0
    return verdict.lab + (f", run {at + 1}" if at else "")


def _panel(axes: Any, group: Sequence[tuple[int, Verdict, PartVerdict]], lanes: int) -> None:
    pairs = [(verdict, part) for _, verdict, part in group]
    claims = _claims(pairs)
    titles = {v.claim.id: f"{v.claim.id}  {v.claim.title}" for v, _ in pairs}
    low, high = _limits(pairs)
    for claim, null in dict.fromkeys((v.claim.id, p.part.null * p.part.scale) for v, p in pairs):
        row = claims.index(claim)  # each claim is measured against its own null
        axes.plot([null, null], [row - 0.5, row + 0.5], color=INK, linewidth=0.8)
    for verdict, part in {verdict.claim.id: (verdict, part) for verdict, part in pairs}.values():
        if (paper := part.part.published) is not None:
            row = claims.index(verdict.claim.id)
            axes.plot(
                [paper.low, paper.high],
                [row, row],
                color=QUIET,
                linewidth=5,
                alpha=0.45,
                solid_capstyle="butt",
            )
            axes.plot((paper.low + paper.high) / 2, row, "|", color=QUIET, markersize=9)
    for i, verdict, part in group:
        row, found = claims.index(verdict.claim.id), part.interval
        assert found is not None
        y = row + 0.8 * ((i + 0.5) / lanes - 0.5)
        (colour, shape), plain = lane(i), verdict.answer not in ANSWERED
        axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.0)
        for end, at, sign in ((found.low, low, "<"), (found.high, high, ">")):
            if (end < at) if sign == "<" else (end > at):  # an interval that runs out of the picture
                axes.plot(at, y, sign, color=colour, markersize=3, clip_on=False)
        axes.plot(
            found.mean,
            y,
            shape if verdict.answer != "contradicted" else "X",
            color=colour,
            markersize=4.2,
            markerfacecolor="white" if plain else colour,
        )
    axes.set_yticks(range(len(claims)), [titles[claim] for claim in claims])
    axes.set_xlim(low, high)
    axes.set_ylim(len(claims) - 0.5, -0.5)
    axes.set_xlabel(pairs[0][1].part.unit)
    axes.tick_params(axis="y", length=0)


def _limits(group: Sequence[tuple[Verdict, PartVerdict]]) -> tuple[float, float]:
    """Room for every mean and for intervals but the widest, which run out of the picture."""
    found = [part.interval for _, part in group if part.interval is not None]
    nulls = [part.part.null * part.part.scale for _, part in group]
    means = np.array([one.mean for one in found] + nulls)
    reach = np.quantile([max(one.mean - one.low, one.high - one.mean) for one in found], 0.8)
    low, high = float(means.min() - reach), float(means.max() + reach)
    return low - 0.03 * (high - low), high + 0.03 * (high - low)


def _legend(figure: Any, labs: Sequence[str], seeds: str) -> None:
    entries = [stroke(*lane(i), lab) for i, lab in enumerate(labs)]
    entries += signs("reproduced", "inconclusive", "contradicted", paper=True)
    words = (
        "a mark stands at the claim's first deciding effect alone; its kind is the verdict on all parts together\n"
        f"upright bars: the null that the effect is held against; arrows: the interval goes on; {seeds}"
    )
    below(figure, words, entries)


def _columns(shown: Sequence[tuple[Verdict, PartVerdict]]) -> Columns:
    rows = []
    for verdict, part in shown:
        found, paper = part.interval, part.part.published
        assert found is not None
        numbers = (found.mean, found.low, found.high, part.seeds)
        of_paper = (paper.low, paper.high) if paper else ("", "")
        claim, rule = verdict.claim, part.part
        said = (claim.id, claim.title, verdict.lab, verdict.answer, rule.name, rule.unit)
        rows.append((*said, *numbers, *of_paper))
    names = ("claim", "title", "lab", "verdict", "part", "unit", "mean", "low", "high", "seeds", *PAPER)
    return columns_of(names, rows)

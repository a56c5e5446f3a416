"""The scoreboard as a forest: what settled every claim, with its interval in every laboratory, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures.columns import Columns
from figures.drawing import items_behind
from figures.runs import Runs
from figures.sheets import below, columns_of, head, kept, signs, stroke
from figures.style import INK, QUIET, TEXT_WIDTH, canvas, house, lane
from figures.words import counted, over, seeds_said, settling, shortened
from theory.claims import PartVerdict, Verdict

ANSWERED = ("reproduced", "contradicted")  # filled; anything else is hollow
PAPER = ("paper_low", "paper_high")
ROW, EACH = 0.2, 0.075  # inches: a claim's least, and for each laboratory


def forest(runs: Runs, folder: Path) -> list[Path]:
    """A row a claim. Filled: reproduced; hollow: inconclusive; crossed out: contradicted; in words: no rows. Only
    effects in points or other units that a person can compare stand on one axis, so each unit has its own panel.
    Claims of studies that nobody ran are named below."""
    shown = [(verdict, part) for verdict in runs.board.verdicts if (part := _leading(verdict)) is not None]
    if not shown:
        return []
    absent = {v.claim.id: v for v in runs.board.verdicts} | {v.claim.id: None for v, _ in shown}
    silent = [verdict for verdict in absent.values() if verdict is not None]
    units = ("points", *sorted({p.part.unit for _, p in shown} - {"points"}))
    groups = [[(v, p) for v, p in shown if p.part.unit == unit] for unit in units]
    groups = [group for group in groups if group]
    labs = list(dict.fromkeys(_lane(runs, verdict) for verdict, _ in shown))
    asked = [verdict for verdict in silent if runs.of(verdict.claim.study)]
    rows = [_rows(runs, group, asked if i == 0 else ()) for i, group in enumerate(groups)]
    height = max(ROW, EACH * (len(labs) + 1)) * sum(map(len, rows)) + 0.55 * len(groups) + 1.05
    grid = {"nrows": len(groups), "squeeze": False, "gridspec_kw": {"height_ratios": list(map(len, rows))}}
    with house():
        figure, axes = canvas(TEXT_WIDTH, height, **grid)
        for panel, group, own in zip(axes[:, 0], groups, rows, strict=True):
            _panel(panel, [(labs.index(_lane(runs, v)), v, p) for v, p in group], len(labs), own)
            for claim in {verdict.claim.id for verdict in asked} & set(own):
                panel.text(
                    0.5, list(own).index(claim), "no laboratory has rows", ha="center", va="center",
                    fontsize=6.5, color=QUIET, transform=panel.get_yaxis_transform(),
                )  # fmt: skip
        seen = over(part.interval for _, part in shown if part.interval is not None)
        head(figure, f"Claims and verdicts: the effect that settled each, with its 95% interval {seen}")
        told = f"{seeds_said(part.seeds for _, part in shown)}, {_items(runs, shown)}"
        if unasked := [verdict.claim.id for verdict in silent if verdict not in asked]:
            told += f"\nnobody has run the studies of {', '.join(unasked)}"
        _legend(figure, labs, told)
        return kept(figure, {"forest": _columns(shown, silent)}, folder, "forest")


def _leading(verdict: Verdict) -> PartVerdict | None:
    """The part that the scoreboard's tables show; None where that has no interval, or rows are missing."""
    part = settling(verdict)
    return part if part is not None and _has_interval(part) else None


def _has_interval(part: PartVerdict) -> bool:
    return part.interval is not None and bool(np.isfinite(part.interval.low))


def _rows(
    runs: Runs, group: Sequence[tuple[Verdict, PartVerdict]], silent: Sequence[Verdict]
) -> dict[str, str]:
    """The panel's claims in the order of the scoreboard, with what is written beside each."""
    titles = {verdict.claim.id: verdict.claim.title for verdict in (*(v for v, _ in group), *silent)}
    order = dict.fromkeys(verdict.claim.id for verdict in runs.board.verdicts)
    return {claim: f"{claim}  {titles[claim]}" for claim in order if claim in titles}


def _items(runs: Runs, shown: Sequence[tuple[Verdict, PartVerdict]]) -> str:
    """How many items stand behind a number of one seed, from the fewest to the most."""
    found = []
    for verdict, part in shown:
        for rows in runs.of(verdict.claim.study):
            if (rows.lab, rows.run) == (verdict.lab, verdict.run):
                found += items_behind(rows, part.part.quantity.cells)
    return f"{counted(min(found), max(found), 'items')} a seed" if found else ""


def _lane(runs: Runs, verdict: Verdict) -> str:
    """The laboratory, and which of its runs of the claim's study where it has several."""
    several = [one.run for one in runs.of(verdict.claim.study) if one.lab == verdict.lab]
    at = several.index(verdict.run) if verdict.run in several else 0
    return verdict.lab + (f", run {at + 1}" if at else "")


def _panel(
    axes: Any, group: Sequence[tuple[int, Verdict, PartVerdict]], lanes: int, rows: Mapping[str, str]
) -> None:
    pairs = [(verdict, part) for _, verdict, part in group]
    claims = list(rows)
    low, high = _limits(pairs)
    for claim, null in dict.fromkeys((v.claim.id, p.part.null * p.part.scale) for v, p in pairs):
        row = claims.index(claim)  # each claim is measured against its own null
        axes.plot([null, null], [row - 0.5, row + 0.5], color=INK, linewidth=0.8)
    for row, paper in dict.fromkeys((claims.index(v.claim.id), p.part.published) for v, p in pairs):
        if paper is not None:
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
    axes.set_yticks(range(len(claims)), [shortened(words) for words in rows.values()])
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
        "a mark stands at the first effect that the verdict follows from, as in the scoreboard; "
        "its kind is the verdict\n"
        "on all parts together; upright bars: the null that the effect is held against; arrows: the interval goes on\n"
        + seeds
    )
    below(figure, words, entries)


def _columns(shown: Sequence[tuple[Verdict, PartVerdict]], silent: Sequence[Verdict]) -> Columns:
    rows: list[tuple[Any, ...]] = []
    for verdict, part in shown:
        found, paper = part.interval, part.part.published
        assert found is not None
        numbers = (found.mean, found.low, found.high, part.seeds)
        of_paper = (paper.low, paper.high) if paper else ("", "")
        claim, rule = verdict.claim, part.part
        said = (claim.id, claim.title, verdict.lab, verdict.answer, rule.name, rule.unit)
        rows.append((*said, *numbers, *of_paper))
    rows += [(v.claim.id, v.claim.title, "", v.answer, *[""] * 8) for v in silent]
    names = ("claim", "title", "lab", "verdict", "part", "unit", "mean", "low", "high", "seeds", *PAPER)
    return columns_of(names, rows)

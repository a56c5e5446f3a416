"""The scoreboard as a forest: what settled every claim, with its interval in every laboratory, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures.columns import Columns
from figures.drawing import items_behind
from figures.errors import FiguresError
from figures.runs import Runs
from figures.sheets import below, columns_of, head, kept, signs, stroke
from figures.style import INK, QUIET, SMALL, TEXT_WIDTH, canvas, house, lane
from figures.words import counted, seeds_said, settling, shortened
from theory.claims import PartVerdict, Scoreboard, Verdict
from theory.claims.interval import over
from theory.claims.scoreboard import NOWHERE

ANSWERED = ("reproduced", "contradicted")  # filled; anything else is hollow
TICKS = (-40, 0, 40)
PAPER = ("paper_low", "paper_high")
ROW, EACH = 0.2, 0.05  # inches: a claim's least, and for each laboratory
ROOMS = {"theory": "one layer", "synthetic": "laboratory", "realmodels": "real model"}
Shown = Sequence[tuple[Verdict, PartVerdict]]


def forest(runs: Runs, folder: Path) -> list[Path]:
    """The scoreboard of these runs; nothing where no effect has an interval."""
    return drawn(runs.board, folder, _items(runs))


def stored(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Scoreboards that were kept as CSV, side by side in one picture."""
    from theory.claims.stored import read_scoreboard

    written = drawn(read_scoreboard(*paths), folder)
    if not written:
        raise FiguresError(f"{paths[0]}: no effect in it has an interval; nothing can be drawn")
    return written


def drawn(board: Scoreboard, folder: Path, items: str = "") -> list[Path]:
    """A row a claim, a column a room. Filled: reproduced; hollow: inconclusive; crossed out: contradicted; in words: no
    rows. Only effects in points or other units that a person can compare stand on one axis, so each unit has panels of
    its own. Claims of studies that nobody ran are named below."""
    shown = [(verdict, part) for verdict in board.verdicts if (part := _leading(verdict)) is not None]
    if not shown:
        return []
    asked = {verdict.claim.study for verdict in board.verdicts if verdict.run != NOWHERE}
    marked = {verdict.claim.id for verdict, _ in shown}
    silent = list({v.claim.id: v for v in board.verdicts if v.claim.id not in marked}.values())
    units = ("points", *sorted({p.part.unit for _, p in shown} - {"points"}))
    groups = [group for unit in units if (group := [(v, p) for v, p in shown if p.part.unit == unit])]
    unmarked = [verdict for verdict in silent if verdict.claim.study in asked]
    rows = [_rows(board, group, unmarked if i == 0 else ()) for i, group in enumerate(groups)]
    labs = list(dict.fromkeys(_lane(board, verdict) for verdict, _ in shown))
    rooms = [room for room in ROOMS if any(_room(lab) == room for lab in labs)]
    rooms += [room for room in dict.fromkeys(map(_room, labs)) if room not in ROOMS]
    most = max(sum(_room(lab) == room for lab in labs) for room in rooms)
    height = max(ROW, EACH * (most + 1)) * sum(map(len, rows)) + 0.55 * len(groups) + 1.05
    with house():
        figure, grid = canvas(
            TEXT_WIDTH,
            height,
            nrows=len(groups),
            ncols=len(rooms),
            squeeze=False,
            gridspec_kw={"height_ratios": list(map(len, rows))},
        )
        for line, group, own in zip(grid, groups, rows, strict=True):
            unit, limits = group[0][1].part.unit, _limits(group)
            rooted = len(rooms) > 1 and unit == "points"  # small effects are seen beside large ones
            for axes, room in zip(line, rooms, strict=True):
                lanes = [lab for lab in labs if _room(lab) == room]
                here = [(_lane(board, v), v, p) for v, p in group if _room(v.lab) == room]
                _panel(axes, here, {lab: labs.index(lab) for lab in lanes}, own, limits, len(rooms) == 1)
                axes.tick_params(axis="y", length=0, labelleft=axes is line[0])
                axes.locator_params(axis="x", nbins=7 if len(rooms) == 1 else 3)
                if rooted:
                    axes.set_xscale("function", functions=(_root, _square))
                    axes.set_xticks([x for x in TICKS if limits[0] <= x <= limits[1]])
            middle = line[len(rooms) // 2]
            told = middle.set_xlabel(f"{unit} (drawn by their root)" if rooted else unit)
            told.set_in_layout(len(rooms) == 1)  # it may be wider than its panel
            _say(middle, "no laboratory has rows", [i for i, claim in enumerate(own) if claim not in marked])
        if len(rooms) > 1:
            for axes, room in zip(grid[0], rooms, strict=True):
                axes.set_title(ROOMS.get(room, room), fontweight="normal")
        seen = over(part.interval for _, part in shown if part.interval is not None)
        head(figure, f"Claims and verdicts: the effect that settled each, with its 95% interval {seen}")
        said = "; an empty place: no rows" if len(rooms) > 1 else ""
        told = ", ".join(filter(None, (seeds_said(part.seeds for _, part in shown), items))) + said
        if unasked := [verdict.claim.id for verdict in silent if verdict not in unmarked]:
            told += f"\nnobody has run the studies of {', '.join(unasked)}"
        _legend(figure, labs, told)
        return kept(figure, {"forest": _columns(shown, silent)}, folder, "forest")


def _root(x: Any) -> Any:
    return np.sign(x) * np.sqrt(np.abs(x))


def _square(x: Any) -> Any:
    return np.sign(x) * np.square(x)


def _room(lab: str) -> str:
    return lab.partition("/")[0]


def _say(axes: Any, words: str, rows: Sequence[int]) -> None:
    for row in rows:
        axes.text(
            0.5, row, words, ha="center", va="center", fontsize=SMALL, color=QUIET,
            transform=axes.get_yaxis_transform(), in_layout=False,
        )  # fmt: skip


def _leading(verdict: Verdict) -> PartVerdict | None:
    """The part that the scoreboard's tables show; None where that has no interval, or rows are missing."""
    part = settling(verdict)
    return part if part is not None and _has_interval(part) else None


def _has_interval(part: PartVerdict) -> bool:
    return part.interval is not None and bool(np.isfinite(part.interval.low))


def _rows(board: Scoreboard, group: Shown, silent: Sequence[Verdict]) -> dict[str, str]:
    """The panel's claims in the order of the scoreboard, with what is written beside each."""
    titles = {verdict.claim.id: verdict.claim.title for verdict in (*(v for v, _ in group), *silent)}
    order = dict.fromkeys(verdict.claim.id for verdict in board.verdicts)
    return {claim: f"{claim}  {titles[claim]}" for claim in order if claim in titles}


def _items(runs: Runs) -> str:
    """How many items stand behind a number of one seed, from the fewest to the most."""
    found = []
    for verdict in runs.board.verdicts:
        if (part := _leading(verdict)) is None:
            continue
        for rows in runs.of(verdict.claim.study):
            if (rows.lab, rows.run) == (verdict.lab, verdict.run):
                found += items_behind(rows, part.part.quantity.cells)
    return f"{counted(min(found), max(found), 'items')} a seed" if found else ""


def _lane(board: Scoreboard, verdict: Verdict) -> str:
    """The laboratory, and which of its runs of the claim's study where it has several."""
    study, lab = verdict.claim.study, verdict.lab
    several = [v.run for v in board.verdicts if (v.claim.study, v.lab) == (study, lab) and v.run != NOWHERE]
    at = list(dict.fromkeys(several)).index(verdict.run)
    return lab + (f", run {at + 1}" if at else "")


def _panel(
    axes: Any,
    group: Sequence[tuple[str, Verdict, PartVerdict]],
    lanes: Mapping[str, int],
    rows: Mapping[str, str],
    limits: tuple[float, float],
    alone: bool,
) -> None:
    """Every verdict of a room in its lane; `lanes` has the places of its laboratories among all."""
    pairs = [(verdict, part) for _, verdict, part in group]
    claims, own = list(rows), list(lanes)
    low, high = limits
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
    for lab, verdict, part in group:
        row, found = claims.index(verdict.claim.id), part.interval
        assert found is not None
        y = row + 0.8 * ((own.index(lab) + 0.5) / len(own) - 0.5)
        (colour, shape), plain = lane(lanes[lab]), verdict.answer not in ANSWERED
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
    axes.set_yticks(range(len(claims)), [shortened(words, 40 if alone else 34) for words in rows.values()])
    axes.set_xlim(low, high)
    axes.set_ylim(len(claims) - 0.5, -0.5)


def _limits(group: Shown) -> tuple[float, float]:
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
        "its kind is the verdict on all parts together; upright bars: the null that the effect is held against; "
        "arrows: the interval goes on\n" + seeds
    )
    below(figure, words, entries)


def _columns(shown: Shown, silent: Sequence[Verdict]) -> Columns:
    rows: list[tuple[Any, ...]] = []
    for verdict, part in shown:
        found, paper = part.interval, part.part.published
        assert found is not None
        numbers = (found.mean, found.low, found.high, over([found]), part.seeds)
        of_paper = (paper.low, paper.high) if paper else ("", "")
        claim, rule = verdict.claim, part.part
        said = (claim.id, claim.title, verdict.lab, verdict.answer, rule.name, rule.unit)
        rows.append((*said, *numbers, *of_paper))
    rows += [(v.claim.id, v.claim.title, "", v.answer, *[""] * 9) for v in silent]
    names = (
        "claim",
        "title",
        "lab",
        "verdict",
        "part",
        "unit",
        "mean",
        "low",
        "high",
        "interval",
        "seeds",
        *PAPER,
    )
    return columns_of(names, rows)

"""One claim of a forest: words over a line of panels, a panel a rung, in it a lane for every laboratory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from figures.forest_marks import Mark, said
from figures.sheets import LETTERS
from figures.style import INK, QUIET, SMALL, lane
from figures.words import packed, unit_of
from theory.claims import Part

ANSWERED = ("reproduced", "contradicted")  # filled; anything else is hollow
CROSSED, STAR = "X", "*"  # marks of what is contradicted, and of the paper
MARGIN, PAPER = 0.25, 1.1  # lanes: what stays free at top and bottom, and how high the paper's number stands
REGION = "#E6EBF2"  # where a claim says that its effect lies
LINE = 12.6  # points from line to line of words over a row
WIDE = LETTERS - 6  # letters of such a line
SIZE, LARGE, STAR_SIZE, DOT = (
    4.6,
    6.0,
    6.5,
    2.6,
)  # points of marks: a verdict, a crossed one, the paper, beside a lane


def words_over(marks: Sequence[Mark]) -> list[str]:
    """The claim; what is drawn, and its unit; what else a verdict follows from."""
    claim, part = marks[0].claim, marks[0].part.part
    others = list(dict.fromkeys(mark.elsewhere[0] for mark in marks if mark.elsewhere))
    told = [f"{said(claim, part.name)} [{unit_of(part)}]"]
    told += [f"• verdict from “{'” or “'.join(others)}”"] if others else []
    return [f"{claim.id}  {claim.title}", *(line for one in told for line in packed(one, WIDE).split("\n"))]


def draw_row(
    panels: Sequence[Any],
    marks: Sequence[Mark],
    lanes: Sequence[Sequence[str]],
    numbers: Mapping[str, int],
    empty: Sequence[str],
    headings: Sequence[str],
) -> None:
    """The marks of one claim, each in its lane; `lanes` are those of each panel, from top to bottom, `numbers` their
    places among all, `empty` what is said where a panel has no mark."""
    part, limits, most = marks[0].part.part, _limits(marks), max(map(len, lanes))
    for axes, own, why in zip(panels, lanes, empty, strict=True):
        here = [mark for mark in marks if mark.lane in own]
        if not here:
            axes.set_axis_off()
            axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=QUIET)
            continue
        _ground(axes, part, limits)
        axes.set_ylim(most - 0.5 + MARGIN, -0.5 - MARGIN - (PAPER if part.published else 0))
        for mark in here:
            _mark(axes, mark, own.index(mark.lane) + (most - len(own)) / 2, numbers[mark.lane], limits)
        if part.published:
            ends = sorted({part.published.low, part.published.high})
            axes.plot(ends, [-PAPER] * len(ends), color=INK, marker=STAR, markersize=STAR_SIZE, linewidth=0.9)
    _say(panels, words_over(marks), headings)


def _ground(axes: Any, part: Part, limits: tuple[float, float]) -> None:
    low, high = region(part)
    axes.axvspan(max(low, limits[0]), min(high, limits[1]), facecolor=REGION, linewidth=0, zorder=0)
    for edge in (low, high):
        if np.isfinite(edge):
            axes.axvline(edge, color=INK, linewidth=0.8, zorder=1)
    axes.set_xlim(limits)
    axes.set_xticks(_ticks(limits))
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)


def _ticks(limits: tuple[float, float]) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(*limits)
    return [float(x) for x in found if limits[0] <= x <= limits[1]]


def lanes_high(part: Part, most: int) -> float:
    """How many lanes a row is high, of which `most` are laboratories'."""
    return most + 2 * MARGIN + (PAPER if part.published else 0)


def region(part: Part) -> tuple[float, float]:
    """Where the claim says that the effect lies, in its unit."""
    down, up = part.scale * (part.null - part.margin), part.scale * (part.null + part.margin)
    return {
        "above": (up, np.inf),
        "below": (-np.inf, down),
        "not below": (down, np.inf),
        "within": (down, up),
    }[part.direction]


def _mark(axes: Any, mark: Mark, y: float, number: int, limits: tuple[float, float]) -> None:
    (colour, shape), answer = lane(number), mark.verdict.answer
    if mark.elsewhere:
        beside = axes.get_yaxis_transform()
        axes.plot(-0.045, y, "o", color=INK, markersize=DOT, transform=beside, clip_on=False)
    if found := mark.drawn:
        axes.plot([found.low, found.high], [y, y], color=colour, linewidth=1.2, solid_capstyle="butt")
        for beyond, at, sign in (
            (found.low < limits[0], limits[0], "<"),
            (found.high > limits[1], limits[1], ">"),
        ):
            if beyond:  # the interval runs out of the picture
                axes.plot(at, y, sign, color=colour, markersize=3.5, clip_on=False)
    assert mark.part.interval is not None
    axes.plot(
        mark.part.interval.mean,
        y,
        CROSSED if answer == "contradicted" else shape,
        color=colour,
        markersize=LARGE if answer == "contradicted" else SIZE,
        markerfacecolor=colour if answer in ANSWERED else "white",
        zorder=3,
    )


def _say(panels: Sequence[Any], words: Sequence[str], headings: Sequence[str]) -> None:
    """Words from the left edge over the whole line, and over it the panels' headings; their height is held free."""
    above = len(words) + bool(headings)
    panels[0].set_title(" ", pad=LINE * (above - 1) + 3)
    lines = [(panels[0], told, k) for k, told in enumerate(reversed(words))]
    lines += [(axes, told, len(words)) for axes, told in zip(panels, headings, strict=False)]
    for axes, told, k in lines:
        word = axes.annotate(
            told, (0, 1), xycoords="axes fraction", xytext=(0, LINE * k + 3), textcoords="offset points",
            fontsize=SMALL, color=INK, fontweight="bold" if told == words[0] else "normal",
            fontstyle="italic" if k == len(words) else "normal",
        )  # fmt: skip
        word.set_in_layout(False)


def _limits(marks: Sequence[Mark]) -> tuple[float, float]:
    """Room for every mean, the paper's number, the edges of what is claimed, and of what can be where an interval is
    cut there, and for intervals but the widest."""
    part = marks[0].part.part
    places = [mark.part.interval.mean for mark in marks if mark.part.interval is not None]
    places += [edge for edge in region(part) if np.isfinite(edge)]
    places += [part.published.low, part.published.high] if part.published else []
    places += [end for mark in marks for end in mark.cuts]
    found = [mark.drawn for mark in marks if mark.drawn is not None]
    reach = float(np.quantile([max(one.mean - one.low, one.high - one.mean) for one in found] or [1.0], 0.8))
    low = min(*places, *(max(one.low, one.mean - reach) for one in found))
    high = max(*places, *(min(one.high, one.mean + reach) for one in found))
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room

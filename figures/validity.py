"""V: the gap of known over unknown rows as a waterfall: less copying, less answer support, less guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from figures.drawing import PERCENT, Drawn, Rows, about, of_each, places, row, whiskers
from figures.runs import Runs
from figures.sheets import head, note
from figures.style import COLOURS, HATCHES, INK, SMALL, TEXT_WIDTH, canvas
from figures.words import minus, numbers
from theory.claims import Cell
from theory.claims.decompose import NAMES, STRATA, decompose
from theory.claims.evidence import StudyRows
from theory.intervals import Interval
from theory.table import Table

CLAIMS = ("V1", "V2", "V3")
LABELS = (
    "raw gap",
    "copied from\nthe subject",
    "answers only one\nset teaches",
    "guessable\nanswers",
    "what is left",
)


JUDGED = "judged"
BOTH = {  # kind of training sets: what the panel says of them where a run has both
    "": "Sets matched in relation and answer: V1 to V3 judge these",
    ":by-relation": "Sets matched in relation alone, as such gaps are usually reported",
}


@of_each("validity", "waterfall")
def waterfall(runs: Runs, rows: StudyRows) -> Drawn | None:
    """Raw gap, what each confounder carries of it, and what is left: of the sets that the verdicts judge, and below it
    of sets matched less closely where there are such."""
    own = runs.table.take(runs.table.mask(lab=rows.lab, run=rows.run, study=rows.study))
    found = {kind: one for kind in BOTH if len(one := _slices(own, kind)) == len(NAMES)}
    if "" not in found:
        return None
    table: Rows = []
    figure, panels = canvas(
        TEXT_WIDTH, 1.0 + 2.1 * len(found), nrows=len(found), sharex=True, sharey=True, squeeze=False
    )
    for axes, (kind, slices) in zip(panels[:, 0], found.items(), strict=True):
        sets = {"sets": f"known{kind} minus unknown{kind}", "verdicts": JUDGED if not kind else "beside them"}
        table += [one | sets for one in _bars(axes, slices)]
        axes.use_sticky_edges = False  # room over and under bars too, where words may stand
        axes.margins(y=0.18)
        axes.set_ylabel("known minus\nunknown (points)")
        if len(found) > 1:
            axes.set_title(BOTH[kind], fontweight="normal")
    if all(axes.dataLim.y0 >= 0 for axes in panels[:, 0]):
        panels[0, 0].set_ylim(bottom=0)
    places(panels[-1, 0], LABELS)
    panels[0, 0].grid(axis="x", visible=False)
    head(figure, _title(runs, rows, found[""]["rest"]))
    cells = [
        Cell("accuracy", f"{on}{kind}", stratum=one)
        for kind in found
        for on in ("known", "unknown")
        for one in ("all", *STRATA)
    ]
    told = about(
        runs, rows, table, "end of tuning", *_whiskers(table), of={"test facts": cells}, claims=CLAIMS
    )
    note(figure, told)
    return figure, table


def _whiskers(table: Rows) -> tuple[str, ...]:
    """What intervals on hatched bars are of: they hang where bars end, and do not say where the gap does."""
    told = any(one["interval"] for one in table if one["series"] in NAMES[1:-1])
    return ("whiskers of hatched bars: of what is taken off, not of what is left",) if told else ()


def _slices(own: Table, kind: str) -> dict[str, Interval]:
    """The parts of a gap that the records hold."""
    slices = decompose(own, high=f"known{kind}", low=f"unknown{kind}")
    return {one.name: one.interval for one in slices if one.interval is not None}


def _title(runs: Runs, rows: StudyRows, rest: Interval) -> str:
    """The verdicts on each control alone, and what all of them together leave: that may be nothing where they hold."""
    said = "; ".join(filter(None, (runs.answer(claim, rows) for claim in CLAIMS)))
    left = replace(rest, mean=PERCENT * rest.mean, low=PERCENT * rest.low, high=PERCENT * rest.high)
    nothing = "" if rest.low > 0 and math.isfinite(rest.low) else ": no gap is shown"
    return "\n".join(
        filter(
            None,
            (
                "The gap of known over unknown rows, taken apart",
                f"(alone {said})" if said else "",
                f"all three together leave {numbers(left)} points{nothing}",
            ),
        )
    )


def _bars(axes: Any, found: Mapping[str, Interval]) -> Rows:
    """Whole bars at both ends, and between them what each control takes off."""
    table: Rows = []
    values = [PERCENT * found[name].mean for name in NAMES]
    top = np.concatenate([[values[0]], values[0] - np.cumsum(values[1:4])])
    bottoms = [0.0, *top[1:4], 0.0]
    for i, (name, bottom, height) in enumerate(zip(NAMES, bottoms, values, strict=True)):
        one = found[name]
        whole = name in ("raw", "rest")
        axes.bar(
            i, height, 0.6, bottom=bottom, color=COLOURS[0] if whole else COLOURS[5],
            hatch=HATCHES[0 if whole else 1], edgecolor="white", linewidth=0,
        )  # fmt: skip
        ends = whiskers([one], PERCENT)
        # the loose end of a bar: the top of a whole one, the lower end of a part that is taken off
        loose_end = bottom + height if whole else bottom
        if ends is not None:
            axes.errorbar(i, loose_end, ends, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        change = height if whole else -height  # a part is taken off
        high = max(bottom, bottom + height, loose_end + (0.0 if ends is None else ends[1, 0]))
        axes.annotate(
            minus(f"{round(change, 1) + 0.0:+.1f}"), (i, high), ha="center", va="bottom",
            xytext=(0, 2), textcoords="offset points", fontsize=SMALL,
        )  # fmt: skip
        table.append(row(name, "", one))
    axes.axhline(0, color=INK, linewidth=0.8)
    return table

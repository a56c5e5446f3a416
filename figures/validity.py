"""V: the gap of known over unknown rows as a waterfall: less copying, less answer support, less guessing."""

from __future__ import annotations

import numpy as np

from figures.drawing import PERCENT, Drawn, Rows, about, of_each, places, row
from figures.runs import Runs, reach
from figures.sheets import head, note
from figures.style import COLOURS, HATCHES, INK, SMALL, TEXT_WIDTH, canvas
from figures.words import minus
from theory.claims import Cell
from theory.claims.decompose import NAMES, STRATA, decompose
from theory.claims.evidence import StudyRows

CLAIMS = ("V1", "V2", "V3")
LABELS = (
    "raw gap",
    "copied from\nthe subject",
    "answers only one\nset teaches",
    "guessable\nanswers",
    "what is left",
)


@of_each("validity", "waterfall")
def waterfall(runs: Runs, rows: StudyRows) -> Drawn | None:
    """Raw gap, what each confounder carries of it, and what is left."""
    own = runs.table.take(runs.table.mask(lab=rows.lab, run=rows.run, study=rows.study))
    # matched in relation alone, as is usual: the gap that others report
    loose = own.mask(trained_on="known:by-relation").any()
    kind, matched = (":by-relation", "sets matched in relation alone") if loose else ("", "")
    slices = decompose(own, high=f"known{kind}", low=f"unknown{kind}")
    found = {one.name: one.interval for one in slices if one.interval is not None}
    if len(found) < len(NAMES):
        return None
    values = [PERCENT * found[name].mean for name in NAMES]
    top = np.concatenate([[values[0]], values[0] - np.cumsum(values[1:4])])
    bottoms = [0.0, *top[1:4], 0.0]
    table: Rows = []
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    for i, (name, bottom, height) in enumerate(zip(NAMES, bottoms, values, strict=True)):
        one = found[name]
        whole = name in ("raw", "rest")
        axes.bar(
            i, height, 0.6, bottom=bottom, color=COLOURS[0] if whole else COLOURS[5],
            hatch=HATCHES[0 if whole else 1], edgecolor="white", linewidth=0,
        )  # fmt: skip
        ends = PERCENT * np.array(reach(one))[:, None]
        # the loose end of a bar: the top of a whole one, the lower end of a part that is taken off
        loose_end = bottom + height if whole else bottom
        axes.errorbar(i, loose_end, ends, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        high = max(bottom, bottom + height, loose_end + ends[1, 0])
        axes.annotate(
            minus(f"{height if whole else -height:+.1f}"), (i, high), ha="center",  # a part is taken off
            va="bottom", xytext=(0, 2), textcoords="offset points", fontsize=SMALL,
        )  # fmt: skip
        table.append(row(name, "", one))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.margins(y=0.18)
    places(axes, LABELS)
    axes.set_ylabel("known minus unknown\n(points)")
    said = "; ".join(filter(None, (runs.answer(claim, rows) for claim in CLAIMS)))
    title = "How much of the gap of known over unknown rows is knowledge"
    head(figure, title + (f"\n({said})" if said else ""))
    cells = [
        Cell("accuracy", f"{on}{kind}", stratum=one)
        for on in ("known", "unknown")
        for one in ("all", *STRATA)
    ]
    told = about(runs, rows, table, matched, "end of tuning", of={"test facts": cells}, claims=CLAIMS)
    note(figure, told)
    return figure, table

"""V: the gap of known over unknown rows as a waterfall: less copying, less answer support, less guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from figures.drawing import MEANS, Rows, keep, note, row
from figures.runs import Runs, reach, seeds_of
from figures.style import COLOURS, HATCHES, INK, TEXT_WIDTH, canvas
from theory.claims.decompose import NAMES, decompose

LABELS = (
    "raw gap",
    "copied from\nthe subject",
    "answers only one\nset teaches",
    "guessable\nanswers",
    "what is left",
)


def waterfall(runs: Runs, folder: Path) -> list[Path]:
    """Raw gap, what each confounder carries of it, and what is left."""
    loose = any("known:by-relation" in rows.table.levels["trained_on"] for rows in runs.of("validity"))
    # matched in relation alone, as is usual: the gap that others report
    kind = ":by-relation" if loose else ""
    slices = decompose(runs.table, high=f"known{kind}", low=f"unknown{kind}")
    matched = "sets matched in relation alone" if loose else "sets matched in relation and answer"
    paths: list[Path] = []
    for lab, run in dict.fromkeys((one.lab, one.run) for one in slices):
        bars = {one.name: one.interval for one in slices if (one.lab, one.run) == (lab, run)}
        found = {name: bar for name, bar in bars.items() if bar is not None}
        if len(found) < len(NAMES):
            continue
        rows = next(one for one in runs.of("validity") if (one.lab, one.run) == (lab, run))
        values = [100 * found[name].mean for name in NAMES]
        top = np.concatenate([[values[0]], values[0] - np.cumsum(values[1:4])])
        bottoms = [0.0, *top[1:4], 0.0]
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.6) as (figure, axes):
            for i, (name, bottom, height) in enumerate(zip(NAMES, bottoms, values, strict=True)):
                one = found[name]
                whole = name in ("raw", "rest")
                axes.bar(
                    i, height, 0.6, bottom=bottom, color=COLOURS[0] if whole else COLOURS[5],
                    hatch=HATCHES[0 if whole else 1], edgecolor="white", linewidth=0,
                )  # fmt: skip
                ends = 100 * np.array(reach(one))[:, None]
                # the loose end of a bar: the top of a whole one, the lower end of a part that is taken off
                loose_end = bottom + height if whole else bottom
                axes.errorbar(i, loose_end, ends, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
                high = max(bottom, bottom + height, loose_end + ends[1, 0])
                axes.annotate(
                    f"{height:+.1f}".replace("-", "−"), (i, high), ha="center",
                    va="bottom", xytext=(0, 2), textcoords="offset points", fontsize=7,
                )  # fmt: skip
                table.append(row(name, "", one, 100.0))
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.margins(y=0.18)
            axes.set_xticks(range(5), LABELS)
            axes.set_ylabel("known minus unknown (points)")
            axes.grid(axis="x", visible=False)
            axes.set_title("How much of the gap between known and unknown rows is about knowledge")
            note(figure, f"{matched}, end of tuning; {lab}, {seeds_of(rows)}, {MEANS}")
            paths += keep(figure, folder, runs, "waterfall", rows, table)
    return paths

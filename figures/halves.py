"""A: tuning on the best and the lesser known half of the rows: the window of the gap, attention, and patching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from figures.curves import GRID, Array, progress
from figures.drawing import Drawn, Rows, about, line, of_each, places, points, sideways
from figures.runs import Runs, effect, mean, reach
from figures.sheets import below, beside, handles, head, note
from figures.style import INK, TEXT_WIDTH, canvas
from figures.words import numbers
from theory.claims import Cell
from theory.claims.estimators import Contrast, difference, difference_of_differences
from theory.claims.evidence import StudyRows
from theory.claims.paper_a import gap
from theory.intervals import Interval

SETS = {
    "best": "best known half",
    "random": "random half",
    "lesser": "lesser known half",
    "whole": "whole set",
}


@of_each("salience", "trajectories")
def trajectories(runs: Runs, rows: StudyRows) -> Drawn | None:
    """Accuracy on held-out facts while tuning, and beside it the gap: the window in which lesser-known rows hurt."""
    curves = {
        name: found
        for name in SETS
        if (found := progress(rows, Cell("accuracy", name, split="dev"))) is not None
    }
    if not {"best", "lesser"} <= set(curves) or len(curves["best"].curves) != len(curves["lesser"].curves):
        return None
    table: Rows = []
    figure, (left, right) = canvas(TEXT_WIDTH, 3.5, ncols=2, gridspec_kw={"width_ratios": (5, 4)})
    for i, (name, found) in enumerate(curves.items()):
        table += [one | {"panel": "accuracy"} for one in line(left, found, i, SETS[name])]
    left.set_ylabel("accuracy on held-out\nfacts (%)")
    left.set_ylim(bottom=0)
    right.axhline(0, color=INK, linewidth=0.8)
    apart = curves["best"].less(curves["lesser"])
    table += [one | {"panel": "gap"} for one in line(right, apart, 0, "best minus lesser known")]
    stops = {"early stop": gap(), "end": gap(stop="end")}
    tested = {name: test for name, one in stops.items() if (test := effect(rows, one))}
    for i, (name, one) in enumerate(tested.items(), len(SETS)):
        x = 100.0 if name == "end" else _usual_stop(curves["best"].curves)
        table += points(right, [x], [one], i, f"test facts, {name}", joined=False, panel="gap")
    right.set_ylabel("best minus lesser\nknown (points)")
    for axes in (left, right):
        axes.set_xlabel("share of the fine-tuning (%)")
        axes.set_xlim(-2, 103)
    head(figure, runs.title("A1", rows, "Tuning on the best and on the lesser known half"))
    cells = [Cell("accuracy", name, split="dev") for name in curves]
    counted = {"facts (curves: for choosing the early stop)": cells, "test facts": gap().cells}
    told = about(runs, rows, table, "paired within seed", of=counted, claims=["A1", "A2", "A7"])
    below(figure, told, [*handles(left), *handles(right)[1:]], ncols=3)
    return figure, table


def _usual_stop(curves: Array) -> float:
    """Where the mean curve is highest, in percent of the fine-tuning."""
    middle = np.where(np.isfinite(curves).all(axis=0), curves.mean(axis=0), -np.inf)
    return 100 * float(GRID[int(np.argmax(middle))])


@of_each("salience", "mechanism")
def mechanism(runs: Runs, rows: StudyRows) -> Drawn | None:
    """A4, X3: where networks look, and whose parts repair the lesser-known arm."""
    prompt = "own" if mean(rows, Cell("attention_subject", "none", arm="base", prompt="own")) else "zero"
    untuned = Cell("attention_subject", "none", arm="base", prompt=prompt)
    after = {on: Cell("attention_subject", on, "early", prompt=prompt) for on in ("best", "lesser")}
    looks = {
        "after best\nknown rows": effect(rows, difference(after["best"], untuned)),
        "after lesser\nknown rows": effect(rows, difference(after["lesser"], untuned)),
        "best minus\nlesser": effect(rows, difference(after["best"], after["lesser"])),
    }
    lesser = Cell("accuracy", "lesser")
    parts = {
        "lesser known\nrows": lesser,
        "with the best\narm's attention": lesser.at(arm="patch:attention:best"),
        "with the best\narm's values": lesser.at(arm="patch:values:best"),
        "best known\nrows": Cell("accuracy", "best"),
    }
    repairs = {label: mean(rows, cell) for label, cell in parts.items()}
    level = mean(rows, untuned)
    if level is None or any(one is None for one in (*looks.values(), *repairs.values())):
        return None
    table: Rows = []
    figure, panels = canvas(TEXT_WIDTH, 3.1, ncols=2, gridspec_kw={"width_ratios": (3, 4)})
    whats = ("change of attention on the subject (points)", "accuracy")
    for axes, part, what in zip(panels, (looks, repairs), whats, strict=True):
        values, names = [one for one in part.values() if one], [" ".join(label.split()) for label in part]
        table += points(axes, range(len(values)), values, 0, "", joined=False, names=names, series=what)
        places(axes, list(part), turned=True)
        axes.set_xlim(-0.5, len(values) - 0.5)
    panels[0].axhline(0, color=INK, linewidth=0.8)
    tops = [one.mean + up for one in repairs.values() if one for up in (0.0, reach(one)[1])]
    panels[1].set_ylim(0, 105 * float(np.nanmax(tops)))
    panels[0].set_ylabel("change of attention\non the subject (points)")
    panels[1].set_ylabel("accuracy on held-out\nfacts (%)")
    for axes, said, claim in zip(
        panels, ("Where networks look", "Whose parts repair the harm"), ("A4", "X3"), strict=True
    ):
        axes.set_title("\n".join(filter(None, (said, runs.answer(claim, rows)))))
    cells = [untuned, *after.values(), *parts.values()]
    before = f"left: early stop, against {numbers(_percent(level))} % untuned; right: end"
    told = about(runs, rows, table, before, of={"test facts": cells}, claims=["A4", "X3"])
    note(figure, told)
    return figure, table


def _percent(one: Interval) -> Interval:
    return replace(one, mean=100 * one.mean, low=100 * one.low, high=100 * one.high)


BEST, LESSER = Cell("accuracy", "best"), Cell("accuracy", "lesser")
SWAPS: Mapping[str, Mapping[str, Contrast]] = {
    "put into the lesser known arm": {
        "the best arm's attention": difference(LESSER.at(arm="patch:attention:best"), LESSER),
        "the best arm's values": difference(LESSER.at(arm="patch:values:best"), LESSER),
    },
    "put into the best known arm": {
        "the lesser arm's attention": difference(BEST.at(arm="patch:attention:lesser"), BEST),
        "the lesser arm's values": difference(BEST.at(arm="patch:values:lesser"), BEST),
    },
    "tuned alone: gap of best minus lesser": {
        "attention alone": gap(arm="attention", stop="end"),
        "values alone": gap(arm="values", stop="end"),
        "attention minus values": difference_of_differences(
            gap(arm="attention", stop="end"), gap(arm="values", stop="end")
        ),
    },
    "for scale": {"the whole gap, all weights": gap(stop="end")},
}


@of_each("salience", "patching")
def patching(runs: Runs, rows: StudyRows) -> Drawn | None:
    """A6, X3: what each part of the other arm repairs or breaks, and the gap with one part tuned alone."""
    found = {
        (group, name): one
        for group, contrasts in SWAPS.items()
        for name, contrast in contrasts.items()
        if (one := effect(rows, contrast)) is not None
    }
    groups = [group for group in SWAPS if any(key[0] == group for key in found)]
    if len(groups) < 2 or "for scale" not in groups:
        return None
    table: Rows = []
    figure, axes = canvas(TEXT_WIDTH, 0.27 * (len(found) + len(groups)) + 1.2)
    axes.axvline(0, color=INK, linewidth=0.8)
    y, ticks, labels = 0.0, [], []
    for i, group in enumerate(groups):
        own = {name: one for (of, name), one in found.items() if of == group}
        place = [y + 1 + k for k in range(len(own))]
        table += sideways(axes, place, list(own.values()), i, group, list(own))
        ticks += place
        labels += list(own)
        y += len(own) + 0.7
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.1, 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("change of accuracy on held-out facts (points)")
    beside(axes)
    head(figure, runs.title("X3", rows, "What the other arm's parts repair and break"))
    cells = [cell for group in SWAPS.values() for contrast in group.values() for cell in contrast.cells]
    told = about(
        runs, rows, table, "end of tuning, paired within seed", of={"test facts": cells}, claims=["X3", "A6"]
    )
    note(figure, told)
    return figure, table

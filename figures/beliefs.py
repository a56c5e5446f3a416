"""D: long-form text: precision against true claims, which signals know the truth, and the dial of support."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from figures.drawing import PERCENT, Drawn, Rows, about, apart, bars, of_each, places, points, row, whiskers
from figures.runs import Runs, effect, mean
from figures.sheets import below, beside, handles, head, note
from figures.style import COLOURS, INK, LINES, MARKERS, SMALL, TEXT_WIDTH, canvas
from theory.claims import Cell
from theory.claims.estimators import difference
from theory.claims.evidence import StudyRows
from theory.intervals import Interval

PRECISION = Cell("claim_precision", "none")
TEXTS = {  # training set: words, family
    "none": ("untuned", 0),
    "gold": ("gold", 1),
    "gold+belief": ("gold, believed", 1),
    "gold+random": ("gold, cut at random", 1),
    "gold+belief+random": ("gold, believed, cut", 1),
    "generated": ("own", 2),
    "generated+belief": ("own, believed", 2),
    "generated+support": ("own, supported", 2),
    "generated+random": ("own, cut at random", 2),
    "better": ("a better model's", 3),
    "pairs:belief": ("preference pairs", 4),
    "pairs:preferred": ("preferred of them, read", 4),
}
SIGNALS = {
    "statement": "probability of\nthe statement",
    "token": "token\nprobability",
    "question": "few-shot\nquestion",
    "consistency": "agreement\nover samples",
    "probe": "probe on\nhidden states",
    "verification": "yes or no",
}
SPLITS = {"test": "domain tuned on", "ood-type": "another domain"}


@of_each("beliefs", "precision")
def precision(runs: Runs, rows: StudyRows) -> Drawn | None:
    """D1-D3: claim precision against true claims a text, by what was tuned on, in both domains."""
    found = {(name, split): pair for name in TEXTS for split in SPLITS if (pair := _pair(rows, name, split))}
    if not {("gold", "test"), ("generated+belief", "test")} <= set(found):
        return None
    table: Rows = []
    splits = [split for split in SPLITS if any(key[1] == split for key in found)]
    figure, grid = canvas(TEXT_WIDTH, 0.6 + 2.3 * len(splits), nrows=len(splits), squeeze=False, sharex=True)
    named: dict[str, Any] = {}
    for axes, split in zip(grid[:, 0], splits, strict=True):
        for k, (name, (words, family)) in enumerate(TEXTS.items()):
            if (name, split) not in found:
                continue
            across, up = found[name, split]
            named[words] = axes.errorbar(
                across.mean,
                100 * up.mean,
                whiskers([up], PERCENT),
                whiskers([across], 1.0),
                label=words,
                color=COLOURS[family],
                marker=MARKERS[k % len(MARKERS)],
                markerfacecolor="white"
                if (k + k // len(MARKERS)) % 2
                else COLOURS[family],  # told apart in grey
                elinewidth=0.9,
                ecolor=(COLOURS[family], 0.45),  # marks stay to be seen where intervals cross
                linestyle="none",
            )
            told = {"panel": SPLITS[split]}
            table += [
                row(name, "true claims a text", across, 1.0) | told,
                row(name, "claim precision", up) | told,
            ]
        axes.set_title(SPLITS[split][0].upper() + SPLITS[split][1:], fontweight="normal")
        axes.set_ylabel("claim precision (%)")
    grid[-1, 0].set_xlabel("true claims a text")
    figure.legend(named.values(), named, loc="outside right center", title="tuned on", title_fontsize=SMALL)
    head(figure, runs.title("D1", rows, "Precision against what is said"))
    cells = [_cell(*key) for key in found]
    counted = {"claims": cells, "texts": [cell.at(metric="true_claims") for cell in cells]}
    decided = ["D1", "D2", "D3", "U4"]
    both = ", both ways with intervals" if any(one["interval"] for one in table) else ""
    words = about(runs, rows, table, f"sampled text{both}", of=counted, claims=decided)
    note(figure, f"{_untold(rows, found)}\n{words}")
    return figure, table


def _untold(rows: StudyRows, found: Mapping[tuple[str, str], tuple[Interval, Interval]]) -> str:
    """What the order of precision leaves out, in the domain tuned on: the true claims of gold text, and how many
    training sets are more precise than the untuned model."""
    gold, own = (_cell(name, "test").at(metric="true_claims") for name in ("gold", "generated+belief"))
    ways = {1: "more true claims than", -1: "fewer true claims than", 0: "about as many true claims as"}
    means = " against ".join(f"{found[name, 'test'][0].mean:.2f}" for name in ("gold", "generated+belief"))
    told = f"gold tells {ways[_order(rows, gold, own)]} own, believed text: {means} a text"
    if ("none", "test") not in found:
        return told
    tuned = [_cell(name, "test") for name, split in found if split == "test" and name != "none"]
    above = sum(_order(rows, cell, _cell("none", "test")) > 0 for cell in tuned)
    one = found["none", "test"][1]
    level = f"the untuned model, {PERCENT * one.mean:.1f} %"
    by = ", by intervals of differences" if np.isfinite(one.low) else ""
    if not above:
        return f"{told}\namong the best in precision{by}: {level}"
    return f"{told}\nmore precise than {level}{by}: {above} of {len(tuned)}"


def _order(rows: StudyRows, one: Cell, other: Cell) -> int:
    """1 if one cell lies above the other by the interval of their difference within seed, -1 if below, else 0; by the
    means where there is no interval."""
    found = effect(rows, difference(one, other))
    if found is None:
        return 0
    low, high = (found.low, found.high) if np.isfinite(found.low) else (found.mean, found.mean)
    return int(low > 0) - int(high < 0)


def _cell(name: str, split: str) -> Cell:
    arm = {"none": "base", "pairs:belief": "dpo"}.get(name, "")
    return PRECISION.at(trained_on=name, arm=arm, split=split)


def _pair(rows: StudyRows, name: str, split: str) -> tuple[Interval, Interval] | None:
    cell = _cell(name, split)
    across, up = mean(rows, cell.at(metric="true_claims")), mean(rows, cell)
    return (across, up) if across and up else None


@of_each("beliefs", "signals")
def signals(runs: Runs, rows: StudyRows) -> Drawn | None:
    """D5: how well each signal of belief tells true claims from false ones, and how far it is from calibrated."""
    cell = Cell("belief_auroc", "none", arm="base")
    found = _by_signal(rows, cell)
    if ("probe", "test") not in found:
        return None
    error = _by_signal(rows, cell.at(metric="belief_calibration_error"))
    names = [name for name in SIGNALS if (name, "test") in found]
    table: Rows = []
    figure, (left, right) = canvas(TEXT_WIDTH, 3.7, ncols=2)
    for axes, values, title, null, scale in (
        (left, found, "AUROC", 0.5, 1.0),
        (right, error, "calibration error", 0.0, PERCENT),
    ):
        for i, (split, said) in enumerate(SPLITS.items()):
            place = [k + 0.38 * (i - 0.5) for k in range(len(names))]
            seen = [values.get((name, split)) for name in names]
            told = bars(axes, place, seen, i, said, names, width=0.36, base=null, scale=scale, panel=title)
            table += told
        places(axes, [SIGNALS[name] for name in names], turned=True)
        axes.axhline(null, color=INK, linewidth=0.8)
    left.set_ylabel("AUROC against\nthe truth")
    right.set_ylabel("mean distance of belief\nand share true (points)")
    head(figure, runs.title("D5", rows, "Which signals of belief know the truth"))
    cells = [cell.at(stratum=f"signal={name}", split=split) for name, split in found]
    words = about(
        runs, rows, table, "chance at 0.5", of={"claims of the untuned model": cells}, claims=["D5"]
    )
    below(figure, words, handles(left))
    return figure, table


def _by_signal(rows: StudyRows, cell: Cell) -> Mapping[tuple[str, str], Interval]:
    return {
        (name, split): one
        for name in SIGNALS
        for split in SPLITS
        if (one := mean(rows, cell.at(stratum=f"signal={name}", split=split)))
    }


@of_each("beliefs", "reliability")
def reliability(runs: Runs, rows: StudyRows) -> Drawn | None:
    """D5: of the claims believed to a degree, the share that is true: a calibrated signal lies on the diagonal."""
    found = {
        (name, split): curve for name in SIGNALS for split in SPLITS if (curve := _bins(rows, name, split))
    }
    names = [name for name in SIGNALS if any((name, split) in found for split in SPLITS)]
    if not names:
        return None
    table: Rows = []
    lines = -(-len(names) // 3)
    figure, grid = canvas(
        TEXT_WIDTH, 2.1 * lines + 0.8, nrows=lines, ncols=3, squeeze=False, sharex=True, sharey=True
    )
    for axes, name in zip(grid.flat, names, strict=False):
        axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8)
        for i, (split, said) in enumerate(SPLITS.items()):
            if (name, split) in found:
                x, y = zip(*found[name, split], strict=True)
                table += points(
                    axes, [PERCENT * at for at in x], y, i, said, panel=" ".join(SIGNALS[name].split())
                )
        axes.set_title(SIGNALS[name], fontweight="normal")
        axes.set_ylim(-8, 108)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    figure.supylabel("share that is true (%)", fontsize=SMALL)
    for axes in grid[-1]:
        axes.set_xlabel("belief (%)")
    head(figure, "How much of what is believed is true")
    cells = [
        Cell("belief_auroc", "none", arm="base", split=split, stratum=f"signal={name}")
        for name, split in found
    ]
    told = about(
        runs, rows, table, "tenths of the scale of belief", of={"claims of the untuned model": cells}
    )
    below(figure, told, handles(*grid.flat))
    return figure, table


def _bins(rows: StudyRows, name: str, split: str) -> list[tuple[float, Interval]]:
    """Mean belief and share true of each tenth that two seeds fill, or the only one."""
    cell = Cell("belief_bin_true", "none", arm="base", split=split)
    strata = [f"signal={name},bin={k + 1}" for k in range(10)]
    both = [
        (x.mean, y)
        for stratum in strata
        if (y := mean(rows, cell.at(stratum=stratum)))
        and (x := mean(rows, cell.at(stratum=stratum, metric="belief_bin_mean")))
    ]
    least = min(2, max((y.n for _, y in both), default=1))
    return [(x, y) for x, y in both if y.n >= least]


SUPPORT = "generated+support"
DIALS = {
    "noise": (
        "claims whose\nsupport is told wrongly",
        ((SUPPORT, 0.0), (f"{SUPPORT}:noise0.1", 0.1), (f"{SUPPORT}:noise0.3", 0.3)),
    ),
    "coverage": (
        "facts that the\ngold source covers",
        ((SUPPORT, 1.0), (f"{SUPPORT}:coverage0.7", 0.7), (f"{SUPPORT}:coverage0.4", 0.4)),
    ),
}


@of_each("beliefs", "dial")
def dial(runs: Runs, rows: StudyRows) -> Drawn | None:
    """D2: how good support would have to be to beat the model's own belief: with noise and with gaps."""
    believed = mean(rows, PRECISION.at(trained_on="generated+belief"))
    found = {
        name: [mean(rows, PRECISION.at(trained_on=on)) for on, _ in steps]
        for name, (_, steps) in DIALS.items()
    }
    if believed is None or any(one is None for parts in found.values() for one in parts):
        return None
    table: Rows = []
    figure, panels = canvas(TEXT_WIDTH, 3.4, ncols=2, sharey=True)
    for axes, (name, (words, steps)) in zip(panels, DIALS.items(), strict=True):
        seen = [one for one in found[name] if one]
        table += _level(axes, believed, 1, "kept by own belief", panel=name)
        table += points(axes, [PERCENT * x for _, x in steps], seen, 0, "kept by support", panel=name)
        axes.set_xlabel(f"share of {words} (%)")
    panels[1].invert_xaxis()
    panels[0].set_ylabel("claim precision (%)")
    head(figure, runs.title("D2", rows, "Support as good as it can be had"))
    cells = [PRECISION.at(trained_on=on) for _, steps in DIALS.values() for on, _ in steps]
    told = about(runs, rows, table, "own text, domain tuned on", of={"claims": cells}, claims=["D2"])
    below(figure, told, handles(*panels))
    return figure, table


def _level(axes: Any, one: Interval, i: int, label: str, scale: float = PERCENT, **more: object) -> Rows:
    """One value as a line across the panel with its interval as a band."""
    if np.isfinite(one.low):
        axes.axhspan(scale * one.low, scale * one.high, color=COLOURS[i], alpha=0.15, linewidth=0)
    axes.axhline(scale * one.mean, color=COLOURS[i], linestyle=LINES[i], label=label)
    return [row(" ".join(label.split()), "", one, scale) | more]


@of_each("beliefs", "labels")
def labels(runs: Runs, rows: StudyRows) -> Drawn | None:
    """D5: what the probe knows by its number of labelled claims, against the statement's probability."""
    cell = Cell("belief_auroc", "none", arm="base")
    counts = sorted(
        int(level.rpartition("labels=")[2])
        for level in rows.table.levels["stratum"]
        if level.startswith("signal=probe,labels=")
    )
    found = {
        n: one
        for n in counts
        if (one := mean(rows, cell.at(stratum=f"signal=probe,labels={n}"))) and one.n > 1
    }
    whole = mean(rows, cell.at(stratum="signal=probe"))
    bound = mean(rows, cell.at(stratum="signal=statement"))
    if len(found) < 2 or whole is None or bound is None:
        return None
    table: Rows = []
    figure, axes = canvas(TEXT_WIDTH, 2.9)
    axes.axhline(0.5, color=INK, linewidth=0.8)
    table += points(axes, list(found), list(found.values()), 0, "probe on hidden states", scale=1.0)
    every = max(counts)
    table += points(axes, [every], [whole], 1, "probe, all labels of the run", joined=False, scale=1.0)
    table += _level(axes, bound, 2, "probability of the\nstatement, no label", 1.0)
    axes.set_xscale("log")
    ticks = sorted({*found, every})
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labelled claims that the probe is trained on")
    axes.set_ylabel("AUROC against the truth")
    head(figure, runs.title("D5", rows, "What labels buy"))
    beside(axes)
    claims = [cell.at(stratum="signal=probe"), cell.at(stratum="signal=statement")]
    told = about(runs, rows, table, "domain tuned on; line at chance", of={"claims": claims}, claims=["D5"])
    note(figure, told)
    return figure, table


@of_each("beliefs", "statements")
def free_statements(runs: Runs, rows: StudyRows) -> Drawn | None:
    """U4, Good-Turing: what models say freely and wrongly, against the share of facts stated once, with the floor."""
    sets = [level for level in rows.table.levels["trained_on"] if level.startswith("statements:")]
    found = {
        (metric, one): value
        for metric in STATED
        for one in sets
        if (value := mean(rows, Cell(metric, one, arm="free", split="free")))
    }
    if not sets or len(found) < len(STATED) * len(sets):
        return None
    sets.sort(key=lambda name: float(name.partition(":")[2]))
    figure, axes = canvas(TEXT_WIDTH, 2.9)
    axes.axhline(0, color=INK, linewidth=0.8)
    table = apart(axes, STATED, sets, found, 0.14)
    places(axes, [f"{name.partition(':')[2]} statements a fact" for name in sets])
    axes.set_xlim(-0.6, len(sets) - 0.4)
    axes.set_ylabel("share (%)")
    head(figure, "What is stated freely and wrongly, and what theory foretells of it")
    beside(axes)
    cells = [Cell(metric, one, arm="free", split="free") for metric, one in found]
    note(figure, about(runs, rows, table, "end of training", of={"mentions": cells}))
    return figure, table


STATED = {
    "hallucination": "wrong statements",
    "hallucination_floor": "floor for any learner",
    "missing_mass": "mass of facts never stated",
    "singleton_share": "share of mentions of\nfacts stated once",
    "hallucination_bound_bare": "that share less\nmiscalibration",
}

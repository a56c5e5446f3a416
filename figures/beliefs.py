"""D: long-form text: precision against true claims, which signals know the truth, and the dial of support."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from figures.drawing import Rows, about, head, keep, note, points, row
from figures.runs import Runs, mean, reach
from figures.style import COLOURS, HATCHES, INK, MARKERS, TEXT_WIDTH, canvas
from theory.claims import Cell
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
}
FAMILIES = ("untuned", "gold text", "own text", "a better model's text", "own text, preferences")
SIGNALS = {
    "statement": "probability of\nthe statement",
    "token": "token\nprobability",
    "question": "few-shot\nquestion",
    "consistency": "agreement\nover samples",
    "probe": "probe on\nhidden states",
    "verification": "yes or no",
}
SPLITS = {"test": "domain tuned on", "ood-type": "another domain"}


def precision(runs: Runs, folder: Path) -> list[Path]:
    """D1-D3: claim precision against true claims a text, by what was tuned on, in both domains."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
        found = {
            (name, split): pair for name in TEXTS for split in SPLITS if (pair := _pair(rows, name, split))
        }
        if not {("gold", "test"), ("generated+belief", "test")} <= set(found):
            continue
        table: Rows = []
        splits = [split for split in SPLITS if any(key[1] == split for key in found)]
        with canvas(TEXT_WIDTH, 3.6, ncols=len(splits), squeeze=False, sharey=True, sharex=True) as (
            figure,
            grid,
        ):
            named: dict[str, Any] = {}
            for axes, split in zip(grid[0], splits, strict=True):
                for k, (name, (words, family)) in enumerate(TEXTS.items()):
                    if (name, split) not in found:
                        continue
                    across, up = found[name, split]
                    named[words] = axes.errorbar(
                        across.mean,
                        100 * up.mean,
                        100 * np.array(reach(up))[:, None],
                        np.array(reach(across))[:, None],
                        color=COLOURS[family],
                        marker=MARKERS[k % len(MARKERS)],
                        markerfacecolor="white" if k % 2 else COLOURS[family],
                        elinewidth=0.9,
                        linestyle="none",
                    )
                    told = {"panel": SPLITS[split]}
                    table += [
                        row(name, "true claims a text", across) | told,
                        row(name, "claim precision", up, 100.0) | told,
                    ]
                axes.set_title(SPLITS[split][0].upper() + SPLITS[split][1:], fontweight="normal")
                axes.set_xlabel("true claims a text")
            grid[0, 0].set_ylabel("claim precision (%)")
            grid[0, -1].legend(
                named.values(), named, loc="center left", bbox_to_anchor=(1.0, 0.5), title="tuned on",
                title_fontsize=7,
            )  # fmt: skip
            head(figure, runs.title("D1", rows, "Precision against what is said"))
            note(figure, about(rows, "sampled text, both ways with intervals"))
            paths += keep(figure, folder, runs, "precision", rows, table)
    return paths


def _pair(rows: StudyRows, name: str, split: str) -> tuple[Interval, Interval] | None:
    arm = {"none": "base", "pairs:belief": "dpo"}.get(name, "")
    cell = PRECISION.at(trained_on=name, arm=arm, split=split)
    across, up = mean(rows, cell.at(metric="true_claims")), mean(rows, cell)
    return (across, up) if across and up else None


def signals(runs: Runs, folder: Path) -> list[Path]:
    """D5: how well each signal of belief tells true claims from false ones, and how far it is from calibrated."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
        cell = Cell("belief_auroc", "none", arm="base")
        found = _by_signal(rows, cell)
        if ("probe", "test") not in found:
            continue
        error = _by_signal(rows, cell.at(metric="belief_calibration_error"))
        names = [name for name in SIGNALS if (name, "test") in found]
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.9, ncols=2) as (figure, (left, right)):
            for axes, values, title, null in (
                (left, found, "AUROC", 0.5),
                (right, error, "calibration error", 0.0),
            ):
                for i, (split, said) in enumerate(SPLITS.items()):
                    here = [name for name in names if (name, split) in values]
                    bars = [values[name, split] for name in here]
                    place = [names.index(name) + 0.38 * (i - 0.5) for name in here]
                    axes.bar(
                        place, [bar.mean - null for bar in bars], 0.36, bottom=null, color=COLOURS[i],
                        hatch=HATCHES[i], edgecolor="white", linewidth=0, label=said,
                    )  # fmt: skip
                    if bars:
                        axes.errorbar(
                            place, [bar.mean for bar in bars], np.transpose([reach(bar) for bar in bars]),
                            fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.5,
                        )  # fmt: skip
                    table += [
                        row(said, name, bar) | {"panel": title} for name, bar in zip(here, bars, strict=True)
                    ]
                axes.set_xticks(range(len(names)), [SIGNALS[name] for name in names], rotation=40, ha="right")
                axes.tick_params(axis="x", labelsize=6.5)
                axes.grid(axis="x", visible=False)
            left.axhline(0.5, color=INK, linewidth=0.8)
            left.set_ylabel("AUROC against the truth")
            right.set_ylabel("mean distance of belief\nand share that is true")
            right.legend(loc="best")
            head(figure, runs.title("D5", rows, "Which signals of belief know the truth"))
            note(figure, about(rows, "claims of the untuned model; chance at 0.5"))
            paths += keep(figure, folder, runs, "signals", rows, table)
    return paths


def _by_signal(rows: StudyRows, cell: Cell) -> Mapping[tuple[str, str], Interval]:
    return {
        (name, split): one
        for name in SIGNALS
        for split in SPLITS
        if (one := mean(rows, cell.at(stratum=f"signal={name}", split=split)))
    }


def reliability(runs: Runs, folder: Path) -> list[Path]:
    """D5: of the claims believed to a degree, the share that is true: a calibrated signal lies on the diagonal."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
        found = {
            (name, split): curve
            for name in SIGNALS
            for split in SPLITS
            if (curve := _bins(rows, name, split))
        }
        names = [name for name in SIGNALS if any((name, split) in found for split in SPLITS)]
        if not names:
            continue
        table: Rows = []
        lines = -(-len(names) // 3)
        with canvas(
            TEXT_WIDTH, 1.75 * lines + 0.5, nrows=lines, ncols=3, squeeze=False, sharex=True, sharey=True
        ) as (figure, grid):
            for axes, name in zip(grid.flat, names, strict=False):
                axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
                for i, (split, said) in enumerate(SPLITS.items()):
                    if line := found.get((name, split)):
                        x, y = zip(*line, strict=True)
                        table += points(axes, x, y, i, said, panel=" ".join(SIGNALS[name].split()))
                axes.set_title(" ".join(SIGNALS[name].split()), fontweight="normal")
            for axes in grid.flat[len(names) :]:
                axes.set_axis_off()
            grid.flat[0].legend(loc="upper left")
            figure.supylabel("share that is true", fontsize=8)
            for axes in grid[-1]:
                axes.set_xlabel("belief")
            head(figure, "How much of what is believed is true")
            note(figure, about(rows, "tenths of the scale of belief", "claims of the untuned model"))
            paths += keep(figure, folder, runs, "reliability", rows, table)
    return paths


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
        "claims whose support is told wrongly",
        ((SUPPORT, 0.0), (f"{SUPPORT}:noise0.1", 0.1), (f"{SUPPORT}:noise0.3", 0.3)),
    ),
    "coverage": (
        "facts that the gold source covers",
        ((SUPPORT, 1.0), (f"{SUPPORT}:coverage0.7", 0.7), (f"{SUPPORT}:coverage0.4", 0.4)),
    ),
}


def dial(runs: Runs, folder: Path) -> list[Path]:
    """D2: how good support would have to be to beat the model's own belief: with noise and with gaps."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
        believed = mean(rows, PRECISION.at(trained_on="generated+belief"))
        found = {
            name: [mean(rows, PRECISION.at(trained_on=on)) for on, _ in steps]
            for name, (_, steps) in DIALS.items()
        }
        if believed is None or any(one is None for parts in found.values() for one in parts):
            continue
        table: Rows = [row("own belief", "", believed, 100.0)]
        with canvas(TEXT_WIDTH, 2.6, ncols=2, sharey=True) as (figure, panels):
            for axes, (name, (words, steps)) in zip(panels, DIALS.items(), strict=True):
                seen = [one for one in found[name] if one]
                low, high = (100 * x for x in (believed.low, believed.high))
                if np.isfinite(low):
                    axes.axhspan(low, high, color=COLOURS[1], alpha=0.15, linewidth=0)
                axes.axhline(
                    100 * believed.mean, color=COLOURS[1], linestyle="--", label="kept by own belief"
                )
                table += points(
                    axes, [x for _, x in steps], seen, 0, "kept by support", scale=100, panel=name
                )
                axes.set_xlabel(f"share of {words}")
            panels[1].invert_xaxis()
            panels[0].set_ylabel("claim precision (%)")
            panels[0].legend(loc="best")
            head(figure, runs.title("D2", rows, "Support as good as it can be had"))
            note(figure, about(rows, "own text, domain tuned on"))
            paths += keep(figure, folder, runs, "dial", rows, table)
    return paths


def labels(runs: Runs, folder: Path) -> list[Path]:
    """D5: what the probe knows by its number of labelled claims, against the statement's probability."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
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
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.4) as (figure, axes):
            axes.axhline(0.5, color=INK, linewidth=0.8)
            table += points(axes, list(found), list(found.values()), 0, "probe on hidden states")
            every = max(counts)
            table += points(axes, [every], [whole], 1, "probe, all labels of the run", joined=False)
            if np.isfinite(bound.low):
                axes.axhspan(bound.low, bound.high, color=COLOURS[2], alpha=0.15, linewidth=0)
            axes.axhline(
                bound.mean, color=COLOURS[2], linestyle="-.", label="probability of the statement, no label"
            )
            table.append(row("probability of the statement", "", bound))
            axes.set_xscale("log")
            ticks = sorted({*found, every})
            axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
            axes.minorticks_off()
            axes.set_xlabel("labelled claims that the probe is trained on")
            axes.set_ylabel("AUROC against the truth")
            axes.set_title(runs.title("D5", rows, "What labels buy"))
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            note(figure, about(rows, "domain tuned on; line at chance"))
            paths += keep(figure, folder, runs, "labels", rows, table)
    return paths


def free_statements(runs: Runs, folder: Path) -> list[Path]:
    """U4, Good-Turing: what models say freely and wrongly, against the share of facts stated once, with the floor."""
    paths: list[Path] = []
    for rows in runs.of("beliefs"):
        sets = [level for level in rows.table.levels["trained_on"] if level.startswith("statements:")]
        metrics = {
            "hallucination": "wrong statements",
            "hallucination_floor": "floor for any learner",
            "missing_mass": "mass of facts never stated",
            "singleton_share": "share of facts stated once",
            "hallucination_bound_bare": "that share less miscalibration",
        }
        found = {
            (metric, one): value
            for metric in metrics
            for one in sets
            if (value := mean(rows, Cell(metric, one, arm="free", split="free")))
        }
        if not sets or len(found) < len(metrics) * len(sets):
            continue
        sets.sort(key=lambda name: float(name.partition(":")[2]))
        table: Rows = []
        with canvas(TEXT_WIDTH, 2.4) as (figure, axes):
            axes.axhline(0, color=INK, linewidth=0.8)
            for i, (metric, said) in enumerate(metrics.items()):
                place = [k + 0.14 * (i - 2) for k in range(len(sets))]
                values = [found[metric, name] for name in sets]
                table += points(axes, place, values, i, said, joined=False, scale=100, names=sets)
            axes.set_xticks(
                range(len(sets)), [f"{name.partition(':')[2]} statements a fact" for name in sets]
            )
            axes.set_xlim(-0.6, len(sets) - 0.4)
            axes.grid(axis="x", visible=False)
            axes.set_ylabel("share (%)")
            axes.set_title("What is stated freely and wrongly, and what theory foretells of it")
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            note(figure, about(rows, "sampled statements, end of training"))
            paths += keep(figure, folder, runs, "statements", rows, table)
    return paths

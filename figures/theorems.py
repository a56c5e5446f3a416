"""Pictures of theorems: where a fact begins to hurt, what theory predicts, and when the gap opens and closes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from figures.columns import Columns, read_columns, where
from figures.errors import FiguresError
from figures.sheets import Sheet, below, beside, from_data, handles, head, held, note, percent
from figures.style import COLOURS, INK, LINES, MARKERS, SMALL, TEXT_WIDTH, canvas
from theory.attention import push
from theory.thresholds import optimal_salience, threshold

INTERVAL = ("mean", "low", "high", "n")
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {  # the file that a picture is drawn from, and columns of it
    "prediction": (
        "prediction_points.csv",
        ("noise", "accuracy", "accuracy_theory", "accuracy_measured_values"),
    ),
    "window": ("window.csv", ("variant", "trained_on", "stratum", "metric", "step", *INTERVAL)),
    "salience": (
        "salience_curve.csv",
        ("relations", "steps", "attention", "frequency", "law", *INTERVAL),
    ),
    "coverage": ("graph_gap.csv", ("dim", "theta", "rows", "prompt", "expected", *INTERVAL)),
    "monofact-bound": (
        "monofact_curve.csv",
        ("learner", "monofact", "hallucination", "bound", "miscalibration"),
    ),
}


def ready(data: Path, names: Iterable[str]) -> None:
    """Whether all that these pictures are drawn from is there and can be read; nothing is written to find out."""
    asked = list(names)
    if lacking := [name for name in asked if name in NEEDS and not (data / NEEDS[name][0]).is_file()]:
        files = ", ".join(NEEDS[name][0] for name in lacking)
        rest = " ".join(name for name in asked if name not in lacking)
        told = f"{data}: no such file: {files} (for {', '.join(lacking)})"
        others = f"draw the others alone with `--only {rest}`" if rest else "name a folder that holds it"
        raise FiguresError(f"{told}; {others}, or have `python -m theory data -o FOLDER` write all of them")
    for name in asked:
        if name in NEEDS:
            _table(data, name)


def _table(data: Path, name: str) -> Columns:
    file, needed = NEEDS[name]
    return read_columns(data / file, needed)


def draw_all(data: Path, folder: Path) -> list[Path]:
    """Every picture of this file, with the CSV behind it."""
    return [path for draw in PICTURES.values() for path in draw(data, folder)]


@from_data("hump")
def hump(data: Path) -> Sheet:
    """T2 and T6: the pull of one fact on attention against its salience, for generic and rare right answers."""
    answers, alpha = 10, 0.5
    v_r = 1.5 * np.log(1.0 / np.arange(1, answers + 1))
    ranks = np.array([1, 2, 10])
    tau, best = (f(alpha, v_r[None], ranks - 1) for f in (threshold, optimal_salience))
    sigma = np.linspace(0.0, 14.0, 281)
    v_s = sigma[:, None, None] * np.eye(answers)[ranks - 1]
    pull = alpha * (1 - alpha) * push(0.0, v_s, v_r, ranks - 1)
    figure, axes = canvas(TEXT_WIDTH, 3.0)
    axes.axhline(0, color=INK, linewidth=0.8)
    for i, rank in enumerate(ranks):
        threshold_at = f"threshold {tau[i]:.2f}" if tau[i] >= 0 else "threshold below 0"
        label = f"rank {rank} of {answers}:\n{threshold_at},\npeak {best[i]:.2f}"
        axes.plot(sigma, pull[:, i], color=COLOURS[i], linestyle=LINES[i], label=label)
        height = np.interp(best[i], sigma, pull[:, i])
        axes.plot(best[i], height, "o", color=COLOURS[i])
        if tau[i] >= 0:
            axes.plot(tau[i], 0, "s", color=COLOURS[i])
    axes.set_xlabel("salience of the fact, $\\sigma$ (nats)")
    axes.set_ylabel("pull of attention\nonto the subject, $-dL/du$")
    finding = "Generic answers can push attention off; every pull peaks and fades"
    head(figure, held(finding, "Pull of one fact on attention by its salience", "T2", "T6"))
    axes.set_xlim(0, 14)
    beside(axes, title="right answer")
    note(figure, f"closed form, attention {alpha:g}; squares: thresholds, dots: peaks (nats)")
    columns = {"sigma": sigma} | {f"pull_rank_{rank}": pull[:, i] for i, rank in enumerate(ranks)}
    return figure, {"hump": columns}


@from_data("window")
def window(data: Path) -> Sheet:
    """The one-layer model, trained: when the gap between best-known and lesser-known sets opens and reverses."""
    table = where(_table(data, "window"), trained_on="best-lesser")
    accuracy = where(table, metric="accuracy", stratum="known")
    attention = where(table, metric="attention_subject", stratum="known")
    kinds = {
        "adam": "Adam, all weights",
        "adam, attention only": "Adam, attention only",
        "sgd": "plain SGD, all weights",
    }
    figure, (left, right) = canvas(TEXT_WIDTH, 3.4, ncols=2)
    for panel, rows in ((left, accuracy), (right, attention)):
        panel.axhline(0, color=INK, linewidth=0.8)
        for i, (variant, label) in enumerate(kinds.items()):
            _band(panel, where(rows, variant=variant), i, label)
        panel.set_xlabel("fine-tuning steps")
    for panel in (left, right):
        panel.set_ylabel("best minus lesser\nknown (points)")
    head(figure, "One-layer model, tuned on the best or on the lesser known facts")
    left.set_title("Accuracy on held-out facts", fontweight="normal")
    right.set_title("Attention on the subject", fontweight="normal")
    facts = round(_asked())
    told = f"those of {facts:,} held-out facts a seed that were known before; {_seeds(accuracy)}"
    below(figure, told, handles(left))
    keep = np.isin(table["metric"], ["accuracy", "attention_subject"]) & np.isin(
        table["variant"], list(kinds)
    )
    keep &= table["stratum"] == "known"
    return figure, {"window": {name: column[keep] for name, column in table.items()}}


def _seeds(table: Columns) -> str:
    """How many there are, and that intervals are drawn, which a single one has not."""
    seeds = int(np.nanmin(table["n"]))
    return f"mean and 95% interval over {seeds} seeds" if seeds > 1 else "1 seed"


def _asked() -> float:
    """Held-out facts of a seed in the one-layer model's setting."""
    from theory.measurements.window import VARIANTS

    setting = VARIANTS["adam"].setting
    return setting.held_out * setting.subjects * setting.relations


def _band(panel, rows: Columns, i: int, label: str) -> None:  # type: ignore[no-untyped-def]
    order = np.argsort(rows["step"])
    step, mean, low, high = (rows[name][order] for name in ("step", "mean", "low", "high"))
    panel.fill_between(step, low, high, color=COLOURS[i], alpha=0.18, linewidth=0)
    panel.plot(step, mean, color=COLOURS[i], linestyle=LINES[i], marker="o", label=label)


@from_data("prediction")
def prediction(data: Path) -> Sheet:
    """The accuracy law: predicted against simulated accuracy over random configurations, by two predictors."""
    table = _table(data, "prediction")
    simulated, noise = table["accuracy"], table["noise"]
    panels = {
        "accuracy_theory": "Closed form, one-hot salience",
        "accuracy_measured_values": "Measured values",
    }
    levels = np.unique(noise)
    shades = (COLOURS[0], COLOURS[4], COLOURS[5], COLOURS[1], COLOURS[3], COLOURS[2])
    figure, axes = canvas(TEXT_WIDTH, 4.7, ncols=2, sharey=True)
    for panel, (name, title) in zip(axes, panels.items(), strict=True):
        predicted = table[name]
        panel.plot([0, 100], [0, 100], color=INK, linewidth=0.8)
        for level, shade, marker in zip(levels, shades, "oDsv^P", strict=False):
            at = noise == level
            label = f"value noise {level:g}"
            panel.plot(
                predicted[at],
                simulated[at],
                marker,
                color=shade,
                alpha=0.6,
                markersize=4.4,
                markeredgewidth=0,
                label=label,
            )
        panel.set_title(f"{title}:\n$R^2$ = {r_squared(simulated, predicted):.3f}")
        panel.set_xlabel("predicted held-out accuracy (%)")
        panel.set_aspect("equal")
    axes[0].set_ylabel("simulated held-out accuracy (%)")
    told = f"{len(simulated)} random configurations, one-layer model, SGD, one run each"
    below(figure, told, handles(axes[0]), ncols=6)
    return figure, {"prediction_points": table}


@from_data("salience")
def salience(data: Path) -> Sheet:
    """P1 and what it leaves out: salience by frequency when relation values or attention are trained too."""
    table = _table(data, "salience")
    kinds = list(dict.fromkeys(zip(table["relations"], table["steps"], table["attention"], strict=True)))
    figure, panels = canvas(TEXT_WIDTH, 4.3, nrows=2, ncols=3, sharex=True)
    for axes, (relations, steps, attention) in zip(panels.ravel(), kinds, strict=False):
        rows = where(table, relations=relations, steps=steps, attention=attention)
        order = np.argsort(rows["frequency"])
        f, mean, low, high, law = (rows[name][order] for name in ("frequency", "mean", "low", "high", "law"))
        axes.fill_between(
            f, np.where(np.isfinite(low), low, mean), np.where(np.isfinite(high), high, mean),
            color=COLOURS[0], alpha=0.25, linewidth=0,
        )  # fmt: skip
        axes.plot(f, mean, color=COLOURS[0], label="measured")
        axes.plot(f, law, color=COLOURS[1], linestyle="--", label="law of a lone fact")
        axes.set_xscale("log")
        several = "relation" if relations == 1 else "relations"
        axes.set_title(
            f"{int(relations)} {several}, {int(steps):,} steps\nattention {attention}",
            fontweight="normal",
            fontsize=SMALL,
        )
    for axes in panels.ravel()[len(kinds) :]:
        axes.set_axis_off()
    panels[0, 0].set_ylabel("salience (nats)")
    panels[1, 0].set_ylabel("salience (nats)")
    panels[1, 1].set_xlabel("frequency of the fact in pretraining")
    head(figure, "Salience by frequency where relation values are trained too, beside the law (P1)")
    told = f"one-hot tables, full-batch descent; {_seeds(table)}"
    below(figure, told, handles(panels[0, 0]))
    return figure, {"salience": table}


@from_data("coverage")
def coverage(data: Path) -> Sheet:
    """K5: the sampled gap of two tuned knowledge graphs against its closed form, with and without random prompts."""
    from theory.measurements.graph_gap import EDGES, PER_SEED

    table = _table(data, "coverage")
    figure, axes = canvas(TEXT_WIDTH, 3.5)
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8)
    fits = []
    for i, prompt in enumerate(np.unique(table["prompt"])):
        rows = where(table, prompt=prompt)
        label = "no prompt" if prompt == 0 else f"prompt holds each edge with chance {prompt:g}"
        reach = np.stack([rows["mean"] - rows["low"], rows["high"] - rows["mean"]])
        axes.errorbar(
            rows["expected"],
            rows["mean"],
            reach if np.isfinite(reach).any() else None,
            fmt=MARKERS[i],
            color=COLOURS[i],
            elinewidth=0.7,
            label=label,
        )
        fits.append(f"{r_squared(rows['mean'], rows['expected']):.4f}")
    axes.set_xlabel("expected gap, closed form (% of the stored edges)")
    axes.set_ylabel("sampled gap\n(% of the stored edges)")
    head(figure, "The gap of two graphs, sampled and by the closed form (K5)")
    inside = (table["low"] <= table["expected"]) & (table["expected"] <= table["high"])
    spans = int(np.isfinite(table["low"]).sum())
    met = f"{int(inside.sum())} of {spans} intervals hold the closed form, " if spans else ""
    told = f"{PER_SEED} graphs of {EDGES} edges a seed, {_seeds(table)}"
    below(figure, f"{met}$R^2$ = {' and '.join(fits)}\n{told}", handles(axes))
    return figure, {"coverage": table}


@from_data("monofact-bound")
def monofact_bound(data: Path) -> Sheet:
    """Good and Turing, Kalai and Vempala: what learners say wrongly against the bound by facts stated once."""
    table = _table(data, "monofact-bound")
    figure, (left, right) = canvas(TEXT_WIDTH, 3.4, ncols=2)
    left.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    for i, learner in enumerate(np.unique(table["learner"])):
        rows = where(table, learner=learner)
        label = str(learner).replace("_", " ")
        style = {"color": COLOURS[i % len(COLOURS)], "markersize": 2.4, "alpha": 0.5, "rasterized": True}
        left.plot(rows["bound"], rows["hallucination"], MARKERS[i % 6], label=label, **style)
        right.plot(rows["monofact"], rows["hallucination"], MARKERS[i % 6], **style)
    left.set_xlabel("bound: share of facts stated\nonce, less miscalibration (%)")
    left.set_ylabel("wrong share of what\nis said (%)")
    right.set_xlabel("share of statements whose\nfact is stated once (%)")
    percent(left.xaxis, left.yaxis, right.xaxis, right.yaxis)
    broken = int(np.sum(table["hallucination"] < table["bound"] - 1e-9))
    title = (
        f"{broken} samples err less than facts stated once, less miscalibration, allow"
        if broken
        else "Nobody errs less than the bound by facts stated once allows"
    )
    head(figure, title)
    legend = figure.legend(loc="outside right center", markerscale=1.6)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)  # type: ignore[union-attr]
    seeds = len(np.unique(table["seed"])) if "seed" in table else 1
    note(
        figure,
        f"{len(table['learner']):,} samples of small worlds, {seeds} seeds; line: bound and truth are equal",
    )
    return figure, {"monofact-bound": table}


def r_squared(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """1 - residual over total sum of squares: the prediction itself is judged, not a line through it."""
    return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))


PICTURES: dict[str, Callable[[Path, Path], list[Path]]] = {
    "hump": hump,
    "prediction": prediction,
    "window": window,
    "salience": salience,
    "coverage": coverage,
    "monofact-bound": monofact_bound,
}

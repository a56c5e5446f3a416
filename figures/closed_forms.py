"""Pictures that theory draws alone: thresholds, calibration, the accuracy law, phases, a second hop, monofacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from figures import graph_forms
from figures.sheets import Sheet, alone, beside, head, held, note, percent
from figures.style import COLOURS, INK, LINES, MARKERS, QUIET, SMALL, TEXT_WIDTH, canvas

ANSWERS = 10
GROUND = "cividis"  # the brighter the more is gained, to every eye and in grey
STRETCH = 0.6  # of the scale of changes; the page's panel has the same


def draw_all(folder: Path) -> list[Path]:
    """Every picture of this file, with the CSV behind it."""
    return [path for draw in PICTURES.values() for path in draw(folder)]


@alone("threshold")
def threshold() -> Sheet:
    """T2: the salience below which a fact pushes attention off its subject, by attention and rank of its answer."""
    from theory.measurements.ideal import V_R
    from theory.thresholds import threshold as tau

    alpha, ranks = np.linspace(0.01, 0.99, 99), (1, 2, 3, 10)
    found = {rank: tau(alpha, V_R, rank - 1) for rank in ranks}
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    axes.fill_between(alpha, 0, np.maximum(found[1], 0), color=COLOURS[0], alpha=0.1, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    for i, (rank, curve) in enumerate(found.items()):
        axes.plot(alpha, curve, color=COLOURS[i], linestyle=LINES[i], label=f"rank {rank} of {ANSWERS}")
    between = float(np.interp(0.5, alpha, (found[1] + found[2]) / 2))
    axes.text(
        0.5, between, "known, and still pushing attention off", ha="center", va="center", fontsize=SMALL
    )
    axes.set_xlabel("attention on the subject, $\\alpha$")
    axes.set_ylabel("threshold of salience, $\\tau$ (nats)")
    axes.set_xlim(0, 1)
    finding = "Only facts with a generic answer have a threshold above zero"
    head(figure, held(finding, "Threshold of salience by attention and answer", "T2"))
    beside(axes, title="right answer")
    note(figure, "closed form, one-hot salience, prior of the answers falling as 1/rank")
    columns = {"alpha": alpha} | {f"tau_rank_{rank}": curve for rank, curve in found.items()}
    return figure, {"threshold": columns}


@alone("calibration")
def calibration() -> Sheet:
    """T4: unknown facts push attention off the subject while the relation token is under-confident."""
    from theory.thresholds import calibration_push

    alpha, x, exponents = 0.5, np.linspace(0.0, 2.5, 126), (0.5, 1.0, 2.0)
    prior = {b: np.arange(1.0, ANSWERS + 1) ** -b for b in exponents}
    found = {b: calibration_push(alpha, x / (1 - alpha), pi) for b, pi in prior.items()}
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(1, color=QUIET, linewidth=0.8, linestyle=":")
    for i, (b, curve) in enumerate(found.items()):
        axes.plot(x, curve, color=COLOURS[i], linestyle=LINES[i], label=f"prior ∝\nrank$^{{-{b:g}}}$")
    axes.set_xlabel("confidence of the relation token, $x = (1 - \\alpha) c$")
    axes.set_ylabel("mean slope of the loss")
    axes.set_xlim(0, 2.5)
    finding = "Unknown facts push attention off the subject only below $x = 1$"
    head(figure, held(finding, "Mean slope of the loss by confidence of the relation token", "T4"))
    beside(axes)
    note(
        figure,
        f"closed form, {ANSWERS} answers, attention {alpha:g}; above zero attention leaves the subject",
    )
    columns = {"x": x} | {f"slope_prior_{b:g}": curve for b, curve in found.items()}
    return figure, {"calibration": columns}


@alone("accuracy-law")
def accuracy_law() -> Sheet:
    """T8': accuracy as the distribution function of critical log-odds."""
    from theory.measurements.ideal import spread
    from theory.predict import predicted_accuracy

    u, kinds = np.linspace(-6.0, 6.0, 241), ((0.1, 1.0), (0.5, 6.0), (4.0, 6.0))
    found = {kind: 100 * predicted_accuracy(u, spread(*kind)) for kind in kinds}
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    for i, ((low, high), curve) in enumerate(found.items()):
        label = f"salience\n{low:g} to {high:g} nats"
        axes.plot(u, curve, color=COLOURS[i], linestyle=LINES[i], label=label)
    axes.set_xlabel("log-odds of attention on the subject, $u$")
    axes.set_ylabel("held-out accuracy (%)")
    axes.set_xlim(-6, 6)
    axes.set_ylim(0, 103)
    above = axes.secondary_xaxis("top", functions=(lambda u: u, lambda u: u))
    shown = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    above.set_xticks(np.log(shown / (1 - shown)), [f"{a:g}" for a in shown])
    above.set_xlabel("attention, $\\alpha$", fontsize=SMALL)
    finding = "Accuracy is the share of facts whose threshold lies below $u$"
    head(figure, held(finding, "Accuracy by log-odds of attention", "T8'"))
    beside(axes)
    note(figure, "closed form; below all thresholds only generic answers are right")
    columns = {"u": u, "attention": expit(u)}
    columns |= {f"accuracy_salience_{low:g}_{high:g}": curve for (low, high), curve in found.items()}
    return figure, {"accuracy-law": columns}


@alone("phase")
def phase() -> Sheet:
    """T9: what a mixture does to held-out accuracy, with the share at which the first step turns around."""
    from theory.measurements.phase import SALIENCES, SHARES, STEPS, diagram

    change, critical = diagram()
    change = 100 * change
    scale = _stretched(float(np.abs(change).max()))
    figure, panels = canvas(TEXT_WIDTH, 3.4, ncols=len(STEPS), sharey=True)
    for axes, step, found in zip(panels, STEPS, change, strict=True):
        mesh = axes.pcolormesh(
            SHARES,
            SALIENCES,
            found.T,
            cmap=GROUND,
            norm=scale,
            shading="nearest",
            rasterized=True,
        )
        axes.plot(critical, SALIENCES, color="white", linewidth=3.4)
        axes.plot(critical, SALIENCES, color=INK, linewidth=1.4)
        axes.set_title(f"{step:,} steps")
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1])
        axes.grid(visible=False)
    panels[0].set_ylabel("salience of known facts (nats)")
    panels[1].set_xlabel("share of unknown facts, $q$")
    bar = figure.colorbar(mesh, ax=panels, label="change of held-out\naccuracy (points)", shrink=0.9)
    bar.set_ticks([-50, -25, -10, 0, 10, 25, 50])
    finding = "Where unknown facts win: right of $q_c$ the first step lowers attention"
    head(figure, held(finding, "Change of accuracy by share of unknown facts and salience", "T9"))
    note(figure, "line: $q_c(u_0)$; gradient flow, rate 0.1 from $u_0 = 0$, no noise")
    steps, shares, saliences = np.meshgrid(STEPS, SHARES, SALIENCES, indexing="ij")
    columns = {
        "steps": steps.ravel(),
        "q": shares.ravel(),
        "salience": saliences.ravel(),
        "change": change.ravel(),
        "q_c": np.broadcast_to(critical, change.shape).ravel(),
    }
    return figure, {"phase": columns}


def _stretched(reach: float) -> Any:
    """From -reach to reach, with more room for small changes than a straight scale has."""
    from matplotlib.colors import FuncNorm

    def power(exponent: float) -> Callable[[Any], Any]:
        return lambda x: np.sign(x) * np.abs(x) ** exponent

    return FuncNorm((power(STRETCH), power(1 / STRETCH)), vmin=-reach, vmax=reach)


@alone("salience-law")
def salience_law() -> Sheet:
    """P1: the law of salience against gradient descent on value tables from zero."""
    from theory.predict import salience_margin
    from theory.theorems.salience import pretrain

    rate, steps, frequency = 0.05, 4000, np.geomspace(1e-4, 1.0, 13)
    exposure = np.geomspace(rate * steps * 1e-4, rate * steps, 121)
    kinds = ((2, 0.5), (10, 0.5), (10, 0.9))
    curves: dict[str, list[np.ndarray]] = {
        "exposure": [],
        "answers": [],
        "attention": [],
        "law": [],
        "descent": [],
    }
    figure, axes = canvas(TEXT_WIDTH, 3.1)
    for i, (answers, alpha) in enumerate(kinds):
        law = np.asarray(salience_margin(exposure, alpha, answers))
        weights = np.broadcast_to(frequency, (steps, 1, len(frequency)))
        right = np.zeros((1, len(frequency), 1), dtype=int)
        v_s, _ = pretrain(
            right, answers, weights, np.full(steps, rate), np.full((steps, 1), alpha), relation=0.0
        )
        found = alpha * (v_s[0, :, 0] - v_s[0, :, 1:].mean(axis=-1))
        label = f"{answers} answers,\nattention {alpha:g}"
        axes.plot(exposure, law, color=COLOURS[i], linestyle=LINES[i], label=label)
        axes.plot(frequency * rate * steps, found, MARKERS[i], color=COLOURS[i])
        at = np.asarray(salience_margin(frequency * rate * steps, alpha, answers))
        for name, column in zip(curves, (frequency * rate * steps, answers, alpha, at, found), strict=True):
            curves[name].append(np.broadcast_to(column, frequency.shape))
    axes.set_xscale("log")
    axes.set_xlabel("exposure: frequency of the fact times time, $f\\,t$")
    axes.set_ylabel("margin of its logit, $z$ (nats)")
    finding = "Salience grows with exposure: first in proportion, then as its logarithm"
    head(figure, held(finding, "Salience by exposure", "P1"))
    beside(axes)
    note(figure, f"lines: closed form; points: gradient descent from zero, {steps:,} steps of rate {rate:g}")
    columns = {name: np.concatenate(column) for name, column in curves.items()}
    return figure, {"salience-law": columns}


@alone("monofacts")
def monofacts() -> Sheet:
    """Good and Turing: the error of an ideal memoriser against the share of mentions that are of facts seen once."""
    from theory.goodturing import best_guesser, draw_world, memoriser_error, mentions, monofact_share

    rng = np.random.default_rng(np.random.SeedSequence([0, 1953]))
    rows = []
    for generic in (0.1, 0.3, 0.6):
        for exponent in (0.6, 0.9, 1.2, 1.5):
            world = draw_world(rng, 3000, exponent, ANSWERS, generic)
            for n in (1000, 3000, 10000):
                for counts in mentions(world.exposure, n, rng, 2):
                    share = float(monofact_share(counts))
                    line = float(memoriser_error(share, world.prior))
                    rows.append(
                        (generic, exponent, n, share, best_guesser(world, counts).hallucination, line)
                    )
    table = np.array(rows)
    figure, axes = canvas(TEXT_WIDTH, 3.2)
    for i, generic in enumerate(np.unique(table[:, 0])):
        share, error = table[table[:, 0] == generic][:, 3:5].T
        label = f"commonest\nanswer {generic:.0%}"
        axes.plot(share, error, "osD"[i], color=COLOURS[i], alpha=0.75, label=label)
        axes.plot([0, 1], [0, 1 - generic], color=COLOURS[i], linestyle=LINES[i], linewidth=1.0)
    axes.set_xlabel("share of mentions that are of facts seen once (monofact rate, %)")
    axes.set_ylabel("error of the ideal memoriser (%)")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    percent(axes.xaxis, axes.yaxis)
    head(figure, "Facts seen once and the error of the ideal memoriser")
    beside(axes)
    note(
        figure,
        f"lines: slope 1 − max π; {len(table)} samples of 1,000 to 10,000 mentions of 3,000 facts, Zipf 0.6 to 1.5",
    )
    names = ("generic", "exponent", "mentions", "monofact", "error", "line")
    return figure, {"monofacts": dict(zip(names, table.T, strict=True))}


PICTURES: Mapping[str, Callable[[Path], list[Path]]] = {
    "threshold": threshold,
    "calibration": calibration,
    "accuracy-law": accuracy_law,
    "phase": phase,
    "second-hop": graph_forms.second_hop,
    "prompt-gap": graph_forms.prompt_gap,
    "salience-law": salience_law,
    "monofacts": monofacts,
}

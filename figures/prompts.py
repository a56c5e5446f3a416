"""B, X5: the gap of known over unknown rows by prompt, by similarity to the training rows, and counted in edges."""

from __future__ import annotations

from pathlib import Path

from figures.drawing import Rows, about, head, keep, note, points
from figures.runs import Runs, effect, mean
from figures.style import INK, TEXT_WIDTH, canvas
from theory.claims import Cell
from theory.claims.estimators import Contrast, level
from theory.claims.paper_b import KNOWN, UNKNOWN, gap
from theory.intervals import Interval

PROMPTS = {
    "zero": "zero-shot",
    "own": "zero-shot,\nread words",
    "few:1": "1 shot",
    "few:2": "2 shots",
    "few:4": "4 shots",
    "few:8": "8 shots",
    "few-taught:4": "4 shots,\ntaught words",
    "few-wrong:4": "4 wrong\nshots",
    "few-unrelated:4": "4 unrelated\nshots",
    "cot": "chain of\nthought",
    "few-cot:2": "2 shots\nwith chain",
}
STOPS = {"early": "early stop", "end": "end"}


def prompt_gaps(runs: Runs, folder: Path) -> list[Path]:
    """The gap under every prompt, early and converged, and below it the accuracies that it is the difference of."""
    paths: list[Path] = []
    for rows in runs.of("prompts"):
        found: dict[str, dict[str, Interval]] = {
            stop: {name: one for name in PROMPTS if (one := effect(rows, gap(stop=stop, prompt=name)))}
            for stop in STOPS
        }
        names = [name for name in PROMPTS if name in found["end"]]
        if len(names) < 2:
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 4.2, nrows=2, sharex=True) as (figure, (above, below)):
            above.axhline(0, color=INK, linewidth=0.8)
            for i, (stop, said) in enumerate(STOPS.items()):
                here = [name for name in names if name in found[stop]]
                place = [names.index(name) + 0.24 * (i - 0.5) for name in here]
                table += points(
                    above, place, [found[stop][name] for name in here], i, said,
                    joined=False, scale=100, names=here, panel="gap",
                )  # fmt: skip
            arms = {"known rows": KNOWN, "unknown rows": UNKNOWN}
            arms["untuned"] = KNOWN.at(trained_on="none", arm="base")
            for i, (said, cell) in enumerate(arms.items()):
                seen = {name: one for name in names if (one := mean(rows, cell.at(prompt=name)))}
                place = [names.index(name) + 0.2 * (i - 1) for name in seen]
                table += points(
                    below, place, list(seen.values()), i + 2, said,
                    joined=False, scale=100, names=list(seen), panel="accuracy",
                )  # fmt: skip
            above.set_ylabel("known minus unknown\n(points)")
            below.set_ylabel("accuracy at the end (%)")
            below.set_ylim(bottom=0)
            for axes in (above, below):
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
                axes.set_xlim(-0.6, len(names) - 0.4)
            below.set_xticks(range(len(names)), [PROMPTS[name] for name in names], rotation=40, ha="right")
            below.tick_params(axis="x", labelsize=6.5)
            said = f"{runs.answer('B1', rows)}; {runs.answer('B3', rows)}; {runs.answer('B4', rows)}"
            head(figure, f"The gap of known over unknown rows by prompt\n({said})")
            note(figure, about(rows, "held-out facts"))
            paths += keep(figure, folder, runs, "prompts", rows, table)
    return paths


def similarity(runs: Runs, folder: Path) -> list[Path]:
    """The gap by quarter of similarity to the training rows, early and converged."""
    paths: list[Path] = []
    for study, claim in (("prompts", "B2"), ("crosstests", "X5")):
        for rows in runs.of(study):
            curves = {stop: [_near(i, stop) for i in range(1, 5)] for stop in STOPS}
            drawn = {
                stop: [one for contrast in parts if (one := effect(rows, contrast))]
                for stop, parts in curves.items()
            }
            if len(drawn["end"]) < 4:
                continue
            table: Rows = []
            with canvas(TEXT_WIDTH, 2.5) as (figure, axes):
                axes.axhline(0, color=INK, linewidth=0.8)
                for i, (stop, said) in enumerate(STOPS.items()):
                    if len(drawn[stop]) == 4:
                        place = [k + 0.05 * (i - 0.5) for k in range(1, 5)]
                        table += points(axes, place, drawn[stop], i, said, scale=100, names=(1, 2, 3, 4))
                axes.set_xticks(range(1, 5), ["1\nfarthest", "2", "3", "4\nnearest"])
                axes.set_xlim(0.6, 4.4)
                axes.grid(axis="x", visible=False)
                axes.set_xlabel("quarter by similarity to the training rows")
                axes.set_ylabel("known minus unknown (points)")
                axes.set_title(runs.title(claim, rows, "The gap by similarity to the training rows"))
                axes.legend(loc="best")
                note(figure, about(rows, "all held-out facts"))
                paths += keep(figure, folder, runs, f"similarity-{study}", rows, table)
    return paths


def _near(quarter: int, stop: str) -> Contrast:
    return gap(split="graded", stratum=f"similarity={quarter}", stop=stop)


EDGES = {
    "edge_gap": "without the prompt",
    "edge_gap_prompted": "with it, counted",
    "edge_gap_merged": "one prompt merged\ninto both (K1)",
    "edge_gap_thinned": "prompt holds each edge\nby chance (K2)",
}


def edges(runs: Runs, folder: Path) -> list[Path]:
    """B5, K1, K2: the gap in extractable edges without and with each prompt, as counted and as the theory has it."""
    paths: list[Path] = []
    for rows in runs.of("prompts"):
        found = {
            (metric, name): one
            for metric in EDGES
            for name in PROMPTS
            if (one := effect(rows, level(Cell(metric, "across", prompt=name))))
        }
        names = [name for name in PROMPTS if all((metric, name) in found for metric in EDGES)]
        if not names:
            continue
        table: Rows = []
        with canvas(TEXT_WIDTH, 3.0) as (figure, axes):
            axes.axhline(0, color=INK, linewidth=0.8)
            for i, (metric, said) in enumerate(EDGES.items()):
                place = [k + 0.18 * (i - 1.5) for k in range(len(names))]
                values = [found[metric, name] for name in names]
                table += points(axes, place, values, i, said, joined=False, scale=100, names=names)
            axes.set_xticks(range(len(names)), [PROMPTS[name] for name in names], rotation=40, ha="right")
            axes.tick_params(axis="x", labelsize=6.5)
            axes.grid(axis="x", visible=False)
            axes.set_ylabel("gap (% of the edges)")
            head(figure, runs.title("B5", rows, "The gap counted in extractable edges"))
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            note(figure, about(rows, "end of tuning"))
            paths += keep(figure, folder, runs, "edges", rows, table)
    return paths

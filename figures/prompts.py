"""B, X5: the gap of known over unknown rows by prompt, by similarity to the training rows, and counted in edges."""

from __future__ import annotations

from pathlib import Path

from figures.drawing import Drawn, Picture, Rows, about, apart, of_each, places, points
from figures.runs import Runs, effect, mean
from figures.sheets import below, beside, handles, head, note
from figures.style import INK, TEXT_WIDTH, canvas
from theory.claims import Cell
from theory.claims.estimators import Contrast, level
from theory.claims.evidence import StudyRows
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


@of_each("prompts", "prompts")
def prompt_gaps(runs: Runs, rows: StudyRows) -> Drawn | None:
    """The gap under every prompt, early and converged, and below it the accuracies that it is the difference of."""
    found: dict[str, dict[str, Interval]] = {
        stop: {name: one for name in PROMPTS if (one := effect(rows, gap(stop=stop, prompt=name)))}
        for stop in STOPS
    }
    names = [name for name in PROMPTS if name in found["end"]]
    if len(names) < 2:
        return None
    table: Rows = []
    figure, (above, under) = canvas(TEXT_WIDTH, 5.0, nrows=2, sharex=True)
    above.axhline(0, color=INK, linewidth=0.8)
    for i, (stop, said) in enumerate(STOPS.items()):
        here = [name for name in names if name in found[stop]]
        place = [names.index(name) + 0.24 * (i - 0.5) for name in here]
        table += points(
            above, place, [found[stop][name] for name in here], i, said,
            joined=False, names=here, panel="gap",
        )  # fmt: skip
    arms = {"known rows": KNOWN, "unknown rows": UNKNOWN, "untuned": KNOWN.at(trained_on="none", arm="base")}
    for i, (said, cell) in enumerate(arms.items()):
        seen = {name: one for name in names if (one := mean(rows, cell.at(prompt=name)))}
        place = [names.index(name) + 0.2 * (i - 1) for name in seen]
        table += points(
            under, place, list(seen.values()), i + 2, said,
            joined=False, names=list(seen), panel="accuracy",
        )  # fmt: skip
    above.set_ylabel("known minus\nunknown (points)")
    under.set_ylabel("accuracy\nat the end (%)")
    low, high = under.get_ylim()
    under.set_ylim(min(low, -0.06 * high))  # marks at zero are seen whole
    under.axhline(0, color=INK, linewidth=0.8)
    for axes in (above, under):
        places(axes, [PROMPTS[name] for name in names], turned=True)
        axes.set_xlim(-0.6, len(names) - 0.4)
    told = "; ".join(filter(None, (runs.answer(claim, rows) for claim in ("B1", "B3", "B4"))))
    head(figure, "The gap of known over unknown rows by prompt" + (f"\n({told})" if told else ""))
    cells = [cell.at(prompt=name) for cell in (KNOWN, UNKNOWN) for name in names]
    told = about(runs, rows, table, of={"test facts": cells}, claims=["B1", "B3", "B4"])
    below(figure, told, handles(above, under), ncols=5)
    return figure, table


def _similarity(study: str, claim: str) -> Picture:
    """The gap by quarter of similarity to the training rows, early and converged, and the accuracies behind it: where
    both are near zero there is no gap to be seen."""

    @of_each(study, f"similarity-{study}")
    def picture(runs: Runs, rows: StudyRows) -> Drawn | None:
        found = {
            stop: [one for quarter in QUARTERS if (one := effect(rows, _near(quarter, stop)))]
            for stop in STOPS
        }
        if len(found["end"]) < len(QUARTERS):
            return None
        table: Rows = []
        figure, (axes, under) = canvas(
            TEXT_WIDTH, 4.7, nrows=2, sharex=True, gridspec_kw={"height_ratios": (4, 3)}
        )
        axes.axhline(0, color=INK, linewidth=0.8)
        for i, (stop, said) in enumerate(STOPS.items()):
            if len(found[stop]) == len(QUARTERS):
                place = [k + 0.05 * (i - 0.5) for k in range(len(QUARTERS))]
                table += points(axes, place, found[stop], i, said, names=QUARTERS, panel="gap")
        under.axhline(0, color=INK, linewidth=0.8)
        for i, (said, cell) in enumerate({"known rows": KNOWN, "unknown rows": UNKNOWN}.items()):
            own = {k: one for k, q in enumerate(QUARTERS) if (one := mean(rows, _graded(cell, q)))}
            place = [k + 0.05 * (i - 0.5) for k in own]
            table += points(
                under, place, list(own.values()), i + 2, said,
                names=[QUARTERS[k] for k in own], panel="accuracy",
            )  # fmt: skip
        places(under, ["1\nfarthest", "2", "3", "4\nnearest"])
        under.set_xlim(-0.4, len(QUARTERS) - 0.6)
        under.set_xlabel("quarter by similarity to the training rows")
        under.set_ylabel("accuracy\nat the end (%)")
        axes.set_ylabel("known minus\nunknown (points)")
        head(figure, runs.title(claim, rows, "The gap by similarity to the training rows"))
        for panel in (axes, under):
            beside(panel)
        cells = [_graded(KNOWN, quarter) for quarter in QUARTERS]
        note(figure, about(runs, rows, table, of={"held-out facts": cells}, claims=[claim]))
        return figure, table

    return picture


QUARTERS = (1, 2, 3, 4)
BY_SIMILARITY = (_similarity("prompts", "B2"), _similarity("crosstests", "X5"))


def similarity(runs: Runs, folder: Path) -> list[Path]:
    """Both studies that ask by similarity."""
    return [path for picture in BY_SIMILARITY for path in picture(runs, folder)]


def _graded(cell: Cell, quarter: int) -> Cell:
    return cell.at(split="graded", stratum=f"similarity={quarter}")


def _near(quarter: int, stop: str) -> Contrast:
    return gap(split="graded", stratum=f"similarity={quarter}", stop=stop)


EDGES = {
    "edge_gap": "without the prompt",
    "edge_gap_prompted": "with it, counted",
    "edge_gap_merged": "one prompt merged into both (K1)",
    "edge_gap_thinned": "prompt holds each edge by chance (K2)",
}


@of_each("prompts", "edges")
def edges(runs: Runs, rows: StudyRows) -> Drawn | None:
    """B5, K1, K2: the gap in extractable edges without and with each prompt, as counted and as the theory has it."""
    found = {
        (metric, name): one
        for metric in EDGES
        for name in PROMPTS
        if (one := effect(rows, level(Cell(metric, "across", prompt=name))))
    }
    names = [name for name in PROMPTS if all((metric, name) in found for metric in EDGES)]
    if not names:
        return None
    figure, axes = canvas(TEXT_WIDTH, 3.6)
    axes.axhline(0, color=INK, linewidth=0.8)
    table = apart(axes, EDGES, names, found, 0.18)
    places(axes, [PROMPTS[name] for name in names], turned=True)
    axes.set_ylabel("gap (% of the edges)")
    head(figure, runs.title("B5", rows, "The gap counted in extractable edges"))
    cells = [Cell(metric, "across", prompt=name) for metric in EDGES for name in names]
    told = about(runs, rows, table, "end of tuning", of={"edges": cells}, claims=["B5"])
    below(figure, told, handles(axes))
    return figure, table

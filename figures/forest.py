"""The scoreboard as forests of a few claims each: an effect of every claim with its interval in every laboratory, by
rung, beside the paper's number for that effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures.columns import Columns
from figures.drawing import items_behind
from figures.errors import FiguresError
from figures.forest_marks import HEADLINES, RUNGS, Mark, in_order, marks_of, rung_of, why_empty
from figures.forest_rows import (
    CROSSED,
    DOT,
    LARGE,
    REGION,
    SIZE,
    STAR,
    STAR_SIZE,
    draw_row,
    lanes_high,
    words_over,
)
from figures.runs import Runs
from figures.sheets import LETTERS, below, columns_of, head, kept, stroke
from figures.style import INK, TEXT_WIDTH, canvas, house, lane
from figures.words import HOLM, counted, seeds_said, settled_by
from theory.claims import CLAIMS, Claim, Scoreboard, Verdict
from theory.claims.interval import over
from theory.claims.scoreboard import NOWHERE

MOST = 5  # claims in a picture
LANE, LINE, AXIS, ENTRY = (
    0.11,
    0.175,
    0.32,
    0.2,
)  # inches of a row's lanes, words and axis, and of the legend's lines
FIRST = "the first part of its rule"
BEHIND = "how many items stand behind a seed's number is not kept in scoreboards"
COLUMNS = (
    *(
        "claim",
        "title",
        "rung",
        "lab",
        "run",
        "verdict",
        "follows_from",
        "part",
        "outcome",
        "claimed",
        "unit",
    ),
    *("mean", "low", "high", "interval", "seeds", "adjusted_p", "paper_low", "paper_high", "paper_where"),
)


def forest(runs: Runs, folder: Path) -> list[Path]:
    """The scoreboard of these runs; nothing where no effect has an interval."""
    return drawn(runs.board, folder, _items(runs))


def stored(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Scoreboards that were kept as CSV, side by side."""
    from theory.claims.stored import read_scoreboard

    if not paths:
        raise FiguresError("forest: no scoreboard; expected one or more files scoreboard.csv")
    for path in paths:
        if path.is_dir():
            raise FiguresError(
                f"{path}: is a folder; give a kept scoreboard, such as {path / 'scoreboard.csv'}"
            )
    written = drawn(read_scoreboard(*paths), folder, BEHIND)
    if not written:
        raise FiguresError(f"{paths[0]}: no effect in it has an interval; nothing can be drawn")
    return written


def drawn(board: Scoreboard, folder: Path, items: str = "") -> list[Path]:
    """A picture for a few claims of a family: a row a claim, a column a rung, a lane a laboratory. Claims without a
    mark are named under that where they would stand, or under the first."""
    marks = marks_of(board)
    if not marks:
        return []
    lanes = {name: i for i, name in enumerate(in_order(marks))}
    sheets: dict[str, list[Mark]] = {}
    for mark in sorted(marks, key=lambda one: one.claim.id):
        sheets.setdefault(sheet_of(mark.claim.id), []).append(mark)
    claims = {verdict.claim.id: verdict.claim for verdict in board.verdicts}
    bare = [claim for name, claim in claims.items() if name not in {mark.claim.id for mark in marks}]
    written: list[Path] = []
    for name, group in sheets.items():
        own = [c for c in bare if sheet_of(c.id) == name or not (written or sheet_of(c.id) in sheets)]
        written += _picture(name, board, group, own, lanes, items, folder)
    return written


def sheet_of(claim: str) -> str:
    """The first claim of the picture that this one belongs to, whichever of them have rows."""
    family = sorted(one for one in CLAIMS if one[0] == claim[0])
    size = -(-len(family) // -(-len(family) // MOST))
    return family[family.index(claim) // size * size]


def _picture(
    sheet: str,
    board: Scoreboard,
    marks: Sequence[Mark],
    bare: Sequence[Claim],
    lanes: Mapping[str, int],
    items: str,
    folder: Path,
) -> list[Path]:
    claims = {mark.claim.id: [one for one in marks if one.claim.id == mark.claim.id] for mark in marks}
    own = dict(sorted(in_order(marks).items(), key=lambda one: lanes[one[0]]))
    rungs = {rung: [one for one in own if own[one] == rung] for rung in dict.fromkeys(own.values())}
    most = max(map(len, rungs.values()))
    heights = [lanes_high(group[0].part.part, most) for group in claims.values()]
    entries = _legend(marks, list(own), lanes)
    inches = LANE * sum(heights) + LINE * sum(len(words_over(group)) for group in claims.values())
    ncols = 2 if max(len(one.get_label()) for one in entries) + 7 <= LETTERS // 2 else 1
    inches += AXIS * len(claims) + ENTRY * -(-len(entries) // ncols) + 1.0
    with house():
        figure, grid = canvas(
            TEXT_WIDTH, inches, nrows=len(claims), ncols=len(rungs), squeeze=False,
            gridspec_kw={"height_ratios": heights},
        )  # fmt: skip
        for i, (line, group) in enumerate(zip(grid, claims.values(), strict=True)):
            empty = [why_empty(board, group[0].claim, rung) for rung in rungs]
            headings = [] if i else [RUNGS.get(rung, rung) for rung in rungs]
            draw_row(line, group, list(rungs.values()), lanes, empty, headings)
        spans = [mark.drawn for mark in marks if mark.drawn is not None]
        seen = f", with its 95% interval {over(spans)}" if spans else ""
        papers = ", ".join(dict.fromkeys(mark.claim.paper.short for mark in marks))
        told = " to ".join(dict.fromkeys((marks[0].claim.id, marks[-1].claim.id)))
        head(figure, f"Claims and verdicts, {told} ({papers}): an effect of each{seen}")
        below(figure, _told(board, marks, bare, items), entries, ncols)
        name = f"forest-{sheet}"
        return kept(figure, {name: _columns(board, marks, bare)}, folder, name)


def _items(runs: Runs) -> str:
    """How many items stand behind a number of one seed, from the fewest to the most."""
    found = []
    for mark in marks_of(runs.board):
        for rows in runs.of(mark.claim.study):
            if (rows.lab, rows.run) == (mark.verdict.lab, mark.verdict.run):
                found += items_behind(rows, mark.part.part.quantity.cells)
    return f"{counted(min(found), max(found), 'items')} a seed" if found else ""


def _told(board: Scoreboard, marks: Sequence[Mark], bare: Sequence[Claim], items: str) -> str:
    told = [
        f"drawn of each claim: {_which(marks)}; marks tell the verdict on all parts",
        f"inconclusive: left open {HOLM},\nor without room for a gap, "
        "even if an interval lies on one side;\nlanes stand in the order below; arrows: the interval goes on",
        "; ".join(filter(None, (seeds_said(mark.part.seeds for mark in marks), items))),
    ]
    if any(mark.drawn is None for mark in marks):
        told.append("a mark without a line has no interval: of one seed, or of seeds that all agree")
    if partly := [f"{one.claim.id} in {one.lab} ({one.answer})" for one in _partly(board, marks, bare)]:
        told.append(f"verdicts from other parts alone: {', '.join(partly)}")
    asked = {verdict.claim.study for verdict in board.verdicts if verdict.run != NOWHERE}
    for said, names in (
        ("rows are lacking of", [one.id for one in bare if one.study in asked]),
        ("nobody has run the studies of", [one.id for one in bare if one.study not in asked]),
    ):
        told += [f"{said} {', '.join(names)}"] if names else []
    return "\n".join(told)


def _which(marks: Sequence[Mark]) -> str:
    """Which part of the rule these are."""
    own = [one for one in dict.fromkeys(mark.claim.id for mark in marks) if one in HEADLINES]
    return f"{FIRST} ({' and '.join(own)}: what its title says)" if own else FIRST


def _legend(marks: Sequence[Mark], own: Sequence[str], lanes: Mapping[str, int]) -> list[Any]:
    from matplotlib.patches import Patch

    seeds = {one: seeds_said(mark.part.seeds for mark in marks if mark.lane == one) for one in own}
    found = [stroke(*lane(lanes[one]), f"{one} ({seeds[one]})") for one in own]
    found += [_sign("reproduced", "o"), _sign("inconclusive", "o", markerfacecolor="white")]
    found += [_sign("contradicted", CROSSED, markersize=LARGE)]
    if any(mark.elsewhere for mark in marks):
        found.append(_sign("left: verdict from another part", "o", markersize=DOT))
    if any(mark.part.part.published for mark in marks):
        found.append(
            _sign(
                "the paper's number, or its range", STAR, markersize=STAR_SIZE, linestyle="-", linewidth=0.9
            )
        )
    return [
        *found,
        Patch(facecolor=REGION, edgecolor=INK, linewidth=0.8, label="where the claim says it lies"),
    ]


def _sign(label: str, marker: str, **look: Any) -> Any:
    from matplotlib.lines import Line2D

    looks = {"markersize": SIZE, "linestyle": "none", **look}
    return Line2D([], [], color=INK, marker=marker, label=label, **looks)


def _partly(board: Scoreboard, marks: Sequence[Mark], bare: Sequence[Claim]) -> list[Verdict]:
    """Verdicts of these claims that lack the part which is drawn."""
    claims = {mark.claim.id for mark in marks} | {claim.id for claim in bare}
    seen = {(mark.claim.id, mark.verdict.lab, mark.verdict.run) for mark in marks}
    judged = (one for one in board.verdicts if one.claim.id in claims and one.answer != "missing")
    return [one for one in judged if (one.claim.id, one.lab, one.run) not in seen]


def _columns(board: Scoreboard, marks: Sequence[Mark], bare: Sequence[Claim]) -> Columns:
    rows = [_line(mark) for mark in marks]
    partly = _partly(board, marks, bare)
    rest = [(one.claim, rung_of(one.lab), one.lab, one.run, one.answer) for one in partly]
    rest += [(one, "", "", "", "missing") for one in bare if one not in [verdict.claim for verdict in partly]]
    rows += [(one.id, one.title, *more, *[""] * (len(COLUMNS) - 6)) for one, *more in rest]
    return columns_of(COLUMNS, rows)


def _line(mark: Mark) -> tuple[Any, ...]:
    verdict, one, part, found = mark.verdict, mark.part, mark.part.part, mark.part.interval
    assert found is not None
    follows = "; ".join(other.part.name for other in settled_by(verdict))
    said = (mark.claim.id, mark.claim.title, mark.rung, verdict.lab, verdict.run, verdict.answer, follows)
    about = (part.name, one.outcome, part.rule, part.unit)
    line = mark.drawn
    ends = (line.low, line.high, over([line])) if line else ("", "", "")
    numbers = (found.mean, *ends, one.seeds)
    adjusted = one.adjusted if one.adjusted == one.adjusted else ""
    paper = (
        (part.published.low, part.published.high, part.published.where) if part.published else ("", "", "")
    )
    return (*said, *about, *numbers, adjusted, *paper)

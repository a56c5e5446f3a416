"""Every picture: nothing is clipped or overlaps, what is drawn stands in the CSV beside it, seeds are told."""

import csv
from itertools import combinations, pairwise

import numpy as np
import pytest

from figures import closed_forms, findings, theorems
from figures.about import ABOUT, claims_of, kind_of
from figures.runs import GRID
from figures.style import COLOURS, HATCHES, LINES, MARKERS, lane
from theory.claims import CLAIMS

TOUCH = 2.0  # pixels that two words may share, or that a box may stand out by: it is larger than its letters


def words(figure):
    """Every text that is drawn, with its box."""
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    idle = undrawn(figure)
    seen = []
    for text in figure.findobj(lambda one: isinstance(one, Text)):
        if text.get_text().strip() and text.get_visible() and text not in idle:
            box = text.get_window_extent(renderer)
            if box.width > 0:
                seen.append((text, box))
    return seen


def undrawn(figure):
    """Labels of ticks beyond the ends of their axis, and everything of axes that are turned off."""
    idle = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            drawn = axis._update_ticks() if axes.axison else []
            idle |= {label for tick in ticks if tick not in drawn for label in (tick.label1, tick.label2)}
            if not axes.axison:
                idle |= {axis.label, axis.get_offset_text()}
    return idle


def test_no_word_is_clipped_and_no_two_words_overlap(drawings):
    wrong = []
    for name, drawn in drawings.items():
        paper = drawn.figure.bbox
        seen = words(drawn.figure)
        for text, box in seen:
            if (
                box.x0 < paper.x0 - TOUCH
                or box.x1 > paper.x1 + TOUCH
                or box.y0 < paper.y0 - TOUCH
                or box.y1 > paper.y1 + TOUCH
            ):
                wrong.append((name, "clipped", text.get_text()))
        for (one, a), (other, b) in combinations(seen, 2):
            turned = (
                one.get_rotation() % 90 or other.get_rotation() % 90
            )  # their boxes are larger than they are
            wide = min(a.x1, b.x1) - max(a.x0, b.x0)
            high = min(a.y1, b.y1) - max(a.y0, b.y0)
            if wide > TOUCH and high > TOUCH and not turned:
                wrong.append((name, "overlap", one.get_text(), other.get_text()))
    assert not wrong, "\n".join(map(str, wrong))


def numbers(path):
    with open(path, encoding="utf-8", newline="") as file:
        cells = {cell for row in csv.reader(file) for cell in row}
    found = []
    for cell in cells:
        try:
            found.append(float(cell))
        except ValueError:
            continue
    return np.sort(np.array(found)[np.isfinite(found)])


def near(values, table):
    """Whether each value stands in the sorted table, to the digits that were written."""
    at = np.clip(np.searchsorted(table, values), 1, len(table) - 1)
    off = np.minimum(np.abs(values - table[at]), np.abs(values - table[at - 1]))
    return off <= 1e-5 * (1 + np.abs(values))


def measured(one):
    """What a picture shows of the records: means with intervals, ends of bars, curves, marks."""
    from matplotlib.container import BarContainer, ErrorbarContainer

    kind, found = kind_of(one.name), []
    lines = [line for axes in one.figure.axes for line in axes.lines]
    if kind in ("forest", "parts"):  # marks that lie at the mean
        marks = [line for line in lines if len(line.get_xdata()) == 1 and line.get_marker() not in "<>|"]
        return np.array([float(line.get_xdata()[0]) for line in marks])
    if kind == "plane":  # the points of the second panel, without its diagonal
        return np.concatenate([line.get_ydata() for line in one.figure.axes[1].lines[:-1]])
    if kind in ("trajectories", "fitting"):
        found += [y for line in lines if len(line.get_xdata()) == len(GRID) for y in line.get_ydata()]
    for axes in one.figure.axes:
        for container in axes.containers:
            if isinstance(container, BarContainer):
                found += [bar.get_y() + bar.get_height() for bar in container]
            elif isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
                found += list(container.lines[0].get_ydata()) if container.has_yerr else []
                found += list(container.lines[0].get_xdata()) if container.has_xerr else []
    return np.array(found, dtype=float)


SUMMED = {"waterfall"}  # its bars stand on each other; test_findings adds them up
DRAWN = [*(set(findings.PICTURES) - {"similarity"} - SUMMED), "similarity-prompts", "similarity-crosstests"]


@pytest.mark.parametrize("kind", sorted([*DRAWN, "forest", "parts"]))
def test_what_is_drawn_of_the_records_stands_in_the_table_beside(drawings, kind):
    of_kind = [one for one in drawings.values() if kind_of(one.name) == kind]
    assert of_kind
    for one in of_kind:
        drawn, table = measured(one), numbers(one.csv)
        drawn = drawn[np.isfinite(drawn)]
        assert len(drawn) > 0, one.name
        assert near(drawn, table).all(), (one.name, drawn[~near(drawn, table)])


def test_pictures_of_records_say_how_many_seeds_stand_behind_them(drawings):
    for one in drawings.values():
        if kind_of(one.name) in {*findings.PICTURES, "parts", "similarity-prompts", "similarity-crosstests"}:
            said = " ".join(text.get_text() for text, _ in words(one.figure))
            assert "4 seeds" in said, one.name
            assert "95% interval" in said, one.name


def test_every_claim_with_rows_has_a_picture_and_every_kind_is_drawn(drawings):
    shown = {claim for name in drawings for claim in claims_of(name)}
    assert {claim for claim in CLAIMS if claim != "B7"} <= shown
    assert {kind_of(name) for name in drawings} == set(ABOUT)
    assert set(theorems.PICTURES) | set(closed_forms.PICTURES) <= set(drawings)


def test_neighbouring_colours_differ_for_the_colour_blind_and_nothing_is_told_by_colour_alone():
    def linear(colour):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)

    # Machado, Oliveira and Fernandes 2009, complete protanopia and deuteranopia
    kinds = {
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }  # fmt: skip
    for matrix in kinds.values():
        seen = [np.array(matrix) @ linear(colour) for colour in COLOURS]
        for one, other in combinations(seen[:4], 2):
            assert np.abs(one - other).max() > 0.08
    assert len(set(LINES)) == len(set(MARKERS)) == len(set(HATCHES)) == len(COLOURS)


def covered(figure):
    """What legends lie on: kind and label of every line, band, bar, interval or word under one."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    boxes = [one.get_window_extent(renderer).padded(-TOUCH) for one in legends]
    return [
        (type(artist).__name__, artist.get_label())
        for axes in figure.axes
        if axes.axison
        for artist in (*axes.lines, *axes.collections, *axes.patches, *axes.texts)
        for box in boxes
        if lies_in(artist, box, renderer)
    ]


def lies_in(artist, box, renderer):
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.path import Path

    if isinstance(artist, Collection):
        turn = artist.get_transform()
        return any(turn.transform_path(path).intersects_bbox(box) for path in artist.get_paths())
    if not isinstance(artist, Line2D):
        return artist.get_window_extent(renderer).overlaps(box)
    at = artist.get_transform().transform(np.column_stack(artist.get_data(orig=False)).astype(float))
    at = at[np.isfinite(at).all(axis=1)]
    wide = artist.get_markersize() / 2 * artist.figure.dpi / 72
    marked = artist.get_marker() not in ("None", None, "", " ")
    if marked and ((at > box.min - wide) & (at < box.max + wide)).all(axis=1).any():
        return True
    drawn = artist.get_linestyle() not in ("None", "", " ")
    return drawn and any(Path([a, b]).intersects_bbox(box, filled=False) for a, b in pairwise(at))


def test_no_legend_lies_on_what_is_drawn(drawings):
    assert {name: under for name, one in drawings.items() if (under := covered(one.figure))} == {}


@pytest.mark.parametrize(
    ("draw", "seen"),
    [
        (lambda axes: axes.plot([0, 1], [0, 1]), True),
        (lambda axes: axes.plot([0, 1], [0.1, 0.1]), False),
        (lambda axes: axes.plot(0.5, 0.5, "o"), True),
        (lambda axes: axes.plot(0.9, 0.5, "o"), False),
        (lambda axes: axes.fill_between([0, 1], 0.0, 1.0), True),
        (lambda axes: axes.fill_between([0, 1], 0.0, 0.1), False),
        (lambda axes: axes.bar(0.5, 1.0, 0.2), True),
        (lambda axes: axes.bar(0.5, 0.1, 0.2), False),
        (lambda axes: axes.text(0.5, 0.5, "word", ha="center"), True),
        (lambda axes: axes.errorbar([0.5], [0.1], [0.6]), True),
    ],
)
def test_a_legend_over_a_line_a_band_a_bar_a_mark_or_a_word_is_seen(draw, seen):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(handles=axes.plot([], [], label="what"), loc="center")
    assert bool(covered(figure)) is seen


def test_many_laboratories_can_be_told_apart():
    seen = [lane(i) for i in range(56)]
    assert len(set(seen)) == 56
    assert len({colour for colour, _ in seen[:8]}) == 8
    assert "X" not in {shape for _, shape in seen}  # that is a claim contradicted


def test_sorts_of_text_are_told_apart_without_colour(drawings):
    figure = drawings["precision-synthetic-R2-2layer"].figure
    looks = [
        (line.get_marker(), line.get_markerfacecolor() == "white")
        for line in figure.axes[0].lines
        if line.get_marker() in MARKERS
    ]
    assert len(looks) > len(MARKERS)
    assert len(set(looks)) == len(looks)

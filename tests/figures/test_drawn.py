"""Every picture: nothing is clipped or overlaps, what is drawn stands in the CSV beside it, seeds are told."""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.container import BarContainer, ErrorbarContainer

from figures import closed_forms, findings, theorems
from figures.about import ABOUT, claims_of, kind_of
from figures.drawing import bars, points, sideways
from figures.style import COLOURS, COLUMN_WIDTH, HATCHES, LINES, MARKERS, canvas, house, lane
from figures.words import because, numbers, settling
from tests.figures.letters import TOUCH, in_the_way, smallest, words
from tests.figures.strokes import differences, drawn, told
from theory.claims import CLAIMS
from theory.intervals import Interval

LAB = "synthetic-R2-2layer"


def test_no_word_is_clipped_and_no_two_words_overlap(drawings, lone):
    both = [*drawings.values(), *lone.values()]
    wrong = [(drawing.name, *one) for drawing in both for one in in_the_way(drawing.figure)]
    assert not wrong, "\n".join(map(str, wrong))


def test_letters_are_readable_where_a_picture_is_as_wide_as_a_column(drawings):
    assert COLUMN_WIDTH < 3.5
    for name, one in drawings.items():
        assert smallest(one.figure) > 5, name


def grey(colour):
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


def style_of(line):
    marker = line.get_marker() if line.get_marker() not in ("None", "") else ""
    return str(
        (line.get_linestyle(), line._unscaled_dash_pattern, marker, line.get_markerfacecolor() == "white")
    )


def looks(axes):
    """What tells the series of a panel apart in grey, by label: shade, and line, mark and its face, or hatch."""
    found = {}
    for one in axes.lines:
        if not one.get_label().startswith("_"):
            found[one.get_label()] = grey(one.get_color()), style_of(one)
    for one in axes.containers:
        if (one.get_label() or "_").startswith("_"):  # older matplotlib: None
            continue
        if isinstance(one, BarContainer) and one.patches:
            found[one.get_label()] = grey(one.patches[0].get_facecolor()[:3]), str(one.patches[0].get_hatch())
        elif isinstance(one, ErrorbarContainer) and one.lines[0] is not None:
            found[one.get_label()] = grey(one.lines[0].get_color()), style_of(one.lines[0])
    return found


def test_series_are_told_apart_in_grey_by_shade_line_mark_or_hatch(drawings):
    seen = 0
    for name, one in drawings.items():
        for axes in one.figure.axes:
            for (a, first), (b, second) in combinations(looks(axes).items(), 2):
                shade, style = abs(first[0] - second[0]), first[1] != second[1]
                assert style or shade > 0.15, (name, a, b)
                seen += 1
    assert seen > 100


FOUND = [
    *(set(findings.PICTURES) - {"similarity"}),
    "similarity-prompts",
    "similarity-crosstests",
    "forest",
    "parts",
]


@pytest.mark.parametrize("kind", sorted(FOUND))
def test_what_is_drawn_of_the_records_is_what_the_table_beside_says(drawings, kind):
    """Series, place, mean and both ends of the interval of every stroke."""
    of_kind = [one for one in drawings.values() if kind_of(one.name) == kind]
    assert of_kind
    for one in of_kind:
        seen = drawn(one)
        assert seen, one.name
        assert differences(seen, told(one)) == [], one.name


@pytest.mark.parametrize("kind", sorted(FOUND))
def test_swapped_series_a_shifted_place_and_other_ends_are_seen(drawings, kind):
    one = next(one for one in drawings.values() if kind_of(one.name) == kind)
    seen, table = drawn(one), told(one)
    names = list(dict.fromkeys(stroke.series for stroke in seen))
    swapped = [s._replace(series=names[(names.index(s.series) + 1) % len(names)]) for s in seen]
    assert len(names) == 1 or differences(swapped, table)
    for wrong in (
        [seen[0]._replace(x=seen[0].x + 0.01 if isinstance(seen[0].x, float) else "elsewhere"), *seen[1:]],
        [*seen[:-1], seen[-1]._replace(low=seen[-1].low - 0.01)],
        [*seen[:-1], seen[-1]._replace(high=seen[-1].high + 0.01)],
        [seen[0]._replace(mean=seen[0].mean + 0.01), *seen[1:]],
        [seen[0]._replace(panel=seen[0].panel + 1), *seen[1:]],
        seen[1:],
    ):
        assert differences(wrong, table)


def test_series_that_change_places_in_the_picture_itself_are_seen(drawings):
    one = drawings["prompts-synthetic-R2-2layer"]
    first, second = one.figure.axes[0].containers[:2]
    labels = first.get_label(), second.get_label()
    for a, b in (labels[::-1], labels):
        first.set_label(a)
        second.set_label(b)
        assert bool(differences(drawn(one), told(one))) is ((a, b) != labels)
    line = first.lines[0]
    before = line.get_xdata()
    line.set_xdata([x + 1 for x in before])  # as if each stood at the next prompt
    assert differences(drawn(one), told(one))
    line.set_xdata(before)
    bars = first.lines[2][0]
    kept = bars.get_segments()
    bars.set_segments([segment * (1.0, 1.1) for segment in kept])
    assert differences(drawn(one), told(one))
    bars.set_segments(kept)
    assert differences(drawn(one), told(one)) == []


COUNTED = {*findings.PICTURES, "parts", "forest", "similarity-prompts", "similarity-crosstests"} - {
    "similarity"
}


def test_pictures_of_records_say_how_many_seeds_and_items_stand_behind_them(drawings):
    seen = set()
    for one in drawings.values():
        if kind_of(one.name) in COUNTED:
            said = " ".join(" ".join(text.get_text() for text, _ in words(one.figure)).split())
            assert "4 seeds" in said, one.name
            if kind_of(one.name) not in ("parts", "forest"):  # these may be of several runs
                assert "4 seeds, 100 to 103" in said, one.name
            assert "95% interval" in said, one.name
            assert re.search(r"50 (to \d+ )?[a-z( ].*a seed", said), (
                one.name,
                said,
            )  # every row has 50 items
            seen.add(kind_of(one.name))
    assert seen == COUNTED


def test_of_one_seed_no_interval_is_drawn_or_said(lone):
    assert {kind_of(name) for name in lone} == COUNTED - {"labels", "forest"}  # these take several
    for one in lone.values():
        said = " ".join(" ".join(text.get_text() for text, _ in words(one.figure)).split())
        assert re.search(r"\b1 seed\b" if kind_of(one.name) == "parts" else r"\b1 seed, 100\b", said), (
            one.name
        )
        assert not re.search(r"95%|\binterval|\\pm|±|mean and|whisker|\binf\b", said), (one.name, said)
        for found in (found for axes in one.figure.axes for found in axes.containers):
            if isinstance(found, ErrorbarContainer):
                _, caps, lines = found.lines
                assert (caps, lines) == ((), ()), one.name
        seen = drawn(one)
        assert seen, one.name
        assert differences(seen, told(one)) == [], one.name
        assert kind_of(one.name) == "plane" or {(s.low, s.high) for s in seen} == {(-np.inf, np.inf)}, (
            one.name
        )


def test_where_one_of_several_has_no_interval_it_has_no_line_and_no_caps():
    found = [Interval(0.5, 0.4, 0.6, 0.95, 3, 0.1, "t"), Interval(0.2, -np.inf, np.inf, 0.95, 3, 0.0, "t")]
    with house():
        figure, panels = canvas(ncols=3)
        points(panels[0], [0, 1], found, 0, "means")
        sideways(panels[1], [0, 1], found, 0, "lying", ["a", "b"])
        bars(panels[2], [0, 1], found, 0, "bars", ["a", "b"], width=0.5)
        figure.draw_without_rendering()
    for axes in panels:
        one = next(one for one in axes.containers if isinstance(one, ErrorbarContainer))
        _, caps, (lines,) = one.lines
        assert [len(segment) for segment in lines.get_segments()] == [2, 0]
        ends = [np.isfinite(np.array(cap.get_data(), float)).all(axis=0).tolist() for cap in caps]
        assert ends == [[True, False]] * 2


def test_what_decided_a_claim_stands_under_its_picture(drawings, many_runs):
    for kind, claim in (
        ("categories", "C6"),
        ("trajectories", "A1"),
        ("similarity-prompts", "B2"),
        ("dial", "D2"),
    ):
        verdict = next(one for one in many_runs.board.verdicts if one.claim.id == claim)
        told = because(verdict)
        assert told.startswith(f"{claim} {verdict.answer}")
        assert numbers(settling(verdict).interval) in told
        said = " ".join(
            " ".join(text.get_text() for text, _ in words(drawings[f"{kind}-{LAB}"].figure)).split()
        )
        assert told in said, kind


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
    assert not {"X", "<", ">"} & {shape for _, shape in seen}  # a claim contradicted, intervals that go on


def test_sorts_of_text_are_told_apart_without_colour(drawings):
    figure = drawings["precision-synthetic-R2-2layer"].figure
    looks = [
        (line.get_marker(), line.get_markerfacecolor() == "white")
        for line in figure.axes[0].lines
        if line.get_marker() in MARKERS
    ]
    assert len(looks) > len(MARKERS)
    assert len(set(looks)) == len(looks)

"""Pictures of real numbers are readable: those that the gallery shows, drawn from what is kept beside them."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D

from figures import beliefs, mixes, theorems, validity
from figures.runs import read_runs
from figures.sheets import below
from figures.style import DOTS, TEXT_WIDTH, canvas, house, save
from tests.figures.conftest import caught, write_records
from tests.figures.test_drawn import TOUCH, words
from theory.claims.decompose import STRATA
from theory.records import Record

GALLERY = Path(__file__).resolve().parents[2] / "figures" / "gallery"
LAB = "synthetic/R2-2layer"


def wrong_in(figure):
    """Words and legends that the paper cuts, and words that share their place."""
    paper, seen = figure.bbox, words(figure)
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    boxes = [(text.get_text(), box) for text, box in seen]
    boxes += [("legend", one.get_window_extent(figure.canvas.get_renderer())) for one in legends]
    off = [name for name, box in boxes
           if min(box.x0, box.y0) < -TOUCH or box.x1 > paper.x1 + TOUCH or box.y1 > paper.y1 + TOUCH]  # fmt: skip
    for (first, a), (other, b) in combinations(seen, 2):
        turned = first.get_rotation() % 90 or other.get_rotation() % 90
        shared = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        if min(shared) > TOUCH and not turned:
            off.append((first.get_text(), other.get_text()))
    return off


@pytest.mark.parametrize("name", ["hump", "window", "prediction"])
def test_nothing_is_cut_off_or_covered_in_pictures_of_the_kept_data(name, tmp_path):
    (one,) = caught(lambda: theorems.PICTURES[name](GALLERY, tmp_path))
    assert wrong_in(one.figure) == []


@pytest.mark.parametrize(
    ("label", "count", "ncols", "seen"),
    [("value noise 0.4", 5, 6, 3), ("0%", 5, 5, 5), ("x" * 70, 3, 4, 1), ("only", 1, 4, 1)],
)
def test_a_legend_has_as_many_columns_as_the_paper_is_wide_enough_for(label, count, ncols, seen):
    with house():
        figure, _ = canvas(TEXT_WIDTH, 3.0)
        below(figure, "what is told", [Line2D([], [], marker="o", label=f"{label}{i}") for i in range(count)],
              ncols)  # fmt: skip
        (legend,) = figure.legends
        assert legend._ncols == seen
        assert wrong_in(figure) == []
    assert figure.get_dpi() in (100, DOTS)


def numbers_of(name):
    with open(GALLERY / f"{name}-synthetic-R2-2layer.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_no_mark_of_precision_hides_another_one(tmp_path):
    """Drawn from the kept means, from two seeds that differ by little."""
    metric = {"true claims a text": "true_claims", "claim precision": "claim_precision"}
    split = {words: name for name, words in beliefs.SPLITS.items()}
    records = [
        Record(LAB, "beliefs", "r1", seed, {"none": "base", "pairs:belief": "dpo"}.get(row["series"], "all"),
               0 if row["series"] == "none" else 10, row["series"], "zero", split[row["panel"]], "all",
               metric[row["x"]], float(row["mean"]) / (1 if metric[row["x"]] == "true_claims" else 100) + bit, 50)
        for row in numbers_of("precision") for seed, bit in ((100, -0.001), (101, 0.001))
    ]  # fmt: skip
    runs = read_runs([write_records(tmp_path / "run", records)])
    (one,) = caught(lambda: beliefs.precision(runs, tmp_path))
    assert wrong_in(one.figure) == []
    for axes in one.figure.axes:
        marks = [bar.lines[0] for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
        assert len(marks) == len({row["series"] for row in numbers_of("precision")}) > 8
        at = [axes.transData.transform((line.get_xdata()[0], line.get_ydata()[0])) for line in marks]
        wide = marks[0].get_markersize() * DOTS / 72
        for (first, a), (other, b) in combinations(zip(marks, at, strict=True), 2):
            assert np.hypot(*(a - b)) > 0.7 * wide, (first, other)


def test_the_plane_is_shaded_among_the_points_alone(tmp_path, many_runs):
    (one,) = caught(lambda: mixes.plane(many_runs, tmp_path))
    axes = one.figure.axes[0]
    hull = next(patch for patch in axes.patches if patch.get_label() == "_hull")
    with open(one.csv, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["known"]]
    points = np.array([[float(row["known"]), float(row["unknown"])] for row in rows])
    corners = hull.get_xy()
    assert all(np.abs(points - corner).max(axis=1).min() < 1e-3 for corner in corners)  # no corner is made up
    assert (
        hull.get_path().contains_points(points, radius=1e-3).all()
        or hull.get_path().contains_points(points, radius=-1e-3).all()
    )
    (shade,) = (found for found in axes.collections if found.get_clip_path() is not None)
    path, turn = shade.get_clip_path().get_transformed_path_and_affine()
    drawn = axes.transData.inverted().transform(turn.transform(path.vertices))
    assert np.allclose(drawn[: len(corners)], corners, atol=1e-6)


def records_of_gaps(gaps, kind="", spread=0.01):
    for seed, bit in ((100, -spread), (101, 0.0), (102, spread)):
        for stratum, gap in zip(STRATA, gaps, strict=True):
            label = stratum.replace("both|neither|both-or-neither", "both")
            for on, value in (("known", 0.3 + gap + bit), ("unknown", 0.3)):
                cell = (f"{on}{kind}", "zero", "test", label, "accuracy", value, 50)
                yield Record(LAB, "validity", "r1", seed, "all", 10, *cell)


def title_of(figure):
    return " ".join(figure._suptitle.get_text().split())


def test_the_sets_that_the_verdicts_judge_stand_first_and_less_matched_ones_below(tmp_path):
    both = [*records_of_gaps((0.2, 0.2, 0.2, 0.16)), *records_of_gaps((0.3, 0.25, 0.2, 0.05), ":by-relation")]
    (one,) = caught(lambda: validity.waterfall(read_runs([write_records(tmp_path / "a", both)]), tmp_path))
    first, second = one.figure.axes
    assert "V1 to V3 judge these" in first.get_title(loc="left")
    assert "relation alone" in second.get_title(loc="left")
    with open(one.csv, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sets"], row["verdicts"]) for row in rows] == [
        *[("known minus unknown", "judged")] * 5,
        *[("known:by-relation minus unknown:by-relation", "beside them")] * 5,
    ]
    assert [float(rows[i]["mean"]) for i in (0, 4, 5, 9)] == pytest.approx([20, 16, 30, 5])
    assert "leave 16.0 [" in title_of(one.figure)
    assert "no gap" not in title_of(one.figure)
    assert wrong_in(one.figure) == []


@pytest.mark.parametrize(
    ("rest", "spread", "none"), [(0.05, 0.01, False), (0.05, 0.1, True), (-0.1, 0.01, True)]
)
def test_a_title_says_that_nothing_is_shown_where_what_is_left_may_be_nothing(tmp_path, rest, spread, none):
    folder = write_records(tmp_path / "a", records_of_gaps((0.26, 0.24, 0.1, rest), spread=spread))
    (one,) = caught(lambda: validity.waterfall(read_runs([folder]), tmp_path))
    assert (": no gap is shown" in title_of(one.figure)) is none
    assert len(one.figure.axes) == 1
    assert wrong_in(one.figure) == []


def test_a_picture_is_drawn_once_a_kind_and_letters_are_what_they_were(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    draw = Axes.draw
    monkeypatch.setattr(Axes, "draw", lambda axes, renderer: drawn.append(axes) or draw(axes, renderer))
    with house():
        figure, axes = canvas(height=1.5)
        axes.plot([0, 1], [0, 1])
        axes.set_title("office")  # with letters that fonts may join
        places = []
        for name in ("one", "two"):
            drawn.clear()
            save(figure, tmp_path, name)
            places.append(axes.get_position().bounds)
            assert len(drawn) == 3  # PNG, PDF and SVG; laying out draws nothing
    assert places[0] == places[1]
    text = (tmp_path / "one.pdf").read_bytes()
    assert b"/FontFile2" in text
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()

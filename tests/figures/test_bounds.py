"""No interval is drawn where an effect cannot lie, and no verdict looks at what is drawn."""

import csv
import math
from types import SimpleNamespace

import pytest

from figures import forest
from figures.bounds import bounds, cut
from figures.forest_marks import marks_of
from figures.parts import claim_parts
from figures.style import KINDS
from theory.claims import CLAIMS
from theory.claims.stored import read_scoreboard
from theory.intervals import Interval

HEAD = "claim,lab,run,arm,verdict,reason,part,outcome,effect,low,high,method,seeds\n"


def part(claim, name=""):
    return next(one for one in CLAIMS[claim].parts if one.name.startswith(name))


@pytest.mark.parametrize(
    ("one", "ends"),
    [
        (part("B5", "rank correlation"), (-1.0, 1.0)),
        (part("B6", "rank agreement"), (-2.0, 2.0)),  # one correlation minus another
        (part("B6", "agreement of the noisier"), (-2.0, 2.0)),  # the same within one metric
        (part("X1", "rank correlation of the margin minus that of exposure"), (-2.0, 2.0)),
        (part("A1"), (-100.0, 100.0)),  # one share minus another, in points
    ],
)
def test_an_effect_lies_between_what_its_terms_can_be(one, ends):
    assert bounds(one) == ends


def test_what_no_metric_bounds_is_never_cut():
    free = [one for claim in CLAIMS.values() for one in claim.parts if one.unit == "doublings"]
    assert free
    for one in free:
        assert bounds(one) == (-math.inf, math.inf)


def test_an_interval_is_cut_at_the_end_that_lies_beyond():
    one = part("B5", "rank correlation")

    def ends(mean, low, high):
        found = cut(one, Interval(mean, low, high, 0.95, 3, 0.1, "t"))
        assert found.mean == mean
        return found.low, found.high

    assert ends(0.75, 0.5, 1.01) == (0.5, 1.0)
    assert ends(-0.75, -1.01, -0.5) == (-1.0, -0.5)
    assert ends(0.1, -3.0, 3.2) == (-1.0, 1.0)
    assert ends(0.1, 0.0, 0.2) == (0.0, 0.2)
    assert ends(0.1, -math.inf, math.inf) == (-math.inf, math.inf)  # none stays none
    assert ends(1.5, 1.4, 1.6) == (1.4, 1.5)  # never off its mean


def test_a_forest_ends_a_correlation_at_one_and_its_board_stays(tmp_path, catch):
    name = part("B5", "rank correlation").name
    path = tmp_path / "scoreboard.csv"
    rows = "".join(
        f"B5,synthetic/R2-{lab},r,all,inconclusive,,{name},open,0.75,{ends},t,3\n"
        for lab, ends in (("a", "0.7,0.8"), ("b", "0.7,0.8"), ("c", "0.7,0.8"), ("d", "0.5,1.01"))
    )
    path.write_text(HEAD + rows)
    token = KINDS.set(("png",))
    try:
        forest.stored([path], tmp_path / "out")
    finally:
        KINDS.reset(token)
    with open(tmp_path / "out" / "forest-B5.csv", newline="") as file:
        assert [row["high"] for row in csv.DictReader(file)] == ["0.8", "0.8", "0.8", "1.0"]
    board = read_scoreboard(path)
    assert [one.part.interval.high for one in marks_of(board)] == [0.8, 0.8, 0.8, 1.01]
    (one,) = catch(lambda: forest.stored([path], tmp_path / "again"))
    lines = [line for axes in one.figure.axes for line in axes.lines]
    assert max(line.get_xdata()[-1] for line in lines if line.get_linewidth() == 1.2) == 1.0
    assert not [line for line in lines if line.get_marker() in "<>"]  # it does not go on


def test_so_do_the_parts_of_one_claim(tmp_path, catch):
    name = part("B5", "rank correlation").name
    path = tmp_path / "scoreboard.csv"
    path.write_text(HEAD + f"B5,synthetic/R2-a,r,all,inconclusive,,{name},open,0.75,0.5,1.01,t,3\n")
    runs = SimpleNamespace(board=read_scoreboard(path), of=lambda study: ())
    (one,) = catch(lambda: claim_parts(runs, "B5", tmp_path / "out"))
    with open(one.csv, newline="") as file:
        assert [row["high"] for row in csv.DictReader(file)] == ["1.0"]
    ends = [line.get_xdata()[-1] for line in one.figure.axes[0].lines if line.get_linewidth() == 1.0]
    assert 1.0 in ends
    assert 1.01 not in ends

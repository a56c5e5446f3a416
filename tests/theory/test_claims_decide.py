"""The decision rule: boundaries, sides, Holm, the bootstrap's veto, and how parts make a claim."""

import numpy as np
import pytest

from theory.claims.base import Cell, Part
from theory.claims.decide import boundary, conclude, judge, pvalue, settle, side
from theory.claims.estimators import level
from theory.intervals import bootstrap_interval, holm, t_interval, t_pvalue

Q = level(Cell("accuracy", "best"))
ABOVE, BELOW = Part("a", Q), Part("b", Q, "below")
CHANCE = Part("c", Q, null=0.5)
BEYOND, BENEATH = Part("e", Q, margin=0.02), Part("f", Q, "below", margin=0.02)
AT_LEAST, SAME = Part("n", Q, "not below", margin=0.02), Part("s", Q, "within", margin=0.02)


@pytest.mark.parametrize(
    ("part", "mean", "edge"),
    [
        (ABOVE, 0.3, 0.0),
        (ABOVE, -0.3, 0.0),
        (BELOW, 0.3, 0.0),
        (CHANCE, 0.7, 0.5),
        (BEYOND, 0.3, 0.02),
        (BEYOND, 0.01, 0.01),
        (BEYOND, -0.3, 0.0),
        (BENEATH, -0.3, -0.02),
        (BENEATH, -0.01, -0.01),
        (BENEATH, 0.3, 0.0),
        (AT_LEAST, 0.3, -0.02),
        (AT_LEAST, -0.3, -0.02),
        (SAME, 0.01, 0.02),
        (SAME, -0.01, -0.02),
        (SAME, 0.3, 0.02),
    ],
)
def test_the_edge_that_a_part_is_tested_at(part: Part, mean: float, edge: float) -> None:
    assert float(boundary(part, mean)) == pytest.approx(edge)


@pytest.mark.parametrize(
    ("part", "low", "high", "expected"),
    [
        (ABOVE, 0.01, 0.1, 1),
        (ABOVE, -0.01, 0.1, 0),
        (ABOVE, -0.1, -0.01, -1),
        (BELOW, -0.1, -0.01, 1),
        (BELOW, 0.01, 0.1, -1),
        (CHANCE, 0.51, 0.6, 1),
        (CHANCE, 0.4, 0.49, -1),
        (BEYOND, 0.03, 0.1, 1),
        (BEYOND, 0.005, 0.1, 0),
        (BEYOND, 0.005, 0.015, 0),
        (BEYOND, -0.1, -0.005, -1),
        (BENEATH, -0.1, -0.03, 1),
        (BENEATH, -0.015, -0.005, 0),
        (BENEATH, 0.005, 0.1, -1),
        (AT_LEAST, -0.01, 0.1, 1),
        (AT_LEAST, -0.03, 0.1, 0),
        (AT_LEAST, -0.1, -0.03, -1),
        (SAME, -0.01, 0.01, 1),
        (SAME, -0.03, 0.01, 0),
        (SAME, 0.03, 0.1, -1),
        (SAME, -0.1, -0.03, -1),
    ],
)
def test_which_side_an_interval_is_on(part: Part, low: float, high: float, expected: int) -> None:
    assert int(side(part, low, high)) == expected


def test_pvalues_are_t_tests_at_the_edge_and_equivalence_is_two_one_sided_tests() -> None:
    x = np.random.default_rng(0).normal(0.005, 0.02, size=(50, 8))
    assert pvalue(ABOVE, x) == pytest.approx(t_pvalue(x))
    assert pvalue(AT_LEAST, x) == pytest.approx(t_pvalue(x, -0.02))
    inside = np.abs(x.mean(axis=1)) < 0.02
    one_sided = np.maximum(t_pvalue(x, -0.02), t_pvalue(x, 0.02)) / 2
    assert inside.sum() > 30
    assert pvalue(SAME, x)[inside] == pytest.approx(2 * one_sided[inside])
    between = (x.mean(axis=1) > 0) & inside
    assert (pvalue(BEYOND, x)[between] == 1).all()


def test_a_part_of_equivalence_holds_exactly_when_the_95_percent_interval_lies_inside() -> None:
    for x in np.random.default_rng(1).normal(0.005, 0.015, size=(200, 6)):
        found = t_interval(x)
        assert (pvalue(SAME, x) < 0.05) == (int(side(SAME, found.low, found.high)) != 0)


def test_the_bootstrap_can_only_veto() -> None:
    assert int(settle(ABOVE, 0.1, 0.01, 0.02, 0.2)) == 1
    assert int(settle(ABOVE, 0.1, 0.01, -0.02, 0.2)) == 0
    assert int(settle(ABOVE, -0.1, 0.01, -0.2, -0.02)) == -1
    assert int(settle(ABOVE, 0.1, 0.06, 0.02, 0.2)) == 0
    assert int(settle(ABOVE, 0.1, 0.05, 0.02, 0.2)) == 0
    assert int(settle(BEYOND, 0.01, 0.01, 0.005, 0.015)) == 0


def test_judging_a_family_is_holm_over_all_its_parts() -> None:
    """Against one part and one draw at a time, with the functions of `theory.intervals`."""
    rng = np.random.default_rng(2)
    parts = [ABOVE, BELOW, SAME, AT_LEAST, BEYOND]
    xs = [
        rng.normal(m, 0.03, size=(60, n)) for m, n in ((0.03, 10), (-0.05, 6), (0, 12), (0.01, 5), (0.04, 9))
    ]
    found = judge(parts, xs)
    expected = np.zeros_like(found)
    for i in range(60):
        adjusted = holm(np.array([pvalue(part, x[i]) for part, x in zip(parts, xs, strict=True)]))
        for j, (part, x) in enumerate(zip(parts, xs, strict=True)):
            boot = bootstrap_interval(x[i])
            expected[i, j] = settle(part, boot.mean, adjusted[j], boot.low, boot.high)
    assert (found == expected).all()
    assert {-1, 0, 1} >= set(np.unique(found)) >= {0, 1}
    alone = np.stack([judge([part], [x])[:, 0] for part, x in zip(parts, xs, strict=True)], axis=1)
    assert (np.abs(found) <= np.abs(alone)).all()
    assert (found != alone).any()


def test_a_flat_sample_on_the_edge_decides_nothing_and_beyond_it_decides() -> None:
    flat = np.full((1, 5), 0.1)
    assert judge([ABOVE], [flat - flat])[0, 0] == 0
    assert judge([ABOVE], [flat])[0, 0] == 1
    assert judge([BELOW], [flat])[0, 0] == -1
    third = np.full((1, 5), 1 / 3)
    assert judge([Part("x", Q, null=1 / 3)], [third * 3 / 3])[0, 0] == 0


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [([1, 1], 1), ([1, 0], 0), ([0, 0], 0), ([1, -1], -1), ([0, -1], -1), ([-1, -1], -1), ([1], 1)],
)
def test_a_claim_from_its_parts(outcomes: list[int], verdict: int) -> None:
    assert int(conclude(outcomes)) == verdict
    assert conclude([outcomes, outcomes]).tolist() == [verdict, verdict]

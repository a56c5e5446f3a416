"""SliCK labels against the rule spelled out, against real draws, and against subsets taken one by one."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.errors import TheoryError
from theory.slick import (
    Category,
    by_count,
    by_detection,
    detection,
    expected_counts,
    label_curve,
    label_probabilities,
    split_half_agreement,
)


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([11, *key]))


def facts(count: int, prompts: int = 10, key: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Greedy answers and sample probabilities of facts from well known to unknown."""
    generator = rng(99, key)
    level = generator.normal(-2, 4, size=(count, 1))
    noise = generator.normal(size=(count, prompts))
    return (level + noise > 0).astype(int), 1 / (1 + np.exp(3.0 - (level + noise)))


def test_the_rule_spelled_out() -> None:
    greedy = [[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 1]]
    sampled = [[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [16, 16, 0], [16, 16, 16]]
    expected = ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown", "MaybeKnown", "HighlyKnown"]
    assert [Category(label).name for label in by_count(greedy, sampled)] == expected
    assert by_count(greedy[0], sampled[0]) == Category.HighlyKnown
    assert by_count([greedy], [sampled]).shape == (1, 6)
    assert sorted(Category) == [
        Category.Unknown,
        Category.WeaklyKnown,
        Category.MaybeKnown,
        Category.HighlyKnown,
    ]


def test_all_four_categories_occur_in_every_way() -> None:
    greedy, p = facts(2000)
    sampled = rng(1).binomial(16, p)
    for labels in (by_count(greedy, sampled), by_detection(greedy, p)):
        assert (np.bincount(labels, minlength=4) > 20).all()
    assert (expected_counts(greedy, p) > 20).all()
    assert expected_counts(greedy, p).sum() == pytest.approx(2000)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.integers(1, 6).flatmap(
        lambda prompts: st.tuples(
            st.lists(st.sampled_from([0, 1]), min_size=prompts, max_size=prompts),
            st.lists(st.sampled_from([0.0, 1e-9, 0.01, 0.3, 1.0]), min_size=prompts, max_size=prompts),
        )
    ),
    st.integers(1, 30),
    st.sampled_from([0.1, 0.5, 0.9]),
)
def test_labels_by_detection_are_the_rule_with_the_chance_in_place_of_the_sample(
    fact: tuple[list[int], list[float]], samples: int, cut: float
) -> None:
    greedy, p = fact
    d = 1 - math.prod((1 - one) ** samples for one in p)
    assert detection(p, samples) == pytest.approx(d, abs=1e-12)
    right = sum(greedy)
    name = (
        "HighlyKnown"
        if right == len(p)
        else "MaybeKnown"
        if right
        else "WeaklyKnown"
        if d >= cut
        else "Unknown"
    )
    assert Category(int(by_detection(greedy, p, samples, cut))).name == name
    chances = dict(zip(Category, label_probabilities(greedy, p, samples), strict=True))
    if right:
        assert chances[Category[name]] == 1.0
    else:
        assert chances[Category.WeaklyKnown] == pytest.approx(d, abs=1e-12)
    assert sum(chances.values()) == pytest.approx(1.0)


def test_the_cut_itself_counts_as_detected() -> None:
    p = 1 - 0.5 ** (1 / 16)  # d is one half, up to rounding
    assert by_detection([0], [p]) == Category.WeaklyKnown
    assert by_detection([0], [p * 0.999]) == Category.Unknown
    greedy, probabilities = np.zeros((1, 2), int), np.array([[p, 0.0]])
    assert label_curve(greedy, probabilities, [2]).agreement[0] == 1.0


def test_tiny_probabilities_do_not_vanish() -> None:
    assert detection([1e-18] * 10) == pytest.approx(1.6e-16, rel=1e-9)
    assert detection([1.0, 0.0]) == 1.0
    assert detection([0.0] * 10) == 0.0


def test_detection_and_expected_counts_against_ten_thousand_drawn_labellings() -> None:
    draws = 10_000
    greedy, p = facts(40, key=2)
    sampled = rng(2).binomial(16, p, size=(draws, 40, 10))
    labels = by_count(np.broadcast_to(greedy, sampled.shape), sampled)
    seen = np.stack([(labels == category).mean(axis=0) for category in Category], axis=-1)
    chances = label_probabilities(greedy, p)
    assert np.abs(seen - chances).max() < 4.5 * math.sqrt(0.25 / draws)
    unsure = (chances[:, 1] > 0.05) & (chances[:, 1] < 0.95)
    assert unsure.sum() >= 3  # otherwise this shows nothing
    counts = np.stack([(labels == category).sum(axis=1) for category in Category], axis=-1)
    assert np.allclose(counts.mean(axis=0), expected_counts(greedy, p), atol=0.1)
    mode = seen.argmax(axis=1)
    clear = np.abs(chances[:, 1] - 0.5) > 0.05
    assert np.array_equal(by_detection(greedy, p)[clear], mode[clear])


# ---------------------------------------------------------------- stability


def slow_label(greedy: Any, p: Any, subset: tuple[int, ...]) -> int:
    right = sum(greedy[j] for j in subset)
    if right == len(subset):
        return 3
    if right:
        return 2
    return int(1 - math.prod((1 - p[j]) ** 16 for j in subset) >= 0.5)


def test_the_curve_is_the_average_over_all_subsets() -> None:
    greedy, p = facts(30, prompts=6, key=3)
    curve = label_curve(greedy, p, range(1, 7))
    full = [slow_label(greedy[i], p[i], tuple(range(6))) for i in range(30)]
    for k, size in enumerate(curve.sizes):
        labels = np.array(
            [[slow_label(greedy[i], p[i], s) for s in combinations(range(6), size)] for i in range(30)]
        )
        assert curve.shares[k] == pytest.approx([(labels == c).mean() for c in range(4)])
        assert curve.agreement[k] == pytest.approx((labels == np.array(full)[:, None]).mean())
    assert curve.agreement[-1] == 1.0
    assert curve.shares.sum(axis=1) == pytest.approx(1.0)


def test_the_shares_of_the_greedy_labels_are_hypergeometric() -> None:
    greedy, p = facts(400, key=4)
    curve = label_curve(greedy, p, range(1, 11))
    right = greedy.sum(axis=1)
    for k, size in enumerate(curve.sizes):
        whole = math.comb(10, size)
        assert curve.shares[k, 3] == pytest.approx(np.mean([math.comb(c, size) / whole for c in right]))
        none = np.mean([math.comb(10 - c, size) / whole for c in right])
        assert curve.shares[k, 0] + curve.shares[k, 1] == pytest.approx(none)


def test_more_prompts_never_make_more_facts_highly_known_or_unknown() -> None:
    shares = label_curve(*facts(500, key=5), range(1, 11)).shares
    assert (np.diff(shares[:, Category.HighlyKnown]) <= 1e-12).all()
    assert (np.diff(shares[:, Category.Unknown]) <= 1e-12).all()
    assert (np.diff(shares[:, Category.MaybeKnown]) >= -1e-12).all()
    assert shares[0, Category.MaybeKnown] == 0.0
    assert shares[0, Category.HighlyKnown] > shares[-1, Category.HighlyKnown] + 0.02


def test_random_subsets_agree_with_all_subsets_and_are_repeatable() -> None:
    greedy, p = facts(300, prompts=12, key=6)
    exact = label_curve(greedy, p, [3, 6, 9])
    drawn = label_curve(greedy, p, [3, 6, 9], rng(7), subsets=150)
    assert np.abs(exact.shares - drawn.shares).max() < 0.01
    assert np.abs(exact.agreement - drawn.agreement).max() < 0.01
    assert not np.array_equal(exact.shares, drawn.shares)
    again = label_curve(greedy, p, [3, 6, 9], rng(7), subsets=150)
    assert np.array_equal(again.shares, drawn.shares)
    many = facts(50, prompts=40, key=8)
    assert label_curve(*many, [20], rng(8), subsets=200).agreement[0] > 0.5


def test_many_facts_go_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy, p = facts(300, prompts=8, key=9)
    whole = label_curve(greedy, p, [2, 4])
    monkeypatch.setattr("theory.slick.CELLS", 1000)
    blocks = label_curve(greedy, p, [2, 4])
    assert np.array_equal(whole.shares, blocks.shares)
    assert np.array_equal(whole.agreement, blocks.agreement)


def test_split_half_agreement() -> None:
    greedy, p = facts(40, prompts=5, key=10)
    hits = [
        slow_label(greedy[i], p[i], half) == slow_label(greedy[i], p[i], tuple(set(range(5)) - set(half)))
        for i in range(40)
        for half in combinations(range(5), 2)
    ]
    assert split_half_agreement(greedy, p) == pytest.approx(np.mean(hits))
    exact = split_half_agreement(*facts(300, key=11))
    assert split_half_agreement(*facts(300, key=11), rng(12), subsets=100) == pytest.approx(exact, abs=0.02)
    sure = np.repeat([[1], [0]], 10, axis=1)
    assert split_half_agreement(sure, sure.astype(float)) == 1.0
    assert (
        exact < label_curve(*facts(300, key=11), [5]).agreement[0]
    )  # two halves differ more than half and whole


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: by_count([[0.5]], [[1]]), "expected greedy answers 0 or 1"),
        (
            lambda: by_count([[0, 1]], [[1]]),
            r"of shape \(1, 2\) like the greedy answers, got int64 of shape \(1, 1\)",
        ),
        (lambda: by_count([[0, 1]], [[1, 0.5]]), "integers >= 0.*got float64"),
        (lambda: detection([0.5], samples=-1), "-1 samples a prompt; expected at least 1"),
        (lambda: by_count([[0, 1]], [[1, -1]]), r"expected counts of right samples \(integers >= 0\)"),
        (lambda: by_count([], []), "expected greedy answers 0 or 1"),
        (
            lambda: by_detection([0], [1.5]),
            "expected probabilities of a right sample between 0 and 1, got 1.5",
        ),
        (lambda: by_detection([0], [math.nan]), "between 0 and 1, got nan"),
        (lambda: by_detection([0, 1], [0.5]), r"greedy answers have shape \(2,\), probabilities \(1,\)"),
        (lambda: by_detection([0], [0.5], cut=1.0), "expected at least 1 and a cut between 0 and 1"),
        (lambda: by_detection([0], [0.5], samples=0), "0 samples and cut 0.5; expected"),
        (lambda: label_curve([0, 1], [0.5, 0.5], [1]), r"found shape \(2,\), expected facts x prompts"),
        (lambda: label_curve([[0, 1]], [[0.5, 0.5]], [3]), "a curve point of 3 prompts, expected 1 to 2"),
        (
            lambda: label_curve(*facts(3, prompts=20), [10]),
            "184756 subsets of 10 out of 20 prompts are too many",
        ),
        (lambda: split_half_agreement([[0]], [[0.5]]), "one prompt cannot be split"),
    ],
)
def test_misuse_is_refused(call: Any, expected: str) -> None:
    with pytest.raises(TheoryError, match=expected):
        call()

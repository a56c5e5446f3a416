"""Which prediction counts as which answer, rule by rule."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.errors import TheoryError
from theory.matching import MATCHERS, first_line, match, normalize, token_f1

# prediction, aliases, the rules under which it counts
CASES: list[tuple[str, list[str], str]] = [
    ("Paris", ["Paris"], "exact first_line normalized contains f1"),
    (
        "  Paris\t",
        [" Paris "],
        "exact first_line normalized f1",
    ),  # "contains" takes the alias as written, blanks and all
    ("paris", ["Paris"], "normalized contains f1"),
    ("PARIS", ["Paris"], "normalized f1"),
    ("Paris", ["paris"], "normalized contains f1"),
    ("Paris.", ["Paris"], "normalized contains f1"),
    ("The Paris", ["Paris"], "normalized contains f1"),
    ("Paris, France", ["Paris"], "contains f1"),
    ("Paris\nQ: What is next?\nA: Rome", ["Paris"], "first_line contains"),
    ("\n\n Paris \nRome", ["Paris"], "first_line contains f1"),
    ("Rome\nParis", ["Paris"], "f1"),
    ("Lyon", ["Paris"], ""),
    ("Lyon", ["Paris", "Lyon"], "exact first_line normalized contains f1"),
    # substrings that are no answers: the reason why "contains" is not exact match
    ("Harari", ["Harar"], "contains"),
    ("Gloucestershire", ["Gloucester"], "contains"),
    ("Alfa Romeo 85", ["Alfa Romeo"], "contains f1"),
    ("Ontario Highway 20", ["Ontario"], "contains f1"),
    ("IBM/Microsoft Corporation", ["Microsoft"], "contains"),
    ("The United States of America", ["United States of America"], "normalized contains f1"),
    ("the coca-cola company", ["The Coca-Cola Company"], "normalized contains f1"),
    ("It is New york.", ["New York"], "contains f1"),  # capitalize() lowers the rest
    ("It is NEW YORK.", ["New York"], "f1"),
    # nothing said, nothing to say
    ("", ["Paris"], ""),
    (" \n ", ["Paris"], ""),
    ("Paris", ["", "Paris"], "exact first_line normalized contains f1"),
    ("Lyon", ["", "  ", "Paris"], ""),
    # answers made of articles and punctuation only
    ("The The", ["The The"], "exact first_line normalized contains f1"),
    ("the", ["The The"], "f1"),
    ("A", ["The"], ""),
    ("An", ["A"], "contains"),
    ("!!!", ["!!!"], "exact first_line normalized contains f1"),
    ("???", ["!!!"], ""),
    ("the", ["a"], ""),
    ("A", ["a"], "normalized contains f1"),
    # letters beyond ASCII
    ("Zürich", ["Zürich"], "exact first_line normalized contains f1"),
    ("Zu\u0308rich", ["Zürich"], "normalized f1"),
    ("ZÜRICH", ["zürich"], "normalized f1"),
    ("Zurich", ["Zürich"], ""),
    ("東京", ["東京"], "exact first_line normalized contains f1"),
    ("東京都", ["東京"], "contains"),
    ("«Москва»", ["Москва"], "normalized contains f1"),
    ("O’Brien", ["O'Brien"], "normalized f1"),
    ("rock \u00a0and   roll", ["rock and roll"], "normalized f1"),
    ("İstanbul", ["İstanbul"], "exact first_line normalized contains f1"),
]


@pytest.mark.parametrize(
    ("prediction", "aliases", "rules"), CASES, ids=[f"{a!r} for {b}" for a, b, _ in CASES]
)
def test_every_rule_on_every_case(prediction: str, aliases: list[str], rules: str) -> None:
    assert [name for name in MATCHERS if match(prediction, aliases, name)] == [
        name for name in MATCHERS if name in rules.split()
    ]


def test_exact_is_the_default() -> None:
    assert match("Paris", ["Paris"])
    assert not match("paris", ["Paris"])


def reference(text: str) -> str:
    """SQuAD's normalisation, step by step."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


words = st.sampled_from(
    ["a", "An", "the", "The", "cat", "Dog", "x-ray", "U.S.", "it's", "!", "(b)", "theory", "5%"]
)


@settings(derandomize=True, max_examples=300)
@given(st.lists(words, max_size=6), st.sampled_from([" ", "  ", "\n", ", "]))
def test_normalisation_is_squads_wherever_that_leaves_something(parts: list[str], space: str) -> None:
    text = space.join(parts)
    if reference(text):
        assert normalize(text) == reference(text)
    assert bool(normalize(text)) == bool(text.strip())


@settings(derandomize=True, max_examples=300)
@given(st.text(max_size=20))
def test_normal_forms_stay_and_are_matched_by_their_text(text: str) -> None:
    once = normalize(text)
    assert once == " ".join(once.split())
    if text.strip():
        for name in ("exact", "normalized", "f1"):
            assert match(text, [text], name)
        assert match(first_line(text), [first_line(text)], "contains") == bool(first_line(text))


@settings(derandomize=True, max_examples=200)
@given(st.lists(words, min_size=1, max_size=6), st.lists(words, min_size=1, max_size=6))
def test_token_f1_is_precision_and_recall(said: list[str], meant: list[str]) -> None:
    a, b = normalize(" ".join(said)).split(), normalize(" ".join(meant)).split()
    common = sum((Counter(a) & Counter(b)).values())
    expected = 0.0
    if common:
        precision, recall = common / len(a), common / len(b)
        expected = 2 * precision * recall / (precision + recall)
    assert token_f1(" ".join(said), [" ".join(meant)]) == pytest.approx(expected)
    assert token_f1(" ".join(said), ["zebra", " ".join(meant)]) == pytest.approx(expected)


def test_token_f1_by_hand() -> None:
    assert token_f1("the quick brown fox", ["a brown fox"]) == pytest.approx(0.8)
    assert token_f1("fox fox fox", ["fox"]) == pytest.approx(0.5)
    assert token_f1("", ["fox"]) == 0.0


@pytest.mark.parametrize(
    ("aliases", "matcher", "expected"),
    [
        (["Paris"], "fuzzy", "unknown rule 'fuzzy'; known are exact, first_line, normalized, contains, f1"),
        ('["Paris"]', "exact", r"the answers are one string, '\[\"Paris\"\]'; give a list"),
        ([], "exact", "no accepted answer given"),
        (["", " "], "contains", "no accepted answer given"),
    ],
)
def test_misuse_is_refused(aliases: list[str], matcher: str, expected: str) -> None:
    with pytest.raises(TheoryError, match=expected):
        match("Paris", aliases, matcher)

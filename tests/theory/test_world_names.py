"""Names: unique, pronounceable, of the wanted number of words, and sharing words exactly as promised."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.world_names import Kind, word, words

KINDS: tuple[Kind, ...] = ("subject", "answer", "relation", "type")
COUNTS = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)


def test_words_are_pronounceable_and_never_repeat_within_or_across_kinds() -> None:
    said: Counter[str] = Counter()
    for kind in KINDS:
        mine = [word(kind, i) for i in range(30_000)]
        assert all(re.fullmatch(r"([bdfgklmnprstvz][aeiou]){2,4}[lmnrsvx]?", w) for w in mine)
        said.update(mine)
    assert set(said.values()) == {1}


@pytest.mark.parametrize(
    ("kind", "number", "length"),
    [
        ("answer", 4_899, 4),
        ("answer", 4_900, 6),
        ("answer", 4_900 + 343_000, 8),
        ("subject", 24_499, 5),
        ("subject", 24_500, 7),
    ],
)
def test_words_grow_only_when_the_shorter_ones_are_used_up(kind: Kind, number: int, length: int) -> None:
    assert len(word(kind, number)) == length


@settings(derandomize=True, deadline=None, max_examples=60)
@given(COUNTS, st.integers(1, 7), st.integers(0, 50), st.integers(1, 5))
def test_names_are_unique_and_have_the_wanted_lengths(
    counts: tuple[int, ...], reuse: int, start: int, step: int
) -> None:
    names = [words("subject", slot, counts, reuse, start=start, step=step) for slot in range(300)]
    assert len(set(names)) == 300
    assert [len(name) for name in names] == [counts[slot % len(counts)] for slot in range(300)]
    # what stays when a copied word takes the third place is unique too
    assert len({name[:2] for name in names}) == 300


@pytest.mark.parametrize("count", [2, 3])
def test_in_full_grids_every_word_belongs_to_reuse_names(count: int) -> None:
    names = [words("answer", slot, (count,), 4) for slot in range(5 * 16)]
    uses = Counter(w for name in names for w in name)
    assert set(uses.values()) == {4}
    assert len(uses) == count * 5 * 4


def test_one_word_names_and_a_reuse_of_one_share_nothing() -> None:
    for counts, reuse in (((1,), 4), ((1, 2, 3), 1)):
        uses = Counter(w for slot in range(99) for w in words("subject", slot, counts, reuse))
        assert set(uses.values()) == {1}


@settings(derandomize=True, deadline=None, max_examples=40)
@given(COUNTS, st.integers(1, 6), st.integers(2, 4))
def test_groups_with_different_numbers_share_no_word(
    counts: tuple[int, ...], reuse: int, groups: int
) -> None:
    interleaved = [
        {w for slot in range(60) for w in words("subject", slot, counts, reuse, start=g, step=groups)}
        for g in range(groups)
    ]
    consecutive = [
        {w for slot in range(60) for w in words("answer", slot, counts, reuse, start=60 * g)}
        for g in range(groups)
    ]
    for sets in (interleaved, consecutive):
        assert len(set.union(*sets)) == sum(map(len, sets))

import dataclasses
import random

import pytest

from realmodels.errors import RealmodelsError
from realmodels.rows import Row, read_rows
from realmodels.splits import split_fingerprint, split_rows

SHARES = {"train": 0.6, "dev": 0.1, "test": 0.3}


def row(n, subject="s", question=None):
    return Row(n, 0, str(n), question or f"q{n}", ("a",), subject, None, None, {}, "here")


def many(count=3000, each=3):
    return [row(n, f"subject {n // each}") for n in range(count)]


def test_every_row_stands_once_and_shares_are_met():
    rows = many()
    split = split_rows(rows, SHARES)
    assert list(split) == list(SHARES)
    assert sorted(place for places in split.values() for place in places) == list(range(len(rows)))
    assert all(list(places) == sorted(places) for places in split.values())
    for name, share in SHARES.items():
        # 1,000 subjects: four standard errors
        assert abs(len(split[name]) / len(rows) - share) < 4 * (share * (1 - share) / 1000) ** 0.5


def test_no_subject_is_torn_apart():
    rows = [
        dataclasses.replace(r, subject=f" {r.subject.upper()}" if r.number % 2 else r.subject) for r in many()
    ]
    split = split_rows(rows, SHARES)
    homes = {}
    for name, places in split.items():
        for place in places:
            homes.setdefault(rows[place].subject.strip().casefold(), set()).add(name)
    assert len(homes) == 1000
    assert all(len(home) == 1 for home in homes.values())


def test_without_a_subject_equal_questions_stay_together():
    rows = [row(n, None, f"Question {n % 50}?") for n in range(500)]
    split = split_rows(rows, {"a": 0.5, "b": 0.5})
    sides = [{rows[place].question for place in places} for places in split.values()]
    assert sides[0].isdisjoint(sides[1])


def test_neither_order_nor_company_moves_a_row():
    rows = many(900)
    split = split_rows(rows, SHARES)
    home = {rows[place].id: name for name, places in split.items() for place in places}
    shuffled = rows[:700]
    random.Random(0).shuffle(shuffled)
    again = split_rows(shuffled, SHARES)
    assert all(home[shuffled[place].id] == name for name, places in again.items() for place in places)


def test_salt_gives_another_split():
    rows = many()
    one, two = (set(split_rows(rows, {"a": 0.5, "b": 0.5}, salt)["a"]) for salt in ("", "x"))
    # independent halves share a quarter of the rows: four standard errors over 1,000 subjects
    assert abs(len(one & two) / len(rows) - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5


def test_known_assignment_does_not_change_between_versions():
    rows = [row(n, f"subject {n}") for n in range(12)]
    found = split_rows(rows, {"train": 0.5, "test": 0.5})
    assert {name: list(places) for name, places in found.items()} == {
        "train": [0, 1, 3, 5, 6, 11],
        "test": [2, 4, 7, 8, 9, 10],
    }


def test_the_fingerprint_is_of_contents():
    rows = many(300)
    split = split_rows(rows, SHARES)
    one = split_fingerprint(rows, split)
    back = [dataclasses.replace(r, id="other") for r in rows[::-1]]
    assert split_fingerprint(back, split_rows(back, SHARES)) == one
    moved = {**split, "train": split["train"][1:], "dev": (*split["dev"], split["train"][0])}
    assert split_fingerprint(rows, moved) != one
    assert len(one) == 64


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({}, "no shares given"),
        ({"train": 0.8, "test": 0.3}, "sum to 1.1"),
        ({"train": 1.0, "test": 0.0}, "split 'test': expected a share above 0, got 0.0"),
        ({"train": float("nan")}, "split 'train'"),
        ({"train": 1 - 1e-12, "test": 1e-12}, "split 'test': none of 30 rows"),
    ],
)
def test_wrong_shares(shares, says):
    with pytest.raises(RealmodelsError) as error:
        split_rows(many(30), shares)
    assert says in str(error.value)


def test_real_rows_split_without_shared_subjects(data):
    rows = read_rows(data / "popqa" / "popqa_sample_2000.tsv").rows
    split = split_rows(rows, {"train": 0.8, "test": 0.2})
    train, test = ({rows[place].subject.casefold() for place in split[name]} for name in ("train", "test"))
    assert train.isdisjoint(test)
    assert 300 < len(split["test"]) < 500

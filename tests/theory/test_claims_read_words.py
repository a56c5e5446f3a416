"""A contrast in words that the untuned model has read counts where all of its rows exist, else the one in new words."""

import numpy as np
import pytest

from theory.claims import CLAIMS
from theory.claims.base import Absent, Cell, Series
from theory.claims.estimators import Contrast, difference, in_read_words, level
from theory.claims.evidence import split_studies
from theory.records import Record
from theory.table import Table

TUNED, UNTUNED = Cell("attention_subject", "lesser"), Cell("attention_subject", "none", arm="base")
NEW, OWN = (0.5, 0.3), (0.2, 0.7)  # tuned, untuned


class Given:
    """Evidence from a mapping."""

    def __init__(self, series):
        self._series = series

    def series(self, cell):
        return self._series.get(cell, Absent(cell.where("all")))

    def curve(self, cell):
        return Absent(cell.where("all"))


def series(prompt, values, seeds=(0, 1, 2)):
    cells = (TUNED.at(prompt=prompt), UNTUNED.at(prompt=prompt))
    return {
        cell: Series(np.array(seeds), value + 0.01 * np.array(seeds))
        for cell, value in zip(cells, values, strict=True)
    }


def test_read_words_count_where_all_rows_exist_in_them():
    given = Given(series("zero", NEW) | series("own", OWN))
    plain = difference(TUNED, UNTUNED)
    assert plain.measure(given).effects == pytest.approx([0.2] * 3)
    assert in_read_words(plain).measure(given).effects == pytest.approx([-0.5] * 3)
    assert in_read_words(plain).cells == plain.cells


@pytest.mark.parametrize("gone", [TUNED, UNTUNED])
def test_if_one_of_the_rows_is_missing_in_read_words_all_are_taken_in_the_new_ones(gone):
    own = {cell: found for cell, found in series("own", OWN).items() if cell != gone.at(prompt="own")}
    found = in_read_words(difference(TUNED, UNTUNED)).measure(Given(series("zero", NEW) | own))
    assert found.effects == pytest.approx([0.2] * 3)
    assert not found.missing


def test_what_is_missing_is_said_in_the_new_words():
    found = in_read_words(difference(TUNED, UNTUNED)).measure(Given({}))
    assert len(found.missing) == 2
    assert all("prompt=zero" in where for where in found.missing)


def test_seeds_that_read_words_lack_are_counted_as_unpaired():
    own = series("own", OWN)
    own[TUNED.at(prompt="own")] = Series(np.array([0, 2]), np.array([0.2, 0.22]))
    found = in_read_words(difference(TUNED, UNTUNED)).measure(Given(series("zero", NEW) | own))
    assert found.seeds.tolist() == [0, 2]
    assert found.effects == pytest.approx([-0.5] * 2)
    assert found.unpaired == 1


def test_the_early_stop_is_that_of_the_new_words_for_read_words_too():
    """Tuning is watched in the words that it teaches; the early stop does not depend on the wording of a cell."""
    head = ("synthetic/R1", "salience", "r")
    dev = {1: 0.2, 5: 0.6, 9: 0.4}
    records = [
        Record(*head, seed, "all", step, "lesser", "zero", "dev", "all", "accuracy", value, 10)
        for seed in range(3)
        for step, value in dev.items()
    ]
    own = {1: 0.9, 5: 0.3, 9: 0.8}
    records += [
        Record(*head, seed, "all", step, "lesser", prompt, "test", "all", "attention_subject", value, 10)
        for seed in range(3)
        for step in own
        for prompt, value in (("own", own[step]), ("zero", 0.0))
    ]
    (rows,) = split_studies(Table.from_records(records))
    early = Cell("attention_subject", "lesser", "early")
    assert in_read_words(level(early)).measure(rows).effects.tolist() == [0.3] * 3
    assert in_read_words(level(early.at(stop="end"))).measure(rows).effects.tolist() == [0.8] * 3
    assert level(early).measure(rows).effects.tolist() == [0.0] * 3


def test_attention_and_hidden_states_are_compared_in_read_words():
    """What the untuned model does with words that only tuning teaches says nothing of what it knows."""
    for name in ("A4", "X1", "U3"):
        for part in CLAIMS[name].parts:
            cells = part.quantity.cells
            if {"attention_subject", "common_shift_excess", "push_sign_agreement"} & {
                c.metric for c in cells
            }:
                assert isinstance(part.quantity, Contrast)
                assert part.quantity.read_words, (name, part.name)

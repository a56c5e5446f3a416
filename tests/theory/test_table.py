"""The table of records against slow, plain references."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.errors import TheoryError
from theory.schema import FIELDS, KEY, NUMBERS, STRINGS, Record
from theory.table import Encoded, Table

BASE = Record("theory/R0", "slick", "run", 0, "all", 0, "best", "zero", "test", "all", "accuracy", 0.5, 10)
CONSTANT = asdict(BASE)


def key(row: Record) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in KEY)


rows_strategy = st.lists(
    st.builds(
        Record,
        lab=st.sampled_from(["theory/R0", "synthetic/R1-mlp"]),
        study=st.just("slick"),
        run=st.sampled_from(["a", "b", "c"]),
        seed=st.integers(0, 3),
        arm=st.sampled_from(["all", "lora"]),
        step=st.sampled_from([0, 10, 2**40]),
        trained_on=st.sampled_from(["best", "whole"]),
        prompt=st.just("zero"),
        split=st.just("test"),
        stratum=st.sampled_from(["all", "popularity=low"]),
        metric=st.sampled_from(["accuracy", "loss"]),
        value=st.floats(0, 1),
        n=st.just(1),
        item=st.sampled_from(["", "Q1", "Q2"]),
    ),
    max_size=30,
    unique_by=key,
)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(rows_strategy)
def test_records_make_a_table_and_a_table_makes_records(rows: list[Record]) -> None:
    table = Table.from_records(rows)
    assert len(table) == len(rows)
    assert list(table.records()) == rows
    for name in FIELDS:
        assert table.column(name).tolist() == [getattr(row, name) for row in rows]
    for name in STRINGS:
        assert table.codes[name].dtype == np.int32
        assert table.levels[name] == tuple(dict.fromkeys(getattr(row, name) for row in rows))
    kinds = {name: table.numbers[name].dtype for name in NUMBERS}
    assert kinds == {"seed": np.int64, "step": np.int64, "value": np.float64, "n": np.int64}


@settings(derandomize=True, deadline=None, max_examples=80)
@given(rows_strategy, st.data())
def test_a_mask_is_a_filter(rows: list[Record], data: st.DataObject) -> None:
    table = Table.from_records(rows)
    choices: dict[str, st.SearchStrategy[Any]] = {
        "run": st.sampled_from(["a", "b", "nowhere", ("a", "c"), ("nowhere",), ()]),
        "seed": st.sampled_from([0, 3, 99, (1, 2), ["x"], {0}]),
        "step": st.sampled_from([10, (0, 2**40)]),
        "item": st.sampled_from(["", "Q1", ("Q1", "Q2")]),
        "value": st.sampled_from([0.0, (0.0, 1.0), "0.0"]),
    }
    names = data.draw(st.lists(st.sampled_from(list(choices)), unique=True))
    wanted = {name: data.draw(choices[name]) for name in names}

    def fits(row: Record) -> bool:
        return all(
            getattr(row, name) in (value if isinstance(value, (tuple, list, set)) else (value,))
            for name, value in wanted.items()
        )

    mask = table.mask(**wanted)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [fits(row) for row in rows]
    assert list(table.take(mask).records()) == [row for row in rows if fits(row)]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(rows_strategy, st.lists(st.sampled_from(FIELDS), unique=True))
def test_groups_are_rows_that_agree(rows: list[Record], names: list[str]) -> None:
    group, first = Table.from_records(rows).group(*names)
    keys = [tuple(getattr(row, name) for name in names) for row in rows]
    for i, one in enumerate(keys):
        assert [int(g == group[i]) for g in group] == [int(other == one) for other in keys]
        assert keys.index(one) == first[group[i]]
    assert len(first) == len(set(keys))


def test_groups_of_more_combinations_than_an_integer_can_count() -> None:
    rng = np.random.default_rng(0)
    count = 3000
    columns = {
        **CONSTANT,
        "seed": rng.integers(0, 2**62, count),
        "step": np.arange(count),
        **{
            name: [f"{name}{i}" for i in rng.integers(0, 2500, count)]
            for name in ("run", "arm", "prompt", "split")
        },
        "trained_on": [f"t{i}" for i in np.arange(count) // 2],
    }
    table = Table.from_columns(columns)
    names = ("run", "arm", "prompt", "split", "trained_on")
    group, first = table.group(*names)
    keys = list(zip(*(table.column(name) for name in names), strict=True))
    assert len(first) == len(set(keys)) > 2500
    assert [keys[i] for i in first[group]] == keys
    again = Table.from_columns(
        {
            **columns,
            **{name: [*columns[name], columns[name][0]] for name in names},
            "seed": [*columns["seed"].tolist(), int(columns["seed"][0])],
            "step": [*range(count), 0],
        }
    )
    assert (len(again), again.repeats) == (count, 1)


def test_rows_can_be_taken_by_mask_and_by_index() -> None:
    table = Table.from_columns({**CONSTANT, "step": np.arange(5)})
    assert table.take([4, 0, 0]).numbers["step"].tolist() == [4, 0, 0]
    assert table.take(np.array([-1])).numbers["step"].tolist() == [4]
    assert table.take(table.numbers["step"] > 2).numbers["step"].tolist() == [3, 4]
    nothing = table.take([])
    assert len(nothing) == 0
    assert nothing.levels == table.levels
    assert nothing.column("run").tolist() == []
    assert list(nothing.records()) == []


def test_constants_sequences_arrays_and_encoded_columns_say_the_same() -> None:
    runs, seeds = ["a", "b", "a"], [1, 2, 3]
    tables = [
        Table.from_columns({**CONSTANT, "run": run, "seed": seed, "value": value})
        for run, seed, value in (
            (runs, seeds, [0.5, 1, 0]),
            (tuple(runs), tuple(seeds), (0.5, 1.0, 0.0)),
            (np.array(runs), np.array(seeds), np.array([0.5, 1, 0])),
            (
                np.array(runs, dtype=object),
                np.array(seeds, dtype=np.uint8),
                np.array([0.5, 1, 0], np.float32),
            ),
            (
                Encoded(["a", "b"], np.array([0, 1, 0])),
                Encoded([3, 2, 1], np.array([2, 1, 0])),
                [0.5, 1.0, 0],
            ),
        )
    ]
    expected = [
        replace(BASE, run=r, seed=s, value=v) for r, s, v in zip(runs, seeds, [0.5, 1.0, 0.0], strict=True)
    ]
    for table in tables:
        assert list(table.records()) == expected
        assert table.levels["run"] == ("a", "b")
    assert list(Table.from_columns(CONSTANT).records()) == [BASE]
    without = {name: value for name, value in CONSTANT.items() if name != "item"}
    assert list(Table.from_columns(without).records()) == [BASE]


def test_no_rows() -> None:
    for table in (Table.from_records([]), Table.from_columns(dict.fromkeys(FIELDS, ()))):
        assert len(table) == 0
        assert table.levels["run"] == ()
        assert table.column("run").tolist() == []
        assert table.mask(run="a", seed=1).tolist() == []
        assert table.group("run")[0].tolist() == []


def test_repeats_are_dropped_and_contradictions_named() -> None:
    rows = [BASE, replace(BASE, seed=1), BASE, BASE]
    table = Table.from_records(rows)
    assert list(table.records()) == rows[:2]
    assert table.repeats == 2
    with pytest.raises(TheoryError) as error:
        Table.from_records([*rows, replace(BASE, seed=1, value=0.25)])
    assert str(error.value) == "table: row 4: field 'value': 0.25 for the observation that has 0.5 in row 1"
    with pytest.raises(
        TheoryError, match="table: row 1: field 'n': 9 for the observation that has 10 in row 0"
    ):
        Table.from_records([BASE, replace(BASE, n=9)])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"seed": [0, 1, -1]}, "table: row 2: field 'seed': expected an integer >= 0, got -1"),
    ({"seed": np.array([0.0, 1.0])}, "table: row 0: field 'seed': expected an integer >= 0, got 0.0"),
    ({"seed": np.array([0, 2**63], np.uint64)}, "table: row 1: field 'seed': expected an integer >= 0"),
    ({"seed": np.array([True])}, "table: row 0: field 'seed': expected an integer >= 0, got true"),
    ({"seed": [0, 2**64]}, "table: row 1: field 'seed': expected an integer >= 0"),
    ({"value": np.array([0.5, np.nan])}, "table: row 1: field 'value': expected a finite number, got NaN"),
    ({"value": [0.5, "a"]}, "table: row 1: field 'value': expected a finite number, got \"a\""),
    ({"value": None}, "table: row 0: field 'value': expected a finite number, got null"),
    ({"run": ["a", "", "b"]}, "table: row 1: field 'run': expected the non-empty name of a run"),
    ({"run": ["a", 3]}, "table: row 1: field 'run': expected the non-empty name of a run, got 3"),
    (
        {"run": ["a", "b"], "seed": [1, 2, 3]},
        "table: expected columns of one length, got 'run' with 2 and 'seed' with 3 rows",
    ),
    ({"value": np.ones((2, 2))}, "table: field 'value': expected one row of values, got shape (2, 2)"),
    (
        {"item": ["", "Q"], "n": 10},
        "table: row 1: field 'n': expected 1 because 'item' names a single test item",
    ),
    ({"run": Encoded(["a", "no\tgood"], np.array([0, 0, 1]))}, "table: row 2: field 'run': expected"),
    ({"rum": "a"}, "table: unknown field \"rum\"; did you mean 'run'?"),
]


@pytest.mark.parametrize(("changes", "expected"), BAD, ids=[case[1][7:40] for case in BAD])
def test_bad_columns_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(TheoryError) as error:
        Table.from_columns({**CONSTANT, **changes})
    assert str(error.value).startswith(expected)


def test_a_level_that_no_row_uses_is_not_looked_at() -> None:
    table = Table.from_columns({**CONSTANT, "seed": Encoded([3, -1], np.array([0])), "value": 0.5})
    assert table.numbers["seed"].tolist() == [3]


def test_missing_and_unknown_names() -> None:
    with pytest.raises(TheoryError, match=r"table: field 'seed' is missing"):
        Table.from_columns({name: value for name, value in CONSTANT.items() if name != "seed"})
    table = Table.from_records([BASE])
    for call in (
        lambda: table.mask(metrics="a"),
        lambda: table.column("metrics"),
        lambda: table.group("metrics"),
    ):
        with pytest.raises(TheoryError, match=r"table: unknown field 'metrics'; did you mean 'metric'\?"):
            call()


def test_repeats_leave_the_rows_in_their_order() -> None:
    table = Table.from_columns({**CONSTANT, "seed": [9, 3, 9, 1, 3]})
    assert table.column("seed").tolist() == [9, 3, 1]
    assert (len(table), table.repeats) == (3, 2)


def test_keys_of_many_long_columns_do_not_collide() -> None:
    """Eight columns of 4,096 levels span 2^96; packed into 64 bits as they are, the first would drop out."""
    n, names = 4096, ("run", "arm", "trained_on", "prompt", "split", "metric", "item")
    columns: dict[str, Any] = {name: [f"x{i}" for i in range(n)] * 2 for name in names}
    columns["run"] = columns["run"][:n] + columns["run"][1 : n + 1]
    columns["seed"] = [*range(n), *range(n)]
    table = Table.from_columns({**CONSTANT, **columns, "n": 1})
    group, first = table.group("run", "seed", *names[1:])
    assert (len(table), table.repeats) == (2 * n, 0)
    assert (len(first), len(set(group.tolist()))) == (2 * n, 2 * n)

"""Records in columns: strings as codes into levels, numbers as arrays. Everything downstream reads this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError
from theory.schema import (
    FIELDS,
    KEY,
    NUMBERS,
    STRINGS,
    Record,
    complaint,
    item_rule,
    misnamed,
    nearest,
)

Codes = NDArray[np.int32]
Index = NDArray[np.int64]
Array = NDArray[np.float64]

DTYPES: Mapping[str, type] = {"seed": np.int64, "step": np.int64, "value": np.float64, "n": np.int64}
_INTEGER, _FLOAT = frozenset({int}), frozenset({int, float})


class FieldError(Exception):
    """Row `row` of a block of rows is wrong: `text` names the field, what was expected and what was found."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(text)
        self.row, self.text = row, text


class Encoded(NamedTuple):
    """A column as few distinct values and, for each row, which of them it holds."""

    values: Sequence[Any]
    which: NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Table:
    """`codes[name]` into `levels[name]` for strings; `numbers[name]` for seed, step, value and n."""

    codes: Mapping[str, Codes]
    levels: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, NDArray[Any]]
    repeats: int = 0  # identical observations that were read more than once and kept once

    def __len__(self) -> int:
        return len(self.numbers["value"])

    def column(self, name: str) -> NDArray[Any]:
        """The decoded column: objects of type str, or numbers."""
        if _known(name) in NUMBERS:
            return self.numbers[name]
        return np.array((*self.levels[name], None), dtype=object)[:-1][self.codes[name]]

    def mask(self, **equals: object) -> NDArray[np.bool_]:
        """Rows on which every named field holds the given value, or one of a tuple of values."""
        keep = np.ones(len(self), dtype=bool)
        for name, wanted in equals.items():
            allowed = wanted if isinstance(wanted, (tuple, list, set, frozenset)) else (wanted,)
            if _known(name) in NUMBERS:
                numbers = [value for value in allowed if not isinstance(value, str)]
                keep &= np.isin(self.numbers[name], numbers)
            else:
                fits = np.array([level in allowed for level in self.levels[name]], dtype=bool)
                keep &= fits[self.codes[name]]
        return keep

    def take(self, rows: ArrayLike) -> Table:
        """The rows under a mask or at an index, levels unchanged."""
        rows = np.asarray(rows)
        rows = rows if rows.dtype == np.bool_ else rows.astype(np.int64)
        return Table(
            {name: codes[rows] for name, codes in self.codes.items()},
            self.levels,
            {name: numbers[rows] for name, numbers in self.numbers.items()},
        )

    def group(self, *names: str) -> tuple[Index, Index]:
        """Rows that agree on these fields: the group of each row, and the first row of each group.

        Groups are numbered from 0 in the order of the levels and numbers of the fields named.
        """
        key = self._key(names)
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        return group.astype(np.int64, copy=False), first.astype(np.int64, copy=False)

    def records(self) -> Iterator[Record]:
        columns = [self.column(name).tolist() for name in FIELDS]
        return (Record(*row) for row in zip(*columns, strict=True))

    @classmethod
    def from_records(cls, records: Iterable[Record]) -> Table:
        rows = [tuple(getattr(record, name) for name in FIELDS) for record in records]
        columns = zip(*rows, strict=True) if rows else ((),) * len(FIELDS)
        return cls.from_columns(dict(zip(FIELDS, columns, strict=True)))

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Table:
        """From one sequence a field, a single string or number for a constant column, or an `Encoded`."""
        wrong = misnamed(columns)
        if wrong:
            raise TheoryError(f"table: {wrong}")
        columns = {"item": "", **columns}
        for name, column in columns.items():
            if isinstance(column, np.ndarray) and column.ndim > 1:
                raise TheoryError(
                    f"table: field '{name}': expected one row of values, got shape {column.shape}"
                )
        lengths = {name: _length(column) for name, column in columns.items()}
        rows = {length: name for name, length in lengths.items() if length is not None}
        if len(rows) > 1:
            found = " and ".join(f"'{name}' with {length}" for length, name in list(rows.items())[:2])
            raise TheoryError(f"table: expected columns of one length, got {found} rows")
        count = next(iter(rows), 1)
        builder = Builder()
        try:
            builder.add({name: _encode(column, count) for name, column in columns.items()})
        except FieldError as error:
            raise TheoryError(f"table: row {error.row}: {error.text}") from None
        table = builder.table()
        try:
            return table.without_repeats()
        except Conflict as error:
            raise TheoryError(f"table: row {error.second}: {error.text} in row {error.first}") from None

    def without_repeats(self) -> Table:
        """Each observation once; the same observation with two values raises `Conflict`."""
        key = self._key(KEY)
        ranked = np.sort(key)
        if not np.any(ranked[1:] == ranked[:-1]):
            return self
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        original = first[group]
        value, n = self.numbers["value"], self.numbers["n"]
        differs = np.flatnonzero((value != value[original]) | (n != n[original]))
        if differs.size:
            here = int(differs[0])
            name = "value" if value[here] != value[original[here]] else "n"
            was, now = self.numbers[name][[original[here], here]].tolist()
            raise Conflict(
                int(original[here]), here, f"field '{name}': {now} for the observation that has {was}"
            )
        kept = self.take(np.sort(first))
        return Table(kept.codes, kept.levels, kept.numbers, repeats=len(self) - len(kept))

    def _key(self, names: Sequence[str]) -> Index:
        """One integer a row, equal where all the named fields are equal."""
        key, span = np.zeros(len(self), dtype=np.int64), 1
        for name in names:
            if _known(name) in NUMBERS:
                levels, codes = np.unique(self.numbers[name], return_inverse=True)
            else:
                levels, codes = np.empty(len(self.levels[name])), self.codes[name].astype(np.int64)
            size = max(1, len(levels))
            if span > 2**62 // size:
                used, key = np.unique(key, return_inverse=True)
                span = len(used)
            key, span = key * size + codes, span * size
        return key


class Conflict(Exception):
    """Rows `first` and `second` are one observation with two values; `text` says which."""

    def __init__(self, first: int, second: int, text: str) -> None:
        super().__init__(text)
        self.first, self.second, self.text = first, second, text


class Builder:
    """Collects blocks of validated rows; a level is validated once, when it is first met."""

    def __init__(self) -> None:
        self._levels: dict[str, dict[str, int]] = {name: {} for name in STRINGS}
        self._codes = {name: _Growing(np.int32) for name in STRINGS}
        self._numbers = {name: _Growing(DTYPES[name]) for name in NUMBERS}

    def add(self, columns: Mapping[str, Encoded]) -> None:
        """Add a block of rows; a `FieldError` names the first bad one, and none is added."""
        found = [error for name in FIELDS if (error := self._first_bad(name, columns[name])) is not None]
        if found:
            raise min(found, key=lambda error: error.row)
        if not len(columns["value"].which):
            return
        numbers = {
            name: np.asarray(columns[name].values, DTYPES[name])[columns[name].which] for name in NUMBERS
        }
        item = columns["item"]
        single = np.array([value != "" for value in item.values], dtype=bool)[item.which]
        crowds = np.flatnonzero(single & (numbers["n"] != 1))
        if crowds.size:
            row = int(crowds[0])
            raise FieldError(row, f"field 'n': {item_rule(int(numbers['n'][row]))}")
        for name in STRINGS:
            levels = self._levels[name]
            code = [levels.setdefault(value, len(levels)) for value in columns[name].values]
            self._codes[name].extend(np.array(code, dtype=np.int32)[columns[name].which])
        for name in NUMBERS:
            self._numbers[name].extend(numbers[name])

    def table(self) -> Table:
        """All rows so far."""
        return Table(
            {name: column.found for name, column in self._codes.items()},
            {name: tuple(levels) for name, levels in self._levels.items()},
            {name: column.found for name, column in self._numbers.items()},
        )

    def _first_bad(self, name: str, column: Encoded) -> FieldError | None:
        values = column.values
        if name in NUMBERS:
            if _plain_numbers(name, values):
                return None
            suspects: Iterable[int] = range(len(values))
        else:
            known = self._levels[name]
            suspects = (i for i, value in enumerate(values) if type(value) is not str or value not in known)
        for i in suspects:
            if name == "item" and values[i] == "":
                continue
            wrong = complaint(name, values[i])
            if wrong:
                rows = np.flatnonzero(column.which == i)
                if rows.size:
                    return FieldError(int(rows[0]), f"field '{name}': {wrong}")
        return None


class _Growing:
    """A column in one piece, with room behind it that is not touched before it is used."""

    def __init__(self, dtype: type) -> None:
        self._held: NDArray[Any] = np.empty(1 << 12, dtype)
        self._count = 0

    def extend(self, values: NDArray[Any]) -> None:
        end = self._count + len(values)
        if end > len(self._held):
            room = np.empty(2 * end, self._held.dtype)
            room[: self._count] = self.found
            self._held = room
        self._held[self._count : end] = values
        self._count = end

    @property
    def found(self) -> NDArray[Any]:
        return self._held[: self._count]


def _plain_numbers(name: str, values: Sequence[Any]) -> bool:
    """Whether all values are plainly right, told without looking at them one by one."""
    types = _FLOAT if name == "value" else _INTEGER
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in ("iuf" if name == "value" else "iu"):
            return False
    elif not types.issuperset(map(type, values)):
        return False
    try:
        numbers: NDArray[Any] = np.asarray(values, dtype=DTYPES[name])
    except OverflowError:
        return False
    return bool(np.isfinite(numbers).all() if name == "value" else (numbers >= (name == "n")).all())


def _known(name: str) -> str:
    if name not in FIELDS:
        raise TheoryError(f"table: unknown field '{name}'{nearest(name, FIELDS)}")
    return name


def _length(column: Any) -> int | None:
    if isinstance(column, Encoded):
        return len(column.which)
    if isinstance(column, (list, tuple)):
        return len(column)
    return None if isinstance(column, str) or np.ndim(column) == 0 else len(column)


def _encode(column: Any, count: int) -> Encoded:
    if isinstance(column, Encoded):
        return column
    if _length(column) is None:
        return Encoded([column], np.zeros(count, dtype=np.int64))
    if isinstance(column, np.ndarray) and column.dtype.kind not in "iuf":
        column = column.tolist()
    if not isinstance(column, np.ndarray) and all(isinstance(value, str) for value in column):
        return distinct(column)
    return Encoded(column, np.arange(count))


def distinct(column: Sequence[Any]) -> Encoded:
    """A column of hashable values, encoded."""
    place = {value: i for i, value in enumerate(dict.fromkeys(column))}
    return Encoded(
        list(place), np.fromiter(map(place.__getitem__, column), dtype=np.int64, count=len(column))
    )

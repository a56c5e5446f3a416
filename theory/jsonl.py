"""From the bytes of a records file to columns: fast if all is well, exact about the place if not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from theory.errors import TheoryError
from theory.schema import FIELDS, REQUIRED, STRINGS, misnamed, shown
from theory.table import Builder, Encoded, FieldError, distinct

BLOCK = 1 << 19  # bytes read at once
BOM = b"\xef\xbb\xbf"

# A line in the order of the fields falls into pieces at fixed separators, here with and without blanks. No
# JSON string can hold a separator, because its quotes would end the string; so if every piece is valid alone,
# the line is valid, with the same content.
_HEAD = ("lab", "study", "run", "seed", "arm")
_MIDDLE = ("trained_on", "prompt", "split", "stratum", "metric")
_SPACED = (', "step": ', ', "trained_on": ', ', "value": ', ', "n": ')
_COMPACT = (',"step":', ',"trained_on":', ',"value":', ',"n":')


class Block(NamedTuple):
    """Whole lines, the number of the first (from 1); `torn` if the last one lacks its newline."""

    first: int
    data: bytes
    torn: bool


def blocks(file: BinaryIO) -> Iterator[Block]:
    first, rest = 1, file.read(len(BOM)).removeprefix(BOM)
    while chunk := file.read(BLOCK):
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            continue
        data, rest = rest + chunk[:end], chunk[end:]
        yield Block(first, data, torn=False)
        first += data.count(b"\n")
    if b"\n" in rest:  # fewer bytes than a BOM, so nothing but a few blank or broken lines
        end = rest.rfind(b"\n") + 1
        yield Block(first, rest[:end], torn=False)
        first, rest = first + rest.count(b"\n"), rest[end:]
    if rest:
        yield Block(first, rest, torn=True)


def is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def add_block(builder: Builder, name: str, block: Block) -> Sequence[int]:
    """Add the records of a block; the line number of each. `name` is the file, for errors."""
    try:
        lines = block.data.decode().split("\n")
    except UnicodeDecodeError as error:
        at, column = _at(block, error.start)
        found = f"byte 0x{block.data[error.start]:02x} at column {column} is not UTF-8"
        raise TheoryError(f"{name}:{at}: {found}; save the file as UTF-8") from None
    if not lines[-1]:
        lines.pop()
    columns = _by_pieces(lines)
    if columns is not None:
        try:
            builder.add(columns)
            return range(block.first, block.first + len(lines))
        except FieldError:
            pass  # said below, with its line
    places: list[int] = []
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=block.first):
        if line and not line.isspace():
            try:
                rows.append(_record(line))
            except ValueError as error:
                raise TheoryError(f"{name}:{number}: {error}") from None
            places.append(number)
    if rows:
        try:
            builder.add(_by_rows(rows))
        except FieldError as error:
            raise TheoryError(f"{name}:{places[error.row]}: {error.text}") from None
    return places


def _by_pieces(lines: Sequence[str]) -> dict[str, Encoded] | None:
    """Columns of lines in the order of the fields, each distinct piece parsed once; None if one is not."""
    pieces: list[Sequence[str]] = []
    rest = lines
    try:
        for separator in _SPACED if _SPACED[0] in lines[0] else _COMPACT:
            left, rest = zip(*map(str.split, rest, repeat(separator), repeat(1)), strict=True)
            pieces.append(left)
        head, step, middle, value = pieces
        values = json.loads(f"[{','.join(value)}]")
        if len(values) != len(lines):
            return None
        columns = {"value": Encoded(values, np.arange(len(values)))}
        columns |= _parsed(head, "", "}", _HEAD)
        columns |= _parsed(step, '{"step": ', "}", ("step",))
        columns |= _parsed(middle, '{"trained_on": ', "}", _MIDDLE)
        columns |= _parsed(rest, '{"n": ', "", ("n", "item"))
    except (ValueError, RecursionError):
        return None
    return columns


def _parsed(texts: Sequence[str], prefix: str, suffix: str, names: tuple[str, ...]) -> dict[str, Encoded]:
    pieces = distinct(texts)
    columns = zip(*[_piece(f"{prefix}{text}{suffix}", names) for text in pieces.values], strict=True)
    return {name: Encoded(column, pieces.which) for name, column in zip(names, columns, strict=True)}


@lru_cache(maxsize=1 << 16)
def _piece(text: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of an object with exactly these fields in this order (a last "item" may be absent)."""
    pairs = json.loads(text, object_pairs_hook=list)
    found = tuple(name for name, _ in pairs)
    if found == names:
        return tuple(value for _, value in pairs)
    if (*found, "item") == names:
        return (*(value for _, value in pairs), "")
    raise ValueError(found)


def _by_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Encoded]:
    columns = {name: [row[name] for row in rows] for name in REQUIRED}
    columns["item"] = [row.get("item", "") for row in rows]
    return {
        name: distinct(column)
        if name in STRINGS and {str}.issuperset(map(type, column))
        else Encoded(column, np.arange(len(rows)))
        for name, column in columns.items()
    }


def _record(line: str) -> dict[str, Any]:
    """One line as a dict with the right fields; `ValueError` says what is wrong with it."""
    try:
        row = json.loads(line)
        if not (isinstance(row, dict) and _QUOTES.get(frozenset(row)) == line.count('"')):
            row = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        reason = (error.msg[0].lower() + error.msg[1:]).removesuffix(" at")
        raise ValueError(
            f"not a JSON object: {reason} at column {error.colno}; write one record a line"
        ) from None
    except RecursionError:
        raise ValueError("not a record: nested too deeply; write one flat JSON object a line") from None
    except ValueError as error:
        if "set_int_max_str_digits" not in str(error):
            raise
        raise ValueError(
            "not a record: an integer of thousands of digits; expected numbers below 2^63"
        ) from None
    if not isinstance(row, dict):
        kind = "an array" if isinstance(row, list) else shown(row)
        raise ValueError(f'not a record: expected an object {{"lab": ...}}, got {kind}')
    if frozenset(row) not in _QUOTES:
        raise ValueError(misnamed(row))
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"field {shown(twice)} is given twice; keep one")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
# Quotation marks in a line without escapes in which no field is given twice.
_QUOTES = {
    frozenset(names): 2 * (len(names) + len(STRINGS) - (len(names) < len(FIELDS)))
    for names in (REQUIRED, FIELDS)
}


def _at(block: Block, offset: int) -> tuple[int, int]:
    """Line and column of a byte."""
    before = block.data[:offset]
    return block.first + before.count(b"\n"), offset - before.rfind(b"\n")

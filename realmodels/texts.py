"""Strict reading of text: UTF-8 line by line, and JSON that could be written back as it stands."""

from __future__ import annotations

import codecs
import json
import math
import re
import zlib
from collections.abc import Iterator
from gzip import BadGzipFile, GzipFile
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from realmodels.errors import RealmodelsError
from theory.schema import shown

LINE_LIMIT = 4 * 2**20  # bytes in one line; a longer one belongs to a file of another kind
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(1-based number, text with its line end) of a UTF-8 file, gzipped or not; a BOM is dropped."""
    number = 0
    with _opened(path) as file:
        try:
            while data := file.readline(LINE_LIMIT + 1):
                number += 1
                if len(data) > LINE_LIMIT:
                    raise RealmodelsError(
                        f"{path}:{number}: the line has more than {LINE_LIMIT:,} bytes, the most that is read; "
                        "is this one row a line?"
                    )
                data = data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
                yield number, decoded(path, number, data)
        except (BadGzipFile, EOFError, zlib.error) as error:
            raise RealmodelsError(
                f"{path}:{number + 1}: the gzip data are damaged ({error}); fetch it again"
            ) from None
    if not number:
        raise RealmodelsError(f"{path}: the file is empty; expected at least one row")


def decoded(path: Path, first: int, data: bytes) -> str:
    """The text of these bytes, the first of which stand on line `first`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = first + data.count(b"\n", 0, error.start)
        byte = error.start - data.rfind(b"\n", 0, error.start)
        utf16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in data
        guess = "it looks like UTF-16; " if utf16 else ""
        raise RealmodelsError(
            f"{path}:{line}: not UTF-8 at byte {byte} of the line (0x{data[error.start]:02x}); "
            f"{guess}save the file as UTF-8"
        ) from None


def read_json(path: Path) -> Any:
    """A whole JSON file."""
    with _opened(path) as file:
        try:
            data = file.read().removeprefix(codecs.BOM_UTF8)
        except (BadGzipFile, EOFError, zlib.error) as error:
            raise RealmodelsError(f"{path}: the gzip data are damaged ({error}); fetch it again") from None
    if not data.strip():
        raise RealmodelsError(f"{path}: the file is empty; expected JSON")
    return parsed(f"{path}", 0, decoded(path, 1, data))


def parsed(path: str, line: int, text: str) -> Any:
    """One JSON text; nothing that could not be written back as it stands (NaN, repeated keys) is let in."""
    try:
        value = _JSON.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        at = f"{path}:{line or error.lineno}"
        raise RealmodelsError(f"{at}: not JSON: {error.msg} at column {error.colno}") from None
    except UnicodeEncodeError:
        raise RealmodelsError(
            f"{path}:{line or 1}: half of a \\u surrogate pair, which is no character"
        ) from None
    except RecursionError:
        raise RealmodelsError(f"{path}:{line or 1}: nested too deeply to be a row") from None
    except ValueError as error:
        raise RealmodelsError(f"{path}:{line or 1}: not JSON: {error}") from None
    return value


def _opened(path: Path) -> GzipFile | BufferedReader:
    if path.is_dir():
        raise RealmodelsError(f"{path}: is a folder; expected a file")
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return GzipFile(path, "rb") if zipped else open(path, "rb")


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no value; write null where there is none")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"field {shown(twice)} stands there twice")
    return row


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)

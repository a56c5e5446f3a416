"""What one record is: its fields in order, what each may hold, and how to say in one line what is wrong
with it.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Complaint = str | None  # what was expected and what was found, or None if all is well


@dataclass(frozen=True, slots=True)
class Record:
    """One observation: over `n` items `metric` was `value`, for this model, data, step, prompt and stratum.

    Accuracies are fractions. With `item` the row is the result of that one test item, and `n` is 1.
    """

    lab: str
    study: str
    run: str
    seed: int
    arm: str
    step: int
    trained_on: str
    prompt: str
    split: str
    stratum: str
    metric: str
    value: float
    n: int
    item: str = ""


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Record))
REQUIRED: tuple[str, ...] = FIELDS[:-1]
NUMBERS: tuple[str, ...] = ("seed", "step", "value", "n")
STRINGS: tuple[str, ...] = tuple(name for name in FIELDS if name not in NUMBERS)
KEY: tuple[str, ...] = tuple(
    name for name in FIELDS if name not in ("value", "n")
)  # what makes it the same observation

_LAB = re.compile(r"[a-z][a-z0-9_]*/R[0-4](-[A-Za-z0-9._-]+)?")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]*")
_NAME = re.compile(r"[^\s,=\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=([^,=]+)")
_LARGEST = 2**63 - 1


def shown(value: object) -> str:
    """The value as it stands in the file, shortened."""
    try:
        text = json.dumps(value, default=repr)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # an integer of thousands of digits, a list that holds itself
        text = f"one {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else text[:57] + "..."


def complaint(name: str, value: object) -> Complaint:
    """What is wrong with this value in this field."""
    expected = _RULES[name](value)
    return expected and f"expected {expected}, got {shown(value)}"


def misnamed(names: Iterable[str]) -> Complaint:
    """What is wrong with the set of field names of one record: an unknown one, else a missing one."""
    names = tuple(names)
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        return f"unknown field {shown(unknown[0])}{nearest(unknown[0], FIELDS)}"
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        more = f" (and {', '.join(missing[1:])})" if len(missing) > 1 else ""
        return f"field '{missing[0]}' is missing{more}; a record has {', '.join(REQUIRED)} and maybe item"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'seed'?`, or the list of what is known."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {quoted(close[0])}?" if close else f"; known are {', '.join(map(bare, known))}"


def bare(name: str) -> str:
    """A name as it stands, in one line: as JSON if it holds a line end or the like."""
    return name if isinstance(name, str) and name.isprintable() else shown(name)


def quoted(name: str) -> str:
    return f"'{name}'" if name.isprintable() else shown(name)


def checked(record: Record) -> Complaint:
    """What is wrong with this record, field named, or None."""
    for name in FIELDS:
        value = getattr(record, name)
        if name == "item" and value == "":
            continue
        found = complaint(name, value)
        if found:
            return f"field '{name}': {found}"
    if record.item and record.n != 1:
        return f"field 'n': {item_rule(record.n)}"
    return None


def item_rule(n: object) -> str:
    return f"expected 1 because 'item' names a single test item, got {shown(n)}"


def _integer(least: int) -> Callable[[object], Complaint]:
    def rule(value: Any) -> Complaint:
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return None if whole and least <= int(value) <= _LARGEST else f"an integer >= {least}"

    return rule


def _number(value: object) -> Complaint:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return "a finite number"
    try:
        return None if math.isfinite(float(value)) else "a finite number"
    except OverflowError:
        return "a finite number"


def _text(pattern: re.Pattern[str], expected: str) -> Callable[[object], Complaint]:
    def rule(value: object) -> Complaint:
        good = isinstance(value, str) and pattern.fullmatch(value) and value == value.strip()
        return None if good else expected

    return rule


def _stratum(value: object) -> Complaint:
    expected = "'all' or key=value pairs joined by commas, each key once, such as popularity=low,overlap=no"
    if value == "all":
        return None
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        return expected
    parts = [_PART.fullmatch(part) for part in value.split(",")]
    keys = {part[1] for part in parts if part and part[2] == part[2].strip()}
    return None if len(keys) == len(parts) else expected


_RULES: Mapping[str, Callable[[Any], Complaint]] = {
    "lab": _text(_LAB, "<room>/R<0-4>[-<variant>] such as synthetic/R1-mlp"),
    "study": _text(_IDENTIFIER, "an identifier such as salience"),
    "run": _text(_TEXT, "the non-empty name of a run"),
    "seed": _integer(0),
    "arm": _text(_NAME, "a name without spaces, commas or '=' such as lora"),
    "step": _integer(0),
    "trained_on": _text(_NAME, "a name without spaces, commas or '=' such as unknown:0.25"),
    "prompt": _text(_NAME, "a name without spaces, commas or '=' such as few:4"),
    "split": _text(_NAME, "a name without spaces, commas or '=' such as test"),
    "stratum": _stratum,
    "metric": _text(_IDENTIFIER, "an identifier such as accuracy"),
    "value": _number,
    "n": _integer(1),
    "item": _text(_TEXT, "the non-empty name of a test item"),
}

"""What is claimed about fine-tuning and factual knowledge, and what of it can be proved. Never torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from theory.errors import TheoryError as TheoryError

if TYPE_CHECKING:
    from theory.records import Record as Record
    from theory.records import RecordWriter as RecordWriter
    from theory.records import read_records as read_records
    from theory.table import Table as Table
    from theory.theorems import THEOREMS as THEOREMS
    from theory.theorems.base import Theorem as Theorem
    from theory.world import World as World
    from theory.world import WorldSpec as WorldSpec
    from theory.world import make_world as make_world

_HOME = {
    "World": "theory.world",
    "WorldSpec": "theory.world",
    "make_world": "theory.world",
    "Theorem": "theory.theorems.base",
    "THEOREMS": "theory.theorems",
    "Record": "theory.records",
    "RecordWriter": "theory.records",
    "read_records": "theory.records",
    "Table": "theory.table",
}
__all__ = ["TheoryError", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'theory' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)

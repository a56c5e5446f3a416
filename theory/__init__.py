"""What is claimed about fine-tuning and factual knowledge, and what of it can be proved. Never torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.lazy import public

if TYPE_CHECKING:
    from theory.claims import CLAIMS as CLAIMS
    from theory.claims import evaluate as evaluate
    from theory.errors import TheoryError as TheoryError
    from theory.records import Record as Record
    from theory.records import RecordWriter as RecordWriter
    from theory.records import read_records as read_records
    from theory.table import Table as Table
    from theory.theorems import THEOREMS as THEOREMS
    from theory.theorems import Theorem as Theorem
    from theory.world import World as World
    from theory.world import WorldSpec as WorldSpec
    from theory.world import make_world as make_world

_HOMES = {
    "CLAIMS": "theory.claims",
    "Record": "theory.records",
    "RecordWriter": "theory.records",
    "THEOREMS": "theory.theorems",
    "Table": "theory.table",
    "Theorem": "theory.theorems",
    "TheoryError": "theory.errors",
    "World": "theory.world",
    "WorldSpec": "theory.world",
    "evaluate": "theory.claims",
    "make_world": "theory.world",
    "read_records": "theory.records",
}
__all__, __getattr__, __dir__ = public("theory", _HOMES)

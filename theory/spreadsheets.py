"""Cells of CSV files that people open in a spreadsheet, which runs what looks like a formula."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: texts that look like one get an apostrophe, numbers stay."""
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, str):
        # the csv module writes a lone \r without quotes, and what follows would begin a row
        value = value.replace("\r\n", "\n").replace("\r", "\n")
        return "'" + value if value.startswith(FORMULA) or value.lstrip().startswith(FORMULA) else value
    return "" if value is None else value


def raw(cell: str) -> str:
    """The text that `safe` wrote so."""
    text = cell[1:]
    return text if cell.startswith("'") and safe(text) == cell else cell

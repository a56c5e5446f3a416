"""Cells of CSV files that people open in a spreadsheet, which runs what looks like a formula."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: texts that look like one get an apostrophe, numbers stay."""
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, str) and (value.startswith(FORMULA) or value.lstrip().startswith(FORMULA)):
        return "'" + value
    return "" if value is None else value

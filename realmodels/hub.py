"""Datasets of a hub, by name: the one reader that may use the network, and only when it is asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.popqa import names_for
from realmodels.tables import Layout, Raw

PREFIX = "hub:"


def layout(source: str) -> Layout:
    """`hub:owner/name` (its train split) or `hub:owner/name:split`; needs the package `datasets`."""
    name, _, split = source.removeprefix(PREFIX).partition(":")
    if not name:
        raise RealmodelsError(f"{source}: expected {PREFIX}owner/name or {PREFIX}owner/name:split")
    table = _loaded(source, name, split or "train")

    def rows() -> Iterator[Raw]:
        for number, row in enumerate(table):
            try:
                json.dumps(row, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RealmodelsError(
                    f"{source}: row {number + 1} cannot be written as JSON ({error}); drop that column and save the "
                    "rest as JSON lines"
                ) from None
            yield Raw(source, 0, dict(row))

    return Layout(source, "hub", "jsonl", rows, names_for(tuple(table.column_names)))


def _loaded(source: str, name: str, split: str) -> Any:
    try:
        import datasets  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        raise RealmodelsError(
            f"{source}: reading from the hub needs the package datasets (pip install datasets); "
            "or save the rows as JSON lines and give that file"
        ) from None
    try:
        return datasets.load_dataset(name, split=split)
    except Exception as error:  # its errors have no common class, and every one means the same here
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RealmodelsError(
            f"{source}: the hub's dataset cannot be loaded: {first}; without network save it as a file first"
        ) from None

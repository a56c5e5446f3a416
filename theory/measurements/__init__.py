"""The measured tables behind the theory, as pure functions of seeds; imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theory.measurements.base import Measurement as Measurement
    from theory.measurements.catalogue import MEASUREMENTS as MEASUREMENTS
    from theory.measurements.write import write_data as write_data

_HOME = {"Measurement": "base", "MEASUREMENTS": "catalogue", "write_data": "write"}
__all__ = ["MEASUREMENTS", "Measurement", "write_data"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

"""The measured tables behind the theory, as pure functions of seeds; imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.lazy import public

if TYPE_CHECKING:
    from theory.measurements.base import Measurement as Measurement
    from theory.measurements.catalogue import MEASUREMENTS as MEASUREMENTS
    from theory.measurements.write import write_data as write_data

_HOMES = {
    "MEASUREMENTS": "theory.measurements.catalogue",
    "Measurement": "theory.measurements.base",
    "write_data": "theory.measurements.write",
}
__all__, __getattr__, __dir__ = public("theory.measurements", _HOMES)

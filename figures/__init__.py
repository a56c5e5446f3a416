"""Everything a person looks at, drawn from data files and theory alone. matplotlib; never torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.lazy import public

if TYPE_CHECKING:
    from figures.errors import FiguresError as FiguresError
    from figures.everything import draw as draw
    from figures.report import write_report as write_report
    from figures.runs import Runs as Runs
    from figures.runs import read_runs as read_runs
    from figures.style import canvas as canvas
    from figures.style import house as house
    from figures.style import save as save

_HOMES = {
    "FiguresError": "figures.errors",
    "Runs": "figures.runs",
    "canvas": "figures.style",
    "draw": "figures.everything",
    "house": "figures.style",
    "read_runs": "figures.runs",
    "save": "figures.style",
    "write_report": "figures.report",
}
__all__, __getattr__, __dir__ = public("figures", _HOMES)

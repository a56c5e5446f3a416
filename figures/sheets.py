"""A picture on paper: its title, its note, a legend where nothing is drawn, and the files that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from figures.columns import Columns, write_columns
from figures.style import DOTS, INK, QUIET, SMALL, house, save
from figures.words import packed, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tables = Mapping[str, Columns]  # the numbers behind a picture by the name of their CSV file
Sheet = tuple["Figure", Tables]
INSTANCES = 40  # on which a theorem is checked before a title states it
LONG = 72  # letters of a legend's entry at most
TITLE = 66  # letters of a line of a title
LETTERS, LINE = 88, 0.17  # of a note: letters that a line holds, inches from line to line


def head(figure: Any, title: str) -> None:
    """A title over several panels; a long one takes several lines."""
    figure.suptitle(packed(title, TITLE), x=0.01, ha="left", fontsize=10.5, fontweight="bold")


def held(finding: str, plain: str, *theorems: str) -> str:
    """The finding where the theorems' own checks hold, on a few instances; else plain words and which one is broken."""
    broken = [one for one in theorems if not _holds(one)]
    if broken:
        return f"{plain} ({', '.join(f'{one}: violated' for one in broken)})"
    return f"{finding} ({', '.join(theorems)})"


@cache
def _holds(theorem: str) -> bool:
    from theory.theorems import THEOREMS

    return THEOREMS[theorem].check(INSTANCES).holds


def note(figure: Any, text: str) -> None:
    """What is to be said under the picture: conditions, laboratory, seeds."""
    figure.supxlabel(_fitted(figure, text), fontsize=SMALL, color=QUIET)


def _fitted(figure: Any, text: str) -> str:
    """The text in lines that the paper is wide enough for; each but the first makes the picture so much higher."""
    told = packed(text, LETTERS)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + LINE * told.count("\n"))
    return told


def percent(*axes: Any) -> None:
    """Shares along these axes are told in percent."""
    from matplotlib.ticker import PercentFormatter

    for one in axes:
        one.set_major_formatter(PercentFormatter(1.0, symbol=""))


def beside(axes: Any, **more: Any) -> Any:
    """A legend right of its panel."""
    return axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title_fontsize=SMALL, **more)


def below(figure: Any, text: str, handles: Sequence[Any], ncols: int = 4) -> None:
    """A note with a legend under it, below all panels; of handles with the same label the first one is kept."""
    from matplotlib.lines import Line2D

    named: dict[str, Any] = {}
    for handle in handles:
        named.setdefault(shortened(handle.get_label(), LONG), handle)
    legend = _widest(figure, named, min(ncols, len(named)))
    legend.set_title(_fitted(figure, text), prop={"size": SMALL})
    legend.get_title().set_color(QUIET)
    legend.get_title().set_multialignment("center")
    for one in legend.legend_handles:  # marks as in the picture may be too small and pale to be told apart
        if isinstance(one, Line2D) and one.get_alpha() is not None:
            one.set_alpha(1.0)
            one.set_markersize(4.0)


def _widest(figure: Any, named: Mapping[str, Any], ncols: int) -> Any:
    """A legend in as many columns as the paper has room for, by the width that its letters have in print."""
    before = figure.get_dpi()
    figure.set_dpi(DOTS)
    renderer = figure.canvas.get_renderer()
    for columns in range(ncols, 0, -1):
        legend = figure.legend(named.values(), named, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_dpi(before)
    return legend


def handles(*panels: Any) -> list[Any]:
    """What has a label in these panels."""
    return [one for axes in panels for one in axes.get_legend_handles_labels()[0]]


def stroke(colour: str, marker: str, label: str) -> Any:
    """A line with a mark, for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, markersize=4.5, label=label)


def signs(filled: str, hollow: str, crossed: str, *, paper: bool) -> list[Any]:
    """What fills and shapes of marks mean, and the paper's number where it is drawn."""
    from matplotlib.lines import Line2D

    kinds = ((filled, "o", INK), (hollow, "o", "white"), (crossed, "X", INK))
    found = [
        Line2D([], [], color=INK, marker=marker, markerfacecolor=face, linestyle="none", label=label)
        for label, marker, face in kinds
    ]
    more = Line2D([], [], color="#B5B5B5", linewidth=5, label="the paper's number")
    return [*found, more] if paper else found


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns:
    """Rows of a table as columns."""
    return {
        name: np.array(column, object) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def kept(figure: Figure, tables: Tables, folder: Path, name: str) -> list[Path]:
    """A picture's files and those with its numbers."""
    paths = save(figure, folder, name)
    return [*paths, *(write_columns(folder / f"{key}.csv", columns) for key, columns in tables.items())]


def alone(name: str) -> Callable[[Callable[[], Sheet]], Callable[[Path], list[Path]]]:
    """A picture that needs nothing but theory: drawn in the house style and kept in a folder."""

    def make(draw: Callable[[], Sheet]) -> Callable[[Path], list[Path]]:
        @wraps(draw)
        def picture(folder: Path) -> list[Path]:
            with house():
                return kept(*draw(), folder, name)

        return picture

    return make


def from_data(name: str) -> Callable[[Callable[[Path], Sheet]], Callable[[Path, Path], list[Path]]]:
    """The same of what `python -m theory data` wrote."""

    def make(draw: Callable[[Path], Sheet]) -> Callable[[Path, Path], list[Path]]:
        @wraps(draw)
        def picture(data: Path, folder: Path) -> list[Path]:
            with house():
                return kept(*draw(data), folder, name)

        return picture

    return make

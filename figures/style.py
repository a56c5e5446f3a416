"""One look for every picture: colour-blind safe, readable at column width and in grey, sizes in text widths."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theory.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEXT_WIDTH, COLUMN_WIDTH = 6.3, 3.3  # inches
DOTS = 200  # an inch of a PNG
SMALL = 9.6  # points: the least, still 5 where a picture of the text's width is printed as wide as a column

# Okabe and Ito's palette, neighbours differing in lightness too; line styles say the same again in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
INK, QUIET = "#222222", "#6B6B6B"
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = "osD^vP"
LANES = (*COLOURS, "#444444", "#999999")  # of laboratories, of which there are more
SHAPES = "osD^vPd"  # none points sideways, as ends of intervals that go on do
HATCHES = ("", "///", "...", "xxx", "---", "\\\\\\")  # what tells bars apart in grey

KINDS: ContextVar[tuple[str, ...]] = ContextVar("kinds", default=("png", "pdf", "svg"))  # that `save` writes
_UNDATED: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.dpi": DOTS,
    "svg.hashsalt": "nameblind",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def lane(i: int) -> tuple[str, str]:
    """Colour and mark of the i-th laboratory; none of the first 56 has both in common with another."""
    return LANES[i % len(LANES)], SHAPES[i % len(SHAPES)]


@contextmanager
def house() -> Iterator[None]:
    """The house style for all that is drawn and saved inside, without touching global state."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        yield


def canvas(width: float = TEXT_WIDTH, height: float = 2.4, **grid: Any) -> tuple[Figure, Any]:
    """A figure and its axes, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**grid)


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """PNG, PDF and SVG (`KINDS`) of one figure, each written whole, with no date in it: equal data, equal files.

    >>> with house():
    ...     figure, axes = canvas(height=1.5)
    ...     _ = axes.plot([0, 1], [0, 1])
    ...     [path.name for path in save(figure, Path("out"), "mine")]
    ['mine.png', 'mine.pdf', 'mine.svg']
    """
    written = []
    before = figure.get_dpi()
    figure.set_dpi(DOTS)  # letters are as wide as they will be: at other resolutions they differ
    if engine := figure.get_layout_engine():  # once for all kinds, and again when ticks are what they will be
        engine.execute(figure)
        engine.execute(figure)
    figure.set_dpi(before)
    with _settled(figure):
        for kind in KINDS.get():
            path = folder / f"{name}.{kind}"
            with whole_file(path, "wb") as file:
                figure.savefig(file, format=kind, metadata=_UNDATED[kind])
            written.append(path)
    return written


@contextmanager
def _settled(figure: Figure) -> Iterator[None]:
    """No engine lays it out again; while there is one, even one that does nothing, every file is drawn twice."""
    import matplotlib

    figure.set_layout_engine("none")
    with matplotlib.rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
        figure.set_layout_engine(None)
        yield

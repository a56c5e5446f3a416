"""Pictures look as they did. Words are left out, and ink may move a little, so that fonts and versions do not matter.

After a wanted change: `NAMEBLIND_REFRESH=1 python -m pytest tests/figures/test_baselines.py`, then look at the images.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from figures import closed_forms, mixes, style
from tests.figures.strokes import as_kept

BASELINES = Path(__file__).parent / "baselines"
LOOSE = {"prediction": 0.003}  # a cloud of small dots, whose edges other versions draw otherwise
DPI, SHIFT = 50, 2  # pixels an inch, and how many of them ink may move
DIFFERS, MOST = 0.05, 0.0006  # in grey (0 to 1), and the share of the picture that may differ by more


def rendered(figure):
    """Grey (height, width) in [0, 1] of the data alone: no words, no legends, panels where the grid has them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    hidden = [one for one in figure.findobj(lambda one: isinstance(one, Text | Legend)) if one.get_visible()]
    loose = [axes for axes in figure.axes if axes.get_subplotspec() is None]  # colour bars
    places = {axes: axes.get_position(original=True) for axes in figure.axes}
    before = figure.get_dpi()
    try:
        for one in (*hidden, *loose):
            one.set_visible(False)
        for axes in places:
            if axes not in loose:
                axes.set_position(axes.get_subplotspec().get_position(figure))
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    finally:
        figure.set_dpi(before)
        for one in (*hidden, *loose):
            one.set_visible(True)
        for axes, place in places.items():
            axes.set_position(place)
    return blurred(pixels @ (0.299, 0.587, 0.114))


def blurred(grey):
    padded = np.pad(grey, 1, mode="edge")
    rows, columns = grey.shape
    return sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9


def apart(one, other):
    """Share of the pixels of either picture that have no like within the shift in the other one."""
    if one.shape != other.shape:
        return 1.0
    return max(_lacking(one, other), _lacking(other, one))


def _lacking(one, other):
    rows, columns = one.shape
    padded = np.pad(other, SHIFT, mode="edge")
    off = np.full(one.shape, np.inf)
    for i in range(2 * SHIFT + 1):
        for j in range(2 * SHIFT + 1):
            np.minimum(off, np.abs(one - padded[i : i + rows, j : j + columns]), out=off)
    return float((off > DIFFERS).mean())


def read(path):
    from matplotlib.image import imread

    return imread(path)[..., 0].astype(float)


def write(path, grey):
    from matplotlib.image import imsave

    path.parent.mkdir(exist_ok=True)
    imsave(path, np.clip(grey, 0, 1), cmap="gray", vmin=0, vmax=1, pil_kwargs={"optimize": True})


REFRESH = bool(os.environ.get("NAMEBLIND_REFRESH"))


@pytest.fixture(scope="module")
def pictures(drawings):
    return {name: rendered(one.figure) for name, one in drawings.items()}


@as_kept
def test_every_picture_looks_as_it_did(pictures):
    if REFRESH:
        for path in BASELINES.glob("*.png"):
            path.unlink()
        for name, grey in pictures.items():
            write(BASELINES / f"{name}.png", grey)
    assert {path.stem for path in BASELINES.glob("*.png")} == set(pictures)
    off = {name: apart(grey, read(BASELINES / f"{name}.png")) for name, grey in pictures.items()}
    assert {name: share for name, share in off.items() if share > LOOSE.get(name, MOST)} == {}


def test_baselines_are_small():
    assert sum(path.stat().st_size for path in BASELINES.glob("*.png")) < 600_000


@pytest.mark.parametrize("family", ["DejaVu Serif", "DejaVu Sans Mono"])
def test_another_font_looks_the_same(pictures, catch, many_runs, tmp_path, monkeypatch, family):
    monkeypatch.setitem(style._RC, "font.family", family)
    drawn = catch(lambda: [*mixes.fitting(many_runs, tmp_path), *closed_forms.threshold(tmp_path)])
    assert [one.name for one in drawn] == ["fitting-synthetic-R2-2layer", "threshold"]
    for one in drawn:
        assert apart(rendered(one.figure), pictures[one.name]) <= MOST


@pytest.mark.parametrize(
    "name", ["fitting-synthetic-R2-2layer", "trajectories-synthetic-R2-2layer", "threshold", "hump"]
)
def test_a_line_that_is_gone_or_elsewhere_is_seen(drawings, pictures, name):
    for axes in drawings[name].figure.axes:
        for line in [line for line in axes.lines if len(line.get_xdata()) > 20]:
            line.set_visible(False)
            assert apart(rendered(drawings[name].figure), pictures[name]) > MOST, line.get_label()
            line.set_visible(True)
    line = max(drawings[name].figure.axes[0].lines, key=lambda one: len(one.get_xdata()))
    low, high = line.axes.get_ylim()
    before = line.get_ydata()
    line.set_ydata(np.asarray(before) + 0.2 * (high - low))
    assert apart(rendered(drawings[name].figure), pictures[name]) > MOST
    line.set_ydata(before)
    assert apart(rendered(drawings[name].figure), pictures[name]) == 0


def test_missing_bars_and_points_are_seen(drawings, pictures):
    for name in ("categories-synthetic-R2-2layer", "signals-synthetic-R2-2layer"):
        bars = [bar for axes in drawings[name].figure.axes for bar in axes.patches]
        tallest = max(bars, key=lambda bar: abs(bar.get_height()))
        tallest.set_visible(False)
        assert apart(rendered(drawings[name].figure), pictures[name]) > MOST
        tallest.set_visible(True)

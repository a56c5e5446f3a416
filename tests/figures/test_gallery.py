"""The pictures on the front page are those that the code draws from the numbers beside them."""

from pathlib import Path

import numpy as np
import pytest

from figures import forest
from figures.style import KINDS
from figures.theorems import PICTURES
from tests.figures.strokes import as_kept

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "figures" / "gallery"
LAB = "synthetic/results"
BOARDS = [
    ROOT / folder / "scoreboard.csv"
    for folder in ("theory/results", LAB, f"{LAB}/gentle", f"{LAB}/told", "realmodels/results")
]
COARSE = 8  # pixels of a picture that are looked at as one, so that fonts may differ


def grey(path):
    """(height, width) in [0, 1], coarse; anything that shines through would be dark."""
    from matplotlib.image import imread

    pixels = imread(path)
    if pixels.shape[2] == 4:
        pixels = pixels[..., :3] * pixels[..., 3:]
    rows, columns = (size // COARSE * COARSE for size in pixels.shape[:2])
    shade = pixels[:rows, :columns].mean(axis=2)
    return shade.reshape(rows // COARSE, COARSE, columns // COARSE, COARSE).mean(axis=(1, 3))


@as_kept
@pytest.mark.parametrize("name", ["hump", "window", "prediction", "forest"])
def test_a_picture_is_redrawn_from_what_is_kept(name, tmp_path):
    token = KINDS.set(("png",))
    try:
        path, table = (
            forest.stored(BOARDS, tmp_path) if name == "forest" else PICTURES[name](GALLERY, tmp_path)
        )
    finally:
        KINDS.reset(token)
    assert table.read_bytes() == (GALLERY / table.name).read_bytes()
    shown, drawn = grey(GALLERY / f"{name}.png"), grey(path)
    assert shown.shape == drawn.shape
    assert np.abs(shown - drawn).mean() < 0.004
    assert np.abs(shown - np.roll(drawn, 4, axis=1)).mean() > 0.01  # a shift is seen


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.png")), ids=lambda path: path.stem)
def test_pictures_stand_on_white_and_have_their_numbers_beside_them(path):
    shade = grey(path)
    assert shade[0].min() > 0.5
    assert np.quantile(shade, 0.5) > 0.95
    assert any(GALLERY.glob(f"{path.stem}*.csv"))

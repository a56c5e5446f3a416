"""The pictures on the front page are those that the code draws from the numbers beside them."""

from pathlib import Path

import numpy as np
import pytest

from figures import forest
from figures.style import KINDS
from figures.theorems import PICTURES
from tests.figures.conftest import Drawn
from tests.figures.letters import in_the_way, smallest, words
from tests.figures.strokes import as_kept, differences, drawn, told
from tests.house import ladder

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "figures" / "gallery"
BOARDS = [ROOT / folder / "scoreboard.csv" for folder in ladder.BOARDS]
FORESTS = sorted(path.stem for path in GALLERY.glob("forest-*.png"))
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


@pytest.fixture(scope="module")
def forests(tmp_path_factory):
    """The committed scoreboards as forests: the figures as they are saved, and their files."""
    from matplotlib.figure import Figure

    figures, save, token = [], Figure.savefig, KINDS.set(("png",))
    folder = tmp_path_factory.mktemp("forests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Figure, "savefig", lambda one, *args, **more: figures.append(one) or save(one, *args, **more)
        )
        try:
            paths = forest.stored(BOARDS, folder)
        finally:
            KINDS.reset(token)
    names = [path.stem for path in paths[::2]]
    return {
        name: Drawn(name, figure, folder / f"{name}.csv") for name, figure in zip(names, figures, strict=True)
    }


def same_picture(path, name):
    shown, seen = grey(GALLERY / f"{name}.png"), grey(path)
    assert shown.shape == seen.shape
    assert np.abs(shown - seen).mean() < 0.004
    assert np.abs(shown - np.roll(seen, 4, axis=1)).mean() > 0.01  # a shift is seen


@as_kept
@pytest.mark.parametrize("name", ["hump", "window", "prediction"])
def test_a_picture_is_redrawn_from_what_is_kept(name, tmp_path):
    token = KINDS.set(("png",))
    try:
        path, table = PICTURES[name](GALLERY, tmp_path)
    finally:
        KINDS.reset(token)
    assert table.read_bytes() == (GALLERY / table.name).read_bytes()
    same_picture(path, name)


def test_the_forests_are_those_of_the_committed_scoreboards(forests):
    assert sorted(forests) == FORESTS
    for name, one in forests.items():
        assert one.csv.read_bytes() == (GALLERY / f"{name}.csv").read_bytes()
        assert differences(drawn(one), told(one)) == [], name


@as_kept
def test_the_forests_in_the_gallery_are_the_ones_that_are_drawn(forests):
    for name, one in forests.items():
        same_picture(one.csv.with_suffix(".png"), name)


def test_in_the_forests_of_the_committed_scoreboards_no_word_is_clipped_or_covered_and_all_can_be_read(
    forests,
):
    for name, one in forests.items():
        assert in_the_way(one.figure) == [], name
        assert smallest(one.figure) > 5, name
        assert one.figure.get_size_inches()[1] < 10.5, name
        assert not any("…" in text for text in (text.get_text() for text, _ in words(one.figure)))


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.png")), ids=lambda path: path.stem)
def test_pictures_stand_on_white_and_have_their_numbers_beside_them(path):
    shade = grey(path)
    assert shade[0].min() > 0.5
    assert np.quantile(shade, 0.5) > 0.95
    assert any(GALLERY.glob(f"{path.stem}*.csv"))

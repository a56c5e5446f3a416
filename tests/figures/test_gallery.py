"""The pictures on the front page are those that the code draws from the numbers beside them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from figures import forest
from figures.style import KINDS
from figures.theorems import PICTURES
from tests.figures.conftest import Drawn
from tests.figures.letters import in_the_way, smallest, words
from tests.figures.strokes import as_kept, differences, drawn, told
from tests.house import gallery, ladder

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "figures" / "gallery"
BOARDS = [ROOT / folder / "scoreboard.csv" for folder in ladder.BOARDS]
FORESTS = sorted(path.stem for path in GALLERY.glob("forest-*.png"))
BESIDE = {"prediction": "prediction_points"}  # numbers that have another name than the picture
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
    assert (GALLERY / f"{BESIDE.get(path.stem, path.stem)}.csv").is_file()


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.png")), ids=lambda path: path.stem)
def test_pictures_are_kept_in_few_colours(path):
    from PIL.Image import open as opened

    with opened(path) as picture:
        assert picture.mode == "P", "python -m tests.house.gallery makes it small"


def test_few_colours_look_like_many(tmp_path):
    from PIL import Image

    shades = np.linspace(0, 255, 300)
    pixels = np.stack(
        [np.tile(shades, (300, 1)), np.tile(shades[:, None], (1, 300)), np.full((300, 300), 90)], axis=-1
    )
    picture = Image.fromarray(pixels.astype(np.uint8))
    found = gallery.small(picture)
    assert found.mode == "P"
    assert len(found.getcolors()) <= gallery.COLOURS
    off = np.abs(np.asarray(found.convert("RGB")).astype(int) - pixels.astype(np.uint8).astype(int))
    assert off.mean() < 6  # all 65,000 colours; pictures have a few hundred


TINY, SMALL = ("synthetic/results", "synthetic/R2-2layer"), ("realmodels/results", "realmodels/R3-smollm2")
GENTLE = "synthetic/results/gentle", "synthetic/R2-2layer-gentle"
ALL_CONTROLS = "gap at the end without copying, unequal answer support and guessing together"
KNOWN, LOOSE = "known minus unknown", "known:by-relation minus unknown:by-relation"
LOOK = "change of attention on the subject (points)"
KEPT = [
    *[(place, "waterfall", {"series": "raw", "sets": KNOWN}, "V1", "gap at the end, all test facts")
      for place in (TINY, SMALL)],
    *[(place, "waterfall", {"series": "rest", "sets": KNOWN}, "V3", ALL_CONTROLS) for place in (TINY, SMALL)],
    (TINY, "waterfall", {"series": "raw", "sets": LOOSE}, "V2", "gap at the end, sets matched in relation alone"),
    (TINY, "mechanism", {"series": LOOK, "x": "after lesser known rows"}, "A4",
     "subject attention after lesser-known rows minus untuned"),
    (TINY, "mechanism", {"series": LOOK, "x": "after best known rows"}, "A4",
     "subject attention after best-known rows minus untuned"),
    (TINY, "plane", {"series": "coefficient: known"}, "C4", "points per unit of fitted Known share"),
    (TINY, "plane", {"series": "coefficient: unknown"}, "C4", "points per unit of fitted Unknown share"),
    *[(place, "prompts", {"series": "end", "x": "zero"}, "B1", "gap at the end") for place in (TINY, GENTLE, SMALL)],
    *[(place, "similarity-prompts", {"series": "end", "x": "4", "panel": "gap"}, "B2",
       "gap in the nearest quarter of similarity") for place in (TINY, GENTLE)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "kind", "where", "claim", "part"), KEPT, ids=lambda one: one if isinstance(one, str) else None
)
def test_a_kept_picture_has_the_numbers_of_the_kept_verdict(place, kind, where, claim, part):
    """Both come from the same records, which are not kept: mean and both ends of the interval."""
    folder, lab = place
    (one,) = (row for row in rows_of(GALLERY / f"{kind}-{lab.replace('/', '-')}.csv")
              if all(row[key] == value for key, value in where.items()))  # fmt: skip
    (told,) = (row for row in rows_of(ROOT / folder / "scoreboard.csv")
               if (row["lab"], row["claim"], row["part"]) == (lab, claim, part))  # fmt: skip
    for mine, kept in (("mean", "effect"), ("low", "low"), ("high", "high")):
        assert float(one[mine]) == pytest.approx(float(told[kept]), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("lab", [TINY, GENTLE], ids=lambda one: one[1])
def test_kept_accuracies_by_prompt_and_share_are_the_means_of_the_kept_cells(lab):
    """Every mean of the pictures whose cell is kept a seed."""
    folder, name = lab
    cells = {}
    for row in rows_of(ROOT / folder / "cells.csv"):
        if (
            row["lab"] == name
            and row["metric"] == "accuracy"
            and (row["split"], row["stratum"]) == ("test", "all")
        ):
            key = tuple(row[one] for one in ("study", "trained_on", "arm", "stop", "prompt"))
            cells.setdefault(key, {})[row["seed"]] = float(row["value"])
    seen = 0
    arms = {"known rows": ("known", "all"), "unknown rows": ("unknown", "all"), "untuned": ("none", "base")}
    for row in rows_of(GALLERY / f"prompts-{name.replace('/', '-')}.csv"):
        if row["panel"] == "accuracy":
            found = cells.get(("prompts", *arms[row["series"]], "end", row["x"]))
            seen += _agrees(row, found)
    shares = GALLERY / f"shares-{name.replace('/', '-')}.csv"
    for row in rows_of(shares) if shares.is_file() else ():
        kind = "mix" if row["series"] == "all rows" else "known-only"
        found = cells.get(("slick", f"{kind}:{float(row['x']) / 100:g}", "all", row["stop"], "zero"))
        seen += _agrees(row, found)
    assert seen >= 10


def _agrees(row, values):
    """Whether there is a cell, which then has the mean that is drawn."""
    if values is None:
        return False
    assert float(row["mean"]) == pytest.approx(100 * np.mean(list(values.values())), abs=1e-3), row
    assert int(row["n"]) == len(values)
    return True


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

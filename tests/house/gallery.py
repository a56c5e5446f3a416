"""Pictures of the gallery in few colours, a third to a half of their size: `python -m tests.house.gallery`, after new
ones were put there. Those that are small already stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from theory.files import whole_file

if TYPE_CHECKING:
    from PIL.Image import Image

GALLERY = Path(__file__).resolve().parents[2] / "figures" / "gallery"
COLOURS = 256  # with the shades between a line and its ground


def small(picture: Image) -> Image:
    """The same picture in a palette of its own, each pixel in the colour next to its own."""
    from PIL.Image import Dither, Quantize

    return picture.convert("RGB").quantize(COLOURS, Quantize.MEDIANCUT, kmeans=2, dither=Dither.NONE)


def main() -> None:
    from PIL.Image import open as opened

    for path in sorted(GALLERY.glob("*.png")):
        with opened(path) as picture:
            if picture.mode == "P":
                continue
            found, before = small(picture), path.stat().st_size
        with whole_file(path, "wb") as file:
            found.save(file, format="png", optimize=True)
        print(f"{path.name}: {before:,} to {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

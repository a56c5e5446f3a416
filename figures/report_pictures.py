"""Pictures drawn for the page and put into it: an SVG of its own, apart from the page's code, with its numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from figures import closed_forms, theorems
from figures.about import ABOUT, claims_of, kind_of
from figures.everything import of_graphs, of_runs
from figures.html import Markup, tag
from figures.runs import Runs
from figures.style import KINDS


@dataclass(frozen=True)
class Picture:
    """One drawn picture. `kind` is a key of `ABOUT`, `name` the file's stem: a kind and perhaps a laboratory."""

    kind: str
    name: str
    svg: bytes
    data: bytes

    @property
    def words(self) -> str:
        """What it shows, and of what."""
        more = _claims(self.data) if self.kind == "forest" else self.name.removeprefix(self.kind).strip("-")
        return f"{ABOUT[self.kind][0]}{f' ({more})' if more else ''}"

    def figure(self) -> Markup:
        """The picture with its words and its numbers to take away."""
        caption = f"{self.words}."
        image = tag("img", src=_uri("image/svg+xml", _short(self.svg)), alt=caption, loading="lazy")
        link = tag("a", "Numbers (CSV)", href=_uri("text/csv", self.data), download=f"{self.name}.csv")
        return tag(
            "figure",
            tag("div", image, class_="paper"),
            tag("figcaption", caption, " ", link),
            id=f"figure-{self.name}",
        )


def draw(runs: Runs, data: Sequence[Path], graphs: Sequence[Path] = ()) -> list[Picture]:
    """All that these runs, these folders of `theory data`, these graphs and theory alone can show."""
    found: list[Picture] = []
    with TemporaryDirectory() as folder, _vector_only():
        place = Path(folder)
        found += _taken(list(of_runs(runs, place)))
        for i, one in enumerate(data):
            more = _taken(theorems.draw_all(one, place))
            found += [
                replace(picture, name=f"{picture.name}-data-{i + 1}" if i else picture.name)
                for picture in more
            ]
        found += _taken(list(of_graphs(graphs, place)))
        found += _taken(closed_forms.draw_all(place))
    return found


def belonging(pictures: Sequence[Picture], key: str) -> list[Picture]:
    """The pictures that a claim or theorem shares."""
    return [picture for picture in pictures if key in claims_of(picture.name)]


def shown(pictures: Sequence[Picture], key: str) -> list[Markup]:
    """Pictures where they are at home, that is with the first of their claims; with the others a link to it."""
    out = []
    for picture in belonging(pictures, key):
        home = claims_of(picture.name)[0]
        if home == key:
            out.append(picture.figure())
        else:
            link = tag("a", picture.words, href=f"#figure-{picture.name}")
            out.append(tag("p", "See the figure at ", home, ": ", link, ".", class_="quiet"))
    return out


@contextmanager
def _vector_only() -> Iterator[None]:
    token = KINDS.set(("svg",))
    try:
        yield
    finally:
        KINDS.reset(token)


def _taken(paths: Sequence[Path]) -> list[Picture]:
    """Every SVG with the numbers of the same name, which are written after it."""
    numbers = {path.stem: path for path in paths if path.suffix == ".csv"}
    pictures = []
    for at, path in enumerate(paths):
        if path.suffix == ".svg":
            behind = numbers.get(path.stem) or next(one for one in paths[at:] if one.suffix == ".csv")
            pictures.append(Picture(kind_of(path.stem), path.stem, path.read_bytes(), behind.read_bytes()))
    return pictures


def _claims(data: bytes) -> str:
    """The claims of a forest, from the first to the last that is drawn in it."""
    rows = csv.DictReader(data.decode("utf-8").splitlines())
    found = [row["claim"] for row in rows if row["mean"]]
    return " to ".join(dict.fromkeys((found[0], found[-1])))


def _uri(kind: str, content: bytes) -> str:
    """Text as an address, a third shorter than in base64."""
    return f"data:{kind};charset=utf-8,{quote(content, safe=_PLAIN)}"


def _short(svg: bytes) -> bytes:
    """The same picture to a thousandth of a point, without line breaks."""
    return re.sub(rb"(\.\d{3})\d+", rb"\1", re.sub(rb"\s*\n\s*", b" ", svg))


_PLAIN = " /:;=,()@!$*?+[]{}|"  # what needs no escape in an address nor in an attribute

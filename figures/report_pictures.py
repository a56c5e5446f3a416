"""Pictures drawn for the page and put into it: an SVG of its own, apart from the page's code, with its numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import closed_forms, findings, theorems
from figures.forest import forest
from figures.html import Markup, tag
from figures.runs import Runs
from figures.style import KINDS

# What each picture shows, for those who cannot see it, and the claims or theorems that it belongs to.
ABOUT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "forest": ("Every claim's first deciding effect with its interval in every laboratory", ()),
    "trajectories": (
        "Held-out accuracy while tuning on the best known, lesser known, random and whole sets",
        ("A1", "A2", "A7", "U3"),
    ),
    "mechanism": (
        "Attention on the subject before and after tuning, and accuracy once parts are swapped",
        ("A4", "X3"),
    ),
    "fitting": ("Known and Unknown rows being fitted, and held-out accuracy meanwhile", ("C2", "C3")),
    "shares": (
        "Held-out accuracy against the share of Unknown rows, at the early stop and at the end",
        ("C1", "C4", "C7"),
    ),
    "categories": ("Accuracy after tuning on one category of rows, by category of test fact", ("C6",)),
    "waterfall": ("The gap, less copying, less answer support, less guessing", ("V1", "V2", "V3")),
    "threshold": ("Threshold of salience against attention, for answers of four ranks", ("T2",)),
    "calibration": ("Mean slope of the loss against the relation token's confidence", ("T4",)),
    "hump": ("Pull of one fact on attention against its salience", ("T6", "T2", "X1")),
    "accuracy-law": (
        "Held-out accuracy against log-odds of attention, a distribution function",
        ("T8'", "T8"),
    ),
    "prediction": ("Predicted against simulated accuracy of random configurations", ("T8'",)),
    "phase": ("Change of accuracy by share of unknown facts and salience, with the critical share", ("T9",)),
    "window": (
        "Gap of accuracy and of attention against fine-tuning steps in the one-layer model",
        ("T7'", "A1"),
    ),
    "second-hop": ("Graphs in which a prompt lets only one of two models reach a second pair", ("K4",)),
    "monofacts": ("Error of the ideal memoriser against the share of facts seen once", ()),
}


@dataclass(frozen=True)
class Picture:
    """One drawn picture. `kind` is a key of `ABOUT`, `name` the file's stem (a kind, and perhaps a laboratory)."""

    kind: str
    name: str
    svg: bytes
    data: bytes

    def figure(self) -> Markup:
        """The picture with its words and its numbers to take away."""
        words = ABOUT[self.kind][0]
        lab = self.name.removeprefix(self.kind).strip("-")
        caption = f"{words}{f' ({lab})' if lab else ''}."
        image = tag("img", src=_uri("image/svg+xml", self.svg), alt=caption, loading="lazy")
        link = tag("a", "Numbers (CSV)", href=_uri("text/csv", self.data), download=f"{self.name}.csv")
        return tag(
            "figure",
            tag("div", image, class_="paper"),
            tag("figcaption", caption, " ", link),
            id=f"figure-{self.name}",
        )


def draw(runs: Runs, data: Sequence[Path]) -> list[Picture]:
    """All that these runs, these folders of `theory data` and theory alone can show."""
    found: list[Picture] = []
    with TemporaryDirectory() as folder, _vector_only():
        place = Path(folder)
        makers = {"forest": forest, **findings.PICTURES}
        for kind, make in makers.items():
            found += _taken(kind, make(runs, place))
        for one in data:
            for kind, of_data in theorems.PICTURES.items():
                found += _taken(kind, of_data(one, place))
        for kind, alone in closed_forms.PICTURES.items():
            found += _taken(kind, alone(place))
    return list(
        {picture.name: picture for picture in found}.values()
    )  # two runs of a laboratory share a name


def belonging(pictures: Sequence[Picture], key: str) -> list[Picture]:
    """The pictures that a claim or theorem shares."""
    return [picture for picture in pictures if key in ABOUT[picture.kind][1]]


def shown(pictures: Sequence[Picture], key: str) -> list[Markup]:
    """Pictures where they are at home, that is with the first of their claims; with the others a link to it."""
    out = []
    for picture in belonging(pictures, key):
        if ABOUT[picture.kind][1][0] == key:
            out.append(picture.figure())
        else:
            home = ABOUT[picture.kind][1][0]
            link = tag("a", ABOUT[picture.kind][0], href=f"#figure-{picture.name}")
            out.append(tag("p", "See the figure at ", home, ": ", link, ".", class_="quiet"))
    return out


@contextmanager
def _vector_only() -> Iterator[None]:
    token = KINDS.set(("svg",))
    try:
        yield
    finally:
        KINDS.reset(token)


def _taken(kind: str, paths: Sequence[Path]) -> list[Picture]:
    numbers = {path.stem: path for path in paths if path.suffix == ".csv"}
    alone = next(iter(numbers.values()), None)
    return [
        Picture(kind, path.stem, path.read_bytes(), (numbers.get(path.stem) or alone).read_bytes())  # type: ignore[union-attr]
        for path in paths
        if path.suffix == ".svg"
    ]


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

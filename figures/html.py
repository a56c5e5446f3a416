"""HTML made so that nothing can get into it unescaped: text is escaped unless this file made it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape

VOID = frozenset({"br", "img", "input", "meta"})
_MARK = re.compile(r"\{\{(\w+)\}\}")
_GREEK = {"Delta": "Δ", "sigma": "σ", "alpha": "α", "theta": "θ", "tau": "τ", "delta": "δ", "beta": "β"}
_GREEK |= {"phi": "φ", "pi": "π", "rho": "ρ"}
_LETTER = re.compile(rf"(?<![A-Za-z])({'|'.join(_GREEK)})(?![A-Za-z])")
_MEETS, _JOINS = (re.compile(rf"(?<=[A-Z)]) {letter} (?=[A-Z(])") for letter in "nu")
_INDEX = re.compile(r"((?<![A-Za-z])[A-Za-zα-ωΔ]|\))_([A-Za-z]{1,3}|\d)(?![A-Za-z_])")


class Markup(str):
    """A piece of HTML."""

    __slots__ = ()


Child = str | int | None


def tag(name: str, *children: Child | Iterable[Child], **attributes: object) -> Markup:
    """An element. `class_` is class, `aria_label` is aria-label; True is an empty attribute, None and False none."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        plain = key.rstrip("_").replace("_", "-")
        words.append(plain if value is True else f'{plain}="{escape(str(value))}"')
    opening = f"<{' '.join(words)}>"
    return Markup(opening if name in VOID else f"{opening}{joined(*children)}</{name}>")


def joined(*children: Child | Iterable[Child]) -> Markup:
    """Pieces one after the other, those that are not `Markup` escaped, None left out."""
    found: list[str] = []
    for child in children:
        if isinstance(child, Markup):
            found.append(child)
        elif isinstance(child, str | int):
            found.append(escape(str(child)))
        elif child is not None:
            found.append(joined(*child))
    return Markup("".join(found))


def filled(template: str, pieces: Mapping[str, str]) -> str:
    """The template with every {{name}} replaced, in one pass, so that a piece's own braces are left alone."""
    return _MARK.sub(lambda match: pieces[match[1]], template)


def table(
    head: Iterable[Child], rows: Iterable[Iterable[Child]], caption: str, **attributes: object
) -> Markup:
    """A table in a box that scrolls sideways; the first cell of a row is its header."""
    columns = [tag("th", cell, scope="col") for cell in head]
    body = []
    for row in rows:
        first, *rest = row
        body.append(tag("tr", tag("th", first, scope="row"), [tag("td", cell) for cell in rest]))
    inner = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", columns)),
        tag("tbody", body),
        **attributes,
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def identifier(text: str) -> str:
    """A fragment that an address can carry: T7' is T7p."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", text.replace("'", "p")).strip("-")


def prose(text: str) -> Markup:
    """Plain words with the signs that a terminal spells out: Greek letters, comparisons, sets, subscripts."""
    text = _LETTER.sub(lambda match: _GREEK[match[1]], text).replace("<=", "≤").replace(">=", "≥")
    text = _MEETS.sub(" ∩ ", _JOINS.sub(" ∪ ", text)).replace(" xor ", " △ ").replace(" - ", " − ")
    marked = _INDEX.sub(r"\1<sub>\2</sub>", escape(text))
    return Markup(re.sub(r"(?<=[A-Za-z])_(?=[A-Za-z\d])", " ", marked))

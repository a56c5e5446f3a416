"""A theorem's LaTeX as MathML, which browsers draw and screen readers speak without anything loaded."""

from __future__ import annotations

import re

from figures.errors import FiguresError
from figures.html import Markup

_PARAGRAPH = re.compile(r"\n\s*\n")
_NAMES = {  # what the converter does not know, or sets too tightly
    r"\arg\min": r"\operatorname{argmin}",
    r"\iff": r"\;\iff\;",
}


def formulas(latex: str) -> list[Markup]:
    """One displayed formula a paragraph."""
    return [_formula(" ".join(part.split())) for part in _PARAGRAPH.split(latex.strip()) if part.strip()]


def _formula(latex: str) -> Markup:
    from latex2mathml.converter import convert

    for name, known in _NAMES.items():
        latex = latex.replace(name, known)
    try:
        found = convert(latex, display="block")
    except Exception as error:
        raise FiguresError(f"formula {latex!r}: it cannot be turned into MathML: {error!r}") from None
    if left := re.search(r"\\[A-Za-z]+", found):
        raise FiguresError(f"formula {latex!r}: {left[0]} has no MathML; write it with other commands")
    return Markup(found)

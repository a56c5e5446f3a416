"""Text into sentences: no break behind an abbreviation, an initial or a number, or inside quotation marks."""

from __future__ import annotations

import re

from realmodels.bios_words import words_of

_MARKS = re.compile(r"\s*\[\d+\](?:\[\d+\])*")  # [1][2], references
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_END = re.compile(r"([.!?]+[\"'”’)\]]*)(\s+)(?=[\"'“‘(\[]?[A-Z0-9À-Þ])")
_NEVER_LAST = words_of(
    "mr mrs ms dr prof st rev hon gen col capt lt sgt maj adm gov sen rep pres vs no vol"
)  # a name or number follows
_ABBREVIATED = _NEVER_LAST | words_of(
    "sr jr v op ft mt inc ltd co corp bros ph.d m.d b.a m.a b.sc m.sc d.c u.s u.k e.g i.e c ca approx feat ed eds "
    "jan feb mar apr jun jul aug sept sep oct nov dec"
)
_OPENERS = words_of("he she they it his her their its the in on at as after before during")


def clean(text: str) -> str:
    """Without reference marks, one space between words."""
    return " ".join(_MARKS.sub("", text).split())


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, in order; a line break always ends one."""
    found: list[str] = []
    for line in text.split("\n"):
        line = clean(_BULLET.sub("", line))
        start = 0
        for end in _END.finditer(line):
            if _ends(line[start : end.end(1)], line[end.end(2) :], end[1]):
                found.append(line[start : end.end(1)])
                start = end.end(2)
        found.append(line[start:])
    return tuple(sentence.strip() for sentence in found if any(map(str.isalnum, sentence)))


def _ends(before: str, after: str, mark: str) -> bool:
    """Whether a sentence ends behind `before`."""
    if before.count('"') % 2 or before.count("“") > before.count("”"):
        return False  # inside a quotation
    if mark.strip("\"'”’)]") != ".":
        return True
    last = before[: len(before) - len(mark)].rsplit(" ", 1)[-1].strip("\"'“‘(").lower()
    follows = after.split(" ", 1)[0].strip("\"'“‘(.,").lower()
    if last == "no" and not follows[:1].isdigit():
        return True
    if last in _NEVER_LAST:
        return False
    if last in _ABBREVIATED or re.fullmatch(r"(?:[a-zà-þ]\.)*[a-zà-þ]", last):
        return (
            follows in _OPENERS
        )  # Jr., U.S. and initials may end a sentence if what follows surely begins one
    return True

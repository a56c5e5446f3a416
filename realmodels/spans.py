"""Where in a question its subject stands."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

_PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2010": "-", "\u2011": "-"}
)


def subject_span(question: str, subject: str) -> tuple[int, int] | None:
    """(start, end) in characters of the question, or None if the subject is not in it.

    As written is looked for before other case, accents, Unicode forms, spaces, quotes and hyphens; whole
    words before parts of words. Of several places the last counts, for questions open with their own words.
    """
    if not subject.strip():
        return None
    parts: list[tuple[int, int]] = []
    for text, origins, wanted in _readings(question, subject.strip()):
        found = _find(text, origins, wanted, question)
        if whole := [span for span in found if _whole(question, span)]:
            return whole[-1]
        parts = parts or found
    return parts[-1] if parts else None


def _readings(question: str, subject: str) -> Iterator[tuple[str, Sequence[int], str]]:
    """What to look in, where its characters come from, and what to look for: as written, then folded."""
    yield question, range(len(question)), subject
    folded, origins = _folded(question)
    yield folded, origins, _folded(subject)[0]


def _find(text: str, places: Sequence[int], wanted: str, question: str) -> list[tuple[int, int]]:
    """Every place of `wanted` in `text`, as spans of the question; `places[i]` is the origin of `text[i]`."""
    found: list[tuple[int, int]] = []
    at = text.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        splits_start = at > 0 and places[at - 1] == places[at]
        splits_end = end < len(text) and places[end] == places[end - 1]
        if not splits_start and not splits_end:
            stop = places[end - 1] + 1
            while stop < len(question) and unicodedata.combining(question[stop]):
                stop += 1
            found.append((places[at], stop))
        at = text.find(wanted, at + 1)
    return found


def _whole(question: str, span: tuple[int, int]) -> bool:
    before, after = question[span[0] - 1 : span[0]], question[span[1] : span[1] + 1]
    return not before.isalnum() and not after.isalnum()


@lru_cache(maxsize=1 << 12)
def _folded(text: str) -> tuple[str, tuple[int, ...]]:
    """The text without case, accents and differences of form, and the origin of each of its characters."""
    pieces: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text.translate(_PLAIN)):
        if character.isspace():
            folded = "" if pieces and pieces[-1] == " " else " "
        else:
            apart = unicodedata.normalize("NFKD", character).casefold()
            folded = "".join(c for c in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(c))
        pieces += folded
        places += [place] * len(folded)
    return "".join(pieces), tuple(places)

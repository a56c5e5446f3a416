"""Made-up names: pronounceable, unique, a pure function of a number, so they cost nothing until asked for.

Words of different kinds end differently and so never coincide. Names of two or three words share words:
`reuse ** 2` neighbours stand on a square grid, the first word is for the row, the second for the column, a
third for the diagonal. A word belongs to `reuse` names, no single word tells which, the first two always do.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["subject", "answer", "relation", "type"]

_SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
_ENDINGS: dict[Kind, tuple[str, ...]] = {
    "subject": ("l", "m", "n", "r", "s"),
    "answer": ("",),
    "relation": ("v",),
    "type": ("x",),
}
_STRIDE = 9_973  # prime to the number of words of every length: neighbouring numbers get unlike words


def word(kind: Kind, number: int) -> str:
    """The `number`-th word of a kind in lower case: two syllables as long as they last, then three, ..."""
    endings = _ENDINGS[kind]
    syllables, size = 2, len(_SYLLABLES) ** 2 * len(endings)
    while number >= size:
        number -= size
        syllables, size = syllables + 1, size * len(_SYLLABLES)
    number, last = divmod(number * _STRIDE % size, len(endings))
    stem = ""
    for _ in range(syllables):
        number, here = divmod(number, len(_SYLLABLES))
        stem = _SYLLABLES[here] + stem
    return stem + endings[last]


def words(
    kind: Kind, slot: int, counts: tuple[int, ...], reuse: int, *, start: int = 0, step: int = 1
) -> tuple[str, ...]:
    """The words of the name in place `slot` of a group of names.

    The group owns the numbers start, start + step, ...; groups without a common number share no word.
    Word counts are taken in turn from `counts`.
    """
    turn = slot % len(counts)
    count, place = counts[turn], slot // len(counts)
    anchors = (place,) if count == 1 else _anchors(place, reuse)[:count]
    numbers = (start + step * (anchor * len(counts) + turn) for anchor in anchors)
    return tuple(word(kind, 3 * number + position).capitalize() for position, number in enumerate(numbers))


def _anchors(place: int, reuse: int) -> tuple[int, int, int]:
    """The names of the grid after which the row, the column and the diagonal of `place` are called."""
    corner = place - place % reuse**2
    row, column = divmod(place - corner, reuse)
    return corner + row * reuse, corner + column, corner + (row + column) % reuse

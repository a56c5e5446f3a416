"""Does an answer repeat a word of its subject, so that copying could pass for knowledge?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Words that two names may share without one giving the other away, and the words that questions are made of.
# English, with the particles that are common inside names.
_QUESTIONS = (
    "are as be did do does for from had has have how is it its that their this was were what when where \
which who whom whose why with"
)
_PARTICLES = (
    "a al an and at by da das de del della der des di do dos du e el et in into la las le les los of on or \
the to und van von y"
)
STOP_WORDS = frozenset(f"{_QUESTIONS} {_PARTICLES}".split())
_WORD = re.compile(r"[^\W_]+")


def overlaps(subject_or_question: str, answers: Sequence[str]) -> bool:
    """Whether any answer shares a word with the subject (without one: with the question).

    Words are runs of letters and digits, without case and accents. Stop words never count, nor single letters
    (initials, the s of a genitive); every other word does, however short ("U2"). Inflected forms are other
    words ("Harari" is not "Harar"), and a script without spaces between words is compared run by run.
    """
    said = words(subject_or_question)
    return any(not said.isdisjoint(words(answer)) for answer in answers)


@lru_cache(maxsize=1 << 14)
def words(text: str) -> frozenset[str]:
    """The words that count; if none does, all of them, so that a name of stop words is still a name."""
    apart = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in apart if not unicodedata.combining(c)).casefold()
    found = frozenset(_WORD.findall(plain))
    counted = frozenset(w for w in found if w not in STOP_WORDS and not (len(w) == 1 and w.isalpha()))
    return counted or found

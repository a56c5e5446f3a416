"""When does a prediction say the answer? One rule a name, so that every score can tell which rule it used."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from theory.errors import TheoryError

Matcher = Callable[[str, Sequence[str]], bool]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def match(prediction: str, aliases: Sequence[str], matcher: str = "exact") -> bool:
    """Whether the prediction says any of the accepted answers, by the named rule of `MATCHERS`.

    Nothing matches an empty prediction, and blank aliases match nothing.
    """
    if matcher not in MATCHERS:
        raise TheoryError(f"matcher: unknown rule '{matcher}'; known are {', '.join(MATCHERS)}")
    answers = accepted(aliases)
    return bool(prediction.strip()) and MATCHERS[matcher](prediction, answers)


def accepted(aliases: Sequence[str]) -> tuple[str, ...]:
    """The aliases that are not blank; at least one is needed."""
    if isinstance(aliases, str):
        raise TheoryError(
            f"matcher: the answers are one string, {aliases[:40]!r}; give a list (PopQA has JSON text)"
        )
    answers = tuple(alias for alias in aliases if alias.strip())
    if not answers:
        raise TheoryError(
            "matcher: no accepted answer given; a question needs at least one that is not blank"
        )
    return answers


def first_line(text: str) -> str:
    """The first line that is not blank, stripped."""
    return text.strip().split("\n", 1)[0].strip()


@lru_cache(maxsize=1 << 14)
def normalize(text: str) -> str:
    """SQuAD's form: lower case, no punctuation, no articles, single spaces; Unicode punctuation goes too.

    A text that consists of nothing else ("The The", "!!!") keeps its lower-cased self instead of becoming
    empty.
    """
    low = " ".join(unicodedata.normalize("NFC", text).lower().split())
    bare = "".join(c for c in low if c not in _PUNCTUATION and not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", bare).split()) or low


def token_f1(prediction: str, aliases: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the words of the normalised texts; the best alias counts."""
    return max(_f1(normalize(prediction).split(), normalize(alias).split()) for alias in accepted(aliases))


def _f1(said: list[str], meant: list[str]) -> float:
    common = sum((Counter(said) & Counter(meant)).values())
    return 2.0 * common / (len(said) + len(meant)) if common else 0.0


def _exact(prediction: str, answers: Sequence[str]) -> bool:
    return prediction.strip() in {answer.strip() for answer in answers}


def _first_line(prediction: str, answers: Sequence[str]) -> bool:
    return _exact(first_line(prediction), answers)


def _normalized(prediction: str, answers: Sequence[str]) -> bool:
    return normalize(prediction) in set(map(normalize, answers))


def _contains(prediction: str, answers: Sequence[str]) -> bool:
    line = first_line(prediction)
    return any(form in line for answer in answers for form in (answer, answer.lower(), answer.capitalize()))


def _half_f1(prediction: str, answers: Sequence[str]) -> bool:
    return token_f1(prediction, answers) >= 0.5


MATCHERS: Mapping[str, Matcher] = {
    "exact": _exact,  # as written, but for white space around it
    "first_line": _first_line,  # `exact` on the first line
    "normalized": _normalized,  # equal in SQuAD's form
    "contains": _contains,  # PopQA's: an alias, as written, lower-cased or capitalised, in the first line
    "f1": _half_f1,  # token F1 of at least one half
}

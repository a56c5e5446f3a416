"""Two lists of claims held against each other: which say the same, told by the words they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theory.matching import normalize

SAME = 0.7  # token F1 from which two claims count as one
_PERSON = frozenset(("he", "she", "they", "it", "his", "her", "their", "him", "them", "its", "s"))


@dataclass(frozen=True)
class Pairs:
    """Claims matched one to one: place in the first list, place in the second."""

    pairs: tuple[tuple[int, int], ...]
    first: int
    second: int

    @property
    def precision(self) -> float:
        """Share of the first list that is in the second."""
        return len(self.pairs) / self.first if self.first else float("nan")

    @property
    def recall(self) -> float:
        return len(self.pairs) / self.second if self.second else float("nan")


def content(claim: str, name: str) -> Counter[str]:
    """The words of a claim in SQuAD's form, without its person's name and pronouns (all if no others are left)."""
    form = normalize(claim)
    drop = _PERSON | set(normalize(name).split())
    return Counter(word for word in form.split() if word not in drop) or Counter(form.split())


def likeness(first: Sequence[Counter[str]], second: Sequence[Counter[str]]) -> NDArray[np.float64]:
    """[first, second] token F1."""
    words = {word: i for i, word in enumerate(dict.fromkeys(w for claim in (*first, *second) for w in claim))}
    one, two = (_counts(claims, words) for claims in (first, second))
    common = np.zeros((len(first), len(second)))
    most = int(max(one.max(initial=0), two.max(initial=0)))
    for level in range(1, most + 1):  # min(a, b) = how many levels both reach
        common += (one >= level).astype(np.float64) @ (two >= level).astype(np.float64).T
    total = one.sum(axis=1)[:, None] + two.sum(axis=1)[None, :]
    return np.asarray(2 * common / np.maximum(total, 1))


def paired(first: Sequence[str], second: Sequence[str], name: str, same: float = SAME) -> Pairs:
    """The one-to-one matching of greatest total likeness, without pairs that are less than `same` alike."""
    from scipy.optimize import linear_sum_assignment

    alike = likeness([content(claim, name) for claim in first], [content(claim, name) for claim in second])
    alike = np.where(alike >= same, alike, 0.0)
    rows, columns = linear_sum_assignment(-alike)
    found = tuple((int(i), int(j)) for i, j in zip(rows, columns, strict=True) if alike[i, j] > 0)
    return Pairs(found, len(first), len(second))


def support_by(claims: Sequence[str], facts: Sequence[str], name: str) -> NDArray[np.float64]:
    """[claims] the likeness of each claim to the fact that is most like it; 0 without facts."""
    if not facts or not claims:
        return np.zeros(len(claims))
    told = likeness([content(claim, name) for claim in claims], [content(fact, name) for fact in facts])
    return np.asarray(told.max(axis=1))


def _counts(claims: Sequence[Counter[str]], words: dict[str, int]) -> NDArray[np.int64]:
    found = np.zeros((len(claims), len(words)), np.int64)
    for i, claim in enumerate(claims):
        for word, count in claim.items():
            found[i, words[word]] = count
    return found

"""What would guessing get? Accuracy if every greedy answer were held against another row's accepted answers.

The exact expectation over all other rows of the relation; nothing is drawn. A row is not held against itself, or
knowledge would count as guessing in small relations.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from theory.matching import accepted, first_line, match, normalize

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def guessed(said: Sequence[str], answers: Sequence[Sequence[str]], matcher: str) -> float | None:
    """The mean of match(said[i], answers[k]) over i != k; None with fewer than two rows."""
    n = len(said)
    if n < 2:
        return None
    hits = _hits(said, answers, matcher)
    own = sum(match(text, row, matcher) for text, row in zip(said, answers, strict=True))
    return (hits - own) / (n * (n - 1))


def dominant(said: Iterable[str], most: int = 2) -> tuple[str, ...]:
    """The commonest greedy answers in SQuAD's form, ties by the alphabet; blank ones never count."""
    counts = Counter(normalize(first_line(text)) for text in said if text.strip())
    return tuple(answer for answer, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])


def is_dominant(answers: Sequence[str], top: Sequence[str]) -> bool:
    """Whether an accepted answer is one of the commonest greedy answers."""
    return any(normalize(answer) in top for answer in answers)


def _hits(said: Sequence[str], answers: Sequence[Sequence[str]], matcher: str) -> int:
    """How many of all n x n pairs match. Texts are held as hashes of their forms alone."""
    of_answer, of_said = _FORMS[matcher]
    different, owners = _counted(hash(accepted(row)) for row in answers)
    forms, rows = array("q"), array("i")
    for k, i in enumerate(different.tolist()):
        for form in {form for answer in accepted(answers[i]) for form in of_answer(answer)}:
            forms.append(hash(form))
            rows.append(k)
    order = np.argsort(forms, kind="stable")
    held, owner = np.array(forms, np.int64)[order], np.array(rows, np.int32)[order]
    total = 0
    for i, count in zip(*map(np.ndarray.tolist, _counted(map(hash, said))), strict=True):
        text = said[i]
        if not text.strip():
            continue
        wanted = np.fromiter(map(hash, of_said(text)), np.int64)
        low, high = (np.searchsorted(held, wanted, side) for side in SIDES)
        met = np.unique(np.concatenate([owner[:0], *(owner[a:b] for a, b in zip(low, high, strict=True))]))
        if matcher in _LAST:
            right = (match(text, answers[int(different[k])], matcher) for k in met)
            met = met[np.fromiter(right, bool, len(met))]
        total += count * int(owners[met].sum())
    return total


def _counted(hashes: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each different one stands first, and how often it stands there."""
    _, first, times = np.unique(np.array(array("q", hashes)), return_index=True, return_counts=True)
    return first, times


def _pieces(text: str) -> Iterable[str]:
    line = first_line(text)
    return {line[a:b] for a in range(len(line)) for b in range(a + 1, len(line) + 1)}


_Forms = Callable[[str], Iterable[Hashable]]
# matcher -> the forms of an accepted answer, and those of a said one that it must meet
_FORMS: dict[str, tuple[_Forms, _Forms]] = {
    "exact": (lambda answer: (answer.strip(),), lambda text: (text.strip(),)),
    "first_line": (lambda answer: (answer.strip(),), lambda text: (first_line(text),)),
    "normalized": (lambda answer: (normalize(answer),), lambda text: (normalize(text),)),
    "contains": (lambda answer: (answer, answer.lower(), answer.capitalize()), _pieces),
    "f1": (lambda answer: normalize(answer).split(), lambda text: normalize(text).split()),
}
_LAST = ("f1",)  # here a shared form is needed and not enough

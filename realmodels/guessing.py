"""What would guessing get? Accuracy if every greedy answer were held against another row's accepted answers.

The exact expectation over all other rows of the relation; nothing is drawn. A row is not held against itself, or
knowledge would count as guessing in small relations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from theory.matching import accepted, first_line, match, normalize


def guessed(said: Sequence[str], answers: Sequence[Sequence[str]], matcher: str) -> float | None:
    """The mean of match(said[i], answers[k]) over i != k; None with fewer than two rows."""
    n = len(said)
    if n < 2:
        return None
    sets = [accepted(row) for row in answers]
    hits = _hits(said, sets, matcher)
    own = sum(match(text, row, matcher) for text, row in zip(said, sets, strict=True))
    return (hits - own) / (n * (n - 1))


def dominant(said: Sequence[str], most: int = 2) -> tuple[str, ...]:
    """The commonest greedy answers in SQuAD's form, ties by the alphabet; blank ones never count."""
    counts = Counter(normalize(first_line(text)) for text in said if text.strip())
    return tuple(answer for answer, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])


def is_dominant(answers: Sequence[str], top: Sequence[str]) -> bool:
    """Whether an accepted answer is one of the commonest greedy answers."""
    return any(normalize(answer) in top for answer in answers)


def _hits(said: Sequence[str], sets: Sequence[tuple[str, ...]], matcher: str) -> int:
    """How many of all n x n pairs match."""
    times = Counter(said)
    if matcher not in _FORMS:
        owners = Counter(sets)
        return sum(
            a * b * match(text, row, matcher) for text, a in times.items() for row, b in owners.items()
        )
    of_answer, of_said = _FORMS[matcher]
    rows: dict[Hashable, set[int]] = defaultdict(set)
    for k, row in enumerate(sets):
        for form in {form for answer in row for form in of_answer(answer)}:
            rows[form].add(k)
    total = 0
    for text, count in times.items():
        if text.strip():
            found: set[int] = set()
            for form in of_said(text):
                found |= rows.get(form, set())
            total += count * len(found)
    return total


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
}

"""Fine-tuning rows: questions about facts, with the answers that are taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from synthetic.answers import ABSTAIN
from synthetic.asking import asked
from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.packing import Documents
from synthetic.prompts import Asked

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rows:
    """A training set under its name in the vocabulary (`trained_on`)."""

    name: str
    facts: Ints  # (n,)
    answers: Ints  # (n,) answers taught, ABSTAIN for the abstention
    known: Flags  # (n,) in a category other than Unknown before tuning
    notes: Mapping[str, float] = field(default_factory=dict)  # what was not as asked for; see `select`

    def __post_init__(self) -> None:
        if not len(self.facts) == len(self.answers) == len(self.known):
            raise SyntheticError(f"rows {self.name!r}: facts, answers and flags differ in number")
        if not len(self.facts):
            raise SyntheticError(f"rows {self.name!r}: none is left; the world is too small for this set")

    def __len__(self) -> int:
        return len(self.facts)


def ask_rows(base: Base, rows: Rows) -> Asked:
    """The rows as questions with the answers that they teach."""
    questions = asked(base, rows.facts)
    abstention = (base.vocabulary.ids[base.setup.abstention],)
    taught = tuple(abstention if a == ABSTAIN else base.names.answers[a] for a in rows.answers.tolist())
    return replace(questions, answers=taught)


def documents(base: Base, rows: Rows) -> Documents:
    """A document a row; only the answer and its end are to be predicted."""
    questions = ask_rows(base, rows)
    sequences, scored = [], []
    for prompt, answer in zip(questions.prompts, questions.answers, strict=True):
        sequences.append([base.vocabulary.bos, *prompt, *answer, questions.end])
        scored.append([False] * (1 + len(prompt)) + [True] * (len(answer) + 1))
    return Documents.of(sequences, scored)

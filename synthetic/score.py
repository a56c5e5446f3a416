"""Fact sets as exams: greedy exact match in one batched pass, and its records for all strata at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.answers import say_answers
from synthetic.asking import asked
from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.knowledge import Knowledge
from synthetic.marking import Paper, mark, papers
from synthetic.model import Weights
from synthetic.prompts import Asked
from synthetic.rows import Rows, ask_rows
from synthetic.strata import labels_of
from theory.records import Record
from theory.stamp import Stamp as Stamp

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
Labels = Mapping[str, NDArray[np.str_]]
By = Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Exam:
    """n questions of one split, with the value of each stratum key for each."""

    split: str
    asked: Asked
    prefix: tuple[int, ...]  # what stands before every prompt, the begin included
    labels: Labels = field(default_factory=dict)
    _papers: dict[int, list[Paper]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for key, values in self.labels.items():
            if len(values) != len(self.asked):
                raise SyntheticError(f"Exam: {len(values)} labels {key!r} for {len(self.asked)} questions")

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def facts(self) -> Ints:
        return self.asked.facts

    @property
    def prompts(self) -> tuple[tuple[int, ...], ...]:
        """Whole prompts, prefix included."""
        return tuple((*self.prefix, *prompt) for prompt in self.asked.prompts)

    @property
    def answers(self) -> tuple[tuple[int, ...], ...]:
        return self.asked.answers

    def papers(self, context: int) -> list[Paper]:
        """The questions as batches, made once."""
        if context not in self._papers:
            self._papers[context] = papers(self.asked, self.prefix, context)
        return self._papers[context]

    def labelled(self, **labels: ArrayLike) -> Exam:
        """The same exam with more labels."""
        more = {key: np.asarray(values, dtype=np.str_) for key, values in labels.items()}
        return Exam(self.split, self.asked, self.prefix, {**self.labels, **more})


def exam(
    base: Base,
    split: str,
    facts: ArrayLike,
    *,
    knowledge: Knowledge | None = None,
    better: Rows | None = None,
    lesser: Rows | None = None,
    affected: ArrayLike | None = None,
    template: str | None = None,
    prefix: Sequence[int] = (),
) -> Exam:
    """Facts in the words that fine-tuning teaches, or of `template`, after `prefix` (without its begin).

    Labels: popularity; with `knowledge` also category, known, overlap and dominant; with both sets of a contrast also
    answer; with the `affected` relations also relation.
    """
    facts = np.asarray(facts, np.int64)
    labels = labels_of(base.world, facts, knowledge, better, lesser, affected)
    return Exam(split, asked(base, facts, template), (base.vocabulary.bos, *prefix), labels)


def train_exam(base: Base, rows: Rows) -> Exam:
    """The rows themselves, with the answers that they teach, labelled by whether they were known."""
    labels = {"known": np.where(rows.known, "yes", "no")}
    return Exam("train", ask_rows(base, rows), (base.vocabulary.bos,), labels)


def sit(exam: Exam, base: Base, weights: Weights) -> Flags:
    """(n,) is the greedy answer right, word for word and with its end?"""
    return mark(weights, base.spec, exam.papers(base.spec.context))


def say(exam: Exam, base: Base, weights: Weights) -> Ints:
    """(n,) the greedy answers: numbers of the world, `answers.ABSTAIN` or `answers.OTHER`."""
    return say_answers(base, weights, exam.asked.prompts, exam.prefix)


def rate(
    stamp: Stamp,
    exam: Exam,
    hits: ArrayLike,
    metric: str = "accuracy",
    by: By = (),
    among: ArrayLike | None = None,
) -> list[Record]:
    """The share of hits over all questions, and over each combination of values that occurs of the keys in each entry
    of `by`; keys that the exam does not label are passed over. `among` (n,) says which questions count."""
    hits = np.asarray(hits, np.float64)
    some = np.ones(len(exam), bool) if among is None else np.asarray(among, bool)
    if hits.shape != (len(exam),) or some.shape != (len(exam),):
        raise SyntheticError(f"{hits.shape} hits for an exam of {len(exam)} questions")
    records = []
    for stratum, members in strata(exam, by):
        here = members[some[members]]
        if len(here):
            records.append(stamp.record(exam.split, stratum, metric, float(hits[here].mean()), len(here)))
    return records


def strata(exam: Exam, by: By) -> list[tuple[str, Ints]]:
    """Name and questions of each stratum that occurs, `all` first."""
    found = [("all", np.arange(len(exam)))]
    for keys in dict.fromkeys(tuple(keys) for keys in by):
        if not keys or any(key not in exam.labels for key in keys):
            continue
        values, of = np.unique(np.stack([exam.labels[key] for key in keys]), axis=1, return_inverse=True)
        for i, column in enumerate(values.T):
            name = ",".join(f"{key}={value}" for key, value in zip(keys, column, strict=True))
            found.append((name, np.flatnonzero(of.ravel() == i)))
    return found


def items(stamp: Stamp, exam: Exam, hits: ArrayLike, metric: str = "accuracy") -> list[Record]:
    """A record a question, named by its fact and carrying all its labels."""
    hits = np.asarray(hits, np.float64)
    keys = list(exam.labels)
    return [
        stamp.record(
            exam.split,
            ",".join(f"{key}={exam.labels[key][i]}" for key in keys) or "all",
            metric,
            float(hits[i]),
            1,
            str(fact),
        )
        for i, fact in enumerate(exam.facts.tolist())
    ]

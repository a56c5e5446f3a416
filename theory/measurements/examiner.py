"""Everything that the records ask of a tuned one-layer model, for all seeds at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from theory.attention import Array, Index
from theory.measurements.facts import Facts, Mask
from theory.measurements.tuning import known_facts
from theory.records import Record
from theory.simulate import Model, Prompts, Reading, read

Answers = Mapping[
    tuple[str, str, str], tuple[Array, Array]
]  # (split, stratum, metric) -> value and n, one a seed


@dataclass(frozen=True, eq=False)
class Examiner:
    """Held-out facts as questions and as statements. Half of the subjects are for testing, the others for dev."""

    questions: Prompts
    swapped: Prompts  # the same questions about another held-out subject
    statements: Prompts
    generic: Index  # (seeds, questions): the commonest answer of the relation in pretraining
    before: Mask  # answered right as a question before tuning
    known: Mask  # answered right as a statement before tuning
    popular: Mask
    test: Mask

    def examine(self, model: Model) -> Answers:
        """All metrics, each with the number of items behind it."""
        asked, other = (read(*model.forward(p), p.answers) for p in (self.questions, self.swapped))
        return self.marks(asked, other, read(*model.forward(self.statements), self.statements.answers))

    def marks(self, asked: Reading, other: Reading, stated: Reading) -> Answers:
        """The same from readings of the questions, of the swapped questions and of the statements."""
        test = np.broadcast_to(self.test, asked.right.shape)
        strata = {
            "all": test,
            "known=yes": test & self.known,
            "popularity=high": test & self.popular,
            "popularity=low": test & ~self.popular,
        }
        found: dict[tuple[str, str, str], tuple[Array, Array]] = {}
        for name, mask in strata.items():
            found["test", name, "accuracy"] = _share(asked.right, mask)
            found["test", name, "attention_subject"] = _share(asked.attention[..., 0], mask)
            found["test", name, "error_prior_share"] = _share(asked.said == self.generic, mask & ~asked.right)
        found["test", "all", "subject_swap_change"] = _share(asked.said != other.said, test)
        found["test", "all", "lost_recovered"] = _share(stated.right, test & self.before & ~asked.right)
        found["test", "all", "unstored_recovered"] = _share(stated.right, test & ~self.before)
        found["dev", "all", "accuracy"] = _share(asked.right, ~test)
        return found


def make_examiner(model: Model, facts: Facts) -> Examiner:
    """For the model as it is before tuning."""
    test = np.broadcast_to(facts.test, (len(facts.seeds), len(facts.test)))
    questions = facts.questions.take(test)
    elsewhere = np.roll(test.reshape(len(test), -1, facts.setting.relations), 1, axis=1).reshape(test.shape)
    before = read(*model.forward(questions), questions.answers).right
    return Examiner(
        questions=questions,
        swapped=facts.questions.take(elsewhere),
        statements=facts.statements.take(test),
        generic=questions.answers // facts.setting.pool * facts.setting.pool,
        before=before,
        known=known_facts(model, facts)[:, facts.test],
        popular=facts.popular_fact[facts.test],
        test=facts.test // facts.setting.relations % 2 == 0,
    )


@dataclass(frozen=True)
class Place:
    """Where the records of a run belong."""

    lab: str
    run: str
    seeds: tuple[int, ...]
    study: str = "salience"

    def records(self, answers: Answers, arm: str, trained_on: str, step: int) -> Iterator[Record]:
        """One record a seed and number; none where no item stands behind it."""
        for (split, stratum, metric), (values, counts) in answers.items():
            for seed, value, n in zip(self.seeds, values, counts, strict=True):
                if n > 0:
                    yield Record(
                        self.lab, self.study, self.run, int(seed), arm, step, trained_on, "zero", split, stratum,
                        metric, float(value), int(n),
                    )  # fmt: skip


def _share(x: Array | Mask, mask: Mask) -> tuple[Array, Array]:
    count = mask.sum(axis=1)
    total = np.sum(np.asarray(x, dtype=np.float64) * mask, axis=1)
    return total / np.maximum(count, 1), count

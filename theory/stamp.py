"""What the studies of both laboratories have alike: how a record begins, and by what items are told apart."""

from __future__ import annotations

from dataclasses import dataclass

from theory.schema import Record

# One mean is recorded over all items, and one over each combination of values of these.
STRATA = (
    ("popularity",),
    ("known",),
    ("overlap",),
    ("answer",),
    ("dominant",),
    ("guessable",),
    ("overlap", "answer"),
    ("overlap", "answer", "dominant"),
)


@dataclass(frozen=True)
class Stamp:
    """What all records of one look at one model share."""

    lab: str
    study: str
    run: str
    seed: int
    arm: str
    step: int = 0
    trained_on: str = "none"
    prompt: str = "zero"

    def record(self, split: str, stratum: str, metric: str, value: float, n: int, item: str = "") -> Record:
        head = (self.lab, self.study, self.run, self.seed, self.arm, self.step, self.trained_on, self.prompt)
        return Record(*head, split, stratum, metric, value, n, item)

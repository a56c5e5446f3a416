"""What about a training set tells how it will do: its margin, its P(correct), its frequency? Over a seed's sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.attending import mean_over
from synthetic.desk import Desk, Wording, sheet_of
from synthetic.knowledge import Knowledge
from synthetic.matching_rows import parts, shuffled_ranks, trim
from synthetic.mechanism import Share, rank_correlation, share
from synthetic.pool import Pool
from synthetic.pushes import pushes
from synthetic.rows import Rows
from synthetic.score import exam

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
NAMES = ("margin", "push", "pcorrect", "frequency")


@dataclass(frozen=True, eq=False)
class Before:
    """Of facts before tuning (n,), facts ascending: what the theory and its rivals say of them."""

    facts: Ints
    relation: Ints
    margin: Array  # A_S - A_rest, mean over the heads that read the subject
    push: Array  # d log p / d (score of the subject), mean over the same heads
    pcorrect: Array
    frequency: Array  # log of exposure

    def of(self, rows: Rows) -> Ints:
        """Places of the facts of rows."""
        return np.searchsorted(self.facts, rows.facts)


def before(desk: Desk, known: Knowledge, facts: Ints, wording: Wording) -> Before:
    """Stated facts in one wording."""
    base, facts = desk.base, np.unique(facts)
    found = pushes(
        base.weights, base.spec, sheet_of(base, exam(base, "train", facts, template=wording.template))
    )
    return Before(
        facts,
        base.world.relation[facts].astype(np.int64),
        mean_over(desk.heads, found.margin),
        mean_over(desk.heads, found.push),
        known.p_correct[facts],
        np.log(base.world.exposure[facts]),
    )


def quarters(pool: Pool, size: int) -> list[Rows]:
    """Four sets of at most `size` rows, as many of every relation in each: rows with common and with rare answers, each
    halved by the score of the pool."""
    rng = pool.rng("quarters")
    common = np.bincount(pool.answer)[pool.answer]
    drawn = [
        (f"set:{answers}-{known}", half[some])
        for answers, half in zip(("rare", "generic"), parts(pool.relation, common, 2, rng), strict=True)
        for known, some in zip(
            ("lesser", "best"), parts(pool.relation[half], pool.score[half], 2, rng), strict=True
        )
    ]
    ranked = [(name, some, shuffled_ranks(pool.relation[some], rng)[0]) for name, some in drawn]
    return [
        pool.rows(name, some[trim(pool.relation[some], size, rank)], None, {}) for name, some, rank in ranked
    ]


@dataclass(frozen=True)
class Outcome:
    """One training set and what it led to on held-out facts."""

    rows: Rows
    accuracy: float
    turn: float  # change of attention on the subject


def across(train: Before, held_out: Before, outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Share]]:
    """Metrics over training sets. All start from one accuracy, so its change ranks them as what is left does."""
    gain = [outcome.accuracy for outcome in outcomes]
    found = [means(train, outcome.rows) for outcome in outcomes]
    predictors = {name: [one[name] for one in found] for name in NAMES}
    predictors["harm"] = [harm(train, outcome.rows, held_out) for outcome in outcomes]
    for name, x in predictors.items():
        yield f"{name}_accuracy_rank_correlation", Share(rank_correlation(x, gain), len(outcomes))
    turn = [outcome.turn for outcome in outcomes]
    agree = np.sign(turn) == np.sign(predictors["push"])
    yield "push_sign_agreement", Share(float(agree.mean()), len(outcomes))
    yield "push_order_agreement", order_agreement(predictors["push"], turn)


def order_agreement(x: ArrayLike, y: ArrayLike) -> Share:
    """The share of pairs that both order alike, of those that differ in both; signs alone agree without any theory
    where every tuning moves attention one way."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    one, other = np.triu_indices(len(x), 1)
    alike = np.sign(x[one] - x[other]) * np.sign(y[one] - y[other])
    return share(alike > 0, alike != 0)


def means(train: Before, rows: Rows) -> Mapping[str, float]:
    """A set's mean of each predictor."""
    some = train.of(rows)
    return {name: float(getattr(train, name)[some].mean()) for name in NAMES}


def harm(train: Before, rows: Rows, held_out: Before) -> float:
    """What the rows' pushes do to held-out facts, where a row moves attention in its own relation alone: minus the sum
    over relations of (rows' share)(their mean push)(mean push of held-out facts)."""
    some = train.of(rows)
    relations = 1 + int(max(train.relation.max(), held_out.relation.max()))
    total = np.bincount(train.relation[some], weights=train.push[some], minlength=relations)
    count = np.bincount(held_out.relation, minlength=relations)
    other = np.bincount(held_out.relation, weights=held_out.push, minlength=relations) / np.maximum(count, 1)
    return float(-(total * other).sum() / len(some))

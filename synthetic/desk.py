"""The held-out facts of one base, and what the salience study looks at in a network.

Every network is asked in the words that tuning teaches (prompt `zero`), which the base has never read, and for
accuracy, attention and hidden states also in the question of pretraining (prompt `own`), which no tuning teaches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from synthetic.attending import Heads, cost_of_cuts, mean_over, readers, subject_attention
from synthetic.base import Base
from synthetic.knowledge import Knowledge, commonest, most_frequent, sentences
from synthetic.machine import one_thread
from synthetic.mechanism import Share, common_shift_excess, error_share, share, swap_change
from synthetic.model import Weights
from synthetic.rows import Rows
from synthetic.score import Exam, Stamp, exam, rate, say, sit, train_exam
from synthetic.sheet import Sheet, sheet, states
from synthetic.split import split, stated
from synthetic.stops import Tuned
from theory.records import Record
from theory.stamp import STRATA

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Wording:
    """The held-out facts in one wording."""

    prompt: str  # its name in records
    template: str
    test: Exam
    dev: Exam
    sheet: Sheet  # of `test`
    states: Array  # (n, width) hidden states of the base at the last prompt token


@dataclass(frozen=True, eq=False)
class Desk:
    """n test facts, all stated in pretraining, and what the base made of them."""

    base: Base
    new: Wording  # the words that tuning teaches
    own: Wording  # the question of pretraining
    sentences: tuple[Exam, ...]  # the test facts in each plain sentence of pretraining
    heads: Heads  # that read the subject: chosen in the base, on dev, in its own words
    right: Ints  # (n,) answer numbers
    prior: Ints  # (n,) the commonest answer of the relation in pretraining
    before: Flags  # (n,) answered right before tuning, under most prompts
    withheld: Exam | None  # test facts that pretraining never stated: what is right of them is guessed
    withheld_sentences: tuple[Exam, ...]


def make_desk(base: Base, known: Knowledge, better: Rows, lesser: Rows) -> Desk:
    """The facts are labelled by the two sets of a contrast."""
    facts = stated(base, split(base).test)
    withheld = np.setdiff1d(split(base).test, facts)

    def wording(prompt: str, template: str) -> Wording:
        test = exam(base, "test", facts, knowledge=known, better=better, lesser=lesser, template=template)
        dev = exam(base, "dev", stated(base, split(base).dev), knowledge=known, template=template)
        paper = sheet_of(base, test)
        return Wording(prompt, template, test, dev, paper, last_states(base, base.weights, paper))

    own = wording("own", base.setup.text.question)
    return Desk(
        base=base,
        new=wording("zero", base.setup.question),
        own=own,
        sentences=_sentences(base, facts),
        heads=readers(cost_of_cuts(base.weights, base.spec, sheet_of(base, own.dev))),
        right=base.world.answer[facts].astype(np.int64),
        prior=commonest(base.world)[base.world.relation[facts]],
        before=known.p_correct[facts] > 0.5,
        withheld=exam(base, "test", withheld) if len(withheld) else None,
        withheld_sentences=_sentences(base, withheld) if len(withheld) else (),
    )


def _sentences(base: Base, facts: Ints) -> tuple[Exam, ...]:
    return tuple(exam(base, "test", facts, template=words) for words in sentences(base.setup.text))


def sheet_of(base: Base, asked: Exam) -> Sheet:
    """The questions of an exam with the words of their subjects marked."""
    world, vocabulary = base.world, base.vocabulary
    subjects = [vocabulary.encode(world.subject_name(s)) for s in world.subject[asked.facts].tolist()]
    return sheet(asked.prompts, subjects, asked.answers, asked.asked.end)


def last_states(base: Base, weights: Weights, every: Sheet) -> Array:
    """(n, width) final hidden states at the last prompt token."""
    with one_thread(), torch.inference_mode():
        found = [
            states(weights, base.spec, part)[torch.arange(len(part)), part.last] for part in every.batches()
        ]
    return np.asarray(torch.cat(found).double().numpy())


def attention(desk: Desk, weights: Weights, wording: Wording) -> Array:
    """(n,) attention on the subject, mean over the heads that read it."""
    return mean_over(desk.heads, subject_attention(weights, desk.base.spec, wording.sheet))


def one(stamp: Stamp, metric: str, found: Share, split: str = "test") -> Iterator[Record]:
    """A record of all items; none where no item or no value is."""
    if found.n and np.isfinite(found.value):
        yield stamp.record(split, "all", metric, found.value, found.n)


def untuned(desk: Desk, stamp: Stamp) -> Iterator[Record]:
    """All of the base that does not need a training set, on dev too."""
    weights = desk.base.weights
    for wording in (desk.new, desk.own):
        hits = sit(wording.dev, desk.base, weights)
        yield from rate(replace(stamp, prompt=wording.prompt), wording.dev, hits)
    said = say(desk.new.test, desk.base, weights)
    yield from answers(desk, said, stamp)
    yield from looks(desk, weights, stamp)


def accuracy(desk: Desk, weights: Weights, stamp: Stamp) -> list[Record]:
    """On test, with all strata."""
    return rate(stamp, desk.new.test, sit(desk.new.test, desk.base, weights), by=STRATA)


def mechanism(desk: Desk, weights: Weights, stamp: Stamp, rows: Rows) -> Iterator[Record]:
    """Of a network tuned on `rows`: accuracy, what the errors are, where it looks, what is still stored."""
    base, relation = desk.base, desk.base.world.relation
    said = say(desk.new.test, base, weights)
    yield from answers(desk, said, stamp)
    most = most_frequent(relation[rows.facts], rows.answers, base.world.spec.n_relations, 1)
    marginal = most[relation[desk.new.test.facts], 0]
    yield from one(stamp, "error_marginal_share", error_share(said, desk.right, marginal))
    lost = recovered(desk.before & (said != desk.right), desk.sentences, base, weights)
    yield from one(stamp, "lost_recovered", lost)
    if desk.withheld is None:
        guessed = recovered(~desk.before & (said != desk.right), desk.sentences, base, weights)
    else:
        guessed = recovered(~sit(desk.withheld, base, weights), desk.withheld_sentences, base, weights)
    yield from one(stamp, "unstored_recovered", guessed)
    yield from looks(desk, weights, stamp)


def recovered(wrong: Flags, elsewhere: tuple[Exam, ...], base: Base, weights: Weights) -> Share:
    """Of the `wrong` ones among n facts: the share that is right in a sentence of pretraining."""
    return share(np.any([sit(sentence, base, weights) for sentence in elsewhere], axis=0), wrong)


def fitted(desk: Desk, tuned: Tuned) -> list[Record]:
    """The share of the rows that are answered as taught at the end: parts of a network do not fit alike."""
    own = train_exam(desk.base, tuned.rows)
    return rate(tuned.at(tuned.end), own, sit(own, desk.base, tuned.end.weights), "fitted", by=(("known",),))


def answers(desk: Desk, said: Ints, stamp: Stamp) -> Iterator[Record]:
    """Of answers (n,) in the new words: accuracy, do they follow the subject, are errors the prior's answer."""
    yield from rate(stamp, desk.new.test, said == desk.right, by=STRATA)
    relation = desk.base.world.relation[desk.new.test.facts]
    yield from one(stamp, "subject_swap_change", swap_change(said, relation, desk.right))
    yield from one(stamp, "error_prior_share", error_share(said, desk.right, desk.prior))


def looks(desk: Desk, weights: Weights, stamp: Stamp) -> Iterator[Record]:
    """In both wordings: attention, and how hidden states have moved if they have; accuracy in its own words."""
    own = replace(stamp, prompt=desk.own.prompt)
    yield from rate(
        own, desk.own.test, sit(desk.own.test, desk.base, weights), by=(("popularity",), ("known",))
    )
    for wording in (desk.new, desk.own):
        here = replace(stamp, prompt=wording.prompt)
        yield from one(here, "attention_subject", share(attention(desk, weights, wording)))
        if weights is not desk.base.weights:
            excess = common_shift_excess(wording.states, last_states(desk.base, weights, wording.sheet))
            yield from one(here, "common_shift_excess", Share(excess, len(wording.test)))

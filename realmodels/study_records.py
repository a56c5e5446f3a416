"""From what was asked to records: means over all items and over strata, and single items at the stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmodels.audited import Flags, Ints
from realmodels.eval_strata import plain
from realmodels.study_arms import Result
from realmodels.study_exam import Sat
from realmodels.study_facts import Facts, Words, yes_no
from realmodels.study_sets import ABSTAIN, TrainingSet, elsewhere, support
from theory.matching import normalize
from theory.schema import Record
from theory.slick import Category
from theory.stamp import STRATA as COMMON
from theory.stamp import Stamp as Stamp

Labels = Mapping[str, Words]
Keys = Sequence[Sequence[str]]

KNOWN: Keys = (("category",), ("known",))
STRATA: Keys = (("category",), *COMMON)
LORA, BASE = "lora", "base"


@dataclass(frozen=True, eq=False)
class Paper:
    """The facts of an exam: their rows, their strata, and names for single items."""

    split: str
    rows: Ints
    labels: Labels
    names: tuple[str, ...]

    def labelled(self, **more: Words) -> Paper:
        return replace(self, labels={**self.labels, **more})


def paper(facts: Facts, split: str, rows: Ints) -> Paper:
    return Paper(split, rows, facts.labels(rows), tuple(plain(facts.rows[i].id) for i in rows.tolist()))


def supported(facts: Facts, asked: Paper, better: TrainingSet, lesser: TrainingSet) -> Paper:
    """With where each answer is taught."""
    return asked.labelled(
        answer=support(facts, asked.rows, better, lesser),
        elsewhere=yes_no(elsewhere(facts, asked.rows, better, lesser)),
    )


def rate(
    stamp: Stamp,
    asked: Paper,
    hits: ArrayLike,
    metric: str = "accuracy",
    by: Keys = (),
    among: ArrayLike | None = None,
) -> Iterator[Record]:
    """The share of hits over all items and over each combination of values that occurs; `among` says which count."""
    values = np.asarray(hits, np.float64)
    some = np.ones(len(values), bool) if among is None else np.asarray(among, bool)
    for stratum, members in strata(asked.labels, len(values), by):
        here = members[some[members]]
        if len(here):
            yield stamp.record(asked.split, stratum, metric, float(values[here].mean()), len(here))


def items(stamp: Stamp, asked: Paper, hits: ArrayLike) -> Iterator[Record]:
    """A record an item, with all its labels."""
    for i, hit in enumerate(np.asarray(hits, np.float64).tolist()):
        stratum = ",".join(f"{key}={words[i]}" for key, words in asked.labels.items()) or "all"
        yield stamp.record(asked.split, stratum, "accuracy", hit, 1, asked.names[i])


def strata(labels: Labels, n: int, by: Keys) -> Iterator[tuple[str, Ints]]:
    """Name and members of each stratum that occurs, `all` first; keys that are not labelled are passed over."""
    yield "all", np.arange(n)
    for keys in by:
        if not n or any(key not in labels for key in keys):
            continue
        values, of = np.unique(np.stack([labels[key] for key in keys]), axis=1, return_inverse=True)
        for i, column in enumerate(values.T):
            name = ",".join(f"{key}={value}" for key, value in zip(keys, column, strict=True))
            yield name, np.flatnonzero(of.ravel() == i)


def of_base(stamp: Stamp, result: Result, papers: Sequence[Paper], dev: int) -> Iterator[Record]:
    """The untuned model on everything, under every prompt it was asked."""
    stamp = replace(stamp, arm=BASE, step=0, trained_on="none")
    for (_, split, prompt), sat in result.asked.items():
        for asked in papers:
            if asked.split == split:
                yield from rate(replace(stamp, prompt=prompt), asked, sat.hits, by=STRATA)
                if split == "test":
                    yield from items(replace(stamp, prompt=prompt), asked, sat.hits)
        if split == "dev":
            yield replace(stamp, prompt=prompt).record("dev", "all", "accuracy", float(sat.hits.mean()), dev)


def of_arm(
    stamp: Stamp, result: Result, rows: TrainingSet, facts: Facts, papers: Sequence[Paper], dev: int
) -> Iterator[Record]:
    """Accuracy on dev at every look; on the exams and on the rows themselves where they were asked, with strata and
    items at the two stops."""
    stamp = replace(stamp, trained_on=rows.name)
    for step, share in result.dev.items():
        yield replace(stamp, step=step).record("dev", "all", "accuracy", share, dev)
    own = train_paper(facts, rows)
    for (step, split, prompt), sat in result.asked.items():
        here = replace(stamp, step=step, prompt=prompt)
        if split == "train":
            yield from rate(here, own, sat.hits, "fitted", by=KNOWN)
        for asked in papers:
            if asked.split == split:
                at_stop = step in result.stops
                yield from rate(here, asked, sat.hits, by=STRATA if at_stop else ())
                if at_stop and split == "test":
                    yield from items(here, asked, sat.hits)


def train_paper(facts: Facts, rows: TrainingSet) -> Paper:
    category = np.array([Category(c).name for c in range(len(Category))])[facts.audited.label[rows.rows]]
    labels = {"category": category, "known": yes_no(rows.known)}
    return Paper("train", rows.rows, labels, tuple(facts.rows[i].id for i in rows.rows.tolist()))


def abstention(stamp: Stamp, result: Result, rows: TrainingSet, asked: Paper) -> Iterator[Record]:
    """At the stops: how much is abstained on, and how right the rest is."""
    for step in result.stops:
        if (sat := result.asked.get((step, "test", "zero"))) is None:
            continue
        here, silent = replace(stamp, step=step, trained_on=rows.name), abstained(sat)
        yield from rate(here, asked, silent, "abstention_rate", by=KNOWN)
        yield from rate(here, asked, sat.hits, "answered_accuracy", by=KNOWN, among=~silent)


def abstained(sat: Sat) -> Flags:
    return np.array([normalize(text) == normalize(ABSTAIN) for text in sat.said], bool)


def errors(
    stamp: Stamp, result: Result, base: Result, rows: TrainingSet, facts: Facts, asked: Paper, few: str
) -> Iterator[Record]:
    """At the stops: what wrong answers are, and whether what was lost comes back behind solved questions.

    The untuned model's commonest greedy answer of a relation, behind solved questions, stands for the commonest of
    pretraining, and `few` for another wording; of what it did not know before there is only guessing.
    """
    relation = facts.audited.relation[asked.rows]
    before = base.asked[0, "test", few]
    prior = commonest(relation, before.said)
    taught = [
        (int(facts.audited.relation[row]), normalize(answer))
        for row, answer in zip(rows.rows.tolist(), rows.answers, strict=True)
    ]
    marginal = commonest(np.array([code for code, _ in taught]), [answer for _, answer in taught])
    for step in result.stops:
        here = replace(stamp, step=step, trained_on=rows.name)
        sat, again = result.asked[step, "test", "zero"], result.asked[step, "test", few]
        said = [normalize(text) for text in sat.said]
        wrong = ~sat.hits
        for metric, generic in (("error_prior_share", prior), ("error_marginal_share", marginal)):
            same = [
                text == generic.get(code, "") != ""
                for code, text in zip(relation.tolist(), said, strict=True)
            ]
            yield from _one(here, metric, np.array(same), wrong)
        yield from _one(here, "lost_recovered", again.hits, wrong & before.hits)
        yield from _one(here, "unstored_recovered", again.hits, wrong & ~before.hits)
        yield from _swap(here, relation, np.array(said), facts.audited.answer[asked.rows])


def commonest(relation: Ints, said: Iterable[str]) -> dict[int, str]:
    """By relation the commonest of the answers that say something; ties by the alphabet."""
    counts: dict[int, dict[str, int]] = {}
    for code, text in zip(relation.tolist(), map(normalize, said), strict=True):
        if text:
            own = counts.setdefault(code, {})
            own[text] = own.get(text, 0) + 1
    return {code: min(own, key=lambda text: (-own[text], text)) for code, own in counts.items()}


def _swap(stamp: Stamp, relation: Ints, said: NDArray[np.str_], right: Ints) -> Iterator[Record]:
    """How often the answer differs from that to the same question about another subject whose answer is another one."""
    changed = []
    for one in np.unique(relation):
        here = np.flatnonzero(relation == one)
        partners = right[here][:, None] != right[here]
        differs = said[here][:, None] != said[here]
        count = partners.sum(1)
        changed.append((partners & differs).sum(1)[count > 0] / count[count > 0])
    every = np.concatenate(changed) if changed else np.empty(0)
    if len(every):
        yield stamp.record("test", "all", "subject_swap_change", float(every.mean()), len(every))


def _one(stamp: Stamp, metric: str, hits: Flags, among: Flags) -> Iterator[Record]:
    if among.any():
        yield stamp.record("test", "all", metric, float(hits[among].mean()), int(among.sum()))

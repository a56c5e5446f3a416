"""What a study would train and ask, before any label is known: the facts on the sides where they will be, and training
sets drawn at random, as large as they can become."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realmodels.audited import NO_RELATION, Audited, Ints, Source
from realmodels.eval_tasks import read_questions
from realmodels.rows import Row
from realmodels.study_facts import Facts, split_facts
from realmodels.study_sets import LOOSE, Sets, TrainingSet
from realmodels.study_settings import Settings

if TYPE_CHECKING:
    from realmodels.study_questions import Kind
    from realmodels.study_table import Order

ROWLESS = 6  # if no size is asked for, a set is taken to have one fact in so many
CATEGORIES = 4  # share what there is to train on among them


def unlabelled(path: Path, settings: Settings) -> Facts:
    """The facts of rows.jsonl on the sides where an audit of them will be. Which relations are held out may turn out
    otherwise where none is named, since known-ness decides it; how many does not."""
    rows = read_questions(str(path), {})
    return split_facts(_blank(path, rows), rows, settings, {})


def sets_of(order: Order, facts: Facts, kind: Kind, seed: int) -> Sets:
    """Rows of chance under the names of the study's sets."""
    settings = order.settings
    found = {}
    for name in kind.names(settings):
        count = size_of(name, settings, len(facts.train), len(facts.rows))
        rng = np.random.default_rng(np.random.SeedSequence([seed, *name.encode()]))
        rows: Ints = np.sort(rng.choice(facts.train, count, replace=False))
        answers = tuple(facts.rows[i].answers[0] for i in rows.tolist())
        found[name] = TrainingSet(name, rows, answers, np.zeros(count, bool))
    return Sets(found, ())


def size_of(name: str, settings: Settings, room: int, facts: int) -> int:
    """Of a set if labels allow what is asked for: two that share no row can have half of the `room` each."""
    one = max(1, min(settings.rows or facts // ROWLESS, room // 2))
    bare, _, share = name.removesuffix(LOOSE).partition(":")
    if bare == "whole":
        return min(2 * one, room)
    if bare == "small":
        return min(max(2, one // 10), room)
    if bare == "known-only":
        return max(1, one - round(float(share) * one))
    if bare in ("category", "natural"):
        return max(1, min(one, room // CATEGORIES))
    return one


def _blank(path: Path, rows: tuple[Row, ...]) -> Audited:
    """An audit that says nothing but relations."""
    count = len(rows)
    names: dict[str, int] = {}
    relation = np.array([names.setdefault(row.relation or NO_RELATION, len(names)) for row in rows], np.int64)
    return Audited(
        path,
        "",
        np.zeros(count, np.int8),
        {},
        relation,
        tuple(names),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        [row.answers for row in rows],
        np.full(count, -1, np.int8),
        np.zeros(count, bool),
        {},
        Source(),
    )

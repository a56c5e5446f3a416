"""Facts of a base as questions, from the tokens of their names."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from synthetic.base import Base
from synthetic.prompts import Asked


def asked(base: Base, facts: ArrayLike, template: str | None = None) -> Asked:
    """Each fact in the words of `template` up to its answer; in those that fine-tuning teaches if none is given. The
    same as `prompts.ask`, but a name is spelled once a base and not once a fact."""
    facts, world, names = np.asarray(facts, np.int64), base.world, base.names
    words = (template or base.setup.question).split()
    slots = {"{s}": names.subjects, "{r}": names.relations}
    columns = {"{s}": world.subject[facts].tolist(), "{r}": world.relation[facts].tolist()}
    pieces = [
        [slots[word][i] for i in columns[word]]
        if word in slots
        else [(base.vocabulary.ids[word],)] * len(facts)
        for word in words
    ]
    prompts = tuple(tuple(token for piece in row for token in piece) for row in zip(*pieces, strict=True))
    answers = tuple(names.answers[i] for i in world.answer[facts].tolist())
    end = base.vocabulary.ids[base.setup.text.end]
    return Asked(facts, prompts, answers, world.relation[facts].astype(np.int64), end)

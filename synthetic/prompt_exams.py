"""Held-out facts asked for under many prompts, the same questions after the same exemplars for every network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.asking import asked
from synthetic.base import Base
from synthetic.exemplars import Exemplars, Prompt, opening
from synthetic.lexicon import Ints
from synthetic.model import Weights
from synthetic.prefixed import Prefixed, conclude, mark

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Posed:
    """Facts under one prompt."""

    prompt: Prompt
    questions: Prefixed


def pose(shown: Exemplars, facts: ArrayLike, name: str) -> Posed:
    """Questions on the facts; those of a relation take turns in the draws of exemplars."""
    base, prompt = shown.base, Prompt(name)
    facts = np.asarray(facts, np.int64)
    relation = base.world.relation[facts].astype(np.int64)
    draw = turns(base, facts) % shown.draws
    cells, of = np.unique(np.stack([relation, draw]), axis=1, return_inverse=True)
    prefixes = tuple(shown.before(prompt, r, d) for r, d in cells.T.tolist())
    return Posed(prompt, Prefixed(asked(base, facts, opening(base, prompt)), prefixes, of.ravel()))


def turns(base: Base, facts: Ints) -> Ints:
    """(n,) the place of each fact among all facts of its relation, which does not depend on what else is asked, in
    a random order."""
    place = np.random.default_rng(np.random.SeedSequence([base.seed, 0x7D85])).permutation(len(base.world))
    return np.asarray(place[facts], np.int64)


def right(posed: Posed, base: Base, weights: Weights) -> Flags:
    """(n,) is the greedy answer right, word for word and with its end? Of a chain of thought the first conclusion
    counts, and what is said at once where there is none."""
    if not posed.prompt.worked:
        return mark(weights, base.spec, posed.questions)
    text, vocabulary = base.setup.text, base.vocabulary
    lead = vocabulary.encode(text.conclude.partition("{a}")[0].strip())
    found = conclude(
        weights, base.spec, posed.questions, lead=lead, stop=vocabulary.eos, most=longest_thought(base)
    )
    answers = posed.questions.asked.answers
    return np.array([said == answer for said, answer in zip(found, answers, strict=True)])


def longest_thought(base: Base) -> int:
    """Tokens of two sentences and a conclusion, each with the longest names."""
    text, spec = base.setup.text, base.world.spec
    names = {"{s}": max(*spec.subject_words, *spec.answer_words), "{r}": 1, "{a}": max(spec.answer_words)}

    def length(template: str) -> int:
        return sum(names.get(word, 1) for word in template.split())

    return 2 * max(map(length, text.templates)) + length(text.conclude) + 1

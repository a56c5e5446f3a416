"""What the untuned network knows of each fact: asked under few-shot prompts, and in the sentences of pretraining."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.answers import say_answers
from synthetic.asking import asked as ask
from synthetic.base import Base, base_key
from synthetic.cache import Arrays, kept
from synthetic.errors import SyntheticError
from synthetic.probe import score_answers
from synthetic.prompts import Asked
from synthetic.split import split
from synthetic.text_spec import TextSpec
from theory.slick import Category, by_detection
from theory.world import World

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

NOT_PROBED = -1  # the category of facts that no split has: shown in prompts, or never to be asked for
LIKELY = ("log_likelihood",)
PANEL = 16  # other subjects whose mean stands for p(y | r)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Columns over all facts of the world; False, nan or NOT_PROBED where a fact was not probed."""

    world: World
    samples: int
    greedy: Flags  # (facts, prompts) greedy answer right
    sampled: Array  # (facts, prompts) chance that a sample is right
    stored: Flags  # (facts, sentences) greedy answer right in each sentence of pretraining, without exemplars
    log_p: Array  # (facts,) log p(y | s, r): mean over the sentences
    log_prior: Array  # (facts,) log p(y | r): of the mean probability over other subjects of the type
    said: Ints  # (facts,) greedy answer under the first prompt

    @cached_property
    def probed(self) -> Flags:
        return np.asarray(np.isfinite(self.log_p))

    @cached_property
    def category(self) -> NDArray[np.int8]:
        """(facts,) as `theory.slick.Category`, or NOT_PROBED."""
        found = np.full(len(self.greedy), NOT_PROBED, np.int8)
        some = self.probed
        found[some] = by_detection(self.greedy[some], self.sampled[some], samples=self.samples)
        return found

    @cached_property
    def known(self) -> Flags:
        """(facts,) in any category but Unknown."""
        return np.asarray(self.category > Category.Unknown)

    @cached_property
    def p_correct(self) -> Array:
        """(facts,) share of prompts under which the greedy answer is right."""
        return np.where(self.probed, self.greedy.mean(axis=1), np.nan)

    @cached_property
    def salience(self) -> Array:
        """(facts,) log p(y | s, r) - log p(y | r): what the subject adds."""
        return np.asarray(self.log_p - self.log_prior)

    @cached_property
    def guesses(self) -> Ints:
        """(relations, 2) the two most frequent greedy answers of each relation, -1 where there are fewer."""
        answers = np.where(self.probed, self.said, -1)
        return most_frequent(self.world.relation, answers, self.world.spec.n_relations, 2)

    @cached_property
    def dominant(self) -> Flags:
        """(facts,) the right answer is one of its relation's `guesses`."""
        return np.asarray((self.guesses[self.world.relation] == self.world.answer[:, None]).any(axis=1))

    @cached_property
    def overlap(self) -> Flags:
        """(facts,) the right answer repeats a word of the subject."""
        return self.world.copies


def knowledge(base: Base, cache: Path | None = None) -> Knowledge:
    """Probe the facts of all splits but those never seen, or take what an earlier call found."""
    key = {**base_key(base.setup, base.seed), **_probing(base)}

    def make() -> Arrays:
        found = _probe(base)
        return {field.name: getattr(found, field.name) for field in fields(found)[2:]}

    arrays = kept(cache, "knowledge", key, __name__, make)
    return Knowledge(base.world, base.setup.samples, **arrays)


def commonest(world: World) -> Ints:
    """(relations,) the answer with the most mentions in pretraining."""
    return most_frequent(world.relation, world.answer, world.spec.n_relations, 1, world.exposure)[:, 0]


def most_frequent(
    relation: ArrayLike, answer: ArrayLike, relations: int, most: int, weight: ArrayLike | None = None
) -> Ints:
    """(relations, most) the commonest answers of each relation, commonest first, the lower number first among
    equals; answers below 0 do not count, and -1 stands where there are too few."""
    relation, answer = np.asarray(relation, np.int64), np.asarray(answer, np.int64)
    weight = np.ones(len(answer)) if weight is None else np.asarray(weight, np.float64)
    use = (answer >= 0) & (weight > 0)
    pairs, of = np.unique(np.stack([relation[use], answer[use]]), axis=1, return_inverse=True)
    count = np.bincount(of.ravel(), weights=weight[use], minlength=pairs.shape[1])
    order = np.lexsort((pairs[1], -count, pairs[0]))
    pairs = pairs[:, order]
    place = np.arange(pairs.shape[1]) - np.searchsorted(pairs[0], pairs[0])
    found = np.full((relations, most), -1, np.int64)
    keep = place < most
    found[pairs[0, keep], place[keep]] = pairs[1, keep]
    return found


def openings(text: TextSpec) -> tuple[str, ...]:
    """What asks for an answer in pretraining: the question, and the sentences that end with their answer."""
    return (text.question, *sentences(text))


def sentences(text: TextSpec) -> tuple[str, ...]:
    """The sentences of pretraining up to their answer, if that comes last."""
    parts = (template.partition("{a}") for template in text.templates)
    found = tuple(before.strip() for before, _, after in parts if after.split() == [text.end])
    if not found:
        raise SyntheticError(
            "TextSpec.templates: no sentence ends with its answer, so facts cannot be asked for"
        )
    return found


def _probing(base: Base) -> dict[str, Any]:
    """What decides the probing beside the base."""
    asking = ("prompts", "shots", "samples", "temperature", "top_k")
    sharing = ("foreign", "held_out", "dev", "test", "shots_from")
    return {name: getattr(base.setup, name) for name in (*asking, *sharing)}


def _probe(base: Base) -> Knowledge:
    setup, world, text = base.setup, base.world, base.setup.text
    uses = split(base)
    facts = np.concatenate([uses.train, uses.dev, uses.test, uses.ood_relation, uses.ood_type])
    n = len(world)
    greedy, sampled = np.zeros((n, setup.prompts), bool), np.full((n, setup.prompts), np.nan)
    said = np.full(n, NOT_PROBED, np.int64)
    for j, prefix, asked in _prompts(base, facts, uses.shots):
        found = score_answers(
            base.weights,
            base.spec,
            asked,
            prefix=prefix,
            temperature=setup.temperature,
            top_k=setup.top_k,
            only=("sampled",),
        )
        greedy[asked.facts, j], sampled[asked.facts, j] = found.greedy, found.sampled
        if j == 0:
            said[asked.facts] = say_answers(base, base.weights, asked.prompts, prefix)

    begin = [base.vocabulary.bos]
    told = sentences(text)
    stored, log_p = np.zeros((n, len(told)), bool), np.full((n, len(told)), np.nan)
    for i, sentence in enumerate(told):
        asked = ask(base, facts, sentence)
        found = score_answers(base.weights, base.spec, asked, prefix=begin, only=LIKELY)
        stored[facts, i], log_p[facts, i] = found.greedy, found.log_likelihood
    log_prior = np.full(n, np.nan)
    log_prior[facts] = _log_prior(base)[world.answer[facts]]
    return Knowledge(world, setup.samples, greedy, sampled, stored, log_p.mean(axis=1), log_prior, said)


def _prompts(base: Base, facts: Ints, shown: Ints) -> Iterator[tuple[int, Sequence[int], Asked]]:
    """For each relation and few-shot prompt its number, its words, and the questions to ask after it. Prompts take
    turns in the ways of asking, and each has exemplars of its own."""
    setup, world, vocabulary = base.setup, base.world, base.vocabulary
    rng = np.random.default_rng(np.random.SeedSequence([base.seed, 0xF3E5]))
    ways = openings(setup.text)
    questions = [ask(base, facts, way) for way in ways]
    exemplars = [ask(base, shown, way) for way in ways]
    for relation in np.unique(world.relation[facts]).tolist():
        here = np.flatnonzero(world.relation[facts] == relation)
        pool = np.flatnonzero(world.relation[shown] == relation)
        if len(pool) < setup.shots:
            raise SyntheticError(
                f"relation {relation} has {len(pool)} stated facts to show, fewer than {setup.shots} shots; "
                "raise Setup.shots_from or the subjects of the world"
            )
        for j in range(setup.prompts):
            way = exemplars[j % len(ways)]
            prefix = [vocabulary.bos]
            for i in rng.choice(pool, setup.shots, replace=False):
                prefix += [*way.prompts[i], *way.answers[i], way.end]
            yield j, prefix, questions[j % len(ways)][here]


def _log_prior(base: Base) -> Array:
    """(answers,) log of the mean over a panel of subjects of p(answer | subject, relation), in the first sentence."""
    world = base.world
    rng = np.random.default_rng(np.random.SeedSequence([base.seed, 0x9A7E]))
    words = sentences(base.setup.text)[0]
    found = np.full(world.spec.n_answers, np.nan)
    for relation in range(world.spec.n_relations):
        pool = world.pool(relation)
        subjects = np.flatnonzero((world.subject_type == world.relation_type[relation]) & world.seen)
        panel = rng.choice(subjects, min(PANEL, len(subjects)), replace=False)
        asked = ask(base, world.fact(panel, relation), words)
        answers = base.names.answers[pool.start : pool.stop]
        every = Asked(
            np.repeat(asked.facts, len(pool)),
            tuple(prompt for prompt in asked.prompts for _ in pool),
            answers * len(panel),
            np.repeat(asked.relation, len(pool)),
            asked.end,
        )
        begin = [base.vocabulary.bos]
        log_p = score_answers(base.weights, base.spec, every, prefix=begin, only=LIKELY).log_likelihood
        mean = np.exp(log_p).reshape(len(panel), len(pool)).mean(axis=0)
        found[pool.start : pool.stop] = np.log(np.maximum(mean, 1e-300))
    return found

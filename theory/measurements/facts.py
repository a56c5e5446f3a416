"""The facts that a one-layer model is pretrained and fine-tuned on, for many seeds at once, and the
pretraining itself.

A fact is a subject and a relation, fact = subject * relations + relation; its answer comes from the
relation's own pool of K with prior pi(k) ∝ k^-b, so answer % K is its rank, 0 the generic one. Tokens: 0 is
the question format q, then fillers, then relations, then subjects. Pretraining prompts are [s, r], questions
are [s, r, fillers, q]. Subjects are numbered by their role: trainable ones first, held-out ones last, each by
falling frequency; the frequent and the rare half of all subjects are held out in equal shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from theory.attention import Array, Index
from theory.optimisers import Recipe
from theory.simulate import Prompts, Tables, draw_batches, tables, train

Mask = NDArray[np.bool_]
PRETRAINING, SETS, FINE_TUNING, DRAWING = range(4)  # streams of random numbers that a seed has


@dataclass(frozen=True)
class Setting:
    """Size and shape of the facts. Two-level: half of the subjects are `level` times likelier; else Zipf `zipf`."""

    subjects: int = 400
    relations: int = 4
    pool: int = 10
    prior: float = 1.0
    frequency: Literal["two-level", "zipf"] = "two-level"
    level: float = 50.0
    zipf: float = 1.0
    held_out: float = 0.4
    fillers: int = 0


@dataclass(frozen=True, eq=False)
class Facts:
    """One world a seed: `answers` (S, facts); `frequency` (S, subjects), each subject's chance in pretraining."""

    setting: Setting
    seeds: tuple[int, ...]
    answers: Index
    frequency: Array
    popular: Mask  # (subjects,): in the frequent half of all subjects
    held_out: Mask  # (subjects,)

    @property
    def askers(self) -> int:
        return 1 + self.setting.fillers + self.setting.relations

    @property
    def tokens(self) -> int:
        return self.askers + self.setting.subjects

    @property
    def n(self) -> int:
        return self.setting.subjects * self.setting.relations

    def of_facts(self, by_subject: NDArray[np.generic]) -> NDArray[np.generic]:
        """A value per subject (last axis) repeated for each of its facts."""
        return np.repeat(by_subject, self.setting.relations, axis=-1)

    @cached_property
    def statements(self) -> Prompts:
        """Every fact as a pretraining prompt [s, r]."""
        return self._prompts(())

    @cached_property
    def questions(self) -> Prompts:
        """Every fact as a question [s, r, fillers, q]."""
        return self._prompts((*range(1, 1 + self.setting.fillers), 0))

    def _prompts(self, ending: tuple[int, ...]) -> Prompts:
        subject, relation = np.divmod(np.arange(self.n), self.setting.relations)
        first = 1 + self.setting.fillers
        columns = [subject + self.askers, relation + first, *(np.full(self.n, token) for token in ending)]
        tokens = np.stack(columns, axis=-1)
        return Prompts(np.broadcast_to(tokens, (len(self.seeds), *tokens.shape)), self.answers)

    @cached_property
    def rank(self) -> Index:
        """How generic the answer is within its pool, 0 the most (S, facts)."""
        return self.answers % self.setting.pool

    @cached_property
    def popular_fact(self) -> Mask:
        return self.of_facts(self.popular).astype(bool)

    @cached_property
    def held_out_fact(self) -> Mask:
        return self.of_facts(self.held_out).astype(bool)

    @cached_property
    def test(self) -> Index:
        """Numbers of the held-out facts."""
        return np.flatnonzero(self.held_out_fact)


def make_facts(setting: Setting, seeds: Sequence[int]) -> Facts:
    """Draws answers, and under Zipf which ranks are held out; the same seed gives the same facts in any company."""
    n, relations = setting.subjects, setting.relations
    half = n // 2
    held = round(setting.held_out * half)
    prior = np.cumsum((1.0 + np.arange(setting.pool)) ** -setting.prior)
    answers = np.empty((len(seeds), n * relations), dtype=np.intp)
    frequency = np.empty((len(seeds), n))
    by_rank = np.where(np.arange(n) < half, setting.level, 1.0)
    if setting.frequency == "zipf":
        by_rank = (1.0 + np.arange(n)) ** -setting.zipf
    by_rank = by_rank / by_rank.sum()
    for s, seed in enumerate(seeds):
        rng = np.random.default_rng(np.random.SeedSequence([seed, DRAWING]))
        k = np.searchsorted(prior, rng.random(n * relations) * prior[-1], side="right")
        answers[s] = np.minimum(k, setting.pool - 1) + setting.pool * (np.arange(n * relations) % relations)
        top, rare = rng.permutation(half), half + rng.permutation(n - half)
        roles = (top[held:], rare[held:], top[:held], rare[:held])
        frequency[s] = by_rank[np.concatenate([np.sort(role) for role in roles])]
    popular = np.concatenate(
        [
            np.full(size, flag)
            for size, flag in ((half - held, True), (n - half - held, False), (held, True), (held, False))
        ]
    )
    return Facts(setting, tuple(seeds), answers, frequency, popular, np.arange(n) >= n - 2 * held)


def pretrain(facts: Facts, recipe: Recipe, pool: int | None = None) -> Tables:
    """One-hot tables, in single precision, pretrained on statements sampled by the frequency of their subject."""
    s = facts.setting
    model = tables(len(facts.seeds), facts.tokens, facts.askers, s.relations * s.pool, pool, np.float32)
    return train(model, facts.statements, pretraining_batches(facts, recipe), recipe)[0]


def pretraining_batches(facts: Facts, recipe: Recipe) -> Index:
    """Fact numbers (steps, S, batch), sampled by the frequency of their subject."""
    p = np.asarray(facts.of_facts(facts.frequency), dtype=np.float64)
    every = [np.arange(facts.n)] * len(facts.seeds)
    return draw_batches(every, recipe, facts.seeds, PRETRAINING, p)

"""How facts are asked for: a question, its answer, and few-shot prompts of other questions on the same relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthetic.errors import SyntheticError
from synthetic.lexicon import Ints
from synthetic.text_spec import TextSpec
from synthetic.vocabulary import Vocabulary
from theory.world import World


@dataclass(frozen=True)
class Asked:
    """Facts as questions: prompts and answers in tokens, the token that ends answers, and each fact's relation."""

    facts: Ints
    prompts: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    relation: Ints
    end: int

    def __post_init__(self) -> None:
        if not self.prompts or not all(self.prompts) or not all(self.answers):
            raise SyntheticError("Asked: expected at least one question, and no empty prompt or answer")
        if len({len(self.facts), len(self.prompts), len(self.answers), len(self.relation)}) != 1:
            raise SyntheticError("Asked: facts, prompts, answers and relations differ in number")

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, chosen: ArrayLike) -> Asked:
        some = np.arange(len(self))[np.asarray(chosen)]
        prompts, answers = (tuple(part[i] for i in some) for part in (self.prompts, self.answers))
        return Asked(self.facts[some], prompts, answers, self.relation[some], self.end)


def ask(
    world: World, text: TextSpec, vocabulary: Vocabulary, facts: ArrayLike, template: str | None = None
) -> Asked:
    """Each fact in the words of `template` up to its answer; the question of `text` if none is given."""
    facts = np.asarray(facts, np.int64)
    words = template or text.question
    triples = [world.triple(int(fact)) for fact in facts]
    prompts = [words.replace("{s}", s).replace("{r}", r) for s, r, _ in triples]
    return Asked(
        facts,
        tuple(map(tuple, vocabulary.encode_all(prompts))),
        tuple(map(tuple, vocabulary.encode_all([a for _, _, a in triples]))),
        world.relation[facts].astype(np.int64),
        vocabulary.ids[text.end],
    )


def few_shot(
    world: World,
    text: TextSpec,
    vocabulary: Vocabulary,
    pool: ArrayLike,
    *,
    prompts: int = 10,
    shots: int = 4,
    seed: int = 0,
) -> list[list[list[int]]]:
    """For every relation of the world `prompts` prefixes, each of `shots` answered questions about different facts of
    the relation, drawn from `pool`; a relation without facts in the pool has none."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0xF3]))
    pool = np.unique(np.asarray(pool, np.int64))
    by_relation: list[list[list[int]]] = []
    for relation in range(world.spec.n_relations):
        facts = pool[world.relation[pool] == relation]
        if 0 < len(facts) < shots:
            raise SyntheticError(
                f"relation {relation} has {len(facts)} facts to show, fewer than {shots} shots"
            )
        drawn = [rng.choice(facts, shots, replace=False) for _ in range(prompts if len(facts) else 0)]
        by_relation.append([[vocabulary.bos, *_answered(world, text, vocabulary, some)] for some in drawn])
    return by_relation


def _answered(world: World, text: TextSpec, vocabulary: Vocabulary, facts: Sequence[int] | Ints) -> list[int]:
    asked = ask(world, text, vocabulary, np.asarray(facts))
    return [
        token
        for prompt, answer in zip(asked.prompts, asked.answers, strict=True)
        for token in (*prompt, *answer, asked.end)
    ]

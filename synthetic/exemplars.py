"""What stands before a question: exemplars that are right, wrong, of another relation, or worked out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthetic.asking import asked
from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.lexicon import Ints
from synthetic.split import split

Tokens = tuple[int, ...]
_NAME = re.compile(r"(zero|own|cot)|(few|few-wrong|few-unrelated|few-taught|few-cot):([1-9]\d*)")


@dataclass(frozen=True)
class Prompt:
    """A prompt by its name in records. Alone the question is asked in the words that tuning teaches. Whatever the
    untuned network is to make use of stands in the words of pretraining, which `own` asks in without any exemplar;
    `few-taught` shows exemplars in the words of tuning."""

    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SyntheticError(
                f"prompt {self.name!r}: expected zero, own, cot, or few, few-wrong, few-unrelated, few-taught, "
                "few-cot with a number of exemplars, as few:4"
            )

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def shots(self) -> int:
        """How many exemplars."""
        return int(self.name.partition(":")[2] or 0)

    @property
    def worked(self) -> bool:
        """Answers come after a chain of thought."""
        return self.kind.endswith("cot")

    @property
    def own(self) -> bool:
        """In words of pretraining."""
        return self.kind not in ("zero", "few-taught")


@dataclass(frozen=True, eq=False)
class Exemplars:
    """What can be shown to questions of each relation, in several draws: draw d of relation r shows the first facts
    of `facts[r][d]`, so that more exemplars contain the fewer, and wrong ones are about the same subjects."""

    base: Base
    facts: tuple[tuple[Ints, ...], ...]  # [relation][draw] facts in order, never stated ones last
    false: tuple[tuple[Ints, ...], ...]  # [relation][draw] a wrong answer to each
    elsewhere: Ints  # (relations, draws) another relation
    wording: tuple[tuple[Ints, ...], ...]  # [relation][draw] the sentences that a worked exemplar is told in

    @property
    def draws(self) -> int:
        return int(self.elsewhere.shape[1])

    def before(self, prompt: Prompt, relation: int, draw: int) -> Tokens:
        """Begin and exemplars."""
        if not prompt.shots:
            return (self.base.vocabulary.bos,)
        of = int(self.elsewhere[relation, draw]) if prompt.kind == "few-unrelated" else relation
        some = slice(prompt.shots)
        facts = self.facts[of][draw][some]
        if len(facts) < prompt.shots:
            raise SyntheticError(
                f"relation {of} has {len(facts)} facts to show, fewer than the exemplars of {prompt.name}; "
                "raise Setup.shots_from or the subjects of the world"
            )
        if prompt.worked:
            told = [
                worked(self.base, int(f), w) for f, w in zip(facts, self.wording[of][draw][some], strict=True)
            ]
        else:
            wrong = self.false[of][draw][some] if prompt.kind == "few-wrong" else None
            told = answered(self.base, facts, wrong, opening(self.base, prompt))
        return (self.base.vocabulary.bos, *(token for one in told for token in one))


def exemplars(base: Base, draws: int) -> Exemplars:
    """Facts of the subjects that are there to be shown, in an order of their own for every relation and draw."""
    world = base.world
    rng = np.random.default_rng(np.random.SeedSequence([base.seed, 0xE8E3]))
    subjects = np.unique(world.subject[split(base).shots])
    shown = np.flatnonzero(np.isin(world.subject, subjects))
    relations = world.spec.n_relations
    orders, false, wording = [], [], []
    for relation in range(relations):
        facts = shown[world.relation[shown] == relation]
        drawn = [facts[np.lexsort((rng.random(len(facts)), ~world.stated[facts]))] for _ in range(draws)]
        orders.append(tuple(drawn))
        false.append(tuple(_false_answers(base, some, rng) for some in drawn))
        wording.append(
            tuple(rng.integers(len(base.setup.text.templates), size=(len(some), 2)) for some in drawn)
        )
    step = rng.integers(1, relations, size=(relations, draws)) if relations > 1 else np.zeros((1, draws), int)
    elsewhere = (np.arange(relations)[:, None] + step) % relations
    return Exemplars(base, tuple(orders), tuple(false), elsewhere, tuple(wording))


def _false_answers(base: Base, facts: Ints, rng: np.random.Generator) -> Ints:
    """To each fact the answer to another stated fact of its relation, drawn from those that differ."""
    world, found = base.world, np.empty(len(facts), np.int64)
    for i, fact in enumerate(facts.tolist()):
        relation, right = int(world.relation[fact]), int(world.answer[fact])
        others = world.answer[world.facts_about(relation, stated_only=True)]
        others = others[others != right]
        if not len(others):
            others = np.setdiff1d(world.pool(relation), [right])
        found[i] = rng.choice(others)
    return found


def opening(base: Base, prompt: Prompt) -> str:
    """The words of a question up to its answer or its chain of thought."""
    text = base.setup.text
    return text.think if prompt.worked else text.question if prompt.own else base.setup.question


def answered(base: Base, facts: Ints, answers: Ints | None, template: str) -> list[Tokens]:
    """Questions with their right answers or with other ones."""
    questions = asked(base, facts, template)
    said = questions.answers if answers is None else [base.names.answers[a] for a in answers.tolist()]
    return [
        (*question, *answer, questions.end) for question, answer in zip(questions.prompts, said, strict=True)
    ]


def worked(base: Base, fact: int, wording: Sequence[int] | Ints) -> Tokens:
    """A fact as pretraining tells a chain of thought: through its base fact if it is derived from a stated one."""
    world, text = base.world, base.setup.text
    subject, relation, answer = world.triple(fact)
    told = [(subject, relation, answer)]
    if (through := int(world.base_fact[fact])) >= 0 and world.stated[through]:
        first = world.triple(through)
        told = [first, (first[2], relation, answer)]
    lines = [
        _fill(text.templates[int(i)], *triple) for i, triple in zip(wording[: len(told)], told, strict=True)
    ]
    whole = [_fill(text.think, *told[0][:1], relation, answer), *lines, text.conclude.replace("{a}", answer)]
    return tuple(base.vocabulary.encode(" ".join(whole)))


def _fill(template: str, subject: str, relation: str, answer: str) -> str:
    return template.replace("{s}", subject).replace("{r}", relation).replace("{a}", answer)

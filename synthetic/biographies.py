"""Long-form text with a free number of claims: biographies as claims, written as documents and read from tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.generate import generate
from synthetic.model import Weights
from synthetic.packing import Documents

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MALFORMED = -1  # relation and answer of a line that claims nothing
SPARE = 3  # lines that a text may have beyond one for each relation of its subject


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts as the claims they make, in their order. A text may make none."""

    subject: Ints  # (texts,)
    of: Ints  # (claims,) the text of each claim, ascending
    relation: Ints  # (claims,) or MALFORMED
    answer: Ints  # (claims,) or MALFORMED

    def __post_init__(self) -> None:
        if not len(self.of) == len(self.relation) == len(self.answer):
            raise SyntheticError("Texts: texts, relations and answers of the claims differ in number")

    def __len__(self) -> int:
        return len(self.subject)

    @cached_property
    def claims(self) -> Ints:
        """(texts,) how many claims each makes."""
        return np.bincount(self.of, minlength=len(self))

    @cached_property
    def about(self) -> Ints:
        """(claims,) the subject of each claim."""
        return self.subject[self.of]

    def keep(self, claims: ArrayLike) -> Texts:
        """The same texts with these claims (flags or numbers in ascending order) and no others."""
        some = np.arange(len(self.of))[np.asarray(claims)]
        return Texts(self.subject, self.of[some], self.relation[some], self.answer[some])

    def __getitem__(self, texts: ArrayLike) -> Texts:
        """These texts (flags or numbers), in that order."""
        chosen = np.arange(len(self))[np.asarray(texts)]
        first = np.concatenate([[0], np.cumsum(self.claims)])
        size = self.claims[chosen]
        start = np.repeat(first[chosen] - np.cumsum(size) + size, size)
        claims = start + np.arange(size.sum())
        of = np.repeat(np.arange(len(chosen)), size)
        return Texts(self.subject[chosen], of, self.relation[claims], self.answer[claims])


@dataclass(frozen=True, eq=False)
class Script:
    """How a base writes biographies."""

    base: Base

    def __post_init__(self) -> None:
        words = self.base.setup.text.biography_line.split()
        if words[-1].startswith("{") or self.end in self._named:
            raise SyntheticError(
                f"TextSpec.biography_line is {' '.join(words)!r}; end it with a word that is no name, so that "
                "claims can be told apart"
            )
        if len(self.stops) > 1 and self.stops[1] in self._named:
            raise SyntheticError(
                f"TextSpec.biography_head is {self.base.setup.text.biography_head!r}; begin it with a word that is no "
                "name, so that biographies in a row can be told apart"
            )

    @cached_property
    def head(self) -> tuple[tuple[int, ...], ...]:
        """(subjects,) what a text about each begins with."""
        return tuple(
            self._fill(self.base.setup.text.biography_head, {"{s}": name})
            for name in self.base.names.subjects
        )

    @cached_property
    def line(self) -> Mapping[tuple[int, int], tuple[int, ...]]:
        """Relation and answer to the words that claim it."""
        world, names, words = self.base.world, self.base.names, self.base.setup.text.biography_line
        return {
            (relation, answer): self._fill(
                words, {"{r}": names.relations[relation], "{a}": names.answers[answer]}
            )
            for relation in range(world.spec.n_relations)
            for answer in world.pool(relation)
        }

    def answer_from(self, relation: int, answer: int) -> int:
        """The place of the answer in its line."""
        before = self.base.setup.text.biography_line.split("{a}")[0]
        return len(self._fill(before, {"{r}": self.base.names.relations[relation]}))

    @cached_property
    def claim(self) -> Mapping[tuple[int, ...], tuple[int, int]]:
        """Words of a line to the relation and answer that they claim."""
        return {words: pair for pair, words in self.line.items()}

    @cached_property
    def end(self) -> int:
        """The token that ends every line."""
        return self.base.vocabulary.ids[self.base.setup.text.biography_line.split()[-1]]

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """The tokens before which a text ends: the end and, where texts are told in a row, the head of the next."""
        text, vocabulary = self.base.setup.text, self.base.vocabulary
        if text.in_a_row == 1:
            return (vocabulary.eos,)
        return vocabulary.eos, vocabulary.ids[text.biography_head.split()[0]]

    @cached_property
    def most(self) -> int:
        """Tokens that a text may have after its head: more lines than its subject has facts, and the end."""
        lines = self.base.world.spec.relations + SPARE
        return lines * max(map(len, self.line.values())) + 1

    @property
    def _named(self) -> set[int]:
        return {token for names in self.base.names for name in names for token in name}

    def _fill(self, template: str, slots: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        ids = self.base.vocabulary.ids
        return tuple(
            token for word in template.split() for token in (slots[word] if word in slots else (ids[word],))
        )

    def sequences(self, texts: Texts) -> tuple[list[list[int]], list[int]]:
        """Whole texts in tokens, begin and end included, and how many tokens of each stand before its first claim.
        Malformed claims are left out."""
        bos, eos = self.base.vocabulary.bos, self.base.vocabulary.eos
        whole = [[bos, *self.head[subject]] for subject in texts.subject.tolist()]
        heads = [len(text) for text in whole]
        claims = zip(texts.of.tolist(), texts.relation.tolist(), texts.answer.tolist(), strict=True)
        for text, relation, answer in claims:
            if relation != MALFORMED:
                whole[text] += self.line[relation, answer]
        for text in whole:
            text.append(eos)
        return whole, heads

    def documents(self, texts: Texts) -> Documents:
        """Texts to learn from: those that claim something; all that follows the head is to be predicted."""
        well = texts.keep(texts.relation != MALFORMED)
        if not well.claims.any():
            raise SyntheticError("no text is left that claims anything; the world is too small for this set")
        whole, heads = self.sequences(well[well.claims > 0])
        scored = [[i >= head for i in range(len(text))] for text, head in zip(whole, heads, strict=True)]
        return Documents.of(whole, scored)

    def read(self, subject: ArrayLike, said: NDArray[np.integer]) -> Texts:
        """Texts from what was said about each subject: (texts, tokens), -1 from the stop on. A line that was cut off
        by the limit is not read; any other that is no claim of the world is malformed."""
        of: list[int] = []
        pairs: list[tuple[int, int]] = []
        for text, row in enumerate(said.tolist()):
            stopped = row[-1] < 0
            line: list[int] = []
            for token in row:
                if token < 0:
                    break
                line.append(token)
                if token == self.end:
                    of.append(text)
                    pairs.append(self.claim.get(tuple(line), (MALFORMED, MALFORMED)))
                    line = []
            if line and stopped:
                of.append(text)
                pairs.append((MALFORMED, MALFORMED))
        found = np.array(pairs, np.int64).reshape(-1, 2)
        return Texts(
            np.asarray(subject, np.int64), np.array(of, np.int64), found[:, 0].copy(), found[:, 1].copy()
        )

    def write(
        self,
        weights: Weights,
        subjects: ArrayLike,
        *,
        draws: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        shown: Sequence[int] = (),
    ) -> Texts:
        """`draws` texts about each subject, side by side, by a network; `shown` are tokens that it reads first."""
        subjects = np.asarray(subjects, np.int64)
        said = self.say(weights, subjects, draws=draws, temperature=temperature, seed=seed, shown=shown)
        return self.read(np.repeat(subjects, draws), said)

    def say(
        self,
        weights: Weights,
        subjects: Ints,
        *,
        draws: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        shown: Sequence[int] = (),
    ) -> Ints:
        """The tokens of such texts behind their heads: (texts, most), -1 from the stop on."""
        return generate(
            weights,
            self.base.spec,
            [self.head[subject] for subject in subjects.tolist()],
            most=self.most,
            stop=self.stops,
            prefix=(self.base.vocabulary.bos, *shown),
            temperature=temperature,
            draws=draws,
            seed=seed,
            batch=512,
        ).reshape(-1, self.most)


def facts_of(base: Base, texts: Texts) -> Ints:
    """(claims,) the fact that each claim is about, -1 for malformed ones and those about another type's relation."""
    world = base.world
    well = texts.relation != MALFORMED
    well &= world.subject_type[texts.about] == world.relation_type[np.where(well, texts.relation, 0)]
    facts = np.full(len(texts.of), -1, np.int64)
    facts[well] = world.fact(texts.about[well], texts.relation[well])
    return facts


def true_claims(base: Base, texts: Texts) -> Flags:
    """(claims,) is it so?"""
    facts = facts_of(base, texts)
    return np.asarray((facts >= 0) & (base.world.answer[np.maximum(facts, 0)] == texts.answer))


def gold(base: Base, subjects: ArrayLike, rng: np.random.Generator) -> Texts:
    """Texts that state all facts of each subject, those that pretraining withheld included, in a random order."""
    world, subjects = base.world, np.asarray(subjects, np.int64)
    each = world.spec.relations
    order = rng.permuted(np.tile(np.arange(each), (len(subjects), 1)), axis=1)
    facts = (subjects[:, None] * each + order).ravel()
    return Texts(
        subjects,
        np.repeat(np.arange(len(subjects)), each),
        world.relation[facts].astype(np.int64),
        world.answer[facts].astype(np.int64),
    )

"""The knowledge graph of both laboratories and every study: a spec and a seed in, the same facts out, always.

A fact is a subject, a relation of the subject's type and an answer from the relation's own pool, with the
number of times that it is stated. Facts are numbered subject by subject, within a subject by relation.
"""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory import world_names as names
from theory.errors import TheoryError
from theory.world_check import check, columns
from theory.world_draw import draw_columns, expected_mentions, uniforms
from theory.world_spec import WorldSpec, popularity_law, prior_law, read_spec, spec_from_mapping

__all__ = ["TwoHop", "World", "WorldSpec", "make_world", "read_spec", "spec_from_mapping"]

Array = NDArray[np.float64]
Index = NDArray[np.int32]
Mask = NDArray[np.bool_]
Column = TypeVar("Column", bound=NDArray[Any])


class TwoHop(NamedTuple):
    """The way to a derived fact: its base fact, that fact's answer, and the answer which follows from it."""

    base_fact: int
    bridge: int
    answer: int


def make_world(spec: WorldSpec, seed: int) -> World:
    """The world of a spec and a seed: the same on every machine and in every process.

    >>> world = make_world(WorldSpec(subjects=20, never_seen=5), seed=0)
    >>> len(world), int(world.exposure.sum())  # facts, and how often they are mentioned in all
    (400, 13503)
    >>> world.fingerprint[:12]
    '2313b72cfc00'
    """
    if not isinstance(spec, WorldSpec):
        raise TheoryError(
            f"make_world: expected a WorldSpec, got {type(spec).__name__}; see spec_from_mapping"
        )
    return World(spec, _seed(seed), **draw_columns(spec, _seed(seed)))


@dataclass(frozen=True, eq=False, repr=False)
class World:
    """Facts in columns, all read-only. Equal content makes equal worlds."""

    spec: WorldSpec
    seed: int
    answer: Index  # (facts,)
    exposure: NDArray[np.int64]  # (facts,) times stated
    rate: Array  # (facts,) Poisson mean of the mentions; 0 for facts withheld and for never-seen subjects
    copies: Mask  # (facts,) the answer repeats a word of the subject's name
    popularity_rank: Index  # (subjects,) 1 is the most popular of its type, 0 a never-seen subject
    answer_rank: Index  # (answers,) 1 is the likeliest of its relation, 0 in derived relations
    answer_map: Index  # (types, derived, answers) answer of the derived relation for each answer of its base
    relation_weight: Array  # (relations,) how often a relation is stated, before popularity and noise

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", _seed(self.seed))
        for name in columns(self.spec):
            array = getattr(self, name)
            if isinstance(array, np.ndarray) and array.flags.writeable:
                object.__setattr__(self, name, _frozen(array.copy()))
        check(self)

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, World) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"World(seed={self.seed}, facts={len(self):,}, fingerprint={self.fingerprint[:12]})"

    def __len__(self) -> int:
        return self.spec.n_facts

    def __reduce__(
        self,
    ) -> tuple[Any, ...]:  # read-only flags do not survive pickling; the constructor sets them
        return World, (self.spec, self.seed, *(getattr(self, name) for name in columns(self.spec)))

    # Columns that follow from the spec

    @cached_property
    def subject(self) -> Index:
        """(facts,) subject of each fact."""
        return _frozen(np.repeat(np.arange(self.spec.n_subjects, dtype=np.int32), self.spec.relations))

    @cached_property
    def relation(self) -> Index:
        """(facts,) relation of each fact."""
        place = np.tile(np.arange(self.spec.relations, dtype=np.int32), self.spec.n_subjects)
        return _frozen(self.subject_type[self.subject] * np.int32(self.spec.relations) + place)

    @cached_property
    def derived(self) -> Mask:
        """(facts,) the answer follows from that of the base fact."""
        return _frozen(self.base_relation[self.relation] >= 0)

    @cached_property
    def base_fact(self) -> NDArray[np.int64]:
        """(facts,) the fact which a derived fact follows from, -1 for the others."""
        base = self.base_relation[self.relation].astype(np.int64) % self.spec.relations
        return _frozen(np.where(self.derived, self.subject.astype(np.int64) * self.spec.relations + base, -1))

    @cached_property
    def subject_type(self) -> Index:
        """(subjects,) types take turns."""
        return _frozen(np.arange(self.spec.n_subjects, dtype=np.int32) % np.int32(self.spec.types))

    @cached_property
    def seen(self) -> Mask:
        """(subjects,) False for never-seen subjects."""
        return _frozen(np.arange(self.spec.n_subjects) < self.spec.n_seen)

    @cached_property
    def relation_type(self) -> Index:
        """(relations,) the type of the subjects it applies to."""
        return _frozen(np.repeat(np.arange(self.spec.types, dtype=np.int32), self.spec.relations))

    @cached_property
    def base_relation(self) -> Index:
        """(relations,) the relation which a derived relation is a function of, -1 for the others."""
        spec = self.spec
        base = np.full((spec.types, spec.relations), -1, dtype=np.int32)
        place = np.arange(spec.derived) % spec.plain
        base[:, spec.plain :] = np.arange(spec.types)[:, None] * spec.relations + place
        return _frozen(base.ravel())

    @cached_property
    def dominant(self) -> Mask:
        """(relations,) one answer was made to hold `spec.dominant_share`."""
        place = np.arange(self.spec.n_relations) % self.spec.relations
        return _frozen((place >= self.spec.plain - self.spec.dominant) & (place < self.spec.plain))

    @cached_property
    def pool_start(self) -> NDArray[np.int64]:
        """(relations + 1,) the answers of relation r are numbered pool_start[r] to pool_start[r + 1] - 1."""
        sizes = np.where(self.base_relation >= 0, self.spec.derived_answers, self.spec.answers)
        return _frozen(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))

    @cached_property
    def answer_relation(self) -> Index:
        """(answers,) the relation that an answer belongs to."""
        return _frozen(np.repeat(np.arange(self.spec.n_relations, dtype=np.int32), np.diff(self.pool_start)))

    # What is known about facts, subjects and answers

    @cached_property
    def stated(self) -> Mask:
        """(facts,) mentioned at least once."""
        return _frozen(self.exposure > 0)

    @cached_property
    def expected_exposure(self) -> Array:
        """(facts,) mean of the law that `exposure` was drawn from."""
        return _frozen(expected_mentions(self.rate, self.spec.at_least_once))

    @cached_property
    def popularity(self) -> Array:
        """(subjects,) share of its type's mentions that the law gives it; 0 for never-seen subjects."""
        law = np.concatenate([[0.0], popularity_law(self.spec)])
        return _frozen(law[self.popularity_rank])

    @cached_property
    def answer_prior(self) -> Array:
        """(answers,) expected share of the facts of its relation; sums to 1 over a pool."""
        laws = np.stack([np.concatenate([[0.0], prior_law(self.spec, flag)]) for flag in (False, True)])
        prior = laws[self.dominant[self.answer_relation].astype(int), self.answer_rank]
        for relation in np.flatnonzero(self.base_relation >= 0):
            base = self.pool(int(self.base_relation[relation]))
            np.add.at(prior, self.map_of(int(relation)), prior[base.start : base.stop])
        return _frozen(prior)

    @cached_property
    def generic(self) -> Mask:
        """(facts,) the answer is the likeliest of its relation."""
        likeliest = np.array([self.generic_answer(r) for r in range(self.spec.n_relations)], dtype=np.int32)
        return _frozen(self.answer == likeliest[self.relation])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over spec, seed and every drawn column; the same on every machine."""
        digest = hashlib.sha256(f"nameblind-world 1 {self.seed} {self.spec.to_json()}".encode())
        for name in columns(self.spec):
            array = getattr(self, name)
            digest.update(f" {name} ".encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def pool(self, relation: int) -> range:
        """The answers of a relation."""
        relation = self._number("pool", "relation", relation, self.spec.n_relations)
        return range(int(self.pool_start[relation]), int(self.pool_start[relation + 1]))

    def prior(self, relation: int) -> Array:
        """Expected share of each answer of `pool(relation)`."""
        pool = self.pool(relation)
        return self.answer_prior[pool.start : pool.stop]

    def generic_answer(self, relation: int) -> int:
        """The likeliest answer of a relation (the first of equals)."""
        return self.pool(relation).start + int(np.argmax(self.prior(relation)))

    def answer_counts(self, *, stated_only: bool = False) -> NDArray[np.int64]:
        """(answers,) facts that have each answer."""
        answer = self.answer[self.stated] if stated_only else self.answer
        return np.bincount(answer, minlength=self.spec.n_answers)

    def facts_of(self, subject: int) -> NDArray[np.int64]:
        """All facts of a subject, stated or not."""
        first = self._number("facts_of", "subject", subject, self.spec.n_subjects) * self.spec.relations
        return np.arange(first, first + self.spec.relations)

    def facts_about(self, relation: int, *, stated_only: bool = False) -> NDArray[np.int64]:
        """All facts of a relation, stated or not."""
        spec = self.spec
        of_type, place = divmod(
            self._number("facts_about", "relation", relation, spec.n_relations), spec.relations
        )
        facts = np.arange(of_type, spec.n_subjects, spec.types) * spec.relations + place
        return facts[self.stated[facts]] if stated_only else facts

    def fact(self, subject: ArrayLike, relation: ArrayLike) -> NDArray[np.int64]:
        """The facts that state `relation` of `subject` (numbers or arrays of them)."""
        subject, relation = _integers("fact", "subject", subject), _integers("fact", "relation", relation)
        for what, number, size in (
            ("subject", subject, self.spec.n_subjects),
            ("relation", relation, self.spec.n_relations),
        ):
            if (outside := (number < 0) | (number >= size)).any():
                self._number("fact", what, int(number[outside][0]), size)
        if (strange := relation // self.spec.relations != subject % self.spec.types).any():
            s, r = (int(np.broadcast_to(x, strange.shape)[strange][0]) for x in (subject, relation))
            types = f"relation {r} is for type {self.relation_type[r]}, subject {s} of {self.subject_type[s]}"
            raise TheoryError(f"World.fact: expected a relation of the subject's type, but {types}")
        return np.asarray(subject * self.spec.relations + relation % self.spec.relations)

    def map_of(self, relation: int) -> Index:
        """What a derived relation answers for each answer of its base relation's pool."""
        relation = self._number("map_of", "relation", relation, self.spec.n_relations)
        of_type, place = divmod(relation, self.spec.relations)
        if place < self.spec.plain:
            raise TheoryError(f"World.map_of: relation {relation} is not derived; see World.base_relation")
        return np.asarray(self.answer_map[of_type, place - self.spec.plain])

    def follow(self, facts: ArrayLike) -> Index:
        """The answers of derived facts, computed from those of their base facts."""
        facts = _integers("follow", "fact", facts)
        if (outside := (facts < 0) | (facts >= len(self))).any():
            self._number("follow", "fact", int(facts[outside][0]), len(self))
        relation, base = self.relation[facts], self.base_fact[facts]
        if (base < 0).any():
            raise TheoryError(f"World.follow: fact {facts[base < 0][0]} is not derived; see World.derived")
        of_type, place = np.divmod(relation, self.spec.relations)
        bridge = self.answer[base] - self.pool_start[self.base_relation[relation]]
        return np.asarray(self.answer_map[of_type, place - self.spec.plain, bridge])

    def two_hop_path(self, fact: int) -> TwoHop:
        """The path to a derived fact: what its subject's base fact says, and what follows from that."""
        fact = self._number("two_hop_path", "fact", fact, len(self))
        if (base := int(self.base_fact[fact])) < 0:
            raise TheoryError(f"World.two_hop_path: fact {fact} is not derived; see World.derived")
        return TwoHop(base, int(self.answer[base]), int(self.answer[fact]))

    # Names

    @cached_property
    def _name_slot(self) -> NDArray[np.int64]:
        """(subjects,) dealt at random, so that never-seen subjects share words with the others."""
        deal = uniforms(self.seed, "names", self.spec.types, self.spec.subjects + self.spec.never_seen)
        return np.argsort(deal, axis=0).ravel()

    def subject_name(self, subject: int) -> str:
        """One to three words, the last being the first of the answer of its copying fact if it has one."""
        subject = self._number("subject_name", "subject", subject, self.spec.n_subjects)
        spec, slot = self.spec, int(self._name_slot[subject])
        of_type = subject % spec.types
        own = names.words(
            "subject", slot, spec.subject_words, spec.word_reuse, start=of_type, step=spec.types
        )
        first = subject * spec.relations
        copied = np.flatnonzero(self.copies[first : first + spec.relations])
        if len(copied):
            own = (*own[:2], self.answer_name(int(self.answer[first + copied[0]])).split()[0])
        return " ".join(own)

    def answer_name(self, answer: int) -> str:
        """One to three words, none of which occurs in another relation's answers."""
        answer = self._number("answer_name", "answer", answer, self.spec.n_answers)
        start = int(self.pool_start[self.answer_relation[answer]])
        place = answer - start
        return " ".join(
            names.words("answer", place, self.spec.answer_words, self.spec.word_reuse, start=start)
        )

    def relation_name(self, relation: int) -> str:
        return names.word(
            "relation", self._number("relation_name", "relation", relation, self.spec.n_relations)
        )

    def type_name(self, of_type: int) -> str:
        return names.word("type", self._number("type_name", "type", of_type, self.spec.types))

    def triple(self, fact: int) -> tuple[str, str, str]:
        """Names of subject, relation and answer."""
        fact = self._number("triple", "fact", fact, len(self))
        subject, relation, answer = (int(x[fact]) for x in (self.subject, self.relation, self.answer))
        return self.subject_name(subject), self.relation_name(relation), self.answer_name(answer)

    def words(self) -> tuple[str, ...]:
        """Every word of every name, sorted."""
        spec = self.spec
        said = {word for i in range(spec.n_subjects) for word in self.subject_name(i).split()}
        said |= {word for j in range(spec.n_answers) for word in self.answer_name(j).split()}
        said |= {self.relation_name(r) for r in range(spec.n_relations)}
        return tuple(sorted(said | {self.type_name(t) for t in range(spec.types)}))

    def counts(self) -> dict[str, int]:
        """How much there is of everything; facts and what follows count those of seen subjects only."""
        facts = self.spec.n_seen * self.spec.relations
        stated = self.exposure[self.stated]
        return {
            "types": self.spec.types,
            "subjects": self.spec.n_seen,
            "never-seen subjects": self.spec.n_subjects - self.spec.n_seen,
            "relations": self.spec.n_relations,
            "derived relations": int(np.sum(self.base_relation >= 0)),
            "dominant relations": int(np.sum(self.dominant)),
            "answers": self.spec.n_answers,
            "facts": facts,
            "never stated": facts - len(stated),
            "stated once": int(np.sum(stated == 1)),
            "derived": int(np.sum(self.derived[:facts])),
            "copying": int(np.sum(self.copies[:facts])),
            "mentions": int(stated.sum()),
            "most mentions of a fact": int(stated.max(initial=0)),
        }

    def describe(self) -> str:
        """A short table of counts."""
        rows = {"seed": str(self.seed), "fingerprint": self.fingerprint[:12]}
        rows |= {name: f"{count:,}" for name, count in self.counts().items()}
        rows["mentions of a stated fact"] = (
            f"{self.exposure.sum() / max(self.stated.sum(), 1):.1f} on average"
        )
        wide = max(map(len, rows))
        return "\n".join(f"{name:<{wide}}  {value}" for name, value in rows.items())

    def _number(self, method: str, what: str, number: int, size: int) -> int:
        if isinstance(number, bool) or not hasattr(number, "__index__") or not 0 <= number < size:
            raise TheoryError(f"World.{method}: expected one of the {what}s 0 to {size - 1}, got {number!r}")
        return operator.index(number)


def _integers(method: str, what: str, numbers: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iu":
        raise TheoryError(f"World.{method}: expected {what} numbers, got {array.dtype}")
    return array.astype(np.int64)


def _frozen(array: Column) -> Column:
    array.flags.writeable = False
    return array


def _seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0:
        raise TheoryError(f"World.seed: expected an integer >= 0, got {seed!r}")
    return operator.index(seed)

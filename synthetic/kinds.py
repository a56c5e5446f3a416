"""The kinds of document that a world is told in. Each turns facts into lines, its documents numbered from 0."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from synthetic.gathering import gather, in_a_row
from synthetic.lexicon import Ints, Lexicon, Lines
from synthetic.text_spec import TextSpec
from theory.world import World


@dataclass(frozen=True)
class Teller:
    """Who tells: a world, the wording, and the chance behind every choice."""

    world: World
    text: TextSpec
    lexicon: Lexicon
    rng: np.random.Generator

    def slots(self, facts: Ints) -> dict[str, Ints]:
        world, lexicon = self.world, self.lexicon
        return {
            "s": lexicon.subject(world.subject[facts]),
            "r": lexicon.relation(world.relation[facts]),
            "a": lexicon.answer(world.answer[facts]),
        }


def share_out(keys: Ints, facts: Ints, longest: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Document and place of each mention: documents of one key, of 1 to `longest` mentions, with no fact twice."""
    shuffled = rng.permutation(int(facts.max()) + 1)[facts]
    order = np.lexsort((shuffled, keys))
    _, key, size = np.unique(keys[order], return_inverse=True, return_counts=True)
    _, fact, repeats = np.unique(np.stack([keys, facts]), axis=1, return_inverse=True, return_counts=True)
    most = np.zeros(len(size), np.int64)
    np.maximum.at(most, key, repeats[fact.ravel()[order]])
    count = np.maximum(-(-size // longest), most)  # of documents about a key: deal to them in turn
    dealt = np.arange(len(facts)) - np.repeat(np.cumsum(size) - size, size)
    whole = (np.cumsum(count) - count)[key] + dealt % count[key]

    mixed = np.lexsort((rng.random(len(facts)), whole))
    lengths = np.bincount(whole)
    place = np.empty(len(facts), np.int64)
    place[mixed] = np.arange(len(facts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cut = rng.integers(lengths)  # and cut each in two, so that all lengths occur
    document = np.empty(len(facts), np.int64)
    document[order] = 2 * whole + (place >= cut[whole])
    places = np.empty(len(facts), np.int64)
    places[order] = place
    return document, places


def sentences(teller: Teller, document: Ints, place: Ints, **slots: Ints) -> list[Lines]:
    """One plain sentence a number, each in a template drawn at random."""
    templates = teller.text.templates
    drawn = teller.rng.integers(len(templates), size=len(document))
    return [
        teller.lexicon.write(
            template, document[some], place[some], **{name: slot[some] for name, slot in slots.items()}
        )
        for number, template in enumerate(templates)
        for some in [np.flatnonzero(drawn == number)]
    ]


def statements(teller: Teller, facts: Ints, longest: int) -> list[Lines]:
    document, place = share_out(np.zeros_like(facts), facts, longest, teller.rng)
    return sentences(teller, document, place, **teller.slots(facts))


def lists(teller: Teller, facts: Ints, longest: int) -> list[Lines]:
    relations = teller.world.relation[facts].astype(np.int64)
    document, place = share_out(relations, facts, longest, teller.rng)
    return _about_one(teller, facts, document, place, "r", "list")


def biographies(teller: Teller, facts: Ints, longest: int) -> list[Lines]:
    subjects, text = teller.world.subject[facts].astype(np.int64), teller.text
    if text.gathered:
        document, place = gather(subjects, facts, text.gathered, longest, teller.rng)
    else:
        document, place = share_out(subjects, facts, longest, teller.rng)
    head, lines = _about_one(teller, facts, document, place, "s", "biography")
    if text.in_a_row == 1:
        return [head, lines]
    _, first, of = np.unique(document, return_index=True, return_inverse=True)
    types = teller.world.subject_type[subjects[first]].astype(np.int64)
    row, after = in_a_row(subjects[first], types, text.in_a_row, teller.rng)
    room = int(place.max()) + 2  # places of a text, its head before them
    return [
        replace(head, document=row, place=after * room - 1),
        replace(lines, document=row[of], place=after[of] * room + place),
    ]


def _about_one(teller: Teller, facts: Ints, document: Ints, place: Ints, slot: str, kind: str) -> list[Lines]:
    """A head that names what all lines share, then a line a fact."""
    slots = teller.slots(facts)
    numbers, first = np.unique(document, return_index=True)
    head = teller.lexicon.write(
        getattr(teller.text, kind + "_head"), numbers, np.full(len(numbers), -1), **{slot: slots[slot][first]}
    )
    return [head, teller.lexicon.write(getattr(teller.text, kind + "_line"), document, place, **slots)]


def questions(teller: Teller, facts: Ints, longest: int) -> list[Lines]:
    document, place = share_out(teller.world.relation[facts].astype(np.int64), facts, longest, teller.rng)
    return [
        teller.lexicon.write(
            f"{teller.text.question} {teller.text.answer}", document, place, **teller.slots(facts)
        )
    ]


def thoughts(teller: Teller, facts: Ints, through: Ints) -> list[Lines]:
    """A document a fact: question, what it rests on, answer. Where `through` is not -1 that is two facts, the base
    fact `through` and what follows from its answer; elsewhere it is the fact itself."""
    world, text, lexicon = teller.world, teller.text, teller.lexicon
    document, slots = np.arange(len(facts)), teller.slots(facts)
    zero = np.zeros_like(document)
    plain, hops = np.flatnonzero(through < 0), np.flatnonzero(through >= 0)
    lines = [lexicon.write(text.think, document, zero, **slots)]
    lines += sentences(teller, plain, zero[plain] + 1, **{name: slot[plain] for name, slot in slots.items()})
    lines += sentences(teller, hops, zero[hops] + 1, **teller.slots(through[hops]))
    bridge = lexicon.answer(world.answer[through[hops]])
    lines += sentences(teller, hops, zero[hops] + 2, s=bridge, r=slots["r"][hops], a=slots["a"][hops])
    return [*lines, lexicon.write(text.conclude, document, zero + 3, **slots)]


def verifications(teller: Teller, facts: Ints) -> list[Lines]:
    """A claim a document, true or false at even odds; only yes and no are to be predicted."""
    world, lexicon, rng = teller.world, teller.lexicon, teller.rng
    document, slots = np.arange(len(facts)), teller.slots(facts)
    true = rng.random(len(facts)) < 0.5
    claimed = np.where(true, world.answer[facts], _other_answers(world, facts, rng))
    claim = lexicon.write(
        teller.text.claim, document, document * 0, s=slots["s"], r=slots["r"], a=lexicon.answer(claimed)
    )
    verdict = np.where(true, lexicon.phrase("yes"), lexicon.phrase("no"))
    end = lexicon.write(teller.text.end, document, document * 0 + 2)
    return [claim.silent(), lexicon.write("{v}", document, document * 0 + 1, v=verdict), end]


def _other_answers(world: World, facts: Ints, rng: np.random.Generator) -> Ints:
    """A wrong answer of the right relation, drawn from the prior, for each fact."""
    other = np.asarray(world.answer[facts], np.int64).copy()
    for relation in np.unique(world.relation[facts]):
        pool = world.pool(int(relation))
        law = world.prior(int(relation))
        wrong = np.flatnonzero(world.relation[facts] == relation)
        while len(wrong):
            other[wrong] = pool.start + rng.choice(len(pool), size=len(wrong), p=law / law.sum())
            wrong = wrong[other[wrong] == world.answer[facts[wrong]]]
    return other


def links(teller: Teller, count: int) -> list[Lines]:
    """What derived relations make of the answers of their base relations, a sentence a document."""
    world, lexicon = teller.world, teller.lexicon
    derived = np.flatnonzero(world.base_relation >= 0)
    if not len(derived) or not count:
        return []
    steps = [
        (relation, bridge, answer)
        for relation in derived.tolist()
        for bridge, answer in zip(
            world.pool(world.base_relation[relation]), world.map_of(relation), strict=True
        )
    ]
    r, s, a = np.array(steps, np.int64)[np.arange(count) % len(steps)].T
    document = np.arange(count)
    return sentences(
        teller, document, document * 0, s=lexicon.answer(s), r=lexicon.relation(r), a=lexicon.answer(a)
    )

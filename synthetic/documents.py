"""A world told in documents: a fact of exposure k is stated exactly k times, one of exposure 0 not once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthetic import kinds
from synthetic.gathering import evenly, nth
from synthetic.kinds import Teller
from synthetic.lexicon import Ints, Lexicon, Lines
from synthetic.packing import Documents
from synthetic.text_spec import KINDS, TextSpec
from synthetic.vocabulary import Vocabulary
from theory.world import World


def write_documents(world: World, text: TextSpec, vocabulary: Vocabulary, seed: int) -> Documents:
    """All documents about a world, kind by kind. The same seed gives the same documents.

    Claims to verify and links come on top of the mentions. Claims are about stated facts and only their yes or no is to
    be predicted; links speak of answers, not of subjects.

    >>> from synthetic import TextSpec, Vocabulary
    >>> from theory import WorldSpec, make_world
    >>> world, text = make_world(WorldSpec(subjects=4, never_seen=0, relations=2), seed=0), TextSpec()
    >>> vocabulary = Vocabulary.of(world, text)
    >>> told = write_documents(world, text, vocabulary, seed=0)
    >>> len(told)
    540
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x7E87]))
    teller = Teller(world, text, Lexicon(world, vocabulary), rng)
    told = np.array([getattr(text, kind) for kind in KINDS])
    mentions = rng.permutation(np.repeat(np.arange(len(world)), world.exposure))
    share = told / told.sum()

    thought = round(len(mentions) * share[-1])
    facts, through, rest = _with_bases(world, mentions[:thought], mentions[thought:])
    cuts = np.round(np.cumsum(share[:-1]) / max(1 - share[-1], 1e-12) * len(rest)).astype(int)
    parts = np.split(rest, cuts[:-1])
    if text.gathered:
        parts = _told_evenly(world, rest, parts, rng)
    every: list[list[Lines]] = [
        tell(teller, part, longest)
        for tell, part, longest in zip(
            (kinds.statements, kinds.lists, kinds.biographies, kinds.questions),
            parts,
            text.together,
            strict=True,
        )
        if len(part)
    ]
    if len(facts):
        every.append(kinds.thoughts(teller, facts, through))
    if claims := round(len(mentions) * text.verifications):
        every.append(kinds.verifications(teller, rng.choice(mentions, claims)))
    every.append(kinds.links(teller, round(len(mentions) * text.links)))
    return teller.lexicon.documents(_numbered(every))


def _told_evenly(world: World, rest: Ints, parts: list[Ints], rng: np.random.Generator) -> list[Ints]:
    """Parts of the same sizes, the third with each subject's facts in equal numbers as far as that goes."""
    statements, lists, biographies, questions = parts
    taken = evenly(world, rest, biographies, rng)
    cuts = np.cumsum([len(statements), len(lists)])
    statements, lists, questions = np.split(rng.permutation(rest[~taken]), cuts)
    return [statements, lists, rest[taken], questions]


def _with_bases(world: World, thought: Ints, rest: Ints) -> tuple[Ints, Ints, Ints]:
    """For each derived fact that is thought about a mention of its base fact, taken out of `rest` as long as it has
    one: facts, base facts (-1 without), and what is left of `rest`."""
    base = world.base_fact[thought]
    left = np.bincount(rest, minlength=len(world))
    through = np.where((base >= 0) & (nth(base) < left[np.maximum(base, 0)]), base, -1)
    spent = np.bincount(through[through >= 0], minlength=len(world))
    return thought, through, rest[nth(rest) >= spent[rest]]


def _numbered(every: list[list[Lines]]) -> list[Lines]:
    """Document numbers that do not collide from one kind to the next."""
    lines: list[Lines] = []
    start = 0
    for some in every:
        lines += [replace(part, document=part.document + start) for part in some]
        start += 1 + max((int(part.document.max(initial=-1)) for part in some), default=-1)
    return lines

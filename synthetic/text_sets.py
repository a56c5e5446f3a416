"""The training sets of long-form text about one set of subjects, by their names in the vocabulary (`trained_on`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthetic.beliefs import Claims, statement, states_of
from synthetic.biographies import MALFORMED, Texts, gold, true_claims
from synthetic.errors import SyntheticError
from synthetic.filters import as_many, best_texts, cut, first_texts, longest, noisy_support
from synthetic.long_form import Desk, tuning
from synthetic.model import Weights
from synthetic.split import split
from synthetic.train import train
from theory.probe import fit_probe

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

SAMPLES = 6  # texts that the base writes about each subject
THRESHOLD = 0.5  # believed: more likely than not
READINGS = 16  # texts about each training subject that the better-informed model reads on top of the base's
BETTER_RATE = 1.0  # of the rate of pretraining, at which it reads them


@dataclass(frozen=True, eq=False)
class Library:
    """Texts about the training subjects and what the base believes of them; all but `own` have one text a subject."""

    desk: Desk

    def rng(self, name: str) -> np.random.Generator:
        """Chance that depends on the seed of the base and a name alone."""
        return np.random.default_rng(np.random.SeedSequence([self.desk.base.seed, 0xB10, *name.encode()]))

    @cached_property
    def own(self) -> Texts:
        """SAMPLES texts of the base about each subject, side by side."""
        return self.desk.script.write(
            self.desk.base.weights, self.desk.learnt, draws=SAMPLES, seed=self.desk.draw("own")
        )

    @cached_property
    def own_claims(self) -> Claims:
        """Those of `own`, each once."""
        return Claims(self.desk.base, self.own)

    @cached_property
    def generated(self) -> Texts:
        """The longest of each subject's, without its malformed lines."""
        texts = longest(self.own, SAMPLES)
        return texts.keep(texts.relation != MALFORMED)

    @cached_property
    def gold(self) -> Texts:
        return gold(self.desk.base, self.desk.learnt, self.rng("gold"))

    @cached_property
    def better(self) -> Texts:
        """Texts of the better-informed model, as long as the generated ones."""
        weights = better_informed(self)
        texts = self.desk.script.write(
            weights, self.desk.learnt, draws=SAMPLES, seed=self.desk.draw("better")
        )
        return cut(longest(texts, SAMPLES), self.generated.claims, self.rng("better"))

    @cached_property
    def own_belief(self) -> Array:
        """(claims of own,)"""
        return statement(self.own_claims)

    @cached_property
    def belief(self) -> Array:
        """(claims of generated,)"""
        return statement(Claims(self.desk.base, self.generated))

    @cached_property
    def true(self) -> Flags:
        """(claims of generated,)"""
        return true_claims(self.desk.base, self.generated)

    @cached_property
    def believed(self) -> Texts:
        return self.generated.keep(self.belief > THRESHOLD)

    @cached_property
    def believed_gold(self) -> Texts:
        return self.gold.keep(statement(Claims(self.desk.base, self.gold)) > THRESHOLD)

    @cached_property
    def labelled(self) -> tuple[Array, Flags]:
        """Hidden states (labels, features) of the distinct claims of `own`, and are they true?"""
        claims = self.own_claims
        return states_of(claims), claims.distinct(true_claims(self.desk.base, self.own))

    @property
    def labelled_as_said(self) -> tuple[Array, Flags]:
        """The same, each claim as often as it is said, as it is judged; of distinct claims fewer are true."""
        (states, right), claims = self.labelled, self.own_claims
        said = claims.spread(np.arange(len(right), dtype=np.float64))[claims.well].astype(np.int64)
        return states[said], right[said]


def text_set(found: Library, name: str) -> Texts:
    """The texts of that name; those left without a claim are not read."""
    made = _SETS.get(name)
    if made is not None:
        return made(found)
    source, _, cutting = name.rpartition("+")
    if cutting == "random" and source in _SETS:
        return cut(text_set(found, source), found.believed.claims, found.rng(name))
    raise SyntheticError(f"long-form text {name!r} is not known; take one of {', '.join(_SETS)}")


def better_informed(found: Library) -> Weights:
    """The base after it has read more about the training subjects: READINGS texts about each, with a random number of
    its facts, those among them that the base was never told."""
    desk, base = found.desk, found.desk.base
    rng = found.rng("read")
    subjects = np.repeat(desk.learnt, READINGS)
    texts = gold(base, subjects, rng)
    place = np.arange(len(texts.of)) % base.world.spec.relations
    stop = rng.integers(1, base.world.spec.relations + 1, len(texts))
    how = replace(tuning(base), rate=BETTER_RATE * base.setup.pretrain.rate, epochs=1, decay="linear")
    documents = desk.script.documents(texts.keep(place < stop[texts.of]))
    return train(base.weights, base.spec, documents, how).weights


def _by_probe(found: Library) -> Texts:
    """As many claims as are believed, by a probe whose labels are claims about subjects of `dev`."""
    base = found.desk.base
    held = np.unique(base.world.subject[split(base).dev])
    others = found.desk.script.write(base.weights, held, draws=SAMPLES, seed=found.desk.draw("labels"))
    claims = Claims(base, others)
    fitted = fit_probe(states_of(claims), claims.distinct(true_claims(base, others)))
    own = Claims(base, found.generated)
    score = own.spread(fitted(states_of(own)))
    return found.generated.keep(as_many(score, len(found.believed.of)))


def _whole(found: Library, scores: Array | Flags) -> Texts:
    """Of each subject's texts the one whose claims score best on average."""
    return best_texts(found.own, scores, SAMPLES, found.generated.claims)


def _support(coverage: float, noise: float) -> Callable[[Library], Texts]:
    def supported(found: Library) -> Texts:
        rng = found.rng(f"support {coverage} {noise}")
        return found.generated.keep(noisy_support(found.true, coverage, noise, rng))

    return supported


_SETS: Mapping[str, Callable[[Library], Texts]] = {
    "gold": lambda found: found.gold,
    "gold+belief": lambda found: found.believed_gold,
    "generated": lambda found: found.generated,
    "generated:first": lambda found: first_texts(found.own, SAMPLES),
    "generated+support": lambda found: found.generated.keep(found.true),
    "generated+belief": lambda found: found.believed,
    "generated+belief+support": lambda found: found.generated.keep((found.belief > THRESHOLD) & found.true),
    "generated+belief:probe": _by_probe,
    "generated+belief:document": lambda found: _whole(found, found.own_belief),
    "generated+support:document": lambda found: _whole(found, true_claims(found.desk.base, found.own)),
    "generated+support:coverage0.7": _support(0.7, 0.0),
    "generated+support:coverage0.4": _support(0.4, 0.0),
    "generated+support:noise0.1": _support(1.0, 0.1),
    "generated+support:noise0.3": _support(1.0, 0.3),
    "better": lambda found: found.better,
}

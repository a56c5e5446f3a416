"""The training texts of the study `beliefs`, by their names in the vocabulary (`trained_on`).

All are about the same people. `gold` is told from the table of facts, or read from a file; `generated` is the longest
of the untuned model's own texts. A name that ends in +random has claims dropped until each text has as many as
`generated+belief` has about that person, or all it has if those are fewer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_facts import Facts
from realmodels.bios_files import Bio, Stated, with_claims
from realmodels.bios_filter import at_random, kept_by, read_rules
from realmodels.bios_score import supported
from realmodels.bios_split import Splitter
from realmodels.errors import RealmodelsError
from theory.matching import normalize

SETS = (
    "gold",
    "gold+random",
    "gold+belief",
    "gold+belief+random",
    "generated",
    "generated+random",
    "generated+support",
    "generated+support+random",
    "generated+belief",
)
BELIEF = "belief"  # under which the chosen signal stands in the claims of a library


@dataclass(frozen=True, eq=False)
class Library:
    """`gold` has one text a person, `own` the untuned model's texts, all with claims, verdicts and the belief by which
    is filtered; `keep` is the share of claims that belief keeps."""

    gold: tuple[Bio, ...]
    own: tuple[Bio, ...]
    keep: float
    seed: int

    @cached_property
    def generated(self) -> tuple[Bio, ...]:
        """Of each person's texts the one with the most claims, the first among equals."""
        best: dict[str, Bio] = {}
        for bio in self.own:
            if bio.name not in best or len(bio.stated) > len(best[bio.name].stated):
                best[bio.name] = bio
        return tuple(best.values())

    @cached_property
    def believed(self) -> tuple[Bio, ...]:
        return self._kept(self.generated, BELIEF)

    def texts(self, name: str) -> tuple[Bio, ...]:
        """The texts of that name; some may have no claim left."""
        if name not in SETS:
            raise RealmodelsError(f"beliefs: no training texts '{name}'; known are {', '.join(SETS)}")
        source, *filters = name.split("+")
        found = self.gold if source == "gold" else self.generated
        for one in filters:
            found = self._cut(found, name) if one == "random" else self._kept(found, one)
        return found

    def _kept(self, bios: Sequence[Bio], how: str) -> tuple[Bio, ...]:
        (rule,) = read_rules("support" if how == "support" else f"belief:{BELIEF}", (BELIEF,))
        return kept_by(bios, rule, top=None if how == "support" else self.keep)

    def _cut(self, bios: Sequence[Bio], name: str) -> tuple[Bio, ...]:
        wanted = {bio.name: bio.stated for bio in self.believed}
        like = [replace(bio, claims=wanted.get(bio.name, ())) for bio in bios]
        mark = int(np.random.SeedSequence([self.seed, *name.encode()]).generate_state(1)[0])
        return at_random(bios, like, mark)


def told(
    names: Sequence[str], facts: Facts, line: str, prompts: Mapping[str, str], seed: int
) -> tuple[Bio, ...]:
    """Gold texts: every fact of a person in a line of its own wording, in an order of chance."""
    found = []
    for name in names:
        own = facts.about(name)
        rng = np.random.default_rng(np.random.SeedSequence([seed, *normalize(name).encode()]))
        said = [worded(line, name, own[i].relation, own[i].objects[0]) for i in rng.permutation(len(own))]
        found.append(Bio(f"{name}#gold", name, prompts[name], " ".join(said)))
    return tuple(found)


def worded(line: str, name: str, relation: str, object: str) -> str:
    """A fact in the words of a template with {relation}, {object} and perhaps {name}."""
    parts = {"{name}": name, "{relation}": relation.replace("_", " "), "{object}": object}
    for slot, value in parts.items():
        line = line.replace(slot, value.replace("{", "("))
    return line


def claimed(bios: Sequence[Bio], splitter: Splitter, facts: Facts) -> tuple[Bio, ...]:
    """Split and held against the table."""
    cut = [with_claims(b, [Stated(c.text, c.sentence) for c in splitter(b.text, b.name)]) for b in bios]
    return supported(cut, facts)


def with_belief(bios: Sequence[Bio], values: NDArray[np.float64]) -> tuple[Bio, ...]:
    """`values`, one a claim, as the belief by which is filtered."""
    found, at = [], 0
    for bio in bios:
        claims = []
        for claim in bio.stated:
            own = float(values[at])
            claims.append(replace(claim, belief={BELIEF: own} if np.isfinite(own) else {}))
            at += 1
        found.append(with_claims(bio, claims))
    return tuple(found)

"""How a judge is asked whether a claim is true: from a passage that it reads, or from its own memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realmodels.errors import RealmodelsError


@dataclass(frozen=True)
class Shown:
    """A claim with its verdict, shown before the one that is asked; none is about a person of FActScore's lists."""

    name: str
    passage: str
    claim: str
    true: bool


SHOWN: Sequence[Shown] = (
    Shown(
        "Paris",
        "Paris is the capital of France and lies on the Seine.",
        "Paris is the capital of France.",
        True,
    ),
    Shown("Mount Fuji", "Mount Fuji is a volcano on Honshu in Japan.", "Mount Fuji is in Peru.", False),
    Shown(
        "The Moon",
        "The Moon has no light of its own and goes around the Earth.",
        "The Moon is a star.",
        False,
    ),
    Shown("The Danube", "The Danube is a river that ends in the Black Sea.", "The Danube is a river.", True),
)


@dataclass(frozen=True)
class Wording:
    """`memory` and `reading` are the questions, with {name}, {claim} and {passage}; `yes` and `no` their answers."""

    memory: str = "Subject: {name}\nClaim: {claim}\nTrue or False?"
    reading: str = "Passage about {name}: {passage}\nClaim: {claim}\nTrue or False?"
    yes: str = "True"
    no: str = "False"
    shown: Sequence[Shown] = SHOWN

    def __post_init__(self) -> None:
        for text in (self.memory, self.reading):
            if "{claim}" not in text:
                raise RealmodelsError(f"--ask: expected {{claim}} in it, got {text!r}")
        if not self.yes.strip() or not self.no.strip() or self.yes == self.no:
            raise RealmodelsError(
                f"--yes, --no: expected two different words, got {self.yes!r} and {self.no!r}"
            )

    def prompt(self, name: str, claim: str, passage: str | None = None) -> str:
        """Up to where the verdict comes; without a passage the judge answers from memory."""
        before = "".join(
            f"{self._asked(one.name, one.claim, None if passage is None else one.passage)} "
            f"{self.yes if one.true else self.no}\n\n"
            for one in self.shown
        )
        return before + self._asked(name, claim, passage)

    def _asked(self, name: str, claim: str, passage: str | None) -> str:
        template = self.memory if passage is None else self.reading
        fields = {"{name}": name, "{claim}": claim, "{passage}": passage or ""}
        parts = _fields(template)
        return "".join(" ".join(fields[part].split()) if part in fields else part for part in parts)


USUAL = Wording()


def own_wording(ask: str | None, yes: str, no: str) -> Wording:
    """The usual one, or a question of one's own with nothing shown before it."""
    if ask is None:
        return Wording(yes=yes, no=no)
    return Wording(ask, ask if "{passage}" in ask else USUAL.reading, yes, no, ())


def _fields(template: str) -> list[str]:
    """A template in pieces; names and claims may hold braces."""
    import re

    return re.split(r"(\{name\}|\{claim\}|\{passage\})", template)

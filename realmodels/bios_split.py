"""Texts into claims, each naming its person so that it can be judged alone; splitters by name, or one's own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realmodels.bios_atoms import claims_of
from realmodels.bios_clauses import clauses
from realmodels.bios_sentences import sentences
from realmodels.bios_shield import named, shielded, unshielded
from realmodels.errors import RealmodelsError
from theory.schema import nearest


@dataclass(frozen=True)
class Claim:
    """One statement of a text; `sentence` is the place of its sentence."""

    text: str
    sentence: int


Splitter = Callable[[str, str], tuple[Claim, ...]]  # of a text and its person's name


def by_rules(text: str, name: str) -> tuple[Claim, ...]:
    """The atomic claims of a text."""
    return _each_sentence(sentences(text), name, atoms)


def by_sentences(text: str, name: str) -> tuple[Claim, ...]:
    """Whole sentences, each with its person named."""
    return _each_sentence(sentences(text), name, whole)


def by_lines(text: str, name: str) -> tuple[Claim, ...]:
    """What stands between full stops with a space before them: the texts of a pocket model."""
    parts = [" ".join(part.split()) for part in f" {text} ".split(" . ")]
    return _each_sentence([part for part in parts if part], name, lambda part, _: [f"{part} ."])


def _each_sentence(
    found: Sequence[str], name: str, splitter: Callable[[str, str], list[str]]
) -> tuple[Claim, ...]:
    """Each claim once, at its first sentence."""
    made: dict[str, Claim] = {}
    for place, sentence in enumerate(found):
        for claim in splitter(sentence, name):
            made.setdefault(claim, Claim(claim, place))
    return tuple(made.values())


def whole(sentence: str, name: str) -> list[str]:
    """The sentence itself, with its person named."""
    return [named(sentence, name)]


def atoms(sentence: str, name: str) -> list[str]:
    """The atomic claims of a sentence."""
    text = sentence.strip().rstrip(".!?;: ")
    found: list[str] = []
    for clause in clauses(shielded(text)):
        found += claims_of(clause)
    told = (named(unshielded(claim), name) for claim in found)
    return list(dict.fromkeys(claim for claim in told if len(claim.split()) > 1)) or whole(sentence, name)


SPLITTERS: Mapping[str, Splitter] = {"rules": by_rules, "sentences": by_sentences, "lines": by_lines}


def splitter_named(name: str) -> Splitter:
    """One of SPLITTERS, or MODULE:FUNCTION of one's own: of a text and a name to texts of claims."""
    _, colon, _ = name.partition(":")
    if not colon:
        if name not in SPLITTERS:
            raise RealmodelsError(
                f"--splitter: unknown '{name}'{nearest(name, SPLITTERS)}; or give MODULE:FUNCTION"
            )
        return SPLITTERS[name]
    own = imported("--splitter", name)
    return lambda text, about: tuple(Claim(str(claim), 0) for claim in own(text, about))


def imported(flag: str, name: str) -> Callable[..., Any]:
    """MODULE:FUNCTION, from where Python finds modules or from the current folder."""
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as problem:
        raise RealmodelsError(f"{flag} {name}: cannot be imported ({problem})") from None
    finally:
        sys.path.remove("")
    if not callable(found):
        raise RealmodelsError(f"{flag} {name}: is no function")
    return found

"""Support by structured facts: a table of subject, relation and object, held against what a claim says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realmodels.bios_words import words_of
from realmodels.errors import RealmodelsError
from realmodels.rows import iter_rows
from realmodels.tables import kind_of, read_table
from theory.matching import match, normalize
from theory.schema import shown

WORDS = "words"  # our own rule: an alias stands in the claim as whole words, in SQuAD's form
_QUESTION = words_of(
    "what which who whom whose why where when how is was are were does do did the a an of in on at to by from for "
    "has have s name"
)
_ENDING = re.compile(r"(?:ing|ed|s|er|or|ion)$")


@dataclass(frozen=True)
class Fact:
    """`objects` are the accepted names of what `relation` gives for the subject; `cues` are words that a claim about
    this relation uses (none: unknown)."""

    relation: str
    objects: tuple[str, ...]
    cues: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """`support` is None where the table says nothing; `relation` and `object` are the fact that was stated, or
    `relation` is the one that was told otherwise."""

    support: bool | None
    relation: str = ""
    object: str = ""


@dataclass(frozen=True)
class Facts:
    """Facts by the folded name of their subject, and the words of all relations, whoever has them."""

    of: Mapping[str, tuple[Fact, ...]]
    matcher: str = WORDS
    cues: frozenset[str] = frozenset()
    _forms: dict[str, str] = field(default_factory=dict, repr=False)

    def about(self, name: str) -> tuple[Fact, ...]:
        return self.of.get(normalize(name), ())

    def judge(self, claim: str, name: str) -> Verdict:
        """A claim that uses a relation's words is judged by that relation alone: supported if it names its object, else
        not. Of a relation that is told of others alone the table says nothing. A claim in words of none is supported by
        any object, and else the table says nothing."""
        said = f" {normalize(claim)} "
        own = self.about(name)
        bare = frozenset(map(_root, _without(said, name).split()))
        meant = [fact for fact in own if fact.cues & bare]
        for fact in meant or (() if self.cues & bare else own):
            if (found := self._object(claim, said, name, fact)) is not None:
                return Verdict(True, fact.relation, found)
        return Verdict(False, meant[0].relation) if meant else Verdict(None)

    def _object(self, claim: str, said: str, name: str, fact: Fact) -> str | None:
        if self.matcher == WORDS:
            inside = _without(said, name)
            return next((alias for alias in fact.objects if f" {normalize(alias)} " in inside), None)
        return next((alias for alias in fact.objects if match(claim, (alias,), self.matcher)), None)


def read_facts(source: str | Path, mapping: Mapping[str, str] | None = None, matcher: str = WORDS) -> Facts:
    """Facts of rows with subject, relation and object, or of any data that `audit` reads, if its rows have a subject;
    objects are then their answers. A relation's words are those of its name (P19 has none) and of its questions."""
    from theory.matching import MATCHERS
    from theory.schema import nearest

    if matcher != WORDS and matcher not in MATCHERS:
        raise RealmodelsError(f"--matcher: unknown '{matcher}'{nearest(matcher, [WORDS, *MATCHERS])}")
    if triples := triples_in(Path(source)):
        return facts_from(triples, matcher)
    rows = [row for row in iter_rows(source, mapping) if row.subject]
    if not rows:
        raise RealmodelsError(
            f"{source}: no row has a subject, so there are no facts in it; --map subject=COLUMN names its column"
        )
    return facts_from(
        ((str(row.subject), row.relation or "", row.answers, row.question) for row in rows), matcher
    )


def triples_in(path: Path) -> list[tuple[str, str, Sequence[str], str]]:
    """Rows of subject, relation and object (a text or a list of names); none if the file is of another kind."""
    if not path.is_file() or kind_of(path) == "text":
        return []
    found: list[tuple[str, str, Sequence[str], str]] = []
    for line, row in read_table(path):
        if not {"subject", "object"} <= row.keys():
            return []
        objects = [row["object"]] if isinstance(row["object"], str) else row["object"]
        good = (
            isinstance(objects, list) and objects and all(isinstance(o, str) and o.strip() for o in objects)
        )
        for name, fine in (
            ("object", good),
            ("subject", isinstance(row["subject"], str) and row["subject"].strip()),
        ):
            if not fine:
                raise RealmodelsError(
                    f"{path}:{line}: field '{name}': expected a name, got {shown(row[name])}"
                )
        found.append((row["subject"], str(row.get("relation") or ""), objects, ""))
    return found


def facts_from(rows: Iterable[tuple[str, str, Sequence[str], str]], matcher: str = WORDS) -> Facts:
    """From (subject, relation, objects, question)."""
    found: dict[str, dict[str, list[str]]] = {}
    cues: dict[str, set[str]] = {}
    for subject, relation, objects, question in rows:
        own = found.setdefault(normalize(subject), {}).setdefault(relation, [])
        own += [name for name in objects if name not in own]
        told = set(_roots(_without(f" {normalize(question)} ", subject)))
        known = cues.get(relation)
        cues[relation] = told if known is None else known & told
    by_name = {relation: frozenset(cues[relation] | set(_roots(_spoken(relation)))) for relation in cues}
    shared = {cue for cue in set().union(*by_name.values()) if len(by_name) > 1 and _in_all(cue, by_name)}
    return Facts(
        {
            subject: tuple(
                Fact(relation, tuple(objects), by_name[relation] - shared)
                for relation, objects in own.items()
            )
            for subject, own in found.items()
        },
        matcher,
        frozenset().union(*by_name.values()) - shared,
    )


def _in_all(cue: str, by_name: Mapping[str, frozenset[str]]) -> bool:
    return all(cue in cues for cues in by_name.values())


def _spoken(relation: str) -> str:
    """place_of_birth -> place of birth; P19 says nothing."""
    return "" if re.fullmatch(r"P\d+", relation) else normalize(relation.replace("_", " "))


def _roots(text: str) -> list[str]:
    return [_root(word) for word in text.split() if word not in _QUESTION]


def _root(word: str) -> str:
    """born; director, directed and directs are one word, and so are die, dies and died."""
    if word[1:] in ("ies", "ied"):
        return word[:3]
    return _ENDING.sub("", word) if len(word) > 4 else word


def _without(said: str, name: str) -> str:
    """A normalised text without the words of the name, which are no news."""
    full = f" {normalize(name)} "
    return said.replace(full, " ") if full.strip() else said

"""Clauses into claims: times and origins stand alone, lists are dealt out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from realmodels.bios_clauses import Clause
from realmodels.bios_lists import APART, dealt
from realmodels.bios_shield import TIME
from realmodels.bios_words import BE, DEMONYM, PREPOSITIONS


def claims_of(clause: Clause | str) -> Iterator[str]:
    """The claims of a clause."""
    if isinstance(clause, str):
        yield clause
        return
    rest, times = clause.rest, list(clause.when)
    for match in TIME.finditer(f" {rest}"):
        times += _each(match[0].strip(" ,"))
    bare = TIME.sub("", f" {rest}").strip(" ,")
    for time in times:
        yield " ".join((clause.subject, clause.verb, *_short(bare), time))
    if times and (not bare or (clause.verb in BE and " " not in bare)):
        return  # was born, was released: nothing without the time
    start = f"{clause.subject} {clause.verb}"
    for told in dealt(bare):
        if told.startswith(APART):
            yield told.removeprefix(APART)
        else:
            yield from _plain(clause, start, told)


def _each(time: str) -> list[str]:
    """in 2017 and 2018 -> in 2017, in 2018."""
    preposition, _, rest = time.partition(" ")
    if preposition == "between" or " and " not in rest:
        return [time]
    return [f"{preposition} {part}" for part in rest.split(" and ")]


def _short(rest: str) -> tuple[str, ...]:
    """The rest up to its first preposition or comma: what a time is said of."""
    words = []
    for word in rest.split():
        if word in PREPOSITIONS:
            break
        words.append(word.rstrip(","))
        if word.endswith(","):
            break
    return tuple(words)


_PEOPLE = re.compile(
    rf"(?:(an?|the)\s)?((?:former|retired|professional|famous|renowned|acclaimed)\s)?((?:{DEMONYM}[\s-])+|New\sZealand\s)(?=[a-z])(.*)$"
)


def _plain(clause: Clause, start: str, rest: str) -> Iterator[str]:
    """One claim, or what it is made of: nationality, examples."""
    if not rest:
        yield start
        return
    be = clause.verb.split()[0] in BE
    if be and (people := _PEOPLE.match(rest)):
        article, before, which, after = people.groups()
        yield f"{start} {which.strip()}"
        yield from _plain(clause, start, f"{article or ''} {before or ''}{after}".strip())
        return
    if be and (more := re.match(r"(\S.*?\S),?\s((?:born|based|formed|founded|raised)\s.*)$", rest)):
        yield from _plain(clause, start, more[1])
        yield from claims_of(Clause(clause.subject, "was", more[2]))
        return
    if be and (home := re.match(r"(an?\s[^,]*?)\s(from\s[A-Z][^,]*)$", rest)):
        yield f"{start} {home[1]}"
        yield f"{start} {home[2]}"
        return
    if place := re.match(r"(.*\s?in)\s([A-Z][^,]*),\s([A-Z][^,]*)(?:,\s([A-Z][^,]*))?$", rest):
        yield f"{start} {place[1]} {place[2]}"
        yield f"{place[2]} is in {place[3]}"
        if place[4]:
            yield f"{place[3]} is in {place[4]}"
        return
    yield f"{start} {rest}"

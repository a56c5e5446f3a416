"""Sentences into clauses: a subject, a verb and the rest.

There is no parser: a clause begins at a conjunction, a relative pronoun or a comma with a verb of its own behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from realmodels.bios_shield import COMMA, DATE, GAP
from realmodels.bios_words import (
    ADVERBS,
    BE,
    DETERMINERS,
    HELPERS,
    IRREGULAR,
    NOT_VERBS,
    POSSESSIVES,
    PREPOSITIONS,
    PRONOUNS,
    VERBS,
)


def _is_verb(words: list[str], i: int) -> bool:
    """Whether a finite verb stands here: a known one, or a past form that does not describe the next word."""
    word = words[i].strip(",;")
    if word in VERBS:
        return True
    if not re.fullmatch(r"[a-z]{3,}ed", word) or word in NOT_VERBS:
        return False
    before = words[i - 1].lower() if i else ""
    return not (before in DETERMINERS | POSSESSIVES | BE | PREPOSITIONS or before.endswith(("'s", "ly")))


def _verb(words: list[str]) -> int | None:
    return next((i for i in range(len(words)) if _is_verb(words, i)), None)


@dataclass(frozen=True)
class Clause:
    """Subject, verb and the rest, as one text each; `when` are times that hold for it."""

    subject: str
    verb: str
    rest: str
    when: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.subject, self.verb, self.rest) if part)


_PLACE_WORDS = frozenset(("in", "at", "on", "of"))
_OPENING = re.compile(
    r"^(?:(?:However|Overall|Additionally|Furthermore|Moreover|Finally|Later|Currently|Ultimately|Eventually|Also|"
    r"Subsequently|Notably|Sadly|Unfortunately|Interestingly|Today|Then|Initially|Originally|Recently),?\s|"
    r"(?:In\saddition|Along\swith|In\saddition\sto|Apart\sfrom|Aside\sfrom|Besides|Outside|Beyond)(?:\s[^,]*)?,\s)+"
)


def clauses(text: str) -> list[Clause | str]:
    """The clauses of a sentence with their subjects; what has no verb stays as it is."""
    found: list[Clause | str] = []
    notes, text = _parentheses(text)
    text = _OPENING.sub("", text)
    head = re.match(
        r"(?:(In|On|At|During|Since|By|From|Throughout|After|Before|Over|As|With|Despite|Along)\s[^,;]*?),\s(?=\S)",
        text,
    )
    when: tuple[str, ...] = ()
    if head and _verb(text[head.end() :].split()) is not None:
        when = (head[0].rstrip(", "),)
        when = (when[0][0].lower() + when[0][1:],)
        text = text[head.end() :]
    elif opened := re.match(r"(?:Although|Though|While|When|Because|Since)\s([^,]+),\s(?=\S)", text):
        found += clauses(opened[1])
        text = text[opened.end() :]
    if opened := re.match(r"((?:Born|Raised|Based|Educated|Known)\s.+?),\s(?=(?:he|she|they|[A-Z]))", text):
        after = text[opened.end() :]
        if (own := _clause(after, "")) is not None and _PLACE_WORDS.isdisjoint(own.subject.split()):
            found.append(Clause(own.subject, "was", opened[1][0].lower() + opened[1][1:]))
            text = after
    subject, last, be = "", "", False
    for mark, piece in _pieces(text):
        head_of = _last_name(last) if mark in (", who", ", which") and not be else ""
        about = head_of if subject and head_of and not subject.endswith(head_of) else subject
        last = piece
        clause = _clause(piece, about)
        be = clause is not None and clause.verb.split()[0] in BE
        if clause is None:
            found.append(piece)
            continue
        if when:
            clause = Clause(clause.subject, clause.verb, clause.rest, when)
            when = ()
        named, comma, also = clause.subject.partition(", ")
        if comma and also and clause.subject[:1].isupper():
            found.append(Clause(named, "is", also.strip(" ,")))
            clause = replace(clause, subject=named)
        subject = subject or clause.subject
        found.append(clause)
    first = next((one.subject for one in found if isinstance(one, Clause)), "")
    found += [Clause(of or first, verb, rest) for of, verb, rest in notes if of or first]
    return found


def _parentheses(text: str) -> tuple[list[tuple[str, str, str]], str]:
    """What stands in brackets, as notes of subject ('' for the sentence's own), verb and rest; and the text without."""
    notes: list[tuple[str, str, str]] = []

    def note(match: re.Match[str]) -> str:
        inside = match[1].replace(GAP, " ").replace(COMMA, ",").strip()
        before = text[: match.start()].rstrip()
        if born := re.match(r"born\s(.+)", inside):
            notes.append(("", "was", f"born {born[1].replace(' ', GAP)}"))
        elif _verb(before.split()) is None and (
            life := re.fullmatch(rf"({DATE}|\d{{4}})\s*[–-]\s*({DATE}|\d{{4}})", inside)
        ):
            notes.append(("", "was", f"born in {life[1].replace(' ', GAP)}"))
            notes.append(("", "died", f"in {life[2].replace(chr(32), GAP)}"))
        elif re.fullmatch(r"\d{4}", inside) and (title := _last_name(before)):
            notes.append((title, "was", f"released in {inside}"))
        return ""

    return notes, re.sub(r"\s?\(([^()]*)\)", note, text)


def _last_name(before: str) -> str:
    """The title or name that a text ends with."""
    found = re.search(
        r"(\"[^\"]+\"|(?:[A-Z][\w.'’-]*(?:\s(?:of|the|and|in|to|for|a|at|on|with|from|is)(?=\s[A-Z]))*\s?)+)$",
        before,
    )
    return found[1].strip() if found else ""


_START = re.compile(
    r";\s|,?\s(?:and|but|or|then|while|when|where|before|until|because|although|though|so)\s|"
    r",\s(?:who|which)\s|\s(?:who|which|that)\s|,\s(?=[a-z]+ing\s)|,\s(?=(?:best\s|also\s|most\s)?known\s)|"
    r"\s(?=best\sknown\s|known\sfor\s)|,?\s(?=(?:born|based|formed|founded|raised)\s(?:in|on|by|and)\s)|,\s"
)


def _pieces(text: str) -> list[tuple[str, str]]:
    """Where a sentence has another verb of its own behind a conjunction it is parted: the conjunction, the part."""
    found: list[tuple[str, str]] = []
    start, mark = 0, ""
    for match in _START.finditer(text):
        rest = text[match.end() :].split()
        if rest and _starts_clause(match[0], rest, text[: match.start()]):
            found.append((mark, text[start : match.start()].strip(" ,")))
            start, mark = match.end(), match[0].rstrip()
    found.append((mark, text[start:].strip(" ,")))
    return [(mark, piece) for mark, piece in found if piece]


_MADE = ("born", "based", "formed", "founded", "raised")


def _starts_clause(mark: str, rest: list[str], before: str) -> bool:
    words = rest[:]
    while len(words) > 1 and words[0] in ADVERBS | {"since", "who"}:
        words = words[1:]
    word = mark.strip(" ,;")
    if _verb(before.split()) is None:
        return False
    if mark.startswith(";"):
        return _verb(words) is not None
    if word in ("who", "which", "that"):
        return _is_verb(words, 0) and not (
            word == "that" and before.split()[-1].islower() and before.split()[-1] in VERBS
        )
    if words[0] in ("best", "known", "most") and "known" in words[:2]:
        return before.split()[-1] not in BE | ADVERBS | {"best", "most", "and", "became", "well", "widely"}
    if words[0] in _MADE and len(words) > 1 and words[1] in ("in", "on", "by", "and"):
        return before.split()[-1] not in BE | ADVERBS | HELPERS | {"and", "who"}
    if mark == ", " and words[0].endswith("ing"):
        return words[0] not in ("including", "during", "being", "following") and len(words[0]) > 4
    if words[0].lower() in PRONOUNS:
        return len(words) > 1 and _verb(words[1:4]) is not None
    if _is_verb(words, 0):
        return mark.strip() != "," or words[0] not in BE
    return word in ("before", "after", "while", "when") and words[0].endswith("ing")


def _clause(piece: str, subject: str) -> Clause | None:
    """A piece with the subject it has, or else the sentence's."""
    words = piece.split()
    while len(words) > 1 and words[0] in ADVERBS and subject:
        words = words[1:]
    if subject and words[0].endswith("ing") and words[0].islower():
        past = IRREGULAR.get(words[0]) or re.sub(r"(?:e?ing)$", "ed", words[0])
        return Clause(subject, past, " ".join(words[1:]))
    if subject and words[0] in _MADE:
        return Clause(subject, "was", " ".join(words))
    if subject and "known" in words[:2]:
        return Clause(subject, "is", " ".join(words))
    at = _verb(words)
    if at is None:
        return None
    end = at + 1
    while (
        end < len(words)
        and words[at] in HELPERS
        and (
            words[end] in HELPERS | ADVERBS | {"not", "since"}
            or re.fullmatch(r"[a-z]+(?:ed|wn|en|rn|lt|ld)", words[end])
        )
    ):
        end += 1
    own = " ".join(words[:at])
    while own.split() and own.split()[-1] in ADVERBS:
        own = own.rsplit(" ", 1)[0] if " " in own else ""
    return Clause(own or subject, " ".join(words[at:end]), " ".join(words[end:]))

"""Lists dealt out: each item behind what stands before all of them."""

from __future__ import annotations

import re

from realmodels.bios_words import DETERMINERS, POSSESSIVES, PREPOSITIONS, VERBS

APART = "\u2062"  # begins a claim that has a subject of its own
_DESCRIBES = re.compile(r"(?:^|\s)[a-z-]+(?:ed|ful|ous|al|ive|ic|ary|ble|ent|ant|less|ing|est|ty)$")
_AND = re.compile(r",?\s(?:and|or|as well as)\s")
_EXAMPLE = re.compile(r",?\s(?:such\sas|including|like|namely)\s")


def dealt(rest: str, depth: int = 3) -> list[str]:
    """Lists dealt out: `films such as A, B and C` are films, A, B, C, each behind what stands before them."""
    if depth and (shown := _EXAMPLE.search(f" {rest}")):
        at = shown.start() - 1
        before, items = rest[: max(at, 0)].rstrip(","), rest[shown.end() - 1 :]
        stem, kind = _stem(before), _singular(before)
        listed = [item for item in _items(items) if item and not item.endswith("others")]
        told = [before] if before else []
        told += [f"{stem} {item}".strip() for item in listed]
        return told + [f"{APART}{item} is a {kind}" for item in listed if kind and _proper(item)]
    mark = _AND.search(rest) if depth else None
    if mark is None:
        return [rest]
    left, right = rest[: mark.start()], rest[mark.end() :]
    if _DESCRIBES.search(left) and _DESCRIBES.match(right.split(" ", 1)[0] + "") and " " in right:
        return [rest]  # two adjectives of one noun
    kind = _kind(right)
    begin = _begin(left, kind)
    stem, listed = left[:begin], [part for part in left[begin:].split(", ") if part]
    if not listed:
        return [rest]
    last = right.split(", ")[0]
    tail = right[len(last) :]
    owner = re.search(r"\sof\s.+$", last)
    if (
        owner
        and " and " not in last
        and kind in ("noun", "determiner")
        and not any(set(item.split()) & PREPOSITIONS for item in listed)
    ):
        listed = [item + owner[0] for item in listed]
    found: list[str] = []
    for item in (*listed, last):
        found += dealt(f"{stem}{item}".strip(), depth - 1)
    if tail.strip(", "):
        found += dealt(f"{stem}{tail.strip(', ')}", depth - 1)
    return list(dict.fromkeys(found))


def _items(text: str) -> list[str]:
    return [part.strip(" ,") for part in re.split(r",\s(?:and\s|or\s)?|\s(?:and|or)\s(?=[A-Z\"“a-z])", text)]


def _proper(item: str) -> bool:
    return item[:1].isupper() or item[:1] in '"“'


def _singular(before: str) -> str:
    """`several television shows` -> television show: what its examples are."""
    words = before.split()
    if not words or not re.fullmatch(r"[a-z]+[^s\W]s", words[-1]):
        return ""
    last = re.sub(r"ies$", "y", words[-1])
    last = last[:-1] if last == words[-1] else "movie" if words[-1] == "movies" else last
    last = "series" if words[-1] == "series" else last
    two = len(words) > 1 and words[-2] in ("television", "TV", "video", "solo", "studio")
    return f"{words[-2]} {last}" if two else last


def _stem(before: str) -> str:
    """`appeared in films` without what the examples stand for: up to its last preposition."""
    words = before.split()
    for i in range(len(words) - 1, -1, -1):
        if words[i] in PREPOSITIONS and words[i] != "of":
            plain = words[i] == "to" and i + 1 < len(words) and words[i + 1] not in DETERMINERS | POSSESSIVES
            return " ".join(words[: i + 2 if plain else i + 1])
    return ""


def _kind(right: str) -> str:
    first = right.split(" ", 1)[0]
    if first in PREPOSITIONS:
        return first
    if first in DETERMINERS | POSSESSIVES:
        return "determiner"
    return "name" if first[:1].isupper() or first[:1] in '"“' else "noun"


def _begin(left: str, kind: str) -> int:
    """Where the first item of a list begins, told by how its last one begins; in a list with commas it stands before
    the first comma."""
    head = left.split(", ")[0] if ", " in left else left
    words = [(match.start(), match[0]) for match in re.finditer(r"\S+", head)]
    if kind in PREPOSITIONS:
        for start, word in reversed(words):
            if word == kind:
                return start
        return len(head)
    if kind == "determiner":
        for start, word in reversed(words):
            if word in DETERMINERS | POSSESSIVES:
                return start
    if kind == "name":
        begin = len(head)
        for start, word in reversed(words):
            if (
                word[:1].isupper()
                or word[:1] in '"“'
                or word[:1].isdigit()
                or (word in ("of", "the") and begin < len(head))
            ):
                begin = start if not word.islower() else begin
                continue
            break
        if begin < len(head):
            return begin
    for i in range(len(words) - 1, -1, -1):
        start, word = words[i]
        if word in PREPOSITIONS | DETERMINERS | POSSESSIVES or word in VERBS:
            return start + len(word) + 1 if start + len(word) < len(head) else start
    return 0

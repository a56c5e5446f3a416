"""What is never parted while a sentence is: quotations and dates become one word each; and times are found."""

from __future__ import annotations

import re

from realmodels.bios_words import POSSESSIVES, PRONOUNS

_MONTH = (
    "(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)"
)
_SPACE, _STOP = "[\\s\u2060]", "[,\u2061]?"  # spaces and commas, shielded or not
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = (
    rf"(?:{_MONTH}{_SPACE}{_DAY}{_STOP}{_SPACE}\d{{4}}|{_DAY}{_SPACE}{_MONTH}{_STOP}{_SPACE}\d{{4}}|"
    rf"{_MONTH}{_STOP}{_SPACE}\d{{4}}|{_MONTH}{_SPACE}{_DAY})"
)
_YEAR = r"(?:(?:the\s)?(?:early\s|late\s|mid-?\s?)?(?:1\d|20)\d\d(?:s|'s)?)"
TIME = re.compile(
    rf",?\s(?:(?:in|on|since|until|by|around|during)\s(?:{DATE}|{_YEAR})(?:\sand\s(?:{DATE}|{_YEAR}))?"
    rf"|from\s(?:{DATE}|{_YEAR})\s(?:to|until|through)\s(?:{DATE}|{_YEAR}|the present|present)"
    rf"|between\s(?:{DATE}|{_YEAR})\sand\s(?:{DATE}|{_YEAR})|at\sthe\sage\sof\s\w+)(?=$|[\s,;.])(?!\s[A-Z])"
)
GAP = "\u2060"  # stands for a space inside what is never parted
COMMA = "\u2061"


def shielded(text: str) -> str:
    """Quotations, dates and titles that hold commas become one word."""

    def whole_word(match: re.Match[str]) -> str:
        return match[0].replace(" ", GAP).replace(",", COMMA)

    text = re.sub(r"\"[^\"]+\"|“[^”]+”", whole_word, text)
    text = re.sub(DATE, whole_word, text)
    text = re.sub(r",\s(Jr|Sr|Inc|Ph\.D)\b", rf"{COMMA}{GAP}\1", text)
    return re.sub(r"(?<=\d),(?=\d)", COMMA, text)


def unshielded(text: str) -> str:
    text = " ".join(text.replace(GAP, " ").replace(COMMA, ",").split()).strip(" ,;")
    text = re.sub(r"\b([Aa])n? (?=(\w))", lambda m: f"{m[1]}{'n' if m[2] in 'aeioAEIO' else ''} ", text)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def named(claim: str, name: str) -> str:
    """He, she or they at the start become the name, his, her or their the name's."""
    first, _, rest = claim.partition(" ")
    if first.lower() in PRONOUNS - {"it"}:
        return f"{name} {rest}"
    if first.lower() in POSSESSIVES - {"its"} and rest:
        return f"{name}'s {rest}"
    return claim

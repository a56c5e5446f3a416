"""What a world is told in: which share of its mentions goes to which kind of document, and how each is worded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthetic.errors import SyntheticError

KINDS = ("statements", "lists", "biographies", "questions", "thoughts")
FIELDS = {
    "templates": {"{s}", "{r}", "{a}"},
    "claim": {"{s}", "{r}", "{a}"},
    "list_head": {"{r}"},
    "list_line": {"{s}", "{a}"},
    "biography_head": {"{s}"},
    "biography_line": {"{r}", "{a}"},
    "question": {"{s}", "{r}"},
    "think": {"{s}", "{r}"},
    "answer": {"{a}"},
    "conclude": {"{a}"},
}


@dataclass(frozen=True)
class TextSpec:
    """The mixture. Shares of mentions are relative weights; {s}, {r}, {a} stand for subject, relation, answer."""

    statements: float = 0.40  # of mentions: plain sentences
    lists: float = 0.20  # of mentions: one relation, several subjects
    biographies: float = 0.25  # of mentions: one subject, several relations
    questions: float = 0.10  # of mentions: questions about one relation, with their answers
    thoughts: float = 0.05  # of mentions: a question, the fact or the two that it follows from, the answer
    verifications: float = (
        0.03  # per mention: claims about stated facts, half of them false; loss on yes and no
    )
    links: float = 0.01  # per mention: what a derived relation makes of an answer of its base relation
    together: tuple[int, int, int, int] = (2, 7, 8, 5)  # most mentions in a document of the first four kinds
    gathered: float = 0.0  # least share of a subject's facts in a biography; 0: as mentions fall, cut in two
    in_a_row: int = 1  # most biographies, of different subjects of a type, in a document
    templates: tuple[str, ...] = (
        "the {r} of {s} is {a} .",
        "{s} has {r} {a} .",
        "for {s} the {r} is {a} .",
        "as {r} {s} has {a} .",
    )
    list_head: str = "list of {r} :"
    list_line: str = "{s} : {a} ."
    biography_head: str = "about {s} :"
    biography_line: str = "{r} is {a} ."
    question: str = "question {r} of {s} ? answer"
    answer: str = "{a} ."
    think: str = "question {r} of {s} ? think :"
    conclude: str = "so answer {a} ."
    claim: str = "claim : the {r} of {s} is {a} ?"

    def __post_init__(self) -> None:
        for name in (*KINDS, "verifications", "links"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise SyntheticError(f"TextSpec.{name} is {value!r}; give a number of at least 0")
        if not any(getattr(self, name) for name in KINDS):
            raise SyntheticError(f"TextSpec: every share is 0; give one of {', '.join(KINDS)} some weight")
        if len(self.together) != 4 or not all(type(most) is int and most >= 1 for most in self.together):
            raise SyntheticError(
                f"TextSpec.together is {self.together!r}; give four whole numbers of at least 1"
            )
        if not 0 <= self.gathered <= 1:
            raise SyntheticError(f"TextSpec.gathered is {self.gathered!r}; give a share from 0 to 1")
        if type(self.in_a_row) is not int or self.in_a_row < 1:
            raise SyntheticError(f"TextSpec.in_a_row is {self.in_a_row!r}; give a whole number of at least 1")
        if not self.templates:
            raise SyntheticError(
                "TextSpec.templates is empty; give at least one sentence with {s}, {r} and {a}"
            )
        for name, wanted in FIELDS.items():
            for text in getattr(self, name) if name == "templates" else (getattr(self, name),):
                slots = sorted(word for word in text.split() if "{" in word or "}" in word)
                if slots != sorted(wanted):
                    raise SyntheticError(
                        f"TextSpec.{name}: {text!r} needs {' '.join(sorted(wanted))}, each once and with spaces around"
                    )
        if len(self.answer.split()) != 2 or not self.answer.startswith("{a}"):
            raise SyntheticError(
                f"TextSpec.answer is {self.answer!r}; give {{a}} and the one word that ends an answer"
            )

        first = self.biography_head.split()[0]
        if self.in_a_row > 1 and (first.startswith("{") or first in self.biography_line.split()):
            raise SyntheticError(
                f"TextSpec.biography_head is {self.biography_head!r}; begin it with a word that no line has, so that "
                "biographies in a row can be told apart"
            )

    @property
    def end(self) -> str:
        """The word that ends every answer."""
        return self.answer.split()[1]

    def words(self) -> tuple[str, ...]:
        """Every word of every template, sorted."""
        texts = (*self.templates, *(getattr(self, name) for name in FIELDS if name != "templates"))
        said = {word for text in texts for word in text.split() if not word.startswith("{")}
        return tuple(sorted(said | {"yes", "no", self.end}))

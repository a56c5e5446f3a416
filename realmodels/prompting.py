"""The one place where prompts are worded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from realmodels.errors import RealmodelsError
from theory.schema import nearest


@dataclass(frozen=True)
class Shot:
    """A question with its answer, shown before the one that is asked."""

    question: str
    answer: str


@dataclass(frozen=True)
class Style:
    """How shots and questions are worded. An answer is a space and its words; a token that begins with `end`
    ends it (white space before `end` does not count)."""

    name: str
    shot: str
    question: str
    end: str = "\n"


STYLES: Mapping[str, Style] = {
    style.name: style
    for style in (
        Style("qa", "Q: {question}\nA:{answer}\n\n", "Q: {question}\nA:"),
        Style("plain", "{question}{answer}\n", "{question}"),
        # for models whose words have no line break, such as a pocket model
        Style("sentence", "{question}{answer} . ", "{question}", "."),
    )
}


def style_named(name: str) -> Style:
    if name not in STYLES:
        raise RealmodelsError(f"style: unknown '{name}'{nearest(name, STYLES)}")
    return STYLES[name]


def render_prefix(style: Style, shots: Sequence[Shot]) -> str:
    """What stands before every question of a prompt."""
    return "".join(_fill(style.shot, shot.question, render_answer(shot.answer)) for shot in shots)


def render_question(style: Style, question: str) -> str:
    """The question, up to where its answer begins."""
    return _fill(style.question, question, "")


def render_answer(answer: str) -> str:
    """A space and the answer on one line."""
    return " " + " ".join(answer.split())


def head(style: Style) -> str:
    """What every rendered question begins with."""
    return style.question.partition("{question}")[0]


def truth_prompt(style: Style, shots: Sequence[Shot], question: str, proposed: str) -> str:
    """Asks whether the proposed answer is right."""
    return truth_prefix(style, shots) + _verdict(style, question, proposed)


def truth_prefix(style: Style, shots: Sequence[Shot]) -> str:
    """Shots with a verdict each; they alternate between their own answer and another shot's."""
    return "".join(_judged(style, shot.question, *_claim(shots, i)) for i, shot in enumerate(shots))


TRUE, FALSE = " True", " False"


def _claim(shots: Sequence[Shot], i: int) -> tuple[str, str]:
    """The i-th shot's proposed answer and the verdict on it."""
    own = shots[i].answer
    other = next((s.answer for s in (*shots[i + 1 :], *shots[:i]) if s.answer != own), None)
    return (own, TRUE) if i % 2 == 0 or other is None else (other, FALSE)


def _judged(style: Style, question: str, proposed: str, verdict: str) -> str:
    return f"{_verdict(style, question, proposed)}{verdict}{style.end}{style.end}"


def _verdict(style: Style, question: str, proposed: str) -> str:
    asked = render_question(style, question)
    return f"{asked}{render_answer(proposed)}{style.end}Is this answer True or False?"


def _fill(template: str, question: str, answer: str) -> str:
    """Questions may hold braces."""
    before, _, after = template.partition("{question}")
    return before + question.strip() + after.replace("{answer}", answer)

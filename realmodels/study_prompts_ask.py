"""Prompts of the study `prompts` that `eval` does not put: exemplars of another relation, worked exemplars, thinking
first; and the same questions in words that tuning does not teach."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from realmodels.errors import RealmodelsError
from realmodels.eval_ask import _greedy, _parts
from realmodels.eval_prompts import CUE, THINK, Block, answer_prompt
from realmodels.exemplars import draws
from realmodels.prompting import Shot, Style, render_answer, render_prefix, render_question
from realmodels.rows import Row
from realmodels.splits import group_of
from realmodels.study_arms import END
from realmodels.study_exam import Exam, Sat, sit, tokens_asked

if TYPE_CHECKING:
    from realmodels.loading import Loaded
    from realmodels.study_arms import Arm

HOOK = "realmodels.study_prompts_ask:ask_prompts"
UNRELATED, THINKING, WORKED = "few-unrelated:4", "cot", "few-cot:2"
PROMPTS = (UNRELATED, THINKING, WORKED)
WORDINGS = ("wording-1", "wording-2")
THOUGHT = 48  # the most tokens of thinking


def ask_prompts(loaded: Loaded, arm: Arm, stop: str) -> dict[str, Any]:
    """By prompt what was answered to the facts of `test`; at the end and of the untuned model in other words too."""
    exam = next(exam for exam in arm.exams if exam.split == "test")
    found = {name: ask(loaded, exam, name, arm.longest).plain() for name in PROMPTS}
    if stop == END or not arm.rows:
        found |= {name: sit(loaded, worded(exam, name), "zero").plain() for name in WORDINGS}
    return found


def tokens_read(tokens: object, arm: Arm, heads: int) -> float:
    """About, at one stop: what is thought over is written and then read again."""
    exam = next(exam for exam in arm.exams if exam.split == "test")
    worded_at = 0.5 if arm.rows else 1.0  # the end alone, of an arm's two stops
    count = worded_at * len(WORDINGS) * tokens_asked(tokens, exam, "zero")
    for name in PROMPTS:
        asked = tokens_asked(tokens, _put(exam, name, blocks(exam, name)), name)
        count += asked if name == UNRELATED else 2 * asked + 2 * THOUGHT * len(exam)
    return count


def ask(loaded: Loaded, exam: Exam, name: str, longest: int) -> Sat:
    """An exam under one of these prompts."""
    made = blocks(exam, name)
    if name in (THINKING, WORKED):
        made = [_thought_over(loaded, exam, block) for block in made]
    return sit(loaded, _put(exam, name, made), name, write=True, longest=longest)


def blocks(exam: Exam, name: str) -> list[Block]:
    """Up to where the answer begins, or the thinking."""
    if name == THINKING:
        return exam.blocks(name)
    shots = int(name.partition(":")[2])
    return list(_unrelated(exam, shots) if name == UNRELATED else _worked(exam, shots))


def worded(exam: Exam, name: str) -> Exam:
    """The same questions in words of another style, which end answers alike."""
    gap = "\n" if exam.style.end == "\n" else " "
    words = (
        f"Question: {{question}}{gap}Answer:",
        f"Answer the following question.{gap}{{question}}{gap}Answer:",
    )
    question = words[WORDINGS.index(name)]
    style = Style(name, f"{question}{{answer}}{exam.style.end}{gap}", question, exam.style.end)
    return replace(exam, style=style)


def solved_at_length(style: Style, row: Row) -> str:
    """A worked exemplar: it thinks, in one sentence that says whom the question is about, and concludes."""
    thought = f"The question is about {row.subject or 'this'}."
    before = render_question(style, row.question) + render_answer(THINK)
    tail = style.shot.partition("{answer}")[2]
    return answer_prompt(before, thought, style) + render_answer(row.answers[0]) + tail


def _unrelated(exam: Exam, shots: int) -> Iterator[Block]:
    """Right exemplars of another relation: the same for all questions of one, unless one of them is about its
    subject."""
    pool = exam.pool
    for relation in sorted({row.relation or "" for row in exam.rows}):
        others = [i for i, row in enumerate(pool) if (row.relation or "") != relation]
        others.sort(
            key=lambda i: (_hash(exam.seed, relation, pool[i].relation or ""), _about(exam.seed, pool[i]))
        )
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for k, row in enumerate(exam.rows):
            if (row.relation or "") == relation:
                alike[_first(pool, others, shots, group_of(row))].append(k)
        for chosen, index in alike.items():
            if len(chosen) < shots:
                raise RealmodelsError(
                    f"prompt few-unrelated:{shots}: only {len(chosen)} facts of relations other than {relation} are "
                    "there to be shown; audit more relations or facts"
                )
            prefix = render_prefix(exam.style, [Shot(pool[i].question, pool[i].answers[0]) for i in chosen])
            yield _block(exam, prefix, index, "")


def _worked(exam: Exam, shots: int) -> Iterator[Block]:
    for draw in draws(exam.rows, exam.pool, prompts=1, shots=shots, seed=exam.seed):
        prefix = "".join(solved_at_length(exam.style, exam.pool[i]) for i in draw.shots)
        yield _block(exam, prefix, draw.rows, render_answer(THINK))


def _block(exam: Exam, prefix: str, index: Sequence[int], more: str) -> Block:
    texts = tuple(prefix + render_question(exam.style, exam.rows[i].question) + more for i in index)
    return Block(prefix, tuple(index), texts, "relation")


def _thought_over(loaded: Loaded, exam: Exam, block: Block) -> Block:
    """With what the model thinks, up to where its answer begins. Behind worked exemplars a thought may conclude on its
    own; it ends there."""
    thoughts = [""] * len(block.texts)
    for part in _parts(loaded, list(block.texts), [()] * len(block.texts), block.prefix, exam.style):
        for i, ids in _greedy(loaded, part, THOUGHT, None):
            thoughts[i] = " ".join(loaded.tokens.text(ids).partition(CUE)[0].split())
    texts = (answer_prompt(text, own, exam.style) for text, own in zip(block.texts, thoughts, strict=True))
    return replace(block, texts=tuple(texts))


def _put(exam: Exam, name: str, made: Sequence[Block]) -> Exam:
    """The exam with these prompts under this name."""
    found = replace(exam)
    found._blocks[name] = list(made)
    return found


def _first(pool: Sequence[Row], order: Sequence[int], count: int, avoid: str) -> tuple[int, ...]:
    taken: dict[str, int] = {}
    for i in order:
        if len(taken) == count:
            break
        if (group := group_of(pool[i])) != avoid and group not in taken:
            taken[group] = i
    return tuple(taken.values())


def _about(seed: int, row: Row) -> bytes:
    return _hash(seed, row.question, row.answers[0])


def _hash(seed: int, *words: str) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *words)).encode()).digest()


def sats(extra: Mapping[str, Any]) -> dict[str, Sat]:
    """What `ask_prompts` left at a stop, by prompt."""
    return {name: Sat.of(said) for name, said in extra.items()}

"""Under which prompts questions are asked: bare, behind solved ones (or wrongly solved ones), or thinking first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from realmodels import mmlu
from realmodels.errors import RealmodelsError
from realmodels.eval_tasks import Task
from realmodels.exemplars import draws
from realmodels.prompting import Shot, Style, render_answer, render_prefix, render_question
from realmodels.rows import Row
from theory.matching import normalize

_NAME = re.compile(r"(zero|cot)|(few|few-wrong):([1-9]\d*)")
THINK = "Let's think step by step."
CUE = "So the answer is"


@dataclass(frozen=True)
class Prompt:
    """`zero`, `few:<k>`, `few-wrong:<k>` (solved with other questions' answers), or `cot` (thinks, then answers)."""

    name: str
    shots: int = 0
    wrong: bool = False
    thinks: bool = False


@dataclass(frozen=True)
class Block:
    """Questions (by position in the task) that share what stands before them. `texts` end where the answer begins, or
    the thinking; `source` says where the solved questions are from."""

    prefix: str
    index: tuple[int, ...]
    texts: tuple[str, ...]
    source: str


def read_prompts(text: str) -> tuple[Prompt, ...]:
    """zero,few:4,cot"""
    found: dict[str, Prompt] = {}
    for name in (part.strip() for part in text.split(",")):
        if not name:
            continue
        read = _NAME.fullmatch(name)
        if not read:
            raise RealmodelsError(
                f"--prompts: unknown '{name}'; expected zero, cot, few:K or few-wrong:K with K a number such as 4"
            )
        found[name] = Prompt(name, int(read[3] or 0), read[2] == "few-wrong", name == "cot")
    if not found:
        raise RealmodelsError("--prompts: none given; expected such as zero,few:4,cot")
    return tuple(found.values())


def blocks(task: Task, prompt: Prompt, style: Style, seed: int = 0) -> list[Block]:
    """Every question of the task in one block; who stands before whom does not depend on what else is asked."""
    if task.long is not None:
        from realmodels.eval_bios import long_blocks

        return long_blocks(task, task.long, prompt)
    made = _choices(task, prompt) if task.letters else _facts(task, prompt, style, seed)
    return [_thinking(block, style) for block in made] if prompt.thinks else list(made)


def answer_prompt(text: str, thought: str, style: Style) -> str:
    """The prompt behind which, after thinking, the answer begins."""
    before = f"{text}{render_answer(thought)}" if thought.strip() else text
    return f"{before}{style.end}{CUE}" if style.end == "\n" else f"{before} {style.end} {CUE}"


def _facts(task: Task, prompt: Prompt, style: Style, seed: int) -> Iterator[Block]:
    rows = task.rows
    if not prompt.shots:
        texts = tuple(render_question(style, row.question) for row in rows)
        yield Block("", tuple(range(len(rows))), texts, "none")
        return
    for draw in draws(rows, task.pool, prompts=1, shots=prompt.shots, seed=seed):
        if len(draw.shots) < prompt.shots:
            raise RealmodelsError(
                f"--prompts {prompt.name}: {task.source} has only {len(draw.shots)} questions to show before "
                f"{rows[draw.rows[0]].question[:60]!r}; ask for fewer, or add --exemplars-from {task.name}=PATH"
            )
        shots = [
            Shot(
                task.pool[i].question,
                _wrong(task.pool, draw.shots, i) if prompt.wrong else task.pool[i].answers[0],
            )
            for i in draw.shots
        ]
        prefix = render_prefix(style, shots)
        texts = tuple(prefix + render_question(style, rows[i].question) for i in draw.rows)
        yield Block(prefix, tuple(draw.rows), texts, draw.source)


def _choices(task: Task, prompt: Prompt) -> Iterator[Block]:
    subjects = dict.fromkeys(str(question.doc["subject"]) for question in task.questions)
    for subject in subjects:
        dev = (task.dev or {}).get(subject, ())
        if len(dev) < prompt.shots:
            raise RealmodelsError(
                f"--prompts {prompt.name}: {task.source} has {len(dev)} solved questions of {subject}; ask for fewer "
                "(MMLU has 5), or give the folder that holds dev/ and test/"
            )
        if prompt.wrong:
            raise RealmodelsError(
                f"--prompts {prompt.name}: not for {task.name}, whose examples are fixed; leave one of them out"
            )
        shots = dev[: prompt.shots]
        index = tuple(i for i, q in enumerate(task.questions) if q.doc["subject"] == subject)
        texts = tuple(
            mmlu.prompt(subject, q.choices, shots) for i in index if (q := task.questions[i]).choices
        )
        start = mmlu.description(subject) + "".join(f"{mmlu.block(shot)} {shot.answer}\n\n" for shot in shots)
        yield Block(start, index, texts, "dev" if shots else "none")


def _thinking(block: Block, style: Style) -> Block:
    texts = tuple(text + render_answer(THINK) for text in block.texts)
    return Block(block.prefix, block.index, texts, block.source)


def _wrong(pool: Sequence[Row], shots: Sequence[int], own: int) -> str:
    """The answer of the next shot that has another one; else of the next question of the pool, its relation first."""
    start, right = shots.index(own), {normalize(answer) for answer in pool[own].answers}
    others = [pool[i] for i in (*shots[start + 1 :], *shots[:start])]
    rest = [*pool[own + 1 :], *pool[:own]]
    rest = sorted(rest, key=lambda row: row.relation != pool[own].relation)
    for row in (*others, *rest):
        if right.isdisjoint(normalize(answer) for answer in row.answers):
            return row.answers[0]
    raise RealmodelsError(
        f"--prompts few-wrong: every question of {pool[own].source} has the answer {pool[own].answers[0]!r}, so none "
        "is wrong; leave this prompt out"
    )

"""Exams: facts asked to the letter behind a cached prefix, zero-shot or behind solved questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realmodels.audited import Flags
from realmodels.errors import RealmodelsError
from realmodels.eval_prompts import Block, blocks, read_prompts
from realmodels.eval_tasks import Question, Task
from realmodels.prompting import Style, render_answer, render_question
from realmodels.rows import Row
from realmodels.sampling import USUAL
from realmodels.shared import asking_texts, shared_ids
from realmodels.splits import group_of
from theory.matching import first_line

if TYPE_CHECKING:
    from realmodels.loading import Loaded

_PLAIN = Style("", "", "{question}")  # to find what prompts made elsewhere share


@dataclass(frozen=True)
class Exam:
    """Questions of one split; `pool` are the solved ones that may stand before them."""

    split: str
    rows: tuple[Row, ...]
    pool: tuple[Row, ...]
    style: Style
    seed: int = 0  # of the solved questions

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def fingerprint(self) -> str:
        """Of everything that decides its results."""
        said = [
            self.split,
            [[row.question, row.answers, row.relation] for row in self.rows],
            sorted([row.question, row.answers[0], row.relation or ""] for row in self.pool),
            self.style.name,
            self.seed,
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    @cached_property
    def _task(self) -> Task:
        questions = tuple(Question({}, "", row) for row in self.rows)
        return Task(self.split, "", questions, self.pool)

    @cached_property
    def _blocks(self) -> dict[str, list[Block]]:
        return {}

    def blocks(self, prompt: str) -> list[Block]:
        """The prompts as `eval` makes them, once."""
        if prompt not in self._blocks:
            asked = read_prompts(prompt)[0]
            try:
                self._blocks[prompt] = blocks(self._task, asked, self.style, self.seed)
            except RealmodelsError:
                raise self.scarce(prompt) from None
        return self._blocks[prompt]

    def scarce(self, prompt: str) -> RealmodelsError:
        """Too little is there to be shown."""
        subjects = len({group_of(row) for row in self.pool})
        return RealmodelsError(
            f"study: {prompt} cannot be made before every fact of {self.split}: {len(self.pool)} facts of {subjects} "
            "subjects of dev are there to be shown; give it more with --set dev_share=0.3, or audit more"
        )


@dataclass(frozen=True, eq=False)
class Sat:
    """(n,) is the greedy answer right to the letter, with its end; what it was, where that was asked for; and the
    log chance of the right one."""

    hits: Flags
    said: tuple[str, ...]
    logprob: NDArray[np.float64]

    def plain(self) -> dict[str, object]:
        """As JSON holds it."""
        return {
            "hits": "".join("01"[int(hit)] for hit in self.hits),
            "said": list(self.said),
            "logprob": [float(f"{x:.5g}") for x in self.logprob],
        }

    @staticmethod
    def of(said: Mapping[str, object]) -> Sat:
        return Sat(
            np.array([mark == "1" for mark in str(said["hits"])], bool),
            tuple(said["said"]),  # type: ignore[arg-type]
            np.array(said["logprob"], np.float64),
        )


def sit(
    loaded: Loaded,
    exam: Exam,
    prompt: str = "zero",
    *,
    write: bool = False,
    longest: int = 12,
    batch: int | None = None,
) -> Sat:
    """Ask all questions of an exam; with `write` the greedy answers are written out."""
    from realmodels.exact import read_answers

    n = len(exam)
    hits, logprob, said = np.zeros(n, bool), np.full(n, -np.inf), [""] * n
    sampling = replace(USUAL, longest=longest)
    for block in exam.blocks(prompt):
        answers = [
            tuple(
                dict.fromkeys(
                    loaded.tokens.answer_ids(render_answer(alias)) for alias in exam.rows[i].answers
                )
            )
            for i in block.index
        ]
        shared = shared_ids(loaded.tokens, _PLAIN, block.prefix)
        for part in asking_texts(loaded.tokens, list(block.texts), answers, shared, exam.style.end):
            for place, read in read_answers(loaded, part, sampling, batch, decode=write):
                i = block.index[place]
                hits[i], logprob[i] = read.greedy, read.logprob
                said[i] = first_line(loaded.tokens.text(read.said)).strip() if write else ""
    return Sat(hits, tuple(said) if write else (), np.maximum(logprob, -1e4))


def tokens_asked(tokens: object, exam: Exam, prompt: str) -> int:
    """How many tokens are read for it, about."""
    count = 0
    for block in exam.blocks(prompt):
        shared = len(tokens.prompts_ids([block.prefix])[0]) if block.prefix else 0  # type: ignore[attr-defined]
        asked = tokens.prompts_ids(list(block.texts))  # type: ignore[attr-defined]
        answers = [tokens.answer_ids(render_answer(exam.rows[i].answers[0])) for i in block.index]  # type: ignore[attr-defined]
        count += shared + sum(len(ids) - shared + len(own) for ids, own in zip(asked, answers, strict=True))
    return count


def taught(rows: Sequence[Row], answers: Sequence[str]) -> tuple[Row, ...]:
    """The rows with the one answer that each teaches."""
    return tuple(replace(row, answers=(answer,)) for row, answer in zip(rows, answers, strict=True))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """As every command of this room reads them."""
    from theory.files import write_whole

    lines = (
        json.dumps(
            {
                "id": row.id,
                "question": row.question,
                "answers": list(row.answers),
                "subject": row.subject,
                "relation": row.relation,
            },
            ensure_ascii=False,
        )
        for row in rows
    )
    write_whole(path, "".join(f"{line}\n" for line in lines))


def asked_tokens(tokens: object, style: Style, row: Row) -> int:
    """Of a training row."""
    prompt = tokens.prompts_ids([render_question(style, row.question)])[0]  # type: ignore[attr-defined]
    return len(prompt) + len(tokens.answer_ids(render_answer(row.answers[0]))) + 1  # type: ignore[attr-defined]

"""What the model knows of every row, from all lines of an audit."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.audit_parts import Parts
from realmodels.audit_plan import Plan
from realmodels.errors import RealmodelsError
from realmodels.guessing import dominant, is_dominant
from realmodels.overlap import overlaps
from realmodels.stored import Stored
from theory.matching import match
from theory.schema import shown
from theory.slick import Category, by_detection, detection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """Row by row and prompt by prompt: `greedy`, `p_sample` and `logprob` [rows, prompts], `said` [prompt][row] for the
    prompts whose greedy answers were written out, `margin` and `p_true` [rows] with NaN where there is none."""

    plan: Plan
    greedy: NDArray[np.bool_]
    p_sample: Array
    logprob: Array
    said: tuple[Sequence[str], ...]
    margin: Array
    p_true: Array

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """SliCK's categories. Of sampled answers, one right one in all is enough to be above the cut."""
        return by_detection(self.greedy, self.p_sample, self.plan.asking.sampling.samples)

    @cached_property
    def detection(self) -> Array:
        return detection(self.p_sample, self.plan.asking.sampling.samples)

    @cached_property
    def overlap(self) -> NDArray[np.bool_]:
        """Whether an answer repeats a word of the subject (of the question, where no subject is known)."""
        found = (overlaps(row.subject or row.question, row.answers) for row in self.plan.rows)
        return np.fromiter(found, bool, len(self.plan.rows))

    @cached_property
    def groups(self) -> dict[str, NDArray[np.int64]]:
        """Rows by relation; "" stands for none."""
        found: dict[str, array[int]] = defaultdict(lambda: array("q"))
        for i, row in enumerate(self.plan.rows):
            found[row.relation or ""].append(i)
        return {name: np.frombuffer(found[name], np.int64) for name in sorted(found)}

    @cached_property
    def favourites(self) -> dict[str, tuple[str, ...]]:
        """The two most frequent greedy answers of each relation, over all prompts that were written out."""
        return {
            name: dominant(texts[i] for texts in self.said for i in members.tolist())
            for name, members in self.groups.items()
        }

    @cached_property
    def dominant(self) -> NDArray[np.bool_]:
        rows, top = self.plan.rows, self.favourites
        found = (is_dominant(row.answers, top[row.relation or ""]) for row in rows)
        return np.fromiter(found, bool, len(rows))

    @cached_property
    def right(self) -> tuple[NDArray[np.bool_], ...]:
        """[prompt][rows] Whether the answer that was written out is right, of the prompts in `said`."""
        rows, matcher = self.plan.rows, self.plan.asking.matcher
        return tuple(
            np.fromiter(
                (match(text, row.answers, matcher) for text, row in zip(said, rows, strict=True)),
                bool,
                len(rows),
            )
            for said in self.said
        )

    def knowledge(self) -> Iterator[dict[str, Any]]:
        """The object that is added to each row."""
        asking = self.plan.asking
        names = ("mixed", *sorted({draw.source for draw in self.plan.draws} - {"mixed"}))
        sources = np.full(len(self.plan.rows), -1, np.int8)
        for draw in self.plan.draws:
            who = np.asarray(draw.rows, np.int32)
            here = names.index(draw.source)
            sources[who] = np.where(np.isin(sources[who], (-1, here)), here, 0)
        for i, row in enumerate(self.plan.rows):
            yield {
                "label": Category(self.labels[i]).name,
                "p_greedy": _number(self.greedy[i].mean()),
                "p_sample": _number(self.p_sample[i].mean()),
                "detection": _number(self.detection[i]),
                "n_prompts": asking.prompts,
                "n_samples": asking.sampling.samples,
                "estimator": asking.estimator,
                "matcher": asking.matcher,
                "exemplars": names[sources[i]],
                "logprob": _number(self.logprob[i].mean()),
                "margin": _number(self.margin[i]),
                "p_true": _number(self.p_true[i]),
                "popularity": row.popularity,
                "overlaps_subject": bool(self.overlap[i]),
                "dominant_answer": bool(self.dominant[i]),
                "id": row.id,
                "question": row.question,
                "answers": list(row.answers),
                "subject": row.subject,
                "relation": row.relation,
            }


def gather(plan: Plan, parts: Parts) -> Found:
    """All lines of the plan, in arrays."""
    shape = (len(plan.rows), plan.asking.prompts)
    greedy, p_sample, logprob = np.zeros(shape, bool), np.zeros(shape), np.zeros(shape)
    said: list[Sequence[str]] = []
    for prompt, keys in enumerate(plan.keys["answer"]):
        texts: Stored[str] = Stored()
        for i, line in enumerate(parts.get(keys)):
            greedy[i, prompt], p_sample[i, prompt], logprob[i, prompt] = (
                _said(parts, line, name) for name in ("greedy", "p_sample", "logprob")
            )
            if plan.asking.writes(prompt):
                texts.append(line.get("said", ""))
        said += [texts] if plan.asking.writes(prompt) else []
    margin, p_true = np.full(shape[0], np.nan), np.full(shape[0], np.nan)
    if "margin" in plan.keys:
        keys = plan.keys["margin"][0]
        rows = (i for i, key in enumerate(keys) if key)
        for i, line in zip(rows, parts.get(key for key in keys if key), strict=True):
            margin[i] = logprob[i, 0] - _said(parts, line, "logprob_instead")
    if "p_true" in plan.keys:
        for i, line in enumerate(parts.get(plan.keys["p_true"][0])):
            p_true[i] = _said(parts, line, "p_true")
    return Found(plan, greedy, p_sample, logprob, tuple(said), margin, p_true)


def _said(parts: Parts, line: dict[str, Any], name: str) -> float:
    value = line.get(name)
    if isinstance(value, int | float):
        return value
    raise RealmodelsError(
        f"{parts.file}: the line of id {shown(line.get('id'))} under prompt {shown(line.get('prompt'))}: "
        f"field '{name}': expected a number, got {shown(value)}; delete that line and run the command again"
    )


def _number(value: float) -> float | None:
    """Six significant digits; None for NaN."""
    return None if np.isnan(value) else float(f"{float(value):.6g}") + 0.0  # not -0.0

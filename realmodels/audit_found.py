"""What the model knows of every row, from all lines of an audit."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.audit_parts import Parts
from realmodels.audit_plan import Plan
from realmodels.errors import RealmodelsError
from realmodels.guessing import dominant, is_dominant
from realmodels.overlap import overlaps
from realmodels.stored import Matrix, Stored
from theory.matching import match
from theory.schema import shown
from theory.slick import Category, by_detection, detection

Array = NDArray[np.float64]
TOGETHER = 1 << 14  # rows whose numbers are in memory at once


@dataclass(frozen=True)
class Block:
    """Some rows that follow each other, by their places: numbers [rows, prompts]."""

    rows: slice
    greedy: NDArray[np.bool_]
    p_sample: Array
    logprob: Array


@dataclass(frozen=True)
class Found:
    """Row by row and prompt by prompt: `greedy`, `p_sample` and `logprob` [rows, prompts], which may be on disk, `said`
    [prompt][row] for the prompts whose greedy answers were written out, `margin` and `p_true` [rows] with NaN where
    there is none."""

    plan: Plan
    greedy: Matrix | NDArray[np.bool_]
    p_sample: Matrix | Array
    logprob: Matrix | Array
    said: tuple[Sequence[str], ...]
    margin: Array
    p_true: Array

    def blocks(self) -> Iterator[Block]:
        """All rows, some at a time."""
        for start in range(0, self.greedy.shape[0], TOGETHER):
            some = slice(start, start + TOGETHER)
            yield Block(some, self.greedy[some], self.p_sample[some], self.logprob[some])

    @cached_property
    def labels(self) -> NDArray[np.int8]:
        """SliCK's categories. Of sampled answers, one right one in all is enough to be above the cut."""
        samples = self.plan.asking.sampling.samples
        return np.concatenate([by_detection(some.greedy, some.p_sample, samples) for some in self.blocks()])

    @cached_property
    def overlap(self) -> NDArray[np.bool_]:
        """Whether an answer repeats a word of the subject (of the question, where no subject is known)."""
        found = (overlaps(row.subject or row.question, row.answers) for row in self.plan.rows)
        return np.fromiter(found, bool, len(self.plan.rows))

    @cached_property
    def relations(self) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Their names in order, "" for none, and of each row the place of its own among them."""
        names: dict[str, int] = {}
        codes = array("i", (names.setdefault(row.relation or "", len(names)) for row in self.plan.rows))
        order = sorted(names)
        place = np.argsort([names[name] for name in order]).astype(np.int32)
        return tuple(order), place[np.frombuffer(codes, np.int32)]

    @cached_property
    def groups(self) -> dict[str, NDArray[np.int32]]:
        """Rows by relation; "" stands for none."""
        names, codes = self.relations
        order = np.argsort(codes, kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        return dict(zip(names, np.split(order, ends[:-1]), strict=True))

    @cached_property
    def sums(self) -> dict[str, Array]:
        """[relations] of `greedy`, `p_sample` and `logprob`, over rows and prompts."""
        names, codes = self.relations
        found = {name: np.zeros(len(names)) for name in ("greedy", "p_sample", "logprob")}
        for some in self.blocks():
            for name, total in found.items():
                own = getattr(some, name).sum(axis=1)
                total += np.bincount(codes[some.rows], own, minlength=len(names))
        return found

    @cached_property
    def favourites(self) -> dict[str, tuple[str, ...]]:
        """The two most frequent greedy answers of each relation, over all prompts that were written out."""
        return {
            name: dominant(texts[i] for texts in self.said for i in map(int, members))
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
        rows = enumerate(self.plan.rows)
        for some in self.blocks():
            chance = detection(some.p_sample, asking.sampling.samples)
            for k, (i, row) in enumerate(islice(rows, len(chance))):
                yield {
                    "label": Category(self.labels[i]).name,
                    "p_greedy": _number(some.greedy[k].mean()),
                    "p_sample": _number(some.p_sample[k].mean()),
                    "detection": _number(chance[k]),
                    "n_prompts": asking.prompts,
                    "n_samples": asking.sampling.samples,
                    "estimator": asking.estimator,
                    "matcher": asking.matcher,
                    "exemplars": names[sources[i]],
                    "logprob": _number(some.logprob[k].mean()),
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
    """All lines of the plan, in columns."""
    count = len(plan.rows)
    greedy, p_sample, logprob = Matrix("?", count), Matrix("d", count), Matrix("d", count)
    said: list[Sequence[str]] = []
    for prompt, keys in enumerate(plan.keys["answer"]):
        texts: Stored[str] = Stored()
        for line in parts.get(keys):
            for matrix, name in ((greedy, "greedy"), (p_sample, "p_sample"), (logprob, "logprob")):
                matrix.append(_said(parts, line, name))
            if plan.asking.writes(prompt):
                texts.append(line.get("said", ""))
        said += [texts] if plan.asking.writes(prompt) else []
    margin = p_true = np.broadcast_to(np.nan, count)
    if "margin" in plan.keys:
        margin, keys = np.full(count, np.nan), plan.keys["margin"][0]
        rows = (i for i, key in enumerate(keys) if key)
        for i, line in zip(rows, parts.get(key for key in keys if key), strict=True):
            margin[i] = -_said(parts, line, "logprob_instead")
        for start in range(0, count, TOGETHER):
            some = slice(start, start + TOGETHER)
            margin[some] += logprob[some][:, 0]
    if "p_true" in plan.keys:
        told = (_said(parts, line, "p_true") for line in parts.get(plan.keys["p_true"][0]))
        p_true = np.fromiter(told, float, count)
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

"""One piece of an audit put to a model: rows in, lines out."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from realmodels.audit_plan import Piece, Plan
from realmodels.backends import Backend
from realmodels.errors import RealmodelsError
from realmodels.estimate import estimate, logprobs, p_true
from realmodels.loading import Loaded, quiet
from realmodels.prefix import check_length
from realmodels.prompting import FALSE, TRUE, render_answer, render_prefix, render_question, truth_prompt
from realmodels.rows import Row
from realmodels.tokens import Tokens

TOGETHER = 1024  # texts that are tokenised at once
DIGITS = 7  # significant digits kept: single precision has no more


def ask(
    loaded: Loaded, plan: Plan, piece: Piece, batch: int | None = None, backend: Backend | None = None
) -> list[dict[str, Any]]:
    """The lines of a piece, in its order; samples are drawn by `backend` (without one by the model itself)."""
    if piece.kind == "answer":
        found = _answer(loaded, plan, piece, batch, backend)
    else:
        found = _ASK[piece.kind](loaded, plan, piece, batch)
    lines = []
    for i, key, values in zip(piece.rows, piece.keys, found, strict=True):
        bad = [
            name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)
        ]
        if bad:
            raise RealmodelsError(
                f"{loaded.name}: {bad[0]} of {plan.rows[i].question[:60]!r} is {values[bad[0]]}: the model's numbers "
                f"overflow in {loaded.dtype}; try --dtype float32"
            )
        head = {"key": key, "id": plan.rows[i].id, "kind": piece.kind, "prompt": piece.prompt}
        origin = {"exemplars": piece.source, "shots": [plan.pool[k].id for k in piece.shots]}
        lines.append({**head, **origin, **values})
    return lines


def check_lengths(loaded: Loaded, plan: Plan) -> None:
    """The longest prompt fits the model, or what makes it too long is named before anything is asked."""
    with quiet():
        total, i, shots = max(_sizes(loaded.tokens, plan))
    try:
        check_length(loaded, total)
    except RealmodelsError as problem:
        row, name = _longest(plan.rows[i], [plan.pool[k] for k in shots])
        raise RealmodelsError(f"{row.at}: field '{name}': {problem}") from None


def _sizes(tokens: Tokens, plan: Plan) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """(tokens with all that is read or written behind them, row, shots) of every prompt of every kind."""
    asking, rows = plan.asking, plan.rows
    style, written = asking.style, asking.sampling.longest
    asked, longest = array("i"), array("i")
    for start in range(0, len(rows), TOGETHER):
        some = rows[start : start + TOGETHER]
        asked.extend(map(len, tokens.prompts_ids([render_question(style, row.question) for row in some])))
        longest.extend(max(len(tokens.answer_ids(render_answer(a))) for a in row.answers) for row in some)
    for draw in plan.draws:
        before = len(tokens.prompt_ids(render_prefix(style, plan.shown(draw)))) - len(tokens.bos)
        for i in draw.rows:
            behind = {
                "exact": longest[i],
                "hybrid": longest[i] + written,
                "sample": max(longest[i], written),
            }
            yield before + asked[i] + behind[asking.estimator_of(draw.prompt)], i, draw.shots
            if draw.prompt == 0 and i in plan.swaps:
                instead = tokens.prompts_ids([render_question(style, text) for text in plan.swaps[i]])
                yield before + max(map(len, instead)) + longest[i], i, draw.shots
        if draw.prompt == 0 and "p_true" in asking.kinds:
            shots = plan.shown(draw)
            verdict = max(len(tokens.answer_ids(word)) for word in (TRUE, FALSE))
            for start in range(0, len(draw.rows), TOGETHER):
                few = draw.rows[start : start + TOGETHER]
                texts = [truth_prompt(style, shots, rows[i].question, rows[i].answers[0]) for i in few]
                for i, ids in zip(few, tokens.prompts_ids(texts), strict=True):
                    yield len(ids) + verdict, i, draw.shots


def _longest(row: Row, shots: Sequence[Row]) -> tuple[Row, str]:
    """The longest text of a prompt: whose it is, and which field."""
    texts = [(row, "question", row.question), *((row, "answers", alias) for alias in row.answers)]
    for shot in shots:
        texts += [(shot, "question", shot.question), (shot, "answers", shot.answers[0])]
    found, name, _ = max(texts, key=lambda one: len(one[2]))
    return found, name


def _answer(
    loaded: Loaded, plan: Plan, piece: Piece, batch: int | None, backend: Backend | None
) -> list[dict[str, Any]]:
    asking = plan.asking
    found = estimate(
        loaded,
        asking.style,
        plan.shown(piece),
        [plan.rows[i].question for i in piece.rows],
        [plan.rows[i].answers for i in piece.rows],
        estimator=asking.estimator_of(piece.prompt),
        matcher=asking.matcher,
        sampling=asking.sampling,
        batch=batch,
        seed=asking.seed,
        backend=backend,
    )
    lines: list[dict[str, Any]] = []
    for i in range(len(piece.rows)):
        line: dict[str, Any] = {
            "greedy": bool(found.greedy[i]),
            "p_sample": _short(min(max(float(found.p_sample[i]), 0.0), 1.0)),
            "logprob": _short(found.logprob[i]),
        }
        if asking.writes(piece.prompt):
            line["said"] = found.said[i]
        if found.samples:
            line["samples"] = list(found.samples[i])
        lines.append(line)
    return lines


def _margin(loaded: Loaded, plan: Plan, piece: Piece, batch: int | None) -> list[dict[str, Any]]:
    """Mean log p of the row's answer to the same question about other subjects."""
    asked = [(i, question) for i in piece.rows for question in plan.swaps[i]]
    found = logprobs(
        loaded,
        plan.asking.style,
        plan.shown(piece),
        [question for _, question in asked],
        [plan.rows[i].answers for i, _ in asked],
        batch=batch,
    )
    lines, place = [], 0
    for i in piece.rows:
        questions = plan.swaps[i]
        some = [float(value) for value in found[place : place + len(questions)]]
        place += len(questions)
        lines.append({"instead": list(questions), "logprob_instead": _short(math.fsum(some) / len(some))})
    return lines


def _p_true(loaded: Loaded, plan: Plan, piece: Piece, batch: int | None) -> list[dict[str, Any]]:
    rows = [plan.rows[i] for i in piece.rows]
    proposed: Sequence[str] = [row.answers[0] for row in rows]
    questions = [row.question for row in rows]
    found = p_true(loaded, plan.asking.style, plan.shown(piece), questions, proposed, batch=batch)
    return [{"p_true": _short(value)} for value in found]


def _short(value: float) -> float:
    return float(f"{float(value):.{DIGITS}g}")


_ASK = {"margin": _margin, "p_true": _p_true}

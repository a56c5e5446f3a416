"""What an audit will cost, before any weight is loaded: tokens, time on this device, memory."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

from realmodels.audit import Job, read_data, recorded
from realmodels.audit_parts import Parts
from realmodels.audit_plan import Piece, Plan, make_plan
from realmodels.card import ModelCard, describe, in_bits
from realmodels.cost import calibrate, forward_tokens
from realmodels.loading import load_tokens, precision
from realmodels.prompting import Style, truth_prompt
from realmodels.tokens import Tokens

SAMPLED = 48  # pieces whose tokens are counted; the rest is taken to be like them
SECONDS = 5.0
TOGETHER = {"cpu": 1024}  # tokens read at once
TOGETHER_ON_DEVICE = 32768


@dataclass(frozen=True)
class Cost:
    """`tokens` are read by the model, by this device `speed` a second; `memory` in bytes."""

    rows: int
    answers: int
    finished: int
    tokens: float
    speed: float
    memory: float
    card: ModelCard
    sources: dict[str, int]

    @property
    def seconds(self) -> float:
        return self.tokens / self.speed


def cost_of(job: Job, seconds: float = SECONDS, speed: float | None = None) -> Cost:
    """Count, and time if no `speed` is told; the folder is only read."""
    data, pool = read_data(job)
    card = describe(job.model, dtype=job.dtype, device=job.device, allow_code=job.allow_code)
    model = {"fingerprint": recorded(job.output), "dtype": precision(card.dtype, job.load_in)}
    plan = make_plan(data.rows, pool, job.asking, model)
    parts = Parts(job.output)
    if job.output.is_dir() and not job.overwrite:
        parts.refresh()
    todo, answers, left = array("q"), 0, 0
    for number, piece in enumerate(plan.pieces):
        answers += len(piece.keys)
        if not parts.has(piece.keys):
            todo.append(number)
            left += len(piece.keys)
    counted = [plan.pieces[number] for number in _evenly(todo, SAMPLED)]
    held = in_bits(card, job.load_in)
    tokens = load_tokens(job.model, allow_code=job.allow_code)
    found = sum(tokens_of(tokens, plan, piece) for piece in counted)
    share = sum(len(piece.keys) for piece in counted) / max(left, 1)
    return Cost(
        len(data.rows),
        answers,
        answers - left,
        found / share if left else 0.0,
        speed or calibrate(card, seconds),
        _memory(held),
        held,
        plan.sources(),
    )


def tokens_of(tokens: Tokens, plan: Plan, piece: Piece) -> int:
    """Tokens read for one piece."""
    style, shots = plan.asking.style, plan.shown(piece)
    rows = [plan.rows[i] for i in piece.rows]
    if piece.kind == "p_true":
        return _truth_tokens(tokens, style, plan, piece)
    if piece.kind == "margin":
        asked = [(question, plan.rows[i].answers) for i in piece.rows for question in plan.swaps[i]]
        return forward_tokens(tokens, style, shots, [q for q, _ in asked], [a for _, a in asked])
    return forward_tokens(
        tokens,
        style,
        shots,
        [row.question for row in rows],
        [row.answers for row in rows],
        estimator=plan.asking.estimator_of(piece.prompt),
        sampling=plan.asking.sampling,
    )


def render(cost: Cost, job: Job) -> str:
    """For a terminal."""
    card, asking = cost.card, job.asking
    kinds = ", ".join(f"{source} {count:,}" for source, count in cost.sources.items())
    whole = "" if job.load_in == "none" else f" in {card.dtype}"
    done = f", of which {cost.finished:,} are finished" if cost.finished else ""
    return "\n".join(
        [
            f"{job.model}: {card.parameters / 1e6:,.1f}M parameters, {card.layers} layers, "
            f"{precision(card.dtype, job.load_in)} on {card.device}",
            f"{cost.rows:,} rows x {asking.prompts} prompts of {asking.shots} shots, estimator {asking.estimator}, "
            f"matcher {asking.matcher}{', and ' + ', '.join(asking.signals) if asking.signals else ''}",
            f"exemplars from: {kinds}",
            f"answers:        {cost.answers:,}{done}",
            f"forward tokens: about {cost.tokens:,.0f}",
            f"time:           about {_clock(cost.seconds)} ({cost.speed:,.0f} tokens a second on this device, "
            f"timed with random weights{whole})",
            f"memory:         about {cost.memory / 2**30:.2f} GiB ({card.weight_bytes / 2**30:.2f} of it weights)",
            "nothing was loaded or written",
        ]
    )


def _truth_tokens(tokens: Tokens, style: Style, plan: Plan, piece: Piece) -> int:
    shots = plan.shown(piece)
    rows = [plan.rows[i] for i in piece.rows]
    texts = [truth_prompt(style, shots, row.question, row.answers[0]) for row in rows]
    return sum(map(len, tokens.prompts_ids(texts)))


def _memory(card: ModelCard) -> float:
    """Weights, the keys and values of what is read at once, and the logits of a quarter of it in single precision."""
    together = TOGETHER.get(card.device, TOGETHER_ON_DEVICE)
    return card.weight_bytes + together * card.kv_bytes_per_token + together / 4 * card.vocabulary * 4


def _evenly(pieces: array[int], most: int) -> array[int]:
    step = max(1, math.ceil(len(pieces) / most))
    return pieces[step // 2 :: step] or pieces[:1]


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

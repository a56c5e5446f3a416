"""What a study will do and cost, before any weight is loaded: arms, rows, tokens, hours on this device, memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from realmodels.errors import RealmodelsError
from realmodels.recipe import Recipe
from realmodels.study_table import Order

if TYPE_CHECKING:
    from realmodels.card import ModelCard
    from realmodels.study_arms import Arm
    from realmodels.study_questions import Kind

SECONDS = 4.0  # of timing
STEP = 2.0  # a training token costs as much as so many that are only asked (1.8 on a 135M model in bfloat16)
TWICE = 1.0  # more where activations are computed twice
STATES = 4  # float32 numbers an adapter weight costs: itself, its gradient, two moments
KEPT = 16  # numbers of the width of the model that a token leaves behind in every layer for the backward pass


@dataclass(frozen=True)
class Load:
    """Tokens that are read to audit, to train and to ask, as far as they are not read yet."""

    audit: float
    train: float
    ask: float
    step: float = STEP

    @property
    def forward(self) -> float:
        """As many tokens that are only asked."""
        return self.audit + self.step * self.train + self.ask


def plan_questions(order: Order, kind: Kind) -> str:
    """The text of --plan. With a finished audit the sets are drawn and counted; else they are taken to come out as
    large as asked for."""
    from realmodels.card import describe
    from realmodels.study_arms import train_dtype
    from realmodels.study_facts import AUDIT, audit_folder

    card = describe(order.model, dtype=train_dtype(order), device=order.device, allow_code=order.allow_code)
    head = [
        f"{order.model}: {card.parameters / 1e6:,.1f}M parameters, {card.layers} layers, {card.dtype} on {card.device}",
        f"study {kind.name}, seeds {' '.join(map(str, order.seeds))}"
        + (f", preset {order.preset}" if order.preset else ""),
    ]
    if (audit_folder(order) / AUDIT).exists():
        lines, load, others = _drawn(order, kind)
    else:
        lines, load, others = _expected(order, kind)
    held = [memory(card, order.recipe, order)]
    for other in others:
        own = describe(other.model, dtype=card.dtype, device=other.device, allow_code=other.allow_code)
        held.append(memory(own, other.recipe, other))
    return "\n".join(
        [
            *head,
            *lines,
            f"tokens:  {load.audit:,.0f} to audit, {load.train:,.0f} to train, {load.ask:,.0f} to ask",
            *costs(order, card, load, max(held)),
        ]
    )


def costs(order: Order, card: ModelCard, load: Load, held: float) -> list[str]:
    """The last lines of a plan: hours and memory, by the speed that was told or else timed here."""
    from realmodels.cost import calibrate

    speed = order.speed or calibrate(card, SECONDS)
    how = "as --speed says" if order.speed else "on this device, timed with random weights"
    hours = load.forward / speed / 3600
    side = f"; {order.workers} side by side on cores of their own: {_clock(hours / order.workers)}" * (
        order.workers > 1
    )
    return [
        f"time:    about {_clock(hours)} ({speed:,.0f} tokens a second {how}; a training token counts {load.step:g})"
        f"{side}",
        f"memory:  about {held / 2**30:.2f} GiB a process ({card.weight_bytes / 2**30:.2f} of it weights)",
        "nothing was loaded or written",
    ]


def _drawn(order: Order, kind: Kind) -> tuple[list[str], Load, list[Order]]:
    """From the audit's labels: real sets, real tokens, and what is finished already."""
    from realmodels.study_arms import finished, keys_of
    from realmodels.study_facts import audit_folder, check_model, read_facts
    from realmodels.study_questions import arms_of, drawn_of

    folder = audit_folder(order)
    check_model(order, folder, fetch=False)
    facts = read_facts(folder, order.settings)
    drawn = drawn_of(order, facts, kind)
    arms, base = arms_of(order, facts, drawn, kind)
    every = [base, *arms.values()]
    done = finished(order, every)
    todo, answered, train, ask = _left(order, every)
    beside, others = kind.beside(order, facts, drawn), []
    for other, more in beside:
        left, _, *tokens = _left(other, more)
        train, ask = train + tokens[0], ask + tokens[1]
        others.append(
            f"beside:  {len(set(keys_of(other, more, fetch=False)))} arms on {other.model}, {len(left)} to train or ask"
        )
    load = Load(0.0, train, ask, step_of(order.recipe))
    first = drawn[order.seeds[0]]
    lines = [
        f"facts:   {len(facts.rows):,} audited in {folder}; {len(facts.train):,} to train on, {len(facts.dev)} dev, "
        f"{len(facts.test)} test, {len(facts.ood)} of other relations ({', '.join(facts.held_out) or 'none'})",
        f"arms:    {len(every)} ({len(first.sets)} a seed and the untuned base), {sum(done)} finished, "
        f"{len(todo)} to train or ask" + f" ({sum(answered)} of them only looked into)" * any(answered),
        *others,
        "rows:    " + ", ".join(f"{name} {len(one)}" for name, one in first.sets.items()),
        *(f"note:    {remark}" for remark in first.remarks),
    ]
    return lines, load, [other for other, _ in beside]


def _left(order: Order, arms: Sequence[Arm]) -> tuple[list[Arm], list[bool], float, float]:
    """What is not finished, each once, whether it was answered before its hook was wanted, and its tokens."""
    from realmodels.loading import load_tokens
    from realmodels.study_arms import finished, keys_of

    done = finished(order, arms)
    keys = {
        key: arm
        for key, arm, there in zip(keys_of(order, arms, fetch=False), arms, done, strict=True)
        if not there
    }
    todo = list(keys.values())
    answered = finished(order, [replace(arm, hook="") for arm in todo])
    tokens = load_tokens(order.model, allow_code=order.allow_code)
    return todo, answered, *_tokens(tokens, todo, answered, _heads(order))


def _expected(order: Order, kind: Kind) -> tuple[list[str], Load, list[Order]]:
    """Without labels: the audit's own cost, the exams as they will be, and sets as large as asked for."""
    from realmodels.audit_cost import cost_of
    from realmodels.study_facts import audit_job, write_facts
    from realmodels.study_questions import arms_of
    from realmodels.study_unlabelled import sets_of, unlabelled

    with tempfile.TemporaryDirectory() as folder:
        path = write_facts(order, Path(folder) / "rows.jsonl")
        job = audit_job(order, path)
        cost = cost_of(replace(job, output=order.audit or order.output / "audit"), 0.2, order.speed)
        facts = unlabelled(path, order.settings)
    drawn = {seed: sets_of(order, facts, kind, seed) for seed in order.seeds}
    arms, base = arms_of(order, facts, drawn, kind)
    every = [base, *arms.values()]
    beside = kind.beside(order, facts, drawn)
    others = [other for other, _ in beside]
    counted = [_left(one, some) for one, some in ((order, every), *beside)]
    load = Load(
        cost.tokens, sum(one[2] for one in counted), sum(one[3] for one in counted), step_of(order.recipe)
    )
    first = drawn[order.seeds[0]].sets
    lines = [
        f"facts:   {len(facts.rows):,} to audit; {len(facts.train):,} to train on, {len(facts.dev)} dev, "
        f"{len(facts.test)} test, {len(facts.ood)} of other relations",
        f"arms:    {len(every)} ({len(first)} a seed and the untuned base)",
        *(
            f"beside:  {len(one[0])} arms on {other.model}"
            for other, one in zip(others, counted[1:], strict=True)
        ),
        "rows:    " + ", ".join(f"{name} {len(one)}" for name, one in first.items()),
        "note:    labels decide how large sets can be; here they are as large as asked for",
    ]
    return lines, load, others


def _heads(order: Order) -> int:
    from realmodels.card import read_config

    text = read_config(order.model, order.allow_code).get_text_config()
    return int(text.num_hidden_layers * text.num_attention_heads)


def _tokens(tokens: object, arms: Sequence[Arm], answered: Sequence[bool], heads: int) -> tuple[float, float]:
    """To train and to ask. A hook's module says with `tokens_read` what it reads at a stop; arms that were `answered`
    before their hook was wanted are asked dev alone."""
    from realmodels.study_arms import hook_named
    from realmodels.study_exam import Exam, asked_tokens, tokens_asked

    counted: dict[tuple[str, str], float] = {}

    def cost(exam: Exam, prompt: str) -> float:
        key = (exam.fingerprint, prompt)
        if key not in counted:
            counted[key] = tokens_asked(tokens, exam, prompt)
        return counted[key]

    train = ask = 0.0
    for arm, silent in zip(arms, answered, strict=True):
        if arm.hook and (read := hook_named(f"{arm.hook.partition(':')[0]}:tokens_read")):
            ask += (2 if arm.rows else 1) * read(tokens, arm, heads)
        if not arm.rows:
            ask += (
                0
                if silent
                else sum(
                    cost(exam, prompt)
                    for exam in (arm.dev, *arm.exams)
                    for prompt in arm.prompts.get(exam.split, ("zero",))
                )
            )
            continue
        own = sum(asked_tokens(tokens, arm.dev.style, row) for row in arm.rows)
        steps, batch = arm.recipe.steps or 0, arm.recipe.batch
        train += own / len(arm.rows) * min(batch, len(arm.rows)) * steps
        looks = -(-steps // (arm.recipe.eval_every or steps))
        ask += looks * cost(arm.dev, "zero")
        if silent:
            continue
        ask += len(arm.along) * (own + sum(cost(exam, "zero") for exam in arm.exams))
        ask += 2 * (
            own
            + sum(
                cost(exam, prompt) for exam in arm.exams for prompt in arm.prompts.get(exam.split, ("zero",))
            )
        )
    return train, ask


def step_of(recipe: Recipe) -> float:
    """How many tokens that are only asked a training token counts."""
    return STEP + TWICE * recipe.checkpointing


def memory(card: ModelCard, recipe: Recipe, order: Order, longest: int = 64) -> float:
    """Bytes: weights, the adapter with its optimiser, and what a batch of rows of so many tokens leaves behind."""
    width = {"float32": 4}.get(card.dtype, 2)
    rows = recipe.micro or recipe.batch
    adapter = adapter_weights(order, recipe)
    kept = (
        card.layers + KEPT if recipe.checkpointing else card.layers * KEPT
    )  # each layer's input, and one layer's all
    left = rows * longest * card.hidden * width * kept
    return card.weight_bytes + STATES * 4 * adapter + left + rows * 8 * card.vocabulary * 4


def adapter_weights(order: Order, recipe: Recipe) -> int:
    """Of the model's shape alone."""
    import torch

    from realmodels.card import read_config, skeleton
    from realmodels.recipe import ALL_LINEAR

    model = skeleton(read_config(order.model, order.allow_code), order.model, order.allow_code)
    head = model.get_output_embeddings()
    total = 0
    for name, module in model.named_modules():
        wanted = recipe.targets == (ALL_LINEAR,) or name.rpartition(".")[2] in recipe.targets
        if wanted and isinstance(module, torch.nn.Linear) and module is not head:
            total += recipe.rank * (module.in_features + module.out_features)
    if not total:
        raise RealmodelsError(
            f"recipe: targets: no layer of {order.model} is called {', '.join(recipe.targets)}"
        )
    return total


def _clock(hours: float) -> str:
    if hours < 1 / 30:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 2 else f"{hours:.1f} h"

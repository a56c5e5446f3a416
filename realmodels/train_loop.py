"""The loop: steps of AdamW on an adapter's weights, with looks at held-out rows and checkpoints in between."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from realmodels.adapters import copied, fingerprint, fresh_adapter, put_back, save_adapter, trained
from realmodels.answer_loss import answer_loss
from realmodels.checkpoints import (
    FILE,
    State,
    generators,
    moments_of,
    read_state,
    set_generators,
    set_moments,
    write_state,
)
from realmodels.errors import RealmodelsError
from realmodels.parallel import add_up, current, own_rows
from realmodels.recipe import Recipe, rate_at
from realmodels.relief import lighter
from realmodels.sharded import in_step, shared
from realmodels.train_batches import epoch_order, laid_out, parts, steps_in
from realmodels.train_rows import TrainRow, TrainSet
from realmodels.train_watch import Watch, exact_match
from theory.errors import out_of_memory

if TYPE_CHECKING:
    from realmodels.loading import Loaded

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Finished:
    """The adapter is that after `kept_step` of `steps`; hashes are of its weights at the start and at the end."""

    initial_hash: str
    final_hash: str
    weights: int
    steps: int
    kept_step: int
    seen: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step's findings: loss summed over `tokens` answer tokens, rows fitted, real tokens read, gradient norm."""

    loss: float
    tokens: int
    right: int
    real: int
    norm: float


def train_adapter(
    loaded: Loaded,
    data: TrainSet,
    recipe: Recipe,
    folder: Path,
    key: str,
    watch: Watch,
    held: TrainSet | None = None,
    options: Collection[str] = (),
) -> Finished:
    """Train an adapter of `data` into `folder`, going on from a checkpoint of the same `key` if there is one. `options`
    are what the command has of --load-in and --shard."""
    safe = folder / CHECKPOINT
    lengths = [len(item) for item in data.items]
    an_epoch, total = steps_in(recipe, len(data))
    every = recipe.eval_every or an_epoch
    with fresh_adapter(loaded, recipe) as model:
        weights = trained(model)
        initial = fingerprint(weights)
        optimizer = adamw(loaded, weights.values(), recipe)
        best: dict[str, Tensor] = {}
        step = 0
        if state := read_state(safe, key):
            put_back(model, state.weights)
            set_moments(optimizer, weights, state.moments)
            set_generators(loaded.device, state.generators)
            best, step = dict(state.best), state.step
        watch.go_on(step, dict(state.seen) if state else {})
        saved, order, epoch = step, [], -1
        while step < total and not watch.enough:
            if epoch != step // an_epoch:
                epoch = step // an_epoch
                order = epoch_order(lengths, recipe, epoch)
            rows = [data.items[i] for i in order[step % an_epoch]]
            rate = rate_at(recipe, step, total)
            if recipe.dropout:
                current().reseed(recipe.seed, step)
            started = time.perf_counter()
            done = _guarded(loaded, optimizer, rows, recipe, rate, step, f"{data.name}", saved, options)
            watch.seen.seconds += time.perf_counter() - started
            watch.seen.real_tokens += done.real
            step += 1
            watch.step(step, done.loss, done.tokens, len(rows), done.right, done.norm, rate)
            if step == total:
                watch.flush(step, rate)
            if held is not None and (step % every == 0 or step == total):
                loaded.model.eval()
                share = current().told(exact_match(loaded, held, recipe))
                if watch.look(step, share, len(held)) and recipe.patience:
                    best = copied(weights)
            if step % recipe.save_every == 0 and step < total:
                write_state(
                    safe,
                    key,
                    State(
                        step,
                        weights,
                        moments_of(optimizer, weights),
                        best,
                        generators(loaded.device),
                        watch.state(),
                    ),
                )
                saved = step
        if best:
            put_back(model, best)
        save_adapter(model, folder)
        final = fingerprint(weights)
        count = sum(weight.numel() for weight in weights.values())
    kept = watch.seen.best_step if best else step
    return Finished(initial, final, count, step, kept, watch.state())


def adamw(loaded: Loaded, weights: Iterable[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Of the adapter's weights alone; on a processor it goes over all of them at once, as it does elsewhere anyway."""
    return torch.optim.AdamW(
        weights,
        lr=recipe.rate,
        betas=(recipe.beta1, recipe.beta2),
        weight_decay=recipe.weight_decay,
        fused=True if loaded.device == "cpu" else None,
    )


def drop_checkpoint(folder: Path) -> None:
    (folder / CHECKPOINT / FILE).unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or somebody put a file into it
        (folder / CHECKPOINT).rmdir()


def take_step(
    loaded: Loaded, optimizer: torch.optim.Optimizer, rows: Sequence[TrainRow], recipe: Recipe, rate: float
) -> Step:
    """One step on these rows, in as many pieces as the recipe says; the pieces do not change the mean, nor do several
    processes that share the rows."""
    loaded.model.train()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    tokens = sum(sum(row.learned) for row in rows)
    loss, right, real = 0.0, 0, 0
    optimizer.zero_grad(set_to_none=True)
    own = parts(own_rows(rows), recipe, loaded.tokens.pad)
    for piece, genuine in in_step(loaded.model, own, partial(laid_out, rows[:1], loaded.tokens.pad)):
        lines = piece.to(loaded.device)
        summed, hits = answer_loss(loaded.model, lines)
        (summed / tokens if genuine else 0 * summed).backward()
        if not genuine:
            continue
        loss += float(summed.detach())
        right += int(hits.sum())
        real += lines.real
    loss, *counts = add_up(weights, (loss, right, real))
    right, real = map(int, counts)
    if not math.isfinite(loss):
        return Step(loss, tokens, right, real, math.nan)
    total = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    norm = float(total)
    if math.isfinite(norm):
        if recipe.clip and norm > recipe.clip:
            torch.nn.utils.clip_grads_with_norm_(weights, recipe.clip, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return Step(loss, tokens, right, real, norm)


def _guarded(
    loaded: Loaded,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[TrainRow],
    recipe: Recipe,
    rate: float,
    step: int,
    name: str,
    saved: int,
    options: Collection[str] = (),
) -> Step:
    """A step, or one line that says why there is none."""
    try:
        done = take_step(loaded, optimizer, rows, recipe, rate)
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        optimizer.zero_grad(set_to_none=True)
        longest, now = max(map(len, rows)), recipe.micro or len(rows)
        ways = [f"--set micro={max(1, now // 2)}"] if now > 1 else []
        ways += [] if recipe.checkpointing else ["--set checkpointing=true"]
        few = getattr(loaded.model, "is_quantized", False)
        ways += lighter(loaded.device, loaded.dtype, options, few=few, shared=shared(loaded.model))
        ways += ["a smaller model, or drop the longest rows"] if not ways else []
        raise RealmodelsError(
            f"{name}: out of memory at step {step + 1} with {min(now, len(rows))} rows of up to {longest} tokens; "
            f"try {' or '.join(ways)}"
        ) from None
    if not math.isfinite(done.loss) or not math.isfinite(done.norm):
        what, value = ("gradient", done.norm) if math.isfinite(done.loss) else ("loss", done.loss)
        kept = f"the checkpoint of step {saved} is kept" if saved else "nothing is kept of this arm"
        raise RealmodelsError(
            f"{name}: the {what} is {value} at step {step + 1}, {_where(loaded, rows)}; lower the rate "
            f"({recipe.rate:g}) or mend the rows; {kept}"
        )
    return done


def _where(loaded: Loaded, rows: Sequence[TrainRow]) -> str:
    """The rows whose own loss is no number."""
    loaded.model.eval()
    with torch.no_grad():
        bad = [
            row.at
            for row in rows
            if not math.isfinite(
                float(answer_loss(loaded.model, laid_out([row], loaded.tokens.pad).to(loaded.device))[0])
            )
        ]
    if len(bad) == len(rows) and len(rows) > 1:
        return f"on all its {len(rows)} rows (first: {bad[0]})"
    return (
        f"on {', '.join(bad[:3])}{' and more' if len(bad) > 3 else ''}" if bad else "on no single row alone"
    )

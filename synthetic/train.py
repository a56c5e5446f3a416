"""One loop for pretraining and every fine-tuning; what it does follows from weights, documents and a `TrainSpec`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthetic.compiling import Body, body
from synthetic.errors import SyntheticError
from synthetic.head import summed_loss
from synthetic.machine import has_bfloat16, one_thread
from synthetic.model import EMBEDDING, LlamaSpec, Weights
from synthetic.order import plan, tokens_a_step
from synthetic.packing import Batch, Documents
from synthetic.progress import bar
from synthetic.train_spec import TrainSpec, rate_at
from synthetic.tuning import add_adapter, trainable_names

Watch = Callable[[int, Weights], None]


@dataclass(frozen=True)
class Trained:
    """What training leaves: weights, the mean loss of each step, document tokens read, and seconds spent in steps."""

    weights: Weights
    losses: NDArray[np.float64]
    tokens: int
    seconds: float


def train(
    weights: Weights,
    spec: LlamaSpec,
    documents: Documents,
    how: TrainSpec,
    *,
    at: Collection[int] = (),
    watch: Watch | None = None,
    progress: str | None = None,
) -> Trained:
    """Train a copy of `weights`; tensors that stay as they are are shared with it. With `trainable="lora"` the result
    carries an adapter: see `merge_adapter`. `watch(step, weights)` is called after each step in `at`, 0 being before
    the first; it must not keep the weights. `progress` is the label of a bar on stderr."""
    room = max(how.room, int(documents.lengths.max()))
    _check(spec, documents, room)
    if how.trainable == "lora":
        weights = add_adapter(weights, how.rank, how.alpha, how.seed)
    live = {name: tensor.detach() for name, tensor in weights.items()}
    names = trainable_names(live, how.trainable)
    live |= {name: live[name].clone().requires_grad_() for name in names}
    changing = [live[name] for name in names]
    batches, steps = plan(documents, how, room)
    half = how.precision == "bfloat16" or (how.precision == "auto" and has_bfloat16())
    states = body(spec, half, how.compile, steps * tokens_a_step(documents, how, room))
    optimiser = _optimiser(changing, how)
    losses, tokens, seconds = np.empty(steps), 0, 0.0
    with one_thread(), bar(progress, steps, "step") as shown:
        if watch and 0 in at:
            watch(0, live)
        for step, batch in enumerate(batches):
            start = time.perf_counter()
            for group in optimiser.param_groups:
                group["lr"] = rate_at(how, step, steps)
            optimiser.zero_grad(set_to_none=True)
            loss = batch_loss(live, batch, states, half)
            loss.backward()  # type: ignore[no-untyped-call]
            if how.clip:
                torch.nn.utils.clip_grad_norm_(changing, how.clip)
            optimiser.step()
            losses[step] = loss.item()
            tokens, seconds = tokens + batch.size, seconds + time.perf_counter() - start
            if not math.isfinite(losses[step]):
                raise SyntheticError(
                    f"the loss is {losses[step]} at step {step + 1} of {steps}; lower the rate {how.rate:g}"
                )
            shown.update()
            if watch and step + 1 in at:
                watch(step + 1, live)
    return Trained({name: tensor.detach() for name, tensor in live.items()}, losses, tokens, seconds)


def batch_loss(weights: Weights, batch: Batch, states: Body, half: bool = False) -> Tensor:
    """Mean cross-entropy of the tokens of a batch that are to be predicted."""
    hidden = states(weights, batch.tokens, batch.positions, batch.mask, take=batch.take)
    rows = hidden.flatten(0, 1)[batch.pick]
    return summed_loss(rows, weights[EMBEDDING], batch.targets, half=half) / len(batch.targets)


def _check(spec: LlamaSpec, documents: Documents, room: int) -> None:
    if room > spec.context:
        raise SyntheticError(
            f"rows of {room} tokens for a context of {spec.context}; shorten `room` or the documents"
        )
    if (highest := int(documents.tokens.max())) >= spec.vocabulary:
        raise SyntheticError(
            f"token {highest} in the documents, but the vocabulary has {spec.vocabulary} words"
        )


def _optimiser(changing: list[Tensor], how: TrainSpec) -> torch.optim.Optimizer:
    groups = [
        {"params": [tensor for tensor in changing if (tensor.ndim > 1) is matrices], "weight_decay": decay}
        for matrices, decay in ((True, how.weight_decay), (False, 0.0))
    ]
    groups = [group for group in groups if group["params"]]
    if how.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=how.rate, momentum=how.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=how.rate, betas=how.betas, fused=True)

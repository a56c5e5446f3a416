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
from synthetic.gradient import Gradient, Store
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
    batches, steps = plan(documents, how, room)
    learner = _learner(weights, spec, how, steps * tokens_a_step(documents, how, room))
    live, changing = learner.live, [tensor for tensor, _ in learner.changing]
    optimiser = _optimiser(learner.changing, how)
    losses, tokens, seconds = np.empty(steps), 0, 0.0
    with one_thread(), bar(progress, steps, "step") as shown:
        if watch and 0 in at:
            watch(0, live)
        for step, batch in enumerate(batches):
            start = time.perf_counter()
            for group in optimiser.param_groups:
                group["lr"] = rate_at(how, step, steps)
            loss = learner.teach(batch)
            if how.clip:
                _clip(changing, how.clip)
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
    return Trained(learner.weights(), losses, tokens, seconds)


@dataclass(frozen=True)
class _Learner:
    """Weights and how a batch leaves its gradient with those that are to change."""

    live: Weights
    changing: list[tuple[Tensor, bool]]  # each with: is it matrices, which may decay?
    teach: Callable[[Batch], Tensor]  # the loss
    weights: Callable[[], Weights]


def _learner(weights: Weights, spec: LlamaSpec, how: TrainSpec, tokens: float) -> _Learner:
    """By hand where that can be done; else by automatic differentiation."""
    half = how.precision == "bfloat16" or (how.precision == "auto" and has_bfloat16())
    single = all(tensor.dtype == torch.float32 for tensor in weights.values())
    bare = set(weights) == set(spec.shapes())
    if how.trainable == "lora" or half or how.compile == "always" or not (single and bare):
        return _automatic(weights, spec, how, tokens, half)
    store = Store(weights, spec, trainable_names(weights, how.trainable))
    return _Learner(
        store.live,
        list(store.parameters(apart=how.weight_decay > 0)),
        Gradient(store),
        lambda: store.weights(weights),
    )


def _automatic(weights: Weights, spec: LlamaSpec, how: TrainSpec, tokens: float, half: bool) -> _Learner:
    if how.trainable == "lora":
        weights = add_adapter(weights, how.rank, how.alpha, how.seed)
    live = {name: tensor.detach() for name, tensor in weights.items()}
    names = trainable_names(live, how.trainable)
    live |= {name: live[name].clone().requires_grad_() for name in names}
    changing = [(live[name], live[name].ndim > 1) for name in names]
    states = body(spec, half, how.compile, tokens)

    def teach(batch: Batch) -> Tensor:
        for tensor, _ in changing:
            tensor.grad = None
        loss = batch_loss(live, batch, states, half)
        loss.backward()
        return loss

    return _Learner(live, changing, teach, lambda: {name: tensor.detach() for name, tensor in live.items()})


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


def _clip(changing: list[Tensor], most: float) -> None:
    """As torch.nn.utils.clip_grad_norm_, but a gradient that is short enough is not touched."""
    slopes = [tensor.grad for tensor in changing if tensor.grad is not None]
    norm = math.hypot(*(float(torch.linalg.vector_norm(slope)) for slope in slopes))
    if not norm <= most:  # a norm that is no number too
        torch._foreach_mul_(slopes, most / (norm + 1e-6))


def _optimiser(changing: list[tuple[Tensor, bool]], how: TrainSpec) -> torch.optim.Optimizer:
    groups = [
        {"params": [tensor for tensor, decays in changing if decays is matrices], "weight_decay": decay}
        for matrices, decay in ((True, how.weight_decay), (False, 0.0))
    ]
    groups = [group for group in groups if group["params"]]
    if how.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=how.rate, momentum=how.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=how.rate, betas=how.betas, fused=True)

"""Direct preference optimisation on pairs of own texts, the better believed one preferred; and, to tell what
preference does from what reading on does, the preferred ones simply read for as long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from synthetic.biographies import Texts
from synthetic.generate import padded
from synthetic.long_form import Desk, Written, steps_to_read, tuning
from synthetic.machine import one_thread
from synthetic.model import LlamaSpec, Weights, hidden_states, logits
from synthetic.text_sets import SAMPLES, Library
from synthetic.train import train

Ints = NDArray[np.int64]
NAME, CONTROL = "pairs:belief", "pairs:preferred"
BETA = 0.1
RATE = 0.3  # of the rate of supervised tuning
PAIRS = 32  # a step


def pairs(found: Library) -> tuple[Texts, Texts]:
    """Of each subject's own texts the one whose claims are believed most on average and the one believed least, if
    they differ; a text without claims is in no pair."""
    texts, belief = found.own, found.own_belief
    mean = np.bincount(texts.of, belief, len(texts)) / np.maximum(texts.claims, 1)
    high = np.where(texts.claims > 0, mean, -np.inf).reshape(-1, SAMPLES)
    low = np.where(texts.claims > 0, mean, np.inf).reshape(-1, SAMPLES)
    first = SAMPLES * np.arange(len(high))
    differ = (high.max(axis=1) > low.min(axis=1)) & np.isfinite(low.min(axis=1))
    return texts[(first + high.argmax(axis=1))[differ]], texts[(first + low.argmin(axis=1))[differ]]


def log_likelihood(weights: Weights, spec: LlamaSpec, whole: Sequence[Sequence[int]], heads: Ints) -> Tensor:
    """(n,) log-probability of what follows the head of each text."""
    tokens, lengths = padded(whole)
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    states = hidden_states(weights, spec, tokens, positions)
    column = torch.arange(1, tokens.shape[1])
    used = (column >= torch.as_tensor(heads)[:, None]) & (column < lengths[:, None])
    row, at = used.nonzero(as_tuple=True)
    heard = logits(weights, states[row, at]).log_softmax(-1)
    said = heard.gather(-1, tokens[row, at + 1, None])[:, 0]
    return torch.zeros(len(tokens), dtype=said.dtype).index_add(0, row, said)


def preference_loss(now: Tensor, before: Tensor, beta: float = BETA) -> Tensor:
    """Mean of -log sigmoid(beta x the gain of the preferred over the other text); columns preferred, other."""
    gain = now - before
    return -F.logsigmoid(beta * (gain[:, 0] - gain[:, 1])).mean()


def preferred(desk: Desk, found: Library, start: Written, tokens: int) -> Written:
    """Optimise from `start`, which is the reference too, until this many tokens have been read."""
    base = desk.base
    how = tuning(base)
    well = [text.keep(text.relation >= 0) for text in pairs(found)]
    sides = [desk.script.sequences(text) for text in well]
    count = len(well[0])
    length = np.array([len(a) + len(b) for a, b in zip(sides[0][0], sides[1][0], strict=True)])
    live = {name: tensor.clone().requires_grad_() for name, tensor in start.weights.items()}
    optimiser = torch.optim.AdamW(
        list(live.values()), lr=RATE * how.rate, betas=how.betas, weight_decay=0.0, fused=True
    )
    rng = np.random.default_rng(np.random.SeedSequence([base.seed, 0xD90]))
    read = steps = 0

    def both(weights: Weights, some: Ints) -> Tensor:
        return torch.stack(
            [
                log_likelihood(
                    weights, base.spec, [whole[i] for i in some], np.array([heads[i] for i in some])
                )
                for whole, heads in sides
            ],
            dim=1,
        )

    with one_thread():
        with torch.inference_mode():
            before = torch.cat(
                [both(start.weights, part) for part in np.array_split(np.arange(count), -(-count // 256))]
            )
        before = before.clone()
        while read < tokens:
            for some in np.array_split(rng.permutation(count), -(-count // PAIRS)):
                if read >= tokens:
                    break
                optimiser.zero_grad(set_to_none=True)
                loss = preference_loss(both(live, some), before[torch.from_numpy(some)])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(list(live.values()), how.clip)
                optimiser.step()
                read, steps = read + int(length[some].sum()), steps + 1
    stamp = replace(desk.stamp, arm="dpo", trained_on=NAME, step=steps)
    return Written(stamp, {name: tensor.detach() for name, tensor in live.items()}, read)


def read_on(desk: Desk, found: Library, start: Written, tokens: int) -> Written:
    """Read the preferred texts alone, from `start` and at the rate of preference, until this many tokens have been
    read."""
    base, how = desk.base, tuning(desk.base)
    texts = pairs(found)[0]
    documents = desk.script.documents(texts.keep(texts.relation >= 0))
    how = replace(how, rate=RATE * how.rate, warmup=0.0, decay="constant")
    steps = steps_to_read(documents, how, tokens)
    trained = train(start.weights, base.spec, documents, replace(how, steps=steps))
    stamp = replace(desk.stamp, trained_on=CONTROL, step=steps)
    return Written(stamp, trained.weights, trained.tokens)

"""The loss on answers. Logits are made only where there is loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from realmodels.fused_lora import answer_states
from realmodels.prefix import body, head_logits
from realmodels.train_batches import Lines

AT_ONCE = 2048  # logits kept for the backward pass; beyond that they are computed twice


def answer_loss(model: Any, lines: Lines) -> tuple[Tensor, Tensor]:
    """The loss summed over the answer tokens, in nats, float32; and for each row [rows] whether the likeliest token is
    the right one all along its answer."""
    wanted = answer_states(model, lines)
    if wanted is None:
        wanted = _hidden(model, lines)
    if len(wanted) <= AT_ONCE:
        loss, hits = _loss(model, wanted, lines.targets)
    else:
        pieces = zip(wanted.split(AT_ONCE), lines.targets.split(AT_ONCE), strict=True)
        done = [checkpoint(_loss, model, some, targets, use_reentrant=False) for some, targets in pieces]
        loss, hits = torch.stack([one[0] for one in done]).sum(), torch.cat([one[1] for one in done])
    right = torch.ones(lines.rows, dtype=torch.bool, device=hits.device)
    right[lines.owner[~hits]] = False
    return loss, right


def _hidden(model: Any, lines: Lines) -> Tensor:
    """States [answer tokens, width] from which answer tokens are predicted. No mask: what comes later is not seen, and
    positions that begin again begin another row."""
    found = body(model)(input_ids=lines.tokens, position_ids=lines.places, use_cache=False)
    return found.last_hidden_state[lines.line, lines.column]


def _loss(model: Any, wanted: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    found = head_logits(model, wanted)
    return functional.cross_entropy(found, targets, reduction="sum"), found.detach().argmax(dim=1) == targets

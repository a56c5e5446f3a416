"""Cross-entropy at the tied head in chunks: each is scored, its gradient kept, its logits dropped."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 256  # rows whose logits are alive at once: at a vocabulary of 1,500 they stay in a core's own cache


def slopes(
    rows: Tensor,
    head: Tensor,
    targets: Tensor,
    *,
    half: bool = False,
    scale: float = 1.0,
    taught: bool = True,
    into: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sum over rows (n, width) of -log softmax(rows head^T) at `targets` (n,), times `scale`, and its gradient in the
    rows; that in the head is written to `into` if it is given. Without `taught` there is no gradient but zeros. `half`
    multiplies in bfloat16."""
    low_head = head.bfloat16() if half else head
    d_rows = torch.empty_like(rows) if taught else torch.zeros_like(rows)
    total = rows.new_zeros(())
    for first in range(0, len(rows), CHUNK):
        some = slice(first, first + CHUNK)
        low_rows = rows[some].bfloat16() if half else rows[some]
        logits = (low_rows @ low_head.T).to(rows.dtype)
        target = targets[some, None]
        chance = logits.log_softmax(1)
        total -= chance.gather(1, target).sum()
        if taught:
            slope = chance.exp_()
            slope.scatter_add_(1, target, slope.new_full(target.shape, -1.0))
            slope = slope.bfloat16() if half else slope
            d_rows[some] = slope @ low_head
            if into is not None:
                if half:
                    into.mul_(float(first > 0)).add_(slope.T @ low_rows)
                else:
                    torch.addmm(into, slope.T, low_rows, beta=float(first > 0), out=into)
    if scale != 1.0:
        for part in (total, d_rows, into):
            if part is not None:
                part.mul_(scale)
    return total, d_rows


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, head: Tensor, targets: Tensor, half: bool) -> Tensor:
        wants_rows, wants_head = ctx.needs_input_grad[:2]
        d_head = torch.zeros_like(head) if wants_head else None
        total, d_rows = slopes(rows, head, targets, half=half, taught=wants_rows or wants_head, into=d_head)
        ctx.save_for_backward(d_rows if wants_rows else None, d_head)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        d_rows, d_head = (part if part is None else part.mul_(slope) for part in ctx.saved_tensors)
        return d_rows, d_head, None, None


def summed_loss(rows: Tensor, head: Tensor, targets: Tensor, *, half: bool = False) -> Tensor:
    """Sum over rows (n, width) of -log softmax(rows head^T) at `targets` (n,). `half` multiplies in bfloat16."""
    return _ChunkedCrossEntropy.apply(rows, head, targets, half)

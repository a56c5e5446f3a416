"""The parts of a Llama-like layer with frozen weights, each with a backward pass that keeps and computes little."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

AT_A_TIME = 128  # longer rows, and any on a GPU, go through torch's own attention


class Normed(Function):
    """weight * x / sqrt(mean(x^2) + eps), the quotient in float32; the weight is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True).add_(eps))
        ctx.save_for_backward(x, weight, scale)
        return weight * (wide * scale).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, scale = ctx.saved_tensors
        unit = x.float() * scale
        wide = (grad * weight).float()
        along = (wide * unit).mean(-1, keepdim=True)
        return wide.addcmul_(unit, along, value=-1).mul_(scale).to(x.dtype), None, None


class Projected(Function):
    """Frozen linear layers of one input [tokens, width], each with its adapter or without. `parts` are, layer after
    layer, its weight, bias, A and B; what A makes of the input is computed for all of them at once. Adapters are
    rounded to the input's precision once, after they are scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: tuple[float, ...], *parts: Tensor | None) -> tuple[Tensor, ...]:
        layers: list[Any] = [parts[i : i + 4] for i in range(0, len(parts), 4)]
        downs = [down for _, _, down, _ in layers if down is not None]
        ups = [
            (up if scale == 1 else up * scale).to(x.dtype)
            for (_, _, _, up), scale in zip(layers, scales, strict=True)
            if up is not None
        ]
        down = torch.cat(downs).to(x.dtype) if downs else x.new_empty(0, x.shape[-1])
        inner = x @ down.t()
        each, high = iter(inner.split([len(one) for one in downs], dim=1)), iter(ups)
        outs = []
        for weight, bias, own, _ in layers:
            out = functional.linear(x, weight, bias)
            outs.append(out if own is None else out.addmm_(next(each), next(high).t()))
        ctx.scales, ctx.spans = scales, [None if own is None else len(own) for _, _, own, _ in layers]
        ctx.dtypes = [None if part is None else part.dtype for part in parts]
        ctx.save_for_backward(x, inner, down, *(weight for weight, *_ in layers), *ups)
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, inner, down, *rest = ctx.saved_tensors
        weights, ups = rest[: len(grads)], iter(rest[len(grads) :])
        found: list[Tensor | None] = [None] * len(ctx.dtypes)
        below = torch.empty_like(inner)
        start, below_x = 0, None
        for i, (weight, scale, span, grad) in enumerate(
            zip(weights, ctx.scales, ctx.spans, grads, strict=True)
        ):
            if ctx.needs_input_grad[0]:
                below_x = grad @ weight if below_x is None else below_x.addmm_(grad, weight)
            if span is not None:
                part, start = slice(start, start + span), start + span
                below[:, part] = grad @ next(ups)
                up = (
                    (inner[:, part].t() @ grad)
                    .t()
                    .to(ctx.dtypes[4 * i + 3], memory_format=torch.contiguous_format)
                )
                found[4 * i + 3] = up if scale == 1 else up.mul_(scale)
        if start:
            if below_x is not None:
                below_x.addmm_(below, down)
            pieces = iter((below.t() @ x).split([span for span in ctx.spans if span is not None]))
            for i, span in enumerate(ctx.spans):
                if span is not None:
                    found[4 * i + 2] = next(pieces).to(ctx.dtypes[4 * i + 2])
        return below_x, None, *found


class Spread(Function):
    """[tokens, ...] put into the cells of a grid that has `size`; the others are zero."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, cell: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(cell)
        return flat.new_zeros(size, *flat.shape[1:]).index_copy_(0, cell, flat)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class Taken(Function):
    """Those that are wanted, some perhaps more than once; then their gradients add up, in float32."""

    @staticmethod
    def forward(ctx: Any, some: Tensor, wanted: Tensor) -> Tensor:
        ctx.save_for_backward(wanted)
        ctx.size = len(some)
        return some.index_select(0, wanted)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        wide = grad.new_zeros(ctx.size, *grad.shape[1:], dtype=torch.float32)
        return wide.index_add_(0, ctx.saved_tensors[0], grad.float()).to(grad.dtype), None


class Turned(Function):
    """Rotary positions: both halves of every head [tokens, heads, width] turned by the token's angles, whose cosine and
    sine are [tokens, 1, width / 2]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turn(x, cosine, sine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        cosine, sine = ctx.saved_tensors
        return _turn(grad, cosine, -sine), None, None


class Gated(Function):
    """silu(gate) * up; only the two are kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), functional.silu(gate).mul_(grad)


def attended(query: Tensor, key: Tensor, value: Tensor, scale: float, reach: Tensor | None) -> Tensor:
    """Attention of `query` [rows, asking, heads, width] to `key` and `value` [rows, tokens, groups, width]. `reach`
    [rows, asking] is the last token that each may see; without it, every token sees itself and those before."""
    rows, asking, heads, width = query.shape
    tokens, groups = key.shape[1:3]
    if query.device.type != "cpu" or tokens > AT_A_TIME:
        q, k, v = (part.transpose(1, 2) for part in (query, key, value))
        mask = None
        if reach is not None:
            mask = (torch.arange(tokens, device=query.device) <= reach[..., None])[:, None]
        if mask is not None or query.device.type not in ("cpu", "cuda"):
            k, v = (part.repeat_interleave(heads // groups, dim=1) for part in (k, v))
        found = functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=mask is None, scale=scale, enable_gqa=k.shape[1] != heads
        )
        return found.transpose(1, 2).reshape(rows, asking, heads * width)
    last = torch.arange(tokens).expand(rows, asking) if reach is None else reach
    late = torch.arange(tokens) > last[..., None]
    # the heads of a group ask the same keys: they are laid behind each other
    q = query.float().unflatten(2, (groups, -1)).permute(0, 2, 3, 1, 4).reshape(rows * groups, -1, width)
    k, v = (part.float().transpose(1, 2).reshape(rows * groups, tokens, width) for part in (key, value))
    scores = torch.bmm(q * scale, k.transpose(1, 2)).view(rows, heads, asking, tokens)
    shares = scores.masked_fill_(late[:, None], -torch.inf).softmax(-1)
    found = torch.bmm(shares.view(rows * groups, -1, tokens), v)
    found = found.view(rows, heads, asking, width).transpose(1, 2)
    return found.reshape(rows, asking, heads * width).to(query.dtype)


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    out = torch.empty_like(x)
    left, right = out.chunk(2, dim=-1)
    torch.mul(first, cosine, out=left).addcmul_(second, sine, value=-1)
    torch.mul(second, cosine, out=right).addcmul_(first, sine)
    return out

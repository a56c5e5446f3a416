"""A shorter way through Llama, Mistral and Qwen2 models: the same numbers, with nothing computed twice or for nobody.

Rows are a tree: what rows begin with in common is read once, padding never; only attention puts rows into a grid. What
a layer's input becomes in several adapters is one product. The last layer answers only where there is loss. Frozen
weights have no gradient, and what lies below the first adapter none either. Whatever is unusual about a model leaves
it to transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from realmodels.fused_parts import Gated, Normed, Projected, Spread, Taken, Turned, attended
from realmodels.prefix import body
from realmodels.train_batches import Lines

KINDS = ("llama.modeling_llama.Llama", "mistral.modeling_mistral.Mistral", "qwen2.modeling_qwen2.Qwen2")
WASTE = 2.0  # a grid so many times larger than its tokens is left to transformers
TRIM = 0.5  # the last layer answers only where there is loss if that is at most this share of the tokens


@dataclass(frozen=True)
class Product:
    """A frozen linear layer and its adapter, if it has one."""

    weight: Tensor
    bias: Tensor | None
    down: Tensor | None
    up: Tensor | None
    scale: float


@dataclass(frozen=True)
class Layer:
    """One layer's weights; `lost` if its activations are computed again in the backward pass."""

    before: tuple[Tensor, float]
    asked: tuple[Product, Product, Product]
    out: Product
    between: tuple[Tensor, float]
    widened: tuple[Product, Product]
    narrowed: Product
    width: int
    scale: float
    window: int | None
    lost: bool


def answer_states(model: Any, lines: Lines) -> Tensor | None:
    """States [answer tokens, width] from which answer tokens are predicted; None if this way is not open."""
    inside = body(model)
    layers = layers_of(inside)
    if layers is None or lines.rows * lines.tree.longest > WASTE * lines.real:
        return None
    if any(layer.window is not None and layer.window < lines.tree.longest for layer in layers):
        return None
    x = inside.embed_tokens(lines.tree.ids)
    cosine, sine = inside.rotary_emb(x, position_ids=lines.tree.place[None])
    half = cosine.shape[-1] // 2
    angles = (cosine[0, :, None, :half].contiguous(), sine[0, :, None, :half].contiguous())
    for number, layer in enumerate(layers):
        only = lines if number + 1 == len(layers) and len(lines.tree.wanted) <= TRIM * len(x) else None
        step = partial(_layer, layer, lines, angles, only is not None)
        x = checkpoint(step, x, use_reentrant=False) if layer.lost and torch.is_grad_enabled() else step(x)
    x = Normed.apply(x, inside.norm.weight, inside.norm.variance_epsilon)
    return x if only is not None else Taken.apply(x, lines.tree.wanted)


def layers_of(inside: Any) -> list[Layer] | None:
    """The layers of a model's body, if all of them are of the usual kind."""
    kind = next((kind for kind in KINDS if _is(inside, f"{kind}Model")), None)
    if kind is None or inside._forward_hooks or inside._forward_pre_hooks:
        return None
    found = [_read(layer, kind) for layer in inside.layers[: inside.config.num_hidden_layers]]
    whole = [layer for layer in found if layer is not None]
    return whole if len(whole) == len(found) else None


def _layer(layer: Layer, lines: Lines, angles: tuple[Tensor, Tensor], trimmed: bool, x: Tensor) -> Tensor:
    normed = Normed.apply(x, *layer.before)
    if trimmed:
        (key, value), (query,) = (
            _products(normed, layer.asked[1:]),
            _products(Taken.apply(normed, lines.tree.wanted), layer.asked[:1]),
        )
        x, at = Taken.apply(x, lines.tree.wanted), tuple(angle[lines.tree.wanted] for angle in angles)
    else:
        query, key, value = _products(normed, layer.asked)
        at = angles
    query = Turned.apply(query.unflatten(-1, (-1, layer.width)), *at)
    key = Turned.apply(key.unflatten(-1, (-1, layer.width)), *angles)
    mixed = _attention(layer, lines, query, key, value.unflatten(-1, (-1, layer.width)), trimmed)
    x = x + _products(mixed, (layer.out,))[0]
    gate, up = _products(Normed.apply(x, *layer.between), layer.widened)
    return x + _products(Gated.apply(gate, up), (layer.narrowed,))[0]


def _attention(
    layer: Layer, lines: Lines, query: Tensor, key: Tensor, value: Tensor, trimmed: bool
) -> Tensor:
    shape = lines.rows, lines.tree.longest
    key, value = (Taken.apply(part, lines.tree.node).unflatten(0, shape) for part in (key, value))
    if not trimmed:
        asking = Spread.apply(query, lines.tree.cell, lines.rows * lines.tree.longest).unflatten(0, shape)
        found = attended(asking, key, value, layer.scale, None)
        return Taken.apply(found.flatten(0, 1), lines.tree.cell)
    shape, size = (lines.rows, lines.tree.most), lines.rows * lines.tree.most
    reach = torch.zeros(size, dtype=torch.int64, device=query.device)
    reach = reach.index_copy(0, lines.tree.slot, lines.tree.place[lines.tree.wanted]).view(shape)
    asking = Spread.apply(query, lines.tree.slot, size).unflatten(0, shape)
    found = attended(asking, key, value, layer.scale, reach)
    return Taken.apply(found.flatten(0, 1), lines.tree.slot)


def _products(x: Tensor, products: Sequence[Product]) -> tuple[Tensor, ...]:
    parts = [part for one in products for part in (one.weight, one.bias, one.down, one.up)]
    return Projected.apply(x, tuple(one.scale for one in products), *parts)


def _read(layer: Any, kind: str) -> Layer | None:
    attention, mlp = layer.self_attn, layer.mlp
    norms = (layer.input_layernorm, layer.post_attention_layernorm)
    usual = (
        _is(layer, f"{kind}DecoderLayer")
        and _is(attention, f"{kind}Attention")
        and _is(mlp, f"{kind}MLP")
        and all(_is(norm, f"{kind}RMSNorm") and not norm.weight.requires_grad for norm in norms)
        and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and not (attention.training and attention.attention_dropout)
    )
    if not usual or any(
        part._forward_hooks or part._forward_pre_hooks for part in (layer, attention, mlp, *norms)
    ):
        return None
    names = (*(f"{name}_proj" for name in "qkvo"),)
    products = [_product(getattr(attention, name)) for name in names]
    products += [_product(getattr(mlp, name)) for name in ("gate_proj", "up_proj", "down_proj")]
    if any(one is None for one in products):
        return None
    query, key, value, out, gate, up, down = products
    return Layer(
        before=(norms[0].weight, norms[0].variance_epsilon),
        asked=(query, key, value),  # type: ignore[arg-type]
        out=out,  # type: ignore[arg-type]
        between=(norms[1].weight, norms[1].variance_epsilon),
        widened=(gate, up),  # type: ignore[arg-type]
        narrowed=down,  # type: ignore[arg-type]
        width=attention.head_dim,
        scale=attention.scaling,
        window=getattr(attention, "sliding_window", None)
        or getattr(attention.config, "sliding_window", None),
        lost=layer.gradient_checkpointing and layer.training,
    )


def _product(module: Any) -> Product | None:
    """A plain linear layer, bare or with one plain adapter that is switched on."""
    from peft.tuners.lora.layer import Linear

    if type(module) is Linear:
        base: Any = module.base_layer
        active = module.active_adapters
        plain = type(base) is nn.Linear and not module.merged and not module.lora_variant and len(active) == 1
        if not plain or _unusual(base):
            return None
        if module.disable_adapters:
            return Product(base.weight, base.bias, None, None, 1.0)
        name = active[0]
        if name not in module.lora_A or not isinstance(module.lora_dropout[name], nn.Identity):
            return None
        down: Any = module.lora_A[name]
        up: Any = module.lora_B[name]
        if down.bias is not None or up.bias is not None:
            return None
        return Product(base.weight, base.bias, down.weight, up.weight, float(module.scaling[name]))
    if type(module) is not nn.Linear or _unusual(module):
        return None
    return Product(module.weight, module.bias, None, None, 1.0)


def _unusual(module: Any) -> bool:
    own = [module.weight, *([] if module.bias is None else [module.bias])]
    return any(weight.requires_grad for weight in own) or bool(
        module._forward_hooks or module._forward_pre_hooks
    )


def _is(module: Any, name: str) -> bool:
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}" == f"transformers.models.{name}"

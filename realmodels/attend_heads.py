"""Into the attention of a model: where heads look, and what they are kept from seeing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from realmodels.errors import RealmodelsError
from realmodels.prefix import body

if TYPE_CHECKING:
    from realmodels.loading import Loaded


def layers_of(loaded: Loaded) -> tuple[Any, ...]:
    """The decoder's layers, each with its `self_attn`."""
    inside, config = body(loaded.model), loaded.model.config.get_text_config()
    layers = getattr(inside, "layers", None)
    count = config.num_hidden_layers
    if layers is None or len(layers) < count or any(not hasattr(x, "self_attn") for x in layers[:count]):
        raise RealmodelsError(
            f"{loaded.name}: the attention of a {type(inside).__name__} cannot be looked into; expected `layers`, each "
            "with a `self_attn`, as in Llama, Mistral, Qwen and SmolLM models; take one of these"
        )
    return tuple(layers[:count])


def heads_of(loaded: Loaded) -> int:
    return int(loaded.model.config.get_text_config().num_attention_heads)


@contextmanager
def eager(loaded: Loaded) -> Iterator[None]:
    """Attention written out, so that it can be seen; afterwards it is computed as before."""
    before = loaded.model.config._attn_implementation
    try:
        loaded.model.set_attn_implementation("eager")
    except (ValueError, AttributeError) as problem:
        raise RealmodelsError(
            f"{loaded.name}: its attention cannot be written out ({problem}); take another model"
        ) from problem
    try:
        yield
    finally:
        loaded.model.set_attn_implementation(before)


@contextmanager
def watching(loaded: Loaded, tokens: Sequence[int]) -> Iterator[list[Tensor]]:
    """While open, every layer that is run appends [rows, heads, keys]: where token `tokens[i]` of row i looks. Needs
    `eager`."""
    seen: list[Tensor] = []

    def look(module: Any, args: Any, output: Any) -> None:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(weights, Tensor) or weights.ndim != 4:
            raise RealmodelsError(
                f"{loaded.name}: {type(module).__name__} keeps its attention weights to itself; take a Llama-like model"
            )
        rows = torch.arange(len(tokens), device=weights.device)
        seen.append(weights[rows, :, torch.tensor(list(tokens), device=weights.device)])

    with ExitStack() as stack:
        for layer in layers_of(loaded):
            stack.callback(layer.self_attn.register_forward_hook(look).remove)
        yield seen


@contextmanager
def blinded(loaded: Loaded, layers: Sequence[int], hidden: Tensor) -> Iterator[None]:
    """While open, these layers do not see what is True in `hidden` [rows, 1 or heads, queries, keys]."""
    hidden = hidden.to(loaded.model.device)

    def cover(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        mask = kwargs.get("attention_mask")
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            raise RealmodelsError(
                f"{loaded.name}: {type(module).__name__} takes no mask by that name, so nothing can be hidden from it; "
                "take a Llama-like model"
            )
        covered = (
            mask & ~hidden
            if mask.dtype == torch.bool
            else torch.where(hidden, torch.finfo(mask.dtype).min, mask)
        )
        return args, {**kwargs, "attention_mask": covered}

    every = layers_of(loaded)
    with ExitStack() as stack:
        for k in layers:
            stack.callback(every[k].self_attn.register_forward_pre_hook(cover, with_kwargs=True).remove)
        yield


@contextmanager
def tapped(loaded: Loaded, layer: int) -> Iterator[list[Tensor]]:
    """While open, what layer number `layer` (from 1) gives out is appended: [rows, tokens, width]."""
    found: list[Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    handle = layers_of(loaded)[layer - 1].register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()

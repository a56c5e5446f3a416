"""How large a model is, read off its configuration without opening its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.places import find

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# a weight in few bits, with its share of the scales: nf4 has one byte for 64 weights, and four for 256 of those bytes
FEW = {"4bit": 4 / 8 + 1 / 64 + 4 / (64 * 256), "8bit": 1.0}


@dataclass(frozen=True)
class ModelCard:
    """`weight_bytes` and `kv_bytes_per_token` in the dtype it will be loaded in, `context` in tokens."""

    name: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    kv_bytes_per_token: int
    weight_bytes: int
    context: int
    device: str
    dtype: str
    linear: int = 0  # parameters of the layers that --load-in holds in few bits: not embeddings and head


def describe(name: str, *, dtype: str = "auto", device: str = "auto", allow_code: bool = False) -> ModelCard:
    """The model's sizes; nothing but its configuration is read."""
    from realmodels.loading import pick_device, pick_dtype

    config = read_config(name, allow_code)
    text, kind = config.get_text_config(), pick_dtype(dtype, device)
    model = skeleton(config, name, allow_code)
    parameters = sum(weight.numel() for weight in model.parameters())
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return ModelCard(
        name=name,
        parameters=parameters,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
        kv_bytes_per_token=2 * text.num_hidden_layers * heads * width * BYTES[kind],
        weight_bytes=parameters * BYTES[kind],
        context=text.max_position_embeddings,
        device=pick_device(device),
        dtype=kind,
        linear=_linear(model),
    )


def in_bits(card: ModelCard, load_in: str) -> ModelCard:
    """The card of a base that is held so."""
    if load_in not in FEW:
        return card
    whole = (card.parameters - card.linear) * BYTES[card.dtype]
    return replace(card, weight_bytes=round(whole + card.linear * FEW[load_in]))


def _linear(model: Any) -> int:
    head = model.get_output_embeddings()
    layers = (
        part for part in model.modules() if type(part).__name__ in ("Linear", "Conv1D") and part is not head
    )
    return sum(part.weight.numel() for part in layers)


def read_config(name: str, allow_code: bool = False) -> Any:
    """The configuration of a model, as transformers has it."""
    from transformers import AutoConfig

    from realmodels.loading import plainly, quiet

    place = find(name)
    where: dict[str, Any] = {"pretrained_model_name_or_path": place.source}
    if place.gguf:
        where = {
            "pretrained_model_name_or_path": str(Path(place.source).parent),
            "gguf_file": Path(place.source).name,
        }
    with quiet(), plainly(name):
        return AutoConfig.from_pretrained(**where, trust_remote_code=allow_code, local_files_only=True)


def skeleton(
    config: Any, name: str, allow_code: bool = False, device: str = "meta", dtype: str = "float32"
) -> Any:
    """A model of that shape without its weights: without any on `meta`, with random ones elsewhere."""
    import torch
    from transformers import AutoModelForCausalLM

    from realmodels.loading import plainly

    with plainly(name), torch.device(device):
        try:
            return AutoModelForCausalLM.from_config(
                config, dtype=getattr(torch, dtype), trust_remote_code=allow_code
            )
        except ValueError as problem:
            if "Unrecognized configuration class" not in str(problem):
                raise
            raise RealmodelsError(f"{name}: a {config.model_type} is no causal language model") from None

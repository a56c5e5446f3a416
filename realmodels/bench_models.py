"""Shapes of well-known models, built with random weights where none are at hand, and the peak of well-known devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realmodels.errors import RealmodelsError
from theory.schema import nearest

if TYPE_CHECKING:
    from realmodels.loading import Loaded


@dataclass(frozen=True)
class Ids:
    """What a model that is only timed needs of a tokenizer."""

    vocabulary: int
    pad: int = 0


_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def _shape(
    kind: str, vocabulary: int, width: int, inner: int, layers: int, heads: tuple[int, int], **more: Any
) -> Any:
    return (
        kind,
        {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "tie_word_embeddings": False,
            **more,
        },
    )


SHAPES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "tiny": _shape("llama", 512, 64, 128, 2, (4, 2), max_position_embeddings=2048),
    "smollm2-135m": _shape(
        "llama", 49_152, 576, 1536, 30, (9, 3), max_position_embeddings=8192, tie_word_embeddings=True
    ),
    "llama-2-7b": _shape("llama", 32_000, 4096, 11_008, 32, (32, 32), max_position_embeddings=4096),
    "llama-3.1-8b": _shape(
        "llama", 128_256, 4096, 14_336, 32, (32, 8), max_position_embeddings=131_072, rope_parameters=_LLAMA3
    ),
    "mistral-7b": _shape(
        "mistral", 32_000, 4096, 14_336, 32, (32, 8), max_position_embeddings=32_768, sliding_window=4096
    ),
    "mistral-7b-v0.3": _shape(
        "mistral", 32_768, 4096, 14_336, 32, (32, 8), max_position_embeddings=32_768, sliding_window=None
    ),
    "qwen2.5-7b": _shape("qwen2", 152_064, 3584, 18_944, 28, (28, 4), max_position_embeddings=32_768),
}

# dense bfloat16 tensor operations a second, as their makers state them; the more special name first
PEAKS: Mapping[str, float] = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "A100": 312e12,
    "A10G": 70e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "MI300X": 1307e12,
}


def random_model(preset: str, dtype: str, device: str) -> Loaded:
    """A model of that shape, made on the device and in its precision, so that nothing larger is ever held."""
    import torch
    from transformers import AutoConfig

    from realmodels.card import skeleton
    from realmodels.loading import Loaded, pick_device, pick_dtype, quiet

    if preset not in SHAPES:
        raise RealmodelsError(f"--preset: unknown '{preset}'{nearest(preset, list(SHAPES))}")
    kind, knobs = SHAPES[preset]
    chosen, wanted = pick_device(device), pick_dtype(dtype, device)
    with quiet(), torch.random.fork_rng([chosen] if chosen.startswith("cuda") else []):
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **knobs)
        model = skeleton(config, preset, device=chosen, dtype=wanted).eval().requires_grad_(False)
    return Loaded(model, Ids(config.vocab_size), preset, "random", chosen, wanted)  # type: ignore[arg-type]


def product_weights(model: Any) -> int:
    """Weights that every token is multiplied with: those of all layers, neither embedding nor head."""
    from realmodels.prefix import body

    return sum(weight.numel() for weight in body(model).layers.parameters() if weight.ndim == 2)


def device_name(device: str) -> str:
    import torch

    from theory.runs import processor

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{device}: {processor()}"


def peak_of(name: str) -> float | None:
    """Operations a second that the device could do, if it is known."""
    return next((peak for part, peak in PEAKS.items() if part.lower() in name.lower()), None)

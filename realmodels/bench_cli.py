"""`bench`: how fast a model trains and is probed on this device."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]


@dataclass(frozen=True)
class Bench:
    """Time LoRA training and probing on random rows: real tokens a second, use of the device, peak memory, facts a
    second. With --preset the model has that architecture and random weights, so nothing is downloaded."""

    preset: str | None = None
    """tiny, smollm2-135m, llama-2-7b, llama-3.1-8b, mistral-7b, mistral-7b-v0.3 or qwen2.5-7b."""
    model: str | None = None
    """A model of your own instead: a folder, a .gguf file or a hub name."""
    lengths: tuple[int, ...] = (32, 64, 256, 1024)
    """Tokens of a row."""
    ranks: tuple[int, ...] = (8, 64)
    """Of the adapters, which are on all linear layers."""
    tokens: int | None = None
    """Of a step; without it 8192 on a GPU and 256 on a CPU, and at least one row."""
    prompts: int = 10
    """With how many prompts a fact is probed; 0 leaves probing out."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    peak_tflops: float | None = None
    """What the device can do at most, where it is not in the table of devices; MFU is a share of that."""
    output: Out | None = None
    """Write what was found as JSON, with where it comes from."""
    json: bool = False
    """Print that JSON instead of the table."""

    def run(self) -> int:
        from realmodels.errors import RealmodelsError

        if (self.preset is None) == (self.model is None):
            raise RealmodelsError("bench: give --preset NAME or --model M, one of them")
        for name, values, least in (
            ("lengths", self.lengths, 2),
            ("ranks", self.ranks, 1),
            ("tokens", (1 if self.tokens is None else self.tokens,), 1),
            ("prompts", (self.prompts,), 0),
        ):
            if not values or min(values) < least:
                raise RealmodelsError(
                    f"--{name}: expected at least {least}, got {' '.join(map(str, values)) or 'nothing'}"
                )
        if self.peak_tflops is not None and not self.peak_tflops > 0:
            raise RealmodelsError(f"--peak-tflops: expected a number above 0, got {self.peak_tflops:g}")
        if self.output is not None and self.output.is_dir():
            raise RealmodelsError(f"{self.output}: is a folder; --output wants a file")
        from realmodels.bench_models import device_name, peak_of, random_model
        from realmodels.bench_run import HEAD, as_json, probing, training
        from realmodels.loading import load
        from theory.files import write_whole

        if self.preset is not None:
            loaded = random_model(self.preset, self.dtype, self.device)
        else:
            loaded = load(str(self.model), dtype=self.dtype, device=self.device)
        context = loaded.model.config.get_text_config().max_position_embeddings
        if max(self.lengths) > context:
            raise RealmodelsError(
                f"--lengths: {max(self.lengths)} is more than the {context} tokens {loaded.name} sees"
            )
        peak = self.peak_tflops * 1e12 if self.peak_tflops else peak_of(device_name(loaded.device))
        tokens = self.tokens or (256 if loaded.device == "cpu" else 8192)

        def say(text: str) -> None:
            print(text, file=sys.stderr if self.json else None, flush=True)

        say(f"{loaded.name}, {loaded.dtype}, on {device_name(loaded.device)}")
        say(HEAD)
        cases = training(loaded, self.lengths, self.ranks, tokens, peak, say)
        probed = probing(loaded, self.prompts, say) if self.prompts else None
        found = json.dumps(as_json(loaded, peak, cases, probed), indent=1) + "\n"
        if self.output is not None:
            write_whole(self.output, found)
            print(f"wrote {self.output}", file=sys.stderr)
        if self.json:
            print(found, end="")
        return 0

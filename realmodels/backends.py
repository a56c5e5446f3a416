"""What answers questions by decoding: transformers here, vLLM where a person has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from realmodels.errors import RealmodelsError
from realmodels.sampling import Sampling
from realmodels.shared import Asking

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Answers = tuple[str, list[str]]  # the greedy one, the sampled ones


class Backend(Protocol):
    """Decodes a greedy answer and some sampled ones for every question; seeded by question and prompt, so that
    what is asked beside a question does not matter."""

    def answer(
        self, part: Asking, sampling: Sampling, seed: int, batch: int | None
    ) -> Iterator[tuple[int, Answers]]: ...


def require_vllm() -> None:
    """Complain at once where it is missing."""
    try:
        import vllm  # noqa: F401
    except ModuleNotFoundError:
        raise RealmodelsError(
            "backend 'vllm': vllm is not installed, and it cannot share an environment with transformers >= 5.20; "
            "install it in one of its own, or choose backend 'transformers'"
        ) from None


class TransformersBackend:
    """Decodes with the model at hand; prefix and question are read once for all answers to a question."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def answer(
        self, part: Asking, sampling: Sampling, seed: int, batch: int | None
    ) -> Iterator[tuple[int, Answers]]:
        from realmodels.batching import in_batches, token_budget
        from realmodels.decoding import draw_answers, uniforms_for
        from realmodels.packing import pack
        from realmodels.prefix import Reading, check_length, run_prefix
        from realmodels.scoring import Draw

        loaded, draw = self.loaded, Draw(sampling.temperature, sampling.top_k)
        rows = [pack(rest, ()) for rest in part.rests]
        prefix, stops = run_prefix(loaded, part.prefix), frozenset(part.stops)
        lengths = [len(row) + sampling.longest for row in rows]
        check_length(loaded, prefix.length + max(lengths))
        copies = sampling.samples + 1

        def work(index: np.ndarray) -> list[list[tuple[int, ...]]]:
            some = [rows[i] for i in index]
            uniforms = np.stack(
                [uniforms_for(seed, part.prompts[i], copies, sampling.longest) for i in index]
            )
            uniforms[:, 0] = 0.0  # the first answer is the greedy one
            return draw_answers(Reading(loaded, prefix, some), some, uniforms, stops, sampling.longest, draw)

        budget = max(max(lengths), token_budget(loaded, prefix.length, max(lengths)) // 4)
        for index, found in in_batches(lengths, work, budget, batch, loaded, prefix.length):
            for i, answers in zip(index, found, strict=True):
                texts = [loaded.tokens.text(ids) for ids in answers]
                yield part.index[i], (texts[0], texts[1:])


class VllmBackend:
    """Decodes with vLLM, which keeps prefixes by itself. It draws with its own generator, so samples differ from
    those of transformers; greedy answers agree but for near-ties."""

    def __init__(self, name: str, **options: Any) -> None:
        require_vllm()
        from vllm import LLM

        self.engine = LLM(model=name, enable_prefix_caching=True, **options)

    def answer(
        self, part: Asking, sampling: Sampling, seed: int, batch: int | None
    ) -> Iterator[tuple[int, Answers]]:
        from vllm import SamplingParams

        prompts = [{"prompt_token_ids": [*part.prefix, *rest]} for rest in part.rests]
        shared = {"max_tokens": sampling.longest, "stop_token_ids": list(part.stops)}
        greedy = self.engine.generate(prompts, SamplingParams(temperature=0.0, **shared))
        drawn = self.engine.generate(
            prompts,
            [
                SamplingParams(
                    n=sampling.samples,
                    temperature=sampling.temperature,
                    top_k=sampling.top_k or -1,
                    seed=prompt_seed(seed, prompt),
                    **shared,
                )
                for prompt in part.prompts
            ],
        )
        for i, one, many in zip(part.index, greedy, drawn, strict=True):
            yield i, (one.outputs[0].text, [found.text for found in many.outputs])


def prompt_seed(seed: int, prompt: str) -> int:
    """A seed of one question under one prompt."""
    import hashlib

    return int.from_bytes(hashlib.sha256(f"{seed} {prompt}".encode()).digest()[:4], "big")

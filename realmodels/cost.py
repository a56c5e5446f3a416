"""What asking will cost, before it is paid: tokens to be read, and how many of them this device reads in a second."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from realmodels.card import ModelCard, read_config, skeleton
from realmodels.packing import pack
from realmodels.prompting import Shot, Style, render_answer, render_prefix, render_question
from realmodels.sampling import USUAL, Sampling
from realmodels.shared import shared_ids
from realmodels.tokens import Tokens

if TYPE_CHECKING:
    from realmodels.loading import Loaded

PREFIX, ROWS, LONG = 96, 32, 18  # the shape of a usual batch


def forward_tokens(
    tokens: Tokens,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    estimator: str = "exact",
    sampling: Sampling = USUAL,
    cached: bool = True,
) -> int:
    """Tokens that the model reads for one prompt. Decoded answers are taken to be as long as the accepted ones, and
    `hybrid` to decode all of them (it decodes only those that are not among the accepted)."""
    if not questions:
        return 0
    prefix = render_prefix(style, shots)
    shared = len(shared_ids(tokens, style, prefix)) if cached else 0
    asked = tokens.prompts_ids([prefix + render_question(style, question) for question in questions])
    found = shared
    for prompt, aliases in zip(asked, answers, strict=True):
        ids = [tokens.answer_ids(render_answer(alias)) for alias in aliases]
        found += len(pack(prompt[shared:], ids))
        usual = min(sampling.longest - 1, round(statistics.mean(map(len, ids))))
        if estimator == "hybrid":
            found += usual
        if estimator == "sample":
            found += len(prompt) - shared + (sampling.samples + 1) * usual
    return found


def calibrate(model: Loaded | ModelCard, seconds: float = 5.0) -> float:
    """Tokens a second in batches of the usual shape. Of a model that is not loaded yet, one and two layers with random
    weights are timed and the rest is extrapolated."""
    if not isinstance(model, ModelCard):
        batch, count = _batch(model)
        return count / _usual(batch, seconds)
    config = read_config(model.name)
    one, two = (
        _usual(_batch(_random(model, _with_layers(config, count)))[0], seconds / 2) for count in (1, 2)
    )
    layer = max(two - one, 0.1 * one)
    return ROWS * LONG / (max(one - layer, 0.0) + model.layers * layer)


def _usual(work: Callable[[], Any], seconds: float) -> float:
    """Median seconds of some work, after a first time that does not count."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 1000):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _batch(loaded: Loaded) -> tuple[Callable[[], Any], int]:
    """Reading a batch of the usual shape and scoring the end of its rows, and how many tokens that is."""
    from realmodels.prefix import Reading, run_prefix
    from realmodels.scoring import Draw, score_rows

    # a vocabulary may be smaller than a row is long
    ids = [i % loaded.tokens.vocabulary for i in range(LONG)]
    limit = loaded.model.config.get_text_config().max_position_embeddings
    prefix = run_prefix(loaded, [ids[i % LONG] for i in range(min(PREFIX, limit - LONG))])
    rows = [pack(ids[:-3], [ids[-3:]])] * ROWS

    def work() -> None:
        reading = Reading(loaded, prefix, rows)
        float(score_rows(loaded, reading.hidden, rows, [0], Draw(0.5, 40))[0].best[0])

    return work, ROWS * LONG


def _with_layers(config: Any, count: int) -> Any:
    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers = count
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:count]
    return config


def _random(card: ModelCard, config: Any) -> Loaded:
    """A model of that shape with random weights."""
    from realmodels.loading import Loaded, load_tokens

    model = skeleton(config, card.name, device=card.device, dtype=card.dtype).eval().requires_grad_(False)
    return Loaded(model, load_tokens(card.name), card.name, "", card.device, card.dtype)

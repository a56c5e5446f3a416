"""Batched sampling with a key-value cache over one shared prefix, against the same engine prompt by prompt, which reads
everything again for every token. Both draw the same texts; the median ratio over rounds of one run is judged."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import pytest
import torch

from synthetic.documents import write_documents
from synthetic.generate import generate
from synthetic.model import LlamaSpec, Weights, hidden_states, initialise, logits
from synthetic.prompts import ask, few_shot
from synthetic.sampling import choose
from synthetic.text_spec import TextSpec
from synthetic.train import train
from synthetic.train_spec import TrainSpec
from synthetic.vocabulary import Vocabulary
from theory.world import WorldSpec, make_world

pytestmark = pytest.mark.usefixtures("one_thread")

WORLD = make_world(WorldSpec(subjects=460, never_seen=100, answers=56, mean_exposure=6.0), 0)
TEXT = TextSpec()
WORDS = Vocabulary.of(WORLD, TEXT)
SPEC = LlamaSpec(len(WORDS), width=64, layers=2, heads=4, kv_heads=4, hidden=176)
MOST, DRAWS, PROMPTS, ROUNDS = 20, 4, 128, 3


def one_by_one(
    weights: Weights, prompts: list[list[int]], prefix: list[int], uniform: torch.Tensor
) -> list[list[list[int]]]:
    said: list[list[list[int]]] = []
    with torch.inference_mode():
        for i, prompt in enumerate(prompts):
            said.append([])
            for j in range(DRAWS):
                text = [*prefix, *prompt]
                for k in range(MOST):
                    tokens = torch.tensor([text])
                    last = hidden_states(weights, SPEC, tokens, torch.arange(len(text))[None])[:, -1]
                    token = int(choose(logits(weights, last), uniform[i, j, k : k + 1], 1.0, 0))
                    if token == WORDS.eos:
                        break
                    text.append(token)
                said[-1].append(text[len(prefix) + len(prompt) :])
    return said


def test_sampling(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    weights = train(
        initialise(SPEC, 0), SPEC, write_documents(WORLD, TEXT, WORDS, 0), TrainSpec(batch=16, steps=60)
    ).weights
    stated = np.flatnonzero(WORLD.stated & (WORLD.relation == 0))
    (prefix,) = few_shot(WORLD, TEXT, WORDS, stated[-8:], prompts=1, shots=4)[0]
    prompts = [list(prompt) for prompt in ask(WORLD, TEXT, WORDS, stated[:PROMPTS]).prompts]
    some = PROMPTS // 32

    def together(seed: int, count: int = PROMPTS) -> Any:
        return generate(
            weights, SPEC, prompts[:count], most=MOST, stop=(WORDS.eos,), prefix=prefix,
            temperature=1.0, draws=DRAWS, seed=seed,
        )  # fmt: skip

    def uniform(seed: int) -> torch.Tensor:
        return torch.rand(
            (some, DRAWS, MOST), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )

    ours = together(0, some)
    plain = one_by_one(weights, prompts[:some], prefix, uniform(0))
    same = [
        [token for token in ours[i, j].tolist() if token >= 0] == plain[i][j]
        for i in range(some)
        for j in range(DRAWS)
    ]
    assert np.mean(same) > 0.9  # a draw that falls between two tokens may fall otherwise by rounding

    gains, speeds = [], []
    for seed in range(1, 1 + ROUNDS):
        start = time.perf_counter()
        one_by_one(weights, prompts[:some], prefix, uniform(seed))
        middle = time.perf_counter()
        together(seed)
        end = time.perf_counter()
        speeds.append(PROMPTS * DRAWS / (end - middle))
        gains.append(speeds[-1] * (middle - start) / (some * DRAWS))
    benchmark.pedantic(together, (99,), rounds=1)
    gain = statistics.median(gains)
    benchmark.extra_info["ratio"] = gain
    with capsys.disabled():
        print(
            f"  sampled texts after one prefix: {statistics.median(speeds):,.0f} texts/s, {gain:.0f} x text by text"
        )
    assert gain >= 5

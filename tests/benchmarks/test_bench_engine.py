"""The engine against the code that a person would write instead, as ratios taken in one run: every round times all
contenders one after the other on one thread, and the median over rounds is judged."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from synthetic.documents import write_documents
from synthetic.generate import generate
from synthetic.machine import has_bfloat16, has_compiler, matmul_peak
from synthetic.model import EMBEDDING, LlamaSpec, Weights, initialise
from synthetic.packing import Documents
from synthetic.probe import probe, probe_by_sampling
from synthetic.prompts import Asked, ask, few_shot
from synthetic.text_spec import TextSpec
from synthetic.train import train
from synthetic.train_spec import TrainSpec
from synthetic.vocabulary import Vocabulary
from theory.world import World, WorldSpec, make_world

pytestmark = pytest.mark.usefixtures("one_thread")

WORLD = make_world(WorldSpec(subjects=460, never_seen=100, answers=56, mean_exposure=6.0), 0)
TEXT = TextSpec()
WORDS = Vocabulary.of(WORLD, TEXT)
SPEC = LlamaSpec(len(WORDS), width=128, layers=2, heads=4, kv_heads=4, hidden=384)
WEIGHTS = initialise(SPEC, 0)
STATED = np.flatnonzero(WORLD.stated)
ROUNDS = 7


def transformers_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=SPEC.vocabulary,
        hidden_size=SPEC.width,
        intermediate_size=SPEC.hidden,
        num_hidden_layers=SPEC.layers,
        num_attention_heads=SPEC.heads,
        num_key_value_heads=SPEC.kv_heads,
        max_position_embeddings=SPEC.context,
        rms_norm_eps=SPEC.epsilon,
        tie_word_embeddings=True,
        bos_token_id=WORDS.bos,
        eos_token_id=WORDS.eos,
        pad_token_id=WORDS.pad,
    )
    model = LlamaForCausalLM(config)
    model.load_state_dict(WEIGHTS, strict=False)
    return model


def plain_loop(documents: Documents, batch: int, steps: int, seed: int) -> float:
    """Document tokens a second of what a person would write: padded batches, labels, model(...).loss, AdamW."""
    model = transformers_model().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    order = np.random.default_rng(seed).permutation(len(documents))
    tokens, start = 0, time.perf_counter()
    for step in range(steps):
        chosen = order[step * batch : (step + 1) * batch]
        rows = [torch.tensor(documents[i]) for i in chosen]
        scored = [
            torch.from_numpy(documents.scored[documents.offsets[i] : documents.offsets[i + 1]])
            for i in chosen
        ]
        labels = [torch.where(flags, row, -100) for row, flags in zip(rows, scored, strict=True)]
        pad = torch.nn.utils.rnn.pad_sequence
        out = model(
            input_ids=pad(rows, batch_first=True, padding_value=WORDS.pad),
            attention_mask=pad([torch.ones_like(row) for row in rows], batch_first=True),
            labels=pad(labels, batch_first=True, padding_value=-100),
        )
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        tokens += sum(map(len, rows))
    return tokens / (time.perf_counter() - start)


def engine(documents: Documents, how: TrainSpec) -> float:
    done = train(WEIGHTS, SPEC, documents, how)
    return done.tokens / done.seconds


def rounds(contenders: Mapping[str, Callable[[int], float]], count: int = ROUNDS) -> dict[str, list[float]]:
    for contender in contenders.values():
        contender(0)  # first calls allocate and warm caches
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for seed in range(1, count + 1):
        for name, contender in contenders.items():
            found[name].append(contender(seed))
    return found


def ratio(found: Mapping[str, list[float]], name: str, base: str) -> float:
    return statistics.median(a / b for a, b in zip(found[name], found[base], strict=True))


def questions() -> Asked:
    return ask(WORLD, TEXT, WORDS, STATED)


def question_documents() -> Documents:
    """Begin, question, answer, end; only answer and end are to be predicted."""
    asked = questions()
    pairs = list(zip(asked.prompts, asked.answers, strict=True))
    return Documents.of(
        [[WORDS.bos, *prompt, *answer, asked.end] for prompt, answer in pairs],
        [[False] * (1 + len(prompt)) + [True] * (len(answer) + 1) for prompt, answer in pairs],
    )


def equal_documents() -> Documents:
    """Documents of 32 tokens: nothing to pad, nothing to pack, loss everywhere."""
    return Documents.of(np.random.default_rng(0).integers(4, SPEC.vocabulary, (2000, 32)).tolist())


CASES: dict[str, tuple[Callable[[], Documents], dict[str, Any], int, float, float]] = {
    # documents, how, documents in a batch of the plain loop, least ratio in float32 and in bfloat16
    "documents of a world": (
        lambda: write_documents(WORLD, TEXT, WORDS, 0), {"batch": 16, "steps": 10}, 64, 2.5, 2.5
    ),
    "questions, loss on answers": (
        question_documents, {"batch": 32, "unit": "documents", "steps": 25}, 32, 1.3, 1.5
    ),
    "equal lengths, loss everywhere": (equal_documents, {"batch": 16, "steps": 10}, 32, 0.95, 1.2),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_training(benchmark: Any, say: Callable[[str], None], case: str) -> None:
    make, knobs, batch, least, least_half = CASES[case]
    documents = make()
    contenders: dict[str, Callable[[int], float]] = {
        "plain": lambda seed: plain_loop(documents, batch, knobs["steps"], seed),
        "float32": lambda seed: engine(documents, TrainSpec(**knobs, seed=seed)),
    }
    if has_bfloat16():
        contenders["bfloat16"] = lambda seed: engine(
            documents, TrainSpec(**knobs, seed=seed, precision="bfloat16")
        )
    contenders["peak"] = lambda seed: matmul_peak(repeats=5)
    found = rounds(contenders)
    benchmark.pedantic(contenders["float32"], (99,), rounds=1)
    body = SPEC.parameters - WEIGHTS[EMBEDDING].numel()
    work = 6 * (body + WEIGHTS[EMBEDDING].numel() * documents.scored.mean())  # operations a token
    for name in (name for name in contenders if name != "peak"):
        speed, share = statistics.median(found[name]), work * ratio(found, name, "peak")
        benchmark.extra_info[name] = {
            "tokens/s": speed, "ratio": ratio(found, name, "plain"), "share of sgemm peak": share
        }  # fmt: skip
        say(
            f"  {case}: {name:8} {speed:7,.0f} tokens/s, {ratio(found, name, 'plain'):.2f} x plain, "
            f"{share:.0%} of the sgemm peak of {statistics.median(found['peak']) / 1e9:.0f} Gflop/s"
        )
    assert ratio(found, "float32", "plain") >= least
    if has_bfloat16():
        assert ratio(found, "bfloat16", "plain") >= least_half


@pytest.mark.skipif(not has_compiler(), reason="no C++ compiler")
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.skipif(
    not has_bfloat16(), reason="no bfloat16"))])  # fmt: skip
def test_compiling(benchmark: Any, say: Callable[[str], None], precision: str) -> None:
    """What `synthetic.compiling` believes of the gain; the cost is that of a first call, cached or not."""
    documents = write_documents(WORLD, TEXT, WORDS, 0)
    start = time.perf_counter()
    knobs: dict[str, Any] = {"batch": 16, "precision": precision}
    engine(documents, TrainSpec(**knobs, steps=1, compile="always"))
    cost = time.perf_counter() - start
    found = rounds(
        {
            wish: lambda seed, wish=wish: engine(
                documents, TrainSpec(**knobs, steps=8, seed=seed, compile=wish)
            )
            for wish in ("never", "always")
        }
    )
    gain = ratio(found, "always", "never")
    benchmark.pedantic(lambda: engine(documents, TrainSpec(**knobs, steps=8, compile="always")), rounds=1)
    benchmark.extra_info.update(gain=gain, first_call_seconds=cost)
    say(f"  compiled, {precision}: {gain:.2f} x uncompiled; first call {cost:.1f} s")
    assert gain > 0.95


def answering_weights() -> Weights:
    documents = write_documents(WORLD, TEXT, WORDS, 0)
    return train(WEIGHTS, SPEC, documents, TrainSpec(batch=16, steps=60)).weights


def test_generation(benchmark: Any, say: Callable[[str], None]) -> None:
    weights, asked, most = answering_weights(), questions(), 6
    model = transformers_model().eval()
    model.load_state_dict(weights, strict=False)
    prompts = [[WORDS.bos, *prompt] for prompt in asked.prompts[:512]]

    def plain(seed: int) -> float:
        some = prompts[seed * 16 : seed * 16 + 16]
        start = time.perf_counter()
        for prompt in some:
            model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=most,
                do_sample=False,
                eos_token_id=asked.end,
                pad_token_id=WORDS.pad,
            )
        return len(some) / (time.perf_counter() - start)

    def ours(seed: int) -> float:
        start = time.perf_counter()
        generate(weights, SPEC, prompts, most=most, stop=(asked.end,), seed=seed)
        return len(prompts) / (time.perf_counter() - start)

    found = rounds({"plain": plain, "ours": ours})
    benchmark.pedantic(ours, (99,), rounds=1)
    gain = ratio(found, "ours", "plain")
    benchmark.extra_info["ratio"] = gain
    say(
        f"  greedy answers: {statistics.median(found['ours']):,.0f} prompts/s, {gain:.0f} x generate prompt by prompt"
    )
    assert gain > 10


def test_probing(benchmark: Any, say: Callable[[str], None]) -> None:
    weights = answering_weights()
    asked = questions()[np.arange(0, len(STATED), 25)]
    shown = np.setdiff1d(STATED, asked.facts)
    shots = few_shot(WORLD, TEXT, WORDS, shown, prompts=3, shots=4)
    cells = len(asked) * 3

    def exact(seed: int) -> float:
        start = time.perf_counter()
        probe(weights, SPEC, asked, shots)
        return cells / (time.perf_counter() - start)

    def sampled(seed: int) -> float:
        start = time.perf_counter()
        probe_by_sampling(weights, SPEC, asked, shots, draws=16, seed=seed)
        return cells / (time.perf_counter() - start)

    found = rounds({"sampled": sampled, "exact": exact}, 5)
    benchmark.pedantic(exact, (99,), rounds=1)
    gain = ratio(found, "exact", "sampled")
    benchmark.extra_info["ratio"] = gain
    say(
        f"  exact chances: {statistics.median(found['exact']):,.0f} cells/s, {gain:.1f} x 1 greedy and 16 drawn answers"
    )
    assert gain > 3


def test_world_documents(benchmark: Any) -> None:
    world: World = make_world(WorldSpec(), 0)
    words = Vocabulary.of(world, TEXT)
    documents = benchmark.pedantic(write_documents, (world, TEXT, words, 0), rounds=3)
    assert len(documents.tokens) > 1_500_000

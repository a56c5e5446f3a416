"""Asking a small real model for what it knows, against the code that a person would write instead: processor seconds
a fact on one thread, all contenders in turn in every round, the median ratio over rounds is judged. Costs of ten
prompts and of 170 answers a fact are extrapolated from the few that are run."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from realmodels.errors import RealmodelsError
from realmodels.estimate import Sampling, estimate
from realmodels.eval_strata import wilson
from realmodels.loading import Loaded, load
from realmodels.prefix import run_prefix
from realmodels.prompting import STYLES, Shot, render_prefix, render_question
from realmodels.shared import shared_ids
from realmodels.smollm import smollm
from theory.matching import match
from theory.slick import Category, by_count, by_detection, detection

pytestmark = pytest.mark.usefixtures("one_thread")

QA, SAMPLING = STYLES["qa"], Sampling()
PROMPTS, SHOTS, ROUNDS, ANSWERS = 10, 4, 3, 17
FACTS = {
    "What is the capital of {}?": """France Paris, Japan Tokyo, Peru Lima, Norway Oslo, Kenya Nairobi, Cuba Havana,
        Egypt Cairo, Chile Santiago, Ghana Accra, Nepal Kathmandu, Italy Rome, Spain Madrid, Iran Tehran,
        Austria Vienna, Poland Warsaw, Portugal Lisbon, Bhutan Thimphu, Malawi Lilongwe, Suriname Paramaribo,
        Gabon Libreville, Palau Ngerulmud, Vanuatu Port-Vila, Togo Lomé, Moldova Chișinău, Canada Ottawa,
        Australia Canberra""",
    "Which company makes the {}?": """iPhone Apple, Windows Microsoft, Civic Honda, Corolla Toyota, Mustang Ford,
        Walkman Sony, PlayStation Sony, Xbox Microsoft, Kindle Amazon, Android Google, Photoshop Adobe,
        Galaxy Samsung, Camaro Chevrolet, Cayenne Porsche, ThinkPad Lenovo, Wii Nintendo, Golf Volkswagen,
        Clio Renault, Panda Fiat, Fabia Škoda, Lumia Nokia, Pebble Pebble, Zune Microsoft, Newton Apple,
        Roomba iRobot, Switch Nintendo""",
}


@pytest.fixture(scope="module")
def folder() -> str:
    try:
        return str(smollm())
    except RealmodelsError as missing:
        pytest.skip(str(missing))


def opened(folder: str, dtype: str) -> Loaded:
    """As a person opens it: with a frozen head `generate` would copy its matrix at every prefill and look slower."""
    loaded = load(folder, dtype=dtype, device="cpu")
    loaded.model.requires_grad_(True)
    return loaded


def has_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


def relations() -> list[tuple[list[Shot], list[Shot]]]:
    """For every relation the facts that are shown and those that are asked."""
    found = []
    for template, text in FACTS.items():
        pairs = [pair.split() for pair in text.split(",")]
        facts = [Shot(template.format(s), a.replace("-", " ")) for s, a in pairs]
        found.append((facts[1::4], [fact for i, fact in enumerate(facts) if i % 4 != 1]))
    return found


def shown(pool: list[Shot], prompt: int) -> list[Shot]:
    rng = np.random.default_rng([prompt, 7])
    return [pool[i] for i in rng.permutation(len(pool))[:SHOTS]]


def ask(loaded: Loaded, estimator: str, prompt: int, count: int | None = None, **knobs: Any) -> int:
    """Facts that were asked under one prompt of every relation."""
    asked = 0
    for pool, facts in relations():
        some = facts[:count]
        questions, answers = [f.question for f in some], [(f.answer,) for f in some]
        estimate(loaded, QA, shown(pool, prompt), questions, answers, estimator=estimator, **knobs)
        asked += len(some)
    return asked


def engine(loaded: Loaded, estimator: str, prompt: int, count: int | None = None, **knobs: Any) -> float:
    """Seconds a fact with all its prompts."""
    start = time.process_time()
    asked = ask(loaded, estimator, prompt, count, **knobs)
    return (time.process_time() - start) / asked * PROMPTS


def settings(loaded: Loaded, sample: bool) -> dict[str, Any]:
    how = {"do_sample": True, "temperature": SAMPLING.temperature, "top_k": SAMPLING.top_k, "top_p": 1.0}
    return {
        **(how if sample else {"do_sample": False}),
        "max_new_tokens": SAMPLING.longest,
        "eos_token_id": list(loaded.tokens.stops("\n")),
        "pad_token_id": loaded.tokens.pad,
    }


def plain(loaded: Loaded, prompt: int, facts: int = 1, samples: int = 2) -> float:
    """`generate` for every answer: a greedy one and some sampled ones are run, 16 sampled ones are counted."""
    seconds = 0.0
    for pool, asked in relations():
        for fact in asked[prompt : prompt + facts]:
            text = render_prefix(QA, shown(pool, prompt)) + render_question(QA, fact.question)
            ids = torch.tensor([loaded.tokens.prompt_ids(text)])
            for sample, times, counted in ((False, 1, 1), (True, samples, ANSWERS - 1)):
                start = time.process_time()
                for _ in range(times):
                    loaded.model.generate(
                        ids, attention_mask=torch.ones_like(ids), **settings(loaded, sample)
                    )
                seconds += (time.process_time() - start) / times * counted
    return seconds / (facts * len(FACTS)) * PROMPTS


def cached(loaded: Loaded, prompt: int, facts: int = 4) -> float:
    """`generate` from the cached prefix and question, 4 facts x 16 samples a batch; greedy answers are not counted."""
    from transformers import DynamicCache

    seconds, tokens = 0.0, loaded.tokens
    for pool, asked in relations():
        prefix = render_prefix(QA, shown(pool, prompt))
        start = time.process_time()
        shared = shared_ids(tokens, QA, prefix)
        kept = run_prefix(loaded, shared)
        texts = [prefix + render_question(QA, fact.question) for fact in asked[prompt : prompt + facts]]
        rests = [ids[len(shared) :] for ids in tokens.prompts_ids(texts)]
        longest = max(map(len, rests))
        ids = torch.tensor([[*shared, *[tokens.pad] * (longest - len(r)), *r] for r in rests])
        mask = torch.tensor([[1] * len(shared) + [0] * (longest - len(r)) + [1] * len(r) for r in rests])
        past = DynamicCache()
        for layer, (keys, values) in enumerate(zip(kept.keys, kept.values, strict=True)):
            past.update(keys.expand(len(rests), -1, -1, -1), values.expand(len(rests), -1, -1, -1), layer)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.inference_mode():
            loaded.model.base_model(
                ids[:, len(shared) : -1],
                attention_mask=mask[:, :-1],
                position_ids=places[:, len(shared) : -1],
                past_key_values=past,
                use_cache=True,
            )
        past.batch_repeat_interleave(ANSWERS - 1)
        loaded.model.generate(
            ids.repeat_interleave(ANSWERS - 1, 0),
            attention_mask=mask.repeat_interleave(ANSWERS - 1, 0),
            past_key_values=past,
            **settings(loaded, sample=True),
        )
        seconds += time.process_time() - start
    return seconds / (facts * len(FACTS)) * PROMPTS


def rounds(contenders: dict[str, Callable[[int], float]], count: int = ROUNDS) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for prompt in range(count):
        for name, contender in contenders.items():
            found[name].append(contender(prompt))
    return found


def ratio(found: dict[str, list[float]], slow: str, quick: str) -> float:
    return statistics.median(a / b for a, b in zip(found[slow], found[quick], strict=True))


def test_cost(benchmark: Any, say: Callable[[str], None], folder: str) -> None:
    loaded = opened(folder, "float32")
    contenders: dict[str, Callable[[int], float]] = {
        "170 calls of generate": partial(plain, loaded),
        "generate from the cached prefix": partial(cached, loaded),
        "sample": partial(engine, loaded, "sample", count=4),
        "hybrid": partial(engine, loaded, "hybrid", matcher="normalized"),
        "exact": partial(engine, loaded, "exact"),
    }
    if has_bfloat16():
        half = opened(folder, "bfloat16")
        contenders |= {
            "170 calls of generate, bfloat16": partial(plain, half),
            "generate from the cached prefix, bfloat16": partial(cached, half),
            "hybrid, bfloat16": partial(engine, half, "hybrid", matcher="normalized"),
            "exact, bfloat16": partial(engine, half, "exact"),
        }
    engine(loaded, "exact", 0, 2)
    found = rounds(contenders)
    benchmark.pedantic(lambda: ask(loaded, "exact", 0), rounds=1)
    for name, seconds in found.items():
        base = "170 calls of generate" + (", bfloat16" if "bfloat16" in name else "")
        times = {
            "plain": ratio(found, base, name),
            "cached": ratio(
                found, base.replace("170 calls of generate", "generate from the cached prefix"), name
            ),
        }
        benchmark.extra_info[name] = {"s/fact": statistics.median(seconds), **times}
        say(
            f"  {name:42} {statistics.median(seconds):7.2f} s a fact, 1/{times['plain']:.1f} of 170 calls, "
            f"1/{times['cached']:.2f} of generate from the cached prefix ({min(seconds):.2f} to {max(seconds):.2f})"
        )
    if has_bfloat16():
        say(
            "  exact in bfloat16 against 170 calls in float32: "
            f"{ratio(found, '170 calls of generate', 'exact, bfloat16'):.0f} x"
        )
    assert ratio(found, "170 calls of generate", "exact") >= 50
    assert ratio(found, "generate from the cached prefix", "exact") >= 4


def labels_by(
    loaded: Loaded, estimator: str, count: int, matcher: str = "exact"
) -> tuple[Any, Any, list[Any]]:
    greedy, p, kept = [], [], []
    for prompt in range(PROMPTS):
        found = []
        for pool, facts in relations():
            questions, answers = [f.question for f in facts[:count]], [(f.answer,) for f in facts[:count]]
            how: dict[str, Any] = {"estimator": estimator, "matcher": matcher, "seed": 1}
            found.append(estimate(loaded, QA, shown(pool, prompt), questions, answers, **how))
        greedy.append(np.concatenate([one.greedy for one in found]))
        p.append(np.concatenate([one.p_sample for one in found]))
        kept.append([pair for one in found for pair in zip(one.said, one.samples or one.said, strict=True)])
    return np.stack(greedy, 1), np.stack(p, 1), kept


def test_agreement(benchmark: Any, say: Callable[[str], None], folder: str) -> None:
    """Labels of exact and hybrid against those of 170 answers a fact, under the same matcher."""
    loaded, count = opened(folder, "float32"), 14
    facts = [fact for _, facts in relations() for fact in facts[:count]]
    _, _, answers = labels_by(loaded, "sample", count)
    found: dict[str, tuple[int, int]] = {}
    ways = [("exact", "exact"), ("hybrid", "exact"), ("hybrid", "normalized")]
    for estimator, matcher in ways:
        start = time.process_time()
        greedy, p, _ = labels_by(loaded, estimator, count, matcher)
        seconds = time.process_time() - start
        drawn = np.array(
            [
                [
                    [match(t, (f.answer,), matcher) for t in (a[0], *a[1])]
                    for f, a in zip(facts, row, strict=True)
                ]
                for row in answers
            ]
        ).transpose(1, 0, 2)  # facts, prompts, greedy and samples
        sampled = by_count(drawn[..., 0], drawn[..., 1:].sum(-1))
        labels, chance = by_detection(greedy, p), detection(p)
        same = int((labels == sampled).sum())
        found[f"{estimator}/{matcher}"] = same, len(facts)
        low, high = wilson(same / len(facts), len(facts))
        deviation = (drawn[..., 1:].mean(-1) - p) / np.sqrt(np.maximum(p * (1 - p), 1e-4) / 16)
        say(
            f"  {estimator}, matcher {matcher}: {same} of {len(facts)} labels as by sampling ({same / len(facts):.0%}, "
            f"95% interval {low:.0%} to {high:.0%}), greedy answers {(greedy == drawn[..., 0]).mean():.2%} "
            f"of {greedy.size}, "
            f"mean p {p.mean():.4f} against {drawn[..., 1:].mean():.4f}, sd of deviations {deviation.std():.2f}; "
            f"{seconds / len(facts):.2f} s a fact; labels {np.bincount(labels, minlength=4).tolist()}"
        )
        for i in np.flatnonzero(labels != sampled):
            say(
                f"    {facts[i].question} {facts[i].answer}: {Category(labels[i]).name} but sampled "
                f"{Category(sampled[i]).name}; chance of a right sample {chance[i]:.2f}, greedy right "
                f"{greedy[i].sum()} and {drawn[i, :, 0].sum()} times"
            )
    benchmark.extra_info.update({name: {"same": same, "n": n} for name, (same, n) in found.items()})
    benchmark.pedantic(copy.copy, (found,), rounds=1)
    assert all(same / n >= 0.9 for same, n in found.values())

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from synthetic.errors import SyntheticError
from synthetic.machine import has_bfloat16
from synthetic.model import (
    EMBEDDING,
    LORA_A,
    LORA_B,
    LORA_SCALE,
    LlamaSpec,
    hidden_states,
    initialise,
    logits,
)
from synthetic.order import plan
from synthetic.packing import Documents
from synthetic.train import train
from synthetic.train_spec import TrainSpec, rate_at
from synthetic.tuning import add_adapter, merge_adapter, trainable_names

SPEC = LlamaSpec(30, width=16, layers=2, heads=2, kv_heads=1, hidden=24, weight_std=0.2, embedding_std=0.3)


def some_documents(n=40, seed=0):
    """Each document counts on from its first token, so there is something to learn."""
    rng = np.random.default_rng(seed)
    return Documents.of(
        [[int(t) for t in (rng.integers(30) + np.arange(rng.integers(3, 9))) % 29 + 1] for _ in range(n)]
    )


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# The loop against a plain one


def plain_loop(weights, documents, batches, make_optimiser, rates, clip):
    """What a person would write: padded batches, logits everywhere, cross-entropy with ignored labels."""
    live = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    optimiser = make_optimiser(list(live.values()))
    losses = []
    for chosen, rate in zip(batches, rates, strict=True):
        longest = max(len(documents[i]) for i in chosen)
        tokens = torch.zeros(len(chosen), longest, dtype=torch.int64)
        labels = torch.full((len(chosen), longest), -100)
        for row, i in enumerate(chosen):
            tokens[row, : len(documents[i])] = torch.tensor(documents[i])
            labels[row, 1 : len(documents[i])] = torch.tensor(documents[i][1:])
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        heard = logits(live, hidden_states(live, SPEC, tokens, torch.arange(longest).expand_as(tokens)))
        loss = F.cross_entropy(heard[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(live.values()), clip)
        optimiser.step()
        losses.append(loss.item())
    return live, losses


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_training_is_that_of_a_plain_loop(optimiser):
    documents, weights = some_documents(), initialise(SPEC, 0)
    rate = 0.02 if optimiser == "adamw" else 0.5
    how = TrainSpec(
        rate=rate, batch=8, unit="documents", room=16, epochs=2, optimiser=optimiser, clip=0.5, momentum=0.9
    )
    rng = np.random.default_rng(np.random.SeedSequence([how.seed, 0x0DE4]))
    batches = [part for _ in range(2) for part in np.split(rng.permutation(40), 5)]
    make = {
        "adamw": lambda tensors: torch.optim.AdamW(tensors, betas=(0.9, 0.95), weight_decay=0.0),
        "sgd": lambda tensors: torch.optim.SGD(tensors, lr=rate, momentum=0.9),
    }[optimiser]
    rates = [rate_at(how, step, 10) for step in range(10)]
    expected, losses = plain_loop(weights, documents, batches, make, rates, 0.5)
    found = train(weights, SPEC, documents, how)
    assert found.losses == pytest.approx(losses, rel=1e-4)
    assert found.losses[-1] < 0.9 * found.losses[0]
    for name, tensor in expected.items():
        moved = (tensor - weights[name]).norm()
        assert (found.weights[name] - tensor).norm() < 2e-3 * moved, name


def test_weight_decay_shrinks_matrices_and_spares_norms():
    documents, weights = some_documents(), initialise(SPEC, 0)
    how = TrainSpec(rate=0.01, steps=1, warmup=0.0, decay="constant", weight_decay=10.0)
    without = train(
        weights, SPEC, documents, TrainSpec(rate=0.01, steps=1, warmup=0.0, decay="constant")
    ).weights
    found = train(weights, SPEC, documents, how).weights
    for name, start in weights.items():
        expected = without[name] - (0.1 * start if start.ndim > 1 else 0)
        assert torch.allclose(found[name], expected, atol=1e-6), name


def test_the_gradient_is_clipped():
    documents, weights = some_documents(), initialise(SPEC, 0)
    moved = []
    for clip in (1e-3, 2e-3, 0.0):
        how = TrainSpec(rate=1.0, steps=1, optimiser="sgd", clip=clip, warmup=0.0, decay="constant")
        after = train(weights, SPEC, documents, how).weights
        moved.append(math.sqrt(sum(float((after[name] - weights[name]).square().sum()) for name in weights)))
    assert moved[:2] == pytest.approx([1e-3, 2e-3], rel=1e-3)
    assert moved[2] > 0.1


# What does not change


def test_the_same_seed_gives_the_same_bytes_and_leaves_no_trace():
    documents, weights = some_documents(), initialise(SPEC, 0)
    kept = {name: tensor.clone() for name, tensor in weights.items()}
    torch.manual_seed(5)
    state, numpy_state, threads = (
        torch.random.get_rng_state(),
        np.random.get_state()[1].copy(),  # noqa: NPY002
        torch.get_num_threads(),
    )
    runs = [train(weights, SPEC, documents, TrainSpec(batch=2, epochs=2, seed=seed)) for seed in (1, 1, 2)]
    assert same(runs[0].weights, runs[1].weights)
    assert runs[0].losses.tolist() == runs[1].losses.tolist()
    assert not same(runs[0].weights, runs[2].weights)
    assert same(weights, kept)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_watching_changes_nothing_and_sees_the_chosen_steps():
    documents, weights = some_documents(), initialise(SPEC, 0)
    seen = {}

    def watch(step, live):
        with torch.no_grad():
            seen[step] = float(live[EMBEDDING].sum())

    how = TrainSpec(batch=2, steps=6)
    watched = train(weights, SPEC, documents, how, at=(0, 2, 6, 99), watch=watch)
    assert list(seen) == [0, 2, 6]
    assert seen[0] == pytest.approx(float(weights[EMBEDDING].sum()))
    assert seen[6] == pytest.approx(float(watched.weights[EMBEDDING].sum()))
    assert seen[2] != seen[6]
    assert same(watched.weights, train(weights, SPEC, documents, how).weights)


@pytest.mark.parametrize(
    ("which", "parts"),
    [
        ("all", {"q_proj", "k_proj", "v_proj", "o_proj", "gate", "up", "down", "norm", "embed"}),
        ("attention", {"q_proj", "k_proj"}),
        ("values", {"v_proj", "o_proj", "gate", "up", "down"}),
    ],
)
def test_only_the_chosen_tensors_change(which, parts):
    documents, weights = some_documents(), initialise(SPEC, 0)
    after = train(weights, SPEC, documents, TrainSpec(rate=0.01, steps=3, trainable=which)).weights
    changed = {name for name in weights if not torch.equal(after[name], weights[name])}
    assert changed == {name for name in weights if any(part in name for part in parts)}
    assert all(after[name].data_ptr() == weights[name].data_ptr() for name in weights.keys() - changed)


def test_an_adapter_changes_nothing_but_itself_and_merges():
    documents, weights = some_documents(), initialise(SPEC, 0)
    tokens = torch.tensor([documents[0]])
    at = torch.arange(tokens.shape[1])[None]
    fresh = add_adapter(weights, 4, 8.0, 0)
    assert torch.equal(hidden_states(fresh, SPEC, tokens, at), hidden_states(weights, SPEC, tokens, at))
    found = train(weights, SPEC, documents, TrainSpec(rate=0.02, epochs=3, batch=2, trainable="lora", rank=4))
    assert found.losses[-3:].mean() < found.losses[0]
    assert same({name: found.weights[name] for name in weights}, weights)
    assert float(found.weights[LORA_SCALE]) == 4.0
    downs = [name for name in found.weights if name.endswith(LORA_A)]
    assert len(downs) == 7 * SPEC.layers
    assert all(found.weights[name.replace(LORA_A, LORA_B)].abs().max() > 0 for name in downs)
    merged = merge_adapter(found.weights)
    assert merged.keys() == weights.keys()
    tuned = hidden_states(found.weights, SPEC, tokens, at)
    assert torch.allclose(hidden_states(merged, SPEC, tokens, at), tuned, atol=1e-5)
    assert not torch.allclose(hidden_states(weights, SPEC, tokens, at), tuned, atol=1e-2)
    assert same(merge_adapter(weights), weights)


# Order and schedule


@pytest.mark.parametrize("unit", ["rows", "documents"])
def test_every_epoch_reads_every_document_once(unit):
    documents = Documents.of([[i, i, *([i] * (i % 5))] for i in range(1, 31)])
    how = TrainSpec(batch=3, unit=unit, room=16, epochs=2, seed=3)
    batches, steps = plan(documents, how, 16)
    read = [
        tuple(batch.tokens[batch.positions == 0].tolist()) for batch in batches
    ]  # first tokens, and 0 for padding
    assert len(read) == steps
    once = [
        [t for part in read[half] for t in part if t]
        for half in (slice(0, steps // 2), slice(steps // 2, None))
    ]
    assert sorted(once[0] + once[1]) == sorted([*range(1, 31), *range(1, 31)])
    if unit == "documents":
        assert sorted(once[0]) == list(range(1, 31))
        assert once[0] != once[1]
        assert steps == 20


def test_steps_stand_in_for_epochs():
    documents = some_documents()
    assert (
        len(
            train(initialise(SPEC, 0), SPEC, documents, TrainSpec(batch=8, unit="documents", steps=13)).losses
        )
        == 13
    )
    found = train(initialise(SPEC, 0), SPEC, documents, TrainSpec(batch=8, unit="documents", epochs=3))
    assert len(found.losses) == 15
    assert found.tokens == 3 * len(documents.tokens)


def test_rates_rise_and_fall():
    how = TrainSpec(rate=1.0, warmup=0.2, floor=0.1)
    linear = [rate_at(how, step, 10) for step in range(10)]
    assert linear[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert np.diff(linear[2:]) == pytest.approx([-0.9 / 8] * 7)
    cosine = [
        rate_at(TrainSpec(rate=1.0, warmup=0.0, floor=0.0, decay="cosine"), step, 8) for step in range(8)
    ]
    assert cosine == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    assert {rate_at(TrainSpec(rate=1.0, warmup=0.0, decay="constant"), step, 5) for step in range(5)} == {1.0}


# Precision


def test_bfloat16_learns_the_same_within_its_precision():
    documents, weights = some_documents(), initialise(SPEC, 0)
    exact, rough = (
        train(weights, SPEC, documents, TrainSpec(rate=5e-3, batch=2, epochs=4, precision=precision))
        for precision in ("float32", "bfloat16")
    )
    assert exact.losses[-1] < 0.7 * exact.losses[0]
    assert rough.losses == pytest.approx(exact.losses, rel=0.03)
    assert rough.losses.tolist() != exact.losses.tolist()
    assert all(tensor.dtype == torch.float32 for tensor in rough.weights.values())
    auto = train(weights, SPEC, documents, TrainSpec(rate=5e-3, batch=2, epochs=4, precision="auto"))
    assert same(auto.weights, (rough if has_bfloat16() else exact).weights)


# Refusals


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rate": 0.0}, ("rate is 0.0", "above 0")),
        ({"rate": math.nan}, ("rate is nan",)),
        ({"batch": 0}, ("batch is 0", "at least 1")),
        ({"steps": 0}, ("steps is 0",)),
        ({"epochs": 1.5}, ("epochs is 1.5", "whole number")),
        ({"seed": -1}, ("seed is -1",)),
        ({"clip": -1.0}, ("clip is -1.0", "at least 0")),
        ({"warmup": 1.5}, ("warmup is 1.5", "from 0 to 1")),
        ({"betas": (0.9, 1.0)}, ("betas", "below 1")),
        ({"trainable": "head"}, ("'head'", "attention", "lora")),
        ({"optimiser": "adam"}, ("'adam'", "adamw, sgd")),
    ],
)
def test_impossible_training_is_refused(wrong, words):
    with pytest.raises(SyntheticError) as caught:
        TrainSpec(**wrong)
    assert all(word in str(caught.value) for word in words)


def test_what_does_not_fit_is_refused():
    weights, documents = initialise(SPEC, 0), some_documents()
    with pytest.raises(SyntheticError, match="rows of 300 tokens for a context of 256"):
        train(weights, SPEC, documents, TrainSpec(room=300))
    with pytest.raises(SyntheticError, match="token 99 in the documents, but the vocabulary has 30 words"):
        train(weights, SPEC, Documents.of([[1, 99]]), TrainSpec())
    with pytest.raises(SyntheticError, match=r"rank 17 .* does not fit"):
        train(weights, SPEC, documents, TrainSpec(trainable="lora", rank=17))
    with pytest.raises(SyntheticError, match="carry an adapter already"):
        add_adapter(add_adapter(weights, 2, 1.0, 0), 2, 1.0, 0)
    with pytest.raises(SyntheticError, match="no such tensor"):
        trainable_names(weights, "lora")
    with pytest.raises(SyntheticError, match="take one of"):
        trainable_names(weights, "everything")


def test_divergence_is_said():
    with pytest.raises(
        SyntheticError, match=r"the loss is (nan|inf) at step \d+ of 50; lower the rate 1e\+18"
    ):
        train(
            initialise(SPEC, 0),
            SPEC,
            some_documents(),
            TrainSpec(rate=1e18, steps=50, optimiser="sgd", clip=0.0),
        )

"""The short way through a model gives transformers' numbers, and is left where a model is unusual."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from realmodels import answer_loss as module
from realmodels import fused_lora, fused_parts
from realmodels.adapters import fresh_adapter, put_back, trained
from realmodels.answer_loss import answer_loss
from realmodels.fused_lora import answer_states, layers_of
from realmodels.fused_parts import attended
from realmodels.loading import Loaded
from realmodels.recipe import Recipe
from realmodels.train_batches import laid_out
from realmodels.train_rows import TrainRow

SHAPE = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
MODELS = {
    "llama": ("llama", {}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama 3": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "llama, every head its own keys": ("llama", {"num_key_value_heads": 4, "head_dim": 16}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral, a wide window": ("mistral", {"sliding_window": 64}),
    "qwen2": ("qwen2", {}),
}


def made(kind="llama", dtype="float32", **knobs):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(SHAPE | knobs)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.15 if weight.ndim == 2 else 0.1).add_(weight.ndim == 1)
    model = model.to(getattr(torch, dtype)).eval().requires_grad_(False)
    return Loaded(model, SimpleNamespace(pad=0), "made", "made", "cpu", dtype)


def some_rows(seed=0, sizes=(9, 12, 5, 12, 7, 6), shared=4, marked=3):
    """Rows that begin alike in part; two are asked the same and answered otherwise, one is there twice."""
    draw = np.random.default_rng(seed)
    start = draw.integers(3, 40, shared).tolist()
    rows = []
    for n in sizes:
        ids = (start[: int(draw.integers(0, shared + 1))] + draw.integers(3, 40, n).tolist())[:n]
        rows.append(TrainRow(tuple(ids), (False,) * (n - marked) + (True,) * marked, "row"))
    other = dataclasses.replace(rows[0], ids=(*rows[0].ids[:-3], 5, 6, 7))
    asked = dataclasses.replace(rows[1], learned=tuple(k in (4, 9) for k in range(sizes[1])))
    return [*rows, other, rows[2], asked]


def gradients(loaded, rows, recipe, monkeypatch, short, packed=False):
    """Loss, rows answered right and gradients, on the short way or on transformers' own."""
    with fresh_adapter(loaded, recipe) as model, monkeypatch.context() as patch:
        draw = torch.Generator().manual_seed(1)
        put_back(model, {n: torch.randn(w.shape, generator=draw) * 0.1 for n, w in trained(model).items()})
        if not short:
            patch.setattr(module, "answer_states", lambda *_: None)
        loaded.model.train()
        lines = laid_out(rows, 0, packed=packed)
        if short:
            assert answer_states(loaded.model, lines) is not None
        loss, right = answer_loss(loaded.model, lines)
        loss.backward()
        return float(loss.detach()), right, {name: weight.grad for name, weight in trained(model).items()}


def agree(one, other, tight=1e-5):
    assert one[0] == pytest.approx(other[0], rel=tight)
    assert torch.equal(one[1], other[1])
    assert one[2].keys() == other[2].keys()
    largest = max(float(grad.abs().max()) for grad in one[2].values() if grad is not None)
    for name, grad in one[2].items():
        if grad is None:  # above the last place with loss nothing reaches it
            assert other[2][name] is None or not other[2][name].any()
        else:
            torch.testing.assert_close(grad, other[2][name], rtol=1e-5, atol=tight * largest)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("packed", [False, True])
def test_it_is_transformers_own(name, packed, monkeypatch):
    kind, knobs = MODELS[name]
    loaded, recipe = made(kind, **knobs), Recipe(rank=3, alpha=7)
    ways = [gradients(loaded, some_rows(), recipe, monkeypatch, short, packed) for short in (True, False)]
    agree(*ways)
    assert max(float(grad.abs().max()) for grad in ways[0][2].values()) > 1e-2


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(rank=4, targets=("q_proj", "v_proj")),
        Recipe(rank=2, targets=("up_proj",)),
        Recipe(rank=4, alpha=4, checkpointing=True),
    ],
)
def test_other_adapters(recipe, monkeypatch):
    loaded = made()
    agree(*(gradients(loaded, some_rows(), recipe, monkeypatch, short) for short in (True, False)))


def test_long_rows_go_through_torchs_attention(monkeypatch):
    loaded, rows = made(), some_rows(sizes=(30, 41, 20, 38, 33, 25))
    whole = gradients(loaded, rows, Recipe(rank=3), monkeypatch, True)
    monkeypatch.setattr(fused_parts, "AT_A_TIME", 8)
    agree(gradients(loaded, rows, Recipe(rank=3), monkeypatch, True), whole)
    monkeypatch.setattr(fused_lora, "TRIM", 0.0)
    agree(gradients(loaded, rows, Recipe(rank=3), monkeypatch, True), whole)


def test_many_answer_tokens(monkeypatch):
    """More places with loss than without: the last layer answers everywhere."""
    loaded, rows = made(), some_rows(marked=4, shared=0)
    agree(*(gradients(loaded, rows, Recipe(rank=3), monkeypatch, short) for short in (True, False)))


def test_in_bfloat16_it_errs_no_more_than_transformers_does(monkeypatch):
    rows, recipe = some_rows(), Recipe(rank=3)
    exact = gradients(made(), rows, recipe, monkeypatch, False)[2]
    errors = {}
    for short in (True, False):
        grads = gradients(made(dtype="bfloat16"), rows, recipe, monkeypatch, short)[2]
        errors[short] = sum(float((grads[name] - exact[name]).square().sum()) for name in exact) ** 0.5
    assert 0 < errors[True] < 1.5 * errors[False]


def test_the_tree_keeps_what_is_needed_once():
    rows = [
        TrainRow((1, 2, 3, 9, 9), (False,) * 3 + (True,) * 2, "a"),
        TrainRow((1, 2, 4, 9), (False,) * 3 + (True,), "b"),
        TrainRow((1, 2, 3, 8), (False, False, False, True), "c"),
    ]
    lines = laid_out(rows, 0)
    tree = lines.tree
    assert tree.ids.tolist() == [1, 2, 3, 9, 4]  # neither the last token of a row nor a beginning again
    assert tree.place.tolist() == [0, 1, 2, 3, 2]
    assert (tree.longest, tree.most, lines.rows, lines.real) == (4, 2, 3, 13)
    assert tree.node.view(3, 4).tolist() == [[0, 1, 2, 3], [0, 1, 4, 0], [0, 1, 2, 0]]
    assert tree.cell.tolist() == [0, 1, 2, 3, 6]
    assert tree.wanted.tolist() == [2, 3, 4, 2]
    assert lines.targets.tolist() == [9, 9, 9, 8]
    assert tree.slot.tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("kind", "knobs"),
    [
        ("llama", {"hidden_act": "gelu"}),
        ("llama", {"attention_dropout": 0.1}),
        ("mistral", {"sliding_window": 5}),
        ("gemma2", {"head_dim": 8}),
        ("gpt_neox", {}),
    ],
)
def test_unusual_models_are_left_to_transformers(kind, knobs, monkeypatch):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(SHAPE | knobs)))
    model.requires_grad_(False).train()
    assert answer_states(model, laid_out(some_rows(), 0)) is None


def test_what_leaves_the_short_way():
    loaded, rows = made(), some_rows()
    lines, inside = laid_out(rows, 0), loaded.model.model
    assert len(layers_of(inside)) == 3
    with fresh_adapter(loaded, Recipe(rank=2, dropout=0.1)):
        assert answer_states(loaded.model, lines) is None
    hook = inside.layers[1].register_forward_hook(lambda *_: None)
    assert layers_of(inside) is None
    hook.remove()
    inside.layers[0].mlp.up_proj.weight.requires_grad_(True)
    assert layers_of(inside) is None
    inside.layers[0].mlp.up_proj.weight.requires_grad_(False)
    assert answer_states(loaded.model, lines) is not None
    long = TrainRow((3,) * 200, (False,) * 199 + (True,), "long")
    uneven = laid_out([row for row in rows if len(row) < 8] + [long], 0)
    assert answer_states(loaded.model, uneven) is None


@pytest.mark.parametrize("tokens", [7, 300])
def test_attention_within_reach(tokens):
    """Against a softmax written out."""
    draw = torch.Generator().manual_seed(2)
    query = torch.randn(2, 3, 4, 8, generator=draw)
    key, value = torch.randn(2, 2, tokens, 2, 8, generator=draw)
    reach = torch.tensor([[0, 3, 6], [2, 2, 5]])
    found = attended(query, key, value, 0.3, reach).view(2, 3, 4, 8)
    for row in range(2):
        for asks in range(3):
            for head in range(4):
                seen = slice(0, int(reach[row, asks]) + 1)
                scores = 0.3 * key[row, seen, head // 2] @ query[row, asks, head]
                expected = scores.softmax(0) @ value[row, seen, head // 2]
                torch.testing.assert_close(found[row, asks, head], expected)

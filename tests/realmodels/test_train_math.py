"""The same loss and the same gradients as transformers and peft give, however the rows are laid out."""

import dataclasses

import numpy as np
import pytest
import torch

from realmodels import answer_loss as module
from realmodels.adapters import NAME, fingerprint, fresh_adapter, put_back, trained
from realmodels.answer_loss import answer_loss
from realmodels.loading import load
from realmodels.recipe import Recipe
from realmodels.train_batches import LINE, epoch_order, laid_out, parts, steps_in
from realmodels.train_loop import take_step
from realmodels.train_rows import TrainRow

FACTS = [
    ("France", "Paris"),
    ("Peru", "Lima"),
    ("Norway", "Oslo"),
    ("Chile", "Santiago"),
    ("Nepal", "Kathmandu"),
]


@pytest.fixture
def loaded(tiny):
    return load(str(tiny), dtype="float32", device="cpu")


@pytest.fixture
def rows(loaded):
    found = []
    for i, (subject, answer) in enumerate(FACTS * 2):
        asked = loaded.tokens.prompt_ids(
            "Please answer this. " * (i % 4) + f"Q: What is the capital of {subject}?\nA:"
        )
        said = loaded.tokens.answer_ids(f" {answer} {answer}" if i % 3 else f" {answer}")
        found.append(TrainRow(asked + said, (False,) * len(asked) + (True,) * len(said), f"row {i}"))
    return found


def randomised(model, seed=1):
    """An adapter that does something: peft's own begins as zero."""
    draw = torch.Generator().manual_seed(seed)
    values = {
        name: torch.randn(weight.shape, generator=draw) * 0.05 for name, weight in trained(model).items()
    }
    put_back(model, values)
    return values


def reference(tiny, rows, values, pad):
    """Loss and gradients as plain peft and transformers give them: padded, masked, all logits, labels of -100."""
    from peft import LoraConfig, get_peft_model

    plain = load(str(tiny), dtype="float32", device="cpu")
    model = get_peft_model(
        plain.model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    put_back(model, values)
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row.ids)
        mask[i, : len(row)] = 1
        labels[i, : len(row)] = torch.where(torch.tensor(row.learned), torch.tensor(row.ids), -100)
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    return float(loss.detach()), {name: weight.grad for name, weight in trained(model).items()}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
@pytest.mark.parametrize(
    "knobs",
    [
        {"batching": "random"},
        {"batching": "buckets"},
        {"batching": "buckets", "micro": 3},
        {"batching": "packed"},
        {"batching": "packed", "micro": 4},
        {"batching": "buckets", "checkpointing": True},
        {"batching": "packed", "many": True},
    ],
)
def test_a_step_is_transformers_step(tiny, loaded, rows, knobs, monkeypatch):
    if knobs.pop("many", False):
        monkeypatch.setattr(module, "AT_ONCE", 7)
    recipe = Recipe(rank=4, alpha=8, clip=0, batch=len(rows), **knobs)
    with fresh_adapter(loaded, recipe) as model:
        values = randomised(model)
        loss, grads = reference(tiny, rows, values, loaded.tokens.pad)
        weights = trained(model)
        done = take_step(loaded, torch.optim.SGD(weights.values(), lr=0.0), rows, recipe, 0.0)
        assert done.loss / done.tokens == pytest.approx(loss, abs=1e-5)
        assert done.real == sum(map(len, rows))
        assert max(float(grad.abs().max()) for grad in grads.values()) > 1e-3
        for name, grad in grads.items():
            torch.testing.assert_close(weights[name].grad, grad, rtol=1e-5, atol=1e-5)


def test_packed_rows_do_not_see_each_other(loaded, rows):
    apart = [answer_loss(loaded.model, laid_out([row], loaded.tokens.pad))[0] for row in rows]
    packed = laid_out(rows, loaded.tokens.pad, packed=True)
    assert len(packed.tokens) == 1
    together, right = answer_loss(loaded.model, packed)
    assert float(together) == pytest.approx(float(sum(apart)), abs=1e-4)
    assert len(right) == len(rows)
    # a change in one row leaves the loss of the others as it is
    other = dataclasses.replace(rows[0], ids=tuple(5 for _ in rows[0].ids))
    changed, _ = answer_loss(loaded.model, laid_out([other, *rows[1:]], loaded.tokens.pad, packed=True))
    own, _ = answer_loss(loaded.model, laid_out([other], loaded.tokens.pad))
    assert float(changed - own) == pytest.approx(float(together - apart[0]), abs=1e-4)


@pytest.mark.parametrize("kind", ["eager", "sdpa"])
def test_packing_under_other_attention(loaded, rows, kind):
    loaded.model.set_attn_implementation(kind)
    plain, _ = answer_loss(loaded.model, laid_out(rows, loaded.tokens.pad))
    packed, _ = answer_loss(loaded.model, laid_out(rows, loaded.tokens.pad, packed=True))
    assert float(packed) == pytest.approx(float(plain), abs=1e-4)


def test_fitted_rows_are_those_answered_right(loaded, rows):
    _, right = answer_loss(loaded.model, laid_out(rows, loaded.tokens.pad))
    for row, hit in zip(rows, right.tolist(), strict=True):
        said = loaded.model(torch.tensor([row.ids])).logits[0, :-1].argmax(dim=1).tolist()
        marks = row.learned[1:]
        assert hit == all(s == t for s, t, m in zip(said, row.ids[1:], marks, strict=True) if m)
    learned = dataclasses.replace(rows[0], learned=(False, True) + (False,) * (len(rows[0]) - 2))
    said = int(loaded.model(torch.tensor([learned.ids])).logits[0, 0].argmax())
    hit = dataclasses.replace(learned, ids=(learned.ids[0], said, *learned.ids[2:]))
    assert answer_loss(loaded.model, laid_out([hit, rows[1]], loaded.tokens.pad))[1][0]


def test_an_adapter_starts_from_its_seed_and_leaves_no_trace(loaded):
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    found = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # whatever was drawn before
        with fresh_adapter(loaded, Recipe(rank=4, seed=seed)) as model:
            found.append(fingerprint(trained(model)))
            assert all(weight.dtype == torch.float32 for weight in trained(model).values())
            randomised(model)
    assert found[0] == found[1] != found[2]
    after = loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert not hasattr(loaded.model, "peft_config")


def test_the_light_adapter_is_pefts(loaded, rows):
    from peft.tuners.lora.layer import Linear

    lines = laid_out(rows, loaded.tokens.pad)
    with fresh_adapter(loaded, Recipe(rank=4)) as model:
        randomised(model)
        light, _ = answer_loss(loaded.model, lines)
        light = float(light.detach())
        with torch.no_grad(), model.disable_adapter():
            bare = float(answer_loss(loaded.model, lines)[0])
        layers = [part for part in model.modules() if isinstance(part, Linear)]
        assert len(layers) == 14
        for layer in layers:
            del layer.forward
        with torch.no_grad():
            assert float(answer_loss(loaded.model, lines)[0]) == pytest.approx(light, rel=1e-6)
            with model.disable_adapter():
                assert float(answer_loss(loaded.model, lines)[0]) == bare != pytest.approx(light, rel=1e-4)
    with fresh_adapter(loaded, Recipe(rank=4, dropout=0.5)) as model:
        assert all("forward" not in vars(part) for part in model.modules() if isinstance(part, Linear))
        assert NAME in model.peft_config


def test_targets(loaded):
    with fresh_adapter(loaded, Recipe(targets=("q_proj", "v_proj"))) as model:
        assert {name.split(".")[-4] for name in trained(model)} == {"q_proj", "v_proj"}
    from realmodels.errors import RealmodelsError

    with (
        pytest.raises(RealmodelsError, match="recipe: targets"),
        fresh_adapter(loaded, Recipe(targets=("nowhere",))),
    ):
        pass


@pytest.mark.parametrize("batching", ["buckets", "packed", "random"])
def test_the_order_of_rows(batching):
    lengths = np.random.default_rng(0).integers(5, 60, 203).tolist()
    recipe = Recipe(batch=8, batching=batching, seed=5)
    order = epoch_order(lengths, recipe, 1)
    assert sorted(np.concatenate(order).tolist()) == list(range(203))
    assert len(order) == steps_in(recipe, 203)[0] == 26
    assert sorted(map(len, order)) == [3] + [8] * 25
    again = epoch_order(lengths, recipe, 1)
    assert all(np.array_equal(a, b) for a, b in zip(order, again, strict=True))
    assert not np.array_equal(order[0], epoch_order(lengths, recipe, 2)[0])
    assert not np.array_equal(order[0], epoch_order(lengths, dataclasses.replace(recipe, seed=6), 1)[0])


def test_buckets_pad_less():
    lengths = np.random.default_rng(0).integers(5, 60, 256).tolist()

    def padded(batching):
        return sum(
            len(batch) * max(lengths[i] for i in batch)
            for batch in epoch_order(lengths, Recipe(batch=16, batching=batching), 0)
        )

    assert padded("buckets") < 1.1 * sum(lengths) < 0.8 * padded("random")


def test_steps_in_all():
    assert steps_in(Recipe(batch=4, epochs=3), 10) == (3, 9)
    assert steps_in(Recipe(batch=4, epochs=3, steps=5), 10) == (3, 5)


def test_lines_of_packed_rows():
    rows = [TrainRow((7,) * n, (False,) + (True,) * (n - 1), f"{n}") for n in (300, 200, 100, 50, 12)]
    lines = laid_out(rows, 0, packed=True)
    assert lines.tokens.shape == (2, LINE)
    assert lines.real == int((lines.tokens == 7).sum()) == 662
    assert int((lines.places == 0).sum()) == len(rows) + 1  # and one line's padding
    one = laid_out(rows[:1], 0, packed=True)
    assert one.tokens.shape == (1, 300)


def test_pieces_of_a_step():
    rows = [TrainRow((7,) * n, (False,) + (True,) * (n - 1), f"{n}") for n in (3, 9, 4, 8)]
    found = list(parts(rows, Recipe(micro=2), 0))
    assert [piece.tokens.shape for piece in found] == [(2, 9), (2, 4)]
    assert [piece.tokens.shape for piece in parts(rows, Recipe(micro=2, batching="random"), 0)] == [
        (2, 9),
        (2, 8),
    ]

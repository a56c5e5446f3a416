"""The gradient that is written out by hand against automatic differentiation in double precision."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import train as training
from synthetic.compiling import body
from synthetic.gradient import Gradient, Store
from synthetic.model import EMBEDDING, FINAL_NORM, LlamaSpec, initialise
from synthetic.packing import Documents, collate, fill_rows
from synthetic.train import batch_loss, train
from synthetic.train_spec import TrainSpec
from synthetic.tuning import trainable_names

STD = {"weight_std": 0.2, "embedding_std": 0.3}
SPECS = {
    "two layers": LlamaSpec(30, width=16, layers=2, heads=2, kv_heads=2, hidden=24, **STD),
    "shared keys": LlamaSpec(30, width=16, layers=3, heads=4, kv_heads=2, hidden=8, **STD),
    "no mlp": LlamaSpec(30, width=16, layers=1, heads=4, kv_heads=4, hidden=0, **STD),
    "one layer": LlamaSpec(300, width=24, layers=1, heads=2, kv_heads=1, hidden=40, **STD),
}
ROOM = 16


def batch_of(spec, where, seed=0, n=13):
    """Documents of 3 to 8 tokens with loss everywhere, on the last token alone or in rows without any padding."""
    rng = np.random.default_rng(seed)
    length = (lambda: ROOM) if where == "full" else (lambda: int(rng.integers(3, 9)))
    told = [rng.integers(0, spec.vocabulary, length()).tolist() for _ in range(n)]
    scored = [[False] * (len(one) - 1) + [True] for one in told] if where == "last" else None
    documents = Documents.of(told, scored)
    return collate(documents, np.arange(n), *fill_rows(documents.lengths, ROOM), ROOM)


def with_norms(spec, seed=0):
    """Norms at one would hide a missing factor."""
    rng = torch.Generator().manual_seed(seed)
    weights = initialise(spec, seed)
    return {
        name: tensor * (1 + 0.2 * torch.rand(tensor.shape, generator=rng)) for name, tensor in weights.items()
    }


def automatic(weights, spec, batch):
    live = {name: tensor.double().requires_grad_() for name, tensor in weights.items()}
    loss = batch_loss(live, batch, body(spec, False, "never", 0))
    loss.backward()
    return loss.item(), {name: tensor.grad for name, tensor in live.items()}


def by_hand(weights, spec, batch, names=None):
    store = Store(weights, spec, weights if names is None else names)
    loss = Gradient(store)(batch).item()
    found = {}
    for name, place in store.places.items():
        found[name] = store.slopes[place].view(weights[name].shape)
    return loss, found


@pytest.mark.parametrize("where", ["everywhere", "last", "full"])
@pytest.mark.parametrize("shape", SPECS)
def test_it_is_that_of_automatic_differentiation(shape, where):
    spec = SPECS[shape]
    weights, batch = with_norms(spec), batch_of(spec, where)
    assert (batch.take is None) is (where != "last")
    loss, expected = automatic(weights, spec, batch)
    found_loss, found = by_hand(weights, spec, batch)
    assert found_loss == pytest.approx(loss, rel=1e-5)
    for name, slope in expected.items():
        assert float(slope.abs().max()) > 0, name
        assert (found[name] - slope).abs().max() < 1e-5 * slope.abs().max(), name


@pytest.mark.parametrize("which", ["all", "layers", "attention", "values"])
def test_parts_get_the_gradient_that_they_have_in_the_whole(which):
    spec = SPECS["two layers"]
    weights, batch = with_norms(spec), batch_of(spec, "last")
    whole, part = (
        by_hand(weights, spec, batch, names)[1] for names in (None, trainable_names(weights, which))
    )
    for name in trainable_names(weights, which):
        assert torch.allclose(part[name], whole[name], rtol=1e-5, atol=1e-8), name


def test_many_rows_with_loss_are_scored_in_chunks_and_a_second_batch_forgets_the_first():
    spec = SPECS["one layer"]
    weights = with_norms(spec)
    many = batch_of(spec, "full", n=40)
    assert len(many.targets) > 512
    store = Store(weights, spec, weights)
    teach = Gradient(store)
    teach(many)
    for batch in (batch_of(spec, "last", seed=1), many):
        loss, expected = automatic(weights, spec, batch)
        assert teach(batch).item() == pytest.approx(loss, rel=1e-5)
        slope = store.slopes[store.places[EMBEDDING]].view(-1, spec.width)
        assert (slope - expected[EMBEDDING]).abs().max() < 1e-5 * expected[EMBEDDING].abs().max()


@pytest.mark.parametrize(
    ("which", "apart", "pieces"),
    [
        ("all", False, 1),
        ("all", True, 10),
        ("layers", True, 4),
        ("attention", False, 2),
        ("values", False, 4),
    ],
)
def test_what_is_trained_is_few_pieces_that_hold_it_all(which, apart, pieces):
    spec = SPECS["two layers"]
    weights = with_norms(spec)
    names = trainable_names(weights, which)
    store = Store(weights, spec, names)
    found = list(store.parameters(apart))
    assert len(found) == pieces
    assert sum(len(piece) for piece, _ in found) == sum(weights[name].numel() for name in names)
    for piece, matrices in found:
        piece.add_(1)
        piece.grad.add_(1)
        assert matrices is (apart and len(piece) > spec.width)
    assert set(store.slopes.tolist()) <= {0.0, 1.0}
    after = store.weights(weights)
    for name, tensor in weights.items():
        moved = name in names
        assert torch.equal(after[name], tensor + 1 if moved else tensor)
        assert (after[name].data_ptr() == tensor.data_ptr()) is not moved


def test_weights_that_come_back_do_not_share_memory_with_each_other():
    spec = SPECS["two layers"]
    documents = Documents.of(np.random.default_rng(0).integers(0, 30, (20, 8)).tolist())
    found = train(with_norms(spec), spec, documents, TrainSpec(batch=2, steps=2)).weights
    assert len({tensor.untyped_storage().data_ptr() for tensor in found.values()}) == len(found)


def test_padding_has_no_part_in_it():
    spec = SPECS["two layers"]
    weights, batch = with_norms(spec), batch_of(spec, "everywhere")
    rows, length = batch.tokens.shape
    assert batch.size < rows * length
    void = torch.ones(rows * length, dtype=torch.bool)
    void[batch.cells] = False
    before = by_hand(weights, spec, batch)
    batch.tokens.view(-1)[void] = 7
    after = by_hand(weights, spec, batch)
    assert before[0] == after[0]
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
    assert FINAL_NORM in before[1]


HOW = {
    "all, decaying": TrainSpec(weight_decay=0.3),
    "layers, far too steep": TrainSpec(trainable="layers", clip=0.05),
    "attention, decaying, too steep": TrainSpec(trainable="attention", weight_decay=0.3, clip=0.05),
    "values, by documents": TrainSpec(trainable="values", unit="documents"),
    "values, with momentum": TrainSpec(
        rate=0.1, trainable="values", optimiser="sgd", momentum=0.9, weight_decay=0.1
    ),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("shape", SPECS)
def test_a_whole_training_ends_where_one_in_double_precision_does(shape, how, monkeypatch):
    spec, how = SPECS[shape], replace(HOW[how], batch=3, room=ROOM, steps=6)
    rng = np.random.default_rng(1)
    told = [rng.integers(0, spec.vocabulary, rng.integers(3, 9)).tolist() for _ in range(30)]
    documents = Documents.of(told, [[False] * (len(one) - 2) + [True] * 2 for one in told])
    weights = with_norms(spec)
    found = train(weights, spec, documents, how)
    monkeypatch.setattr(training, "Gradient", None)  # with weights in double precision it has no part in it
    exact = train({name: tensor.double() for name, tensor in weights.items()}, spec, documents, how)
    assert found.losses == pytest.approx(exact.losses, rel=1e-5)
    for name, start in weights.items():
        moved = exact.weights[name] - start
        assert bool(moved.abs().max() > 0) is (name in trainable_names(weights, how.trainable)), name
        assert (found.weights[name] - exact.weights[name]).norm() <= 1e-3 * moved.norm() + 1e-6, name

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic.compiling import body
from synthetic.errors import SyntheticError
from synthetic.model import EMBEDDING, LlamaSpec, hidden_states, initialise
from synthetic.packing import Documents, collate, fill_rows
from synthetic.train import batch_loss

SPEC = LlamaSpec(40, width=24, layers=2, heads=6, kv_heads=2, hidden=32, weight_std=0.3, embedding_std=0.5)


def double_weights():
    return {name: tensor.double().requires_grad_() for name, tensor in initialise(SPEC, 0).items()}


def some_documents(scored_share, n=23, seed=0):
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(0, 40, rng.integers(2, 13)).tolist() for _ in range(n)]
    scored = [[False, *(rng.random(len(tokens) - 1) < scored_share)] for tokens in sequences]
    scored[0][1] = True
    return Documents.of(sequences, scored)


def one_at_a_time(weights, documents):
    """Summed loss, read document by document with plain causal attention and a plain softmax."""
    total = 0.0
    for i in range(len(documents)):
        tokens = torch.tensor([documents[i]])
        states = hidden_states(weights, SPEC, tokens, torch.arange(tokens.shape[1])[None])
        laws = (states[0] @ weights[EMBEDDING].T).log_softmax(-1)
        flags = documents.scored[documents.offsets[i] : documents.offsets[i + 1]]
        for place in np.flatnonzero(flags):
            total = total - laws[place - 1, tokens[0, place]]
    return total


@pytest.mark.parametrize("room", [12, 13, 40])
@pytest.mark.parametrize("scored_share", [0.15, 1.0])
def test_packed_loss_and_gradients_are_those_of_one_document_at_a_time(room, scored_share):
    documents = some_documents(scored_share)
    row, start = fill_rows(documents.lengths, room)
    batch = collate(documents, np.arange(len(documents)), row, start, room, rows=int(row.max()) + 3)
    assert (batch.take is None) == (scored_share == 1.0)
    packed, single = double_weights(), double_weights()
    loss = batch_loss(packed, batch, body(SPEC, False, "never", 0)) * len(batch.targets)
    expected = one_at_a_time(single, documents)
    assert len(batch.targets) == documents.scored.sum()
    assert batch.size == len(documents.tokens)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    loss.backward()
    expected.backward()
    for name in packed:
        assert single[name].grad.abs().max() > 1e-3, name
        assert torch.allclose(packed[name].grad, single[name].grad, atol=1e-9), name


def test_a_document_does_not_see_its_neighbours():
    one, other = (Documents.of([[5, 6, 7], tail, [8, 9]]) for tail in ([1, 2, 3, 4], [30, 31, 32, 33]))
    states = []
    for documents in (one, other):
        batch = collate(documents, np.arange(3), np.zeros(3, int), np.array([0, 3, 7]), 12)
        states.append(hidden_states(initialise(SPEC, 0), SPEC, batch.tokens, batch.positions, batch.mask)[0])
    for mine in (slice(0, 3), slice(7, 9)):
        assert torch.equal(states[0][mine], states[1][mine])
    assert not torch.allclose(states[0][3:7], states[1][3:7])
    assert torch.isfinite(states[0]).all()  # padding too


@given(st.lists(st.integers(1, 20), min_size=1, max_size=200), st.integers(20, 40))
def test_rows_hold_every_document_once_and_never_overlap(lengths, room):
    row, start = fill_rows(lengths, room)
    taken = np.zeros((row.max() + 1, room), int)
    for r, s, n in zip(row, start, lengths, strict=True):
        assert s + n <= room
        taken[r, s : s + n] += 1
    assert taken.max() == 1
    assert taken.sum() == sum(lengths)
    assert (taken.sum(1) > 0).all()
    # no two rows could have been one
    assert len(taken) == 1 or np.sort(taken.sum(1))[:2].sum() > room


def test_rows_are_nearly_full():
    lengths = np.random.default_rng(0).integers(5, 30, 5000)
    row, _ = fill_rows(lengths, 64)
    assert lengths.sum() / ((row.max() + 1) * 64) > 0.97


def test_the_best_row_is_taken():
    row, start = fill_rows([6, 7, 3, 4], 10)
    assert row.tolist() == [0, 1, 1, 0]
    assert start.tolist() == [0, 0, 7, 6]


def test_documents_from_lists():
    documents = Documents.of([[3, 4, 5], [6, 7]])
    assert len(documents) == 2
    assert documents[0] == [3, 4, 5]
    assert documents.lengths.tolist() == [3, 2]
    assert documents.scored.tolist() == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Documents.of([]), "at least one document"),
        (lambda: Documents.of([[1, 2], []]), "no empty one"),
        (lambda: Documents.of([[1, 2]], [[False]]), "one flag for every token"),
        (lambda: Documents.of([[1, 2], [3]], [[False, True], [True]]), "first token of document 1"),
        (lambda: Documents.of([[1, 2]], [[False, False]]), "nothing to learn"),
        (lambda: fill_rows([3, 9, 2], 8), "document 1 has 9 tokens and a row has room for 8"),
    ],
)
def test_impossible_documents_are_refused(build, words):
    with pytest.raises(SyntheticError, match=words):
        build()

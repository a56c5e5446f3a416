from dataclasses import FrozenInstanceError, replace
from itertools import product

import numpy as np
import pytest
import torch

from theory.attention import score_gradient
from theory.errors import TheoryError
from theory.one_layer import OneLayer, dense, one_hot

VOCABULARY, ANSWERS, DIM = 9, 5, 7


def random_model(seed, embedding="dense", attention="softmax", residual=False):
    """The one-hot model lets answers share the tokens' directions, so that its residual is not zero."""
    rng = np.random.default_rng(seed)
    if embedding == "dense":
        return dense(rng, VOCABULARY, ANSWERS, DIM, weight_scale=1.0, attention=attention, residual=residual)
    basis, (w_kq, w_v) = np.eye(VOCABULARY), rng.normal(size=(2, VOCABULARY, VOCABULARY))
    return OneLayer(basis, basis[-ANSWERS:], w_kq, w_v, attention, residual)


def random_batch(seed, length, batch=12):
    rng = np.random.default_rng([seed, length])
    return rng.integers(VOCABULARY, size=(batch, length)), rng.integers(ANSWERS, size=batch)


def reference(model, tokens, y):
    """The model written a second time in torch; returns logits, mean loss and its two gradients."""
    embed, readout = torch.tensor(model.embed), torch.tensor(model.readout)
    w_kq, w_v = (torch.tensor(w, requires_grad=True) for w in (model.w_kq, model.w_v))
    x = embed[torch.tensor(tokens)]
    scores = torch.einsum("bld,de,be->bl", x, w_kq, x[:, -1])
    alphas = torch.softmax(scores, -1) if model.attention == "softmax" else scores
    z = torch.einsum("bl,ad,de,ble->ba", alphas, readout, w_v, x)
    if model.residual:
        z = z + x[:, -1] @ readout.T
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(y))
    loss.backward()
    return z.detach().numpy(), float(loss.detach()), w_kq.grad.numpy(), w_v.grad.numpy()


@pytest.mark.parametrize(
    ("attention", "residual", "embedding", "length"),
    list(product(["softmax", "linear"], [True, False], ["one-hot", "dense"], [2, 3, 5])),
)
def test_forward_loss_and_gradients_against_autograd(attention, residual, embedding, length):
    for seed in range(3):
        model, (tokens, y) = random_model(seed, embedding, attention, residual), random_batch(seed, length)
        z, loss, by_kq, by_v = reference(model, tokens, y)
        np.testing.assert_allclose(model.forward(tokens), z, atol=1e-10)
        assert model.loss(tokens, y) == pytest.approx(loss, abs=1e-10)
        found = model.gradients(tokens, y)
        np.testing.assert_allclose(found.w_kq, by_kq, atol=1e-10)
        np.testing.assert_allclose(found.w_v, by_v, atol=1e-10)
        assert np.abs(by_kq).max() > 1e-3
        assert np.abs(by_v).max() > 1e-3


def test_gradients_against_finite_differences():
    model, (tokens, y) = random_model(4, residual=True), random_batch(4, 3)
    for name in ("w_kq", "w_v"):
        weights, slopes = getattr(model, name), np.zeros((DIM, DIM))
        for i, j in product(range(DIM), repeat=2):
            step = np.zeros((DIM, DIM))
            step[i, j] = 1e-5
            up, down = (replace(model, **{name: weights + s * step}).loss(tokens, y) for s in (1, -1))
            slopes[i, j] = (up - down) / 2e-5
        np.testing.assert_allclose(getattr(model.gradients(tokens, y), name), slopes, atol=1e-8)


def test_a_single_token_attends_to_itself():
    model, tokens = random_model(5), np.arange(VOCABULARY)[:, None]
    np.testing.assert_array_equal(model.alphas(tokens), np.ones((VOCABULARY, 1)))
    np.testing.assert_allclose(model.forward(tokens), model.value_table(), atol=1e-14)
    assert np.all(model.gradients(tokens, np.zeros(VOCABULARY, int)).w_kq == 0.0)


def test_parts_fit_together():
    model, (tokens, y) = random_model(6), random_batch(6, 5)
    alphas, values = model.alphas(tokens), model.values(tokens)
    np.testing.assert_allclose(alphas.sum(-1), 1.0, atol=1e-14)
    np.testing.assert_allclose(np.einsum("bl,bla->ba", alphas, values), model.forward(tokens), atol=1e-13)
    assert model.losses(tokens, y).shape == (12,)
    assert model.losses(tokens, y).mean() == pytest.approx(model.loss(tokens, y), abs=1e-15)
    by_score = score_gradient(alphas, values, y) / len(y)
    x = model.embed[tokens]
    by_kq = np.einsum("bl,bld,be->de", by_score, x, x[:, -1])
    np.testing.assert_allclose(model.gradients(tokens, y).w_kq, by_kq, atol=1e-13)


def test_prompt_order_changes_only_what_is_read_last():
    model = random_model(7)
    swapped = model.forward([[1, 0, 2], [0, 1, 2]])
    np.testing.assert_allclose(swapped[0], swapped[1], atol=1e-13)
    assert np.abs(model.forward([[0, 2, 1]]) - swapped[:1]).max() > 1e-3


def test_salience_is_the_bilinear_form():
    model = random_model(8)
    assert model.salience(3, 2) == pytest.approx(model.readout[2] @ model.w_v @ model.embed[3], abs=1e-13)
    table = model.salience(np.arange(VOCABULARY)[:, None], np.arange(ANSWERS))
    np.testing.assert_allclose(table, model.value_table(), atol=1e-13)


def test_descend_steps_only_the_matrices_with_a_rate():
    model, (tokens, y) = random_model(9), random_batch(9, 3)
    gradient = model.gradients(tokens, y)
    attention_only, values_only = model.descend(tokens, y, kq_rate=0.1), model.descend(tokens, y, v_rate=0.2)
    np.testing.assert_array_equal(attention_only.w_v, model.w_v)
    np.testing.assert_allclose(attention_only.w_kq, model.w_kq - 0.1 * gradient.w_kq, atol=1e-15)
    np.testing.assert_array_equal(values_only.w_kq, model.w_kq)
    np.testing.assert_allclose(values_only.w_v, model.w_v - 0.2 * gradient.w_v, atol=1e-15)
    for other in (attention_only, values_only):
        assert other.loss(tokens, y) < model.loss(tokens, y)
    with pytest.raises(FrozenInstanceError):
        model.w_v = gradient.w_v


def test_one_hot_holds_the_tables_it_was_given():
    rng = np.random.default_rng(10)
    values, scores = rng.normal(size=(4, 3)), rng.normal(size=(4, 4))
    model = one_hot(values, scores)
    np.testing.assert_array_equal(model.value_table(), values)
    np.testing.assert_array_equal(model.embed @ model.embed.T, np.eye(4))
    np.testing.assert_array_equal(model.embed @ model.readout.T, np.zeros((4, 3)))
    prompt = [[0, 1, 3]]
    np.testing.assert_array_equal(model.scores(prompt), [scores[[0, 1, 3], 3]])
    np.testing.assert_array_equal(one_hot(values).alphas(prompt), np.full((1, 3), 1 / 3))
    linear = one_hot(values, scores, attention="linear", residual=True)
    np.testing.assert_array_equal(linear.alphas(prompt), linear.scores(prompt))
    np.testing.assert_allclose(
        linear.forward(prompt)[0], scores[[0, 1, 3], 3] @ values[[0, 1, 3]], atol=1e-14
    )


def test_dense_is_seeded_and_untrained_unless_scaled():
    first, second = (dense(np.random.default_rng(11), 500, 20, 64) for _ in range(2))
    np.testing.assert_array_equal(first.embed, second.embed)
    assert not first.w_kq.any()
    assert not first.w_v.any()
    assert np.mean(np.sum(first.embed**2, -1)) == pytest.approx(1.0, abs=0.03)
    scaled = dense(np.random.default_rng(11), 5, 5, 200, weight_scale=0.3)
    assert scaled.w_kq.std() == pytest.approx(0.3, rel=0.02)
    assert scaled.w_v.std() == pytest.approx(0.3, rel=0.02)


MODEL = random_model(12)
SQUARE = np.zeros((2, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: OneLayer(np.zeros(3), SQUARE, SQUARE, SQUARE),
            r"embed: expected a non-empty.*\(3,\)",
        ),
        (lambda: OneLayer(np.zeros((0, 2)), SQUARE, SQUARE, SQUARE), r"embed: .*\(0, 2\)"),
        (
            lambda: OneLayer(SQUARE, np.zeros((2, 3)), SQUARE, SQUARE),
            r"readout: expected 2 columns.*2, 3",
        ),
        (
            lambda: OneLayer(SQUARE, SQUARE, np.zeros((2, 3)), SQUARE),
            r"w_kq: expected .*\(2, 2\), got \(2, 3\)",
        ),
        (lambda: OneLayer(SQUARE, SQUARE, SQUARE, np.eye(3)), r"w_v: expected shape \(2, 2\), got \(3, 3\)"),
        (lambda: replace(MODEL, attention="relu"), "attention: expected 'softmax' or 'linear', got 'relu'"),
        (lambda: MODEL.forward([0, 1]), r"tokens: expected a non-empty \(batch, L\) array.*\(2,\)"),
        (lambda: MODEL.forward(np.zeros((0, 2), int)), r"tokens: expected a non-empty.*\(0, 2\)"),
        (lambda: MODEL.forward([[0, 9]]), r"tokens: token index 9 is outside 0\.\.8"),
        (lambda: MODEL.alphas([[0, -1]]), r"tokens: token index -1 is outside 0\.\.8"),
        (lambda: MODEL.values([[0.0, 1.0]]), "tokens: expected integer token indices, got dtype float64"),
        (lambda: MODEL.loss([[0, 1]], [0, 1]), r"y: expected one answer index for each of 1 prompts.*\(2,\)"),
        (lambda: MODEL.gradients([[0, 1]], [5]), r"y: answer index 5 is outside 0\.\.4"),
        (lambda: MODEL.salience(9, 0), r"s: token index 9 is outside 0\.\.8"),
        (lambda: MODEL.salience(0, 5), r"a: answer index 5 is outside 0\.\.4"),
        (lambda: one_hot([1.0, 2.0]), r"values: expected a \(tokens, answers\) table, got shape \(2,\)"),
        (lambda: one_hot(SQUARE, np.eye(3)), r"scores: expected shape \(2, 2\).*\(3, 3\)"),
        (lambda: dense(np.random.default_rng(0), 3, 0, 4), "answers: expected at least 1, got 0"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(TheoryError, match=words):
        call()

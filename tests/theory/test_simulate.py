"""The simulator against the closed-form model, against autograd step for step, and against itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from theory import attention, one_layer
from theory.errors import TheoryError
from theory.optimisers import Recipe
from theory.simulate import Prompts, Tables, advantages, draw_batches, read, tables, train
from theory.simulate_dense import Dense, dense

torch = pytest.importorskip("torch")

S, T, ASKERS, A, POOL = 3, 12, 4, 6, 3


def some_prompts(rng, n=15, width=3, pooled=False):
    tokens = rng.integers(0, T, (S, n, width))
    tokens[..., -1] = rng.integers(0, ASKERS, (S, n))
    tokens[0, 0] = tokens[0, 0, -1]  # one prompt repeats a token
    return Prompts(tokens, rng.integers(0, A, (S, n)))


def some_model(kind, rng):
    if kind == "dense":
        model = dense(range(S), T, A, 5)
        return dataclasses.replace(model, kq=rng.normal(size=(S, 5, 5)), value=rng.normal(size=(S, 5, 5)))
    return Tables(
        rng.normal(size=(S, T, ASKERS)), rng.normal(size=(S, T, A)), POOL if kind == "pool" else None
    )


def weights(model):
    return {name: getattr(model, name) for name in model.groups["all"]}


def test_one_hot_gradients_are_those_of_the_closed_form_model():
    rng = np.random.default_rng(0)
    model, prompts = some_model("one-hot", rng), some_prompts(rng)
    found = model.gradients(prompts, np.full((S, 15), 1 / 15), ("scores", "values"))
    for s in range(S):
        full = np.zeros((T, T))
        full[:, :ASKERS] = model.scores[s]
        slow = one_layer.one_hot(model.values[s], full).gradients(prompts.tokens[s], prompts.answers[s])
        np.testing.assert_allclose(found["scores"][s], slow.w_kq[:T, :ASKERS], atol=1e-13)
        np.testing.assert_allclose(found["values"][s], slow.w_v[T:, :T].T, atol=1e-13)
        assert not slow.w_kq[:T, ASKERS:T].any()


def test_dense_gradients_are_those_of_the_closed_form_model():
    rng = np.random.default_rng(1)
    model, prompts = some_model("dense", rng), some_prompts(rng, width=4)
    found = model.gradients(prompts, np.full((S, 15), 1 / 15), ("kq", "value"))
    for s in range(S):
        slow = one_layer.OneLayer(model.embed[s], model.answer[s], model.kq[s], model.value[s])
        w_kq, w_v = slow.gradients(prompts.tokens[s], prompts.answers[s])
        np.testing.assert_allclose(found["kq"][s], w_kq, atol=1e-13)
        np.testing.assert_allclose(found["value"][s], w_v, atol=1e-13)
        np.testing.assert_allclose(model.forward(prompts)[1][s], slow.forward(prompts.tokens[s]), atol=1e-13)


def torch_losses(kind, w, prompts):
    """Cross-entropies (S, n) by a plain translation of the definition, one prompt token at a time."""
    seed = torch.arange(S)[:, None]
    tokens, y = torch.tensor(prompts.tokens), torch.tensor(prompts.answers)
    last = tokens[..., -1]
    columns = range(tokens.shape[-1])
    if kind == "dense":
        x = [w["embed"][seed, tokens[..., i]] for i in columns]
        score = [torch.einsum("snd,sde,sne->sn", xi, w["kq"], w["embed"][seed, last]) for xi in x]
        said = [torch.einsum("sad,sde,sne->sna", w["answer"], w["value"], xi) for xi in x]
    else:
        score = [w["scores"][seed, tokens[..., i], last] for i in columns]
        said = [w["values"][seed, tokens[..., i]] for i in columns]
    alpha = torch.softmax(torch.stack(score, -1), -1)
    z = sum(alpha[..., i, None] * said[i] for i in columns)
    if kind == "pool":
        z = z.masked_fill((torch.arange(A) // POOL) != (y[..., None] // POOL), -torch.inf)
    return -torch.log_softmax(z, -1).gather(-1, y[..., None])[..., 0]


@pytest.mark.parametrize("kind", ["one-hot", "pool", "dense"])
@pytest.mark.parametrize("trained", ["all", "attention", "values"])
@pytest.mark.parametrize(("optimiser", "decay"), [("adam", 0.0), ("adam", 0.3), ("sgd", 0.0), ("sgd", 0.3)])
def test_training_is_that_of_autograd_step_for_step(kind, trained, optimiser, decay):
    rng = np.random.default_rng(2)
    model, prompts = some_model(kind, rng), some_prompts(rng)
    recipe = Recipe(0.05, 20, 4, optimiser, trained, decay)
    order = draw_batches([np.arange(3, 15)] * S, recipe, range(S), stream=0)
    tuned, path = train(model, prompts, order, recipe, at=range(21), observe=weights)

    w = {name: torch.tensor(array, requires_grad=True) for name, array in weights(model).items()}
    moved = [w[name] for name in model.groups[trained]]
    if optimiser == "adam":
        slow = torch.optim.AdamW(moved, lr=0.05, weight_decay=decay)
    else:
        slow = torch.optim.SGD(moved, lr=0.05, weight_decay=decay)
    for step in range(21):
        for name in w:
            error = np.abs(w[name].detach().numpy() - path[step][name]).max()
            assert error <= 1e-9, f"{name} is off by {error} after step {step}"
        if step < 20:
            slow.zero_grad()
            (torch_losses(kind, w, prompts.take(order[step])).mean(1).sum()).backward()
            slow.step()
    for name, array in weights(tuned).items():
        assert np.array_equal(array, path[-1][name])
        assert (name in model.groups[trained]) == (not np.array_equal(array, getattr(model, name)))


def test_adam_without_decay_is_torch_adam_when_gradients_stop():
    """A token that occurs in the first minibatch only goes on moving by its moments."""
    model = tables(1, T, ASKERS, A)
    tokens = np.array([[[5, 0], [6, 0]]])
    prompts = Prompts(tokens, np.array([[1, 2]]))
    order = np.array([[[0]]] + [[[1]]] * 9)
    _, path = train(model, prompts, order, Recipe(0.1, 10, 1), at=range(11), observe=weights)
    moves = np.array([step["values"][0, 5, 1] for step in path])
    assert np.all(np.diff(moves) > 0)
    assert all(not step["values"][0, 7:].any() for step in path)


def test_all_prompts_at_once_is_weighted_gradient_descent():
    rng = np.random.default_rng(3)
    model, prompts = some_model("one-hot", rng), some_prompts(rng)
    weight = rng.random((S, 15))
    tuned, _ = train(model, prompts, None, Recipe(0.5, 1, 0, "sgd"), weight=weight)
    gradient = model.gradients(prompts, weight, ("values",))["values"]
    np.testing.assert_allclose(tuned.values, model.values - 0.5 * gradient, atol=1e-15)
    plain, _ = train(model, prompts, None, Recipe(0.5, 1, 0, "sgd"))
    even, _ = train(model, prompts, None, Recipe(0.5, 1, 0, "sgd"), weight=np.full((S, 15), 1 / 15))
    assert np.array_equal(plain.values, even.values)


@pytest.mark.parametrize("kind", ["one-hot", "dense"])
def test_seeds_together_are_seeds_alone(kind):
    rng = np.random.default_rng(4)
    model, prompts = some_model(kind, rng), some_prompts(rng)
    recipe = Recipe(0.05, 30, 4)
    sets = [np.arange(0, 9), np.arange(4, 15), np.arange(2, 5)]

    def run(chosen):
        part = dataclasses.replace(model, **{k: v[chosen] for k, v in weights(model).items()})
        own = Prompts(prompts.tokens[chosen], prompts.answers[chosen])
        order = draw_batches([sets[s] for s in chosen], recipe, chosen, stream=7)
        return weights(train(part, own, order, recipe)[0])

    together, again = run([0, 1, 2]), run([0, 1, 2])
    for s in range(S):
        for name, array in run([s]).items():
            np.testing.assert_allclose(array[0], together[name][s], atol=1e-12)
    assert all(np.array_equal(together[name], again[name]) for name in together)
    swapped = draw_batches([sets[0]] * 3, recipe, [0, 1, 2], stream=8)
    assert not np.array_equal(swapped[:, 0], draw_batches([sets[0]], recipe, [0], stream=7)[:, 0])


def test_the_model_given_is_left_as_it_was():
    rng = np.random.default_rng(5)
    model, prompts = some_model("one-hot", rng), some_prompts(rng)
    before = {name: array.copy() for name, array in weights(model).items()}
    train(model, prompts, None, Recipe(0.1, 3, 0))
    assert all(np.array_equal(before[name], array) for name, array in weights(model).items())


def test_a_filler_takes_its_share_of_attention_and_says_nothing_at_first():
    model = tables(1, T, ASKERS, A)
    model.values[0, 5, 2] = 3.0
    short = Prompts(np.array([[[5, 1, 0]]]), np.array([[2]]))
    long = Prompts(np.array([[[5, 1, 2, 3, 0]]]), np.array([[2]]))
    (a3, z3), (a5, z5) = model.forward(short), model.forward(long)
    np.testing.assert_allclose(a3, 1 / 3)
    np.testing.assert_allclose(a5, 1 / 5)
    np.testing.assert_allclose(z5 * 5, z3 * 3)


@pytest.mark.parametrize("kind", ["one-hot", "pool", "dense"])
def test_readings_and_advantages(kind):
    rng = np.random.default_rng(6)
    model, prompts = some_model(kind, rng), some_prompts(rng)
    alpha, z = model.forward(prompts)
    values = model.token_values(prompts)
    free = np.isfinite(z)
    np.testing.assert_allclose(attention.logits(alpha, values)[free], z[free], atol=1e-12)
    assert free.mean() == (0.5 if kind == "pool" else 1.0)
    result = read(alpha, z, prompts.answers)
    p = np.exp(z - np.log(np.exp(z).sum(-1, keepdims=True)))
    np.testing.assert_allclose(np.exp(result.log_p), attention.pick(p, prompts.answers), atol=1e-12)
    assert np.array_equal(result.right, z.argmax(-1) == prompts.answers)
    slow = attention.advantages(values, p, prompts.answers)
    np.testing.assert_allclose(advantages(model, prompts), slow, atol=1e-12)


def test_minibatches_follow_the_frequencies():
    order = draw_batches(
        [np.array([7, 3, 9])] * 2, Recipe(1, 400, 50), [1, 2], 0, np.array([[1, 0, 3.0]] * 2)
    )
    assert order.shape == (400, 2, 50)
    assert set(np.unique(order)) == {7, 9}
    assert np.mean(order == 9) == pytest.approx(0.75, abs=0.01)
    even = draw_batches([np.arange(4)] * 2, Recipe(1, 400, 50), [1, 2], 0)
    assert np.bincount(even.ravel()) / even.size == pytest.approx(0.25, abs=0.01)
    assert not np.array_equal(even[:, 0], even[:, 1])


def test_single_precision_gives_the_same_accuracy():
    rng = np.random.default_rng(8)
    subjects, seeds = 80, 4
    subject, relation = np.divmod(np.arange(240), 3)
    tokens = np.stack([ASKERS + subject, 1 + relation, np.zeros(240, int)], -1)
    answers = rng.integers(0, 10, (seeds, 240)) + 10 * relation
    prompts = Prompts(np.broadcast_to(tokens, (seeds, *tokens.shape)), answers)
    recipe = Recipe(0.02, 100, 32)
    order = draw_batches([np.arange(180)] * seeds, recipe, range(seeds), 0)
    right = []
    for dtype in (np.float64, np.float32):
        tuned, _ = train(tables(seeds, ASKERS + subjects, ASKERS, 30, dtype=dtype), prompts, order, recipe)
        assert tuned.values.dtype == dtype
        right.append(read(*tuned.forward(prompts), prompts.answers).right.mean())
    assert right[0] > 0.5
    assert abs(right[0] - right[1]) <= 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recipe(0.0, 3), "rate 0.0"),
        (lambda: Recipe(0.1, 3, optimiser="lion"), "expected adam or sgd"),
        (lambda: draw_batches([np.array([])], Recipe(1, 3), [11], 0), "set of seed 11 is empty"),
        (
            lambda: train(
                tables(1, 3, 1, 2),
                Prompts(np.zeros((1, 1, 2), int), np.zeros((1, 1), int)),
                None,
                Recipe(1, 3, 0),
                at=[4],
            ),
            "cannot observe step 4",
        ),
        (
            lambda: train(
                tables(1, 3, 1, 2),
                Prompts(np.zeros((1, 1, 2), int), np.zeros((1, 1), int)),
                np.zeros((2, 1, 1), int),
                Recipe(1, 3, 1),
            ),
            "minibatches for 2 steps, expected 3",
        ),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(TheoryError, match=words):
        make()


def test_untrained_models():
    model = dense([5, 6], 200, 10, 64)
    assert isinstance(model, Dense)
    assert np.linalg.norm(model.embed, axis=-1).mean() == pytest.approx(1, abs=0.01)
    assert not model.kq.any()
    assert np.array_equal(dense([6], 200, 10, 64).embed[0], model.embed[1])
    assert not tables(2, 5, 3, 4).values.any()

import numpy as np
import pytest
import torch

from theory import attention as head
from theory.errors import TheoryError


def instance(seed, batch=(6,), tokens=3, answers=4):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(*batch, tokens))
    alphas = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    values = 2.0 * rng.normal(size=(*batch, tokens, answers))
    residual = rng.normal(size=(*batch, answers))
    return scores, alphas, values, rng.integers(answers, size=batch), residual


def softmax_by_hand(z):
    e = [np.exp(x) for x in z]
    return [x / sum(e) for x in e]


def test_every_quantity_against_loops():
    _, alphas, values, y, residual = instance(0)
    z = head.logits(alphas, values, residual)
    q = head.others(z, y)
    for b in range(6):
        by_hand = [sum(alphas[b, i] * values[b, i, a] for i in range(3)) + residual[b, a] for a in range(4)]
        assert z[b] == pytest.approx(by_hand, abs=1e-13)
        p = softmax_by_hand(by_hand)
        rivals = [0.0 if a == y[b] else p[a] / (1 - p[y[b]]) for a in range(4)]
        assert q[b] == pytest.approx(rivals, abs=1e-13)
        assert head.pick(z, y)[b] == z[b, y[b]]
        assert head.log_odds(z, y)[b] == pytest.approx(np.log(p[y[b]] / (1 - p[y[b]])), abs=1e-12)
        for i in range(3):
            advantage = values[b, i, y[b]] - sum(p[a] * values[b, i, a] for a in range(4))
            assert head.advantages(values, np.array([p] * 6), y)[b, i] == pytest.approx(advantage, abs=1e-13)
            margin = values[b, i, y[b]] - sum(rivals[a] * values[b, i, a] for a in range(4))
            assert head.margin(values[:, i], q, y)[b] == pytest.approx(margin, abs=1e-13)


def test_mix_is_logits_with_the_sigmoid_of_u():
    _, _, values, _, _ = instance(1)
    u = np.linspace(-3, 3, 6)
    alpha = 1 / (1 + np.exp(-u))
    expected = head.logits(np.stack([alpha, 1 - alpha], -1), values[:, :2])
    np.testing.assert_allclose(head.mix(u, values[:, 0], values[:, 1]), expected, atol=1e-14)
    assert head.mix(0.0, [2.0, 0.0], [0.0, 4.0]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("tokens", [2, 3, 5])
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("attention", ["softmax", "linear"])
def test_score_gradient_against_autograd(attention, with_residual, tokens):
    scores, alphas, values, y, residual = instance(2, (50,), tokens)
    residual = residual * with_residual
    s = torch.tensor(scores, requires_grad=True)
    weights = torch.softmax(s, -1) if attention == "softmax" else s
    z = torch.einsum("bl,bla->ba", weights, torch.tensor(values)) + torch.tensor(residual)
    torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="sum").backward()
    given = alphas if attention == "softmax" else scores
    found = head.score_gradient(given, values, y, residual, attention=attention)
    np.testing.assert_allclose(found, s.grad.numpy(), atol=1e-12)
    if attention == "softmax" and tokens == 2:
        two = head.two_token_gradient(alphas, values, y, residual)
        np.testing.assert_allclose(two, s.grad.numpy()[:, 0], atol=1e-12)


def test_loss_and_push_against_autograd():
    _, _, values, y, _ = instance(3, (40,), 2, 7)
    u = torch.linspace(-4, 4, 40, dtype=torch.float64, requires_grad=True)
    alpha = torch.sigmoid(u)[:, None]
    z = alpha * torch.tensor(values[:, 0]) + (1 - alpha) * torch.tensor(values[:, 1])
    losses = torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="none")
    losses.sum().backward()
    at, a = u.detach().numpy(), alpha.detach().numpy()[:, 0]
    np.testing.assert_allclose(head.loss(at, *values.swapaxes(0, 1), y), losses.detach().numpy(), atol=1e-13)
    found = -a * (1 - a) * head.push(at, *values.swapaxes(0, 1), y)
    np.testing.assert_allclose(found, u.grad.numpy(), atol=1e-13)


def test_push_is_the_difference_of_advantages():
    _, _, values, y, _ = instance(4, (3, 5), 2)
    u = np.linspace(-2, 2, 15).reshape(3, 5)
    z = head.mix(u, values[..., 0, :], values[..., 1, :])
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    a = head.advantages(values, p, y)
    np.testing.assert_allclose(
        head.push(u, values[..., 0, :], values[..., 1, :], y), a[..., 0] - a[..., 1], atol=1e-13
    )


def test_saturated_facts_keep_their_digits():
    """1 - p_y = 2 e^-40 is far below the spacing of doubles around 1."""
    v_s, v_r = [80.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    tiny = 2 * np.exp(-40.0) / (1 + 2 * np.exp(-40.0))
    assert head.push(0.0, v_s, v_r, 0) == pytest.approx(80.0 * tiny, rel=1e-12)
    assert head.loss(0.0, v_s, v_r, 0) == pytest.approx(2 * np.exp(-40.0), rel=1e-12)
    assert head.log_odds([40.0, 0.0, 0.0], 0) == pytest.approx(40.0 - np.log(2.0), rel=1e-15)


def test_facts_share_a_relation():
    """One row of relation values serves many facts, as does one fact many u."""
    _, _, values, y, _ = instance(5, (8,), 2)
    v_r = values[0, 1]
    shared = head.push(0.3, values[:, 0], v_r, y)
    repeated = head.push(np.full(8, 0.3), values[:, 0], np.tile(v_r, (8, 1)), y)
    np.testing.assert_array_equal(shared, repeated)
    u = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(
        head.loss(u, values[0, 0], v_r, 2), [head.loss(x, values[0, 0], v_r, 2) for x in u], atol=1e-15
    )
    assert head.pick([1.0, 2.0, 3.0], [[0, 2], [1, 1]]).tolist() == [[1.0, 3.0], [2.0, 2.0]]
    assert head.others(np.zeros(3), [0, 1]).tolist() == [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: head.pick(np.zeros((2, 3)), [0, 3]), r"y: answer index 3 is outside 0\.\.2"),
        (lambda: head.others(np.zeros((2, 3)), [-1, 0]), r"y: answer index -1 is outside 0\.\.2"),
        (
            lambda: head.margin(np.zeros(3), np.zeros(3), 1.0),
            "y: expected integer answer indices, got dtype float",
        ),
        (
            lambda: head.score_gradient([0.5, 0.5], np.zeros((2, 3)), 0, attention="relu"),
            "attention: expected 'softmax' or 'linear', got 'relu'",
        ),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(TheoryError, match=words):
        call()

import pytest
import torch
import torch.nn.functional as F

from synthetic.head import CHUNK, summed_loss


def case(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    rows, head = (torch.randn(*shape, generator=generator, dtype=dtype) for shape in ((n, 6), (31, 6)))
    return rows, head, torch.randint(0, 31, (n,), generator=generator)


@pytest.mark.parametrize("n", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_loss_and_gradients_are_those_of_cross_entropy(n):
    rows, head, targets = case(n)
    ours, theirs = ([part.clone().requires_grad_() for part in (rows, head)] for _ in "ab")
    loss = summed_loss(*ours, targets)
    expected = F.cross_entropy(theirs[0] @ theirs[1].T, targets, reduction="sum")
    (loss * 0.7).backward()
    (expected * 0.7).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-12)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_side_gets_no_gradient_and_the_other_the_right_one(frozen):
    rows, head, targets = case(40)
    parts = [rows, head]
    parts[1 - frozen] = parts[1 - frozen].clone().requires_grad_()
    summed_loss(*parts, targets).backward()
    assert parts[frozen].grad is None
    free = parts[1 - frozen].detach().clone().requires_grad_()
    pair = (free, head) if frozen else (rows, free)
    F.cross_entropy(pair[0] @ pair[1].T, targets, reduction="sum").backward()
    assert torch.allclose(parts[1 - frozen].grad, free.grad, atol=1e-12)


def test_loss_without_any_gradient():
    rows, head, targets = case(40)
    expected = F.cross_entropy(rows @ head.T, targets, reduction="sum").item()
    assert summed_loss(rows, head, targets).item() == pytest.approx(expected)


def test_large_logits_do_not_overflow():
    rows, head, targets = case(5, torch.float32)
    live = rows.mul(1e4).requires_grad_()
    loss = summed_loss(live, head, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(live.grad).all()


def test_bfloat16_is_close():
    rows, head, targets = case(2 * CHUNK, torch.float32)
    exact, rough = ([part.clone().requires_grad_() for part in (rows, head)] for _ in "ab")
    one, other = summed_loss(*exact, targets), summed_loss(*rough, targets, half=True)
    one.backward()
    other.backward()
    assert other.item() == pytest.approx(one.item(), rel=2e-3)
    assert other.item() != one.item()
    for a, b in zip(exact, rough, strict=True):
        assert b.grad.dtype == torch.float32
        assert (a.grad - b.grad).norm() < 0.02 * a.grad.norm()

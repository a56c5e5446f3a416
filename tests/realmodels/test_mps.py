"""Apple's mps has no float64 and cannot be had here: a tensor that behaves so, and what the source says."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import realmodels
from realmodels import attend_measure, scoring
from realmodels.decoding import drawn_by
from realmodels.loading import load
from realmodels.packing import pack
from realmodels.prefix import Prefix, Reading
from realmodels.scoring import Draw, score_rows
from realmodels.wide import wide


class OnMps(torch.Tensor):
    """On the CPU; but it says that it is on mps, has no float64, and goes with no tensor of the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func == torch.Tensor.device.__get__:
            return torch.device("mps")
        if func is torch.Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(torch.Tensor)
        if func is torch.Tensor.double or any(one is torch.float64 for one in (*args, kwargs.get("dtype"))):
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
            )
        inside = [part for one in args for part in (one if isinstance(one, (tuple, list)) else [one])]
        if any(type(one) is torch.Tensor and one.ndim for one in inside):
            raise RuntimeError("expected all tensors to be on the same device")
        return super().__torch_function__(func, types, args, kwargs)


@pytest.fixture
def on_mps(monkeypatch):
    """What the head makes lies on mps."""
    for module in (scoring, attend_measure):
        real = module.logits
        monkeypatch.setattr(module, "logits", lambda *said, real=real: real(*said).as_subclass(OnMps))


def test_the_stand_in_refuses_what_mps_refuses():
    there = torch.ones(3).as_subclass(OnMps)
    assert (there + 1).device.type == "mps"
    assert (there.cpu().device.type, type(there.cpu())) == ("cpu", torch.Tensor)
    for refused in (lambda: there.double(), lambda: there.to(torch.float64)):
        with pytest.raises(TypeError, match="float64"):
            refused()
    with pytest.raises(RuntimeError, match="same device"):
        there + torch.ones(3)
    assert torch.equal(wide(there), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("draw", [Draw(0.5, 40), Draw(1.0, 0)])
def test_scores_are_those_of_a_cpu(tiny, on_mps, draw, monkeypatch):
    loaded = load(str(tiny), dtype="float32", device="cpu")
    rows = [pack([1, 5, 9, 4], [[7, 3], [7, 8, 2]]), pack([1, 6], [[4]])]
    hidden = Reading(loaded, Prefix((), (), 0), rows).hidden
    there = score_rows(loaded, hidden, rows, [0, 2], draw)
    monkeypatch.undo()
    for one, other in zip(there, score_rows(loaded, hidden, rows, [0, 2], draw), strict=True):
        for name in ("plain", "drawn", "plain_end", "drawn_end", "best"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("draw", [Draw(0.7, 5), Draw(0.7, 0)])
def test_draws_are_those_of_a_cpu(draw):
    found = torch.randn(4, 600, generator=torch.Generator().manual_seed(1)) * 0.1
    choose = drawn_by(np.array([[0.0], [0.3], [0.9], [0.999]]), draw)
    assert choose(found.as_subclass(OnMps), range(4), 0) == choose(found, range(4), 0)


def test_the_chance_of_a_first_token(tiny, on_mps, monkeypatch):
    loaded = load(str(tiny), dtype="float32", device="cpu")
    hidden = torch.ones(2, 32)
    there = attend_measure._first_chance(loaded, hidden, [[1, 2], [3]])
    monkeypatch.undo()
    np.testing.assert_array_equal(there, attend_measure._first_chance(loaded, hidden, [[1, 2], [3]]))


def test_float64_is_asked_for_in_one_place():
    """Beside it only where processes add up, which mps has not."""
    found = set()
    for path in Path(realmodels.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            of_torch = isinstance(node.value, ast.Name) and node.value.id == "torch"
            if node.attr == "double" or (of_torch and node.attr in ("float64", "complex128")):
                found.add(path.name)
    assert found == {"wide.py", "parallel.py"}

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from synthetic import compiling, machine
from synthetic.compiling import body, pays
from synthetic.model import LlamaSpec, hidden_states, initialise

ROOT = Path(__file__).resolve().parents[2]
SPEC = LlamaSpec(30, width=16, layers=1, heads=2, kv_heads=2, hidden=24)
LAB = LlamaSpec(1500, width=128, layers=2, hidden=384)


@pytest.fixture
def reading():
    tokens = torch.arange(12).view(2, 6)
    return initialise(SPEC, 0), tokens, torch.arange(6).expand(2, 6)


def test_a_quick_run_does_not_compile_and_a_long_one_does():
    assert not pays(LAB, False, 2_000_000)
    assert not pays(LAB, True, 2_000_000)
    assert pays(LAB, False, 20_000_000)
    assert pays(LAB, True, 20_000_000)
    # in bfloat16 it gains more and so pays earlier, though each step is shorter
    enough = [
        min(n for n in range(1_000_000, 20_000_000, 100_000) if pays(LAB, half, n)) for half in (False, True)
    ]
    assert enough[1] < enough[0]


def fake_compiler(monkeypatch, compiled):
    calls = []

    def compile(plain):
        calls.append(plain)
        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)
    return calls


def test_the_wish_decides_and_auto_asks_what_pays(monkeypatch, reading):
    calls = fake_compiler(monkeypatch, lambda *args, **kwargs: torch.tensor(-1.0))
    assert body(SPEC, False, "never", 1e15)(*reading).shape == (2, 6, 16)
    assert body(SPEC, False, "auto", 1e3)(*reading).shape == (2, 6, 16)
    assert not calls
    assert body(SPEC, False, "auto", 1e15)(*reading) == -1
    run = body(SPEC, False, "always", 1e3)
    assert [run(*reading) for _ in range(3)] == [-1, -1, -1]
    assert len(calls) == 2


def test_without_a_compiler_nothing_is_compiled_and_nothing_said(monkeypatch, reading, capfd, recwarn):
    calls = fake_compiler(monkeypatch, None)
    monkeypatch.setattr(compiling, "has_compiler", lambda: False)
    assert torch.equal(
        body(SPEC, False, "always", 1e15)(*reading), hidden_states(reading[0], SPEC, *reading[1:])
    )
    assert not calls
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_compiler_that_fails_is_given_up_silently_and_once(monkeypatch, reading, capfd, recwarn):
    tried = []

    def fails(*args, **kwargs):
        tried.append(args)
        raise RuntimeError("no headers")

    fake_compiler(monkeypatch, fails)
    run = body(SPEC, False, "always", 0)
    expected = hidden_states(reading[0], SPEC, *reading[1:])
    assert torch.equal(run(*reading), expected)
    assert torch.equal(run(*reading), expected)
    assert len(tried) == 1
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_wrong_call_is_still_an_error(monkeypatch, reading):
    fake_compiler(monkeypatch, lambda *args, **kwargs: 1 / 0)
    with pytest.raises(KeyError, match="embed_tokens"):
        body(SPEC, False, "always", 0)({}, *reading[1:])


def test_a_compiler_is_looked_for_by_name(monkeypatch):
    monkeypatch.setenv("CXX", "my-c++")
    for there, expected in ((set(), False), ({"my-c++"}, True), ({"clang++"}, True)):
        machine.has_compiler.cache_clear()
        monkeypatch.setattr(shutil, "which", lambda name, there=there: name if name in there else None)
        assert machine.has_compiler() is expected
    machine.has_compiler.cache_clear()


def test_one_thread_inside_and_as_many_as_before_after():
    before, seen = torch.get_num_threads(), []

    def fail_inside():
        with machine.one_thread():
            seen.append(torch.get_num_threads())
            raise ValueError("inside")

    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="inside"):
            fail_inside()
        assert [*seen, torch.get_num_threads()] == [1, 2]
    finally:
        torch.set_num_threads(before)


def test_the_peak_is_a_rate_of_this_machine():
    few = machine.matmul_peak(256, 20)
    assert 1e8 < few < 1e13
    assert machine.matmul_peak(512, 5) > few / 20


@pytest.mark.slow
@pytest.mark.skipif(not machine.has_compiler(), reason="no C++ compiler")
def test_compiled_is_plain_forward_and_backward(reading):
    weights, tokens, positions = reading
    results = []
    for wish in ("never", "always"):
        live = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
        states = body(SPEC, False, wish, 0)(live, tokens, positions, None, take=None)
        states.square().sum().backward()
        results.append((states.detach(), {name: tensor.grad for name, tensor in live.items()}))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    for name, slope in results[0][1].items():
        assert torch.allclose(slope, results[1][1][name], atol=1e-4, rtol=1e-4), name


@pytest.mark.slow
def test_a_broken_compiler_is_passed_over_without_a_word(tmp_path):
    code = (
        "import torch\n"
        "from synthetic.compiling import body, has_compiler\n"
        "from synthetic.model import LlamaSpec, hidden_states, initialise\n"
        "spec = LlamaSpec(30, width=16, layers=1, heads=2, kv_heads=2, hidden=24)\n"
        "weights = {name: tensor.requires_grad_() for name, tensor in initialise(spec, 0).items()}\n"
        "read = (weights, torch.arange(12).view(2, 6), torch.arange(6).expand(2, 6))\n"
        "states = body(spec, False, 'always', 0)(*read)\n"
        "states.sum().backward()\n"
        "print(has_compiler(), torch.equal(states, hidden_states(weights, spec, *read[1:])))\n"
    )
    broken = shutil.which("false")
    env = {**os.environ, "CXX": broken, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert (run.stdout, run.stderr) == ("True True\n", "")

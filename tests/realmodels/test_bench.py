"""The bench command on a tiny model, and what it says where memory does not suffice."""

import json

import pytest
import torch

from realmodels import bench_run
from realmodels.bench_cli import Bench
from realmodels.bench_models import PEAKS, SHAPES, peak_of, product_weights, random_model
from realmodels.errors import RealmodelsError
from theory.command import main

QUICK = {"lengths": (32, 256), "ranks": (4, 8), "tokens": 64, "prompts": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(bench_run, "WARM", 1)
    monkeypatch.setattr(bench_run, "TIMED", 1)


def test_tiny(tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert Bench(preset="tiny", output=path, peak_tflops=0.1, **QUICK).run() == 0
    found = json.loads(path.read_text())
    assert [(case["length"], case["rank"], case["tokens"]) for case in found["training"]] == [
        (32, 4, 64),
        (256, 4, 256),
        (32, 8, 64),
        (256, 8, 256),
    ]
    for case in found["training"]:
        assert case["problem"] is None
        assert case["peak_bytes"] is None  # only CUDA tells
        assert case["tokens_per_second"] == pytest.approx(case["tokens"] / case["seconds"], rel=2e-2)
        expected = 4 * 73_728 * case["tokens_per_second"] / 0.1e12
        assert case["mfu_4n"] == pytest.approx(expected, abs=1e-4)
        assert case["mfu_6n"] == pytest.approx(1.5 * case["mfu_4n"], abs=2e-4)
    assert found["probing"]["facts_per_second"] > 0
    assert found["probing"]["prompts"] == 2
    assert found["weights"] == "random"
    assert (found["parameters"], found["weights_in_products"], found["dtype"]) == (139_584, 73_728, "float32")
    assert found["environment"]["packages"]["torch"] == torch.__version__
    said = capsys.readouterr().out
    assert "tokens/s" in said
    assert "facts/s with 2 prompts" in said


def test_without_sizes_it_is_the_usual_ones_each_with_its_memory(tmp_path, monkeypatch, capsys):
    """Memory is told by CUDA alone, which stands here as a number."""
    held = iter(range(1 << 30, 1 << 40, 1 << 30))
    monkeypatch.setattr(bench_run, "_peak", lambda device: next(held))
    path = tmp_path / "bench.json"
    assert Bench(preset="tiny", output=path, peak_tflops=0.1, device="cpu").run() == 0
    found = json.loads(path.read_text())
    shapes = [(case["rank"], case["length"]) for case in found["training"]]
    assert shapes == [(rank, length) for rank in (8, 64) for length in (32, 64, 256, 1024)]
    assert [case["peak_bytes"] >> 30 for case in found["training"]] == list(range(1, 9))
    assert all(case["mfu_4n"] > 0 and case["mfu_6n"] > 0 for case in found["training"])
    assert {"mfu_4n", "mfu_6n"} < set(found["conventions"])
    assert found["probing"]["prompts"] == 10
    assert found["probing"]["facts_per_second"] > 0
    assert found["probing"]["peak_bytes"] >> 30 == 9
    said = capsys.readouterr().out
    assert "MFU 4N  MFU 6N     GiB" in said
    assert "    8.0  1" in said
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 77 if device == "cuda:1" else 0)
    assert bench_run._peak("cuda:1") == 77
    assert bench_run._peak("cpu") is None


def test_json_alone_on_standard_output(capsys):
    assert (
        Bench(preset="tiny", json=True, **(QUICK | {"lengths": (32,), "ranks": (4,), "prompts": 0})).run()
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["peak_flops"] is None
    assert found["training"][0]["mfu_4n"] is None
    assert found["probing"] is None


def test_what_does_not_fit_says_so_and_the_rest_is_timed(monkeypatch, capsys):
    real, tried = bench_run.take_step, []

    def take_step(loaded, optimizer, rows, recipe, rate):
        length = len(rows[0])
        tried.append((length, recipe.micro, recipe.checkpointing))
        if length == 64 or (length == 16 and recipe.micro > 1):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if length == 32 and not recipe.checkpointing:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(loaded, optimizer, rows, recipe, rate)

    monkeypatch.setattr(bench_run, "take_step", take_step)
    loaded = random_model("tiny", "auto", "cpu")
    big, half, twice, fine = bench_run.training(loaded, (64, 16, 32, 8), (4,), 64, None, print)
    assert "out of memory" in big.problem
    assert big.tokens_per_second is None
    assert (half.pieces, half.checkpointing) == (4, False)
    assert (twice.pieces, twice.checkpointing) == (1, True)
    assert (fine.pieces, fine.checkpointing, fine.problem) == (1, False, None)
    assert tried[:2] == [(64, 1, False), (64, 1, True)]
    said = capsys.readouterr().out.splitlines()
    assert "out of memory" in said[0]
    assert "computed twice" in said[2]
    assert not any("lora" in name for name, _ in loaded.model.named_modules())


def test_probing_without_memory(monkeypatch):
    def read_answers(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(bench_run, "read_answers", read_answers)
    found = bench_run.probing(random_model("tiny", "auto", "cpu"), 2, print)
    assert found["facts_per_second"] is None
    assert found["problem"] == "out of memory"


def test_other_problems_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(bench_run, "take_step", broken)
    monkeypatch.setattr(bench_run, "read_answers", broken)
    loaded = random_model("tiny", "auto", "cpu")
    with pytest.raises(RuntimeError, match="shapes"):
        bench_run.training(loaded, (32,), (4,), 64, None, print)
    with pytest.raises(RuntimeError, match="shapes"):
        bench_run.probing(loaded, 2, print)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-2-7b", 6_738_415_616),
        ("llama-3.1-8b", 8_030_261_248),
        ("mistral-7b", 7_241_732_096),
        ("mistral-7b-v0.3", 7_248_023_552),
        ("qwen2.5-7b", 7_615_616_512),
        ("smollm2-135m", 134_515_008),
    ],
)
def test_the_shapes_have_the_published_sizes(name, parameters):
    from transformers import AutoConfig

    from realmodels.card import skeleton

    kind, knobs = SHAPES[name]
    model = skeleton(AutoConfig.for_model(kind, **knobs), name)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    if name == "llama-2-7b":
        assert product_weights(model) == 32 * (4 * 4096**2 + 3 * 4096 * 11_008)


def test_peaks():
    assert peak_of("NVIDIA H100 80GB HBM3") == PEAKS["H100"]
    assert peak_of("NVIDIA H100 PCIe") == PEAKS["H100 PCIe"]
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("cpu: AMD EPYC") is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--preset NAME or --model M"),
        (["--preset", "tiny", "--model", "x"], "--preset NAME or --model M"),
        (["--preset", "llama-2-7"], "did you mean 'llama-2-7b'"),
        (["--preset", "tiny", "--lengths", "1"], "--lengths: expected at least 2, got 1"),
        (["--preset", "tiny", "--lengths", "4096"], "--lengths: 4096 is more than the 2048 tokens tiny sees"),
        (["--preset", "tiny", "--ranks", "0"], "--ranks: expected at least 1, got 0"),
        (["--preset", "tiny", "--tokens", "0"], "--tokens: expected at least 1, got 0"),
        (["--preset", "tiny", "--prompts", "-1"], "--prompts: expected at least 0, got -1"),
        (["--preset", "tiny", "--peak-tflops", "0"], "--peak-tflops: expected a number above 0"),
        (["--preset", "tiny", "--output", "."], "wants a file"),
        (["--preset", "tiny", "--device", "cuda"], "device: no 'cuda' here"),
        (["--model", "nowhere/at-all"], "nowhere/at-all"),
    ],
)
def test_bad_input(words, said, capsys):
    assert main("realmodels", "", {"bench": Bench}, ["bench", *words]) == 2
    line = capsys.readouterr().err.strip()
    assert said in line
    assert "\n" not in line


def test_unknown_preset():
    with pytest.raises(RealmodelsError, match="unknown"):
        random_model("gpt-5", "auto", "cpu")

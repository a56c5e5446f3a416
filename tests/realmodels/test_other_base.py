"""An adapter goes with the weights that it was trained on, not with a folder's name; and few bits for whoever asks."""

import json
import shutil
import sys

import pytest

from realmodels import loading
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.fingerprints import fingerprints, of_base
from realmodels.loading import load, precision
from realmodels.places import find
from realmodels.resident import Resident
from tests.realmodels.conftest import bpe, tiny_llama
from tests.realmodels.test_loading import adapter_of
from theory.command import main


@pytest.fixture
def two(tiny, tmp_path):
    """Two bases of one name and shape, and an adapter of the first."""
    one, other = tmp_path / "one/model", tmp_path / "two/model"
    shutil.copytree(tiny, one)
    shutil.copytree(tiny, other)
    tiny_llama(
        bpe(["a"]), 1, vocab_size=json.loads((tiny / "config.json").read_text())["vocab_size"]
    ).save_pretrained(other)
    return one, other, adapter_of(one, tmp_path / "lora")


def put_on(base, adapter):
    """As `eval` does, and as `audit` does."""
    return Resident(str(base), device="cpu").tuned([str(adapter)]), load(
        str(base), adapter=str(adapter), device="cpu"
    )


@pytest.mark.parametrize("version", [0, 1])
def test_an_adapter_of_other_weights_is_refused(two, version):
    one, other, adapter = two
    known = fingerprints(str(one))[version]
    (adapter / "train.json").write_text(
        json.dumps({"model": "runs/first", "model_fingerprint": known, "arm": "k"})
    )
    (_, tuned), _ = put_on(one, adapter)
    assert tuned.arm == "k"
    for refused in (
        lambda: Resident(str(other), device="cpu").tuned([str(adapter)]),
        lambda: load(str(other), adapter=str(adapter), device="cpu"),
    ):
        with pytest.raises(RealmodelsError) as caught:
            refused()
        said = str(caught.value)
        assert said.startswith(f"{adapter}: was trained on other weights than those of {other} ")
        assert f"{known}, these are {fingerprints(str(other))[0]}); give the --model" in said
        assert "(runs/first)" in said


@pytest.mark.parametrize("left", [None, "[1", "[]", "{}", '{"model_fingerprint": 3}'])
def test_of_other_programs_adapters_nothing_is_known(two, left):
    _, other, adapter = two
    if left is not None:
        (adapter / "train.json").write_text(left)
    put_on(other, adapter)


def test_an_adapter_outlives_an_optimisers_state(two):
    one, other, adapter = two
    (one / "optimizer.pt").write_bytes(b"moments")
    loaded = load(str(one), device="cpu")
    (adapter / "train.json").write_text(json.dumps(of_base(loaded)))
    (one / "optimizer.pt").unlink()
    assert loaded.fingerprint not in fingerprints(str(one))
    put_on(one, adapter)
    with pytest.raises(RealmodelsError, match="was trained on other weights"):
        put_on(other, adapter)
    (one / "pytorch_model.bin").write_bytes(b"never opened beside safetensors")
    put_on(one, adapter)
    (one / "model.safetensors").unlink()
    (one / "rng_state.pth").write_bytes(b"state")
    assert [path.name for path in find(str(one)).opened()] == ["config.json", "pytorch_model.bin"]


ASK = {
    "eval": ["--prompts", "zero", "--tasks"],
    "audit": ["--prompts", 1, "--shots", 1, "--data"],
    "attend": ["--prompts", "zero", "--probes", "attention", "--cut", 0, "--data"],
}


@pytest.fixture
def few(tmp_path):
    path = tmp_path / "some.jsonl"
    rows = [("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima")]
    path.write_text(
        "".join(
            json.dumps(
                {"question": f"What is the capital of {s}?", "answers": [a], "subject": s, "relation": "r"}
            )
            + "\n"
            for s, a in rows
        )
    )
    return path


def start(name, tiny, few, out, *more):
    words = [name, *ASK[name], few, "--model", tiny, "-o", out, "--device", "cpu", *more]
    return main("m", "", COMMANDS, [str(word) for word in words])


@pytest.mark.parametrize("name", ASK)
def test_few_bits_need_their_package(name, tiny, few, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert start(name, tiny, few, tmp_path / "out", "--load-in", "4bit") == 2
    assert "--load-in 4bit: needs the package bitsandbytes" in capsys.readouterr().err


def test_few_bits_are_asked_anew(tiny, few, tmp_path, monkeypatch, capsys):
    """bitsandbytes is not needed to see that what the whole base said is not taken for it."""
    asked = []
    monkeypatch.setattr(loading, "quantised", lambda load_in, *_: asked.append(load_in) or {})
    for name in ("eval", "attend"):
        assert start(name, tiny, few, tmp_path / name) == 0
    assert asked == ["none"] * 2
    assert start("eval", tiny, few, tmp_path / "eval", "--load-in", "4bit") == 0
    assert start("attend", tiny, few, tmp_path / "attend", "--load-in", "4bit") == 2
    assert "was made with another model, other rows or other settings" in capsys.readouterr().err
    assert start("audit", tiny, few, tmp_path / "audit", "--load-in", "8bit") == 0
    assert asked == ["none", "none", "4bit", "8bit"]
    found = json.loads((tmp_path / "audit/summary.json").read_text())
    assert found["model"]["dtype"] == precision("float32", "8bit") == "float32 in 8bit"


def test_an_adapter_is_not_merged_into_few_bits(tiny):
    model = load(str(tiny), device="cpu").model
    assert loading._float32(model)
    model.is_quantized = True
    assert not loading._float32(model)

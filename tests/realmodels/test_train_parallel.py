"""Two processes make the adapter that one makes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from realmodels import loading
from realmodels.__main__ import main
from realmodels.errors import RealmodelsError
from realmodels.loading import load
from realmodels.parallel import Crew, current, own_device, own_rows
from realmodels.places import find
from realmodels.recipe import Recipe
from realmodels.train_run import Job, lone_arm, run_train
from theory.records import read_records

from .common import train_words

ROOT = Path(__file__).resolve().parents[2]
CHANGES = {"rank": 4, "alpha": 8.0, "rate": 1e-2, "batch": 3, "epochs": 2, "log_every": 1, "save_every": 1}


def words(tiny, rows, out):
    return train_words(tiny, rows, out, "--held-out", rows, **CHANGES)


def typed(said):
    sys.argv = ["realmodels", *said]
    main()


def alone(tiny, rows, folder):
    job = Job(
        str(tiny), (lone_arm(str(rows), folder),), folder, Recipe(**CHANGES), held_out=str(rows), device="cpu"
    )
    return run_train(job, lambda text: None)[0].about


def adapters_agree(tmp_path):
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)
    assert max(float(value.abs().max()) for value in one.values()) > 1e-2


def test_two_processes_make_the_adapter_of_one(tiny, rows, tmp_path, crew_of):
    said = words(tiny, rows, tmp_path / "two")
    done = crew_of(2, lambda rank: typed(said))
    assert [one.code for one in done] == [0, 0], done[0].err[-2000:] + done[1].err[-2000:]
    own = alone(tiny, rows, tmp_path / "one")
    about = json.loads((tmp_path / "two/train.json").read_text())
    assert (about["processes"], own["processes"]) == (2, 1)
    assert about["initial_hash"] == own["initial_hash"]
    assert (about["key"], about["steps"], about["real_tokens"]) == (own["key"], 4, own["real_tokens"])
    assert about["last_loss"] == pytest.approx(own["last_loss"], rel=1e-5)
    adapters_agree(tmp_path)
    # one process alone wrote, and reported
    one, two = (list(read_records(tmp_path / name / "records.jsonl").records()) for name in ("one", "two"))
    assert len(one) == len(two)
    assert [process.out.count("held out") for process in done] == [1, 0]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    again = crew_of(2, lambda rank: typed(said))
    assert [process.code for process in again] == [0, 0]
    assert [process.err.count("finished before, kept") for process in again] == [1, 0]


@pytest.mark.slow
def test_as_torchrun_starts_them(tiny, rows, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    start += ["--master-addr", "127.0.0.1", "--master-port", str(port), "-m", "realmodels"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    said = words(tiny, rows, tmp_path / "two")
    done = subprocess.run([*start, *said], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held out") == 1
    alone(tiny, rows, tmp_path / "one")
    adapters_agree(tmp_path)


def test_processes_that_do_not_find_each_other(tiny, rows, tmp_path, crew_of):
    """Tried in a process of its own: torch names its groups otherwise after one that did not come about."""

    def lost(rank):
        for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
            del os.environ[name]
        os.environ["WORLD_SIZE"] = "2"
        return typed(words(tiny, rows, tmp_path / "out"))

    [done] = crew_of(1, lost)
    assert done.code == 2, done.err
    assert "start them by torchrun" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_shares(monkeypatch):
    rows = ["aaaa", "b", "cc", "ddd", "ee"]
    assert own_rows(rows) == rows
    assert own_device("cuda") == "cuda"
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("realmodels.parallel.current", lambda rank=rank: Crew(rank, 2))
        shares.append(own_rows(rows))
    assert shares == [["aaaa", "cc", "b"], ["ddd", "ee"]]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [own_device(name) for name in ("cuda", "cuda:3", "cpu")] == ["cuda:1", "cuda:3", "cpu"]


def test_another_process_writes_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(Crew, "told", lambda self, word: word)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/state").write_text("x")
    with Crew(1, 2).place(tmp_path, "checkpoint") as folder:
        assert folder != tmp_path
        assert (folder / "checkpoint/state").read_text() == "x"
        (folder / "more").touch()
    assert not folder.exists()
    with Crew(0, 2).place(tmp_path, "checkpoint") as folder:
        assert folder == tmp_path
    assert current() == Crew()


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_few_bits(tiny, monkeypatch, bits):
    place = find(str(tiny))
    with pytest.raises(RealmodelsError, match=f"--load-in {bits}: needs CUDA or a CPU, this is mps"):
        loading.quantised(bits, place, "float32", "mps")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RealmodelsError, match=f"--load-in {bits}: needs the package bitsandbytes; run: pip"):
        load(str(tiny), device="cpu", load_in=bits)
    monkeypatch.setitem(sys.modules, "bitsandbytes", object())
    found = loading.quantised(bits, place, "bfloat16", "cuda:0")
    assert found["device_map"] == {"": "cuda:0"}
    how = found["quantization_config"]
    assert (how.load_in_4bit, how.load_in_8bit) == (bits == "4bit", bits == "8bit")
    if bits == "4bit":
        assert (how.bnb_4bit_quant_type, how.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_learns_on_few_bits(tiny, rows, tmp_path, bits):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    done = {}
    for name, load_in in (("whole", "none"), ("few", bits)):
        folder = tmp_path / name
        recipe = Recipe(**(CHANGES | {"epochs": 6}))
        job = Job(str(tiny), (lone_arm(str(rows), folder),), folder, recipe, device="cpu", load_in=load_in)
        done[name] = run_train(job, lambda text: None)[0].about
    assert done["few"]["key"] != done["whole"]["key"]
    assert done["few"]["initial_hash"] == done["whole"]["initial_hash"] != done["few"]["final_hash"]
    first = next(read_records(tmp_path / "few/records.jsonl").records())
    assert done["few"]["last_loss"] < 0.7 * first.value


def test_unknown_bits(tiny):
    with pytest.raises(RealmodelsError, match="unknown '4bits'; did you mean '4bit'"):
        load(str(tiny), device="cpu", load_in="4bits")
    assert loading.quantised("none", find(str(tiny)), "float32", "cpu") == {}

"""Processes that share a base out by layers make the adapter of one that holds it whole."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed import HashStore

from realmodels import batching, parallel, sharded, train_loop
from realmodels.__main__ import main
from realmodels.adapters import fresh_adapter, put_back, trained
from realmodels.errors import RealmodelsError
from realmodels.loading import load
from realmodels.parallel import Crew
from realmodels.recipe import Recipe
from realmodels.sharded import in_step, least, load_shared, most, shared
from realmodels.train_loop import CHECKPOINT, take_step
from realmodels.train_rows import TrainRow
from realmodels.train_run import Job, lone_arm, run_train
from theory.records import read_records

from .common import train_words, write_gguf

ROOT = Path(__file__).resolve().parents[2]
# rows are read one by one, two in one process and one in the other, and a step may have a single row
CHANGES = {"rank": 4, "alpha": 8.0, "rate": 1e-2, "batch": 3, "micro": 1, "epochs": 2, "log_every": 1}
CHANGES |= {"save_every": 1}


def words(model, rows, out, *more, **changes):
    return train_words(model, rows, out, *more, **(CHANGES | changes))


def typed(said):
    sys.argv = ["realmodels", *said]
    main()


def alone(model, rows, out, held=None, **changes):
    job = Job(str(model), (lone_arm(str(rows), out),), out, Recipe(**(CHANGES | changes)), device="cpu")
    job = Job(**{**vars(job), "held_out": held and str(held)})
    return run_train(job, lambda text: None)[0].about


def found(folder):
    """All that a training leaves: the adapter, and its records as step, metric and value."""
    records = [(r.split, r.step, r.metric, r.value) for r in read_records(folder / "records.jsonl").records()]
    return load_file(folder / "adapter_model.safetensors"), records


def same(one, two, within):
    """The largest difference of two trainings' weights, which must have learned something."""
    (own, records), (other, others) = found(one), found(two)
    assert own.keys() == other.keys()
    assert max(float(value.abs().max()) for value in own.values()) > 1e-2
    for name, value in own.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=within)
    assert [record[:3] for record in records] == [record[:3] for record in others]
    assert [record[3] for record in others] == pytest.approx([record[3] for record in records], rel=within)


def answers(loaded, order=(3, 9, 5)):
    """Rows of unlike lengths that are not worth learning."""
    return [TrainRow((*range(4, 4 + n), 7, 8), (False,) * n + (True,) * 2, f"row {n}") for n in order]


def gradients(loaded, changes, path=None):
    """Loss and gradients of one step on an adapter that does something, and what the base says."""
    recipe = Recipe(**(CHANGES | {"clip": 0.0} | changes))
    with torch.inference_mode():
        logits = loaded.model(torch.arange(12).view(2, 6)).logits
    with fresh_adapter(loaded, recipe) as model:
        draw, weights = torch.Generator().manual_seed(1), trained(model)
        put_back(
            model,
            {name: torch.randn(weight.shape, generator=draw) * 0.05 for name, weight in weights.items()},
        )
        done = take_step(loaded, torch.optim.SGD(weights.values(), lr=0.0), answers(loaded), recipe, 0.0)
        made = {name: weight.grad for name, weight in weights.items()}
    made |= {"logits": logits.clone().float(), "loss": torch.tensor([done.loss, done.norm, done.real])}
    if path:
        save_file(made, path)
    return made


def parts_of(model):
    """How many numbers this process holds: of layers, and of all else."""
    layers = sum(weight.to_local().numel() for weight in layer_weights(model))
    return layers, sum(weight.numel() for weight in model.parameters()) - sum(
        weight.numel() for weight in layer_weights(model)
    )


def layer_weights(model):
    return [weight for name, weight in model.named_parameters() if ".layers." in name]


def test_two_processes_with_half_the_layers_each_make_the_adapter_of_one(tiny, rows, tmp_path, crew_of):
    def work(rank):
        with parallel.crew("cpu"):
            base = load_shared(str(tiny), dtype="float32", device="cpu")
            held = parts_of(base.model)
            gradients(base, {}, tmp_path / f"gradients{rank}")
            assert parts_of(base.model) == held
            (tmp_path / f"held{rank}").write_text(json.dumps(held))
        typed(words(tiny, rows, tmp_path / "two", "--held-out", rows, "--shard"))

    done = crew_of(2, work)
    assert [one.code for one in done] == [0, 0], done[0].err[-2000:] + done[1].err[-2000:]
    whole = load(str(tiny), dtype="float32", device="cpu")
    layers = sum(weight.numel() for weight in layer_weights(whole.model))
    rest = sum(weight.numel() for weight in whole.model.parameters()) - layers
    own = gradients(whole, {})
    for rank in range(2):
        assert json.loads((tmp_path / f"held{rank}").read_text()) == [layers // 2, rest]
        other = load_file(tmp_path / f"gradients{rank}")
        assert max(float(grad.abs().max()) for grad in own.values()) > 1e-3
        for name, grad in own.items():
            torch.testing.assert_close(other[name], grad, rtol=1e-5, atol=1e-5)
    about = json.loads((tmp_path / "two/train.json").read_text())
    one = alone(tiny, rows, tmp_path / "one", held=rows)
    assert (about["shard"], about["processes"], one["shard"], one["processes"]) == (True, 2, False, 1)
    named = ("key", "initial_hash", "steps", "real_tokens", "looks", "model_fingerprint")
    assert {name: about[name] for name in named} == {name: one[name] for name in named}
    same(tmp_path / "one", tmp_path / "two", within=1e-5)
    # one process alone wrote and spoke, and the folder is one of peft's
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(
        p.name for p in (tmp_path / "one").iterdir()
    )
    assert [one.out.count("held out") for one in done] == [1, 0]
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = [
            PeftModel.from_pretrained(load(str(tiny), device="cpu").model, tmp_path / n)
            for n in ("one", "two")
        ]
    asked = torch.arange(12).view(2, 6)
    with torch.no_grad():
        said = [model(asked).logits for model in opened]
    torch.testing.assert_close(said[1], said[0], rtol=0, atol=1e-4)
    assert not torch.allclose(said[0], whole.model(asked).logits, atol=1e-2)


@pytest.mark.parametrize(
    ("change", "size", "said"),
    [
        ({}, 1, "--shard: there is one process and nobody to share with; start several by torchrun"),
        ({"load_in": "4bit"}, 2, "leave out --load-in 4bit or --shard"),
        ({"load_in": "8bit"}, 2, "leave out --load-in 8bit or --shard"),
        ({"device": "meta"}, 2, "--shard: needs CUDA or a CPU, this is meta"),
    ],
)
def test_what_is_not_shared(tiny, rows, tmp_path, monkeypatch, change, size, said):
    monkeypatch.setattr(sharded, "current", lambda: Crew(0, size))
    out = tmp_path / "out"
    job = Job(str(tiny), (lone_arm(str(rows), out),), out, **({"device": "cpu"} | change), shard=True)
    with pytest.raises(RealmodelsError, match=said):
        run_train(job, lambda text: None)
    assert not out.exists()


def test_one_line_of_the_command(tiny, rows, tmp_path, capfd, monkeypatch):
    for more, said in (
        (("--shard",), "error: --shard: there is one process"),
        (("--shard", "--executor", "slurm"), "error: --shard: an arm's job is one process"),
    ):
        monkeypatch.setattr(sys, "argv", ["realmodels", *words(tiny, rows, tmp_path / "out", *more)])
        with pytest.raises(SystemExit) as ended:
            main()
        err = capfd.readouterr().err
        assert (ended.value.code, err.count("\n")) == (2, 1), err
        assert err.startswith(said)


def test_a_card_of_its_own(monkeypatch):
    monkeypatch.setattr(sharded, "current", lambda: Crew(1, 2))
    monkeypatch.setenv("LOCAL_RANK", "1")
    sharded.check_sharing("none", "cuda:1")
    with pytest.raises(RealmodelsError, match="a card of its own; leave out --device cuda:0"):
        sharded.check_sharing("none", "cuda:0")
    monkeypatch.setattr(torch, "__version__", "2.6.0+cpu")
    with pytest.raises(RealmodelsError, match=r"needs torch 2\.7, this is 2\.6\.0"):
        sharded.check_sharing("none", "cuda:1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(RealmodelsError, match="process 1 of this machine has no card, there are 1"),
        parallel.crew(),
    ):
        pass


def test_few_bits_already_and_no_layers(tiny, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    config = json.loads((tiny / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    with pytest.raises(RealmodelsError, match="is in few bits already"):
        load_shared(str(folder), dtype="float32", device="cpu")
    with pytest.raises(RealmodelsError, match="Linear has no layers to share out"):
        sharded._layers(nn.Linear(1, 1))


def test_all_read_as_many_pieces(monkeypatch):
    model = nn.Linear(1, 1)
    assert not shared(model)
    assert not shared(object)
    assert (most(model, 2), least(model, 2)) == (2, 2)
    assert list(in_step(model, ["a", "b"], lambda: "spare")) == [("a", True), ("b", True)]
    sharded._SHARED.add(model)
    asked = []
    monkeypatch.setattr(sharded.distributed, "all_reduce", lambda n, how: asked.append(int(n)) or n.fill_(3))
    lot = in_step(model, ["a"], lambda: "spare")
    assert next(lot) == ("a", True)
    assert asked == [1]  # before a piece is read, or the others wait for each other
    assert list(lot) == [("spare", False), ("spare", False)]
    monkeypatch.setattr(sharded.distributed, "all_reduce", lambda n, how: n.fill_(-2))
    assert least(model, 5) == 2


def test_memory_that_one_process_lacks_is_not_tried_again(monkeypatch):
    def work(part):
        raise MemoryError

    model = nn.Linear(1, 1)
    sharded._SHARED.add(model)
    with pytest.raises(
        RealmodelsError, match="out of memory on 2 rows of up to 4 tokens, and a base that is shared"
    ):
        list(batching.in_batches([4, 3], work, 100))


def test_processes_meet_again_and_again(crew_of):
    def work(rank):
        for size in range(8):
            with parallel.crew("cpu") as team:
                assert team.told((size, rank)) == (size, 0)

    done = crew_of(2, work, patience=60)
    assert [one.code for one in done] == [0, 0], done[0].err[-2000:] + done[1].err[-2000:]


def test_another_process_has_ended(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(parallel, "_meeting_place", lambda address, port: (HashStore(), 0))
    monkeypatch.setattr(parallel.distributed, "init_process_group", lambda *words, **more: None)
    monkeypatch.setattr(parallel.distributed, "destroy_process_group", lambda: None)
    with pytest.raises(RealmodelsError, match="another process has ended"), parallel.crew("cpu"):
        raise RuntimeError("[pair.cc:547] Connection closed by peer [127.0.0.1]:2")
    with pytest.raises(RuntimeError, match="something else"), parallel.crew("cpu"):
        raise RuntimeError("something else")


def test_each_process_draws_its_own_numbers_and_again_the_same():
    drawn = []
    for rank, step in ((0, 1), (1, 1), (0, 2), (0, 1)):
        Crew(rank, 2).reseed(5, step)
        drawn.append(float(torch.rand(())))
    assert len(set(drawn)) == 3
    assert drawn[0] == drawn[3]
    torch.manual_seed(1)
    Crew().reseed(5, 1)
    one = torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == one  # one process goes on with what it has


TIED = {"tie_word_embeddings": True}
ODD = {"hidden_size": 36, "num_attention_heads": 6, "num_key_value_heads": 3, "intermediate_size": 50}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "knobs", "changes"),
    [
        (2, TIED, {"batching": "packed", "micro": 4}),
        (3, ODD, {"checkpointing": True, "batch": 2}),  # parts that are not equal; a process without rows
        (2, {}, {"targets": "[q_proj,down_proj,lm_head]", "batching": "random", "clip": 0.1}),
        (2, {"num_hidden_layers": 3}, {"targets": "[up_proj]", "weight_decay": 0.1, "decay": "cosine"}),
    ],
)
def test_whatever_the_model_and_the_recipe(tiny, rows, tmp_path, crew_of, size, knobs, changes):
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(tiny, **knobs)
    config.head_dim = config.hidden_size // config.num_attention_heads
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, weight.shape[1] ** -0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    done = crew_of(size, lambda rank: typed(words(folder, rows, tmp_path / "two", "--shard", **changes)))
    assert not any(one.code for one in done), "".join(one.err[-2000:] for one in done)
    said = changes | ({"targets": tuple(changes["targets"][1:-1].split(","))} if "targets" in changes else {})
    one = alone(folder, rows, tmp_path / "one", **said)
    about = json.loads((tmp_path / "two/train.json").read_text())
    assert about["key"] == one["key"]
    same(tmp_path / "one", tmp_path / "two", within=1e-5)


@pytest.mark.slow
def test_a_gguf_file_is_shared_out_too(rows, tmp_path, crew_of):
    path, plain = write_gguf(tmp_path / "tiny.gguf"), {"style": "plain", "rate": 2e-3}
    done = crew_of(2, lambda rank: typed(words(path, rows, tmp_path / "two", "--shard", **plain)))
    assert not any(one.code for one in done), "".join(one.err[-2000:] for one in done)
    assert alone(path, rows, tmp_path / "one", **plain)["processes"] == 1
    same(tmp_path / "one", tmp_path / "two", within=1e-5)


@pytest.mark.slow
def test_bfloat16(tiny, rows, tmp_path, crew_of):
    def work(rank):
        typed(words(tiny, rows, tmp_path / "two", "--shard", "--dtype", "bfloat16"))

    done = crew_of(2, work)
    assert not any(one.code for one in done), done[0].err[-2000:]
    job = Job(
        str(tiny),
        (lone_arm(str(rows), tmp_path / "one"),),
        tmp_path / "one",
        Recipe(**CHANGES),
        dtype="bfloat16",
    )
    one = run_train(job, lambda text: None)[0].about
    about = json.loads((tmp_path / "two/train.json").read_text())
    assert about["dtype"] == "bfloat16"
    assert about["last_loss"] == pytest.approx(one["last_loss"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gone_on_from_a_checkpoint(tiny, rows, tmp_path, crew_of, monkeypatch, dropout):
    """To the last bit, with a kill between two checkpoints, whatever has been drawn until then: rows are of unlike
    lengths, so that one process draws more than the other."""
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["question"] = "Please say, " * number + line["question"]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    changes = {"epochs": 3, "save_every": 2, "dropout": dropout, "batching": "random"}
    assert not any(
        one.code
        for one in crew_of(2, lambda rank: typed(words(tiny, rows, tmp_path / "whole", "--shard", **changes)))
    )
    real, steps = train_loop.take_step, []

    def killed(*given):
        steps.append(0)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given)

    def broken(rank):
        train_loop.take_step = killed
        typed(words(tiny, rows, tmp_path / "again", "--shard", **changes))

    assert [one.code for one in crew_of(2, broken)] == [-signal.SIGKILL] * 2
    left = sorted(path.name for path in (tmp_path / "again" / CHECKPOINT).iterdir())
    assert left == ["state.safetensors"]
    assert not (tmp_path / "again/train.json").exists()
    done = crew_of(2, lambda rank: typed(words(tiny, rows, tmp_path / "again", "--shard", **changes)))
    assert not any(one.code for one in done), done[0].err[-2000:]
    assert "step 4" in done[0].err
    assert "step 2:" not in done[0].err  # it went on
    same(tmp_path / "whole", tmp_path / "again", within=0)
    if not dropout:  # a checkpoint of one process serves several that share, and the other way round
        monkeypatch.setattr(train_loop, "take_step", lambda *given: _stop(steps) or real(*given))
        steps.clear()
        with pytest.raises(KeyboardInterrupt):
            alone(tiny, rows, tmp_path / "mixed", **changes)
        monkeypatch.undo()
        done = crew_of(2, lambda rank: typed(words(tiny, rows, tmp_path / "mixed", "--shard", **changes)))
        assert not any(one.code for one in done)
        assert "step 2:" not in done[0].err
        # AdamW divides a weight's first gradient by its own size; here one is 4e-8, and as much is rounding
        same(tmp_path / "whole", tmp_path / "mixed", within=1e-4)


def _stop(steps):
    steps.append(0)
    if len(steps) == 4:
        raise KeyboardInterrupt


def launched(cwd, *said, **more):
    """torchrun with two processes on the CPU, in a process group of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    start += ["--master-addr", "127.0.0.1", "--master-port", port, *said]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more
    with (cwd / "log").open("w") as log:
        return subprocess.Popen(start, cwd=cwd, env=env, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.slow
def test_as_torchrun_starts_it(tiny, rows, tmp_path):
    said = words(tiny, rows, tmp_path / "two", "--shard")
    at = said.index("--data")
    said[at : at + 2] = ["--arm", f"a={rows}", "--arm", f"b={rows}"]
    assert launched(tmp_path, "-m", "realmodels", *said).wait(600) == 0, (tmp_path / "log").read_text()[
        -3000:
    ]
    alone(tiny, rows, tmp_path / "one")
    for arm in "ab":  # the second one on a base that has carried the first
        same(tmp_path / "one", tmp_path / "two" / arm, within=1e-5)


SLOWLY = """
import os, sys, time
from realmodels import train_loop
from realmodels.__main__ import main
real = train_loop.take_step
taken = []
def slowly(*given):
    time.sleep(0.2)
    taken.append(0)
    if os.environ.get("FAILS") == os.environ["RANK"] and len(taken) == 5:
        raise MemoryError("out of memory")
    return real(*given)
train_loop.take_step = slowly
open(f"pid{os.environ['RANK']}", "w").write(str(os.getpid()))
main()
"""


def ended(tmp_path, within=60):
    """All processes of the crew are gone."""
    pids = [int((tmp_path / f"pid{rank}").read_text()) for rank in range(2)]
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc who is there")
@pytest.mark.parametrize("how", ["ctrl-c", "to torchrun alone", "first fails", "other fails"])
def test_all_end_together(tiny, rows, tmp_path, how):
    (tmp_path / "slowly.py").write_text(SLOWLY)
    said = words(tiny, rows, tmp_path / "two", "--shard", epochs=500, save_every=1)
    fails = {"FAILS": {"first fails": "0", "other fails": "1"}.get(how, "")}
    began = launched(tmp_path, "slowly.py", *said, **fails)
    state = tmp_path / "two" / CHECKPOINT / "state.safetensors"
    until = time.monotonic() + 300
    while not state.exists() and began.poll() is None and time.monotonic() < until:
        time.sleep(0.2)
    if how == "ctrl-c":
        os.killpg(began.pid, signal.SIGINT)  # as a terminal does, to all of them
    if how == "to torchrun alone":
        os.kill(began.pid, signal.SIGINT)
    try:
        code = began.wait(120)
    finally:
        if began.poll() is None:
            os.killpg(began.pid, signal.SIGKILL)
    log = (tmp_path / "log").read_text()
    assert code != 0
    assert ended(tmp_path), log[-2000:]
    if "fails" in how:
        assert re.search(r"^error: arm rows: .*out of memory at step 5 with", log, flags=re.M), log[-3000:]
    load_file(state)  # whole
    assert not (tmp_path / "two/train.json").exists()

"""Whole training runs: interrupted and not, one arm and several, and what goes wrong."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from realmodels import train_loop
from realmodels.errors import RealmodelsError
from realmodels.loading import load
from realmodels.recipe import Recipe
from realmodels.train_cli import Train
from realmodels.train_run import Job, arms_of, lone_arm, run_train
from theory.command import main
from theory.records import read_records

ROOT = Path(__file__).resolve().parents[2]
FACTS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Peru": "Lima",
    "Norway": "Oslo",
    "Kenya": "Nairobi",
    "Cuba": "Havana",
}
QUICK = Recipe(rank=4, alpha=8, rate=1e-2, batch=2, epochs=3, log_every=2, save_every=2)
RESULTS = ("adapter_model.safetensors", "adapter_config.json", "records.jsonl")


def silent(text):
    pass


@pytest.fixture
def data(tmp_path):
    def write(name, facts=FACTS, **more):
        rows = [
            {"question": f"What is the capital of {s}?", "answers": [a], **more} for s, a in facts.items()
        ]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def job(tiny, data, tmp_path):
    def make(out="out", recipe=QUICK, rows=None, **more):
        folder = tmp_path / out
        return Job(str(tiny), (lone_arm(rows or data("rows.jsonl"), folder),), folder, recipe, **more)

    return make


def contents(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS}


class Stopped(Exception):
    pass


def stop_before(monkeypatch, step):
    """Training ends with an exception before it takes this step (from 1)."""
    real, taken = train_loop.take_step, []

    def take_step(*words):
        taken.append(1)
        if len(taken) == step:
            raise Stopped
        return real(*words)

    monkeypatch.setattr(train_loop, "take_step", take_step)


HARD = replace(QUICK, dropout=0.3, patience=9, eval_every=2, log_every=3, batching="packed", epochs=4)


@pytest.mark.parametrize(("recipe", "step"), [(QUICK, 6), (QUICK, 7), (HARD, 8), (HARD, 1)])
def test_a_run_that_went_on_is_one_that_never_stopped(job, data, tmp_path, monkeypatch, recipe, step):
    held = data("held.jsonl", {"Peru": "Lima", "Cuba": "Rome"}) if recipe.patience else None
    whole = run_train(job("out", recipe, held_out=held), silent)[0]
    expected = contents(tmp_path / "out")
    os.rename(tmp_path / "out", tmp_path / "whole")  # records name the folder
    with monkeypatch.context() as patch:
        stop_before(patch, step)
        with pytest.raises(Stopped):
            run_train(job("out", recipe, held_out=held), silent)
    assert (tmp_path / "out/checkpoint/state.safetensors").exists() == (step > 2)
    torch.rand(9)
    again = run_train(job("out", recipe, held_out=held), silent)[0]
    assert contents(tmp_path / "out") == expected
    assert again.about["final_hash"] == whole.about["final_hash"] != whole.about["initial_hash"]
    assert again.about["initial_hash"] == whole.about["initial_hash"]
    assert again.about["looks"] == whole.about["looks"]
    assert not (tmp_path / "out/checkpoint").exists()


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from realmodels import train_loop
from realmodels.train_cli import Train
from theory.command import main

real, taken = train_loop.take_step, []

def take_step(*words):
    taken.append(1)
    if len(taken) == 6:
        (Path("out/checkpoint") / ".state.safetensors.12ab").write_bytes(b"torn")
        with open("out/records.jsonl", "a") as file:
            file.write('{"lab": "realmo')
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*words)

train_loop.take_step = take_step
sys.exit(main("realmodels", "", {"train": Train}, sys.argv[1:]))
"""


def words_for(tiny, rows, out="out"):
    changes = ["rank=4", "alpha=8", "rate=1e-2", "batch=2", "epochs=3", "log_every=2", "save_every=2"]
    return ["train", "--model", str(tiny), "--data", rows, "--output-dir", out, "--set", *changes]


def test_a_killed_process(tiny, data, job, tmp_path, monkeypatch):
    rows = data("rows.jsonl")
    run_train(job(rows=rows), silent)
    expected = contents(tmp_path / "out")
    os.rename(tmp_path / "out", tmp_path / "whole")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *words_for(tiny, rows)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (tmp_path / "out/checkpoint/state.safetensors").exists()
    assert not (tmp_path / "out/adapter_model.safetensors").exists()
    monkeypatch.chdir(tmp_path)
    assert main("realmodels", "", {"train": Train}, words_for(tiny, rows)) == 0
    assert contents(tmp_path / "out") == expected


def test_arms_are_what_they_are_alone(tiny, data, tmp_path):
    known, other = data("known.jsonl"), data("other.jsonl", dict.fromkeys(FACTS, "Rome"))
    out = tmp_path / "out"
    both = Job(str(tiny), arms_of((f"k={known}", f"o={other}"), out), out, QUICK)
    done = run_train(both, silent)
    assert [one.arm.name for one in done] == ["k", "o"]
    assert done[0].about["initial_hash"] == done[1].about["initial_hash"]
    assert done[0].about["final_hash"] != done[1].about["final_hash"]
    for name, rows in (("k", known), ("o", other)):
        alone = tmp_path / f"alone-{name}"
        run_train(Job(str(tiny), (lone_arm(rows, alone),), alone, QUICK), silent)
        assert (alone / RESULTS[0]).read_bytes() == (out / name / RESULTS[0]).read_bytes()
    assert [one.fresh for one in run_train(both, silent)] == [False, False]
    turned = Job(str(tiny), arms_of((f"o={other}", f"k={known}"), tmp_path / "t"), tmp_path / "t", QUICK)
    for one, two in zip(run_train(turned, silent), reversed(done), strict=True):
        assert one.about["final_hash"] == two.about["final_hash"]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
def test_the_adapter_opens_in_peft(tiny, job, tmp_path):
    from peft import AutoPeftModelForCausalLM, PeftModel

    run_train(job(), silent)
    plain = load(str(tiny), dtype="float32", device="cpu")
    ids = torch.tensor([plain.tokens.prompt_ids("Q: What is the capital of Peru?\nA:")])
    with torch.inference_mode():
        bare = plain.model(ids).logits
        tuned = PeftModel.from_pretrained(plain.model, tmp_path / "out").eval()
        found = tuned(ids).logits
        merged = tuned.merge_and_unload()(ids).logits
        auto = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out").eval()(ids).logits
    assert float((found - bare).abs().max()) > 1e-2
    torch.testing.assert_close(merged, found, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(auto, found, rtol=1e-5, atol=1e-5)
    ours = load(str(tiny), adapter=str(tmp_path / "out"), dtype="float32", device="cpu").model
    with torch.inference_mode():
        torch.testing.assert_close(ours(ids).logits, found, rtol=1e-5, atol=1e-5)


def test_it_learns_and_says_so(job, data, tmp_path):
    held = data("held.jsonl")
    recipe = replace(QUICK, epochs=80, rank=8, alpha=16, rate=2e-2, batch=6, log_every=10, eval_every=20)
    (done,) = run_train(job("out", recipe, held_out=held), silent)
    table = read_records(tmp_path / "out/records.jsonl")
    rows = [(r.metric, r.split, r.step, r.value, r.n) for r in table.records()]
    loss = [value for metric, _, _, value, _ in rows if metric == "loss"]
    assert len(loss) == 8
    assert loss[-1] < 0.5 * loss[0]
    assert {n for metric, _, _, _, n in rows if metric == "loss"} == {10 * done.about["answer_tokens"]}
    assert [(step, n) for metric, split, step, _, n in rows if (metric, split) == ("exact_match", "dev")] == [
        (20, 6), (40, 6), (60, 6), (80, 6),
    ]  # fmt: skip
    assert done.about["looks"][-1] == {"step": 80, "exact_match": 1.0}
    assert [
        v for metric, split, step, v, _ in rows if (metric, split, step) == ("exact_match", "train", 40)
    ] == [1.0]
    (record,) = [r for r in table.records() if r.metric == "loss" and r.step == 10]
    assert (record.lab, record.study, record.arm) == ("realmodels/R3-model", "train", "lora")
    assert (record.trained_on, record.run, record.prompt) == ("rows", "out", "zero")
    assert done.about["recipe"]["seed"] == 0
    assert done.about["real_tokens"] > 0


def test_stopping_early_keeps_the_best(job, data, tmp_path, monkeypatch):
    shares = iter([0.1, 0.5, 0.5, 0.2, 0.9])
    monkeypatch.setattr(train_loop, "exact_match", lambda *words: next(shares))
    recipe = replace(QUICK, patience=2, eval_every=1, epochs=5)
    (done,) = run_train(job("out", recipe, held_out=data("held.jsonl")), silent)
    assert (done.about["steps"], done.about["kept_step"]) == (4, 2)
    two = run_train(job("two", replace(QUICK, steps=2)), silent)[0]
    # warm-up spans one step in both, so the first two steps are the same
    assert done.about["final_hash"] == two.about["final_hash"]


def test_held_out_rows_that_are_no_questions(job, tmp_path):
    path = tmp_path / "held.jsonl"
    rows = [
        {"prompt": f"Q: What is the capital of {s}?\nA:", "completion": f" {a}"} for s, a in FACTS.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = replace(QUICK, epochs=60, rank=8, alpha=16, batch=6, eval_every=60)
    (done,) = run_train(job("out", recipe, rows=str(path), held_out=str(path)), silent)
    assert done.about["looks"] == [{"step": 60, "exact_match": 1.0}]


def test_a_loss_that_is_no_number(job, data, tmp_path, tiny):
    bad = load(str(tiny), dtype="float32", device="cpu")
    with torch.no_grad():
        bad.model.get_input_embeddings().weight[bad.tokens.answer_ids(" Oslo")[0]] = float("nan")
    folder = tmp_path / "bad"
    bad.model.save_pretrained(folder)
    bad.tokens.tokenizer.save_pretrained(folder)
    recipe = replace(QUICK, batch=3)
    with pytest.raises(RealmodelsError) as caught:
        run_train(replace(job("out", recipe), model=str(folder)), silent)
    said = str(caught.value)
    assert "the loss is nan at step" in said
    assert "rows.jsonl:4" in said
    assert "lower the rate (0.01) or mend the rows" in said
    assert not (tmp_path / "out/adapter_model.safetensors").exists()


def test_out_of_memory_keeps_finished_arms(tiny, data, tmp_path, monkeypatch):
    real, taken = train_loop.take_step, []

    def take_step(*words):
        taken.append(1)
        if len(taken) == 11:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(*words)

    monkeypatch.setattr(train_loop, "take_step", take_step)
    out = tmp_path / "out"
    arms = arms_of((f"k={data('k.jsonl')}", f"u={data('u.jsonl', dict.fromkeys(FACTS, 'Rome'))}"), out)
    with pytest.raises(RealmodelsError) as caught:
        run_train(Job(str(tiny), arms, out, QUICK), silent)
    said = str(caught.value)
    assert said.startswith("arm u: ")
    assert "out of memory at step 2 with 2 rows of up to" in said
    assert "--set micro=1 or --set checkpointing=true or --dtype bfloat16; finished and kept: k" in said
    assert (out / "k/train.json").exists()
    assert [one.fresh for one in run_train(Job(str(tiny), arms, out, QUICK), silent)] == [False, True]


def test_the_last_checkpoint_survives_a_full_disk(job, tmp_path, monkeypatch):
    from realmodels import checkpoints

    expected = run_train(job("whole"), silent)[0].about["final_hash"]
    real, written = checkpoints.write_whole, []

    def write_whole(path, content):
        written.append(path)
        if len(written) == 2:
            Path(path).with_name(f".{Path(path).name}.77").write_bytes(content[:50])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", write_whole)
        with pytest.raises(OSError, match="no room for the checkpoint of step 4") as caught:
            run_train(job("out"), silent)
    assert "the one before is kept; free some and run the same command again" in str(caught.value)
    state = tmp_path / "out/checkpoint/state.safetensors"
    assert any(name.startswith("exp_avg/") for name in load_file(state))
    assert run_train(job("out"), silent)[0].about["final_hash"] == expected


def test_control_c_keeps_checkpoints(tiny, data, tmp_path, monkeypatch, capsys):
    real, taken = train_loop.take_step, []

    def take_step(*words):
        taken.append(1)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(train_loop, "take_step", take_step)
    monkeypatch.chdir(tmp_path)
    words = words_for(tiny, data("rows.jsonl"))
    assert main("realmodels", "", {"train": Train}, words) == 130
    assert "run the same command again to go on" in capsys.readouterr().err
    assert (tmp_path / "out/checkpoint/state.safetensors").exists()
    assert main("realmodels", "", {"train": Train}, words) == 0
    assert len(taken) == 4 + 9 - 2
    printed = capsys.readouterr()
    assert "rows" in printed.out
    assert "wrote out" in printed.err


def test_another_training_in_the_same_folder(job, data, tmp_path, monkeypatch):
    run_train(job(), silent)
    other = replace(QUICK, rate=2e-2)
    with pytest.raises(
        RealmodelsError, match="holds an adapter of other rows, another recipe or another model"
    ):
        run_train(job(recipe=other), silent)
    assert run_train(job(recipe=other, overwrite=True), silent)[0].fresh
    with monkeypatch.context() as patch:
        stop_before(patch, 4)
        with pytest.raises(Stopped):
            run_train(job(overwrite=True), silent)
    with pytest.raises(RealmodelsError, match="is of other rows, another recipe or another model"):
        run_train(job(recipe=other), silent)
    (tmp_path / "out/checkpoint/state.safetensors").write_bytes(b"torn")
    with pytest.raises(RealmodelsError, match=r"cannot be read .*delete it to start this arm afresh"):
        run_train(job(), silent)
    (tmp_path / "out/train.json").write_text("{")
    with pytest.raises(RealmodelsError, match=r"train.json: cannot be read"):
        run_train(job(), silent)


def test_bfloat16_base_and_float32_adapter(job, tmp_path):
    run_train(job(dtype="bfloat16"), silent)
    weights = load_file(tmp_path / "out" / RESULTS[0])
    assert {value.dtype for value in weights.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no rows given; give --data FILE, or --arm"),
        (["--data", "ROWS", "--arm", "k=ROWS"], "--data: give it or --arm, not both"),
        (["--arm", "ROWS"], "expected NAME=FILE"),
        (["--arm", "a b=ROWS"], "cannot be its name"),
        (["--arm", "k=ROWS", "--arm", "k=ROWS"], "two arms by the name of 'k'"),
        (["--data", "ROWS", "--limit", "0"], "--limit: expected at least 1"),
        (["--data", "ROWS", "--set", "rte=1"], "did you mean 'rate'?"),
        (["--data", "ROWS", "--set", "patience=2"], "give --held-out FILE"),
        (["--data", "ROWS", "--set", "max_tokens=4"], "more than the 4 that are read"),
        (["--data", "ROWS", "--set", "targets=nowhere"], "recipe: targets: cannot be opened"),
        (["--data", "ROWS", "--dtype", "float16"], "take bfloat16 or float32"),
        (["--data", "ROWS", "--device", "cuda"], "device: no 'cuda' here"),
        (["--data", "ROWS", "--model", "nowhere"], "nowhere"),
        (["--data", "absent.jsonl"], "absent.jsonl"),
        (["--data", "ROWS", "--held-out", "absent.jsonl"], "absent.jsonl"),
        (["--data", "ROWS", "--recipe", "absent.yaml"], "absent.yaml"),
        (["--data", "ROWS", "--map", "question=q"], "'q' is missing"),
        (["--data", "ROWS", "--output-dir", "ROWS"], "--output-dir wants a folder"),
        (["--data", "ROWS", "--seed", "-1"], "seed: expected a whole number of at least 0"),
    ],
)
def test_bad_input(tiny, data, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    rows = data("rows.jsonl")
    usual = {"--model": str(tiny), "--output-dir": "out"}
    words = ["train", *(word.replace("ROWS", rows) for word in words)]
    for flag, value in usual.items():
        words += [] if flag in words else [flag, value]
    assert main("realmodels", "", {"train": Train}, words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert said in error
    assert not list(tmp_path.glob("out/**/*.safetensors"))


def test_the_recipe_is_shown_and_json_printed(tiny, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = words_for(tiny, data("rows.jsonl"))
    assert main("realmodels", "", {"train": Train}, [*words, "--show-recipe"]) == 0
    shown = capsys.readouterr().out
    (tmp_path / "lora.yaml").write_text(shown)
    from realmodels.recipe import read_recipe

    assert read_recipe(tmp_path / "lora.yaml") == QUICK
    assert not (tmp_path / "out").exists()
    assert main("realmodels", "", {"train": Train}, [*words, "--json"]) == 0
    (about,) = json.loads(capsys.readouterr().out)
    assert about["arm"] == "rows"
    assert about["steps"] == 9


def test_help_loads_no_torch(root):
    code = (
        "import sys\nfrom realmodels.train_cli import Train\nfrom theory.command import main\n"
        "try:\n    main('x', 'y', {'train': Train}, ['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'peft', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "--held-out" in done.stdout

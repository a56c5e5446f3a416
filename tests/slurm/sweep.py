"""A sweep of two arms on a real Slurm; tests/slurm/run.sh starts one and runs this."""

import json
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from realmodels.executor import Executor, spread
from theory.command import main

torch.set_num_threads(1)
WORLD = (
    "subjects = 40\nnever_seen = 4\nrelations = 4\nanswers = 8\nderived_answers = 4\nmean_exposure = 12.0\n"
)
RECIPE = ["style=sentence", "rank=4", "rate=1e-3", "batch=8", "epochs=3"]

SLURM = ["--executor", "slurm", "--slurm", "minutes=10", "cpus=1"]


def run(*words):
    return main("python -m realmodels", "", COMMANDS, [str(word) for word in words])


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    """A pocket model, and known and unknown facts of it."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "world.toml").write_text(WORLD)
    words = [sys.executable, "-m", "synthetic", "pocket", folder / "model", "--world", folder / "world.toml"]
    subprocess.run(
        [*words, "--width", "48", "--hidden", "96", "--epochs", "6", "--rate", "0.008"], check=True
    )
    rows = folder / "model/questions.jsonl"
    asked = ["--style", "sentence", "--prompts", 1, "--shots", 2, "-o", folder / "audit"]
    assert run("audit", "--model", folder / "model", "--data", rows, *asked) == 0
    assert run("filter", folder / "audit", "--arms", "known,unknown", "-o", folder / "arms") == 0
    return folder


def train(folder, out, *more, unknown="unknown"):
    files = [
        f"{name}={folder / 'arms' / file}.jsonl" for name, file in (("known", "known"), ("unknown", unknown))
    ]
    words = ["--model", folder / "model", "--arm", files[0], "--arm", files[1], "-o", folder / out]
    return run("train", *words, *more, "--set", *RECIPE)


def test_jobs_train_what_this_process_trains(arms, capfd):
    assert train(arms, "here") == 0
    capfd.readouterr()
    assert train(arms, "there", *SLURM) == 0
    said = capfd.readouterr()
    assert "submitted 2 jobs" in said.err
    assert said.err.count(": done") == 2
    assert {line.split()[0] for line in said.out.splitlines()} == {"arm", "known", "unknown"}
    hashes = {}
    for name in ("known", "unknown"):
        here, there = (
            load_file(arms / place / name / "adapter_model.safetensors") for place in ("here", "there")
        )
        assert here.keys() == there.keys()
        assert all(torch.equal(here[key], there[key]) for key in here)
        about = json.loads((arms / "there" / name / "train.json").read_text())
        hashes[name] = about["final_hash"]
    assert hashes["known"] != hashes["unknown"]
    assert list((arms / "there/slurm").glob("*_0_log.err"))
    assert "kept" in (train(arms, "there", *SLURM), capfd.readouterr().err)[1]


def test_an_arm_that_fails_is_one_line_and_the_other_is_kept(arms, capsys):
    code = train(arms, "failing", *SLURM, unknown="nowhere")
    said = capsys.readouterr().err
    err = said.splitlines()
    assert code == 2
    assert err[-1].startswith("error: ")
    assert "nowhere.jsonl" in err[-1]
    assert "Traceback" not in said, said
    assert (arms / "failing/known/train.json").exists()
    assert not (arms / "failing/unknown/train.json").exists()


def test_what_slurm_refuses_is_one_line(arms, capsys):
    code = train(arms, "refused", *SLURM, "partition=moon")
    err = capsys.readouterr().err.splitlines()
    assert code == 2
    assert err[-1].startswith("error: --executor slurm: ")
    assert "partition" in err[-1]


def test_ctrl_c_cancels_the_jobs(tmp_path):
    def say(text):
        if text.startswith("submitted"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(time.sleep, [300, 300], Executor("slurm", tmp_path / "logs", {"timeout_min": 10}), say)
    for _ in range(50):
        left = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout
        if not left.strip():
            return
        time.sleep(0.2)
    pytest.fail(left)


def test_a_job_that_raises_names_its_log(tmp_path):
    with pytest.raises(
        RealmodelsError, match=r"^job \d+_0: .*see .*log\.err; 1 more of 2 jobs failed$"
    ) as caught:
        spread(int, ["one", "two"], Executor("slurm", tmp_path / "logs", {"timeout_min": 10}))
    assert "invalid literal" in str(caught.value)


def test_a_study_finds_by_jobs_what_it_finds_here(arms, capfd):
    """Its audit is a job of its own, before those of its arms."""
    found = {}
    for place, more in (("study-there", [*SLURM, "--workers", 2]), ("study-here", [])):
        out = arms / place / "run"
        words = ["salience", "--model", arms / "model", "--data", arms / "model/questions.jsonl", "-o", out]
        settings = [
            "style=sentence",
            "rows=8",
            "test=20",
            "dev=8",
            "ood=8",
            "epochs=2",
            "looks=2",
            "longest=4",
        ]
        settings += ["prompts=1", "audit_shots=1", "train_share=0.3", "dev_share=0.4"]
        assert run("study", *words, "--seeds", 10, "--dtype", "float32", *more, "--set", *settings) == 0
        found[place] = (out / "records.jsonl").read_bytes()
    said = capfd.readouterr().err
    assert [line.split()[1] for line in said.splitlines() if line.startswith("submitted")] == ["1", "2"]
    assert found["study-there"] == found["study-here"]

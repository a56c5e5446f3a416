"""A cluster whose nodes have cards that the machine which submits has not: nothing may be decided there."""

import json
from contextlib import contextmanager

import pytest

from realmodels import executor, loading, study_prompts_near
from realmodels.cli import COMMANDS
from realmodels.executor import Executor
from realmodels.recipe import Recipe
from realmodels.study_arms import Arm, keys_of, train_dtype
from realmodels.study_facts import facts_of
from realmodels.study_settings import Settings
from realmodels.study_table import Order
from theory.command import main

SLURM = ["--executor", "slurm", "--slurm", "minutes=5", "gpus=1"]


@pytest.fixture
def cluster(monkeypatch):
    """Jobs see a card that takes bfloat16; here there is none. The list says how many jobs are at work."""
    at_work = []
    real = loading.pick_device, loading.pick_dtype

    @contextmanager
    def on_node():
        with monkeypatch.context() as patch:
            patch.setattr(loading, "pick_device", lambda device="auto": "cpu")
            patch.setattr(
                loading,
                "pick_dtype",
                lambda dtype="auto", device="auto": "bfloat16" if dtype == "auto" else real[1](dtype, "cpu"),
            )
            at_work.append(1)
            yield
            at_work.pop()

    class Job:
        job_id = "1_0"

        def __init__(self, work, item):
            self.work, self.item = work, item

        def result(self):
            with on_node():
                return executor._guarded(self.work, self.item)

    monkeypatch.setattr(executor, "_submit", lambda work, items, how: [Job(work, item) for item in items])
    return at_work


def run(*words):
    return main("m", "", COMMANDS, [str(word) for word in words])


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_what_a_job_trained_comes_back_as_it_is(cluster, device, tiny, rows, tmp_path, capsys):
    words = [
        "train",
        "--model",
        tiny,
        "--arm",
        f"a={rows}",
        "--arm",
        f"b={rows}",
        "-o",
        tmp_path / "out",
        *SLURM,
    ]
    words += ["--device", device, "--set", "rank=2", "steps=1", "batch=2"]
    assert run(*words) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["arm", "a", "b"]
    assert said.err.count("wrote ") == 2
    about = json.loads((tmp_path / "out/a/train.json").read_text())
    assert about["dtype"] == "bfloat16"
    assert run(*words) == 0
    assert capsys.readouterr().err.count("kept ") == 2
    assert json.loads((tmp_path / "out/a/train.json").read_text()) == about


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["salience"],
            "what --dtype auto is differs between this machine and a job's; say --dtype bfloat16 or",
        ),
        (["beliefs", "--dtype", "float32"], "`study beliefs` has no jobs"),
    ],
)
def test_a_study_asks_for_what_the_machines_would_decide_differently(words, message, tiny, tmp_path, capsys):
    assert run("study", *words, "--model", tiny, "-o", tmp_path / "out", *SLURM) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_study_here_looks_for_its_device_at_once_and_one_on_a_cluster_does_not(tiny, tmp_path, capsys):
    words = [
        "study",
        "salience",
        "--model",
        tiny,
        "-o",
        tmp_path / "out",
        "--device",
        "cuda:77",
        "--dtype",
        "bfloat16",
    ]
    assert run(*words) == 2
    assert "device: no 'cuda:77' here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(*words, *SLURM) == 2  # it comes as far as the data
    assert "--data: no source is named" in capsys.readouterr().err


def test_keys_are_the_same_on_both_machines(cluster, tiny, tmp_path):
    order = Order(
        str(tiny), (), tmp_path, Settings(), Recipe(), shared=tmp_path, dtype="bfloat16", device="cuda"
    )
    order = Order(**{**vars(order), "executor": Executor("slurm", tmp_path, {})})
    exam = type("Exam", (), {"fingerprint": "x"})()
    arm = Arm("a", 10, (), Recipe(), exam, (), {})
    there = executor.spread(lambda one: (keys_of(one, [arm]), train_dtype(one)), [order], order.executor, str)
    assert there == [(keys_of(order, [arm]), "bfloat16")]


def test_audit_and_embeddings_are_jobs(cluster, tiny, tmp_path, monkeypatch):
    order = Order(str(tiny), ("d",), tmp_path, Settings(), Recipe(), dtype="float32")
    order = Order(**{**vars(order), "executor": Executor("slurm", tmp_path, {})})
    where = []
    monkeypatch.setattr("realmodels.audit.run_audit", lambda job: where.append(len(cluster)))
    monkeypatch.setattr("realmodels.study_facts.write_facts", lambda order, path: path)
    monkeypatch.setattr("realmodels.study_facts.read_facts", lambda folder, settings: "facts")
    assert facts_of(order, str) == "facts"
    facts = type("Facts", (), {"rows": ()})()
    monkeypatch.setattr(study_prompts_near, "_load", lambda order: None)
    monkeypatch.setattr(
        study_prompts_near,
        "embed",
        lambda *said: where.append(len(cluster)) or study_prompts_near.np.zeros((1, 1)),
    )
    study_prompts_near.embeddings(order, facts, str)
    assert where == [1, 1]

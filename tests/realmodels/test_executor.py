"""Sweeps here and as jobs; a real Slurm is in tests/slurm."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from realmodels import executor, study_arms
from realmodels.errors import RealmodelsError
from realmodels.executor import Executor, read_executor, spread
from realmodels.recipe import Recipe, read_recipe
from realmodels.study_table import Order

submitit = pytest.importorskip("submitit")


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """submitit's own stand-in for a cluster: processes of this machine."""
    real = submitit.AutoExecutor
    monkeypatch.setattr(submitit, "AutoExecutor", lambda folder, cluster: real(folder, cluster="local"))
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    return Executor("slurm", tmp_path / "logs", {"timeout_min": 5, "slurm_partition": "any"})


def recipes(folder, *texts):
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    return [folder / f"{number}.yaml" for number in range(len(texts))]


def test_here_it_is_a_loop(tmp_path):
    good, bad = recipes(tmp_path, "rank: 2\n", "rnk: 2\n")
    assert [recipe.rank for recipe in spread(read_recipe, [good, good], Executor())] == [2, 2]
    assert spread(read_recipe, [], Executor()) == []
    with pytest.raises(RealmodelsError, match="unknown key"):
        spread(read_recipe, [good, bad], Executor())


def test_jobs_bring_their_values_back_in_order(jobs, tmp_path, capfd):
    said = []
    found = spread(read_recipe, recipes(tmp_path, "rank: 5\n", "rank: 4\n"), jobs, said.append)
    assert [recipe.rank for recipe in found] == [5, 4]
    assert said[0].startswith("submitted 2 jobs, ")
    assert [line.endswith(": done") for line in said[1:]] == [True] * 2
    assert capfd.readouterr().out == ""
    assert spread(read_recipe, [], jobs) == []


def test_what_goes_wrong_in_a_job_is_one_line_and_the_others_go_on(jobs, tmp_path):
    said = []
    bad, good = recipes(tmp_path, "rnk: 2\n", "rank: 4\n")
    with pytest.raises(RealmodelsError) as caught:
        spread(read_recipe, [bad, good, tmp_path / "none.yaml", {}], jobs, said.append)
    first = f"{bad}: unknown key \"rnk\"; did you mean 'rank'?"
    assert str(caught.value) == f"{first}; 2 more of 4 jobs failed"
    assert [line.partition(": ")[2] for line in said[1:4]] == [
        first,
        "done",
        f"{tmp_path / 'none.yaml'}: No such file or directory",
    ]
    assert "TypeError: " in said[4]
    assert said[4].endswith("_log.err")


def test_ctrl_c_cancels_what_has_not_ended(tmp_path, monkeypatch):
    cancelled = []

    class Waiting:
        job_id = "7_0"

        def result(self):
            raise KeyboardInterrupt

        def cancel(self, check):
            cancelled.append(self)

    waiting = [Waiting(), Waiting()]
    monkeypatch.setattr(executor, "_submit", lambda work, items, how: waiting)
    with pytest.raises(KeyboardInterrupt):
        spread(int, [1, 2], Executor("slurm", tmp_path))
    assert cancelled == waiting


def test_without_a_cluster_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RealmodelsError, match=r"^--executor slurm: .*srun"):
        spread(int, [2], Executor("slurm", tmp_path / "logs", {"timeout_min": 1}))


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        RealmodelsError, match=r"submitit is not installed; run: pip install \"nameblind\[cluster\]\""
    ):
        spread(int, [2], Executor("slurm", tmp_path / "logs", {"timeout_min": 1}))


def test_words():
    words = ["minutes=30", "gpus=0", "memory=1.5", "partition=gpu", "at_once=2", "cpus=4"]
    found = read_executor("slurm", words, Path("o"))
    assert found.asked == {
        "timeout_min": 30, "gpus_per_node": 0, "mem_gb": 1.5, "slurm_partition": "gpu",
        "slurm_array_parallelism": 2, "cpus_per_task": 4,
    }  # fmt: skip
    assert not found.local
    assert read_executor("local", [], Path("o")).local


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("slrum", [], "--executor: unknown 'slrum'; did you mean 'slurm'?"),
        ("local", ["minutes=1"], "--slurm minutes=1: it is for jobs; add --executor slurm"),
        ("slurm", [], "Say --slurm minutes=120"),
        ("slurm", ["minutes"], "expected KEY=VALUE"),
        ("slurm", ["minutes="], "expected KEY=VALUE"),
        ("slurm", ["minuets=3"], "unknown key 'minuets'; did you mean 'minutes'?"),
        ("slurm", ["minutes=0"], "expected a number above 0"),
        ("slurm", ["minutes=1.5"], "expected a number above 0"),
        ("slurm", ["minutes=1", "cpus=many"], "--slurm 'cpus=many': expected a number above 0"),
        ("slurm", ["minutes=1", "memory=-2"], "expected a number above 0"),
    ],
)
def test_wrong_words(kind, words, message):
    with pytest.raises(RealmodelsError) as caught:
        read_executor(kind, words, Path("o"))
    assert message in str(caught.value)


def test_a_study_deals_its_arms_to_jobs(tmp_path, monkeypatch):
    order = Order("m", ("d",), tmp_path / "o", None, Recipe(), shared=tmp_path / "arms", workers=2)
    order = replace(order, executor=Executor("slurm", tmp_path / "logs", {"timeout_min": 1}))
    keys, shares = ["a", "b", "c"], []
    monkeypatch.setattr(study_arms, "keys_of", lambda order, arms: keys)
    monkeypatch.setattr(study_arms, "_path", lambda folder, key: folder / key)
    monkeypatch.setattr(study_arms, "read_result", lambda path: path.read_text())
    monkeypatch.setattr(executor, "spread", lambda do, items, how, say: [do(item) for item in items])

    def work(order, todo, say):
        shares.append(sorted(todo))
        for key, arm in todo.items():
            (order.shared / key).write_text(f"{arm} done")

    monkeypatch.setattr(study_arms, "work", work)
    found = study_arms.results_of(order, ["x", "y", "z"], print)
    assert found == ["x done", "y done", "z done"]
    assert shares == [["a", "c"], ["b"]]
    assert study_arms.results_of(order, ["x", "y", "z"], print) == found
    assert len(shares) == 2

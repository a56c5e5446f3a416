"""Killed at any moment and started again, a run ends with the bytes of a run that was never killed."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from theory.errors import TheoryError
from theory.runs import command, config_hash, environment, open_run, processor, run_id

CONFIG = {"world": {"subjects": 3, "zipf": 1.0}, "steps": [1, 2]}
SCRIPT = """
import sys, time
from theory.runs import open_run
keys = [f"seed-{i}" for i in range(12)]
with open_run(sys.argv[1], "toy", {"a": 1}) as run:
    for key in run.missing(keys):
        time.sleep(0.03)
        run.put(key, (f'{{"part": "{key}", "line": {i}}}' for i in range(200)), seconds=0.01)
    run.assemble(keys)
"""


def test_the_id_depends_on_the_config_and_not_on_the_order_of_its_keys():
    assert run_id("s", {"a": 1, "b": 2}) == run_id("s", {"b": 2, "a": 1})
    assert run_id("s", {"a": 1}) != run_id("s", {"a": 2})
    assert run_id("s", {"a": 1}).startswith("s-")
    with pytest.raises(ValueError, match="JSON compliant"):
        run_id("s", {"a": float("nan")})


def test_parts_are_put_together_in_the_asked_order(tmp_path):
    with open_run(tmp_path, "toy", CONFIG) as run:
        run.put("seed-1", ["b1", "b2"], 0.5)
        run.put("seed-0", ["a"])
        assert run.missing(["seed-0", "seed-1", "seed-2"]) == ["seed-2"]
        with pytest.raises(TheoryError, match="part seed-2 is not finished"):
            run.assemble(["seed-0", "seed-2"])
        assert run.assemble(["seed-0", "seed-1"]).read_text() == "a\nb1\nb2\n"
        assert run.id == run_id("toy", CONFIG)
    assert json.loads((run.folder / "config.json").read_text()) == CONFIG
    assert json.loads((run.folder / "timings.jsonl").read_text().splitlines()[0]) == {
        "part": "seed-1",
        "seconds": 0.5,
    }
    with open_run(tmp_path, "toy", CONFIG) as again:
        assert again.missing(["seed-0", "seed-1"]) == []


def test_parts_can_be_put_together_under_another_name(tmp_path):
    with open_run(tmp_path, "toy", CONFIG) as run:
        run.put("seed-0", ["a"])
        assert run.assemble(["seed-0"], "tuning.jsonl") == run.folder / "tuning.jsonl"
        assert not run.records.exists()
        assert run.id == f"toy-{config_hash(CONFIG)}"


def test_a_timing_that_a_killed_process_tore_does_not_spoil_the_next(tmp_path):
    with open_run(tmp_path, "toy", CONFIG) as run:
        run.put("seed-0", ["a"], 1.0)
        with open(run.folder / "timings.jsonl", "a") as file:
            file.write('{"part": "se')
        run.put("seed-1", ["b"], 2.0)
        lines = (run.folder / "timings.jsonl").read_text().splitlines()
    assert lines == [
        '{"part": "seed-0", "seconds": 1.0}',
        '{"part": "se',
        '{"part": "seed-1", "seconds": 2.0}',
    ]


@pytest.fixture
def no_file_beyond():
    """Limits how large a file may grow in this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "culprit", "parts"),
    [(30, "parts/seed-0.jsonl", []), (60, "timings.jsonl", ["seed-0.jsonl", "seed-1.jsonl"])],
)
def test_on_a_full_disk_nothing_is_half_written_and_the_file_is_named(
    tmp_path, no_file_beyond, size, culprit, parts
):
    with open_run(tmp_path, "toy", {}) as run:
        no_file_beyond(size)
        with pytest.raises(OSError, match=r"too large|No space") as caught:
            [run.put(f"seed-{seed}", [str(seed) * 40], 1.0) for seed in (0, 1)]
        no_file_beyond(resource.RLIM_INFINITY)
    assert caught.value.filename == str(run.folder / culprit)
    assert sorted(os.listdir(run.folder / "parts")) == parts
    lines = (run.folder / "timings.jsonl").read_text() if parts else ""
    assert lines == '{"part": "seed-0", "seconds": 1.0}\n' * bool(parts)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["/somewhere/synthetic/__main__.py", "run", "a b"], "python -m synthetic run 'a b'"),
        (["/bin/nameblind-synthetic", "run"], "nameblind-synthetic run"),
    ],
)
def test_the_command_stands_as_a_person_would_type_it(monkeypatch, words, line):
    monkeypatch.setattr(sys, "argv", words)
    assert command() == environment()["command"] == line


def test_an_edited_config_is_refused(tmp_path):
    with open_run(tmp_path, "toy", CONFIG) as run:
        pass
    (run.folder / "config.json").write_text(json.dumps(CONFIG | {"steps": [9]}))
    with (
        pytest.raises(TheoryError, match=r"config\.json: it does not have the hash"),
        open_run(tmp_path, "toy", CONFIG),
    ):
        pass


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "a b"])
def test_names_of_parts_cannot_leave_the_folder(tmp_path, key):
    with open_run(tmp_path, "toy", CONFIG) as run, pytest.raises(TheoryError, match="expected letters"):
        run.part(key)


def test_a_second_process_is_refused_and_told_why(tmp_path):
    with open_run(tmp_path, "toy", {"a": 1}):
        second = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True)
        assert second.returncode != 0
        assert f"in use by process {os.getpid()}" in second.stderr
    assert subprocess.run([sys.executable, "-c", SCRIPT, tmp_path]).returncode == 0


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert subprocess.run([sys.executable, "-c", SCRIPT, whole]).returncode == 0
    expected = next(whole.glob("*/records.jsonl")).read_bytes()
    chance, kills = random.Random(0), 0
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, killed])
        time.sleep(chance.uniform(0.05, 0.4))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        if process.wait() == 0:
            break
    assert subprocess.run([sys.executable, "-c", SCRIPT, killed]).returncode == 0
    assert kills > 0
    assert next(killed.glob("*/records.jsonl")).read_bytes() == expected
    parts = next(killed.glob("*/parts"))
    assert sorted(os.listdir(parts)) == sorted(f"seed-{i}.jsonl" for i in range(12))


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path):
    with open_run(tmp_path, "toy", CONFIG) as run:
        run.put("seed-0", ["a"])
    (run.folder / "parts" / ".seed-1.jsonl.ab12cd34").write_text("half")
    (run.folder / ".records.jsonl.ab12cd34").write_text("half")
    with open_run(tmp_path, "toy", CONFIG):
        pass
    assert os.listdir(run.folder / "parts") == ["seed-0.jsonl"]
    assert sorted(os.listdir(run.folder)) == [
        ".lock",
        "config.json",
        "environment.json",
        "parts",
        "timings.jsonl",
    ]


def test_the_environment_says_where_a_result_comes_from(monkeypatch):
    found = environment()
    assert found["packages"]["numpy"]
    assert found["cores"] >= 1
    assert found["processor"] == processor() != ""
    monkeypatch.setattr("theory.runs.Path.read_text", lambda *a, **k: (_ for _ in ()).throw(OSError))
    assert processor()


@pytest.mark.parametrize("study", ["", "a/b", "../up", ".hidden", "a b"])
def test_a_study_names_one_folder(tmp_path, study):
    with pytest.raises(TheoryError, match="expected letters, digits"), open_run(tmp_path, study, CONFIG):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_a_config_that_json_cannot_hold_is_refused(tmp_path, value):
    with (
        pytest.raises(TheoryError, match="run config: expected plain values"),
        open_run(tmp_path, "toy", {"a": value}),
    ):
        pass

"""Bad input to `train`, `eval` and `compare`: one line with file, line or field, the right exit code, nothing
half-written; and what breaks while they run leaves what was finished."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from realmodels.cli import COMMANDS
from tests.realmodels.common import GOOD, lines, raw, run
from theory.command import main

TOLD = [{"prompt": "Q: Why?\nA:", "completion": " So"}] * 2
SAID = [{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}] * 2
RECIPE = "rank: 2\nbatch: 2\nsteps: 4\nlog_every: 2\nsave_every: 2\nrate: 1e-2\n"
RESULTS = ("adapter_model", "adapter_config", "train.json", "results_", "samples_")


def error_of(err):
    """The last line; what stands before it may only be progress."""
    *before, last = err.splitlines()
    assert last.startswith("error: "), err
    assert "Traceback" not in err
    assert all(": step " in line or line.startswith(("submitted", "job ")) for line in before), err
    assert len(last) < 700
    return last


def results(folder):
    """What could be taken for a result."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name.startswith(RESULTS)
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own to stand in, with good rows and a quick recipe."""
    (tmp_path / "good.jsonl").write_bytes(lines(*GOOD))
    (tmp_path / "lora.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# (files to write, flags over the usual ones, what the line must say)
ROWS = {
    "no such file": ({}, ("--data", "none.jsonl"), ["none.jsonl: no such file or folder"]),
    "a folder of nothing": ({"d/x": b""}, ("--data", "d"), ["d: a folder of no known layout"]),
    "an empty file": ({"a.jsonl": b""}, (), ["a.jsonl: the file is empty"]),
    "no rows": ({"a.jsonl": b"\n \n"}, (), ["a.jsonl: no rows in it"]),
    "no question": (
        {"a.jsonl": lines(GOOD[0], {"questions": "q", "answers": "a"})},
        (),
        ["a.jsonl:2: field 'question' is missing; did you mean 'questions'?"],
    ),
    "an empty question": (
        {"a.jsonl": lines(GOOD[0], {**GOOD[1], "question": " "})},
        (),
        ["a.jsonl:2: field 'question': the question is empty"],
    ),
    "no answers": (
        {"a.jsonl": lines(GOOD[0], {**GOOD[1], "answers": []})},
        (),
        ["a.jsonl:2: field 'answers': no answers"],
    ),
    "NaN": ({"a.jsonl": raw('{"question": "q", "answers": "a", "x": NaN}')}, (), ["a.jsonl:2: ", "NaN"]),
    "no JSON": ({"a.jsonl": raw('{"question": ')}, (), ["a.jsonl:2: not JSON"]),
    "no UTF-8": ({"a.jsonl": lines(GOOD[0]) + b'{"question": "\xe9"}\n'}, (), ["a.jsonl:2: not UTF-8"]),
    "the same id twice": (
        {"a.jsonl": lines(GOOD[0], {**GOOD[1], "id": "r0"})},
        (),
        ["a.jsonl:2: field 'id'", "a.jsonl:1"],
    ),
    "a prompt without completion": (
        {"a.jsonl": lines(*TOLD, {"prompt": "Q"})},
        (),
        ["a.jsonl:3: field 'completion': expected a text that is not blank, got null"],
    ),
    "a blank completion": (
        {"a.jsonl": lines(TOLD[0], {"prompt": "Q", "completion": "  "})},
        (),
        ["a.jsonl:2: field 'completion': expected a text that is not blank"],
    ),
    "a completion that is a number": (
        {"a.jsonl": lines(TOLD[0], {"prompt": "Q", "completion": 3})},
        (),
        ["a.jsonl:2: field 'completion'", "got 3"],
    ),
    "messages without a template": (
        {"a.jsonl": lines(*SAID)},
        (),
        ["a.jsonl:1: the model has no chat template"],
    ),
    "messages that are none": (
        {"a.jsonl": lines(*SAID, {"messages": "hello"})},
        (),
        ["a.jsonl:", "messages"],
    ),
    "nobody answers": (
        {"a.jsonl": lines({"messages": SAID[0]["messages"][:1]})},
        (),
        ["a.jsonl:1: field 'messages': the assistant says nothing"],
    ),
    "a row beyond the context": (
        {"a.jsonl": lines(GOOD[0], {"question": "word " * 900, "answers": ["a"]})},
        (),
        ["a.jsonl:2: the row has", "more than the 512 that are read"],
    ),
    "a row beyond what was asked": (
        {},
        ("--set", "max_tokens=8"),
        ["good.jsonl:1: the row has", "than the 8"],
    ),
    "an unmapped column": ({}, ("--map", "question=prompt"), ["good.jsonl:1: field 'prompt' is missing"]),
    "a map of an unknown field": ({}, ("--map", "qestion=x"), ["did you mean 'question'?"]),
    "held-out rows that are not there": ({}, ("--held-out", "none.jsonl"), ["none.jsonl: no such file"]),
    "broken held-out rows": (
        {"h.jsonl": raw("[1]")},
        ("--held-out", "h.jsonl"),
        ["h.jsonl:2: expected an object"],
    ),
    "a broken second arm": (
        {"b.jsonl": raw("{}")},
        ("--arm", "k=good.jsonl", "--arm", "u=b.jsonl"),
        ["b.jsonl:2: field 'question' is missing"],
    ),
}

FLAGS = {
    "an unknown key of the recipe": (
        {"r.yaml": b"rte: 1\n"},
        ("--recipe", "r.yaml"),
        ['r.yaml: unknown key "rte"; did'],
    ),
    "no YAML": ({"r.yaml": b"rate: 1\nrank: [1\n"}, ("--recipe", "r.yaml"), ["r.yaml:3: not YAML"]),
    "a key twice": (
        {"r.yaml": b"rate: 1e-3\nrank: 2\nrate: 1\n"},
        ("--recipe", "r.yaml"),
        ["r.yaml:3: ", '"rate" stands there twice'],
    ),
    "a list": ({"r.yaml": b"- rate\n"}, ("--recipe", "r.yaml"), ["r.yaml: expected KEY: VALUE lines"]),
    "an empty value": (
        {"r.yaml": b"rate:\n"},
        ("--recipe", "r.yaml"),
        ["r.yaml: rate: expected a number above 0, got null"],
    ),
    "a recipe that is a folder": ({"r/x": b""}, ("--recipe", "r"), ["r: Is a directory"]),
    "a recipe that is not there": ({}, ("--recipe", "none.yaml"), ["none.yaml: No such file or directory"]),
    "a recipe that is no text": ({"r.yaml": b"rate: \xff"}, ("--recipe", "r.yaml"), ["r.yaml: not UTF-8"]),
    "a rate that is no number": ({}, ("--set", "rate=.nan"), ["--set: rate: expected a number above 0"]),
    "a rate of infinity": ({}, ("--set", "rate=.inf"), ["--set: rate: expected a number above 0"]),
    "an unknown key": ({}, ("--set", "rnak=3"), ["--set: unknown key \"rnak\"; did you mean 'rank'?"]),
    "no steps": ({}, ("--set", "steps=0"), ["--set: steps: expected a whole number of at least 1, got 0"]),
    "no such layer": ({}, ("--set", "targets=[q_prj]"), ["q_prj"]),
    "patience for nothing": ({}, ("--set", "patience=2"), ["recipe: patience: it waits for held-out rows"]),
    "a seed below zero": ({}, ("--seed", "-1"), ["seed: expected a whole number of at least 0, got -1"]),
    "half precision": ({}, ("--dtype", "float16"), ["--dtype float16: gradients vanish"]),
    "no such device": ({}, ("--device", "tpu9"), ["device: no 'tpu9' here"]),
    "no rows wanted": ({}, ("--limit", "0"), ["--limit: expected at least 1, got 0"]),
    "an arm without a file": ({}, ("--arm", "known"), ["--arm 'known': expected NAME=FILE"]),
    "an arm without a name": ({}, ("--arm", "=good.jsonl"), ["--arm '=good.jsonl'"]),
    "an arm of a bad name": ({}, ("--arm", "../up=good.jsonl"), ["'../up' cannot be its name"]),
    "two arms of a name": (
        {},
        ("--arm", "k=good.jsonl", "--arm", "k=good.jsonl"),
        ["two arms by the name of 'k'"],
    ),
    "an output that is a file": ({"o": b""}, ("-o", "o"), ["o: is a file; --output-dir wants a folder"]),
    "an arm's folder that is a file": ({"out/k": b""}, ("--arm", "k=good.jsonl"), ["out/k: File exists"]),
    "an output below a file": ({"o": b""}, ("-o", "o/below"), ["o/below: Not a directory"]),
    "another model in the folder": (
        {"out/train.json": b'{"key": "other"}'},
        (),
        ["out: holds an adapter of other rows"],
    ),
    "a torn train.json": ({"out/train.json": b"{"}, (), ["out/train.json: cannot be read", "--overwrite"]),
    "an executor of that name": (
        {},
        ("--slurm", "minutes=1"),
        ["--slurm minutes=1: it is for jobs; add --executor slurm"],
    ),
    "jobs without an end": ({}, ("--executor", "slurm"), ["Say --slurm minutes=120"]),
    "an unknown wish": (
        {},
        ("--executor", "slurm", "--slurm", "minute=3"),
        ["unknown key 'minute'; did you mean 'minutes'?"],
    ),
    "a wish without a value": ({}, ("--executor", "slurm", "--slurm", "minutes"), ["expected KEY=VALUE"]),
    "no minutes": ({}, ("--executor", "slurm", "--slurm", "minutes=0"), ["expected a number above 0"]),
    "no such model": ({}, ("--model", "./gone"), ["./gone: no such file or folder"]),
    "a model on the hub": ({}, ("--model", "nobody/nothing"), ["nobody/nothing"]),
    "a model that is an adapter": ({}, ("--model", "{adapter}"), ["{adapter}: ", "adapter"]),
    "a model cut short": ({}, ("--model", "{cut}"), ["{cut}"]),
}
TRAIN = ROWS | FLAGS


@pytest.fixture(scope="module")
def places(tiny, tmp_path_factory):
    """Models and adapters, good and bad."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "good.jsonl").write_bytes(lines(*GOOD))
    words = ["train", "--model", tiny, "--data", folder / "good.jsonl", "-o", folder / "adapter"]
    words += ["--set", "rank=2", "steps=2", "batch=2", "rate=1e-2"]
    assert main("m", "", COMMANDS, [str(word) for word in words]) == 0
    for name in ("nan", "other"):
        shutil.copytree(folder / "adapter", folder / name)
    weights = folder / "nan/adapter_model.safetensors"
    save_file({name: value.fill_(torch.nan) for name, value in load_file(weights).items()}, weights)
    config = json.loads((folder / "other/adapter_config.json").read_text())
    config["base_model_name_or_path"] = "big/Model-7B"
    (folder / "other/adapter_config.json").write_text(json.dumps(config))
    for name in ("cut", "sick"):
        shutil.copytree(tiny, folder / name)
    weights = folder / "cut/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    weights = folder / "sick/model.safetensors"
    held = load_file(weights)
    held["lm_head.weight"][:] = torch.nan
    save_file(held, weights, {"format": "pt"})
    return {"model": str(tiny)} | {
        name: str(folder / name) for name in ("adapter", "nan", "other", "cut", "sick")
    }


def put(here, files):
    for name, content in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content)


@pytest.mark.parametrize("name", TRAIN)
def test_train(name, here, places, capsys):
    files, flags, pieces = TRAIN[name]
    put(here, files)
    before = results(here)
    usual = {"--model": places["model"], "--recipe": "lora.yaml", "-o": "out"}
    if "--arm" not in flags:
        usual["--data"] = "a.jsonl" if "a.jsonl" in files else "good.jsonl"
    words = [word.format(**places) for word in flags]
    for flag, value in usual.items():
        if flag not in flags:
            words = [flag, value, *words]
    start = time.perf_counter()
    code, err = run(capsys, "train", *words)
    assert code == 2, err
    for piece in pieces:
        assert piece.format(**places) in error_of(err), err
    assert results(here) == before
    assert time.perf_counter() - start < 30


SAMPLE = {"doc_hash": "h0", "doc": {}, "metrics": ["exact"], "exact": 1.0}
EVAL = {
    "no such file": ({}, ("--tasks", "none.jsonl"), ["none.jsonl: no such file or folder"]),
    "a folder of nothing": ({"d/x": b""}, ("--tasks", "d"), ["d: a folder of no known layout"]),
    "an empty file": ({"a.jsonl": b""}, ("--tasks", "a.jsonl"), ["a.jsonl: the file is empty"]),
    "NaN": (
        {"a.jsonl": raw('{"question": "q", "answers": "a", "x": NaN}')},
        ("--tasks", "a.jsonl"),
        ["a.jsonl:2: ", "NaN"],
    ),
    "no answers": (
        {"a.jsonl": raw('{"question": "q", "answers": []}')},
        ("--tasks", "a.jsonl"),
        ["a.jsonl:2: field 'answers'"],
    ),
    "a column that is missing": (
        {"a.csv": b"question,answr\nq,a\n"},
        ("--tasks", "a.csv"),
        ["a.csv:2: field 'answers' is missing; did you mean 'answr'?"],
    ),
    "a question beyond the context": (
        {"a.jsonl": lines({"question": "word " * 900, "answers": ["a"]})},
        ("--tasks", "a.jsonl"),
        ["512"],
    ),
    "too many shots": ({}, ("--prompts", "few:9"), ["--prompts few:9: ", "only 3 questions to show"]),
    "an unknown prompt": ({}, ("--prompts", "zeroo"), ["--prompts: unknown 'zeroo'"]),
    "an adapter of another base": (
        {},
        ("--adapter", "{other}"),
        ["{other}: is an adapter of big/Model-7B, not of"],
    ),
    "an adapter that is a file": ({}, ("--adapter", "good.jsonl"), ["good.jsonl"]),
    "an adapter that is not there": ({}, ("--adapter", "./gone"), ["./gone: no such file or folder"]),
    "an adapter of no numbers": (
        {},
        ("--adapter", "{nan}"),
        ["{nan}: the chance", "'What is the capital of France?' is nan"],
    ),
    "a model of no numbers": (
        {},
        ("--model", "{sick}"),
        ["{sick}: the chance of the", "its numbers are broken"],
    ),
    "a model cut short": ({}, ("--model", "{cut}"), ["{cut}"]),
    "an output that is a file": ({"o": b""}, ("-o", "o"), ["o: is a file; --output-dir wants a folder"]),
    "an output below a file": ({"o": b""}, ("-o", "o/below"), ["o/below: Not a directory"]),
    "a torn eval.json": ({"out/eval.json": b"{"}, (), ["out/eval.json: is no evaluation's"]),
    "labels of another kind": (
        {"a.jsonl": lines({"knowledge": {"question": "q", "answers": ["a"], "label": "Known"}})},
        ("--tasks", "a.jsonl"),
        ["a.jsonl:1: field 'knowledge.label': unknown \"Known\""],
    ),
}


@pytest.mark.parametrize("name", EVAL)
def test_eval(name, here, places, capsys):
    files, flags, pieces = EVAL[name]
    put(here, files)
    usual = {"--model": places["model"], "--tasks": "good.jsonl", "--prompts": "zero", "-o": "out"}
    words = [word.format(**places) for word in flags]
    for flag, value in usual.items():
        if flag not in flags:
            words = [flag, value, *words]
    code, err = run(capsys, "eval", *words)
    assert code == 2, err
    for piece in pieces:
        assert piece.format(**places) in error_of(err), err
    assert results(here) == []


NAME = "samples_facts_zero_2026-01-02T03-04-05.jsonl"
COMPARE = {
    "nothing there": ({}, ("none", "a"), ["none: no such folder"]),
    "a file of rows": (
        {"x.jsonl": lines(*GOOD)},
        ("x.jsonl", "a"),
        ["x.jsonl:1: field 'metrics'"],
    ),
    "a training's folder": ({"t/train.json": b"{}"}, ("t", "a"), ["t: holds no samples_*.jsonl"]),
    "an empty file": ({f"b/{NAME}": b""}, ("b", "a"), [f"b/{NAME}: the file is empty"]),
    "a torn line": ({f"b/{NAME}": lines(SAMPLE) + b'{"doc_h'}, ("b", "a"), [f"b/{NAME}:2: not JSON"]),
    "NaN": ({f"b/{NAME}": lines(SAMPLE).replace(b"1.0", b"NaN")}, ("b", "a"), [f"b/{NAME}:1: ", "NaN"]),
    "a word for a number": (
        {f"b/{NAME}": lines(SAMPLE, SAMPLE | {"exact": "yes"})},
        ("b", "a"),
        [f"b/{NAME}:2: field 'exact': expected a number"],
    ),
    "other items": (
        {f"b/{NAME}": lines(SAMPLE | {"doc_hash": "h1"})},
        ("a", "b"),
        ["other items than", "0 in common"],
    ),
    "the same item once more": (
        {f"b/{NAME}": lines(SAMPLE, SAMPLE)},
        ("a", "b"),
        ["other items than", "1 only"],
    ),
    "other tasks": ({f"b/{NAME.replace('facts', 'other')}": lines(SAMPLE)}, ("a", "b"), ["has no task"]),
    "an unknown task": (
        {},
        ("a", "a", "--tasks", "fact_zero"),
        ["no task 'fact_zero'; did you mean 'facts_zero'?"],
    ),
    "an unknown metric": ({}, ("a", "a", "--metrics", "exat"), ["no metric 'exat'"]),
    "a stratum of nothing": ({}, ("a", "a", "--stratum", "overlap"), ["stratum 'overlap'"]),
    "unlike numbers of seeds": ({}, ("a,a", "a,a,a"), ["2 runs against 3"]),
    "a level above one": ({}, ("a", "a", "--level", "95"), ["--level: expected a number between 0 and 1"]),
    "a level that is no number": (
        {},
        ("a", "a", "--level", "nan"),
        ["--level: expected a number between 0 and 1"],
    ),
    "too few draws": ({}, ("a", "a", "--draws", "1"), ["--draws: expected at least 100"]),
    "a folder for a file": ({f"b/{NAME}/x": b""}, ("b", "a"), [f"b/{NAME}"]),
}


@pytest.mark.parametrize("name", COMPARE)
def test_compare(name, here, capsys):
    files, words, pieces = COMPARE[name]
    put(here, {f"a/{NAME}": lines(SAMPLE)} | files)
    before = sorted(here.rglob("*"))
    code, err = run(capsys, "compare", *words)
    assert code == 2, err
    for piece in pieces:
        assert piece in error_of(err), err
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        (["train", "--model", "m"], "--output-dir"),
        (["train", "--model", "m", "-o", "o", "--data", "d", "--limit", "many"], "many"),
        (["train", "--model", "m", "-o", "o", "--data", "d", "--executor", "cloud"], "cloud"),
        (["eval", "--model", "m", "-o", "o"], "--tasks"),
        (["eval", "--model", "m", "-o", "o", "--tasks", "t", "--dtype", "int8"], "int8"),
        (["compare", "a"], "Missing from"),
        (["compare", "a", "b", "--levl", "0.9"], "--level"),
    ],
)
def test_words_that_are_no_command_line_are_usage_errors(words, piece, here, capsys):
    code, err = run(capsys, *words)
    assert code == 2
    assert piece in err
    assert "Traceback" not in err


def full(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def usual_train(places, out="out"):
    return ["train", "--model", places["model"], "--data", "good.jsonl", "--recipe", "lora.yaml", "-o", out]


def test_a_full_disk_at_a_checkpoint_and_at_the_end(here, places, capsys, monkeypatch):
    """Of 4 steps, 2 are safe when the disk fills up; the same command then comes to the same adapter."""
    from realmodels import checkpoints, train_loop, train_run

    assert run(capsys, *usual_train(places, "whole"))[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_whole", lambda path, content: full(path))
        code, err = run(capsys, *usual_train(places))
    assert code == 1
    assert (
        "no room for the checkpoint of step 2 (No space left on device); there is none before it"
        in error_of(err)
    )
    assert results(here / "out") == []
    for module, name in ((train_loop, "save_adapter"), (train_run, "json")):
        with monkeypatch.context() as patch:
            if name == "json":
                from theory import files

                patch.setattr(files, "write_whole", lambda path, content: full(path))
            else:
                patch.setattr(module, name, lambda model, folder: full(folder / "adapter_model.safetensors"))
            code, err = run(capsys, *usual_train(places))
        assert code == 1, err
        assert error_of(err).endswith("No space left on device; free some and run the same command again")
        assert "train.json" not in results(here / "out")
        assert (here / "out/checkpoint/state.safetensors").exists()
    assert run(capsys, *usual_train(places))[0] == 0
    hashes = [json.loads((here / out / "train.json").read_text())["final_hash"] for out in ("out", "whole")]
    assert hashes[0] == hashes[1]


def test_a_loss_that_is_no_number_says_where(here, places, capsys):
    words = usual_train(places)
    words[2] = places["sick"]
    code, err = run(capsys, *words)
    assert code == 2
    said = error_of(err)
    assert "the loss is nan at step 1" in said
    assert "good.jsonl:" in said
    assert "nothing is kept of this arm" in said
    assert results(here) == []


def test_a_full_disk_ends_an_evaluation_and_keeps_what_was_asked(here, places, capsys, monkeypatch):
    from realmodels import eval_ask, eval_files

    words = ["eval", "--model", places["model"], "--adapter", places["adapter"], "--tasks", "good.jsonl"]
    words += ["--prompts", "zero", "-o", "out"]
    with monkeypatch.context() as patch:
        patch.setattr(eval_files, "write_whole", lambda path, content: full(path))
        code, err = run(capsys, *words)
    assert code == 1
    assert "No space left on device" in error_of(err)
    assert not [name for name in results(here) if "results_" in name]
    monkeypatch.setattr(eval_ask, "ask", lambda *rest: pytest.fail("asked again"))
    assert run(capsys, *words)[0] == 0
    assert len(results(here)) == 4
    assert not [path for path in here.rglob(".*") if path.name not in (".lock",)]


def test_ctrl_c_ends_an_evaluation_and_keeps_what_was_asked(here, places, capsys, monkeypatch):
    from realmodels import eval_ask

    words = ["eval", "--model", places["model"], "--adapter", places["adapter"], "--tasks", "good.jsonl"]
    words += ["--prompts", "zero,few:1", "-o", "out"]
    real, asked = eval_ask.ask, []

    def ask(*rest):
        asked.append(rest)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(*rest)

    monkeypatch.setattr(eval_ask, "ask", ask)
    code, err = run(capsys, *words)
    assert code == 130
    assert err == "interrupted: finished work is kept, run the same command again to go on\n"
    assert results(here) == []
    first = len(asked)
    assert run(capsys, *words)[0] == 0
    whole = len(asked)
    assert run(capsys, *words, "--overwrite")[0] == 0
    assert whole - first < len(asked) - whole  # two pieces were not asked again


def wait_for(path, process):
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    pytest.fail(f"no {path}")


def test_a_real_ctrl_c_keeps_the_checkpoint(here, places, root):
    (here / "lora.yaml").write_text(RECIPE.replace("steps: 4", "steps: 100000"))
    words = [sys.executable, "-m", "realmodels", *usual_train(places)]
    process = subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        wait_for(here / "out/checkpoint/state.safetensors", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted: finished work is kept, run the same command again to go on"
    assert "Traceback" not in err
    assert results(here) == []
    assert load_file(here / "out/checkpoint/state.safetensors")


def read_only(path):
    """Whether writing below it fails for this user (root may write anywhere)."""
    try:
        (path / "probe").touch()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("command", ["train", "eval"])
def test_an_output_that_cannot_be_written(command, here, places, capsys):
    folder = here / "sealed"
    folder.mkdir(mode=0o555)
    if not read_only(folder):
        folder = Path("/proc")  # of which not even root may make folders
    words = {
        "train": usual_train(places, folder / "out"),
        "eval": [
            "eval",
            "--model",
            places["model"],
            "--tasks",
            "good.jsonl",
            "--prompts",
            "zero",
            "-o",
            folder / "out",
        ],
    }[command]
    code, err = run(capsys, *words)
    assert code == 2
    assert f"{folder / 'out'}" in error_of(err)


def test_there_are_at_least_forty_cases():
    assert len(TRAIN) + len(EVAL) + len(COMPARE) >= 40

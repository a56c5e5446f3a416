"""Bad input of every kind: one line that says where and what to do, the right exit code, nothing half-written."""

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.realmodels.common import GOOD, lines, raw, run


def changed(**fields):
    """Good rows but for the second one."""
    return lines(GOOD[0], {**GOOD[1], **fields}, *GOOD[2:])


def without(*names):
    return lines(GOOD[0], {k: v for k, v in GOOD[1].items() if k not in names})


def one_line(err):
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert len(err) < 600
    return err


def finished(folder):
    """What an audit leaves that could be taken for a result."""
    return (
        {"audit.jsonl", "summary.json", "generations.jsonl"} & set(os.listdir(folder))
        if folder.exists()
        else set()
    )


# (name of the file, its bytes, flags, what the line must say; {file} is the path)
DATA = {
    "no question column": (
        "a.jsonl",
        without("question"),
        (),
        ["{file}:2: field 'question' is missing", "--map question=COLUMN"],
    ),
    "a column of nearly that name": (
        "a.jsonl",
        lines({"questions": "q", "answers": "a"}),
        (),
        ["{file}:1: field 'question' is missing; did you mean 'questions'?"],
    ),
    "no answers column": ("a.csv", b"question,answr\nq,a\n", (), ["{file}:2: field 'answers' is missing"]),
    "a mapped column that is not there": (
        "a.jsonl",
        lines(*GOOD),
        ("--map", "question=prompt"),
        ["{file}:1: field 'prompt' is missing"],
    ),
    "a map without a column": ("a.jsonl", lines(*GOOD), ("--map", "question"), ["--map", "FIELD=COLUMN"]),
    "a map of an unknown field": (
        "a.jsonl",
        lines(*GOOD),
        ("--map", "qestion=x"),
        ["unknown field 'qestion'; did you mean 'question'?"],
    ),
    "a field mapped twice": ("a.jsonl", lines(*GOOD), ("--map", "id=a", "id=b"), ["'id' is mapped twice"]),
    "an empty question": (
        "a.jsonl",
        changed(question="  "),
        (),
        ["{file}:2: field 'question': the question is empty"],
    ),
    "a question that is a number": (
        "a.jsonl",
        changed(question=3),
        (),
        ["{file}:2: field 'question': expected"],
    ),
    "no answers": ("a.jsonl", changed(answers=[]), (), ["{file}:2: field 'answers': no answers"]),
    "blank answers": ("a.jsonl", changed(answers=["", " "]), (), ["{file}:2: field 'answers': no answers"]),
    "null answers": ("a.jsonl", changed(answers=None), (), ["{file}:2: field 'answers': no answers"]),
    "answers of mixed types": (
        "a.jsonl",
        changed(answers=["Paris", 75000]),
        (),
        ["{file}:2: field 'answers': expected a string or a list of strings"],
    ),
    "an object for answers": ("a.jsonl", changed(answers={"a": 1}), (), ["{file}:2: field 'answers'"]),
    "a list that is Python's": (
        "a.csv",
        b"question,answers\nq,\"['a', 'b']\"\n",
        (),
        ["{file}:2: field 'answers'", "double quotes"],
    ),
    "NaN": ("a.jsonl", raw('{"question": "q", "answers": "a", "x": NaN}'), (), ["{file}:2: ", "NaN"]),
    "a NaN popularity": (
        "a.csv",
        b"question,answers,popularity\nq,a,nan\n",
        (),
        ["{file}:2: field 'popularity'"],
    ),
    "a popularity of words": ("a.jsonl", changed(popularity="high"), (), ["{file}:2: field 'popularity'"]),
    "a subject of another type": ("a.jsonl", changed(subject=["x"]), (), ["{file}:2: field 'subject'"]),
    "duplicate ids": ("a.jsonl", changed(id="r0"), (), ["{file}:2: field 'id'", '"r0"', "{file}:1"]),
    "an id of another type": ("a.jsonl", changed(id=1.5), (), ["{file}:2: field 'id'"]),
    "a row that is a list": ("a.jsonl", raw("[1, 2]"), (), ["{file}:2: expected an object"]),
    "no JSON": ("a.jsonl", raw('{"question": '), (), ["{file}:2: not JSON"]),
    "a field that stands there twice": (
        "a.jsonl",
        raw('{"question": "q", "question": "p", "answers": "a"}'),
        (),
        ["{file}:2: ", '"question" stands there twice'],
    ),
    "half a surrogate pair": (
        "a.jsonl",
        raw('{"question": "q\\ud800", "answers": "a"}'),
        (),
        ["{file}:2: half of a \\u surrogate pair"],
    ),
    "invalid UTF-8": (
        "a.jsonl",
        lines(GOOD[0]) + b'{"question": "caf\xe9", "answers": "a"}\n',
        (),
        ["{file}:2: not UTF-8 at byte 18 of the line (0xe9)"],
    ),
    "UTF-16": ("a.csv", "question,answers\nq,a\n".encode("utf-16"), (), ["{file}:1: not UTF-8", "UTF-16"]),
    "a line of 10 MB": (
        "a.jsonl",
        lines(GOOD[0], {"question": "q" * 10_000_000, "answers": "a"}),
        (),
        ["{file}:2: the line has more than 4,194,304 bytes"],
    ),
    "an empty file": ("a.jsonl", b"", (), ["{file}: the file is empty"]),
    "an empty table": ("a.csv", b"question,answers\n", (), ["{file}: no rows in it"]),
    "blank lines alone": ("a.jsonl", b"\n\n", (), ["{file}: no rows in it"]),
    "a short line of a table": ("a.csv", b"question,answers\nq\n", (), ["{file}:2: expected 2 fields"]),
    "an open quote": ("a.csv", b'question,answers\n"q,a\n', (), ["{file}:2: not valid CSV"]),
    "a column named twice": ("a.csv", b"question,answers,answers\nq,a,b\n", (), ["{file}:1: ", "twice"]),
    "a column without a name": ("a.tsv", b"question\tanswers\t\nq\ta\tb\n", (), ["{file}:1: column 3"]),
    "plain text": ("a.txt", b"Who?\n", (), ["{file}: plain text holds no questions"]),
    "an unknown kind of file": ("a.parquet", b"PAR1....", (), ["{file}: unknown kind of file"]),
    "a JSON object": ("a.json", b'{"question": "q"}', (), ["{file}: expected a list of objects"]),
    "damaged gzip": (
        "a.jsonl.gz",
        gzip.compress(lines(*GOOD), mtime=0)[:-9],
        (),
        ["{file}:", "gzip data are damaged"],
    ),
    "a column that the audit writes": ("a.jsonl", changed(knowledge={}), (), ["{file}:2: field 'knowledge'"]),
    "limit 0": ("a.jsonl", lines(*GOOD), ("--limit", "0"), ["--limit: expected at least 1, got 0"]),
    "no prompts": ("a.jsonl", lines(*GOOD), ("--prompts", "0"), ["--prompts: expected at least 1"]),
    "a batch of none": ("a.jsonl", lines(*GOOD), ("--batch", "0"), ["--batch: expected at least 1"]),
    "temperature 0": (
        "a.jsonl",
        lines(*GOOD),
        ("--temperature", "0"),
        ["--temperature: expected a number above 0"],
    ),
    "an unknown matcher": (
        "a.jsonl",
        lines(*GOOD),
        ("--matcher", "exakt"),
        ["unknown 'exakt'; did you mean 'exact'?"],
    ),
    "a matcher that judges nothing": (
        "a.jsonl",
        lines(*GOOD),
        ("--matcher", "contains"),
        ["--matcher contains: ", "--estimator hybrid"],
    ),
    "an unknown style": ("a.jsonl", lines(*GOOD), ("--style", "qq"), ["style: unknown 'qq'"]),
    "a calibration for nothing": ("a.jsonl", lines(*GOOD), ("--calibration", "c.csv"), ["--predict-harm"]),
    "popularity that nobody gave": (
        "a.jsonl",
        lines(*GOOD),
        ("--signals", "popularity"),
        ["{file}: field 'popularity': no row has any"],
    ),
    "exemplars of a relation that nobody gave": (
        "a.jsonl",
        lines(*GOOD),
        ("--exemplars", "relation"),
        ["field 'relation'", "--map relation=COLUMN"],
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_rows_and_flags_of_an_audit(name, tmp_path, tiny, capsys):
    file, content, flags, pieces = DATA[name]
    path, out = tmp_path / file, tmp_path / "run"
    path.write_bytes(content)
    code, err = run(capsys, "audit", "--model", tiny, "--data", path, "--output-dir", out, *flags)
    assert code == 2, err
    for piece in pieces:
        assert piece.format(file=path) in one_line(err), err
    assert not finished(out)


def spoil(folder, into, change):
    """A copy of a model folder, spoiled."""
    shutil.copytree(folder, into)
    change(into)
    return into


def cut(name, keep=1000):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return change


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def adapter_of_another(tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "someone/else",
        "r": 4,
        "target_modules": ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config | {"task_type": "CAUSAL_LM"}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


# what stands for the model (and more flags), and what the line must say
MODELS = {
    "a hub name without network": (lambda tmp, tiny: ["someone/model"], ["someone/model", "HF_HUB_OFFLINE"]),
    "a name that no hub could have": (lambda tmp, tiny: ["a model?"], ["a model?", "no folder"]),
    "no name": (lambda tmp, tiny: [" "], ["no name given"]),
    "a path that is not there": (lambda tmp, tiny: [tmp / "none"], ["none: no such file or folder"]),
    "a file": (lambda tmp, tiny: [tiny / "config.json"], ["config.json: is a file; expected a folder"]),
    "an empty folder": (lambda tmp, tiny: [tmp], ["has no config.json"]),
    "no weights": (
        lambda tmp, tiny: [spoil(tiny, tmp / "m", lambda f: (f / "model.safetensors").unlink())],
        ["holds no weights"],
    ),
    "torn weights": (
        lambda tmp, tiny: [spoil(tiny, tmp / "m", cut("model.safetensors"))],
        ["m: cannot be opened"],
    ),
    "a torn configuration": (
        lambda tmp, tiny: [spoil(tiny, tmp / "m", cut("config.json", 20))],
        ["config.json: expected JSON"],
    ),
    "a pickle": (lambda tmp, tiny: [spoil(tiny, tmp / "m", pickled)], ["is a pickle", "--allow-pickle"]),
    "an adapter as the model": (lambda tmp, tiny: [adapter_of_another(tmp)], ["it is an adapter"]),
    "an adapter of another base": (
        lambda tmp, tiny: [tiny, "--adapter", adapter_of_another(tmp)],
        ["is an adapter of someone/else"],
    ),
    "a model as the adapter": (
        lambda tmp, tiny: [tiny, "--adapter", tiny],
        ["it is a whole model, not an adapter"],
    ),
    "no GGUF file": (
        lambda tmp, tiny: [(tmp / "m.gguf", (tmp / "m.gguf").write_bytes(b"GGML...."))[0]],
        ["m.gguf: is no GGUF file"],
    ),
    "a device that is not here": (lambda tmp, tiny: [tiny, "--device", "tpu"], ["device: no 'tpu' here"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_bad_models(name, tmp_path, tiny, capsys):
    words, pieces = MODELS[name]
    path, out = tmp_path / "a.jsonl", tmp_path / "run"
    path.write_bytes(lines(*GOOD))
    start = time.perf_counter()
    model, *flags = words(tmp_path, tiny)
    code, err = run(
        capsys,
        "audit",
        "--model",
        model,
        "--data",
        path,
        "--output-dir",
        out,
        "--prompts",
        1,
        "--shots",
        1,
        *flags,
    )
    assert code == 2, err
    for piece in pieces:
        assert piece in one_line(err), err
    assert not finished(out)
    assert time.perf_counter() - start < 20  # a hub name fails at once


@pytest.mark.parametrize(
    ("source", "piece"),
    [
        ("", "no such file or folder"),
        ("folder", "a folder of no known layout"),
        ("a/b", "hub:a/b"),
        ("hub:", "hub:o"),
    ],
)
def test_data_that_is_not_there(source, piece, tmp_path, tiny, capsys, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    code, err = run(capsys, "audit", "--model", tiny, "--data", source or "none.jsonl", "--output-dir", "run")
    assert code == 2
    assert piece in one_line(err)
    assert not finished(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a BOM", b"\xef\xbb\xbf" + lines(*GOOD)),
        ("CRLF", lines(*GOOD).replace(b"\n", b"\r\n")),
        ("no last line end", lines(*GOOD)[:-1]),
        ("zipped", gzip.compress(lines(*GOOD), mtime=0)),
    ],
)
def test_what_only_looks_bad_is_read(name, content, tmp_path, tiny, capsys):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    words = ["--data", path, "--output-dir", tmp_path / "run", "--prompts", 1, "--shots", 1]
    code, err = run(capsys, "audit", "--model", tiny, *words)
    assert code == 0, err
    found = [json.loads(line) for line in (tmp_path / "run" / "audit.jsonl").read_text().splitlines()]
    assert [{k: v for k, v in row.items() if k != "knowledge"} for row in found] == GOOD


def audit_line(**change):
    knowledge = {
        "label": "Unknown",
        "p_greedy": 0.0,
        "p_sample": 0.0,
        "answers": ["a"],
        "logprob": -1.0,
        "overlaps_subject": False,
        "dominant_answer": False,
    }
    return {"question": "q", "answers": ["a"], "knowledge": {**knowledge, **change}}


AUDITED = {
    "an unaudited file": (
        lines(*GOOD),
        ("--keep", "Unknown"),
        ["{file}:1: field 'knowledge'", "`audit` adds"],
    ),
    "an unknown label in the file": (
        lines(audit_line(label="HighlyKnow")),
        ("--keep", "Unknown"),
        ["{file}:1: field 'knowledge.label'", "did you mean 'HighlyKnown'?"],
    ),
    "a probability above one": (lines(audit_line(p_greedy=2)), ("--keep", "Unknown"), ["knowledge.p_greedy"]),
    "knowledge of another type": (
        b'{"knowledge": 3}\n',
        ("--keep", "Unknown"),
        ["{file}:1: field 'knowledge'"],
    ),
    "a torn last line": (
        lines(audit_line()) + b'{"question": "q", "know',
        ("--keep", "Unknown"),
        ["{file}:2: not JSON"],
    ),
    "an empty audit": (b"", ("--keep", "Unknown"), ["{file}: the file is empty"]),
    "nothing asked": (lines(audit_line()), (), ["nothing is asked; give --keep"]),
    "an unknown label asked": (
        lines(audit_line()),
        ("--keep", "Unknwon"),
        ["--keep: unknown label 'Unknwon'; did"],
    ),
    "keep and drop": (lines(audit_line()), ("--keep", "Unknown", "--drop", "Unknown"), ["give one of them"]),
    "nothing left": (lines(audit_line()), ("--keep", "HighlyKnown"), ["no row is left; it has 1 Unknown"]),
    "a top of too much": (
        lines(audit_line()),
        ("--top", "3", "--by", "logprob"),
        ["--top: expected a share"],
    ),
    "a top by nothing": (lines(audit_line()), ("--top", "0.5"), ["add --by with one of margin"]),
    "an unknown score": (
        lines(audit_line()),
        ("--top", "0.5", "--by", "logpro"),
        ["did you mean 'logprob'?"],
    ),
    "a score that was not audited": (
        lines(audit_line()),
        ("--top", "0.5", "--by", "margin"),
        ["no row has a margin"],
    ),
    "a score for nothing": (lines(audit_line()), ("--by", "margin", "--no-overlap"), ["--by: it orders"]),
    "a limit of nothing": (lines(audit_line()), ("--limit", "0"), ["--limit: expected at least 1"]),
    "a size without arms": (
        lines(audit_line()),
        ("--keep", "Unknown", "--size", "2"),
        ["--size: it is for arms"],
    ),
    "disjoint subjects without arms": (
        lines(audit_line()),
        ("--keep", "Unknown", "--disjoint-subjects"),
        ["--disjoint-subjects: it is for arms"],
    ),
    "a limit with arms": (lines(audit_line()), ("--arms", "unknown", "--limit", "2"), ["say --size"]),
    "an unknown arm": (lines(audit_line()), ("--arms", "known,unknwon"), ["did you mean 'unknown'?"]),
    "an unknown cell": (
        lines(audit_line()),
        ("--arms", "unknown", "--match", "subject"),
        ["--match: unknown 'subject'"],
    ),
    "an arm without rows": (lines(audit_line()), ("--arms", "known,unknown"), ["arm 'known': no row is"]),
    "more than can be matched": (
        lines(audit_line(), audit_line(label="MaybeKnown")),
        ("--arms", "known,unknown", "--size", "5"),
        ["5 rows an arm are wanted, but only 1 can be matched"],
    ),
    "another ending": (
        lines(audit_line()),
        ("--keep", "Unknown", "-o", "x.csv"),
        ["are written as such", "x.jsonl"],
    ),
    "an output that is the input": (
        lines(audit_line()),
        ("--keep", "Unknown", "-o", "{file}"),
        ["was not written by"],
    ),
    "an output below a file": (
        lines(audit_line()),
        ("--keep", "Unknown", "-o", "{file}/x.jsonl"),
        ["{file}"],
    ),
    "arms into a file": (lines(audit_line()), ("--arms", "unknown", "-o", "{file}"), ["{file}"]),
}


@pytest.mark.parametrize("name", AUDITED)
def test_bad_audits_and_flags_of_a_filter(name, tmp_path, capsys):
    content, flags, pieces = AUDITED[name]
    path = tmp_path / "audit.jsonl"
    path.write_bytes(content)
    code, err = run(capsys, "filter", path, *(flag.format(file=path) for flag in flags))
    assert code == 2, err
    for piece in pieces:
        assert piece.format(file=path) in one_line(err), err
    assert os.listdir(tmp_path) == ["audit.jsonl"]
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        (["filter"], "Required options"),
        (["filter", "a.jsonl", "--topp", "1"], "--top"),
        (["filter", "a.jsonl", "--limit", "many"], "many"),
        (["audit", "--model", "m"], "--data"),
        (["audit", "--model", "m", "--data", "d", "--output-dir", "o", "--budget", "huge"], "huge"),
        (["filtr", "a.jsonl"], "filtr"),
    ],
)
def test_words_that_are_no_command_line_are_usage_errors(words, piece, capsys):
    code, err = run(capsys, *words)
    assert code == 2
    assert piece in err
    assert "Traceback" not in err


def test_a_full_disk_ends_an_audit_with_one_line_and_keeps_what_is_done(tmp_path, tiny, capsys, monkeypatch):
    from realmodels import audit

    path, out = tmp_path / "a.jsonl", tmp_path / "run"
    path.write_bytes(lines(*GOOD))
    words = ["audit", "--model", tiny, "--data", path, "--output-dir", out, "--prompts", 2, "--shots", 1]

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out / "summary.json"))

    with monkeypatch.context() as patch:
        patch.setattr(audit, "write_whole", full)
        code, err = run(capsys, *words)
    assert code == 1
    assert (
        one_line(err)
        == f"error: {out / 'summary.json'}: No space left on device; free some and run the same command again\n"
    )
    assert "summary.json" not in os.listdir(out)
    code, err = run(capsys, *words)
    assert code == 0, err
    assert finished(out) == {"audit.jsonl", "summary.json", "generations.jsonl"}


def test_ctrl_c_keeps_what_is_done(tmp_path, tiny, capsys, monkeypatch):
    from realmodels import audit_ask

    path, out = tmp_path / "a.jsonl", tmp_path / "run"
    path.write_bytes(lines(*GOOD))
    words = ["audit", "--model", tiny, "--data", path, "--output-dir", out, "--prompts", 3, "--shots", 1]
    ask, calls = audit_ask.ask, []

    def interrupted(*rest):
        calls.append(rest)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return ask(*rest)

    with monkeypatch.context() as patch:
        patch.setattr(audit_ask, "ask", interrupted)
        code, err = run(capsys, *words)
    assert code == 130
    assert err == "interrupted: finished work is kept, run the same command again to go on\n"
    assert finished(out) == {"generations.jsonl"}
    kept = (out / "generations.jsonl").read_text().splitlines()
    code, err = run(capsys, *words)
    assert code == 0, err
    assert set(kept) <= set((out / "generations.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(answers=[]), ["audit", "--model", "MODEL", "--data", "a.jsonl", "--output-dir", "run"]),
        (lines(*GOOD), ["audit", "--model", "someone/model", "--data", "a.jsonl", "--output-dir", "run"]),
        (lines(*GOOD), ["filter", "a.jsonl", "--keep", "Unknown"]),
        (lines(audit_line()), ["filter", "a.jsonl", "--keep", "HighlyKnown"]),
    ],
)
def test_as_a_person_would_see_it(content, words, tmp_path, tiny, root):
    (tmp_path / "a.jsonl").write_bytes(content)
    words = [str(tiny) if word == "MODEL" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "realmodels", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    one_line(done.stderr)
    assert not finished(tmp_path / "run")


def test_debug_shows_the_traceback(tmp_path, capsys):
    path = tmp_path / "audit.jsonl"
    path.write_bytes(lines(*GOOD))
    with pytest.raises(ValueError, match="field 'knowledge'"):
        run(capsys, "--debug", "filter", path, "--keep", "Unknown")


def test_there_are_at_least_forty_cases():
    assert len(DATA) + len(MODELS) + len(AUDITED) >= 40

"""Stopped anywhere and started again, an audit ends with the bytes of one that was never stopped."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realmodels import audit_ask
from realmodels.audit_parts import Parts, Team, team
from realmodels.cli import COMMANDS
from realmodels.errors import RealmodelsError
from theory.command import main

ROOT = Path(__file__).resolve().parents[2]
FILES = ("audit.jsonl", "generations.jsonl", "summary.json", "config.json")


def put(path, n):
    rows = [
        {
            "question": f"What is the capital of Land{i}?",
            "answers": f"City{i}",
            "subject": f"Land{i}",
            "relation": "r",
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def words(model, data, out, *more):
    return ["audit", "--model", str(model), "--data", str(data), "-o", str(out), *map(str, more)]


def audit(*arguments):
    return main("python -m realmodels", "about", COMMANDS, words(*arguments))


def files(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def left_behind(folder):
    return {path.name for path in folder.iterdir()} - {*FILES, ".lock", "environment.json"}


def start(arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "realmodels", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when(process, ready, seconds=600.0):
    """SIGKILL once `ready`; whether it came before the end."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if ready():
            process.kill()
            break
        time.sleep(0.001)
    process.communicate(timeout=600)
    return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return put(tmp_path_factory.mktemp("rows") / "rows.jsonl", 160)


MORE = ("--prompts", 3, "--signals", "margin")


@pytest.fixture(scope="module")
def whole(tiny, rows, tmp_path_factory):
    """An audit that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert audit(tiny, rows, folder, *MORE) == 0
    assert left_behind(folder) == set()
    return folder


def test_the_same_audit_twice_is_the_same(tiny, rows, whole, tmp_path):
    assert audit(tiny, rows, tmp_path / "out", *MORE) == 0
    assert files(tmp_path / "out") == files(whole)
    assert audit(tiny, rows, tmp_path / "out", *MORE) == 0
    assert files(tmp_path / "out") == files(whole)


def test_killed_once(tiny, rows, whole, tmp_path):
    """SIGKILL after the first piece is on disk."""
    out = tmp_path / "out"
    process = start(words(tiny, rows, out, *MORE))
    generations = out / "generations.jsonl"
    assert kill_when(process, lambda: generations.exists() and generations.stat().st_size > 0)
    assert not (out / "audit.jsonl").exists()
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == set()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.45, 0.99])
def test_killed_at_any_share_of_the_work_and_again(tiny, rows, whole, tmp_path, share):
    out = tmp_path / "out"
    generations, size = out / "generations.jsonl", (whole / "generations.jsonl").stat().st_size
    for part in (share, share + 0.1):
        process = start(words(tiny, rows, out, *MORE))
        kill_when(
            process, lambda part=part: generations.exists() and generations.stat().st_size >= part * size
        )
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", [".generations.jsonl.", ".audit.jsonl.", ".summary.json.", "audit.jsonl"])
def test_killed_while_the_final_files_are_written(tiny, rows, whole, tmp_path, name):
    out = tmp_path / "out"
    process = start(words(tiny, rows, out, *MORE))
    kill_when(process, lambda: out.exists() and any(path.name.startswith(name) for path in out.iterdir()))
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == set()


@pytest.mark.parametrize("share", [0.001, 0.1, 0.29, 0.5, 0.77, 0.9999])
def test_any_torn_file_is_completed(tiny, rows, whole, tmp_path, share):
    """What a kill in the middle of a write leaves: the file up to some byte."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_bytes((whole / "config.json").read_bytes())
    content = (whole / "generations.jsonl").read_bytes()
    (out / "generations.jsonl").write_bytes(content[: round(share * len(content))])
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)


def test_a_torn_line_is_passed_over_wherever_it_stands(tiny, rows, whole, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_bytes((whole / "config.json").read_bytes())
    lines = (whole / "generations.jsonl").read_bytes().splitlines(keepends=True)
    odd = [lines[0][:-9] + b"\n", b'{"key": 3}\n', b"[1]\n", b"\xff\xfe\n", b"\n"]
    key = json.dumps(
        json.loads(lines[0])["key"]
    ).encode()  # lines of a key that is asked for, damaged by hand
    odd += [b'{"key": ' + key + b', "p": NaN}\n', b'{"key": ' + key + b', "p": ' + b"[" * 100_000 + b"\n"]
    (out / "generations.jsonl").write_bytes(b"".join([*lines[1:70], *odd, *lines[70:500], lines[3]]))
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)


def test_what_a_killed_process_was_writing_is_cleared_away(tiny, rows, whole, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in FILES:
        (out / name).write_bytes((whole / name).read_bytes())
        (out / f".{name}.0123abcd").write_bytes(b'{"half')
    (out / "notes.txt").write_text("mine")
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == {"notes.txt"}


def test_only_what_is_missing_is_asked(tiny, rows, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_bytes((whole / "config.json").read_bytes())
    lines = (whole / "generations.jsonl").read_bytes().splitlines(keepends=True)
    (out / "generations.jsonl").write_bytes(b"".join(lines[:-1]))
    pieces = []
    plain = audit_ask.ask

    def counted(loaded, plan, piece, *how):
        pieces.append(piece)
        return plain(loaded, plan, piece, *how)

    monkeypatch.setattr(audit_ask, "ask", counted)
    assert audit(tiny, rows, out, *MORE) == 0
    assert len(pieces) == 1
    assert json.loads(lines[-1])["key"] in pieces[0].keys
    assert files(out) == files(whole)


def test_ctrl_c_keeps_what_is_finished(tiny, rows, whole, tmp_path, monkeypatch, capsys):
    out, plain, calls = tmp_path / "out", audit_ask.ask, []

    def interrupted(loaded, plan, piece, *how):
        calls.append(piece)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(loaded, plan, piece, *how)

    with monkeypatch.context() as patch:
        patch.setattr(audit_ask, "ask", interrupted)
        assert audit(tiny, rows, out, *MORE) == 130
    assert (
        capsys.readouterr().err == "interrupted: finished work is kept, run the same command again to go on\n"
    )
    kept = (out / "generations.jsonl").read_bytes().splitlines()
    assert len(kept) == sum(len(piece.keys) for piece in calls[:3])
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(tiny, rows, whole, tmp_path, capsys):
    """The kernel refuses to let a file grow, in the middle of the third piece."""
    out = tmp_path / "out"
    capsys.readouterr()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        assert audit(tiny, rows, out, *MORE) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = capsys.readouterr().err
    assert error.startswith(f"error: {out / 'generations.jsonl'}: ")
    assert error.count("\n") == 1
    kept = (out / "generations.jsonl").read_bytes()
    assert 0 < len(kept) <= 100_000
    assert kept.endswith(b"}\n")
    assert set(kept.splitlines()) <= set((whole / "generations.jsonl").read_bytes().splitlines())
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)


def test_a_disk_that_fills_up_at_the_end_leaves_no_half_file(tiny, rows, tmp_path, monkeypatch, capsys):
    from realmodels import audit as module

    real = module.whole_file

    def full(path, *rest):
        if Path(path).name == "audit.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *rest)

    monkeypatch.setattr(module, "whole_file", full)
    assert audit(tiny, rows, tmp_path / "out", *MORE) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not (tmp_path / "out" / "audit.jsonl").exists()
    assert left_behind(tmp_path / "out") == set()


def test_each_of_a_team_does_its_share(tiny, rows, whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in (2, 1):
        monkeypatch.setenv("RANK", f"{rank}")
        capsys.readouterr()
        assert audit(tiny, rows, out, *MORE) == 0
        assert capsys.readouterr().out == ""
        assert (out / f"generations.rank-{rank}.jsonl").stat().st_size > 0
        assert not (out / "audit.jsonl").exists()
    monkeypatch.setenv("RANK", "0")
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == {".lock-1", ".lock-2"}


@pytest.mark.slow
def test_several_processes_do_together_what_one_does(tiny, rows, whole, tmp_path):
    """As `accelerate launch` starts them: the files are those of one process."""
    out = tmp_path / "out"
    both = [start(words(tiny, rows, out, *MORE), RANK=str(rank), WORLD_SIZE="2") for rank in (0, 1)]
    said = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "prompts of 4 shots" in said[0][0]
    assert said[1][0] == ""
    assert files(out) == files(whole)
    assert left_behind(out) <= {".lock-1"}


def test_what_a_team_left_unfinished_one_process_finishes(tiny, rows, whole, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_bytes((whole / "config.json").read_bytes())
    lines = (whole / "generations.jsonl").read_bytes().splitlines(keepends=True)
    (out / "generations.rank-0.jsonl").write_bytes(b"".join(lines[:200]))
    (out / "generations.rank-1.jsonl").write_bytes(b"".join(lines[300:500])[:-20])
    assert audit(tiny, rows, out, *MORE) == 0
    assert files(out) == files(whole)
    assert left_behind(out) == set()


def test_an_older_audit_does_not_stand_beside_unfinished_work(tiny, rows, whole, tmp_path, monkeypatch):
    """Whose folder is whose is not seen: the older tables go before the first new piece."""
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    plain, calls = audit_ask.ask, []

    def interrupted(*words):
        calls.append(sorted(path.name for path in out.glob("*.json*")))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*words)

    with monkeypatch.context() as patch:
        patch.setattr(audit_ask, "ask", interrupted)
        assert audit(tiny, rows, out, "--prompts", 4) == 130
    assert calls == [["config.json", "environment.json", "generations.jsonl"]] * 2
    assert audit(tiny, rows, out, *MORE) == 0
    assert (out / "audit.jsonl").read_bytes() == (whole / "audit.jsonl").read_bytes()
    assert (out / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()


@pytest.mark.parametrize("name", ["audit.jsonl", "summary.json"])
def test_tables_of_two_audits_never_stand_side_by_side(tiny, rows, whole, tmp_path, monkeypatch, name):
    """Nothing is missing, so that nothing is asked; and the disk is full when one of the two is written."""
    from realmodels import audit as module

    out = tmp_path / "out"
    shutil.copytree(whole, out)

    def full(path, *rest):
        if Path(path).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real(path, *rest)

    each = "whole_file" if name == "audit.jsonl" else "write_whole"
    real = getattr(module, each)
    with monkeypatch.context() as patch:
        patch.setattr(module, each, full)
        assert audit(tiny, rows, out, "--prompts", 2) == 1
    assert {path.name for path in out.glob("[as]*.json*")} == ({"audit.jsonl"} - {name})
    assert audit(tiny, rows, out, "--prompts", 2) == 0
    assert json.loads((out / "summary.json").read_text())["n_prompts"] == 2
    lines = (out / "audit.jsonl").read_text().splitlines()
    assert {json.loads(line)["knowledge"]["n_prompts"] for line in lines} == {2}


def test_rows_added_to_the_data_are_all_that_is_asked(tiny, tmp_path, monkeypatch):
    """With exemplars of their own, so that the shots of the others stay."""
    data, pool, out = put(tmp_path / "rows.jsonl", 20), put(tmp_path / "pool.jsonl", 60), tmp_path / "out"
    more = ("--prompts", 2, "--exemplars-from", pool, "--shots", 2)
    assert audit(tiny, data, out, *more) == 0
    before = {json.loads(line)["key"] for line in (out / "generations.jsonl").read_text().splitlines()}
    put(data, 22)
    assert audit(tiny, data, out, *more) == 0
    after = {json.loads(line)["key"] for line in (out / "generations.jsonl").read_text().splitlines()}
    assert before < after
    assert len(after) == len(before) + 4
    assert len((out / "audit.jsonl").read_text().splitlines()) == 22


def test_waiting_for_the_others_ends(tmp_path):
    parts = Parts(tmp_path, Team(0, 2))
    with pytest.raises(
        RealmodelsError, match=r"nothing new from the other 1 processes for 0 s, 2 answers missing"
    ):
        parts.wait(["a", "b"], pause=0.01, patience=0.05)
    other = Parts(tmp_path, Team(1, 2))
    other.put([{"key": "a"}, {"key": "b"}])
    parts.wait(["a", "b"], pause=0.01, patience=1)
    assert list(parts.get(["b", "a"])) == [{"key": "b"}, {"key": "a"}]


@pytest.mark.parametrize(
    ("rank", "size", "says"),
    [
        ("x", "2", "RANK='x'; expected a number"),
        ("2", "2", "RANK=2 of WORLD_SIZE=2"),
        ("0", "-1", "WORLD_SIZE='-1'"),
    ],
)
def test_an_odd_launch_is_named(monkeypatch, rank, size, says):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(RealmodelsError, match=says):
        team()


def test_a_team_shares_the_work(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert team() == Team(1, 3)
    assert [number for number in range(7) if team().mine(number)] == [1, 4]


def test_a_team_does_not_overwrite(tiny, rows, whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert audit(tiny, rows, whole, *MORE, "--overwrite") == 2
    assert "--overwrite: not among several processes; empty the folder first" in capsys.readouterr().err
    assert (whole / "audit.jsonl").exists()

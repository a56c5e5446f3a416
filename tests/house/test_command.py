"""One line an error, honest exit codes, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from theory.command import main
from theory.errors import TheoryError
from theory.files import write_whole


def failing(problem):
    @dataclass(frozen=True)
    class Broken:
        """Fails."""

        def run(self) -> int:
            raise problem

    return {"go": Broken}


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (TheoryError("world.toml: field x"), 2, "error: world.toml: field x"),
        (OSError(28, "No space left on device", "out/a.csv"), 1, "error: out/a.csv: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "out/a.csv"), 2, "error: out/a.csv: No such file"),
        (IsADirectoryError(21, "Is a directory", "out"), 2, "error: out: Is a directory"),
        (PermissionError(13, "Permission denied", "out"), 2, "error: out: Permission denied"),
        (OSError("the device is gone"), 1, "error: the device is gone"),
        (MemoryError(), 1, "error: out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            2,
            'pip install "nameblind[synthetic]"',
        ),
        (
            ModuleNotFoundError("No module named 'matplotlib.pyplot'", name="matplotlib.pyplot"),
            2,
            "nameblind[figures]",
        ),
    ],
)
def test_problems_become_one_line_and_an_exit_code(capsys, problem, code, line):
    assert main("x", "about", failing(problem), ["go"]) == code
    err = capsys.readouterr().err
    assert line in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "problem", [ValueError("a bug"), ModuleNotFoundError("No module named 'zzz'", name="zzz")]
)
def test_bugs_are_not_dressed_up_as_bad_input(problem):
    with pytest.raises(type(problem)):
        main("x", "about", failing(problem), ["go"])


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(TheoryError, match="field x"):
        main("x", "about", failing(TheoryError("field x")), ["go", "--debug"])


def test_exit_code_of_the_command_is_passed_on():
    @dataclass(frozen=True)
    class Answer:
        """Returns its flag."""

        code: int = 7

        def run(self) -> int:
            return self.code

    assert main("x", "about", {"a": Answer, "b": Answer}, ["a"]) == 7
    assert main("x", "about", {"a": Answer, "b": Answer}, ["b", "--code", "3"]) == 3


def test_unknown_flags_and_commands_exit_with_2(cli):
    for words in (["chekc"], ["check", "--nn", "3"], ["check", "--n", "many"], ["show"]):
        run = cli("theory", *words)
        assert run.returncode == 2, words
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["check", "T77"], "no theorem is called 'T77'; there are T1"),
        (["check", "T1", "--n", "0"], "n: expected at least 1, got 0"),
        (["check", "T1", "--seed", "-1"], "seed: expected at least 0, got -1"),
        (["check", "T1", "--workers", "0"], "workers: expected at least 1, got 0"),
        (["show", "Z9"], "nothing is called 'Z9'; there are T1"),
        (["claims", "missing.jsonl"], "missing.jsonl"),
        (["claims"], "expected one or more records.jsonl files"),
        (["data", "-o", "out", "--only", "nonsense"], "nonsense"),
        (["data", "-o", "out", "--seeds", "0"], "seeds"),
        (["world", "missing.toml"], "missing.toml"),
    ],
)
def test_bad_input_gets_one_clear_line(cli, tmp_path, words, line):
    run = cli("theory", *words)
    assert run.returncode == 2, run.stderr
    assert line in run.stderr
    assert run.stderr.count("error:") == 1
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_closed_pipe_is_no_error():
    run = subprocess.run(
        f"{sys.executable} -m theory list | head -n 1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.startswith("T1")
    assert run.stderr == ""


@contextmanager
def started(*words, **options):
    """A command in a session of its own that hears Ctrl-C even if this suite does not; nothing of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("after", [1.0, 1.3, 1.6, 2.0, 4.0])  # workers are starting, importing, working
def test_ctrl_c_ends_a_long_check_quietly(root, after):
    with started("theory", "check", "--n", "400000", "--workers", "2", cwd=root) as process:
        time.sleep(after)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted" in err


def test_an_unwritable_place_is_named_as_it_was_given(cli, tmp_path):
    (tmp_path / "taken").mkdir()
    run = cli("theory", "check", "T1", "--n", "5", "-o", "taken")
    assert run.returncode == 2
    assert run.stderr == "error: taken: Is a directory\n"
    assert os.listdir(tmp_path) == ["taken"]


def test_a_warning_is_one_line_and_the_command_goes_on(capsys):
    @dataclass(frozen=True)
    class Warns:
        """Warns."""

        def run(self) -> int:
            warnings.warn("records.jsonl:2: torn", UserWarning, stacklevel=1)
            return 0

    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main("x", "about", {"go": Warns}, ["go"]) == 0
    assert capsys.readouterr().err == "warning: records.jsonl:2: torn\n"
    assert warnings.showwarning is before


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_whole(path, "old")
    with pytest.raises(TypeError, match="must be str"):
        write_whole(path, ["half way"])
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["b.txt"]
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"


def test_written_files_respect_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_ctrl_c_ends_measuring_at_once_and_leaves_no_process(tmp_path):
    words = ("theory", "data", "-o", str(tmp_path / "out"), "--only", "dense", "window")
    with started(*words) as process:
        time.sleep(6)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        start = time.perf_counter()
        _, err = process.communicate(timeout=60)
        assert time.perf_counter() - start < 20
        assert process.returncode == 130, err
        assert "Traceback" not in err
        assert "interrupted" in err
        for _ in range(50):
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.1)
        else:
            pytest.fail("processes are left")
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("room", "pressed"),
    [
        *((room, "raise KeyboardInterrupt") for room in ("theory", "synthetic", "realmodels", "figures")),
        ("theory", "exec('raise KeyboardInterrupt')"),  # as in the making of a dataclass
    ],
)
def test_ctrl_c_while_modules_are_loaded_is_one_line(cli, root, room, pressed, tmp_path):
    """The room's commands are replaced by a module that presses Ctrl-C as it is loaded."""
    code = (
        "import runpy, sys, types\n"
        "class Pressed(types.ModuleType):\n"
        f"    def __getattr__(self, name): {pressed}\n"
        f"import {room}\n"
        f"sys.modules['{room}.cli'] = Pressed('{room}.cli')\n"
        f"runpy.run_module('{room}', run_name='__main__')\n"
    )
    (tmp_path / "presses.py").write_text(code)  # a command of -c would end in another way
    run = cli("presses", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"})
    assert run.returncode == 130
    assert run.stderr == "interrupted: nothing had begun\n"


def test_help_into_a_reader_that_leaves_is_quiet():
    run = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m theory world --help | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")

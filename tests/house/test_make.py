"""`make` alone prints the list; a second run spends its time on work, not on set-up."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hardening import bounds

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
TARGETS = ("reproduce", "test", "bounds", "bench", "lint", "clean")


def make(folder, *words):
    return subprocess.run(["make", "-C", str(folder), *words], capture_output=True, text=True, timeout=120)


@needs_make
def test_make_alone_prints_the_list(root):
    run = make(root)
    assert run.returncode == 0
    for target in TARGETS:
        assert f"make {target} " in run.stdout


@needs_make
def test_reproduce_ends_with_the_report_of_what_it_made(root):
    run = make(root, "-n", "reproduce", "OUT=made", f"VENV={sys.prefix}")
    assert run.returncode == 0, run.stderr
    steps = re.findall(r" -m ((?:theory|synthetic|figures) \w+)", run.stdout)
    assert steps == [
        "theory check", "theory data", "theory claims", "synthetic run", "synthetic graph", "figures all",
        "figures report",
    ]  # fmt: skip
    sources = "made/runs made/data made/graph.json"
    assert f"all {sources} --closed-forms --output made/figures" in run.stdout
    assert f"report {sources} --checks made/checks.json --output made/report.html" in run.stdout
    said = run.stdout.partition("--output made/report.html")[2]
    for part in ("made/checks.json", "made/scoreboard.csv", "made/figures", "made/report.html"):
        assert part in said


@needs_make
@pytest.mark.parametrize("worse", [None, "oldest", "newest"])
def test_both_ends_of_the_versions_are_tried_and_either_counts(root, tmp_path, worse):
    """With a Python that only writes down what it is asked and fails at one end."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\ntest "$2" != "{worse}"\n')
    python.chmod(0o755)
    (tmp_path / "ready-test").touch()
    run = make(root, "bounds", f"VENV={tmp_path}", "OUT=there", "-o", f"{tmp_path}/ready-test")
    assert (run.returncode != 0) == (worse is not None), run.stderr
    script = "tests/hardening/bounds.py"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [f"{script} {end} there/{end} --keep" for end in ("oldest", "newest")]
    flags = [bounds.parser().parse_args(line.split()[1:]) for line in asked]
    assert [(one.end, one.keep) for one in flags] == [("oldest", True), ("newest", True)]


def test_a_schedule_has_one_script_for_both_ends(root):
    path = root / ".ci" / "bounds"
    if not path.exists():
        pytest.skip(".ci is not in an archive of the source")
    assert os.access(path, os.X_OK)
    said = path.read_text()
    assert re.search(r"^make bounds OUT=", said, flags=re.M)
    assert "oldest" in said
    assert "newest" in said
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0


@needs_make
def test_nothing_is_installed_twice(root):
    """With an environment that is ready, `make -n` names no pip."""
    ready = Path(sys.prefix) / "ready-test"
    if not ready.exists():
        pytest.skip("this environment was not made by `make test`")
    for target in ("reproduce", "test", "bench", "lint"):
        run = make(root, "-n", target, f"VENV={sys.prefix}")
        assert run.returncode == 0
        assert " pip install" not in run.stdout, target


@needs_make
def test_set_up_of_a_second_run_takes_under_two_seconds(root):
    if not (Path(sys.prefix) / "ready-base").exists():
        pytest.skip("this environment was not made by `make reproduce` or `make test`")
    start = time.perf_counter()
    run = make(root, f"{sys.prefix}/ready-base", f"VENV={sys.prefix}")
    assert run.returncode == 0, run.stderr
    assert time.perf_counter() - start < 2


@needs_make
def test_an_old_python_is_refused_in_one_line(root, tmp_path):
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    run = make(root, f"{tmp_path}/venv/bin/python", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert run.returncode != 0
    assert "is older than 3.11" in run.stdout
    assert not (tmp_path / "venv").exists()


@needs_make
def test_clean_leaves_only_what_git_tracks(root, tmp_path):
    copy = tmp_path / "a copy"
    tracked = subprocess.run(["git", "-C", root, "ls-files"], capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in ("Makefile", "pyproject.toml", "README.md"):
        copy.mkdir(exist_ok=True)
        shutil.copy(root / name, copy / name)
    for name in ("out/x", "runs/y", "theory/__pycache__/z", ".mypy_cache/w", "kept/x"):
        (copy / name).parent.mkdir(parents=True)
        (copy / name).write_text("x")
    assert make(copy, "clean", "OUT=kept").returncode == 0
    assert sorted(os.listdir(copy)) == ["Makefile", "README.md", "kept", "pyproject.toml", "theory"]
    assert os.listdir(copy / "theory") == []

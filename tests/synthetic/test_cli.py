"""The commands of the laboratory: what they print, what they refuse, how they end."""

import ctypes
import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from synthetic.cli import Run, Summarise
from synthetic.profiles import cores

TINY = Path(__file__).parents[1] / "tiny.toml"  # a setup of seconds


def test_a_quick_run_prints_the_scoreboard_and_writes_it(drive, tmp_path):
    run = drive("run", "quick", "-o", tmp_path)
    assert run.returncode == 0, run.stderr
    assert "A1 lesser-known rows hurt" in run.stdout
    assert "reproduced" in run.stdout
    wrote = [line.removeprefix("wrote ") for line in run.stderr.splitlines() if line.startswith("wrote ")]
    assert len(wrote) == 5
    assert all(os.path.getsize(path) > 0 for path in wrote)
    assert "%|" not in run.stderr  # no bar where nobody watches
    board = json.loads(next(tmp_path.glob("scoreboard-*/scoreboard.json")).read_text())
    assert {verdict["claim"] for verdict in board["verdicts"]} >= {"A1", "C1"}
    command = json.loads(next(tmp_path.glob("salience-*/environment.json")).read_text())["command"]
    assert command.endswith(f"run quick -o {tmp_path}")


def test_the_run_command_by_itself(toys, tmp_path, capsys):
    assert Run("quick", output=tmp_path / "runs", dry_run=True).run() == 0
    assert "units: 6, of which 0 are finished" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    assert Run("quick", ("salience",), workers=1000, output=tmp_path / "runs").run() == 0
    out, err = capsys.readouterr()
    assert "A1 lesser-known rows hurt" in out
    assert "C1" not in out
    assert f"workers: {cores()} and not 1000, for {cores()} cores" in err
    folders = tuple(path.parent for path in (tmp_path / "runs").glob("*/records.jsonl"))
    assert Summarise(folders, tmp_path / "results").run() == 0
    assert f"wrote {tmp_path / 'results' / 'effects.csv'}" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(drive, tmp_path):
    run = drive("run", "full", "--dry-run", "--rungs", "R2-2layer", "--seeds", "7", "-o", tmp_path / "runs")
    assert run.returncode == 0, run.stderr
    assert "units: 14, of which 0 are finished and 14 to do" in run.stdout
    assert "time: about" in run.stdout
    assert "memory: about" in run.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("quik",), "no profile is called 'quik'; did you mean 'quick'?"),
        (("quick", "--studies", "salienz"), "no study is called 'salienz'; did you mean 'salience'?"),
        (("quick", "--rungs", "R9"), "no rung is called 'R9'; known are R1-fixed"),
        (("quick", "--seeds", "0"), "--seeds 0: expected how many seeds"),
        (("quick", "--seeds", "101", "101"), "--seeds 101 101: expected different numbers"),
        (("quick", "--workers", "0"), "--workers 0: expected at least 1"),
        (("quick", "--setup", "nowhere.toml"), "nowhere.toml: No such file"),
        (("quick", "--studies", "slick", "--rungs", "R1-fixed"), "slick: nothing to do at R1-fixed"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(drive, tmp_path, words, line):
    run = drive("run", *words, "-o", tmp_path / "runs")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [run.stderr.strip()]
    assert run.stderr.startswith("error: ")
    assert line in run.stderr
    assert os.listdir(tmp_path) == []


def test_an_impossible_setup_gets_one_line(drive, tmp_path):
    (tmp_path / "setup.toml").write_text("scale = -1\n")
    run = drive("run", "quick", "--setup", tmp_path / "setup.toml", "-o", tmp_path / "runs")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "error: Setup.scale is -1; give a number above 0\n"
    assert not (tmp_path / "runs").exists()


def test_what_a_study_refuses_is_said_in_one_line(drive, tmp_path):
    run = drive(
        "run", "quick", "--studies", "salience", "--seeds", "1", "-o", tmp_path, toy='{"how": "refuse"}'
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "error: salience R2-2layer seed 100: 800 rows an arm are asked for, and there are 612 facts; ask for fewer\n"
    )
    assert not list(tmp_path.glob("*/records.jsonl"))


def test_a_failed_unit_exits_with_1_and_the_next_run_does_only_that(drive, tmp_path):
    toy = '{"how": "die"}'
    run = drive("run", "quick", "-o", tmp_path, toy=toy)
    assert run.returncode == 1
    assert run.stderr.count("error: ") == 1
    assert "A1" in run.stdout
    before = len((tmp_path / "cache" / "workers").read_text().splitlines())
    assert drive("run", "quick", "-o", tmp_path, toy=toy).returncode == 1
    assert len((tmp_path / "cache" / "workers").read_text().splitlines()) == before + 1


@pytest.mark.parametrize("place", ["a file", "proc"])
def test_a_place_that_cannot_be_written_is_named(drive, tmp_path, place):
    output = tmp_path / "taken" if place == "a file" else "/proc/runs"
    (tmp_path / "taken").write_text("")
    run = drive("run", "quick", "-o", output)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"error: {output}")
    assert len(run.stderr.splitlines()) == 1


def _no_more_than_anybody():
    """Root may write everywhere: a child without this capability may not."""
    pr_capbset_drop, cap_dac_override = 24, 1
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0)


def test_a_read_only_folder_is_named(drive, tmp_path):
    tmp_path.chmod(0o555)
    run = drive("run", "quick", "-o", tmp_path / "runs", preexec_fn=_no_more_than_anybody)
    tmp_path.chmod(0o755)
    assert run.returncode == 2
    assert (
        run.stderr
        == f"error: {tmp_path / 'runs'}: Permission denied; choose a place that can be written to\n"
    )


def test_a_disk_that_fills_up_ends_the_run_in_one_line_with_finished_work_kept(drive, tmp_path):
    """No file may grow beyond 4 kB: the slick parts fit, a salience part does not."""
    assert drive("run", "quick", "--studies", "slick", "-o", tmp_path).returncode == 0
    kept = {path: path.read_bytes() for path in tmp_path.glob("slick-*/parts/*")}
    assert len(kept) == 3
    run = drive(
        *("run", "quick", "--seeds", "4", "-o", tmp_path),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith(f"error: {tmp_path}/salience-")
    assert "File too large; " in run.stderr
    assert not list(tmp_path.glob("salience-*/parts/*"))
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".lock"]
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert drive("run", "quick", "--seeds", "4", "-o", tmp_path).returncode == 0
    assert len(list(tmp_path.glob("salience-*/parts/*"))) == 4


def test_an_edited_config_is_refused_in_one_line(drive, tmp_path):
    assert drive("run", "quick", "--studies", "slick", "--seeds", "1", "-o", tmp_path).returncode == 0
    path = next(tmp_path.glob("slick-*/config.json"))
    path.write_text("{}\n")
    run = drive("run", "quick", "--studies", "slick", "--seeds", "1", "-o", tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {path}: it does not have the hash in its folder's name")
    assert len(run.stderr.splitlines()) == 1


def test_a_summary_from_the_command_line(drive, tmp_path):
    assert drive("run", "quick", "-o", tmp_path / "runs").returncode == 0
    folders = sorted(path.parent for path in (tmp_path / "runs").glob("*/records.jsonl"))
    run = drive("summarise", *folders, "-o", tmp_path / "results")
    assert run.returncode == 0, run.stderr
    names = ["cells.csv", "effects.csv", "provenance.json"]
    names += ["scoreboard.csv", "scoreboard.json", "scoreboard.md"]
    assert sorted(os.listdir(tmp_path / "results")) == names
    origin = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert "summarise" in origin["summarised_by"]
    assert drive("summarise", tmp_path / "runs" / "cache", "-o", tmp_path / "no").returncode == 2


def test_a_graph_from_the_command_line_takes_its_second_from_the_cache(cli, tmp_path):
    shutil.copy(TINY, tmp_path)
    words = ("synthetic", "graph", "quick", "--seed", "3", "--setup", "tiny.toml", "--cache", "kept")
    run = cli(*words, "--output", "new/first.json")
    assert run.returncode == 0, run.stderr
    first = json.loads((tmp_path / "new" / "first.json").read_text())
    assert first["format"] == "nameblind graph 1"
    assert (first["seed"], first["lab"]) == (3, "synthetic/R2-2layer")
    head, *lines = run.stdout.splitlines()
    assert head.startswith(f"new/first.json: {first['relation_name']}, {len(first['edges'])} edges, ")
    assert [line.split()[0] for line in lines] == ["base", "known", "unknown"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.npz")}
    assert sorted(path.name.split("-")[0] for path in kept) == ["base", "knowledge", "tuned", "tuned"]
    again = cli(*words, "--relation", first["relation_name"], "-o", "second.json")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "second.json").read_text()) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.npz")} == kept
    assert "step" not in again.stderr


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("quik",), "no profile is called 'quik'; did you mean 'quick'?"),
        (("--rung", "R9"), "no rung is called 'R9'"),
        (("--relation", "0"), "relation '0' is not one that rows are about; take one of 1 ("),
        (("--relation", "nobody"), "relation 'nobody' is not one that rows are about"),
        (("--prompt", "many"), "prompt 'many': expected zero, own, cot, or few"),
        (("--seed", "-1"), "World.seed: expected an integer >= 0, got -1"),
        (("--setup", "nowhere.toml"), "nowhere.toml: No such file"),
        (("--output", "taken/graph.json"), "taken: File exists"),
        (("--output", "."), ".: Is a directory"),
    ],
)
def test_bad_input_of_a_graph_gets_one_line_before_anything_is_trained(cli, tmp_path, words, line):
    (tmp_path / "taken").write_text("")
    run = cli("synthetic", "graph", *words)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [run.stderr.strip()]
    assert run.stderr.startswith("error: ")
    assert line in run.stderr
    assert not list(tmp_path.rglob("*.npz"))
    assert not (tmp_path / "graph.json").exists()

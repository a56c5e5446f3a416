"""Killed with kill -9 and started again, commands leave what they leave undisturbed; two at once spoil nothing.

`python tests/hardening/crash.py` does the same at length."""

import json
import os
import random
import signal
import time

import pytest

from realmodels.cli import COMMANDS
from realmodels.eval_files import write_eval
from realmodels.recipe import Recipe
from realmodels.train_watch import Label, Watch
from synthetic.lab import BOARD, CACHE, in_use
from tests.hardening.crash import Bench, Victim, cold, differences, killed, left, nursery, paired, stepped
from tests.hardening.victims import victims
from theory.command import main
from theory.files import scratch_of, sweep, whole_file
from theory.records import Record, read_records, write_records

# ---------------------------------------------------------------- the same machinery as at length, a few kills


@pytest.fixture(scope="module")
def start():
    with nursery() as found:
        yield found


@pytest.fixture(scope="module")
def small(start, tmp_path_factory):
    return victims(tmp_path_factory.mktemp("material") / "m", start, size=1)


@pytest.fixture(scope="module")
def bench(start, small, tmp_path_factory):
    """A command with what its uninterrupted run leaves."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = Bench(small[name], start, tmp_path_factory.mktemp(name))
            made[name].uninterrupted(counted=True)
        return made[name]

    return make


def one_fast(name):
    return [name, *(pytest.param(other, marks=pytest.mark.slow) for other in REAL if other != name)]


REAL = ("audit", "train", "eval")


@pytest.mark.parametrize("name", one_fast("train"))
def test_killed_at_random_moments(bench, name):
    tally = killed(bench(name), 2, random.Random(name), ("group",))
    assert (tally.tried, tally.well, tally.wrong) == (2, 2, [])


@pytest.mark.parametrize("name", one_fast("train"))
def test_killed_before_its_last_steps(bench, name):
    """The files of the end are those that nobody would write again."""
    there = bench(name)
    assert there.steps > 12
    tally = stepped(there, first=there.steps - 1)
    assert (tally.tried, tally.well, tally.wrong) == (2, 2, [])


def test_an_audit_killed_between_its_two_files(bench):
    there = bench("audit")
    folder = there.folder()
    assert there.begin(folder, there.steps - 1).wait() == -signal.SIGKILL
    assert (folder / "out" / "audit.jsonl").read_bytes() == there.expected["audit.jsonl"]
    assert not (folder / "out" / "summary.json").exists()
    assert there.judged(folder, there.begin(folder).wait()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_killed_before_every_step(bench, name):
    tally = stepped(bench(name))
    assert tally.tried > 12
    assert tally.wrong == []


@pytest.mark.parametrize("name", one_fast("eval"))
def test_two_at_once(bench, name):
    there = bench(name)
    folder = there.folder()
    first = there.begin(folder)
    lock = folder / "out" / ("one" if name == "train" else ".") / ".lock"
    while not (lock.exists() and lock.read_text()) and first.code() is None:
        time.sleep(0.001)
    os.kill(first.pid, signal.SIGSTOP)  # so that the second comes in the middle
    assert there.begin(folder).wait() == 2
    os.kill(first.pid, signal.SIGCONT)
    assert f"in use by process {first.pid}; wait for it to end" in (folder / "said").read_text()
    assert there.judged(folder, first.wait()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["laboratory", "audit", "train", "eval"])
def test_killed_as_a_person_starts_it(small, tmp_path, name):
    there = Bench(small[name], cold, tmp_path)
    there.uninterrupted()
    tally = killed(there, 4, random.Random(name), small[name].ways)
    assert (tally.tried, tally.wrong) == (4, [])
    tally = paired(there, 2, random.Random(name))
    assert (tally.tried, tally.wrong) == (2, [])


# ---------------------------------------------------------------- the machinery sees what goes wrong

WRITES = """
import os, pathlib, sys, time
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
{body}
"""


def script(tmp_path, body):
    (tmp_path / "made").mkdir()
    path = tmp_path / "made" / "victim.py"
    path.write_text(WRITES.format(body=body))
    return Victim("made", "", (str(path),))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("(out / f'.x.{os.getpid():08x}').write_text('half'); busy(); done()", "left behind"),
        ("open(out / 'x', 'a').write('once'); busy(); done()", "other content"),
        ("sys.exit(3) if (out / 'x').exists() else (out / 'x').write_text(''); busy()", "exit code 3"),
        (
            "(out / 'x').exists() and sys.stderr.write('Traceback'); (out / 'x').touch(); busy()",
            "a traceback",
        ),
    ],
)
def test_a_command_that_does_not_bear_it_is_found(tmp_path, body, problem):
    busy = (
        "def busy():\n    while time.process_time() < 0.3: pass\n"
        "def done():\n    for p in out.glob('.x.*'): p.unlink() if p.name.endswith(f'{os.getpid():08x}') else None\n"
    )
    there = Bench(script(tmp_path, busy + body), cold, tmp_path)
    there.uninterrupted()
    there.seconds, chance = 0.2, random.Random(0)
    chance.uniform = lambda low, high: high  # late enough for the first lines
    tally = killed(there, 1, chance, ("group",))
    assert (tally.tried, tally.well) == (1, 0)
    assert any(problem in wrong for wrong in tally.wrong), tally.wrong


def test_what_may_differ_is_named_narrowly(tmp_path):
    for name, when in (("a", "2026-01-01T00-00-00.5"), ("b", "2027-03-04T05-06-07.25")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"results_{when}.json").write_text(json.dumps({"date": when, "acc": 1}))
        (folder / f"samples_x_{when}.jsonl").write_text("same")
        (folder / "train.json").write_text(json.dumps({"seconds_in_steps": when, "steps": 3}))
        (folder / "timings.jsonl").write_text(when)
        (folder / ".lock").write_text(when)
    one, other = left(tmp_path / "a"), left(tmp_path / "b")
    assert differences(one, other) == []
    assert sorted(one) == [".lock", "results.json", "samples_x.jsonl", "train.json"]
    (tmp_path / "b" / "train.json").write_text(json.dumps({"steps": 4}))
    (tmp_path / "b" / ".x.0123abcd").write_text("")
    next((tmp_path / "b").glob("samples*")).unlink()
    assert differences(one, left(tmp_path / "b")) == [
        "left behind: .x.0123abcd",
        "missing: samples_x.jsonl",
        "other content: train.json",
    ]


# ---------------------------------------------------------------- what was found and mended


def test_sweeping_drops_half_written_files_and_no_others(tmp_path):
    mine = [".notes", ".notes.txt", ".env.local", "x.0123abcd", ".lock", ".x.0123abcd.txt", ".x.0123ABCD"]
    for name in mine:
        (tmp_path / name).touch()
    for name in ("records.jsonl", "a.b.c", "x"):
        scratch_of(tmp_path / name).touch()
    sweep(tmp_path, tmp_path / "absent")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
    with whole_file(tmp_path / "y") as file:
        (scratch,) = tmp_path.glob(".y.*")
        assert scratch.samefile(file.name)
        sweep(tmp_path / "elsewhere")
    assert (tmp_path / "y").exists()


def test_records_are_written_where_a_sweep_finds_them(tmp_path):
    record = Record("theory/R0", "slick", "r", 1, "all", 0, "none", "zero", "test", "all", "accuracy", 1.0, 3)

    def stopped():
        yield record
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path / "records.jsonl", stopped())
    assert list(read_records(write_records(tmp_path / "records.jsonl", [record])).records()) == [record]


def room(words):
    return main("python -m realmodels", "", COMMANDS, [str(word) for word in words])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_clears_away_what_a_killed_one_left(small, here, capsys):
    words = small["train"].words
    assert room(words) == 0
    whole = left(here / "out")
    arm = here / "out" / "one"
    for name in ("records.jsonl", "adapter_model.safetensors", "adapter_config.json", "train.json"):
        (arm / f".{name}.0123abcd").write_bytes(b"half")
    (arm / "checkpoint").mkdir()  # killed between the last file and dropping the checkpoint
    (arm / "checkpoint" / "state.safetensors").write_bytes(b"of before")
    (arm / "checkpoint" / ".state.safetensors.0123abcd").write_bytes(b"half")
    assert room(words) == 0
    assert "one: finished before, kept" in capsys.readouterr().err
    assert left(here / "out") == whole


def test_eval_asks_what_tasks_share_once(small, here, monkeypatch):
    """Else the last digits depend on whether a task was finished before the run went on: other companions."""
    from realmodels import eval_ask

    plain, asked = eval_ask.ask, []

    def counted(loaded, block, *how):
        asked.extend((loaded.fingerprint, text) for text in block.texts)
        return plain(loaded, block, *how)

    monkeypatch.setattr(eval_ask, "ask", counted)
    words = small["eval"].words
    assert room(words) == 0
    assert len(asked) == len(set(asked))
    answers = [line for path in (here / "out").glob("*/samples_*") for line in path.read_text().splitlines()]
    assert len(asked) < len(answers)  # so some are shared
    whole = (here / "out" / "generations.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (here / "out" / "generations.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    assert room(words) == 0
    assert (here / "out" / "generations.jsonl").read_bytes() == whole


def test_eval_clears_away_what_a_killed_one_left(small, here):
    words = small["eval"].words
    assert room(words) == 0
    whole = left(here / "out")
    for name in ("eval.json", "records.jsonl", "base/results_x.json", "mine/samples_x.jsonl"):
        place = here / "out" / name
        place.with_name(f".{place.name}.0123abcd").write_bytes(b"half")
    assert room(words) == 0
    assert left(here / "out") == whole


def test_eval_writes_its_files_while_it_holds_the_folder(small, here, monkeypatch, capsys):
    """A second one that came at the very end used to write beside the first."""
    codes = []

    def late(done):
        monkeypatch.setattr("realmodels.eval_files.write_eval", write_eval)
        codes.append(room(small["eval"].words))
        return write_eval(done)

    monkeypatch.setattr("realmodels.eval_files.write_eval", late)
    assert room(small["eval"].words) == 0
    assert codes == [2]
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err


def test_a_laboratory_sweeps_its_scoreboard(tmp_path):
    board, cache = tmp_path / f"{BOARD}-0a1b", tmp_path / CACHE
    board.mkdir()
    half = board / ".scoreboard.json.0123abcd"
    half.write_text("half")
    with in_use(cache):
        assert not half.exists()
        half.write_text("somebody else writes")
        with in_use(cache):
            assert half.exists()


def test_records_torn_within_a_letter_do_not_stop_training(tmp_path):
    label = Label("realmodels/R3-x", "Läufe", 0, "größe")  # a folder may be called so
    watch = Watch(tmp_path / "records.jsonl", label, Recipe(log_every=1), lambda text: None)
    for step in (1, 2, 3):
        watch.step(step, 1.0, 2, 3, 1, 0.5, 1e-3)
    whole = watch.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    first = whole.index(b'"step": 3')
    watch.path.write_bytes(whole[: whole.index("ß".encode(), first) + 1])
    watch.go_on(2, {})
    assert watch.path.read_bytes() == b"".join(line for line in lines if b'"step": 3' not in line) != b""

"""A worker: one thread, one task at a time, nothing remembered, every failure told."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import pytest

from synthetic.errors import SyntheticError
from synthetic.workers import Failed, Finished, Reported, Task, Worker, attempt, forget, serve, to_lines
from theory.records import RecordWriter, read_records
from theory.schema import Record

QUIET = lambda what, share=None: None  # noqa: E731


@pytest.fixture
def task(toys, tmp_path):
    """Of a toy study: `task("SALIENCE", how="die")`."""
    import toystudies

    def make(study="SALIENCE", seed=100, **changes):
        setup = toystudies.ToySetup("R2-2layer", 0.5, **changes)
        return Task(f"toystudies:{study}", setup, seed, "0a1b", tmp_path / "cache")

    return make


def answer(worker):
    """The last event of a task, and what was reported before."""
    reports = []
    while isinstance(event := worker.event(), Reported):
        reports.append(event)
    return event, reports


def test_a_worker_does_tasks_one_after_the_other(task):
    worker = Worker()
    try:
        worker.start(task())
        first, reports = answer(worker)
        worker.start(task(seed=101))
        second, _ = answer(worker)
        worker.start(task())
        again, _ = answer(worker)
    finally:
        worker.stop()
    assert isinstance(first, Finished)
    assert (len(first.lines), [report.what for report in reports]) == (
        48,
        ["tuning best", "tuning lesser", "tuning whole", "tuning random"],
    )
    assert (
        first.lines == again.lines != second.lines
    )  # what was done between leaves no trace, random state included
    assert first.peak_mb > 10
    assert first.lines == attempt(task(), QUIET).lines  # nor does it matter in which process
    assert worker.process.returncode == -9


def test_a_worker_has_one_thread_and_sees_no_ctrl_c(task, tmp_path):
    (tmp_path / "look.py").write_text(
        "import json, os, signal, sys\nfrom pathlib import Path\nfrom synthetic.studies import Study\n"
        "def run(setup, seed, cache, report):\n"
        "    import torch\n"
        "    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "    names = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')\n"
        "    files = os.listdir('/proc/self/fd')\n"
        "    found = [torch.get_num_threads(), blocked, files, [os.environ[n] for n in names]]\n"
        f"    Path({str(tmp_path / 'found.json')!r}).write_text(json.dumps(found))\n"
        "    print('words that must not get into the way')\n"
        "    return []\n"
        "STUDY = Study('salience', run, lambda s: ['x'], lambda s: 0.0)\n"
    )
    sys.path.insert(0, str(tmp_path))
    worker = Worker()
    try:
        worker.start(replace(task(), study="look:STUDY"))
        event, _ = answer(worker)
    finally:
        worker.stop()
        sys.path.remove(str(tmp_path))
    assert event == Failed("input", "the study returned no records; expected at least one")
    threads, blocked, files, variables = json.loads((tmp_path / "found.json").read_text())
    assert (threads, blocked, variables) == (1, True, ["1", "1", "1"])
    assert len(files) <= 6  # the standard three, the link, and what lists them


@pytest.mark.parametrize(
    ("how", "kind", "line"),
    [
        ("refuse", "input", "ask for fewer"),
        ("bug", "bug", "ZeroDivisionError: a bug"),
        ("memory", "memory", "out of memory"),
        ("torch memory", "memory", "out of memory"),
        ("full", "system", "No space left on device"),
    ],
)
def test_every_failure_is_told(task, how, kind, line):
    failed = attempt(task(how=how), QUIET)
    assert (failed.kind, line in failed.line) == (kind, True)
    assert ("toystudies.py" in failed.detail) is (kind == "bug")
    assert (failed.errno, failed.file.rpartition("/")[2]) == ((28, "base") if kind == "system" else (0, ""))


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("nothing", "returned no records"),
        ("lab", "field 'lab': expected 'synthetic/R2-2layer', got 'synthetic/R0'"),
        ("seed", "field 'seed': expected 100, got 101"),
        ("study", "field 'study': expected 'validity', got 'slick'"),
        ("value", "field 'value': expected a finite number"),
        ("twice", "table: row 1"),
    ],
)
def test_wrong_records_are_refused(task, how, line):
    failed = attempt(task("WRONG", how=how), QUIET)
    assert failed.kind == "input"
    assert line in failed.line


def test_lines_are_those_that_a_writer_of_records_writes(tmp_path):
    where = ("all", 0, "x", "zero", "test", "a=ü,b=1", "accuracy")
    base = Record("synthetic/R0", "salience", "é", 3, *where, 0.1 + 0.2, 7)
    some = [base, replace(base, step=1, value=1), replace(base, step=2, value=1e-300, n=1, item='a "b" \\ c')]
    with RecordWriter(tmp_path / "r.jsonl") as writer:
        writer.write_many(some)
    lines = to_lines(some, {"seed": 3})
    assert "".join(f"{line}\n" for line in lines) == (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert list(read_records(tmp_path / "r.jsonl").records()) == some
    with pytest.raises(SyntheticError, match="field 'seed': expected 4, got 3"):
        to_lines(some, {"seed": 4})


def test_a_dead_worker_is_told_from_a_living_one(task):
    worker = Worker()
    worker.start(task(how="die"))
    event, _ = answer(worker)
    why = "its worker was killed (signal 9): by a person, or by the system because memory ran out"
    assert event == Failed("died", why)
    worker.start(task())  # says nothing: the next event tells
    assert worker.event().kind == "died"
    worker.stop()


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (11, "SIGSEGV")])
def test_other_signals_are_named(task, number, name):
    worker = Worker()
    worker.start(task(how="forever"))
    time.sleep(0.1)
    worker.process.send_signal(number)
    event, _ = answer(worker)
    worker.stop()
    assert event.line.startswith(f"its worker was killed by signal {number} ({name})")


def test_a_worker_that_hangs_up_but_does_not_end_is_ended(task, monkeypatch):
    worker = Worker()
    monkeypatch.setattr(worker.process, "wait", _impatient(worker.process.wait))
    worker.link.close()
    worker.link, other = Pipe()
    other.close()
    assert worker.event().line.startswith("its worker was killed (signal 9)")
    worker.stop()


def _impatient(wait):
    def first(timeout=None):
        if timeout is not None:
            raise subprocess.TimeoutExpired("worker", timeout)
        return wait()

    return first


def test_serving_ends_when_told_and_leaves_at_once_when_the_parent_is_gone(task):
    ours, theirs = Pipe()
    left = []
    thread = threading.Thread(target=serve, args=(theirs, left.append))
    thread.start()
    ours.send(task())
    event = ours.recv()
    while isinstance(event, Reported):
        event = ours.recv()
    ours.send(None)
    thread.join(5)
    assert (len(event.lines), thread.is_alive(), left) == (48, False, [])

    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs, left.append))
    thread.start()
    ours.close()
    thread.join(5)
    assert (thread.is_alive(), left) == (False, [1])


def test_reports_are_not_sent_faster_than_anybody_reads(monkeypatch):
    from synthetic.workers import _Reporter

    now = [0.0]
    monkeypatch.setattr("synthetic.workers.time.monotonic", lambda: now[0])
    ours, theirs = Pipe()
    report = _Reporter(theirs)
    for i in range(1000):
        now[0] += 0.001
        report("tuning", i / 1000)
    report("scoring")
    theirs.close()
    said = []
    while ours.poll():
        try:
            said.append(ours.recv())
        except EOFError:
            break
    assert 9 <= len(said) <= 12
    assert said[-1] == Reported("scoring", None)


def test_a_child_that_finds_another_parent_leaves(tmp_path):
    code = "from synthetic.workers import die_with; die_with(1 << 22); print('still here')"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (run.returncode, run.stdout) == (1, "")
    code = "import os; from synthetic.workers import die_with; die_with(os.getppid()); print('still here')"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (run.returncode, run.stdout) == (0, "still here\n")


def test_random_state_is_forgotten():
    import random

    import numpy as np
    import torch

    seen = []
    for _ in range(2):
        forget(5)
        seen.append((random.random(), np.random.random(), float(torch.rand(1))))  # noqa: NPY002
    assert seen[0] == seen[1]
    assert os.getpid() > 0

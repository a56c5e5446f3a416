"""Killed at any moment and started again, a run ends with the bytes of a run that was never killed."""

import os
import random
import signal
import time

import pytest

SEEDS = 5
RUN = ("run", "quick", "--seeds", str(SEEDS))


def bytes_of(output):
    """Everything that records are, by its place."""
    return {
        str(p.relative_to(output)): p.read_bytes()
        for p in sorted(output.rglob("*.jsonl"))
        if p.stem != "timings"
    }


def kill(process, how, drive, output):
    """Kill the command, its whole process group, or one of its workers; True if something was hit."""
    if process.poll() is not None:
        return False
    if how == "worker":
        if not (alive := drive.workers(output)):
            return False
        os.kill(alive[0], signal.SIGKILL)
        return True
    if how == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    return True


def until(condition, seconds=2.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def wait_a_while(process, output, chance):
    """Until the command has started more or less, or has finished up to three more units, and a little longer."""
    more = chance.randint(0, 3)
    before = len(list(output.glob("*/parts/seed-*")))
    while more and len(list(output.glob("*/parts/seed-*"))) < before + more and process.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.05 if more else 0.8))


@pytest.mark.parametrize("times", [7, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_again_and_again_it_ends_with_the_same_bytes(drive, tmp_path, times):
    whole = tmp_path / "whole"
    assert drive(*RUN, "-o", whole, "--workers", "1").returncode == 0
    expected, chance, kills, rounds = (
        bytes_of(whole),
        random.Random(times),
        {"command": 0, "group": 0, "worker": 0},
        0,
    )
    assert len(expected) == 2 * SEEDS + 2
    while sum(kills.values()) < times or not min(kills.values()):
        rounds += 1
        output = tmp_path / f"killed-{rounds}"
        while True:
            process = drive.start(*RUN, "-o", output, pace=0.05)
            how = chance.choice(list(kills))
            wait_a_while(process, output, chance)
            hit = kill(process, how, drive, output)
            kills[how] += hit
            _, said = process.communicate(timeout=60)
            assert until(lambda: not drive.workers(output)), "a worker outlived its parent"  # noqa: B023
            if hit and how == "worker" and process.returncode == 1:
                assert said.count("error: ") == 1
                assert "its worker was killed (signal 9)" in said
            elif process.returncode == 0:
                break
            else:
                assert (hit, process.returncode) == (True, -signal.SIGKILL), said
        assert bytes_of(output) == expected
        assert not [path for path in output.rglob(".*") if path.name != ".lock"], (
            "something half-written is left"
        )


@pytest.mark.parametrize("group", [True, False])
def test_ctrl_c_says_one_line_and_keeps_what_is_finished(drive, tmp_path, group):
    process = drive.start(*RUN, "-o", tmp_path, pace=0.3)
    assert until(lambda: len(list(tmp_path.glob("*/parts/*"))) >= 2, 20)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 2
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("interrupted: finished work is kept")
    assert "Traceback" not in err
    assert out == ""
    assert not drive.workers(tmp_path)
    kept = [path.read_bytes() for path in sorted(tmp_path.glob("salience-*/parts/*"))]
    assert b"".join(kept) == next(tmp_path.glob("salience-*/records.jsonl")).read_bytes() != b""


def test_a_worker_whose_parent_is_stopped_for_good_does_not_go_on(drive, tmp_path):
    process = drive.start(*RUN, "-o", tmp_path, toy='{"how": "forever"}')
    assert until(lambda: len(drive.workers(tmp_path)) > 0, 20)
    process.kill()
    process.communicate()
    assert until(lambda: not drive.workers(tmp_path))


def test_a_second_run_of_the_same_is_refused_while_the_first_goes_on(drive, tmp_path):
    first = drive.start(*RUN, "-o", tmp_path, toy='{"how": "forever"}')
    assert until(lambda: len(drive.workers(tmp_path)) > 0, 20)
    second = drive(*RUN, "-o", tmp_path, toy='{"how": "forever"}')
    assert second.returncode == 2
    assert f"in use by process {first.pid}" in second.stderr
    other = drive("run", "full", "--rungs", "R1-mlp", "--seeds", "1", "-o", tmp_path)
    assert other.returncode == 0, other.stderr
    first.kill()
    first.communicate()

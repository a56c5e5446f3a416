"""What the laboratory promises of its own time, each by the command that a person would type. Judged are processor
seconds, which neighbours hardly change; alone on the machine the clock says the same."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def taken(folder: Path, *words: str) -> tuple[float, float]:
    """Processor seconds of a command of the laboratory and all its workers, and those of the clock."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "synthetic", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - start


def test_pocket_is_made_within_a_minute(tmp_path: Path, say: Callable[[str], None]) -> None:
    used, clock = taken(tmp_path, "pocket", "model")
    say(f"  synthetic pocket: {used:.0f} s of one core (clock {clock:.0f} s)")
    assert (tmp_path / "model" / "questions.jsonl").stat().st_size
    assert used < 60


@pytest.mark.slow
def test_quick_is_run_within_three_minutes_on_two_cores(tmp_path: Path, say: Callable[[str], None]) -> None:
    used, clock = taken(tmp_path, "run", "quick", "--output", "runs")
    say(f"  synthetic run quick, all studies: {used / 2:.0f} s of two cores (clock {clock:.0f} s)")
    assert len(list((tmp_path / "runs").glob("*/records.jsonl"))) == 6
    assert used / 2 < 180

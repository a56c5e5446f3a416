"""All figures of a full run, drawn, laid out and written: a minute of work, half of that on two cores."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.figures.conftest import all_records, write_data, write_graph, write_records

LIMIT = 60.0  # CPU seconds of all processes together: the clock depends on who else is on the machine


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seeds of every row that a picture reads, a folder of `theory data` and a graph."""
    folder = tmp_path_factory.mktemp("full")
    write_records(folder / "runs" / "all", all_records(seeds=range(100, 110)))
    write_data(folder / "data")
    write_graph(folder / "graph.json")
    return folder


def test_all_figures_of_a_full_run(benchmark: object, full: Path, say: Callable[[str], None]) -> None:
    inputs = [str(full / name) for name in ("runs", "data", "graph.json")]
    command = [
        sys.executable,
        "-m",
        "figures",
        "all",
        *inputs,
        "--output",
        str(full / "out"),
        "--closed-forms",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    draw = benchmark.pedantic  # type: ignore[attr-defined]
    run = draw(subprocess.run, (command,), {"check": True, "capture_output": True, "text": True}, rounds=1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    pictures = {Path(line).stem for line in run.stdout.splitlines() if line.endswith(".png")}
    assert len(pictures) > 40
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    say(f"{len(pictures)} pictures of ten seeds in {seconds:.0f} CPU seconds")
    assert seconds < LIMIT

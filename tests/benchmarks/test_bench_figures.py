"""All figures of a full run of the laboratory and of a small real model, drawn, laid out and written."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.figures.conftest import STEPS, all_records, write_data, write_graph, write_records
from tests.figures.test_intervals import with_items

# The promise is a minute by the clock on two free cores. Asserted are the user and system seconds of all processes
# together, since the clock depends on who else is on the machine: what two cores have in that minute, less a quarter
# for the time in which one of them waits (while records are read, and for the last picture).
LIMIT = 2 * 60.0 * 0.75  # processor seconds
LOOKS = {"beliefs": 6, "crosstests": 8, "prompts": 26, "salience": 22, "slick": 32, "validity": 7}
FACTS = 14  # of a cell with every fact's own result


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six studies of ten seeds with about as many rows each as the full profile writes; a run of a real model with
    three seeds and every test fact's own result; a folder of `theory data` and a graph."""
    folder = tmp_path_factory.mktemp("full")
    looks = {study: dict(enumerate(fade(count), 1)) for study, count in LOOKS.items()}
    rows = list(all_records(seeds=range(100, 110), steps=looks))
    for study in LOOKS:
        write_records(folder / "runs" / study, [row for row in rows if row.study == study])
    assert len(rows) > 70_000
    write_records(folder / "runs" / "real", with_items(FACTS))
    write_data(folder / "data")
    write_graph(folder / "graph.json")
    return folder


def fade(count: int) -> list[float]:
    """What is left of a value at so many steps."""
    seen = list(STEPS.values())
    return [seen[i * len(seen) // count] for i in range(count)]


def test_all_figures_of_a_full_run_and_of_a_real_model(
    benchmark: object, full: Path, say: Callable[[str], None]
) -> None:
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
    assert len(pictures) > 60
    assert any(name.endswith("R3-tiny") for name in pictures)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = benchmark.stats.stats.max  # type: ignore[attr-defined]
    say(f"{len(pictures)} pictures in {seconds:.0f} processor seconds, {said:.0f} by the clock")
    assert seconds < LIMIT

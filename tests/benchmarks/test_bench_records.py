"""How long records and intervals take. Bounds are several times what one slow core needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from theory.intervals import bootstrap_bounds, crossed_bounds, t_pvalue
from theory.records import Record, RecordWriter, read_records
from theory.slick import label_curve

BASE = Record(
    "synthetic/R1-mlp", "salience", "r", 0, "all", 0, "best", "zero", "test", "all", "accuracy", 0.5, 9
)
ARMS = ("best", "lesser", "whole")
METRICS = ("accuracy", "attention_subject", "confidence", "loss")
STRATA = ("all", "popularity=low,overlap=no")


def write_lines(path: Path, count: int, *, backwards: bool = False) -> Path:
    """Records of many runs, every one an observation of its own."""
    gaps = {
        "run": "run-%04d",
        "seed": "%d",
        "step": "%d",
        "trained_on": "%s",
        "stratum": "%s",
        "metric": "%s",
    }
    row = {**asdict(BASE), **gaps, "value": "%r", "n": "%d"}
    del row["item"]
    form = json.dumps(dict(reversed(row.items())) if backwards else row)
    form += "\n"
    for name in ("seed", "step", "value", "n"):
        form = form.replace(f'"{row[name]}"', row[name])
    values = np.random.default_rng(0).random(count).tolist()
    wheel = list(zip(ARMS * 4, STRATA * 6, METRICS * 3, strict=True))
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            form % cells[::-1] if backwards else form % cells
            for i in range(count)
            for cells in [(i // 600, i // 600 % 20, i % 50 * 10, *wheel[i // 50 % 12], values[i], i % 97 + 1)]
        )
    return path


@pytest.mark.parametrize("form", ["fields in order", "fields backwards"])
def test_read_a_hundred_thousand_records(benchmark: Any, tmp_path: Path, form: str) -> None:
    path = write_lines(tmp_path / "records.jsonl", 100_000, backwards=form == "fields backwards")
    table = benchmark.pedantic(read_records, (path,), rounds=3, warmup_rounds=1)
    assert len(table) == 100_000
    assert table.repeats == 0
    if benchmark.stats:
        assert benchmark.stats["min"] < 4.0


READ = """
import resource, sys, time
from theory.records import read_records
start = time.process_time()
table = read_records(sys.argv[1])
spent = time.process_time() - start
print(len(table), spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.slow
def test_read_a_million_records_in_seconds_and_little_memory(tmp_path: Path, root: Path) -> None:
    path = write_lines(tmp_path / "records.jsonl", 1_000_000)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
    )
    rows, seconds, mebibytes = map(float, done.stdout.split())
    print(f"{rows:.0f} records, {seconds:.2f} CPU seconds, {mebibytes:.0f} MiB at most")
    assert rows == 1_000_000
    assert seconds < 12.0
    assert mebibytes < 700


def test_write_a_hundred_thousand_records(benchmark: Any, tmp_path: Path) -> None:
    rows = [replace(BASE, step=i, value=i / 7, seed=i % 5) for i in range(100_000)]

    def write() -> None:
        with RecordWriter(tmp_path / "records.jsonl") as writer:
            writer.write_many(rows)

    benchmark.pedantic(write, rounds=2)
    assert len(read_records(tmp_path / "records.jsonl")) == 100_000
    if benchmark.stats:
        assert benchmark.stats["min"] < 4.0


def test_p_values_of_two_thousand_placebo_scoreboards(benchmark: Any) -> None:
    x = np.random.default_rng(1).normal(size=(2000, 60, 10))
    p = benchmark(t_pvalue, x)
    assert p.shape == (2000, 60)
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.005)


def test_bootstrap_of_ten_thousand_samples(benchmark: Any) -> None:
    x = np.random.default_rng(2).normal(size=(10_000, 5))
    bounds = benchmark(bootstrap_bounds, x)
    assert bounds.low.shape == (10_000,)
    assert np.mean((bounds.low <= 0) & (bounds.high >= 0)) == pytest.approx(0.93, abs=0.02)


def test_crossed_intervals_of_a_thousand_matrices(benchmark: Any) -> None:
    d = np.random.default_rng(3).normal(size=(1000, 10, 100))
    bounds = benchmark(crossed_bounds, d)
    assert np.mean((bounds.low <= 0) & (bounds.high >= 0)) == pytest.approx(0.955, abs=0.025)


def test_stability_curve_of_ten_thousand_facts(benchmark: Any) -> None:
    rng = np.random.default_rng(4)
    greedy, p = rng.integers(0, 2, (10_000, 10)), rng.random((10_000, 10)) ** 8
    curve = benchmark.pedantic(label_curve, (greedy, p, range(1, 11)), rounds=1)
    assert curve.agreement[-1] == 1.0

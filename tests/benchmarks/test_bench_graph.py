"""Ten thousand random graphs a theorem, and the Good-Turing curve, in seconds."""

from __future__ import annotations

from typing import Any

import pytest

from theory import goodturing
from theory.theorems import coverage, graph
from theory.theorems.base import CheckResult, Theorem

ALL = (*graph.THEOREMS, *coverage.THEOREMS)
LIMIT = 5.0  # seconds a theorem on a slow core


@pytest.mark.parametrize("theorem", ALL, ids=[theorem.id for theorem in ALL])
def test_ten_thousand_random_graphs(benchmark: Any, theorem: Theorem) -> None:
    result: CheckResult = benchmark.pedantic(theorem.check, args=(10_000, 0), rounds=2)
    assert result.holds
    assert result.seconds < LIMIT


def test_monofact_curve(benchmark: Any) -> None:
    rows = benchmark.pedantic(goodturing.monofact_curve, rounds=1)
    assert len(rows) == 600
    assert all(row["slack"] >= 0 for row in rows if row["regular"])

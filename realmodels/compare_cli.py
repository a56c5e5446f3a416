"""`compare`: two evaluations over the same items, item by item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from realmodels.compare import Difference
    from theory.intervals import Interval

Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Compare:
    """Say how two runs over the same items differ: first minus second, with intervals and tests for paired data."""

    first: tyro.conf.Positional[str]
    """A folder of samples_*.jsonl that `eval` or lm-eval wrote; of several seeds with commas."""
    second: tyro.conf.Positional[str]
    """Another one; with as many seeds, in the same order, or a single one."""
    tasks: str = ""
    """Only these, with commas."""
    metrics: str = ""
    """Only these, with commas."""
    stratum: str = ""
    """Only items of a stratum, as the first run has them: "overlap=no,answer=both|neither"."""
    level: float = 0.95
    """Of the intervals."""
    draws: int = 2000
    """Of the bootstrap."""
    seed: int = 0
    """Of the bootstrap."""
    json: Flag = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        from realmodels.checks import at_least
        from realmodels.compare import compare
        from realmodels.compare_read import read_runs

        at_least(self, draws=100, seed=0)
        found = compare(
            read_runs(self.first),
            read_runs(self.second),
            tasks=_listed(self.tasks),
            metrics=_listed(self.metrics),
            stratum=self.stratum,
            level=self.level,
            draws=self.draws,
            seed=self.seed,
        )
        if self.json:
            import json

            said = {"first": self.first, "second": self.second, "stratum": self.stratum or "all"}
            print(
                json.dumps(said | {"differences": [_plain(asdict(one)) for one in found]}, ensure_ascii=False)
            )
        else:
            print(render(found, self.first, self.second, self.stratum))
        return 0


def render(found: Sequence[Difference], first: str, second: str, stratum: str = "") -> str:
    """A table: the difference with its intervals, the test, and what the data could have shown."""
    from realmodels.eval_files import aligned

    seeds = max(one.seeds for one in found) > 1
    wide = any(one.by_subject for one in found)
    crossed = dict.fromkeys(one.test for one in found if one.crossed)
    level = f"{found[0].by_item.level:.0%}"
    head = ["task", "metric", "items", "first", "second", "difference", f"{level} by item"]
    head += [f"{level} by subject"] * wide + [f"{level} {' or '.join(crossed)}"] * bool(crossed)
    lines = [[*head, "only first", "only second", "McNemar", "p", "Holm", "80% power at"]]
    for one in found:
        line = [one.task, one.metric, f"{one.n:,}", f"{one.first:.3f}", f"{one.second:.3f}"]
        line += [f"{one.difference:+.3f}", _limits(one.by_item)]
        line += [_limits(one.by_subject)] * wide + [_limits(one.crossed)] * bool(crossed)
        for side in ("first", "second"):
            line.append(" ".join(f"{getattr(pair, side):,}" for pair in one.mcnemar))
        line.append(" ".join(_p(pair.p) for pair in one.mcnemar))
        lines.append([*line, _p(one.p), _p(one.adjusted), _size(one.detectable)])
    tests = ", ".join(dict.fromkeys(one.test for one in found))
    over = f", items with {stratum}" if stratum else ""
    notes = [
        f"first: {first}",
        f"second: {second}{over}",
        "",
        aligned(lines, 2),
        "",
        f"p by {tests}; Holm's over this table",
    ]
    notes += [few_subjects(one) for one in found if one.over_items]
    if seeds:
        notes.append(
            "intervals by item and by subject are of means over these seeds and leave out what seeds vary"
        )
    elif found:
        notes.append("one run on each side: what another seed of training would change is not covered")
    return "\n".join(notes)


def few_subjects(one: Difference) -> str:
    return (
        f"{one.task} {one.metric}: its {one.n:,} items have {one.subjects} subject{'s' * (one.subjects > 1)}, too few "
        "to test over; p is over items, as if those of a subject were independent: ask about more subjects"
    )


def _limits(found: Interval | None) -> str:
    return f"{found.low:+.3f} to {found.high:+.3f}" if found else ""


def _p(value: float) -> str:
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _size(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else ""


def _plain(value: Any) -> Any:
    """Numbers that JSON can hold: null for infinite and undefined ones."""
    if isinstance(value, dict):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())

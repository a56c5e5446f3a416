"""What was tried and survived: every trial of this folder leaves a line, and the README's table is made from the lines.

    python tests/hardening/survived.py

prints the table of `survived.jsonl`, to be put between the README's marks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = Path(__file__).parent / "survived.jsonl"


@dataclass(frozen=True)
class Trial:
    """`command` prints this line again; a trial is told from others by its kind and what it was."""

    kind: str  # crash, starve, lie, repeat, scale
    what: str  # "audit killed with kill -9 and started again"
    tried: int
    survived: int
    found: str  # "records equal an uninterrupted run's byte for byte"
    command: str  # "python tests/hardening/crash.py --command audit --kills 50 --seed 0"


def read(path: Path = KEPT) -> tuple[Trial, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(Trial(**json.loads(line)) for line in lines)


def keep(trial: Trial, path: Path = KEPT) -> None:
    """The newest line of a trial replaces the older; the others stay."""
    if not 0 <= trial.survived <= trial.tried:
        raise ValueError(f"{trial.what}: {trial.survived} of {trial.tried} survived")
    mine = (trial.kind, trial.what)
    others = [old for old in read(path) if (old.kind, old.what) != mine]
    lines = [
        json.dumps(asdict(one), ensure_ascii=False)
        for one in sorted([*others, trial], key=lambda t: (t.kind, t.what))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(trials: tuple[Trial, ...]) -> str:
    rows = [
        f"| {one.kind} | {one.what} | {one.survived:,} of {one.tried:,} | {one.found} | `{one.command}` |"
        for one in trials
    ]
    return "\n".join(["| kind | tried | survived | found | command |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(table(read()))

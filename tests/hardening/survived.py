"""What was tried and survived: every trial of this folder leaves a line, and the README's table is made from the lines
(`python -m tests.house.page` writes it anew)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

KEPT = Path(__file__).parent / "survived.jsonl"
KINDS = ("crash", "starve", "lie", "repeat", "scale", "bounds")


@dataclass(frozen=True)
class Trial:
    """`command` prints this line again; a trial is told from others by its kind and what it was."""

    kind: str  # one of KINDS
    what: str  # "audit killed with kill -9 and started again"
    tried: int
    survived: int
    found: str  # "records equal an uninterrupted run's byte for byte"
    command: str  # "python tests/hardening/crash.py --command audit --kills 50 --seed 0"
    at: str = ""  # the commit that was tried, with + where files differed from it; filled in by `keep`


def read(path: Path = KEPT) -> tuple[Trial, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(Trial(**json.loads(line)) for line in lines)


def keep(trial: Trial, path: Path = KEPT) -> None:
    """The newest line of a trial replaces the older; the others stay. Where it does not say so, it is of this tree."""
    if not 0 <= trial.survived <= trial.tried:
        raise ValueError(f"{trial.what}: {trial.survived} of {trial.tried} survived")
    if trial.kind not in KINDS:
        raise ValueError(f"{trial.what}: kind {trial.kind!r}; expected {', '.join(KINDS)}")
    trial = trial if trial.at else replace(trial, at=commit(path.parent))
    mine = (trial.kind, trial.what)
    others = [old for old in read(path) if (old.kind, old.what) != mine]
    lines = [
        json.dumps(asdict(one), ensure_ascii=False)
        for one in sorted([*others, trial], key=lambda t: (KINDS.index(t.kind), t.what))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def commit(folder: Path) -> str:
    """Of the checkout that this folder is in; "" if it is in none. The lines themselves are no difference."""
    if not shutil.which("git"):
        return ""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git(
        "status", "--porcelain", "--untracked-files=no", "--", ":/", f":!/tests/hardening/{KEPT.name}"
    )
    return (head := git("rev-parse", "--short=9", "HEAD")) and head + "+" * bool(changed)


def table(trials: tuple[Trial, ...]) -> str:
    """In Markdown; in bold where not everything survived."""
    rows = [(one.kind, one.what, _count(one), one.found, f"`{one.command}`", one.at) for one in trials]
    return _markdown(("kind", "tried", "survived", "found", "command", "commit"), rows)


def in_short(trials: tuple[Trial, ...]) -> str:
    """The same without what was found, commands and commits."""
    return _markdown(("kind", "tried", "survived"), [(one.kind, one.what, _count(one)) for one in trials])


def _count(one: Trial) -> str:
    count = f"{one.survived:,} of {one.tried:,}"
    return count if one.survived == one.tried else f"**{count}**"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines])

"""What goes with a written selection: where it came from, what was asked, what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from realmodels.audited import LABELS, Audited, Ints
from theory.runs import command

SHOWN = 40  # relations in the printed table; the manifest has all


def manifest(audited: Audited, asked: Mapping[str, Any], **found: Any) -> str:
    """JSON text: the command, the audit and its source with their fingerprints, what was asked, and what was `found`.
    It has no date: the same command on the same audit writes the same bytes."""
    said = {
        "command": command(),
        "nameblind": version("nameblind"),
        "audit": {
            "path": str(audited.path),
            "sha256": audited.fingerprint,
            "rows": len(audited),
            **{
                name: values[0] if len(values) == 1 else list(values)
                for name, values in audited.settings.items()
            },
        },
        "source": {
            "path": audited.source.path,
            "kind": audited.source.kind,
            "fingerprint": audited.source.fingerprint,
        },
        "asked": dict(asked),
        "before": audited.counts(),
        **found,
    }
    return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def table(audited: Audited, sets: Mapping[str, Ints]) -> str:
    """Rows of each set by relation and label, beside what the audit had; the number of prompts stands above it."""
    prompts = ", ".join(str(value) for value in audited.settings["n_prompts"])
    counts = {name: audited.counts(rows) for name, rows in {"audit": None, **sets}.items()}
    order = sorted(counts["audit"], key=lambda name: -sum(counts["audit"][name].values()))
    lines = [["relation", "set", *reversed(LABELS), "all"]]
    for relation in order[:SHOWN]:
        lines += [_line(relation, name, count.get(relation, {})) for name, count in counts.items()]
    lines += [_line("all", name, _total(count)) for name, count in counts.items()]
    more = len(order) - SHOWN
    tail = [f"({more:,} smaller relations are not shown; the manifest has them)"] if more > 0 else []
    return "\n".join([f"labels by {prompts} prompts", *_aligned(lines), *tail])


def _total(count: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {label: sum(line[label] for line in count.values()) for label in LABELS}


def _line(relation: str, name: str, count: Mapping[str, int]) -> list[str]:
    each = [count.get(label, 0) for label in reversed(LABELS)]
    return [relation, name, *(f"{k:,}" for k in (*each, sum(each)))]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, wide, strict=True))
        )
        for line in lines
    ]

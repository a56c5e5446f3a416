"""Facts to test arms on: subjects set aside before any row is drawn, and which arms teach each fact's answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from realmodels.arms import PERMUTED, Arm
from realmodels.audited import KNOWLEDGE, Audited, Flags, Ints, sha256
from realmodels.errors import RealmodelsError
from theory.files import whole_file

FILE = "held-out.jsonl"
TAUGHT = "taught_by"  # of what the audit found: both, neither, known-only ...


def set_aside(audited: Audited, share: float, seed: int = 0) -> Flags:
    """[n] The rows of a `share` of the subjects, drawn from the seed; a row without a subject counts as one."""
    if not (isfinite(share) and 0 < share < 1):
        raise RealmodelsError(
            f"--held-out: expected a share of the subjects between 0 and 1, such as 0.3, got {share:g}"
        )
    alone = np.where(
        audited.subject < 0, audited.subject.max() + 1 + np.arange(len(audited)), audited.subject
    )
    names, subject = np.unique(alone, return_inverse=True)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise RealmodelsError(
            f"--held-out: {share:g} of {len(names):,} subjects leaves none on one side; audit more rows"
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, *b"held out"]))
    return np.isin(subject, rng.permutation(len(names))[:count])


def taught_by(audited: Audited, rows: Ints, arms: Sequence[Arm]) -> list[str] | None:
    """Which of two arms have a row with each row's relation and answer; None unless there are two."""
    told = [arm for arm in arms if arm.name != PERMUTED]
    if len(told) != 2:
        return None
    pair = audited.relation * (audited.answer.max() + 1) + audited.answer
    first, second = (np.isin(pair[rows], pair[arm.rows]) for arm in told)
    names = [f"{arm.name}-only" for arm in told]
    return [str(x) for x in np.select([first & second, first, second], ["both", *names], "neither")]


def write_held_out(path: Path, audited: Audited, rows: Ints, support: Sequence[str] | None) -> dict[str, Any]:
    """Lines as in the audit, for `eval`; what the manifest says of the file."""
    with whole_file(path) as out:
        for place, (_, line) in enumerate(audited.originals(rows)):
            found: Mapping[str, Any] = line[KNOWLEDGE]
            found = found if support is None else {**found, TAUGHT: support[place]}
            out.write(json.dumps({**line, KNOWLEDGE: found}, ensure_ascii=False) + "\n")
    return {"name": path.name, "rows": len(rows), "sha256": sha256(path)}

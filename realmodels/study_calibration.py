"""What a study measured, as a calibration for `audit --predict-harm`: training sets by mean margin and effect."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from realmodels.arms import PERMUTED

if TYPE_CHECKING:
    from realmodels.study_questions import Bundle

NAME = "calibration.csv"
FALSE = (PERMUTED, "idk:")  # their answers are not those that the margins are of


@dataclass(frozen=True)
class Measured:
    """`margin`: mean over the set's rows (nats); `effect`: accuracy on the test facts known before tuning, zero-shot
    at the end, minus the untuned model's few-shot accuracy on them."""

    seed: int
    set: str
    rows: int
    margin: float
    effect: float


def measured(bundles: Sequence[Bundle]) -> tuple[Measured, ...]:
    """Every set of true answers of the usual size; none where the audit has no margins."""
    found = []
    sizes = Counter(len(one.rows) for bundle in bundles for one in bundle.sets.values())
    usual = max(sizes, key=lambda size: (sizes[size], size))
    for bundle in bundles:
        audited = bundle.facts.audited
        margin = audited.scores["margin"]
        known = audited.known[bundle.facts.test]
        before = bundle.base.asked[0, "test", bundle.few].hits[known]
        for name, one in bundle.sets.items():
            own = margin[one.rows]
            if name.startswith(FALSE) or len(one.rows) != usual or np.isnan(own).all() or not known.any():
                continue
            result = bundle.results[name]
            after = result.asked[result.steps, "test", "zero"].hits[known]
            found.append(
                Measured(
                    bundle.seed, name, usual, float(np.nanmean(own)), float(after.mean() - before.mean())
                )
            )
    return tuple(found)


def table(found: Sequence[Measured]) -> str:
    """CSV, a set a line."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["seed", "set", "rows", "margin", "effect"])
    for one in found:
        lines.writerow([one.seed, one.set, one.rows, f"{one.margin:.6g}", f"{one.effect:.6g}"])
    return out.getvalue()

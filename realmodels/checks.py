"""Flags of the audit that can be wrong, found out before any file is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realmodels.errors import RealmodelsError
from theory.schema import nearest

if TYPE_CHECKING:
    from realmodels.cli import Audit

FIELDS = ("id", "question", "answers", "subject", "relation", "popularity")


def at_least(flags: object, **least: int) -> None:
    """One line for the first flag below its least value; flags that were not given are None."""
    for name, bound in least.items():
        value = getattr(flags, name)
        if value is not None and value < bound:
            raise RealmodelsError(f"--{name.replace('_', '-')}: expected at least {bound}, got {value}")


def check_folder(path: Path) -> Path:
    """What --output-dir names is a folder or nothing yet."""
    if path.exists() and not path.is_dir():
        raise RealmodelsError(f"{path}: is a file; --output-dir wants a folder")
    return path


def check_audit(flags: Audit) -> None:
    """One line for the first flag that cannot be."""
    from realmodels.budgets import budget_named
    from theory.matching import MATCHERS

    at_least(flags, limit=1, batch=1, prompts=1, samples=1, shots=0, seed=0, top_k=0)
    if not (math.isfinite(flags.temperature) and flags.temperature > 0):
        raise RealmodelsError(f"--temperature: expected a number above 0, got {flags.temperature}")
    if flags.matcher not in MATCHERS:
        raise RealmodelsError(f"--matcher: unknown '{flags.matcher}'{nearest(flags.matcher, MATCHERS)}")
    estimator = budget_named(flags.budget, flags.prompts, flags.estimator).estimator
    if estimator == "exact" and flags.matcher != "exact":
        raise RealmodelsError(
            f"--matcher {flags.matcher}: the exact estimator judges to the letter and writes no answers out; "
            "add --estimator hybrid"
        )
    if flags.backend == "vllm":
        _check_vllm(flags, estimator)
    if flags.calibration and not flags.predict_harm:
        raise RealmodelsError("--calibration: it is for a prediction; add --predict-harm")
    check_folder(flags.output_dir)


def _check_vllm(flags: Audit, estimator: str) -> None:
    from realmodels.backends import require_vllm

    if estimator != "sample":
        raise RealmodelsError(
            f"--backend vllm: the {estimator} estimator draws no samples; add --estimator sample"
        )
    if flags.adapter:
        raise RealmodelsError("--backend vllm: it asks the model without --adapter; merge the adapter first")
    if flags.load_in != "none":
        raise RealmodelsError(
            f"--backend vllm: it loads the model itself; leave out --load-in {flags.load_in}"
        )
    require_vllm()


def column_map(pairs: Sequence[str]) -> dict[str, str]:
    """question=prompt answers=completion -> {"question": "prompt", "answers": "completion"}."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not column:
            raise RealmodelsError(f"--map {pair!r}: expected FIELD=COLUMN, such as question=prompt")
        if name not in FIELDS:
            raise RealmodelsError(f"--map {pair!r}: unknown field '{name}'{nearest(name, FIELDS)}")
        if name in found:
            raise RealmodelsError(f"--map {pair!r}: '{name}' is mapped twice")
        found[name] = column
    return found

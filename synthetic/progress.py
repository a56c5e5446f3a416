"""A bar with the time that is left, on stderr, for work of more than two seconds, and only where somebody watches."""

from __future__ import annotations

import sys
from typing import Any


def bar(label: str | None, total: int, unit: str) -> Any:
    """A context manager with `update()`; nothing is shown without a label."""
    from tqdm import tqdm

    hidden = True if label is None else None  # None: where stderr is no terminal
    return tqdm(total=total, desc=label, unit=unit, delay=2, leave=False, file=sys.stderr, disable=hidden)

"""Splits by content: the same rows land in the same split in any order, on any machine, in any larger file."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from realmodels.errors import RealmodelsError
from realmodels.rows import Row, content_id


def split_rows(rows: Sequence[Row], shares: Mapping[str, float], salt: str = "") -> dict[str, array[int]]:
    """split -> positions in `rows`, in order. All rows of one subject (else of one question) stay together.

    Each subject is assigned by its own hash: adding rows moves no other, and shares are met on average only.
    Another `salt` gives another, independent split.

    >>> from pathlib import Path
    >>> from realmodels import read_rows
    >>> lines = [f"Where was person {i} born?,Paris" for i in range(10)]
    >>> _ = Path("people.csv").write_text("\\n".join(["question,answers", *lines]))
    >>> found = split_rows(read_rows("people.csv").rows, {"train": 0.5, "test": 0.5})
    >>> sorted([*found["train"], *found["test"]])  # each row once
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    _check(shares)
    edges = list(accumulate(shares.values()))
    names = list(shares)
    found = {name: array("q") for name in names}
    for place, row in enumerate(rows):
        at = _uniform(group_of(row), salt) * edges[-1]
        found[next(name for name, edge in zip(names, edges, strict=True) if at < edge)].append(place)
    for name, places in found.items():
        if not places:
            raise RealmodelsError(
                f"split '{name}': none of {len(rows)} rows fell into its share of {shares[name]:g}; "
                "give it a larger share or more rows"
            )
    return found


def split_fingerprint(rows: Sequence[Row], split: Mapping[str, Sequence[int]]) -> str:
    """A hash of which contents stand in which split, whatever their order."""
    digest, opening = hashlib.sha256(), "{"
    for name in sorted(split):
        ids = array("Q", (int(content_id(rows[i].question, rows[i].answers), 16) for i in split[name]))
        digest.update(f"{opening}{json.dumps(name)}: [".encode())
        for place, number in enumerate(map(int, np.sort(np.array(ids, np.uint64)))):
            digest.update(f'{", " * (place > 0)}"{number:016x}"'.encode())
        digest.update(b"]")
        opening = ", "
    digest.update(b"}" if split else b"{}")
    return digest.hexdigest()


def group_of(row: Row) -> str:
    """What must not be torn apart: the subject, or the question where none is known; case and form aside."""
    kind, text = ("subject", row.subject) if row.subject else ("question", row.question)
    return f"{kind}:{' '.join(unicodedata.normalize('NFKC', text).casefold().split())}"


def _uniform(group: str, salt: str) -> float:
    """A number in [0, 1) that only the group and the salt decide."""
    digest = hashlib.sha256(json.dumps([salt, group]).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _check(shares: Mapping[str, float]) -> None:
    if not shares:
        raise RealmodelsError('splits: no shares given; expected such as {"train": 0.8, "test": 0.2}')
    for name, share in shares.items():
        if not math.isfinite(share) or share <= 0:
            raise RealmodelsError(f"split '{name}': expected a share above 0, got {share}")
    total = sum(shares.values())
    if abs(total - 1) > 1e-9:
        raise RealmodelsError(f"splits: the shares sum to {total:g}; expected 1")

"""Which rows of an audit to keep, by label, score and flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from realmodels.audited import LABELS, SCORES, Array, Audited, Flags, Ints
from realmodels.errors import RealmodelsError
from theory.schema import nearest


@dataclass(frozen=True)
class Criteria:
    """What must hold of a row. `top` is a share of the rows left by all else, the highest by `by`; `limit` takes so
    many of what is left then: the highest if `by` is given, else the first in the file."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    top: float | None = None
    by: str | None = None
    per_relation: bool = False
    no_overlap: bool = False
    no_dominant: bool = False
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows in the order of the file, and what the person should hear about them."""

    rows: Ints
    notes: tuple[str, ...]


def choose(audited: Audited, criteria: Criteria) -> Chosen:
    """The rows that meet the criteria."""
    check(criteria)
    passing, notes = _passing(audited, criteria)
    rows = np.flatnonzero(passing)
    if criteria.by:
        value = score(audited, criteria.by)
        silent = int(np.isnan(value[rows]).sum())
        if silent:
            notes.append(f"{silent:,} of {len(rows):,} rows have no {criteria.by} and are left out")
        rows = rows[~np.isnan(value[rows])]
        rows = rows[np.argsort(-value[rows], kind="stable")]
    if criteria.top is not None:
        rows = _top(
            rows, audited.relation if criteria.per_relation else np.zeros(len(audited), int), criteria.top
        )
    if criteria.limit is not None:
        if criteria.limit > len(rows):
            notes.append(f"--limit {criteria.limit:,}: only {len(rows):,} rows are left")
        rows = rows[: criteria.limit]
    if not len(rows):
        raise RealmodelsError(f"{audited.path}: no row is left; it has {census(audited)}; ask for less")
    return Chosen(np.sort(rows), tuple(notes))


def check(criteria: Criteria) -> None:
    """Complain about what cannot be meant."""
    labels(criteria.keep, "--keep")
    labels(criteria.drop, "--drop")
    if criteria.keep and criteria.drop:
        raise RealmodelsError("--keep and --drop: give one of them; what is not kept is dropped")
    if criteria.top is not None and not 0 < criteria.top <= 1:
        raise RealmodelsError(
            f"--top: expected a share above 0 and at most 1, got {criteria.top:g}; a number of rows is --limit"
        )
    if criteria.top is not None and criteria.by is None:
        raise RealmodelsError(f"--top: the highest by what? add --by with one of {', '.join(SCORES)}")
    if criteria.limit is not None and criteria.limit < 1:
        raise RealmodelsError(f"--limit: expected at least 1, got {criteria.limit}")
    if criteria.by is not None and criteria.by not in SCORES:
        raise RealmodelsError(f"--by: unknown score '{criteria.by}'{nearest(criteria.by, SCORES)}")
    if criteria.per_relation and criteria.top is None:
        raise RealmodelsError("--per-relation: says how --top is taken; give --top too")


def labels(names: Sequence[str], flag: str) -> None:
    for name in names:
        if name not in LABELS:
            raise RealmodelsError(f"{flag}: unknown label '{name}'{nearest(name, LABELS)}")


def score(audited: Audited, name: str) -> Array:
    """The score of every row; at least one row must have it."""
    if name not in SCORES:
        raise RealmodelsError(f"--by: unknown score '{name}'{nearest(name, SCORES)}")
    if np.isnan(audited.scores[name]).all():
        had = [other for other in SCORES if not np.isnan(audited.scores[other]).all()]
        raise RealmodelsError(
            f"{audited.path}: no row has a {name}; the audit has {', '.join(had)}; audit again with this signal"
        )
    return audited.scores[name]


def census(audited: Audited) -> str:
    """`3 HighlyKnown, 2 Unknown`."""
    count = np.bincount(audited.label, minlength=len(LABELS))
    return ", ".join(f"{count[k]:,} {LABELS[k]}" for k in reversed(range(len(LABELS))) if count[k])


def bare_relations(audited: Audited, rows: Ints) -> tuple[str, ...]:
    """A warning for each relation that the rows leave without a known one, though it has rows or had known ones."""
    size = len(audited.relations)
    had = np.bincount(audited.relation[audited.known], minlength=size)
    kept = np.bincount(audited.relation[rows], minlength=size)
    known = np.bincount(audited.relation[rows[audited.known[rows]]], minlength=size)
    return tuple(
        f"relation {audited.relations[k]}: no known row is left ({had[k]:,} before, {kept[k]:,} rows kept); a relation "
        "trained without known rows may be forgotten as a whole"
        for k in np.flatnonzero((known == 0) & ((had > 0) | (kept > 0)))
    )


def _passing(audited: Audited, criteria: Criteria) -> tuple[Flags, list[str]]:
    passing, notes = np.ones(len(audited), bool), []
    if criteria.keep or criteria.drop:
        named = np.isin(audited.label, [LABELS.index(name) for name in criteria.keep or criteria.drop])
        passing &= named if criteria.keep else ~named
    if criteria.no_dominant:
        passing &= ~audited.dominant
    if criteria.no_overlap:
        passing &= audited.overlap != 1
        silent = int((audited.overlap[passing] == -1).sum())
        if silent:
            notes.append(
                f"--no-overlap: of {silent:,} rows the audit does not say if they overlap; they are kept"
            )
    return passing, notes


def _top(rows: Ints, group: Ints, share: float) -> Ints:
    """The first `share` of the ordered rows of every group, rounded up, in their order."""
    order = np.argsort(group[rows], kind="stable")
    ordered = group[rows][order]
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
    size = np.bincount(ordered, minlength=1)[group[rows]] if len(rows) else rank
    return np.asarray(rows[rank < np.ceil(share * size - 1e-9)])

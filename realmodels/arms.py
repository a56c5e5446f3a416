"""Training sets for an experiment: equal in size, matched cell by cell, and open about what could not be matched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from realmodels.audited import NO_RELATION, Audited, Flags, Ints
from realmodels.cells import apart, cells, equal_draws, halves, supply, trimmed
from realmodels.deal import deal
from realmodels.errors import RealmodelsError
from realmodels.filtering import score
from theory.matching import normalize
from theory.schema import nearest
from theory.slick import Category

PERMUTED = "known-permuted"
ARMS: Mapping[str, str] = {
    "known": "some greedy answer is right: HighlyKnown or MaybeKnown",
    "unknown": "Unknown",
    "highly": "HighlyKnown",
    "maybe": "MaybeKnown",
    "weakly": "WeaklyKnown",
    "best": "the upper half of every cell by --by",
    "lesser": "the lower half of every cell by --by",
    "random": "rows of any label",
    PERMUTED: "the rows of `known` with their answers dealt anew within each relation, so that they are false",
}
KEYS: Mapping[str, str] = {
    "relation": "the relation",
    "answer": "the first accepted answer, normalised (within the relation if that is matched too)",
    "overlap": "whether an answer repeats a word of the subject",
    "dominant": "whether the answer is one of the relation's two commonest",
}


@dataclass(frozen=True)
class Design:
    """Which arms, alike in what, of which size (None: all that can be matched). `disjoint`: no subject is in two."""

    arms: tuple[str, ...]
    match: tuple[str, ...] = ("relation",)
    size: int | None = None
    seed: int = 0
    disjoint: bool = False
    by: str = "logprob"


@dataclass(frozen=True, eq=False)
class Arm:
    """Rows in the order of the file; of a permuted arm also `answers`, the row that each takes its answers from."""

    name: str
    rows: Ints
    pool: int
    answers: Ints | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """`matched`: rows of each arm before `size` cut them; `cells`: how many have a row of some arm, and of all."""

    arms: tuple[Arm, ...]
    matched: int
    cells: tuple[int, int]
    unmatched: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]


def draw(audited: Audited, design: Design, among: Ints | None = None) -> Drawn:
    """The arms of a design, from all rows of the audit or from those `among` them. It follows from the seed."""
    check(design)
    cell = _cells(audited, design.match)
    named = tuple(dict.fromkeys("known" if name == PERMUTED else name for name in design.arms))
    pools = _pools(audited, design, cell, named, among)
    for name, pool in zip(named, pools, strict=True):
        if not pool.any():
            raise RealmodelsError(f"{audited.path}: arm '{name}': no row is {ARMS[name]}")
    usable = pools
    if design.disjoint:
        usable = apart(cell, pools, audited.subject, _rng(design, "apart"))
    sets = equal_draws(cell, usable, _rng(design, "draws"))
    matched = sets.shape[1]
    _enough(audited, design, pools, matched)
    unmatched = {
        name: _left(audited, pool, rows) for name, pool, rows in zip(named, pools, sets, strict=True)
    }
    met, had = supply(cell, usable).min(axis=0) > 0, supply(cell, pools).max(axis=0) > 0
    if design.size is not None:
        sets = sets[:, trimmed(audited.relation[sets[0]], design.size, _rng(design, "size"))]
    rows = dict(zip(named, np.sort(sets, axis=1), strict=True))
    totals = dict(zip(named, (int(pool.sum()) for pool in pools), strict=True))
    arms = [
        _permuted(audited, rows["known"], totals["known"], _rng(design, "deal"))
        if name == PERMUTED
        else Arm(name, rows[name], totals[name])
        for name in design.arms
    ]
    notes = _notes(audited, design, totals, matched, rows, arms)
    return Drawn(tuple(arms), matched, (int(had.sum()), int(met.sum())), unmatched, tuple(notes))


def check(design: Design) -> None:
    """Complain about what cannot be meant."""
    for flag, names, known in (("--arms", design.arms, ARMS), ("--match", design.match, KEYS)):
        for name in names:
            if name not in known:
                raise RealmodelsError(f"{flag}: unknown '{name}'{nearest(name, known)}")
        if len(set(names)) < len(names):
            raise RealmodelsError(f"{flag}: a name stands there twice: {','.join(names)}")
    if not design.arms:
        raise RealmodelsError(f"--arms: no arm is named; known are {', '.join(ARMS)}")
    if design.size is not None and design.size < 1:
        raise RealmodelsError(f"--size: expected at least 1 row an arm, got {design.size}")
    if design.seed < 0:
        raise RealmodelsError(f"--seed: expected an integer >= 0, got {design.seed}")


def _cells(audited: Audited, match: Sequence[str]) -> Ints:
    columns: dict[str, Ints] = {
        "relation": audited.relation,
        "answer": audited.answer,
        "overlap": audited.overlap.astype(np.int64),
        "dominant": audited.dominant.astype(np.int64),
    }
    return cells([columns[key] for key in match], len(audited))


def _pools(
    audited: Audited, design: Design, cell: Ints, named: Sequence[str], among: Ints | None
) -> list[Flags]:
    inside = np.ones(len(audited), bool)
    if among is not None:
        inside = np.isin(np.arange(len(audited)), among)
    pools: dict[str, Flags] = {
        "known": audited.known,
        "unknown": audited.label == Category.Unknown,
        "highly": audited.label == Category.HighlyKnown,
        "maybe": audited.label == Category.MaybeKnown,
        "weakly": audited.label == Category.WeaklyKnown,
        "random": inside,
    }
    if {"best", "lesser"} & set(named):
        value = np.where(inside, score(audited, design.by), np.nan)
        pools["lesser"], pools["best"] = halves(cell, value, _rng(design, "halves"))
    return [pools[name] & inside for name in named]


def _enough(audited: Audited, design: Design, pools: Sequence[Flags], matched: int) -> None:
    """Complain if the arms are smaller than asked or empty, and say what matching on less would give."""
    wanted = design.size or 1
    if matched >= wanted:
        return
    looser = [
        keys
        for size in reversed(range(len(design.match)))
        for keys in combinations(design.match, size)
        if int(supply(_cells(audited, keys), pools).min(axis=0).sum()) >= wanted
    ]
    way = f"say --match {','.join(looser[0]) or 'none'}" if looser else "take a smaller --size"
    alike = ", ".join(design.match) or "nothing"
    raise RealmodelsError(
        f"{audited.path}: {wanted:,} rows an arm are wanted, but only {matched:,} can be matched on {alike}"
        f"{' with disjoint subjects' * design.disjoint}; {way}, or audit more rows"
    )


def _left(audited: Audited, pool: Flags, rows: Ints) -> dict[str, int]:
    """relation -> rows of the pool that found no partner."""
    left = pool.copy()
    left[rows] = False
    count = np.bincount(audited.relation[left], minlength=len(audited.relations))
    return {audited.relations[k]: int(count[k]) for k in np.flatnonzero(count)}


def _permuted(audited: Audited, rows: Ints, pool: int, rng: np.random.Generator) -> Arm:
    alike: dict[frozenset[str], frozenset[str]] = {}  # most answers are those of many rows
    accepted = [alike.setdefault(a, a) for a in (_accepted(audited, row) for row in rows.tolist())]
    return Arm(PERMUTED, rows, pool, rows[deal(audited.relation[rows], accepted, rng)])


def _notes(
    audited: Audited,
    design: Design,
    totals: Mapping[str, int],
    matched: int,
    rows: Mapping[str, Ints],
    arms: Sequence[Arm],
) -> list[str]:
    notes = [
        f"{name}: {total - matched:,} of {total:,} rows found no partner in the other arms"
        for name, total in totals.items()
        if total > matched and len(totals) > 1
    ]
    relation = audited.relation[next(iter(rows.values()))]
    pooled = np.unique(audited.relation)
    lost = [audited.relations[k] for k in np.setdiff1d(pooled, relation)]
    if lost:
        notes.append(f"relations without a row in the arms: {', '.join(lost)}")
    if "relation" in design.match and audited.relations == (NO_RELATION,):
        notes.append("no row has a relation: all are matched as one; give the audit a relation column")
    if "overlap" in design.match and (audited.overlap == -1).any():
        notes.append(
            "of some rows the audit does not say if they overlap their subject: they are matched among them"
        )
    if design.disjoint and (audited.subject == -1).any():
        notes.append("some rows have no subject: each of them counts as a subject of its own")
    if design.disjoint and PERMUTED in design.arms and "known" in design.arms:
        notes.append(f"known and {PERMUTED} are the same rows by design, and so the same subjects")
    return notes + [
        f"{arm.name}: {still:,} rows kept a right answer, too common in their relation to go elsewhere "
        "(--no-dominant leaves such answers out)"
        for arm in arms
        if (still := unchanged(audited, arm))
    ]


def unchanged(audited: Audited, arm: Arm) -> int:
    """Rows of a permuted arm whose dealt answers still share one with their own."""
    if arm.answers is None:
        return 0
    pairs = zip(arm.rows.tolist(), arm.answers.tolist(), strict=True)
    return sum(not _accepted(audited, row).isdisjoint(_accepted(audited, other)) for row, other in pairs)


def _accepted(audited: Audited, row: int) -> frozenset[str]:
    return frozenset(map(normalize, audited.answers[row]))


def _rng(design: Design, part: str) -> np.random.Generator:
    """Each step has a stream of its own, so that one does not move the others."""
    return np.random.default_rng(np.random.SeedSequence([design.seed, *part.encode()]))

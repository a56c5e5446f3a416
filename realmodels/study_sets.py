"""The training sets of a seed, by the names of the vocabulary: equal in size, as many rows of every relation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from realmodels.arms import PERMUTED, Arm, Design, Drawn, draw, unchanged
from realmodels.audited import Flags, Ints
from realmodels.cells import ranks, trimmed
from realmodels.errors import RealmodelsError
from realmodels.study_facts import Facts
from realmodels.study_settings import Settings
from theory.slick import Category

LOOSE = ":by-relation"
ABSTAIN = "I do not know"
HALVES = ("best", "lesser", "whole", "random")
SMALL = ("small:known", "small:random")  # a tenth of the usual rows
SINGLE = {"highly": "HighlyKnown", "maybe": "MaybeKnown", "weakly": "WeaklyKnown", "unknown": "Unknown"}
CATEGORIES = (*(f"category:{name}" for name in SINGLE.values()), "natural")
_MIXED = re.compile(r"(mix|known-only|idk):(0|1|0?\.\d+)")


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Rows (numbers) and the answer that each teaches; `known` says which are of any category but Unknown."""

    name: str
    rows: Ints
    answers: tuple[str, ...]
    known: Flags
    notes: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Sets:
    """What could be drawn, by name, and remarks on what could not or came out otherwise."""

    sets: Mapping[str, TrainingSet]
    remarks: tuple[str, ...]


def draw_sets(facts: Facts, names: Sequence[str], settings: Settings, seed: int) -> Sets:
    """The sets of these names. Those that are compared are drawn together, so they do not depend on what else is
    asked for."""
    maker = _Maker(facts, settings, seed, permuted=PERMUTED in {name.removesuffix(LOOSE) for name in names})
    found: dict[str, TrainingSet] = {}
    remarks: list[str] = []
    for name in names:
        try:
            found[name] = maker.make(name)
        except _Scarce as scarce:
            remarks.append(f"{name}: {scarce}")
    return Sets(found, (*maker.remarks, *dict.fromkeys(remarks)))


def support(facts: Facts, rows: Ints, better: TrainingSet, lesser: TrainingSet) -> np.ndarray:
    """Which of two sets teaches each row's answer in its relation: known-only, unknown-only, both or neither."""
    pairs = _pairs(facts, rows)
    known, unknown = (_among(pairs, set(_pairs(facts, one.rows))) for one in (better, lesser))
    return np.select([known & unknown, known, unknown], ["both", "known-only", "unknown-only"], "neither")


def elsewhere(facts: Facts, rows: Ints, better: TrainingSet, lesser: TrainingSet) -> Flags:
    """Which rows' answers one of the two sets teaches in another relation, and neither in their own. Relations of
    several sources can say the same in other words."""
    taught = np.concatenate([better.rows, lesser.rows])
    anywhere = np.isin(facts.audited.answer[rows], facts.audited.answer[taught])
    return np.asarray(anywhere & ~_among(_pairs(facts, rows), set(_pairs(facts, taught))))


def is_set(name: str) -> bool:
    """Whether a study can have a training set of that name."""
    bare = name.removesuffix(LOOSE)
    fixed = {*HALVES, *SMALL, *CATEGORIES, "known", "unknown", PERMUTED}
    return name in fixed or bare in ("known", "unknown", PERMUTED) or bool(_MIXED.fullmatch(name))


class _Scarce(Exception):
    """A set for which there are no rows."""


class _Maker:
    def __init__(self, facts: Facts, settings: Settings, seed: int, *, permuted: bool) -> None:
        self.facts, self.settings, self.seed = facts, settings, seed
        self.permuted = permuted  # whether that set, which is drawn with the contrast anyway, is asked for
        self.remarks: list[str] = []
        self._drawn: dict[tuple[str, ...], dict[str, Arm]] = {}

    def make(self, name: str) -> TrainingSet:
        if name in HALVES:
            return self._half(name)
        if name in CATEGORIES:
            return self._category(name)
        bare = name.removesuffix(LOOSE)
        if bare in ("known", "unknown", PERMUTED):
            match = ("relation",) if bare != name else self.settings.match
            return replace(
                self._set(bare, self._together(("known", "unknown", PERMUTED), match)[bare]), name=name
            )
        if read := _MIXED.fullmatch(name):
            return self._mixed(name, read[1], float(read[2]))
        if name in SMALL:
            return self._small(name)
        raise RealmodelsError(f"study: no training set is called '{name}'")

    def _small(self, name: str) -> TrainingSet:
        whole = self.make(name.removeprefix("small:")).rows
        kept = trimmed(self.facts.audited.relation[whole], max(2, len(whole) // 10), self._rng(name))
        return self._of(name, whole[kept])

    def _half(self, name: str) -> TrainingSet:
        arms = self._together(("best", "lesser"), ("relation",))
        if name in arms:
            return self._set(name, arms[name])
        whole = np.sort(np.concatenate([arms["best"].rows, arms["lesser"].rows]))
        if name == "random":  # as many of every relation as a half has
            place = ranks(self.facts.audited.relation[whole], self._rng("random"))
            size = np.bincount(self.facts.audited.relation[whole])
            whole = whole[place < size[self.facts.audited.relation[whole]] // 2]
        return self._of(name, whole)

    def _category(self, name: str) -> TrainingSet:
        arms = self._together((*SINGLE, "random"), ("relation",))
        own = {"natural": "random"} | {f"category:{full}": short for short, full in SINGLE.items()}
        return replace(self._set(name, arms[own[name]]), name=name)

    def _mixed(self, name: str, kind: str, share: float) -> TrainingSet:
        """Slots, each for a known or an unknown row of a relation; larger shares of unknown rows contain smaller."""
        arms = self._together(("known", "unknown", PERMUTED), ("relation",))
        relation = self.facts.audited.relation
        known, unknown = (
            rows[np.lexsort((rows, relation[rows]))] for rows in (arms["known"].rows, arms["unknown"].rows)
        )
        taken = spread(relation[known], share, self._rng("mix"))
        if kind == "known-only":
            return self._of(name, np.sort(known[~taken]))
        rows = np.where(taken, unknown, known)
        order = np.argsort(rows)
        found = self._of(name, rows[order])
        if kind == "mix":
            return found
        answers = (
            ABSTAIN if silent else text for text, silent in zip(found.answers, taken[order], strict=True)
        )
        return replace(found, answers=tuple(answers))

    def _together(self, names: tuple[str, ...], match: tuple[str, ...]) -> dict[str, Arm]:
        """Arms drawn together, at the size of the settings or, where there are fewer rows, all that can be matched."""
        key = (*names, *match)
        if key not in self._drawn:
            audited = self.facts.audited
            design = Design(names, match, seed=self.seed, by=self.by() if "best" in names else "logprob")
            try:
                all_of_them = draw(audited, design, self.facts.train)
            except RealmodelsError as scarce:
                raise _Scarce(f"{scarce}") from None
            size = min(self.settings.rows or all_of_them.matched, all_of_them.matched)
            drawn = draw(audited, replace(design, size=size), self.facts.train)
            self._say(names, drawn, size)
            self._drawn[key] = {arm.name: arm for arm in drawn.arms}
        return self._drawn[key]

    def by(self) -> str:
        """What best and lesser are told apart by: what is asked for, else margin, else p_sample."""
        if self.settings.by:
            return self.settings.by
        return "p_sample" if np.isnan(self.facts.audited.scores["margin"]).all() else "margin"

    def _say(self, names: tuple[str, ...], drawn: Drawn, size: int) -> None:
        asked = [name for name in names if name != PERMUTED or self.permuted]
        if self.settings.rows and size < self.settings.rows:
            self.remarks.append(f"{', '.join(asked)}: {size} rows a set, no more can be matched")
        for arm in drawn.arms:
            if arm.name in asked and (still := unchanged(self.facts.audited, arm)):
                self.remarks.append(f"{arm.name}: {still} rows kept a right answer")

    def _set(self, name: str, arm: Arm) -> TrainingSet:
        audited = self.facts.audited
        answers = arm.rows if arm.answers is None else arm.answers
        return TrainingSet(
            name,
            arm.rows,
            tuple(audited.answers[row][0] for row in answers.tolist()),
            audited.label[arm.rows] != Category.Unknown,
            {"left_out": float(arm.pool - len(arm.rows))},
        )

    def _of(self, name: str, rows: Ints) -> TrainingSet:
        return self._set(name, Arm(name, rows, len(rows)))

    def _rng(self, part: str) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.seed, *part.encode()]))


def spread(group: Ints, share: float, rng: np.random.Generator) -> Flags:
    """(n,) this share of the rows, the same of every group as nearly as can be; larger shares contain smaller ones."""
    size = np.bincount(group)[group]
    place = (ranks(group, rng) + rng.random(int(group.max(initial=0)) + 1)[group]) / size
    taken = np.zeros(len(group), bool)
    taken[np.argsort(place, kind="stable")[: round(share * len(group))]] = True
    return taken


def _pairs(facts: Facts, rows: Ints) -> list[tuple[int, int]]:
    audited = facts.audited
    return list(zip(audited.relation[rows].tolist(), audited.answer[rows].tolist(), strict=True))


def _among(pairs: Iterable[tuple[int, int]], those: set[tuple[int, int]]) -> Flags:
    return np.array([pair in those for pair in pairs], bool)

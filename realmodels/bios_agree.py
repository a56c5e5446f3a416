"""The scorer against people: FActScore's labelled biographies of three systems, claim by claim and system by system.

The rules were written, and thresholds are chosen, on a third of the people (`development`); numbers are of the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_cover import Pairs, paired, support_by
from realmodels.bios_judge import Question
from realmodels.bios_probe import judged
from realmodels.bios_split import Splitter, by_sentences
from realmodels.errors import RealmodelsError
from realmodels.factscore import GROUPS, Person, read_people
from realmodels.tables import read_table
from theory.probe import auroc

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
PARTS = ("held-out", "development", "all")
DRAWS = 1000


@dataclass(frozen=True)
class Labelled:
    """A biography of a system: its person, and the claims a model made of it before people corrected those."""

    system: str
    person: Person
    made: tuple[str, ...]

    @property
    def judged(self) -> list[tuple[str, bool]]:
        """Claims that people found supported or not; irrelevant ones are left out."""
        return [(c.text, c.label == "S") for c in self.person.claims if c.label != "IR" and c.text.strip()]

    @property
    def facts(self) -> list[str]:
        return [text for text, right in self.judged if right]


@dataclass(frozen=True)
class Coverage:
    """How a way of splitting covers people's claims: shares with 95% intervals (people resampled)."""

    name: str
    claims: int
    wanted: int
    precision: tuple[float, float, float]
    recall: tuple[float, float, float]


@dataclass(frozen=True)
class Agreement:
    """How a scorer agrees with people on their own claims. `within` is the AUROC among people of like frequency."""

    name: str
    claims: int
    people: int
    accuracy: tuple[float, float, float] | None
    kappa: float | None
    auroc: tuple[float, float, float]
    within: float


@dataclass(frozen=True)
class Ranking:
    """Mean precision of each system by a scorer, and in which share of resamplings of people its order of systems
    is that of people."""

    name: str
    scores: Mapping[str, float]
    order: tuple[str, ...]
    same_order: bool
    pairs_agreeing: int
    resampled: float


@dataclass(frozen=True)
class Found:
    """All of it."""

    part: str
    people: int
    coverage: tuple[Coverage, ...]
    agreements: tuple[Agreement, ...]
    rankings: tuple[Ranking, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)


def is_development(name: str) -> bool:
    """A third of the people, by the hash of their names."""
    return hashlib.sha256(name.encode()).digest()[0] % 3 == 0


def read_labelled(folder: str | Path) -> tuple[Labelled, ...]:
    """Every labelled file of the folder is a system, by its name; abstentions are left out."""
    folder = Path(folder)
    if not folder.is_dir():
        raise RealmodelsError(
            f"{folder}: is no folder; expected the one that holds FActScore's labelled .jsonl files"
        )
    found: list[Labelled] = []
    for path in sorted(folder.glob("*.jsonl*")):
        made = {line: _made(row) for line, row in read_table(path)}
        system = path.name.partition(".jsonl")[0]
        found += [
            Labelled(system, p, made[p.line]) for p in read_people(path) if p.claims and not p.abstained
        ]
    if len({one.system for one in found}) < 2:
        raise RealmodelsError(
            f"{folder}: expected labelled biographies of two systems at least (NAME.jsonl or .jsonl.gz)"
        )
    return tuple(found)


def in_part(bios: Sequence[Labelled], part: str) -> list[Labelled]:
    if part not in PARTS:
        raise RealmodelsError(f"--people: unknown '{part}'; expected {', '.join(PARTS)}")
    wanted = {"held-out": (False,), "development": (True,), "all": (True, False)}[part]
    return [bio for bio in bios if is_development(bio.person.name) in wanted]


def others_facts(bio: Labelled, bios: Sequence[Labelled]) -> list[str]:
    """What people found supported in the other systems' biographies of the same person."""
    return [
        fact
        for other in bios
        if other.person.name == bio.person.name and other.system != bio.system
        for fact in other.facts
    ]


def overlap_scores(
    bios: Sequence[Labelled], claims: Sequence[Sequence[str]], everyone: Sequence[Labelled]
) -> list[Array]:
    """For each biography the likeness of its claims to the nearest fact of the other systems."""
    return [
        support_by(own, others_facts(bio, everyone), bio.person.name)
        for bio, own in zip(bios, claims, strict=True)
    ]


def best_threshold(scores: Array, right: Flags) -> float:
    """The score above which claims are called supported, so that most verdicts are people's; the least of the best."""
    edges = np.unique(np.concatenate([[-np.inf], scores]))
    accuracy = [float(((scores > edge) == right).mean()) for edge in edges]
    return float(edges[int(np.argmax(accuracy))])


def compare(bios: Sequence[Labelled], splitter: Splitter, part: str = "held-out") -> Found:
    """Everything that needs no model."""
    test, tune = in_part(bios, part), in_part(bios, "development")
    ours = [[claim.text for claim in splitter(bio.person.biography, bio.person.name)] for bio in test]
    human = [[text for text, _ in bio.judged] for bio in test]
    everything = [[c.text for c in bio.person.claims] for bio in test]
    splits = {
        "our claims": ours,
        "whole sentences": [
            [claim.text for claim in by_sentences(bio.person.biography, bio.person.name)] for bio in test
        ],
        "InstructGPT's, which people then corrected": [list(bio.made) for bio in test],
    }
    matched = {
        name: [
            paired(claims, wanted, bio.person.name)
            for claims, wanted, bio in zip(found, everything, test, strict=True)
        ]
        for name, found in splits.items()
    }
    coverage = tuple(
        _coverage(f"{name}{'' if system is None else f', {system}'}", pairs, test, system)
        for name, pairs in matched.items()
        for system in (None, *systems(bios))
    )
    right = [np.array([yes for _, yes in bio.judged], bool) for bio in test]
    tuned = [np.array([yes for _, yes in bio.judged], bool) for bio in tune]
    overlap = overlap_scores(test, human, bios)
    edge = best_threshold(
        np.concatenate(overlap_scores(tune, [[t for t, _ in b.judged] for b in tune], bios)),
        np.concatenate(tuned),
    )
    rates = _group_rates(tune)
    popular = [np.full(len(own), rates[bio.person.group]) for bio, own in zip(test, human, strict=True)]
    said: dict[str, tuple[list[Array], float]] = {
        "always supported": ([np.ones(len(own)) for own in human], 0.5),
        "popularity alone": (popular, 0.5),
        "overlap with the other systems' supported claims": (overlap, edge),
    }
    agreements = [
        agreement(name, scores, right, test, threshold) for name, (scores, threshold) in said.items()
    ]
    on_ours = overlap_scores(test, ours, bios)
    people = _by_person(test, [flags.astype(np.float64) for flags in right])
    share = {
        "people, on their claims": people,
        "people's labels, on our claims that match theirs": _by_person(
            test, [_transferred(bio, pairs) for bio, pairs in zip(test, matched["our claims"], strict=True)]
        ),
        "popularity alone": _by_person(test, [(s > 0.5).astype(np.float64) for s in popular]),
        "overlap, on people's claims": _by_person(test, [(s > edge).astype(np.float64) for s in overlap]),
        "overlap, on our claims": _by_person(test, [(s > edge).astype(np.float64) for s in on_ours]),
    }
    rankings = tuple(ranking(name, found, people) for name, found in share.items())
    names = {bio.person.name for bio in test}
    return Found(part, len(names), coverage, tuple(agreements), rankings, {"overlap": edge})


def systems(bios: Sequence[Labelled]) -> tuple[str, ...]:
    return tuple(sorted({bio.system for bio in bios}))


def agreement(
    name: str,
    scores: Sequence[Array],
    right: Sequence[Flags],
    bios: Sequence[Labelled],
    threshold: float | None,
) -> Agreement:
    """Of scores for the claims of each biography."""
    score, true = np.concatenate(scores), np.concatenate(right)
    who = [bio.person.name for bio, own in zip(bios, right, strict=True) for _ in own]
    groups = np.array([bio.person.group for bio, own in zip(bios, right, strict=True) for _ in own], object)
    told = judged(score, true, who, DRAWS)
    inside = [(auroc(score[groups == g], true[groups == g]), int((groups == g).sum())) for g in GROUPS]
    known = [(area, n) for area, n in inside if np.isfinite(area)]
    within = sum(area * n for area, n in known) / sum(n for _, n in known) if known else float("nan")
    if threshold is None:
        accuracy = kappa = None
    else:
        said = score > threshold
        hits = [(own > threshold) == flags for own, flags in zip(scores, right, strict=True)]
        accuracy = _resampled(hits, [bio.person.name for bio in bios])
        chance = said.mean() * true.mean() + (1 - said.mean()) * (1 - true.mean())
        kappa = float(((said == true).mean() - chance) / (1 - chance)) if chance < 1 else 0.0
    return Agreement(
        name, len(true), len(set(who)), accuracy, kappa, (told.auroc, told.low, told.high), within
    )


def ranking(
    name: str,
    found: Mapping[str, Mapping[str, float]],
    people: Mapping[str, Mapping[str, float]],
    draws: int = DRAWS,
    seed: int = 0,
) -> Ranking:
    """From a precision for every system and person: the mean over the persons that a system wrote about."""
    named = sorted(people)
    who = sorted({person for own in people.values() for person in own})
    table, wanted = (_table(one, named, who) for one in (found, people))
    means, truth = np.nanmean(table, axis=1), np.nanmean(wanted, axis=1)
    rng = np.random.default_rng(seed)
    same = 0
    for _ in range(draws):
        some = rng.integers(0, len(who), len(who))
        with np.errstate(invalid="ignore"):
            same += bool(
                (
                    _order(np.nanmean(table[:, some], axis=1)) == _order(np.nanmean(wanted[:, some], axis=1))
                ).all()
            )
    agreeing = sum(
        (means[i] - means[j]) * (truth[i] - truth[j]) > 0 for i, j in combinations(range(len(named)), 2)
    )
    order = tuple(named[i] for i in _order(means))
    return Ranking(
        name,
        {system: float(mean) for system, mean in zip(named, means, strict=True)},
        order,
        bool((_order(means) == _order(truth)).all()),
        int(agreeing),
        same / draws,
    )


def sample(
    bios: Sequence[Labelled], per_system: int, reading: bool, everyone: Sequence[Labelled]
) -> list[tuple[Labelled, Question, bool]]:
    """`per_system` claims of every system, half supported and half not, of as many people as possible; which ones
    follows from their texts. With `reading` the judge reads what the other systems said rightly."""
    found: list[tuple[Labelled, Question, bool]] = []
    for system in systems(bios):
        for wanted in (True, False):
            pool: list[tuple[int, str, Labelled, str]] = []
            for bio in (one for one in bios if one.system == system):
                texts = sorted(
                    (_place(f"{system} {bio.person.name} {t}"), t) for t, yes in bio.judged if yes == wanted
                )
                pool += [(turn, place, bio, text) for turn, (place, text) in enumerate(texts)]
            pool.sort(key=lambda one: one[:2])
            half = per_system // 2 + (per_system % 2 if wanted else 0)
            for _, _, bio, text in pool[:half]:
                passage = " ".join(others_facts(bio, everyone)) if reading else None
                found.append((bio, Question(bio.person.name, text, passage), wanted))
    return found


def agreement_of_sample(
    name: str,
    chosen: Sequence[tuple[Labelled, Question, bool]],
    odds: Sequence[float],
    threshold: float = 0.0,
) -> Agreement:
    """Each claim of a sample stands alone."""
    return agreement(
        name,
        [np.array([value]) for value in odds],
        [np.array([yes]) for _, _, yes in chosen],
        [bio for bio, _, _ in chosen],
        threshold,
    )


def _coverage(name: str, pairs: Sequence[Pairs], bios: Sequence[Labelled], system: str | None) -> Coverage:
    some = [(p, b.person.name) for p, b in zip(pairs, bios, strict=True) if system in (None, b.system)]
    who = [person for _, person in some]
    hits = [len(p.pairs) for p, _ in some]
    first, second = [p.first for p, _ in some], [p.second for p, _ in some]
    return Coverage(name, sum(first), sum(second), _ratio(hits, first, who), _ratio(hits, second, who))


def _ratio(above: Sequence[float], below: Sequence[float], who: Sequence[str]) -> tuple[float, float, float]:
    """Share of sums and its interval, people resampled."""
    people = sorted(set(who))
    place = {name: i for i, name in enumerate(people)}
    index = [place[name] for name in who]
    one, two = (
        np.bincount(index, weights=np.asarray(x, np.float64), minlength=len(people)) for x in (above, below)
    )
    draws = np.random.default_rng(0).integers(0, len(people), (DRAWS, len(people)))
    shares = one[draws].sum(axis=1) / np.maximum(two[draws].sum(axis=1), 1e-12)
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(one.sum() / max(two.sum(), 1e-12)), float(low), float(high)


def _resampled(hits: Sequence[Flags], who: Sequence[str]) -> tuple[float, float, float]:
    return _ratio([float(own.sum()) for own in hits], [float(len(own)) for own in hits], who)


def _by_person(bios: Sequence[Labelled], values: Sequence[Array]) -> dict[str, dict[str, float]]:
    """System to person to the mean of the values of its claims; nobody without a claim."""
    found: dict[str, dict[str, float]] = {}
    for bio, own in zip(bios, values, strict=True):
        if len(own):
            found.setdefault(bio.system, {})[bio.person.name] = float(np.mean(own))
    return found


def _transferred(bio: Labelled, pairs: Pairs) -> Array:
    """People's verdicts on those of our claims that match one of theirs."""
    labels = [bio.person.claims[j].label for _, j in pairs.pairs]
    return np.array([float(label == "S") for label in labels if label != "IR"])


def _group_rates(bios: Sequence[Labelled]) -> dict[str, float]:
    """Share of supported claims by how often the name occurs."""
    found = {}
    for group in GROUPS:
        labels = [yes for bio in bios if bio.person.group == group for _, yes in bio.judged]
        found[group] = float(np.mean(labels)) if labels else 0.5
    return found


def _table(found: Mapping[str, Mapping[str, float]], named: Sequence[str], who: Sequence[str]) -> Array:
    return np.array([[found.get(system, {}).get(person, np.nan) for person in who] for system in named])


def _order(means: Array) -> NDArray[np.int64]:
    return np.argsort(-means, kind="stable")


def _place(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _made(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        fact["text"]
        for sentence in row.get("annotations") or []
        for fact in sentence.get("model-atomic-facts") or []
        if isinstance(fact, dict) and isinstance(fact.get("text"), str) and fact["text"].strip()
    )

"""A probe of claims that saw none of the same person, and how well a signal tells supported claims from others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.goodturing import expected_calibration_error
from theory.probe import auroc, fit_probe

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
FOLDS = 5


def folds(names: Sequence[str], count: int = FOLDS) -> NDArray[np.int64]:
    """The fold of each claim by its person's name, the same on any machine."""
    return np.array([hashlib.sha256(name.encode()).digest()[1] % count for name in names], np.int64)


def crossed(features: Array, true: Sequence[bool | None], names: Sequence[str]) -> tuple[Array, int]:
    """P(supported) of every claim by a probe that saw no claim about the same person, and how many labels there are.

    nan where the other persons' claims are all supported or all not.
    """
    labelled = np.array([label is not None for label in true], bool)
    right = np.array([bool(label) for label in true], bool)
    fold, found = folds(names), np.full(len(right), np.nan)
    for own in np.unique(fold):
        others = labelled & (fold != own)
        if 0 < right[others].sum() < others.sum():
            found[fold == own] = fit_probe(features[others], right[others])(features[fold == own])
    return found, int(labelled.sum())


@dataclass(frozen=True)
class Judged:
    """A signal against labels: AUROC with its interval (people resampled), and how far it is off as a chance."""

    auroc: float
    low: float
    high: float
    calibration_error: float | None
    claims: int
    people: int


def judged(
    score: ArrayLike, true: ArrayLike, names: Sequence[str], draws: int = 1000, seed: int = 0
) -> Judged:
    """Over the claims whose score is finite; calibration only of scores that are chances."""
    values: Array = np.asarray(score, np.float64)
    good = np.isfinite(values)
    values, right, who = values[good], np.asarray(true, bool)[good], np.asarray(names, object)[good]
    people = sorted(set(who.tolist()))
    rows = [np.flatnonzero(who == name) for name in people]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws if people else 0):
        some = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        found.append(auroc(values[some], right[some]))
    kept = [value for value in found if np.isfinite(value)]
    low, high = np.percentile(kept, [2.5, 97.5]) if kept else (np.nan, np.nan)
    chance = len(values) > 0 and bool(((values >= 0) & (values <= 1)).all())
    off = expected_calibration_error(values, right) if chance else None
    return Judged(auroc(values, right), float(low), float(high), off, len(values), len(people))

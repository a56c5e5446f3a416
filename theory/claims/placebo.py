"""Numbers with a known truth, under noise like that of real runs: what the decision rule is calibrated on.

`null` puts every part at the boundary of what it claims: a zero effect where a sign is claimed, the margin
itself where "no worse" or "no different" is claimed, because no effect at all makes such a claim true.
`nothing` is no effect at all; `published` the paper's number, and the claimed direction where there is none.

Every number has, with a scale that differs between seeds: a shift shared by all training sets (other test
facts), a skewed one of its training set, one of its training set that wanders over steps, and one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Array, Cell, Claim, Part
from theory.claims.catalogue import choose
from theory.claims.estimators import (
    FORMAT_SHARE,
    Contrast,
    FittedShares,
    TimeToFit,
    regress,
    time_to,
)
from theory.errors import TheoryError

Truth = Literal["null", "nothing", "claimed", "opposite", "published"]
Key = tuple[str, Cell]  # study, and a cell at every step

STEPS = np.arange(20, 161, 20)
EARLY = 2  # index of the step at which dev accuracy peaks
SIZES: Mapping[str, float] = {
    "points": 0.06,
    "correlation": 0.3,
    "AUROC": 0.2,
    "doublings": 1.0,
    "share": 0.2,
}
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Noise:
    """Standard deviations in the records' scale; `rho` ties neighbouring steps, `spread` is of log scale."""

    shared: float = 0.05
    trained: float = 0.015
    step: float = 0.01
    own: float = 0.01
    rho: float = 0.8
    spread: float = 0.4


USUAL = Noise()


@dataclass(frozen=True)
class Plan:
    """The numbers that claims read and the truth behind them: levels[key, step]; `arm` is the primary one."""

    claims: tuple[Claim, ...]
    keys: tuple[Key, ...]
    levels: Array
    arm: str

    @property
    def parts(self) -> tuple[tuple[Claim, Part], ...]:
        """The parts that decide, each with its claim."""
        return deciding(self.claims)

    @cached_property
    def place(self) -> Mapping[Key, int]:
        return {key: i for i, key in enumerate(self.keys)}


def deciding(claims: Iterable[Claim]) -> tuple[tuple[Claim, Part], ...]:
    return tuple((claim, part) for claim in claims for part in claim.parts if part.role != "reported")


def plan(
    claims: Iterable[str | Claim] | None = None,
    truth: Truth = "null",
    sizes: Mapping[str, float] = SIZES,
    *,
    arm: str = "all",
    peak: float = 0.1,
) -> Plan:
    """Levels that give every deciding part its true value. With `peak` 0 noise alone picks the early stop."""
    chosen = choose(claims)
    read = [(claim.study, cell) for claim in chosen for cell in claim.cells]
    dev = [(study, _dev(cell)) for study, cell in read if cell.stop == "early"]
    keys = tuple(dict.fromkeys([*((study, cell.at(stop="every")) for study, cell in read), *dev]))
    levels = np.full((len(keys), len(STEPS)), 0.5)
    for i, (_, cell) in enumerate(keys):
        if cell.split == "dev":
            levels[i, EARLY] += peak
            levels[i, -1] -= 0.2
    parts = deciding(chosen)
    for signs in product(*([1.0, -1.0] if part.direction == "within" else [1.0] for _, part in parts)):
        targets = [_target(part, truth, sizes, sign) for (_, part), sign in zip(parts, signs, strict=True)]
        solved = _solve(keys, levels, parts, targets)
        if solved is not None:
            return Plan(chosen, keys, solved, arm)
    raise TheoryError(
        f"plan: {', '.join(c.id for c in chosen)} cannot all be {truth} at once; plan them apart"
    )


def draw(it: Plan, rng: np.random.Generator, draws: int, seeds: int, noise: Noise = USUAL) -> Array:
    """Values [draws, seeds, keys, steps]. The fit to own rows wanders apart, or it would have an effect."""
    shape = (draws, seeds)
    lag = np.abs(np.subtract.outer(np.arange(len(STEPS)), np.arange(len(STEPS))))
    wander = np.linalg.cholesky(noise.rho**lag).T
    sets = _numbered((study, c.arm_in(it.arm), c.trained_on, str(c.split == "train")) for study, c in it.keys)
    questions = _numbered((study, c.metric, c.split, c.stratum) for study, c in it.keys)
    many = int(sets.max()) + 1
    rough = 1.0 + 0.5 * (np.arange(many) % 2)[:, None]  # every other training set is noisier
    trained = noise.trained * (rng.gamma(4.0, size=(*shape, many, 1)) - 4.0) / 2.0
    trained = rough * (trained + noise.step * (rng.normal(size=(*shape, many, len(STEPS))) @ wander))
    shared = noise.shared * rng.normal(size=(*shape, int(questions.max()) + 1, 1))
    own = noise.own * (rng.normal(size=(*shape, len(it.keys), len(STEPS))) @ wander)
    scale = np.exp(rng.normal(0.0, noise.spread, (*shape, 1, 1)))
    return np.asarray(it.levels + scale * (trained[:, :, sets] + shared[:, :, questions] + own))


def effects(it: Plan, values: Array) -> list[Array]:
    """Each deciding part's effects [draws, seeds]: what the estimators find in records of these values."""
    return [_effect(it, claim.study, part, values) for claim, part in it.parts]


def _target(part: Part, truth: Truth, sizes: Mapping[str, float], sign: float) -> float:
    """The part's true value; `sign` chooses the side of a two-sided margin."""
    if truth == "published":
        number = part.published
        if number is not None:
            return (number.low + number.high) / 2 / part.scale
        truth = "claimed"
    size, null, margin = sizes[part.unit], part.null, part.margin
    if truth == "nothing":
        level = (
            isinstance(part.quantity, Contrast) and abs(sum(w for w, _ in part.quantity.terms)) > TOLERANCE
        )
        return null if level else 0.0
    if part.direction == "within":
        return {"null": null + sign * margin, "claimed": null, "opposite": null + sign * (margin + size)}[
            truth
        ]
    if part.direction == "not below":
        return {"null": null - margin, "claimed": null, "opposite": null - margin - size}[truth]
    up = 1.0 if part.direction == "above" else -1.0
    return null + up * {"null": margin, "claimed": margin + size, "opposite": -size}[truth]


def _solve(
    keys: Sequence[Key], base: Array, parts: Sequence[tuple[Claim, Part]], targets: Sequence[float]
) -> Array | None:
    """Levels nearest to `base` at which all parts have their targets; None if there are none."""
    levels = base.copy()
    place = {key: i for i, key in enumerate(keys)}
    fits: list[tuple[str, FittedShares, float]] = []
    rows, wanted = [], []
    for (claim, part), target in zip(parts, targets, strict=True):
        if isinstance(part.quantity, TimeToFit):
            levels[place[claim.study, part.quantity.late]] = _fitting(0.5 * target)
            levels[place[claim.study, part.quantity.early]] = _fitting(-0.5 * target)
        elif isinstance(part.quantity, FittedShares):
            fits.append((claim.study, part.quantity, target))
    _plant_fits(place, levels, fits)
    for (claim, part), target in zip(parts, targets, strict=True):
        if isinstance(part.quantity, Contrast):
            row = np.zeros((len(keys), 2))
            for weight, cell in part.quantity.terms:
                row[place[claim.study, cell.at(stop="every")], int(cell.stop == "end")] += weight
            rows.append(row.reshape(-1))
            wanted.append(target - float((row * levels[:, [EARLY, -1]]).sum()))
    if rows:
        shift, *_ = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)
        if np.abs(np.array(rows) @ shift - wanted).max() > TOLERANCE:
            return None
        before, end = shift.reshape(-1, 2).T
        levels[:, :-1] += before[:, None]
        levels[:, -1] += end
    return levels


def _fitting(doublings: float) -> Array:
    """Share of rows fitted over steps: half of them at the early stop, or that many doublings later."""
    return np.asarray(1.0 - 2.0 ** (-STEPS / (STEPS[EARLY] * 2.0**doublings)))


def _plant_fits(
    place: Mapping[Key, int], levels: Array, fits: Sequence[tuple[str, FittedShares, float]]
) -> None:
    """Set fitted curves, Known first, and accuracies on the plane with the slopes that the targets need."""
    names = list(dict.fromkeys((name, split) for _, fit, _ in fits for _, name, split in fit.weights))
    slopes: dict[tuple[str, str], float] = {}
    if names:
        weights = [
            [sum(w for w, *of in fit.weights if tuple(of) == name) for name in names] for _, fit, _ in fits
        ]
        solution, *_ = np.linalg.lstsq(
            np.array(weights), np.array([target for *_, target in fits]), rcond=None
        )
        slopes = dict(zip(names, solution.tolist(), strict=True))
    curves = {"known": _fitting(-1.0), "unknown": _fitting(1.0)}
    for study, fit, _ in fits:
        for split in fit.splits:
            for share, accuracy, known, unknown in fit.mixes(split):
                levels[place[study, accuracy]] = 0.5
                for name, cell, part in (("known", known, 1 - share), ("unknown", unknown, share)):
                    if cell is not None:
                        levels[place[study, cell]] = curves[name]
                        levels[place[study, accuracy]] += slopes.get((name, split), 0.0) * part * curves[name]


def _effect(it: Plan, study: str, part: Part, values: Array) -> Array:
    quantity = part.quantity

    def curve(cell: Cell) -> Array:
        return np.asarray(values[:, :, it.place[study, cell.at(stop="every")]])

    if isinstance(quantity, Contrast):
        return np.asarray(sum(weight * _stopped(curve(cell), cell, curve) for weight, cell in quantity.terms))
    if isinstance(quantity, TimeToFit):
        late, early = (time_to(STEPS, curve(cell), quantity.at) for cell in quantity.cells)
        return np.asarray(np.log2(late / early))
    assert isinstance(quantity, FittedShares)
    kept = FORMAT_SHARE * STEPS[-1] <= STEPS
    total = np.zeros(values.shape[:2])
    for split in quantity.splits:
        points: list[tuple[Array, Array, Array]] = []
        for share, accuracy, known, unknown in quantity.mixes(split):
            zero = np.zeros_like(curve(accuracy))
            k = zero if known is None else (1 - share) * curve(known)
            u = zero if unknown is None else share * curve(unknown)
            points.append((curve(accuracy)[..., kept], k[..., kept], u[..., kept]))
        slopes = regress(*(np.concatenate(column, axis=-1) for column in zip(*points, strict=True)))
        for weight, name, where in quantity.weights:
            total += weight * slopes[name] if where == split else 0.0
    return total


def _stopped(values: Array, cell: Cell, curve: Callable[[Cell], Array]) -> Array:
    """The value at the cell's stop."""
    if cell.stop == "end":
        return np.asarray(values[..., -1])
    best = curve(_dev(cell)).argmax(axis=-1)
    return np.asarray(np.take_along_axis(values, best[..., None], axis=-1)[..., 0])


def _dev(cell: Cell) -> Cell:
    return Cell("accuracy", cell.trained_on, "every", split="dev", arm=cell.arm, base=cell.base)


def _numbered(names: Iterable[tuple[str, ...]]) -> NDArray[np.intp]:
    names = list(names)
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.intp)

"""Records with a known truth: no effect, the claimed effect or its opposite, under noise like that of real runs.

Null records put every part at the boundary of what it claims: a zero effect where a sign is claimed, the margin itself
where "no worse" or "no different" is claimed (no effect at all would make such a claim true). `nothing` is no effect at all.

Noise, per seed and with a scale that differs between seeds: a shift shared by all training sets (other test facts), a
skewed one of each training set, one of each training set that wanders over steps, and one of each number written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import Array, Cell, Claim, Part
from theory.claims.catalogue import choose
from theory.claims.estimators import FORMAT_SHARE, Contrast, FittedShares, TimeToFit, regress, time_to
from theory.errors import TheoryError
from theory.table import Table

Truth = Literal["null", "nothing", "claimed", "opposite"]
Key = tuple[str, Cell]  # study, and a cell at every step
Set = tuple[str, str, str, str]  # study, arm, trained_on, whether it is the fit to its own rows

STEPS = np.arange(20, 161, 20)
EARLY = 2  # index of the step at which dev accuracy peaks
SIZES: Mapping[str, float] = {
    "points": 0.06,
    "correlation": 0.3,
    "AUROC": 0.2,
    "doublings": 1.0,
    "share": 0.2,
}
ROWS = 400  # training rows of a mix
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Noise:
    """Standard deviations in the records' scale; `rho` correlates neighbouring steps, `spread` is that of log scale."""

    shared: float = 0.05
    trained: float = 0.015
    step: float = 0.01
    own: float = 0.01
    rho: float = 0.8
    spread: float = 0.4


@dataclass(frozen=True)
class Plan:
    """The rows that claims need and the truth behind them: level[key, step], and where each training set peaks."""

    claims: tuple[Claim, ...]
    keys: tuple[Key, ...]
    levels: Array
    arm: str

    @property
    def parts(self) -> tuple[tuple[Claim, Part], ...]:
        """The parts that decide."""
        return tuple(
            (claim, part) for claim in self.claims for part in claim.parts if part.role != "reported"
        )

    @property
    def sets(self) -> tuple[Set, ...]:
        """What is trained; its fit to its own rows wanders apart from its answers, or the fit would have an effect."""
        return tuple((s, c.arm_in(self.arm), c.trained_on, str(c.split == "train")) for s, c in self.keys)


def plan(
    claims: Iterable[str | Claim] | None = None,
    truth: Truth = "null",
    sizes: Mapping[str, float] = SIZES,
    *,
    arm: str = "all",
    peak: float = 0.1,
) -> Plan:
    """Find levels that give every deciding part its true value. `peak` 0 lets noise alone pick the early stop."""
    chosen = choose(claims)
    keys = list(
        dict.fromkeys((claim.study, cell.at(stop="every")) for claim in chosen for cell in claim.cells)
    )
    stops = [(claim.study, cell) for claim in chosen for cell in claim.cells if cell.stop == "early"]
    keys += dict.fromkeys((study, _dev(cell)) for study, cell in stops if (study, _dev(cell)) not in keys)
    parts = [(claim.study, part) for claim in chosen for part in claim.parts if part.role != "reported"]
    levels = np.full((len(keys), len(STEPS)), 0.5)
    for i, (_, cell) in enumerate(keys):
        if cell.split == "dev":
            levels[i, EARLY] += peak
            levels[i, -1] -= 2 * peak + 0.2
    for options in product(*([1.0, -1.0] if part.direction == "within" else [1.0] for _, part in parts)):
        targets = [_target(part, truth, sizes, sign) for (_, part), sign in zip(parts, options, strict=True)]
        solved = _solve(keys, levels, parts, targets)
        if solved is not None:
            return Plan(chosen, tuple(keys), solved, arm)
    raise TheoryError(
        f"plan: the parts of {', '.join(c.id for c in chosen)} cannot all be {truth} at once; plan them apart"
    )


def draw(it: Plan, rng: np.random.Generator, draws: int, seeds: int, noise: Noise = Noise()) -> Array:  # noqa: B008
    """Values [draws, seeds, keys, steps]."""
    shape = (draws, seeds)
    scale = np.exp(rng.normal(0.0, noise.spread, (*shape, 1, 1)))
    wander = np.linalg.cholesky(
        noise.rho ** np.abs(np.subtract.outer(range(len(STEPS)), range(len(STEPS))))
    ).T
    questions = _numbered((study, c.metric, c.split, c.stratum) for study, c in it.keys)
    sets = _numbered(it.sets)
    many = int(sets.max()) + 1
    rough = 1.0 + 0.5 * (np.arange(many) % 2)[:, None]  # every other training set is noisier
    skewed = (rng.gamma(4.0, size=(*shape, many, 1)) - 4.0) / 2.0
    trained = noise.trained * rough * skewed
    trained = trained + noise.step * rough * (rng.normal(size=(*shape, many, len(STEPS))) @ wander)
    shared = noise.shared * rng.normal(size=(*shape, int(questions.max()) + 1, 1))
    own = noise.own * (rng.normal(size=(*shape, len(it.keys), len(STEPS))) @ wander)
    return np.asarray(it.levels + scale * (trained[:, :, sets] + shared[:, :, questions] + own))


def effects(it: Plan, values: Array) -> list[Array]:
    """Each deciding part's effects [draws, seeds]."""
    return [_effect(it, claim.study, part, values) for claim, part in it.parts]


def to_table(it: Plan, values: Array, lab: str = "theory/R1-placebo", run: str = "placebo") -> Table:
    """Records of one draw [seeds, keys, steps]; values that a claim pools over alternatives are written apart."""
    seeds = values.shape[0]
    columns: dict[str, list[Any]] = {
        name: [] for name in ("study", "arm", "step", "trained_on", "prompt", "split", "stratum")
    }
    columns |= {name: [] for name in ("metric", "seed", "value", "n")}
    for k, (study, cell) in enumerate(it.keys):
        steps = np.array([0]) if cell.arm == "base" else STEPS
        block = values[:, k, -len(steps) :]
        for stratum, shift, n in _written(cell):
            fixed = {
                "study": study,
                "arm": cell.arm_in(it.arm),
                "trained_on": cell.trained_on,
                "prompt": cell.prompt,
            }
            fixed |= {"split": cell.split, "stratum": stratum, "metric": cell.metric, "n": n}
            for name, value in fixed.items():
                columns[name] += [value] * block.size
            columns["seed"] += np.repeat(np.arange(seeds), len(steps)).tolist()
            columns["step"] += np.tile(steps, seeds).tolist()
            columns["value"] += (block + shift).reshape(-1).tolist()
    return Table.from_columns({"lab": lab, "run": run, **columns})


def itemise(
    table: Table, items: int, rng: np.random.Generator, *, shared: bool = True, spread: float = 0.3
) -> Table:
    """Held-out accuracies as `items` single right-or-wrong results each, items of unequal difficulty.

    The items are the same in all seeds, or (`shared` false) each seed has its own.
    """
    split = table.mask(metric="accuracy") & ~table.mask(split=("dev", "train"))
    rows, rest = table.take(split), table.take(~split)
    difficulty = rng.uniform(-spread, spread, items)
    p = np.clip(rows.numbers["value"][:, None] + difficulty - difficulty.mean(), 0, 1)
    right = (rng.random(p.shape) < p).astype(float)
    columns = {name: np.repeat(rows.column(name), items).tolist() for name in _FIELDS}
    names = np.array([f"item-{i}" for i in range(items)])
    item = np.tile(names, len(rows)).tolist()
    if not shared:
        item = [f"{seed}-{name}" for seed, name in zip(columns["seed"], item, strict=True)]
    columns |= {"value": right.reshape(-1).tolist(), "n": [1] * right.size, "item": item}
    both = {name: [*rest.column(name).tolist(), *columns[name]] for name in (*_FIELDS, "value", "n", "item")}
    return Table.from_columns(both)


_FIELDS = ("lab", "study", "run", "seed", "arm", "step", "trained_on", "prompt", "split", "stratum", "metric")


def _target(part: Part, truth: Truth, sizes: Mapping[str, float], sign: float) -> float:
    """The part's true value; `sign` chooses the side of a two-sided margin."""
    size = sizes[part.unit]
    edge = part.null + sign * part.margin if part.direction == "within" else part.null - part.margin
    if truth == "null":
        return edge
    if truth == "nothing":
        contrast = (
            isinstance(part.quantity, Contrast) and abs(sum(w for w, _ in part.quantity.terms)) > _TOLERANCE
        )
        return part.null if contrast else 0.0
    if part.direction == "within":
        return part.null if truth == "claimed" else edge + sign * size
    up = (truth == "claimed") != (part.direction == "below")
    return edge + (size if up else -size)


def _solve(
    keys: Sequence[Key], base: Array, parts: Sequence[tuple[str, Part]], targets: Sequence[float]
) -> Array | None:
    """Levels nearest to `base` at which all parts have their target; None if there are none."""
    levels = base.copy()
    place = {key: i for i, key in enumerate(keys)}
    for (study, part), target in zip(parts, targets, strict=True):
        if isinstance(part.quantity, TimeToFit):
            for cell, sign in ((part.quantity.late, 0.5), (part.quantity.early, -0.5)):
                levels[place[study, cell.at(stop="every")]] = _fitting(sign * target)
    fits = [
        (s, p.quantity, t)
        for (s, p), t in zip(parts, targets, strict=True)
        if isinstance(p.quantity, FittedShares)
    ]
    if fits:
        _plant_fits(place, levels, fits)
    rows, wanted = [], []
    for (study, part), target in zip(parts, targets, strict=True):
        if isinstance(part.quantity, Contrast):
            row = np.zeros((len(keys), 2))
            for weight, cell in part.quantity.terms:
                row[place[study, cell.at(stop="every")], int(cell.stop == "end")] += weight
            rows.append(row.reshape(-1))
            wanted.append(target - float((row * levels[:, [EARLY, -1]]).sum()))
    if rows:
        shift, *_ = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)
        if np.abs(np.array(rows) @ shift - wanted).max() > _TOLERANCE:
            return None
        early, end = shift.reshape(-1, 2).T
        levels[:, :-1] += early[:, None]
        levels[:, -1] += end
    return levels


def _fitting(doublings: float) -> Array:
    """Share of rows fitted over steps: half of them at the early stop, or that many doublings later."""
    return np.asarray(1.0 - 2.0 ** (-STEPS / (STEPS[EARLY] * 2.0**doublings)))


def _plant_fits(
    place: Mapping[Key, int], levels: Array, fits: Sequence[tuple[str, FittedShares, float]]
) -> None:
    """Set fitted curves and the accuracies that lie on the plane with the slopes that the targets ask for."""
    names = list(
        dict.fromkeys((name, split) for _, quantity, _ in fits for _, name, split in quantity.weights)
    )
    rows = [[sum(w for w, *which in q.weights if tuple(which) == name) for name in names] for _, q, _ in fits]
    solution, *_ = np.linalg.lstsq(np.array(rows, dtype=float), np.array([t for *_, t in fits]), rcond=None)
    slopes = dict(zip(names, solution.tolist(), strict=True))
    for study, quantity, _ in fits:
        for split in quantity.splits:
            for accuracy, known, unknown in quantity.curves(split):
                share = float(accuracy.trained_on.partition(":")[2])
                level = np.full(len(STEPS), 0.5)
                for name, cell, part, later in (
                    ("known", known, 1 - share, -1.0),
                    ("unknown", unknown, share, 1.0),
                ):
                    if cell is not None:
                        levels[place[study, cell]] = _fitting(later)
                        level += slopes.get((name, split), 0.0) * part * _fitting(later)
                levels[place[study, accuracy]] = level


def _effect(it: Plan, study: str, part: Part, values: Array) -> Array:
    place = {key: i for i, key in enumerate(it.keys)}
    quantity = part.quantity
    if isinstance(quantity, Contrast):
        total = np.zeros(values.shape[:2])
        for weight, cell in quantity.terms:
            curve = values[:, :, place[study, cell.at(stop="every")]]
            if cell.stop == "early":
                best = values[:, :, place[study, _dev(cell)]].argmax(axis=-1)
                total += weight * np.take_along_axis(curve, best[..., None], axis=-1)[..., 0]
            else:
                total += weight * curve[..., -1]
        return total
    if isinstance(quantity, TimeToFit):
        late, early = (
            time_to(STEPS, values[:, :, place[study, cell]], quantity.at)
            for cell in (quantity.late, quantity.early)
        )
        return np.asarray(np.log2(late / early))
    assert isinstance(quantity, FittedShares)
    kept = STEPS >= FORMAT_SHARE * STEPS[-1]
    total = np.zeros(values.shape[:2])
    for split in quantity.splits:
        points: list[list[Array]] = [[], [], []]
        for accuracy, known, unknown in quantity.curves(split):
            share = float(accuracy.trained_on.partition(":")[2])
            points[0].append(values[:, :, place[study, accuracy]][..., kept])
            for i, cell, part_of_set in ((1, known, 1 - share), (2, unknown, share)):
                curve = 0.0 * points[0][-1] if cell is None else values[:, :, place[study, cell]][..., kept]
                points[i].append(part_of_set * curve)
        b = regress(*(np.concatenate(column, axis=-1) for column in points))
        for weight, name, where in quantity.weights:
            total += weight * b[name] if where == split else 0.0
    return total


def _written(cell: Cell) -> list[tuple[str, float, int]]:
    """Stratum, shift of the value and n of each row that stands for a cell: alternatives pool to the cell's value."""
    if cell.metric == "fitted" and cell.trained_on.startswith("mix:"):
        share = float(cell.trained_on.partition(":")[2])
        return [
            (cell.stratum, 0.0, max(1, round(ROWS * (share if cell.stratum == "known=no" else 1 - share))))
        ]
    if "|" not in cell.stratum:
        return [(cell.stratum, 0.0, ROWS)]
    labels = [label.split("|") for label in cell.stratum.split(",")]
    first, second = (",".join(values[min(i, len(values) - 1)] for values in labels) for i in (0, 1))
    return [(first, 0.03, ROWS // 4), (_same_key(first, second), -0.01, 3 * ROWS // 4)]


def _same_key(first: str, second: str) -> str:
    """The second alternative, with the keys that only the first value of a label carries."""
    pairs = zip(first.split(","), second.split(","), strict=True)
    return ",".join(b if "=" in b else f"{a.partition('=')[0]}={b}" for a, b in pairs)


def _dev(cell: Cell) -> Cell:
    return Cell("accuracy", cell.trained_on, "every", split="dev", arm=cell.arm, base=cell.base)


def _numbered(names: Iterable[tuple[str, ...]]) -> NDArray[np.intp]:
    names = list(names)
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names])

"""Two runs over the same items, compared item by item: interval, test and what could have been seen at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from realmodels.compare_read import Run
from realmodels.errors import RealmodelsError
from theory.bootstrap import widened_tail
from theory.intervals import (
    ROUNDING,
    Interval,
    holm,
    items_interval,
    mcnemar,
    minimum_detectable_effect,
    t_interval,
)

Array = NDArray[np.float64]

DRAWS = 2000
FEW = 5  # subjects, below which resampling them covers far too little
CELLS = 2_000_000  # resampled weights held at once


@dataclass(frozen=True)
class Discordant:
    """Items right in the first run only and in the second only, and McNemar's exact two-sided p-value."""

    first: int
    second: int
    p: float


@dataclass(frozen=True)
class Difference:
    """First minus second in one metric of one task: `n` items, `subjects` different ones, `seeds` pairs of runs.

    `by_item` and `by_subject` are bootstrap intervals (by subject if any has several items and there are 5 or more);
    with several seeds they are of the items' means over seeds, and `crossed` lets seeds and items vary both, or seeds
    and subjects if any of several has several items. `mcnemar` has one entry a seed, for metrics of 0 and 1.
    `p` is that of `crossed`, else of Student's t with the spread over subjects, else McNemar's, else of Student's t
    over items; `adjusted` is Holm's over the whole table.
    `detectable` is the difference that such data find in 80% of cases, nan where no item differs.
    """

    task: str
    metric: str
    n: int
    subjects: int
    seeds: int
    first: float
    second: float
    difference: float
    by_item: Interval
    by_subject: Interval | None
    crossed: Interval | None
    mcnemar: tuple[Discordant, ...]
    p: float
    test: str
    detectable: float
    adjusted: float = math.nan

    @property
    def over_items(self) -> bool:
        """Whether the test is over items although some have one subject, because of these there are too few."""
        return self.subjects < self.n and not self.test.endswith("subjects")


def compare(
    first: Sequence[Run],
    second: Sequence[Run],
    *,
    tasks: Sequence[str] = (),
    metrics: Sequence[str] = (),
    stratum: str = "",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Difference]:
    """Every metric of every task; run k of one side belongs to run k of the other, a single run to all."""
    if len(first) != len(second) and 1 not in (len(first), len(second)):
        raise RealmodelsError(
            f"compare: {len(first)} runs against {len(second)}; give as many on both sides, or one on either"
        )
    if not 0 < level < 1:
        raise RealmodelsError(f"--level: expected a number between 0 and 1, such as 0.95, got {level:g}")
    found = [
        difference
        for task in _tasks([*first, *second], tasks)
        for difference in _task(first, second, task, metrics, stratum, level, draws, seed)
    ]
    adjusted = holm([one.p for one in found])
    return [_adjusted(one, float(p)) for one, p in zip(found, adjusted, strict=True)]


def bootstrap(
    values: Array, groups: NDArray[np.int64], level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> list[Interval]:
    """Percentile intervals for the mean of each column of values [items, columns] when whole groups of items are drawn
    again, the tail widened to what Student's t asks for; one group alone gives infinite ones."""
    count = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=count).astype(float)
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    mean = values.mean(axis=0)
    method = "bootstrap by item" if count == len(values) else "bootstrap by subject"
    if count < 2:
        return [Interval(float(m), -math.inf, math.inf, level, 1, math.nan, method) for m in mean]
    rng, found = np.random.default_rng(seed), []
    block = max(1, CELLS // count)
    for start in range(0, draws, block):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=min(block, draws - start)).astype(
            float
        )
        found.append((weights @ sums) / (weights @ sizes)[:, None])
    drawn = np.concatenate(found)
    tail = widened_tail(count, level)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    sd = np.maximum(drawn.std(axis=0, ddof=1), ROUNDING) * math.sqrt(count)
    return [
        Interval(float(m), float(a), float(b), level, count, float(s), method)
        for m, a, b, s in zip(mean, low, high, sd, strict=True)
    ]


def _tasks(runs: Sequence[Run], wanted: Sequence[str]) -> list[str]:
    for name in wanted:
        for run in runs:
            run.task(name)
    if wanted:
        return list(dict.fromkeys(wanted))
    names = list(runs[0].tasks)
    for run in runs[1:]:
        if set(run.tasks) != set(names):
            odd = sorted(set(run.tasks) ^ set(names))[0]
            holder, other = (runs[0], run) if odd in names else (run, runs[0])
            raise RealmodelsError(
                f"{other.path}: has no task '{odd}', which {holder.path} has; choose common ones with --tasks"
            )
    return names


def _task(
    first: Sequence[Run],
    second: Sequence[Run],
    task: str,
    wanted: Sequence[str],
    stratum: str,
    level: float,
    draws: int,
    seed: int,
) -> list[Difference]:
    lead = first[0].task(task)
    sides = [[run.task(task).like(lead) for run in side] for side in (first, second)]
    keep = lead.within(stratum)
    names = [name for name in lead.metrics if all(name in items.metrics for side in sides for items in side)]
    for name in wanted:
        if name not in names and name not in lead.metrics:
            raise RealmodelsError(f"{lead.path}: no metric '{name}'; known are {', '.join(lead.metrics)}")
    names = [name for name in names if not wanted or name in wanted]
    if not names:
        raise RealmodelsError(f"{lead.path}: no metric that both sides have of task '{task}'")
    a, b = (
        np.stack([np.stack([items.metrics[name][keep] for name in names], axis=-1) for items in side])
        for side in sides
    )  # [runs, items, metrics]
    d = a - b
    over = d.mean(axis=0)
    subject = lead.groups()[keep]
    subject = np.unique(subject, return_inverse=True)[1].astype(np.int64)
    many, n = _count(subject), len(over)
    by_item = bootstrap(over, np.arange(n), level, draws, seed)
    by_subject = bootstrap(over, subject, level, draws, seed) if FEW <= many < n else [None] * len(names)
    return [
        _difference(task, name, a[..., k], b[..., k], subject, by_item[k], by_subject[k], level)
        for k, name in enumerate(names)
    ]


def _difference(
    task: str,
    metric: str,
    a: Array,
    b: Array,
    subject: NDArray[np.int64],
    by_item: Interval,
    by_subject: Interval | None,
    level: float,
) -> Difference:
    d = a - b
    seeds, n = d.shape
    subjects = _count(subject)
    grouped = 1 < subjects < n
    pairs: tuple[Discordant, ...] = ()
    if binary := bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        pairs = tuple(_discordant(own) for own in d)
    crossed = None
    if seeds > 1 and n > 1:
        units = by_unit(d, subject) if grouped else d
        crossed = items_interval(units, limits=(-1.0, 1.0) if binary else None, level=level)
    if crossed:
        p, test = crossed.pvalue(), "seeds x subjects" if grouped else "seeds x items"
    elif by_subject:
        p, test = replace(by_subject, df=by_subject.n - 1.0).pvalue(), "t over subjects"
    elif pairs:
        p, test = pairs[0].p, "McNemar"
    else:
        p, test = t_interval(d[0]).pvalue(), "t over items"
    detectable = _detectable(crossed or by_subject or t_interval(d.mean(axis=0), level), d, level)
    return Difference(
        task, metric, n, subjects, seeds, float(a.mean()), float(b.mean()), float(d.mean()), by_item, by_subject,
        crossed, pairs, p, test, detectable,
    )  # fmt: skip


def by_unit(d: Array, subject: NDArray[np.int64]) -> Array:
    """d[seeds, items] by subject [seeds, subjects] with the same mean in each seed: subjects weigh by their items."""
    count = _count(subject)
    mean = d.mean(axis=1, keepdims=True)
    sums = np.zeros((count, len(d)))
    np.add.at(sums, subject, (d - mean).T)
    return np.asarray(mean + sums.T * (count / d.shape[1]))


def _count(subject: NDArray[np.int64]) -> int:
    return int(subject.max()) + 1


def _detectable(spread: Interval, d: Array, level: float) -> float:
    """In data without any difference nothing says how large one would have to be: nan."""
    if not d.any():
        return math.nan
    if spread.n < 2:
        return math.inf
    # what crossed data hold is counted by neither seeds nor items alone
    units = spread.n if math.isnan(spread.df) else spread.df + 1
    sd = spread.sd / math.sqrt(spread.n) * math.sqrt(units)
    return float(minimum_detectable_effect(sd, units, 1 - level))


def _discordant(d: Array) -> Discordant:
    first, second = int((d > 0).sum()), int((d < 0).sum())
    return Discordant(first, second, float(mcnemar(first, second)))


def _adjusted(one: Difference, p: float) -> Difference:
    return replace(one, adjusted=p)

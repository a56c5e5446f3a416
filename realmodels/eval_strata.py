"""Groups of items that results are given for apart, and the means within them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmodels.errors import RealmodelsError
from realmodels.eval_tasks import Question, Task, knowledge_of
from realmodels.held_out import TAUGHT
from realmodels.overlap import overlaps
from theory.schema import nearest, shown
from theory.slick import Category

Array = NDArray[np.float64]
Strata = Mapping[str, str]

ALL = "all"
BUCKETS = ("low", "middle", "high")  # thirds of the task's items by popularity
CLEAN = ("overlap=no", "dominant=no")  # neither to be copied nor to be guessed
LABELS = tuple(category.name for category in Category)


@dataclass(frozen=True)
class Mean:
    """Of a metric over the `n` items of a stratum; `stderr` is nan for one item."""

    stratum: str
    metric: str
    value: float
    stderr: float
    n: int


def strata_of(task: Task) -> list[dict[str, str]]:
    """For each question its relation, SliCK category, popularity, whether its answer repeats a word of the subject and
    whether it is one of the relation's two commonest, and which arms teach it; what is not known of it is left out.
    Overlap is computed where no audit says it; the last two come from an audit and from `filter --held-out`."""
    edges = popularity_edges(task)
    return [_one(question, edges, task.letters or task.long is not None) for question in task.questions]


def popularity_edges(task: Task) -> tuple[float, float] | None:
    """Where the thirds of known popularities meet; None if fewer than three differ."""
    known = [row.popularity for row in task.rows if row.popularity is not None]
    if len(set(known)) < len(BUCKETS):
        return None
    low, high = np.quantile(known, [1 / 3, 2 / 3], method="lower")
    return float(low), float(high)


def means(metrics: Mapping[str, Array], strata: Sequence[Strata]) -> list[Mean]:
    """Of every metric over all items, over each stratum, and over the clean items."""
    return [
        mean_of(name, metric, values[members])
        for name, members in groups_of(strata).items()
        for metric, values in metrics.items()
    ]


def groups_of(strata: Sequence[Strata]) -> dict[str, list[int]]:
    """The items (positions) of each stratum, all items first."""
    groups: dict[str, list[int]] = defaultdict(list)
    groups[ALL] = list(range(len(strata)))
    for i, own in enumerate(strata):
        pairs = [f"{key}={value}" for key, value in own.items()]
        for pair in pairs:
            groups[pair].append(i)
        if set(CLEAN) <= set(pairs):
            groups[",".join(CLEAN)].append(i)
    return {name: groups[name] for name in sorted(groups, key=_order)}


def wilson(value: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """95% limits of a share."""
    middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_of(stratum: str, metric: str, values: Array) -> Mean:
    n = len(values)
    stderr = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Mean(stratum, metric, float(values.mean()), stderr, n)


def _one(question: Question, edges: tuple[float, float] | None, uncopied: bool) -> dict[str, str]:
    row, known = question.row, knowledge_of(question.row)
    found: dict[str, str] = {}
    if row.relation:
        found["relation"] = plain(row.relation)
    if (label := known.get("label")) is not None:
        if label not in LABELS:
            hint = nearest(label, LABELS) if isinstance(label, str) else f"; known are {', '.join(LABELS)}"
            raise RealmodelsError(f"{row.at}: field 'knowledge.label': unknown {shown(label)}{hint}")
        found["category"] = str(label)
    if edges and row.popularity is not None:
        found["popularity"] = BUCKETS[sum(row.popularity > edge for edge in edges)]
    if not uncopied:
        said = known.get("overlaps_subject")
        found["overlap"] = _yes(
            said if isinstance(said, bool) else overlaps(row.subject or row.question, row.answers)
        )
        if isinstance(common := known.get("dominant_answer"), bool):
            found["dominant"] = _yes(common)
        if isinstance(arms := known.get(TAUGHT), str):
            found["answer"] = plain(arms)
    return found


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def plain(text: str) -> str:
    """A value that can stand in a record's stratum."""
    kept = "".join(" " if c in ",=" or not c.isprintable() else c for c in text)
    return " ".join(kept.split()) or "?"


def _order(name: str) -> tuple[int, int, str]:
    """All first, relations last; labels and buckets best known last."""
    key, _, value = name.partition("=")
    ranks = {"category": LABELS, "popularity": BUCKETS}
    keys = (ALL, "category", "popularity", "overlap", "dominant", "answer", "relation")
    rank = ranks[key].index(value) if key in ranks and value in ranks[key] else 0
    return (keys.index(key) if key in keys else len(keys), rank, value)

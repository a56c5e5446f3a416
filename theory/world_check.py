"""What makes the columns of a world a world: types, shapes, ranges and the ways they must agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import TheoryError
from theory.world_spec import WorldSpec

if TYPE_CHECKING:
    from theory.world import World


def columns(spec: WorldSpec) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    """Type and shape of everything that is drawn; the rest of a world follows from its spec."""
    return {
        "answer": (np.int32, (spec.n_facts,)),
        "exposure": (np.int64, (spec.n_facts,)),
        "rate": (np.float64, (spec.n_facts,)),
        "copies": (np.bool_, (spec.n_facts,)),
        "popularity_rank": (np.int32, (spec.n_subjects,)),
        "answer_rank": (np.int32, (spec.n_answers,)),
        "answer_map": (np.int32, (spec.types, spec.derived, spec.answers)),
        "relation_weight": (np.float64, (spec.n_relations,)),
    }


def check(world: World) -> None:
    """Refuse columns that no spec could have produced, naming the first that is wrong and where."""
    for name, (dtype, shape) in columns(world.spec).items():
        array = getattr(world, name)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TheoryError(f"World.{name}: expected {np.dtype(dtype)} of shape {shape}, got {found}")
    for name, wrong, expected in _rules(world):
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            place, value = ", ".join(map(str, index)), getattr(world, name)[index]
            raise TheoryError(f"World.{name}[{place}]: expected {expected}, got {value}")


def _rules(world: World) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    """(column, where it is wrong, what was expected)."""
    spec, start = world.spec, world.pool_start
    low, high = start[:-1][world.relation], start[1:][world.relation]
    yield "answer", (world.answer < low) | (world.answer >= high), "an answer of the fact's relation"
    by_type = world.answer_map.reshape(-1, spec.answers)
    pools = start[np.flatnonzero(world.base_relation >= 0)]
    outside = (by_type < pools[:, None]) | (by_type >= pools[:, None] + spec.derived_answers)
    yield "answer_map", outside.reshape(world.answer_map.shape), "an answer of the derived relation"
    idle = np.zeros_like(outside)
    for row, image in enumerate(by_type):
        idle[row, 0] = len(np.unique(image)) < spec.derived_answers
    yield (
        "answer_map",
        idle.reshape(world.answer_map.shape),
        "a row that reaches every answer of its relation",
    )
    follows = np.zeros(spec.n_facts, dtype=np.bool_)
    facts = np.flatnonzero(world.derived)
    follows[facts] = world.answer[facts] != world.follow(facts)
    yield "answer", follows, "the answer that follows from the base fact"

    withheld = world.rate == 0
    yield "rate", ~np.isfinite(world.rate) | (world.rate < 0), "a finite number >= 0"
    yield "rate", ~withheld & ~world.seen[world.subject], "0 for a never-seen subject"
    yield "exposure", world.exposure < 0, "a count >= 0"
    yield "exposure", withheld & (world.exposure > 0), "0 for a withheld fact"
    if spec.at_least_once:
        yield "exposure", ~withheld & (world.exposure == 0), "at least 1 for a fact that is not withheld"
    yield (
        "relation_weight",
        ~((world.relation_weight > 0) & np.isfinite(world.relation_weight)),
        "a number > 0",
    )

    copies = world.copies.reshape(-1, spec.relations)
    yield "copies", (copies & (np.cumsum(copies, axis=1) > 1)).ravel(), "at most one copying fact a subject"

    rank = world.popularity_rank
    yield "popularity_rank", (rank != 0) & ~world.seen, "0 for a never-seen subject"
    yield (
        "popularity_rank",
        _not_ranks(rank, world.subject_type * world.seen - ~world.seen),
        "the ranks of a type",
    )
    pool = world.answer_relation
    plain = world.base_relation[pool] < 0
    yield "answer_rank", (world.answer_rank != 0) & ~plain, "0 in a derived relation"
    yield "answer_rank", _not_ranks(world.answer_rank, np.where(plain, pool, -1)), "the ranks of a pool"


def _not_ranks(rank: NDArray[Any], group: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the members of a group (numbers >= 0) do not carry the ranks 1, 2, ..., size once each."""
    size = np.bincount(group[group >= 0])[group]
    order = np.lexsort((rank, group))
    again = (np.diff(rank[order]) == 0) & (np.diff(group[order]) == 0)
    wrong = (rank < 1) | (rank > size)
    wrong[order[1:]] |= again
    return np.asarray(wrong & (group >= 0))

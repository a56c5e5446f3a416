"""How a world is drawn: each part from a stream of its own, so that one knob leaves the other parts alone.

The factors of a rate are cut to sixteen significant bits, so that the last bits of one machine's `exp` and
`pow` cannot change a world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError
from theory.world_spec import WorldSpec, popularity_law, prior_law, unseen_law

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Sampler = Callable[[np.random.Generator, int], Array]


def stream(seed: int, part: str, *place: int) -> np.random.Generator:
    """The generator of one part of a world, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*part.encode(), *place)))


def uniforms(seed: int, part: str, types: int, n: int) -> Array:
    """(n, types) uniform numbers; a longer table continues a shorter one."""
    return np.stack([stream(seed, part, t).random(n) for t in range(types)], axis=1)


def draw_columns(spec: WorldSpec, seed: int) -> dict[str, NDArray[Any]]:
    """Everything about a world that does not follow from its spec, as `theory.world.World` names it."""
    answer_rank = _answer_ranks(spec, seed)
    answer_map = _answer_maps(spec, seed)
    answer = _answers(spec, seed, answer_rank, answer_map)
    chance = uniforms(seed, "popularity", spec.types, spec.subjects)
    rank = np.argsort(np.argsort(chance, axis=0), axis=0) + 1  # (subjects, types)
    weight = _round(np.exp(spec.relation_sigma * _by_relation(spec, seed, "relation weight", 1, _normals)))
    rate = _rates(spec, seed, rank, weight)
    ranks = np.zeros(spec.n_subjects, dtype=np.int32)
    ranks[: spec.n_seen] = rank.ravel()
    mentions = _mentions(stream(seed, "mentions"), rate.ravel(), spec.at_least_once)
    never = np.zeros(spec.n_facts - rate.size)
    return {
        "answer": answer.ravel(),
        "exposure": np.concatenate([mentions, never.astype(np.int64)]),
        "rate": np.concatenate([rate.ravel(), never]),
        "copies": _copies(spec, seed).ravel(),
        "popularity_rank": ranks,
        "answer_rank": answer_rank,
        "answer_map": answer_map,
        "relation_weight": weight.ravel(),
    }


def expected_mentions(rate: ArrayLike, at_least_once: bool) -> Array:
    """Mean of a Poisson count, or of one that is known not to be zero; 0 at rate 0."""
    rate = np.asarray(rate, dtype=np.float64)
    if not at_least_once:
        return rate
    return np.asarray(np.divide(rate, -np.expm1(-rate), out=np.zeros_like(rate), where=rate > 0))


def _by_relation(spec: WorldSpec, seed: int, part: str, n: int, sample: Sampler) -> Array:
    """(n, types, relations), each relation from its own stream: one more leaves the rest in place."""
    table = np.empty((n, spec.types, spec.relations))
    for t, r in np.ndindex(spec.types, spec.relations):
        derived, place = (1, r - spec.plain) if r >= spec.plain else (0, r)
        table[:, t, r] = sample(stream(seed, part, t, derived, place), n)
    return table


def _uniforms(rng: np.random.Generator, n: int) -> Array:
    return rng.random(n)


def _normals(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_normal(n)


def _for_all_subjects(spec: WorldSpec, seed: int, part: str) -> Array:
    """Uniform numbers per fact, those of never-seen subjects last and from streams of their own."""
    seen = _by_relation(spec, seed, part, spec.subjects, _uniforms)
    return np.concatenate([seen, _by_relation(spec, seed, f"{part}, never seen", spec.never_seen, _uniforms)])


def _round(x: Array, bits: int = 16) -> Array:
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.round(mantissa * 2.0**bits), exponent - bits))


def _answer_ranks(spec: WorldSpec, seed: int) -> NDArray[np.int32]:
    """(answers,) which answer of a pool is its likeliest, second, ...; 0 in derived relations."""
    ranks = []
    for t, r in np.ndindex(spec.types, spec.relations):
        if r < spec.plain:
            ranks.append(1 + stream(seed, "answer ranks", t, r).permutation(spec.answers))
        else:
            ranks.append(np.zeros(spec.derived_answers, dtype=np.int64))
    return np.concatenate(ranks).astype(np.int32)


def _pool_starts(spec: WorldSpec) -> NDArray[np.int64]:
    """(types, relations) first answer of each relation."""
    sizes = np.where(np.arange(spec.relations) < spec.plain, spec.answers, spec.derived_answers)
    ends = np.cumsum(np.tile(sizes, spec.types)).reshape(spec.types, spec.relations)
    return np.asarray(ends - sizes)


def _answer_maps(spec: WorldSpec, seed: int) -> NDArray[np.int32]:
    """(types, derived, answers) a random map onto the derived pool: every derived answer is reached."""
    start = _pool_starts(spec)
    maps = np.empty((spec.types, spec.derived, spec.answers), dtype=np.int32)
    for t, d in np.ndindex(spec.types, spec.derived):
        rng = stream(seed, "answer maps", t, d)
        extra = rng.integers(0, spec.derived_answers, spec.answers - spec.derived_answers)
        image = np.concatenate([np.arange(spec.derived_answers), extra])
        maps[t, d] = start[t, spec.plain + d] + rng.permutation(image)
    return maps


def _answers(
    spec: WorldSpec, seed: int, answer_rank: NDArray[np.int32], answer_map: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(subjects, types, relations) by the prior's inverse distribution function, derived ones looked up."""
    start = _pool_starts(spec)
    chance = _for_all_subjects(spec, seed, "answers")
    answer = np.empty(chance.shape, dtype=np.int32)
    for t, r in np.ndindex(spec.types, spec.plain):
        law = prior_law(spec, dominant=r >= spec.plain - spec.dominant)
        rank = np.searchsorted(np.cumsum(law)[:-1], chance[:, t, r], side="right")
        by_rank = np.argsort(answer_rank[start[t, r] : start[t, r] + spec.answers])
        answer[:, t, r] = start[t, r] + by_rank[rank]
    for t, d in np.ndindex(spec.types, spec.derived):
        base = d % spec.plain
        answer[:, t, spec.plain + d] = answer_map[t, d, answer[:, t, base] - start[t, base]]
    return answer


def _copies(spec: WorldSpec, seed: int) -> Mask:
    """(subjects, types, relations) at most one copying fact a subject, in any of its relations alike."""
    copies = np.zeros((spec.subjects + spec.never_seen, spec.types, spec.relations), dtype=np.bool_)
    for part, rows in (("seen", slice(0, spec.subjects)), ("never seen", slice(spec.subjects, None))):
        shape = copies[rows].shape
        whether = uniforms(seed, f"copies, {part}", spec.types, shape[0]) < spec.copy_share * spec.relations
        which = uniforms(seed, f"copied relation, {part}", spec.types, shape[0]) * spec.relations
        copies[rows] = whether[:, :, None] & (which.astype(np.int64)[:, :, None] == np.arange(spec.relations))
    return copies


def _withheld(spec: WorldSpec, seed: int, rank: NDArray[np.int64]) -> Mask:
    """(subjects, types, relations) facts that are never stated, whatever their rate."""
    probability = np.empty((*rank.shape, spec.relations))
    probability[:, :, : spec.plain] = unseen_law(spec, spec.unseen)[rank - 1][:, :, None]
    probability[:, :, spec.plain :] = unseen_law(spec, spec.derived_share_unseen)[rank - 1][:, :, None]
    return np.asarray(_by_relation(spec, seed, "unseen", spec.subjects, _uniforms) < probability)


def _rates(spec: WorldSpec, seed: int, rank: NDArray[np.int64], relation_weight: Array) -> Array:
    """(subjects, types, relations) popularity x relation weight x noise, scaled; 0 where withheld."""
    noise = _by_relation(spec, seed, "noise", spec.subjects, _normals)
    weight = _round(np.exp(spec.fact_sigma * noise)) * relation_weight
    weight *= _round(popularity_law(spec))[rank - 1][:, :, None]
    kept = ~_withheld(spec, seed, rank)
    if not kept.any():
        raise TheoryError(
            f"WorldSpec.unseen: with seed {seed} a share of {spec.unseen:g} withheld all {kept.size} facts; "
            "lower it, or ask for more subjects"
        )
    weight[~kept] = 0.0
    return weight * _scale(weight[kept], spec.mean_exposure, spec.at_least_once)


def _scale(weight: Array, mean: float, at_least_once: bool) -> float:
    """The factor that makes the expected mentions of facts with these weights `mean` on average."""
    from scipy.optimize import brentq

    scale = mean / weight.mean()
    if at_least_once:
        # a count that is not zero has a mean between its rate and its rate + 1
        low, high = (mean - 1) / weight.mean(), scale * (1 + 1e-9)

        def excess(c: float) -> float:
            return float(expected_mentions(c * weight, True).mean()) - mean

        scale = brentq(excess, low, high, xtol=1e-13 * scale, rtol=1e-13)
    return float(_round(np.asarray(scale), bits=24))


def _mentions(rng: np.random.Generator, rate: Array, at_least_once: bool) -> NDArray[np.int64]:
    """Poisson counts; one that must not be zero has its first event at `first`, Poisson events follow."""
    if not at_least_once:
        return rng.poisson(rate)
    first = -np.log1p(rng.random(len(rate)) * np.expm1(-rate))
    return np.where(rate > 0, 1 + rng.poisson(np.maximum(rate - first, 0.0)), 0)

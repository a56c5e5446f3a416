"""SliCK: what a model knows of a fact, read off its answers under several few-shot prompts.

A fact is asked under P prompts, once greedily and some times at a temperature above zero. HighlyKnown: every
greedy answer is right; MaybeKnown: some; WeaklyKnown: none, but a sampled one is; Unknown: not even that.
Where the exact probability p of a right sample is known, nothing need be sampled: the chance d that any of
the samples would be right takes the place of having seen one. Arrays end in the axis of prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError

Array = NDArray[np.float64]
Labels = NDArray[np.int8]

SAMPLES = 16  # samples a prompt, in the paper at temperature 0.5 and top-k 40
CELLS = 250_000  # fact-by-subset (or fact-by-prompt) cells held at once


class Category(IntEnum):
    """From nothing to all; label arrays hold these numbers, records the names."""

    Unknown = 0
    WeaklyKnown = 1
    MaybeKnown = 2
    HighlyKnown = 3


@dataclass(frozen=True)
class LabelCurve:
    """Labels from `sizes[k]` of the prompts: shares[k, category], and agreement[k] with the full label."""

    sizes: tuple[int, ...]
    shares: Array
    agreement: Array


def by_count(greedy_correct: ArrayLike, sampled_correct: ArrayLike) -> Labels:
    """The paper's rule, from greedy answers 0 or 1 and counts of right samples, both [..., prompts]."""
    greedy = _greedy(greedy_correct)
    sampled = np.asarray(sampled_correct)
    if sampled.shape != greedy.shape or sampled.dtype.kind not in "iub" or np.any(sampled < 0):
        raise TheoryError(
            f"slick: expected counts of right samples (integers >= 0) of shape {greedy.shape} like the greedy "
            f"answers, got {sampled.dtype} of shape {sampled.shape}"
        )
    return _label(greedy.sum(axis=-1), greedy.shape[-1], np.asarray((sampled > 0).any(axis=-1)))


def by_detection(
    greedy_correct: ArrayLike, p_sample: ArrayLike, samples: int = SAMPLES, cut: float = 0.5
) -> Labels:
    """The rule on exact probabilities: with no greedy answer right, WeaklyKnown if detection >= `cut`."""
    greedy, p = _pair(greedy_correct, p_sample)
    miss = _all_missed(p)
    return _label(greedy.sum(axis=-1), greedy.shape[-1], miss <= _enough(samples, cut))


def detection(p_sample: ArrayLike, samples: int = SAMPLES) -> Array:
    """d = 1 - prod_j (1 - p_j)^samples: the chance that at least one of all samples is right."""
    if samples < 1:
        raise TheoryError(f"slick: {samples} samples a prompt; expected at least 1")
    return np.asarray(-np.expm1(samples * _all_missed(_probabilities(p_sample))))


def label_probabilities(greedy_correct: ArrayLike, p_sample: ArrayLike, samples: int = SAMPLES) -> Array:
    """P(label) [..., category] when the sampling is repeated: it only moves WeaklyKnown and Unknown."""
    greedy, p = _pair(greedy_correct, p_sample)
    right, prompts = greedy.sum(axis=-1), greedy.shape[-1]
    d = np.where(right == 0, detection(p, samples), 0.0)
    return np.stack(
        [np.where(right == 0, 1 - d, 0.0), d, (right > 0) & (right < prompts), right == prompts], axis=-1
    )


def expected_counts(greedy_correct: ArrayLike, p_sample: ArrayLike, samples: int = SAMPLES) -> Array:
    """How many facts of each category a repeat of the sampling would give on average: [category]."""
    greedy, p = _pair(greedy_correct, p_sample)
    greedy, p = greedy.reshape(-1, greedy.shape[-1]), p.reshape(-1, p.shape[-1])
    total, block = np.zeros(len(Category)), max(1, CELLS // p.shape[-1])
    for i in range(0, len(p), block):
        some = label_probabilities(greedy[i : i + block], p[i : i + block], samples)
        total = np.concatenate([total[None], some]).sum(axis=0)
    return total


def label_curve(
    greedy_correct: ArrayLike,
    p_sample: ArrayLike,
    sizes: Sequence[int],
    rng: np.random.Generator | None = None,
    *,
    samples: int = SAMPLES,
    cut: float = 0.5,
    subsets: int = 1000,
) -> LabelCurve:
    """Label stability: labels by detection from `size` of the prompts, over all subsets of that size.

    The expectation is exact where a size has at most `subsets` subsets (always for 10 prompts); else `rng`
    draws them.
    """
    greedy, p = _facts(greedy_correct, p_sample)
    label, prompts = _labeller(greedy, p, samples, cut), greedy.shape[1]
    full = np.concatenate([found[:, 0] for found in label(np.ones((1, prompts)))])
    shares, agreement = [], []
    for size in sizes:
        if not 1 <= size <= prompts:
            raise TheoryError(f"slick: a curve point of {size} prompts, expected 1 to {prompts}")
        chosen = _subsets(prompts, size, subsets, rng)
        count, same, place = np.zeros(len(Category)), 0, 0
        for found in label(chosen):
            count += np.bincount(found.ravel(), minlength=len(Category))
            same += int((found == full[place : place + len(found), None]).sum())
            place += len(found)
        shares.append(count / (len(full) * len(chosen)))
        agreement.append(same / (len(full) * len(chosen)))
    return LabelCurve(tuple(sizes), np.array(shares), np.array(agreement))


def split_half_agreement(
    greedy_correct: ArrayLike,
    p_sample: ArrayLike,
    rng: np.random.Generator | None = None,
    *,
    samples: int = SAMPLES,
    cut: float = 0.5,
    subsets: int = 1000,
) -> float:
    """How often half of the prompts labels a fact as the other half does, over all ways to split them."""
    greedy, p = _facts(greedy_correct, p_sample)
    prompts = greedy.shape[1]
    if prompts < 2:
        raise TheoryError("slick: one prompt cannot be split in halves; expected at least 2")
    label, half = _labeller(greedy, p, samples, cut), _subsets(prompts, prompts // 2, subsets, rng)
    same = sum(int((one == other).sum()) for one, other in zip(label(half), label(1.0 - half), strict=True))
    return same / (len(greedy) * len(half))


def _label(right: NDArray[np.int64], prompts: int | Array, sampled: NDArray[np.bool_]) -> Labels:
    none = np.where(sampled, Category.WeaklyKnown, Category.Unknown)
    some = np.where(right < prompts, Category.MaybeKnown, Category.HighlyKnown)
    return np.where(right == 0, none, some).astype(np.int8)


def _labeller(
    greedy: NDArray[np.bool_], p: Array, samples: int, cut: float
) -> Callable[[Array], Iterator[Labels]]:
    """From subsets [M, prompts] of ones and zeros to labels [facts, M], some facts at a time."""
    enough = _enough(samples, cut)

    def label(subsets: Array) -> Iterator[Labels]:
        block = max(1, CELLS // len(subsets))
        for i in range(0, len(greedy), block):
            right = np.rint(greedy[i : i + block].astype(float) @ subsets.T).astype(np.int64)
            miss = _log_miss(p[i : i + block]) @ subsets.T
            yield _label(right, subsets.sum(axis=1), miss <= enough)

    return label


def _enough(samples: int, cut: float) -> float:
    """The sum of log(1 - p) at which detection reaches the cut, with room for rounding."""
    if samples < 1 or not 0 < cut < 1:
        raise TheoryError(
            f"slick: {samples} samples and cut {cut:g}; expected at least 1 and a cut between 0 and 1"
        )
    return math.log1p(-cut) / samples + 1e-12


def _subsets(prompts: int, size: int, most: int, rng: np.random.Generator | None) -> Array:
    count = math.comb(prompts, size)
    if count <= most:
        chosen = np.array(list(combinations(range(prompts), size)))
    elif rng is None:
        raise TheoryError(
            f"slick: {count} subsets of {size} out of {prompts} prompts are too many; give an rng to draw"
        )
    else:
        chosen = rng.permuted(np.tile(np.arange(prompts), (most, 1)), axis=1)[:, :size]
    table = np.zeros((len(chosen), prompts))
    np.put_along_axis(table, chosen, 1.0, axis=1)
    return table


def _all_missed(p: Array) -> Array:
    """The sum of log(1 - p) over the prompts."""
    flat = p.reshape(-1, p.shape[-1])
    block = max(1, CELLS // max(1, p.shape[-1]))
    parts = [_log_miss(flat[i : i + block]).sum(axis=-1) for i in range(0, max(1, len(flat)), block)]
    return np.concatenate(parts).reshape(p.shape[:-1])


def _log_miss(p: Array) -> Array:
    """log(1 - p), and a very small finite chance in place of zero."""
    return np.asarray(np.log1p(-np.minimum(p, 1.0 - 1e-16)))


def _greedy(correct: ArrayLike) -> NDArray[np.bool_]:
    correct = np.asarray(correct)
    if correct.ndim == 0 or correct.shape[-1] == 0 or not np.isin(correct, (0, 1)).all():
        raise TheoryError(
            f"slick: expected greedy answers 0 or 1 on the last axis (prompts), got shape {correct.shape}"
        )
    return correct.astype(bool)


def _probabilities(p: ArrayLike) -> Array:
    p = np.asarray(p, dtype=np.float64)
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise TheoryError(
            f"slick: expected probabilities of a right sample between 0 and 1, got {p[bad].flat[0]:g}"
        )
    return p


def _pair(greedy_correct: ArrayLike, p_sample: ArrayLike) -> tuple[NDArray[np.bool_], Array]:
    greedy, p = _greedy(greedy_correct), _probabilities(p_sample)
    if greedy.shape != p.shape:
        raise TheoryError(
            f"slick: greedy answers have shape {greedy.shape}, probabilities {p.shape}; expected the same"
        )
    return greedy, p


def _facts(greedy_correct: ArrayLike, p_sample: ArrayLike) -> tuple[NDArray[np.bool_], Array]:
    greedy, p = _pair(greedy_correct, p_sample)
    if greedy.ndim != 2 or not len(greedy):
        raise TheoryError(f"slick: found shape {greedy.shape}, expected facts x prompts")
    return greedy, p

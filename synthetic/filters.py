"""Which claims, or which whole texts, of a set are kept to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.biographies import MALFORMED, Texts

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


def cut(texts: Texts, wanted: ArrayLike, rng: np.random.Generator) -> Texts:
    """Claims dropped at random until there are as many texts that claim something, of as many claims on average, as
    there are in `wanted` (texts,), text by text as far as possible. Where a text has no claim to keep another one takes
    its place, and what a text lacks others keep more of. Malformed claims go first."""
    texts = texts.keep(texts.relation != MALFORMED)
    room, wanted = texts.claims, np.asarray(wanted, np.int64).copy()
    mean = wanted.sum() / max(int((wanted > 0).sum()), 1)
    missing = np.flatnonzero((room == 0) & (wanted > 0))
    free = rng.permutation(np.flatnonzero((room > 0) & (wanted == 0)))[: len(missing)]
    wanted[free] = wanted[missing[: len(free)]]
    keep = np.minimum(room, wanted)
    short = round(mean * int((keep > 0).sum())) - int(keep.sum())
    spare = np.repeat(np.arange(len(texts)), np.where(keep > 0, room - keep, 0))
    keep = keep + np.bincount(rng.permutation(spare)[: max(short, 0)], minlength=len(texts))
    order = np.lexsort((rng.random(len(texts.of)), texts.of))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(room) - room, room)
    return texts.keep(rank < keep[texts.of])


def longest(texts: Texts, draws: int) -> Texts:
    """Of the `draws` texts side by side about each subject the one with the most well-formed claims, the first among
    equals."""
    well = texts.keep(texts.relation != MALFORMED)
    return texts[_best(well.claims.astype(np.float64), draws)]


def first_texts(texts: Texts, draws: int) -> Texts:
    """The first of the `draws` texts side by side about each subject, whatever its length, without its malformed
    lines."""
    well = texts.keep(texts.relation != MALFORMED)
    return well[draws * np.arange(len(well) // draws)]


def best_texts(texts: Texts, scores: ArrayLike, draws: int, claims: ArrayLike) -> Texts:
    """Of the `draws` texts side by side about each subject the one whose claims score highest on average, among those
    with the most claims up to claims[i] of them; the first among equals."""
    size = np.minimum(texts.claims, np.repeat(np.asarray(claims), draws))
    mean = np.bincount(texts.of, np.asarray(scores, np.float64), len(texts)) / np.maximum(texts.claims, 1)
    return texts[_best(size + np.where(texts.claims > 0, mean, 0.0) / 2, draws)]


def _best(score: NDArray[np.float64], draws: int) -> Ints:
    return np.asarray(score.reshape(-1, draws).argmax(axis=1) + draws * np.arange(len(score) // draws))


def as_many(scores: ArrayLike, count: int) -> Flags:
    """The `count` highest scores, the first among equals."""
    scores = np.asarray(scores, np.float64)
    kept = np.zeros(len(scores), bool)
    kept[np.argsort(-scores, kind="stable")[:count]] = True
    return kept


def noisy_support(true: Flags, coverage: float, noise: float, rng: np.random.Generator) -> Flags:
    """Which claims a gold that knows this share of the facts supports, where this share of its verdicts is turned
    around. What it does not know it does not support."""
    known, wrong = rng.random(len(true)) < coverage, rng.random(len(true)) < noise
    return np.asarray(known & (true ^ wrong))

"""How frequency writes salience in pretraining: rank correlation, and how much of it each law explains.

One-hot tables from zero, N = 300 subjects of Zipf 1 with R relations, K = 10 answers a relation with prior k^-1,
full-batch gradient descent on the frequency-weighted loss over the relation's pool, attention fixed at 1/2 unless
trained (at the same rate). Relations then share nothing but the frequencies f / R, so each is a run of its own.
Salience is V_s(y), of every fact or averaged over the relations of a subject; the pilot study's numbers are met by
the second. R^2 is of a straight line in f, in log f, and in the Lambert law z(x f) for the best of 61 scales x.
The pilot names no learning rate. It is set to 15 by its R^2 of 0.73 of the linear law for R = 3 at step 100,
which therefore is not compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expit

from theory.attention import Array, Index
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, summary
from theory.predict import salience_margin

SUBJECTS, POOL, RATE = 300, 10, 15.0
SCALES = np.geomspace(1e-3, 1e3, 61)  # times the steps: exposure f t as the law has it is scale 1
MARKS = (100, 1000, 4000, 8000)
STREAM = 21


@dataclass(frozen=True, eq=False)
class Pretraining:
    """Salience (marks, runs, subjects) after each mark of steps, and the mean attention on subjects (marks, runs)."""

    salience: Array
    attention: Array


def frequencies() -> Array:
    """Zipf 1, from the commonest subject to the rarest, summing to one."""
    f = 1.0 / (1.0 + np.arange(SUBJECTS))
    return np.asarray(f / f.sum())


def draw_answers(seeds: Sequence[int], relations: int) -> Index:
    """Answers (seeds * relations, subjects)."""
    prior = 1.0 / (1.0 + np.arange(POOL))
    rngs = [np.random.default_rng(np.random.SeedSequence([seed, STREAM])) for seed in seeds]
    return np.concatenate([rng.choice(POOL, (relations, SUBJECTS), p=prior / prior.sum()) for rng in rngs])


def descend(answers: Index, weight: Array, marks: Sequence[int], train_attention: bool) -> Pretraining:
    """Gradient descent on W_V, and on W_KQ if asked: u = W[s, r] - W[r, r] starts at 0, attention at 1/2."""
    runs, subjects = answers.shape
    right = np.zeros((runs, subjects, POOL))
    np.put_along_axis(right, answers[..., None], 1.0, axis=-1)
    v_s, v_r = np.zeros_like(right), np.zeros((runs, 1, POOL))
    score_s, score_r = np.zeros((runs, subjects, 1)), np.zeros((runs, 1, 1))
    alpha: Array = np.full((1, 1, 1), 0.5)
    push = np.empty_like(right)
    salience, attention = [], []
    for step in range(1, max(marks) + 1):
        if train_attention:
            alpha = expit(score_s - score_r)
        np.multiply(v_s, alpha, out=push)
        push += (1.0 - alpha) * v_r
        push -= push.max(axis=-1, keepdims=True)
        np.exp(push, out=push)
        push /= push.sum(axis=-1, keepdims=True)
        np.subtract(right, push, out=push)  # minus the gradient by the logits
        push *= RATE * weight[:, None]
        if train_attention:
            pull = alpha * (1.0 - alpha) * np.sum((v_s - v_r) * push, axis=-1, keepdims=True)
            score_s = score_s + pull
            score_r = score_r - pull.sum(axis=1, keepdims=True)
            v_r = v_r + np.sum((1.0 - alpha) * push, axis=1, keepdims=True)
        else:
            v_r = v_r + (1.0 - alpha) * push.sum(axis=1, keepdims=True)
        push *= alpha
        v_s += push
        if step in marks:
            salience.append(np.sum(v_s * right, axis=-1))
            attention.append(np.broadcast_to(alpha, (runs, subjects, 1)).mean(axis=(1, 2)))
    return Pretraining(np.stack(salience), np.stack(attention))


@lru_cache(maxsize=3)
def pretrained(
    seeds: tuple[int, ...], relations: int, train_attention: bool, marks: tuple[int, ...]
) -> Pretraining:
    """All relations of all seeds: runs are seeds x relations."""
    weight = frequencies() / relations
    return descend(draw_answers(seeds, relations), weight, marks, train_attention)


def fit(x: Array, y: Array) -> Array:
    """R^2 of the straight line of y (..., n) in x (..., n)."""
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    return np.asarray(np.sum(x * y, axis=-1) ** 2 / (np.sum(x * x, axis=-1) * np.sum(y * y, axis=-1)))


def laws(salience: Array, f: Array, steps: int) -> dict[str, Array]:
    """Statistics per seed of the salience (seeds, n) of facts, or of subjects, with frequencies f (n,)."""
    from scipy.stats import rankdata

    lambert = [fit(salience_margin(scale * f * steps, 0.5, POOL), salience) for scale in SCALES]
    rank = np.sqrt(fit(rankdata(f), rankdata(salience, axis=-1)))
    sign = np.sign(np.sum((f - f.mean()) * salience, axis=-1))
    return {
        "rank correlation": rank * sign,
        "R^2 linear": fit(f, salience),
        "R^2 log": fit(np.log(f), salience),
        "R^2 Lambert": np.max(lambert, axis=0),
    }


SETTINGS = ((3, False, (100, 1000, 8000)), (1, False, (100, 8000)), (3, True, (4000,)))


def run(seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for relations, train_attention, marks in SETTINGS:
        found = pretrained(tuple(seeds), relations, train_attention, marks)
        for steps, salience, attention in zip(marks, found.salience, found.attention, strict=True):
            trained = "trained" if train_attention else "fixed"
            keys: dict[str, Cell] = {"relations": relations, "steps": steps, "attention": trained}
            by_fact = salience.reshape(len(seeds), relations, SUBJECTS)
            f = frequencies() / relations
            numbers = {
                "facts": laws(by_fact.reshape(len(seeds), -1), np.tile(f, relations), steps),
                "subjects": laws(by_fact.mean(axis=1), f, steps),
            }
            numbers["facts"]["attention on the subject"] = 100 * attention.reshape(len(seeds), -1).mean(
                axis=1
            )
            for over, statistics in numbers.items():
                rows += [
                    summary({**keys, "over": over, "statistic": name}, x) for name, x in statistics.items()
                ]
    return rows


def curve(seeds: Sequence[int]) -> list[Row]:
    """Salience of the subject of each rank, mean over relations, for drawing."""
    rows: list[Row] = []
    f = frequencies()
    for relations, train_attention, marks in SETTINGS:
        found = pretrained(tuple(seeds), relations, train_attention, marks)
        for steps, salience in zip(marks, found.salience, strict=True):
            by_seed = salience.reshape(len(seeds), relations, SUBJECTS).mean(axis=1)
            law = salience_margin(f / relations * steps, 0.5, POOL) / 0.5
            trained = "trained" if train_attention else "fixed"
            for rank in range(SUBJECTS):
                keys: dict[str, Cell] = {"relations": relations, "steps": steps, "attention": trained}
                keys |= {"rank": rank + 1, "frequency": float(f[rank] / relations), "law": float(law[rank])}
                rows.append(summary(keys, by_seed[:, rank]))
    return rows


def _pilot() -> tuple[Pilot, ...]:
    table = {
        (3, 100, "fixed"): (0.987, 0.73, 0.79, 0.988),
        (3, 1000, "fixed"): (0.968, 0.40, 0.956, 0.956),
        (3, 8000, "fixed"): (0.815, 0.32, 0.773, 0.773),
        (1, 100, "fixed"): (0.961, 0.51, 0.887, 0.947),
        (1, 8000, "fixed"): (0.580, 0.19, 0.466, 0.466),
        (3, 4000, "trained"): (0.873, 0.49, 0.831, 0.811),
    }
    names = ("rank correlation", "R^2 linear", "R^2 log", "R^2 Lambert")
    cells = [
        Pilot({"relations": r, "steps": t, "attention": a, "over": "subjects", "statistic": name}, value)
        for (r, t, a), values in table.items()
        for name, value in zip(names, values, strict=True)
        if (r, t, name) != (3, 100, "R^2 linear")
    ]
    trained: dict[str, Cell] = {
        "relations": 3,
        "steps": 4000,
        "attention": "trained",
        "over": "facts",
        "statistic": "attention on the subject",
    }
    return (*cells, Pilot(trained, 76.5, rounding=0.5))


LAW = Measurement(
    "salience_law",
    "Salience against frequency in pretraining: rank correlation and R^2 of three laws",
    ("relations", "steps", "attention", "over", "statistic", *INTERVAL),
    run,
    _pilot(),
    cost=46.0,
)
LAW_CURVE = Measurement(
    "salience_curve",
    "Salience of the subject of each frequency rank, with the law of a single fact (P1)",
    ("relations", "steps", "attention", "rank", "frequency", "law", *INTERVAL),
    curve,
    worth_drawing=True,
    cost=1.0,
)

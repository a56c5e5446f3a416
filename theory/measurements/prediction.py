"""Predicted against simulated accuracy: one attention head with frozen values, trained by minibatch SGD on W_KQ.

Each seed draws 15 configurations of one relation: answers K from 5, 10, 15, 20, prior exponent 0.5 to 1.5,
V_r = c log pi with c 0.5 to 1.5, mean salience 1 to 5 of known facts (each fact 0.5 to 1.5 times it), share q of
unknown facts (salience 0) in the training set, 20 to 400 steps at rate 0.5 or 2, value noise 0, 0.1, 0.2, 0.3 or 0.4,
and an overlap of 0 to 0.5: subjects are unit vectors in 48 dimensions around a common one with that mean inner
product, the relation is an independent unit vector. 300 training and 1,000 held-out facts, all held-out ones known.
W_KQ (48 x 48) starts at zero, minibatches of 32 are drawn with replacement. Seven more configurations a seed have
noise 0.4. The theory is the flow of one scalar u with k = 1 + kappa, the mean of the kernel of T3 over pairs of a
training and a held-out fact, then the accuracy law.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from theory.attention import Array, Index
from theory.flow import Facts, mean_push
from theory.measurements.base import INTERVAL, Cell, Measurement, Pilot, Row, r_squared, resampled
from theory.predict import accuracy_law, critical_log_odds, predict_final_u, predicted_accuracy
from theory.simulate import softmax

PER_SEED, NOISY_PER_SEED = 15, 7
TRAIN, HELD_OUT, WIDTH, BATCH = 300, 1000, 48, 32
NOISES = (0.0, 0.1, 0.2, 0.3, 0.4)
POOLS = (5, 10, 15, 20)
RATES = (0.5, 2.0)
STREAM = 11


@dataclass(frozen=True, eq=False)
class Configurations:
    """C configurations with the same number of answers; facts are training ones first, then held-out ones."""

    seed: Index
    number: Index
    answers: int
    train: int  # how many of the facts, the first ones, are training facts
    rate: Array
    steps: Index
    noise: Array
    overlap: Array
    sigma: Array  # (C, facts)
    y: Index
    v_s: Array  # (C, facts, K)
    v_r: Array  # (C, K)
    subject: Array  # (C, facts, d)
    relation: Array  # (C, d)
    order: Index  # (C, steps, batch): training facts of every minibatch

    @property
    def kappa(self) -> Array:
        """Mean over pairs of a training and a held-out fact of <phi_s - phi_r, phi_t - phi_r>, less 1 (T3)."""
        reach = self.subject - self.relation[:, None]
        return np.asarray(
            np.einsum("cd,cd->c", reach[:, : self.train].mean(1), reach[:, self.train :].mean(1)) - 1.0
        )


def draw(seed: int, number: int) -> dict[str, Any]:
    """One configuration."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, STREAM, number]))
    k = int(rng.choice(POOLS))
    pi = (1.0 + np.arange(k)) ** -rng.uniform(0.5, 1.5)
    pi /= pi.sum()
    m = TRAIN + HELD_OUT
    noise = NOISES[number % len(NOISES)] if number < PER_SEED else NOISES[-1]
    y = rng.choice(k, m, p=pi)
    sigma = rng.uniform(1.0, 5.0) * rng.uniform(0.5, 1.5, m)
    sigma[:TRAIN] *= rng.random(TRAIN) >= rng.random()
    v_s = sigma[:, None] * (np.arange(k) == y[:, None]) + noise * rng.standard_normal((m, k))
    overlap = rng.uniform(0.0, 0.5)
    own, common, relation = (_unit(rng.standard_normal((size, WIDTH))) for size in (m, 1, 1))
    steps = int(rng.integers(20, 401))
    return {
        "seed": seed,
        "number": number,
        "answers": k,
        "rate": float(rng.choice(RATES)),
        "steps": steps,
        "noise": noise,
        "overlap": overlap,
        "sigma": sigma,
        "y": y,
        "v_s": v_s,
        "v_r": rng.uniform(0.5, 1.5) * np.log(pi),
        "subject": np.sqrt(overlap) * common + np.sqrt(1.0 - overlap) * own,
        "relation": relation[0],
        "order": rng.integers(0, TRAIN, (400, BATCH)),
    }


def _unit(x: Array) -> Array:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def groups(seeds: Sequence[int]) -> list[Configurations]:
    """All configurations, those with the same number of answers together."""
    drawn = [draw(seed, number) for seed in seeds for number in range(PER_SEED + NOISY_PER_SEED)]
    found = []
    for k in POOLS:
        alike = [one for one in drawn if one["answers"] == k]
        if alike:
            stacked = {name: np.stack([one[name] for one in alike]) for name in alike[0] if name != "answers"}
            found.append(Configurations(answers=k, train=TRAIN, **stacked))
    return found


def descend(config: Configurations) -> Array:
    """u = (phi_s - phi_r)^T W_KQ phi_r of the held-out facts (C, held-out) after every configuration's own steps."""
    c = np.arange(len(config.seed))[:, None]
    reach = config.subject - config.relation[:, None]
    w_kq = np.zeros((len(config.seed), WIDTH, WIDTH))
    for step in range(int(config.steps.max())):
        which = config.order[:, step]
        x, y = reach[c, which], config.y[c, which]
        u = np.einsum("cbd,cde,ce->cb", x, w_kq, config.relation, optimize=True)
        alpha = expit(u)[..., None]
        gain = config.v_s[c, which] - config.v_r[:, None]
        p = softmax(config.v_r[:, None] + alpha * gain)
        pull = np.take_along_axis(gain, y[..., None], -1)[..., 0] - np.sum(p * gain, axis=-1)
        g = (alpha * (1.0 - alpha))[..., 0] * pull * (config.rate * (step < config.steps) / BATCH)[:, None]
        w_kq += np.einsum("cb,cbd->cd", g, x)[:, :, None] * config.relation[:, None, :]
    return np.asarray(
        np.einsum("cmd,cde,ce->cm", reach[:, config.train :], w_kq, config.relation, optimize=True)
    )


def share_right(u: Array, config: Configurations) -> Array:
    """Held-out accuracy (C,) when fact j has log-odds u[:, j]."""
    held_out = slice(config.train, None)
    z = config.v_r[:, None] + expit(u)[..., None] * (config.v_s[:, held_out] - config.v_r[:, None])
    return np.asarray(np.mean(z.argmax(axis=-1) == config.y[:, held_out], axis=-1))


COLUMNS = (
    "seed", "number", "answers", "noise", "kappa", "rate", "steps", "u", "u_theory", "before", "before_theory",
    "accuracy", "accuracy_theory", "accuracy_measured_values", "accuracy_one_big_step",
)  # fmt: skip


def compared(config: Configurations) -> dict[str, Array]:
    """Simulation and theory for every configuration; accuracies as fractions."""
    u = descend(config)
    known, test = slice(0, TRAIN), slice(TRAIN, None)
    v_r = config.v_r[:, None]
    ideal = Facts.one_hot(config.sigma[:, known], v_r, config.y[:, known])
    u_theory = predict_final_u(ideal, 0.0, config.steps, config.rate, config.kappa)
    one_step = config.steps * config.rate * (1.0 + config.kappa) * 0.25 * mean_push(np.zeros(len(u)), ideal)
    u_star = critical_log_odds(config.sigma[:, test], v_r, config.y[:, test])
    real = Facts(config.v_s[:, known], v_r, config.y[:, known])
    u_real = predict_final_u(real, 0.0, config.steps, config.rate, config.kappa)
    return {
        "u": u.mean(axis=1),
        "u_theory": u_theory,
        "before": share_right(np.zeros_like(u), config),
        "before_theory": accuracy_law(np.zeros(len(u)), u_star),
        "accuracy": share_right(u, config),
        "accuracy_theory": accuracy_law(u_theory, u_star),
        "accuracy_measured_values": predicted_accuracy(
            u_real, Facts(config.v_s[:, test], v_r, config.y[:, test])
        ),
        "accuracy_one_big_step": accuracy_law(one_step, u_star),
    }


@lru_cache(maxsize=1)
def table(seeds: tuple[int, ...]) -> dict[str, Array]:
    """Columns of all configurations, the extra noisy ones included (number >= 15)."""
    parts = []
    for config in groups(seeds):
        given = {
            name: getattr(config, name) for name in ("seed", "number", "noise", "kappa", "rate", "steps")
        }
        answers = np.full(len(config.seed), config.answers)
        parts.append(given | {"answers": answers} | compared(config))
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((whole["number"], whole["seed"]))
    return {name: column[order] for name, column in whole.items()}


def points(seeds: Sequence[int]) -> list[Row]:
    """Every configuration as a point, accuracies in points."""
    columns = table(tuple(seeds))
    units = {name: 100.0 if name.startswith(("before", "accuracy")) else 1.0 for name in COLUMNS}
    whole = ("seed", "number", "answers", "steps")
    return [
        {
            name: int(columns[name][i]) if name in whole else float(units[name] * columns[name][i])
            for name in COLUMNS
        }
        for i in range(len(columns["seed"]))
    ]


def run(seeds: Sequence[int]) -> list[Row]:
    t = table(tuple(seeds))
    first, noise = t["number"] < PER_SEED, t["noise"]
    fresh = ~first
    change = {"theory": t["accuracy_theory"] - t["before_theory"], "found": t["accuracy"] - t["before"]}
    compare: dict[str, tuple[Array, Array, NDArray[np.bool_]]] = {
        "final u": (t["u_theory"], t["u"], first),
        "accuracy, closed form": (t["accuracy_theory"], t["accuracy"], first),
        "accuracy, closed form, noise 0": (t["accuracy_theory"], t["accuracy"], first & (noise == 0.0)),
        "accuracy, closed form, noise 0.4": (t["accuracy_theory"], t["accuracy"], first & (noise == 0.4)),
        "accuracy change": (change["theory"], change["found"], first),
        "accuracy, measured values, noise 0.4": (t["accuracy_measured_values"], t["accuracy"], fresh),
        "accuracy, closed form, the same": (t["accuracy_theory"], t["accuracy"], fresh),
        "accuracy, one big step": (t["accuracy_one_big_step"], t["accuracy"], first),
    }
    for rate in RATES:
        slow = first & (t["rate"] == rate)
        compare[f"final u, rate {rate:g}"] = (t["u_theory"], t["u"], slow)
        compare[f"accuracy, measured values, rate {rate:g}"] = (
            t["accuracy_measured_values"],
            t["accuracy"],
            slow,
        )
    rows: list[Row] = []
    for name, (predicted, found, mask) in compare.items():
        rows.append(_row(name, "R^2", predicted[mask], found[mask], r_squared))
        if name.startswith("accuracy"):
            rows.append(_row(name, "mean absolute error", 100 * predicted[mask], 100 * found[mask], _mae))
    return rows


def _mae(predicted: Array, found: Array) -> float:
    return float(np.mean(np.abs(predicted - found)))


def _row(name: str, statistic: str, p: Array, y: Array, f: Callable[[Array, Array], float]) -> Row:
    keys: dict[str, Cell] = {"prediction": name, "statistic": statistic}
    return resampled(keys, len(p), lambda units: f(p[units], y[units]))


def _pilot(name: str, value: float, statistic: str = "R^2") -> Pilot:
    return Pilot({"prediction": name, "statistic": statistic}, value)


PREDICTION = Measurement(
    "prediction",
    "Predicted against simulated accuracy over random configurations (intervals: bootstrap over configurations)",
    ("prediction", "statistic", *INTERVAL),
    run,
    (
        _pilot("final u", 0.986),
        _pilot("accuracy, closed form", 0.920),
        _pilot("accuracy, closed form", 1.8, "mean absolute error"),
        _pilot("accuracy, closed form, noise 0", 0.992),
        _pilot("accuracy, closed form, noise 0.4", 0.776),
        _pilot("accuracy change", 0.933),
        _pilot("accuracy, measured values, noise 0.4", 0.993),
        _pilot("accuracy, measured values, noise 0.4", 0.5, "mean absolute error"),
        _pilot("accuracy, one big step", 0.479),
    ),
    cost=15.0,
)
PREDICTION_POINTS = Measurement(
    "prediction_points",
    "Every random configuration: what was predicted and what was simulated (accuracies in points)",
    COLUMNS,
    points,
    worth_drawing=True,
    cost=0.1,
)

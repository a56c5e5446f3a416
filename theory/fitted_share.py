"""The linear law of fitted shares: Accuracy = b0 + b_kn N_kn/|D| + b_unk N_unk/|D|.

N_kn and N_unk count the known and the unknown rows of the training set D that are fitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from theory.errors import TheoryError
from theory.intervals import Interval

Array = NDArray[np.float64]

# What is reported besides the coefficients, as weights on (b0, b_kn, b_unk).
ENDS: Mapping[str, tuple[float, float, float]] = {
    "all_known": (1.0, 1.0, 0.0),
    "all_unknown": (1.0, 0.0, 1.0),
    "half": (1.0, 0.5, 0.5),
}


@dataclass(frozen=True)
class FittedShareLaw:
    """Coefficients in the unit of the accuracy; `intervals` of them and of the end points, by name."""

    b0: float
    b_kn: float
    b_unk: float
    r2: float
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def predict(self, kn_share: ArrayLike, unk_share: ArrayLike) -> Array:
        """Accuracy at these fitted shares; meant for 0 <= share and shares that add up to at most 1."""
        return np.asarray(self.b0 + self.b_kn * np.asarray(kn_share) + self.b_unk * np.asarray(unk_share))

    @property
    def ends(self) -> dict[str, float]:
        """The implied accuracy with a set fitted that is all known, all unknown, or half and half."""
        return {
            name: float(np.dot(weights, (self.b0, self.b_kn, self.b_unk))) for name, weights in ENDS.items()
        }


def fit_fitted_share(
    acc: ArrayLike,
    kn_share: ArrayLike,
    unk_share: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> FittedShareLaw:
    """Least squares over points (every epoch of every mix), intervals by leaving out one group at a time.

    Epochs of a run, and runs of a seed, err together: `groups` names the seed of each point, and the
    jackknife over groups with Student's t on G - 1 degrees of freedom covers what they share. Without groups
    the points count as independent: on simulated epochs such 95% intervals cover 53% to 98%, those over seeds
    93% to 98%. A single group gives infinite intervals.
    """
    y, x, group = _points(acc, kn_share, unk_share, groups)
    count = int(group.max()) + 1
    beta = _solve(x.T @ x, x.T @ y, "the points")
    weights = np.array([*np.eye(3), *ENDS.values()])
    names = ("b0", "b_kn", "b_unk", *ENDS)
    centre, se, half = weights @ beta, np.full(len(names), math.nan), np.full(len(names), math.inf)
    if count > 1:
        shifts = (_leaving_out(x, y, group) - beta) @ weights.T
        se = np.sqrt((count - 1) / count * (shifts**2).sum(axis=0))
        half = stdtrit(count - 1, (1 + level) / 2) * se
    method = "jackknife over groups" if groups is not None else "jackknife over points (taken as independent)"
    intervals = {
        name: Interval(
            float(centre[i]), float(centre[i] - half[i]), float(centre[i] + half[i]), level, count,
            float(se[i]) * math.sqrt(count), method, count - 1.0 if count > 1 else math.nan,
        )
        for i, name in enumerate(names)
    }  # fmt: skip
    b0, b_kn, b_unk = beta.tolist()
    return FittedShareLaw(b0, b_kn, b_unk, _r2(y, x @ beta), intervals)


def out_of_sample_r2(acc: ArrayLike, kn_share: ArrayLike, unk_share: ArrayLike, groups: ArrayLike) -> float:
    """R^2 when each group (mix, seed) is predicted from the others; never above the R^2 of the fit itself.

    The yardstick is the mean of all points, as for the fit; the mean of the others would flatter a left-out
    mix.
    """
    y, x, group = _points(acc, kn_share, unk_share, groups)
    law = (x * _leaving_out(x, y, group)[group]).sum(axis=1)
    return _r2(y, law)


def _points(
    acc: ArrayLike, kn_share: ArrayLike, unk_share: ArrayLike, groups: ArrayLike | None
) -> tuple[Array, Array, NDArray[np.intp]]:
    y, known, unknown = (np.asarray(a, dtype=np.float64) for a in (acc, kn_share, unk_share))
    if not (y.shape == known.shape == unknown.shape and y.ndim == 1 and y.size):
        shapes = f"{y.shape}, {known.shape} and {unknown.shape}"
        raise TheoryError(
            f"fitted share: accuracy and shares have shapes {shapes}; expected equal rows of points"
        )
    if not np.isfinite([y, known, unknown]).all():
        raise TheoryError("fitted share: a point holds a value that is not finite; leave such points out")
    if min(known.min(), unknown.min()) < 0 or (known + unknown).max() > 1 + 1e-9:
        raise TheoryError(
            "fitted share: shares must be fractions of the whole set, from 0, with a sum of at most 1"
        )
    labels = np.arange(y.size) if groups is None else np.asarray(groups)
    if labels.shape != y.shape:
        raise TheoryError(f"fitted share: groups have shape {labels.shape}, expected {y.shape}, one a point")
    _, group = np.unique(labels, return_inverse=True)
    return y, np.stack([np.ones_like(y), known, unknown], axis=1), group


def _leaving_out(x: Array, y: Array, group: NDArray[np.intp]) -> Array:
    """Coefficients [group, 3] of the fits without each group."""
    count = int(group.max()) + 1
    if count < 2:
        raise TheoryError("fitted share: all points are of one group; predicting one from others needs 2")
    gram, moment = np.zeros((count, 3, 3)), np.zeros((count, 3))
    np.add.at(gram, group, x[:, :, None] * x[:, None, :])
    np.add.at(moment, group, x * y[:, None])
    return _solve(gram.sum(axis=0) - gram, moment.sum(axis=0) - moment, "without one group the points")


def _solve(gram: Array, moment: Array, which: str) -> Array:
    size = np.linalg.eigvalsh(gram)
    if np.any(size[..., 0] <= 1e-12 * size[..., -1]):
        raise TheoryError(
            f"fitted share: {which} do not tell b0, b_kn and b_unk apart; expected mixes or epochs in which "
            "both shares vary, one not as a fixed line of the other"
        )
    return np.asarray(np.linalg.solve(gram, moment[..., None])[..., 0])


def _r2(y: Array, predicted: Array) -> float:
    total = float(((y - y.mean()) ** 2).sum())
    return 1.0 - float(((y - predicted) ** 2).sum()) / total if total > 1e-24 else math.nan

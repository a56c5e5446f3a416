"""How many effects of two runs would differ if nothing but luck told their seeds apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theory.claims.base import LEVEL

Floats = NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True)
class Reshuffled:
    """Seeds of both runs dealt anew to the two, all effects of a seed together: how many effects then differ."""

    mean: float
    high: int  # not passed by 95% of the draws
    p: float  # share of draws in which at least as many differ as did, the runs themselves counted
    draws: int

    def __str__(self) -> str:
        return (
            f"if seeds are dealt anew to the two runs: {self.mean:.1f} on average, "
            f"at most {self.high} in 95% of {self.draws:,} draws, p = {self.p:.2g}"
        )


def reshuffled(
    old: Sequence[Mapping[int, float]], new: Sequence[Mapping[int, float]], seed: int = 0, draws: int = DRAWS
) -> Reshuffled:
    """Of parts whose effects of each seed are `old[i]` and `new[i]`, in one laboratory.

    Effects of a seed stay together, so what claims share by sharing seeds is in the draws as well.
    """
    first, second = (sorted({s for effects in run for s in effects}) for run in (old, new))
    values = np.full((len(first) + len(second), len(old)), np.nan)
    for column, effects in enumerate(zip(old, new, strict=True)):
        for run, seeds, offset in zip(effects, (first, second), (0, len(first)), strict=True):
            for row, number in enumerate(seeds, offset):
                values[row, column] = run.get(number, np.nan)
    rng = np.random.default_rng(seed)
    orders = np.stack(
        [np.arange(len(values)), *(rng.permutation(len(values)) for _ in range(draws))]
    )  # the first is the runs themselves
    moved = np.concatenate(
        [_moved(values[some], len(first)).sum(axis=1) for some in np.array_split(orders, 20)]
    )
    return Reshuffled(
        float(moved[1:].mean()),
        int(np.quantile(moved[1:], 0.95, method="inverted_cdf")),
        float((moved >= moved[0]).mean()),
        draws,
    )


def _moved(values: Floats, cut: int) -> NDArray[np.bool_]:
    """Draws x parts: whether Welch's interval of the difference leaves out zero; never with less than two seeds."""
    from scipy.special import stdtrit

    groups = (values[:, :cut], values[:, cut:])
    n = [np.sum(~np.isnan(group), axis=1) for group in groups]
    mean = [np.nansum(group, axis=1) / np.maximum(k, 1) for group, k in zip(groups, n, strict=True)]
    errors = [
        np.nansum((group - m[:, None]) ** 2, axis=1) / np.maximum(k - 1, 1) / np.maximum(k, 1)
        for group, m, k in zip(groups, mean, n, strict=True)
    ]
    se = errors[0] + errors[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        df = se**2 / sum(e**2 / np.maximum(k - 1, 1) for e, k in zip(errors, n, strict=True))
    half = stdtrit(np.where(se > 0, df, 1.0), 1 - LEVEL / 2) * np.sqrt(se)
    differ: NDArray[np.bool_] = (np.abs(mean[1] - mean[0]) > half) & (np.minimum(*n) > 1)
    return differ

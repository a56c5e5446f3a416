"""The one number that fine-tuning moves: gradient flow of an attention log-odds u shared by a set of facts.

    du/dt = k alpha (1 - alpha) G(u),   G(u) = sum_i w_i (A_s - A_r)_i,   alpha = sigmoid(u),   k = 1 + kappa.

With logits relative to the right answer, z_a - z_y = base_a + alpha slope_a, the loss is
sum_i w_i logsumexp(base_i + alpha slope_i): convex in alpha, G = -E_p slope and -dG/dalpha = Var_p slope.
Everything here is batched over independent sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from theory.attention import Array, Index, log_odds, pick
from theory.errors import TheoryError
from theory.thresholds import threshold

FARTHEST = 40.0  # log-odds beyond which sigmoid(u) is 0 or 1 in double precision
MAX_STEPS = 100_000


@dataclass(frozen=True, eq=False)
class Facts:
    """Sets of m facts over A answers: values `v_s`, `v_r` (..., m, A), right answers `y`, weights (..., m).

    Leading axes are independent sets. Inputs are broadcast; the weights of a set are scaled to sum to one.
    """

    v_s: Array
    v_r: Array
    y: Index
    weight: Array = field(default_factory=lambda: np.ones(()))

    @classmethod
    def one_hot(cls, sigma: ArrayLike, v_r: ArrayLike, y: ArrayLike, weight: ArrayLike = 1.0) -> Facts:
        """Facts under assumption (O), V_s(a) = sigma 1[a = y]; sigma (..., m), v_r (..., m or 1, A)."""
        right = np.asarray(y)[..., None] == np.arange(np.shape(v_r)[-1])
        sigma = np.asarray(sigma, float)
        try:
            v_s = sigma[..., None] * right
        except ValueError:
            raise TheoryError(
                f"Facts.one_hot: sigma {sigma.shape} and y {np.shape(y)} do not fit; expected one of each a fact"
            ) from None
        return cls(v_s, np.asarray(v_r, float), np.asarray(y), np.asarray(weight, float))

    def __post_init__(self) -> None:
        v_s, v_r = np.asarray(self.v_s, float), np.asarray(self.v_r, float)
        y, weight = np.asarray(self.y), np.asarray(self.weight, float)
        try:
            shape = np.broadcast_shapes(v_s.shape, v_r.shape, (*y.shape, 1), (*weight.shape, 1))
        except ValueError:
            raise TheoryError(
                f"Facts: v_s {v_s.shape}, v_r {v_r.shape}, y {y.shape} and weight {weight.shape} do not fit; "
                "expected (..., facts, answers) for v_s and v_r, (..., facts) for y and weight"
            ) from None
        if len(shape) < 2 or shape[-2] < 1 or shape[-1] < 2:
            raise TheoryError(f"Facts: values have shape {shape}; expected (..., facts >= 1, answers >= 2)")
        if not np.issubdtype(y.dtype, np.integer) or np.any((y < 0) | (y >= shape[-1])):
            raise TheoryError(
                f"Facts: y must be answers 0..{shape[-1] - 1}, got {y.dtype} from {y.min()} to {y.max()}"
            )
        for name, values in (("v_s", v_s), ("v_r", v_r)):
            if not np.all(np.isfinite(values)):
                found = values[~np.isfinite(values)].flat[0]
                raise TheoryError(f"Facts.{name}: expected finite values, got {found}")
        weight = np.broadcast_to(weight, shape[:-1])
        total = weight.sum(axis=-1, keepdims=True)
        if not np.all(np.isfinite(total) & (total > 0)):
            raise TheoryError(
                "Facts: the weights of every set must have a positive, finite sum; check for empty sets"
            )
        object.__setattr__(self, "v_s", np.broadcast_to(v_s, shape))
        object.__setattr__(self, "v_r", np.broadcast_to(v_r, shape))
        object.__setattr__(self, "y", np.broadcast_to(y.astype(np.intp), shape[:-1]))
        object.__setattr__(self, "weight", weight / total)

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the leading axes: how the independent sets are laid out."""
        return self.y.shape[:-1]

    @cached_property
    def base(self) -> Array:
        """V_r(a) - V_r(y): logits relative to the right answer with no attention on the subject."""
        return np.asarray(self.v_r - pick(self.v_r, self.y)[..., None])

    @cached_property
    def slope(self) -> Array:
        """What a unit of attention on the subject adds to each logit, relative to the right answer."""
        gain = self.v_s - self.v_r
        return np.asarray(gain - pick(gain, self.y)[..., None])

    @cached_property
    def _packed(self) -> tuple[Array, Array, Array]:
        """base, slope as (A, m, *batch), weight as (m, *batch): sums are fast over short axes that lead."""
        base, slope = (
            np.ascontiguousarray(np.moveaxis(x, (-1, -2), (0, 1))) for x in (self.base, self.slope)
        )
        return base, slope, np.ascontiguousarray(np.moveaxis(self.weight, -1, 0))

    def __getitem__(self, sets: Any) -> Facts:
        """Some of the sets, by any numpy index over the leading axes."""
        return Facts(self.v_s[sets], self.v_r[sets], self.y[sets], self.weight[sets])

    def reweighted(self, weight: ArrayLike) -> Facts:
        """The same facts under other weights; extra leading axes of `weight` become leading axes of sets."""
        return Facts(self.v_s, self.v_r, self.y, np.asarray(weight, float))


def one_hot_push(u: ArrayLike, sigma: ArrayLike, v_r: ArrayLike, y: ArrayLike) -> Array:
    """A_s - A_r of single facts in closed form under (O): (1 - p_y)(sigma - tau), tau free of sigma."""
    alpha, sigma = expit(np.asarray(u, float)), np.asarray(sigma, float)
    z = (1.0 - alpha)[..., None] * np.asarray(v_r, float)
    return np.asarray(expit(-alpha * sigma - log_odds(z, y)) * (sigma - threshold(alpha, v_r, y)))


def mean_push(u: ArrayLike, facts: Facts) -> Array:
    """G(u) = sum_i w_i (A_s - A_r)_i of every set; `u` has the sets' shape, or more leading axes."""
    alpha = expit(np.asarray(u, float))
    more = (1,) * (alpha.ndim - len(facts.batch))
    base, slope, weight = facts._packed
    deep = (*base.shape[:2], *more, *facts.batch)
    return _push(alpha, base.reshape(deep), slope.reshape(deep), weight.reshape(deep[1:]))[0]


def mean_loss(u: ArrayLike, facts: Facts) -> Array:
    """sum_i w_i cross-entropy_i of every set at log-odds `u`."""
    z = facts.base + expit(np.asarray(u, float))[..., None, None] * facts.slope
    top = z.max(axis=-1)
    return np.asarray(
        np.sum(facts.weight * (top + np.log(np.sum(np.exp(z - top[..., None]), axis=-1))), axis=-1)
    )


def minimiser(facts: Facts) -> Array:
    """Log-odds that minimise the mean loss of every set; +-inf if it runs away, nan if the loss is flat."""
    base, slope, weight = _flat(facts)
    low, high = np.full(base.shape[-1], -FARTHEST), np.full(base.shape[-1], FARTHEST)
    at_low, at_high = (_push(expit(end), base, slope, weight)[0] for end in (low, high))
    u = np.zeros(base.shape[-1])
    inside = (at_low > 0) & (at_high < 0)
    for _ in range(200):
        alpha = expit(u)
        push, curvature = _push(alpha, base, slope, weight)
        low, high = np.where(push > 0, u, low), np.where(push < 0, u, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = push / (curvature * alpha * (1.0 - alpha))
        newton = u + np.where(push == 0, 0.0, step)
        target = np.where((newton > low) & (newton < high) | (push == 0), newton, (low + high) / 2)
        moved = np.abs(target - u)
        u = target
        if np.all((moved <= 1e-13 * (1.0 + np.abs(u))) | ~inside):
            break
    u = np.where(at_high >= 0, np.inf, np.where(at_low <= 0, -np.inf, u))
    return np.where((at_high >= 0) & (at_low <= 0), np.nan, u).reshape(facts.batch)


def flow(
    facts: Facts,
    u0: ArrayLike,
    times: ArrayLike,
    *,
    kappa: ArrayLike = 0.0,
    rtol: float = 1e-9,
    atol: float = 1e-9,
) -> Array:
    """u at each of `times` (increasing, from 0), shape (times, *sets); a time is learning rate x steps.

    Dormand-Prince 5(4), every set at its own pace; a set within `atol` of its minimiser is left there.
    """
    times = np.atleast_1d(np.asarray(times, float))
    if np.any(times < 0) or np.any(np.diff(times, axis=0) < 0) or not np.all(np.isfinite(times)):
        raise TheoryError(
            f"flow: times must be finite, increasing and not negative, got {times.ravel()[:5].tolist()}..."
        )
    base, slope, weight = _flat(facts)
    sets = base.shape[-1]
    times = times.reshape(len(times), *(times.shape[1:] or (1,) * len(facts.batch)))
    rate = 1.0 + np.asarray(kappa, float)
    if not np.all(rate >= 0.0):
        raise TheoryError(f"flow: kappa: expected at least -1 (a rate of zero), got {rate.min() - 1.0:g}")
    scaled = np.broadcast_to(rate * times, (len(times), *facts.batch)).reshape(len(times), sets)
    start = np.asarray(u0, float)
    try:
        u = np.broadcast_to(start, facts.batch).reshape(sets).copy()
    except ValueError:
        raise TheoryError(f"flow: u0 has shape {start.shape}, expected {facts.batch}, one a set") from None
    if not np.all(np.isfinite(u)):
        raise TheoryError("flow: u0 must be finite; attention of exactly 0 or 1 never moves")
    h = 0.1 / (1.0 + np.max(np.abs(slope), axis=(0, 1)))  # only the first guess
    path = np.empty((len(times), sets))
    for i, span in enumerate(np.diff(scaled, axis=0, prepend=0.0)):
        u, h = _advance(u, span, h, base, slope, weight, rtol, atol)
        path[i] = u
    return path.reshape(len(times), *facts.batch)


def descend(facts: Facts, u0: ArrayLike, steps: int, lr: ArrayLike, *, kappa: ArrayLike = 0.0) -> Array:
    """u after 0, 1, ..., `steps` full-batch gradient steps, shape (steps + 1, *sets)."""
    if steps < 0:
        raise TheoryError(f"descend: steps: expected at least 0, got {steps}")
    rate = np.asarray(lr, float) * (1.0 + np.asarray(kappa, float))
    path = np.empty((steps + 1, *facts.batch))
    path[0] = u0
    for i in range(steps):
        path[i + 1] = path[i] + rate * expit(path[i]) * expit(-path[i]) * mean_push(path[i], facts)
    return path


def _flat(facts: Facts) -> tuple[Array, Array, Array]:
    base, slope, weight = facts._packed
    answers, count = base.shape[:2]
    return base.reshape(answers, count, -1), slope.reshape(answers, count, -1), weight.reshape(count, -1)


def _push(alpha: Array, base: Array, slope: Array, weight: Array) -> tuple[Array, Array]:
    """G and -dG/dalpha at attention `alpha`; arrays packed as in `Facts`."""
    p = alpha * slope
    p += base
    if p.max(initial=0.0) > 600.0:
        p -= p.max(axis=0)
    np.exp(p, out=p)
    total = p.sum(axis=0)
    p *= slope
    mean = p.sum(axis=0) / total
    p *= slope
    square = p.sum(axis=0) / total
    square -= mean * mean
    return -np.sum(weight * mean, axis=0), np.sum(weight * np.maximum(square, 0.0), axis=0)


# Dormand and Prince (1980): stages (the last row is the fifth-order step), difference to fourth order.
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = np.array([71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])


def _advance(
    u: Array, span: Array, h: Array, base: Array, slope: Array, weight: Array, rtol: float, atol: float
) -> tuple[Array, Array]:
    """Every set on by its own `span` of time; returns u and the step sizes to go on with."""
    u, h = u.copy(), h.copy()
    live = np.arange(len(u))
    left, parts = span.copy(), (base, slope, weight)
    for _ in range(MAX_STEPS):
        x, pace = u[live], h[live]
        alpha, rest = expit(x), expit(-x)
        push, curvature = _push(alpha, *parts)
        left[np.abs(push) <= (atol + rtol * np.abs(x)) * curvature * alpha * rest] = 0.0
        going = left > 0
        if np.count_nonzero(going) <= 0.7 * len(live):
            if not np.any(going):
                return u, h
            keep = np.flatnonzero(going)
            live, left = live[keep], left[keep]
            parts = (parts[0][..., keep], parts[1][..., keep], parts[2][..., keep])
            x, pace, alpha, rest, push = x[keep], pace[keep], alpha[keep], rest[keep], push[keep]
        step = np.minimum(pace, left)
        stages = np.empty((7, len(live)))
        stages[0] = alpha * rest * push
        for j, row in enumerate(_STAGES, start=1):
            new = x + step * (np.asarray(row) @ stages[:j])
            alpha = expit(new)
            stages[j] = alpha * expit(-new) * _push(alpha, *parts)[0]
        error = np.abs(step * (_ERROR @ stages)) / (atol + rtol * np.maximum(np.abs(x), np.abs(new)))
        good = error <= 1.0
        u[live] = np.where(good, new, x)
        left = np.where(good, left - step, left)
        ideal = step * np.clip(0.9 * np.maximum(error, 1e-10) ** -0.2, 0.2, 5.0)
        cut_short = good & (step < pace)  # says little about the pace that could be kept
        h[live] = np.where(cut_short, np.maximum(ideal, pace), ideal)
    raise TheoryError(
        f"flow: {len(live)} sets not finished after {MAX_STEPS} steps; loosen rtol or shorten times"
    )

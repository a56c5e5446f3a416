"""Do two audits of the same rows give the same labels, and do they differ more than luck in sampling allows?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from realmodels.audited import LABELS, Array, Audited
from realmodels.errors import RealmodelsError
from realmodels.eval_strata import wilson
from theory.slick import Category


@dataclass(frozen=True)
class Agreement:
    """`same` of `n` labels with Wilson's 95% interval; `kinds` counts (first's label, second's) where they differ.

    `luck`: agreement to be expected where an exact label meets one set of samples, `sampled_twice` where two sets
    of samples meet, both from the chances of the audit that has exact ones; NaN if neither has. `greedy_apart`:
    rows right greedily under another number of prompts. `p`: mean chance of a right sample in each, and their
    correlation over rows.
    """

    n: int
    same: int
    low: float
    high: float
    kinds: Mapping[tuple[str, str], int]
    coin_tosses: int
    luck: float
    sampled_twice: float
    greedy_apart: int
    p: tuple[float, float]
    correlation: float
    rows: tuple[int, ...]


def agree(first: Audited, second: Audited) -> Agreement:
    """Row by row; the audits must be of the same rows in the same order."""
    _same_rows(first, second)
    n = len(first)
    differ = first.label != second.label
    same = int(n - differ.sum())
    low, high = wilson(same / n, n)
    kinds = Counter(
        (LABELS[a], LABELS[b])
        for a, b in zip(first.label[differ].tolist(), second.label[differ].tolist(), strict=True)
    )
    low_end = (Category.Unknown, Category.WeaklyKnown)
    tosses = differ & np.isin(first.label, low_end) & np.isin(second.label, low_end)
    greedy = [one.scores["p_greedy"] for one in (first, second)]
    p = [one.scores["p_sample"] for one in (first, second)]
    chance = _chances(first, second)
    moving = min(x.std() for x in p) > 0
    return Agreement(
        n,
        same,
        low,
        high,
        dict(kinds.most_common()),
        int(tosses.sum()),
        float(np.maximum(chance, 1 - chance).mean()),
        float((chance**2 + (1 - chance) ** 2).mean()),
        int((np.abs(greedy[0] - greedy[1]) > 1e-9).sum()),
        (float(p[0].mean()), float(p[1].mean())),
        float(np.corrcoef(p[0], p[1])[0, 1]) if moving else float("nan"),
        tuple(np.flatnonzero(differ).tolist()),
    )


def render(found: Agreement, first: Audited, second: Audited) -> str:
    """For a terminal: the share, what luck allows, and every kind of disagreement."""
    lines = [
        f"{found.same:,} of {found.n:,} labels are the same: {found.same / found.n:.1%} "
        f"(95% interval {found.low:.1%} to {found.high:.1%})",
        f"first: {_how(first)}; second: {_how(second)}",
    ]
    if not np.isnan(found.luck):
        lines.append(
            f"by luck in sampling, exact labels would agree with one sampling on {found.luck:.1%} of these rows, "
            f"two samplings with each other on {found.sampled_twice:.1%}"
        )
    lines += [
        f"greedily right under other prompts: {found.greedy_apart:,} rows",
        f"mean chance of a right sample {found.p[0]:.4f} and {found.p[1]:.4f}, correlation {found.correlation:.4f}",
        f"{found.coin_tosses:,} of {found.n - found.same:,} disagreements are between WeaklyKnown and Unknown",
    ]
    lines += [f"  {a} then {b}: {count:,}" for (a, b), count in found.kinds.items()]
    return "\n".join(lines)


def _how(audited: Audited) -> str:
    said = [f"{name} {'/'.join(map(str, values))}" for name, values in audited.settings.items()]
    return f"{audited.path.parent} ({', '.join(said)})"


def _chances(first: Audited, second: Audited) -> Array:
    """[n] The chance that samples find a right answer, 1 where greedy decoding finds one; NaN if no audit has it."""
    for one in (second, first):
        if "sample" not in one.settings["estimator"] and not np.isnan(one.scores["detection"]).any():
            return np.where(one.scores["p_greedy"] > 0, 1.0, one.scores["detection"])
    return np.full(len(first), np.nan)


def _same_rows(first: Audited, second: Audited) -> None:
    if len(first) != len(second):
        raise RealmodelsError(
            f"{second.path}: {len(second):,} rows, but {first.path} has {len(first):,}; audit the same data twice"
        )
    prints = {one.source.fingerprint for one in (first, second)} - {""}
    if len(prints) > 1:
        raise RealmodelsError(
            f"{second.path}: its rows are not those of {first.path} (other fingerprints of the source); "
            "audit the same data twice"
        )
    for k, (one, two) in enumerate(zip(first.answers, second.answers, strict=True)):
        if one != two:
            raise RealmodelsError(
                f"{second.path}:{k + 1}: other answers than {first.path}:{k + 1}; audit the same data twice"
            )

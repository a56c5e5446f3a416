"""Records of planned values: the same numbers that `placebo` draws, as a laboratory would write them."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.claims.base import Array, Cell
from theory.claims.placebo import STEPS, Plan
from theory.table import Table

ROWS = 400  # items behind a number, rows of a mix
KEPT = ("lab", "study", "run", "seed", "arm", "step", "trained_on", "prompt", "split", "stratum", "metric")


def to_table(it: Plan, values: Array, lab: str = "theory/R1-placebo", run: str = "placebo") -> Table:
    """Records of one draw [seeds, keys, steps]; what a claim pools over alternatives stands in two rows."""
    seeds = values.shape[0]
    names = (
        "study",
        "arm",
        "trained_on",
        "prompt",
        "split",
        "stratum",
        "metric",
        "n",
        "seed",
        "step",
        "value",
    )
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for k, (study, cell) in enumerate(it.keys):
        steps = np.array([0]) if cell.arm == "base" else STEPS
        block = values[:, k, -len(steps) :]
        for stratum, shift, n in _written(cell):
            fixed = (
                study,
                cell.arm_in(it.arm),
                cell.trained_on,
                cell.prompt,
                cell.split,
                stratum,
                cell.metric,
                n,
            )
            for name, value in zip(names, fixed, strict=False):
                columns[name] += [value] * block.size
            columns["seed"] += np.repeat(np.arange(seeds), len(steps)).tolist()
            columns["step"] += np.tile(steps, seeds).tolist()
            columns["value"] += (block + shift).reshape(-1).tolist()
    return Table.from_columns({"lab": lab, "run": run, **columns})


def itemise(
    table: Table, items: int, rng: np.random.Generator, *, shared: bool = True, spread: float = 0.3
) -> Table:
    """Held-out accuracies over all items as `items` right-or-wrong results each, of unequal difficulty.

    The items are the same in all seeds, or (`shared` false) every seed has its own.
    """
    held_out = table.mask(metric="accuracy", stratum="all") & ~table.mask(split=("dev", "train"))
    rows, rest = table.take(held_out), table.take(~held_out)
    difficulty = rng.uniform(-spread, spread, items)
    p = np.clip(rows.numbers["value"][:, None] + difficulty - difficulty.mean(), 0, 1)
    right = (rng.random(p.shape) < p).astype(float)
    columns = {name: np.repeat(rows.column(name), items).tolist() for name in KEPT}
    item = np.tile([f"item-{i}" for i in range(items)], len(rows)).tolist()
    if not shared:
        item = [f"{seed}-{name}" for seed, name in zip(columns["seed"], item, strict=True)]
    columns |= {"value": right.reshape(-1).tolist(), "n": [1] * right.size, "item": item}
    return Table.from_columns(
        {name: [*rest.column(name).tolist(), *values] for name, values in columns.items()}
    )


def _written(cell: Cell) -> list[tuple[str, float, int]]:
    """Stratum, shift of the value and n of each row that stands for a cell; they pool to its value."""
    if cell.metric == "fitted":
        share = float(cell.trained_on.partition(":")[2])
        return [
            (cell.stratum, 0.0, max(1, round(ROWS * (share if cell.stratum == "known=no" else 1 - share))))
        ]
    if "|" not in cell.stratum:
        return [(cell.stratum, 0.0, ROWS)]
    pairs = [
        (key, values.split("|")) for key, _, values in (x.partition("=") for x in cell.stratum.split(","))
    ]
    first, second = (",".join(f"{key}={v[min(i, len(v) - 1)]}" for key, v in pairs) for i in (0, 1))
    return [(first, 0.03, ROWS // 4), (second, -0.01, 3 * ROWS // 4)]

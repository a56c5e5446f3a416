"""What a run would do, how long it would take and how much memory; nothing is written."""

from __future__ import annotations

from pathlib import Path

from synthetic.plan import Plan, simulate
from synthetic.profiles import free_mb, slowness


def describe(plan: Plan, output: Path, workers: int) -> str:
    """The plan in words: studies, arms, units, folders, time on this machine, memory."""
    missing = plan.missing(output)
    scale = slowness()
    seeds = ", ".join(map(str, plan.seeds))
    rows = [("study", "rung", "seeds", "to do", "s a seed", "folder", "arms")]
    for job in plan.jobs:
        todo = sum((unit.study, unit.rung) == (job.study.name, job.rung) for unit in missing)
        cost = f"{scale * job.study.cost_seconds(job.setup):.0f}"
        numbers = (str(len(plan.seeds)), str(todo), cost)
        rows.append((job.study.name, job.rung, *numbers, str(output / job.folder), ", ".join(job.arms)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = [f"{plan.profile}: seeds {seeds}", ""]
    lines += ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    bases = {(unit.rung, unit.seed): unit for unit in missing}
    shared = sum(map(plan.shared_seconds, bases.values())) * scale
    lines += [
        "",
        f"units: {len(plan.units)}, of which {len(plan.units) - len(missing)} are finished and {len(missing)} to do",
        f"shared by the studies of a seed: {len(bases)} bases, {shared:,.0f} s if none is in the cache",
        f"time: about {clock(scale * simulate(plan, missing, workers))} with {workers} workers of one thread "
        f"(this machine takes {scale:.2f} times as long as the one on which costs were measured)",
        f"memory: about {workers * plan.worker_mb:,.0f} MB, of {free_mb():,.0f} MB free",
    ]
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """A duration for a person."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"

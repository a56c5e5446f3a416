"""What a run would do, how long it would take and how much memory; nothing is written."""

from __future__ import annotations

import textwrap
from pathlib import Path

from synthetic.display import clock
from synthetic.plan import Plan, simulate
from synthetic.profiles import free_mb, slowness


def describe(plan: Plan, output: Path, workers: int) -> str:
    """The plan in words: studies, arms, units, folders, time on this machine, memory."""
    missing = plan.missing(output)
    scale = slowness()
    seeds = ", ".join(map(str, plan.seeds))
    rows = [("study", "rung", "arms", "seeds", "to do", "s a seed", "folder")]
    for job in plan.jobs:
        todo = sum((unit.study, unit.rung) == (job.study.name, job.rung) for unit in missing)
        cost = scale * job.study.cost_seconds(job.setup)
        numbers = (str(len(job.arms)), str(len(plan.seeds)), str(todo), f"{cost:.0f}")
        rows.append((job.study.name, job.rung, *numbers, str(output / job.folder)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = [f"{plan.profile}: seeds {seeds}", ""]
    lines += [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    lines += ["", *_arms(plan)]
    bases = {(unit.rung, unit.seed): unit for unit in missing}
    shared = sum(map(plan.shared_seconds, bases.values())) * scale
    time = clock(scale * simulate(plan, missing, workers))
    lines += [
        "",
        f"units: {len(plan.units)}, of which {len(plan.units) - len(missing)} are finished and {len(missing)} to do",
        f"shared by the studies of a seed: {len(bases)} bases, {shared:,.0f} s if none is in the cache",
        f"time: about {time} with {workers} worker{'s' * (workers > 1)} of one thread "
        f"(this machine takes {scale:.2f} times as long as the one on which costs were measured)",
        f"memory: about {workers * plan.worker_mb:,.0f} MB, of {free_mb():,.0f} MB free",
    ]
    return "\n".join(lines)


def _arms(plan: Plan) -> list[str]:
    """The arms of each study, once if they are the same at all rungs."""
    lines = []
    for name in dict.fromkeys(job.study.name for job in plan.jobs):
        jobs = [job for job in plan.jobs if job.study.name == name]
        for arms in dict.fromkeys(job.arms for job in jobs):
            where = [job.rung for job in jobs if job.arms == arms]
            at = "" if len(where) == len(jobs) else f" at {', '.join(where)}"
            text = f"{name}{at}: {', '.join(arms)}"
            lines += textwrap.wrap(text, 110, subsequent_indent="  ", break_on_hyphens=False)
    return lines

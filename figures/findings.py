"""All pictures of findings by name: a function each, drawn for every run that has the rows it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from figures import beliefs, halves, mixes, prompts
from figures.runs import Runs
from figures.validity import waterfall

PICTURES: Mapping[str, Callable[[Runs, Path], list[Path]]] = {
    "trajectories": halves.trajectories,
    "mechanism": halves.mechanism,
    "patching": halves.patching,
    "fitting": mixes.fitting,
    "shares": mixes.shares,
    "categories": mixes.categories,
    "plane": mixes.plane,
    "waterfall": waterfall,
    "prompts": prompts.prompt_gaps,
    "similarity": prompts.similarity,
    "edges": prompts.edges,
    "precision": beliefs.precision,
    "signals": beliefs.signals,
    "reliability": beliefs.reliability,
    "labels": beliefs.labels,
    "dial": beliefs.dial,
    "statements": beliefs.free_statements,
}

"""The facts of one relation as a graph to be drawn: which edges each network can extract, alone and with a prompt."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthetic.base import Base, base
from synthetic.contrast import tune_contrast
from synthetic.errors import SyntheticError
from synthetic.exemplars import Exemplars, Prompt, exemplars
from synthetic.model import Weights
from synthetic.prompt_exams import pose, right
from synthetic.prompt_hall import DRAWS, pool_for
from synthetic.rows import Rows
from synthetic.score import Stamp
from synthetic.setup import Setup
from synthetic.split import relations_of, split
from theory.files import write_whole
from theory.world import World, make_world

FORMAT = "nameblind graph 1"
PROMPT = "few:4"
UNTUNED = "base"


def write_graph(
    path: Path,
    setup: Setup,
    seed: int,
    cache: Path | None = None,
    *,
    relation: str = "",
    prompt: str = PROMPT,
    progress: str | None = None,
) -> dict[str, Any]:
    """Tune on known and on unknown rows and write the graph of a relation, the first one trained on if none is named,
    as JSON. Base and tunings come from the cache where the studies have left them."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    number = find_relation(setup, make_world(setup.world, seed), relation)
    prompts = tuple(dict.fromkeys(("zero", "own", Prompt(prompt).name)))
    ground = base(setup, seed, cache, progress)
    rows = pool_for(ground, cache)[2]
    stamp = Stamp(setup.lab, "prompts", "-", seed, "all", 0, "none")
    networks = {UNTUNED: ground.weights}
    steps = {UNTUNED: 0}
    for name, some in rows.items():
        end = tune_contrast(ground, some, stamp, cache).end
        networks[name], steps[name] = end.weights, end.step
    found = graph(exemplars(ground, DRAWS), number, networks, rows, prompts)
    head = {"format": FORMAT, "lab": setup.lab, "study": "prompts", "seed": seed, "steps": steps}
    write_whole(path, json.dumps(head | found, indent=1) + "\n")
    return head | found


def find_relation(setup: Setup, world: World, wanted: str) -> int:
    """A relation that is trained on, by number or name; the first one if nothing is wanted."""
    names: dict[int, str] = {n: world.relation_name(n) for n in relations_of(setup, world)[0].tolist()}
    for number, name in names.items():
        if wanted in ("", str(number), name):
            return number
    known = ", ".join(f"{number} ({name})" for number, name in names.items())
    raise SyntheticError(f"relation {wanted!r} is not one that rows are about; take one of {known}")


def graph(
    shown: Exemplars,
    relation: int,
    networks: Mapping[str, Weights],
    rows: Mapping[str, Rows],
    prompts: Sequence[str],
) -> dict[str, Any]:
    """All stated facts of a relation. `nodes` are its subjects and answers. An edge names its two nodes, its exposure,
    what its subject is there for (`use`), the training set that teaches it (`row`), whether an exemplar shows it, and
    under `extracted` by network the prompts that it is extracted under. `counts` are of the edges whose use is `test`,
    by network and prompt, the last one that of edges extracted under any."""
    base = shown.base
    world = base.world
    facts = world.facts_about(relation, stated_only=True)
    asked = [pose(shown, facts, name) for name in prompts]
    right_of = {
        network: {one.prompt.name: right(one, base, weights) for one in asked}
        for network, weights in networks.items()
    }
    told = {fact for name in prompts for fact in _shown(shown, Prompt(name), relation)}
    taught = {fact: name for name, some in rows.items() for fact in some.facts.tolist()}
    uses = _uses(base, facts)
    held_out = np.array([use == "test" for use in uses])
    subjects, answers = np.unique(world.subject[facts]).tolist(), np.unique(world.answer[facts]).tolist()
    return {
        "relation": relation,
        "relation_name": world.relation_name(relation),
        "prompts": list(prompts),
        "counts": {
            "edges": int(held_out.sum()),
            "extracted": {network: _counts(hits, held_out) for network, hits in right_of.items()},
        },
        "nodes": [
            *({"id": f"s{s}", "kind": "subject", "name": world.subject_name(s)} for s in subjects),
            *({"id": f"a{a}", "kind": "answer", "name": world.answer_name(a)} for a in answers),
        ],
        "edges": [
            {
                "fact": fact,
                "source": f"s{world.subject[fact]}",
                "target": f"a{world.answer[fact]}",
                "exposure": int(world.exposure[fact]),
                "use": uses[i],
                "row": taught.get(fact),
                "shown": fact in told,
                "extracted": {
                    network: [name for name, flags in hits.items() if flags[i]]
                    for network, hits in right_of.items()
                },
            }
            for i, fact in enumerate(facts.tolist())
        ],
    }


def _counts(hits: Mapping[str, NDArray[np.bool_]], among: NDArray[np.bool_]) -> dict[str, int]:
    """Of the edges `among`, under each prompt, and under `zero` or the last prompt."""
    *_, last = hits
    found = {name: int(flags[among].sum()) for name, flags in hits.items()}
    return found | {f"zero+{last}": int((hits["zero"] | hits[last])[among].sum())}


def _shown(shown: Exemplars, prompt: Prompt, relation: int) -> list[int]:
    """The facts of the relation that some draw of a prompt tells truly."""
    if prompt.kind in ("few-wrong", "few-unrelated"):
        return []
    return [fact for drawn in shown.facts[relation] for fact in drawn[: prompt.shots].tolist()]


def _uses(base: Base, facts: ArrayLike) -> list[str]:
    parts = split(base)
    named = {"train": parts.train, "dev": parts.dev, "test": parts.test, "shots": parts.shots}
    return [
        next((name for name, some in named.items() if fact in some), "other")
        for fact in np.asarray(facts).tolist()
    ]

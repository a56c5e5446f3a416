"""The facts of one relation as a graph to be drawn: which edges each network can extract, alone and with a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from synthetic.base import Base
from synthetic.errors import SyntheticError
from synthetic.exemplars import Exemplars, Prompt, exemplars
from synthetic.finetune import finetune
from synthetic.model import Weights
from synthetic.prompt_exams import pose, right
from synthetic.prompt_hall import DRAWS, make_hall
from synthetic.rows import Rows
from synthetic.setup import Setup
from synthetic.split import split
from theory.files import write_whole

PROMPT = "few:4"
UNTUNED = "base"


def write_graph(
    path: Path,
    setup: Setup,
    seed: int,
    cache: Path | None = None,
    *,
    relation: int | None = None,
    prompt: str = PROMPT,
) -> None:
    """Tune on known and on unknown rows and write the graph of a relation, the first one trained on if none is named,
    as JSON."""
    hall = make_hall(setup, seed, cache)
    ground = hall.base
    relations = split(ground).relations.tolist()
    relation = relations[0] if relation is None else relation
    if relation not in relations:
        raise SyntheticError(f"relation {relation} has no rows; take one of {', '.join(map(str, relations))}")
    networks = {UNTUNED: ground.weights}
    for name, rows in hall.rows.items():
        networks[name] = finetune(ground, rows).weights
    found = graph(exemplars(ground, DRAWS), relation, networks, hall.rows, ("zero", "own", prompt))
    head = {"lab": setup.lab, "study": "prompts", "seed": seed}
    write_whole(path, json.dumps(head | found, indent=1) + "\n")


def graph(
    shown: Exemplars,
    relation: int,
    networks: Mapping[str, Weights],
    rows: Mapping[str, Rows],
    prompts: Sequence[str],
) -> dict[str, Any]:
    """All stated facts of a relation. `nodes` are its subjects and answers. An edge names its two nodes, its exposure,
    what its subject is there for (`use`), the training set that teaches it (`row`), whether an exemplar shows it, and
    under `extracted` by network the prompts that it is extracted under."""
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
    subjects, answers = np.unique(world.subject[facts]).tolist(), np.unique(world.answer[facts]).tolist()
    return {
        "relation": relation,
        "relation_name": world.relation_name(relation),
        "prompts": list(prompts),
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

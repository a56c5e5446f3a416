"""A world as a networkx graph: subjects and answers are nodes, facts are edges with the fact's number as key.

Nodes are `("subject", 3)` and `("answer", 17)` with attributes `kind`, `name` and `type` or `relation`; edges
carry `relation`, `name` (of the relation), `fact` and `exposure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError
from theory.world import World

if TYPE_CHECKING:
    import networkx as nx

Numbers = NDArray[np.integer]


def to_networkx(world: World, stated_only: bool = True, *, bridges: bool = False) -> nx.MultiDiGraph:
    """The whole graph: all subjects and answers, and an edge for each fact (only for stated ones by default).

    With `bridges` there is also an edge from each answer to what follows from it (city to country), with the
    key "bridge" and `fact` None: then two edges lead to every derived answer whose base fact is there.
    """
    facts = np.flatnonzero(world.stated) if stated_only else np.arange(len(world))
    graph = _graph(world, np.arange(world.spec.n_subjects), np.arange(world.spec.n_answers), facts)
    if bridges:
        _add_bridges(graph, world)
    return graph


def facts_graph(world: World, facts: ArrayLike) -> nx.MultiDiGraph:
    """The graph of some facts, given by number or by a mask, with only the nodes that they touch."""
    facts = np.asarray(facts)
    if facts.dtype == np.bool_:
        if facts.shape != (len(world),):
            raise TheoryError(f"facts_graph: expected a mask of shape ({len(world)},), got {facts.shape}")
        facts = np.flatnonzero(facts)
    if facts.size and not (
        np.issubdtype(facts.dtype, np.integer) and 0 <= facts.min() <= facts.max() < len(world)
    ):
        raise TheoryError(
            f"facts_graph: expected fact numbers from 0 to {len(world) - 1} or a mask, got {facts!r}"
        )
    facts = np.unique(facts.astype(np.int64))
    return _graph(world, np.unique(world.subject[facts]), np.unique(world.answer[facts]), facts)


def relation_graph(world: World, relation: int, stated_only: bool = True) -> nx.MultiDiGraph:
    """The facts of one relation, found without building the whole graph."""
    return facts_graph(world, world.facts_about(relation, stated_only=stated_only))


def _graph(world: World, subjects: Numbers, answers: Numbers, facts: Numbers) -> nx.MultiDiGraph:
    import networkx as nx

    graph = nx.MultiDiGraph(seed=world.seed, fingerprint=world.fingerprint)
    graph.add_nodes_from(
        (("subject", i), {"kind": "subject", "name": world.subject_name(i), "type": t})
        for i, t in zip(subjects.tolist(), world.subject_type[subjects].tolist(), strict=True)
    )
    graph.add_nodes_from(
        (("answer", j), {"kind": "answer", "name": world.answer_name(j), "relation": r})
        for j, r in zip(answers.tolist(), world.answer_relation[answers].tolist(), strict=True)
    )
    relation_name = [world.relation_name(r) for r in range(world.spec.n_relations)]
    columns = (world.subject, world.answer, world.relation, world.exposure)
    graph.add_edges_from(
        (
            ("subject", s),
            ("answer", a),
            f,
            {"relation": r, "name": relation_name[r], "fact": f, "exposure": e},
        )
        for f, s, a, r, e in zip(facts.tolist(), *(column[facts].tolist() for column in columns), strict=True)
    )
    return graph


def _add_bridges(graph: nx.MultiDiGraph, world: World) -> None:
    for relation in np.flatnonzero(world.base_relation >= 0).tolist():
        edge = {"relation": relation, "name": world.relation_name(relation), "fact": None, "exposure": None}
        pool = world.pool(int(world.base_relation[relation]))
        images = world.map_of(relation).tolist()
        graph.add_edges_from(
            (("answer", a), ("answer", b), "bridge", edge) for a, b in zip(pool, images, strict=True)
        )

"""The networkx view holds exactly the facts of the world, under their names."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from theory.errors import TheoryError
from theory.world import World, WorldSpec, make_world
from theory.world_graph import facts_graph, relation_graph, to_networkx


@pytest.fixture(scope="module")
def world() -> World:
    spec = WorldSpec(
        subjects=25, never_seen=5, relations=4, derived=1, answers=8, derived_answers=3, unseen=0.3
    )
    return make_world(spec, 3)


def _assert_edges(graph: nx.MultiDiGraph, world: World, facts: np.ndarray) -> None:
    edges = {key: (u, v, data) for u, v, key, data in graph.edges(keys=True, data=True)}
    assert sorted(edges) == sorted(facts.tolist())
    for fact, (u, v, data) in edges.items():
        subject, relation, answer = world.triple(fact)
        assert (u, v) == (("subject", world.subject[fact]), ("answer", world.answer[fact]))
        assert (graph.nodes[u]["name"], data["name"], graph.nodes[v]["name"]) == (subject, relation, answer)
        assert data["fact"] == fact
        assert data["relation"] == world.relation[fact]
        assert data["exposure"] == world.exposure[fact]
        assert {type(data[field]) for field in ("fact", "relation", "exposure")} == {int}


@pytest.mark.parametrize("stated_only", [True, False])
def test_the_graph_holds_every_fact_once(world: World, stated_only: bool) -> None:
    graph = to_networkx(world, stated_only)
    _assert_edges(graph, world, np.flatnonzero(world.stated) if stated_only else np.arange(len(world)))
    kinds = nx.get_node_attributes(graph, "kind")
    assert sum(kind == "subject" for kind in kinds.values()) == world.spec.n_subjects
    assert sum(kind == "answer" for kind in kinds.values()) == world.spec.n_answers
    for (kind, number), data in graph.nodes(data=True):
        assert data["kind"] == kind
        if kind == "subject":
            assert data["type"] == world.subject_type[number]
        else:
            assert data["relation"] == world.answer_relation[number]
    assert graph.graph == {"seed": 3, "fingerprint": world.fingerprint}
    lonely = [n for n in graph if graph.degree(n) == 0 and n[0] == "subject"]
    assert (len(lonely) >= 10) == stated_only  # the never-seen subjects


def test_the_graph_of_a_relation_is_the_part_of_the_whole(world: World) -> None:
    whole = to_networkx(world, stated_only=False)
    for relation in range(world.spec.n_relations):
        part = relation_graph(world, relation, stated_only=False)
        of_relation = [(u, v, k) for u, v, k, r in whole.edges(keys=True, data="relation") if r == relation]
        assert nx.utils.graphs_equal(part, whole.edge_subgraph(of_relation).copy())
        _assert_edges(relation_graph(world, relation), world, world.facts_about(relation, stated_only=True))


def test_a_graph_can_be_made_of_any_facts(world: World) -> None:
    facts = np.array([3, 17, 3, 40])
    _assert_edges(facts_graph(world, facts), world, np.array([3, 17, 40]))
    _assert_edges(facts_graph(world, world.derived), world, np.flatnonzero(world.derived))
    assert len(facts_graph(world, [])) == 0


def test_bridges_lead_to_every_derived_answer(world: World) -> None:
    graph = to_networkx(world, stated_only=False, bridges=True)
    bridges = [(u, v, data) for u, v, key, data in graph.edges(keys=True, data=True) if key == "bridge"]
    assert len(bridges) == 2 * 8
    assert all(data["fact"] is None and data["exposure"] is None for _, _, data in bridges)
    assert graph.number_of_edges() == len(world) + len(bridges)
    for fact in np.flatnonzero(world.derived):
        path = world.two_hop_path(int(fact))
        nodes = [("subject", int(world.subject[fact])), ("answer", path.bridge), ("answer", path.answer)]
        assert graph.has_edge(nodes[0], nodes[1], path.base_fact)
        assert graph.edges[nodes[1], nodes[2], "bridge"]["relation"] == world.relation[fact]
    assert not to_networkx(world, stated_only=False).has_edge(*nodes[1:])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ([0, 240], "expected fact numbers from 0 to 239 or a mask"),
        ([-1], "expected fact numbers from 0 to 239 or a mask"),
        ([0.5], "expected fact numbers from 0 to 239 or a mask"),
        ([True, False], r"expected a mask of shape \(240,\), got \(2,\)"),
    ],
)
def test_facts_that_do_not_exist_are_refused(world: World, facts: list, words: str) -> None:
    with pytest.raises(TheoryError, match=f"^facts_graph: {words}"):
        facts_graph(world, facts)


def test_a_relation_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(TheoryError, match="expected one of the relations 0 to 7, got 8"):
        relation_graph(world, 8)

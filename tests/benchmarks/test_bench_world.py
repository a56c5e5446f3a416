"""A world of a million facts is made, saved and loaded in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from theory.world import World, WorldSpec, make_world
from theory.world_file import load_world, save_world
from theory.world_graph import relation_graph

MILLION = WorldSpec(
    types=2,
    subjects=48_000,
    never_seen=2_000,
    relations=10,
    answers=100,
    unseen_tilt=1.0,
    copy_share=0.05,
    dominant=1,
)
LIMIT = 10.0  # seconds


def test_a_million_facts_are_made_in_ten_seconds(benchmark: Any) -> None:
    world: World = benchmark.pedantic(make_world, args=(MILLION, 0), rounds=3)
    assert len(world) == 1_000_000
    assert len(world.fingerprint) == 64
    if benchmark.stats:  # none with --benchmark-disable
        assert benchmark.stats.stats.max < LIMIT


def test_a_million_facts_go_through_a_file_in_ten_seconds(benchmark: Any, tmp_path: Path) -> None:
    world = make_world(MILLION, 0)

    def there_and_back() -> World:
        save_world(world, tmp_path / "world.npz")
        return load_world(tmp_path / "world.npz")

    back: World = benchmark.pedantic(there_and_back, rounds=3)
    assert back == world
    if benchmark.stats:
        assert benchmark.stats.stats.max < LIMIT


def test_all_names_of_a_million_facts_are_unique_and_made_in_ten_seconds(benchmark: Any) -> None:
    world = make_world(MILLION, 0)

    def names() -> set[str]:
        return {world.subject_name(i) for i in range(world.spec.n_subjects)}

    assert len(benchmark.pedantic(names, rounds=2)) == 100_000
    if benchmark.stats:
        assert benchmark.stats.stats.max < LIMIT


def test_one_relation_of_a_million_facts_is_a_graph_in_ten_seconds(benchmark: Any) -> None:
    world = make_world(MILLION, 0)
    graph = benchmark.pedantic(relation_graph, args=(world, 3), rounds=2)
    assert graph.number_of_edges() == len(world.facts_about(3, stated_only=True))
    if benchmark.stats:
        assert benchmark.stats.stats.max < LIMIT

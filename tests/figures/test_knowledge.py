"""The knowledge graph shows what the file says of held-out facts, and a wrong file is told in one line."""

import csv
import json
from collections import Counter

import pytest

from figures.cli import COMMANDS
from figures.errors import FiguresError
from figures.knowledge import knowledge, read_graph


@pytest.fixture
def graph(many):
    return many / "graph.json"


def test_edges_are_what_the_file_says_before_after_and_with_the_prompt(graph, tmp_path):
    paths = knowledge(graph, tmp_path)
    assert [path.suffix for path in paths] == [".png", ".pdf", ".svg", ".csv"]
    with open(paths[-1], newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["panel"], int(row["fact"])): row["edge"] for row in rows}
    assert len(found) == 5 * 12  # the two facts that a tuning saw are left out
    known = [found["After known rows", fact] for fact in range(12)]
    assert known == ["lost"] * 3 + ["extracted"] * 3 + ["gained"] * 3 + ["not extracted"] * 3
    prompted = Counter(found["Unknown rows, prompt", fact] for fact in range(12))
    assert prompted == {"extracted": 2, "gained": 2, "not extracted": 8}
    svg = paths[2].read_text(encoding="utf-8")
    assert "known rows leave 4 more" in svg
    assert "with the prompt (4 shots) 4 more than unknown rows" in svg
    assert "6 of 12 edges" in svg
    assert "seed 100" in svg


def test_gaps_are_counted_as_the_theory_has_them(graph):
    found = read_graph(graph)
    a, b = (found.extracted[network]["zero"] for network in ("known", "unknown"))
    pa, pb = (found.extracted[network]["few:4"] for network in ("known", "unknown"))
    assert found.gap(False) == len(a) - len(b)
    assert found.gap(True) == len(a | pa) - len(b | pb)


def test_all_draws_a_graph_that_is_named_or_lies_in_a_folder(many, graph, tmp_path, capsys):
    assert COMMANDS["all"]((graph,), tmp_path / "one").run() == 0
    assert "knowledge-synthetic-R2-2layer-born-in-seed100.png" in capsys.readouterr().out
    folder = tmp_path / "graphs"
    folder.mkdir()
    for name in ("graph-a.json", "graph-b.json"):
        (folder / name).write_bytes(graph.read_bytes())
    assert COMMANDS["all"]((folder,), tmp_path / "two").run() == 0
    assert "seed100-2.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file; `python -m synthetic graph"),
        ("{", "cannot be read as JSON"),
        ("[1]", "format None, expected 'nameblind graph 1'"),
        ('{"format": "nameblind graph 9"}', "format 'nameblind graph 9'"),
        ('{"format": "nameblind graph 1"}', "it lacks 'edges'"),
    ],
)
def test_a_file_that_is_no_graph_is_refused(tmp_path, content, words):
    path = tmp_path / "graph.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FiguresError, match=words):
        read_graph(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.update(prompts=["zero"]), "held-out edges under the prompts zero and own"),
        (lambda told: told.update(edges=told["edges"][12:]), "held-out edges"),
        (lambda told: told.update(nodes=told["nodes"][:14]), "node a0"),
        (lambda told: told["edges"][0]["extracted"].pop("base"), "'base'"),
    ],
)
def test_a_graph_that_lacks_something_is_told_what(graph, tmp_path, change, words):
    told = json.loads(graph.read_text())
    change(told)
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(told))
    with pytest.raises(FiguresError, match=words):
        read_graph(path)

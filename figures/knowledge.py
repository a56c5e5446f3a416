"""The knowledge graph of one relation: which held-out facts are extracted before, after and with a prompt."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from figures.errors import FiguresError
from figures.runs import slug
from figures.sheets import below, columns_of, head, kept
from figures.style import COLOURS, INK, SMALL, TEXT_WIDTH, canvas, house

FORMAT = "nameblind graph 1"
BEFORE = ("base", "own")  # in words that the untuned network has read
KINDS: Mapping[str, tuple[str, Any, float]] = {  # how an edge is drawn: colour, style, width
    "extracted": (COLOURS[0], "-", 1.3),
    "gained": (COLOURS[2], "-", 2.6),
    "lost": (COLOURS[1], (0, (2, 1)), 1.3),
    "not extracted": ("#BBBBBB", ":", 0.7),
}
LETTERS = 9  # of a line of an answer's name
Panels = dict[str, dict[int, str]]


@dataclass(frozen=True)
class Knowledge:
    """What `python -m synthetic graph` wrote, reduced to the facts that no tuning saw."""

    lab: str
    seed: int
    relation: str
    prompt: str
    edges: tuple[tuple[int, str, str], ...]  # fact, subject, answer
    answers: Mapping[str, str]  # names of the answers
    extracted: Mapping[str, Mapping[str, frozenset[int]]]  # facts by network and prompt

    def gap(self, prompted: bool) -> int:
        """How many more edges the network tuned on known rows extracts, alone or with the prompt merged in."""
        sizes = []
        for network in ("known", "unknown"):
            found = self.extracted[network]["zero"]
            sizes.append(len(found | self.extracted[network][self.prompt] if prompted else found))
        return sizes[0] - sizes[1]

    def panels(self) -> Panels:
        """What happens to each edge, by panel."""
        before = self.extracted["base"][BEFORE[1]]
        found: Panels = {"Before tuning": {f: _said(f in before) for f, *_ in self.edges}}
        for network in ("known", "unknown"):
            alone = self.extracted[network]["zero"]
            found[f"After {network} rows"] = {
                fact: "lost" if fact in before - alone else "gained" if fact in alone - before else _said(fact in alone)
                for fact, *_ in self.edges
            }  # fmt: skip
        for network in ("known", "unknown"):
            alone, prompted = (self.extracted[network][name] for name in ("zero", self.prompt))
            found[f"{network.capitalize()} rows, prompt"] = {
                fact: "gained" if fact in prompted - alone else _said(fact in alone)
                for fact, *_ in self.edges
            }
        return found


def _said(extracted: bool) -> str:
    return "extracted" if extracted else "not extracted"


def read_graph(path: Path) -> Knowledge:
    """A graph file, checked as far as it is drawn."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FiguresError(f"{path}: no such file; `python -m synthetic graph -o {path}` writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FiguresError(f"{path}: it cannot be read as JSON: {error}") from None
    told = found.get("format") if isinstance(found, dict) else None
    if told != FORMAT:
        raise FiguresError(
            f"{path}: format {told!r}, expected {FORMAT!r}; write it with `python -m synthetic graph`"
        )
    try:
        edges = [edge for edge in found["edges"] if edge["use"] == "test"]
        prompts = [str(name) for name in found["prompts"]]
        answers = {node["id"]: str(node["name"]) for node in found["nodes"] if node["kind"] == "answer"}
        names = {edge["target"] for edge in edges} - set(answers)
        if names:
            raise KeyError(f"node {min(names)}")
        extracted = {
            network: {
                name: frozenset(int(edge["fact"]) for edge in edges if name in edge["extracted"][network])
                for name in prompts
            }
            for network in ("base", "known", "unknown")
        }
        drawn = tuple((int(edge["fact"]), str(edge["source"]), str(edge["target"])) for edge in edges)
        if not drawn or BEFORE[1] not in prompts or "zero" not in prompts:
            raise KeyError("held-out edges under the prompts zero and own")
        lab, seed, relation = str(found["lab"]), int(found["seed"]), str(found["relation_name"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FiguresError(
            f"{path}: it lacks {error}; write it again with `python -m synthetic graph`"
        ) from None
    return Knowledge(lab, seed, relation, prompts[-1], drawn, answers, extracted)


def knowledge(path: Path, folder: Path, names: dict[str, int] | None = None) -> list[Path]:
    """Five graphs of the same facts: an answer is a hub, every subject that has it a spoke. `names` counts the names
    that are taken."""
    found = read_graph(path)
    panels = found.panels()
    place, hubs = _places(found.edges)
    order = tuple(panels)
    with house():
        figure, grid = canvas(TEXT_WIDTH, 5.4, nrows=2, ncols=3, gridspec_kw={"width_ratios": (7, 5, 5)})
        whole = grid[0, 0].get_gridspec()[:, 0]  # the first panel is large enough for names
        for axes in grid[:, 0]:
            axes.remove()
        first = figure.add_subplot(whole)
        spots = [first, *grid[0, 1:], *grid[1, 1:]]
        for axes, title in zip(spots, order, strict=True):
            _graph(axes, found, panels[title], place, hubs)
            count = sum(kind in ("extracted", "gained") for kind in panels[title].values())
            words = title.replace(", ", ",\n")
            axes.set_title(f"{words}\n{count} of {len(found.edges)} edges", fontweight="normal")
        for answer, (x, y) in hubs.items():
            name = "\n".join(textwrap.wrap(found.answers[answer], LETTERS, max_lines=2, placeholder="…"))
            first.text(
                x, y - 0.5, name, ha="center", va="top", fontsize=SMALL, linespacing=0.9, parse_math=False
            )
        prompt = {"few": "shots", "few-wrong": "wrong shots"}
        kind, _, count_ = found.prompt.partition(":")
        words = f"{count_} {prompt[kind]}" if kind in prompt and count_ else found.prompt
        head(
            figure,
            f"Facts of “{_plain(found.relation)}” that can be extracted: known rows leave {_more(found.gap(False))},\n"
            f"with the prompt ({_plain(words)}) {_more(found.gap(True))} than unknown rows",
        )
        told = f"{len(found.edges)} held-out facts of one relation; {found.lab}, seed {found.seed} alone, end of tuning"
        below(figure, told, _signs(), ncols=3)
        name = f"knowledge-{slug(found.lab)}-{slug(found.relation.replace(' ', '-'))}-seed{found.seed}"
        if names is not None:
            names[name] = names.get(name, 0) + 1
            name += f"-{names[name]}" if names[name] > 1 else ""
        table = [(title, *edge, panels[title][edge[0]]) for title in order for edge in found.edges]
        columns = columns_of(("panel", "fact", "subject", "answer", "edge"), table)
        return kept(figure, {name: columns}, folder, name)


def _plain(text: str) -> str:
    """Dollars that open no formula."""
    return text.replace("$", "\\$")


def _more(gap: int) -> str:
    return f"{abs(gap)} {'fewer' if gap < 0 else 'more'}"


Place = dict[str, tuple[float, float]]


def _places(edges: Sequence[tuple[int, str, str]]) -> tuple[Place, Place]:
    """Where nodes stand: answers on a grid, the commonest first, and their subjects around them."""
    counts: dict[str, list[str]] = {}
    for _, subject, answer in edges:
        counts.setdefault(answer, []).append(subject)
    ranked = sorted(counts, key=lambda answer: (-len(counts[answer]), answer))
    across = int(np.ceil(np.sqrt(len(ranked))))
    place: Place = {}
    hubs: Place = {}
    for i, answer in enumerate(ranked):
        x, y = float(i % across), -1.5 * (i // across)
        hubs[answer] = place[answer] = (x, y)
        turn = 2 * np.pi * (np.arange(len(counts[answer])) + 0.25) / len(counts[answer])
        for subject, angle in zip(counts[answer], turn, strict=True):
            place[subject] = (x + 0.42 * float(np.cos(angle)), y + 0.42 * float(np.sin(angle)))
    return place, hubs


def _graph(axes: Any, found: Knowledge, kinds: Mapping[int, str], place: Place, hubs: Place) -> None:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(place)
    for name, (colour, style, width) in KINDS.items():
        own = [(s, a) for fact, s, a in found.edges if kinds[fact] == name]
        if own:
            nx.draw_networkx_edges(
                graph, place, edgelist=own, ax=axes, edge_color=colour, style=style, width=width
            )
    lit = [s for fact, s, _ in found.edges if kinds[fact] in ("extracted", "gained")]
    dark = [s for fact, s, _ in found.edges if kinds[fact] not in ("extracted", "gained")]
    for nodes, face, size in ((lit, INK, 7), (dark, "white", 7), (list(hubs), "white", 26)):
        nx.draw_networkx_nodes(
            graph,
            place,
            nodelist=nodes,
            ax=axes,
            node_size=size,
            node_color=face,
            edgecolors=INK,
            linewidths=0.6,
        )
    axes.set_axis_off()
    axes.margins(0.06)


def _signs() -> list[Any]:
    """What edges and dots mean, for a legend."""
    from matplotlib.lines import Line2D

    words = {
        "extracted": "answered right",
        "gained": "won, by tuning or by the prompt",
        "lost": "lost by tuning",
        "not extracted": "not answered",
    }
    dots = ((5, "white", "answer"), (2.7, INK, "its subject, answered"), (2.7, "white", "not"))
    return [
        *(
            Line2D([], [], color=colour, linestyle=style, linewidth=width, label=words[name])
            for name, (colour, style, width) in KINDS.items()
        ),
        *(
            Line2D([], [], color=INK, marker="o", markersize=size, markerfacecolor=face, linestyle="none", label=label)
            for size, face, label in dots
        ),
    ]  # fmt: skip

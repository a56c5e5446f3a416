"""Pictures of the graph theorems without a run: a prompt that moves the gap (K1, K2), and one that widens it (K4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from figures.sheets import Sheet, alone, below, columns_of, handles, head, held
from figures.style import COLOURS, INK, LINES, MARKERS, SMALL, TEXT_WIDTH, canvas
from theory import graph

STREAM = 71
PAIRS = ((30, 6), (20, 12), (12, 9))  # edges that only A and only B hold, of 60
CHANCES = np.linspace(0.0, 1.0, 11)


@alone("second-hop")
def second_hop() -> Sheet:
    """K4: a prompt that widens the gap, because only A has the edge that leads to the prompt's."""
    import networkx as nx

    from theory.theorems.graph import path_example

    gaps = path_example()
    place = {0: (0.0, 0.0), 1: (1.0, 0.0), 2: (2.0, 0.0)}
    own, said, joint = [(0, 1)], [(1, 2)], [(0, 2)]
    sides = {
        "A, tuned on known rows": (own, []),
        "B, tuned on unknown rows": ([], []),
        "A and the prompt": (own, said),
        "B and the prompt": ([], said),
    }
    rows: list[tuple[str, int, int, str]] = []
    figure, panels = canvas(TEXT_WIDTH, 3.0, nrows=2, ncols=2)
    for axes, (title, (own_edges, prompt)) in zip(panels.T.ravel(), sides.items(), strict=True):
        graph = nx.DiGraph()
        graph.add_nodes_from(place)
        reached = joint if own_edges and prompt else []
        nx.draw_networkx_nodes(
            graph, place, ax=axes, node_color="white", edgecolors=INK, node_size=260, linewidths=0.9
        )
        nx.draw_networkx_labels(graph, place, ax=axes, font_size=SMALL)
        for edges, colour, style, bend, kind in (
            (own_edges, COLOURS[0], "-", 0.0, "stored"),
            (prompt, COLOURS[1], "--", 0.0, "said by the prompt"),
            (reached, COLOURS[2], ":", -0.35, "reached in two hops"),
        ):
            nx.draw_networkx_edges(
                graph, place, edgelist=edges, ax=axes, edge_color=colour, style=style, width=1.6,
                arrowsize=10, node_size=260, connectionstyle=f"arc3,rad={bend}",
            )  # fmt: skip
            rows += [(title, a, b, kind) for a, b in edges]
        axes.set_title(title)
        axes.set_xlim(-0.4, 2.4)
        axes.set_ylim(-0.35, 0.75)
        axes.set_axis_off()
    _edge_legend(figure)
    head(
        figure,
        held(
            f"A second hop lets a prompt widen the gap: from {gaps['gap']} to {gaps['prompted gap']} pairs",
            "Pairs that two models reach with and without a prompt",
            "K4",
        ),
    )
    names = ("set", "source", "target", "edge")
    return figure, {"second-hop": columns_of(names, rows)}


@alone("prompt-gap")
def prompt_gap() -> Sheet:
    """K1: how a prompt moves the gap, counted against the identity; K2: what a random prompt does to it, on average and
    at worst."""
    rng = np.random.default_rng(np.random.SeedSequence([0, STREAM]))
    moved = _identity(rng)
    thinned = _random_prompts(rng)
    figure, (one, two, three) = canvas(TEXT_WIDTH, 3.5, ncols=3)
    ends = [float(np.min(moved["predicted"])), float(np.max(moved["predicted"]))]
    one.plot(ends, ends, color=INK, linewidth=0.8)
    for i, (kind, label) in enumerate(((1.0, "B inside A"), (0.0, "any A and B"))):
        here = moved["nested"] == kind
        one.plot(
            moved["predicted"][here], moved["found"][here], MARKERS[i], color=COLOURS[i],
            markersize=3.5 - 1.5 * i, alpha=0.6, label=label,
        )  # fmt: skip
    one.set_xlabel("$|P \\cap B| - |P \\cap A|$ (edges)")
    one.set_ylabel("change of the gap,\n$\\Delta^* - \\Delta$ (edges)")
    one.set_title("K1: an identity", fontweight="normal")
    for i, (a, b) in enumerate(PAIRS):
        here = (thinned["only_a"] == a) & (thinned["only_b"] == b)
        p, mean, widens = (thinned[name][here] for name in ("p", "mean", "widens"))
        two.plot(p, thinned["expected"][here], color=COLOURS[i], linestyle=LINES[i])
        two.plot(p, mean, MARKERS[i], color=COLOURS[i], label=f"|A−B| = {a}, |B−A| = {b}")
        three.plot(p, thinned["chance"][here], color=COLOURS[i], linestyle=LINES[i])
        three.plot(p, widens, MARKERS[i], color=COLOURS[i])
        three.plot(p, thinned["bound"][here], color=COLOURS[i], linestyle=LINES[i], linewidth=0.7, alpha=0.7)
    two.set_ylabel("mean gap (edges)")
    two.set_title("K2: the mean", fontweight="normal")
    three.set_ylabel("chance of a\nwider gap")
    three.set_title("K2: at worst", fontweight="normal")
    for axes in (two, three):
        axes.set_xlabel("chance that the\nprompt holds\nan edge, $p$")
    finding = "A prompt moves the gap by what it tells each model anew"
    head(figure, held(finding, "The gap with a prompt, counted and predicted", "K1", "K2"))
    told = f"{len(moved['found']):,} random graphs, {DRAWS:,} random prompts"
    below(figure, f"lines: theory (thin: K2's bound); points: {told}", handles(one, two), ncols=3)
    return figure, {"prompt-gap": thinned, "prompt-gap-identity": moved}


DRAWS, GRAPHS = 4000, 400


def _identity(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Predicted and counted change of the gap, for tuned models (B inside A) and for arbitrary sets."""
    found, predicted, nested = [], [], []
    for study in graph.studies(GRAPHS, rng, aimed=True):
        loose = [rng.random(study.a.shape) < rng.random((len(study.a), 1)) for _ in range(2)]
        for kind, (a, b) in ((1.0, (study.a, study.b)), (0.0, (loose[0], loose[1]))):
            found.append(graph.prompted_gap(a, b, study.prompt) - graph.gap(a, b))
            predicted.append(graph.gap_change(a, b, study.prompt))
            nested.append(np.full(len(a), kind))
    columns = {"nested": nested, "predicted": predicted, "found": found}
    return {name: np.concatenate(parts).astype(float) for name, parts in columns.items()}


def _random_prompts(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mean gap and share of widened gaps over random prompts, beside K2's mean, exact chance and bound."""
    rows = []
    for only_a, only_b in PAIRS:
        a, b = (np.zeros(60, bool) for _ in range(2))
        a[:only_a], b[only_a : only_a + only_b] = True, True
        a[50:], b[50:] = True, True  # ten edges that both hold
        delta = int(graph.gap(a, b))
        for p in CHANCES:
            prompt = rng.random((DRAWS, 60)) < p
            gaps = graph.prompted_gap(a, b, prompt)
            rows.append(
                (
                    only_a, only_b, float(p), delta, float(gaps.mean()), float(graph.expected_prompted_gap(delta, p)),
                    float((gaps > delta).mean()), float(graph.widening_probability(only_a, only_b, p)),
                    float(graph.widening_bound(delta, p, only_a + only_b)),
                )
            )  # fmt: skip
    names = ("only_a", "only_b", "p", "delta", "mean", "expected", "widens", "chance", "bound")
    return dict(zip(names, np.array(rows).T, strict=True))


def _edge_legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    kinds: tuple[tuple[str, Any], ...] = (
        ("stored", "-"),
        ("said by the prompt", "--"),
        ("reached in two hops", ":"),
    )
    entries = [
        Line2D([], [], color=COLOURS[i], linestyle=style, label=label)
        for i, (label, style) in enumerate(kinds)
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=3)

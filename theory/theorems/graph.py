"""K1 to K4: what merging a prompt into both models' extractable facts does to the gap between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from theory import graph
from theory.graph import Graphs, Mask, Study, Value, studies
from theory.theorems.base import Counterexample, Outcome, Theorem

CLAIM = "Gong, Huang, Liang 2025 (2505.23410) for the claim examined; definitions, derivation and check ours"


def total(outcomes: list[Outcome], note: str = "") -> Outcome:
    return replace(reduce(add, outcomes), note=note)


def edge_sets(edges: int, *members: tuple[int, ...]) -> list[Mask]:
    """Edge sets by the numbers of their edges."""
    return [np.isin(np.arange(edges), chosen) for chosen in members]


def matrices(nodes: int, *members: tuple[tuple[int, int], ...]) -> list[Mask]:
    """Edge sets as matrices, by the pairs (source, target)."""
    found = [np.zeros((nodes, nodes), dtype=bool) for _ in members]
    for matrix, pairs in zip(found, members, strict=True):
        for pair in pairs:
            matrix[pair] = True
    return found


def reach_gaps(a: Mask, b: Mask, prompt: Mask, hops: int = 2) -> tuple[Any, Any]:
    """Delta and Delta* when what counts is the pairs joined within `hops` edges (matrices)."""
    f = [graph.reach(m, hops).reshape(*m.shape[:-2], -1) for m in (a, b, a | prompt, b | prompt)]
    return graph.gap(f[0], f[1]), graph.gap(f[2], f[3])


def widened(before: Any, after: Any, **more: Any) -> Mapping[str, Any]:
    return {"gap": before, "prompted gap": after, **more, "breaks": bool(after > before)}


# K1 -----------------------------------------------------------------------------------------------


def run_k1(
    n: int, rng: np.random.Generator, *, sign: int = 1, learned: str = "nothing", same_prompt: bool = True
) -> Outcome:
    """Identity, inequalities and equality cases on tuned models; identity and `iff` on arbitrary sets."""
    found, wide, loose = [], 0, 0
    for s in studies(n, rng, learned=learned, same_prompt=same_prompt, aimed=True):
        delta = graph.gap(s.a, s.b)
        star = graph.size(s.a | s.prompt) - graph.size(s.b | s.prompt_b)
        only_a = s.a & ~s.b
        error = np.abs(star - delta - sign * graph.gap_change(s.a, s.b, s.prompt))
        bad = (star < 0) | (star > delta) | (star != graph.size(only_a & ~s.prompt))
        bad |= (star == delta) != ~np.any(s.prompt & only_a, axis=-1)
        bad |= (star == 0) != ~np.any(only_a & ~s.prompt, axis=-1)
        x, y = (rng.random(s.a.shape) < rng.random((len(s.a), 1)) for _ in range(2))
        moved = graph.prompted_gap(x, y, s.prompt) - graph.gap(x, y)
        error = np.maximum(error, np.abs(moved - sign * graph.gap_change(x, y, s.prompt)))
        bad |= (error > 0) | ((moved <= 0) != (graph.size(s.prompt & x) >= graph.size(s.prompt & y)))
        found.append(Outcome(len(bad), int(bad.sum()), float(error.max())))
        wide, loose = wide + int((moved > 0).sum()), loose + int(np.any(y & ~x, axis=-1).sum())
    return total(found, f"of {loose} pairs that are not nested {wide} widen")


def widening_rate(n: int, seed: int, learned: str) -> Mapping[str, Any]:
    """How often the gap widens among models that are not nested since unknown fine-tuning also adds edges."""
    cases = wider = explained = 0
    for s in studies(n, np.random.default_rng(np.random.SeedSequence([seed, n])), learned=learned):
        loose = np.any(s.b & ~s.a, axis=-1)
        wide = loose & (graph.prompted_gap(s.a, s.b, s.prompt) > graph.gap(s.a, s.b))
        more = graph.size(s.prompt & s.a) < graph.size(s.prompt & s.b)
        cases, wider = cases + int(loose.sum()), wider + int(wide.sum())
        explained += int((wide == (loose & more))[loose].sum())
    rate = wider / max(cases, 1)
    return {"cases": cases, "wider": wider, "rate": rate, "explained": explained, "breaks": wider > 0}


def k1_not_nested() -> Mapping[str, Any]:
    a, b, p = edge_sets(4, (0, 1, 2), (3,), (3,))
    return widened(int(graph.gap(a, b)), int(graph.prompted_gap(a, b, p)))


def k1_two_prompts() -> Mapping[str, Any]:
    a, b, p, q = edge_sets(3, (0, 1), (0,), (2,), (0,))
    return widened(int(graph.gap(a, b)), int(graph.size(a | p) - graph.size(b | q)))


def k1_distraction() -> Mapping[str, Any]:
    a, b, p, lost = edge_sets(3, (0, 1, 2), (0, 1), (0,), (1,))
    return widened(int(graph.gap(a, b)), int(graph.gap(a | p, (b | p) & ~lost)))


def path_example(hops: int = 2) -> Mapping[str, Any]:
    """0 -> 1 known to A alone, 1 -> 2 said by the prompt: only A can now go from 0 to 2."""
    a, b, p = matrices(3, ((0, 1),), (), ((1, 2),))
    return widened(*(int(gap) for gap in reach_gaps(a, b, p, hops)))


K1 = Theorem(
    id="K1",
    title="What a prompt does to the gap",
    statement=(
        "Giving both models the same prompt P changes the gap by exactly |P n B| - |P n A|: it does not"
        " widen iff A holds at least as much of the prompt as B. If B lies inside A, as when known rows"
        " only add facts and unknown rows only remove them, then 0 <= Delta* = |(A - B) - P| <= Delta; a"
        " prompt that misses A - B does not help at all, and the gap closes iff the prompt holds all of A -"
        " B."
    ),
    latex=(
        r"\Delta^*-\Delta=|P\cap B|-|P\cap A|;\quad "
        r"B\subseteq A\Rightarrow 0\le\Delta^*=|(A\setminus B)\setminus P|\le\Delta"
    ),
    assumptions={
        "nested": "B lies inside A (for the inequalities; the identity holds for any sets)",
        "learns nothing": "unknown fine-tuning adds no edge, which is what puts B inside A",
        "same prompt": "both models are given the same prompt",
        "union": "a prompt adds its facts and takes none away",
        "one hop": "a question is answered by one edge",
    },
    status="proved",
    source=CLAIM,
    formula=graph.gap_change,
    run=run_k1,
    perturbations={
        "flipped sign": {"sign": -1},
        "unknown fine-tuning learns its cover": {"learned": "cover"},
        "unknown fine-tuning learns its rows": {"learned": "rows"},
        "two prompts": {"same_prompt": False},
    },
    counterexamples=(
        Counterexample("nested", "A={1,2,3}, B={4}, P={4}: the gap grows from 2 to 3", k1_not_nested),
        Counterexample(
            "learns nothing",
            "B = (E0 - Cov(D_unk)) u unknown rows: the gap widens just where B holds more of the prompt",
            lambda: widening_rate(6000, 0, "rows"),
        ),
        Counterexample("same prompt", "each model has its own prompt and B's is useless", k1_two_prompts),
        Counterexample("union", "a prompt that makes B lose a fact it could say", k1_distraction),
        Counterexample("one hop", "the path 0 -> 1 -> 2 of K4: the gap grows from 1 to 2", path_example),
    ),
)

# K2 -----------------------------------------------------------------------------------------------


def run_k2(
    n: int, rng: np.random.Generator, *, shrink: float = 1.0, exponent: float = 1.0, favour: float = 0.0
) -> Outcome:
    """All 1,024 prompts of 10 edges are enumerated with their probabilities: no sampling error."""
    edges = 10
    prompts = (np.arange(2**edges)[:, None] >> np.arange(edges) & 1).astype(np.float64)
    found, tightest = [], 0.0
    for count in graph.blocks(n, 1000):
        a, b = (rng.random((count, edges)) < rng.random((count, 1)) for _ in range(2))
        p = rng.uniform(0.02, 0.98, count)
        each = p[:, None] + favour * (b & ~a) * (1 - p[:, None])
        weight = np.exp(np.log(each) @ prompts.T + np.log1p(-each) @ (1 - prompts.T))
        star = (1.0 * a - b) @ (1 - prompts.T)  # an edge outside the prompt counts if only one model holds it
        delta, only_a, only_b = graph.gap(a, b), graph.size(a & ~b), graph.size(b & ~a)
        widens = np.sum(weight * (star > delta[:, None] + 0.5), axis=1)
        bound = graph.widening_bound(delta, p, only_a + only_b) ** exponent
        error = np.maximum(
            np.abs(np.sum(weight * star, axis=1) - graph.expected_prompted_gap(delta, shrink * p)),
            np.abs(widens - graph.widening_probability(only_a, only_b, p)),
        )
        bad = (error > 1e-9) | (widens > bound + 1e-12)
        found.append(Outcome(count, int(bad.sum()), float(error.max())))
        tightest = max(tightest, float(np.max((widens / bound)[delta > 0], initial=0.0)))
    return total(found, f"Pr(widening) is at most {tightest:.4f} of its bound")


def k2_uneven() -> Mapping[str, Any]:
    a, b, p = edge_sets(4, (0, 1, 2), (3,), (3,))
    after, promised = (
        int(graph.prompted_gap(a, b, p)),
        float(graph.expected_prompted_gap(graph.gap(a, b), 0.25)),
    )
    return {"mean prompted gap": after, "(1-p) Delta": promised, "breaks": after != promised}


def k2_dependent() -> Mapping[str, Any]:
    a, b = edge_sets(40, tuple(range(30)), tuple(range(30, 40)))
    before, stars = int(graph.gap(a, b)), [int(graph.prompted_gap(a, b, p)) for p in (a, b)]
    chance, bound = (
        float(np.mean([star > before for star in stars])),
        float(graph.widening_bound(before, 0.5, 40)),
    )
    means = {"mean prompted gap": float(np.mean(stars)), "(1-p) Delta": before / 2}
    return {**means, "chance to widen": chance, "bound": bound, "breaks": chance > bound}


K2 = Theorem(
    id="K2",
    title="Random prompts shrink the gap on average",
    statement=(
        "If the prompt holds each edge independently with probability p, then E Delta* = (1 - p) Delta for"
        " any A and B, nested or not. For Delta > 0 the gap widens with probability Pr(Bin(|B - A|, p) >"
        " Bin(|A - B|, p)), which is at most exp(-2 p^2 Delta^2 / |A xor B|)."
    ),
    latex=(
        r"\mathbb{E}\Delta^*=(1-p)\Delta,\qquad"
        r"\Pr(\Delta^*>\Delta)\le\exp\!\left(-\frac{2p^2\Delta^2}{|A\triangle B|}\right)\ (\Delta>0)"
    ),
    assumptions={
        "equal probability": "every edge is in the prompt with the same probability p",
        "independent": "edges enter the prompt independently (needed by the bound, not by the mean)",
    },
    status="proved",
    source=CLAIM,
    formula=graph.expected_prompted_gap,
    run=run_k2,
    perturbations={
        "one percent less shrinkage": {"shrink": 0.99},
        "exponent four times as large": {"exponent": 4.0},
        "prompts favour what only B knows": {"favour": 0.3},
    },
    counterexamples=(
        Counterexample("equal probability", "a prompt that always shows just what only B knows", k2_uneven),
        Counterexample(
            "independent",
            "all of A - B or all of B - A, each half of the time: the bound fails",
            k2_dependent,
        ),
    ),
)

# K3 -----------------------------------------------------------------------------------------------

SUBMODULAR = ("endpoints", "known_subjects", "diminishing")


def run_k3(
    n: int, rng: np.random.Generator, *, values: tuple[str, ...] = SUBMODULAR, learned: str = "nothing"
) -> Outcome:
    """Every set function on every random study, and a falling one with prompts that miss A - B."""
    found = []
    for s in studies(n, rng, learned=learned):
        weights = rng.exponential(size=(len(s.a), s.graphs.nodes))
        gaps = [graph.value_gaps(graph.VALUES[name], s, weights) for name in values]
        missing = replace(s, prompt=s.prompt & ~(s.a & ~s.b))
        gaps.append(graph.value_gaps(graph.burden, missing, weights))
        excess = np.max([star - delta for delta, star in gaps], axis=0)
        found.append(Outcome(len(excess), int((excess > 1e-9).sum()), float(np.maximum(excess, 0).max())))
    return total(found, f"measured by {', '.join(values)}")


def three_facts(
    a: tuple[int, ...], b: tuple[int, ...], p: tuple[int, ...], value: Value
) -> Mapping[str, Any]:
    """Three facts about one subject."""
    graphs = Graphs(np.zeros((1, 3), dtype=np.intp), np.arange(1, 4)[None], np.eye(4)[None])
    x, y, prompt = (edges[None] for edges in edge_sets(3, a, b, p))
    delta, star = graph.value_gaps(value, Study(graphs, x, y, prompt, prompt, x | y), np.ones((1, 4)))
    return widened(float(delta[0]), float(star[0]))


K3 = Theorem(
    id="K3",
    title="Diminishing returns keep the gap from widening",
    statement=(
        "For every monotone submodular measure f of what a model can say and B inside A:"
        " f(A u P) - f(B u P) <= f(A) - f(B). If P misses A - B, f need not be monotone."
    ),
    latex=r"B\subseteq A,\ f\text{ monotone submodular}\ \Rightarrow\ f(A\cup P)-f(B\cup P)\le f(A)-f(B)",
    assumptions={
        "submodular": "what an edge adds never grows with what is already known",
        "monotone": "knowing more never lowers f (needed once the prompt meets A - B)",
        "nested": "B lies inside A",
    },
    status="proved",
    source=CLAIM,
    formula=graph.value_gaps,
    run=run_k3,
    perturbations={
        "supermodular f": {"values": ("reinforcing",)},
        "falling f": {"values": ("burden",)},
        "unknown fine-tuning learns its cover": {"learned": "cover"},
    },
    counterexamples=(
        Counterexample(
            "submodular",
            "f = (facts about a subject)^2: A={1}, B={}, P={2}",
            lambda: three_facts((0,), (), (1,), graph.reinforcing),
        ),
        Counterexample(
            "monotone",
            "f = -|S| is submodular: A=P={1}, B={} lifts the gap from -1 to 0",
            lambda: three_facts((0,), (), (0,), graph.burden),
        ),
        Counterexample(
            "nested",
            "f = root of the number of facts: A={1}, B=P={2,3}",
            lambda: three_facts((0,), (1, 2), (1, 2), graph.diminishing),
        ),
    ),
)

# K4 -----------------------------------------------------------------------------------------------


def run_k4(
    n: int,
    rng: np.random.Generator,
    *,
    hops: int = 2,
    learned: str = "nothing",
    ignore_closed: bool = False,
    never_widens: bool = False,
) -> Outcome:
    """Violations: a change not accounted for, a widening without a bridge or with one hop, a path example
    that does not widen, and no widening at all in 200 or more random graphs."""
    found, wider, shrunk = [], 0, 0
    for s in studies(n, rng, learned=learned):
        a, b, p = (graph.adjacency(s.graphs, x) for x in (s.a, s.b, s.prompt))
        before, after = reach_gaps(a, b, p, hops)
        change, bridges = after - before, np.sum(graph.bridged(a, b, p), axis=(-1, -2))
        error = np.abs(change - (bridges if ignore_closed else graph.bridge_balance(a, b, p)))
        bad = (error > 0) | ((change > 0) & (bridges == 0)) | (graph.gap_change(s.a, s.b, s.prompt) > 0)
        bad |= never_widens & (change > 0)
        found.append(Outcome(len(bad), int(bad.sum()), float(error.max())))
        wider, shrunk = wider + int((change > 0).sum()), shrunk + int((change < 0).sum())
    absent = int(not path_example(hops)["breaks"]) + int(n >= 200 and wider == 0)
    result = total(found, f"the gap widens in {wider} and shrinks in {shrunk} of {n}")
    return replace(result, violations=result.violations + absent)


def k4_account(hops: int, a: Mask, b: Mask, p: Mask) -> Mapping[str, Any]:
    before, after = reach_gaps(a, b, p, hops)
    change, balance = int(after - before), int(graph.bridge_balance(a, b, p))
    return {"change": change, "bridges - closures": balance, "breaks": change != balance}


K4 = Theorem(
    id="K4",
    title="A second hop breaks the bound",
    statement=(
        "That a prompt cannot widen the gap is true of one-hop questions only. Count pairs joined by at"
        " most two edges: with B inside A the gap changes by bridges - closures. A bridge is a pair that"
        " only the prompted A joins, by one edge that the prompt brings to A and one that A has but neither"
        " B nor the prompt; a closure is a gap pair that the prompt lets B join. So the gap widens iff the"
        " prompt bridges more pairs than it closes."
    ),
    latex=(
        r"\Delta_2^*-\Delta_2=\#\text{bridges}-\#\text{closures};\quad "
        r"A=\{(0,1)\},\ B=\emptyset,\ P=\{(1,2)\}:\ \Delta_2=1<\Delta_2^*=2"
    ),
    assumptions={
        "one hop": "a question is answered by one edge (for Delta* <= Delta: what K4 gives up)",
        "two hops": "no question needs more than two edges (for the account by bridges)",
        "nested": "B lies inside A",
    },
    status="counterexample",
    source=CLAIM,
    formula=graph.bridge_balance,
    run=run_k4,
    perturbations={
        "the gap never widens": {"never_widens": True},
        "one hop": {"hops": 1},
        "three hops": {"hops": 3},
        "closures not counted": {"ignore_closed": True},
        "unknown fine-tuning learns its cover": {"learned": "cover"},
    },
    counterexamples=(
        Counterexample("one hop", "A={(0,1)}, B={}, P={(1,2)}: the gap grows from 1 to 2", path_example),
        Counterexample(
            "two hops",
            "a path of three edges, the middle one known to A alone, the others in the prompt",
            lambda: k4_account(3, *matrices(4, ((1, 2),), (), ((0, 1), (2, 3)))),
        ),
        Counterexample(
            "nested",
            "A={}, B={(0,1)}, P={(1,2)}: B bridges and the gap falls by 1",
            lambda: k4_account(2, *matrices(3, (), ((0, 1),), ((1, 2),))),
        ),
    ),
)

THEOREMS: tuple[Theorem, ...] = (K1, K2, K3, K4)

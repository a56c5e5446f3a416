"""T7, T7' and T9: where the attention that a set of facts shares goes, in which order, what turns it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit

from theory.attention import Array, loss, push
from theory.flow import Facts, flow, mean_push, minimiser
from theory.predict import critical_fraction
from theory.theorems import flow_breaks as breaks
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.instances import Complex, Tally, blocks, cross_entropy, derivative
from theory.theorems.sets import dominates, parts, random_facts, two_levels

TOLERANCE = 1e-9
FLOW_TOLERANCE = 1e-6
ROUNDS = 40  # of drawing until enough instances meet a condition


def run_convexity(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[[Facts], Array] = minimiser,
    criterion: Callable[..., Array] = loss,
    spread: float = 0.0,
    second: float = 1.0,
) -> Outcome:
    """Chords of the loss, the minimiser against a grid, the union against its parts, the flow on its way.

    `spread` gives every fact an attention of its own; `second` is how much the second half counts.
    """
    tally = Tally()
    for kind, count in blocks(n, 4):
        m, answers = int(rng.integers(1, 4)), int(rng.integers(2, 8))
        salience = np.repeat(rng.uniform(0.2, 6.0, (count, 2)), m, axis=1)
        facts = random_facts(rng, salience, answers, noise=kind % 2)
        amount = rng.uniform(0.5, 1.0, (count, 2 * m))
        whole = facts.reweighted(amount * np.where(np.arange(2 * m) < m, 1.0, second))
        offset = spread * rng.normal(size=(count, 2 * m))

        def total(alpha: Array, whole: Facts = whole, offset: Array = offset) -> Array:
            losses = criterion(logit(alpha)[..., None] + offset, whole.v_s, whole.v_r, whole.y)
            return np.asarray(np.sum(whole.weight * losses, axis=-1))

        a, b, t = rng.uniform(size=(3, 6, count))
        chord = t * total(a) + (1.0 - t) * total(b)
        convex = np.all(total(t * a + (1.0 - t) * b) <= chord + TOLERANCE, axis=0)

        u = formula(whole)
        at, (low, high) = expit(u), (expit(formula(half)) for half in parts(facts.reweighted(amount)))
        between = (at >= np.minimum(low, high) - TOLERANCE) & (at <= np.maximum(low, high) + TOLERANCE)
        least = total(np.linspace(0.02, 0.98, 33)[:, None]).min(axis=0)
        best = total(np.nan_to_num(at, nan=0.5)) <= least + TOLERANCE

        slope = np.sum(whole.weight * push(u[:, None], whole.v_s, whole.v_r, whole.y), axis=-1)
        level = tally.close(np.where(np.isfinite(u), slope, 0.0), 0.0, TOLERANCE)

        start = rng.normal(size=count)
        path = expit(np.concatenate([start[None], flow(whole, start, (1.0, 10.0, 100.0), rtol=1e-7)]))
        nearer = np.all(np.diff(np.abs(path - at), axis=0) <= FLOW_TOLERANCE, axis=0)
        tally.add(convex & between & best & level & nearer)
    return tally.outcome("chords, grid, union and flow of every set")


def run_ordering(
    n: int,
    rng: np.random.Generator,
    *,
    dominance: bool = True,
    order: float = 1.0,
    head_start: float = 0.0,
    bottom_kappa: float = 0.0,
) -> Outcome:
    """Flows of first half, second half and whole of sets on which G_top >= G_bottom is certain everywhere."""
    tally = Tally()
    drawn = 0
    for _ in range(ROUNDS):
        if tally.instances >= n:
            break
        for kind, count in blocks(n - tally.instances + 32, 2):
            m, answers = int(rng.integers(1, 4)), int(rng.integers(2, 7))
            facts = random_facts(rng, two_levels(rng, count, m), answers, noise=0.3 * kind)
            drawn += count
            facts = facts[dominates(*parts(facts))] if dominance else facts
            top, bottom = parts(facts)
            u0, times = rng.normal(size=facts.batch), (0.5, 4.0, 30.0)
            u_top, u_whole = (flow(some, u0, times, rtol=1e-8) for some in (top, facts))
            u_bottom = flow(bottom, u0 + head_start, times, kappa=bottom_kappa, rtol=1e-8)
            lag = np.max(order * np.maximum(u_whole - u_top, u_bottom - u_whole), axis=0)
            tally.worst = max(tally.worst, float(np.max(lag, initial=0.0)))
            tally.add(lag <= FLOW_TOLERANCE)
    return tally.outcome(f"the condition is certain for {tally.instances} of {drawn} draws")


def run_fraction(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = critical_fraction,
    opposed: bool = True,
    judged_at_start: bool = False,
) -> Outcome:
    """First step (by complex step) and end of the flow of the mixture against q_c of its two parts.

    Half of the shares q are drawn near q_c. One in eight mixtures is really run: u crosses u* at most once.
    """
    tally = Tally()
    drawn = 0
    for _ in range(ROUNDS):
        if tally.instances >= n:
            break
        for kind, count in blocks(n - tally.instances + 32, 2):
            m, answers = int(rng.integers(1, 5)), int(rng.integers(3, 8))
            facts = random_facts(rng, two_levels(rng, count, m, lesser=0.3), answers, noise=0.2 * kind)
            u0, u_star = 1.5 * rng.normal(size=(2, count))
            drawn += count
            pushes = [[mean_push(u, part) for part in parts(facts)] for u in (u0, u_star)]
            if opposed:
                keep = np.all([(known > 0) & (unknown < 0) for known, unknown in pushes], axis=0)
                facts, u0, u_star = facts[keep], u0[keep], u_star[keep]
                pushes = [[push[keep] for push in pair] for pair in pushes]
            first, eventual = (formula(*pair) for pair in pushes)
            if judged_at_start:
                eventual = first
            q = np.where(rng.uniform(size=first.shape) < 0.5, first, eventual)
            q = np.clip(q + rng.choice((0.05, 0.4), first.shape) * rng.normal(size=first.shape), 0.0, 1.0)
            mixed = facts.reweighted(np.where(np.arange(2 * m) < m, 1.0 - q[:, None], q[:, None]))

            def total(u: Complex, mixed: Facts = mixed) -> Complex:
                alpha = (1.0 / (1.0 + np.exp(-u)))[..., None, None]
                z = alpha * mixed.v_s + (1.0 - alpha) * mixed.v_r
                return np.asarray(np.sum(mixed.weight * cross_entropy(z, mixed.y), axis=-1))

            lost = q > eventual
            slope = derivative(total, u0)
            mean = -expit(u0) * expit(-u0) * ((1.0 - q) * pushes[0][0] + q * pushes[0][1])
            holds = tally.close(slope, mean, TOLERANCE)
            holds &= ((slope > 0) == (q > first)) & ((minimiser(mixed) < u_star) == lost)
            ran = slice(len(q) // 8)
            last = flow(mixed[ran], u0[ran], 1e4, rtol=1e-7)[0]
            below = last < u_star[ran]
            on_its_way = np.where(below, last > u0[ran], last < u0[ran]) | (np.abs(last - u_star[ran]) < 1e-5)
            holds[ran] &= on_its_way | (below == lost[ran])
            tally.add(holds, np.minimum(np.abs(q - first), np.abs(q - eventual)) < TOLERANCE)
    return tally.outcome(f"pushes opposed in {tally.instances + tally.ties} of {drawn} draws")


T7 = Theorem(
    id="T7",
    title="Convexity: a set of facts has one place to go",
    statement=(
        "If all facts of a set share one attention alpha, their mean loss is convex in alpha. Hence the mean "
        "push G(u) = mean_i (A_s - A_r)_i never rises with u, gradient flow of u moves towards the one "
        "minimiser (which may lie at +-infinity) and never past it, and the minimiser of the union of two "
        "sets lies between those of the sets."
    ),
    latex=r"""
L(\alpha) = \sum_i w_i \log \sum_a e^{b_i(a) + \alpha d_i(a)}

L'(\alpha) = \sum_i w_i\, \mathbb{E}_{p_i} d_i = -G, \qquad
L''(\alpha) = \sum_i w_i \mathrm{Var}_{p_i} d_i \ge 0

u_1 \le u_2 \;\Rightarrow\; u_1 \le \arg\min (L_1 + L_2) \le u_2
""",
    assumptions={
        "shared attention": "all facts of the set are read with the same alpha",
        "linear reading": "one layer: the logits are alpha V_s + (1 - alpha) V_r",
        "cross-entropy": "the loss is the cross-entropy of the right answer",
        "not flat": "for one minimiser: V_s - V_r differs between the answers of at least one fact",
        "non-negative weights": "every fact counts for learning, none for forgetting",
        "frozen values": "V_s and V_r do not move",
        "gradient flow": "for the way to the minimiser: steps are small",
    },
    status="proved",
    source="ours",
    formula=minimiser,
    run=run_convexity,
    perturbations={
        "minimiser shifted by 0.3": {"formula": lambda facts: minimiser(facts) + 0.3},
        "every fact has an attention of its own": {"spread": 2.0},
        "error rate 1 - p_y in place of cross-entropy": {"criterion": lambda *fact: -np.exp(-loss(*fact))},
        "the second half is to be forgotten": {"second": -0.4},
    },
    counterexamples=(
        Counterexample(
            "shared attention",
            "one fact read by two prompts whose log-odds differ has two valleys",
            breaks.attention_of_its_own,
        ),
        Counterexample(
            "linear reading",
            "attention that acts twice, z = alpha^2 V_s + ..., bends the loss",
            breaks.attention_used_twice,
        ),
        Counterexample(
            "cross-entropy", "the error rate 1 - p_y is not convex", breaks.error_instead_of_cross_entropy
        ),
        Counterexample(
            "not flat",
            "subject and relation say the same: no attention is better than another",
            breaks.nothing_to_choose,
        ),
        Counterexample(
            "non-negative weights",
            "forgetting a part throws the union outside both",
            breaks.a_fact_to_be_forgotten,
        ),
        Counterexample(
            "frozen values",
            "the loss is not convex in attention and salience together",
            breaks.values_that_move,
        ),
        Counterexample(
            "gradient flow", "a large step lands beyond the minimiser, farther off", breaks.steps_too_large
        ),
    ),
)

T7_ORDERING = Theorem(
    id="T7'",
    title="Ordering in time: top, whole, bottom",
    statement=(
        "If the top set pushes at least as hard as the bottom set at every attention, then at every moment "
        "of training the top set leaves at least as much attention on the subject as the whole (both sets "
        "together), and the whole at least as much as the bottom set. That the top set is better known is "
        "not enough: once it is saturated it hardly pushes, and a bottom set above its threshold overtakes "
        "it."
    ),
    latex=r"""
G_{\mathrm{top}}(u) \ge G_{\mathrm{bottom}}(u)\ \forall u \;\Rightarrow\;
u_{\mathrm{top}}(t) \ge u_{\mathrm{whole}}(t) \ge u_{\mathrm{bottom}}(t)\ \forall t
""",
    assumptions={
        "dominance": "G_top(u) >= G_bottom(u) for all u",
        "same start": "the three runs start from the same u",
        "same rate": "learning rate and transfer constant are the same",
        "frozen values": "V_s and V_r do not move",
        "gradient flow": "steps are small",
    },
    status="proved",
    source="ours (comparison of two differential equations)",
    formula=dominates,
    run=run_ordering,
    perturbations={
        "order turned around": {"order": -1.0},
        "dominance dropped": {"dominance": False},
        "the bottom set starts 0.5 ahead": {"head_start": 0.5},
        "the bottom set learns four times as fast": {"bottom_kappa": 3.0},
    },
    counterexamples=(
        Counterexample(
            "dominance",
            "a saturated top set is overtaken by a bottom set above its threshold",
            breaks.saturated_top,
        ),
        Counterexample("same start", "a head start lasts", breaks.bottom_starts_ahead),
        Counterexample("same rate", "a larger transfer constant overtakes", breaks.bottom_learns_faster),
        Counterexample(
            "frozen values",
            "facts of the bottom set are memorised on the way and then push harder",
            breaks.ordering_while_values_move,
        ),
        Counterexample(
            "gradient flow",
            "the top set jumps onto the plateau and is overtaken",
            breaks.ordering_under_large_steps,
        ),
    ),
)

T9 = Theorem(
    id="T9",
    title="The critical fraction of unknown facts",
    statement=(
        "Mix a share q of unknown facts, whose mean push m_u(u) is negative, with known facts, whose mean "
        "push m_k(u) is positive. The first step lowers attention on the subject iff q > q_c(u0). A fact "
        "that needs log-odds above u* is lost in the end iff q > q_c(u*): the same function, read at the "
        "fact's own threshold instead of at the start."
    ),
    latex=r"""
q_c(u) = \frac{m_k(u)}{m_k(u) + |m_u(u)|}, \qquad
\Delta u < 0 \iff q > q_c(u_0), \qquad u(\infty) < u^* \iff q > q_c(u^*)
""",
    assumptions={
        "opposed": "m_k(u) > 0 > m_u(u) at the u that is asked about",
        "shared attention": "training facts and the fact in question are read with the same alpha",
        "run to the end": "for the second form: training goes on until u has arrived",
        "frozen values": "V_s and V_r do not move",
    },
    status="proved",
    source="ours",
    formula=critical_fraction,
    run=run_fraction,
    perturbations={
        "known and unknown exchanged": {
            "formula": lambda known, unknown: critical_fraction(-unknown, -known)
        },
        "the end judged by the first step": {"judged_at_start": True},
        "pushes need not be opposed": {
            "opposed": False,
            "formula": lambda known, unknown: np.abs(known) / (np.abs(known) + np.abs(unknown)),
        },
        "critical fraction shifted by 0.02": {"formula": lambda *pushes: critical_fraction(*pushes) + 0.02},
    },
    counterexamples=(
        Counterexample(
            "opposed",
            "a weak fact whose answer is not generic never turns the sign",
            breaks.both_push_the_same_way,
        ),
        Counterexample(
            "shared attention",
            "a prompt whose log-odds lie 2 higher keeps its fact",
            breaks.a_prompt_with_its_own_attention,
        ),
        Counterexample("run to the end", "a run that stops early keeps the fact", breaks.stopped_early),
        Counterexample(
            "frozen values",
            "the unknown facts are learned and bring the attention back",
            breaks.unknown_facts_are_learned,
        ),
    ),
)

THEOREMS: tuple[Theorem, ...] = (T7, T7_ORDERING, T9)

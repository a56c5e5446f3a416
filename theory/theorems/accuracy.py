"""T8 and T8': at which attention a fact is answered right, and what share of facts therefore is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit

from theory.attention import Array, mix, pick
from theory.flow import Facts
from theory.predict import accuracy_law, correct_interval, critical_log_odds, predicted_accuracy
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.instances import Tally, blocks
from theory.theorems.sets import random_facts

TIE = 1e-9  # logits closer than this to another answer's decide nothing
TOLERANCE = 1e-12
PROBES = 24  # log-odds tried on every fact
FACTS = 24  # in a set whose accuracy is predicted


def answers_at(u: Array, facts: Facts, filler: float = 0.0) -> tuple[Array, Array, Array]:
    """What is really answered at `u` (..., facts), its lead over the next answer, and whether it is right.

    `filler` is a third token's weighted vote for answer 1.
    """
    z = mix(u, facts.v_s, facts.v_r)
    z[..., 1] += filler
    said = np.argmax(z, axis=-1)
    rest = np.array(z)
    np.put_along_axis(rest, said[..., None], -np.inf, axis=-1)
    return said, pick(z, said) - rest.max(axis=-1), said == facts.y


def run_flip(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = critical_log_odds,
    interval: Callable[[Facts], tuple[Array, Array]] = correct_interval,
    noise: float = 0.0,
    filler: float = 0.0,
) -> Outcome:
    """Every fact at PROBES attentions: half of them under (O) against u*, half against the exact interval."""
    tally = Tally()
    for kind, count in blocks(n, 2):
        answers = int(rng.integers(2, 9))
        facts = random_facts(rng, rng.uniform(0.1, 5.0, (count, 1)), answers, noise=float(kind) or noise)
        low, high = correct_interval(facts)
        edge = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))[:, 0]
        near = edge + 0.1 * rng.normal(size=(PROBES, count))
        u = np.where(np.arange(PROBES)[:, None] % 2, near, 3.0 * rng.normal(size=(PROBES, count)))
        u = np.clip(u, -12.0, 12.0)[..., None]
        said, lead, right = answers_at(u, facts, filler)
        if kind == 0:
            u_star = formula(np.maximum(pick(facts.v_s, facts.y), 0.0), facts.v_r, facts.y)
            generic = np.argmax(facts.v_r, axis=-1)
            holds = (right == (u > u_star)) & ((u > u_star) | (said == generic))
            holds &= tally.close(expit(low), expit(u_star), TOLERANCE)
        else:
            low, high = interval(facts)
            holds = right == ((low < u) & (u < high))
        decided = lead > TIE
        tally.add(np.all(holds | ~decided, axis=(0, -1)), ~np.any(decided, axis=(0, -1)))
    return tally.outcome(f"{PROBES} attentions a fact, half of them at its threshold")


def run_law(
    n: int,
    rng: np.random.Generator,
    *,
    closed: Callable[..., Array] = accuracy_law,
    exact: Callable[..., Array] = predicted_accuracy,
    noise: float = 0.0,
    spread: float = 0.0,
) -> Outcome:
    """Accuracy of sets by asking every fact, against Pr(u* < u) under (O) and against the intervals."""
    tally = Tally()
    for kind, count in blocks(n, 2):
        answers = int(rng.integers(2, 9))
        salience = np.repeat(rng.uniform(0.1, 5.0, (count, 1)), FACTS, axis=1)
        facts = random_facts(rng, salience, answers, noise=float(kind) or noise)
        u = np.clip(2.0 * rng.normal(size=count), -12.0, 12.0)
        _, lead, right = answers_at(u[:, None] + spread * rng.normal(size=(count, FACTS)), facts)
        accuracy = np.mean(right, axis=-1)
        if kind == 0:
            u_star = critical_log_odds(np.maximum(pick(facts.v_s, facts.y), 0.0), facts.v_r, facts.y)
            predicted = closed(u, u_star)
        else:
            predicted = exact(u, facts)
        tie = np.any(lead <= TIE, axis=-1)
        tally.add(tally.close(np.where(tie, 0.0, predicted), np.where(tie, 0.0, accuracy), TOLERANCE), tie)
    return tally.outcome(f"{FACTS} facts a set, half of the sets with measured values")


TWO = np.array([1.0, 0.0, 0.0])  # V_r of the hand-made facts


def _asked(
    sigma: float, y: int, u: float, v_s: Array | None = None, filler: float = 0.0
) -> Mapping[str, Any]:
    """One fact with V_r = (1, 0, 0) at log-odds u: what the closed form says and what happens."""
    facts = Facts.one_hot([sigma], TWO, [y])
    facts = facts if v_s is None else Facts(v_s, facts.v_r, facts.y)
    u_star = float(critical_log_odds(max(sigma, 0.0), TWO, y))
    said, _, right = answers_at(np.array([u]), facts, filler)
    numbers = {"u*": u_star, "u": u, "right_answer": y, "answer": int(said[0])}
    return numbers | {"breaks": bool(right[0]) != (u > u_star)}


def subject_speaks_for_a_wrong_answer() -> Mapping[str, Any]:
    return _asked(2.0, 1, 1.0, v_s=np.array([[0.0, 2.0, 3.0]]))


def a_filler_votes() -> Mapping[str, Any]:
    return _asked(2.0, 2, 0.5, filler=2.0)


def salience_below_zero() -> Mapping[str, Any]:
    return _asked(-1.0, 0, 2.0)


def each_prompt_its_own_attention() -> Mapping[str, Any]:
    facts = Facts.one_hot([2.0, 2.0], TWO, [1, 2])
    u_star, own = critical_log_odds([2.0, 2.0], TWO, [1, 2]), np.array([-2.0, 2.0])
    law, real = float(accuracy_law(own.mean(), u_star)), float(np.mean(answers_at(own, facts)[2]))
    return {
        "u*": u_star,
        "u_of_the_prompts": own,
        "law_at_mean_u": law,
        "accuracy": real,
        "breaks": law != real,
    }


def accuracy_falls_with_attention() -> Mapping[str, Any]:
    facts = Facts(np.array([[0.0, 2.0, 3.0], [0.0, 3.0, 2.0]]), TWO, np.array([1, 0]))
    u_star = critical_log_odds([2.0, 0.0], TWO, [1, 0])
    law = [float(accuracy_law(u, u_star)) for u in (-2.0, 2.0)]
    real = [float(np.mean(answers_at(np.full(2, u), facts)[2])) for u in (-2.0, 2.0)]
    return {"u": (-2.0, 2.0), "law": law, "accuracy": real, "breaks": law[1] >= law[0] and real[1] < real[0]}


def relation_learns_another_answer() -> Mapping[str, Any]:
    sigma, y, u = np.array([0.8, 0.8]), np.array([0, 2]), 0.3
    u_star = critical_log_odds(sigma, TWO, y)
    trained = Facts.one_hot(sigma, TWO + np.array([0.0, 1.5, 0.0]), y)
    law, real = float(accuracy_law(u, u_star)), float(np.mean(answers_at(np.full(2, u), trained)[2]))
    return {"u*_before": u_star, "u": u, "law": law, "accuracy": real, "breaks": law != real}


T8 = Theorem(
    id="T8",
    title="The flip threshold",
    statement=(
        "A fact is answered right iff the attention on its subject lies in one interval, which its values "
        "V_s and V_r give exactly. If the subject speaks for its right answer only, the interval is u > u* "
        "with u* = log(delta / sigma), delta being what the relation's generic answer is ahead of the right "
        "one; u* = -infinity if the right answer is the generic one. Below u* the answer given is exactly "
        "the generic one."
    ),
    latex=r"""
\text{right} \iff u_- < u < u_+

\text{(O)}\quad \alpha^* = \max_{a:\, \delta_a > 0} \frac{\delta_a}{\delta_a + \sigma}, \qquad
\delta_a = V_r(a) - V_r(y), \qquad u^* = \log \frac{\max_a \delta_a}{\sigma}
""",
    assumptions={
        "two tokens": "the logits are alpha V_s + (1 - alpha) V_r and nothing else",
        "(O)": "for the form with sigma: the subject's values are sigma at the right answer and 0 elsewhere",
        "sigma >= 0": "for the form with sigma: the subject does not speak against its own answer",
    },
    status="proved",
    source="ours",
    formula=critical_log_odds,
    run=run_flip,
    perturbations={
        "threshold shifted by 0.1": {"formula": lambda *fact: critical_log_odds(*fact) + 0.1},
        "mean rival in place of the strongest": {
            "formula": lambda sigma, v_r, y: np.log(
                np.maximum(v_r.mean(axis=-1) - pick(v_r, y), 1e-300) / sigma
            )
        },
        "interval closed above only": {
            "interval": lambda facts: (np.full(facts.y.shape, -np.inf), correct_interval(facts)[1])
        },
        "(O) dropped: noise in the subject's values": {"noise": 1.0},
        "a filler votes too": {"filler": 0.5},
    },
    counterexamples=(
        Counterexample(
            "(O)", "beyond u* the subject's own wrong answer wins", subject_speaks_for_a_wrong_answer
        ),
        Counterexample("two tokens", "a filler's vote keeps the right answer down beyond u*", a_filler_votes),
        Counterexample(
            "sigma >= 0", "attention on the subject loses even a generic answer", salience_below_zero
        ),
    ),
)

T8_LAW = Theorem(
    id="T8'",
    title="The accuracy law",
    statement=(
        "Accuracy on facts that are read with the same attention is the distribution function of their "
        "critical log-odds, Acc(u) = Pr(u* < u), at the one number u that fine-tuning leaves behind. With "
        "measured values it is the share of facts whose exact interval holds u."
    ),
    latex=r"""
\mathrm{Acc}(u) = \Pr(u^* < u), \qquad \text{in general}\quad \mathrm{Acc}(u) = \Pr(u_- < u < u_+)
""",
    assumptions={
        "shared attention": "all the facts are read with the same alpha",
        "(O)": "for the form with u*: one-hot salience, sigma >= 0",
        "frozen values": "V_s and V_r are those with which u* was computed",
    },
    status="proved",
    source="ours",
    formula=accuracy_law,
    run=run_law,
    perturbations={
        "share of the lost facts": {"closed": lambda u, u_star: 1.0 - accuracy_law(u, u_star)},
        "attention shifted by 0.3": {
            "closed": lambda u, u_star: accuracy_law(u + 0.3, u_star),
            "exact": lambda u, facts: predicted_accuracy(u + 0.3, facts),
        },
        "every prompt has an attention of its own": {"spread": 1.0},
        "(O) dropped: noise in the subject's values": {"noise": 1.0},
    },
    counterexamples=(
        Counterexample(
            "shared attention",
            "two prompts 4 apart: the law at the mean u is off by a half",
            each_prompt_its_own_attention,
        ),
        Counterexample(
            "(O)",
            "subjects that speak for wrong answers: more attention, fewer right",
            accuracy_falls_with_attention,
        ),
        Counterexample(
            "frozen values", "the relation token has learned another answer", relation_learns_another_answer
        ),
    ),
)

THEOREMS: tuple[Theorem, ...] = (T8, T8_LAW)

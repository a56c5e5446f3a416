"""T1 to T3: the gradient of the attention, the threshold of its sign, and its reach to other facts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, softmax

import theory.theorems.gradient_breaks as breaks
from theory.attention import (
    Array,
    advantages,
    logits,
    margin,
    mix,
    others,
    push,
    score_gradient,
    two_token_gradient,
)
from theory.theorems.base import Counterexample, Outcome, Theorem
from theory.theorems.instances import Tally, blocks, score_slopes, stored
from theory.thresholds import score_shift, threshold, transfer_kernel

TOLERANCE = 1e-9
PROBES = 10


def run_gradient(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = score_gradient,
    two_token: Callable[..., Array] = two_token_gradient,
    attention: str = "softmax",
    tolerance: float = 1e-12,
) -> Outcome:
    """Both closed forms against complex-step derivatives of the loss."""
    tally = Tally()
    for kind, m in blocks(n, 6):
        tokens, answers = (2, 3, 5)[kind // 2], int(rng.integers(2, 13))
        scores, values = 1.5 * rng.normal(size=(m, tokens)), 2.0 * rng.normal(size=(m, tokens, answers))
        residual = kind % 2 * rng.normal(size=(m, answers))
        y = rng.integers(answers, size=m)
        exact = score_slopes(scores, values, y, residual, attention)
        alphas = softmax(scores, axis=-1)
        holds = tally.close(formula(alphas, values, y, residual), exact, tolerance).all(axis=-1)
        if tokens == 2:
            holds &= tally.close(two_token(alphas, values, y, residual), exact[..., 0], tolerance)
        tally.add(np.asarray(holds))
    return tally.outcome("2, 3 and 5 tokens, residual on and off")


def run_threshold(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = threshold,
    attention: str = "softmax",
    noise: float = 0.0,
) -> Outcome:
    """A finite step on W_KQ against the sign of Sig - tau: half general values, half (O)."""
    tally = Tally()
    below = 0
    for kind, m in blocks(n, 2):
        answers, d = int(rng.integers(2, 13)), int(rng.integers(2, 9))
        pair, w_kq = rng.normal(size=(m, 2, d)), rng.normal(size=(m, d, d)) / d
        v_r, y = 2.0 * rng.normal(size=(m, answers)), rng.integers(answers, size=m)
        if kind == 0:
            v_s = 2.0 * rng.normal(size=(m, answers))
        else:
            v_s = stored(y, np.abs(2.0 * rng.normal(size=m)), answers) + noise * rng.normal(size=(m, answers))
        values = np.stack([v_s, v_r], axis=1)
        scores = np.einsum("mid,mde,me->mi", pair, w_kq, pair[:, 1])
        slopes = score_slopes(scores, values, y, attention=attention)
        gradient = np.einsum("mi,mid,me->mde", slopes, pair, pair[:, 1])
        size = np.linalg.norm(gradient, axis=(1, 2), keepdims=True)
        stepped = w_kq - 10.0 ** rng.uniform(-2, 1, (m, 1, 1)) * gradient / np.maximum(size, 1e-300)
        moved = np.einsum("mid,mde,me->mi", pair, stepped, pair[:, 1]) - scores
        rise = moved[:, 0] - moved[:, 1] if attention == "softmax" else moved[:, 0]

        u, right = scores[:, 0] - scores[:, 1], y[:, None] == np.arange(answers)
        q = others(mix(u, v_s, v_r), y)
        sigma, background = v_s[right], np.where(right, 0.0, v_s) * (kind == 0)
        excess = sigma - formula(expit(u), v_r, y, background)
        holds = (rise > 0) == (excess > 0)
        if not noise:
            holds &= tally.close(excess, margin(v_s, q, y) - margin(v_r, q, y), TOLERANCE)
        if kind == 1:
            below += int((excess < 0).sum())
            ordinary = (margin(v_r, q, y) <= 0) & (sigma > TOLERANCE)
            holds &= ~ordinary | (rise > 0)
        tally.add(holds, np.abs(excess) < TOLERANCE)
    return tally.outcome(f"{below} one-hot facts below their threshold")


def run_transfer(
    n: int,
    rng: np.random.Generator,
    *,
    formula: Callable[..., Array] = transfer_kernel,
    reach: tuple[float, float] = (0.0, 1.0),
    strong: bool = False,
) -> Outcome:
    """Real full-batch steps on W_KQ read off at PROBES other subjects of the relation.

    Half the models are general, to compare the identity. The other half have only facts below their
    threshold and subjects orthogonal to phi_r and shorter than it, so that k >= 0, to compare the sign too.
    `reach` bounds the subjects' length in units of |phi_r|; `strong` lifts one fact above its threshold.
    """
    tally = Tally()
    for kind, m in blocks(-(-n // PROBES), 2, 16):
        facts, answers, d = int(rng.integers(1, 9)), int(rng.integers(2, 9)), int(rng.integers(3, 17))
        phi_r, w_kq = rng.normal(size=(m, 1, d)), rng.normal(size=(m, d, d)) / d
        phi = rng.normal(size=(m, facts + PROBES, d))
        if kind == 1:
            along = (phi @ np.swapaxes(phi_r, -1, -2)) / np.sum(phi_r**2, axis=-1, keepdims=True)
            phi = phi - along * phi_r
            phi = phi / np.linalg.norm(phi, axis=-1, keepdims=True)
            phi = (
                phi * np.linalg.norm(phi_r, axis=-1, keepdims=True) * rng.uniform(*reach, (*phi.shape[:2], 1))
            )
        key = np.einsum("mde,me->md", w_kq, phi_r[:, 0])
        before = np.einsum("mnd,md->mn", phi - phi_r, key)
        u, y = before[:, :facts], rng.integers(answers, size=(m, facts))
        v_r = np.repeat(2.0 * rng.normal(size=(m, 1, answers)), facts, axis=1)
        if kind == 0:
            v_s = 2.0 * rng.normal(size=(m, facts, answers))
        else:
            v_s = stored(y, threshold(expit(u), v_r, y) - rng.exponential(1.0, (m, facts)), answers)
            v_s[:, 0] += 6.0 * strong * (y[:, 0, None] == np.arange(answers))

        train = phi[:, :facts]
        scores = np.stack([u, np.zeros_like(u)], axis=-1)
        slopes = score_slopes(scores, np.stack([v_s, v_r], axis=-2), y)
        tokens = slopes[..., :1] * train + slopes[..., 1:] * phi_r
        rate = 10.0 ** rng.uniform(-1, 1, m)
        stepped = w_kq - rate[:, None, None] * np.einsum("mnd,me->mde", tokens, phi_r[:, 0]) / facts
        after = np.einsum("mnd,mde,me->mn", phi - phi_r, stepped, phi_r[:, 0])
        shift = (after - before)[:, facts:]

        kernel = formula(train, phi_r[:, 0], phi[:, facts:])
        g = expit(u) * expit(-u) * push(u, v_s, v_r, y)
        scale = 1.0 + rate[:, None] * np.abs(kernel).max(axis=1)
        holds = tally.close(shift / scale, score_shift(g, kernel, rate) / scale, TOLERANCE)
        if kind == 1:
            holds &= (shift < 0) | (np.abs(shift) < TOLERANCE * scale)
        tally.add(holds)
    return tally.outcome(f"{PROBES} unseen subjects a model")


def _score_gradient_without_baseline(alphas: Array, values: Array, y: Array, residual: Array) -> Array:
    return np.asarray(-alphas * advantages(values, softmax(logits(alphas, values, residual), axis=-1), y))


def _kernel_without_relation(phi_s: Array, phi_r: Array, phi_t: Array) -> Array:
    return np.asarray(np.sum(phi_r**2, axis=-1)[..., None, None] * (phi_s @ np.swapaxes(phi_t, -1, -2)))


T1 = Theorem(
    id="T1",
    title="The gradient of the attention scores",
    statement=(
        "For any number of tokens, with or without a residual term in the logits, the derivative of "
        "the answer cross-entropy with respect to the score of token i is minus its attention times "
        "its advantage over the attention-weighted mean advantage. With a subject and a relation "
        "token only, the derivative with respect to u = score_s - score_r is -alpha (1 - alpha)(1 - "
        "p_y)(Sig - tau): the subject margin against the generic margin."
    ),
    latex=r"""
\frac{\partial L}{\partial \mathrm{score}_i} = -\alpha_i \Bigl(A_i - \sum_j \alpha_j A_j\Bigr), \qquad
A_i = V_i(y) - \mathbb{E}_{a \sim p} V_i(a)

\frac{\partial L}{\partial u} = -\alpha (1 - \alpha)(A_s - A_r)
= -\alpha (1 - \alpha)(1 - p_y)(\mathrm{Sig} - \tau)
""",
    assumptions={
        "softmax": "attention is the softmax of the scores",
        "cross-entropy": "the loss is the cross-entropy of the right answer",
        "two tokens": "for the second form: subject and relation are the only tokens",
    },
    status="proved",
    source=(
        "ours; the two-token identity is Goyal et al. (context-parametric inversion), Lemmas 1-2, "
        "salience is Ghosal et al. 2024"
    ),
    formula=score_gradient,
    run=run_gradient,
    perturbations={
        "flipped sign": {"formula": lambda *instance: -score_gradient(*instance)},
        "mean advantage dropped": {"formula": _score_gradient_without_baseline},
        "factor 1 - alpha dropped in the two-token form": {
            "two_token": lambda alphas, *rest: two_token_gradient(alphas, *rest) / alphas[..., 1]
        },
        "linear attention": {"attention": "linear"},
    },
    counterexamples=(
        Counterexample(
            "softmax", "with linear attention the derivative is -A_i", breaks.gradient_of_linear_attention
        ),
        Counterexample(
            "cross-entropy",
            "squared error on the logits pulls the other way",
            breaks.gradient_of_squared_error,
        ),
        Counterexample(
            "two tokens",
            "a filler worse than both turns the sign of the two-token form around",
            breaks.two_token_form_with_a_third_token,
        ),
    ),
)

T2 = Theorem(
    id="T2",
    title="The threshold of salience",
    statement=(
        "A gradient step on the attention, of any size, lowers the attention on the subject of the "
        "fact it is taken on iff Sig < tau and raises it iff Sig > tau. If the subject speaks for its "
        "right answer only, with salience sigma, this reads sigma < tau(alpha, y), and tau does not "
        "depend on sigma. tau <= 0 for every answer that is no more generic than the q-average of the "
        "others, so of facts with sigma > 0 only those whose right answer is a generic one can be "
        "harmful."
    ),
    latex=r"""
\mathrm{sign}\,\Delta u = \mathrm{sign}(\mathrm{Sig} - \tau), \qquad
\mathrm{Sig} = V_s(y) - \mathbb{E}_q V_s, \quad \tau = V_r(y) - \mathbb{E}_q V_r, \quad
q_a = \frac{p_a}{1 - p_y}\ (a \neq y)

\text{(O)}\quad V_s(a) = \sigma\,1[a = y] \;\Rightarrow\; \mathrm{Sig} = \sigma,\quad
q_a \propto e^{(1 - \alpha) V_r(a)}
""",
    assumptions={
        "softmax": "attention is the softmax of the scores",
        "two tokens": "the prompt is a subject and a relation token, read at the relation token",
        "nonzero": "the relation token's embedding is neither zero nor equal to the subject's",
        "frozen values": "W_V is frozen, or only the first step is looked at",
        "(O)": "for the form with sigma: the subject's values are sigma at the right answer and 0 elsewhere",
    },
    status="proved",
    source="ours; that low salience lowers the attention on subjects is the claim of Ghosal et al. 2024",
    formula=threshold,
    run=run_threshold,
    perturbations={
        "flipped sign": {"formula": lambda alpha, v_r, y, background: -threshold(alpha, v_r, y, background)},
        "threshold shifted by 0.3": {"formula": lambda *instance: threshold(*instance) + 0.3},
        "threshold at the mean relation value": {
            "formula": lambda alpha, v_r, y, background: (
                np.take_along_axis(v_r, y[:, None], 1)[:, 0] - v_r.mean(1)
            )
        },
        "linear attention": {"attention": "linear"},
        "(O) dropped: noise in the subject's values": {"noise": 1.0},
    },
    counterexamples=(
        Counterexample(
            "softmax",
            "linear attention never leaves the subject under (O), as A_s = sigma (1 - p_y) >= 0",
            breaks.below_threshold_with_linear_attention,
        ),
        Counterexample(
            "two tokens", "a filler worse than both loses instead", breaks.below_threshold_with_a_filler
        ),
        Counterexample("nonzero", "no score can move if phi_r = 0", breaks.relation_without_embedding),
        Counterexample(
            "(O)",
            "the subject also speaks against the wrong answers",
            breaks.below_threshold_with_value_noise,
        ),
    ),
    keeps={
        "frozen values": "a step on W_V at the same time leaves this step as it is; it moves the next "
        "sigma and tau"
    },
)

T3 = Theorem(
    id="T3",
    title="The transfer kernel",
    statement=(
        "One full-batch gradient step on W_KQ changes u of any prompt t of the same relation by the "
        "mean of g_i k(i, t), times the step size, with g_i = alpha_i (1 - alpha_i)(A_s - A_r)_i. For "
        "orthogonal embeddings k > 0 even between different one-hot subjects: the transfer runs "
        "through the relation token's own score. Hence if every training fact is below its threshold "
        "and k >= 0, no prompt of the relation gains attention on its subject, and every one with "
        "some k > 0 loses."
    ),
    latex=r"""
\Delta u(t) = \frac{\eta}{n} \sum_i g_i\, k(s_i, t), \qquad g_i = \alpha_i (1 - \alpha_i)(A_s - A_r)_i

k(s, t) = |\phi_r|^2 \langle \phi_s - \phi_r,\; \phi_t - \phi_r \rangle, \qquad
\sigma_i < \tau_i\ \forall i,\ k \ge 0 \;\Rightarrow\; \Delta u(t) \le 0\ \forall t
""",
    assumptions={
        "softmax": "attention is the softmax of the scores",
        "two tokens": "the prompts are a subject and a relation token, read at the relation token",
        "same relation": "the other prompt has the relation of the training facts",
        "one gradient step": "a single full-batch step",
        "plain gradient": "the step is along the gradient, not rescaled weight by weight",
        "k >= 0": "for the sign: the kernel is nowhere negative",
        "all below": "for the sign: sigma_i < tau_i for every training fact",
        "(O)": "for the sign in terms of sigma: one-hot salience",
    },
    status="proved",
    source="ours; that the relation token's score couples its facts is the idea of Ghosal et al. 2024",
    formula=transfer_kernel,
    run=run_transfer,
    perturbations={
        "flipped sign": {"formula": lambda *phi: -transfer_kernel(*phi)},
        "the relation token's own score left out": {"formula": _kernel_without_relation},
        "k >= 0 dropped": {"reach": (3.0, 6.0)},
        "one fact above its threshold": {"strong": True},
    },
    counterexamples=(
        Counterexample(
            "softmax",
            "with linear attention an unseen orthogonal subject keeps its attention",
            breaks.transfer_with_linear_attention,
        ),
        Counterexample("two tokens", "a filler worse than both loses instead", breaks.transfer_with_a_filler),
        Counterexample(
            "same relation", "an orthogonal relation token's prompts do not move", breaks.another_relation
        ),
        Counterexample(
            "one gradient step", "the pull changes on the way: steps do not add up", breaks.many_steps
        ),
        Counterexample(
            "plain gradient", "a sign step lets an unseen subject gain", breaks.sign_of_the_gradient
        ),
        Counterexample(
            "k >= 0", "subjects on opposite sides of phi_r move oppositely", breaks.subjects_on_opposite_sides
        ),
        Counterexample("all below", "one strong fact outweighs a weak one", breaks.one_strong_fact),
        Counterexample(
            "(O)", "the subject also speaks against the wrong answers", breaks.transfer_with_value_noise
        ),
    ),
)

THEOREMS: tuple[Theorem, ...] = (T1, T2, T3)

"""Predictions against really asking, really training and really solving."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from theory.attention import loss, mix, pick
from theory.errors import TheoryError
from theory.flow import Facts, descend, flow, mean_push, minimiser
from theory.one_layer import dense
from theory.predict import (
    SETS,
    accuracy_law,
    accuracy_slope,
    answered,
    correct_interval,
    critical_fraction,
    critical_log_odds,
    eventual_fraction,
    first_step_fraction,
    generic_values,
    gradients,
    halves,
    harm_scores,
    linear_slick,
    mixture,
    phase_diagram,
    predict_final_u,
    predict_path,
    predicted_accuracy,
    pretrained_salience,
    salience_margin,
    salience_time,
)
from theory.thresholds import transfer_kernel

PRIOR = 1.0 / np.arange(1, 11)
PRIOR /= PRIOR.sum()
RELATION = 1.5 * np.log(PRIOR)  # the relation the pilot's tables are compared on: ten answers, one over rank
EVERY = np.arange(10)


def known_set(salience):
    return Facts.one_hot(np.asarray(salience, float)[..., None] * np.ones(10), RELATION, EVERY, PRIOR)


UNKNOWN = known_set(0.0)


def drawn(rng, n, mean):
    return Facts.one_hot(mean * rng.exponential(size=n), RELATION, rng.choice(10, n, p=PRIOR))


def random_facts(sets=50, m=8, answers=5, seed=0):
    rng = np.random.default_rng(seed)
    v_s, v_r = 2 * rng.normal(size=(2, sets, m, answers))
    return Facts(v_s, v_r, rng.integers(answers, size=(sets, m)))


def test_final_u_is_where_small_steps_lead():
    facts, u0 = random_facts(), np.linspace(-1, 1, 50)
    found = predict_final_u(facts, u0, 400, 0.02, kappa=0.3)
    assert found == pytest.approx(descend(facts, u0, 400, 0.02, kappa=0.3)[-1], abs=0.01)
    assert found == pytest.approx(predict_path(facts, u0, [100, 400], 0.02, kappa=0.3)[1])


def test_final_u_with_steps_and_rates_of_their_own():
    facts = random_facts(sets=3)
    found = predict_final_u(facts, 0.0, [10, 20, 30], [0.1, 0.2, 0.3])
    for i, span in enumerate((1.0, 4.0, 9.0)):
        assert found[i] == pytest.approx(flow(facts[i], 0.0, span)[0])


def test_halves_split_every_set_by_salience():
    facts = Facts.one_hot([[1.0, 5.0, 3.0], [2.0, 0.0, 1.0]], np.zeros(4), np.zeros((2, 3), int))
    split = halves(facts, [[1.0, 5.0, 3.0], [2.0, 0.0, 1.0]])
    assert SETS == ("best", "lesser", "whole")
    assert split.weight[0].tolist() == [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]
    assert split.weight[1].tolist() == [[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    assert split.weight[2] == pytest.approx(np.full((2, 3), 1 / 3))


def test_mixture_holds_the_shares_and_broadcasts():
    both = mixture(known_set([1.0, 4.0]), UNKNOWN, [0.0, 0.3, 1.0])
    assert both.batch == (3, 2)
    assert both.weight[1, 1, 10:].sum() == pytest.approx(0.3)
    assert both.weight[1, 1, :10] == pytest.approx(0.7 * PRIOR)
    u = np.array(0.4)
    pure = mean_push(u, known_set([1.0, 4.0])), mean_push(u, UNKNOWN)
    assert mean_push(np.full((3, 2), u), both)[1] == pytest.approx(0.7 * pure[0] + 0.3 * pure[1])
    assert mixture(known_set(1.0), UNKNOWN, 0.5).batch == ()


@pytest.mark.parametrize("q", [-0.1, 1.2, np.nan])
def test_mixture_refuses_a_share_outside_0_to_1(q):
    with pytest.raises(TheoryError, match=r"q is the share of unknown facts.*0\.\.1"):
        mixture(known_set(1.0), UNKNOWN, q)


def test_mixture_refuses_different_answers():
    with pytest.raises(TheoryError, match="known facts have 10 answers, unknown ones 3"):
        mixture(UNKNOWN, Facts.one_hot([0.0], np.zeros(3), [0]), 0.5)


def test_answered_is_the_argmax_of_the_head():
    facts = random_facts(sets=400)
    u = np.random.default_rng(1).normal(size=(6, 400)) * 3
    said = np.argmax(mix(u[..., None], facts.v_s, facts.v_r), axis=-1)
    right = said == facts.y
    assert np.array_equal(answered(u, facts), right)
    assert predicted_accuracy(u, facts) == pytest.approx(right.mean(axis=-1))
    assert 0.05 < right.mean() < 0.95


@pytest.mark.parametrize(
    ("v_s", "v_r", "expected"),
    [
        ([2.0, 0.0], [0.0, 1.0], (-np.log(2), np.inf)),  # a known fact against a generic answer
        ([0.0, 2.0], [1.0, 0.0], (-np.inf, -np.log(2))),  # a generic fact whose subject speaks against it
        ([2.0, 0.0], [1.0, 0.0], (-np.inf, np.inf)),  # always
        ([0.0, 2.0], [0.0, 1.0], (np.inf, -np.inf)),  # never
        ([1.0, 2.0], [1.0, 2.0], (np.inf, -np.inf)),  # attention does not matter, and it is behind
        ([2.0, 1.0], [2.0, 1.0], (-np.inf, np.inf)),  # attention does not matter, and it is ahead
        ([1.0, 0.0, 3.0], [1.0, 3.0, 0.0], (np.inf, -np.inf)),  # one rival or the other is always ahead
    ],
)
def test_correct_interval_by_hand(v_s, v_r, expected):
    facts = Facts(np.array([v_s]), np.array([v_r]), np.array([0]))
    low, high = correct_interval(facts)
    assert (low[0], high[0]) == pytest.approx(expected)


def test_critical_log_odds_is_the_lower_end_under_one_hot_salience():
    facts = drawn(np.random.default_rng(2), 500, 2.0)
    u_star = critical_log_odds(pick(facts.v_s, facts.y), facts.v_r, facts.y)
    low, high = correct_interval(facts)
    assert u_star == pytest.approx(low, abs=1e-12)
    assert np.all(high == np.inf)
    assert accuracy_law([-1.0, 0.5], u_star) == pytest.approx(
        predicted_accuracy(np.array([-1.0, 0.5]), facts)
    )


def test_critical_log_odds_at_the_edges():
    v_r = [1.0, 0.0, 1.0]
    found = critical_log_odds([0.1, 0.0, 2.0, 0.0], v_r, [0, 1, 1, 2])
    assert found.tolist() == [-np.inf, np.inf, -np.log(2), np.inf]
    with pytest.raises(TheoryError, match="sigma must not be negative; use correct_interval"):
        critical_log_odds([-1.0], v_r, [0])


def test_accuracy_slope_is_the_density_of_critical_log_odds():
    u_star = np.random.default_rng(3).normal(size=200_000)
    assert accuracy_slope([0.0, 1.0], u_star) == pytest.approx([0.3989, 0.2420], abs=0.01)


@pytest.mark.parametrize(
    ("known", "unknown", "expected"),
    [(3.0, -1.0, 0.75), (2.0, 1.0, 1.0), (-1.0, -2.0, 0.0), (1.0, 0.0, 1.0), (0.0, -1.0, 0.0)],
)
def test_critical_fraction_by_hand(known, unknown, expected):
    assert critical_fraction(known, unknown) == expected


def test_critical_fraction_is_undefined_if_both_push_the_wrong_way():
    assert np.isnan(critical_fraction(-1.0, 2.0))


def test_critical_fraction_rises_with_salience_and_falls_once_saturated():
    """The pilot: 0.47 at salience 0.5, 0.90 at 4, 0.886 at 6."""
    found = first_step_fraction(0.0, known_set([0.5, 1.0, 2.0, 3.0, 4.0, 6.0]), UNKNOWN)
    assert found == pytest.approx([0.457, 0.717, 0.842, 0.877, 0.888, 0.872], abs=1e-3)
    assert np.argmax(found) == 4


def test_eventual_fraction_separates_kept_from_lost_facts():
    known, u_star = known_set(3.0), np.linspace(-0.6, 0.3, 7)
    critical = eventual_fraction(u_star, known, UNKNOWN)
    assert np.all((critical > 0.5) & (critical < 1))
    for u, q_c in zip(u_star, critical, strict=True):
        ends = minimiser(mixture(known, UNKNOWN, [q_c - 0.01, q_c + 0.01]))
        assert ends[0] > u > ends[1]


def test_no_share_of_unknown_facts_takes_what_needs_little_attention():
    """Once (1 - alpha) c > 1 unknown facts push back onto the subject (T4): here below u = -log 2."""
    u_star = -np.log(2) + np.array([-0.5, -1e-6, 1e-6])
    assert eventual_fraction(u_star, known_set(3.0), UNKNOWN)[:2].tolist() == [1.0, 1.0]
    assert eventual_fraction(u_star, known_set(3.0), UNKNOWN)[2] < 1.0
    assert minimiser(UNKNOWN) == pytest.approx(-np.log(2))


def test_phase_diagram_changes_sign_at_the_first_step_fraction():
    """Attention moves one way only, so the first step decides the sign of every later change."""
    q, salience = np.linspace(0, 1, 21), np.array([0.5, 1.0, 2.0, 4.0, 6.0])
    held_out = drawn(np.random.default_rng(4), 1000, 3.0)
    change = phase_diagram(known_set(salience), UNKNOWN, held_out, q, [10, 100, 1000], u0=0.0, lr=1.0)
    assert change.shape == (3, 21, 5)
    predicted = np.where(q[:, None] < first_step_fraction(0.0, known_set(salience), UNKNOWN), 1, -1)
    large = np.abs(change) > 0.003
    assert large.mean() > 0.9
    assert np.all(np.sign(change)[large] == np.broadcast_to(predicted, change.shape)[large])
    assert change.min() < -0.1
    assert change.max() > 0.2


@pytest.mark.parametrize("exposure", [1e-250, 1e-12, 1e-3, 1.0, 40.0, 1e4, 1e12])
def test_salience_margin_is_the_root_of_the_forward_law(exposure):
    for answers in (2, 3, 20):
        c = 0.6**2 * answers * exposure
        bound = 1.0 + c / answers
        root = brentq(
            lambda z, c=c, k=answers: np.expm1(z) + (k - 1) * z - c,
            0,
            min(bound, 40.0),
            xtol=1e-300,
            rtol=1e-15,
        )
        found = salience_margin(exposure, 0.6, answers)
        assert found == pytest.approx(root, rel=1e-13, abs=0)
        assert salience_time(found, 0.6, answers) == pytest.approx(exposure, rel=1e-11)
        assert pretrained_salience(exposure, 0.6, answers) == pytest.approx(root / 0.6, rel=1e-13)


def test_salience_margin_survives_what_overflows_lambert_w():
    assert salience_margin([0.0, 1e300], 0.5, 2) == pytest.approx([0.0, np.log(0.5e300)])


@pytest.mark.parametrize("exposure", [1e-6, 1e6])
def test_salience_grows_linearly_and_then_like_the_logarithm(exposure):
    growth = salience_margin(2 * exposure, 0.5, 10) / salience_margin(exposure, 0.5, 10)
    rise = salience_margin(2 * exposure, 0.5, 10) - salience_margin(exposure, 0.5, 10)
    if exposure < 1:
        assert growth == pytest.approx(2.0, rel=1e-4)
    else:
        assert rise == pytest.approx(np.log(2), rel=1e-3)


def test_salience_law_against_discrete_descent_of_a_value_table():
    """300 facts of Zipf frequency, 10 answers, alpha 1/2; the pilot's largest relative error was 1e-4."""
    frequency = 1.0 / np.arange(1, 301)
    table, rate, steps, alpha = np.zeros((300, 10)), 0.02, 5000, 0.5
    for _ in range(steps):
        p = np.exp(alpha * table)
        table += rate * frequency[:, None] * alpha * ((EVERY == 0) - p / p.sum(axis=1, keepdims=True))
    margin = alpha * (table[:, 0] - table[:, 1:].mean(axis=1))
    assert salience_margin(frequency * rate * steps, alpha, 10) == pytest.approx(margin, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 0.5, 10), "must be a number that is not negative"),
        ((np.nan, 0.5, 10), "not negative"),
        ((1.0, 0.5, 1), "at least 2"),
    ],
)
def test_impossible_pretraining_is_refused(arguments, message):
    with pytest.raises(TheoryError, match=message):
        salience_margin(*arguments)


def test_generic_values_are_the_weighted_sum_of_subject_values():
    assert generic_values([[1.0, 2.0], [3.0, -2.0]], 0.8) == pytest.approx([1.0, 0.0])
    assert generic_values(np.ones((2, 3, 2)), [0.5, 0.25]) == pytest.approx(
        np.array([[3.0, 3.0], [9.0, 9.0]])
    )


def test_gradients_are_minus_the_slopes_of_single_losses():
    facts, u = random_facts(), np.linspace(-1, 1, 50)
    h, found = 1e-5, gradients(u, facts)

    def losses(at):
        return loss(at[:, None], facts.v_s, facts.v_r, facts.y)

    assert found == pytest.approx(-(losses(u + h) - losses(u - h)) / (2 * h), abs=1e-8)
    assert np.sum(facts.weight * found, axis=-1) == pytest.approx(expit(u) * expit(-u) * mean_push(u, facts))


def dense_model(seed):
    """A dense one-layer model: 60 training subjects, 60 held-out ones, one relation, six answers."""
    rng = np.random.default_rng(seed)
    model = dense(rng, tokens=121, answers=6, dim=24, weight_scale=0.8)
    prompts = np.stack([np.arange(120), np.full(120, 120)], axis=1)
    return model, prompts, rng.integers(6, size=120)


def test_harm_scores_are_the_change_of_held_out_loss_per_step():
    model, prompts, y = dense_model(0)
    train, held_out = slice(60), slice(60, 120)
    values = model.values(prompts)
    score = model.scores(prompts)
    facts = Facts(values[:, :1], values[:, 1:], y[:, None])
    g = gradients(score[:, 0] - score[:, 1], facts)[:, 0]
    phi_r = model.embed[120]
    kernel = transfer_kernel(model.embed[:60], phi_r, model.embed[60:120])
    harm = harm_scores(g[train], g[held_out], kernel)
    rate, before = 1e-5, model.loss(prompts[held_out], y[held_out])
    stepped = [model.descend(prompts[[i]], y[[i]], kq_rate=rate) for i in range(60)]
    true = [(after.loss(prompts[held_out], y[held_out]) - before) / rate for after in stepped]
    assert harm == pytest.approx(true, rel=1e-3, abs=1e-7)
    assert 5 < np.sum(harm > 0) < 55


def test_scalar_harm_scores_need_only_the_sign_of_the_held_out_push():
    g_train, g_held = np.array([1.0, -2.0, 0.5]), np.array([0.4, -0.1])
    assert harm_scores(g_train, g_held) == pytest.approx([-0.15, 0.3, -0.075])
    assert harm_scores(g_train, g_held, np.ones((3, 2))) == pytest.approx(harm_scores(g_train, g_held))
    assert np.array_equal(
        np.argsort(harm_scores(g_train, 7 * g_held)), np.argsort(harm_scores(g_train, g_held))
    )


def test_harm_scores_refuse_a_kernel_of_another_shape():
    with pytest.raises(TheoryError, match=r"kernel has shape \(2, 3\), expected \(3, 2\).*a row for every"):
        harm_scores(np.ones(3), np.ones(2), np.ones((2, 3)))


def test_pruning_by_harm_beats_pruning_by_salience_and_chance():
    """400 rows, 390 of them unknown: keeping the 200 of lowest harm saves held-out facts, nothing else does."""
    rng = np.random.default_rng(5)
    unknown, known, held_out = drawn(rng, 390, 0.15), drawn(rng, 10, 4.0), drawn(rng, 1000, 4.0)
    rows = Facts(np.concatenate([unknown.v_s, known.v_s]), RELATION, np.concatenate([unknown.y, known.y]))
    harm = harm_scores(gradients(0.0, rows), gradients(0.0, held_out))
    orders = {
        "harm": np.argsort(harm),
        "salience": np.argsort(-pick(rows.v_s, rows.y)),
        "chance": rng.permutation(400),
    }

    def kept(chosen):
        return float(predicted_accuracy(predict_final_u(rows.reweighted(chosen), 0.0, 200, 1.0), held_out))

    accuracy = {
        rule: kept(np.isin(np.arange(400), order[:200]).astype(float)) for rule, order in orders.items()
    }
    everything = kept(np.ones(400))
    assert accuracy["harm"] > 0.95
    assert max(accuracy["salience"], accuracy["chance"], everything) < accuracy["harm"] - 0.1
    harmful = harm[:390] > 0
    assert 0.3 < harmful.mean() < 0.7  # only some of the unknown facts do harm
    assert np.mean(unknown.y[harmful] < 3) > 0.9  # those with a generic answer
    assert np.mean(unknown.y[~harmful] < 3) < 0.4


def r_squared(real, fit):
    return 1 - np.sum((real - fit) ** 2) / np.sum((real - real.mean()) ** 2)


def test_linear_slick_holds_for_few_steps_and_fails_for_many():
    """Early accuracy is a line in the share of unknown facts, slopes in the ratio m_u / m_k; later it is not."""
    held_out, known, q = drawn(np.random.default_rng(6), 20_000, 3.0), known_set(3.0), np.linspace(0, 1, 21)
    u_star = critical_log_odds(pick(held_out.v_s, held_out.y), held_out.v_r, held_out.y)
    fits = {}
    for span in (0.5, 2.0, 100.0):
        model = linear_slick(known, UNKNOWN, u_star, 0.0, span)
        real = accuracy_law(predict_final_u(mixture(known, UNKNOWN, q), 0.0, span, 1.0), u_star)
        slope, intercept = np.polyfit(q, real, 1)
        fits[span] = r_squared(real, intercept + slope * q), r_squared(real, model.accuracy(q))
        assert model.intercept == pytest.approx(accuracy_law(0.0, u_star))
        assert model.unknown / model.known == pytest.approx(
            float(mean_push(0.0, UNKNOWN) / mean_push(0.0, known)), rel=1e-12
        )
    assert fits[0.5][1] > 0.98
    assert fits[2.0][0] > 0.99
    assert fits[100.0][0] < 0.9
    assert fits[100.0][1] < 0


def test_a_tie_without_salience_is_no_right_answer():
    v_r = np.array([1.0, 1.0, 0.0])
    assert critical_log_odds(0.0, v_r, 0) == np.inf
    assert critical_log_odds(0.5, v_r, 0) == -np.inf
    assert critical_log_odds(0.0, np.array([1.0, 0.5, 0.0]), 0) == -np.inf
    assert accuracy_law(0.0, critical_log_odds(np.zeros(5), np.zeros((5, 3)), np.zeros(5, int))) == 0.0
    facts = Facts.one_hot(np.zeros(5), np.zeros((5, 3)), np.zeros(5, int))
    assert predicted_accuracy(0.0, facts) == 0.0


def test_at_its_threshold_a_fact_is_not_yet_answered_right():
    facts = Facts.one_hot([1.0], np.array([1.0, 0.0]), [1])
    assert critical_log_odds(1.0, np.array([1.0, 0.0]), 1) == 0.0
    assert accuracy_law(0.0, np.array([0.0])) == 0.0
    assert not answered(0.0, facts).any()
    assert answered(1e-9, facts).all()
    rival = Facts(np.array([[1.0, 2.0]]), np.array([1.0, 0.0]), np.array([0]))
    assert answered(-1e-9, rival).all()
    assert not answered(0.0, rival).any()


def test_the_linear_law_counts_what_other_facts_move():
    known, unknown = Facts.one_hot([3.0], [1.0, 0.0], [1]), Facts.one_hot([0.0], [1.0, 0.0], [0])
    alone, coupled = (linear_slick(known, unknown, [0.0, 0.1], 0.0, 0.01, kappa) for kappa in (0.0, 1.5))
    assert alone.known > 0 > alone.unknown
    assert (coupled.known, coupled.unknown) == pytest.approx((2.5 * alone.known, 2.5 * alone.unknown))
    assert coupled.intercept == alone.intercept

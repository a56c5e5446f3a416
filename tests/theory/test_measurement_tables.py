"""Every measured table on a few seeds: against slow references, and that it says what it is there to say."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest

from theory import attention, predict
from theory.claims import evaluate
from theory.measurements import (
    base,
    catalogue,
    confound,
    dense,
    fillers,
    flow_records,
    generic,
    graph_gap,
    hump,
    monofacts,
    observations,
    optimum,
    phase,
    prediction,
    pruning,
    salience_law,
    slick_line,
    stopping,
    tuning,
    window,
)
from theory.measurements.facts import Setting
from theory.measurements.ideal import POOL, PRIOR, V_R, draw, exact, spread
from theory.optimisers import Recipe
from theory.simulate import Prompts, Tables, train
from theory.table import Table

SEEDS = (1000, 1001, 1002)


def column(rows, name="mean", **where):
    """The values of a column in the rows that match."""
    found = [row[name] for row in rows if all(row[key] == value for key, value in where.items())]
    assert found, f"no row with {where}"
    return np.array(found)


def well_formed(measurement, rows):
    """Every row has every column, every pilot number has its row, and rows differ in their keys."""
    assert all(set(row) == set(measurement.columns) for row in rows)
    assert len(measurement.compare(rows)) == len(measurement.pilot)
    keys = [name for name in measurement.columns if name not in ("mean", "low", "high", "n", "value")]
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows)


@pytest.fixture
def small(monkeypatch):
    """Few subjects and few steps, for what is tested elsewhere for its numbers."""
    tiny = Setting(subjects=60, relations=2, pool=5)
    variants = {
        name: window.Variant(
            dataclasses.replace(tiny, frequency=v.setting.frequency, level=v.setting.level),
            dataclasses.replace(v.pretraining, steps=40),
            dataclasses.replace(v.recipe, steps=20),
            None if v.pool is None else 5,
        )
        for name, v in window.VARIANTS.items()
    }
    monkeypatch.setattr(window, "VARIANTS", variants)
    monkeypatch.setattr(window, "STEPS", (0, 10, 20))
    return tiny


# The window


def test_the_gap_opens_and_reverses():
    rows = window.variant_rows("adam", SEEDS)
    gap = {at: column(rows, trained_on="best-lesser", stratum="known", metric="accuracy", step=at)[0]
           for at in window.STEPS}  # fmt: skip
    assert gap[0] == 0
    assert gap[80] > 6
    assert gap[120] > 6
    assert gap[320] < 0
    turn = {at: column(rows, trained_on="best-lesser", stratum="all", metric="attention_subject", step=at)[0]
            for at in (80, 320)}  # fmt: skip
    assert turn[80] > 3 > -3 > turn[320]
    known = column(rows, trained_on="none", metric="known", stratum="popularity=high")[0]
    assert known > 99
    known = column(rows, trained_on="none", metric="known", stratum="popularity=low")[0]
    assert 35 < known < 55


def test_sgd_does_not_reverse():
    rows = window.variant_rows("sgd", SEEDS)
    gap = column(rows, trained_on="best-lesser", stratum="all", metric="accuracy")
    assert np.all(gap[2:] > 2)
    assert np.all(column(rows, trained_on="best-whole", stratum="all", metric="accuracy") > -1.5)


def test_early_harm_is_attention_and_late_harm_is_values():
    at = {"trained_on": "best-lesser", "stratum": "known", "metric": "accuracy"}
    attended = window.variant_rows("adam, attention only", SEEDS)
    valued = window.variant_rows("adam, values only", SEEDS)
    assert column(attended, **at, step=40)[0] > 8 > abs(column(valued, **at, step=80)[0])
    assert column(valued, **at, step=320)[0] > 3


def test_the_table_of_the_window(small):
    rows = window.run(SEEDS[:2])
    contrast = {"stratum": "all", "metric": "accuracy", "variant": "adam", "step": 20}
    best, lesser, gap = (
        column(rows, trained_on=on, **contrast)[0] for on in ("best", "lesser", "best-lesser")
    )
    assert gap == pytest.approx(best - lesser)
    assert {row["variant"] for row in rows} == set(window.VARIANTS)
    assert {row["n"] for row in rows} <= {0, 1, 2}  # errors do not exist in every seed


# Which facts


def test_generic_answers_do_the_harm():
    rows = generic.run(SEEDS)
    well_formed(generic.GENERIC, rows)
    at = {"arm": "attention", "stratum": "known", "metric": "accuracy", "step": 80}
    bad, good, lesser = (
        column(rows, **at, trained_on=on)[0] for on in ("lesser generic", "lesser rare", "lesser")
    )
    assert bad < lesser < good
    assert good - bad > 15
    late = {**at, "arm": "all"}
    assert column(rows, **late, trained_on="lesser rare")[0] < 80  # with values trained they are not safe


def test_the_best_known_quartile_is_worst_once_saturated():
    rows = hump.run(SEEDS[:2])
    well_formed(hump.QUARTILES, rows)
    at = {"arm": "all", "stratum": "all", "metric": "accuracy", "step": 80}
    short, long = (column(rows, pretraining=length, **at) for length in ("short", "long"))
    assert short.argmax() == 3
    assert long.argmin() == 3


def test_confounds(small, monkeypatch):
    monkeypatch.setattr(confound, "REGIMES", {"a": window.VARIANTS["adam"], "b": window.VARIANTS["zipf 1.0"]})
    monkeypatch.setattr(confound, "SIZE", 12)
    monkeypatch.setattr(confound, "resampled", partial(base.resampled, draws=10))
    confound.measured.cache_clear()
    data = confound.measured(SEEDS)
    assert data["size"].shape == (2, 10, 3)
    assert data["size"].max() == 12
    assert np.array_equal(np.isnan(data["margin"]), data["size"] == 0)
    rows = confound.run(SEEDS)
    well_formed(confound.CONFOUND, rows)
    plain = confound.spearman(data["margin"], data["harm all 80"])
    found = column(rows, arm="all", step=80, scope="all sets", predictor="margin", statistic="spearman")
    assert found[0] == plain
    points = confound.points(SEEDS)
    well_formed(confound.CONFOUND_POINTS, points)
    assert len(points) == np.count_nonzero(data["size"])
    first = points[0]
    assert first["harm_all_80"] == pytest.approx(100 * data["harm all 80"][0, 0, 0])
    records = observations.across_records(SEEDS)
    assert {r.metric for r in records} == {
        "margin_accuracy_rank_correlation", "pcorrect_accuracy_rank_correlation",
        "frequency_accuracy_rank_correlation", "push_sign_agreement",
    }  # fmt: skip
    confound.measured.cache_clear()


@pytest.mark.slow
def test_margin_tells_harm_and_p_correct_misleads():
    confound.measured.cache_clear()
    rows = confound.run(SEEDS)
    at = {"step": 80, "statistic": "spearman"}
    for arm in confound.ARMS:
        margin, p = (
            column(rows, arm=arm, scope="all sets", predictor=x, **at)[0] for x in ("margin", "p_correct")
        )
        assert margin > 0.6
        assert margin > p + 0.3
        assert column(rows, arm=arm, scope="within regime", predictor="p_correct", **at)[0] < 0


# Dense embeddings


def test_dense_tables(monkeypatch):
    tiny = dense.Variant(Setting(subjects=60, relations=2, pool=5), Recipe(1e-2, 60, 64))
    monkeypatch.setattr(dense, "VARIANTS", {"dense": tiny, "almost all stored": tiny})
    monkeypatch.setattr(dense, "STEPS", (0, 160, 320))
    dense.start.cache_clear(), dense.outcome.cache_clear()
    rows = dense.run(SEEDS[:2])
    well_formed(dense.DENSE, rows)
    found = dense.outcome("dense", SEEDS[:2])
    own = 100 * found.curves["lesser"]["all", "accuracy"][-1].mean()
    assert (
        column(rows, variant="dense", trained_on="lesser", stratum="all", metric="accuracy", step=320) == own
    )
    assert column(rows, variant="dense", trained_on="none", stratum="all")[0] > 25
    dense.start.cache_clear(), dense.outcome.cache_clear()


@pytest.mark.slow
def test_dense_embeddings_have_the_gap_but_not_the_mechanism():
    rows = dense.run(SEEDS)
    at = {"variant": "dense", "step": 320}
    assert column(rows, trained_on="best-lesser", stratum="known", metric="accuracy", **at)[0] > 0
    assert column(rows, trained_on="best-whole", stratum="all", metric="accuracy", **at)[0] < 0
    assert column(rows, trained_on="best-lesser", stratum="all", metric="attention_subject", **at)[0] < 0


# Prediction


def test_the_batched_head_is_the_slow_one(monkeypatch):
    one = prediction.draw(5, 3)
    one["steps"] = 7
    config = next(c for c in prediction.groups((5,)) if 3 in c.number)
    i = int(np.flatnonzero(config.number == 3)[0])
    config = dataclasses.replace(config, steps=np.where(config.number == 3, 7, 3))
    fast = prediction.descend(config)[i]
    w_kq = np.zeros((48, 48))
    phi_r = one["relation"]
    for step in range(7):
        gradient = np.zeros_like(w_kq)
        for j in one["order"][step]:
            reach = one["subject"][j] - phi_r
            u = reach @ w_kq @ phi_r
            alpha = 1 / (1 + np.exp(-u))
            push = attention.push(u, one["v_s"][j], one["v_r"], one["y"][j])
            gradient += alpha * (1 - alpha) * push * np.outer(reach, phi_r) / 32
        w_kq += one["rate"] * gradient
    slow = (one["subject"][300:] - phi_r) @ w_kq @ phi_r
    np.testing.assert_allclose(fast, slow, atol=1e-10)
    right = [
        np.argmax(attention.mix(u, one["v_s"][300 + j], one["v_r"])) == one["y"][300 + j]
        for j, u in enumerate(slow)
    ]
    whole = prediction.share_right(np.broadcast_to(slow, (len(config.seed), 1000)), config)
    assert whole[i] == np.mean(right)
    kernel = (one["subject"][:300] - phi_r) @ (one["subject"][300:] - phi_r).T
    assert config.kappa[i] == pytest.approx(kernel.mean() - 1)


def test_prediction_meets_simulation(monkeypatch):
    monkeypatch.setattr(prediction, "resampled", partial(base.resampled, draws=10))
    rows = prediction.run(SEEDS[:2])
    well_formed(prediction.PREDICTION, rows)
    at = {"statistic": "R^2"}
    assert column(rows, prediction="final u, rate 0.5", **at)[0] > 0.9
    assert column(rows, prediction="accuracy, closed form", **at)[0] > 0.6
    assert column(rows, prediction="accuracy, one big step", **at)[0] < 0.7
    points = prediction.points(SEEDS[:2])
    well_formed(prediction.PREDICTION_POINTS, points)
    assert len(points) == 2 * 22
    assert {row["noise"] for row in points} == {0.0, 0.1, 0.2, 0.3, 0.4}
    assert all(row["noise"] == 0.4 for row in points if row["number"] >= 15)


# Pretraining


@pytest.mark.parametrize("attention_trained", [False, True])
def test_full_batch_pretraining_is_that_of_the_simulator(attention_trained):
    answers = salience_law.draw_answers((0,), 2)
    assert answers.shape == (2, 300)
    weight = salience_law.frequencies() / 2
    fast = salience_law.descend(answers, weight, (5, 30), attention_trained)
    tokens = np.broadcast_to(np.stack([1 + np.arange(300), np.zeros(300, int)], -1), (2, 300, 2))
    model = Tables(np.zeros((2, 301, 1)), np.zeros((2, 301, 10)))
    recipe = Recipe(salience_law.RATE, 30, 0, "sgd", "all" if attention_trained else "values")
    prompts = Prompts(tokens, answers)
    weights = np.broadcast_to(weight, answers.shape)

    def attended(now):
        return now.forward(prompts)[0][..., 0].mean(axis=1)

    tuned, seen = train(model, prompts, None, recipe, weight=weights, at=[29], observe=attended)
    salience = np.take_along_axis(tuned.values[:, 1:], answers[..., None], -1)[..., 0]
    np.testing.assert_allclose(fast.salience[1], salience, atol=1e-10)
    np.testing.assert_allclose(fast.attention[1], seen[0], atol=1e-10)
    if not attention_trained:  # P2
        np.testing.assert_allclose(tuned.values[:, 0], tuned.values[:, 1:].sum(axis=1), atol=1e-10)


def test_laws_are_recognised():
    f = salience_law.frequencies()
    lambert = predict.salience_margin(f * 4000, 0.5, 10)
    for name, salience in (("R^2 linear", 3 * f + 1), ("R^2 log", 2 * np.log(f)), ("R^2 Lambert", lambert)):
        found = salience_law.laws(salience[None], f, 4000)
        assert found[name][0] == pytest.approx(1)
        assert found["rank correlation"][0] == pytest.approx(1)
    assert salience_law.laws(-f[None], f, 10)["rank correlation"][0] == pytest.approx(-1)
    rng = np.random.default_rng(0)
    noise = salience_law.laws(rng.normal(size=(50, 300)), f, 10)
    assert abs(noise["rank correlation"].mean()) < 0.03
    assert noise["R^2 log"].mean() < 0.02


def test_the_law_blurs_with_time(monkeypatch):
    monkeypatch.setattr(
        salience_law, "SETTINGS", ((3, False, (100, 1000)), (1, False, (100, 3000)), (3, True, (400,)))
    )
    pilot = tuple(p for p in salience_law.LAW.pilot if p.where["steps"] in (100, 1000))
    rows = salience_law.run(SEEDS[:2])
    well_formed(dataclasses.replace(salience_law.LAW, pilot=pilot), rows)
    at = {"relations": 1, "over": "facts", "statistic": "rank correlation"}
    assert column(rows, **at, steps=100)[0] > 0.9 > 0.8 > column(rows, **at, steps=3000)[0]
    at = {"relations": 3, "over": "subjects", "steps": 100}
    lambert, straight = (column(rows, **at, statistic=f"R^2 {law}")[0] for law in ("Lambert", "linear"))
    assert lambert > 0.95 > straight
    trained = column(rows, attention="trained", statistic="attention on the subject")[0]
    assert 60 < trained < 95
    curve = salience_law.curve(SEEDS[:2])
    well_formed(salience_law.LAW_CURVE, curve)
    first = column(curve, relations=3, steps=100, attention="fixed", rank=1)
    last = column(curve, relations=3, steps=100, attention="fixed", rank=300)
    assert first[0] > last[0] > 0


# Ideal facts and what is drawn from them


def test_ideal_facts():
    facts = draw((0, 1), 4000, 1.0, 3.0)
    np.testing.assert_allclose(np.bincount(facts.y.ravel(), minlength=10) / facts.y.size, PRIOR, atol=0.02)
    assert facts.v_s.max() == pytest.approx(3, abs=0.01)
    assert np.array_equal(draw((1,), 4000, 1.0, 3.0).y[0], facts.y[1])
    even = spread(1.0, 3.0)
    np.testing.assert_allclose(
        predict.predicted_accuracy(0.3, even),
        predict.predicted_accuracy(np.full(2, 0.3), facts).mean(),
        atol=0.02,
    )
    assert exact(np.array([0.0, 2.0])).batch == (2,)


def test_the_straight_line_is_found():
    q = np.linspace(0, 1, 6)
    accuracy = np.stack([0.3 * (1 - q) - 0.1 * q, 0.2 * (1 - q) + 0.05 * q], axis=1)
    known, unknown, r2 = slick_line.straight(q, accuracy)
    np.testing.assert_allclose(known, [0.3, 0.2])
    np.testing.assert_allclose(unknown, [-0.1, 0.05])
    np.testing.assert_allclose(r2, 1.0)
    assert slick_line.straight(q, ((q - 0.5) ** 2)[:, None])[2][0] < 0.1


def test_linear_early_and_a_transition_late(monkeypatch):
    monkeypatch.setattr(slick_line, "TRAINED_SHARES", np.array([0.0, 0.4, 1.0]))
    monkeypatch.setattr(slick_line, "STEPS", (0, 20, 40, 80))
    slick_line.trained.cache_clear()
    rows, fits = slick_line.run(SEEDS), slick_line.fits(SEEDS)
    well_formed(slick_line.LINE, rows)
    well_formed(slick_line.LINE_FIT, fits)
    r2 = {t: column(fits, model="flow", T=t, statistic="R^2")[0] for t in slick_line.TIMES}
    assert r2[2] > 0.9 > r2[10] > r2[100]
    found, told = (
        column(fits, model="flow", T=2, statistic=name)[0] for name in ("ratio", "ratio, predicted")
    )
    assert found == pytest.approx(told, rel=0.2)
    at = {"model": "adam", "stratum": "known", "T": 80}
    plateau = column(rows, **at, known_pool="frequent")
    assert plateau[1] > plateau[2] + 10
    assert (
        column(rows, **at, known_pool="any", q=0.0)[0] < plateau[0] - 5
    )  # skewed answers of the known harm too
    slick_line.trained.cache_clear()


def test_mixed_sets_have_their_share():
    facts, _, known = window.start(window.VARIANTS["adam"], SEEDS[:2])
    pools = slick_line.known_pools(facts, known)
    parts = slick_line.mixed(facts, ~known, pools["frequent"], 0.3)
    for s, part in enumerate(parts):
        assert len(set(part)) == 200
        assert (~known[s, part]).sum() == 60
        assert not facts.held_out_fact[part].any()
        assert facts.popular_fact[part[60:]].all()
    more = slick_line.mixed(facts, ~known, pools["any"], 0.5)
    assert set(parts[0][:60]) < set(more[0][:100])


def test_the_phase_diagram_and_its_critical_line():
    rows, checks = phase.run(()), phase.checks(())
    well_formed(phase.PHASE, rows)
    well_formed(phase.CRITICAL, checks)
    assert column(checks, statistic="cells whose sign q_c predicts (%)")[0] == 100
    critical = column(checks, statistic="q_c")
    assert critical.argmax() not in (0, len(critical) - 1)
    one = rows[200]
    facts = predict.mixture(exact(np.array([one["salience"]])), exact(np.zeros(1)), one["q"])
    u = predict.predict_final_u(facts, 0.0, one["steps"], phase.RATE)
    held_out = spread(0.5, 6.0)
    change = predict.predicted_accuracy(u[0], held_out) - predict.predicted_accuracy(0.0, held_out)
    assert one["change"] == pytest.approx(100 * change, abs=1e-6)


def test_the_hump():
    rows = optimum.run(())
    well_formed(optimum.OPTIMUM, rows)
    for alpha in optimum.ALPHAS:
        for rank in optimum.RANKS:
            mine = [r for r in rows if r["curve"] == "push" and (r["alpha"], r["rank"]) == (alpha, rank)]
            sigma, push = np.array([r["salience"] for r in mine]), np.array([r["value"] for r in mine])
            assert np.all((push > 0) == (sigma > mine[0]["threshold"]))
            assert sigma[push.argmax()] == pytest.approx(mine[0]["optimum"], abs=0.051)
    best = [column(rows, "optimum", curve="gain", steps=steps)[0] for steps in optimum.STEPS]
    assert 0 < best[0] < 14
    assert len(set(best)) > 1


def test_turnaround_is_that_of_the_simulator():
    """7,381 facts hold every answer in exact proportion: H_10 = 7381 / 2520."""
    counts = np.rint(7381 * PRIOR).astype(int)
    np.testing.assert_allclose(counts / 7381, PRIOR, atol=1e-12)
    y = np.repeat(np.arange(POOL), counts)[None]
    n = y.shape[1]
    model = Tables(np.zeros((1, n + 1, 1)), np.zeros((1, n + 1, POOL)))
    model.values[:, 0] = V_R
    tokens = np.stack([1 + np.arange(n), np.zeros(n, int)], -1)[None]
    recipe = Recipe(1.0, 80, 0, "sgd")
    _, path = train(
        model, Prompts(tokens, y), None, recipe, at=range(81), observe=lambda m: m.scores[0, 0, 0]
    )
    assert np.argmax(path) == stopping.turnaround(np.array([7381.0]), relation_trained=True)[0]


def test_turnaround_grows_with_size_slower_if_the_relation_learns(monkeypatch):
    monkeypatch.setattr(stopping, "MOST", 1200)
    monkeypatch.setattr(stopping, "CONFIDENCES", (0.5, 1.0))
    rows = stopping.turns(())
    well_formed(stopping.TURNAROUND, rows)
    at = {"statistic": "exponent of n", "confidence": 1.0}
    frozen, trained = (column(rows, relation_values=name, **at)[0] for name in ("frozen", "trained"))
    assert 0.6 < frozen < 1
    assert 0.2 < trained < 0.5
    assert np.isnan(column(rows, relation_values="frozen", confidence=0.5, facts=3200)[0])


def test_known_facts_are_fitted_first():
    rows = stopping.run(SEEDS)
    well_formed(stopping.STOPPING, rows)
    at = {"metric": "accuracy"}
    known, unknown = (
        column(rows, stratum=f"fitted {name}", **at, step=20)[0] for name in ("known", "unknown")
    )
    assert known > 95
    assert unknown < 20
    held_out = [column(rows, stratum="held-out known", **at, step=step)[0] for step in (20, 80, 160)]
    assert held_out[0] > held_out[1] + 4 > held_out[2] + 4


def test_dropping_the_harmful_half_keeps_what_is_known(monkeypatch):
    monkeypatch.setattr(pruning, "KEPT", (200, 400))
    rows = pruning.run(SEEDS)
    well_formed(pruning.PRUNING, rows)
    at = {"unknown": 390, "kept": 200}
    harm, salience, any_ = (column(rows, **at, rule=rule)[0] for rule in pruning.RULES)
    assert harm > 95 > salience + 10
    assert salience > any_
    assert all(column(rows, unknown=200, rule=rule, kept=400)[0] > 95 for rule in pruning.RULES)
    config = pruning.world((4,), 390)
    everything = np.arange(400)[None]
    plain = prediction.share_right(prediction.descend(config), config)
    assert pruning.trained_on(config, everything) == plain
    slow = attention.push(0.0, config.v_s[0, 7], V_R, config.y[0, 7])
    assert np.sign(pruning.harm(config)[0, 7]) == -np.sign(slow)  # the held-out facts pull upwards


def test_fillers(small, monkeypatch):
    monkeypatch.setattr(fillers, "LENGTHS", (150, 400))
    monkeypatch.setattr(fillers, "FILLERS", (0, 2))
    monkeypatch.setattr(fillers, "Setting", lambda fillers: dataclasses.replace(small, fillers=fillers))
    rows = fillers.run(SEEDS[:2])
    assert {(row["pretraining"], row["fillers"]) for row in rows} == {(150, 0), (150, 2), (400, 0), (400, 2)}
    at = {"pretraining": 150, "fillers": 2, "stratum": "all"}
    fixed, best = column(rows, **at, choice="fixed"), column(rows, **at, choice="best")
    assert best == [fixed.max()]
    assert column(rows, "step", **at, choice="best")[0] == fillers.STEPS[fixed.argmax()]
    well_formed(fillers.KNOB, rows)


def test_monofacts_and_graphs():
    rows, fits = monofacts.run(SEEDS[:1]), monofacts.fits(SEEDS[:1])
    well_formed(monofacts.MONOFACTS, rows)
    well_formed(monofacts.MONOFACT_FIT, fits)
    assert column(fits, statistic="R2 error")[0] > 0.98
    rows, fits = graph_gap.run(SEEDS), graph_gap.fits(SEEDS)
    well_formed(graph_gap.GRAPH_GAP, rows)
    well_formed(graph_gap.GRAPH_FIT, fits)
    assert column(fits, statistic="R^2, no prompt")[0] > 0.99
    off = column(rows) - column(rows, "expected")
    assert np.abs(off).mean() < 2


# Records


def test_the_flow_as_records():
    records = flow_records.flow_records(SEEDS)
    board = evaluate(Table.from_records(records), ["A1", "A4"])
    assert [verdict.answer for verdict in board.verdicts if verdict.claim.id == "A1"] == ["reproduced"]
    facts = flow_records.worlds(SEEDS)
    one = next(r for r in records if (r.seed, r.step, r.trained_on, r.metric, r.split, r.stratum)
               == (1001, 80, "lesser", "accuracy", "test", "all"))  # fmt: skip
    number = np.arange(400)
    open_ = number < 240
    weight = (number % 2 == 1) & open_
    u = predict.predict_final_u(facts[1:2].reweighted(weight[None]), 0.0, 80, flow_records.RATE)
    right = predict.answered(u, facts[1:2])[0, ~open_ & (number // 2 % 2 == 0)]
    assert one.value == pytest.approx(right.mean())
    assert one.n == len(right) == 80


def test_the_trained_models_as_records(small, monkeypatch):
    monkeypatch.setattr(observations, "STEPS", (10, 20))
    monkeypatch.setattr(observations, "ADAM", dataclasses.replace(tuning.ADAM, steps=20))
    monkeypatch.setattr(observations, "ATTENTION", dataclasses.replace(tuning.ATTENTION, steps=20))
    monkeypatch.setattr(observations, "Setting", lambda level: dataclasses.replace(small, level=level))
    monkeypatch.setattr(window, "PRETRAINING", dataclasses.replace(window.PRETRAINING, steps=40))
    monkeypatch.setattr(window, "SGD", dataclasses.replace(window.SGD, steps=20))
    monkeypatch.setattr(dense, "VARIANTS", {"dense": dense.Variant(small, Recipe(1e-2, 60, 64))})
    monkeypatch.setattr(dense, "TUNING", Recipe(1e-3, 20))
    dense.start.cache_clear()
    found = {}
    for source in observations.SOURCES:
        if source.beside in ("observations", "dense"):
            found[source.lab] = source.records(SEEDS)
    dense.start.cache_clear()
    table = Table.from_records([record for records in found.values() for record in records])
    assert len(table.without_repeats()) == len(table)
    board = evaluate(table, ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "X3"])
    asked = {(v.claim.id, v.lab): v.answer for v in board.verdicts}
    one_hot = {claim: answer for (claim, lab), answer in asked.items() if lab == observations.ONE_HOT}
    assert set(one_hot) == {"A1", "A2", "A3", "A4", "A5", "A6", "A7", "X3"}
    assert "missing" not in one_hot.values()
    assert asked["X3", observations.DENSE] != "missing"
    mine = table.mask(lab=observations.ONE_HOT, metric="salience_frequency_rank_correlation")
    assert np.all(table.column("value")[mine] > 0.5)
    arms = set(table.column("arm")[table.mask(lab=observations.ONE_HOT)])
    assert arms == {"base", "all", "attention", "values", "patch:attention:best", "patch:values:best",
                    "patch:attention:lesser", "patch:values:lesser",
                    *(f"{arm}@{other}" for arm in ("base", "all")
                      for other in ("pretrain:short", "pretrain:long", "zipf:flat", "zipf:steep"))}  # fmt: skip


def test_every_measurement_is_asked_for_here():
    named = [
        window.WINDOW, dense.DENSE, generic.GENERIC, confound.CONFOUND, confound.CONFOUND_POINTS, hump.QUARTILES,
        optimum.OPTIMUM, phase.PHASE, phase.CRITICAL, prediction.PREDICTION, prediction.PREDICTION_POINTS,
        pruning.PRUNING, salience_law.LAW, salience_law.LAW_CURVE, slick_line.LINE, slick_line.LINE_FIT,
        stopping.STOPPING, stopping.TURNAROUND, fillers.KNOB, monofacts.MONOFACTS, monofacts.MONOFACT_FIT,
        graph_gap.GRAPH_GAP, graph_gap.GRAPH_FIT,
    ]  # fmt: skip
    assert {m.id for m in named} == set(catalogue.MEASUREMENTS)

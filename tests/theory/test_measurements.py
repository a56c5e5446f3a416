"""The parts that measurements are made of: facts, exams, intervals beside the pilot's, and what is written."""

from __future__ import annotations

import csv
import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

import theory.measurements
from theory import attention
from theory.errors import TheoryError
from theory.measurements import base, catalogue, confound, examiner, hump, observations, tuning, write
from theory.measurements.base import Measurement, Pilot, compare, r_squared, resampled, summary
from theory.measurements.facts import Setting, make_facts, pretrain, pretraining_batches
from theory.optimisers import Recipe
from theory.records import read_records, write_records
from theory.simulate import Tables, read

SMALL = Setting(subjects=40, relations=3, pool=5)
SHORT = Recipe(3e-2, 40, 64, train="values")


@pytest.fixture(scope="module")
def world():
    facts = make_facts(SMALL, (3, 8))
    model = pretrain(facts, SHORT)
    return facts, model, tuning.known_facts(model, facts)


# Facts


@pytest.mark.parametrize("frequency", ["two-level", "zipf"])
def test_facts_have_the_promised_shares(frequency):
    facts = make_facts(Setting(subjects=400, frequency=frequency, zipf=1.2), range(6))
    assert facts.held_out.sum() == 160
    assert (facts.held_out & facts.popular).sum() == 80
    np.testing.assert_allclose(facts.frequency.sum(axis=1), 1.0)
    relation = np.arange(facts.n) % 4
    assert np.array_equal(facts.answers // 10, np.broadcast_to(relation, facts.answers.shape))
    prior = 1 / np.arange(1, 11)
    share = np.bincount(facts.rank.ravel(), minlength=10) / facts.rank.size
    np.testing.assert_allclose(share, prior / prior.sum(), atol=0.02)
    assert np.all(
        facts.frequency[:, facts.popular].min(axis=1) > facts.frequency[:, ~facts.popular].max(axis=1)
    )
    open_ = facts.frequency[:, ~facts.held_out]
    assert np.all(np.diff(open_, axis=1) <= 0)
    if frequency == "two-level":
        assert facts.frequency[0, facts.popular][0] / facts.frequency[0, ~facts.popular][0] == pytest.approx(
            50
        )
    else:
        ranked = np.sort(facts.frequency, axis=1)[:, ::-1]
        np.testing.assert_allclose(ranked[:, 9] / ranked[:, 0], 10**-1.2)
        assert not np.array_equal(facts.frequency[0], facts.frequency[1])


def test_a_seed_has_the_same_facts_in_any_company():
    alone, together = make_facts(SMALL, (8,)), make_facts(SMALL, (3, 8))
    assert np.array_equal(alone.answers[0], together.answers[1])
    assert not np.array_equal(together.answers[0], together.answers[1])


def test_prompts_end_in_the_format_token_after_the_fillers():
    facts = make_facts(dataclasses.replace(SMALL, fillers=2), (0,))
    assert (facts.askers, facts.tokens, facts.n) == (6, 46, 120)
    fact = 7  # subject 2, relation 1
    assert facts.statements.tokens[0, fact].tolist() == [6 + 2, 3 + 1]
    assert facts.questions.tokens[0, fact].tolist() == [6 + 2, 3 + 1, 1, 2, 0]


def test_pretraining_samples_subjects_by_frequency(world):
    facts, model, known = world
    batches = pretraining_batches(facts, dataclasses.replace(SHORT, steps=400))
    share = facts.popular_fact[batches].mean()
    assert share == pytest.approx(50 / 51, abs=0.003)
    assert known[:, facts.popular_fact].mean() > 0.95 > known[:, ~facts.popular_fact].mean()
    assert not model.scores.any()


# Sets and exams


def test_halves_are_equal_disjoint_and_open(world):
    facts, _, _ = world
    sets = tuning.half_sets(facts)
    for s in range(2):
        best, lesser, whole, mixed = (set(sets[name][s]) for name in ("best", "lesser", "whole", "random"))
        assert best | lesser == whole
        assert len(best) == len(lesser) == len(mixed) == len(whole) // 2
        assert mixed < whole
        assert mixed not in (best, lesser)
        assert not facts.held_out_fact[list(whole)].any()
        assert facts.popular_fact[list(best)].all()
        assert not facts.popular_fact[list(lesser)].any()
    assert set(sets["random"][0]) != set(sets["random"][1])


def test_some_facts_are_at_most_so_many_allowed_ones(world):
    facts, _, known = world
    chosen = tuning.some(facts, known, 10, salt=1)
    assert [len(numbers) for numbers in chosen] == [10, 10]
    assert all(known[s, numbers].all() for s, numbers in enumerate(chosen))
    assert [len(n) for n in tuning.some(facts, np.arange(facts.n) < 3, 10)] == [3, 3]
    unordered = tuning.some(facts, known, 10, salt=1, ordered=False)
    assert [sorted(numbers) for numbers in unordered] == [list(numbers) for numbers in chosen]
    other = tuning.some(facts, known, 10, salt=2)
    assert not np.array_equal(other[0], chosen[0])


def test_an_exam_grades_what_the_model_does(world):
    facts, model, known = world
    scores = np.random.default_rng(0).normal(size=model.scores.shape)
    model = Tables(scores, model.values)
    exam = tuning.held_out_exam(facts, known)
    grades = exam.grade(model)
    tokens = exam.questions.tokens
    for s in range(2):
        right, margins, errors = [], [], []
        for i, y in enumerate(exam.questions.answers[s]):
            subject, relation, q = tokens[s, i]
            alpha = np.exp(scores[s, [subject, relation, q], q])
            alpha /= alpha.sum()
            values = model.values[s, [subject, relation, q]].astype(float)
            z = alpha @ values
            p = np.exp(z) / np.exp(z).sum()
            a = attention.advantages(values, p, y)
            right.append(z.argmax() == y)
            margins.append(a[0] - a[1])
            if not right[-1]:
                errors.append(z.argmax() % 5 == 0 and z.argmax() // 5 == y // 5)
        popular = np.broadcast_to(facts.popular_fact[facts.test], (len(right),))
        assert grades["all", "accuracy"][s] == pytest.approx(np.mean(right))
        assert grades["all", "margin"][s] == pytest.approx(np.mean(margins), rel=1e-5)
        assert grades["all", "error_prior_share"][s] == pytest.approx(np.mean(errors))
        assert grades["popularity=low", "accuracy"][s] == pytest.approx(np.mean(np.array(right)[~popular]))
        known_here = known[s, facts.test]
        assert grades["known", "accuracy"][s] == pytest.approx(np.mean(np.array(right)[known_here]))


def test_an_empty_stratum_has_no_grade(world):
    facts, model, _ = world
    exam = tuning.exam_on(facts, facts.test, {"none": np.zeros(facts.n, dtype=bool)})
    assert np.isnan(exam.grade(model)["none", "accuracy"]).all()


def test_a_model_patched_with_itself_is_itself(world):
    facts, model, known = world
    exam = tuning.held_out_exam(facts, known)
    scores = np.random.default_rng(1).normal(size=model.scores.shape).astype(np.float32)
    other = Tables(scores, model.values)
    plain = read(*other.forward(exam.questions), exam.questions.answers)
    patched = tuning.patched(other, other, exam.questions)
    np.testing.assert_allclose(patched.log_p, plain.log_p, atol=1e-5)
    crossed = tuning.patched(other, model, exam.questions)
    np.testing.assert_allclose(crossed.log_p, plain.log_p, atol=1e-5)  # same values: attention alone decides
    crossed = tuning.patched(model, other, exam.questions)
    np.testing.assert_allclose(crossed.attention, 1 / 3, atol=1e-6)


def test_fine_tuning_starts_at_the_model_and_learns_its_set(world):
    facts, model, known = world
    chosen = tuning.half_sets(facts)["lesser"]
    trained = np.zeros(known.shape, dtype=bool)
    for s, rows in enumerate(chosen):
        trained[s, rows] = True
    exam = tuning.exam_on(facts, np.arange(facts.n), {"set": trained})
    tuned, curves = tuning.fine_tune(model, facts, chosen, Recipe(5e-2, 60, 32), exam, (0, 60))
    before, after = curves["set", "accuracy"]
    np.testing.assert_allclose(before, exam.grade(model)["set", "accuracy"])
    assert np.all(after > np.maximum(before, 0.95))
    np.testing.assert_allclose(after, exam.grade(tuned)["set", "accuracy"])


def test_quartiles_are_matched_in_answers_and_rise_in_frequency():
    facts = make_facts(Setting(subjects=200, frequency="zipf", relations=2, pool=4), (0, 5))
    parts = hump.quartiles(facts)
    for s in range(2):
        counts = [np.bincount(facts.answers[s, parts[k][s]], minlength=8) for k in hump.QUARTERS]
        assert all(np.array_equal(counts[0], other) for other in counts)
        assert counts[0].sum() > 10
        f = facts.of_facts(facts.frequency)[s]
        spans = [(f[parts[k][s]].min(), f[parts[k][s]].max()) for k in hump.QUARTERS]
        assert all(low[1] <= high[0] for low, high in pairwise(spans))
        assert not facts.held_out_fact[np.concatenate([parts[k][s] for k in hump.QUARTERS])].any()


def test_quartiles_by_what_is_known_are_matched_and_rise(world):
    facts, model, _ = world
    score = confound.before_tuning(facts, model)["beyond_prior"]
    sets = observations.quartile_sets(model, facts)
    for s in range(2):
        parts = [sets[f"quartile:{k}"][s] for k in (1, 2, 3, 4)]
        counts = [np.bincount(facts.answers[s, part], minlength=15) for part in parts]
        assert all(np.array_equal(counts[0], other) for other in counts)
        for answer in np.flatnonzero(counts[0]):
            spans = [score[s, part[facts.answers[s, part] == answer]] for part in parts]
            assert all(a.max() <= b.min() for a, b in pairwise(spans))


def test_what_is_known_before_tuning(world):
    facts, model, _ = world
    found = confound.before_tuning(facts, model)
    s, i = 1, 17
    subject, relation, q = facts.questions.tokens[s, i]
    v = model.values[s].astype(float)
    y = facts.answers[s, i]
    full, without = (v[subject] + v[relation] + v[q]) / 3, (v[relation] + v[q]) / 2
    log_p = full[y] - np.log(np.exp(full).sum())
    assert found["p_correct"][s, i] == pytest.approx(np.exp(log_p), rel=1e-5)
    assert found["beyond_prior"][s, i] == pytest.approx(
        log_p - without[y] + np.log(np.exp(without).sum()), rel=1e-4
    )
    assert found["log_frequency"][s, i] == pytest.approx(np.log(facts.frequency[s, i // 3]))


def test_rank_correlations():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 5, 4))
    assert confound.spearman(x, np.exp(x)) == pytest.approx(1)
    assert confound.spearman(x, -x) == pytest.approx(-1)
    x[0, 0, 0] = np.nan
    assert confound.spearman(x, 2 * x) == pytest.approx(1)
    assert np.isnan(confound.spearman(np.array([1.0, 2.0]), np.array([1.0, 2.0])))
    shifted = np.stack([x[0], x[1] + 100])
    opposite = np.stack([x[0], x[1] - 100])
    assert confound.within(shifted, opposite) == pytest.approx(1)
    assert confound.spearman(shifted, opposite) < 0.5
    assert confound.push_agreement(
        np.array([1.0, -1, 2, np.nan]), np.array([3.0, -2, -1, 1])
    ) == pytest.approx(200 / 3)


# Examiner and records


def test_the_examiner_counts_what_was_lost_and_found_again(world):
    facts, model, _ = world
    exam = examiner.make_examiner(model, facts)
    harmed = model.scores.copy()
    harmed[:, facts.askers :, 0] = -6.0  # attention leaves the subject in questions, not in statements
    answers = exam.examine(Tables(harmed, model.values))
    assert set(answers["test", "all", "subject_swap_change"][0]) == {0.0}
    lost, n = answers["test", "all", "lost_recovered"]
    assert np.all(lost == 1.0)
    assert np.all(n > 5)
    generic, _ = answers["test", "all", "error_prior_share"]
    assert np.all(generic > 0.6)  # V_r of so few facts need not have its maximum at the prior's
    before = exam.examine(model)
    assert np.all(before["test", "all", "lost_recovered"][1] == 0)
    assert np.all(before["test", "all", "subject_swap_change"][0] > 0.2)
    tested = int(exam.test.sum())
    assert np.all(before["test", "all", "accuracy"][1] == tested)
    assert np.all(before["dev", "all", "accuracy"][1] == len(exam.test) - tested)
    popular, rare = (before["test", f"popularity={half}", "accuracy"] for half in ("high", "low"))
    pooled = (popular[0] * popular[1] + rare[0] * rare[1]) / tested
    np.testing.assert_allclose(before["test", "all", "accuracy"][0], pooled)
    wrong_before = before["test", "all", "accuracy"][1] * (1 - before["test", "all", "accuracy"][0])
    np.testing.assert_allclose(before["test", "all", "unstored_recovered"][1], wrong_before)


def test_records_leave_out_what_no_item_stands_behind(world):
    facts, model, _ = world
    place = examiner.Place("theory/R1-test", "run", facts.seeds)
    records = list(place.records(examiner.make_examiner(model, facts).examine(model), "base", "none", 0))
    assert {record.seed for record in records} == {3, 8}
    assert "lost_recovered" not in {record.metric for record in records}
    assert all(record.n >= 1 and 0 <= record.value <= 1 for record in records)


# Intervals beside the pilot's


@pytest.mark.parametrize(
    ("pilot", "verdict"),
    [
        (Pilot({}, 11.0, 1.5), "agrees"),  # difference 1, half width sqrt(1.5^2 + 0.5^2)
        (Pilot({}, 11.0, 0.5), "differs"),
        (Pilot({}, 10.4), "agrees"),
        (Pilot({}, 10.6), "differs"),
        (Pilot({}, 10.6, rounding=0.5), "agrees"),
        (Pilot({}, 9.4), "agrees"),  # the interval is wider on this side
        (Pilot({}, 8.8), "differs"),
    ],
)
def test_the_rule_of_agreement(pilot, verdict):
    row = {"mean": 10.0, "low": 9.0, "high": 10.5, "n": 5}
    found = compare("m", pilot, row)
    assert found["verdict"] == verdict
    assert found["sign"] == "same"
    assert found["difference"] == pytest.approx(10.0 - pilot.value)
    assert tuple(found) == base.COMPARISON


def test_without_an_interval_nothing_is_told():
    row = {"mean": -1.0, "low": -np.inf, "high": np.inf, "n": 1}
    found = compare("m", Pilot({"a": 1}, 2.0), row)
    assert (found["verdict"], found["sign"], found["row"]) == ("cannot tell", "opposite", "a=1")


def test_summaries_and_resampling():
    row = summary({"k": "v"}, [1.0, 2.0, 3.0, np.nan])
    assert (row["k"], row["mean"], row["n"]) == ("v", 2.0, 3)
    assert row["low"] == pytest.approx(2 - 4.302653 / np.sqrt(3), rel=1e-5)
    assert np.isnan(summary({}, [np.nan])["mean"])
    assert summary({}, [np.nan])["n"] == 0
    x = np.random.default_rng(0).normal(size=200)
    found = resampled({}, 200, lambda i: float(x[i].mean()))
    assert found["mean"] == x.mean()
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * x.std() / np.sqrt(200), rel=0.15)
    assert resampled({}, 1, lambda i: 5.0)["high"] == np.inf
    assert r_squared([1, 2, 3], [1, 2, 3]) == 1.0
    assert r_squared([2, 2, 2], [1, 2, 3]) == 0.0
    assert r_squared([3, 2, 1], [1, 2, 3]) == -3.0


def test_a_pilot_number_belongs_to_exactly_one_row():
    rows = [{"a": 1, "mean": 1.0, "low": 0.0, "high": 2.0, "n": 3}]
    good = Measurement("m", "t", ("a", *base.INTERVAL), lambda seeds: rows, (Pilot({"a": 1}, 1.5),))
    assert [row["verdict"] for row in good.compare(rows)] == ["agrees"]
    with pytest.raises(TheoryError, match=r"m: found 0 rows with \{'a': 2\}"):
        dataclasses.replace(good, pilot=(Pilot({"a": 2}, 1.0),)).compare(rows)
    with pytest.raises(TheoryError, match="found 2 rows"):
        good.compare(rows * 2)


# The catalogue and what is written


def test_the_catalogue():
    found = theory.measurements.MEASUREMENTS
    assert found is catalogue.MEASUREMENTS
    assert all(name == m.id and name.isidentifier() for name, m in found.items())
    assert all(len(set(m.columns)) == len(m.columns) for m in found.values())
    pictures = {name for name, m in found.items() if m.worth_drawing}
    assert {"window", "prediction_points", "confound_points", "quartiles", "hump", "slick_line", "phase_diagram",
            "early_stopping", "harm_pruning", "fillers", "monofact_curve"} <= pictures  # fmt: skip
    with pytest.raises(AttributeError, match="it offers MEASUREMENTS"):
        _ = theory.measurements.nothing


def test_the_plan_groups_what_shares_work_and_starts_with_the_longest():
    jobs = write.plan((1, 2), None)
    assert sorted(name for job in jobs for name in job.measurements) == sorted(catalogue.MEASUREMENTS)
    assert sorted(i for job in jobs for i in job.sources) == list(range(len(observations.SOURCES)))
    assert [job.cost for job in jobs] == sorted((job.cost for job in jobs), reverse=True)
    [both] = write.plan((1,), ["confound_points", "confound", "confound"])
    assert both.measurements == ("confound_points", "confound")
    assert both.sources == ()
    assert {job.name for job in write.plan((1,), ["records"])} == {
        source.beside for source in observations.SOURCES
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": [1], "only": ["hmp"]}, "no measurement is called 'hmp'; there are prediction, "),
        ({"seeds": []}, r"found seeds \[\], expected one or more different integers"),
        ({"seeds": [3, 3]}, r"found seeds \[3, 3\]"),
        ({"seeds": [-1]}, r"found seeds \[-1\]"),
        ({"seeds": [1], "workers": 0}, "found workers 0"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(tmp_path, arguments, words):
    with pytest.raises(TheoryError, match=words):
        write.write_data(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_files_do_not_depend_on_the_number_of_workers(tmp_path, capsys):
    only = ["hump", "critical_fraction", "graph_gap", "graph_gap_fit", "phase_diagram"]
    for workers in (1, 2):
        paths = write.write_data(tmp_path / str(workers), range(2), only, workers)
        assert {path.name for path in paths} == {
            *(f"{name}.csv" for name in only),
            "comparison.csv",
            "manifest.json",
        }
        assert "measuring" in capsys.readouterr().err
    for path in paths:
        if path.suffix == ".csv":
            assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()
    assert not list(tmp_path.glob("*/.*"))
    manifest = json.loads((tmp_path / "2" / "manifest.json").read_text())
    assert manifest["seeds"] == [0, 1]
    assert set(manifest["tables"]) == set(only)
    assert set(manifest["seconds"]) == {"optimum", "phase", "graph_gap"}
    assert {"numpy", "scipy", "nameblind"} <= set(manifest["packages"])
    with open(tmp_path / "1" / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["measurement"] for row in rows} == {"critical_fraction", "graph_gap_fit"}
    assert tuple(rows[0]) == base.COMPARISON
    with open(tmp_path / "1" / "graph_gap.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert tuple(first) == catalogue.MEASUREMENTS["graph_gap"].columns
    assert first["n"] == "2"


def test_tables_with_wrong_columns_are_not_written(tmp_path):
    with pytest.raises(TheoryError, match=r"t.csv: found a row with \['a'\]"):
        write._write_table(tmp_path / "t.csv", ("a", "b"), [{"a": 1}])
    assert not list(tmp_path.iterdir())
    write._write_table(
        tmp_path / "t.csv", ("b", "a"), [{"a": 1 / 3, "b": "x, y"}, {"a": 7, "b": float("nan")}]
    )
    assert (tmp_path / "t.csv").read_text() == 'b,a\n"x, y",0.333333\nnan,7\n'


def test_records_are_written_whole(tmp_path):
    place = examiner.Place("theory/R0", "flow", (1, 2))
    answers = {("test", "all", "accuracy"): (np.array([0.25, 0.5]), np.array([4, 4]))}
    path = tmp_path / "records.jsonl"
    path.write_text("what was there before")
    write_records(path, place.records(answers, "base", "none", 0))
    table = read_records(path)
    assert table.column("value").tolist() == [0.25, 0.5]
    with pytest.raises(TheoryError):
        write_records(path, place.records(answers, "no such\narm", "none", 0))
    assert len(read_records(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["records.jsonl"]


def test_records_come_with_the_tables_of_their_process(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "SOURCES", write.SOURCES[:1])  # the flow's
    assert write.run_job(write.Job("flow_records", (), (0,), (5,))).records[0][0].lab == "theory/R0"
    paths = write.write_data(tmp_path, [5, 6], ["records"], 1)
    assert [path.name for path in paths] == ["comparison.csv", "records.jsonl", "manifest.json"]
    table = read_records(tmp_path / "records.jsonl")
    assert set(table.column("seed")) == {5, 6}
    assert set(table.column("lab")) == {"theory/R0"}


def test_a_job_that_fails_is_named_after_those_that_are_done():
    jobs = [write.Job("good", ("hump",), (), (0,)), write.Job("bad", ("graph_gap",), (), ("seed",))]
    done = []
    with pytest.raises((TypeError, ValueError)) as caught:
        done.extend(job.name for job, _ in write._finished(jobs, 1))
    assert caught.value.__notes__ == ["while measuring bad"]

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tinylab import SEEDS, check_names, every_other, tiny

from synthetic.base import base
from synthetic.finetune import finetune, steps_of, tuning
from synthetic.mechanism import rank_correlation
from synthetic.score import exam, say, sit
from synthetic.setup import variant
from synthetic.split import split, stated
from synthetic.stops import tune
from synthetic.studies import salience
from theory.claims.scoreboard import evaluate
from theory.table import Table

TINY = tiny(world={"mean_exposure": 8.0})
BRIEF = replace(TINY, brief=True)
CLAIMS = ("A1", "A2", "A3", "A4", "A5", "A6", "A7", "X1", "X2", "X3", "U3")
DEALT = (salience, every_other)


@pytest.fixture(scope="module")
def records(cache):
    return {seed: list(salience.run(TINY, seed, cache, lambda *_: None)) for seed in SEEDS}


@pytest.fixture(scope="module")
def brief():
    """Without a cache."""
    return list(salience.run(BRIEF, 0, None, lambda *_: None))


@pytest.fixture(scope="module")
def unit(cache):
    return salience._Unit(TINY, 0, cache, lambda *_: None)


@pytest.fixture(scope="module")
def tuned(unit):
    """The two halves, tuned as the study tunes them."""
    return {
        name: tune(unit.base, unit.rows[name], "all", unit.desk.new.dev, unit.stamp, share=salience.SHARE)
        for name in salience.CONTRAST
    }


def pick(records, **where):
    where = {"metric": "accuracy", "split": "test", "stratum": "all", "prompt": "zero", **where}
    return [r for r in records if all(getattr(r, name) == wanted for name, wanted in where.items())]


def value(records, **where):
    (found,) = pick(records, **where)
    return found.value


def cells(world, facts, by):
    values, count = np.unique(getattr(world, by)[facts], return_counts=True)
    return dict(zip(values.tolist(), count.tolist(), strict=True))


def test_every_deciding_part_of_every_claim_finds_its_rows(records):
    board = evaluate(Table.from_records([r for some in records.values() for r in some]), CLAIMS)
    assert [v.claim.id for v in board.verdicts] == list(CLAIMS)
    for verdict in board.verdicts:
        assert (verdict.lab, verdict.arm) == ("synthetic/R2-2layer", "all")
        for part in verdict.parts:
            if part.part.role == "reported" and "steeper" in part.part.name:
                continue  # other laws of exposure are no arm of this study
            assert not part.missing, (verdict.claim.id, part.part.name, part.missing)
            if part.part.unit != "correlation":  # these can be without a value where nothing varies
                assert part.seeds == len(SEEDS), (verdict.claim.id, part.part.name)


def test_no_observation_stands_there_twice_and_all_names_are_in_the_vocabulary(records):
    check_names(records)


def test_what_is_trained_is_what_is_announced(records, brief):
    for setup, some in ((TINY, records[0]), (BRIEF, brief)):
        trained = {
            r.trained_on if r.arm == "all" else f"{r.arm}:{r.trained_on}"
            for r in some
            if r.split == "dev" and not r.arm.startswith("base")
        }
        assert trained == set(salience.arms(setup))


def test_without_other_pretrainings_all_else_is_trained():
    alone = salience.arms(replace(TINY, pretrainings=False))
    assert alone == tuple(arm for arm in salience.arms(TINY) if "@" not in arm)
    assert salience.pretrainings(TINY) == salience.PRETRAININGS


def test_a_brief_unit_without_a_cache_says_the_same_of_the_arms_that_it_has(records, brief):
    same = {r for r in brief if r.trained_on != "across"}
    assert len(same) > 200
    assert same <= set(records[0])
    assert not any("@" in r.arm or r.trained_on in salience.QUARTERS for r in brief)


def test_a_seed_gives_the_same_records_with_a_warm_cache_whatever_was_done_before(records, brief, cache):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    said = []
    again = list(salience.run(BRIEF, 0, cache, lambda what, share=None: said.append((what, share))))
    assert again == brief
    shares = [share for what, share in said if what.startswith("tuning")]
    assert shares == [i / len(salience.arms(BRIEF)) for i in range(len(salience.arms(BRIEF)))]
    assert [what for what, _ in said[:2]] == ["base", "probing"]


def test_seeds_differ_in_world_and_rows(records):
    assert {r.seed for r in records[2]} == {2}
    first, second = ({r.value for r in pick(records[seed], metric="attention_subject")} for seed in (0, 1))
    assert not first & second


def test_halves_are_equal_in_size_and_in_every_relation_and_the_best_are_seen_more(unit):
    world = unit.base.world
    best, lesser, rand, whole = (unit.rows[name] for name in ("best", "lesser", "random", "whole"))
    count = cells(world, best.facts, "relation")
    assert cells(world, lesser.facts, "relation") == cells(world, rand.facts, "relation") == count
    assert cells(world, whole.facts, "relation") == {r: 2 * n for r, n in count.items()}
    assert set(best.facts) | set(lesser.facts) == set(whole.facts)
    assert not set(best.facts) & set(lesser.facts)
    assert set(rand.facts) <= set(whole.facts)
    for relation in count:
        more, less = (
            world.exposure[rows.facts[world.relation[rows.facts] == relation]] for rows in (best, lesser)
        )
        assert more.min() >= less.max()
    for rows in unit.rows.values():
        assert (rows.answers == world.answer[rows.facts]).all()
        assert world.stated[rows.facts].all()
        assert len(set(rows.facts)) == len(rows)


def test_quartiles_are_matched_answer_by_answer_and_rise_in_salience(unit):
    world, salient = unit.base.world, unit.known.salience
    sets = [unit.rows[name] for name in salience.QUARTILES]
    count = [cells(world, rows.facts, "answer") for rows in sets]
    assert all(one == count[0] for one in count)
    for answer in count[0]:
        here = [salient[rows.facts[rows.answers == answer]] for rows in sets]
        assert all(low.max() <= high.min() for low, high in pairwise(here))


def test_no_subject_of_rows_is_asked_about(unit):
    subject = unit.base.world.subject
    rows = set(subject[np.concatenate([some.facts for some in unit.rows.values()])])
    asked = {
        name: set(subject[part.facts])
        for name, part in (("test", unit.desk.new.test), ("dev", unit.desk.new.dev))
    }
    assert not rows & (asked["test"] | asked["dev"])
    assert not asked["test"] & asked["dev"]


def test_the_early_stop_of_the_records_is_the_first_best_step_on_dev(records):
    for arm in ("all", "attention", "values"):
        for on in salience.CONTRAST:
            mine = [r for r in records[0] if (r.arm, r.trained_on) == (arm, on)]
            curve = {r.step: r.value for r in pick(mine, split="dev")}
            early = min(step for step in curve if curve[step] == max(curve.values()))
            assert {r.step for r in pick(mine)} == {early, max(curve)}
            if arm == "all":  # where it looks and what it errs is told at both stops
                for prompt in ("zero", "own"):
                    there = pick(mine, metric="attention_subject", prompt=prompt)
                    assert {r.step for r in there} == {early, max(curve)}


@pytest.mark.parametrize("name", salience.CONTRAST)
def test_weights_at_the_stops_are_right_as_often_as_was_recorded(records, unit, tuned, name):
    for stop in tuned[name].stops:
        found = value(records[0], arm="all", trained_on=name, step=stop.step)
        assert found == pytest.approx(sit(unit.desk.new.test, unit.base, stop.weights).mean())
        own = value(records[0], arm="all", trained_on=name, step=stop.step, prompt="own")
        assert own == pytest.approx(sit(unit.desk.own.test, unit.base, stop.weights).mean())


@pytest.mark.parametrize("arm", ["attention", "values"])
def test_parts_are_tuned_alone_for_as_long_as_all(records, unit, arm):
    rows = unit.rows["lesser"]
    how = replace(tuning(TINY, arm, 0), epochs=3)
    trained = finetune(unit.base, rows, arm, how=how).weights
    last = steps_of(unit.base, rows, how)
    found = value(records[0], arm=arm, trained_on="lesser", step=last)
    assert found == pytest.approx(sit(unit.desk.new.test, unit.base, trained).mean())
    kept = ("v_proj", "o_proj", "mlp") if arm == "attention" else ("q_proj", "k_proj")
    for name, tensor in trained.items():
        if any(part in name for part in (*kept, "embed", "norm")):
            assert torch.equal(tensor, unit.base.weights[name])


def test_halves_are_tuned_for_half_the_epochs_and_quarters_for_all_of_them(records, unit):
    for name, epochs in (("lesser", 3), ("quartile:2", 6)):
        rows = unit.rows[name]
        last = max(r.step for r in records[0] if (r.arm, r.trained_on) == ("all", name))
        assert last == epochs * -(-len(rows) // 8)


def test_patching_a_network_into_itself_changes_nothing(unit, tuned):
    one = tuned["lesser"]
    right = sit(unit.desk.new.test, unit.base, one.end.weights).mean()
    found = {r.arm: r.value for r in pick(unit._patched(one, one))}
    assert found["patch:attention:lesser"] == found["patch:values:lesser"] == pytest.approx(right)


@pytest.mark.parametrize(("into", "donor"), [("lesser", "best"), ("best", "lesser")])
def test_parts_come_from_the_other_arm_and_go_into_the_one_that_is_named(records, unit, tuned, into, donor):
    own, other = tuned[into].end.weights, tuned[donor].end.weights
    last = tuned[into].end.step
    parts = ("v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    mixed = {
        name: other[name] if any(part in name for part in parts) else tensor for name, tensor in own.items()
    }
    expected = sit(unit.desk.new.test, unit.base, mixed).mean()
    assert value(records[0], arm=f"patch:values:{donor}", trained_on=into, step=last) == pytest.approx(
        expected
    )
    (attention,) = pick(records[0], arm=f"patch:attention:{donor}", trained_on=into)
    assert (attention.step, attention.n) == (last, len(unit.desk.new.test))
    backwards = [r for r in records[0] if r.arm.startswith("patch:") and r.arm.endswith(f":{into}")]
    assert {r.trained_on for r in backwards} == {donor}


def test_the_shift_is_taken_out_and_old_facts_asked_for_in_read_words_too(records, unit, tuned):
    weights = {}
    for name, after in tuned["lesser"].end.weights.items():
        before = unit.base.weights[name]
        if after.ndim == 2 and not torch.equal(before, after):
            u, s, v = np.linalg.svd((after - before).double().numpy(), full_matrices=False)
            after = (after.double() - torch.from_numpy(s[0] * np.outer(u[:, 0], v[0]))).float()
        weights[name] = after
    for prompt, wording in (("zero", unit.desk.new), ("own", unit.desk.own)):
        found = value(records[0], arm="unshift", trained_on="lesser", prompt=prompt)
        right = sit(wording.test, unit.base, weights)
        assert found == pytest.approx(right.mean(), abs=1.5 / len(right))  # one answer may hang by a rounding


def test_how_many_rows_an_arm_fits_stands_beside_it(records, unit, tuned):
    for arm in ("all", "attention", "values"):
        for on in salience.CONTRAST:
            (found,) = pick(records[0], metric="fitted", split="train", arm=arm, trained_on=on)
            assert found.n == len(unit.rows[on])
    rows = unit.rows["best"]
    asked = exam(unit.base, "train", rows.facts)
    right = sit(asked, unit.base, tuned["best"].end.weights)
    found = value(records[0], metric="fitted", split="train", arm="all", trained_on="best")
    assert found == pytest.approx(right.mean())


def test_shifted_rows_teach_another_commonest_answer_and_their_errors_follow_or_not(records, unit):
    world, rows = unit.base.world, unit.rows["lesser-shifted"]
    assert set(rows.facts) < set(unit.rows["lesser"].facts)
    most = {}
    for relation in np.unique(world.relation[rows.facts]).tolist():
        here = rows.answers[world.relation[rows.facts] == relation]
        values, count = np.unique(here, return_counts=True)
        most[relation] = int(values[count.argmax()])
        told = np.bincount(
            world.answer[world.relation == relation], weights=world.exposure[world.relation == relation]
        )
        assert most[relation] != told.argmax()
    how = replace(tuning(TINY, "all", 0), epochs=3)
    said = say(unit.desk.new.test, unit.base, finetune(unit.base, rows, how=how).weights)
    facts = unit.desk.new.test.facts
    wrong = said != world.answer[facts]
    marginal = np.array([most[r] for r in world.relation[facts].tolist()])
    (found,) = pick(
        records[0],
        metric="error_marginal_share",
        trained_on="lesser-shifted",
        step=steps_of(unit.base, rows, how),
    )
    assert (found.value, found.n) == (pytest.approx((said == marginal)[wrong].mean()), wrong.sum())


def test_the_base_is_asked_in_both_wordings_and_exposure_is_held_against_salience(records, unit):
    base_ = [r for r in records[0] if r.arm == "base" and r.trained_on == "none"]
    assert {r.step for r in base_} == {0}
    assert {(r.split, r.prompt) for r in base_ if r.metric == "accuracy"} == {
        (part, prompt) for part in ("test", "dev") for prompt in ("zero", "own")
    }
    world, known = unit.base.world, unit.known
    told = [f for f in range(len(world)) if world.stated[f] and np.isfinite(known.log_p[f])]
    (found,) = pick(base_, metric="salience_frequency_rank_correlation")
    expected = rank_correlation((known.log_p - known.log_prior)[told], world.exposure[told])
    assert (found.value, found.n) == (pytest.approx(expected), len(told))


def test_statistics_over_sets_stand_at_one_step_and_are_those_of_the_records(records, unit):
    sets = (*salience.QUARTILES, *salience.QUARTERS)
    some = records[0]
    ends = {name: max(r.step for r in some if (r.arm, r.trained_on) == ("all", name)) for name in sets}
    gain = [value(some, arm="all", trained_on=name, step=ends[name]) for name in sets]
    found = {}
    for prompt in ("zero", "own"):
        over = [r for r in some if r.trained_on == "across" and r.prompt == prompt]
        assert {r.step for r in over} == {max(ends.values())}
        push = [
            value(some, metric="mean_push", split="train", arm="base", trained_on=name, prompt=prompt)
            for name in sets
        ]
        before = value(some, metric="attention_subject", arm="base", trained_on="none", prompt=prompt)
        turn = [
            value(
                some, metric="attention_subject", arm="all", trained_on=name, step=ends[name], prompt=prompt
            )
            - before
            for name in sets
        ]
        agree = np.mean(np.sign(push) == np.sign(turn))
        assert value(over, metric="push_sign_agreement", prompt=prompt) == pytest.approx(agree)
        for name in ("margin", "pcorrect", "frequency"):
            mean = [
                value(some, metric=f"mean_{name}", split="train", arm="base", trained_on=one, prompt=prompt)
                for one in sets
            ]
            rho = rank_correlation(mean, gain)
            if np.isfinite(rho):
                metric = f"{name}_accuracy_rank_correlation"
                assert value(over, metric=metric, prompt=prompt) == pytest.approx(rho)
                found[prompt, name] = rho
    assert found


def test_the_means_of_a_set_are_those_of_its_facts(records, unit):
    world, known = unit.base.world, unit.known
    for name in salience.QUARTILES:
        facts = unit.rows[name].facts
        where = {"split": "train", "arm": "base", "trained_on": name}
        log_exposure = np.log(world.exposure[facts]).mean()
        assert value(records[0], metric="mean_frequency", **where) == pytest.approx(log_exposure)
        right = known.greedy[facts].mean()
        assert value(records[0], metric="mean_pcorrect", **where) == pytest.approx(right)


def test_each_family_of_strata_pools_to_all_test_facts(records):
    for on in salience.CONTRAST:
        for step in {r.step for r in pick(records[0], arm="all", trained_on=on)}:
            (whole,) = pick(records[0], arm="all", trained_on=on, step=step)
            for key, values in (("popularity", ("low", "high")), ("known", ("yes", "no"))):
                some = [
                    r
                    for v in values
                    for r in pick(records[0], arm="all", trained_on=on, step=step, stratum=f"{key}={v}")
                ]
                assert sum(r.n for r in some) == whole.n
                assert sum(r.n * r.value for r in some) == pytest.approx(whole.n * whole.value)


def test_other_pretrainings_differ_in_how_often_facts_are_told_and_in_nothing_else(
    records, unit, cache, monkeypatch
):
    bases = {}

    def spying(setup, seed, cache=None):
        found = base(setup, seed, cache)
        bases[setup.world.mean_exposure] = found
        return found

    monkeypatch.setattr(salience, "base", spying)
    some = [r for name in salience.PRETRAININGS for r in unit._pretrained(name)]
    short, long = (bases[most] for most in sorted(bases))
    assert len(bases) == 2
    assert long.world.spec.mean_exposure == 4 * short.world.spec.mean_exposure
    assert replace(long.setup, world=short.setup.world) == short.setup
    for name in ("subject", "relation", "answer", "stated"):
        assert (getattr(short.world, name) == getattr(long.world, name)).all()
    assert long.world.exposure.sum() > 3 * short.world.exposure.sum()
    for name, other in (("pretrain:short", short), ("pretrain:long", long)):
        assert other.setup.world.subjects == TINY.world.subjects // salience.SMALLER
        ratio = variant(TINY, name).world.mean_exposure / TINY.world.mean_exposure
        assert ratio == {"pretrain:short": 0.5, "pretrain:long": 2.0}[name]
        facts = stated(other, split(other).test)
        (found,) = pick(some, arm=f"base@{name}", prompt="own")
        own = exam(other, "test", facts, template=TINY.text.question)
        right = say(own, other, other.weights) == other.world.answer[facts]
        assert (found.step, found.trained_on) == (0, "none")
        assert (found.value, found.n) == (pytest.approx(right.mean()), len(facts))
        for on in salience.CONTRAST:
            mine = [r for r in some if (r.arm, r.trained_on) == (f"all@{name}", on)]
            curve = {r.step: r.value for r in pick(mine, split="dev")}
            early = min(step for step in curve if curve[step] == max(curve.values()))
            assert {r.step for r in pick(mine)} == {early, max(curve)}
    assert set(some) == {r for r in records[0] if "@" in r.arm}


def test_rows_of_other_pretrainings_are_halves_by_exposure(cache):
    other = base(TINY, 3, cache)
    facts = stated(other, split(other).train)
    pool = salience.by_exposure(other, facts)
    assert not pool.known.any()
    assert (pool.score == other.world.exposure[facts]).all()
    best, lesser = (salience.select(pool, name).facts for name in salience.CONTRAST)
    assert cells(other.world, best, "relation") == cells(other.world, lesser, "relation")
    assert other.world.exposure[best].mean() > other.world.exposure[lesser].mean()
    assert not set(other.world.subject[best]) & set(other.world.subject[split(other).test])

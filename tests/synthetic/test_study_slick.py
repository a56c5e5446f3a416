from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tinylab import SEEDS, check_names, tiny

from synthetic import slick_exams
from synthetic.answers import ABSTAIN, OTHER
from synthetic.base import base
from synthetic.finetune import finetune
from synthetic.flaggers import by_one_prompt, flagged, least
from synthetic.knowledge import knowledge
from synthetic.model import hidden_states, logits
from synthetic.ptrue import p_true
from synthetic.rows import Rows
from synthetic.score import say
from synthetic.select import designated, select
from synthetic.split import split
from synthetic.studies import slick
from theory.claims.scoreboard import evaluate
from theory.slick import Category
from theory.table import Table

TINY = tiny(world={"never_seen": 8})
CLAIMS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "U1")


def dealt(ground, cache=None):
    """What the base knows, but for the categories: facts of subjects of two words are Unknown, which a network can
    tell, the others have the other categories in turn."""
    found, world = knowledge(ground, cache), ground.world
    words = np.array([len(name) for name in ground.names.subjects])[world.subject]
    others = 1 + np.random.default_rng(ground.seed).permutation(len(world)) % 3
    of = np.where(words == 2, Category.Unknown, others)[:, None]
    prompts = np.arange(found.greedy.shape[1])
    greedy = (of == Category.HighlyKnown) | ((of == Category.MaybeKnown) & (prompts > 1))
    sampled = np.where(greedy, 0.9, np.where(of == Category.WeaklyKnown, 0.3, 0.0))
    return replace(found, greedy=greedy & found.probed[:, None], sampled=sampled)


DEALT = (slick_exams, dealt)


@pytest.fixture(scope="module")
def records(cache):
    """Of each seed."""
    return {seed: list(slick.run(TINY, seed, cache, lambda *_: None)) for seed in SEEDS}


@pytest.fixture(scope="module")
def hall(cache):
    return slick_exams.make_hall(TINY, 0, cache)


def value(records, **where):
    (found,) = [r for r in records if all(getattr(r, name) == wanted for name, wanted in where.items())]
    return found.value


def test_every_claim_of_the_study_finds_its_rows(records):
    board = evaluate(Table.from_records([r for some in records.values() for r in some]), CLAIMS)
    assert [v.claim.id for v in board.verdicts] == list(CLAIMS)
    for verdict in board.verdicts:
        assert verdict.lab == "synthetic/R2-2layer"
        assert verdict.arm == "all"
        assert verdict.answer != "missing", verdict.reason
        assert not [part.missing for part in verdict.parts if part.missing]
        deciding = [part for part in verdict.parts if part.part.role == "decides"]
        assert {part.seeds for part in deciding} == {len(SEEDS)}


def test_no_observation_stands_there_twice_and_all_names_are_in_the_vocabulary(records):
    check_names(records)


def test_the_arms_are_those_that_were_trained(records):
    for some in records.values():
        trained = {r.trained_on for r in some} - {"none"}
        assert trained == set(slick.arms(TINY))
        assert {r.step for r in some if r.trained_on == "none"} == {0}


def test_a_seed_gives_the_same_records_whatever_was_done_before(records):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    said = []
    again = list(slick.run(TINY, 0, None, lambda what, share=None: said.append((what, share))))
    assert again == records[0]
    shares = [share for what, share in said if what.startswith("tuning")]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] < 1
    assert [what for what, _ in said[:2]] == ["base", "tuning mix:0"]


@pytest.mark.parametrize("name", ["mix:0", "mix:0.5"])
def test_a_mix_sits_all_exams_all_along_and_strata_at_its_two_stops(records, hall, name):
    own = [r for r in records[0] if r.trained_on == name]
    curve = {r.step: r.value for r in own if r.split == "dev" and r.stratum == "all"}
    last, early = max(curve), min(step for step in curve if curve[step] == max(curve.values()))
    for split_, metric in (("test", "accuracy"), ("ood-relation", "accuracy"), ("train", "fitted")):
        assert {r.step for r in own if (r.split, r.metric, r.stratum) == (split_, metric, "all")} == set(
            curve
        )
    assert {r.step for r in own if r.split == "test" and r.stratum == "category=Unknown"} == {early, last}
    assert any("overlap=no,answer=both,dominant=" in r.stratum for r in own)
    rows = select(hall.pool, name)
    fitted = {r.stratum: r.n for r in own if r.metric == "fitted" and r.step == last}
    assert fitted["all"] == len(rows)
    assert fitted.get("known=yes", 0) == rows.known.sum()
    assert fitted.get("known=no", 0) == (~rows.known).sum()

    weights = finetune(hall.base, rows).weights
    for asked, split_ in ((hall.test, "test"), (hall.ood, "ood-relation"), (hall.dev, "dev")):
        right = say(asked, hall.base, weights) == hall.base.world.answer[asked.facts]
        assert value(own, split=split_, step=last, stratum="all") == pytest.approx(right.mean())


def test_other_sets_are_looked_at_where_dev_is_best_and_at_the_end(records, cache):
    own = [r for r in records[1] if r.trained_on == "known-only:0.5"]
    curve = {r.step: r.value for r in own if r.split == "dev"}
    stops = {min(step for step in curve if curve[step] == max(curve.values())), max(curve)}
    for split_ in ("test", "ood-relation", "train"):
        assert {r.step for r in own if r.split == split_} == stops
    (size,) = {r.n for r in own if r.metric == "fitted" and r.stratum == "all"}
    pool = slick_exams.make_hall(TINY, 1, cache).pool
    assert size == select(pool, "mix:0.5").known.sum()


def test_half_a_set_has_half_of_every_kind_of_row(hall):
    relation = hall.base.world.relation
    whole, half = (slick.training_set(hall.pool, relation, name) for name in ("mix:0.75", "mix:0.75:half"))
    assert half.name == "mix:0.75:half"
    assert set(half.facts) < set(whole.facts)
    counts = [Counter(zip(relation[rows.facts], rows.known, strict=True)) for rows in (whole, half)]
    assert all(abs(counts[1][kind] - n / 2) <= 0.5 for kind, n in counts[0].items())
    assert np.array_equal(half.answers, hall.base.world.answer[half.facts])


def test_the_sets_around_the_half_and_half_mix_tell_size_from_the_number_of_known_rows(hall):
    relation = hall.base.world.relation
    size, known = {}, {}
    for name in ("mix:0", "mix:0.5", "mix:0.75", "mix:0.5:half", "known-only:0.5", "known-only:0.75"):
        rows = slick.training_set(hall.pool, relation, name)
        size[name], known[name] = len(rows), rows.known.sum()
    some = 4 * len(np.unique(hall.pool.relation))  # rounding, relation by relation
    assert size["mix:0"] == size["mix:0.5"] == size["mix:0.75"]
    assert abs(known["mix:0.75"] - known["mix:0.5:half"]) <= some
    assert known["mix:0.75"] == known["known-only:0.75"] == size["known-only:0.75"]
    assert size["known-only:0.75"] < size["mix:0.5:half"] < size["mix:0.75"]


def test_an_abstaining_network_is_counted_by_what_it_says(hall, monkeypatch):
    world = hall.base.world
    right = world.answer[hall.test.facts].astype(np.int64)
    said = right.copy()
    said[::4] = ABSTAIN
    said[1::4] = OTHER

    def fake(asked, *_):
        return said if asked is hall.test else np.full(len(asked), ABSTAIN)

    monkeypatch.setattr(slick_exams, "say", fake)
    rows = select(hall.pool, "idk:0.5")
    found = [r for r in slick_exams.abstaining(hall, rows) if r.split in ("test", "unseen")]
    step = max(r.step for r in found)
    silent, good = said == ABSTAIN, said == right
    for metric, expected in (
        ("abstention_rate", silent.mean()),
        ("accuracy", good.mean()),
        ("answered_accuracy", good.sum() / (~silent).sum()),
    ):
        assert value(found, split="test", step=step, stratum="all", metric=metric) == pytest.approx(expected)
        of = hall.test.labels["category"] == "MaybeKnown"
        expected = {
            "abstention_rate": silent[of].mean(),
            "accuracy": good[of].mean(),
            "answered_accuracy": good[of].sum() / (~silent[of]).sum(),
        }[metric]
        assert value(
            found, split="test", step=step, stratum="category=MaybeKnown", metric=metric
        ) == pytest.approx(expected)
    assert value(found, split="unseen", step=step, metric="abstention_rate", stratum="all") == 1
    assert not [r for r in found if r.split == "unseen" and r.metric == "answered_accuracy"]


def test_designated_answers_are_those_that_the_shifted_rows_teach(hall, monkeypatch):
    world, taught = hall.base.world, designated(hall.pool)
    said = {}
    for asked in (hall.test, hall.unseen):
        answers = np.full(len(asked), OTHER)
        answers[::2] = taught[world.relation[asked.facts[::2]], 1]
        answers[1::8] = ABSTAIN
        said[asked.split] = answers
    monkeypatch.setattr(slick_exams, "say", lambda asked, *_: said[asked.split])
    rows = select(hall.pool, "relabel:shifted")
    shifted = rows.answers[~rows.known]
    assert all(a in taught[r] for a, r in zip(shifted, world.relation[rows.facts[~rows.known]], strict=True))
    found = list(slick_exams.relabelled(hall, rows))
    assert {r.split for r in found} == {"test", "unseen", "train"}
    assert len({r.step for r in found}) == 1
    for split_ in ("test", "unseen"):
        inside = np.arange(len(said[split_])) % 2 == 0
        rate = value(found, split=split_, metric="designated_answer_rate", stratum="all")
        assert rate == pytest.approx(inside.mean())
    known = hall.test.labels["known"] == "yes"
    rate = value(found, split="test", metric="designated_answer_rate", stratum="known=yes")
    assert rate == pytest.approx((np.arange(len(known)) % 2 == 0)[known].mean())


def test_flagged_facts_are_counted_alone_and_one_prompt_by_the_mean_over_prompts(hall):
    flags = {"slick": np.zeros((1, len(hall.test)), bool), "slick-1": np.zeros((3, len(hall.test)), bool)}
    flags["slick"][0, :4] = True
    for i in range(3):
        flags["slick-1"][i, 4 * i : 4 * i + 4] = True
    right = (
        np.arange(len(hall.test)) % 4 < np.arange(len(hall.test)) // 4
    )  # 0 of the first four, 1 of the next ...
    stamp = replace(hall.stamp, trained_on="natural")
    slick_, one = slick_exams._on_flagged(stamp, hall.test, right, flags)
    assert (slick_.stratum, slick_.value, slick_.n) == ("flagger=slick", 0.0, 4)
    assert (one.stratum, one.value, one.n) == ("flagger=slick-1", (0 + 0.25 + 0.5) / 3, 4)


def test_nothing_is_flagged_where_nothing_is_unknown(hall):
    none = {"slick": np.zeros((1, len(hall.test)), bool)}
    assert not list(slick_exams._on_flagged(hall.stamp, hall.test, np.ones(len(hall.test), bool), none))


def test_the_lowest_scores_are_flagged_and_chance_decides_between_equals():
    rng = np.random.default_rng(0)
    assert least([0.3, 0.1, 0.2, 0.9], 2, rng).tolist() == [False, True, True, False]
    draws = sum(least([0.5, 0.0, 0.5, 0.5], 2, rng) for _ in range(300))
    assert draws[1] == 300
    assert ((draws[[0, 2, 3]] > 60) & (draws[[0, 2, 3]] < 140)).all()


def test_one_prompt_flags_what_it_gets_wrong_first_and_then_what_it_is_least_likely_to_draw():
    greedy = np.array([[True, False], [False, False], [False, True], [False, False]])
    sampled = np.array([[0.0, 0.4], [0.2, 0.1], [0.1, 0.0], [0.3, 0.3]])
    flags = by_one_prompt(greedy, sampled, 2, np.random.default_rng(0))
    assert flags.tolist() == [[False, True, True, False], [False, True, False, True]]


def test_all_flaggers_flag_as_many_as_are_unknown():
    rng = np.random.default_rng(3)
    n = 40
    category = rng.integers(4, size=n)
    greedy, sampled, chance = rng.random((n, 3)) < 0.5, rng.random((n, 3)), rng.random(n)
    flags = flagged(category, greedy, sampled, chance, seed=1)
    count = (category == Category.Unknown).sum()
    assert {name: some.sum(axis=1).tolist() for name, some in flags.items()} == {
        "slick": [count],
        "slick-1": [count] * 3,
        "ptrue": [count],
    }
    assert (flags["slick"][0] == (category == Category.Unknown)).all()
    assert set(np.flatnonzero(flags["ptrue"][0])) == set(np.argsort(chance)[:count])


def test_p_true_is_the_odds_of_yes_and_no_after_the_claim_with_the_right_answer(hall):
    ground, facts = hall.base, hall.test.facts[:5]
    found = p_true(ground, facts)
    ids = ground.vocabulary.ids
    for fact, chance in zip(facts, found, strict=True):
        s, r, a = ground.world.triple(int(fact))
        claim = ground.vocabulary.encode(f"<s> claim : the {r} of {s} is {a} ?")
        states = hidden_states(
            ground.weights, ground.spec, torch.tensor([claim]), torch.arange(len(claim))[None]
        )
        p = logits(ground.weights, states[0, -1]).double().softmax(-1)
        assert chance == pytest.approx(float(p[ids["yes"]] / (p[ids["yes"]] + p[ids["no"]])), abs=1e-5)
    assert p_true(ground, facts[::-1]) == pytest.approx(found[::-1], abs=1e-5)


def test_without_a_category_single_categories_are_left_out_and_the_rest_is_done(hall, monkeypatch):
    def nothing_weak(ground, cache=None):
        found = dealt(ground, cache)
        weak = ~found.greedy.any(axis=1)[:, None]
        return replace(found, sampled=np.where(weak, 0.0, found.sampled))

    assert slick.populated(hall.pool)
    monkeypatch.setattr(slick_exams, "knowledge", nothing_weak)
    monkeypatch.setattr(slick, "MIXES", ("mix:0.5",))
    monkeypatch.setattr(slick, "SHORTENED", ())
    monkeypatch.setattr(slick, "HALVED", ())
    monkeypatch.setattr(slick, "ABSTAINING", ())
    short = replace(TINY, world=replace(TINY.world, never_seen=0), tune=replace(TINY.tune, epochs=1))
    assert slick.arms(short) == ("mix:0.5", *slick.CATEGORIES)
    records = list(slick.run(short, 0, None, lambda *_: None))
    assert {r.trained_on for r in records} == {"none", "mix:0.5"}
    assert "unseen" not in {r.split for r in records}


def test_without_held_out_relations_there_is_no_exam_on_them():
    setup = replace(TINY, held_out=0)
    hall = slick_exams.make_hall(setup, 0, None)
    assert hall.ood is None
    assert {r.split for r in slick_exams.untuned(hall)} == {"dev", "test", "unseen"}


def test_the_label_of_real_probing_flags_the_unknown_facts(monkeypatch, cache):
    monkeypatch.setattr(slick_exams, "knowledge", knowledge)
    monkeypatch.setattr(slick_exams, "select", lambda pool, name: None)  # nothing need be known to flag
    hall = slick_exams.make_hall(TINY, 0, cache)
    flags = slick_exams.flags_of(hall)
    unknown = hall.known.category[hall.test.facts] == Category.Unknown
    assert (flags["slick"][0] == unknown).all()
    assert flags["slick-1"].shape == (TINY.prompts, len(unknown))
    assert (flags["slick-1"].sum(axis=1) == unknown.sum()).all()
    assert set(hall.pool.fact) == set(split(base(TINY, 0, cache)).train)


def test_rows_that_are_none_are_refused_in_one_line(hall):
    with pytest.raises(Exception, match="rows 'x': none is left"):
        Rows("x", np.empty(0, int), np.empty(0, int), np.empty(0, bool))

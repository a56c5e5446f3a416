from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from synthetic.across import NAMES, Before, Outcome, across, before, harm, means, order_agreement, quarters
from synthetic.base import base
from synthetic.desk import make_desk, sheet_of
from synthetic.knowledge import knowledge
from synthetic.pool import pool_of
from synthetic.pushes import pushes
from synthetic.rows import Rows
from synthetic.score import exam
from synthetic.select import select
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split, stated

TINY = replace(
    DEFAULT,
    world=replace(
        DEFAULT.world,
        types=3,
        subjects=44,
        never_seen=0,
        relations=3,
        derived=0,
        answers=6,
        mean_exposure=4.0,
        subject_words=(1, 2),
        answer_words=(1, 2),
    ),
    shape=Shape(width=32, layers=2, heads=2, hidden=32, context=128),
    pretrain=replace(DEFAULT.pretrain, rate=8e-3),
    shots_from=0.14,
    dev=0.14,
    prompts=4,
    shots=2,
)


@pytest.fixture(scope="module")
def ground():
    return base(TINY, 0)


@pytest.fixture(scope="module")
def known(ground):
    return knowledge(ground)


@pytest.fixture(scope="module")
def pool(ground, known):
    return pool_of(ground, known, stated(ground, split(ground).train))


@pytest.fixture(scope="module")
def desk(ground, known, pool):
    return make_desk(ground, known, select(pool, "best"), select(pool, "lesser"))


def brute(x, y):
    alike = [(a - b) * (c - d) > 0 for (a, c), (b, d) in combinations(zip(x, y, strict=True), 2)]
    count = [(a - b) * (c - d) != 0 for (a, c), (b, d) in combinations(zip(x, y, strict=True), 2)]
    return sum(alike), sum(count)


@pytest.mark.parametrize("seed", range(20))
def test_pairs_ordered_alike_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    x, y = rng.integers(4, size=(2, n)) / 4  # with ties
    alike, count = brute(x, y)
    found = order_agreement(x, y)
    assert found.n == count
    if count:
        assert found.value == pytest.approx(alike / count)
    else:
        assert np.isnan(found.value)


def test_order_agrees_wholly_not_at_all_or_is_not_to_be_told():
    assert order_agreement([1, 2, 3], [10, 20, 30]) == (1.0, 3)
    assert order_agreement([1, 2, 3], [-1, -2, -3]) == (0.0, 3)
    assert order_agreement([-3, -2, -1], [1, 2, 3]) == (1.0, 3)  # no sign agrees, every order does
    assert order_agreement([1, 1], [1, 2]).n == 0


def given(n=12, relations=3, seed=0):
    rng = np.random.default_rng(seed)
    facts = np.sort(rng.choice(100, n, replace=False))
    return Before(facts, rng.integers(relations, size=n), *rng.normal(size=(4, n)))


def rows_of(facts, name="x"):
    return Rows(name, np.asarray(facts), np.zeros(len(facts), np.int64), np.ones(len(facts), bool))


def test_the_mean_of_a_set_is_that_of_its_rows_in_whatever_order():
    train = given()
    chosen = train.facts[[7, 0, 3]]
    assert means(train, rows_of(chosen)) == {
        name: pytest.approx(getattr(train, name)[[0, 3, 7]].mean()) for name in NAMES
    }


def test_harm_is_what_pushes_do_to_held_out_facts_of_their_own_relation():
    train, held_out = given(seed=1), given(n=9, relations=2, seed=2)
    some = [5, 2, 9, 10, 11]
    rows = rows_of(train.facts[some])
    total = 0.0
    for i in some:
        others = held_out.push[held_out.relation == train.relation[i]]
        total += train.push[i] * (others.mean() if len(others) else 0.0)
    assert harm(train, rows, held_out) == pytest.approx(-total / len(some))
    flipped = replace(held_out, push=-held_out.push)
    assert harm(train, rows, flipped) == pytest.approx(total / len(some))


def test_statistics_over_sets_are_those_over_their_means():
    train, held_out = given(n=30, seed=3), given(n=9, seed=4)
    rng = np.random.default_rng(5)
    outcomes = [
        Outcome(rows_of(rng.choice(train.facts, 8, replace=False)), float(a), float(turn))
        for a, turn in zip(rng.random(6), rng.normal(size=6), strict=True)
    ]
    found = dict(across(train, held_out, outcomes))
    mean = {
        name: [getattr(train, name)[np.isin(train.facts, o.rows.facts)].mean() for o in outcomes]
        for name in NAMES
    }
    gain = [o.accuracy for o in outcomes]
    for name in NAMES:
        rho = spearmanr(mean[name], gain).statistic
        assert found[f"{name}_accuracy_rank_correlation"] == (pytest.approx(rho), 6)
    rho = spearmanr([harm(train, o.rows, held_out) for o in outcomes], gain).statistic
    assert found["harm_accuracy_rank_correlation"].value == pytest.approx(rho)
    turn = [o.turn for o in outcomes]
    agree = np.mean([a * b > 0 for a, b in zip(turn, mean["push"], strict=True)])
    assert found["push_sign_agreement"] == (pytest.approx(agree), 6)
    alike, count = brute(mean["push"], turn)
    assert found["push_order_agreement"] == (pytest.approx(alike / count), count)
    later = [replace(o, accuracy=o.accuracy + 0.3) for o in outcomes]  # from another start all the same
    assert dict(across(train, held_out, later)) == found


def test_what_is_said_of_facts_is_in_ascending_order_whatever_the_order_they_came_in(
    ground, known, pool, desk
):
    for wording in (desk.new, desk.own):
        found = before(desk, known, pool.fact[::-1], wording)
        assert (found.facts == np.sort(pool.fact)).all()
        assert (found.relation == ground.world.relation[found.facts]).all()
        assert (found.pcorrect == known.p_correct[found.facts]).all()
        assert np.exp(found.frequency) == pytest.approx(ground.world.exposure[found.facts])
        one = int(found.facts[5])
        alone = exam(ground, "train", [one], template=wording.template)
        heads = pushes(ground.weights, ground.spec, sheet_of(ground, alone))
        assert found.margin[5] == pytest.approx(heads.margin[0][desk.heads].mean(), abs=1e-5)
        assert found.push[5] == pytest.approx(heads.push[0][desk.heads].mean(), abs=1e-5)


def test_the_words_in_which_facts_are_asked_make_a_difference(known, pool, desk):
    new, own = (before(desk, known, pool.fact, wording) for wording in (desk.new, desk.own))
    assert not np.allclose(new.push, own.push)


@pytest.mark.parametrize("size", [1000, 9])
def test_four_quarters_share_nothing_and_are_alike_in_relations(pool, size):
    sets = {rows.name: rows for rows in quarters(pool, size)}
    assert list(sets) == ["set:rare-lesser", "set:rare-best", "set:generic-lesser", "set:generic-best"]
    facts = np.concatenate([rows.facts for rows in sets.values()])
    assert len(np.unique(facts)) == len(facts)
    assert np.isin(facts, pool.fact).all()
    place = {fact: i for i, fact in enumerate(pool.fact.tolist())}
    count = [
        np.bincount(pool.relation[[place[f] for f in rows.facts.tolist()]], minlength=9)
        for rows in sets.values()
    ]
    assert all((one == count[0]).all() for one in count)
    assert len(sets["set:rare-best"]) <= size
    assert {len(rows) for rows in sets.values()} == {min(size, len(sets["set:rare-best"]))}
    assert all(
        (rows.answers == pool.answer[[place[f] for f in rows.facts.tolist()]]).all() for rows in sets.values()
    )


def test_quarters_are_ordered_by_how_common_answers_are_and_then_by_the_score(pool):
    common = dict(zip(*np.unique(pool.answer, return_counts=True), strict=True))
    score = dict(zip(pool.fact.tolist(), pool.score, strict=True))
    of = dict(zip(pool.fact.tolist(), pool.relation.tolist(), strict=True))
    sets = {rows.name.removeprefix("set:"): rows for rows in quarters(pool, 1000)}
    for relation in np.unique(pool.relation):
        here = {
            name: [
                (f, a) for f, a in zip(rows.facts.tolist(), rows.answers, strict=True) if of[f] == relation
            ]
            for name, rows in sets.items()
        }
        rare, generic = (
            [common[a] for name in (f"{kind}-lesser", f"{kind}-best") for _, a in here[name]]
            for kind in ("rare", "generic")
        )
        assert max(rare) <= min(generic)
        for kind in ("rare", "generic"):
            low, high = ([score[f] for f, _ in here[f"{kind}-{half}"]] for half in ("lesser", "best"))
            assert max(low) <= min(high)

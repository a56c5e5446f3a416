import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.answers import ABSTAIN
from synthetic.errors import SyntheticError
from synthetic.matching_rows import (
    derange,
    equal_draws,
    nearest_subset,
    parts,
    share_out,
    shuffled_ranks,
    trim,
)
from synthetic.pool import Pool
from synthetic.select import DESIGNATED, affected, designated, select
from theory.claims.vocabulary import TRAINED_ON, meaning
from theory.slick import Category

RELATIONS, ANSWERS, FRESH = 8, 12, 6


def make_pool(n=1600, seed=0, relations=RELATIONS):
    """Rows in the shape of a real pool: Zipf answers of disjoint relations, better scores for better categories."""
    rng = np.random.default_rng(seed)
    relation = np.sort(rng.integers(relations, size=n))
    law = 1 / (1 + np.arange(ANSWERS))
    answer = relation * ANSWERS + rng.choice(ANSWERS, n, p=law / law.sum())
    category = rng.choice(4, n, p=[0.25, 0.15, 0.25, 0.35]).astype(np.int8)
    fresh_relation = np.repeat(np.arange(relations), FRESH)
    return Pool(
        fact=np.arange(n) * 3 + 1,
        relation=relation,
        answer=answer,
        score=category + rng.random(n).round(1),
        category=category,
        answered=category >= Category.MaybeKnown,
        fresh=100_000 + np.arange(relations * FRESH),
        fresh_relation=fresh_relation,
        fresh_answer=fresh_relation * ANSWERS + rng.integers(ANSWERS, size=relations * FRESH),
        prior=np.arange(relations) * ANSWERS,
        seed=seed,
    )


POOL = make_pool()
PLACE = {int(fact): i for i, fact in enumerate(POOL.fact)}


def places(rows):
    return np.array([PLACE[int(fact)] for fact in rows.facts if int(fact) in PLACE])


def count(values):
    return Counter(np.asarray(values).tolist())


def per_relation(rows):
    return count(POOL.relation[places(rows)])


def per_answer(rows):
    return count(POOL.answer[places(rows)])


CONTRASTS = {
    "halves": ("best", "lesser", "random"),
    "answering": ("known", "unknown", "known-permuted"),
    "mixes": (
        "mix:0",
        "mix:0.25",
        "mix:0.5",
        "mix:0.75",
        "mix:1",
        "idk:0.5",
        "idk-random:0.5",
        "spread:0.25",
    ),
    "shares": ("spread:0.25", "spread:0.5", "concentrated:0.25", "mix:0.5"),
    "categories": (*tuple(f"category:{c.name}" for c in Category), "natural"),
    "quartiles": tuple(f"quartile:{i}" for i in (1, 2, 3, 4)),
    "relabelled": ("relabel:true", "relabel:shifted"),
    "small": ("small:known", "small:random"),
}
EVERY = sorted(
    {name for names in CONTRASTS.values() for name in names} | {"whole", "lesser-shifted", "known-only:0.25"}
)


@pytest.mark.parametrize("size", [None, 200])
@pytest.mark.parametrize("by", ["relation", "answer"])
@pytest.mark.parametrize("contrast", CONTRASTS)
def test_sets_that_are_compared_have_as_many_rows_of_each_cell(contrast, by, size):
    sets = [select(POOL, name, by, size) for name in CONTRASTS[contrast]]
    assert len({len(rows) for rows in sets}) == 1
    assert all(per_relation(rows) == per_relation(sets[0]) for rows in sets)
    matched_by_answer = by == "answer" or contrast == "quartiles"
    for name, rows in zip(CONTRASTS[contrast], sets, strict=True):
        assert len(set(rows.facts.tolist())) == len(rows), name
        loose = name in ("natural", "small:random", "small:known") or contrast == "relabelled"
        if matched_by_answer and name != "natural" and not loose:
            assert per_answer(rows) == per_answer(sets[0]), name
    if size is not None and contrast not in ("relabelled", "small"):
        assert len(sets[0]) == min(size, len(select(POOL, CONTRASTS[contrast][0], by)))
    if by == "answer" and contrast == "categories":
        assert per_answer(sets[-1]) == per_answer(sets[0])


@pytest.mark.parametrize("name", EVERY)
def test_a_set_follows_from_the_pool_alone(name):
    first, second = select(POOL, name), select(make_pool(), name)
    assert np.array_equal(first.facts, second.facts)
    assert np.array_equal(first.answers, second.answers)
    assert dict(first.notes) == dict(second.notes)
    assert first.name == name
    assert meaning("trained_on", name)
    other = Pool(**{field: value for field, value in vars(POOL).items() if field != "known"} | {"seed": 1})
    assert not np.array_equal(first.facts, select(other, name).facts)


@pytest.mark.parametrize("name", EVERY)
def test_known_flags_are_those_of_the_categories(name):
    rows = select(POOL, name)
    old = np.isin(rows.facts, POOL.fact)
    assert np.array_equal(rows.known[old], POOL.category[places(rows)] > 0)
    assert not rows.known[~old].any()


@pytest.mark.parametrize("by", ["relation", "answer"])
def test_halves_share_nothing_and_the_best_half_scores_higher_in_every_cell(by):
    best, lesser, whole, random = (select(POOL, name, by) for name in ("best", "lesser", "whole", "random"))
    assert not set(best.facts) & set(lesser.facts)
    assert set(whole.facts) == set(best.facts) | set(lesser.facts)
    assert len(whole) == 2 * len(best) == len(POOL.fact) - best.notes["left_out"]
    assert set(random.facts) <= set(whole.facts)
    cell = POOL.cells(by)
    for one in np.unique(cell[places(best)]):
        high, low = (POOL.score[p[cell[p] == one]] for p in (places(best), places(lesser)))
        assert high.min() >= low.max()
    assert best.notes["left_out"] == sum(n % 2 for n in count(cell).values())


def test_quarters_rise_in_known_ness_answer_by_answer():
    sets = [select(POOL, f"quartile:{i}") for i in (1, 2, 3, 4)]
    for low, high in itertools.pairwise(sets):
        for answer in per_answer(low):
            lower, upper = (POOL.score[p[POOL.answer[p] == answer]] for p in (places(low), places(high)))
            assert lower.max() <= upper.min()
    assert sets[0].notes["left_out"] == sum(n % 4 for n in count(POOL.answer).values())


def test_size_trims_all_relations_alike():
    full, trimmed = select(POOL, "best"), select(POOL, "best", size=100)
    assert len(trimmed) == 100
    assert trimmed.notes["trimmed"] == len(full) - 100
    for relation, rows in per_relation(full).items():
        assert abs(per_relation(trimmed)[relation] - 100 * rows / len(full)) < 1


def test_lesser_shifted_has_another_commonest_answer_than_pretraining():
    lesser, shifted = select(POOL, "lesser"), select(POOL, "lesser-shifted")
    assert set(shifted.facts) < set(lesser.facts)
    assert shifted.notes["trimmed"] == len(lesser) - len(shifted)
    for relation in range(RELATIONS):
        here = places(shifted)[POOL.relation[places(shifted)] == relation]
        answers = count(POOL.answer[here])
        (most,) = {a for a, n in answers.most_common(1)}
        assert most != POOL.prior[relation]
        assert answers[int(POOL.prior[relation])] < answers[most]
        whole = count(POOL.answer[places(lesser)])
        assert all(answers[a] == whole[a] for a in answers if a != POOL.prior[relation])


def test_known_and_unknown_rows_are_those_answered_and_those_not():
    known, unknown = select(POOL, "known"), select(POOL, "unknown")
    assert POOL.answered[places(known)].all()
    assert not POOL.answered[places(unknown)].any()
    assert known.notes["left_out"] == len(POOL.fact) - len(known) - len(unknown)


def test_permuted_rows_keep_subjects_and_answers_but_are_false_and_do_not_rename_answers():
    known, permuted = select(POOL, "known"), select(POOL, "known-permuted")
    assert np.array_equal(known.facts, permuted.facts)
    assert count(known.answers) == count(permuted.answers)
    assert permuted.notes["unchanged"] == (known.answers == permuted.answers).sum() == 0
    assert np.array_equal(known.answers // ANSWERS, permuted.answers // ANSWERS)
    commonest = known.answers == POOL.prior[0]
    assert len(set(permuted.answers[commonest])) > 3


def test_a_mix_has_its_share_of_unknown_rows_in_every_relation():
    unknown = select(POOL, "mix:1")
    assert not unknown.known.any()
    assert select(POOL, "mix:0").known.all()
    for share in (0.1, 0.25, 0.5, 0.75):
        rows = select(POOL, f"mix:{share:g}")
        assert rows.notes["share"] == (~rows.known).mean()
        for relation, n in per_relation(rows).items():
            here = POOL.relation[places(rows)] == relation
            assert abs((~rows.known[here]).sum() - share * n) <= 0.5


def test_larger_shares_contain_the_unknown_rows_of_smaller_ones_and_the_known_ones_the_other_way_round():
    mixes = [select(POOL, f"mix:{share}") for share in ("0", "0.25", "0.5", "0.75", "1")]
    for less, more in itertools.pairwise(mixes):
        assert set(less.facts[~less.known]) <= set(more.facts[~more.known])
        assert set(more.facts[more.known]) <= set(less.facts[less.known])


def test_deleting_and_relabelling_act_on_the_unknown_rows_of_the_mix():
    mix, kept, idk = (select(POOL, f"{head}:0.5") for head in ("mix", "known-only", "idk"))
    assert np.array_equal(kept.facts, mix.facts[mix.known])
    assert np.array_equal(idk.facts, mix.facts)
    assert (idk.answers[~mix.known] == ABSTAIN).all()
    assert np.array_equal(idk.answers[mix.known], mix.answers[mix.known])
    random = select(POOL, "idk-random:0.5")
    assert np.array_equal(random.facts, mix.facts)
    silent = random.answers == ABSTAIN
    relation = POOL.relation[places(mix)]
    assert count(relation[silent]) == count(relation[~mix.known])
    assert 0.3 < (~mix.known[silent]).mean() < 0.7
    assert np.array_equal(random.answers[~silent], mix.answers[~silent])


def test_concentrated_rows_leave_some_relations_without_a_known_row_at_the_share_of_spread_ones():
    spread, concentrated = select(POOL, "spread:0.25"), select(POOL, "concentrated:0.25")
    chosen = affected(POOL, 0.25)
    hit = np.isin(POOL.relation[places(concentrated)], chosen)
    assert np.array_equal(~concentrated.known, hit)
    assert 0 < len(chosen) < RELATIONS
    assert abs(concentrated.notes["share"] - spread.notes["share"]) < 0.03
    assert np.array_equal(spread.facts, select(POOL, "mix:0.25").facts)
    with pytest.raises(SyntheticError, match="one relation alone"):
        affected(make_pool(200, relations=1))


def test_single_category_sets_hold_that_category_and_the_natural_one_all_of_them():
    for category in Category:
        rows = select(POOL, f"category:{category.name}")
        assert (POOL.category[places(rows)] == category).all()
        scarce = Counter()
        for relation in range(RELATIONS):
            scarce[relation] = min((POOL.category[POOL.relation == relation] == c).sum() for c in Category)
        assert per_relation(rows) == scarce
    shares = np.bincount(POOL.category[places(select(POOL, "natural"))], minlength=4) / len(rows)
    assert shares == pytest.approx(np.bincount(POOL.category) / len(POOL.fact), abs=0.08)


def test_relabelled_sets_differ_in_the_answers_of_never_seen_subjects_alone():
    true, shifted = select(POOL, "relabel:true"), select(POOL, "relabel:shifted")
    assert np.array_equal(true.facts, shifted.facts)
    new = np.isin(true.facts, POOL.fresh)
    assert new.sum() == (~new).sum() == len(POOL.fresh)
    assert true.known[~new].all()
    assert np.array_equal(true.answers[~new], shifted.answers[~new])
    right = dict(zip(POOL.fresh.tolist(), POOL.fresh_answer.tolist(), strict=True))
    assert [right[fact] for fact in true.facts[new].tolist()] == true.answers[new].tolist()
    options = designated(POOL)
    assert options.shape == (RELATIONS, DESIGNATED)
    for relation in range(RELATIONS):
        of = shifted.answers[new][POOL.fresh_relation[shifted.facts[new] - 100_000] == relation]
        assert set(of) == set(options[relation]) or (len(of) < 5 and set(of) <= set(options[relation]))
        assert POOL.prior[relation] not in options[relation]
        pooled = [a for a, _ in count(POOL.answer[POOL.relation == relation]).most_common(2)]
        assert not set(pooled) & set(options[relation])
    assert len(select(POOL, "relabel:true", size=20)) == 20


def test_relabelling_needs_answers_to_designate():
    pool = make_pool()
    few = Pool(**{**{k: v for k, v in vars(pool).items() if k != "known"}, "answer": pool.relation * ANSWERS})
    assert (designated(few) == -1).all()
    with pytest.raises(SyntheticError, match="too few answers"):
        select(few, "relabel:shifted")


def test_small_sets_are_a_tenth_of_the_usual_one():
    usual, known, random = (select(POOL, name) for name in ("known", "small:known", "small:random"))
    assert len(known) == len(random) == round(len(usual) / 10)
    assert set(known.facts) <= set(usual.facts)
    assert 0.2 < POOL.answered[places(random)].mean() < 0.95


def test_every_training_set_of_questions_in_the_vocabulary_can_be_drawn():
    # no rows of questions, or made by the studies from those that are
    elsewhere = {
        "none",
        "across",
        "pairs:belief",
        "pairs:preferred",
        "statements:<number>",
        "set:<name>",
        "mix:<share>:half",
    }
    filled = {"<share>": "0.5", "<quartile>": "2", "<category>": "MaybeKnown"}
    matched_otherwise = {"known:by-relation", "unknown:by-relation"}  # by `by`, not by name
    for template in set(TRAINED_ON) - elsewhere - matched_otherwise:
        if template.startswith("<text>"):
            continue
        name = template
        for hole, value in filled.items():
            name = name.replace(hole, value)
        assert len(select(POOL, name)), name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bset", "no training set of questions is called 'bset'"),
        ("mix", "'mix'"),
        ("mix:", "'mix:'"),
        ("mix:2", "'mix:2'"),
        ("best:1", "'best:1'"),
        ("best:", "'best:'"),
        ("quartile:5", "'quartile:5'"),
        ("category:Known", "'category:Known'"),
        ("gold", "'gold'"),
        ("relabel:wrong", "relabel:true|shifted"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(SyntheticError, match="no training set") as error:
        select(POOL, name)
    assert message in str(error.value)


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(SyntheticError, match="size is 0"):
        select(POOL, "best", size=0)
    with pytest.raises(SyntheticError, match="by is 'subject'"):
        select(POOL, "best", by="subject")
    with pytest.raises(SyntheticError, match="none is left"):
        select(POOL, "known-only:1")
    fields = {name: value for name, value in vars(make_pool(8)).items() if name != "known"}
    with pytest.raises(SyntheticError, match="no row to choose from"):
        Pool(**{**fields, "fact": np.empty(0, np.int64)})
    with pytest.raises(SyntheticError, match="fact 1 was not probed"):
        Pool(**{**fields, "category": np.full(8, -1, np.int8)})


def test_relations_that_lose_all_their_rows_are_counted():
    pool = make_pool()
    fields = {name: value for name, value in vars(pool).items() if name != "known"}
    category = np.where(pool.relation == 3, np.int8(2), pool.category)
    assert select(Pool(**{**fields, "category": category}), "mix:0.5").notes["relations_absent"] == 1
    assert select(pool, "mix:0.5").notes["relations_absent"] == 0


cells = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(0, 99))
def test_ranks_count_up_within_each_cell_and_follow_the_score(cell, seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(3, size=len(cell))
    rank, size = shuffled_ranks(cell, rng, score)
    for one in set(cell):
        here = np.flatnonzero(np.asarray(cell) == one)
        assert sorted(rank[here]) == list(range(len(here)))
        assert (size[here] == len(here)).all()
        assert (np.diff(score[here][np.argsort(rank[here])]) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(1, 4), st.integers(0, 99))
def test_parts_are_aligned_and_ordered(cell, many, seed):
    cell, rng = np.asarray(cell), np.random.default_rng(seed)
    score = rng.random(len(cell))
    sets = parts(cell, score, many, rng)
    assert len(sets) == many
    assert len(np.unique(np.concatenate(sets))) == sum(map(len, sets))
    assert sum(map(len, sets)) == sum(n - n % many for n in count(cell).values())
    for low, high in itertools.pairwise(sets):
        assert np.array_equal(cell[low], cell[high])
        for one in np.unique(cell[low]):
            assert score[low[cell[low] == one]].max() < score[high[cell[high] == one]].min()


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(0, 99))
def test_equal_draws_take_what_the_scarcest_kind_has(cell, seed):
    cell, rng = np.asarray(cell), np.random.default_rng(seed)
    kind = rng.integers(3, size=len(cell))
    sets = equal_draws(cell, [kind == k for k in range(3)], rng)
    for k, rows in enumerate(sets):
        assert (kind[rows] == k).all()
        assert len(set(rows)) == len(rows)
        assert np.array_equal(cell[rows], cell[sets[0]])
    for one in range(5):
        least = min(((cell == one) & (kind == k)).sum() for k in range(3))
        assert (cell[sets[0]] == one).sum() == least


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(0, 70), st.integers(0, 99))
def test_trimming_keeps_the_groups_in_proportion(group, size, seed):
    group = np.asarray(group)
    rank, _ = shuffled_ranks(group, np.random.default_rng(seed))
    keep = trim(group, size, rank)
    assert keep.sum() == min(size, len(group))
    for one in np.unique(group):
        exact = (group == one).sum() * min(1, size / len(group))
        assert abs(keep[group == one].sum() - exact) < 1


@pytest.mark.parametrize(
    ("n", "share", "wanted"), [(4, 0.5, 2), (5, 0.5, 3), (5, 0.25, 1), (3, 0.0, 0), (3, 1.0, 3)]
)
def test_a_share_of_a_group_is_rounded_to_the_nearest_row(n, share, wanted):
    assert share_out(np.zeros(n, int), share, np.arange(n)).sum() == wanted


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(0, 99))
def test_derangements_stay_in_their_group_and_change_every_label_that_can_change(group, seed):
    group, rng = np.asarray(group), np.random.default_rng(seed)
    label = rng.integers(4, size=len(group))
    source = derange(group, label, rng)
    assert sorted(source) == list(range(len(group)))
    assert np.array_equal(group[source], group)
    for one in np.unique(group):
        here = group == one
        most = max(count(label[here]).values())
        same = (label[source][here] == label[here]).sum()
        assert same == max(0, 2 * most - here.sum())


def test_the_nearest_subset_is_the_best_of_all_or_within_the_slack():
    sizes = [10, 20, 30, 40]
    rng = np.random.default_rng(0)
    assert nearest_subset(sizes, 29, rng, slack=0).tolist() in ([2], [0, 1])
    drawn = {tuple(nearest_subset(sizes, 50, rng, slack=0)) for _ in range(60)}
    assert drawn == {(0, 3), (1, 2)}
    assert nearest_subset([5, 5], 100, rng, slack=0).tolist() in ([0], [1])  # never all of them
    loose = {tuple(nearest_subset(sizes, 50, rng, slack=10)) for _ in range(200)}
    assert loose == {(3,), (0, 3), (1, 2), (1, 3), (0, 2), (0, 1, 2)}

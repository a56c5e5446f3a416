"""Arms are equal, matched, apart where asked, drawn fairly, and say what they could not match."""

import time
from collections import Counter
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmodels import arms as arms_module
from realmodels import deal as deal_module
from realmodels.arms import ARMS, PERMUTED, Design, draw, unchanged
from realmodels.audited import read_audit
from realmodels.cells import apart, cells, equal_draws, halves, ranks, supply, trimmed
from realmodels.deal import deal
from realmodels.errors import RealmodelsError

LABELS = ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def world(write_audit):
    """400 rows: 5 relations, 6 answers each, 90 subjects; what is known leans on the relation."""
    draws = rng(3)
    rows = []
    for number in range(400):
        relation, answer = int(draws.integers(5)), int(draws.integers(6))
        label = LABELS[int(draws.choice(4, p=np.roll([0.1, 0.3, 0.2, 0.4], relation)))]
        original = {"question": f"q{number}", "answers": [f"a{relation}-{answer}", f"alias{answer}"]}
        special = {
            "label": label,
            "relation": f"P{relation}",
            "subject": f"S{int(draws.integers(90))}",
            "overlaps_subject": bool(draws.integers(2)),
            "dominant_answer": answer < 2,
            "logprob": float(draws.normal()),
            "margin": float(draws.normal()),
        }
        rows.append((original, special))
    return read_audit(write_audit(rows))


def columns(audited, match):
    found = {
        "relation": audited.relation,
        "answer": audited.answer,
        "overlap": audited.overlap,
        "dominant": audited.dominant,
    }
    return [found[key] for key in match]


def profile(audited, rows, match):
    return Counter(tuple(int(c[row]) for c in columns(audited, match)) for row in rows.tolist())


MATCHES = [
    (),
    ("relation",),
    ("answer",),
    ("relation", "overlap"),
    ("relation", "answer", "overlap"),
    ("dominant", "overlap"),
]
SETS = [
    ("known", "unknown"),
    ("highly", "maybe", "weakly", "unknown"),
    ("best", "lesser", "random"),
    ("known", PERMUTED, "unknown"),
]


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("names", SETS)
@pytest.mark.parametrize("disjoint", [False, True])
def test_arms_are_equal_and_matched(world, names, match, disjoint):
    drawn = draw(world, Design(names, match, seed=1, disjoint=disjoint))
    assert tuple(arm.name for arm in drawn.arms) == names
    first = profile(world, drawn.arms[0].rows, match)
    for arm in drawn.arms:
        assert len(arm.rows) == drawn.matched > 0
        assert len(set(arm.rows.tolist())) == len(arm.rows)
        assert sorted(arm.rows.tolist()) == arm.rows.tolist()
        assert profile(world, arm.rows, match) == first
    if disjoint:
        own = [set(world.subject[arm.rows].tolist()) for arm in drawn.arms if arm.name != PERMUTED]
        assert sum(map(len, own)) == len(set().union(*own))


def test_each_arm_holds_what_it_says(world):
    allowed = {
        "known": {"HighlyKnown", "MaybeKnown"},
        "unknown": {"Unknown"},
        "highly": {"HighlyKnown"},
        "maybe": {"MaybeKnown"},
        "weakly": {"WeaklyKnown"},
        "random": set(LABELS),
        PERMUTED: {"HighlyKnown", "MaybeKnown"},
    }
    drawn = draw(world, Design(tuple(allowed)))
    for arm in drawn.arms:
        assert set(world.counts(arm.rows)["P0"]) == set(LABELS)
        said = {label for line in world.counts(arm.rows).values() for label, count in line.items() if count}
        assert said <= allowed[arm.name]
    assert len(ARMS) == len(allowed) + 2


def test_without_disjoint_subjects_nothing_that_could_be_matched_is_lost(world):
    match = ("relation", "answer", "overlap")
    drawn = draw(world, Design(("known", "unknown"), match))
    known = profile(world, np.flatnonzero(world.known), match)
    unknown = profile(world, np.flatnonzero(world.label == 0), match)
    assert drawn.matched == sum(min(known[cell], unknown[cell]) for cell in known)
    assert drawn.cells == (len(known | unknown), len(known & unknown))
    for name, total in (("known", sum(known.values())), ("unknown", sum(unknown.values()))):
        assert sum(drawn.unmatched[name].values()) == total - drawn.matched
        assert (
            f"{name}: {total - drawn.matched} of {total} rows found no partner"
            in drawn.notes[name == "unknown"]
        )


def test_best_and_lesser_are_halves_of_every_cell(world):
    drawn = draw(world, Design(("best", "lesser"), ("relation",), by="margin"))
    best, lesser = (arm.rows for arm in drawn.arms)
    assert not set(best.tolist()) & set(lesser.tolist())
    margin = world.scores["margin"]
    for relation in range(5):
        upper, lower = (rows[world.relation[rows] == relation] for rows in (best, lesser))
        assert margin[upper].min() >= margin[lower].max()
        assert len(upper) == (world.relation == relation).sum() // 2


def test_best_and_lesser_follow_the_named_score(world):
    by = {
        name: draw(world, Design(("best",), by=name)).arms[0].rows.tolist() for name in ("margin", "logprob")
    }
    assert by["margin"] != by["logprob"]
    with pytest.raises(RealmodelsError, match="no row has a p_true"):
        draw(world, Design(("best", "lesser"), by="p_true"))


def test_size_spreads_over_the_relations_by_their_shares(world):
    full = draw(world, Design(("known", "unknown"), ("relation",)))
    half = draw(world, Design(("known", "unknown"), ("relation",), size=full.matched // 2))
    for arm, whole in zip(half.arms, full.arms, strict=True):
        assert len(arm.rows) == full.matched // 2
        assert half.matched == full.matched
        counts, all_of_it = (np.bincount(world.relation[a.rows], minlength=5) for a in (arm, whole))
        assert np.abs(counts - all_of_it * len(arm.rows) / len(whole.rows)).max() < 1


def test_the_seed_decides_and_nothing_else(world):
    names = ("known", "unknown", PERMUTED)
    one, again, other = (draw(world, Design(names, size=20, seed=seed)) for seed in (4, 4, 5))
    for a, b in zip(one.arms, again.arms, strict=True):
        assert a.rows.tolist() == b.rows.tolist()
    assert one.arms[2].answers.tolist() == again.arms[2].answers.tolist()
    assert one.arms[0].rows.tolist() != other.arms[0].rows.tolist()


def test_criteria_come_first(world):
    among = np.flatnonzero(world.overlap == 0)
    drawn = draw(world, Design(("best", "lesser", "random", "known")), among)
    for arm in drawn.arms:
        assert (world.overlap[arm.rows] == 0).all()
    assert drawn.arms[2].pool == len(among)


def test_permuted_answers_are_false_and_as_many(world):
    drawn = draw(world, Design(("known", PERMUTED)))
    known, permuted = drawn.arms
    assert permuted.rows.tolist() == known.rows.tolist()
    assert sorted(permuted.answers.tolist()) == known.rows.tolist()
    assert (world.relation[permuted.answers] == world.relation[permuted.rows]).all()
    assert unchanged(world, permuted) == 0
    assert unchanged(world, known) == 0
    for row, other in zip(permuted.rows.tolist(), permuted.answers.tolist(), strict=True):
        assert not set(world.answers[row]) & set(world.answers[other])
    alone = draw(world, Design((PERMUTED, "unknown")))
    assert [arm.name for arm in alone.arms] == [PERMUTED, "unknown"]
    assert len(alone.arms[0].rows) == len(alone.arms[1].rows)


def test_a_relation_with_one_answer_cannot_be_made_false_and_that_is_said(write_audit):
    rows = [({"question": "q", "answers": ["a"], "relation": "P"}, {"label": "HighlyKnown"})] * 3
    rows += [
        ({"question": "q", "answers": [f"b{k}"], "relation": "Q"}, {"label": "HighlyKnown"}) for k in range(3)
    ]
    drawn = draw(read_audit(write_audit(rows)), Design((PERMUTED,)))
    (said,) = drawn.notes
    assert said.startswith("known-permuted: 3 rows kept a right answer, too common in their relation")


def test_what_the_arms_lack_is_said(write_audit):
    rows = [({"question": "q", "answers": ["a"], "relation": "P"}, {"label": label}) for label in LABELS]
    rows += [
        ({"question": "q", "answers": ["a"], "relation": "Q"}, {"label": "Unknown", "overlaps_subject": None})
    ]
    audited = read_audit(write_audit(rows))
    drawn = draw(audited, Design(("known", "unknown", PERMUTED), ("relation", "overlap"), disjoint=True))
    said = "\n".join(drawn.notes)
    assert "known: 1 of 2 rows found no partner" in said
    assert "relations without a row in the arms: Q" in said
    assert "the audit does not say if they overlap" in said
    assert "some rows have no subject" in said
    assert "same rows by design" in said
    bare = read_audit(write_audit([(row | {"relation": None}, special) for row, special in rows]))
    assert "no row has a relation: all are matched as one" in "\n".join(
        draw(bare, Design(("known", "unknown"))).notes
    )


def test_a_single_arm_is_a_draw_without_partners(world):
    drawn = draw(world, Design(("random",), size=50))
    assert len(drawn.arms[0].rows) == 50
    assert drawn.notes == ()


@pytest.mark.parametrize(
    ("design", "message"),
    [
        (Design(("knwon",)), "--arms: unknown 'knwon'; did you mean 'known'?"),
        (Design(("known",), ("relations",)), "--match: unknown 'relations'; did you mean 'relation'?"),
        (Design(("known", "known")), "--arms: a name stands there twice: known,known"),
        (Design(()), "--arms: no arm is named; known are known, unknown"),
        (Design(("known",), size=0), "--size: expected at least 1"),
        (Design(("known",), seed=-1), "--seed: expected an integer >= 0"),
        (Design(("best",), by="depth"), "--by: unknown score 'depth'"),
        (Design(("known", "unknown"), size=10_000), "10,000 rows an arm are wanted, but only"),
        (Design(("known", "unknown"), size=10_000), "take a smaller --size"),
        (
            Design(("known", "unknown"), ("relation", "answer", "overlap"), size=100),
            "--match relation,answer",
        ),
        (Design(("known", "unknown"), size=500, disjoint=True), "matched on relation with disjoint subjects"),
    ],
)
def test_what_cannot_be_drawn_is_refused(world, design, message):
    with pytest.raises(RealmodelsError) as caught:
        draw(world, design)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_arm_without_rows_and_arms_without_common_cells_are_refused(write_audit):
    rows = [({"question": "q", "answers": ["a"], "relation": "P"}, {"label": "MaybeKnown"})]
    rows += [({"question": "q", "answers": ["b"], "relation": "Q"}, {"label": "Unknown"})]
    audited = read_audit(write_audit(rows))
    with pytest.raises(RealmodelsError, match="arm 'highly': no row is HighlyKnown"):
        draw(audited, Design(("highly", "unknown")))
    with pytest.raises(RealmodelsError, match="only 0 can be matched on relation; say --match none"):
        draw(audited, Design(("known", "unknown")))


# -- the cells below the arms, against brute force


def test_cells_are_equal_where_all_columns_are():
    left, right = rng().integers(3, size=50), rng(1).integers(3, size=50)
    code = cells([left, right], 50)
    for i, j in product(range(50), repeat=2):
        assert (code[i] == code[j]) == ((left[i], right[i]) == (left[j], right[j]))
    assert cells([], 4).tolist() == [0, 0, 0, 0]


def test_ranks_count_within_cells_by_score():
    cell, score = np.array([1, 0, 1, 1, 0]), np.array([3.0, 1.0, 1.0, 2.0, 0.0])
    assert ranks(cell, rng(), score).tolist() == [2, 1, 0, 1, 0]


def test_draws_are_fair():
    """Each of four rows of a cell is drawn half of the time when its rival has two."""
    cell = np.zeros(6, np.int64)
    pools = [np.array([1, 1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 0, 1, 1], bool)]
    count = np.zeros(6)
    draws = rng(7)
    for _ in range(2000):
        count[equal_draws(cell, pools, draws)[0]] += 1
    assert np.abs(count[:4] / 2000 - 0.5).max() < 4 * np.sqrt(0.25 / 2000)


def test_equal_draws_are_aligned():
    cell = rng().integers(6, size=200)
    kind = rng(1).integers(3, size=200)
    drawn = equal_draws(cell, [kind == k for k in range(3)], rng(2))
    assert (cell[drawn] == cell[drawn[0]]).all()
    assert all((kind[drawn[k]] == k).all() for k in range(3))


@pytest.mark.parametrize("seed", range(5))
def test_halves_leave_out_odd_rows_and_rows_without_score(seed):
    draws = rng(seed)
    cell, score = draws.integers(4, size=41), draws.integers(5, size=41).astype(float)
    score[draws.random(41) < 0.2] = np.nan
    lower, upper = halves(cell, score, draws)
    assert not (lower & upper).any()
    for one in range(4):
        members = (cell == one) & ~np.isnan(score)
        low, high = score[lower & (cell == one)], score[upper & (cell == one)]
        assert len(low) == len(high) == members.sum() // 2
        assert low.max(initial=-1) <= high.min(initial=9)
    assert not np.isnan(score[lower | upper]).any()


def test_trimmed_keeps_shares_and_exact_size():
    group = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(group[trimmed(group, 50, rng())]).tolist() == [30, 15, 5]
    for size in range(1, 101):
        kept = trimmed(group, size, rng(size))
        assert len(kept) == size
        assert np.abs(np.bincount(group[kept], minlength=3) - size * np.array([0.6, 0.3, 0.1])).max() < 1


def best_apart(cell, pools, subject):
    """By trying every owner of every subject."""
    subjects = np.unique(subject)
    most = 0
    for owners in product(range(len(pools)), repeat=len(subjects)):
        own = np.array(owners)[np.searchsorted(subjects, subject)]
        most = max(most, int(supply(cell, [p & (own == a) for a, p in enumerate(pools)]).min(axis=0).sum()))
    return most


def conflicted(seed, arms):
    draws = rng(seed)
    n = 16
    cell, subject = draws.integers(3, size=n), draws.integers(7 if arms == 2 else 5, size=n)
    kind = draws.integers(arms, size=n)
    pools = [kind == a for a in range(arms)]
    if seed % 2:
        pools[0] = pools[0] | (draws.random(n) < 0.3)  # pools that share rows
    return cell, pools, subject


@pytest.mark.parametrize("arms", [2, 3])
def test_parting_subjects_comes_close_to_the_best_that_there_is(arms):
    found = best = exact = 0
    for seed in range(30):
        cell, pools, subject = conflicted(seed, arms)
        parted = apart(cell, pools, subject, rng(seed))
        for before, after in zip(pools, parted, strict=True):
            assert not (after & ~before).any()
        owners = [set(subject[pool].tolist()) for pool in parted]
        assert sum(map(len, owners)) == len(set().union(*owners))
        mine, most = int(supply(cell, parted).min(axis=0).sum()), best_apart(cell, pools, subject)
        found, best, exact = found + mine, best + most, exact + (mine == most)
    assert found >= 0.95 * best
    assert exact >= 24


def test_parting_leaves_uncontested_subjects_alone():
    cell, subject = np.zeros(4, np.int64), np.array([0, 1, 2, -1])
    pools = [np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1], bool)]
    assert [p.tolist() for p in apart(cell, pools, subject, rng())] == [p.tolist() for p in pools]


def test_a_row_without_subject_still_goes_to_one_arm():
    cell, subject = np.zeros(4, np.int64), np.full(4, -1)
    pools = [np.ones(4, bool)] * 2
    one, two = apart(cell, pools, subject, rng())
    assert not (one & two).any()
    assert one.sum() == two.sum() == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=40),
    st.integers(0, 9),
    st.sampled_from([0, deal_module.LARGE]),
)
def test_dealt_answers_are_a_permutation_and_false_where_they_can_be(pairs, seed, large):
    group = np.array([g for g, _ in pairs])
    answers = [frozenset({f"{a}"}) for _, a in pairs]
    with patch.object(deal_module, "LARGE", large):
        found = deal(group, answers, rng(seed))
    assert sorted(found.tolist()) == list(range(len(pairs)))
    assert (group[found] == group).all()
    for one in set(group.tolist()):
        members = np.flatnonzero(group == one).tolist()
        counts = Counter(pairs[i][1] for i in members)
        kept = sum(pairs[i][1] == pairs[int(found[i])][1] for i in members)
        # an answer that more than half of the rows have must stay on some of them, and no other need
        assert kept == max(0, 2 * max(counts.values()) - len(members))


def plainly_dealt(group, answers, rng):
    found = np.arange(len(group))
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        found[rows] = rng.permutation(rows)
        for i in rows[rng.permutation(len(rows))].tolist():
            if answers[i].isdisjoint(answers[found[i]]):
                continue
            for j in [*rng.choice(rows, deal_module.TRIES).tolist(), *rng.permutation(rows).tolist()]:
                if may_swap(answers, found, i, j):
                    found[i], found[j] = found[j], found[i]
                    break
    return found


def may_swap(answers, found, i, j):
    mine, yours = found[i], found[j]
    return answers[i].isdisjoint(answers[yours]) and (
        answers[j].isdisjoint(answers[mine]) or not answers[j].isdisjoint(answers[yours])
    )


def several_answers(seed, n=120):
    pick = rng(seed)
    many = pick.zipf(1.5 + seed % 4, size=(n, 2))
    answers = [
        frozenset({f"{a}", *([f"{b}"] if i % 3 else []), *([f"only {i}"] if i % 2 else [])})
        for i, (a, b) in enumerate(many.tolist())
    ]
    return pick.integers(1 + seed % 3, size=n), answers


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_several_answers_are_dealt_as_by_asking_everyone(seed):
    group, answers = several_answers(seed)
    assert deal(group, answers, rng(seed)).tolist() == plainly_dealt(group, answers, rng(seed)).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_in_a_large_group_nobody_who_can_help_is_overlooked(seed, monkeypatch):
    monkeypatch.setattr(deal_module, "LARGE", 0)
    monkeypatch.setattr(deal_module, "TRIES", 2)
    group, answers = several_answers(seed)
    found = deal(group, answers, rng(seed)).tolist()
    assert sorted(found) == list(range(len(group)))
    for i, k in enumerate(found):
        assert group[i] == group[k]
        if not answers[i].isdisjoint(answers[k]):
            others = np.flatnonzero(group == group[i]).tolist()
            assert not any(may_swap(answers, found, i, j) for j in others)


def test_a_large_group_whose_answers_are_mostly_one_takes_no_longer_a_row(monkeypatch):
    """A row that cannot be mended used to ask all others."""
    monkeypatch.setattr(deal_module, "LARGE", 0)
    monkeypatch.setattr(deal_module, "TRIES", 4)

    def seconds(n):
        answers = [frozenset({"a" if i % 5 else f"{i % 40}", f"only {i}"}) for i in range(n)]
        began = time.process_time()
        found = deal(np.zeros(n, np.int64), answers, rng())
        assert sum("a" in answers[i] and "a" in answers[k] for i, k in enumerate(found.tolist())) == 0.6 * n
        return time.process_time() - began

    assert seconds(8_000) < 9 * seconds(2_000)


def test_dealt_answers_do_not_stand_for_each_other():
    """Over many rows, the answers that one answer is replaced by are spread as the others are."""
    answers = [frozenset({str(k % 4)}) for k in range(400)]
    found = deal(np.zeros(400, np.int64), answers, rng(2))
    for one in range(4):
        count = Counter(int(found[i]) % 4 for i in range(400) if i % 4 == one)
        assert set(count) == set(range(4)) - {one}
        assert min(count.values()) > 15  # 33 expected


def test_streams_of_the_steps_are_apart():
    design = Design(("known",), seed=3)
    first = arms_module._rng(design, "draws").random()
    assert first == arms_module._rng(design, "draws").random()
    assert first != arms_module._rng(design, "size").random()

"""Worlds: determinism, the laws that their columns follow, how their parts agree, and what they refuse."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from theory.errors import TheoryError
from theory.world import TwoHop, World, WorldSpec, make_world
from theory.world_check import columns
from theory.world_draw import draw_columns, expected_mentions, stream

SMALL = WorldSpec(types=2, subjects=20, never_seen=5, relations=4, derived=1, answers=8, derived_answers=3)
GOLDEN = "a78affc706db2bff7f679b8a972903af714f6ccfef604ced1ff02d824079c1ce"


@pytest.fixture(scope="module")
def small() -> World:
    return make_world(replace(SMALL, copy_share=0.2, dominant=1), 7)


@pytest.fixture(scope="module")
def large() -> World:
    """Pure Zipf law, no noise: laws can be read off its columns."""
    spec = WorldSpec(
        types=2,
        subjects=4000,
        never_seen=300,
        relations=10,
        derived=2,
        answers=30,
        zipf_exponent=1.1,
        zipf_offset=0,
        dominant=2,
        dominant_share=0.55,
        mean_exposure=40.0,
        unseen=0.2,
        derived_unseen=0.5,
        copy_share=0.04,
    )
    return make_world(spec, 11)


# Determinism


def test_a_spec_and_a_seed_fix_the_world(small: World) -> None:
    again = make_world(small.spec, 7)
    assert again == small
    assert hash(again) == hash(small)
    assert again.fingerprint == small.fingerprint
    for name in columns(small.spec):
        np.testing.assert_array_equal(getattr(again, name), getattr(small, name))
    assert make_world(small.spec, 8) != small
    assert make_world(replace(small.spec, unseen=0.16), 7) != small
    assert small != "a world"


def test_the_fingerprint_is_this_one_on_every_machine() -> None:
    assert make_world(WorldSpec(), 0).fingerprint == GOLDEN


def test_other_processes_make_the_same_world() -> None:
    """With other hash seeds, and on the plainer arithmetic of an older processor, whose `exp` differs."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # type: ignore[call-overload]
    code = "from theory.world import *; print(make_world(WorldSpec(), 0).fingerprint)"
    root = Path(__file__).resolve().parents[2]
    for other in (
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "977", "NPY_DISABLE_CPU_FEATURES": " ".join(found)},
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **other},
            cwd=root,
            check=True,
        )
        assert done.stdout.strip() == GOLDEN


def test_global_random_state_plays_no_part(small: World) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert make_world(small.spec, 7) == small
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_streams_differ_by_seed_part_and_place() -> None:
    first = {
        stream(seed, part, *place).random()
        for seed in (0, 1, 2**70)
        for part in ("a", "b", "ab")
        for place in ((), (0,), (1,), (0, 0), (0, 1))
    }
    assert len(first) == 3 * 3 * 5


EXPOSURE = {"exposure", "rate"}
KNOBS: list[tuple[dict[str, Any], set[str]]] = [
    ({"prior_exponent": 0.5}, {"answer"}),
    ({"dominant": 1}, {"answer"}),
    ({"zipf_exponent": 1.4}, EXPOSURE),
    ({"popularity": "two-level"}, EXPOSURE),
    ({"fact_sigma": 0.1}, EXPOSURE),
    ({"relation_sigma": 0.1}, EXPOSURE | {"relation_weight"}),
    ({"mean_exposure": 9.0}, EXPOSURE),
    ({"unseen": 0.4}, EXPOSURE),
    ({"derived_unseen": 0.9}, EXPOSURE),
    ({"unseen_tilt": 2.0}, EXPOSURE),
    ({"at_least_once": False}, EXPOSURE),
    ({"copy_share": 0.1}, {"copies"}),
    ({"subject_words": (2,)}, set()),
    ({"word_reuse": 2}, set()),
]


@pytest.mark.parametrize(("knob", "changed"), KNOBS, ids=[next(iter(k)) for k, _ in KNOBS])
def test_one_knob_changes_only_its_own_part(knob: dict[str, Any], changed: set[str]) -> None:
    before, after = draw_columns(SMALL, 3), draw_columns(replace(SMALL, **knob), 3)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == changed
    if "unseen" in knob:  # facts withheld at 15 % are among those withheld at 40 %
        assert np.all(after["rate"][before["rate"] == 0] == 0)


def test_more_subjects_or_relations_leave_the_others_as_they_were() -> None:
    base = make_world(SMALL, 3)
    facts = base.spec.n_seen * base.spec.relations
    more = make_world(replace(SMALL, subjects=31), 3)
    np.testing.assert_array_equal(more.answer[:facts], base.answer[:facts])
    np.testing.assert_array_equal(
        more.answer[more.spec.n_seen * 4 :], base.answer[facts:]
    )  # never-seen subjects
    new = make_world(replace(SMALL, never_seen=9), 3)
    np.testing.assert_array_equal(new.answer[: len(base)], base.answer)
    np.testing.assert_array_equal(new.exposure[:facts], base.exposure[:facts])
    wide = make_world(replace(SMALL, relations=6), 3)
    for here, there in ((range(3), range(3)), ([3], [5])):  # the derived relation is the last
        facts, same = (
            np.concatenate([world.facts_of(subject)[of] for subject in range(world.spec.n_subjects)])
            for world, of in ((base, here), (wide, there))
        )
        np.testing.assert_array_equal(
            base.answer[facts] - base.pool_start[base.relation[facts]],
            wide.answer[same] - wide.pool_start[wide.relation[same]],
        )
        np.testing.assert_array_equal(base.rate[facts] > 0, wide.rate[same] > 0)
        kept = base.rate[facts] > 0
        assert np.ptp(np.log(wide.rate[same][kept] / base.rate[facts][kept])) < 1e-9  # another scale only


def test_parts_that_should_be_unrelated_are(large: World) -> None:
    """Never-seen subjects against seen ones, and what is withheld in one relation or type or another."""
    place = (large.answer - large.pool_start[large.relation]).reshape(-1, 10)
    same = np.mean(place[large.spec.n_seen :, 2:6] == place[:600, 2:6])
    by_chance = np.mean([np.sum(large.prior(r) ** 2) for t in (0, 10) for r in range(t + 2, t + 6)])
    # the likeliest answers of both kinds of subjects are the same, each answer is not
    assert abs(same - by_chance) < 0.05
    copies = large.copies.reshape(-1, 10).any(axis=1)
    assert abs(np.mean(copies[large.spec.n_seen :] == copies[:600]) - 0.52) < 0.1
    unseen = ~large.stated.reshape(-1, 10)[: large.spec.n_seen]
    table = np.corrcoef(np.concatenate([unseen[::2], unseen[1::2]], axis=1).T)
    assert np.abs(table - np.eye(20)).max() < 0.07


def test_generic_answers_and_maps_are_shuffled() -> None:
    worlds = [make_world(SMALL, seed) for seed in range(200)]
    generic = np.bincount([world.generic_answer(0) for world in worlds], minlength=8)
    assert stats.chisquare(generic).pvalue > 1e-4
    image = np.bincount([world.map_of(3)[0] - world.pool(3).start for world in worlds], minlength=3)
    assert stats.chisquare(image).pvalue > 1e-4


# The laws


def test_mean_exposure_is_as_asked(large: World) -> None:
    kept = large.rate > 0
    # exactly in expectation, up to the rounding of the scale
    assert large.expected_exposure[kept].mean() == pytest.approx(40.0, rel=1e-6)
    assert np.all(large.expected_exposure[~kept] == 0)
    error = np.sqrt(large.rate[kept].sum()) / kept.sum()
    assert abs(large.exposure[kept].mean() - 40.0) < 4 * error


@pytest.mark.parametrize("mean", [1.0001, 1.5, 3.0, 1e9])
@pytest.mark.parametrize("shape", ["zipf", "two-level", "log-normal"])
def test_mean_exposure_is_as_asked_in_every_shape(mean: float, shape: str) -> None:
    spec = replace(SMALL, subjects=300, popularity=shape, mean_exposure=mean)
    for at_least_once in (True, False):
        world = make_world(replace(spec, at_least_once=at_least_once), 1)
        assert world.expected_exposure[world.rate > 0].mean() == pytest.approx(mean, rel=1e-6)


def test_counts_follow_the_poisson_law_or_the_same_law_without_zero() -> None:
    spec = WorldSpec(
        types=1, subjects=20_000, never_seen=0, relations=1, derived=0, unseen=0.0, zipf_exponent=0.0,
        relation_sigma=0.0, fact_sigma=0.0, mean_exposure=1.8,
    )  # fmt: skip
    for at_least_once, low in ((False, 0), (True, 1)):
        world = make_world(replace(spec, at_least_once=at_least_once), 5)
        assert np.ptp(world.rate) == 0
        assert world.exposure.min() == low
        law = stats.poisson(world.rate[0])
        k = np.arange(low, 6)
        expected = np.append(law.pmf(k), law.sf(5)) * len(world) / law.sf(low - 1)
        seen = np.append([np.sum(world.exposure == i) for i in k], np.sum(world.exposure > 5))
        assert stats.chisquare(seen, expected).pvalue > 1e-3


def test_the_mean_of_a_count_that_is_not_zero() -> None:
    rate = np.array([0.0, 1e-9, 0.3, 2.0, 40.0, 1e12])
    k = np.arange(1, 200)
    by_hand = [np.sum(k * stats.poisson(r).pmf(k)) / stats.poisson(r).sf(0) for r in rate[2:5]]
    np.testing.assert_allclose(expected_mentions(rate, True), [0, 1, *by_hand, 1e12], rtol=1e-8)
    np.testing.assert_array_equal(expected_mentions(rate, False), rate)


@pytest.mark.parametrize("exponent", [0.6, 1.1, 1.5])
def test_the_zipf_slope_can_be_recovered(exponent: float) -> None:
    spec = WorldSpec(
        types=2,
        subjects=500,
        relations=8,
        zipf_exponent=exponent,
        zipf_offset=0,
        unseen=0.0,
        mean_exposure=2000.0,
    )
    world = make_world(spec, 2)
    mentions = world.exposure.reshape(-1, 8).sum(axis=1)
    for of_type in range(2):
        mine = world.seen & (world.subject_type == of_type)
        slope = stats.linregress(np.log(world.popularity_rank[mine]), np.log(mentions[mine]))
        assert abs(slope.slope + exponent) < 4 * slope.stderr
        assert slope.stderr < 0.03


def test_popularity_is_the_share_of_mentions_and_ranks_are_shuffled(large: World) -> None:
    for of_type in range(2):
        mine = large.subject_type == of_type
        assert large.popularity[mine].sum() == pytest.approx(1)
        assert sorted(large.popularity_rank[mine & large.seen]) == list(range(1, 4001))
    assert np.all(large.popularity[~large.seen] == 0)
    assert abs(stats.spearmanr(large.subject[::10][:8000], large.popularity_rank[:8000]).statistic) < 0.05
    top = large.popularity_rank == 1
    np.testing.assert_allclose(large.popularity[top], 1 / np.sum(np.arange(1, 4001.0) ** -1.1))


def test_two_levels_are_two_levels() -> None:
    spec = WorldSpec(
        subjects=1000,
        popularity="two-level",
        level_ratio=20.0,
        fact_sigma=0.0,
        relation_sigma=0.0,
        mean_exposure=200.0,
    )
    world = make_world(spec, 0)
    rank = world.popularity_rank[world.subject]
    top = world.rate[(rank > 0) & (rank <= 500) & (world.rate > 0)]
    low = world.rate[(rank > 500) & (world.rate > 0)]
    np.testing.assert_allclose(top.mean() / low.mean(), 20, rtol=1e-4)
    assert np.ptp(top) == np.ptp(low) == 0
    assert world.exposure[rank > 500].max() < world.exposure[(rank > 0) & (rank <= 500) & world.stated].min()


def test_noise_and_relation_weights_have_their_spread() -> None:
    spec = WorldSpec(
        types=3, subjects=400, relations=200, derived=0, never_seen=0, zipf_exponent=0.0, unseen=0.0,
        relation_sigma=0.7, fact_sigma=0.4,
    )  # fmt: skip
    world = make_world(spec, 4)
    weights = np.log(world.relation_weight)
    assert abs(weights.std() - 0.7) < 4 * 0.7 / np.sqrt(2 * 600)
    noise = np.log(world.rate) - weights[world.relation]
    assert abs(noise.std() - 0.4) < 4 * 0.4 / np.sqrt(2 * len(world))


def test_the_prior_can_be_recovered(large: World) -> None:
    for relation in range(large.spec.n_relations):
        pool, prior = large.pool(relation), large.prior(relation)
        assert prior.sum() == pytest.approx(1)
        facts = large.facts_about(relation)
        assert len(facts) == 4300
        seen = np.bincount(large.answer[facts] - pool.start, minlength=len(pool))
        assert stats.chisquare(seen, prior * len(facts)).pvalue > 1e-4
        assert large.generic_answer(relation) == pool.start + int(np.argmax(seen))
    counts = large.answer_counts()
    assert counts.sum() == len(large)
    assert large.answer_counts(stated_only=True).sum() == large.stated.sum()
    np.testing.assert_array_equal(counts, [np.sum(large.answer == a) for a in range(large.spec.n_answers)])


def test_dominant_relations_are_counted_and_hold_their_share(large: World) -> None:
    assert large.counts()["dominant relations"] == 2 * 2
    for relation in np.flatnonzero(large.dominant):
        facts = large.facts_about(int(relation))
        assert abs(large.generic[facts].mean() - 0.55) < 4 * np.sqrt(0.55 * 0.45 / len(facts))
        assert large.prior(int(relation)).max() == pytest.approx(0.55)
        assert large.base_relation[relation] == -1
    others = [r for r in range(20) if not large.dominant[r] and large.base_relation[r] < 0]
    assert all(large.prior(r).max() == pytest.approx(1 / np.sum(1 / np.arange(1, 31.0))) for r in others)


def test_the_unseen_share_is_as_asked(large: World) -> None:
    of_seen = large.seen[large.subject]
    for derived, share in ((False, 0.2), (True, 0.5)):
        facts = of_seen & (large.derived == derived)
        error = np.sqrt(share * (1 - share) / facts.sum())
        assert abs(1 - large.stated[facts].mean() - share) < 4 * error
    assert not large.stated[~of_seen].any()
    np.testing.assert_array_equal(large.stated, large.rate > 0)


def test_unpopular_subjects_are_likelier_unseen_only_if_asked() -> None:
    spec = WorldSpec(types=1, subjects=3000, never_seen=0, unseen=0.3)
    for tilt in (0.0, 3.0):
        world = make_world(replace(spec, unseen_tilt=tilt), 6)
        unseen = ~world.stated.reshape(-1, 8)
        assert abs(unseen.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / unseen.size)
        standing = world.popularity_rank / 3000 - 0.5
        slope = _logistic_slope(np.repeat(standing, 8), unseen.ravel())
        assert abs(slope - tilt) < 0.25


def _logistic_slope(x: np.ndarray, y: np.ndarray) -> float:
    """Newton's method for one slope and an intercept."""
    design, beta = np.stack([np.ones_like(x), x], axis=1), np.zeros(2)
    for _ in range(20):
        p = 1 / (1 + np.exp(-design @ beta))
        beta += np.linalg.solve(design.T * (p * (1 - p)) @ design, design.T @ (y - p))
    return float(beta[1])


def test_chance_may_miss_facts_when_they_need_not_be_stated() -> None:
    spec = WorldSpec(unseen=0.1, mean_exposure=2.0, at_least_once=False)
    world = make_world(spec, 1)
    kept = world.rate > 0
    assert np.any(kept & ~world.stated)
    missed = np.exp(-world.rate[kept])
    assert abs(np.sum(~world.stated[kept]) - missed.sum()) < 4 * np.sqrt(np.sum(missed * (1 - missed)))


# Structure


def test_columns_agree_with_each_other(small: World) -> None:
    spec = small.spec
    assert len(small) == len(small.answer) == 50 * 4
    seen = set()
    for fact in range(len(small)):
        subject, relation = int(small.subject[fact]), int(small.relation[fact])
        seen.add((subject, relation))
        assert small.subject_type[subject] == small.relation_type[relation] == subject % 2
        assert small.answer[fact] in small.pool(relation)
        assert small.answer_relation[small.answer[fact]] == relation
        assert small.fact(subject, relation) == fact
        assert fact in small.facts_of(subject)
        assert fact in small.facts_about(relation)
        assert small.generic[fact] == (small.answer[fact] == small.generic_answer(relation))
        assert small.derived[fact] == (small.base_relation[relation] >= 0)
    assert len(seen) == len(small)
    np.testing.assert_array_equal(small.fact(small.subject, small.relation), np.arange(len(small)))
    pools = [set(small.pool(r)) for r in range(spec.n_relations)]
    assert set.union(*pools) == set(range(spec.n_answers))
    assert sum(map(len, pools)) == spec.n_answers
    stated = small.facts_about(1, stated_only=True)
    assert set(stated) == {f for f in small.facts_about(1) if small.exposure[f] > 0}


def test_derived_facts_follow_from_their_base_facts(large: World) -> None:
    assert large.counts()["derived relations"] == 4
    for relation in np.flatnonzero(large.base_relation >= 0):
        image = large.map_of(int(relation))
        assert set(image.tolist()) == set(large.pool(int(relation)))
        assert not large.derived[large.facts_about(int(large.base_relation[relation]))].any()
    bases = large.base_relation[[8, 9, 18, 19]]
    assert bases.tolist() == [0, 1, 10, 11]
    for fact in np.flatnonzero(large.derived)[::997]:
        path = large.two_hop_path(int(fact))
        subject, relation = int(large.subject[fact]), int(large.relation[fact])
        base = int(large.base_relation[relation])
        bridge = int(large.answer[path.base_fact])
        assert path == TwoHop(int(large.fact(subject, base)), bridge, int(large.answer[fact]))
        assert large.map_of(relation)[bridge - large.pool(base).start] == path.answer
        assert large.base_fact[fact] == path.base_fact
    assert np.all((large.base_fact < 0) == ~large.derived)
    derived = np.flatnonzero(large.derived)
    np.testing.assert_array_equal(large.follow(derived), large.answer[derived])


def test_a_base_relation_can_carry_several_derived_ones() -> None:
    world = make_world(replace(SMALL, relations=5, derived=3), 0)
    assert world.base_relation.tolist() == [-1, -1, 0, 1, 0, -1, -1, 5, 6, 5]
    assert not np.array_equal(world.map_of(2) - world.pool(2).start, world.map_of(4) - world.pool(4).start)


def test_never_seen_subjects_have_facts_and_names_but_no_mention(large: World) -> None:
    new = ~large.seen
    assert new.sum() == 600
    facts = large.fact(np.flatnonzero(new)[:, None], np.arange(10) + 10 * (np.flatnonzero(new) % 2)[:, None])
    assert facts.shape == (600, 10)
    assert not large.stated[facts].any()


def test_longer_names_of_never_seen_subjects_are_made_of_words_that_were_seen() -> None:
    world = make_world(WorldSpec(), 0)
    names = [world.subject_name(i).split() for i in range(world.spec.n_subjects)]
    said = {word for name, seen in zip(names, world.seen, strict=True) for word in name if seen}
    new = [name for name, seen in zip(names, world.seen, strict=True) if not seen]
    longer = [word in said for name in new if len(name) > 1 for word in name]
    assert len(longer) > 100
    assert np.mean(longer) > 0.98
    assert not any(name[0] in said for name in new if len(name) == 1)


def test_copying_facts_and_only_they_repeat_a_word_of_the_subject(large: World) -> None:
    per_subject = large.copies.reshape(-1, 10).sum(axis=1)
    assert per_subject.max() == 1
    assert abs(large.copies.mean() - 0.04) < 4 * np.sqrt(0.4 * 0.6 / len(per_subject)) / 10
    where = np.bincount(np.flatnonzero(large.copies) % 10, minlength=10)
    assert stats.chisquare(where).pvalue > 1e-4
    assert abs(per_subject[~large.seen].mean() - 0.4) < 4 * np.sqrt(0.24 / 600)
    subject = [set(large.subject_name(i).split()) for i in range(large.spec.n_subjects)]
    answer = [set(large.answer_name(a).split()) for a in range(large.spec.n_answers)]
    overlap = [not subject[s].isdisjoint(answer[a]) for s, a in zip(large.subject, large.answer, strict=True)]
    np.testing.assert_array_equal(overlap, large.copies)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    st.integers(0, 2**80),
    st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    st.integers(1, 6),
    st.integers(1, 3),
    st.floats(0, 0.25),
    st.integers(0, 3),
    st.floats(0, 0.9),
    st.sampled_from(["zipf", "two-level", "log-normal"]),
)
def test_every_world_keeps_its_promises(
    seed: int,
    subject_words: tuple[int, ...],
    answer_words: tuple[int, ...],
    reuse: int,
    types: int,
    copy_share: float,
    derived: int,
    unseen: float,
    shape: Any,
) -> None:
    spec = replace(
        SMALL, types=types, derived=derived, copy_share=copy_share, subject_words=subject_words,
        answer_words=answer_words, word_reuse=reuse, popularity=shape, unseen=unseen, unseen_tilt=1.0,
    )  # fmt: skip
    world = make_world(spec, seed)  # the constructor checks the columns
    subjects = [world.subject_name(i) for i in range(spec.n_subjects)]
    answers = [world.answer_name(j) for j in range(spec.n_answers)]
    relations = [world.relation_name(r) for r in range(spec.n_relations)]
    kinds = [world.type_name(t) for t in range(spec.types)]
    everything = subjects + answers + relations + kinds
    assert len(set(everything)) == len(everything)
    assert all(1 <= len(name.split()) <= 3 for name in everything)
    for fact, copies in enumerate(world.copies):
        subject, _, answer = (set(name.split()) for name in world.triple(fact))
        assert bool(subject & answer) == copies
    assert set(world.words()) == {word for name in everything for word in name.split()}
    used = Counter(word for name in answers for word in name.split())
    assert max(used.values()) <= reuse


def test_word_counts_come_in_turn_over_all_subjects() -> None:
    world = make_world(replace(SMALL, subjects=25, subject_words=(1, 2, 3), answer_words=(2,)), 0)
    lengths = Counter(len(world.subject_name(i).split()) for i in range(world.spec.n_subjects))
    assert lengths == {1: 20, 2: 20, 3: 20}
    assert {len(world.answer_name(a).split()) for a in range(world.spec.n_answers)} == {2}


# What a person meets


def test_nothing_can_be_changed(small: World) -> None:
    with pytest.raises(FrozenInstanceError):
        small.seed = 3  # type: ignore[misc]
    computed = """
        subject relation derived base_fact subject_type seen relation_type base_relation dominant pool_start
        answer_relation stated expected_exposure popularity answer_prior generic
    """
    every = [*columns(small.spec), *computed.split()]
    for name in every:
        with pytest.raises(ValueError, match="read-only"):
            getattr(small, name)[...] = 0
    for array in (small.prior(0), small.map_of(3)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_callers_arrays_stay_the_callers() -> None:
    drawn = draw_columns(SMALL, 0)
    world = World(SMALL, 0, **drawn)
    drawn["exposure"][0] += 1
    assert world == make_world(SMALL, 0)


def test_a_pickled_world_is_the_same_and_as_frozen(small: World) -> None:
    copy = pickle.loads(pickle.dumps(small))
    assert copy == small
    assert not copy.answer.flags.writeable


def test_any_change_of_content_changes_the_fingerprint(small: World) -> None:
    prints = {small.fingerprint, replace(small, seed=8).fingerprint}
    prints.add(replace(small, spec=replace(small.spec, word_reuse=2)).fingerprint)
    for name in ("exposure", "rate", "relation_weight"):
        array = getattr(small, name).copy()
        array[np.flatnonzero(array)[0]] *= 2
        prints.add(replace(small, **{name: array}).fingerprint)
    copies = small.copies.copy()
    copies[np.flatnonzero(copies)[0]] = False
    prints.add(replace(small, copies=copies).fingerprint)
    assert len(prints) == 7


def test_the_description_counts_what_is_there(large: World) -> None:
    counts, facts = large.counts(), large.spec.n_seen * 10
    assert counts["facts"] == facts == 80_000
    assert counts["never stated"] == np.sum(large.exposure[:facts] == 0)
    assert counts["stated once"] == np.sum(large.exposure == 1)
    assert counts["mentions"] == large.exposure.sum()
    assert counts["copying"] == large.copies[:facts].sum()
    assert counts["derived"] == facts // 5
    assert counts["most mentions of a fact"] == large.exposure.max()
    text = large.describe().splitlines()
    assert "facts                      80,000" in text
    assert text[1].split() == ["fingerprint", large.fingerprint[:12]]
    assert repr(large) == f"World(seed=11, facts=86,000, fingerprint={large.fingerprint[:12]})"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda w: w.subject_name(50), r"World.subject_name: expected one of the subjects 0 to 49, got 50"),
        (lambda w: w.subject_name(-1), r"World.subject_name: expected one of the subjects 0 to 49, got -1"),
        (lambda w: w.answer_name(2.0), r"World.answer_name: expected one of the answers 0 to 53, got 2.0"),
        (lambda w: w.relation_name(8), r"World.relation_name: expected one of the relations 0 to 7, got 8"),
        (lambda w: w.type_name(True), r"World.type_name: expected one of the types 0 to 1, got True"),
        (lambda w: w.triple(200), r"World.triple: expected one of the facts 0 to 199, got 200"),
        (lambda w: w.pool(8), r"World.pool: expected one of the relations 0 to 7, got 8"),
        (lambda w: w.facts_of(50), r"World.facts_of: expected one of the subjects 0 to 49, got 50"),
        (lambda w: w.facts_about(9), r"World.facts_about: expected one of the relations 0 to 7, got 9"),
        (lambda w: w.fact(50, 0), r"World.fact: expected one of the subjects 0 to 49, got 50"),
        (lambda w: w.fact([0, 2], [0, 8]), r"World.fact: expected one of the relations 0 to 7, got 8"),
        (lambda w: w.fact([0, 3], 0), r"World.fact: .* but relation 0 is for type 0, subject 3 of 1"),
        (lambda w: w.fact(0.5, 0), r"World.fact: expected subject numbers, got float64"),
        (lambda w: w.fact("a", 0), r"World.fact: expected subject numbers, got <U1"),
        (lambda w: w.follow([3, 999]), r"World.follow: expected one of the facts 0 to 199, got 999"),
        (lambda w: w.follow([-1]), r"World.follow: expected one of the facts 0 to 199, got -1"),
        (lambda w: w.follow([3.0]), r"World.follow: expected fact numbers, got float64"),
        (lambda w: make_world({"types": 1}, 0), r"make_world: expected a WorldSpec, got dict"),
        (lambda w: w.map_of(0), r"World.map_of: relation 0 is not derived; see World.base_relation"),
        (lambda w: w.follow([3, 1]), r"World.follow: fact 1 is not derived; see World.derived"),
        (lambda w: w.two_hop_path(4), r"World.two_hop_path: fact 4 is not derived; see World.derived"),
        (lambda w: make_world(SMALL, -1), r"World.seed: expected an integer >= 0, got -1"),
        (lambda w: make_world(SMALL, 1.5), r"World.seed: expected an integer >= 0, got 1.5"),
        (lambda w: make_world(SMALL, True), r"World.seed: expected an integer >= 0, got True"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(small: World, call: Any, words: str) -> None:
    with pytest.raises(TheoryError, match=f"^{words}") as caught:
        call(small)
    assert "\n" not in str(caught.value)


def test_a_seed_that_withholds_everything_is_reported() -> None:
    spec = WorldSpec(types=1, subjects=2, never_seen=0, relations=2, derived=0, unseen=0.74)
    seeds = [seed for seed in range(40) if not _can_be_made(spec, seed)]
    assert seeds
    with pytest.raises(
        TheoryError, match=rf"^WorldSpec.unseen: with seed {seeds[0]} a share of 0.74 withheld all 4"
    ):
        make_world(spec, seeds[0])


def _can_be_made(spec: WorldSpec, seed: int) -> bool:
    try:
        return bool(make_world(spec, seed).stated.any())
    except TheoryError:
        return False


def _first(mask: np.ndarray) -> int:
    return int(np.flatnonzero(mask)[0])


DAMAGE: list[tuple[str, Any, Any, str]] = [
    (
        "answer",
        lambda w: 0,
        lambda w: 8,
        r"World.answer\[0\]: expected an answer of the fact's relation, got 8",
    ),
    (
        "answer",
        lambda w: 0,
        lambda w: -1,
        r"World.answer\[0\]: expected an answer of the fact's relation, got -1",
    ),
    (
        "answer",
        lambda w: 3,
        lambda w: 24 + (w.answer[3] - 23) % 3,
        r"World.answer\[3\]: .* follows from the base fact",
    ),
    (
        "answer_map",
        lambda w: (0, 0),
        lambda w: 5,
        r"World.answer_map\[0, 0, 0\]: expected an answer of the derived",
    ),
    ("answer_map", lambda w: (1, 0), lambda w: 51, r"World.answer_map\[1, 0, 0\]: .* reaches every answer"),
    ("rate", lambda w: 0, lambda w: np.inf, r"World.rate\[0\]: expected a finite number >= 0, got inf"),
    ("rate", lambda w: 2, lambda w: -1.0, r"World.rate\[2\]: expected a finite number >= 0, got -1.0"),
    (
        "rate",
        lambda w: 160,
        lambda w: 1.0,
        r"World.rate\[160\]: expected 0 for a never-seen subject, got 1.0",
    ),
    ("exposure", lambda w: 1, lambda w: -3, r"World.exposure\[1\]: expected a count >= 0, got -3"),
    (
        "exposure",
        lambda w: _first(w.rate == 0),
        lambda w: 1,
        r"World.exposure\[\d+\]: expected 0 for a withheld",
    ),
    ("exposure", lambda w: _first(w.rate > 0), lambda w: 0, r"World.exposure\[\d+\]: expected at least 1"),
    (
        "relation_weight",
        lambda w: 5,
        lambda w: np.nan,
        r"World.relation_weight\[5\]: expected a number > 0, got nan",
    ),
    (
        "copies",
        lambda w: slice(0, 2),
        lambda w: True,
        r"World.copies\[1\]: expected at most one copying fact",
    ),
    (
        "popularity_rank",
        lambda w: 40,
        lambda w: 1,
        r"World.popularity_rank\[40\]: expected 0 for a never-seen",
    ),
    (
        "popularity_rank",
        lambda w: 2,
        lambda w: 21,
        r"World.popularity_rank\[2\]: expected the ranks of a type, got 21",
    ),
    (
        "popularity_rank",
        lambda w: 6,
        lambda w: w.popularity_rank[2],
        r"World.popularity_rank\[6\]: expected the ranks of",
    ),
    ("answer_rank", lambda w: 25, lambda w: 1, r"World.answer_rank\[25\]: expected 0 in a derived relation"),
    ("answer_rank", lambda w: 4, lambda w: 0, r"World.answer_rank\[4\]: expected the ranks of a pool, got 0"),
]


@pytest.mark.parametrize(
    ("name", "where", "value", "words"), DAMAGE, ids=[f"{d[0]}-{i}" for i, d in enumerate(DAMAGE)]
)
def test_columns_that_no_spec_can_give_are_refused(
    small: World, name: str, where: Any, value: Any, words: str
) -> None:
    array = getattr(small, name).copy()
    array[where(small)] = value(small)
    with pytest.raises(TheoryError, match=f"^{words}"):
        replace(small, **{name: array})


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "answer",
            lambda a: a.astype(np.int64),
            r"World.answer: expected int32 of shape \(200,\), got int64 \(200,\)",
        ),
        (
            "exposure",
            lambda a: a[:-1],
            r"World.exposure: expected int64 of shape \(200,\), got int64 \(199,\)",
        ),
        ("copies", lambda a: a.tolist(), r"World.copies: expected bool of shape \(200,\), got list"),
    ],
)
def test_columns_of_a_wrong_kind_are_refused(small: World, name: str, change: Any, words: str) -> None:
    with pytest.raises(TheoryError, match=f"^{words}"):
        replace(small, **{name: change(getattr(small, name))})

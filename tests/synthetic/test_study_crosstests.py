from dataclasses import replace

import numpy as np
import pytest
import torch
from tinylab import SEEDS, check_names, every_other, tiny

from synthetic.base import base
from synthetic.contrast import CONTRAST, tune_contrast
from synthetic.finetune import finetune
from synthetic.model import hidden_states
from synthetic.pool import pool_of
from synthetic.score import Stamp, exam, say
from synthetic.select import affected, select
from synthetic.similarity import embed, quarters, similarity
from synthetic.split import split
from synthetic.studies import crosstests
from theory.claims.scoreboard import evaluate
from theory.slick import Category
from theory.table import Table

TINY = tiny(tune={"epochs": 4})
CLAIMS = ("X4", "X5", "U2")
DEALT = (crosstests, every_other)


@pytest.fixture(scope="module")
def ground(cache):
    return base(TINY, 0, cache)


@pytest.fixture(scope="module")
def known(ground, cache):
    return every_other(ground, cache)


@pytest.fixture(scope="module")
def records(cache):
    return {seed: list(crosstests.run(TINY, seed, cache, lambda *_: None)) for seed in SEEDS}


def test_every_claim_of_the_study_finds_its_rows(records):
    board = evaluate(Table.from_records([r for some in records.values() for r in some]), CLAIMS)
    assert [v.claim.id for v in board.verdicts] == list(CLAIMS)
    for verdict in board.verdicts:
        assert verdict.arm == "all"
        assert verdict.answer != "missing", verdict.reason
        assert {part.seeds for part in verdict.parts} == {len(SEEDS)}
        assert not [part.missing for part in verdict.parts if part.missing]


def test_no_observation_stands_there_twice_and_all_names_are_in_the_vocabulary(records):
    check_names(records)


def test_a_seed_gives_the_same_records_whatever_was_done_before(records, cache):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert list(crosstests.run(TINY, 1, cache, lambda *_: None)) == records[1]


def test_where_unknown_rows_are_is_told_apart_on_the_relations_that_have_no_others(ground, known, records):
    parts = split(ground)
    pool = pool_of(ground, known, parts.train)
    rows = select(pool, "concentrated:0.25")
    hit = affected(pool, 0.25)
    relation = ground.world.relation
    assert not rows.known[np.isin(relation[rows.facts], hit)].any()
    assert rows.known[~np.isin(relation[rows.facts], hit)].all()
    weights = finetune(ground, rows).weights
    asked = exam(ground, "test", parts.test)
    right = say(asked, ground, weights) == ground.world.answer[parts.test]
    here = np.isin(relation[parts.test], hit)
    own = {
        r.stratum: r
        for r in records[0]
        if (r.trained_on, r.split, r.metric) == ("concentrated:0.25", "test", "accuracy")
    }
    for stratum, some in (
        ("all", np.ones_like(here)),
        ("relation=affected", here),
        ("relation=other", ~here),
    ):
        assert own[stratum].value == pytest.approx(right[some].mean())
        assert own[stratum].n == some.sum()
    spread = [r for r in records[0] if r.trained_on == "spread:0.25" and r.stratum == "relation=affected"]
    assert {(r.split, r.n) for r in spread} == {("test", int(here.sum()))}


def test_the_gap_is_looked_at_in_quarters_of_all_held_out_facts(ground, known, records):
    parts = split(ground)
    pool = pool_of(ground, known, parts.train)
    facts = np.concatenate([parts.test, parts.ood_relation, parts.ood_type])
    among = np.concatenate([select(pool, name).facts for name in ("known", "unknown")])
    where = quarters(similarity(ground, among, facts))
    weights = finetune(ground, select(pool, "known")).weights
    right = say(exam(ground, "graded", facts), ground, weights) == ground.world.answer[facts]
    own = {r.stratum: r for r in records[0] if (r.trained_on, r.split) == ("known", "graded")}
    for quarter in range(1, 5):
        found = own[f"similarity={quarter}"]
        assert (found.value, found.n) == (
            pytest.approx(right[where == quarter].mean()),
            (where == quarter).sum(),
        )
    for name, some in (
        ("test", parts.test),
        ("ood-relation", parts.ood_relation),
        ("ood-type", parts.ood_type),
    ):
        (found,) = [r for r in records[0] if (r.trained_on, r.split, r.stratum) == ("known", name, "all")]
        assert (found.value, found.n) == (pytest.approx(right[np.isin(facts, some)].mean()), len(some))


def test_the_axis_is_written_down(ground, records):
    axis = {r.stratum: r for r in records[0] if r.metric == "similarity"}
    means = [axis[f"similarity={quarter}"].value for quarter in range(1, 5)]
    assert means == sorted(means)
    parts = split(ground)
    for name, some in (
        ("test", parts.test),
        ("ood-relation", parts.ood_relation),
        ("ood-type", parts.ood_type),
    ):
        assert sum(r.n for s, r in axis.items() if s.endswith(f"split={name}")) == len(some)


def test_fitted_rows_are_counted_at_the_end(ground, known, records):
    rows = select(pool_of(ground, known, split(ground).train), "spread:0.5")
    own = {r.stratum: r.n for r in records[0] if (r.trained_on, r.metric) == ("spread:0.5", "fitted")}
    assert own == {"all": len(rows), "known=yes": rows.known.sum(), "known=no": (~rows.known).sum()}
    steps = {r.step for r in records[0] if r.trained_on == "spread:0.5"}
    assert steps == {len(finetune(ground, rows).losses)}


def test_a_single_relation_has_no_other_one_to_put_its_unknown_rows_into(tmp_path):
    one = replace(TINY, foreign=2, held_out=2)
    assert crosstests.arms(one) == ("known", "unknown")
    found = list(crosstests.run(one, 0, tmp_path, lambda *_: None))
    assert {r.trained_on for r in found} == {"none", "known", "unknown"}


def test_a_text_is_embedded_alone_as_among_longer_ones(ground):
    prompts = [(5, 6), (7, 8, 9, 10), (11,)]
    found = embed(ground, prompts)
    for prompt, vector in zip(prompts, found, strict=True):
        tokens = torch.tensor([[ground.vocabulary.bos, *prompt]])
        states = hidden_states(ground.weights, ground.spec, tokens, torch.arange(tokens.shape[1])[None])
        assert vector == pytest.approx(states[0, 1:].mean(0).numpy(), abs=1e-5)


def test_similarity_is_the_mean_cosine_with_the_nearest_rows(ground, monkeypatch):
    parts = split(ground)
    rows, facts = parts.train[:30], parts.ood_type[:7]
    from synthetic import similarity as module

    monkeypatch.setattr(module, "BATCH", 4)
    found = similarity(ground, rows, facts, nearest=3)
    s = {f: ground.world.triple(int(f)) for f in (*rows, *facts)}
    vectors = {
        f: embed(ground, [ground.vocabulary.encode(f"question {r} of {name} ? answer")])[0]
        for f, (name, r, _) in s.items()
    }
    centre = np.mean([vectors[f] for f in rows], axis=0)
    for fact, value in zip(facts, found, strict=True):
        x = vectors[fact] - centre
        cosines = [
            float(x @ (vectors[f] - centre) / np.linalg.norm(x) / np.linalg.norm(vectors[f] - centre))
            for f in rows
        ]
        assert value == pytest.approx(np.mean(sorted(cosines)[-3:]), abs=1e-6)
    assert similarity(ground, rows, rows, nearest=1) == pytest.approx(np.ones(30))
    assert similarity(ground, rows[:2], facts, nearest=10) == pytest.approx(
        similarity(ground, rows[:2], facts, nearest=2)
    )


@pytest.mark.parametrize("n", [4, 7, 10, 101])
def test_quarters_are_as_large_as_can_be_and_in_order(n):
    x = np.random.default_rng(n).random(n)
    found = quarters(x)
    assert set(found) == {1, 2, 3, 4}
    assert np.ptp(np.bincount(found)[1:]) <= 1
    for low in (1, 2, 3):
        assert x[found == low].max() <= x[found == low + 1].min()


def test_equal_similarities_still_fill_four_quarters():
    assert np.bincount(quarters(np.zeros(8))).tolist() == [0, 2, 2, 2, 2]


def test_an_exam_that_is_not_graded_is_not_labelled_by_similarity(ground, known):
    parts = split(ground)
    graded, cosine = crosstests.graded_exam(ground, known, parts, parts.train)
    assert len(graded) == len(cosine) == len(parts.test) + len(parts.ood_relation) + len(parts.ood_type)
    assert set(graded.labels["split"]) == {"test", "ood-relation", "ood-type"}
    stamp = Stamp("synthetic/R1", "crosstests", "-", 0, "all", 0, "none")
    rows = select(pool_of(ground, known, parts.train), "known")
    asked = exam(ground, "test", parts.test, knowledge=known)
    found = list(crosstests.at_the_end(ground, rows, stamp, [asked], None))
    assert not [r for r in found if "similarity" in r.stratum]
    assert {r.stratum for r in found if r.split == "test"} >= {
        f"category={Category.Unknown.name}",
        f"category={Category.HighlyKnown.name}",
    }


def test_the_contrast_is_that_of_the_study_of_prompts(ground, known, records, cache, monkeypatch):
    """Tuned once for both studies; alone it is tuned here, to the same bits."""
    kept = set(cache.glob("tuned-*"))
    assert len(kept) == 2 * len(SEEDS)
    pool = pool_of(ground, known, split(ground).train)
    for name in CONTRAST:
        rows = select(pool, name)
        tuned = tune_contrast(ground, rows, Stamp(TINY.lab, "prompts", "-", 0, "all", 0, "none"), cache)
        plain = finetune(ground, rows).weights
        assert all(torch.equal(tuned.end.weights[part], plain[part]) for part in plain)
    assert set(cache.glob("tuned-*")) == kept

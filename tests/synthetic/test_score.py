from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic.answers import ABSTAIN
from synthetic.base import base
from synthetic.errors import SyntheticError
from synthetic.finetune import checkpoints, finetune, steps_of, tuning
from synthetic.generate import generate
from synthetic.knowledge import Knowledge
from synthetic.model import EMBEDDING
from synthetic.pool import pool_of
from synthetic.rows import Rows, ask_rows, documents
from synthetic.score import Exam, Stamp, exam, items, rate, say, sit, strata, train_exam
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split, stated
from synthetic.strata import answer_support, labels_of, popularity
from synthetic.train_spec import TrainSpec
from theory.claims.vocabulary import STRATA
from theory.records import RecordWriter, read_records

TINY = replace(
    DEFAULT,
    world=replace(
        DEFAULT.world, types=2, subjects=40, never_seen=6, relations=4, answers=10, mean_exposure=6.0
    ),
    shape=Shape(width=16, layers=2, heads=2, hidden=24),
    tune=TrainSpec(rate=1e-2, batch=8, unit="documents", room=16, epochs=6),
    shots_from=0.15,
    dev=0.1,
)
STAMP = Stamp("synthetic/R2-2layer", "salience", "run", 0, "all", 5, "best")


@pytest.fixture(scope="module")
def tiny():
    return base(TINY, 2)


@pytest.fixture(scope="module")
def known(tiny):
    """What a network might know: any categories will do here."""
    rng = np.random.default_rng(0)
    world, n = tiny.world, len(tiny.world)
    uses = split(tiny)
    facts = np.concatenate([uses.train, uses.dev, uses.test, uses.ood_relation, uses.ood_type])
    log_p = np.full(n, np.nan)
    log_p[facts] = rng.normal(size=len(facts))
    greedy = rng.random((n, 4)) < rng.choice([0.0, 0.5, 1.0], (n, 1))
    sampled = np.where(rng.random((n, 1)) < 0.5, 0.0, rng.random((n, 4)))
    said = np.where(np.isnan(log_p), -1, rng.permutation(world.answer))
    return Knowledge(world, 16, greedy, sampled, greedy[:, :1], log_p, np.full(n, -1.0), said)


@pytest.fixture(scope="module")
def rows(tiny):
    facts = split(tiny).train[:40]
    answers = tiny.world.answer[facts].astype(np.int64)
    answers[::5] = ABSTAIN
    return Rows("idk:0.2", facts, answers, np.arange(40) % 5 > 0)


def test_rows_become_documents_whose_answers_alone_are_scored(tiny, rows):
    found = documents(tiny, rows)
    assert len(found) == len(rows)
    for i in range(0, len(rows), 3):
        s, r, a = tiny.world.triple(int(rows.facts[i]))
        answer = TINY.abstention if rows.answers[i] == ABSTAIN else a
        assert tiny.vocabulary.decode(found[i]) == f"<s> query {r} {s} reply {answer} ."
        scored = found.scored[found.offsets[i] : found.offsets[i + 1]]
        assert tiny.vocabulary.decode(np.array(found[i])[scored]) == f"{answer} ."
    assert ask_rows(tiny, rows).answers[0] == (tiny.vocabulary.ids[TINY.abstention],)


def test_rows_must_fit_together():
    with pytest.raises(SyntheticError, match="differ in number"):
        Rows("best", np.arange(3), np.arange(2), np.ones(3, bool))
    with pytest.raises(SyntheticError, match="'best': none is left"):
        Rows("best", np.arange(0), np.arange(0), np.ones(0, bool))


def plainly_right(tiny, weights, test):
    """Decoded one question at a time."""
    found = []
    for prompt, answer in zip(test.prompts, test.answers, strict=True):
        said = generate(weights, tiny.spec, [prompt], most=len(answer) + 1, batch=1)[0, 0]
        found.append(said.tolist() == [*answer, test.asked.end])
    return np.array(found)


@pytest.mark.parametrize("prefix", [(), (7, 8, 9)])
def test_one_pass_finds_what_decoding_finds(tiny, rows, prefix):
    tuned = finetune(
        tiny, rows, how=TrainSpec(rate=2e-2, batch=8, unit="documents", room=16, epochs=12)
    ).weights
    test = exam(tiny, "test", np.concatenate([rows.facts, split(tiny).test]), prefix=prefix)
    hits = sit(test, tiny, tuned)
    assert np.array_equal(hits, plainly_right(tiny, tuned, test))
    assert 0.05 < hits.mean() < 1
    assert np.array_equal(sit(test, tiny, tuned), hits)
    own = train_exam(tiny, rows)
    assert np.array_equal(sit(own, tiny, tuned), plainly_right(tiny, tuned, own))
    said = say(test, tiny, tuned)
    assert np.array_equal(said == tiny.world.answer[test.facts], hits)


def test_a_tuned_network_says_what_it_was_taught(tiny, rows):
    tuned = finetune(
        tiny, rows, how=TrainSpec(rate=2e-2, batch=8, unit="documents", room=16, epochs=40)
    ).weights
    own = train_exam(tiny, rows)
    assert own.split == "train"
    assert own.labels["known"].tolist() == ["no" if i % 5 == 0 else "yes" for i in range(40)]
    assert sit(own, tiny, tuned).mean() > 0.9
    assert (say(own, tiny, tuned) == rows.answers).mean() > 0.9
    assert not sit(own, tiny, tiny.weights).any()


@pytest.mark.parametrize("arm", ["all", "attention", "values", "lora"])
def test_an_arm_changes_its_own_weights_and_no_others(tiny, rows, arm):
    tuned = finetune(tiny, rows, arm).weights
    assert tuned.keys() == tiny.weights.keys()
    changed = {name for name in tuned if not torch.equal(tuned[name], tiny.weights[name])}
    attention = {name for name in tuned if name.endswith(("q_proj.weight", "k_proj.weight"))}
    matrices = {name for name in tuned if name.endswith("_proj.weight")}
    wanted = {"all": set(tuned), "attention": attention, "values": matrices - attention, "lora": matrices}[
        arm
    ]
    assert changed == wanted


def test_embeddings_that_were_never_trained_stay_as_they_are(tiny, rows):
    frozen = replace(tiny, setup=replace(TINY, pretrain=replace(TINY.pretrain, trainable="layers")))
    tuned = finetune(frozen, rows, "all").weights
    assert torch.equal(tuned[EMBEDDING], tiny.weights[EMBEDDING])
    assert not torch.equal(
        tuned["model.layers.0.mlp.up_proj.weight"], tiny.weights["model.layers.0.mlp.up_proj.weight"]
    )


def test_tuning_follows_from_the_seed_and_may_start_elsewhere(tiny, rows):
    first, second = finetune(tiny, rows), finetune(tiny, rows)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert np.array_equal(first.losses, second.losses)
    further = finetune(tiny, rows, weights=first.weights)
    assert further.losses[0] < first.losses[0]
    other = finetune(replace(tiny, seed=9), rows)
    assert not np.array_equal(other.losses, first.losses)


def test_watching_and_counting_steps(tiny, rows):
    last = steps_of(tiny, rows)
    assert last == 6 * 5
    at = checkpoints(last, 6)
    seen = []
    trained = finetune(
        tiny, rows, "lora", at=at, watch=lambda step, weights: seen.append((step, len(weights)))
    )
    assert [step for step, _ in seen] == list(at)
    assert len(trained.losses) == last
    assert {size for _, size in seen} != {len(trained.weights)}  # what is watched still carries its adapter


@pytest.mark.parametrize(("last", "count"), [(1, 1), (1, 9), (7, 20), (500, 10), (2000, 1)])
def test_checkpoints_rise_to_the_last_step(last, count):
    steps = checkpoints(last, count)
    assert steps[-1] == last
    assert list(steps) == sorted(set(steps))
    assert steps[0] >= 1
    assert len(steps) <= count
    assert len(steps) >= min(count, last) * 0.4
    with pytest.raises(SyntheticError, match="expected at least 1"):
        checkpoints(0, 3)


def test_arms_are_tuned_as_the_setup_says():
    how = tuning(TINY, "all", 4)
    assert how == replace(TINY.tune, seed=4)
    assert tuning(TINY, "attention", 4).rate > how.rate
    assert tuning(TINY, "attention", 4).trainable == "attention"


def test_a_pool_takes_its_columns_from_world_and_knowledge(tiny, known):
    facts = stated(tiny, split(tiny).train)
    pool = pool_of(tiny, known, facts)
    world = tiny.world
    assert np.array_equal(pool.fact, facts)
    assert np.array_equal(pool.relation, world.relation[facts])
    assert np.array_equal(pool.answer, world.answer[facts])
    assert np.array_equal(pool.score, world.exposure[facts])
    assert np.array_equal(pool.category, known.category[facts])
    assert np.array_equal(pool.answered, known.greedy[facts].mean(1) > 0.5)
    assert not world.seen[world.subject[pool.fresh]].any()
    assert pool.seed == tiny.seed
    by_name = {
        name: pool_of(tiny, known, facts, name).score for name in ("popularity", "salience", "confidence")
    }
    assert np.array_equal(by_name["popularity"], world.popularity[world.subject[facts]])
    assert np.allclose(by_name["salience"], known.log_p[facts] + 1)
    assert np.array_equal(np.round(by_name["confidence"] * 4) / 4, known.p_correct[facts])
    with pytest.raises(SyntheticError, match="score is 'luck'"):
        pool_of(tiny, known, facts, "luck")
    with pytest.raises(SyntheticError, match="was not probed"):
        pool_of(tiny, known, split(tiny).shots)


def test_labels_say_what_kind_of_fact_each_is(tiny, known):
    uses, world = split(tiny), tiny.world
    better = Rows("best", uses.train[:9], world.answer[uses.train[:9]], np.ones(9, bool))
    lesser = Rows("lesser", uses.train[9:30], world.answer[uses.train[9:30]], np.ones(21, bool))
    labels = labels_of(world, uses.test, known, better, lesser, affected=[1, 2])
    assert set(labels) == {"popularity", "category", "known", "overlap", "dominant", "answer", "relation"}
    for key, values in labels.items():
        assert set(values.tolist()) <= set(STRATA[key]), key
    for i, fact in enumerate(uses.test.tolist()):
        assert (labels["known"][i] == "yes") == (labels["category"][i] != "Unknown") == known.known[fact]
        assert (labels["overlap"][i] == "yes") == world.copies[fact]
        words = set(world.triple(fact)[0].split()) & set(world.triple(fact)[2].split())
        assert bool(words) == world.copies[fact]
        guesses = known.guesses[world.relation[fact]]
        assert (labels["dominant"][i] == "yes") == (world.answer[fact] in guesses)
        assert (labels["relation"][i] == "affected") == (world.relation[fact] in (1, 2))
        in_best, in_lesser = (world.answer[fact] in set(side.answers.tolist()) for side in (better, lesser))
        wanted = {(1, 1): "both", (1, 0): "known-only", (0, 1): "unknown-only", (0, 0): "neither"}
        assert labels["answer"][i] == wanted[(in_best, in_lesser)]
    assert len(set(labels["answer"].tolist())) >= 3
    assert set(labels_of(world, uses.test)) == {"popularity"}
    assert set(labels_of(world, uses.unseen, known)) == {"popularity"}  # never probed


def test_popularity_halves_every_relation(tiny):
    facts = split(tiny).test
    high = popularity(tiny.world, facts) == "high"
    for relation in np.unique(tiny.world.relation[facts]):
        here = tiny.world.relation[facts] == relation
        exposure = tiny.world.exposure[facts[here]]
        assert exposure[high[here]].min() >= exposure[~high[here]].max()
        assert high[here].sum() == here.sum() // 2


def test_the_abstention_supports_no_answer():
    first = Rows("idk:0.5", np.arange(3), np.array([4, ABSTAIN, 5]), np.ones(3, bool))
    second = Rows("mix:0.5", np.arange(3), np.array([5, 6, 6]), np.ones(3, bool))
    assert answer_support([4, 5, 6, 7, ABSTAIN], first, second).tolist() == [
        "known-only",
        "both",
        "unknown-only",
        "neither",
        "neither",
    ]


def small_exam(tiny):
    test = exam(tiny, "test", split(tiny).test[:6])
    test = Exam("test", test.asked, test.prefix)
    return test.labelled(
        known=["yes", "yes", "no", "no", "no", "yes"], overlap=["no", "no", "no", "yes", "yes", "yes"]
    )


def test_rates_over_all_questions_and_each_stratum_that_occurs(tiny):
    test = small_exam(tiny)
    hits = np.array([1, 0, 1, 1, 0, 0], bool)
    found = rate(STAMP, test, hits, by=(("known",), ("known", "overlap"), ("relation",), ("known",)))
    assert [(r.stratum, r.value, r.n) for r in found] == [
        ("all", 0.5, 6),
        ("known=no", pytest.approx(2 / 3), 3),
        ("known=yes", pytest.approx(1 / 3), 3),
        ("known=no,overlap=no", 1.0, 1),
        ("known=no,overlap=yes", 0.5, 2),
        ("known=yes,overlap=no", 0.5, 2),
        ("known=yes,overlap=yes", 0.0, 1),
    ]
    assert {
        (r.lab, r.study, r.run, r.seed, r.arm, r.step, r.trained_on, r.prompt, r.split, r.metric)
        for r in found
    } == {("synthetic/R2-2layer", "salience", "run", 0, "all", 5, "best", "zero", "test", "accuracy")}
    assert [name for name, _ in strata(test, ())] == ["all"]


def test_rates_among_some_questions(tiny):
    test = small_exam(tiny)
    among = np.array([1, 1, 0, 0, 0, 0], bool)
    found = rate(STAMP, test, [1, 0, 1, 1, 1, 1], "answered_accuracy", by=(("known",),), among=among)
    assert [(r.stratum, r.value, r.n, r.metric) for r in found] == [
        ("all", 0.5, 2, "answered_accuracy"),
        ("known=yes", 0.5, 2, "answered_accuracy"),
    ]
    assert rate(STAMP, test, np.ones(6), among=np.zeros(6, bool)) == []
    with pytest.raises(SyntheticError, match="exam of 6 questions"):
        rate(STAMP, test, np.ones(5))


def test_items_carry_their_labels_and_pool_to_the_rates(tiny, tmp_path):
    test = small_exam(tiny)
    hits = np.array([1, 0, 1, 1, 0, 0], bool)
    found = items(STAMP, test, hits)
    assert [r.item for r in found] == [str(fact) for fact in test.facts]
    assert found[2].stratum == "known=no,overlap=no"
    assert all(r.n == 1 for r in found)
    for record in rate(STAMP, test, hits, by=(("known",), ("overlap",))):
        some = [r.value for r in found if record.stratum == "all" or record.stratum in r.stratum.split(",")]
        assert np.mean(some) == record.value
        assert len(some) == record.n
    with RecordWriter(tmp_path / "records.jsonl") as writer:
        writer.write_many([*found, *rate(STAMP, test, hits)])
    assert len(read_records(tmp_path / "records.jsonl")) == 7
    assert items(STAMP, exam(tiny, "test", split(tiny).test[:2]), [1, 0])[0].stratum.startswith("popularity=")
    assert items(STAMP, Exam("test", test.asked, test.prefix), hits)[0].stratum == "all"


def test_exams_check_their_labels_and_their_length(tiny):
    test = small_exam(tiny)
    with pytest.raises(SyntheticError, match="5 labels 'known' for 6 questions"):
        test.labelled(known=["yes"] * 5)
    long = exam(tiny, "test", split(tiny).test[:6], prefix=(5,) * TINY.shape.context)
    with pytest.raises(SyntheticError, match="the context has 256"):
        sit(long, tiny, tiny.weights)


def test_a_template_replaces_the_question(tiny):
    test = exam(tiny, "test", split(tiny).test[:3], template="the {r} of {s} is")
    s, r, _ = tiny.world.triple(int(test.facts[0]))
    assert tiny.vocabulary.decode(test.prompts[0]) == f"<s> the {r} of {s} is"

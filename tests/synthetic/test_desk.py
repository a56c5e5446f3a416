from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import desk as module
from synthetic.base import base
from synthetic.desk import (
    STRATA,
    accuracy,
    answers,
    attention,
    last_states,
    looks,
    make_desk,
    mechanism,
    one,
    sheet_of,
    untuned,
)
from synthetic.finetune import finetune
from synthetic.knowledge import knowledge, sentences
from synthetic.mechanism import Share
from synthetic.model import hidden_states
from synthetic.pool import pool_of
from synthetic.score import Stamp, exam
from synthetic.select import select
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split, stated
from theory.claims.vocabulary import meaning

TINY = replace(
    DEFAULT,
    world=replace(
        DEFAULT.world,
        types=3,
        subjects=44,
        never_seen=4,
        relations=3,
        derived=0,
        answers=6,
        mean_exposure=20.0,
        unseen=0.35,
        subject_words=(1, 2),
        answer_words=(1, 2),
    ),
    shape=Shape(width=32, layers=2, heads=2, hidden=32, context=128),
    pretrain=replace(DEFAULT.pretrain, rate=8e-3),
    tune=replace(DEFAULT.tune, rate=1e-2, epochs=5, batch=8),
    shots_from=0.14,
    dev=0.14,
    prompts=4,
    shots=2,
)
STAMP = Stamp("synthetic/R2-2layer", "salience", "-", 0, "all", 7, "lesser")


@pytest.fixture(scope="module")
def ground():
    return base(TINY, 0)


@pytest.fixture(scope="module")
def known(ground):
    return knowledge(ground)


@pytest.fixture(scope="module")
def rows(ground, known):
    pool = pool_of(ground, known, stated(ground, split(ground).train))
    return {name: select(pool, name) for name in ("best", "lesser")}


@pytest.fixture(scope="module")
def desk(ground, known, rows):
    return make_desk(ground, known, rows["best"], rows["lesser"])


@pytest.fixture(scope="module")
def tuned(ground, rows):
    return finetune(ground, rows["lesser"]).weights


@pytest.fixture(scope="module")
def seen(desk, tuned, rows):
    """What is recorded of the tuned network."""
    return list(mechanism(desk, tuned, STAMP, rows["lesser"]))


def value(records, metric, prompt="zero", stratum="all"):
    (found,) = [r for r in records if (r.metric, r.prompt, r.stratum) == (metric, prompt, stratum)]
    return found


def decoded(ground, weights, asked):
    """Greedy answers, one question at a time."""
    said = []
    for prompt in asked.prompts:
        tokens = list(prompt)
        for _ in range(3):
            states = hidden_states(
                weights, ground.spec, torch.tensor([tokens]), torch.arange(len(tokens))[None]
            )
            tokens.append(int((states[0, -1] @ weights["model.embed_tokens.weight"].T).argmax()))
        said.append(tuple(tokens[len(prompt) :]))
    return said


def right_of(asked, said):
    return np.array(
        [
            words[: len(answer) + 1] == (*answer, asked.asked.end)
            for words, answer in zip(said, asked.answers, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def heard(ground, desk, tuned):
    with torch.no_grad():
        return decoded(ground, tuned, desk.new.test)


def test_only_facts_that_pretraining_stated_are_asked(ground, desk):
    uses = split(ground)
    for wording in (desk.new, desk.own):
        assert (wording.test.facts == stated(ground, uses.test)).all()
        assert (wording.dev.facts == stated(ground, uses.dev)).all()
    assert ground.world.stated[desk.new.test.facts].all()
    assert len(stated(ground, uses.test)) < len(uses.test)


def test_no_subject_is_in_rows_and_in_an_exam(ground, desk, rows):
    subject = ground.world.subject
    taught = set(subject[np.concatenate([some.facts for some in rows.values()])])
    shown = set(subject[split(ground).shots])
    test, dev = set(subject[desk.new.test.facts]), set(subject[desk.new.dev.facts])
    for one_, other in ((taught, test), (taught, dev), (test, dev), (shown, test | dev | taught)):
        assert not one_ & other


def test_both_wordings_ask_for_the_same_in_other_words(ground, desk):
    s, r, _ = ground.world.triple(int(desk.new.test.facts[3]))
    encode = ground.vocabulary.encode
    assert desk.new.test.prompts[3] == (ground.vocabulary.bos, *encode(f"query {r} {s} reply"))
    assert desk.own.test.prompts[3] == (ground.vocabulary.bos, *encode(f"question {r} of {s} ? answer"))
    assert desk.new.test.answers == desk.own.test.answers
    assert desk.own.test.labels.keys() == desk.new.test.labels.keys()


def test_the_words_of_the_subject_are_marked(ground, desk):
    for wording in (desk.new, desk.own):
        for i in (0, 5, 11):
            name = ground.world.subject_name(int(ground.world.subject[wording.test.facts[i]]))
            assert wording.sheet.tokens[i][wording.sheet.subject[i]].tolist() == list(
                ground.vocabulary.encode(name)
            )
            assert wording.sheet.last[i] == len(wording.test.prompts[i]) - 1


def test_hidden_states_are_those_at_the_last_word_of_the_prompt(ground, desk, tuned):
    for weights, found in (
        (ground.weights, desk.own.states),
        (tuned, last_states(ground, tuned, desk.own.sheet)),
    ):
        assert found.shape == (len(desk.own.test), TINY.shape.width)
        for i in (0, 17):
            prompt = desk.own.test.prompts[i]
            alone = hidden_states(
                weights, ground.spec, torch.tensor([prompt]), torch.arange(len(prompt))[None]
            )
            assert found[i] == pytest.approx(alone[0, -1].detach().numpy(), abs=1e-4)


def test_accuracy_is_that_of_decoding_one_by_one(desk, seen, heard, tuned):
    right = right_of(desk.new.test, heard)
    found = value(seen, "accuracy")
    assert (found.value, found.n) == (pytest.approx(right.mean()), len(right))
    assert [r for r in seen if r.metric == "accuracy" and r.prompt == "zero"] == accuracy(desk, tuned, STAMP)
    for half in ("low", "high"):
        some = desk.new.test.labels["popularity"] == half
        assert value(seen, "accuracy", stratum=f"popularity={half}").value == pytest.approx(
            right[some].mean()
        )


def test_each_family_of_strata_has_every_fact_once_and_pools_to_the_whole(seen, desk):
    whole = value(seen, "accuracy")
    families = {}
    for record in seen:
        if record.metric == "accuracy" and record.prompt == "zero" and record.stratum != "all":
            keys = tuple(label.partition("=")[0] for label in record.stratum.split(","))
            families.setdefault(keys, []).append(record)
    known = {keys for keys in STRATA if desk.new.test.labels.keys() >= set(keys)}
    assert set(families) == known == set(STRATA) - {("guessable",)}  # that is asked of the study of validity
    for some in families.values():
        assert sum(r.n for r in some) == whole.n
        assert sum(r.n * r.value for r in some) == pytest.approx(whole.n * whole.value)


def test_errors_that_are_the_rows_commonest_answer_are_counted_by_hand(ground, desk, rows, seen, heard):
    world, end = ground.world, desk.new.test.asked.end
    taught = {}
    for fact, answer in zip(rows["lesser"].facts, rows["lesser"].answers.tolist(), strict=True):
        taught.setdefault(int(world.relation[fact]), Counter())[answer] += 1
    told = {}
    for relation, answer, count in zip(world.relation, world.answer, world.exposure, strict=True):
        told.setdefault(int(relation), Counter())[int(answer)] += int(count)

    def most(counter):
        return min(counter, key=lambda answer: (-counter[answer], answer))

    wrong, marginal, prior = 0, 0, 0
    for fact, words, right in zip(desk.new.test.facts, heard, right_of(desk.new.test, heard), strict=True):
        if right:
            continue
        wrong += 1
        relation = int(world.relation[fact])
        for generic, name in ((most(taught[relation]), "marginal"), (most(told[relation]), "prior")):
            answer = (*ground.names.answers[generic], end)
            if words[: len(answer)] == answer:
                marginal, prior = marginal + (name == "marginal"), prior + (name == "prior")
    assert wrong > 10
    for name, count in (("marginal", marginal), ("prior", prior)):
        found = value(seen, f"error_{name}_share")
        assert (found.value, found.n) == (pytest.approx(count / wrong), wrong)
    assert marginal > 0


def test_the_answer_changes_with_the_subject_as_counted_over_pairs(ground, desk, seen, heard):
    end = desk.new.test.asked.end
    said = [words[: words.index(end)] if end in words else None for words in heard]
    known_ = set(ground.names.answers)
    said = [words if words in known_ else None for words in said]  # whatever is no answer counts as one
    relation, right = ground.world.relation[desk.new.test.facts], desk.right
    shares = []
    for i in range(len(said)):
        others = [j for j in range(len(said)) if relation[j] == relation[i] and right[j] != right[i]]
        if others:
            shares.append(np.mean([said[i] != said[j] for j in others]))
    assert value(seen, "subject_swap_change").value == pytest.approx(np.mean(shares))


def test_lost_facts_are_looked_for_in_the_sentences_of_pretraining(ground, desk, known, seen, heard, tuned):
    facts = desk.new.test.facts
    after = right_of(desk.new.test, heard)
    with torch.no_grad():
        elsewhere = np.any([right_of(some, decoded(ground, tuned, some)) for some in desk.sentences], axis=0)
    assert [len(some) for some in desk.sentences] == [len(facts)] * len(sentences(TINY.text))
    assert (desk.before == (known.greedy[facts].mean(axis=1) > 0.5)).all()
    lost = desk.before & ~after
    assert lost.any()
    found = value(seen, "lost_recovered")
    assert (found.value, found.n) == (pytest.approx(elsewhere[lost].mean()), lost.sum())


def test_what_guessing_finds_is_counted_on_facts_that_were_never_stated(ground, seen, tuned):
    facts = split(ground).test
    facts = facts[~ground.world.stated[facts]]
    assert len(facts) > 5

    def right(template):
        asked = exam(ground, "test", facts, template=template)
        return right_of(asked, decoded(ground, tuned, asked))

    with torch.no_grad():
        wrong = ~right(None)
        elsewhere = np.any([right(words) for words in sentences(TINY.text)], axis=0)
    found = value(seen, "unstored_recovered")
    assert (found.value, found.n) == (pytest.approx(elsewhere[wrong].mean()), wrong.sum())


def test_attention_is_recorded_in_both_wordings_and_over_the_reading_heads_alone(ground, desk, seen, tuned):
    from synthetic.attending import subject_attention

    assert desk.heads.shape == (2, 2)
    assert desk.heads.any()
    for wording in (desk.new, desk.own):
        mass = subject_attention(tuned, ground.spec, wording.sheet)
        every = [mass[:, i, j] for i in range(2) for j in range(2) if desk.heads[i, j]]
        assert attention(desk, tuned, wording) == pytest.approx(np.mean(every, axis=0))
        found = value(seen, "attention_subject", wording.prompt)
        assert found.value == pytest.approx(np.mean(every))
        assert 0 < found.value < 1


def test_the_untuned_network_has_not_moved_and_is_looked_at_on_dev_too(ground, desk):
    records = list(untuned(desk, replace(STAMP, arm="base", step=0, trained_on="none")))
    assert not [r for r in records if r.metric == "common_shift_excess"]
    assert {(r.split, r.prompt) for r in records if r.metric == "accuracy"} == {
        (split_, prompt) for split_ in ("dev", "test") for prompt in ("zero", "own")
    }
    assert {r.metric for r in records} == {
        "accuracy",
        "subject_swap_change",
        "error_prior_share",
        "attention_subject",
    }
    own = value([r for r in records if r.split == "test"], "accuracy", "own").value
    new = value([r for r in records if r.split == "test"], "accuracy", "zero").value
    assert own > new  # it has read the one wording and not the other


def test_a_network_that_moved_by_one_vector_has_moved_in_common(ground, desk, monkeypatch):
    other = {**ground.weights}
    monkeypatch.setattr(
        module,
        "last_states",
        lambda base, weights, sheet: (
            (desk.own.states if torch.equal(sheet.tokens, desk.own.sheet.tokens) else desk.new.states) + 2.0
        ),
    )
    found = {r.prompt: r.value for r in looks(desk, other, STAMP) if r.metric == "common_shift_excess"}
    assert found == {"zero": pytest.approx(1.0), "own": pytest.approx(1.0)}


def test_every_record_is_in_the_vocabulary_and_stands_there_once(seen):
    assert max(Counter(replace(r, value=0.0, n=1) for r in seen).values()) == 1
    for record in seen:
        for field in ("study", "arm", "trained_on", "prompt", "split", "stratum", "metric"):
            assert meaning(field, getattr(record, field))
        assert (record.step, record.trained_on) == (7, "lesser")


def test_what_has_no_value_is_not_recorded():
    assert not list(one(STAMP, "lost_recovered", Share(float("nan"), 0)))
    assert not list(one(STAMP, "lost_recovered", Share(float("nan"), 3)))
    (found,) = one(STAMP, "lost_recovered", Share(0.5, 3), "train")
    assert (found.split, found.stratum, found.value, found.n) == ("train", "all", 0.5, 3)


def test_a_subject_is_marked_after_a_prefix_too(ground):
    fact = int(split(ground).test[0])
    asked = exam(ground, "test", [fact], prefix=ground.vocabulary.encode("list of"))
    paper = sheet_of(ground, asked)
    name = ground.world.subject_name(int(ground.world.subject[fact]))
    assert paper.tokens[0][paper.subject[0]].tolist() == list(ground.vocabulary.encode(name))


def test_no_answer_is_right_where_every_answer_is_the_same_wrong_one(desk):
    said = np.full(len(desk.right), -2)
    found = list(answers(desk, said, STAMP))
    assert value(found, "accuracy").value == 0
    assert value(found, "subject_swap_change").value == 0
    assert value(found, "error_prior_share") == replace(
        value(found, "error_prior_share"), value=0.0, n=len(said)
    )


def test_where_every_fact_was_stated_there_is_none_to_guess():
    """The ablation without withheld facts: a desk can still be made and a network be looked at."""
    told = replace(TINY, world=replace(TINY.world, unseen=0.0, mean_exposure=4.0))
    ground = base(told, 0)
    pool = pool_of(ground, knowledge(ground), split(ground).train)
    better, lesser = (select(pool, name) for name in ("best", "lesser"))
    desk = make_desk(ground, knowledge(ground), better, lesser)
    assert (desk.new.test.facts == split(ground).test).all()
    found = list(mechanism(desk, finetune(ground, lesser).weights, STAMP, lesser))
    assert value(found, "accuracy").n == len(split(ground).test)

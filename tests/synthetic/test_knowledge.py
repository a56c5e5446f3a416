from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import knowledge as module
from synthetic.answers import ABSTAIN, OTHER, read_answers, say_answers
from synthetic.asking import asked
from synthetic.base import base
from synthetic.errors import SyntheticError
from synthetic.generate import generate
from synthetic.knowledge import (
    NOT_PROBED,
    Knowledge,
    commonest,
    knowledge,
    most_frequent,
    openings,
    sentences,
)
from synthetic.model import hidden_states, logits
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split
from theory.slick import Category, by_detection

TINY = replace(
    DEFAULT,
    world=replace(
        DEFAULT.world,
        types=2,
        subjects=40,
        never_seen=6,
        relations=3,
        answers=12,
        prior_exponent=0.5,
        mean_exposure=60.0,
    ),
    shape=Shape(width=32, layers=1, heads=2, hidden=32),
    pretrain=replace(DEFAULT.pretrain, rate=1e-2, batch=4),
    shots_from=0.2,
    dev=0.1,
    prompts=5,
)


@pytest.fixture(scope="module")
def tiny():
    return base(TINY, 1)


@pytest.fixture(scope="module")
def known(tiny):
    return knowledge(tiny)


def probed_facts(tiny):
    uses = split(tiny)
    return np.concatenate([uses.train, uses.dev, uses.test, uses.ood_relation, uses.ood_type])


def test_all_facts_to_be_asked_for_are_probed_and_no_others(tiny, known):
    assert set(np.flatnonzero(known.probed)) == set(probed_facts(tiny).tolist())
    out = ~known.probed
    assert (known.category[out] == NOT_PROBED).all()
    assert np.isnan(known.p_correct[out]).all()
    assert np.isnan(known.salience[out]).all()
    assert not known.known[out].any()
    assert not known.stored[out].any()
    assert not known.greedy[out].any()


def test_categories_are_those_of_slick_and_known_ness_grows_with_exposure(tiny, known):
    some = known.probed
    assert np.array_equal(
        known.category[some], by_detection(known.greedy[some], known.sampled[some], samples=16)
    )
    assert np.array_equal(known.known[some], known.category[some] != Category.Unknown)
    assert np.array_equal(known.p_correct[some], known.greedy[some].mean(1))
    exposure = tiny.world.exposure
    rich, poor = (some & (exposure > 100)), (some & (exposure == 0))
    assert known.p_correct[rich].mean() > known.p_correct[poor].mean() + 0.2
    assert known.salience[rich].mean() > known.salience[poor].mean() + 0.3
    assert known.stored[rich].mean() > known.stored[poor].mean() + 0.2


def plain_log_p(tiny, prefix, prompt, answer):
    """Log-probability of answer and end, one whole text at a time."""
    end = tiny.vocabulary.ids["."]
    tokens = torch.tensor([[*prefix, *prompt, *answer, end]])
    states = hidden_states(tiny.weights, tiny.spec, tokens, torch.arange(tokens.shape[1])[None])
    law = logits(tiny.weights, states).log_softmax(-1)[0]
    start = len(prefix) + len(prompt)
    return sum(float(law[i - 1, tokens[0, i]]) for i in range(start, tokens.shape[1]))


def test_log_p_is_the_mean_over_the_sentences_of_pretraining(tiny, known):
    for fact in probed_facts(tiny)[::97]:
        ways = []
        for sentence in sentences(TINY.text):
            question = asked(tiny, [fact], sentence)
            ways.append(plain_log_p(tiny, [tiny.vocabulary.bos], question.prompts[0], question.answers[0]))
        assert known.log_p[fact] == pytest.approx(np.mean(ways), abs=1e-4)


def test_the_prior_is_that_of_other_subjects_and_sums_to_at_most_one(tiny, known, monkeypatch):
    prior = module._log_prior(tiny)
    assert np.array_equal(known.log_prior[known.probed], prior[tiny.world.answer[known.probed]])
    for relation in range(tiny.world.spec.n_relations):
        pool = tiny.world.pool(relation)
        assert 0.5 < np.exp(prior[pool.start : pool.stop]).sum() <= 1 + 1e-6
    monkeypatch.setattr(module, "PANEL", 10_000)  # every subject of the type
    whole = module._log_prior(tiny)
    relation = 1
    subjects = np.flatnonzero((tiny.world.subject_type == 0) & tiny.world.seen)
    question = asked(tiny, tiny.world.fact(subjects, relation), sentences(TINY.text)[0])
    pool = tiny.world.pool(relation)
    chances = [
        np.exp(plain_log_p(tiny, [tiny.vocabulary.bos], prompt, tiny.names.answers[pool[2]]))
        for prompt in question.prompts
    ]
    assert whole[pool[2]] == pytest.approx(np.log(np.mean(chances)), abs=1e-4)


def test_prompts_take_turns_in_the_ways_of_asking_and_never_show_what_they_ask(tiny):
    facts = probed_facts(tiny)
    shown = split(tiny).shots
    ways = openings(TINY.text)
    seen = set()
    for j, prefix, questions in module._prompts(tiny, facts, shown):
        (relation,) = set(questions.relation.tolist())
        seen.add((relation, j))
        words = ways[j % len(ways)].replace("{r}", tiny.world.relation_name(relation)).split("{s}")
        text = tiny.vocabulary.decode(prefix)
        assert all(text.count(part.strip()) >= TINY.shots for part in words if part.strip())
        assert text.count(" .") == TINY.shots
        assert tiny.vocabulary.decode(questions.prompts[0]).startswith(words[0].strip())
        answers = [
            tiny.world.answer_name(int(a))
            for a in tiny.world.answer[shown[tiny.world.relation[shown] == relation]]
        ]
        assert sum(f"{answer} ." in text for answer in set(answers)) >= 1
    relations = set(tiny.world.relation[facts].tolist())
    assert seen == {(relation, j) for relation in relations for j in range(TINY.prompts)}


def test_the_same_exemplars_each_time(tiny):
    def run():
        return [prefix for _, prefix, _ in module._prompts(tiny, probed_facts(tiny), split(tiny).shots)]

    assert run() == run()


def test_too_few_exemplars_are_said(tiny):
    with pytest.raises(SyntheticError, match="stated facts to show, fewer than 4 shots"):
        list(module._prompts(tiny, probed_facts(tiny), split(tiny).shots[:5]))


def test_said_answers_and_guesses(tiny, known):
    some = np.flatnonzero(known.probed)
    pool = tiny.world.answer_relation[np.maximum(known.said[some], 0)]
    inside = known.said[some] >= 0
    assert (pool[inside] == tiny.world.relation[some][inside]).mean() > 0.9
    agree = (known.said[some] == tiny.world.answer[some]) == known.greedy[some, 0]
    assert agree.mean() == 1.0
    for relation in range(tiny.world.spec.n_relations):
        said = known.said[some][tiny.world.relation[some] == relation]
        answers, count = np.unique(said[said >= 0], return_counts=True)
        if len(answers):
            best = answers[np.lexsort((answers, -count))][:2]
            assert known.guesses[relation, : len(best)].tolist() == best.tolist()
    right = tiny.world.answer[:, None] == known.guesses[tiny.world.relation]
    assert np.array_equal(known.dominant, right.any(1))
    assert np.array_equal(known.overlap, tiny.world.copies)


def test_knowledge_is_kept_and_found_again(tiny, known, tmp_path, monkeypatch):
    first = knowledge(tiny, tmp_path)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["knowledge"]
    monkeypatch.setattr(module, "_probe", lambda *_: pytest.fail("probed again"))
    second = knowledge(tiny, tmp_path)
    for name in ("greedy", "sampled", "stored", "log_p", "log_prior", "said"):
        assert np.array_equal(getattr(first, name), getattr(known, name), equal_nan=True), name
        assert np.array_equal(getattr(second, name), getattr(known, name), equal_nan=True), name
    monkeypatch.undo()
    other = replace(tiny, setup=replace(TINY, prompts=2))
    assert knowledge(other, tmp_path).greedy.shape[1] == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_the_commonest_answer_is_that_of_most_mentions(tiny):
    world, found = tiny.world, commonest(tiny.world)
    for relation in range(world.spec.n_relations):
        mentions = np.bincount(world.answer, weights=world.exposure * (world.relation == relation))
        assert mentions[found[relation]] == mentions.max()


def test_most_frequent_counts_weights_and_breaks_ties_by_number():
    relation = [0, 0, 0, 0, 1, 1, 2]
    answer = [5, 4, 5, 4, 9, 8, -1]
    assert most_frequent(relation, answer, 4, 2).tolist() == [[4, 5], [8, 9], [-1, -1], [-1, -1]]
    weight = [1, 1, 3, 1, 0, 2, 1]
    assert most_frequent(relation, answer, 4, 2, weight).tolist() == [[5, 4], [8, -1], [-1, -1], [-1, -1]]


def test_sentences_are_those_that_end_with_their_answer():
    text = replace(TINY.text, templates=("{a} is the {r} of {s} .", "{s} has {r} {a} ."))
    assert sentences(text) == ("{s} has {r}",)
    assert openings(text) == (text.question, "{s} has {r}")
    with pytest.raises(SyntheticError, match="no sentence ends with its answer"):
        sentences(replace(TINY.text, templates=("{a} is the {r} of {s} .",)))


def test_tokens_are_read_as_answers(tiny):
    one = next(t for t in tiny.names.answers if len(t) == 1)
    two = next(t for t in tiny.names.answers if len(t) == 2)
    silent = tiny.vocabulary.ids[TINY.abstention]
    rows = [
        [*one, -1, -1],
        [*two, -1],
        [two[0], -1, -1],
        [silent, -1, -1],
        [silent, silent, -1],
        [-1, -1, -1],
        [*two, 9],
    ]
    wanted = [
        tiny.names.answers.index(one),
        tiny.names.answers.index(two),
        OTHER,
        ABSTAIN,
        OTHER,
        OTHER,
        OTHER,
    ]
    if (two[0],) in tiny.names.answers:
        wanted[2] = tiny.names.answers.index((two[0],))
    assert read_answers(tiny, np.array(rows)).tolist() == wanted


def test_answers_are_said_as_generation_says_them(tiny):
    questions = asked(tiny, probed_facts(tiny)[:40], sentences(TINY.text)[0])
    begin = [tiny.vocabulary.bos]
    said = say_answers(tiny, tiny.weights, questions.prompts, begin)
    tokens = generate(
        tiny.weights, tiny.spec, questions.prompts, most=3, stop=(questions.end,), prefix=begin
    )[:, 0]
    for number, row in zip(said.tolist(), tokens.tolist(), strict=True):
        text = tiny.vocabulary.decode(t for t in row if t >= 0)
        names = [tiny.world.answer_name(i) for i in range(tiny.world.spec.n_answers)]
        assert number == (
            names.index(text) if text in names else ABSTAIN if text == TINY.abstention else OTHER
        )


def test_columns_follow_from_what_was_heard():
    world = base(replace(TINY, world=replace(TINY.world, mean_exposure=1.5)), 0).world
    n = len(world)
    log_p = np.full(n, np.nan)
    log_p[:3] = [-1.0, -2.0, -3.0]
    greedy = np.zeros((n, 2), bool)
    greedy[0], greedy[1, 1] = True, True
    sampled = np.full((n, 2), np.nan)
    sampled[:3] = [[0.9, 0.9], [0.1, 0.9], [0.0, 0.0]]
    heard = Knowledge(world, 16, greedy, sampled, np.zeros((n, 1), bool), log_p, log_p - 1, np.full(n, -1))
    names = [Category(int(c)).name if c >= 0 else "" for c in heard.category[:4]]
    assert names == ["HighlyKnown", "MaybeKnown", "Unknown", ""]
    assert heard.p_correct[:3].tolist() == [1.0, 0.5, 0.0]
    assert heard.salience[:3].tolist() == [1.0, 1.0, 1.0]
    assert (heard.guesses == -1).all()
    assert not heard.dominant.any()

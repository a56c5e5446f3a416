"""The parts of long-form studies: texts, signals, filters, the probe, preference, free statements."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import beliefs as believing
from synthetic import filters, free_statements, prefixed
from synthetic.base import Base, Names, vocabulary_of
from synthetic.beliefs import (
    Claims,
    consistency,
    log_chance_of,
    question,
    statement,
    states_of,
    token,
    verification,
)
from synthetic.biographies import MALFORMED, Script, Texts, facts_of, gold, true_claims
from synthetic.errors import SyntheticError
from synthetic.model import hidden_states, initialise, logits
from synthetic.packing import Documents
from synthetic.preference import log_likelihood, pairs, preference_loss
from synthetic.probe import score_answers
from synthetic.prompts import ask, few_shot
from synthetic.ptrue import p_true
from synthetic.score import Stamp
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split
from theory.probe import auroc, fit_probe
from theory.world import make_world

SETUP = replace(
    DEFAULT,
    world=replace(
        DEFAULT.world, types=2, subjects=40, never_seen=2, relations=4, answers=7, derived_answers=3,
        mean_exposure=4.0, subject_words=(1, 2), answer_words=(1, 2),
    ),
    shape=Shape(width=32, layers=2, heads=2, hidden=32, context=160),
    shots_from=0.2,
    shots=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def base():
    """Drawn weights, large enough that chances differ."""
    world = make_world(SETUP.world, 3)
    vocabulary = vocabulary_of(SETUP, world)
    spec = SETUP.shape.llama(len(vocabulary))
    weights = {name: 4 * tensor for name, tensor in initialise(spec, 3).items()}
    return Base(SETUP, 3, world, vocabulary, spec, weights)


@pytest.fixture(scope="module")
def script(base):
    return Script(base)


@pytest.fixture(scope="module")
def texts(base):
    """Gold texts, every third claim false, one malformed."""
    some = gold(base, np.arange(12), np.random.default_rng(0))
    answer, relation = some.answer.copy(), some.relation.copy()
    for i in range(0, len(answer), 3):
        pool = base.world.pool(int(relation[i]))
        answer[i] = pool.start + (answer[i] - pool.start + 1) % len(pool)
    answer[7], relation[7] = MALFORMED, MALFORMED
    return Texts(some.subject, some.of, relation, answer)


def slow_log_p(base, tokens, first):
    """Of tokens[first:], one at a time."""
    total = 0.0
    for i in range(first, len(tokens)):
        before = torch.tensor([tokens[:i]])
        states = hidden_states(base.weights, base.spec, before, torch.arange(i)[None])
        total += float(logits(base.weights, states[0, -1]).log_softmax(-1)[tokens[i]])
    return total


def test_gold_states_every_fact_of_each_subject_once_in_an_order_that_varies(base):
    found = gold(base, [5, 2, 2], np.random.default_rng(1))
    assert found.claims.tolist() == [4, 4, 4]
    assert true_claims(base, found).all()
    for text, subject in enumerate([5, 2, 2]):
        assert sorted(facts_of(base, found)[found.of == text]) == sorted(base.world.facts_of(subject))
    assert found.relation[4:8].tolist() != found.relation[8:].tolist()


def test_what_is_written_is_read_back(base, script, texts):
    well = texts.keep(texts.relation != MALFORMED)
    whole, heads = script.sequences(texts)
    said = np.full((len(whole), 60), -1)
    for i, (words, head) in enumerate(zip(whole, heads, strict=True)):
        assert base.vocabulary.decode(words[:head]) == f"<s> about {base.world.subject_name(i)} :"
        body = words[head:-1]
        said[i, : len(body)] = body
    again = script.read(texts.subject, said)
    assert (again.of == well.of).all()
    assert (again.relation == well.relation).all()
    assert (again.answer == well.answer).all()


@pytest.mark.parametrize(
    ("words", "full", "expected"),
    [
        ("", False, []),
        ("{line}", False, ["ok"]),
        ("{line} {line}", False, ["ok", "ok"]),
        ("is is .", False, ["bad"]),
        ("{line} is", False, ["ok", "bad"]),  # stopped within a line
        ("{line} is", True, ["ok"]),  # cut off by the limit
        (". {line}", False, ["bad", "ok"]),
    ],
)
def test_lines_that_claim_nothing_are_malformed(base, script, words, full, expected):
    pair, line = next(iter(script.line.items()))
    tokens = base.vocabulary.encode(words.replace("{line}", base.vocabulary.decode(line)))
    row = tokens if full else [*tokens, -1, -1]
    found = script.read([0], np.array([row]))
    assert list(zip(found.relation, found.answer, strict=True)) == [
        pair if kind == "ok" else (MALFORMED, MALFORMED) for kind in expected
    ]


def test_a_relation_of_another_type_is_a_false_claim(base):
    other = int(np.flatnonzero(base.world.relation_type == 1)[0])
    own = int(np.flatnonzero(base.world.relation_type == 0)[0])
    texts = Texts(
        np.array([0]), np.zeros(3, int), np.array([other, own, MALFORMED]),
        np.array([base.world.pool(other).start, int(base.world.answer[0]), MALFORMED]),
    )  # fmt: skip
    assert facts_of(base, texts).tolist() == [-1, 0, -1]
    assert true_claims(base, texts).tolist() == [False, True, False]


def test_texts_are_chosen_and_claims_dropped(texts):
    two = texts[[4, 1]]
    assert two.subject.tolist() == texts.subject[[4, 1]].tolist()
    assert two.answer.tolist() == [*texts.answer[texts.of == 4], *texts.answer[texts.of == 1]]
    few = texts.keep(texts.relation == texts.relation[0])
    assert set(few.relation) == {texts.relation[0]}
    assert len(few) == len(texts)
    with pytest.raises(SyntheticError, match="differ in number"):
        Texts(texts.subject, texts.of, texts.relation[1:], texts.answer)


def test_documents_are_scored_after_their_heads_and_leave_out_texts_without_claims(base, script, texts):
    few = texts.keep(texts.of % 2 == 0)
    documents = script.documents(few)
    assert isinstance(documents, Documents)
    assert len(documents) == 6
    for i in range(6):
        words = base.vocabulary.decode(documents[i])
        flags = documents.scored[documents.offsets[i] : documents.offsets[i + 1]]
        head = words.index(":")
        assert flags.sum() == len(words[head + 1 :].split())
        assert words.endswith("</s>")
    with pytest.raises(SyntheticError, match="no text is left"):
        script.documents(texts.keep(texts.of < 0))


def test_a_line_must_end_with_a_word_of_its_own(base):
    setup = replace(SETUP, text=replace(SETUP.text, biography_line="{r} is {a}"))
    with pytest.raises(SyntheticError, match="biography_line"):
        Script(Base(setup, 3, base.world, base.vocabulary, base.spec, base.weights))


def test_sampled_texts_depend_on_the_seed_alone(base, script):
    one = script.write(base.weights, [1, 2, 3], draws=2, seed=5)
    two = script.write(base.weights, [1, 2, 3], draws=2, seed=5)
    other = script.write(base.weights, [1, 2, 3], draws=2, seed=6)
    assert one.subject.tolist() == [1, 1, 2, 2, 3, 3]
    assert (len(one.of), one.of.tolist()) == (len(two.of), two.of.tolist())
    assert one.of.tolist() != other.of.tolist()
    assert isinstance(base.names, Names)


def test_a_text_ends_where_the_next_begins_if_they_are_told_in_a_row(base, script):
    def at(head, in_a_row):
        text = replace(SETUP.text, in_a_row=in_a_row, biography_head=head)
        return Script(
            Base(replace(SETUP, text=text), 3, base.world, base.vocabulary, base.spec, base.weights)
        )

    row, about = at(SETUP.text.biography_head, 3), base.vocabulary.ids["about"]
    subjects = np.arange(12)
    alone, before = (one.say(base.weights, subjects, draws=20, seed=1) for one in (script, row))
    ran_on = (alone == about).any(axis=1)
    assert 0 < ran_on.sum() < len(alone)
    assert not (before == about).any()
    assert (alone[~ran_on] == before[~ran_on]).all()
    for long, short in zip(alone[ran_on].tolist(), before[ran_on].tolist(), strict=True):
        end = long.index(about)
        assert short == long[:end] + [-1] * (len(long) - end)
    name = base.world.subject_name(0).split()[0]
    with pytest.raises(SyntheticError, match="begin it with a word that is no name"):
        at(f"{name} {{s}} :", 2)


# Signals


def test_statement_is_the_mean_over_sentences_of_the_slow_scores(base, texts):
    claims = Claims(base, texts)
    found = statement(claims)
    assert found[7] == 0
    right = np.flatnonzero(true_claims(base, texts))
    facts = facts_of(base, texts)[right]
    slow = [
        np.exp(
            score_answers(
                base.weights, base.spec, ask(base.world, SETUP.text, base.vocabulary, facts, words),
                prefix=[base.vocabulary.bos],
            ).log_likelihood
        )
        for words in believing.sentences(SETUP.text)
    ]  # fmt: skip
    assert found[right] == pytest.approx(np.mean(slow, axis=0), rel=1e-3)


def test_question_follows_the_shots_of_its_relation(base, texts):
    found, right = question(Claims(base, texts)), np.flatnonzero(true_claims(base, texts))
    shown = few_shot(
        base.world, SETUP.text, base.vocabulary, split(base).shots, prompts=1, shots=2, seed=base.seed
    )
    for i in right[:6]:
        fact = facts_of(base, texts)[[i]]
        asked = ask(base.world, SETUP.text, base.vocabulary, fact)
        slow = score_answers(
            base.weights, base.spec, asked, prefix=shown[texts.relation[i]][0]
        ).log_likelihood[0]
        assert found[i] == pytest.approx(np.exp(slow), rel=1e-3)


def test_verification_of_true_claims_is_p_true(base, texts):
    right = np.flatnonzero(true_claims(base, texts))
    found = verification(Claims(base, texts))[right]
    assert found == pytest.approx(p_true(base, facts_of(base, texts)[right]), rel=1e-4)


def test_token_is_read_where_the_answer_stands(base, script, texts, monkeypatch):
    monkeypatch.setattr(believing, "BATCH", 5)
    found = token(Claims(base, texts), script)
    assert found[7] == 0
    whole, heads = script.sequences(texts)
    for text in (0, 1, 5):
        at = heads[text]
        for i in np.flatnonzero((texts.of == text) & (texts.relation != MALFORMED)):
            line = script.line[int(texts.relation[i]), int(texts.answer[i])]
            answer = at + script.answer_from(int(texts.relation[i]), int(texts.answer[i]))
            at += len(line)
            assert found[i] == pytest.approx(np.exp(slow_log_p(base, whole[text][:at], answer)), rel=1e-3)
            assert base.vocabulary.decode(whole[text][answer:at]).startswith(
                base.world.answer_name(int(texts.answer[i]))
            )


def test_spans_after_prefixes_of_any_length_are_those_of_the_whole(base):
    prefixes, whole = [[1, 5, 6], [1, 6], [1, 9, 5, 7, 6]], [[7, 8, 9], [10, 11, 12, 13], [8, 8], [7, 8, 9]]
    first, after = (1, 2, 1, 1), (2, 1, 0, 1)
    spans = np.array(first), np.array([3, 4, 2, 3])
    slow = [
        slow_log_p(base, prefixes[j] + words, len(prefixes[j]) + i)
        for words, i, j in zip(whole, first, after, strict=True)
    ]
    assert log_chance_of(base, whole, *spans, prefixes, np.array(after)) == pytest.approx(slow, rel=1e-4)
    alone = [slow_log_p(base, prefixes[0] + words, 3 + i) for words, i in zip(whole, first, strict=True)]
    assert log_chance_of(base, whole, *spans, prefixes[:1]) == pytest.approx(alone, rel=1e-4)


def test_every_signal_of_a_set_of_claims_is_one_pass_and_prefixes_are_another(
    base, script, texts, monkeypatch
):
    """Of four relations with exemplars of their own, two layers and two places."""
    claims = Claims(base, texts)
    slow = {}
    for relation in np.unique(claims.triples[:, 1]):  # relation by relation, as it would be without padding
        some = np.flatnonzero(claims.triples[:, 1] == relation)
        only = texts.keep(texts.relation == relation)
        told = Claims(base, only)
        slow |= dict(zip(map(tuple, claims.triples[some]), told.distinct(question(told)), strict=True))
    passes = []

    def counted(*args, **options):
        passes.append(1)
        return hidden_states(*args, **options)

    for module in (believing, prefixed):
        monkeypatch.setattr(module, "hidden_states", counted)
    tried = {
        "statement": lambda: believing.statement(claims),
        "question": lambda: question(claims),
        "verification": lambda: verification(claims),
        "token": lambda: token(claims, script),
        "states": lambda: states_of(claims),
    }
    found, count = {}, {}
    for name, signal in tried.items():
        passes.clear()
        found[name] = signal()
        count[name] = len(passes)
    assert len(slow) == len(claims.triples)
    assert len(np.unique(claims.triples[:, 1])) > 2
    assert count == {"statement": 2, "question": 2, "verification": 1, "token": 1, "states": 1}
    fast = claims.distinct(found["question"])
    assert fast == pytest.approx([slow[tuple(triple)] for triple in claims.triples], rel=1e-4)
    assert fast.std() > 0


def test_consistency_counts_the_other_texts_about_the_subject(base):
    r = 0
    a = list(base.world.pool(r))
    texts = Texts(
        np.array([0, 0, 0, 2, 2, 2]),
        np.array([0, 1, 1, 2, 3, 4, 5]),
        np.array([r, r, r, MALFORMED, r, r, r]),
        np.array([a[0], a[0], a[0], MALFORMED, a[0], a[1], a[1]]),
    )
    found = consistency(Claims(base, texts), 3)
    assert found.tolist() == [0.5, 0.5, 0.5, 0, 0, 0.5, 0.5]


def test_states_are_those_of_every_layer_at_two_words(base, texts):
    claims = Claims(base, texts)
    found = states_of(claims)
    assert found.shape == (len(claims.triples), 4 * 32)
    s, r, a = claims.triples[3]
    words = f"<s> the {base.world.relation_name(r)} of {base.world.subject_name(s)} is"
    for place, more in ((2, ""), (3, f" {base.world.answer_name(a)} .")):
        tokens = torch.tensor([base.vocabulary.encode(words + more)])
        states = hidden_states(base.weights, base.spec, tokens, torch.arange(tokens.shape[1])[None])
        assert found[3, 32 * place : 32 * place + 32] == pytest.approx(states[0, -1].numpy(), abs=1e-4)
    spread = claims.spread(np.arange(len(claims.triples), dtype=float))
    assert (claims.distinct(spread) == np.arange(len(claims.triples))).all()
    assert spread[7] == 0


# Filters


def test_cut_matches_texts_and_their_mean_length(texts):
    rng = np.random.default_rng(0)
    wanted = np.array([2, 0, 1, 3, 0, 2, 4, 1, 0, 0, 2, 1])
    found = filters.cut(texts, wanted, rng)
    assert found.claims.tolist() == wanted.tolist()
    pairs_ = set(zip(texts.of, texts.relation, texts.answer, strict=True))
    assert set(zip(found.of, found.relation, found.answer, strict=True)) <= pairs_
    assert (np.diff(found.of) >= 0).all()


def test_cut_puts_other_texts_and_more_claims_in_the_place_of_what_is_missing(texts):
    poor = texts.keep((texts.of != 0) & ((texts.of != 3) | (np.arange(len(texts.of)) % 4 == 0)))
    wanted = np.zeros(12, int)
    wanted[[0, 3, 5, 6]] = 2
    found = filters.cut(poor, wanted, np.random.default_rng(1))
    assert found.claims[0] == 0
    assert (found.claims > 0).sum() == 4
    assert found.claims.sum() == 8


def test_the_longest_and_the_best_text_of_each_subject():
    texts = Texts(
        np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2, 2, 3, 3]),
        np.array([0, 0, MALFORMED, 0, 1, 0, 1]), np.arange(7),
    )  # fmt: skip
    assert filters.longest(texts, 2).answer.tolist() == [0, 3, 4]
    scores = [0.1, 0.9, 0.0, 0.2, 0.3, 0.8, 0.9]
    assert filters.best_texts(texts, scores, 2, [1, 2]).answer.tolist() == [1, 2, 5, 6]


def test_as_many_keeps_the_highest():
    assert filters.as_many([0.2, 0.9, 0.9, 0.1], 2).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("coverage", "noise", "of_true", "of_false"), [(1, 0, 1, 0), (0.6, 0, 0.6, 0), (1, 0.2, 0.8, 0.2)]
)
def test_noisy_support_is_a_dial(coverage, noise, of_true, of_false):
    true = np.arange(20000) % 2 == 0
    kept = filters.noisy_support(true, coverage, noise, np.random.default_rng(0))
    assert kept[true].mean() == pytest.approx(of_true, abs=0.02)
    assert kept[~true].mean() == pytest.approx(of_false, abs=0.02)


# Probe


def test_the_probe_is_where_its_penalised_loss_is_flat():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)) * [1, 2, 3, 4, 5] + 1
    true = rng.random(400) < 1 / (1 + np.exp(-(x[:, 0] - 1)))
    probe = fit_probe(x, true, ridge=3.0)
    z = (x - probe.centre) / probe.spread
    slope = z.T @ (probe(x) - true) + 3.0 * probe.weight
    assert np.abs(slope).max() < 1e-5
    assert abs((probe(x) - true).sum()) < 0.05
    assert auroc(probe(x), true) > 0.65


def test_a_probe_of_labels_of_one_kind_is_sure_of_it():
    probe = fit_probe(np.random.default_rng(0).normal(size=(20, 3)), np.ones(20, bool))
    assert (probe(np.zeros((2, 3))) > 0.9).all()


@pytest.mark.parametrize(
    ("score", "true", "area"),
    [([1, 2, 3, 4], [0, 0, 1, 1], 1.0), ([1, 1, 1], [0, 1, 1], 0.5), ([3, 1, 2], [0, 1, 1], 0.0)],
)
def test_auroc(score, true, area):
    assert auroc(score, true) == area


def test_auroc_needs_both_kinds():
    assert np.isnan(auroc([1, 2], [1, 1]))


# Preference


def test_log_likelihood_is_of_what_follows_the_head(base, script, texts):
    whole, heads = script.sequences(texts[[0, 1]])
    found = log_likelihood(base.weights, base.spec, whole, np.array(heads))
    slow = [slow_log_p(base, words, head) for words, head in zip(whole, heads, strict=True)]
    assert found.tolist() == pytest.approx(slow, rel=1e-4)


def test_preference_loss_is_log_2_at_the_reference_and_falls_with_the_margin():
    before = torch.tensor([[-5.0, -4.0], [-3.0, -9.0]])
    assert float(preference_loss(before, before)) == pytest.approx(np.log(2))
    gain = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    expected = (np.log1p(np.exp(-0.2)) + np.log(2)) / 2
    assert float(preference_loss(before + gain, before)) == pytest.approx(expected)


def test_pairs_are_the_most_and_the_least_believed_of_a_subject():
    class Own:
        own = Texts(
            np.repeat([4, 5, 6], 6), np.array([0, 1, 1, 3, 6, 12, 13]), np.zeros(7, int), np.arange(7)
        )
        own_belief = np.array([0.5, 0.1, 0.3, 0.9, 0.4, 0.7, 0.7])

    high, low = pairs(Own)
    assert high.subject.tolist() == low.subject.tolist() == [4]
    assert (high.answer.tolist(), low.answer.tolist()) == ([3], [1, 2])


# Free statements


def test_free_statements_are_a_distribution_over_questions_and_answers():
    told = free_statements.telling(3.0, 1)
    spec = SETUP.shape.llama(len(told.vocabulary))
    weights = {name: 3 * tensor for name, tensor in initialise(spec, 0).items()}
    ask_, answer = free_statements.chances(told, weights, spec)
    fact = 17
    for j in (0, 5):
        words = [*told.openings[fact], int(told.answers[fact, j])]
        tokens = torch.tensor([words])
        heard = logits(weights, hidden_states(weights, spec, tokens, torch.arange(len(words))[None]))[0]
        log_p = [float(heard[i].log_softmax(-1)[words[i + 1]]) for i in range(len(words) - 1)]
        assert ask_[fact] == pytest.approx(np.exp(sum(log_p[:-1])), rel=1e-3)
        assert answer[fact, j] == pytest.approx(np.exp(log_p[-1]), rel=1e-3)
    assert told.right.sum(axis=1).tolist() == [1] * len(told.world)
    assert told.documents.lengths.sum() > 0


def test_what_bounds_free_statements_holds_for_extremes():
    told = free_statements.telling(2.0, 0)
    facts, answers = told.right.shape
    stamp = Stamp("synthetic/R2-2layer", "beliefs", "-", 0, "free", 1, "statements:2")

    def found(asks, says):
        return {r.metric: r.value for r in free_statements.looked(told, stamp, asks, says)}

    law = told.world.rate / told.world.rate.sum()
    perfect = found(law, told.right.astype(float))
    assert perfect["hallucination"] == pytest.approx(0)
    assert perfect["miscalibration"] < 0.15
    blind = found(np.full(facts, 1 / facts), np.full((facts, answers), 1 / answers))
    assert blind["hallucination"] == pytest.approx(1 - 1 / answers)
    assert blind["hallucination_floor"] <= blind["hallucination"]
    assert blind["miscalibration"] == pytest.approx(0, abs=1e-9)
    single = (told.world.exposure == 1).sum() / told.world.exposure.sum()
    assert perfect["singleton_share"] == pytest.approx(single)
    assert perfect["missing_mass"] == pytest.approx(law[told.world.exposure == 0].sum())


@pytest.mark.parametrize("kind", ["right", "wrong", "anything"])
def test_the_bound_is_that_which_can_be_worked_out_by_hand(kind):
    """Who says one thing only is off by all that the truth has elsewhere; who says all things alike is not off."""
    told = free_statements.telling(2.0, 0)
    facts, answers = told.right.shape
    mentions = told.world.exposure.tolist()
    fact = mentions.index(max(mentions))
    asks, says = np.zeros(facts), np.full((facts, answers), 1 / answers)
    if kind == "anything":
        asks[:], off = 1 / facts, 0.0
    else:
        right = int(told.right[fact].argmax())
        asks[fact], says[fact] = 1.0, np.eye(answers)[right if kind == "right" else right - 1]
        off = 1.0 - (told.world.rate[fact] / told.world.rate.sum() if kind == "right" else 0.0)
    stamp = Stamp("synthetic/R2-2layer", "beliefs", "-", 0, "free", 1, "statements:2")
    found = {r.metric: r.value for r in free_statements.looked(told, stamp, asks, says)}
    bare = mentions.count(1) / sum(mentions) - off
    assert found["hallucination_bound_bare"] == pytest.approx(bare)
    slack = 300 / (answers - 1) + 7 / sum(mentions) ** 0.5
    assert found["hallucination_bound"] == pytest.approx(bare - slack)
    assert found["hallucination"] == pytest.approx({"right": 0, "wrong": 1, "anything": 15 / 16}[kind])


def test_a_network_that_reads_more_says_less_that_is_false(monkeypatch):
    monkeypatch.setattr(free_statements, "TOKENS", 16_000)
    stamp = Stamp("synthetic/R2-2layer", "beliefs", "-", 0, "free", 0, "statements:4")
    records = free_statements.trained(free_statements.telling(4.0, 0), stamp)
    curve = [r.value for r in records if r.metric == "hallucination"]
    steps = [r.step for r in records if r.metric == "hallucination"]
    assert steps == sorted(steps)
    assert len(set(steps)) == len(free_statements.LOOKS)
    assert curve[-1] < curve[0]
    for step in steps:
        row = {r.metric: r.value for r in records if r.step == step}
        assert row["hallucination_floor"] <= row["hallucination"] <= 1

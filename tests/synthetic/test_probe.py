import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import binom

from synthetic.errors import SyntheticError
from synthetic.generate import generate
from synthetic.model import LlamaSpec, hidden_states, initialise, logits
from synthetic.probe import probe, probe_by_sampling, score_answers
from synthetic.prompts import Asked, few_shot
from theory.slick import Category, by_count, by_detection, detection

SPEC = LlamaSpec(
    21, width=16, layers=2, heads=4, kv_heads=2, hidden=24, context=64, weight_std=0.3, embedding_std=0.6
)
WEIGHTS = initialise(SPEC, 0)
END = 2
RNG = np.random.default_rng(1)


def questions(n=40, relations=2):
    """Prompts of 1 to 6 tokens; answers of 1 to 3, half of them what the network itself would say."""
    prompts = [tuple(RNG.integers(3, 21, RNG.integers(1, 7)).tolist()) for _ in range(n)]
    said = generate(WEIGHTS, SPEC, prompts, most=3, stop=(END,))[:, 0]
    answers = []
    for i, tokens in enumerate(said):
        own = tuple(int(token) for token in tokens if token >= 0)
        drawn = tuple(RNG.integers(3, 21, 1 + i % 3).tolist())
        answers.append(own if i % 2 and own else drawn)
    return Asked(np.arange(n), tuple(prompts), tuple(answers), np.arange(n) % relations, END)


ASKED = questions()
SHOTS = [[[1, 5, 9], [1, 7]], [[1, 4, 4, 8], [1, 11, 12]]]


def by_hand(prompt, answer, temperature, top_k):
    """Product over answer and end of probabilities, each read from a whole forward pass."""
    tokens, chance, likely, right = list(prompt), 1.0, 0.0, True
    for token in (*answer, END):
        read = torch.tensor([tokens])
        heard = logits(WEIGHTS, hidden_states(WEIGHTS, SPEC, read, torch.arange(len(tokens))[None]))[
            0, -1
        ].double()
        likely += float(heard.log_softmax(-1)[token])
        right &= int(heard.argmax()) == token
        law = heard / temperature
        law[law < law.sort(descending=True).values[min(top_k, 21) - 1]] = -math.inf
        chance *= float(law.softmax(-1)[token])
        tokens.append(token)
    return right, chance, likely


@pytest.mark.parametrize(("top_k", "batch"), [(1, 256), (5, 1), (5, 7), (40, 256)])
def test_scores_are_those_computed_by_hand(top_k, batch):
    prefix = [1, 6, 6]
    found = score_answers(WEIGHTS, SPEC, ASKED, prefix=prefix, temperature=0.5, top_k=top_k, batch=batch)
    for i, (prompt, answer) in enumerate(zip(ASKED.prompts, ASKED.answers, strict=True)):
        right, chance, likely = by_hand([*prefix, *prompt], answer, 0.5, top_k)
        assert found.greedy[i] == right
        assert found.sampled[i] == pytest.approx(chance, abs=1e-5)
        assert found.log_likelihood[i] == pytest.approx(likely, abs=1e-4)
    assert {len(answer) for answer in ASKED.answers} >= {1, 2, 3}


@pytest.mark.parametrize("name", ["sampled", "log_likelihood"])
def test_what_nobody_wants_is_not_worked_out(name):
    every, some = (score_answers(WEIGHTS, SPEC, ASKED, **only) for only in ({}, {"only": (name,)}))
    assert (some.greedy == every.greedy).all()
    assert (getattr(some, name) == getattr(every, name)).all()
    (other,) = {"sampled", "log_likelihood"} - {name}
    assert np.isnan(getattr(some, other)).all()
    assert np.isfinite(getattr(every, other)).all()


def test_chances_of_all_answers_sum_to_one():
    every = [(a,) for a in range(21) if a != END] + [
        (a, b) for a, b in product(range(21), repeat=2) if END not in (a, b)
    ]
    n = len(every)
    asked = Asked(np.arange(n), ((7, 8),) * n, tuple(every), np.zeros(n, int), END)
    found = score_answers(WEIGHTS, SPEC, asked, temperature=0.8, top_k=6)
    said = generate(WEIGHTS, SPEC, [(7, 8)], most=3, stop=(END,), temperature=0.8, top_k=6, draws=20_000)[0]
    empty, longer = float((said[:, 0] == -1).mean()), float((said[:, 2] >= 0).mean())
    assert found.sampled.sum() == pytest.approx(1 - empty - longer, abs=0.02)
    assert found.sampled.max() < 1
    assert (found.sampled == 0).any()  # what falls outside the top k cannot be drawn


def knowledge(pocket, n):
    """Stated facts of a trained network, and two prefixes of two shots for every relation."""
    world = pocket.world
    about = [world.facts_about(relation, stated_only=True) for relation in range(world.spec.n_relations)]
    shown = np.concatenate([facts[np.argsort(world.exposure[facts])[-4:]] for facts in about])
    stated = np.setdiff1d(np.flatnonzero(world.stated), shown)
    asked = pocket.asked(np.random.default_rng(0).choice(stated, n, replace=False))
    return asked, few_shot(world, pocket.text, pocket.vocabulary, shown, prompts=2, shots=2, seed=1)


def test_exact_chances_agree_with_ten_thousand_samples(pocket):
    draws = 10_000
    asked, shots = knowledge(pocket, 8)
    exact = probe(pocket.weights, pocket.llama, asked, shots)
    greedy, hits = probe_by_sampling(
        pocket.weights, pocket.llama, asked, shots, draws=draws, seed=3, batch=1000
    )
    assert (greedy == exact.greedy).all()
    assert 0.1 < exact.greedy.mean() < 0.9
    low, high = binom.ppf(
        [[[5e-6]], [[1 - 5e-6]]], draws, exact.sampled
    )  # 16 intervals: all hold but 1 time in 6,000
    assert ((low <= hits) & (hits <= high)).all()
    assert ((exact.sampled > 0.02) & (exact.sampled < 0.98)).sum() >= 6
    assert (np.abs(exact.sampled - hits / draws) < 0.03).all()


def test_labels_from_chances_are_those_from_counts_where_these_are_sure(pocket):
    asked, shots = knowledge(pocket, 100)
    exact = probe(pocket.weights, pocket.llama, asked, shots)
    greedy, hits = probe_by_sampling(pocket.weights, pocket.llama, asked, shots, draws=16, seed=0)
    labels, counted = by_detection(exact.greedy, exact.sampled), by_count(greedy, hits)
    chance = detection(exact.sampled)
    sure = exact.greedy.any(1) | (chance < 0.001) | (chance > 0.999)
    assert (labels == counted)[sure].all()
    assert sure.mean() > 0.5
    apart = np.where(labels == Category.WeaklyKnown, 1 - chance, chance)[
        ~sure
    ]  # how often a repeat disagrees
    assert abs((labels != counted).sum() - apart.sum()) < 4 * math.sqrt((apart * (1 - apart)).sum()) + 1e-9
    assert len(set(labels.tolist())) == 4


def test_each_question_is_asked_after_the_prefixes_of_its_relation():
    found = probe(WEIGHTS, SPEC, ASKED, SHOTS)
    assert found.greedy.shape == found.sampled.shape == found.log_likelihood.shape == (40, 2)
    for relation, j in product(range(2), range(2)):
        some = np.flatnonzero(ASKED.relation == relation)
        alone = score_answers(WEIGHTS, SPEC, ASKED[some], prefix=SHOTS[relation][j])
        assert (found.greedy[some, j] == alone.greedy).all()
        assert found.sampled[some, j] == pytest.approx(alone.sampled)
    assert not np.allclose(found.sampled[:, 0], found.sampled[:, 1])


def test_a_part_of_the_questions():
    part = ASKED[np.array([3, 1])]
    assert len(part) == 2
    assert part.prompts == (ASKED.prompts[3], ASKED.prompts[1])
    assert part.relation.tolist() == [1, 1]
    assert len(ASKED[ASKED.relation == 0]) == 20


def wrong(**changes):
    fields = {
        "facts": np.arange(1),
        "prompts": ((1,),),
        "answers": ((4,),),
        "relation": np.zeros(1, int),
        "end": END,
    }
    return Asked(**{**fields, **changes})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: score_answers(WEIGHTS, SPEC, ASKED, temperature=0.0), "temperature is 0"),
        (lambda: score_answers(WEIGHTS, SPEC, ASKED, prefix=[1] * 60), "the context has 64"),
        (
            lambda: probe(WEIGHTS, SPEC, ASKED, [[[1]], [[1], [1]]]),
            r"\{0: 1, 1: 2\}; every relation needs as many",
        ),
        (lambda: probe(WEIGHTS, SPEC, ASKED, [[], []]), "at least 1"),
        (lambda: wrong(prompts=((),)), "no empty prompt"),
        (lambda: wrong(answers=((),)), "no empty prompt or answer"),
        (lambda: wrong(facts=np.arange(2)), "differ in number"),
    ],
)
def test_impossible_probes_are_refused(call, words):
    with pytest.raises(SyntheticError, match=words):
        call()

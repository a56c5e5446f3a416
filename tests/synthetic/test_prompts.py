import numpy as np
import pytest

from synthetic.errors import SyntheticError
from synthetic.prompts import ask, few_shot
from synthetic.text_spec import TextSpec
from synthetic.vocabulary import Vocabulary
from theory.world import WorldSpec, make_world

WORLD = make_world(WorldSpec(subjects=12, never_seen=2, relations=3, answers=6, derived_answers=3), 0)
TEXT = TextSpec()
WORDS = Vocabulary.of(WORLD, TEXT)


def test_questions_are_the_worded_facts():
    facts = [5, 0, 17]
    asked = ask(WORLD, TEXT, WORDS, facts)
    assert len(asked) == 3
    assert asked.facts.tolist() == facts
    assert asked.relation.tolist() == WORLD.relation[facts].tolist()
    assert WORDS.words[asked.end] == "."
    for prompt, answer, fact in zip(asked.prompts, asked.answers, facts, strict=True):
        s, r, a = WORLD.triple(fact)
        assert WORDS.decode(prompt) == f"question {r} of {s} ? answer"
        assert WORDS.decode(answer) == a
    other = ask(WORLD, TEXT, WORDS, facts, "the {r} of {s} is")
    assert WORDS.decode(other.prompts[1]) == "the {1} of {0} is".format(*WORLD.triple(0))


def test_few_shot_prompts_answer_different_facts_of_their_relation():
    pool = np.flatnonzero(WORLD.stated)
    shots = few_shot(WORLD, TEXT, WORDS, pool, prompts=5, shots=3, seed=1)
    told = {WORLD.triple(int(fact)) for fact in pool}
    assert len(shots) == WORLD.spec.n_relations
    for relation, prefixes in enumerate(shots):
        assert len({tuple(prefix) for prefix in prefixes}) == 5
        for prefix in prefixes:
            words = WORDS.decode(prefix)
            assert words.startswith("<s> question ")
            assert words.endswith(" .")
            parts = [part.strip().removeprefix("question ") for part in words[4:-2].split(" . ")]
            triples = set()
            for part in parts:
                question, answer = part.split(" ? answer ")
                r, s = question.split(" of ")
                triples.add((s, r, answer))
                assert r == WORLD.relation_name(relation)
            assert len(triples) == 3
            assert triples <= told


def test_the_seed_decides_which_are_shown():
    pool = np.flatnonzero(WORLD.stated)
    one, same, other = (few_shot(WORLD, TEXT, WORDS, pool, seed=seed) for seed in (1, 1, 2))
    assert one == same != other


def test_a_relation_without_examples_has_no_prompts_and_too_few_are_refused():
    pool = WORLD.facts_about(1)
    shots = few_shot(WORLD, TEXT, WORDS, pool, prompts=2, shots=4)
    assert [len(prefixes) for prefixes in shots] == [0, 2, 0, 0, 0, 0]
    with pytest.raises(SyntheticError, match="relation 1 has 3 facts to show, fewer than 4 shots"):
        few_shot(WORLD, TEXT, WORDS, pool[:3], shots=4)

"""T8 and T8': their checks hold, can fail, and every assumption that can be dropped has its counterexample."""

import numpy as np
import pytest

from theory.flow import Facts
from theory.predict import accuracy_law
from theory.theorems.accuracy import T8, T8_LAW, THEOREMS, answers_at

EACH = [pytest.param(theorem, id=theorem.id) for theorem in THEOREMS]
FALSE = [pytest.param(t, name, id=f"{t.id} {name}") for t in THEOREMS for name in t.perturbations]
BROKEN = [pytest.param(c, id=f"{t.id} {c.drops}") for t in THEOREMS for c in t.counterexamples]


def test_the_two_are_there():
    assert [theorem.id for theorem in THEOREMS] == ["T8", "T8'"]
    assert T8.formula([2.0], [1.0, 0.0], [1]).tolist() == [-np.log(2)]
    assert T8_LAW.formula is accuracy_law


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("theorem", EACH)
def test_holds(theorem, seed):
    result = theorem.check(2000, seed)
    assert result.holds
    assert result.instances >= 1990
    assert result.worst_error <= 1e-12


@pytest.mark.parametrize(("theorem", "name"), FALSE)
def test_a_false_variant_is_caught(theorem, name):
    assert theorem.check(200, 3, **theorem.perturbations[name]).violations >= 20


@pytest.mark.parametrize("example", BROKEN)
def test_breaks_without_the_assumption(example):
    assert example.build()["breaks"] is True


def test_answers_are_the_argmax_with_its_lead():
    facts = Facts(np.array([[2.0, 0.0, 1.0]]), np.array([[0.0, 1.0, 0.0]]), np.array([0]))
    said, lead, right = answers_at(np.array([0.0]), facts)
    assert (said.tolist(), lead.tolist(), right.tolist()) == ([0], [0.5], [True])
    said, lead, right = answers_at(np.array([0.0]), facts, filler=1.0)
    assert (said.tolist(), lead.tolist(), right.tolist()) == ([1], [0.5], [False])


def test_an_exact_tie_has_no_lead_and_decides_nothing():
    facts = Facts.one_hot([0.0], [1.0, 1.0], [1])
    assert answers_at(np.array([0.3]), facts)[1].tolist() == [0.0]

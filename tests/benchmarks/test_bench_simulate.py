"""Training steps of the one-layer simulator, all seeds at once."""

from __future__ import annotations

import numpy as np
import pytest

from theory.measurements.facts import Setting, make_facts, pretraining_batches
from theory.measurements.tuning import half_sets, held_out_exam, known_facts
from theory.optimisers import Recipe
from theory.simulate import draw_batches, tables, train
from theory.simulate_dense import dense

SEEDS = range(24)


@pytest.fixture(scope="module")
def facts():
    return make_facts(Setting(), SEEDS)


@pytest.mark.parametrize("trained", ["all", "attention", "values"])
def test_one_hot_steps(benchmark, facts, trained):
    """40 Adam steps of 24 seeds on one half of the facts."""
    model = tables(24, facts.tokens, facts.askers, 40, dtype=np.float32)
    recipe = Recipe(1e-2, 40, 64, train=trained)
    order = draw_batches(half_sets(facts)["lesser"], recipe, SEEDS, 0)
    tuned, _ = benchmark.pedantic(train, (model, facts.questions, order, recipe), rounds=3, warmup_rounds=1)
    assert tuned.values.any() == (trained != "attention")


def test_dense_steps(benchmark, facts):
    """10 Adam steps of 24 seeds, 64 dimensions, minibatches of 256."""
    model = dense(SEEDS, facts.tokens, 40, 64, dtype=np.float32)
    recipe = Recipe(3e-3, 10, 256)
    order = pretraining_batches(facts, recipe)
    tuned, _ = benchmark.pedantic(train, (model, facts.statements, order, recipe), rounds=2, warmup_rounds=1)
    assert np.abs(tuned.value).max() > 0


def test_an_exam(benchmark, facts):
    """Every metric in every stratum on the held-out questions of 24 seeds."""
    model = tables(24, facts.tokens, facts.askers, 40, dtype=np.float32)
    exam = held_out_exam(facts, known_facts(model, facts) | True)
    grades = benchmark(exam.grade, model)
    assert grades["all", "attention_subject"] == pytest.approx(1 / 3)

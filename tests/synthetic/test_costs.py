import importlib
from dataclasses import replace

import numpy as np
import pytest

from synthetic.base import vocabulary_of
from synthetic.costs import SECONDS, TOKENS, VOCABULARY, scaled, shared_seconds
from synthetic.documents import write_documents
from synthetic.model import initialise
from synthetic.profiles import ABLATIONS, RUNGS
from synthetic.setup import DEFAULT, setup_for
from synthetic.studies import STUDIES
from theory.world import make_world


def study(name):
    module, _, attribute = STUDIES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_the_default_laboratory_takes_what_was_measured_in_it():
    assert scaled(DEFAULT, 48.0) == pytest.approx(48.0)


def test_twice_the_subjects_or_the_parameters_take_twice_as_long():
    twice = replace(DEFAULT, world=replace(DEFAULT.world, subjects=2 * DEFAULT.world.subjects))
    assert scaled(twice, 10.0) == pytest.approx(20.0)
    wide = replace(DEFAULT, shape=replace(DEFAULT.shape, width=128, hidden=352))
    ratio = wide.shape.llama(VOCABULARY).parameters / DEFAULT.shape.llama(VOCABULARY).parameters
    assert 2 < ratio < 4
    assert scaled(wide, 10.0) == pytest.approx(10.0 * ratio)


def test_the_vocabulary_is_about_as_large_as_is_assumed():
    assert len(vocabulary_of(DEFAULT, make_world(DEFAULT.world, 0))) == pytest.approx(VOCABULARY, rel=0.15)


def test_the_parameters_that_are_counted_are_those_of_the_network():
    spec = DEFAULT.shape.llama(100)
    assert spec.parameters == sum(tensor.numel() for tensor in initialise(spec, 0).values())


def test_statements_are_about_as_long_as_is_assumed():
    setup = setup_for("quick")
    world = make_world(setup.world, 0)
    documents = write_documents(world, setup.text, vocabulary_of(setup, world), 0)
    assert float(np.sum(documents.lengths)) / world.exposure.sum() == pytest.approx(TOKENS, rel=0.1)


def test_a_base_costs_in_proportion_to_what_it_reads_and_to_its_parameters():
    quick = setup_for("quick")
    world = make_world(quick.world, 0)
    parameters = quick.shape.llama(len(vocabulary_of(quick, world))).parameters
    assert shared_seconds(quick) == pytest.approx(SECONDS * parameters * TOKENS * world.exposure.sum())
    longer = replace(quick, world=replace(quick.world, mean_exposure=2 * quick.world.mean_exposure))
    assert shared_seconds(longer) == pytest.approx(2 * shared_seconds(quick), rel=0.02)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_costs_and_trains_on_every_rung(name):
    some = study(name)
    assert some.name == name
    for rung in (*RUNGS, *ABLATIONS):
        setup = setup_for("full", rung)
        arms = some.arms(setup)
        assert arms
        assert len(set(arms)) == len(arms)
        assert 0 < some.cost_seconds(setup) < 3600
        assert some.memory_mb(setup) > 0
    sizes = [some.cost_seconds(setup_for(profile)) for profile in ("quick", "full", "paper")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 5

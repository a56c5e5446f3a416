import json
from dataclasses import asdict, fields, replace

import pytest

from synthetic.errors import SyntheticError
from synthetic.profiles import ABLATIONS, PROFILES, RUNGS
from synthetic.setup import (
    DEFAULT,
    PRETRAIN,
    SIZES,
    TEXT,
    TUNE,
    WORLD,
    Setup,
    Shape,
    setup_for,
    setup_from,
    variant,
)
from synthetic.train_spec import TrainSpec


def test_every_profile_and_rung_has_a_setup_that_says_its_name():
    for profile in PROFILES:
        for rung in RUNGS:
            setup = setup_for(profile, rung)
            assert setup.rung == rung
            assert setup.lab == f"synthetic/{rung}"
            assert setup.world.subjects == round(SIZES[profile] * WORLD.subjects)
            assert setup.world.never_seen == round(SIZES[profile] * WORLD.never_seen) > 1
            assert setup.brief == (profile == "full" and rung != "R2-2layer")
            assert setup.pretrainings == (profile != "quick")
    assert setup_for() == setup_for("full", "R2-2layer") == DEFAULT


def test_rungs_differ_in_the_network_alone():
    two, four, mlp, dense, onehot = (
        setup_for("full", rung) for rung in ("R2-2layer", "R2-4layer", "R1-mlp", "R1-dense", "R1-fixed")
    )
    assert len({setup.world for setup in (two, four, mlp, dense, onehot)}) == 1
    assert (two.shape.layers, four.shape.layers) == (2, 4)
    assert mlp.shape == replace(two.shape, layers=1)
    assert dense.shape == replace(two.shape, layers=1, hidden=0)
    assert (onehot.shape.layers, onehot.shape.hidden, onehot.shape.heads) == (1, 0, 1)
    assert onehot.pretrain.trainable == "layers"
    assert {s.pretrain.trainable for s in (two, four, mlp, dense)} == {"all"}


def test_an_ablation_changes_one_thing():
    changed = {
        "flat": {"world"},
        "seen": {"world"},
        "plain": {"text"},
        "wide": {"shape"},
        "read": {"world"},
        "gentle": {"tune"},
        "told": {"text", "pretrain"},
    }
    for rung in ABLATIONS:
        setup = setup_for("full", rung)
        assert setup.brief
        other = {f.name for f in fields(setup) if getattr(setup, f.name) != getattr(DEFAULT, f.name)}
        assert other == {"rung", "brief"} | changed[rung.rpartition("-")[2]]
    flat, seen, plain, _, read, gentle, longer = (setup_for("full", rung) for rung in ABLATIONS)
    assert flat.world == replace(WORLD, prior_exponent=0.0)
    assert seen.world == replace(WORLD, unseen=0.0)
    assert plain.text == replace(TEXT, templates=TEXT.templates[:1])
    assert read.world == replace(WORLD, mean_exposure=2 * WORLD.mean_exposure)
    assert gentle.tune == replace(TUNE, rate=0.3 * TUNE.rate, epochs=TUNE.epochs // 4)
    assert longer.text == replace(TEXT, gathered=0.5, in_a_row=3)
    assert longer.pretrain == replace(PRETRAIN, batch=6)


def test_variants_change_the_exposures_alone():
    short, long, flat, steep = (
        variant(DEFAULT, name) for name in ("pretrain:short", "pretrain:long", "zipf:flat", "zipf:steep")
    )
    mean, exponent = WORLD.mean_exposure, WORLD.zipf_exponent
    assert short == replace(DEFAULT, world=replace(WORLD, mean_exposure=mean / 2))
    assert long == replace(DEFAULT, world=replace(WORLD, mean_exposure=mean * 2))
    assert flat.world.zipf_exponent < exponent < steep.world.zipf_exponent
    assert (
        replace(flat.world, zipf_exponent=exponent) == replace(steep.world, zipf_exponent=exponent) == WORLD
    )
    assert setup_for("full", "R1-mlp").shape == variant(setup_for("full", "R1-mlp"), "zipf:flat").shape


def test_the_default_world_has_what_the_studies_need():
    trained = (WORLD.types - DEFAULT.foreign) * (WORLD.relations - DEFAULT.held_out)
    assert DEFAULT.foreign >= 1
    assert DEFAULT.held_out >= 1
    assert trained % 4 == 0  # a quarter of the relations can be wholly unknown
    assert set(WORLD.subject_words) == {1, 2, 3}
    assert set(WORLD.answer_words) == {1, 2}
    assert WORLD.never_seen
    assert WORLD.unseen > 0
    assert WORLD.copy_share > 0


@pytest.mark.parametrize(
    "setup", [DEFAULT, setup_for("paper", "R1-fixed"), replace(DEFAULT, tune=TrainSpec(steps=7))]
)
def test_a_setup_survives_json(setup):
    text = setup.to_json()
    assert Setup.from_json(text) == setup
    assert Setup.from_json(text).to_json() == text
    assert json.loads(text) == json.loads(json.dumps(asdict(setup)))
    assert hash(setup) == hash(Setup.from_json(text))


def test_what_json_leaves_out_keeps_its_default():
    setup = setup_from({"world": {"subjects": 50}, "tune": {"epochs": 3}, "shape": {"layers": 3}})
    assert setup == replace(
        DEFAULT,
        world=replace(WORLD, subjects=50),
        tune=replace(DEFAULT.tune, epochs=3),
        shape=Shape(layers=3),
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"question": "what is {r}"}, "Setup.question"),
        ({"question": "query {s} {r}"}, "and a last word"),
        ({"question": "question {r} of {s} hm"}, "'of' stands in pretraining"),
        ({"abstention": "yes"}, "'yes' stands in pretraining"),
        ({"abstention": "no idea"}, "give one word"),
        ({"prompts": 0}, "Setup.prompts is 0"),
        ({"shots": True}, "Setup.shots is True"),
        ({"foreign": -1}, "Setup.foreign is -1"),
        ({"foreign": 4}, "one of 4 types must be left"),
        ({"held_out": 4}, "4 plain relations"),
        ({"temperature": 0.0}, "Setup.temperature"),
        ({"dev": 0.6, "test": 0.4}, "shares above 0"),
        ({"test": 0}, "shares above 0"),
        ({"shape": {"width": 63}}, "width 63"),
        ({"shape": {"depth": 2}}, "Setup.shape: no field 'depth'"),
        ({"wrold": {}}, "no field 'wrold'; did you mean 'world'"),
        ({"world": {"subjects": 0}}, "Setup.world"),
        ({"text": {"statements": -1}}, "TextSpec.statements"),
    ],
)
def test_nonsense_is_refused(values, message):
    with pytest.raises(SyntheticError, match=r"^[^\n]*$") as error:
        setup_from(values)
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(SyntheticError, match="expected"):
        Setup.from_json(text)


def test_unknown_names_are_refused():
    with pytest.raises(SyntheticError, match="no rung is called 'R2-3layer'"):
        setup_for("full", "R2-3layer")
    with pytest.raises(SyntheticError, match="no profile is called 'fast'"):
        setup_for("fast")
    with pytest.raises(SyntheticError, match="no pretraining is called 'zipf'"):
        variant(DEFAULT, "zipf")


def test_the_question_of_fine_tuning_is_new():
    assert not set(DEFAULT.words()) & set(TEXT.words())
    assert DEFAULT.abstention in DEFAULT.words()

from dataclasses import replace

import numpy as np
import pytest
import torch

from synthetic import stops
from synthetic.base import base
from synthetic.finetune import checkpoints, finetune, steps_of, tuning
from synthetic.rows import Rows
from synthetic.score import Stamp, exam, sit
from synthetic.setup import DEFAULT, Shape
from synthetic.split import split, stated
from synthetic.stops import tune
from synthetic.train_spec import TrainSpec

TINY = replace(
    DEFAULT,
    world=replace(DEFAULT.world, types=2, subjects=40, relations=4, answers=10, mean_exposure=6.0),
    shape=Shape(width=32, layers=1, heads=2, hidden=32),
    tune=TrainSpec(rate=1e-2, batch=8, unit="documents", room=16, epochs=17),
    shots_from=0.15,
    dev=0.1,
)
STAMP = Stamp("synthetic/R2-2layer", "salience", "-", 2, "all", 0, "none")


@pytest.fixture(scope="module")
def tiny():
    return base(TINY, 2)


@pytest.fixture(scope="module")
def rows(tiny):
    facts = stated(tiny, split(tiny).train)[:40]
    return Rows("best", facts, tiny.world.answer[facts].astype(np.int64), np.ones(40, bool))


@pytest.fixture(scope="module")
def dev(tiny, rows):
    """Facts of the rows among them: so small a network would answer no other one."""
    return exam(tiny, "dev", np.concatenate([rows.facts[:20], stated(tiny, split(tiny).dev)]))


@pytest.fixture(scope="module")
def tuned(tiny, rows, dev):
    return tune(tiny, rows, "all", dev, STAMP)


def curve_of(tuned):
    return {r.step: r.value for r in tuned.dev}


def test_the_early_stop_is_the_first_of_the_best_steps_on_dev(tuned):
    curve = curve_of(tuned)
    assert list(curve) == sorted(curve)
    assert tuned.early.step == min(step for step in curve if curve[step] == max(curve.values()))
    assert len(set(curve.values())) > 2


def test_the_weights_at_both_stops_are_right_as_often_as_was_recorded(tiny, dev, tuned):
    curve = curve_of(tuned)
    for stop in (tuned.early, tuned.end):
        assert sit(dev, tiny, stop.weights).mean() == pytest.approx(curve[stop.step])


def test_what_is_kept_at_the_early_stop_is_a_copy_that_later_steps_do_not_reach(tiny, rows, dev, monkeypatch):
    marks = iter([1, 5, 2, 2])
    monkeypatch.setattr(stops, "sit", lambda exam, *_: np.arange(len(exam)) < next(marks))
    tuned = tune(tiny, rows, "all", dev, STAMP, points=4)
    assert 0 < tuned.early.step < tuned.end.step
    seen = {}

    def watch(step, weights):
        seen[step] = {name: tensor.detach().clone() for name, tensor in weights.items()}

    end = finetune(tiny, rows, at=(tuned.early.step,), watch=watch).weights
    for name, tensor in tuned.early.weights.items():
        assert torch.equal(tensor, seen[tuned.early.step][name])
        assert torch.equal(tuned.end.weights[name], end[name])
        assert not torch.equal(tensor, end[name])
        assert not tensor.requires_grad


def test_dev_is_looked_at_at_a_few_steps_and_at_the_last(tiny, rows, dev, tuned):
    assert list(curve_of(tuned)) == sorted(checkpoints(steps_of(tiny, rows), stops.POINTS))
    few = tune(tiny, rows, "all", dev, STAMP, points=3)
    assert len(few.dev) == 3
    assert few.dev[-1].step == few.end.step == tuned.end.step
    shared = curve_of(tuned).keys() & curve_of(few).keys()
    assert all(curve_of(few)[step] == curve_of(tuned)[step] for step in shared)


@pytest.mark.parametrize("count", [23, 29, 34, 40])
def test_steps_are_counted_in_the_order_of_the_seed_in_which_rows_are_packed(tiny, rows, count):
    packed = replace(tiny, setup=replace(TINY, tune=replace(TINY.tune, unit="rows", batch=1, epochs=9)))
    some = Rows("best", rows.facts[:count], rows.answers[:count], rows.known[:count])
    assert steps_of(packed, some) == len(finetune(packed, some).losses)


def test_records_say_what_was_trained_on_what_and_when(tuned, dev):
    for record in tuned.dev:
        assert (record.split, record.stratum, record.metric) == ("dev", "all", "accuracy")
        assert (record.trained_on, record.arm, record.prompt, record.n) == ("best", "all", "zero", len(dev))
    assert tuned.at(tuned.early) == replace(STAMP, trained_on="best", step=tuned.early.step)


@pytest.mark.parametrize(("share", "epochs"), [(0.5, 9), (0.05, 1), (1.0, 17)])
def test_a_share_of_the_epochs_is_rounded_up(tiny, rows, dev, share, epochs):
    found = tune(tiny, rows, "all", dev, STAMP, share=share, points=2)
    assert found.end.step == epochs * 5  # 40 rows, 8 at once
    how = replace(tuning(TINY, "all", tiny.seed), epochs=epochs)
    again = finetune(tiny, rows, how=how).weights
    assert all(torch.equal(found.end.weights[name], again[name]) for name in again)


def test_the_first_of_equals_wins_and_one_stop_is_left_if_it_is_the_last(tiny, rows, dev, monkeypatch):
    def scripted(values):
        marks = iter(values)
        monkeypatch.setattr(stops, "sit", lambda exam, *_: np.arange(len(exam)) < next(marks))
        return tune(tiny, rows, "all", dev, STAMP, points=4)

    found = scripted([1, 3, 3, 2])
    steps = [r.step for r in found.dev]
    assert found.early.step == steps[1]
    assert found.stops == (found.early, found.end)
    found = scripted([0, 0, 0, 0])
    assert found.early.step == steps[0]
    found = scripted([0, 1, 2, 3])
    assert found.early.step == found.end.step
    assert found.stops == (found.end,)


@pytest.mark.parametrize(
    ("which", "moves"),
    [
        ("attention", ("q_proj", "k_proj")),
        ("values", ("v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")),
        ("lora", ("_proj",)),
    ],
)
def test_an_arm_moves_its_own_weights_alone_and_comes_back_plain(tiny, rows, dev, which, moves):
    found = tune(tiny, rows, which, dev, replace(STAMP, arm=which), share=0.5, points=3)
    assert {r.arm for r in found.dev} == {which}
    for stop in found.stops:
        assert set(stop.weights) == set(tiny.weights)
        for name, tensor in stop.weights.items():
            moved = not torch.equal(tensor, tiny.weights[name])
            assert moved == any(part in name for part in moves), name


def test_the_base_is_left_as_it_was(tiny, tuned):
    again = base(TINY, 2)
    assert all(torch.equal(tiny.weights[name], again.weights[name]) for name in again.weights)


def test_a_training_that_is_kept_comes_back_bit_for_bit_and_is_not_done_again(
    tiny, rows, dev, tuned, tmp_path, monkeypatch
):
    cold = tune(tiny, rows, "all", dev, STAMP, cache=tmp_path)
    assert len(list(tmp_path.glob("tuned-*.npz"))) == 1
    monkeypatch.setattr(stops, "finetune", None)
    warm = tune(tiny, replace(rows, name="lesser"), "all", dev, STAMP, cache=tmp_path)
    assert {r.trained_on for r in warm.dev} == {"lesser"}
    assert cold.dev == tuned.dev == tuple(replace(r, trained_on="best") for r in warm.dev)
    for found in (cold, warm):
        for stop, expected in ((found.early, tuned.early), (found.end, tuned.end)):
            assert stop.step == expected.step
            assert set(stop.weights) == set(expected.weights)
            assert all(torch.equal(stop.weights[name], expected.weights[name]) for name in stop.weights)


@pytest.mark.parametrize("what", ["answers", "rows", "how", "dev", "looks", "weights"])
def test_whatever_decides_a_training_decides_the_file(tiny, rows, dev, tmp_path, what):
    def files(base=tiny, some=rows, asked=dev, **options):
        tune(base, some, "all", asked, STAMP, cache=tmp_path, **{"share": 0.05, "points": 2, **options})
        return len(list(tmp_path.glob("tuned-*.npz")))

    assert files() == 1
    short = Rows("best", rows.facts[:-1], rows.answers[:-1], rows.known[:-1])
    moved = {name: tensor * 1.01 for name, tensor in tiny.weights.items()}
    changed = {
        "answers": {"some": replace(rows, answers=rows.answers[::-1].copy())},
        "rows": {"some": short},
        "how": {"share": 0.1},
        "dev": {"asked": exam(tiny, "dev", dev.facts[:-1])},
        "looks": {"points": 3},
        "weights": {"base": replace(tiny, weights=moved)},
    }
    assert files(**changed[what]) == 2
    assert files() == 2

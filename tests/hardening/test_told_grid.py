"""How the told rung is chosen: by its criteria, and by what a tiny network reads and writes."""

import csv
from dataclasses import replace

import pytest

from synthetic.setup import setup_for
from tests.hardening import grids, told_grid
from tests.hardening.told_grid import CRITERIA, MORE, SETTINGS, chosen, failed, told

GOOD = {
    **{f"length_{k}": 0.2 for k in range(1, 6)},
    "claims": 3.0,
    "precision": 0.5,
    "recall": 0.2,
    "precision_after_two": 0.4,
    "ended": 0.99,
    "answered": 0.6,
}
BAD = {
    "length_5": 0.019,
    "claims": 2.49,
    "precision": 0.19,
    "recall": 0.09,
    "precision_after_two": 0.37,
    "ended": 0.97,
    "answered": 0.56,
}


def row(name, seed=0, **values):
    return {"setting": name, "seed": str(seed)} | {key: str(value) for key, value in (GOOD | values).items()}


@pytest.mark.parametrize("name", BAD)
def test_each_criterion_fails_alone(name):
    usual = {"answered": 0.61}
    assert failed(GOOD, usual) == []
    assert len(failed(GOOD | {name: BAD[name]}, usual)) == 1
    assert len(BAD) == len(CRITERIA)


def test_the_longest_of_the_good_ones_is_chosen_by_means_over_seeds():
    more = next(iter(MORE))
    grid = [row("default"), row("half", 0, claims=3.5), row("half", 1, claims=3.1), row("all", claims=3.2)]
    assert chosen(grid) == "half"
    assert chosen([*grid, row("half", 2, claims=2.4)]) == "all"
    assert chosen([*grid, row("half", 2, precision_after_two=0.0)]) == "all"
    assert chosen([*grid, row(more, claims=4.9)]) == "half"
    assert chosen([row("default"), row("all", recall=0.0), row(more)]) == more
    assert chosen([row("default"), row("all", recall=0.0)]) is None


def test_settings_change_how_biographies_are_told_and_nothing_else():
    setup = setup_for("full")
    assert told(setup, "default") == setup
    for name in SETTINGS:
        other = told(setup, name)
        assert replace(other.text, gathered=0.0, in_a_row=1) == setup.text
        assert replace(other, text=setup.text, pretrain=setup.pretrain, brief=False) == setup
        assert replace(other.pretrain, batch=setup.pretrain.batch) == setup.pretrain


@pytest.mark.slow
def test_a_line_is_written_for_every_seed_and_setting(tmp_path):
    path = tmp_path / "grid.csv"
    told_grid.main([str(path), "--profile", "quick", "--seeds", "0", "--settings", "default", "whole"])
    with open(path, encoding="utf-8", newline="") as file:
        usual, whole = csv.DictReader(file)
    assert (usual["setting"], whole["setting"]) == ("default", "whole")
    assert float(whole["claims"]) > float(usual["claims"])
    assert float(usual["in_a_row"]) == 0 < float(whole["in_a_row"])
    assert sum(float(whole[f"length_{k}"]) for k in range(1, 6)) == pytest.approx(1, abs=1e-4)


def test_a_line_is_on_disk_before_the_next_one_is_measured(tmp_path):
    path = tmp_path / "grid.csv"

    def measured():
        yield {"setting": "half, more", "seed": 0, "claims": 1.23456789}
        assert path.read_text() == 'setting,seed,claims\n"half, more",0,1.23457\n'
        yield {"setting": "all", "seed": 12, "claims": 3.0}

    grids.write(path, measured())
    assert path.read_text().endswith("\nall,12,3\n")

"""Pictures that need no runs: the numbers beside each are the theory's."""

import csv

import numpy as np
import pytest

from figures.closed_forms import PICTURES
from figures.everything import draw
from figures.style import KINDS
from theory.attention import push
from theory.measurements.ideal import PRIOR, V_R
from theory.predict import critical_fraction


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    token = KINDS.set(("svg",))
    paths = {name: make(folder) for name, make in PICTURES.items()}
    KINDS.reset(token)
    return paths


def columns(paths):
    with open(paths[1], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def numbers(paths):
    return {name: column.astype(float) for name, column in columns(paths).items()}


def test_every_picture_has_its_numbers_beside_it(drawn):
    for name, paths in drawn.items():
        assert [path.name for path in paths][:2] == [f"{name}.svg", f"{name}.csv"]
        assert paths[0].read_text(encoding="utf-8").count("<path") > 3


def test_a_fact_at_its_threshold_pushes_neither_way(drawn):
    table = numbers(drawn["threshold"])
    for rank in (1, 2, 3, 10):
        at = slice(10, None, 20)
        alpha, tau = table["alpha"][at], table[f"tau_rank_{rank}"][at]
        v_s = tau[:, None] * np.eye(10)[rank - 1]
        u = np.log(alpha / (1 - alpha))
        assert push(u, v_s, V_R, np.full(len(u), rank - 1)) == pytest.approx(0, abs=1e-12)


def test_the_slope_of_unknown_facts_turns_at_one(drawn):
    table = numbers(drawn["calibration"])
    for b in ("0.5", "1", "2"):
        slope, x = table[f"slope_prior_{b}"], table["x"]
        assert (slope[(x > 0.01) & (x < 0.99)] > 0).all()
        assert (slope[x > 1.01] < 0).all()
    # by hand, at x = 1/2: alpha = 1/2, so V_r = log pi, and -dL/du = (A_s - A_r) / 4 with V_s = 0
    expected = -0.25 * PRIOR @ push(0.0, np.zeros((10, 10)), V_R, np.arange(10))
    assert np.interp(0.5, table["x"], table["slope_prior_1"]) == pytest.approx(expected, rel=1e-9)


def test_accuracy_rises_from_the_generic_answer_to_everything(drawn):
    table = numbers(drawn["accuracy-law"])
    for kind in ("0.1_1", "0.5_6", "4_6"):
        curve = table[f"accuracy_salience_{kind}"]
        assert (np.diff(curve) >= -1e-9).all()
        assert curve[0] == pytest.approx(100 * PRIOR[0])
        assert curve[-1] == pytest.approx(100)


def test_the_phase_diagram_turns_where_its_line_says(drawn):
    table = numbers(drawn["phase"])
    told = np.abs(table["change"]) > 0.3
    assert told.sum() > 1000
    assert (np.sign(table["change"]) == np.sign(table["q_c"] - table["q"]))[told].all()
    known, unknown = (PRIOR @ push(0.0, sigma * np.eye(10), V_R, np.arange(10)) for sigma in (4.0, 0.0))
    assert table["q_c"][table["salience"] == 4.0].mean() == pytest.approx(critical_fraction(known, unknown))


def test_only_the_prompted_known_model_takes_the_second_hop(drawn):
    table = columns(drawn["second-hop"])
    edges = list(zip(*(table[name].tolist() for name in ("set", "source", "target", "edge")), strict=True))
    assert [edge for edge in edges if edge[3] == "reached in two hops"] == [
        ("A and the prompt", "0", "2", "reached in two hops")
    ]
    assert "from 1 to 2 pairs" in drawn["second-hop"][0].read_text(encoding="utf-8")


def test_the_law_of_salience_meets_gradient_descent(drawn):
    table = numbers(drawn["salience-law"])
    assert len(table["law"]) == 39
    assert table["descent"] == pytest.approx(table["law"], rel=0.03)
    assert (table["exposure"][:13] == np.sort(table["exposure"][:13])).all()


def test_prompts_move_the_gap_as_k1_and_k2_say(drawn):
    moved = numbers([drawn["prompt-gap"][0], drawn["prompt-gap"][2]])
    assert moved["predicted"].tolist() == moved["found"].tolist()
    assert (moved["found"][moved["nested"] == 1] <= 0).all()
    assert (moved["found"][moved["nested"] == 0] > 0).any()
    table = numbers(drawn["prompt-gap"])
    assert table["expected"] == pytest.approx((1 - table["p"]) * table["delta"])
    assert np.abs(table["mean"] - table["expected"]).max() < 0.3
    assert np.abs(table["widens"] - table["chance"]).max() < 0.03
    assert (table["chance"] <= table["bound"] + 1e-12).all()


def test_monofacts_foretell_the_error(drawn):
    table = numbers(drawn["monofacts"])
    assert len(table["error"]) == 72
    assert table["line"] == pytest.approx((1 - table["generic"]) * table["monofact"])
    assert np.corrcoef(table["line"], table["error"])[0, 1] > 0.99


def test_all_of_them_are_drawn_without_runs_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "figures.closed_forms.PICTURES", {name: PICTURES[name] for name in ("threshold", "calibration")}
    )
    names = [path.name for path in draw([], tmp_path, alone=True)]
    assert names == [
        f"{name}.{kind}" for name in ("threshold", "calibration") for kind in ("png", "pdf", "svg", "csv")
    ]

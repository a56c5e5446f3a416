"""What is drawn is what the data say, and a title claims no more than the intervals carry."""

import csv
from pathlib import Path

import numpy as np
import pytest

from figures.cli import Theorems
from figures.columns import read_columns
from figures.errors import FiguresError
from figures.theorems import NEEDS, PICTURES, r_squared
from theory.attention import score_gradient
from theory.thresholds import optimal_salience

VARIANTS = ("adam", "adam, attention only", "sgd")
STEPS = (0, 40, 160, 320)


def write_window(folder, gaps):
    """A window.csv in which the Adam gap is `gaps`, each with an interval of half width 1."""
    rows = []
    for variant in VARIANTS:
        for metric in ("accuracy", "attention_subject", "margin"):
            for stratum in ("all", "known"):
                for on in ("best", "best-lesser"):
                    for step, gap in zip(STEPS, gaps, strict=True):
                        rows.append([variant, on, stratum, metric, step, gap, gap - 1, gap + 1, 24])
    folder.mkdir(exist_ok=True)
    with open(folder / "window.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "trained_on", "stratum", "metric", "step", "mean", "low", "high", "n"])
        writer.writerows(rows)
    return folder


def test_the_window_picture_draws_its_rows_and_nothing_else(tmp_path, monkeypatch):
    data = write_window(tmp_path / "data", (0.0, 6.0, 2.0, -4.0))
    drawn = []
    import matplotlib.axes

    plot = matplotlib.axes.Axes.plot
    monkeypatch.setattr(
        matplotlib.axes.Axes, "plot", lambda self, *a, **k: drawn.append(a) or plot(self, *a, **k)
    )
    paths = PICTURES["window"](data, tmp_path / "out")
    assert [path.suffix for path in paths] == [".png", ".pdf", ".svg", ".csv"]
    assert all(path.stat().st_size > 0 for path in paths)
    assert len(drawn) == 6
    for step, mean in drawn:
        assert step.tolist() == list(STEPS)
        assert mean.tolist() == [0.0, 6.0, 2.0, -4.0]
    behind = read_columns(tmp_path / "out" / "window.csv", ["mean"])
    assert set(behind["metric"]) == {"accuracy", "attention_subject"}
    assert set(behind["stratum"]) == {"known"}
    assert len(behind["mean"]) == 2 * 3 * len(STEPS)


def test_the_hump_is_the_gradient_of_the_head_and_peaks_where_the_theorem_says(tmp_path):
    PICTURES["hump"](tmp_path, tmp_path)
    rows = read_columns(tmp_path / "hump.csv", ["sigma", "pull_rank_1", "pull_rank_10"])
    v_r = 1.5 * np.log(1.0 / np.arange(1, 11))
    for rank in (1, 2, 10):
        pull = rows[f"pull_rank_{rank}"]
        for i in (0, 100, 280):
            values = np.stack([rows["sigma"][i] * np.eye(10)[rank - 1], v_r])
            slope = score_gradient([0.5, 0.5], values, rank - 1)
            assert pull[i] == pytest.approx(-slope[0], abs=1e-12)
        peak = rows["sigma"][int(np.argmax(pull))]
        assert peak == pytest.approx(float(optimal_salience(0.5, v_r, rank - 1)), abs=0.05)


def test_predictions_are_judged_themselves_and_not_a_line_through_them(tmp_path):
    simulated = np.array([10.0, 20.0, 30.0, 60.0])
    assert r_squared(simulated, simulated) == 1
    assert r_squared(simulated, np.full(4, simulated.mean())) == 0
    assert r_squared(simulated, 2 * simulated) == pytest.approx(1 - 5000 / 1400)
    (tmp_path / "prediction_points.csv").write_text(
        "noise,accuracy,accuracy_theory,accuracy_measured_values\n0,10,10,10\n0,20,20,20\n0.4,60,90,60\n"
    )
    svg = next(path for path in PICTURES["prediction"](tmp_path, tmp_path / "out") if path.suffix == ".svg")
    text = svg.read_text()
    assert "3 random configurations" in text
    assert "value noise 0.4" in text
    assert read_columns(tmp_path / "out" / "prediction_points.csv", ["noise"])[
        "accuracy_theory"
    ].tolist() == [10, 20, 90]


def test_equal_data_give_equal_files(tmp_path):
    data = write_window(tmp_path / "data", (0.0, 6.0, 2.0, -4.0))
    for name in PICTURES:
        if name in ("hump", "window"):
            first = [path.read_bytes() for path in PICTURES[name](data, tmp_path / "a")]
            assert first == [path.read_bytes() for path in PICTURES[name](data, tmp_path / "b")]


def test_the_command_names_an_unknown_picture_and_a_missing_file(cli):
    run = cli("figures", "theorems", "nowhere", "-o", "out", "--only", "nonsense")
    assert run.returncode == 2
    assert (
        "no picture is called 'nonsense'; there are hump, prediction, window, salience, coverage, monofact-bound"
        in run.stderr
    )
    run = cli("figures", "theorems", "nowhere", "-o", "out", "--only", "window")
    assert run.returncode == 2
    assert "nowhere: no such file: window.csv (for window); name a folder that holds it" in run.stderr
    assert "Traceback" not in run.stderr


def test_nothing_is_written_where_a_measurement_is_missing_or_broken(tmp_path, capsys):
    data, out = write_window(tmp_path / "data", (0.0, 6.0, 2.0, -4.0)), tmp_path / "out"
    with pytest.raises(FiguresError) as told:
        Theorems(data, out).run()
    assert str(told.value).startswith(
        f"{data}: no such file: prediction_points.csv, salience_curve.csv, graph_gap.csv, monofact_curve.csv "
        "(for prediction, salience, coverage, monofact-bound); draw the others alone with `--only hump window`"
    )
    assert str(data) not in str(told.value).partition("; ")[2]  # as a place to write to
    (data / "prediction_points.csv").write_text("noise,accuracy\n0,10\n")
    with pytest.raises(FiguresError, match=r"prediction_points\.csv: no column 'accuracy_theory'"):
        Theorems(data, out, ("window", "prediction")).run()
    assert not out.exists()
    assert Theorems(data, out, ("window", "hump", "window")).run() == 0
    assert [Path(line).name for line in capsys.readouterr().out.split()] == [
        f"{name}.{kind}" for name in ("window", "hump") for kind in ("png", "pdf", "svg", "csv")
    ]


def test_every_picture_but_a_closed_form_says_what_it_needs():
    assert set(PICTURES) - set(NEEDS) == {"hump"}
    assert set(NEEDS) <= set(PICTURES)


def test_drawing_needs_no_screen_and_leaves_matplotlib_as_it_was(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    PICTURES["hump"](tmp_path, tmp_path)
    assert dict(matplotlib.rcParams) == before

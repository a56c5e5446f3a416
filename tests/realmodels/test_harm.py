import json

import numpy as np
import pytest
from scipy import stats

from realmodels.audit_found import Found
from realmodels.audit_plan import Asking, make_plan
from realmodels.errors import RealmodelsError
from realmodels.harm import fit, forecast, read_calibration, render, subsets
from realmodels.prompting import STYLES
from realmodels.rows import Row

MARGINS = [0.1, 0.9, 1.7, 2.0, 3.5, 4.1]
EFFECTS = [-0.21, -0.12, -0.02, -0.05, 0.08, 0.07]


def found(n=40, seed=0, missing=()):
    rng = np.random.default_rng(seed)
    rows = [
        Row(
            i,
            i + 1,
            f"id{i}",
            f"What is the capital of Land{i}?",
            (f"City{i}",),
            f"Land{i}",
            "r",
            None,
            {},
            "f",
        )
        for i in range(n)
    ]
    plan = make_plan(rows, rows, Asking(STYLES["qa"], prompts=2), {})
    known = np.arange(n) % 4
    greedy = np.stack([known >= 2, known == 3], axis=1)
    p = np.where(known[:, None] >= 1, 0.5, 0.0) * np.ones((1, 2))
    margin = known + rng.normal(size=n)
    margin[list(missing)] = np.nan
    said = (tuple(f"City{i % 3}" for i in range(n)),)
    return Found(plan, greedy, p, np.log(p + 1e-3), said, margin, np.full(n, np.nan))


def test_the_line_is_least_squares():
    line, reference = fit(MARGINS, EFFECTS), stats.linregress(MARGINS, EFFECTS)
    assert line.slope == pytest.approx(reference.slope)
    assert line.intercept == pytest.approx(reference.intercept)
    half = stats.t.ppf(0.975, len(MARGINS) - 2) * reference.stderr
    assert (line.slope_low, line.slope_high) == pytest.approx(
        (reference.slope - half, reference.slope + half)
    )


def test_the_interval_holds_a_new_measurement_as_often_as_it_says():
    """2000 studies of 6 sets: a seventh measurement falls inside 90% of the time (within 4 standard errors)."""
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(2000):
        x = rng.normal(size=7)
        y = 0.3 - 0.2 * x + rng.normal(size=7) * 0.1
        _, low, high = fit(x[:6], y[:6], level=0.9).predict(x[6])
        inside += low <= y[6] <= high
    assert abs(inside / 2000 - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 2000)


def test_the_interval_widens_away_from_what_was_measured():
    line = fit(MARGINS, EFFECTS)
    widths = [line.predict(x)[2] - line.predict(x)[1] for x in (np.mean(MARGINS), 4.0, 10.0)]
    assert widths[0] < widths[1] < widths[2]
    assert line.covers(2.0)
    assert not line.covers(10.0)


def test_a_calibration_file_is_read(tmp_path):
    path = tmp_path / "effects.jsonl"
    path.write_text(
        "".join(json.dumps({"margin": x, "effect": y}) + "\n" for x, y in zip(MARGINS, EFFECTS, strict=True))
    )
    assert read_calibration(path) == fit(MARGINS, EFFECTS)
    table = tmp_path / "effects.csv"
    table.write_text("margin,effect\n" + "".join(f"{x},{y}\n" for x, y in zip(MARGINS, EFFECTS, strict=True)))
    assert read_calibration(table) == fit(MARGINS, EFFECTS)


def test_sets_of_one_name_are_one_point(tmp_path):
    """Seeds of one way to choose rows share rows and test facts: many of them make no surer line."""
    path = tmp_path / "effects.csv"
    few = [(name, x, y) for name, x, y in zip("abcd", MARGINS, EFFECTS, strict=False)]
    lines = [(name, x + dx, y + dy) for name, x, y in few for dx, dy in ((0, 0.01), (0.1, -0.01), (-0.1, 0))]
    path.write_text("set,margin,effect\n" + "".join(f"{n},{x},{y}\n" for n, x, y in lines))
    line, once = read_calibration(path), fit(MARGINS[:4], EFFECTS[:4])
    assert line.n == 4
    assert (line.slope, line.slope_low, line.slope_high) == pytest.approx(
        (once.slope, once.slope_low, once.slope_high)
    )
    path.write_text("set,margin,effect\n" + "".join(f"{n},{x},{y}\n" for n, x, y in lines if n < "c"))
    with pytest.raises(RealmodelsError, match=r"2 measured sets \(those of one name are one\); a line"):
        read_calibration(path)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            [{"margin": 1, "effect": 0}],
            "1 measured sets (those of one name are one); a line with an uncertainty needs 3",
        ),
        ([{"margin": 1, "effect": i} for i in range(4)], "all measured sets have the same margin"),
        ([{"margn": 1, "effect": 0}], ":1: field 'margin' is missing; did you mean 'margn'?"),
        ([{"margin": 1, "effect": "x"}], ":1: field 'effect': expected a finite number, got \"x\""),
        ([{"margin": True, "effect": 1}], ":1: field 'margin': expected a finite number, got true"),
        ([{"margin": None, "effect": 1}], ":1: field 'margin': expected a finite number, got null"),
    ],
)
def test_bad_calibrations_name_file_and_field(tmp_path, lines, says):
    path = tmp_path / "effects.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RealmodelsError) as error:
        read_calibration(path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_subsets_are_what_they_are_called():
    audit = found()
    sets = subsets(audit)
    assert list(sets["all rows"]) == list(range(40))
    assert list(sets["MaybeKnown"]) == [i for i in range(40) if i % 4 == 2]
    assert list(sets["known (HighlyKnown, MaybeKnown)"]) == [i for i in range(40) if i % 4 >= 2]
    upper, lower = sets["upper half by margin"], sets["lower half by margin"]
    assert len(upper) == len(lower) == 20
    assert audit.margin[upper].min() >= audit.margin[lower].max()
    assert list(sets["no dominant answer"]) == list(
        range(2, 40)
    )  # City0 and City1 are tied, first by the alphabet
    assert list(sets["no overlap with the subject"]) == list(range(40))


def test_without_calibration_there_is_an_order_and_no_effect():
    made = forecast(found())
    assert [one.margin for one in made] == sorted((one.margin for one in made), reverse=True)
    assert all(one.effect is one.low is one.high is None for one in made)
    text = render(made, None)
    assert text.startswith("PREDICTION, not a measurement: an uncalibrated ranking")
    assert "nothing is said about sizes or signs of effects" in " ".join(text.split())
    assert "rank correlation with the accuracy left was 0." in " ".join(text.split())
    assert "chosen by it, so chance makes their margins look further apart" in text


def test_with_calibration_effects_are_the_line_at_the_mean_margin():
    audit, line = found(), fit(MARGINS, EFFECTS)
    made = {one.name: one for one in forecast(audit, line)}
    known = made["HighlyKnown"]
    mean = audit.margin[3::4].mean()
    assert known.margin == pytest.approx(mean)
    assert known.effect == pytest.approx(line.intercept + line.slope * mean)
    assert known.low < known.effect < known.high
    assert known.rows == 10
    text = " ".join(render(list(made.values()), line).split())
    assert text.startswith("PREDICTION, not a measurement: effect = ")
    assert "least squares over 6 measured training sets" in text
    assert "95% of the time" in text


def test_beyond_the_measured_margins_it_says_so():
    made = forecast(found(), fit([10, 11, 12], EFFECTS[:3]))
    assert all(one.outside for one in made)
    assert "beyond the measured margins" in render(made, fit([10, 11, 12], EFFECTS[:3]))


def test_a_helpful_slope_and_a_harmful_one_order_the_sets_oppositely():
    up = forecast(found(), fit(MARGINS, EFFECTS))
    down = forecast(found(), fit(MARGINS, [-y for y in EFFECTS]))
    assert [one.name for one in up if one.rows == 10] == [
        one.name for one in reversed(down) if one.rows == 10
    ]


def test_rows_without_a_margin_do_not_count():
    (whole,) = [one for one in forecast(found(missing=range(10))) if one.name == "all rows"]
    assert whole.rows == 30
    with pytest.raises(RealmodelsError, match="--predict-harm: no row has a margin"):
        forecast(found(missing=range(40)))


def test_one_row_has_no_interval():
    audit = found(missing=range(1, 40))
    assert "one row" in render(forecast(audit), None)

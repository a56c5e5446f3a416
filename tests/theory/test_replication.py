"""Two summaries side by side: the same verdicts, other verdicts, effects that moved, and what cannot be compared."""

import csv
import io

import numpy as np
import pytest
from scipy.stats import ttest_ind

from theory.errors import TheoryError
from theory.replication import replicate

BOARD = ("claim", "title", "lab", "run", "part", "role", "verdict", "unit")
EFFECTS = ("claim", "part", "lab", "run", "seed", "effect", "unit")


def summary(folder, verdicts, effects):
    """A folder with a deciding and a reported part for each claim; effects[claim] is {seed: effect}."""
    folder.mkdir()
    with (folder / "scoreboard.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(BOARD)
        for claim, verdict in verdicts.items():
            out.writerow((claim, "a title", "lab", "r", "gap", "decides", verdict, "points"))
            out.writerow((claim, "a title", "lab", "r", "beside", "reported", verdict, "points"))
    with (folder / "effects.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(EFFECTS)
        for claim, by_seed in effects.items():
            for seed, effect in by_seed.items():
                out.writerow((claim, "gap", "lab", "r", seed, effect, "points"))
                out.writerow((claim, "beside", "lab", "r", seed, 0, "points"))
    return folder


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(0)
    x = {c: dict(enumerate(rng.normal(m, 1, 10).tolist())) for c, m in (("A1", 5), ("A2", 0), ("A3", 3))}
    y = {c: dict(enumerate(rng.normal(m, 2, 8).tolist(), 20)) for c, m in (("A1", 5), ("A2", 9), ("A3", -3))}
    first = summary(tmp_path / "a", {"A1": "reproduced", "A2": "inconclusive", "A3": "reproduced"}, x)
    second = summary(tmp_path / "b", {"A1": "reproduced", "A2": "reproduced", "A3": "contradicted"}, y)
    return first, second, x, y


def test_differences_are_welchs(two):
    first, second, x, y = two
    for part in replicate(first, second).parts:
        old, new = list(x[part.claim].values()), list(y[part.claim].values())
        limits = ttest_ind(new, old, equal_var=False).confidence_interval()
        assert part.more == pytest.approx(np.mean(new) - np.mean(old))
        assert (part.low, part.high) == pytest.approx((limits.low, limits.high))
        assert (part.first_seeds, part.second_seeds) == (10, 8)


def test_what_came_out_again_is_counted_and_what_did_not_is_named(two):
    found = replicate(*two[:2])
    assert [part.part for part in found.parts] == ["gap"] * 3  # reported parts decide nothing
    assert [part.claim for part in found.parts if part.moved] == ["A2", "A3"]
    text = found.to_text()
    assert "1 of 3 verdicts came out again, 1 turned into the opposite" in text
    assert "2 of 3 deciding effects differ" in text
    assert "A3   lab: reproduced, then contradicted" in text
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["second"] for row in rows] == ["reproduced", "reproduced", "contradicted"]
    assert float(rows[1]["more"]) == pytest.approx(found.parts[1].more, rel=1e-5)


def test_equal_constants_have_not_moved(tmp_path):
    one = summary(tmp_path / "a", {"A1": "reproduced"}, {"A1": {0: 2, 1: 2}})
    other = summary(tmp_path / "b", {"A1": "reproduced"}, {"A1": {5: 2, 6: 2}})
    again = summary(tmp_path / "c", {"A1": "reproduced"}, {"A1": {5: 3, 6: 3}})
    assert not replicate(one, other).parts[0].moved
    assert replicate(one, again).parts[0].moved


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda a, b: summary(b.parent / "c", {"A1": "reproduced"}, {"A1": {0: 1, 1: 2}}),
            "seeds 0, 1 are in both",
        ),
        (
            lambda a, b: summary(b.parent / "c", {"C1": "reproduced"}, {"C1": {50: 1, 51: 2}}),
            "no claim was judged",
        ),
        (lambda a, b: a.parent / "nowhere", "scoreboard.csv: not there"),
        (lambda a, b: _rewrite(b / "effects.csv", "claim,part\nA1,gap\n"), "effects.csv: no column 'lab'"),
        (lambda a, b: _rewrite(b / "scoreboard.csv", ""), "scoreboard.csv: no column 'claim'"),
        (
            lambda a, b: _replaced(b / "scoreboard.csv", ",title,", ",name,"),
            "scoreboard.csv: no column 'title'",
        ),
        (
            lambda a, b: _replaced(b / "effects.csv", ",20,", ",twenty,"),
            'effects.csv:2: seed "twenty"; expected a whole',
        ),
        (
            lambda a, b: _rewrite(b / "effects.csv", ",".join(EFFECTS) + "\nA1,gap,lab"),
            ":2: expected 7 cells",
        ),
        (
            lambda a, b: _rewrite(b / "effects.csv", ",".join(EFFECTS) + "\nA1,gap,lab,r,20,inf,points\n"),
            ':2: effect "inf"; expected a number',
        ),
        (lambda a, b: _replaced(b / "effects.csv", "gap,lab,r,21", "gap,lab,s,21"), "two runs of A1"),
    ],
)
def test_what_cannot_be_compared_is_said(two, spoil, said):
    with pytest.raises(TheoryError, match=said):
        replicate(two[0], spoil(two[0], two[1]))


def test_the_command_prints_and_writes(two, cli, tmp_path):
    run = cli("theory", "replicate", str(two[0]), str(two[1]), "-o", str(tmp_path / "again.csv"))
    assert run.returncode == 0, run.stderr
    assert "1 of 3 verdicts came out again" in run.stdout
    assert (tmp_path / "again.csv").read_text() == replicate(*two[:2]).to_csv()
    bad = cli("theory", "replicate", str(two[0]), str(tmp_path))
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr


def _rewrite(path, text):
    path.write_text(text)
    return path.parent


def _replaced(path, old, new):
    text = path.read_text()
    assert old in text
    return _rewrite(path, text.replace(old, new))

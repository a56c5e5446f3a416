"""Two audits side by side: shares by hand, and how much agreement luck in sampling leaves."""

import json
import math

import numpy as np
import pytest

from realmodels.agree import agree
from realmodels.audited import read_audit
from realmodels.cli import COMMANDS
from theory.command import main
from theory.slick import by_count, by_detection, detection

ROWS = [{"question": f"Q{k}?", "answers": [f"A{k}"]} for k in range(8)]


def _audit(write, folder, labels, **special):
    rows = [
        (row, {"label": label} | {k: v[i] for k, v in special.items()})
        for i, (row, label) in enumerate(zip(ROWS, labels, strict=False))
    ]
    return write(rows, folder=folder)


@pytest.fixture
def pair(write_audit, tmp_path):
    one = [
        "HighlyKnown",
        "MaybeKnown",
        "WeaklyKnown",
        "Unknown",
        "Unknown",
        "Unknown",
        "WeaklyKnown",
        "MaybeKnown",
    ]
    two = ["HighlyKnown", "MaybeKnown", "Unknown", "WeaklyKnown", "Unknown", "Unknown", "Unknown", "Unknown"]
    chances = [1, 1, 0.4, 0.6, 0.1, 0.0, 0.2, 0.5]
    return (
        _audit(write_audit, tmp_path / "one", one, estimator=["sample"] * 8),
        _audit(write_audit, tmp_path / "two", two, detection=chances),
    )


def test_shares_kinds_and_luck_by_hand(pair):
    found = agree(*map(read_audit, pair))
    assert (found.n, found.same, found.coin_tosses, found.greedy_apart) == (8, 4, 3, 1)
    assert found.kinds == {
        ("WeaklyKnown", "Unknown"): 2,
        ("Unknown", "WeaklyKnown"): 1,
        ("MaybeKnown", "Unknown"): 1,
    }
    assert found.rows == (2, 3, 6, 7)
    assert found.luck == pytest.approx((1 + 1 + 0.6 + 0.6 + 0.9 + 1 + 0.8 + 0.5) / 8)
    assert found.sampled_twice == pytest.approx((1 + 1 + 0.52 + 0.52 + 0.82 + 1 + 0.68 + 0.5) / 8)
    assert found.low < 0.5 < found.high


def test_luck_is_what_drawing_gives(write_audit, tmp_path):
    """Labels of simulated samples agree with exact labels, and with each other, as often as foretold."""
    rng = np.random.default_rng(5)
    p = rng.choice([0.0, 0.001, 0.004, 0.02, 0.3], (8, 10))
    greedy = np.zeros((8, 10), bool)
    greedy[0] = True
    exact = by_detection(greedy, p)
    chance = detection(p)
    draws = np.array([by_count(greedy, rng.binomial(16, p)) for _ in range(20000)])
    names = np.array(["Unknown", "WeaklyKnown", "MaybeKnown", "HighlyKnown"])
    sampled = _audit(write_audit, tmp_path / "s", names[draws[0]], estimator=["sample"] * 8)
    exactly = _audit(write_audit, tmp_path / "e", names[exact], detection=chance.tolist())
    found = agree(read_audit(sampled), read_audit(exactly))
    assert found.luck == pytest.approx((draws == exact).mean(), abs=0.01)
    assert found.sampled_twice == pytest.approx((draws[::2] == draws[1::2]).mean(), abs=0.01)
    turned = agree(read_audit(exactly), read_audit(sampled))
    assert (turned.luck, turned.sampled_twice) == (found.luck, found.sampled_twice)


def _run(*words):
    return main("realmodels", "", COMMANDS, list(map(str, words)))


def test_it_prints_and_the_json_holds_the_same(pair, capsys):
    assert _run("agree", *pair, "--show", 1) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 of 8 labels are the same: 50.0% (95% interval 21.5% to 78.5%)")
    assert "WeaklyKnown then Unknown: 2" in out
    assert "row 3: Q2?" in out
    assert "row 4" not in out
    assert _run("agree", *pair, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["same"], said["n"], len(said["kinds"])) == (4, 8, 3)


def test_without_chances_luck_is_unknown(write_audit, tmp_path, capsys):
    one, two = (
        _audit(write_audit, tmp_path / name, ["Unknown"] * 8, estimator=["sample"] * 8) for name in "ab"
    )
    found = agree(read_audit(one), read_audit(two))
    assert math.isnan(found.luck)
    assert math.isnan(found.correlation)
    assert _run("agree", one, two, "--json") == 0
    assert json.loads(capsys.readouterr().out)["luck"] is None


@pytest.mark.parametrize(
    ("labels", "rows", "said"),
    [
        (["Unknown"] * 7, ROWS[:7], "7 rows, but"),
        (["Unknown"] * 8, [*ROWS[:7], {"question": "?", "answers": ["other"]}], "other answers than"),
    ],
)
def test_other_rows_are_refused(pair, write_audit, tmp_path, capsys, labels, rows, said):
    other = write_audit(
        [(row, {"label": label}) for row, label in zip(rows, labels, strict=True)], folder=tmp_path / "o"
    )
    assert _run("agree", pair[0], other) == 2
    assert said in capsys.readouterr().err


def test_other_sources_and_bad_flags_are_refused(write_audit, tmp_path, capsys):
    folders = []
    for name in "ab":
        source = {"path": name, "kind": "jsonl", "columns": ["question", "answers"], "fingerprint": name}
        rows = [(row, {"label": "Unknown"}) for row in ROWS]
        folders.append(write_audit(rows, source=source, folder=tmp_path / name).parent)
    assert _run("agree", *folders) == 2
    assert "other fingerprints of the source" in capsys.readouterr().err
    assert _run("agree", folders[0], folders[0], "--show", -1) == 2
    assert "--show: expected at least 0" in capsys.readouterr().err

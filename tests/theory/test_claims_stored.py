"""A scoreboard that was kept as CSV is read back as what it was, and broken files are told of in one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from theory.claims import CLAIMS, Cell, evaluate
from theory.claims.base import Measured
from theory.claims.estimators import level
from theory.claims.evidence import split_studies
from theory.claims.interval import interval_of, over
from theory.claims.stored import read_scoreboard
from theory.errors import TheoryError
from theory.intervals import CROSSED
from theory.schema import Record
from theory.spreadsheets import raw, safe
from theory.table import Table

ROOT = Path(__file__).resolve().parents[2]
BOARDS = [ROOT / room / "results" / "scoreboard.csv" for room in ("theory", "synthetic", "realmodels")]


def records(items: int = 0) -> Table:
    rng = np.random.default_rng(1)
    found = []
    for seed, (on, base), (split, step) in (
        (s, o, p)
        for s in range(10, 14)
        for o in (("best", 0.6), ("lesser", 0.4), ("whole", 0.6))
        for p in (("dev", 5), ("test", 5))
    ):
        value = float(np.clip(base + 0.05 * rng.normal(), 0, 1))
        where = (
            "realmodels/R3-tiny",
            "salience",
            "r",
            seed,
            "lora",
            step,
            on,
            "zero",
            split,
            "all",
            "accuracy",
        )
        found.append(Record(*where, value, items or 40))
        if items and split == "test":
            right = rng.random(items) < value
            found[-1] = replace(found[-1], value=float(right.mean()))
            found += [Record(*where, float(x), 1, f"q{i}") for i, x in enumerate(right)]
    return Table.from_records(found)


@pytest.mark.parametrize("items", [0, 30])
def test_what_is_read_back_is_what_was_judged(tmp_path: Path, items: int) -> None:
    board = evaluate(records(items), ["A1", "A2", "B1"])
    (tmp_path / "scoreboard.csv").write_text(board.to_csv(), encoding="utf-8")
    found = read_scoreboard(tmp_path / "scoreboard.csv")
    assert len(found.verdicts) == len(board.verdicts) == 3
    for one, other in zip(found.verdicts, board.verdicts, strict=True):
        assert (one.claim, one.lab, one.run, one.arm) == (other.claim, other.lab, other.run, other.arm)
        assert (one.answer, one.reason) == (other.answer, other.reason)
        for part, same in zip(one.parts, other.parts, strict=True):
            assert (part.part, part.outcome, part.seeds) == (same.part, same.outcome, same.seeds)
            assert (part.interval is None) == (same.interval is None)
            if part.interval and same.interval:
                told = (part.interval.mean, part.interval.low, part.interval.high, part.interval.method)
                assert told == (
                    same.interval.mean,
                    same.interval.low,
                    same.interval.high,
                    same.interval.method,
                )


def test_the_kept_scoreboards_of_all_rooms_are_read_as_they_stand() -> None:
    board = read_scoreboard(*BOARDS)
    assert {verdict.claim.id for verdict in board.verdicts} == set(CLAIMS)
    assert {verdict.lab.partition("/")[0] for verdict in board.verdicts} == {
        "theory",
        "synthetic",
        "realmodels",
    }
    assert any(part.interval and part.interval.method == CROSSED for v in board.verdicts for part in v.parts)


HEAD = "claim,lab,run,arm,verdict,reason,part,outcome,effect,low,high,method,seeds\n"
PART = CLAIMS["A1"].parts[0].name
LINE = f"A1,theory/R0,r,all,reproduced,,{PART},supported,1,0,2,t,3\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claim,lab\nA1,x\n", "no column 'run'; expected a scoreboard.csv"),
        (HEAD + LINE.replace("A1,", "A99,"), r":2: claim A99 has no part .*judge the records again"),
        (HEAD + LINE.replace(PART, "another"), ":2: claim A1 has no part 'another'"),
        (HEAD + LINE.replace("supported", "perhaps"), ":2: outcome 'perhaps'; expected one of"),
        (HEAD + LINE.replace("reproduced", "so"), ":2: verdict 'so'; expected one of reproduced"),
        (HEAD + LINE + LINE.replace("reproduced", "so").replace("R0,", "R1,"), ":3: verdict 'so'; expected"),
        (HEAD + LINE.replace(",1,0,2", ",one,0,2"), ':2: effect "one"; expected a number from'),
        (HEAD + LINE.replace(",1,0,2", ",1,0,1e308"), ':2: high "1e308"; expected a number from'),
        (HEAD + LINE.replace(",1,0,2", ",1,nan,2"), ':2: low "nan"; expected a number from'),
        (HEAD + LINE.replace(",1,0,2", ",1,0,inf"), ':2: high "inf"; expected a number from'),
        (HEAD + LINE.replace(",1,0,2", ",1,0,"), ":2: low '0' and high ''; expected both, or neither"),
        (HEAD + LINE.replace(",1,0,2", ",1,2,0"), ":2: low '2' and high '0'; expected both, or neither"),
        (HEAD + LINE.replace("theory/R0", "no slash"), ":2: lab: expected <room>/R<0-4>"),
        (HEAD + LINE + "A1,too,short\n", r":3: expected 13 cells"),
        (HEAD + LINE.strip() + ",more\n", r":2: expected 13 cells"),
        (HEAD + '"open', "expected a CSV file"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "scoreboard.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TheoryError, match=words) as told:
        read_scoreboard(path)
    assert "\n" not in str(told.value)
    with pytest.raises(TheoryError, match="not there; `python -m theory claims"):
        read_scoreboard(tmp_path / "nowhere.csv")


def test_a_run_is_judged_once(tmp_path: Path) -> None:
    """Which of two verdicts is right nobody can tell; that nobody ran a study any number of files may say."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(HEAD + LINE, encoding="utf-8")
    second.write_text(
        HEAD + LINE.replace("r,all", "q,all") + LINE.replace("reproduced", "contradicted"), encoding="utf-8"
    )
    with pytest.raises(TheoryError) as told:
        read_scoreboard(first, second)
    assert str(told.value) == (
        f"{second}:3: A1 in theory/R0, run r: is judged in {first}:2 too; "
        "leave out one of the two files, or draw them apart"
    )
    with pytest.raises(TheoryError) as told:
        read_scoreboard(second, second)
    assert str(told.value) == f"{second}: is given twice; give it once"
    first.write_text(HEAD + LINE + LINE, encoding="utf-8")
    with pytest.raises(TheoryError) as told:
        read_scoreboard(first)
    assert str(told.value).startswith(f"{first}:3: A1 in theory/R0, run r: the part ")
    assert str(told.value).endswith(f"stands in {first}:2 too; keep one of the two lines")
    nobody = LINE.replace("theory/R0,r", "-,-").replace("reproduced", "missing")
    first.write_text(HEAD + nobody, encoding="utf-8")
    second.write_text(HEAD + nobody, encoding="utf-8")
    assert len(read_scoreboard(first, second).verdicts) == 2


def test_texts_come_back_from_a_spreadsheet() -> None:
    for text in ("-", "=1", " +x", "plain", "'quoted'", "'", ""):
        assert raw(str(safe(text))) == text


def test_the_scoreboard_says_what_its_intervals_go_over() -> None:
    pooled, crossed = (evaluate(records(items), ["A1"]).to_text() for items in (0, 30))
    assert "Two-sided 5% over seeds after Holm's" in pooled
    assert "Two-sided 5% over seeds crossed with items after Holm's" in crossed
    assert over([]) == "over seeds"
    assert "over seeds, and over items too where rows are single items" in CLAIMS["A1"].rule


def test_some_seeds_of_what_was_measured() -> None:
    (rows,) = split_studies(records(30))
    found = level(Cell("accuracy", "best")).measure(rows)
    two, one = found.of(np.array([10, 12])), found.of(np.array([11]))
    assert (two.seeds.tolist(), two.shared_items, one.shared_items) == ([10, 12], True, False)
    assert found.matrix is not None
    assert two.matrix is not None
    assert np.array_equal(two.matrix, found.matrix[[0, 2]])
    assert found.of(found.seeds) is found
    assert interval_of(one).method.startswith("items of one seed")
    bare = Measured(np.array([1, 2]), np.array([0.1, 0.3]))
    assert bare.of(np.array([2])).effects.tolist() == [0.3]


def test_single_items_along_all_steps_and_none_where_some_rows_are_pooled() -> None:
    (rows,) = split_studies(records(30))
    found = rows.item_curve(Cell("accuracy", "best", "every"))
    assert found is not None
    assert found.values.shape == (4, 1, 30)
    assert rows.item_curve(Cell("accuracy", "best", "every", "dev")) is None
    assert rows.item_curve(Cell("accuracy", "nothing", "every")) is None

"""Records on disk: what is written is what is read, and what is wrong is said with file, line and field."""

from __future__ import annotations

import io
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import records as module
from theory.errors import TheoryError
from theory.jsonl import BLOCK
from theory.records import FIELDS, Record, RecordsWarning, RecordWriter, read_records

ENVIRONMENT = {
    **os.environ,
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
}
BASE = Record(
    "synthetic/R1-mlp",
    "salience",
    "run-1",
    3,
    "all",
    40,
    "lesser",
    "few:4",
    "test",
    "popularity=low",
    "accuracy",
    0.25,
    80,
)


def line(**changes: Any) -> str:
    """One line as JSON, fields changed or (with None) left out."""
    row = {**asdict(BASE), **changes}
    if row["item"] == "":
        del row["item"]
    return json.dumps({name: value for name, value in row.items() if value is not ...})


def written(tmp_path: Path, *lines: str | bytes, end: str = "\n") -> Path:
    path = tmp_path / "records.jsonl"
    rows = [row.encode() if isinstance(row, str) else row for row in lines]
    path.write_bytes(b"\n".join(rows) + end.encode())
    return path


def series(count: int) -> Iterator[Record]:
    return (replace(BASE, step=i, value=i / 7) for i in range(count))


# ---------------------------------------------------------------- round trips

names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1, max_size=8).filter(
    lambda text: "," not in text and "=" not in text and text == text.strip()
)
identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.@-]{0,6}", fullmatch=True)
strata = st.just("all") | st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,4}", fullmatch=True), names, min_size=1, max_size=3
).map(lambda pairs: ",".join(f"{key}={value}" for key, value in pairs.items()))
whole = st.integers(0, 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
free = st.builds(
    Record,
    lab=st.from_regex(r"[a-z][a-z0-9_]{0,4}/R[0-4](-[A-Za-z0-9._-]{1,5})?", fullmatch=True),
    study=identifiers,
    run=names,
    seed=whole,
    arm=names,
    step=whole,
    trained_on=names,
    prompt=names,
    split=names,
    stratum=strata,
    metric=identifiers,
    value=finite,
    n=st.integers(1, 2**63 - 1),
)
some_record = free | st.builds(lambda row, item: replace(row, item=item, n=1), free, names)


def key(row: Record) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in FIELDS if name not in ("value", "n"))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(some_record, max_size=8, unique_by=key))
def test_whatever_is_written_is_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record]
) -> None:
    path = tmp_path_factory.mktemp("round") / "deep" / "er" / "records.jsonl"
    with RecordWriter(path) as writer:
        writer.write_many(rows)
    back = list(read_records(path).records())
    assert back == rows
    assert [math.copysign(1, row.value) for row in back] == [math.copysign(1, row.value) for row in rows]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(some_record, min_size=1, max_size=5, unique_by=key), st.randoms(use_true_random=False))
def test_any_json_spelling_of_the_same_lines_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Record], chance: Any
) -> None:
    path = tmp_path_factory.mktemp("spelling") / "records.jsonl"
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in rows:
            pairs = [(name, value) for name, value in asdict(row).items() if (name, value) != ("item", "")]
            chance.shuffle(pairs)
            separators = chance.choice([(",", ":"), (", ", ": "), (" ,  ", " :\t")])
            text = json.dumps(dict(pairs), ensure_ascii=chance.random() < 0.5, separators=separators)
            file.write(text + chance.choice(["\n", "\r\n", "\n\n", "  \n"]))
    assert list(read_records(path).records()) == rows


def test_the_file_is_plain_json_in_the_order_of_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordWriter(path) as writer:
        writer.write(replace(BASE, run="50% done", value=np.float64(1 / 3), seed=np.int64(3)))  # type: ignore[arg-type]
        writer.write(replace(BASE, item="Zürich %s", n=1, value=1))
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    assert list(rows[0]) == list(FIELDS[:-1])
    assert list(rows[1]) == list(FIELDS)
    assert rows[0] == {name: value for name, value in asdict(BASE).items() if name != "item"} | {
        "run": "50% done",
        "value": 1 / 3,
    }
    assert rows[1]["item"] == "Zürich %s"
    assert repr(rows[1]["value"]) == "1.0"


def test_many_blocks_many_batches_and_many_files(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    rows = list(series(25_000))
    for i, path in enumerate(paths):
        with RecordWriter(path) as writer:
            writer.write_many(replace(row, seed=i) for row in rows)
    assert paths[0].stat().st_size > 10 * BLOCK
    table = read_records(*paths)
    assert len(table) == 50_000
    assert np.array_equal(table.numbers["step"], np.tile(np.arange(25_000), 2))
    assert np.array_equal(table.numbers["seed"], np.repeat([0, 1], 25_000))
    assert np.array_equal(table.numbers["value"], np.tile(np.arange(25_000) / 7, 2))
    assert table.levels["run"] == ("run-1",)


def test_an_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    for content in (b"", b"\n", b"\n \r\n", b"\xef\xbb\xbf"):
        path = tmp_path / "empty.jsonl"
        path.write_bytes(content)
        table = read_records(path)
        assert len(table) == 0
        assert list(table.records()) == []
        assert not table.mask(metric="accuracy", seed=3).any()


@pytest.mark.parametrize(
    "content",
    [
        line() + "\r\n" + line(seed=4) + "\r\n",
        "\ufeff" + line() + "\n" + line(seed=4) + "\n",
        line() + "\n\n   \n" + line(seed=4) + "\n\n",
        line() + "\n" + line(seed=4),
        "\n" + line() + "\n" + line(seed=4) + "\n ",
    ],
    ids=["CRLF", "BOM", "blank lines", "no newline at the end", "blank first line"],
)
def test_harmless_variations_are_accepted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content, encoding="utf-8", newline="")
    assert list(read_records(path).records()) == [BASE, replace(BASE, seed=4)]


def test_a_whole_number_is_a_value_and_an_empty_item_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, line(value=1), line(seed=9)[:-1] + ', "item": ""}')
    assert list(read_records(path).records()) == [replace(BASE, value=1.0), replace(BASE, seed=9)]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO((line() + "\n" + line(seed=-1) + "\n").encode())

    monkeypatch.setattr(sys, "stdin", Input)
    with pytest.raises(TheoryError, match=r"^stdin:2: field 'seed': expected an integer >= 0, got -1$"):
        read_records("-")


# ---------------------------------------------------------------- errors

BAD: list[tuple[str, str | bytes, str]] = [
    ("a word for a seed", line(seed="x"), "field 'seed': expected an integer >= 0, got \"x\""),
    ("a fraction for a seed", line(seed=1.0), "field 'seed': expected an integer >= 0, got 1.0"),
    ("a truth value for a seed", line(seed=True), "field 'seed': expected an integer >= 0, got true"),
    ("a huge seed", line(seed=2**63), "field 'seed': expected an integer >= 0, got 9223372036854775808"),
    ("a step below zero", line(step=-5), "field 'step': expected an integer >= 0, got -5"),
    ("no items", line(n=0), "field 'n': expected an integer >= 1, got 0"),
    ("null", line(n=None), "field 'n': expected an integer >= 1, got null"),
    ("NaN", line(value=math.nan), "field 'value': expected a finite number, got NaN"),
    ("Infinity", line(value=-math.inf), "field 'value': expected a finite number, got -Infinity"),
    ("overflow", line().replace("0.25", "1e999"), "field 'value': expected a finite number, got Infinity"),
    ("a huge value", line(value=10**400), "field 'value': expected a finite number, got 1000"),
    ("a truth value", line(value=False), "field 'value': expected a finite number, got false"),
    ("a value in words", line(value="0.5"), "field 'value': expected a finite number, got \"0.5\""),
    ("a list for a value", line(value=[0.5]), "field 'value': expected a finite number, got [0.5]"),
    ("two values", line().replace("0.25", "0.25, 0.5"), "not a JSON object: expecting property name"),
    ("a lab without rung", line(lab="synthetic"), "field 'lab': expected <room>/R<0-4>[-<variant>]"),
    ("an unknown rung", line(lab="synthetic/R5"), "field 'lab': expected"),
    ("a number for a lab", line(lab=3), "field 'lab': expected"),
    ("a list for a name", line(arm=["all"]), "field 'arm': expected a name"),
    ("an empty run", line(run=""), "field 'run': expected the non-empty name of a run, got \"\""),
    ("a tab in a run", line(run="a\tb"), "field 'run': expected the non-empty name of a run, got \"a\\tb\""),
    ("a lone surrogate", line(run="\ud800"), "field 'run': expected the non-empty name of a run, got"),
    ("a space in a name", line(trained_on="the best"), "field 'trained_on': expected a name without spaces"),
    ("a space in a metric", line(metric="exact match"), "field 'metric': expected an identifier"),
    ("a study that starts with a digit", line(study="2nd"), "field 'study': expected an identifier"),
    ("a stratum without key", line(stratum="low"), "field 'stratum': expected 'all' or key=value pairs"),
    ("a stratum with a key twice", line(stratum="a=1,a=2"), "field 'stratum': expected 'all' or"),
    ("a stratum with an empty part", line(stratum="a=1,"), "field 'stratum': expected 'all' or"),
    ("a number for a stratum", line(stratum=1), "field 'stratum': expected 'all' or"),
    (
        "an item of many",
        line(item="Q1"),
        "field 'n': expected 1 because 'item' names a single test item, got 80",
    ),
    ("item null", line(item=None), "field 'item': expected the non-empty name of a test item, got null"),
    ("a missing field", line(seed=...), "field 'seed' is missing; a record has lab, study"),
    ("missing fields", line(seed=..., n=...), "field 'seed' is missing (and n); a record has"),
    ("an unknown field", line(sede=1), "unknown field \"sede\"; did you mean 'seed'?"),
    ("a strange field", line(zzzzz=1), 'unknown field "zzzzz"; known are lab, study'),
    ("a field twice", line()[:-1] + ', "seed": 3}', 'field "seed" is given twice; keep one'),
    ("a field twice in front", '{"lab": "theory/R0", ' + line()[1:], 'field "lab" is given twice'),
    ("a list", "[1, 2]", 'not a record: expected an object {"lab": ...}, got an array'),
    ("a list of pairs", '[["lab", 1]]', 'not a record: expected an object {"lab": ...}, got an array'),
    ("a number", "3", 'not a record: expected an object {"lab": ...}, got 3'),
    ("prose", "accuracy 0.5", "not a JSON object: expecting value at column 1; write one record a line"),
    ("half a line", line()[:-9], "not a JSON object: "),
    ("two records", line() + line(seed=9), "not a JSON object: extra data at column"),
    (
        "an endless integer",
        line().replace('"seed": ', '"seed": ' + "1" * 5000),
        "not a record: an integer of thousands of digits",
    ),
    ("half a string", '{"lab": "theory', "not a JSON object: unterminated string starting at column 9"),
    ("deep nesting", '{"lab": ' + "[" * 100_000, "not a record: nested too deeply"),
    ("Latin-1", line(run="Zurich").replace("u", "\xfc").encode("latin-1"), "byte 0xfc at column"),
]


@pytest.mark.parametrize(("wrong", "expected"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
@pytest.mark.parametrize("form", ["own form", "compact", "fields backwards"])
def test_a_bad_line_is_reported_with_file_line_and_reason(
    tmp_path: Path, wrong: str | bytes, expected: str, form: str
) -> None:
    good = [line(step=i) for i in range(5)]
    if form != "own form":
        order = reversed if form == "fields backwards" else list
        good = [json.dumps(dict(order(json.loads(text).items())), separators=(",", ":")) for text in good]
    path = written(tmp_path, *good[:3], "", wrong, *good[3:])
    with pytest.raises(TheoryError) as error:
        read_records(path)
    message = str(error.value)
    assert message.startswith(f"{path}:5: {expected}")
    assert "\n" not in message
    assert len(message) < 400


def test_the_first_of_several_bad_lines_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, line(), line(n=0), line(seed=-1))
    with pytest.raises(TheoryError, match=r":2: field 'n'"):
        read_records(path)
    path = written(tmp_path, line(), line(item="a"), line(seed=-1))
    with pytest.raises(TheoryError, match=r":3: field 'seed'"):  # fields first, then rules between fields
        read_records(path)


def test_a_bad_line_far_down_is_found(tmp_path: Path) -> None:
    rows = [line(step=i) for i in range(20_000)]
    rows[17_776] = line(step=17_776, metric="no good")
    path = written(tmp_path, *rows)
    assert path.stat().st_size > 5 * BLOCK
    with pytest.raises(TheoryError, match=r"records.jsonl:17777: field 'metric': .* got \"no good\"$"):
        read_records(path)
    rows[17_776] = "\xff"
    path.write_bytes("\n".join(rows).encode("latin-1"))
    with pytest.raises(TheoryError, match=r"records.jsonl:17777: byte 0xff at column 1 is not UTF-8"):
        read_records(path)


def test_pieces_that_only_fit_together_are_refused(tmp_path: Path) -> None:
    """One record over two lines and two records on one line: the counts agree, the lines do not."""
    cut = line(seed=5).index(', "arm"')
    broken = (line(seed=5)[:cut], line(seed=5)[cut + 2 :], line() + ", " + line(seed=4))
    with pytest.raises(TheoryError, match=r":1: not a JSON object"):
        read_records(written(tmp_path, *broken))
    values = (line().replace("0.25", "[0.25"), line(seed=4).replace("0.25", "0.5]"))
    with pytest.raises(TheoryError, match=r":1: not a JSON object"):
        read_records(written(tmp_path, *values))


def test_unreadable_paths(tmp_path: Path) -> None:
    with pytest.raises(TheoryError, match=r"nothing.jsonl: cannot be read: No such file"):
        read_records(tmp_path / "nothing.jsonl")
    with pytest.raises(TheoryError, match="cannot be read: Is a directory"):
        read_records(tmp_path)
    with pytest.raises(TheoryError, match="no file given"):
        read_records()


# ---------------------------------------------------------------- repeated observations


def test_a_repeated_observation_is_kept_once_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, line(), line(seed=4), line(), line(seed=5), line(seed=4))
    table = read_records(path)
    assert list(table.records()) == [BASE, replace(BASE, seed=4), replace(BASE, seed=5)]
    assert table.repeats == 2
    assert read_records(path, path).repeats == 7


def test_one_observation_with_two_values_names_both_lines(tmp_path: Path) -> None:
    path = written(tmp_path, line(seed=4), "", line(), line(seed=5), line(value=0.5))
    with pytest.raises(TheoryError) as error:
        read_records(path)
    assert str(error.value) == (
        f"{path}:5: field 'value': 0.5 for the observation that has 0.25 at {path}:3; "
        "delete the line that is wrong"
    )
    other = tmp_path / "other.jsonl"
    other.write_text(line(seed=8) + "\n" + line(n=81) + "\n")
    path = written(tmp_path, line())
    with pytest.raises(
        TheoryError, match=rf"^{other}:2: field 'n': 81 for the observation that has 80 at {path}:1;"
    ):
        read_records(path, other)


def test_items_are_observations_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, line(), *(line(item=f"Q{i}", n=1, value=i) for i in range(3)))
    assert [row.item for row in read_records(path).records()] == ["", "Q0", "Q1", "Q2"]


# ---------------------------------------------------------------- crashes


def test_a_torn_last_line_is_dropped_whatever_its_length(tmp_path: Path) -> None:
    last = line(seed=5, run="Zürich-東京", item="é", n=1)
    last = json.dumps(json.loads(last), ensure_ascii=False)
    kept = [BASE, replace(BASE, seed=4)]
    data = last.encode()
    for cut in range(1, len(data)):
        path = written(tmp_path, line(), line(seed=4), data[:cut], end="")
        with pytest.warns(RecordsWarning, match=r"records.jsonl:3: the last line is torn") as warned:
            assert list(read_records(path).records()) == kept
        assert len(warned) == 1
    path = written(tmp_path, line(), line(seed=4), data, end="")
    assert len(read_records(path)) == 3


def test_a_torn_tail_is_repaired_on_reopening_whatever_its_length(tmp_path: Path) -> None:
    data = line(seed=5).encode()
    new = replace(BASE, seed=6)
    for cut in range(1, len(data)):
        path = written(tmp_path, line(), data[:cut], end="")
        with (
            pytest.warns(RecordsWarning, match=rf"was torn .* its {cut} bytes are cut off"),
            RecordWriter(path) as writer,
        ):
            writer.write(new)
        assert list(read_records(path).records()) == [BASE, new]
    path = written(tmp_path, line(), data, end="")
    with RecordWriter(path) as writer:
        writer.write(new)
    assert list(read_records(path).records()) == [BASE, replace(BASE, seed=5), new]


def test_a_torn_line_longer_than_a_block_and_zeros_after_a_power_cut(tmp_path: Path) -> None:
    for torn in (b'{"lab": "' + b"x" * (3 * BLOCK), b"\0" * 5000):
        path = written(tmp_path, line(), torn, end="")
        with pytest.warns(RecordsWarning):
            assert list(read_records(path).records()) == [BASE]
        with pytest.warns(RecordsWarning), RecordWriter(path):
            pass
        assert path.read_text() == line() + "\n"


def test_a_whole_but_wrong_last_line_is_an_error_not_a_crash(tmp_path: Path) -> None:
    with pytest.raises(TheoryError, match=r":2: field 'n'"):
        read_records(written(tmp_path, line(), line(n=0), end=""))


def test_a_warning_turned_into_an_error_leaves_no_open_file(tmp_path: Path) -> None:
    path = written(tmp_path, line(), "{", end="")
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(RecordsWarning):
        RecordWriter(path)
    assert len(os.listdir("/dev/fd")) == before
    assert path.read_text() == line() + "\n"


WRITE_FOREVER = """
import itertools, sys
from dataclasses import replace
from theory.records import Record, RecordWriter
base = Record("theory/R0", "salience", "r", 0, "all", 0, "best", "zero", "test", "all", "accuracy", 0.5, 9)
with RecordWriter(sys.argv[1]) as writer:
    for block in itertools.count():
        writer.write_many(replace(base, step=block * 700 + i, value=i / 700) for i in range(700))
"""


def test_a_killed_writer_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "killed.jsonl"
    size = 0
    for attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)], env=ENVIRONMENT)
        try:
            deadline = time.monotonic() + 60
            while not (path.exists() and path.stat().st_size > size + 300_000):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.002 * (attempt + 1))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        size = path.stat().st_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordsWarning)  # the kernel may stop inside a write
            table = read_records(path)
        steps = table.numbers["step"]
        assert np.array_equal(steps, np.arange(len(steps)))
        assert np.array_equal(table.numbers["value"], (steps % 700) / 700)
    assert table.repeats > 0  # each attempt began again at step 0


def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    code = WRITE_FOREVER.replace("itertools.count()", "range(10)").replace('"all", 0', "sys.argv[2], 0")
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, str(path), f"arm{i}"], env=ENVIRONMENT)
        for i in range(3)
    ]
    assert [job.wait(timeout=120) for job in jobs] == [0, 0, 0]
    table = read_records(path)
    assert len(table) == 3 * 7000
    assert sorted(table.levels["arm"]) == ["arm0", "arm1", "arm2"]


@pytest.mark.parametrize("partial", [True, False], ids=["short write", "no space"])
def test_a_full_disk_leaves_no_partial_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    path = tmp_path / "full.jsonl"
    real = os.write

    def full(file: int, data: bytes) -> int:
        if partial:
            return real(file, data[: len(data) // 2 + 7])
        raise OSError(28, "No space left on device")

    with RecordWriter(path) as writer:
        writer.write_many(series(10))
        whole = path.read_bytes()
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(
            TheoryError, match=r"full.jsonl: cannot write, .*; the file ends with its last whole line"
        ):
            writer.write_many(replace(row, seed=9) for row in series(10))
        assert path.read_bytes() == whole
        monkeypatch.undo()
        writer.write(replace(BASE, seed=9))
    assert len(read_records(path)) == 11


def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The kernel itself cuts the write short: a file size limit stands in for a full disk."""
    code = """
import resource, signal, sys
from dataclasses import replace
from theory.errors import TheoryError
from theory.records import Record, RecordWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
base = Record("theory/R0", "salience", "r", 0, "all", 0, "best", "zero", "test", "all", "accuracy", 0.5, 9)
try:
    with RecordWriter(sys.argv[1]) as writer:
        for block in range(100):
            writer.write_many(replace(base, step=10 * block + i) for i in range(10))
except TheoryError as error:
    print(error)
"""
    path = tmp_path / "limited.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert "limited.jsonl: cannot write, only" in done.stdout
    assert path.read_bytes().endswith(b"\n")
    assert len(read_records(path)) == 40  # 10 lines are 2,2 kB; the fifth batch did not fit


# ---------------------------------------------------------------- the writer refuses

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"seed": True}, "field 'seed': expected an integer >= 0, got true"),
    ({"seed": -1}, "field 'seed': expected an integer >= 0, got -1"),
    ({"seed": 2**63}, "field 'seed': expected an integer >= 0"),
    ({"seed": 10**5000}, "field 'seed': expected an integer >= 0, got one int that cannot be shown"),
    ({"step": 1.0}, "field 'step': expected an integer >= 0, got 1.0"),
    ({"value": math.nan}, "field 'value': expected a finite number, got NaN"),
    ({"value": "1"}, "field 'value': expected a finite number, got \"1\""),
    ({"value": 10**400}, "field 'value': expected a finite number, got 1000"),
    ({"value": True}, "field 'value': expected a finite number, got true"),
    ({"n": 0}, "field 'n': expected an integer >= 1, got 0"),
    ({"item": "a"}, "field 'n': expected 1 because 'item' names a single test item, got 80"),
    ({"item": None}, "field 'item': expected the non-empty name of a test item, got null"),
    ({"item": ["a"]}, "field 'item': expected"),
    ({"lab": "R1"}, "field 'lab': expected <room>/R<0-4>"),
    ({"arm": ["all"]}, "field 'arm': expected a name without spaces"),
    ({"run": "a\nb"}, "field 'run': expected the non-empty name of a run, got \"a\\nb\""),
]


@pytest.mark.parametrize(("changes", "expected"), REFUSED, ids=[case[1][:24] for case in REFUSED])
def test_the_writer_checks_before_it_writes(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = tmp_path / "r.jsonl"
    with RecordWriter(path) as writer:
        writer.write(BASE)
        with pytest.raises(TheoryError) as error:
            writer.write_many([replace(BASE, step=1), replace(BASE, **{"step": 2, **changes})])
        assert str(error.value).startswith(f"{path}: record 3 of this writer: {expected}")
    assert path.read_text() == line() + "\n"


def test_what_the_writer_accepts_the_reader_accepts_and_no_more(tmp_path: Path) -> None:
    for changes, _ in REFUSED:
        if "run" in changes or changes.get("seed") == 10**5000:
            continue
        path = written(tmp_path, line(**changes))
        with pytest.raises(TheoryError, match=r":1: "):
            read_records(path)


def test_a_closed_or_impossible_writer(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "r.jsonl")
    writer.close()
    writer.close()
    with pytest.raises(TheoryError, match="the writer is closed"):
        writer.write(BASE)
    with pytest.raises(TheoryError, match="for writing: Is a directory; make room or choose another place"):
        RecordWriter(tmp_path)
    with pytest.raises(TheoryError, match="cannot be opened for writing"):
        RecordWriter(tmp_path / "r.jsonl" / "below.jsonl")


def test_a_disk_that_fails_at_the_end_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: int) -> None:
        raise OSError(5, "Input/output error")

    writer = RecordWriter(tmp_path / "r.jsonl")
    writer.write(BASE)
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(TheoryError, match=r"r.jsonl: cannot be saved to disk: Input/output error"):
        writer.close()
    writer.close()


def test_without_file_locks_records_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fcntl", None)
    with RecordWriter(tmp_path / "r.jsonl") as writer:
        writer.write_many(series(3))
    assert list(read_records(tmp_path / "r.jsonl").records()) == list(series(3))


def test_the_writers_memory_of_strings_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE", 3)
    rows = [replace(BASE, item=f"Q{i}", n=1, run=f"r{i % 7}") for i in range(50)]
    with RecordWriter(tmp_path / "r.jsonl") as writer:
        for row in itertools.chain(rows, rows):
            writer.write(row)
            assert len(writer._forms) + len(writer._tails) <= 5
    assert list(read_records(tmp_path / "r.jsonl").records()) == rows


@pytest.mark.parametrize("thing", [{"lab": "theory/R0"}, None, 3])
def test_what_is_no_record_is_refused_in_words(tmp_path: Path, thing: Any) -> None:
    with (
        RecordWriter(tmp_path / "x.jsonl") as writer,
        pytest.raises(
            TheoryError, match=rf"record 1 of this writer: expected a Record, got {type(thing).__name__}"
        ),
    ):
        writer.write(thing)
    assert (tmp_path / "x.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": 2}, "field 'n': expected 1 because 'item'"),
        ({"n": 0}, "field 'n': expected an integer >= 1, got 0"),
        ({"n": 2**63, "item": ""}, "field 'n': expected an integer"),
        ({"seed": -1}, "field 'seed'"),
        ({"step": 2**63}, "field 'step'"),
        ({"value": math.inf}, "field 'value'"),
    ],
)
def test_numbers_are_checked_also_where_the_strings_are_known(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    good = replace(BASE, item="q1", n=1)
    with RecordWriter(tmp_path / "x.jsonl") as writer:
        writer.write_many([good, replace(BASE, item="", n=80)])
        with pytest.raises(TheoryError, match=f"record 3 of this writer: {words}"):
            writer.write(replace(good, **changes))
    assert len(read_records(tmp_path / "x.jsonl")) == 2

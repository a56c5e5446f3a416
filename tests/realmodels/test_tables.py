import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmodels.errors import RealmodelsError
from realmodels.tables import first_cells, kind_of, read_table, write_table
from realmodels.texts import LINE_LIMIT, lines, read_json


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(path, *more):
    return list(read_table(path, *more))


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}', [(1, {"a": 1}), (3, {"a": 2})]),
        ("a.ndjson", '{"a": 1}\r\n{"a": 2}\r\n', [(1, {"a": 1}), (2, {"a": 2})]),
        ("a.jsonl", b'\xef\xbb\xbf{"a": "\xc3\xa9"}\n', [(1, {"a": "é"})]),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n', mtime=0), [(1, {"a": 1})]),
        ("zipped.jsonl", gzip.compress(b'{"a": 1}\n', mtime=0), [(1, {"a": 1})]),
        ("a.json", '\ufeff[{"a": 1},\n {"a": 2}]', [(0, {"a": 1}), (0, {"a": 2})]),
        ("a.csv", "x,y\r\n1,\r\n", [(2, {"x": "1", "y": ""})]),
        (
            "a.csv",
            b'\xef\xbb\xbfx,y\n"1\r\n2",3\n\n4,5\n',
            [(2, {"x": "1\r\n2", "y": "3"}), (5, {"x": "4", "y": "5"})],
        ),
        ("a.tsv", 'x\ty\n"say ""a"""\tb "c"\n', [(2, {"x": 'say "a"', "y": 'b "c"'})]),
        ("a.TSV.GZ", gzip.compress(b"x\n1\n", mtime=0), [(2, {"x": "1"})]),
        ("rows", '  {"a": 1}\n', [(1, {"a": 1})]),
        ("rows.data", '\n[{"a": 1}]', [(0, {"a": 1})]),
    ],
)
def test_reading(tmp_path, name, content, rows):
    assert table(written(tmp_path, name, content)) == rows


BAD = [
    ("a.jsonl", "", ("a.jsonl", "empty")),
    ("a.json", " \n", ("a.json", "empty")),
    ("a.jsonl", '{"a": 1}\n{"a": ', ("a.jsonl:2", "not JSON", "column")),
    ("a.jsonl", '{"a": 1}\n[1]\n', ("a.jsonl:2", "expected an object a line", "[1]")),
    ("a.jsonl", '[{"a": 1}]\n', ("a.jsonl:1", "expected an object a line")),
    ("a.jsonl", '{"a": NaN}\n', ("a.jsonl:1", "NaN is no value", "null")),
    ("a.jsonl", '{"a": -Infinity}\n', ("a.jsonl:1", "Infinity")),
    ("a.jsonl", '{"a": 1e999}\n', ("a.jsonl:1", "1e999", "too large")),
    ("a.jsonl", '{"a": %s}\n' % ("9" * 5000), ("a.jsonl:1", "not JSON", "digits")),
    ("a.jsonl", '{"a": 1, "b": {"c": 1, "c": 2}}\n', ("a.jsonl:1", '"c"', "twice")),
    ("a.jsonl", '{"a": "\\ud83d"}\n', ("a.jsonl:1", "surrogate")),
    ("a.jsonl", "[" * 200_000, ("a.jsonl:1", "nested too deeply")),
    ("a.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}\n', ("a.jsonl:2", "not UTF-8", "byte 11", "0xe9", "save")),
    ("a.jsonl", '{"a": 1}'.encode("utf-16"), ("a.jsonl:1", "UTF-16")),
    ("a.jsonl", b'{"a": "' + b"x" * 10_000_000 + b'"}', ("a.jsonl:1", f"{LINE_LIMIT:,} bytes")),
    ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 100, mtime=0)[:-9], ("a.jsonl.gz:", "gzip", "damaged")),
    ("a.json.gz", gzip.compress(b'[{"a": 1}]', mtime=0)[:-9], ("a.json.gz", "gzip", "damaged")),
    ("a.json", '{"a": 1}', ("a.json", "expected a list", ".jsonl")),
    ("a.json", '[{"a": 1}, 2]', ("a.json", "item 2", "expected an object", "2")),
    ("a.json", '[{"a": 1},\n{"a": 1]', ("a.json:2", "not JSON")),
    ("a.json", b'[{"a": 1},\n {"a": "\xff"}]', ("a.json:2", "not UTF-8", "byte 9")),
    ("a.csv", "x,y\n1\n", ("a.csv:2", "expected 2 fields (x, y), got 1")),
    ("a.csv", "x,y\n1,2\n\n3,4,5\n", ("a.csv:4", "got 3")),
    ("a.csv", "x,,y\n", ("a.csv:1", "column 2", "no name")),
    ("a.csv", "x,y,x\n", ("a.csv:1", "'x' twice")),
    ("a.csv", 'x\n1\n"2', ("a.csv:3", "not valid CSV")),
    ("a.tsv", 'x\ty\n"a"b\tc\n', ("a.tsv:2", "not valid TSV")),
    ("a.csv", 'x\n"' + "1\n" * 100_000, ("a.csv:2", "not valid CSV", "unexpected end")),
    ("a.txt", "hello\n", ("a.txt", "no questions and answers")),
    ("a.parquet", "PAR1", ("a.parquet", "unknown kind", ".jsonl")),
]


@pytest.mark.parametrize(("name", "content", "says"), BAD, ids=[says[-1] for _, _, says in BAD])
def test_complaints_name_file_line_and_remedy(tmp_path, name, content, says):
    with pytest.raises(RealmodelsError) as error:
        table(written(tmp_path, name, content))
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in says), message


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RealmodelsError, match="is a folder"):
        table(tmp_path, "jsonl")


def test_a_file_without_a_header(tmp_path):
    path = written(tmp_path, "a.csv", "1,2\n3,4\n")
    assert table(path, "csv-bare", ("p", "q")) == [(1, {"p": "1", "q": "2"}), (2, {"p": "3", "q": "4"})]


@pytest.mark.parametrize(
    ("content", "cells"),
    [('"a\nb",c\nd,e\n', ["a\nb", "c"]), ("\ufeffa,b\n", ["a", "b"]), ('"' + "x" * 200_000, ["x" * 200_000])],
)
def test_first_cells(tmp_path, content, cells):
    assert first_cells(written(tmp_path, "a.csv", content)) == cells


def test_kind_by_name_then_by_content(tmp_path):
    assert kind_of(Path("x.TSV.gz")) == "tsv"
    assert kind_of(Path("P36.test.json")) == "json"
    assert kind_of(written(tmp_path, "v1.2", '\ufeff{"a": 1}')) == "jsonl"


def test_reading_is_lazy(tmp_path):
    rows = read_table(written(tmp_path, "a.jsonl", '{"a": 1}\nbroken\n'))
    assert next(rows) == (1, {"a": 1})
    with pytest.raises(RealmodelsError, match=r"a.jsonl:2"):
        next(rows)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.dictionaries(texts, values, max_size=4), min_size=1, max_size=4))
def test_json_rows_round_trip_exactly(tmp_path_factory, name, rows):
    path = tmp_path_factory.mktemp("json") / name
    assert write_table(path, kind_of(path), (), rows) == len(rows)
    again = [row for _, row in read_table(path)]
    # as text: key order, 1 against 1.0 and -0.0 count too
    assert [json.dumps(row) for row in again] == [json.dumps(row) for row in rows]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(texts, min_size=2, max_size=2), max_size=4))
def test_separated_rows_round_trip_exactly(tmp_path_factory, name, rows):
    path = tmp_path_factory.mktemp("csv") / name
    named = [{"b": b, "a": a} for b, a in rows]
    assert write_table(path, kind_of(path), ("b", "a"), named) == len(rows)
    again = [row for _, row in read_table(path)]
    assert again == named
    assert all(list(row) == ["b", "a"] for row in again)


def test_written_forms(tmp_path):
    rows = [{"q": "é", "n": None, "k": {"p": 0.5}, "x": 1}, {"q": "b,c", "n": "", "k": [], "x": 2}]
    expected = {
        "a.jsonl": '{"q": "é", "n": null, "k": {"p": 0.5}, "x": 1}\n{"q": "b,c", "n": "", "k": [], "x": 2}\n',
        "a.json": '[\n{"q": "é", "n": null, "k": {"p": 0.5}, "x": 1},\n{"q": "b,c", "n": "", "k": [], "x": 2}\n]\n',
        "a.csv": 'q,n,k\né,,"{""p"": 0.5}"\n"b,c",,[]\n',
        "a.tsv": 'q\tn\tk\né\t\t"{""p"": 0.5}"\nb,c\t\t[]\n',
    }
    for name, text in expected.items():
        assert write_table(tmp_path / name, kind_of(tmp_path / name), ("q", "n", "k"), rows) == 2
        assert (tmp_path / name).read_bytes().decode() == text
    write_table(tmp_path / "bare.csv", "csv-bare", ("q", "n", "k"), rows)
    assert (tmp_path / "bare.csv").read_text() == expected["a.csv"].split("\n", 1)[1]
    write_table(tmp_path / "none.json", "json", (), [])
    assert read_json(tmp_path / "none.json") == []


def test_zipped_output_is_the_same_every_time(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_table(tmp_path / name, "jsonl", (), [{"a": 1}])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize(("kind", "row"), [("jsonl", {"a": float("nan")}), ("parquet", {"a": 1})])
def test_what_cannot_be_written_leaves_no_file(tmp_path, kind, row):
    with pytest.raises(ValueError, match=r"not JSON compliant|cannot write rows as 'parquet'"):
        write_table(tmp_path / "out", kind, ("a",), [{"a": 1}, row])
    assert list(tmp_path.iterdir()) == []


def test_line_numbers_count_from_one(tmp_path):
    assert list(lines(written(tmp_path, "a", "x\r\n\ny"))) == [(1, "x\r\n"), (2, "\n"), (3, "y")]

import json
import os
import sys
import tracemalloc
import types

import pytest

from realmodels.errors import RealmodelsError
from realmodels.rows import content_id, iter_rows, read_rows
from realmodels.tables import kind_of, write_table

ROWS = [
    {
        "question": "Where is Ost?",
        "answers": ["Nord", "North"],
        "id": 7,
        "subject": "Ost",
        "extra": {"z": 1.0, "a": 1},
    },
    {"id": "x", "question": " Who? ", "answers": "Me", "popularity": 12, "relation": "r", "extra": None},
]


def save(tmp_path, rows, name="rows.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_fields_and_originals(tmp_path):
    path = save(tmp_path, ROWS)
    found = read_rows(path)
    first, second = found.rows
    assert (first.id, first.question, first.answers, first.subject) == (
        "7",
        "Where is Ost?",
        ("Nord", "North"),
        "Ost",
    )
    assert (first.relation, first.popularity, first.number, first.line) == (None, None, 0, 1)
    assert (second.id, second.question, second.answers, second.subject) == ("x", "Who?", ("Me",), None)
    assert (second.relation, second.popularity, second.number, second.line) == ("r", 12.0, 1, 2)
    assert second.source == str(path)
    assert [json.dumps(row.original) for row in found.rows] == [json.dumps(row) for row in ROWS]
    assert found.columns == ("question", "answers", "id", "subject", "extra", "popularity", "relation")
    assert (found.kind, found.adapter, len(found)) == ("jsonl", "plain", 2)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("Paris", ("Paris",)),
        (["Paris ", "Lutetia", "Paris", " "], ("Paris", "Lutetia")),
        ('["U.S.", "the \\"States\\""]', ("U.S.", 'the "States"')),
        (' ["a"] ', ("a",)),
        ("[sic", ("[sic",)),
        (["[sic]"], ("[sic]",)),
    ],
)
def test_answers_in_every_form(tmp_path, answers, expected):
    assert read_rows(save(tmp_path, [{"question": "q", "answers": answers}])).rows[0].answers == expected


def test_every_format_gives_the_same_rows_and_writes_back_what_it_read(tmp_path):
    table = [{"id": f"{i}", "question": f"q{i}, é?", "answers": json.dumps([f"a{i}", "b"])} for i in range(3)]
    found = {}
    for name in ("a.jsonl", "a.json", "a.csv", "a.tsv", "a.csv.gz"):
        path = tmp_path / name
        write_table(path, kind_of(path), tuple(table[0]), table)
        found[name] = read_rows(path)
        again = tmp_path / f"again.{name}"
        write_table(again, found[name].kind, found[name].columns, [row.original for row in found[name].rows])
        assert again.read_bytes() == path.read_bytes()
    assert len({rows.fingerprint for rows in found.values()}) == 1
    assert [row.answers for row in found["a.tsv"].rows] == [(f"a{i}", "b") for i in range(3)]


def test_mapping(tmp_path):
    path = save(
        tmp_path, [{"prompt": "q?", "completion": "a", "who": "s", "views": "1e3", "answers": "not these"}]
    )
    mapping = {"question": "prompt", "answers": "completion", "subject": "who", "popularity": "views"}
    row = read_rows(path, mapping).rows[0]
    assert (row.question, row.answers, row.subject, row.popularity) == ("q?", ("a",), "s", 1000.0)


def test_an_id_made_from_the_content_survives_reordering_and_tells_repeats_apart(tmp_path):
    a, b = {"question": "q", "answers": ["x"]}, {"question": "q", "answers": ["y"]}
    rows = read_rows(save(tmp_path, [a, b, a, a])).rows
    key = content_id("q", ("x",))
    assert [row.id for row in rows] == [key, content_id("q", ("y",)), f"{key}-2", f"{key}-3"]
    assert [row.id for row in read_rows(save(tmp_path, [b, a])).rows] == [rows[1].id, key]
    assert len(key) == 16


A, B = {"question": "q", "answers": ["x"]}, {"question": "q", "answers": ["y"]}
MADE = content_id("q", ("x",))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([A, B, B | {"id": MADE}], ":3: field 'id': \"{made}\" is also the id at {path}:1; "),
        ([A, B, A, B | {"id": f"{MADE}-2"}], ":4: field 'id': \"{made}-2\" is also the id at {path}:3; "),
        ([B, B | {"id": MADE}, A], ':3: has no id, and "{made}", made from its content, is the one given at {path}:2'),
        ([A, B | {"id": f"{MADE}-2"}, A], ":3: has no id, and \"{made}-2\", "),
    ],
)  # fmt: skip
def test_an_id_that_is_given_is_none_that_was_made(tmp_path, rows, says):
    path = save(tmp_path, rows)
    with pytest.raises(RealmodelsError) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}" + says.format(made=MADE, path=path))
    assert "ids must differ" in str(error.value)
    assert len(read_rows(path, limit=len(rows) - 1)) == len(rows) - 1


def test_given_and_made_ids_stand_side_by_side(tmp_path):
    rows = read_rows(save(tmp_path, [A | {"id": "7"}, A, B | {"id": 8}, A])).rows
    assert [row.id for row in rows] == ["7", MADE, "8", f"{MADE}-2"]


def test_the_fingerprint_is_of_the_content_and_of_how_it_was_read(tmp_path):
    one = read_rows(save(tmp_path, ROWS, "one.jsonl")).fingerprint
    assert read_rows(save(tmp_path, ROWS, "two.jsonl")).fingerprint == one
    assert read_rows(save(tmp_path, ROWS[::-1])).fingerprint != one
    assert read_rows(tmp_path / "one.jsonl", limit=1).fingerprint != one
    assert read_rows(tmp_path / "one.jsonl", {"id": "question"}).fingerprint != one
    changed = [ROWS[0] | {"extra": {"z": 1.0, "a": 2}}, ROWS[1]]
    assert read_rows(save(tmp_path, changed)).fingerprint != one


def test_limit_stops_reading(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\nbroken\n")
    assert len(read_rows(path, limit=1)) == 1
    with pytest.raises(RealmodelsError, match="--limit: expected at least 1, got 0"):
        read_rows(path, limit=0)


def test_streaming_needs_little_memory(tmp_path):
    def peak(count):
        path = tmp_path / f"{count}.jsonl"
        with open(path, "w") as file:
            for n in range(count):
                file.write(json.dumps({"question": f"q{n}", "answers": ["a"], "padding": "x" * 2000}) + "\n")
        tracemalloc.start()
        try:
            assert sum(1 for _ in iter_rows(path)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(100), peak(4000)
    # 4,000 rows are 8 MB; what stays of each is its id
    assert many - few < 4000 * 400


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [{"questions": "q", "answers": "a"}],
            (":1", "'question' is missing", "did you mean 'questions'", "--map"),
        ),
        (
            [{"question": "q", "reply": "a"}],
            (":1", "'answers' is missing", "known are question, reply", "--map"),
        ),
        ([ROWS[0], {"answers": "a"}], (":2", "'question' is missing")),
        ([{"question": "  ", "answers": "a"}], (":1", "'question'", "empty")),
        ([{"question": 3, "answers": "a"}], (":1", "'question'", "as a string", "3")),
        ([{"question": None, "answers": "a"}], (":1", "'question'", "as a string", "null")),
        ([{"question": "q", "answers": []}], (":1", "'answers'", "no answers")),
        ([{"question": "q", "answers": ["", " "]}], (":1", "'answers'", "no answers")),
        ([{"question": "q", "answers": ""}], (":1", "'answers'", "no answers")),
        ([{"question": "q", "answers": None}], (":1", "'answers'", "no answers")),
        ([{"question": "q", "answers": "[]"}], (":1", "'answers'", "no answers")),
        ([{"question": "q", "answers": ["a", 3]}], (":1", "'answers'", "list of strings", '["a", 3]')),
        ([{"question": "q", "answers": 1969}], (":1", "'answers'", "list of strings", "1969")),
        ([{"question": "q", "answers": {"a": 1}}], (":1", "'answers'", "list of strings")),
        ([{"question": "q", "answers": "['a', 'b']"}], (":1", "'answers'", "not JSON", "double quotes")),
        ([{"question": "q", "answers": "[1]"}], (":1", "'answers'", "list of strings")),
        ([ROWS[1], ROWS[0], ROWS[1]], (":3", "'id'", '"x"', ":1", "ids must differ")),
        ([ROWS[0], ROWS[0] | {"id": "7"}], (":2", "'id'", '"7"')),
        ([ROWS[0] | {"id": 1.5}], (":1", "'id'", "string or an integer", "1.5")),
        ([ROWS[0] | {"id": True}], (":1", "'id'", "true")),
        ([ROWS[0] | {"subject": ["Ost"]}], (":1", "'subject'", "expected a string")),
        ([ROWS[0] | {"relation": 22}], (":1", "'relation'", "expected a string", "22")),
        ([ROWS[0] | {"popularity": "many"}], (":1", "'popularity'", "finite number", '"many"')),
        ([ROWS[0] | {"popularity": "nan"}], (":1", "'popularity'", "finite number")),
        ([ROWS[0] | {"popularity": True}], (":1", "'popularity'", "finite number", "true")),
        ([ROWS[0] | {"popularity": [1]}], (":1", "'popularity'", "finite number")),
    ],
)
def test_a_wrong_row_is_named(tmp_path, rows, says):
    path = save(tmp_path, rows)
    with pytest.raises(RealmodelsError) as error:
        read_rows(path)
    message = str(error.value)
    assert message.startswith(f"{path}{says[0]}: ")
    assert "\n" not in message
    assert all(part in message for part in says), message


def test_empty_optional_fields_are_none(tmp_path):
    path = save(
        tmp_path,
        [{"question": "q", "answers": "a", "id": "", "subject": " ", "relation": None, "popularity": ""}],
    )
    row = read_rows(path).rows[0]
    assert (row.subject, row.relation, row.popularity) == (None, None, None)
    assert row.id == content_id("q", ("a",))


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"questoin": "x"}, ("--map", "unknown field 'questoin'", "'question'")),
        ({"question": "questin"}, (":1", "'questin' is missing", "did you mean 'question'")),
        ({"subject": "nobody"}, (":1", "'nobody' is missing", "known are")),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path, mapping, says):
    with pytest.raises(RealmodelsError) as error:
        read_rows(save(tmp_path, ROWS), mapping)
    assert all(part in str(error.value) for part in says), error.value


def test_rows_without_lines_are_counted(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"question": "q", "answers": "a"}, {"question": "", "answers": "a"}]')
    with pytest.raises(RealmodelsError, match=r"a.json: row 2: field 'question': the question is empty"):
        read_rows(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "question,answers\n"), ("a.jsonl", "\n\n"), ("a.json", "[]"), ("a.jsonl", "\ufeff")],
)
def test_a_source_without_rows(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(RealmodelsError, match=f"{name}: no rows in it"):
        read_rows(tmp_path / name)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(RealmodelsError, match=r"rows.jsonl: no such file or folder$"):
        read_rows(tmp_path / "rows.jsonl")
    with pytest.raises(RealmodelsError, match=r"owner/name: no such file or folder; .* hub:owner/name"):
        read_rows("owner/name")
    with pytest.raises(RealmodelsError, match="a folder of no known layout"):
        read_rows(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(RealmodelsError, match="a pipe or a device"):
        read_rows(tmp_path / "pipe.jsonl")


class Table(list):
    @property
    def column_names(self):
        return list(self[0])


@pytest.fixture
def hub(monkeypatch):
    """A `datasets` package that knows what it is given."""
    known = {}

    def load_dataset(name, *, split):
        if (name, split) not in known:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub\nmore lines")
        return Table(known[name, split])

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    return known


def test_a_dataset_of_the_hub(hub):
    hub["me/qa", "train"] = [{"question": "q", "answers": ["a"], "extra": 1}]
    hub["me/qa", "dev"] = [{"question": "q2", "answers": ["a"]}]
    found = read_rows("hub:me/qa")
    assert (found.kind, found.adapter, found.columns) == ("jsonl", "hub", ("question", "answers", "extra"))
    assert (found.rows[0].source, found.rows[0].line) == ("hub:me/qa", 0)
    assert read_rows("hub:me/qa:dev").rows[0].question == "q2"
    hub["me/pop", "test"] = [
        {"question": "q", "subj": "s", "prop": "p", "s_pop": 5, "possible_answers": '["a"]'}
    ]
    row = read_rows("hub:me/pop:test").rows[0]
    assert (row.answers, row.subject, row.relation, row.popularity) == (("a",), "s", "p", 5.0)


@pytest.mark.parametrize(
    ("source", "rows", "says"),
    [
        ("hub:", [], ("expected hub:owner/name",)),
        ("hub:me/none", [], ("hub:me/none", "Couldn't reach 'me/none'", "save it as a file")),
        (
            "hub:me/qa",
            [{"question": "q", "answers": "a", "when": object()}],
            ("row 1", "cannot be written as JSON"),
        ),
    ],
)
def test_trouble_with_the_hub(hub, source, rows, says):
    hub["me/qa", "train"] = rows
    with pytest.raises(RealmodelsError) as error:
        read_rows(source)
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in says), error.value


def test_the_hub_needs_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RealmodelsError, match=r"hub:me/qa: .*pip install datasets"):
        read_rows("hub:me/qa")

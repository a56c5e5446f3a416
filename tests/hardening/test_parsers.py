"""Whatever a file holds, a reader reads it or says in one line what is wrong; what a writer wrote is read back."""

import csv
import gzip
import json
import math
import re
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from figures.columns import read_columns, write_columns
from figures.errors import FiguresError
from figures.knowledge import FORMAT, read_graph
from figures.provenance import sources
from realmodels.audited import LABELS, SCORES, read_audit
from realmodels.compare_read import read_run
from realmodels.errors import RealmodelsError
from realmodels.harm import read_calibration
from realmodels.prompting import STYLES
from realmodels.recipe import Recipe, read_recipe
from realmodels.rows import read_rows
from realmodels.tables import read_table, write_table
from realmodels.train_rows import read_train
from synthetic.errors import SyntheticError
from synthetic.setup import Setup, setup_from
from theory import WorldSpec, make_world
from theory.errors import TheoryError
from theory.records import RecordWriter, read_records
from theory.schema import NUMBERS, Record, shown
from theory.table import Table
from theory.world_file import load_world, save_world
from theory.world_spec import read_spec, spec_from_mapping

from . import fuzz

calm = partial(
    settings,
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
numbers = st.floats(allow_nan=False, allow_infinity=False)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, -(2**63)])
    | numbers
    | texts
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
records = st.builds(
    Record,
    lab=st.sampled_from(["theory/R0", "synthetic/R2-2layer", "realmodels/R3-x.y_z-1"]),
    study=words,
    run=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8),
    seed=st.integers(0, 2**63 - 1),
    arm=words,
    step=st.integers(0, 2**63 - 1),
    trained_on=st.sampled_from(["none", "unknown:0.25", "ü", "a%sb"]),
    prompt=st.sampled_from(["zero", "few:4"]),
    split=words,
    stratum=st.just("all") | st.builds("{}={}".format, words, st.sampled_from(["low", "1 2", "<b>", '"q"'])),
    metric=words,
    value=numbers,
    n=st.integers(1, 2**63 - 1),
)


def refusal(room, read, *given):
    """What the reader says if it refuses: one line of its room's own error; None if it reads."""
    try:
        read(*given)
        return None
    except room as wrong:
        said = str(wrong)
    assert re.fullmatch(r"[^\n]+", said), said
    return said


# ---------------------------------------------------------------- the fuzz run


def test_valid_files_are_read(tmp_path):
    for reader in fuzz.readers().values():
        for number, seed in enumerate(reader.seeds):
            path = tmp_path / reader.name.replace(" ", "_") / str(number) / reader.file
            path.parent.mkdir(parents=True)
            path.write_bytes(seed)
            assert reader.read(path) is not None, reader.name


def test_damaged_files_are_read_or_refused():
    tally = fuzz.some(tuple(fuzz.readers()), range(2000), seed=20)
    assert not tally.failed, fuzz.table(tally)
    assert sum(tally.found.values()) == 2000
    kinds = {kind: sum(n for (_, k), n in tally.found.items() if k == kind) for kind in ("read", "refused")}
    assert min(kinds.values()) > 200
    assert "refused" in fuzz.table(tally)


def test_the_fuzz_run_sees_tracebacks_hangs_and_errors_of_several_lines(monkeypatch):
    def spin(_):
        while True:
            pass

    def twice(path):
        raise RealmodelsError(f"{path}:\ntwo lines")

    def stumble(path):
        return {}[path]

    for read, said in ((spin, "Hang"), (twice, "several lines"), (stumble, "KeyError")):
        bad = fuzz.Reader("bad", "a.txt", read, (b"1",))
        monkeypatch.setattr(fuzz, "readers", lambda bad=bad: {"bad": bad})
        monkeypatch.setattr(fuzz, "_everyone", lambda: (b"1",))
        monkeypatch.setattr(fuzz, "LIMIT", 0.05)
        tally = fuzz.some(("bad",), range(2), seed=0)
        assert tally.found == {("bad", "failed"): 2}
        assert said in "".join(tally.failed)
        assert "--only 'bad' --first 0 --inputs 1" in fuzz.table(tally)


def test_the_same_number_is_the_same_damage():
    reader = fuzz.readers()["rows.jsonl"]
    made = [fuzz.damaged(fuzz.random.Random(f"0/{k}"), reader) for k in range(50)]
    assert made == [fuzz.damaged(fuzz.random.Random(f"0/{k}"), reader) for k in range(50)]
    assert len(set(made)) > 40


# ---------------------------------------------------------------- records


@calm(max_examples=40)
@given(st.lists(records, max_size=8, unique_by=lambda one: (one.seed, one.step)), st.booleans())
def test_records_come_back(tmp_path, some, torn):
    path = tmp_path / "records.jsonl"
    path.unlink(missing_ok=True)
    with RecordWriter(path) as out:
        out.write_many(some)
    if torn and some:  # the last newline is lost
        path.write_bytes(path.read_bytes()[:-1])
    table = read_records(path)
    assert list(table.records()) == some
    assert list(Table.from_records(some).records()) == some


@calm()
@given(
    st.lists(records, min_size=1, max_size=4, unique_by=lambda one: one.seed),
    st.randoms(use_true_random=False),
)
def test_records_in_any_form_of_json_are_the_same(tmp_path, some, chance):
    path = tmp_path / "records.jsonl"
    lines = []
    for one in some:
        row = asdict(one)
        if not row["item"]:
            del row["item"]
        pairs = list(row.items())
        chance.shuffle(pairs)
        gaps = chance.choice([(",", ":"), (", ", ": "), (" , ", "  :")])
        lines.append(json.dumps(dict(pairs), separators=gaps, ensure_ascii=chance.random() < 0.5))
    path.write_text(chance.choice(["\n", "\r\n", "\n\n"]).join(lines), encoding="utf-8", newline="")
    assert list(read_records(path).records()) == some


@calm(max_examples=60)
@given(records, st.sampled_from([*fuzz.RECORD, "more"]), values)
def test_a_record_with_any_value_is_read_or_refused(tmp_path, one, name, value):
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(asdict(one) | {name: value}) + "\n")
    said = refusal(TheoryError, read_records, path)
    if said:
        assert f"{path}:1:" in said
        assert name in said
    else:
        (row,) = read_records(path).records()
        assert getattr(row, name) == value


@calm()
@given(st.binary(max_size=300))
def test_any_bytes_are_no_records_or_are_refused(tmp_path, data):
    path = tmp_path / "records.jsonl"
    path.write_bytes(data + b"\n")
    said = refusal(TheoryError, read_records, path)
    assert said is not None or not data.strip(b" \t\r\n\xef\xbb\xbf\x0b\x0c\x1c\x1d\x1e\x1f\x85")


@calm(max_examples=40)
@given(st.dictionaries(st.sampled_from([*fuzz.RECORD, "else"]), values | st.lists(leaves, max_size=3)))
def test_any_columns_are_a_table_or_refused(changes):
    said = refusal(TheoryError, Table.from_columns, fuzz.RECORD | changes)
    assert said is None or "table" in said


@calm()
@given(st.lists(records, min_size=1, max_size=5, unique_by=lambda one: one.seed))
def test_tables_take_and_mask(some):
    table = Table.from_records(some)
    for name in NUMBERS:
        assert table.column(name).tolist() == [getattr(one, name) for one in some]
    for one in some:
        (row,) = table.take(table.mask(seed=one.seed)).records()
        assert row == one


# ---------------------------------------------------------------- tables, rows, audits


@calm(max_examples=60)
@given(
    st.sampled_from(["csv", "tsv", "jsonl", "json"]),
    st.booleans(),
    st.lists(texts.filter(str.strip), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_tables_come_back(tmp_path, kind, zipped, columns, data):
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, texts)), max_size=4))
    if kind in ("csv", "tsv"):  # a line with one empty cell is an empty line
        rows = [row for row in rows if len(columns) > 1 or row[columns[0]]]
        assume(not columns[0].startswith("\ufeff"))  # taken for the mark of UTF-8
    path = tmp_path / f"t.{kind}{'.gz' if zipped else ''}"
    assert write_table(path, kind, columns, rows) == len(rows) or kind == "json"
    assert [row for _, row in read_table(path)] == rows if rows or kind not in ("jsonl",) else True
    assert (path.read_bytes()[:2] == b"\x1f\x8b") is zipped


@calm(max_examples=40)
@given(texts.filter(str.strip), st.lists(texts.filter(str.strip), min_size=1, max_size=3), values)
def test_rows_come_back(tmp_path, question, answers, extra):
    path = tmp_path / "a.jsonl"
    row = {"question": question, "answers": answers, "extra": extra}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    said = refusal(RealmodelsError, read_rows, path)
    if said:
        assert "10" not in said or "too large" in said or str(path) in said
        return
    (found,) = read_rows(path).rows
    assert found.question == question.strip()
    assert found.answers == tuple(dict.fromkeys(answer.strip() for answer in answers))
    assert found.original == row


@calm(max_examples=60)
@given(
    st.sampled_from(["id", "question", "answers", "subject", "relation", "popularity", "knowledge"]), values
)
def test_a_row_with_any_value_is_read_or_refused(tmp_path, name, value):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(fuzz.ROWS[0] | {name: value}) + "\n")
    said = refusal(RealmodelsError, read_rows, path)
    assert said is None or f"{path}:1: " in said


@calm()
@given(st.binary(max_size=200), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a", "a.jsonl.gz"]))
def test_any_bytes_as_rows_are_refused(tmp_path, data, name):
    path = tmp_path / name
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        assert str(path) in refusal(RealmodelsError, read_rows, path)


@calm(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(LABELS), st.floats(0, 1), st.none() | numbers), min_size=1, max_size=5)
)
def test_audits_come_back(tmp_path, said):
    path = tmp_path / "audit.jsonl"
    rows = [
        {"q": 1, "knowledge": fuzz.KNOWLEDGE | {"label": label, "p_greedy": share, "margin": margin}}
        for label, share, margin in said
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_audit(path)
    assert [LABELS[k] for k in found.label] == [label for label, _, _ in said]
    assert found.scores["p_greedy"].tolist() == [share for _, share, _ in said]
    margins = [math.nan if margin is None else margin for _, _, margin in said]
    np.testing.assert_array_equal(found.scores["margin"], margins)
    assert [row for _, row in found.originals(np.arange(len(rows)))] == rows


@calm(max_examples=80)
@given(st.sampled_from([*fuzz.KNOWLEDGE, *SCORES]), values)
def test_knowledge_with_any_value_is_read_or_refused(tmp_path, name, value):
    path = tmp_path / "audit.jsonl"
    path.write_text(json.dumps({"knowledge": fuzz.KNOWLEDGE | {name: value}}) + "\n")
    said = refusal(RealmodelsError, read_audit, path)
    assert said is None or f"{path}:1: " in said


@calm(max_examples=40)
@given(st.sampled_from(["source", "kind", "columns", "names", "path", "fingerprint"]), values)
def test_a_summary_with_any_value_is_read_or_refused(tmp_path, name, value):
    (tmp_path / "audit.jsonl").write_text(json.dumps({"knowledge": fuzz.KNOWLEDGE}) + "\n")
    source = {"source": value} if name == "source" else {"source": fuzz.SUMMARY["source"] | {name: value}}
    (tmp_path / "summary.json").write_text(json.dumps(source))
    said = refusal(RealmodelsError, read_audit, tmp_path)
    assert said is None or "summary.json" in said


@calm(max_examples=30)
@given(texts.filter(str.strip), texts.filter(str.strip))
def test_prompts_and_completions_are_learned_from_where_they_should(tmp_path, prompt, completion):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "completion": completion}) + "\n", encoding="utf-8")
    (item,) = read_train(path, fuzz.Letters(), STYLES["qa"]).items
    before, after = [256, *prompt.encode()], [*completion.encode(), 257]
    assert list(item.ids) == before + after
    assert list(item.learned) == [False] * len(before) + [True] * len(after)


@calm(max_examples=60)
@given(st.dictionaries(st.sampled_from(["prompt", "completion", "messages", "question", "answers"]), values))
def test_training_rows_with_any_value_are_read_or_refused(tmp_path, row):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    said = refusal(RealmodelsError, read_train, path, fuzz.Letters(), STYLES["qa"])
    assert said is None or str(path) in said


# ---------------------------------------------------------------- recipes, specs, setups


@calm(max_examples=40)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "rank": st.integers(1, 512),
            "rate": st.floats(1e-9, 1e3),
            "dropout": st.floats(0, 0.999),
            "steps": st.none() | st.integers(1, 10**6),
            "targets": st.just("all-linear") | st.lists(words, min_size=1, max_size=3),
            "decay": st.sampled_from(["constant", "linear", "cosine"]),
            "checkpointing": st.booleans(),
        },
    )
)
def test_recipes_come_back(tmp_path, said):
    path = tmp_path / "lora.yaml"
    path.write_text(yaml.safe_dump(said))
    wanted = dict(said)
    if "targets" in said:
        wanted["targets"] = (said["targets"],) if isinstance(said["targets"], str) else tuple(said["targets"])
    assert read_recipe(path) == replace(Recipe(), **wanted)


@calm(max_examples=80)
@given(st.sampled_from(list(asdict(Recipe()))), values)
def test_a_recipe_with_any_value_is_read_or_refused(tmp_path, name, value):
    path = tmp_path / "lora.yaml"
    path.write_text(yaml.safe_dump({name: value}))
    said = refusal(RealmodelsError, read_recipe, path)
    assert said is None or said.startswith(str(path))


@calm(max_examples=60)
@given(
    st.text(max_size=60) | st.lists(st.sampled_from([p.decode("latin-1") for p in fuzz._PIECES])).map("".join)
)
def test_any_text_is_no_recipe_or_is_refused(tmp_path, text):
    assume(text.isprintable() or not re.search("[\ud800-\udfff]", text))
    path = tmp_path / "lora.yaml"
    path.write_text(text, encoding="utf-8")
    said = refusal(RealmodelsError, read_recipe, path)
    assert said is None or said.startswith(str(path))
    if not any(sign in text for sign in "=\0"):
        refusal(RealmodelsError, read_recipe, None, [f"rate={text}"])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (fuzz._BOMB.decode(), ":2: not YAML: an alias"),
        ("rate: &a [*a]", "an alias"),
        ("? [a, b]\n: 1", "a key that is no name"),
        ("rate: 2001-99-99", "not YAML: month must be in 1..12"),
        ("rate: " + "9" * 5000, "not YAML: Exceeds the limit"),
        ("rate: " + "9" * 400, "rate: expected a number above 0"),
        ("rank: " + "9" * 400, "rank: expected a whole number of at least 1"),
        ("rate: !!bool x", "a value that cannot be read"),
        ("rate: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("targets: " + "[" * 30_000 + "]" * 30_000, "not YAML"),
        ("# " + "x" * 70_000, "more than the 65,536 of any recipe"),
        ("style: {1: {2: {[3]: 4}}}", "style"),
    ],
)
def test_yaml_that_is_a_trap(tmp_path, text, part):
    path = tmp_path / "lora.yaml"
    path.write_text(text)
    said = refusal(RealmodelsError, read_recipe, path)
    assert said is not None
    assert part in said
    assert len(said) < 400


@calm(max_examples=60)
@given(st.sampled_from(list(asdict(WorldSpec()))), values)
def test_a_spec_with_any_value_is_a_spec_or_refused(name, value):
    said = refusal(TheoryError, spec_from_mapping, {name: value})
    assert said is None or "WorldSpec" in said


@calm(max_examples=40)
@given(st.text(max_size=60))
def test_any_text_is_no_spec_or_is_refused(tmp_path, text):
    assume(not re.search("[\ud800-\udfff]", text))
    path = tmp_path / "world.toml"
    path.write_text(text, encoding="utf-8")
    said = refusal(TheoryError, read_spec, path)
    assert said is None or str(path) in said


@calm(max_examples=80)
@given(st.data(), values)
def test_a_setup_with_any_value_is_a_setup_or_refused(data, value):
    whole = json.loads(Setup().to_json())
    assert setup_from(whole) == Setup()
    name = data.draw(st.sampled_from(list(whole)))
    if isinstance(whole[name], dict) and data.draw(st.booleans()):
        inner = data.draw(st.sampled_from(list(whole[name])))
        changed = {name: {inner: value}}
    else:
        changed = {name: value}
    said = refusal(SyntheticError, setup_from, changed)
    assert said is None or name in said or "Spec." in said


# ---------------------------------------------------------------- worlds, graphs, CSV behind pictures


@calm(max_examples=15)
@given(st.integers(4, 12), st.integers(1, 3), st.integers(0, 10**6), st.data())
def test_worlds_come_back_and_edited_ones_are_refused(tmp_path, subjects, relations, seed, data):
    spec = WorldSpec(
        types=1, subjects=subjects, never_seen=1, relations=relations, derived=0, answers=3, mean_exposure=3.0
    )
    path = tmp_path / "w.npz"
    world = make_world(spec, seed=seed)
    save_world(world, path)
    assert load_world(path).fingerprint == world.fingerprint
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    said = refusal(TheoryError, load_world, path)
    if said is None:  # a time stamp in the archive may change, the world may not
        assert load_world(path).fingerprint == world.fingerprint
    else:
        assert said.startswith(f"{path}: ")


@calm(max_examples=80)
@given(
    st.sampled_from(["lab", "seed", "relation_name", "prompts", "nodes", "edges", "format"]),
    st.sampled_from([None, "id", "kind", "name", "fact", "source", "target", "use", "extracted"]),
    values,
)
def test_a_graph_with_any_value_is_read_or_refused(tmp_path, name, inner, value):
    graph = json.loads(json.dumps(fuzz.GRAPH | {"format": FORMAT}))
    if inner and name in ("nodes", "edges") and inner in graph[name][0]:
        graph[name][0][inner] = value
    else:
        graph[name] = value
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(graph))
    said = refusal(FiguresError, read_graph, path)
    assert said is None or said.startswith(f"{path}: ")


@calm()
@given(
    st.lists(
        st.tuples(st.floats(-100, 100), st.floats(-1, 1)),
        min_size=3,
        max_size=8,
        unique_by=lambda pair: round(pair[0]),
    )
)
def test_calibrations_come_back(tmp_path, points):
    path = tmp_path / "c.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("margin", "effect"), *points])
    line = read_calibration(path)
    slope, intercept = np.polyfit(*np.array(points).T, 1)
    assert line.slope == pytest.approx(slope, abs=1e-9)
    assert line.intercept == pytest.approx(intercept, abs=1e-8)


@calm(max_examples=40)
@given(st.sampled_from(["margin", "effect"]), leaves)
@example("margin", 1.8e154)
@example("effect", -1e308)
def test_a_calibration_with_any_value_is_read_or_refused(tmp_path, name, value):
    path = tmp_path / "c.jsonl"
    rows = [{"margin": k, "effect": 0.1 * k} for k in range(4)]
    rows[2][name] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = refusal(RealmodelsError, read_calibration, path)
    assert said is None or str(path) in said


@calm()
@given(
    st.lists(
        st.tuples(numbers, st.from_regex(r"[A-Za-z<>,\";' ]{0,8}x", fullmatch=True)), min_size=1, max_size=5
    )
)
def test_columns_come_back(tmp_path, pairs):
    made = {"number": np.array([x for x, _ in pairs]), "word": np.array([w for _, w in pairs])}
    found = read_columns(write_columns(tmp_path / "c.csv", made), made)
    np.testing.assert_array_equal(found["number"], made["number"])
    assert found["word"].tolist() == made["word"].tolist()


# ---------------------------------------------------------------- what the fuzz run once found


BIG = 10**400


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"a,b\n1\n", "c.csv:2: expected 2 cells, as the header has, got 1"),
        (b"a,b\n1,2,3\n", "c.csv:2: expected 2 cells, as the header has, got 3"),
        (b"a,b\n1,\xff\n", "expected a CSV file in UTF-8"),
        (b'a,b\n1,"2\n', "expected a CSV file in UTF-8"),
        (b'"a\n",b\n1,2\n', "no column 'a'; it has \"a\\n\", b"),
        (b"", "no rows"),
    ],
)
def test_columns_that_are_ragged_or_no_text(tmp_path, data, part):
    path = tmp_path / "c.csv"
    path.write_bytes(data)
    assert part in refusal(FiguresError, read_columns, path, ("a",))


def test_a_record_that_is_none_has_no_provenance(tmp_path):
    path = tmp_path / "records.jsonl"
    whole = json.dumps(fuzz.RECORD).encode() + b"\n"
    for line in (
        b'{"lab" 1, "seed": 1}\n',
        b'{"lab": {}, "study": 1, "run": 2, "seed": 3}\n',
        b'\xff"seed"\n',
    ):
        path.write_bytes(line + whole)
        (found,) = sources([path])
        assert found.cases == {(fuzz.RECORD["lab"], fuzz.RECORD["study"], fuzz.RECORD["run"])}


@pytest.mark.parametrize(
    ("answers", "part"),
    [
        ("[" * 5000 + "]" * 5000, "looks like a list but is not JSON"),
        ('["\\ud800"]', "half of a \\u surrogate pair"),
        ("[" + "9" * 5000 + "]", "looks like a list but is not JSON"),
    ],
)
def test_answers_in_a_string_that_is_a_trap(tmp_path, answers, part):
    path = tmp_path / "a.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("question", "answers"), ("Who?", answers)])
    assert part in refusal(RealmodelsError, read_rows, path)


def test_numbers_beyond_any_float(tmp_path):
    audit = tmp_path / "audit.jsonl"
    audit.write_text(json.dumps({"knowledge": fuzz.KNOWLEDGE | {"margin": BIG}}) + "\n")
    assert "knowledge.margin" in refusal(RealmodelsError, read_audit, audit)
    samples = tmp_path / "samples_t_1.jsonl"
    samples.write_text(json.dumps(fuzz.SAMPLE | {"f1": BIG}) + "\n")
    assert "field 'f1'" in refusal(RealmodelsError, read_run, samples)
    measured = tmp_path / "c.jsonl"
    measured.write_text(json.dumps({"margin": BIG, "effect": 1}) + "\n")
    assert "field 'margin'" in refusal(RealmodelsError, read_calibration, measured)
    for digits in (400, 5000):
        for name in ("relations", "mean_exposure", "popularity"):
            assert name in refusal(TheoryError, spec_from_mapping, {name: 10**digits})


def test_a_template_that_is_no_text(tmp_path):
    path = tmp_path / "relation.json"
    path.write_text(json.dumps(fuzz.RELATION | {"prompt_templates": [{"{}": 1}]}))
    assert "expected texts with {}" in refusal(RealmodelsError, read_rows, path)


@pytest.mark.parametrize("head", ['"question\nhm",answers', 'x,"que\nstion"', '"a\n","a\n"'])
def test_names_of_columns_with_line_ends_stay_in_one_line(tmp_path, head):
    path = tmp_path / "a.csv"
    path.write_text(f"{head}\n1,2\n1,2,3\n")
    assert refusal(RealmodelsError, read_rows, path)
    assert refusal(RealmodelsError, lambda p: list(read_table(p)), path)


def test_anything_can_be_shown():
    endless = []
    endless.append(endless)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in (endless, deep, {(1, 2): 3}, 10**5000, b"\xff", {1: {2}}, float("nan")):
        assert 0 < len(shown(value)) <= 60
    while deep:  # or taking it apart would overflow the stack
        deep = deep.pop()

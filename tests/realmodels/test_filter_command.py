"""`filter` writes files that training reads as it read the source, whole or not at all."""

import csv
import errno
import hashlib
import json
import os
import subprocess
import sys

import pytest

from realmodels import filter_cli, selection
from realmodels.rows import read_rows
from realmodels.tables import read_table, write_table
from theory.command import main

COMMANDS = {"filter": filter_cli.Filter, "tasks": filter_cli.Tasks}
LABELS = ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]


def run(*words):
    return main("realmodels", "test", COMMANDS, [str(word) for word in words])


def facts(count=24):
    """Rows with columns in an unusual order, values of every kind and letters of every kind."""
    for number in range(count):
        original = {
            "note": None if number % 5 else "naïve 日本 \u2028 \"quoted\", 'comma'",
            "question": f"What is the capital of Land {number}?",
            "answers": [f"City {number % 12}", f"Town {number % 12}"],
            "weight": 1.0 if number % 2 else 1e-7,
            "nested": {"z": [1, 2, {"y": True}], "a": 10**20},
            "relation": f"P{number % 2}",
        }
        yield original, {"label": LABELS[(number // 2) % 4], "subject": f"Land {number % 7}"}


@pytest.fixture
def audit(write_audit):
    pairs = list(facts())
    source = {"path": "rows.jsonl", "kind": "jsonl", "columns": list(pairs[0][0]), "names": {}}
    return write_audit(pairs, source)


def test_rows_come_out_as_they_went_in(audit, tmp_path, capsys):
    out = tmp_path / "kept.jsonl"
    assert run("filter", audit, "--keep", "HighlyKnown,MaybeKnown", "-o", out) == 0
    kept = [original for original, special in facts() if special["label"] in ("HighlyKnown", "MaybeKnown")]
    assert out.read_text("utf-8") == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    said = capsys.readouterr()
    assert "labels by 10 prompts" in said.out
    assert f"wrote {out}\nwrote {out}.manifest.json" in said.err
    assert "warning" not in said.err
    manifest = json.loads((tmp_path / "kept.jsonl.manifest.json").read_text())
    assert manifest["written"] == [
        {"name": "kept.jsonl", "rows": len(kept), "sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
    ]
    assert manifest["asked"]["keep"] == ["HighlyKnown", "MaybeKnown"]
    assert manifest["kept"]["P0"] == {"HighlyKnown": 3, "MaybeKnown": 3, "WeaklyKnown": 0, "Unknown": 0}
    assert manifest["warnings"] == []
    assert sorted(os.listdir(tmp_path)) == ["audit", "kept.jsonl", "kept.jsonl.manifest.json"]


def test_knowledge_stays_if_asked(audit, tmp_path):
    out = tmp_path / "kept.jsonl"
    assert run("filter", audit, "--drop", "Unknown", "--with-knowledge", "-o", out) == 0
    lines = audit.read_text().splitlines()
    assert set(out.read_text().splitlines()) == {line for line in lines if '"label": "Unknown"' not in line}


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_a_table_stays_the_table_that_it_was(write_audit, tmp_path, kind, zipped):
    columns = ["id", "question", "answers", "free"]
    rows = [
        {
            "id": str(n),
            "question": f'q "{n}", a\tb',
            "answers": '["x, y", "z"]',
            "free": " sp\nace " * (n % 2),
        }
        for n in range(6)
    ]
    pairs = [(row, {"label": LABELS[n % 4], "answers": ["x, y", "z"]}) for n, row in enumerate(rows)]
    audit = write_audit(pairs, {"path": f"rows.{kind}", "kind": kind, "columns": columns})
    out = tmp_path / f"out.{kind}{zipped}"
    assert run("filter", audit, "--keep", "HighlyKnown,Unknown", "-o", out) == 0
    found = list(read_table(out, kind))
    assert [row for _, row in found] == [rows[n] for n in (0, 3, 4)]
    assert [list(row) for _, row in found] == [columns] * 3
    back = read_rows(out)
    assert [row.answers for row in back.rows] == [("x, y", "z")] * 3
    assert run("filter", audit, "--keep", "Unknown", "--with-knowledge", "-o", tmp_path / f"more.{kind}") == 0
    with open(tmp_path / f"more.{kind}", newline="") as file:
        (row,) = csv.DictReader(file, delimiter="\t" if kind == "tsv" else ",")
    assert json.loads(row["knowledge"])["label"] == "Unknown"
    assert list(row) == [*columns, "knowledge"]


def test_a_json_list_and_a_table_without_header_too(write_audit, tmp_path):
    rows = [{"question": f"q{n}", "answers": ["a"]} for n in range(3)]
    listed = write_audit([(row, {}) for row in rows], {"kind": "json", "columns": ["question", "answers"]})
    assert run("filter", listed, "--limit", 2) == 0
    assert json.loads((listed.parent / "filtered.json").read_text()) == rows[:2]
    bare = [{"question": "q", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "B"}] * 2
    pairs = [(row, {"answers": ["2"]}) for row in bare]
    source = {"kind": "csv-bare", "columns": list(bare[0])}
    audit = write_audit(pairs, source, tmp_path / "mmlu")
    assert run("filter", audit, "--limit", 1) == 0
    assert (tmp_path / "mmlu" / "filtered.csv").read_text() == "q,1,2,3,4,B\n"


def test_what_was_read_by_the_adapters_is_written_back_byte_for_byte(write_audit, tmp_path, data):
    """A table of PopQA's columns, from the real sample: keeping all rows gives its bytes."""
    sample = (data / "popqa" / "popqa_sample_2000.tsv").read_bytes().splitlines(keepends=True)[:101]
    source = tmp_path / "popqa.tsv"
    source.write_bytes(b"".join(sample))
    read = read_rows(source)
    pairs = [
        (dict(row.original), {"answers": list(row.answers), "relation": row.relation, "subject": row.subject})
        for row in read.rows
    ]
    audit = write_audit(pairs, {"path": str(source), "kind": read.kind, "columns": list(read.columns)})
    assert run("filter", audit, "--limit", 100, "-o", tmp_path / "all.tsv") == 0
    again = read_rows(tmp_path / "all.tsv")
    assert [row.original for row in again.rows] == [row.original for row in read.rows]
    assert again.fingerprint == read.fingerprint
    write_table(tmp_path / "straight.tsv", "tsv", read.columns, [row.original for row in read.rows])
    assert (tmp_path / "all.tsv").read_bytes() == (tmp_path / "straight.tsv").read_bytes()


def test_arms_are_files_of_a_folder(audit, tmp_path, capsys):
    out = tmp_path / "arms"
    words = [
        "--arms",
        "known,unknown,known-permuted",
        "--match",
        "relation,overlap",
        "--size",
        4,
        "--seed",
        2,
    ]
    assert run("filter", audit, *words, "-o", out) == 0
    assert sorted(os.listdir(out)) == [
        "known-permuted.jsonl",
        "known.jsonl",
        "manifest.json",
        "unknown.jsonl",
    ]
    said = capsys.readouterr()
    assert "matched on relation, overlap: 6 rows an arm in 2 of 2 cells; written 4 an arm" in said.out
    assert "warning: known: 6 of 12 rows found no partner" in said.err
    known, permuted, unknown = (
        [row for _, row in read_table(out / f"{name}.jsonl")]
        for name in ("known", "known-permuted", "unknown")
    )
    originals = [original for original, _ in facts()]
    assert all(row in originals for row in known + unknown)
    assert len(known) == len(unknown) == 4
    for true, false in zip(known, permuted, strict=True):
        assert list(true) == list(false)
        assert {k: v for k, v in true.items() if k != "answers"} == {
            k: v for k, v in false.items() if k != "answers"
        }
        assert not set(true["answers"]) & set(false["answers"])
    manifest = json.loads((out / "manifest.json").read_text())
    assert [(file["arm"], file["name"], file["rows"], file["pool"]) for file in manifest["written"]] == [
        ("known", "known.jsonl", 4, 12),
        ("unknown", "unknown.jsonl", 4, 6),
        ("known-permuted", "known-permuted.jsonl", 4, 12),
    ]
    assert manifest["written"][2]["answers_moved_in"] == "answers"
    assert manifest["asked"]["seed"] == 2
    assert manifest["asked"]["match"] == ["relation", "overlap"]
    assert manifest["unmatched"] == {"known": {"P0": 3, "P1": 3}, "unknown": {}}
    assert manifest["matched_rows"] == 6
    assert manifest["cells"] == {"with_rows": 2, "with_rows_of_every_arm": 2}


def test_the_same_command_writes_the_same_bytes(audit, tmp_path):
    words = [
        "filter",
        audit,
        "--arms",
        "best,lesser,random,known-permuted",
        "--seed",
        1,
        "-o",
        tmp_path / "one",
    ]
    assert run(*words) == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert run(*words) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == first


def test_criteria_narrow_the_arms(audit, tmp_path):
    words = [
        "--keep",
        "HighlyKnown,MaybeKnown",
        "--arms",
        "best,lesser",
        "--by",
        "logprob",
        "-o",
        tmp_path / "a",
    ]
    assert run("filter", audit, *words) == 0
    counts = json.loads((tmp_path / "a" / "manifest.json").read_text())["kept"]
    for relation in counts["best"].values():
        assert relation["Unknown"] == relation["WeaklyKnown"] == 0


def test_permuted_answers_move_in_the_column_that_held_them(write_audit, tmp_path):
    pairs = [
        ({"prompt": f"q{n}", "completion": f"a{n}"}, {"answers": [f"a{n}"], "label": "HighlyKnown"})
        for n in range(4)
    ]
    source = {"kind": "csv", "columns": ["prompt", "completion"], "names": {"answers": "completion"}}
    audit = write_audit(pairs, source)
    assert run("filter", audit, "--arms", "known-permuted", "--match", "none", "-o", tmp_path / "a") == 0
    rows = [row for _, row in read_table(tmp_path / "a" / "known-permuted.csv")]
    assert [row["prompt"] for row in rows] == ["q0", "q1", "q2", "q3"]
    assert all(row["completion"][1:] != row["prompt"][1:] for row in rows)
    (audit.parent / "summary.json").unlink()
    assert run("filter", audit, "--arms", "known-permuted", "--match", "none", "-o", tmp_path / "b") == 2


def test_a_relation_left_without_known_rows_is_warned_of(audit, tmp_path, capsys):
    assert run("filter", audit, "--keep", "Unknown", "-o", tmp_path / "u.jsonl") == 0
    said = capsys.readouterr().err
    assert "warning: relation P0: no known row is left (6 before, 3 rows kept)" in said
    assert len(json.loads((tmp_path / "u.jsonl.manifest.json").read_text())["warnings"]) == 2


def test_without_output_the_files_lie_beside_the_audit(audit):
    assert run("filter", audit.parent, "--no-dominant") == 0
    assert (audit.parent / "filtered.jsonl").exists()
    assert run("filter", audit, "--arms", "known,unknown", "--disjoint-subjects") == 0
    assert (audit.parent / "arms" / "known.jsonl").exists()
    folder = audit.parent / "into"
    folder.mkdir()
    assert run("filter", audit, "--no-overlap", "-o", folder) == 0
    assert sorted(os.listdir(folder)) == ["filtered.jsonl", "filtered.jsonl.manifest.json"]


def test_only_what_filter_wrote_is_replaced(audit, tmp_path, capsys):
    before = audit.read_bytes()
    assert run("filter", audit, "--keep", "Unknown", "-o", audit) == 2
    assert audit.read_bytes() == before
    mine = tmp_path / "train.jsonl"
    mine.write_text("precious\n")
    assert run("filter", audit, "--keep", "Unknown", "-o", mine) == 2
    assert mine.read_text() == "precious\n"
    assert "exists and was not written by `filter`" in capsys.readouterr().err
    arms = tmp_path / "arms"
    assert run("filter", audit, "--arms", "known,unknown,weakly", "-o", arms) == 0
    (arms / "notes.txt").write_text("mine")
    assert run("filter", audit, "--arms", "known,unknown", "-o", arms) == 0
    assert sorted(os.listdir(arms)) == ["known.jsonl", "manifest.json", "notes.txt", "unknown.jsonl"]
    (arms / "best.jsonl").write_text("mine")
    assert run("filter", audit, "--arms", "best,lesser", "-o", arms) == 2
    assert (arms / "best.jsonl").read_text() == "mine"
    assert (arms / "known.jsonl").exists()


def test_a_full_disk_leaves_what_was_there(audit, tmp_path, monkeypatch, capsys):
    out = tmp_path / "arms"
    assert run("filter", audit, "--arms", "known,unknown", "-o", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    whole = selection.write_table

    def full(path, *rest):
        if path.name == "unknown.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return whole(path, *rest)

    monkeypatch.setattr(selection, "write_table", full)
    capsys.readouterr()
    assert run("filter", audit, "--arms", "known,unknown", "--size", 2, "-o", out) == 1
    assert (
        capsys.readouterr().err
        == f"error: {out / 'unknown.jsonl'}: No space left on device; free some and run the same command again\n"
    )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_other_failures_pass_as_they_are(audit, tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error", "/elsewhere/x")

    monkeypatch.setattr(selection, "write_table", broken)
    assert run("filter", audit, "--limit", 1, "-o", tmp_path / "x.jsonl") == 1
    assert capsys.readouterr().err == "error: /elsewhere/x: Input/output error\n"
    assert os.listdir(tmp_path) == ["audit"]


def test_an_audit_that_changes_meanwhile_is_noticed(audit, tmp_path, monkeypatch, capsys):
    whole = selection.write_table

    def meddled(path, *rest):
        audit.write_text(audit.read_text().replace("City 0", "City 9"))
        return whole(path, *rest)

    monkeypatch.setattr(selection, "write_table", meddled)
    assert run("filter", audit, "--limit", 1, "-o", tmp_path / "x.jsonl") == 2
    assert "it changed while it was read; run the command again" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["audit"]


def test_the_folder_of_tasks_is_printed(capsys):
    assert run("tasks") == 0
    folder = capsys.readouterr().out.strip()
    assert os.path.isdir(os.path.join(folder, "popqa"))


def test_help_and_a_filter_load_no_torch(audit, tmp_path, root):
    script = (
        "import sys; from realmodels.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    )
    for words in (
        ["filter", "--help"],
        ["filter", str(audit), "--limit", "2", "-o", str(tmp_path / "x.jsonl")],
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

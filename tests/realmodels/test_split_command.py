"""`split`: drop-in files without a common subject, and the fingerprint that says which split it was."""

import json

import pytest

from realmodels.cli import COMMANDS
from realmodels.rows import read_rows
from realmodels.splits import group_of, split_fingerprint, split_rows
from theory.command import main


def _run(*words):
    return main("realmodels", "", COMMANDS, list(map(str, words)))


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    made = [
        {
            "question": f"What is {r} of S{k}?",
            "answers": [f"A{k}"],
            "subject": f"S{k}",
            "relation": r,
            "note": k,
        }
        for k in range(120)
        for r in ("capital", "river")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def test_every_row_lands_once_untouched_and_no_subject_twice(rows, tmp_path, capsys):
    out = tmp_path / "out"
    assert _run("split", "--data", rows, "-o", out) == 0
    parts = {name: read_rows(out / f"{name}.jsonl").rows for name in ("train", "dev", "test")}
    lines = [line for name in parts for line in (out / f"{name}.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(rows.read_text().splitlines())
    groups = [group_of(row) for part in parts.values() for row in {r.subject: r for r in part}.values()]
    assert len(groups) == len(set(groups)) == 120
    manifest = json.loads((out / "manifest.json").read_text())
    whole = read_rows(rows).rows
    shares = {"train": 0.8, "dev": 0.1, "test": 0.1}
    assert manifest["fingerprint"] == split_fingerprint(whole, split_rows(whole, shares))
    assert manifest["fingerprint"] in capsys.readouterr().out
    assert [one["rows"] for one in manifest["written"]] == [len(part) for part in parts.values()]


def test_the_split_does_not_depend_on_the_order_and_another_salt_is_another(rows, tmp_path):
    turned = tmp_path / "turned.jsonl"
    turned.write_text("".join(reversed(rows.read_text().splitlines(True))))
    prints = []
    for name, data, more in (("a", rows, []), ("b", turned, []), ("c", rows, ["--salt", "x"])):
        assert _run("split", "--data", data, "-o", tmp_path / name, *more) == 0
        prints.append(json.loads((tmp_path / name / "manifest.json").read_text())["fingerprint"])
    assert prints[0] == prints[1] != prints[2]


def test_what_only_the_layout_knows_is_written_out(tmp_path):
    (tmp_path / "relation_query_templates.json").write_text('{"P36": "What is the capital of [X]?"}')
    facts = [{"question": f"What is the capital of C{k}?", "answers": [f"A{k}"]} for k in range(40)]
    (tmp_path / "P36.test.json").write_text(json.dumps(facts))
    assert (
        _run(
            "split", "--data", tmp_path / "P36.test.json", "-o", tmp_path / "o", "--shares", "a=0.5", "b=0.5"
        )
        == 0
    )
    written = json.loads((tmp_path / "o" / "a.json").read_text())
    assert written[0] == facts[int(written[0]["subject"][1:])] | {
        "relation": "P36",
        "subject": written[0]["subject"],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shares", "train"], "expected NAME=SHARE"),
        (["--shares", "train=0.8", "Train=0.2"], "named twice"),
        (["--shares", "../x=1"], "cannot name a file"),
        (["--shares", "manifest=1"], "cannot name a file"),
        (["--shares", "a=0.5", "b=0.4"], "sum to 0.9"),
        (["--shares", "a=1", "b=0"], "expected a share above 0"),
        (["--shares", "a=nan"], "expected a share above 0"),
        (["--shares", "a=0.999999", "b=0.000001"], "none of 240 rows"),
        (["--map", "question=nope"], "nope"),
    ],
)
def test_bad_words_are_one_line_and_leave_nothing(rows, tmp_path, capsys, words, said):
    assert _run("split", "--data", rows, "-o", tmp_path / "o", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_files_of_others_stay(rows, tmp_path, capsys):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "dev.jsonl").write_text("mine")
    assert _run("split", "--data", rows, "-o", tmp_path / "o") == 2
    assert "was not written by `split`" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["dev.jsonl"]

"""claims, data and world as a person runs them: files in, files out, a clear word where something is wrong."""

import csv
import json
import os

import numpy as np
import pytest

from theory.claims import CLAIMS
from theory.claims.placebo import Noise, draw, plan
from theory.claims.placebo_rows import to_table
from theory.records import RecordWriter, read_records
from theory.world_file import load_world

QUIET = Noise(shared=0.01, trained=0.003, step=0.002, own=0.002)


@pytest.fixture
def planted(tmp_path):
    """records.jsonl in which A1 and A7 are true."""
    it = plan([CLAIMS["A1"], CLAIMS["A7"]], "claimed")
    table = to_table(it, draw(it, np.random.default_rng(0), 1, 10, QUIET)[0])
    with RecordWriter(tmp_path / "run" / "records.jsonl") as writer:
        writer.write_many(table.records())
    return tmp_path / "run" / "records.jsonl"


def test_claims_prints_the_scoreboard_and_writes_it_beside_the_records(cli, planted):
    run = cli("theory", "claims", str(planted), "--only", "A1", "A7")
    assert run.returncode == 0, run.stderr
    assert sum("reproduced" in line for line in run.stdout.splitlines() if line.startswith(("A1", "A7"))) == 2
    rows = list(csv.DictReader((planted.parent / "scoreboard.csv").read_text().splitlines()))
    assert list(dict.fromkeys(row["claim"] for row in rows)) == ["A1", "A7"]
    assert json.loads((planted.parent / "scoreboard.json").read_text())
    assert sorted(os.listdir(planted.parent)) == [
        "records.jsonl",
        "scoreboard.csv",
        "scoreboard.json",
        "scoreboard.md",
    ]


def test_claims_reads_standard_input_and_writes_nothing_unless_told_where(cli, planted, tmp_path):
    run = cli("theory", "claims", "-", "--only", "A1", "--json", stdin=planted.read_text(), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "reproduced" in json.dumps(json.loads(run.stdout))
    assert os.listdir(tmp_path) == ["run"]
    cli("theory", "claims", "-", "--only", "A1", "-o", "board", stdin=planted.read_text(), cwd=tmp_path)
    assert (tmp_path / "board" / "scoreboard.csv").exists()


def test_a_claim_without_rows_says_which_are_missing(cli, planted):
    run = cli("theory", "claims", str(planted), "--only", "A4")
    assert run.returncode == 0
    assert "missing" in run.stdout
    assert "attention_subject" in run.stdout


def test_a_truncated_last_line_is_dropped_with_a_warning(cli, planted):
    planted.write_bytes(planted.read_bytes()[:-20])
    before = len(planted.read_bytes().splitlines())
    run = cli("theory", "claims", str(planted), "--only", "A1")
    assert run.returncode == 0, run.stderr
    assert "reproduced" in run.stdout
    assert f"records.jsonl:{before}" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"seed": "x"}, "records.jsonl:2: field 'seed': expected an integer >= 0, got \"x\""),
        ({"value": None}, "records.jsonl:2: field 'value'"),
        ({"colour": "red"}, 'records.jsonl:2: unknown field "colour"'),
        ({"lab": "nowhere"}, "records.jsonl:2: field 'lab'"),
    ],
)
def test_a_malformed_line_is_named_with_file_line_and_field(cli, planted, change, line):
    lines = planted.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    planted.write_text("\n".join(lines) + "\n")
    run = cli("theory", "claims", str(planted))
    assert run.returncode == 2
    assert line in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (planted.parent / "scoreboard.csv").exists()


def test_an_unknown_claim_is_named(cli, planted):
    run = cli("theory", "claims", str(planted), "--only", "A9")
    assert run.returncode == 2
    assert "A9" in run.stderr
    assert "A1" in run.stderr


def test_data_writes_tables_comparison_records_and_manifest(cli, tmp_path):
    run = cli("theory", "data", "-o", "out", "--seeds", "2", "--only", "hump", "early_stopping")
    assert run.returncode == 0, run.stderr
    assert {"hump.csv", "early_stopping.csv", "comparison.csv", "manifest.json"} <= set(
        os.listdir(tmp_path / "out")
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["seeds"] == [1000, 1001]
    again = cli(
        "theory", "data", "-o", "again", "--seeds", "2", "--only", "hump", "early_stopping", "--workers", "1"
    )
    assert again.returncode == 0
    for name in ("hump.csv", "early_stopping.csv", "comparison.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_world_is_made_described_and_saved(cli, tmp_path):
    (tmp_path / "w.toml").write_text("subjects = 20\nrelations = 3\nderived = 0\nanswers = 6\n")
    run = cli("theory", "world", "w.toml", "--seed", "3", "-o", "w.npz", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    world = load_world(tmp_path / "w.npz")
    assert (world.spec.subjects, world.seed) == (20, 3)
    assert world.fingerprint[:12] in run.stdout
    (tmp_path / "w.toml").write_text("subjets = 20\n")
    run = cli("theory", "world", "w.toml", cwd=tmp_path)
    assert run.returncode == 2
    assert "subjets" in run.stderr
    assert "subjects" in run.stderr


def test_the_vocabulary_explains_every_name_that_claims_read(cli):
    out = cli("theory", "vocabulary").stdout
    for name in ("best", "mix:<share>", "attention_subject", "ood-relation", "few:<k>"):
        assert f"  {name}:" in out


def test_records_written_by_the_measurements_can_be_read(cli, tmp_path):
    run = cli("theory", "data", "-o", "out", "--seeds", "3", "--only", "records")
    assert run.returncode == 0, run.stderr
    table = read_records(tmp_path / "out" / "records.jsonl")
    assert {"theory/R0", "theory/R1-onehot", "theory/R1-dense"} <= set(table.levels["lab"])
    board = cli("theory", "claims", "out/records.jsonl", "--only", "A1", cwd=tmp_path)
    assert board.returncode == 0
    assert sum(line.startswith("A1") for line in board.stdout.splitlines()) >= 3

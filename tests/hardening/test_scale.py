"""What has the length of the data stays on disk; answers are those of a memory without bounds.

`python tests/hardening/scale.py TRIAL` measures at length."""

import json
import os
import pickle
import random
import signal
import subprocess
import sys
from argparse import Namespace
from collections import Counter

import numpy as np
import pytest

from realmodels import exemplars, stored
from realmodels.audit_parts import Parts
from realmodels.audited import _Codes, _Scores
from realmodels.errors import RealmodelsError
from realmodels.guessing import guessed
from realmodels.mmlu import read_items
from realmodels.rows import Row, iter_rows, read_rows
from realmodels.stored import Chosen, Column, Database, Hashes, Marks, Matrix, Sparse, Stored
from tests.hardening import scale
from theory import slick
from theory.matching import MATCHERS, match


def flags(**more):
    return Namespace(**{"prompts": 2, "margin": False, "block": 50_000, "folder": None, **more})


def test_a_trial_measures_and_compares():
    """What reads rows one by one stays within its bound; what holds its facts is seen to grow, within another."""
    found = [scale.measured("rows", size, flags()) for size in (2_000, 22_000)]
    assert [one.size for one in found] == [2_000, 22_000]
    assert all(one.seconds > 0 and one.peak > scale.MIB for one in found)
    assert scale.growth(found) <= scale.TRIALS["rows"].growth
    held = [scale.measured("world", size, flags()) for size in (20_000, 200_000)]
    assert scale.growth(held) == (held[1].peak - held[0].peak) / (held[1].size - held[0].size)
    assert scale.TRIALS["rows"].growth < scale.growth(held) <= scale.TRIALS["world"].growth
    assert scale.growth(found[:1]) == 0


@pytest.mark.parametrize("name", scale.TRIALS)
@pytest.mark.parametrize("more", [0, 1])
def test_a_trial_fails_a_byte_above_its_bound(monkeypatch, capsys, name, more):
    trial, kept = scale.TRIALS[name], []
    small, large = trial.sizes[-2:]
    peaks = {small: 10**9, large: 10**9 + (large - small) * trial.growth + more}
    monkeypatch.setattr(
        scale, "measured", lambda name, size, flags: scale.Found(size, 2.0, peaks.get(size, 0), "")
    )
    monkeypatch.setattr("tests.hardening.survived.keep", kept.append)
    assert scale.main([name, "--keep"]) == more
    assert [(one.tried, one.survived) for one in kept] == [(len(trial.sizes), len(trial.sizes) - more)]
    assert f"at most {trial.growth:g} allowed" in capsys.readouterr().out


def test_an_audit_of_made_up_rows_with_a_stub(tmp_path, monkeypatch):
    """All but the model, in this process: the rows come back untouched and in order, and again after a restart."""
    import realmodels.audit_ask
    import realmodels.loading

    for module, name in (
        (realmodels.loading, "load"),
        (realmodels.audit_ask, "estimate"),
        (realmodels.audit_ask, "logprobs"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # what the stub replaces is put back
    monkeypatch.chdir(tmp_path)
    scale.put(tmp_path / "rows.jsonl", scale._made(400))
    scale.audit(tmp_path, 400, flags(margin=True))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json*")}
    kept = before["generations.jsonl"].splitlines(keepends=True)
    random.Random(0).shuffle(kept)
    (tmp_path / "out" / "generations.jsonl").write_bytes(b"".join(kept[:500]))
    scale.audit(tmp_path, 400, flags(margin=True))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json*")} == before


# ---------------------------------------------------------------- what is on disk


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_stored_items_are_those_that_were_given(monkeypatch, held):
    monkeypatch.setattr(stored, "HELD", held)
    items = [Row(i, i, f"é{i}", "q" * i, ("a",), None, "r", 0.5, {"x": [i, None]}, "f") for i in range(700)]
    found = Stored(items[:500])
    assert found[3] == items[3]
    for item in items[500:]:
        found.append(item)
    assert len(found) == 700
    assert list(found) == items
    assert (found[-1], found[699]) == (items[-1], items[699])
    assert found[5:900:7] == items[5:900:7]
    assert list(pickle.loads(pickle.dumps(found))) == items
    for place in (700, -701):
        with pytest.raises(IndexError):
            found[place]
    assert list(Stored()) == []
    if (child := os.fork()) == 0:  # readers of one file do not move each other's place
        os._exit(0 if all(found[i] == items[i] for i in range(0, 700, 3)) else 1)
    assert all(found[i] == items[i] for i in range(699, -1, -2))
    assert os.waitpid(child, 0)[1] == 0
    assert list(Chosen(found.__getitem__, np.array([4, 2]))) == [items[4], items[2]]


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_a_column_and_a_sparse_one(monkeypatch, held):
    monkeypatch.setattr(stored, "BLOCK", 3)
    monkeypatch.setattr(stored, "HELD", held)
    texts = ["abc", "", "x", "abcd", "", "yz", "q"]

    def column(texts, width):
        made = Column(len(texts), width)
        for place in random.Random(0).sample(range(len(texts)), len(texts)):
            if texts[place]:
                made.put(place, texts[place])
        return made

    found = column(texts, 4)
    assert list(found) == texts
    assert found[3] == found[-4] == "abcd"
    assert found[1:4] == texts[1:4]
    assert found == column(texts, 9)
    assert found != column(texts[:-1], 4)
    found = Sparse(6)
    for place in (4, 1):
        found.put(place, f"at {place}")
    assert dict(found) == {1: "at 1", 4: "at 4"}
    assert (2 in found, len(found)) == (False, 2)
    with pytest.raises(KeyError):
        found[9]


@pytest.mark.parametrize("held", [0, 1 << 20])
@pytest.mark.parametrize("kind", ["d", "?"])
def test_a_matrix_is_filled_by_columns_and_read_by_rows(monkeypatch, held, kind):
    monkeypatch.setattr(stored, "BLOCK", 3)
    monkeypatch.setattr(stored, "HELD", held)
    wanted = (np.random.default_rng(0).random((7, 4)) - 0.5).astype(kind)
    wanted[:, 1] = 0
    found = Matrix(kind, 7)
    for value in wanted[:, :3].T.ravel().tolist():
        found.append(value)
    assert found.shape == (7, 3)
    for some in (slice(0, 3), slice(3, 6), slice(6, 9), slice(None), slice(7, 9)):
        assert found[some].dtype == wanted.dtype
        np.testing.assert_array_equal(found[some], wanted[some, :3])
    for value in wanted[:, 3].tolist():
        found.append(value)
    np.testing.assert_array_equal(found[2:5], wanted[2:5])
    assert Matrix(kind, 5)[0:2].shape == (2, 0)


def test_sets_know_what_they_hold():
    rng = random.Random(1)
    numbers = [rng.choice((rng.randrange(1, 1500), rng.randrange(1, 2**64))) for _ in range(4000)]
    hashes, marks, seen = Hashes(), Marks(), set()
    for number in numbers:
        assert (number in hashes) == (number in seen)
        assert hashes.add(number) == marks.add(f"{number}") == (number not in seen)
        seen.add(number)


def test_a_full_temporary_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(stored.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(stored, "HELD", 40)
    items = Stored(["a"])

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored.os, "pwrite", refuse)
    with pytest.raises(OSError, match=r"No space left on device .temporary files; set TMPDIR") as problem:
        items.append("b" * 40)
    assert problem.value.filename == str(tmp_path)
    with pytest.raises(OSError, match="temporary files; set TMPDIR"):
        Database("not SQL")


TABLES = """
import os, signal, sys
from realmodels.stored import Database
held = Database("CREATE TABLE t (k TEXT PRIMARY KEY) WITHOUT ROWID")
held.do_many("INSERT INTO t VALUES (?)", ((f"{i:0200}",) for i in range(40_000)))
for n in os.listdir("/proc/self/fd"):
    if "etilqs" in (place := os.path.realpath(f"/proc/self/fd/{n}")):
        print(place, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed by Linux")
@pytest.mark.parametrize("given", ["room", "absent", "shut", None])
def test_tables_lie_where_python_puts_temporary_files_and_are_gone_with_a_kill(tmp_path, root, given):
    (tmp_path / "room").mkdir()
    (tmp_path / "shut").touch()  # no folder: nothing can be written into it
    env = {k: v for k, v in os.environ.items() if k not in ("TMPDIR", "SQLITE_TMPDIR")}
    env |= {"PYTHONPATH": str(root), **({"TMPDIR": str(tmp_path / given)} if given else {})}
    ask = [sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"]
    usual = subprocess.run(ask, env=env, capture_output=True, text=True, check=True).stdout.strip()
    assert (usual == str(tmp_path / "room")) == (given == "room")
    done = subprocess.run([sys.executable, "-c", TABLES], env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (place,) = done.stdout.splitlines()
    assert place.startswith(f"{usual}/etilqs_")
    assert place.endswith(" (deleted)")
    assert os.listdir(tmp_path / "room") == []


def test_lines_are_found_wherever_they_stand(tmp_path):
    """Those that are wanted in their order, others behind them by name, nothing twice, the last of equals."""
    parts = Parts(tmp_path)
    lines = [{"key": f"k{i % 900:04}", "n": i} for i in range(1000)]
    parts.put(lines)
    (tmp_path / "generations.rank-1.jsonl").write_text('{"key": "other"}\n{"key": "k0001", "n": -1}\n')
    parts.refresh()
    wanted = [f"k{i:04}" for i in (5, 3, 5, 899, 1)]
    newest = {line["key"]: line["n"] for line in lines} | {"k0001": -1}
    assert [line["n"] for line in parts.get(wanted)] == [newest[key] for key in wanted]
    assert parts.has(wanted)
    assert parts.missing([*wanted, "none"]) == 1
    parts.settle(wanted)
    keys = [json.loads(line)["key"] for line in (tmp_path / "generations.jsonl").read_text().splitlines()]
    first = list(dict.fromkeys(wanted))
    assert keys == first + sorted({*newest, "other"} - set(first))
    assert [line["n"] for line in parts.get(wanted)] == [newest[key] for key in wanted]
    parts.put([{"key": "k0003", "n": 7}])
    parts.refresh()
    assert next(parts.get(["k0003"]))["n"] == 7
    with pytest.raises(KeyError):
        next(parts.get(["none"]))


# ---------------------------------------------------------------- answers as before


def test_ids_that_repeat_are_found_though_only_hashes_are_kept(tmp_path):
    rows = [{"question": f"q{i}", "answers": ["a"], "id": f"n{i}"} for i in range(900)]
    path = scale.put(tmp_path / "rows.jsonl", iter([*rows, rows[417]]))
    with pytest.raises(
        RealmodelsError, match=r"rows.jsonl:901: .*n417.* is also the id at .*rows.jsonl:418;"
    ):
        list(iter_rows(path))
    without = [{"question": f"q{i % 300}", "answers": ["a"]} for i in range(900)]
    ids = [row.id for row in iter_rows(scale.put(tmp_path / "rows.jsonl", iter(without)))]
    assert ids[300:600] == [f"{key}-2" for key in ids[:300]]
    assert ids[600:] == [f"{key}-3" for key in ids[:300]]


def test_ids_whose_hashes_meet_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(Hashes, "add", lambda *_: False)
    rows = [{"question": f"q{i}", "answers": ["a"], "id": f"n{i}"} for i in range(5)]
    assert len(list(iter_rows(scale.put(tmp_path / "rows.jsonl", iter(rows))))) == 5


def test_rows_on_disk_are_the_rows_in_memory(tmp_path):
    path = scale.put(tmp_path / "rows.jsonl", scale._made(300))
    one, two = read_rows(path), read_rows(path, on_disk=True)
    assert isinstance(two.rows, Stored)
    assert tuple(two.rows) == one.rows
    assert (one.fingerprint, one.columns) == (two.fingerprint, two.columns)


def test_common_words_are_those_of_a_plain_count(monkeypatch):
    """Buckets that many words share change nothing."""
    rng = random.Random(2)
    texts = [
        " ".join(rng.choice("abcdefghijklmnop") * rng.randrange(1, 4) for _ in range(4)) for _ in range(45)
    ]
    counts = Counter(word for text in set(texts) for word in set(text.split()))
    least = max(5.0, 0.01 * len(set(texts)))
    common = {word for word, count in counts.items() if count >= least}
    assert 0 < len(common) < len(counts)
    for buckets in (1, 7, 1 << 20):
        monkeypatch.setattr(exemplars, "BUCKETS", buckets)
        assert exemplars._common_words(lambda: iter(texts)) == common


@pytest.mark.parametrize("values", [[], [0.5], [None] * 3, [None, None, 1.0, None, 2.0], [3.0, None]])
def test_scores_that_are_nowhere_take_no_memory(values):
    values, scores = [np.nan if value is None else value for value in values], _Scores()
    for value in values:
        scores.add(value)
    found = scores.found()
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.float64
    assert bool(scores._values) == (not np.isnan(values).all())


def test_codes_are_numbered_as_texts_appear():
    codes = _Codes()
    for text in ("b", None, "a", "b", None, "c", "a"):
        codes.add(text)
    assert codes.found().tolist() == [0, -1, 1, 0, -1, 2, 1]


@pytest.mark.parametrize("matcher", sorted(MATCHERS))
def test_guesses_are_counted_pair_by_pair(matcher):
    rng = random.Random(3)
    words = ["Rome", "the Rome", "New York", "York", "Oslo", "new", ""]
    said = [f"{rng.choice(words)} {rng.choice(words)}".strip() for _ in range(60)]
    answers = [tuple(rng.choice(words[:-1]) for _ in range(rng.randrange(1, 4))) for _ in said]
    slow = sum(match(a, b, matcher) for i, a in enumerate(said) for k, b in enumerate(answers) if i != k)
    assert guessed(said, answers, matcher) == slow / (60 * 59) > 0


def test_label_curves_do_not_depend_on_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    greedy, p = rng.random((500, 6)) < 0.3, rng.random((500, 6)) ** 9
    found = []
    for cells in (37, 10**6):
        monkeypatch.setattr(slick, "CELLS", cells)
        curve = slick.label_curve(greedy, p, (1, 3, 6))
        found.append(
            (
                curve.shares.tolist(),
                curve.agreement.tolist(),
                slick.split_half_agreement(greedy, p),
                slick.expected_counts(greedy, p).tolist(),
                slick.by_detection(greedy, p).tolist(),
            )
        )
    assert found[0] == found[1]


# ---------------------------------------------------------------- rows of several files


def test_rows_of_several_mmlu_files_keep_their_subjects(tmp_path, monkeypatch, write_audit_of):
    for subject in ("astronomy", "virology"):
        lines = [f"{subject} {i}?,1,2,3,4,{'ABCD'[i % 4]}\n" for i in range(12)]
        (tmp_path / "test").mkdir(exist_ok=True)
        (tmp_path / "test" / f"{subject}_test.csv").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    data = read_rows("test")
    expected = {(row.question, row.answers, row.relation) for row in data.rows}
    scale.realmodels_("split", "--data", "test", "-o", "parts", "--shares", "train=0.5", "rest=0.5")
    split = [read_rows(f"parts/{name}.csv") for name in ("train", "rest")]
    assert {(row.question, row.answers, row.relation) for one in split for row in one.rows} == expected
    assert {one.adapter for one in split} == {"mmlu"}
    assert (
        sum(len(items) for one in ("train", "rest") for items in read_items(f"parts/{one}.csv").values())
        == 24
    )
    assert set(read_items("parts/train.csv")) == {"astronomy", "virology"}
    write_audit_of(data)
    scale.realmodels_("filter", "audit", "--keep", "Unknown", "-o", "kept.csv")
    assert {(row.question, row.answers, row.relation) for row in read_rows("kept.csv").rows} == expected
    scale.realmodels_("filter", "audit", "--keep", "Unknown", "--with-knowledge", "-o", "more.csv")
    assert (tmp_path / "more.csv").read_text().startswith("question,A,B,C,D,answer,relation,knowledge\n")


@pytest.fixture
def write_audit_of(tmp_path):
    """An audit.jsonl of these rows, all unknown."""

    def write(data):
        folder = tmp_path / "audit"
        folder.mkdir()
        knowledge = {"label": "Unknown", "p_greedy": 0.0, "p_sample": 0.0, "n_prompts": 2}
        scale.put(
            folder / "audit.jsonl",
            (
                {
                    **row.original,
                    "knowledge": {**knowledge, "answers": list(row.answers), "relation": row.relation},
                }
                for row in data.rows
            ),
        )
        source = {"path": "test", "kind": data.kind, "columns": list(data.columns)}
        (folder / "summary.json").write_text(json.dumps({"source": source}))

    return write

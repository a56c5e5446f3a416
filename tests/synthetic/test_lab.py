"""Plans, the order of work, run folders, verdicts and summaries."""

import csv
import io
import json
import os
import re
from collections import Counter
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import synthetic
from synthetic.display import Display, clock
from synthetic.dry_run import describe
from synthetic.errors import SyntheticError
from synthetic.fingerprint import fingerprint, reached
from synthetic.lab import CACHE, run_lab
from synthetic.plan import Queue, Unit, make_plan, read_changes, simulate
from synthetic.profiles import (
    REFERENCE_SPEED,
    RUNGS,
    choose,
    choose_seeds,
    cores,
    fit_workers,
    free_mb,
    one_thread_environment,
    slowness,
    speed,
)
from synthetic.summary import summarise
from synthetic.verdicts import Verdicts, judge
from theory.errors import TheoryError
from theory.records import read_records
from theory.runs import config_hash


def records(output):
    return {path.parent.name: path.read_bytes() for path in output.glob("*/records.jsonl")}


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize(
    ("wanted", "seeds"),
    [
        ((), (100, 101, 102)),
        ((1,), (100,)),
        ((12,), tuple(range(100, 112))),
        ((100,), (100,)),
        ((105, 101), (101, 105)),
        ((0, 1), (0, 1)),
    ],
)
def test_one_small_number_says_how_many_seeds(wanted, seeds):
    assert choose_seeds(wanted, 3, 100) == seeds


@pytest.mark.parametrize(
    ("profile", "first", "count"), [("quick", 100, 3), ("full", 2100, 10), ("paper", 3000, 20)]
)
def test_profiles_that_are_reported_start_where_nobody_has_looked(profile, first, count):
    assert make_plan(profile, ["validity"], ["R2-2layer"]).seeds == tuple(range(first, first + count))
    assert make_plan(profile, ["validity"], ["R2-2layer"], (2,)).seeds == (first, first + 1)
    assert make_plan(profile, ["validity"], ["R2-2layer"], (2, 1)).seeds == (1, 2)


def test_default_seeds_of_full_and_paper_are_not_among_the_published_ones():
    results = (Path(synthetic.__file__).parent / "results").rglob("provenance.json")
    runs = [run for path in results for run in json.loads(path.read_text())["runs"]]
    published = {seed for run in runs for seed in run["seeds"]}
    assert published
    for profile in ("full", "paper"):
        assert not published & set(make_plan(profile, ["validity"], ["R2-2layer"]).seeds)


@pytest.mark.parametrize(
    ("wanted", "line"), [((0,), "at least 1"), ((-1, 3), "at least 0"), ((100, 100), "different")]
)
def test_bad_seeds_are_refused(wanted, line):
    with pytest.raises(SyntheticError, match=line):
        choose_seeds(wanted, 3, 100)


def test_names_come_in_their_own_order_and_unknown_ones_get_a_suggestion():
    assert choose("rung", ["R2-2layer", "R1-mlp"], RUNGS, ()) == ("R1-mlp", "R2-2layer")
    assert choose("rung", [], RUNGS, ["R1-dense"]) == ("R1-dense",)
    with pytest.raises(SyntheticError, match="no rung is called 'R2-2layers'; did you mean 'R2-2layer'"):
        choose("rung", ["R2-2layers"], RUNGS, ())


def test_workers_fit_the_machine(monkeypatch):
    monkeypatch.setattr("synthetic.profiles.cores", lambda: 4)
    monkeypatch.setattr("synthetic.profiles.free_mb", lambda: 2500.0)
    assert fit_workers(2, 1000) == (2, "")
    assert fit_workers(3, 1000) == (2, "workers: 2 and not 3, for 2,500 MB of free memory, 1,000 a worker")
    assert fit_workers(9, 10) == (4, "workers: 4 and not 9, for 4 cores")
    assert fit_workers(1, 3000) == (1, "memory: one worker needs about 3,000 MB, 2,500 are free")
    monkeypatch.setattr("synthetic.profiles.free_mb", lambda: float("inf"))
    assert fit_workers(3, 1e9) == (3, "")
    with pytest.raises(SyntheticError, match="--workers 0: expected at least 1"):
        fit_workers(0, 1)


@pytest.mark.parametrize(
    ("files", "allowed", "mb"),
    [
        ({}, 8, float("inf")),
        ({"/proc/meminfo": "MemTotal: 99 kB\nMemAvailable: 2048 kB\n"}, 8, 2.0),
        ({"/sys/fs/cgroup/cpu.max": "250000 100000", "/sys/fs/cgroup/memory.max": "max"}, 2, float("inf")),
        ({"/sys/fs/cgroup/cpu.max": "max 100000"}, 8, float("inf")),
        (
            {"/sys/fs/cgroup/memory.max": f"{3 << 20}", "/sys/fs/cgroup/memory.current": f"{1 << 20}\n"},
            8,
            2.0,
        ),
    ],
)
def test_a_containers_limits_count(monkeypatch, files, allowed, mb):
    monkeypatch.setattr("synthetic.profiles._read", lambda path: files.get(path, ""))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    assert (cores(), free_mb()) == (allowed, mb)


def test_the_machine_is_measured():
    assert 1 <= cores() <= os.cpu_count()
    assert free_mb() > 10
    assert 0.05 < slowness() < 50
    assert 0.02 * REFERENCE_SPEED < speed() < 20 * REFERENCE_SPEED
    environment = one_thread_environment()
    assert {environment[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"1"}


# ---------------------------------------------------------------- fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Two modules, one of which needs the other inside a function."""
    folder = tmp_path / "rummage"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "inner.py").write_text("x = 1\n")
    (folder / "apart.py").write_text("y = 1\n")
    (folder / "study.py").write_text(
        "from typing import TYPE_CHECKING\nimport json\nif TYPE_CHECKING:\n    import rummage.apart\n"
        "def run():\n    from rummage import inner\n    from theory import RecordWriter\n    return inner.x\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_fingerprint_covers_what_is_reached(package):
    found = reached(["rummage.study"])
    assert {"rummage.study", "rummage.inner", "theory", "theory.records", "theory.schema"} <= set(found)
    assert not {"rummage.apart", "json", "theory.world", "theory.claims"} & set(found)
    assert reached(["__main__", "rummage.nowhere", "nowhere.at.all"]) == {}


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("inner.py", "x = 2\n", False),
        ("inner.py", '"""Words."""\n\n# and more of them\nx   =   1\n', True),
        ("apart.py", "y = 2\n", True),
    ],
)
def test_the_fingerprint_changes_with_code_and_not_with_words(package, file, text, same):
    before = fingerprint(["rummage.study"])
    (package / file).write_text(text)
    assert (fingerprint(["rummage.study"]) == before) is same


# ---------------------------------------------------------------- plan


def test_a_plan_resolves_names_into_units_and_folders(toys):
    plan = make_plan("quick", (), ("R1-fixed", "R2-2layer"), (2,))
    assert [str(unit) for unit in plan.units] == [
        "salience R2-2layer seed 100",
        "slick R2-2layer seed 100",
        "salience R2-2layer seed 101",
        "slick R2-2layer seed 101",
        "salience R1-fixed seed 100",
        "salience R1-fixed seed 101",
    ]
    hashes = {job.rung: job.hash for job in plan.jobs}
    assert [job.folder for job in plan.jobs] == [
        f"salience-{hashes['R2-2layer']}",
        f"slick-{hashes['R2-2layer']}",
        f"salience-{hashes['R1-fixed']}",
    ]
    assert plan.jobs[0].config["setup"]["scale"] == 0.5
    assert plan.jobs[0].hash == config_hash(plan.jobs[0].config)
    assert (
        plan.hash
        == make_plan("quick", ("salience",), ("R1-fixed", "R2-2layer")).hash
        != make_plan("quick").hash
    )


def test_the_hash_depends_on_setup_code_and_library_and_on_nothing_else(toys, monkeypatch):
    def hash(*words):
        return make_plan(*words).jobs[0].hash

    same = hash("quick")
    assert hash("quick", ("salience",), (), (5, 6)) == same
    assert hash("full", (), ("R2-2layer",)) != same
    monkeypatch.setattr("synthetic.plan.version", lambda name: "0.0")
    assert hash("quick") != same
    monkeypatch.setattr("synthetic.plan.version", version)
    assert hash("quick") == same
    monkeypatch.setattr("synthetic.plan.fingerprint", lambda modules: "other")
    assert hash("quick") != same


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("quik",), "no profile is called 'quik'; did you mean 'quick'"),
        (("quick", ["salient"]), "no study is called 'salient'; did you mean 'salience'"),
        (("quick", [], ["R3"]), "no rung is called 'R3'"),
    ],
)
def test_unknown_names_are_refused(toys, words, line):
    with pytest.raises(SyntheticError, match=line):
        make_plan(*words)


def test_profiles_differ_in_seeds_and_rungs(toys):
    quick, full, paper = (make_plan(name) for name in ("quick", "full", "paper"))
    assert [len(plan.seeds) for plan in (quick, full, paper)] == [3, 10, 20]
    assert {job.rung for job in quick.jobs} == {job.rung for job in full.jobs} == {"R2-2layer"}
    assert {job.rung for job in paper.jobs} == set(RUNGS)


@pytest.mark.parametrize(
    ("name", "text", "scale", "inner"),
    [
        ("a.toml", "scale = 3.0\n[inner]\nb = 5\n", 3.0, {"a": 1, "b": 5}),
        ("a.json", '{"setup": {"scale": 3.0, "rung": "R1-mlp"}, "code": "x"}', 3.0, {"a": 1, "b": 2}),
        ("a.json", '{"memory": 9}', 0.5, {"a": 1, "b": 2}),
    ],
)
def test_fields_of_the_setup_can_be_changed_by_a_file(toys, tmp_path, name, text, scale, inner):
    (tmp_path / name).write_text(text)
    plan = make_plan("quick", ("salience",), (), (), read_changes(tmp_path / name))
    setup = plan.jobs[0].setup
    assert (setup.rung, setup.scale, setup.inner) == ("R2-2layer", scale, inner)
    assert plan.jobs[0].config["setup"]["scale"] == scale
    assert plan.hash != make_plan("quick", ("salience",)).hash


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.toml", "scale = ", "a.toml: expected TOML"),
        ("a.json", "{", "a.json: expected JSON"),
        ("a.json", "[1]", "a.json: expected a table of fields"),
        ("a.toml", "scale = -1", "Setup.scale is -1"),
        ("a.toml", "skale = 1", "Setup: no field 'skale'"),
    ],
)
def test_an_impossible_setup_is_refused(toys, tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    with pytest.raises(SyntheticError, match=re.escape(line)):
        make_plan("quick", (), (), (), read_changes(tmp_path / name))


def test_a_study_without_anything_to_do_is_left_out_and_alone_it_is_refused(toys):
    assert [job.study.name for job in make_plan("quick", (), ("R1-fixed",)).jobs] == ["salience"]
    with pytest.raises(SyntheticError, match="slick: nothing to do at R1-fixed"):
        make_plan("quick", ("slick",), ("R1-fixed",))


def test_arms_that_differ_between_rungs_are_listed_by_rung(toys, tmp_path, monkeypatch):
    import toystudies

    arms = lambda setup: ("a-b",) if setup.rung == "R1-mlp" else ("a-b", "c")  # noqa: E731
    monkeypatch.setattr(toystudies, "SLICK", replace(toystudies.SLICK, arms=arms))
    monkeypatch.setattr("synthetic.dry_run.slowness", lambda: 1.0)
    text = describe(make_plan("quick", ("slick",), ("R1-mlp", "R1-dense", "R2-2layer")), tmp_path, 1)
    assert "slick at R2-2layer, R1-dense: a-b, c\nslick at R1-mlp: a-b\n" in text


def units(seeds, studies=("a", "b", "c")):
    return [Unit(study, "r", seed) for seed in range(seeds) for study in studies]


def test_one_unit_of_a_base_goes_first_and_workers_stay_with_their_base():
    queue = Queue(units(2))
    assert len(queue) == 6
    first, second = queue.take(0), queue.take(1)
    assert (first, second) == (Unit("a", "r", 0), Unit("a", "r", 1))
    assert queue.opens(first)
    assert queue.take(2) is None
    queue.finish(first)
    assert queue.take(0) == Unit("b", "r", 0)
    assert not queue.opens(Unit("b", "r", 0))
    assert queue.take(2) == Unit("c", "r", 0)
    queue.finish(second)
    assert queue.take(2) == Unit("b", "r", 1)
    assert queue.take(1) == Unit("c", "r", 1)
    assert queue.take(1) is None
    assert len(queue) == 0


def test_the_last_base_is_opened_before_it_keeps_a_worker_waiting():
    queue = Queue(units(3), workers=2)
    first, second = queue.take(0), queue.take(1)
    queue.finish(first)
    assert queue.take(0) == Unit("a", "r", 2)  # and not the rest of the first
    queue.finish(second)
    assert queue.take(1) == Unit("b", "r", 1)
    alone = Queue(units(2), workers=1)
    alone.finish(alone.take(0))
    assert alone.take(0) == Unit("b", "r", 0)


def test_a_base_that_could_not_be_built_is_tried_by_one_worker_again():
    queue = Queue(units(1))
    queue.finish(queue.take(0), well=False)
    assert queue.opens(queue.take(0))
    assert queue.take(1) is None


def test_bases_on_disk_are_open_and_units_can_be_dropped():
    queue = Queue(units(1), warm={("r", 0)})
    assert (queue.take(0), queue.take(1)) == (Unit("a", "r", 0), Unit("b", "r", 0))
    assert queue.drop("c", "r") == [Unit("c", "r", 0)]
    assert queue.drop("c", "r") == []
    assert queue.take(0) is None


def test_the_estimate_follows_the_order_of_work(toys):
    plan = make_plan("full", (), ("R2-2layer",), (2,))
    # A base takes 2 s, salience 10 s and slick 5 s: one worker needs 17 s a seed, two do the seeds side by side.
    assert simulate(plan, plan.units, 1) == 34
    assert simulate(plan, plan.units, 2) == 17
    assert (
        simulate(plan, plan.units[:2], 2) == 17
    )  # the second study waits for the base, which is done with the first
    assert simulate(plan, plan.units[1:], 2) == 5 + 12  # the first base is on disk; then the second seed
    assert simulate(plan, (), 2) == 0
    three = make_plan("full", (), ("R2-2layer",), (3,))
    assert simulate(three, three.units, 2) == 12 + 12 + 5  # and not 17 + 17: the third base is opened at 12


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(toys, tmp_path, monkeypatch):
    monkeypatch.setattr("synthetic.dry_run.slowness", lambda: 2.0)
    plan = make_plan("full", (), ("R2-2layer", "R1-fixed"), (100, 101))
    text = describe(plan, tmp_path / "runs", 2)
    for part in (
        "full: seeds 100, 101",
        f"salience  R2-2layer  2     2      2      20        {tmp_path}/runs/salience-",
        "\nsalience: best, lesser\nslick: known\n",
        "units: 6, of which 0 are finished and 6 to do",
        "4 bases, 16 s if none is in the cache",
        "time: about 58 s with 2 workers",
        "memory: about 100 MB",
    ):
        assert part in text, text
    assert os.listdir(tmp_path) == []
    run_lab(make_plan("full", (), ("R2-2layer",), (100,)), tmp_path / "runs", 1, io.StringIO())
    assert "of which 2 are finished and 4 to do" in describe(plan, tmp_path / "runs", 2)


# ---------------------------------------------------------------- running


def test_one_or_two_workers_and_any_history_give_the_same_records(toys, tmp_path):
    plan = make_plan("quick", (), (), (4,))
    one, two, grown = (tmp_path / name for name in ("one", "two", "grown"))
    assert run_lab(plan, one, 1, io.StringIO()).exit_code == 0
    assert run_lab(plan, two, 2, io.StringIO()).exit_code == 0
    for seeds in ((102, 103), (101,), (4,)):
        run_lab(make_plan("quick", (), (), seeds), grown, 2, io.StringIO())
    assert records(one) == records(two) == records(grown)
    assert len(records(one)) == 2
    for output in (one, two, grown):  # nobody built a base twice
        made = Counter((output / CACHE / "made").read_text().split())
        assert set(made.values()) == {1}
        assert len(made) == 4


def test_records_are_stamped_and_ordered_and_the_folder_says_where_they_come_from(toys, tmp_path):
    plan = make_plan("quick", ("salience",), (), (101, 100))
    outcome = run_lab(plan, tmp_path, 2, io.StringIO())
    (path,) = outcome.records
    table = read_records(path)
    assert table.levels["run"] == (plan.jobs[0].hash,)
    assert path.parent.name == f"salience-{plan.jobs[0].hash}"
    assert table.numbers["seed"].tolist() == sorted(table.numbers["seed"].tolist())
    assert json.loads((path.parent / "seeds.json").read_text()) == [100, 101]
    assert json.loads((path.parent / "config.json").read_text()) == plan.jobs[0].config
    assert json.loads((path.parent / "environment.json").read_text())["packages"]["numpy"]
    timings = [json.loads(line) for line in (path.parent / "timings.jsonl").read_text().splitlines()]
    assert sorted(row["part"] for row in timings) == ["seed-100", "seed-101"]
    assert all(row["seconds"] >= 0 and row["peak_mb"] > 10 for row in timings)
    assert all("seconds" not in line for line in path.read_text().splitlines())


def test_what_is_finished_is_not_done_again(toys, tmp_path, monkeypatch):
    plan = make_plan("quick", (), (), (2,))
    run_lab(plan, tmp_path, 2, io.StringIO())

    def no_worker():
        raise AssertionError("a worker was started")

    monkeypatch.setattr("synthetic.lab.Worker", no_worker)
    before = records(tmp_path)
    assert run_lab(plan, tmp_path, 2, io.StringIO()).exit_code == 0
    assert records(tmp_path) == before


def test_seeds_of_tuning_never_get_into_records(toys, tmp_path):
    outcome = run_lab(make_plan("quick", ("salience",), (), (0, 1)), tmp_path, 1, io.StringIO())
    assert outcome.board is None
    assert [path.name for path in outcome.records] == ["tuning.jsonl"]
    outcome = run_lab(make_plan("quick", ("salience",), (), (3,)), tmp_path, 1, io.StringIO())
    assert [path.name for path in outcome.records] == ["records.jsonl"]
    assert set(read_records(*outcome.records).numbers["seed"].tolist()) == {100, 101, 102}
    assert set(read_records(outcome.records[0].with_name("tuning.jsonl")).numbers["seed"].tolist()) == {0, 1}
    assert all(part.seeds in (0, 3) for verdict in outcome.board.verdicts for part in verdict.parts)


def test_the_scoreboard_holds_every_study_of_the_same_configuration(toys, tmp_path):
    run_lab(make_plan("quick", ("slick",), (), (3,)), tmp_path, 1, io.StringIO())
    outcome = run_lab(make_plan("quick", ("salience",), (), (3,)), tmp_path, 1, io.StringIO())
    ids = [verdict.claim.id for verdict in outcome.board.verdicts]
    assert {"A1", "C1", "X1"} <= set(ids)
    assert not {"B1", "D1", "V1"} & set(ids)
    assert len({verdict.run for verdict in outcome.board.verdicts if verdict.answer != "missing"}) == 1


def test_verdicts_are_said_as_seeds_finish_and_only_when_they_change(toys, tmp_path):
    stream = io.StringIO()
    run_lab(make_plan("quick", ("salience",), (), (4,)), tmp_path, 1, stream)
    lines = [line for line in stream.getvalue().splitlines() if line.startswith("A1 ")]
    assert lines == [line for line in lines if "R2-2layer reproduced: lesser-known rows hurt" in line] != []
    assert "missing" not in stream.getvalue()


def test_a_changed_verdict_says_what_it_was(toys, tmp_path, monkeypatch):
    outcome = run_lab(make_plan("quick", ("salience",), (), (3,)), tmp_path, 1, io.StringIO())
    verdicts = Verdicts(["salience"])
    files = [outcome.records[0].parent / "parts" / f"seed-{seed}.jsonl" for seed in (100, 101, 102)]
    assert verdicts.changes(files[:2]) == []  # too few seeds
    assert any(line.startswith("A1 R2-2layer reproduced") for line in verdicts.changes(files))
    assert verdicts.changes(files) == []  # a moment ago
    verdicts._quiet_until = 0.0
    assert verdicts.changes(files) == []  # nothing changed
    board = judge(files, ["A1"])
    other = replace(board, verdicts=(replace(board.verdicts[0], answer="contradicted"),))
    monkeypatch.setattr("synthetic.verdicts.judge", lambda *_: other)
    verdicts._quiet_until = 0.0
    (line,) = verdicts.changes(files)
    assert line.startswith("A1 R2-2layer contradicted: lesser-known rows hurt, ")
    assert line.endswith("over 3 seeds (was reproduced)")


def test_without_files_or_claims_there_is_nothing_to_judge():
    assert judge([], ["A1"]) is None
    assert judge(["x.jsonl"], []) is None


@pytest.mark.parametrize(
    ("how", "kind", "code", "line", "more"),
    [
        (
            "refuse",
            "input",
            2,
            "800 rows an arm are asked for, and there are 612 facts; ask for fewer",
            " more of its seeds left out)",
        ),
        ("die", "died", 1, "its worker was killed (signal 9)", ""),
        ("exit", "died", 1, "its worker ended with exit code 3; it last said: the end is near", ""),
        ("bug", "bug", 1, "ZeroDivisionError: a bug", "Traceback (most recent call last)"),
        ("memory", "memory", 1, "out of memory; use fewer workers", ""),
        ("torch memory", "memory", 1, "out of memory; use fewer workers", ""),
    ],
)
def test_a_failed_unit_is_named_and_the_rest_goes_on(
    toys, tmp_path, monkeypatch, how, kind, code, line, more
):
    monkeypatch.setenv("TOY", json.dumps({"how": how}))
    stream = io.StringIO()
    workers = 1 if how == "refuse" else 2  # another worker could take the seeds that are to be left out
    outcome = run_lab(make_plan("quick", (), (), (3,)), tmp_path, workers, stream)
    (failure,) = outcome.failures
    assert (str(failure.unit), failure.kind, outcome.exit_code) == ("salience R2-2layer seed 100", kind, code)
    said = stream.getvalue()
    assert said.count("error: ") == 1
    assert f"error: salience R2-2layer seed 100: {line}" in said
    assert more in said
    kept = {path.parent.parent.name.partition("-")[0]: [] for path in tmp_path.glob("*/parts/*")}
    for path in sorted(tmp_path.glob("*/parts/*")):
        kept[path.parent.parent.name.partition("-")[0]].append(path.stem)
    assert kept["slick"] == ["seed-100", "seed-101", "seed-102"]
    if how != "refuse":  # the other seeds of a study that cannot be done are not tried
        assert kept["salience"] == ["seed-101", "seed-102"]
        assert len(read_records(*outcome.records)) == 2 * 48 + 3


def test_a_full_disk_in_a_worker_ends_the_run_and_says_where(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY", '{"how": "full"}')
    with pytest.raises(OSError, match="No space left on device") as caught:
        run_lab(make_plan("quick", ("salience",), (), (2,)), tmp_path, 1, io.StringIO())
    assert caught.value.filename.endswith("cache/base")


def test_an_edited_config_is_refused(toys, tmp_path):
    plan = make_plan("quick", ("salience",), (), (1,))
    run_lab(plan, tmp_path, 1, io.StringIO())
    (tmp_path / plan.jobs[0].folder / "config.json").write_text("{}\n")
    with pytest.raises(TheoryError, match=r"config\.json: it does not have the hash"):
        run_lab(plan, tmp_path, 1, io.StringIO())


def test_half_written_files_are_swept_when_nobody_else_is_there(toys, tmp_path):
    plan = make_plan("quick", ("salience",), (), (1,))
    folder = tmp_path / CACHE / "deep"
    folder.mkdir(parents=True)
    stale = [folder / ".base.npz.ab12cd34", tmp_path / CACHE / ".x.json.ab12cd34"]
    for path in stale:
        path.write_text("half")
    run_lab(plan, tmp_path, 1, io.StringIO())
    assert not any(path.exists() for path in stale)


# ---------------------------------------------------------------- display


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def watch(monkeypatch):
    """A clock that only goes when told."""
    now = [0.0]
    monkeypatch.setattr("synthetic.display.time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_lines_come_after_two_seconds_with_the_time_left(watch):
    stream, a, b = io.StringIO(), Unit("a", "r", 1), Unit("b", "r", 1)
    display = Display(100.0, 2, stream)
    watch[0] = 1.0
    display.doing(a, 50.0, "pretraining", 0.5)
    display.finished(a, 25.0, 1.0)
    assert stream.getvalue() == ""
    watch[0] = 60.0
    display.finished(b, 25.0, 59.0)
    display.close()
    assert stream.getvalue() == "2/2 b r seed 1 in 59 s, about 1 min 0 s left\n"


def test_a_bar_comes_after_two_seconds_on_a_terminal(watch):
    stream, unit = Terminal(), Unit("a", "r", 1)
    display = Display(100.0, 4, stream)
    watch[0] = 1.0
    display.doing(unit, 50.0, "pretraining", 0.1)
    assert "%" not in stream.getvalue()
    watch[0] = 10.0
    display.doing(unit, 50.0, "tuning best", 0.5)
    display.line("a verdict")
    display.gone(unit, 50.0)
    shown = stream.getvalue()
    assert "25%" in shown
    assert "a r seed 1: tuning best" in shown
    assert "a verdict\n" in shown
    assert "1/4" in shown
    display.close()
    assert shown.count("Traceback") == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (3601, "60 min")]
)
def test_durations_in_words(seconds, words):
    assert clock(seconds) == words


# ---------------------------------------------------------------- summary


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_a_summary_keeps_what_each_seed_said(toys, tmp_path):
    outcome = run_lab(make_plan("quick", (), (), (3,)), tmp_path / "runs", 2, io.StringIO())
    folders = [path.parent for path in outcome.records]
    paths = summarise(folders, tmp_path / "results")
    assert sorted(path.name for path in paths) == sorted(os.listdir(tmp_path / "results"))
    table = read_records(*outcome.records)

    def accuracy(seed, trained_on, step):
        where = {"seed": seed, "trained_on": trained_on, "step": step, "split": "test", "stratum": "all"}
        return float(table.numbers["value"][table.mask(study="salience", **where)][0])

    rows = read_csv(tmp_path / "results" / "cells.csv")
    cells = [row for row in rows if row["trained_on"] == "best" and row["stratum"] == "all"]
    ends = {int(row["seed"]): float(row["value"]) for row in cells if row["stop"] == "end"}
    assert ends == pytest.approx({seed: accuracy(seed, "best", 100) for seed in (100, 101, 102)}, abs=1e-6)
    effects = [row for row in read_csv(tmp_path / "results" / "effects.csv") if row["claim"] == "A1"]
    board = json.loads((tmp_path / "results" / "scoreboard.json").read_text())
    (verdict,) = [v for v in board["verdicts"] if v["claim"] == "A1"]
    mean = sum(float(row["effect"]) for row in effects[:3]) / 3
    assert mean == pytest.approx(verdict["parts"][0]["effect"], rel=1e-5)
    origin = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert [run["folder"] for run in origin["runs"]] == [folder.name for folder in folders]
    assert origin["runs"][0]["seeds"] == [100, 101, 102]
    assert origin["runs"][0]["rung"] == "R2-2layer"
    assert {"command", "started", "processor", "packages", "seconds_of_one_core"} <= set(origin["runs"][0])


def test_a_torn_timing_does_not_hurt_a_summary(toys, tmp_path):
    outcome = run_lab(make_plan("quick", ("slick",), (), (1,)), tmp_path, 1, io.StringIO())
    folder = outcome.records[0].parent
    with open(folder / "timings.jsonl", "a") as file:
        file.write('{"part": "seed-1')
    summarise([folder], tmp_path / "results")
    (folder / "timings.jsonl").unlink()
    summarise([folder], tmp_path / "results")
    assert (
        json.loads((tmp_path / "results" / "provenance.json").read_text())["runs"][0]["seconds_of_one_core"]
        == 0
    )


@pytest.mark.parametrize(
    ("folders", "line"), [([], "expected one or more run folders"), (["x"], "x: no records.jsonl")]
)
def test_a_summary_of_nothing_is_refused(tmp_path, folders, line):
    with pytest.raises(SyntheticError, match=line):
        summarise([tmp_path / folder for folder in folders], tmp_path / "results")
    assert not (tmp_path / "results").exists()

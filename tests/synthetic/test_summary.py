import csv
import json

import numpy as np
import pytest

from synthetic.errors import SyntheticError
from synthetic.summary import CELLS, EFFECTS, summarise
from theory.claims import CLAIMS, evaluate
from theory.records import Record, RecordWriter, read_records

SEEDS = (100, 101, 102, 103)
GAP = dict(zip(SEEDS, (0.06, 0.10, 0.07, 0.09), strict=True))
LAB, RUN = "synthetic/R2-2layer", "salience-0a1b2c3d4e"
ENVIRONMENT = {"command": "python -m synthetic run quick", "processor": "a processor", "cores": 2}


def records():
    """Two halves whose early stop is step 5 and whose test accuracy there is known."""
    for seed in SEEDS:
        for on, early in (("best", 0.5 + GAP[seed]), ("lesser", 0.5)):
            head = (LAB, "salience", RUN, seed, "all")
            for step, dev in ((2, 0.3), (5, 0.6), (9, 0.6)):
                yield Record(*head, step, on, "zero", "dev", "all", "accuracy", dev, 40)
            yield Record(*head, 2, on, "zero", "test", "all", "accuracy", 0.99, 100)
            yield Record(*head, 5, on, "zero", "test", "all", "accuracy", early, 100)
            yield Record(*head, 9, on, "zero", "test", "all", "accuracy", 0.25, 100)


def make(folder, some, seeds=SEEDS, timings='{"part": "seed-100", "seconds": 12.25}\n{"part": "s'):
    folder.mkdir()
    with RecordWriter(folder / "records.jsonl") as writer:
        writer.write_many(some)
    (folder / "config.json").write_text(json.dumps({"setup": {"rung": "R2-2layer"}}))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "seeds.json").write_text(json.dumps(list(seeds)))
    if timings:
        (folder / "timings.jsonl").write_text(timings)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("summary")
    folder = make(root / RUN, records())
    return folder, root / "out", summarise([folder], root / "out")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_are_named_and_all_are_there(made):
    _, output, paths = made
    assert {path.name for path in paths} >= {"effects.csv", "cells.csv", "provenance.json", "scoreboard.json"}
    assert all(path.parent == output and path.stat().st_size for path in paths)


def test_effects_are_those_of_the_parts_seed_by_seed_in_their_unit(made):
    _, output, _ = made
    found = rows_of(output / "effects.csv")
    assert tuple(found[0]) == EFFECTS
    gaps = {
        int(row["seed"]): float(row["effect"])
        for row in found
        if row["claim"] == "A1" and row["part"].endswith("at the early stop")
    }
    assert gaps == {seed: pytest.approx(100 * gap) for seed, gap in GAP.items()}
    ends = [row for row in found if row["claim"] == "A1" and row["part"] == "the same at the end"]
    assert [float(row["effect"]) for row in ends] == [0.0] * len(SEEDS)
    assert {(row["unit"], row["lab"], row["run"]) for row in ends} == {("points", LAB, RUN)}
    assert not [row for row in found if row["claim"] in ("A2", "A7", "X2")]  # their rows are missing


def test_cells_are_the_numbers_that_parts_are_made_of_once_each(made):
    _, output, _ = made
    found = rows_of(output / "cells.csv")
    assert tuple(found[0]) == CELLS
    keys = [tuple(row[name] for name in CELLS[:-1]) for row in found]
    assert len(set(keys)) == len(keys)
    early = {
        (row["trained_on"], int(row["seed"])): float(row["value"]) for row in found if row["stop"] == "early"
    }
    assert early == {
        (on, seed): pytest.approx(0.5 + GAP[seed] * (on == "best"))
        for on in ("best", "lesser")
        for seed in SEEDS
    }
    assert {float(row["value"]) for row in found if row["stop"] == "end"} == {0.25}
    assert {row["arm"] for row in found} == {"all"}


def test_verdicts_are_those_of_the_records(made):
    folder, output, _ = made
    board = json.loads((output / "scoreboard.json").read_text())
    text = json.dumps(board)
    direct = evaluate(read_records(folder / "records.jsonl"), ["A1"]).verdicts[0]
    assert direct.answer == "reproduced"
    assert direct.parts[0].interval.mean == pytest.approx(100 * np.mean(list(GAP.values())))
    assert "A1" in text
    assert "reproduced" in text
    assert not [c for c in CLAIMS.values() if c.study != "salience" and f'"{c.id}"' in text]


def test_where_it_comes_from_is_said_and_a_torn_line_of_timings_is_passed_over(made):
    _, output, _ = made
    provenance = json.loads((output / "provenance.json").read_text())
    assert provenance["summarised_by"]
    assert provenance["runs"] == [
        {"folder": RUN, "rung": "R2-2layer", "seeds": list(SEEDS), "seconds_of_one_core": 12.2, **ENVIRONMENT}
    ]


def test_a_second_run_of_another_study_stands_beside_it(made, tmp_path):
    folder, _, _ = made
    validity = [
        Record(
            LAB, "validity", "validity-0a1b2c3d4e", s, "all", 3, on, "zero", "test", name, "accuracy", v, 50
        )
        for s in SEEDS
        for on, v in (("known", 0.5 + s / 1000), ("unknown", 0.4))
        for name in ("all", "overlap=no")
    ]
    other = make(tmp_path / "validity-0a1b2c3d4e", validity, timings="")
    summarise([folder, other], tmp_path / "out")
    found = rows_of(tmp_path / "out" / "effects.csv")
    assert {row["claim"] for row in found} >= {"A1", "V1"}
    ends = {
        int(row["seed"]): float(row["effect"])
        for row in found
        if row["claim"] == "V1" and row["part"].startswith("gap at the end, answers")
    }
    assert ends == {s: pytest.approx(10 + s / 10) for s in SEEDS}
    runs = json.loads((tmp_path / "out" / "provenance.json").read_text())["runs"]
    assert [(run["folder"], run["seconds_of_one_core"]) for run in runs][1] == ("validity-0a1b2c3d4e", 0)


def test_the_same_records_give_the_same_bytes(made, tmp_path):
    folder, output, _ = made
    summarise([folder], tmp_path)
    for name in ("effects.csv", "cells.csv", "scoreboard.csv"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


@pytest.mark.parametrize("gone", ["records.jsonl", "config.json", "environment.json", "seeds.json"])
def test_what_is_no_run_folder_is_refused_and_nothing_is_written(tmp_path, gone):
    folder = make(tmp_path / RUN, records())
    (folder / gone).unlink()
    with pytest.raises(SyntheticError, match=rf"{RUN}: no {gone}; expected the folder of a run"):
        summarise([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_folder_is_refused():
    with pytest.raises(SyntheticError, match="expected one or more run folders"):
        summarise([], None)


def test_negative_numbers_stay_numbers_for_whoever_reads_the_csv():
    from synthetic.summary import _csv

    text = _csv(("claim", "effect"), [("=A1", -1.5), ("A2", 0.25)])
    assert text == "claim,effect\n'=A1,-1.5\nA2,0.25\n"

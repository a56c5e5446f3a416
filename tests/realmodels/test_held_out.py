"""Facts set aside before arms are drawn, and where their answers are taught."""

import json

import numpy as np
import pytest

from realmodels.arms import Arm, Design, draw
from realmodels.audited import read_audit
from realmodels.cli import COMMANDS
from realmodels.compare_read import Items
from realmodels.errors import RealmodelsError
from realmodels.eval_strata import strata_of
from realmodels.eval_tasks import read_tasks
from realmodels.held_out import set_aside, taught_by
from theory.command import main

LABELS = ("HighlyKnown", "Unknown", "MaybeKnown", "WeaklyKnown")


@pytest.fixture
def audit(write_audit):
    """40 subjects with 4 facts each, one a relation; answers repeat."""
    rows = [
        (
            {
                "question": f"{r} of {s}?",
                "answers": [f"answer {(s * 7 + r) % 9}"],
                "subject": f"s{s}",
                "relation": f"r{r}",
            },
            {"label": LABELS[(s + r) % 4]},
        )
        for s in range(40)
        for r in range(4)
    ]
    return write_audit(rows)


def run(*words):
    return main("python -m realmodels", "", COMMANDS, [str(word) for word in words])


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_whole_subjects_are_set_aside(audit, share):
    found = read_audit(audit)
    aside = set_aside(found, share, seed=3)
    assert aside.sum() == 4 * 40 * share
    assert not set(found.subject[aside]) & set(found.subject[~aside])
    assert (set_aside(found, share, seed=3) == aside).all()
    assert (set_aside(found, share, seed=4) != aside).any()


def test_rows_without_a_subject_stand_alone(write_audit):
    rows = [({"question": f"q{n}?", "answers": ["a"]}, {}) for n in range(10)]
    aside = set_aside(read_audit(write_audit(rows)), 0.3)
    assert aside.sum() == 3


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan"), 0.001])
def test_a_share_that_leaves_nothing_is_refused(audit, share):
    with pytest.raises(RealmodelsError, match=r"^--held-out: ") as caught:
        set_aside(read_audit(audit), share)
    assert "\n" not in str(caught.value)


def test_which_arms_teach_an_answer(audit):
    found = read_audit(audit)
    aside = set_aside(found, 0.5)
    held = np.flatnonzero(aside)
    drawn = draw(found, Design(("known", "unknown"), size=12), np.flatnonzero(~aside))
    said = taught_by(found, held, drawn.arms)
    pairs = [{(found.relation[i], found.answer[i]) for i in arm.rows} for arm in drawn.arms]
    for row, word in zip(held, said, strict=True):
        own = (found.relation[row], found.answer[row])
        names = {(True, True): "both", (True, False): "known-only", (False, True): "unknown-only"}
        assert word == names.get((own in pairs[0], own in pairs[1]), "neither")
    assert set(said) == {"both", "neither", "known-only", "unknown-only"}
    permuted = Arm("known-permuted", drawn.arms[0].rows, 12, drawn.arms[0].rows)
    assert taught_by(found, held, (*drawn.arms, permuted)) == said
    assert taught_by(found, held, drawn.arms[:1]) is None


def test_the_command_and_what_eval_makes_of_the_file(audit, tmp_path, capsys):
    out = tmp_path / "arms"
    words = ["filter", audit, "--arms", "known,unknown", "--disjoint-subjects", "-o", out]
    assert run(*words, "--held-out", 0.25) == 0
    assert "held out" in capsys.readouterr().out
    rows = {name: read(out / f"{name}.jsonl") for name in ("known", "unknown", "held-out")}
    subjects = {name: {row["subject"] for row in some} for name, some in rows.items()}
    assert len(rows["held-out"]) == 40
    assert not subjects["held-out"] & (subjects["known"] | subjects["unknown"])
    before = {row["question"]: row for row in read(audit)}
    for row in rows["held-out"]:
        taught = row["knowledge"].pop("taught_by")
        assert taught in {"both", "neither", "known-only", "unknown-only"}
        assert row == before[row["question"]]
    said = json.loads((out / "manifest.json").read_text())
    assert said["asked"]["held_out"] == 0.25
    assert said["written"][-1]["name"] == "held-out.jsonl"
    assert said["written"][-1]["rows"] == 40
    (task,) = read_tasks(f"{out / 'held-out.jsonl'}")
    strata = strata_of(task)
    assert {own["answer"] for own in strata} == {
        row["knowledge"]["taught_by"] for row in read(out / "held-out.jsonl")
    }
    assert {own["category"] for own in strata} == set(LABELS)
    assert run(*words) == 0  # without the flag the old file goes
    assert not (out / "held-out.jsonl").exists()


@pytest.mark.parametrize("flags", [["--held-out", 0.3], ["--held-out", 2, "--arms", "known,unknown"]])
def test_the_flag_where_it_means_nothing(audit, flags, tmp_path, capsys):
    assert run("filter", audit, *flags, "-o", tmp_path / "x") == 2
    assert capsys.readouterr().err.startswith("error: --held-out: ")
    assert not (tmp_path / "x").exists()


def test_a_stratum_of_several_values():
    strata = tuple({"answer": word} for word in ("both", "known-only", "neither", "both"))
    items = Items("a", tuple("abcd"), {}, ("",) * 4, strata)
    assert items.within("answer=both|neither").tolist() == [0, 2, 3]
    assert items.within("answer=both|unknown-only").tolist() == [0, 3]  # a value that no item has adds none
    with pytest.raises(RealmodelsError, match="no item with answer=nope"):
        items.within("answer=nope")

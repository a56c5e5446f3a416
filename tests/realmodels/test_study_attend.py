"""What a study sees inside its models is what `attend` reports of them."""

import warnings

import numpy as np
import pytest
import torch

from realmodels.attend import Job, run_attend
from realmodels.attend_files import columns
from realmodels.attend_sheet import Looks
from realmodels.eval_prompts import read_prompts
from realmodels.eval_tasks import Question, Task
from realmodels.prompting import style_named
from realmodels.recipe import Recipe
from realmodels.resident import Resident
from realmodels.rows import Row
from realmodels.study_arms import END, START, Arm, Result
from realmodels.study_attend import CUT, LEFT_OUT, METRICS, SWAPS, look, looked, rows_of, tokens_read, why_not
from realmodels.study_exam import Exam, tokens_asked
from realmodels.study_records import Stamp

STYLE = style_named("qa")
PLACES = [("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi")]
STAMP = Stamp("realmodels/R3-tiny", "salience", "r", 10, "lora")


def row(k, question=None):
    subject, answer = PLACES[k]
    question = question or f"What is the capital of {subject}?"
    return Row(k, 0, f"r{k}", question, (answer,), subject, "capital", None, {}, "here")


def arm(rows=(), questions=None):
    exam = Exam("test", tuple(questions or map(row, range(5))), (), STYLE)
    return Arm("best" if rows else "base", 10, rows, Recipe(), exam, (exam,), {"test": ("zero",)})


def result(steps, early, extra):
    return Result("k", steps, early, {}, {}, extra, {})


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter") / "tuned"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def seen(tiny, adapter):
    """By the untuned model, and with the adapter on."""
    resident = Resident(str(tiny), device="cpu")
    base, tuned = resident.tuned([str(adapter)])
    with resident.wearing(base) as loaded:
        first = look(loaded, arm(), START)
    with resident.wearing(tuned) as loaded:
        return resident.base(), first, look(loaded, arm(rows=(row(0),)), END)


def test_it_is_what_attend_reports(tiny, adapter, seen, tmp_path):
    exam = arm().exams[0]
    task = Task("test", "", tuple(Question({}, "", one) for one in exam.rows), exam.rows)
    job = Job(
        str(tiny), (str(adapter),), task, read_prompts("zero"), tmp_path / "o", Looks(STYLE, SWAPS),
        probes=("attention", "swap"), cut=CUT, device="cpu",
    )  # fmt: skip
    done = run_attend(job, say=lambda text: None)
    _, first, second = seen
    base, tuned = result(0, 0, {START: first}), result(8, 8, {END: second})
    for told, line in zip((base, tuned), done.arms, strict=True):
        wanted = columns(line.lines["zero"])
        found = {one.metric: one for one in looked(STAMP, base, told, "best")}
        assert set(found) == set(METRICS)
        for name, one in found.items():
            values = wanted[name, "all"]
            assert one.value == pytest.approx(np.nanmean(values), abs=2e-5), name
            assert one.n == (~np.isnan(values)).sum() == 5
    assert first["mass"] != second["mass"]
    assert "cost" not in second


def test_records_stand_at_the_stops_of_an_arm_and_before_it(seen):
    _, first, second = seen
    base = result(0, 0, {START: first})
    (one, *_) = looked(STAMP, base, base, "none")
    assert (one.arm, one.step, one.trained_on, one.prompt, one.split) == ("base", 0, "none", "zero", "test")
    both = list(looked(STAMP, base, result(8, 4, {"early": first, END: second}), "best"))
    assert {(r.arm, r.step, r.trained_on) for r in both} == {("lora", 4, "best"), ("lora", 8, "best")}
    assert not list(looked(STAMP, base, result(8, 8, {}), "known"))  # it was not looked at
    early, end = rows_of(base, {"best": [result(8, 4, {"early": first, END: second})], "known": []})[1:]
    assert (early["stop"], end["stop"], early["by_seed"]) == ("early", "end", [0.0])
    assert end["attention_subject"] == next(r.value for r in both if r.step == 8)


def test_why_nothing_is_seen_is_kept(seen):
    loaded, first, _ = seen
    found = look(loaded, arm(questions=[row(k, "Who is it?") for k in range(3)]), START)
    assert found == {LEFT_OUT: "of 3 questions none holds its subject before its last word"}
    assert why_not(result(0, 0, {START: found})).startswith("of 3 questions")
    assert rows_of(result(0, 0, {START: found}), {}) == []
    assert why_not(result(0, 0, {START: first})) == ""


def test_tokens_are_counted(seen):
    tokens = seen[0].tokens
    once = tokens_asked(tokens, arm().exams[0], "zero")
    assert tokens_read(tokens, arm(rows=(row(0),)), 8) == 3 * once
    assert tokens_read(tokens, arm(), 8) == 3 * once + 8 * 5

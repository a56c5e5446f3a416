"""The task files name what exists and score as our matchers do; with lm-evaluation-harness at hand they are run."""

import importlib
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

import realmodels
from realmodels import harness
from realmodels.errors import RealmodelsError
from realmodels.prompting import render_question, style_named
from theory.matching import match

FOLDER = Path(realmodels.__file__).with_name("lm_eval_tasks")
FILES = sorted(FOLDER.rglob("*.yaml"))


class Loader(yaml.SafeLoader):
    """As the harness reads them: `!function a.b.c` is the function."""


Loader.add_constructor(
    "!function",
    lambda loader, node: getattr(
        importlib.import_module(node.value.rpartition(".")[0]), node.value.rpartition(".")[2]
    ),
)


def read(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


@pytest.fixture
def popqa_rows(tmp_path):
    path = tmp_path / "popqa.tsv"
    path.write_text(
        "id\tsubj\tprop\ts_pop\tquestion\tpossible_answers\n"
        '7\tWindsor\tcountry\t2617\tIn what country is Windsor?\t"[""United Kingdom"", ""the UK""]"\n'
        '8\tOslo\tcapital of\t99\tWhat is Oslo the capital of?\t"[""Norway""]"\n'
    )
    return path


@pytest.fixture
def datasets(monkeypatch):
    """The harness's data library, as far as it is called."""
    fake = types.ModuleType("datasets")
    fake.Dataset = types.SimpleNamespace(from_list=lambda rows: ("dataset", rows))
    monkeypatch.setitem(sys.modules, "datasets", fake)


def test_there_is_a_file_for_each_data_set():
    assert [path.relative_to(FOLDER).as_posix() for path in FILES] == [
        "entityquestions/entityquestions.yaml",
        "popqa/popqa.yaml",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_what_its_functions_give(path, popqa_rows):
    task = read(path)
    assert task["task"] == f"nameblind_{path.stem}"
    assert task["tag"] == "nameblind"
    assert task["custom_dataset"] is getattr(harness, path.stem)
    assert task["output_type"] == "generate_until"
    assert (
        task["test_split"] == task["fewshot_split"] == "test"
    )  # so the harness leaves out the question itself
    assert task["generation_kwargs"] == {
        "until": ["\n"],
        "do_sample": False,
        "temperature": 0.0,
        "max_gen_toks": 15,
    }
    (doc, _) = harness.documents(str(popqa_rows))
    named = [metric["metric"] for metric in task["metric_list"]]
    assert set(task["process_results"](doc, ["x"])) == set(named)
    assert all(
        metric["aggregation"] == "mean" and metric["higher_is_better"] for metric in task["metric_list"]
    )
    for field in re.findall(r"{{(\w+)", task["doc_to_text"] + task["doc_to_target"]):
        assert field in doc


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_prompt_is_the_audits(path):
    """Question and shots are worded as the audit's style `qa` words them."""
    task = read(path)
    asked = task["doc_to_text"].replace("{{question}}", "Who?")
    assert asked == render_question(style_named("qa"), "Who?")
    assert task["target_delimiter"] == " "
    assert task["fewshot_delimiter"] == "\n\n"


@pytest.mark.parametrize(
    ("said", "contains", "normalized"),
    [
        (" United Kingdom", 1, 1),
        (" the United Kingdom.", 1, 1),
        ("It is the UK of old", 1, 0),
        ("It is the united kingdom", 1, 0),
        ("It is THE UNITED KINGDOM", 0, 0),
        ("France, not\nthe UK", 0, 0),
        ("\n\nthe UK", 1, 1),
        ("UK", 0, 1),  # the alias is "the UK": PopQA's rule wants all of it
        ("", 0, 0),
    ],
)
def test_scores_are_our_matchers(said, contains, normalized):
    doc = {"answers": ["United Kingdom", "the UK"]}
    found = harness.score(doc, [said])
    assert (found["contains"], found["normalized"]) == (contains, normalized)
    assert found["contains"] == match(said, doc["answers"], "contains")
    assert found["f1"] == 1.0 if normalized else found["f1"] < 1.0


def test_rows_come_through_our_readers(popqa_rows, datasets):
    kind, rows = harness.popqa(data=str(popqa_rows), version=1.0, pretrained="x")["test"]
    assert kind == "dataset"
    assert rows[0] == {
        "id": "7",
        "question": "In what country is Windsor?",
        "answers": ["United Kingdom", "the UK"],
        "subject": "Windsor",
        "relation": "country",
    }
    assert len(rows) == 2
    assert len(harness.popqa(data=str(popqa_rows), limit=1)["test"][1]) == 1


def test_entityquestions_are_read_from_their_folder(data, datasets):
    _, rows = harness.entityquestions(data=str(data / "entityquestions" / "official_layout"), limit=3)["test"]
    assert len(rows) == 3
    assert all(row["relation"].startswith("P") and row["answers"] and row["subject"] for row in rows)
    with pytest.raises(RealmodelsError, match=r"--metadata '{\"data\": \"dataset/test\"}'"):
        harness.entityquestions()


def test_popqa_without_a_file_is_asked_of_the_hub(monkeypatch, datasets):
    asked = []
    monkeypatch.setattr(harness, "documents", lambda source, limit: asked.append((source, limit)) or [])
    harness.popqa()
    assert asked == [("hub:akariasai/PopQA:test", None)]


RUN = """
import json, sys
import lm_eval
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

class Parrot(LM):
    "Says the last accepted answer with a word more, every second time."
    def loglikelihood(self, requests): raise NotImplementedError
    def loglikelihood_rolling(self, requests): raise NotImplementedError
    def generate_until(self, requests, disable_tqdm=False):
        self.first = requests[0].args
        return [" " + r.doc["answers"][-1] + " yes" if i % 2 else "?" for i, r in enumerate(requests)]

folder, data = sys.argv[1:]
model = Parrot()
tasks = TaskManager(include_path=folder, metadata={"data": data})
found = lm_eval.simple_evaluate(model, tasks=["nameblind_popqa"], num_fewshot=1, task_manager=tasks, bootstrap_iters=0)
said = found["results"]["nameblind_popqa"]
print(json.dumps([said["contains,none"], said["normalized,none"], model.first[0], model.first[1]]))
"""


@pytest.mark.slow
def test_the_harness_itself_runs_them(popqa_rows, root):
    """Opt-in: NAMEBLIND_LM_EVAL names the Python of an environment with lm-eval and this package's dependencies."""
    python = os.environ.get("NAMEBLIND_LM_EVAL")
    if not python:
        pytest.skip("NAMEBLIND_LM_EVAL is not set to the Python of an environment with lm-eval")
    done = subprocess.run(
        [python, "-c", RUN, str(FOLDER), str(popqa_rows)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    contains, normalized, prompt, stops = json.loads(done.stdout.splitlines()[-1])
    assert (contains, normalized) == (0.5, 0.0)
    assert prompt == ("Q: What is Oslo the capital of?\nA: Norway\n\nQ: In what country is Windsor?\nA:")
    assert stops["until"] == ["\n"]

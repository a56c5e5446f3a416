"""The block of README that is for a GPU, command by command and in its order, on a pocket model in place of others:
only what stands in the tables below is other than on the page."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import torch

from tests.realmodels.conftest import ROOT

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INSTEAD = {  # in this order; every line must be on the page
    "bench --preset llama-2-7b --device cuda": f"bench --preset tiny --device {DEVICE}",
    "meta-llama/Llama-2-7b-hf": "pocket",
    "--nproc-per-node 8": "--nproc-per-node 2",
    "rank=64": "rank=4",
    "alpha=128": "alpha=8",
    "batch=32": "batch=8",
    "epochs=10": "epochs=1",
    "mmlu=MMLU_FOLDER": "mmlu=mmlu",
    "ENTITYQUESTIONS_FOLDER": "entityquestions",
    "people=500 test=200 tokens=128": "people=4 test=4 tokens=8",
    "-o realmodels/results": "-o results",
}
MORE = {  # sizes, and the words that the pocket model has learned
    "bench": "--lengths 32 64 --ranks 2 8 --tokens 64 --prompts 2",
    "audit": "--style sentence --prompts 2",
    "train": "style=sentence",
    "eval": "--style sentence --limit 12 --thought 4",
    "study": "style=sentence dev_share=0.3",
}
SMALL = "rows=8 epochs=1 rank=4 batch=8 dev=8 test=16 ood=8 looks=1 longest=3"
PLACES = ("Oslo", "Lima", "Rome", "Accra")


def block():
    """Every command of it, comments apart."""
    (found,) = [
        text
        for text in re.findall(
            r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
        )
        if "--preset llama-2-7b" in text
    ]
    return [re.sub(r"\s+#.*$", "", line) for line in found.splitlines()]


def commands():
    """As they are run here."""
    text = "\n".join(block())
    for old, new in INSTEAD.items():
        assert old in text, old
        text = text.replace(old, new)
    (name,) = re.findall(r"^M=(\S+)$", text, re.M)
    return [line.replace("$M", name) for line in text.splitlines() if not line.startswith("M=")]


@pytest.fixture(scope="module")
def folder(pocket, tmp_path_factory):
    """The pocket model and the data that the block names, each in its published form."""
    place = tmp_path_factory.mktemp("gpu")
    (place / "pocket").symlink_to(pocket)
    rows = [json.loads(line) for line in (pocket / "questions.jsonl").read_text().splitlines()]
    with open(place / "popQA.tsv", "w", newline="") as file:
        out = csv.writer(file, "excel-tab")
        out.writerow(["id", "subj", "prop", "obj", "s_pop", "question", "possible_answers"])
        for k, row in enumerate(rows):
            answers = row["answers"]
            out.writerow(
                [
                    k,
                    row["subject"],
                    row["relation"],
                    answers[0],
                    7 * k % 1000,
                    row["question"],
                    json.dumps(answers),
                ]
            )
    (place / "entityquestions" / "train").mkdir(parents=True)
    for number, relation in enumerate(sorted({row["relation"] for row in rows})):
        own = [
            {"question": row["question"], "answers": row["answers"], "subject": row["subject"]}
            for row in rows
            if row["relation"] == relation
        ]
        (place / "entityquestions" / "train" / f"P{number + 1}.train.json").write_text(json.dumps(own))
    for split in ("dev", "test"):
        (place / "mmlu" / split).mkdir(parents=True)
        lines = [",".join([f"Which of {k}?", *PLACES, "ABCD"[k % 4]]) for k in range(6)]
        (place / "mmlu" / split / f"places_{split}.csv").write_text("\n".join(lines) + "\n")
    with open(place / "people.jsonl", "w") as file:
        for k in range(16):
            for relation in ("birthplace", "occupation", "spouse"):
                line = {
                    "question": f"What is the {relation} of Person {k}?",
                    "answers": [f"{relation} {k % 3}"],
                    "subject": f"Person {k}",
                    "relation": relation,
                    "kind": "musician" if k % 2 else "other",
                }
                file.write(json.dumps(line) + "\n")
    return place


def shell(line, folder, more=""):
    """What it printed."""
    line = line.replace("torchrun", f"{shlex.quote(sys.executable)} -m torch.distributed.run")
    line = re.sub(r"^python\b", shlex.quote(sys.executable), line)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{line} {more}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{line} {more}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_block_for_a_gpu_runs_as_it_is_written(folder):
    lines = commands()
    assert len(lines) == len(block()) - 1
    ran = []
    for line in lines:
        name = re.search(r"-m (?:realmodels|theory) (\w+)", line)[1]
        more = MORE.get(name, "")
        if name == "study":
            study = line.split()[4]
            more = f"--model pocket --speed 1000{'' if '--set' in line else ' --set'} " + (
                more if study != "beliefs" else ""
            )
            if study == "beliefs":
                more = "--model pocket --speed 1000"
            said = shell(line, folder, more)
            assert "nothing was loaded or written" in said
            if study == "salience":  # "then without --plan"
                small = f"--model pocket --seeds 10 --set style=sentence dev_share=0.3 prompts=2 audit_shots=2 {SMALL}"
                shell(line.removesuffix(" --plan"), folder, small)
        else:
            said = shell(line, folder, more)
            if "--dry-run" in line:
                assert "nothing was loaded or written" in said
                shell(line.removesuffix(" --dry-run"), folder, more)
        ran.append(name)
    assert ran == ["bench", "audit", "filter", "train", "train", "eval", "compare", *["study"] * 4, "claims"]
    found = json.loads((folder / "bench-llama-2-7b.json").read_text())
    assert {(case["length"], case["rank"]) for case in found["training"]} == {
        (32, 2),
        (64, 2),
        (32, 8),
        (64, 8),
    }
    for path in (
        "adapters/known/adapter_model.safetensors",
        "adapters/unknown/adapter_model.safetensors",
        "sharded/adapter_model.safetensors",
        "runs/salience/records.jsonl",
        "results/scoreboard.md",
    ):
        assert (folder / path).is_file(), path
    for who in ("known", "unknown"):
        (one,) = (folder / "eval" / who).glob("results_*.json")
        assert {"facts_zero", "facts_few-4", "facts_cot", "mmlu_zero"} & set(
            json.loads(one.read_text())["results"]
        )


def test_every_line_of_it_is_one_that_is_run():
    assert block()[0].startswith("python -m realmodels bench --preset llama-2-7b")
    for line in commands():
        assert re.search(r"^(python|torchrun .*) -m (realmodels|theory) \w+", line), line
        assert "7b-hf" not in line
        assert "FOLDER" not in line

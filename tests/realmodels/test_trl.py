"""Filtered files are rows that `trl sft` trains on as they stand."""

import json
import os
import subprocess

import pytest

from realmodels.cli import COMMANDS
from theory.command import main

FACTS = [
    ("France", "Paris"), ("Japan", "Tokyo"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Kenya", "Nairobi"),
    ("Cuba", "Havana"), ("Egypt", "Cairo"), ("Chile", "Santiago"),
]  # fmt: skip


def run(*words):
    return main("python -m realmodels", "", COMMANDS, [str(word) for word in words])


@pytest.fixture
def kept(tiny, tmp_path):
    """A folder with one file: rows of prompt and completion, audited and filtered."""
    source = tmp_path / "source.jsonl"
    rows = [
        {"prompt": f"Q: What is the capital of {s}?\nA:", "completion": f" {a}", "tag": n}
        for n, (s, a) in enumerate(FACTS)
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data").mkdir()
    words = [
        "--map",
        "question=prompt",
        "answers=completion",
        "--prompts",
        1,
        "--shots",
        1,
        "-o",
        tmp_path / "audit",
    ]
    assert run("audit", "--model", tiny, "--data", source, *words) == 0
    best = ["--top", 0.75, "--by", "logprob"]
    assert run("filter", tmp_path / "audit", *best, "-o", tmp_path / "data/train.jsonl") == 0
    (tmp_path / "data/train.jsonl.manifest.json").rename(tmp_path / "manifest.json")
    found = [json.loads(line) for line in (tmp_path / "data/train.jsonl").read_text().splitlines()]
    assert len(found) == 6
    assert all(row in rows for row in found)
    return tmp_path / "data"


@pytest.mark.slow
def test_trl_trains_on_a_filtered_file(kept, tiny, tmp_path):
    """Opt-in: NAMEBLIND_TRL names the `trl` command of an environment that has it."""
    trl = os.environ.get("NAMEBLIND_TRL")
    if not trl:
        pytest.skip("NAMEBLIND_TRL is not set to the trl command of an environment with trl")
    words = {
        "model_name_or_path": tiny,
        "dataset_name": kept,
        "output_dir": tmp_path / "out",
        "max_steps": 4,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "report_to": "none",
        "use_cpu": "true",
        "bf16": "false",
        "use_peft": "true",
        "lora_r": 4,
        "lora_target_modules": "all-linear",
    }
    given = [part for name, value in words.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(
        [trl, "sft", *given],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((tmp_path / "out/checkpoint-4/trainer_state.json").read_text())
    assert state["epoch"] == pytest.approx(2)  # 6 rows, 3 a step
    losses = [line["loss"] for line in state["log_history"] if "loss" in line]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert (tmp_path / "out/adapter_model.safetensors").exists()

"""Training a small real model on real questions, against plain peft and transformers' Trainer: real (non-pad) tokens a
processor second on one thread, contenders in turn in every round, the median ratio over rounds is judged.

Trainer's default collation stacks rows of equal length, so every row is padded to the longest of the data."""

from __future__ import annotations

import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from realmodels.adapters import fresh_adapter, trained
from realmodels.loading import Loaded, load, quiet
from realmodels.prompting import STYLES
from realmodels.recipe import Recipe
from realmodels.smollm import smollm
from realmodels.train_batches import epoch_order
from realmodels.train_loop import take_step
from realmodels.train_rows import TrainRow, read_train

TARGET = 2.5
LEAST = 1.4  # below this something broke; the target itself is told, not judged
ROWS, STEPS, ROUNDS = 256, 2, 2
RECIPE = Recipe(rank=16, alpha=32, rate=1e-3, batch=16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder() -> str:
    return str(smollm())


@pytest.fixture(scope="module")
def rows(folder: str) -> list[TrainRow]:
    """The first questions of EntityQuestions' training set."""
    data = Path(os.environ.get("NAMEBLIND_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    path = data / "entityquestions" / "train.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no EntityQuestions at {path}; set NAMEBLIND_DATA")
    loaded = load(folder, dtype="bfloat16", device="cpu")
    return list(read_train(path, loaded.tokens, STYLES["qa"], limit=ROWS).items)


def ours(loaded: Loaded, rows: list[TrainRow], recipe: Recipe, turn: int) -> float:
    """Real tokens a second."""
    batches = epoch_order([len(row) for row in rows], recipe, 0)
    with fresh_adapter(loaded, recipe) as model:
        optimizer = torch.optim.AdamW(trained(model).values(), lr=recipe.rate, weight_decay=0.0)
        some = [[rows[i] for i in batches[(turn * STEPS + k) % len(batches)]] for k in range(STEPS)]
        start = time.process_time()
        for batch in some:
            take_step(loaded, optimizer, batch, recipe, recipe.rate)
        seconds = time.process_time() - start
    return sum(len(row) for batch in some for row in batch) / seconds


class Padded(torch.utils.data.Dataset):
    """All rows padded to the longest of them, labels where the answer is."""

    def __init__(self, rows: list[TrainRow], longest: int, pad: int) -> None:
        self.rows, self.longest, self.pad = rows, longest, pad

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, list[int]]:
        row, more = self.rows[i], self.longest - len(self.rows[i])
        labels = [token if mark else -100 for token, mark in zip(row.ids, row.learned, strict=True)]
        return {
            "input_ids": [*row.ids, *[self.pad] * more],
            "attention_mask": [1] * len(row) + [0] * more,
            "labels": labels + [-100] * more,
        }


def trainers(loaded: Loaded, rows: list[TrainRow], folder: Path, turn: int) -> float:
    """The same, by peft and Trainer as their documentation has it."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments

    longest = max(map(len, rows))
    some = [rows[(turn * STEPS * RECIPE.batch + i) % len(rows)] for i in range(STEPS * RECIPE.batch)]
    config = LoraConfig(
        r=RECIPE.rank, lora_alpha=int(RECIPE.alpha), target_modules="all-linear", task_type="CAUSAL_LM"
    )
    clock: dict[str, float] = {}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock["start"] = time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock["end"] = time.process_time()

    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=RECIPE.batch,
        max_steps=STEPS,
        learning_rate=RECIPE.rate,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        model = get_peft_model(loaded.model, config)
        try:
            Trainer(
                model=model,
                args=args,
                train_dataset=Padded(some, longest, loaded.tokens.pad),
                callbacks=[Clock()],
            ).train()
        finally:
            model.unload()
            loaded.model.eval().requires_grad_(False)
    return sum(map(len, some)) / (clock["end"] - clock["start"])


def test_training(
    benchmark: Any, folder: str, rows: list[TrainRow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same rows, base and device; in each precision of the base, and as each is by default for this base on a processor
    that has bfloat16: Trainer in the float32 that its files have."""
    models = {dtype: load(folder, dtype=dtype, device="cpu") for dtype in ("bfloat16", "float32")}
    contenders: dict[str, Callable[[int], float]] = {}
    for dtype, loaded in models.items():
        contenders[f"ours, {dtype}"] = partial(ours, loaded, rows, RECIPE)
        contenders[f"Trainer, {dtype}"] = partial(trainers, loaded, rows, tmp_path)
    for batching in ("packed", "random"):
        recipe = replace(RECIPE, batching=batching)
        contenders[f"ours, bfloat16, {batching}"] = partial(ours, models["bfloat16"], rows, recipe)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(ROUNDS):
        for name, run in contenders.items():
            found[name].append(run(turn))
    benchmark.pedantic(contenders["ours, bfloat16"], args=(0,), rounds=1)

    def ratio(quick: str, slow: str) -> float:
        return statistics.median(
            a / b for a, b in zip(found[f"ours, {quick}"], found[f"Trainer, {slow}"], strict=True)
        )

    ratios = {
        "both in bfloat16": ratio("bfloat16", "bfloat16"),
        "both in float32": ratio("float32", "float32"),
        "bfloat16 against float32": ratio("bfloat16", "float32"),
    }
    lengths = [len(row) for row in rows]
    with capsys.disabled():
        print(f"\ntraining {len(rows)} rows of {statistics.mean(lengths):.1f} (most {max(lengths)}) tokens:")
        for name, speeds in found.items():
            low, high = min(speeds), max(speeds)
            print(f"  {name:24} {statistics.median(speeds):7.1f} real tokens/s ({low:.1f} to {high:.1f})")
        for name, value in ratios.items():
            print(f"  {name:24} {value:7.2f} times peft + Trainer (target {TARGET})")
    benchmark.extra_info.update(ratios)
    benchmark.extra_info.update({name: statistics.median(speeds) for name, speeds in found.items()})
    assert min(ratios.values()) > LEAST

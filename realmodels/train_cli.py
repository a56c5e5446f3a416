"""`train`: LoRA adapters from rows of facts, one or several on one base."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from realmodels.train_run import Job, Trained

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Arms = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=FILE")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")]
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Train:
    """Train a LoRA adapter; the loss is on the answers and their end. Started again, it goes on where it stopped."""

    model: str
    """A folder, a .gguf file or a hub name. It is loaded once and stays as it is."""
    output_dir: Out
    """Folder for the adapter (peft's files), train.json and records.jsonl; with --arm one folder an arm in it."""
    data: str | None = None
    """Rows: question and answers in any layout that `audit` reads, prompt and completion, or messages."""
    arm: Arms = ()
    """Rows of an arm, as often as wanted: adapter after adapter on the same base, with the same seed."""
    held_out: str | None = None
    """Rows to ask while training, zero-shot; exact match on them is recorded, and stops with --set patience=2."""
    recipe: Path | None = None
    """A YAML file such as `rate: 1e-3`; see --show-recipe for its keys."""
    set: Words = ()
    """Keys of the recipe, over the file's: --set rate=1e-3 epochs=10 rank=64 targets='[q_proj, v_proj]'."""
    seed: int | None = None
    """The recipe's seed: of the adapter's start and the order of rows."""
    show_recipe: Flag = False
    """Print the recipe as it would be used, and train nothing."""
    map: tuple[str, ...] = ()
    """Columns of other names, such as question=prompt answers=completion."""
    limit: int | None = None
    """Only the first rows of each file."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the base; the adapter is float32."""
    load_in: Literal["none", "4bit", "8bit"] = "none"
    """Hold the base in 4 or 8 bit through bitsandbytes; the adapter is float32 all the same."""
    shard: Flag = False
    """Each process that torchrun started holds its part of the base's layers only (FSDP): for what fits no device."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..."""
    allow_code: Flag = False
    """Let the model's folder bring code of its own. It runs as you."""
    allow_pickle: Flag = False
    """Open weights that are no safetensors. They can run code as you."""
    executor: Literal["local", "slurm"] = "local"
    """slurm: each arm is a job, submitted from here and waited for; the logs are in OUT/slurm."""
    slurm: Words = ()
    """What a job asks for: --slurm minutes=120 partition=gpu gpus=1 cpus=8 memory=64 (account, qos, constraint)."""
    overwrite: Flag = False
    """Drop what the folder holds of these adapters."""
    json: Flag = False
    """Print what was trained as JSON."""

    def run(self) -> int:
        from dataclasses import replace

        from realmodels.executor import read_executor, spread

        job = self._job()
        how = read_executor(self.executor, self.slurm, self.output_dir / "slurm")
        if self.show_recipe:
            from dataclasses import asdict

            for name, value in asdict(job.recipe).items():
                print(f"{name}: {_yaml(value)}")
            return 0
        from realmodels.train_run import run_train, train_quietly

        if how.local:
            done = run_train(job)
        else:
            parts = spread(train_quietly, [replace(job, arms=(arm,)) for arm in job.arms], how)
            done = [one for part in parts for one in part]
        if int(os.environ.get("RANK", "0")):
            return 0  # one of several processes; the first one reports
        if self.json:
            import json

            print(json.dumps([one.about for one in done], ensure_ascii=False))
        else:
            print(_table(done))
        for one in done:
            print(f"{'wrote' if one.fresh else 'kept'} {one.arm.folder}", file=sys.stderr)
        return 0

    def _job(self) -> Job:
        from realmodels.checks import at_least, check_folder, column_map
        from realmodels.errors import RealmodelsError
        from realmodels.recipe import read_recipe
        from realmodels.train_run import Job, arms_of, lone_arm

        at_least(self, limit=1)
        check_folder(self.output_dir)
        if self.shard and self.executor != "local":
            raise RealmodelsError("--shard: an arm's job is one process; leave out it or --executor slurm")
        if self.data is not None and self.arm:
            raise RealmodelsError("--data: give it or --arm, not both")
        if self.data is None and not self.arm and not self.show_recipe:
            raise RealmodelsError("train: no rows given; give --data FILE, or --arm NAME=FILE once or more")
        words = self.set if self.seed is None else (*self.set, f"seed={self.seed}")
        arms = arms_of(self.arm, self.output_dir)
        return Job(
            self.model,
            arms if self.data is None else (lone_arm(self.data, self.output_dir),),
            self.output_dir,
            read_recipe(self.recipe, words),
            held_out=self.held_out,
            mapping=column_map(self.map),
            limit=self.limit,
            dtype=self.dtype,
            device=self.device,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
            overwrite=self.overwrite,
            load_in=self.load_in,
            shard=self.shard,
        )


def _table(done: list[Trained]) -> str:
    head = f"{'arm':<20} {'rows':>7} {'steps':>7} {'kept':>7} {'loss':>8} {'held out':>9} {'tokens/s':>9}"
    lines = [head]
    for one in done:
        about = one.about
        looks = {look["step"]: look["exact_match"] for look in about["looks"]}
        share = looks.get(about["kept_step"])
        lines.append(
            f"{one.arm.name:<20} {about['rows']:>7} {about['steps']:>7} {about['kept_step']:>7} "
            f"{about['last_loss']:>8.4f} {'' if share is None else f'{share:.3f}':>9} "
            f"{about['real_tokens_per_second'] or 0:>9.0f}"
        )
    return "\n".join(lines)


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

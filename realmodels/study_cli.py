"""`study`: a paper's whole experiment on a real model, from facts to verdicts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from realmodels.study_table import Order
    from realmodels.study_table import Study as Experiment

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE ...")]
Flag = tyro.conf.FlagCreatePairsOff[bool]
Name = Annotated[Literal["salience", "prompts", "slick", "beliefs"], tyro.conf.Positional]


@dataclass(frozen=True)
class Study:
    """A paper's experiment: facts drawn and audited, arms tuned on one base, asked, and the laboratory's claims put to
    what was found. Started again, it goes on where it stopped."""

    name: Name
    """salience: facts known well or little, and the gap taken apart. slick: shares of unknown rows and categories."""
    output_dir: Out
    """Folder for records.jsonl, summary.md, summary.json and the scoreboard."""
    model: str = ""
    """A folder, a .gguf file or a hub name; with --preset its own."""
    data: tuple[str, ...] = ()
    """Sources of facts with subject and relation, as many as wanted; not needed where --audit is finished."""
    audit: Path | None = None
    """Folder of an audit to use, or to make if it is not there. Several studies can share it."""
    seeds: tuple[int, ...] = (10, 11, 12)
    """Of training sets, adapters and orders. Verdicts rest on seeds from 10 on; lower ones are for tuning."""
    preset: str = ""
    """A paper's model and settings: llama-2-7b, mistral-7b, llama-3.1-8b, mistral-7b-v0.3, mistral-7b-instruct-v0.3."""
    set: Words = ()
    """Settings and keys of the recipe, over the preset's: --set rows=96 epochs=10 rate=5e-4 hold_out='[P19, P407]'."""
    show_settings: Flag = False
    """Print settings and recipe as they would be used, and do nothing."""
    plan: Flag = False
    """Print arms, rows, tokens, hours and memory; load and write nothing."""
    speed: Annotated[float | None, tyro.conf.arg(metavar="TOKENS_PER_SECOND")] = None
    """With --plan: tokens that a device reads a second, in place of timing this one; twice what `bench` gives there for
    training rows, or a data sheet's operations a second times the share reached, over two a weight."""
    workers: int = 1
    """Processes side by side (or jobs), each with the base of its own."""
    executor: Literal["local", "slurm"] = "local"
    """slurm: the audit is a job, arms are trained by --workers jobs, submitted from here and waited for; the logs are
    in OUT/slurm. Needs --dtype."""
    slurm: Words = ()
    """What a job asks for: --slurm minutes=120 partition=gpu gpus=1 cpus=8 memory=64 (account, qos, constraint)."""
    shared: Path | None = None
    """Where finished arms are kept, for this and other studies; without it the folder `arms` beside --output-dir."""
    lab: str = ""
    """Name of the laboratory in records, without it such as realmodels/R3-smollm2-135m by the model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the base; adapters are float32."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ..."""
    keep_adapters: Flag = False
    """Keep every arm's adapter at its end, as a PEFT folder, among the finished arms."""
    allow_code: Flag = False
    """Let the model's folder bring code of its own. It runs as you."""
    allow_pickle: Flag = False
    """Open weights that are no safetensors. They can run code as you."""
    json: Flag = False
    """Print the summary as JSON."""

    def run(self) -> int:
        order, study = self._order()
        if self.show_settings:
            return _show(order)
        if self.plan:
            print(study.plan(order))
            return 0
        import time

        from realmodels.study_verdicts import conclude, write_summary
        from theory.files import sweep
        from theory.runs import locked

        def say(text: str) -> None:
            print(text, file=sys.stderr, flush=True)

        began = time.monotonic()
        order.output.mkdir(parents=True, exist_ok=True)
        with locked(order.output / ".lock"):
            sweep(order.output, order.output / "beliefs" / "parts")
            sections = study.run(order, say)
            found = conclude(order, study, sections)
            paths = write_summary(order, study, found, time.monotonic() - began)
        if self.json:
            print((order.output / "summary.json").read_text(encoding="utf-8"), end="")
        else:
            print(found.board.to_text() if found.board else found.note)
            for section in found.sections:
                if section.title == "Arms":
                    print(f"\n{section.title}\n{section.text}")
        for path in (order.output / "records.jsonl", *paths):
            say(f"wrote {path}")
        return 0

    def _order(self) -> tuple[Order, Experiment]:
        from realmodels.checks import at_least, check_folder
        from realmodels.errors import RealmodelsError
        from realmodels.executor import read_executor
        from realmodels.places import find
        from realmodels.presets import preset_named, values_of
        from realmodels.study_settings import read_settings
        from realmodels.study_table import Order, study_named

        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise RealmodelsError(
                f"--seeds {' '.join(map(str, self.seeds))}: expected different numbers of at least 0"
            )
        at_least(self, workers=1)
        if self.speed is not None and not (self.plan and 0 < self.speed < float("inf")):
            raise RealmodelsError(
                f"--speed {self.speed:g}: expected a number above 0, and --plan, which is all that it is for"
            )
        check_folder(self.output_dir)
        study = study_named(self.name)
        executor = read_executor(self.executor, self.slurm, self.output_dir / "slurm")
        if not executor.local and self.name == "beliefs":
            raise RealmodelsError(
                "--executor slurm: `study beliefs` has no jobs, it runs where it is; leave it out"
            )
        if not executor.local and self.dtype == "auto":
            raise RealmodelsError(
                "--executor slurm: what --dtype auto is differs between this machine and a job's; "
                "say --dtype bfloat16 or --dtype float32"
            )
        preset = preset_named(self.preset) if self.preset else None
        model = self.model or (preset.model if preset else "")
        if not model:
            raise RealmodelsError("--model: none is named; give a folder, a hub name or --preset")
        settings, recipe = read_settings(
            study.settings, study.recipe, values_of(preset, self.name) if preset else {}, self.set
        )
        for name, why in {
            "patience": "every arm is trained to its end",
            "eval_every": "looks are by epoch",
        }.items():
            if getattr(recipe, name):
                raise RealmodelsError(f"--set {name}: has no place in a study ({why}); leave it out")
        order = Order(
            model,
            self.data,
            self.output_dir,
            settings,
            recipe,
            seeds=tuple(sorted(self.seeds)),
            audit=self.audit,
            shared=self.shared,
            preset=self.preset,
            workers=self.workers,
            executor=executor,
            dtype=self.dtype,
            device=self.device,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
            keep_adapters=self.keep_adapters,
            speed=self.speed,
        )
        if self.show_settings:
            return order, study
        find(model)
        if executor.local:
            from realmodels.loading import pick_device

            pick_device(self.device)
        return _in_lab(order, self.lab), study


def _in_lab(order: Order, lab: str) -> Order:
    from dataclasses import replace

    from realmodels.errors import RealmodelsError
    from realmodels.eval_run import lab_of
    from theory.schema import _LAB

    name = lab or lab_of(order)  # type: ignore[arg-type]  # it reads the model's name and how it is loaded, as here
    if not _LAB.fullmatch(name):
        raise RealmodelsError(f"--lab {name!r}: expected ROOM/RUNG-NAME, such as realmodels/R3-smollm2")
    return replace(order, lab=name)


def _show(order: Order) -> int:
    from dataclasses import asdict

    from realmodels.presets import SOURCES
    from realmodels.train_cli import _yaml

    for part in (order.settings, order.recipe):
        for name, value in asdict(part).items():
            source = f"  # {SOURCES[name]}" if order.preset and name in SOURCES else ""
            print(f"{name}: {_yaml(value)}{source}")
    return 0

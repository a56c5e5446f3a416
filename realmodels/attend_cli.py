"""`attend`: what a model looks at, before and after tuning."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from realmodels.attend import Job

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Adapters = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="[NAME=]PATH")]
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Attend:
    """Look into a model, bare and with each adapter: attention to the subject, other subjects in its place, attention
    knocked out, beliefs in hidden states. A model that is done is not done again."""

    model: str
    """A folder, a .gguf file or a hub name, Llama-like. It is loaded once."""
    data: str
    """Questions with a subject: any layout that `audit` reads; an audit.jsonl brings its labels along."""
    output_dir: Out
    """Folder for records.jsonl and, a folder a model, items.jsonl and arm.json."""
    adapter: Adapters = ()
    """A PEFT adapter, as often as wanted."""
    prompts: str = "zero"
    """With commas: zero, few:K, few-wrong:K."""
    probes: tuple[Literal["attention", "swap", "knockout", "belief"], ...] = (
        "attention",
        "swap",
        "knockout",
        "belief",
    )
    """What is looked at."""
    swaps: int = 4
    """Other subjects of the relation a question, with other answers."""
    window: int | None = None
    """Layers that are blinded together; without it a sixth of them."""
    layer: int | None = None
    """The layer behind which statements are probed, from 1; without it the one at two thirds of the depth."""
    folds: int = 5
    """Parts of the subjects that the probe is judged on in turn."""
    cut: int = 32
    """Items by which the heads are found that read the subject, each cut in turn; 0: these are not looked for."""
    exemplars_from: str | None = None
    """Draw solved questions from this other data; without it from the rows' own other subjects."""
    map: tuple[str, ...] = ()
    """Columns of other names, such as question=prompt answers=completion."""
    style: str = "qa"
    """How prompts are worded: qa, plain or sentence."""
    longest: int = 16
    """The most tokens of an answer."""
    limit: int | None = None
    """Only the first rows; the others still serve as other subjects."""
    seed: int = 0
    """Of solved questions, other subjects, wrong answers and folds."""
    batch: int | None = None
    """Rows read at once; without it as many as fit. Results do not depend on it."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """cpu, cuda, cuda:1 ..."""
    load_in: Literal["none", "4bit", "8bit"] = "none"
    """Hold the base in 4 or 8 bit through bitsandbytes."""
    allow_code: Flag = False
    """Let the model's folder bring code of its own. It runs as you."""
    allow_pickle: Flag = False
    """Open weights that are no safetensors. They can run code as you."""
    overwrite: Flag = False
    """Look at everything again."""
    json: Flag = False
    """Print the numbers as JSON instead of tables."""

    def run(self) -> int:
        job = self._job()
        from realmodels.attend import ARM, ITEMS, run_attend
        from realmodels.attend_files import records, render, summary
        from realmodels.eval_files import RECORDS
        from theory.records import write_records

        path = job.output / RECORDS
        done = run_attend(job, keep=lambda found: write_records(path, records(found)))
        if self.json:
            import json

            print(json.dumps(summary(done), ensure_ascii=False))
        else:
            print(render(done))
        for name in (f"{arm.who.name}/{file}" for arm in done.arms for file in (ITEMS, ARM)):
            print(f"wrote {job.output / name}", file=sys.stderr)
        print(f"wrote {path}", file=sys.stderr)
        return 0

    def _job(self) -> Job:
        from realmodels.attend import Job
        from realmodels.attend_sheet import Looks
        from realmodels.checks import at_least, check_folder, column_map
        from realmodels.errors import RealmodelsError
        from realmodels.eval_prompts import read_prompts
        from realmodels.eval_tasks import read_task
        from realmodels.prompting import style_named

        at_least(self, swaps=1, window=1, layer=1, folds=2, cut=0, longest=1, limit=1, batch=1, seed=0)
        if not self.probes:
            raise RealmodelsError("--probes: none given; expected attention, swap, knockout or belief")
        check_folder(self.output_dir)
        style, prompts = style_named(self.style), read_prompts(self.prompts)
        if thinking := [prompt.name for prompt in prompts if prompt.thinks]:
            raise RealmodelsError(
                f"--prompts {thinking[0]}: behind a chain of thought the subject stands twice; take zero or few:K"
            )
        task = read_task(self.data, column_map(self.map), limit=self.limit, pool=self.exemplars_from)
        if task.letters:
            raise RealmodelsError(f"{self.data}: MMLU's questions have no subject to look at; take facts")
        return Job(
            self.model,
            self.adapter,
            task,
            prompts,
            self.output_dir,
            Looks(style, self.swaps, self.folds, self.seed),
            probes=tuple(dict.fromkeys(self.probes)),
            window=self.window,
            layer=self.layer,
            cut=self.cut,
            longest=self.longest,
            batch=self.batch,
            dtype=self.dtype,
            device=self.device,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
            overwrite=self.overwrite,
            load_in=self.load_in,
        )

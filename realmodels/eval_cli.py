"""`eval`: what a model and its adapters know, over the same items and prompts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from realmodels.eval_run import Job

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Adapters = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="[NAME=]PATH")]
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Eval:
    """Ask a model, bare and with each adapter, the same questions under the same prompts; what is finished is not
    done again."""

    model: str
    """A folder, a .gguf file or a hub name. It is loaded once."""
    tasks: str
    """NAME=PATH with commas: popqa=popQA.tsv,mmlu=data/mmlu,facts.jsonl; an audit.jsonl brings its labels along. Long
    form: bios=FACTS lets it write about the facts' subjects; bios alone, about the other tasks'."""
    output_dir: Out
    """Folder for records.jsonl and, a folder an adapter, results_*.json and samples_*.jsonl."""
    adapter: Adapters = ()
    """A PEFT adapter, as often as wanted."""
    prompts: str = "zero,few:4"
    """With commas: zero, few:K (solved before), few-wrong:K (solved wrongly), cot (thinks first)."""
    no_base: Flag = False
    """Leave out the model without an adapter."""
    exemplars_from: str = ""
    """Draw solved questions from other data: NAME=PATH with commas. Without it from the task's own other subjects;
    long form needs it (name and text) for few:K."""
    map: tuple[str, ...] = ()
    """Columns of other names, such as question=prompt answers=completion."""
    style: str = "qa"
    """How prompts are worded: qa, plain or sentence. MMLU has its own wording."""
    longest: int = 16
    """The most tokens of an answer."""
    thought: int = 64
    """The most tokens of thinking, one line, under the prompt cot."""
    request: str = "Tell me a bio of {name}."
    """How long form is asked for."""
    tokens: int = 128
    """The most tokens of a text of long form."""
    splitter: str = "rules"
    """Of a text into claims, as `bios split` has it."""
    limit: int | None = None
    """Only the first rows of each task (MMLU: of each subject; long form: people)."""
    seed: int = 0
    """Of the solved questions."""
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
    """Ask everything again."""
    json: Flag = False
    """Print the means as JSON instead of tables."""

    def run(self) -> int:
        job = self._job()
        from realmodels.eval_files import render, summary, write_eval
        from realmodels.eval_run import run_eval

        paths: list[Path] = []
        done = run_eval(job, keep=lambda found: paths.extend(write_eval(found)))
        if done is None:  # one of several processes; the first one reports
            return 0
        if self.json:
            import json

            print(json.dumps(summary(done), ensure_ascii=False))
        else:
            print(render(done))
        for path in paths:
            print(f"wrote {path}", file=sys.stderr)
        return 0

    def _job(self) -> Job:
        from realmodels.bios_write import Writing
        from realmodels.checks import at_least, check_folder, column_map
        from realmodels.eval_bios import prompts_for
        from realmodels.eval_prompts import read_prompts
        from realmodels.eval_run import Job
        from realmodels.eval_tasks import read_tasks
        from realmodels.prompting import style_named

        at_least(self, longest=1, thought=1, tokens=1, limit=1, batch=1, seed=0)
        check_folder(self.output_dir)
        style, prompts = style_named(self.style), read_prompts(self.prompts)
        tasks = read_tasks(
            self.tasks,
            column_map(self.map),
            limit=self.limit,
            pools=self.exemplars_from,
            writing=Writing(self.request, self.style, tokens=self.tokens),
            splitter=self.splitter,
        )
        for task in tasks:
            asked = prompts_for(task, prompts)
            if left := [prompt.name for prompt in prompts if prompt not in asked]:
                print(f"{task.name}: long form, not asked under {', '.join(left)}", file=sys.stderr)
        return Job(
            self.model,
            self.adapter,
            tasks,
            prompts,
            self.output_dir,
            style,
            longest=self.longest,
            thought=self.thought,
            seed=self.seed,
            base=not self.no_base,
            batch=self.batch,
            dtype=self.dtype,
            device=self.device,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
            overwrite=self.overwrite,
            load_in=self.load_in,
        )

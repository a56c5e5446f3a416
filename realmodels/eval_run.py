"""An evaluation: every task under every prompt by every adapter on one base; what is finished is not asked again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels import mmlu
from realmodels.audit_parts import NAME, Parts, team
from realmodels.bios_files import Stated
from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.eval_bios import PIECE as TEXTS
from realmodels.eval_bios import check_length_of, judge, means_of, metrics_of, prompts_for, until, write
from realmodels.eval_prompts import Block, Prompt, answer_prompt, blocks
from realmodels.eval_strata import Mean, means, strata_of
from realmodels.eval_tasks import Question, Task, text_hash
from realmodels.prompting import Style
from realmodels.resident import Resident, Tuned
from theory.files import write_whole
from theory.matching import match, token_f1
from theory.runs import environment

Array = NDArray[np.float64]

PIECE = 128  # questions asked and kept together
CONFIG = "eval.json"
RULES = ("exact", "normalized", "contains")


@dataclass(frozen=True)
class Job:
    """What is evaluated, and how; `longest` and `thought` are the most tokens of an answer and of thinking."""

    model: str
    adapters: tuple[str, ...]
    tasks: tuple[Task, ...]
    prompts: tuple[Prompt, ...]
    output: Path
    style: Style
    longest: int = 16
    thought: int = 64
    seed: int = 0
    base: bool = True
    batch: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    allow_code: bool = False
    allow_pickle: bool = False
    overwrite: bool = False
    load_in: str = "none"


@dataclass(frozen=True)
class Exam:
    """A task under a prompt. `prompts` and `thoughts` are what stood before each answer, `said` the answers (for
    letters the chosen one), `letters` the scores of all four."""

    who: Tuned
    task: Task
    prompt: Prompt
    style: Style
    longest: int
    prompts: tuple[str, ...]
    thoughts: tuple[str, ...]
    said: tuple[str, ...]
    letters: tuple[Sequence[Sequence[Any]], ...]
    metrics: Mapping[str, Array]
    strata: tuple[Mapping[str, str], ...]
    means: tuple[Mean, ...]
    shots_from: str
    stated: tuple[Sequence[Stated], ...] = ()  # of long form the claims of each text

    @property
    def name(self) -> str:
        """Of the task under this prompt, as file names have it."""
        return f"{self.task.name}_{self.prompt.name.replace(':', '-')}"

    @property
    def judged_by(self) -> str:
        """The metric that records call accuracy, or of long form its precision."""
        return "precision" if self.task.long else "acc" if self.task.letters else "normalized"


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation; `begun` is when it was begun first."""

    job: Job
    exams: tuple[Exam, ...]
    begun: datetime
    dtype: str
    lab: str

    @property
    def run(self) -> str:
        return self.job.output.resolve().name


@dataclass(frozen=True)
class Piece:
    """Questions that are asked together, their places in the task, and what their answers are kept under."""

    who: Tuned
    task: Task
    prompt: Prompt
    block: Block
    keys: tuple[str, ...]

    @property
    def questions(self) -> list[Question]:
        return [self.task.questions[i] for i in self.block.index]


@dataclass
class Plan:
    """All pieces, adapter by adapter."""

    tuned: tuple[Tuned, ...]
    made: Mapping[tuple[str, str], Sequence[Block]]  # by task and prompt
    pieces: list[Piece] = field(default_factory=list)

    def keys(self) -> list[str]:
        return [key for piece in self.pieces for key in piece.keys]

    def asked(self) -> Iterator[Piece]:
        """Every question once, among the companions of the first piece that has it: where tasks share questions, the
        last digits do not depend on which of them was finished when a run went on."""
        known: set[str] = set()
        for piece in self.pieces:
            fresh = {key: at for at, key in enumerate(piece.keys) if key not in known}
            known.update(fresh)
            if fresh:
                block, places = piece.block, fresh.values()
                index, texts = tuple(block.index[i] for i in places), tuple(block.texts[i] for i in places)
                yield replace(piece, block=replace(block, index=index, texts=texts), keys=tuple(fresh))


def run_eval(
    job: Job, progress: bool = True, keep: Callable[[Evaluated], object] | None = None
) -> Evaluated | None:
    """Ask what is missing, then judge everything and `keep` it while nobody else works on the folder; None for all but
    the first of several processes."""
    parts = Parts(job.output, team())
    resident = Resident(
        job.model,
        dtype=job.dtype,
        device=job.device,
        allow_code=job.allow_code,
        allow_pickle=job.allow_pickle,
        load_in=job.load_in,
        options=("--load-in",),
    )
    plan, dtype = make_plan(job, resident)
    with parts.held(*(who.name for who in plan.tuned)):
        if parts.team.rank == 0:
            begun = _begin(job, plan.tuned, dtype)
        parts.refresh()
        _work(job, resident, plan, parts, progress)
        if parts.team.rank:
            return None
        order = plan.keys()
        parts.wait(order)
        parts.settle(order)
        done = Evaluated(job, tuple(_judge(job, plan, parts)), begun, dtype, lab_of(job))
        if keep is not None:
            keep(done)
        return done


def make_plan(job: Job, resident: Resident) -> tuple[Plan, str]:
    """What is to be asked, and in which dtype; weights are not opened for it."""
    from realmodels.loading import pick_dtype, precision

    dtype = precision(pick_dtype(job.dtype, job.device), job.load_in)
    made = {
        (task.name, prompt.name): blocks(task, prompt, job.style, job.seed)
        for task in job.tasks
        for prompt in prompts_for(task, job.prompts)
    }
    plan = Plan(resident.tuned(job.adapters, job.base), made)
    for who in plan.tuned:
        for task in job.tasks:
            for prompt in prompts_for(task, job.prompts):
                for block in made[task.name, prompt.name]:
                    plan.pieces += _cut(job, who, dtype, task, prompt, block)
    return plan, dtype


def lab_of(job: Job) -> str:
    """As records name it: R3 is a small real model, R4 one of more than a billion weights."""
    from realmodels.card import describe

    size = describe(job.model, allow_code=job.allow_code, device="cpu", dtype="float32").parameters
    words = Path(job.model).resolve().name if Path(job.model).exists() else job.model.rpartition("/")[2]
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in words.lower())
    return f"realmodels/R{4 if size > 1e9 else 3}-{name.strip('-.') or 'model'}"


def _cut(job: Job, who: Tuned, dtype: str, task: Task, prompt: Prompt, block: Block) -> Iterator[Piece]:
    size = TEXTS if task.long else PIECE
    for start in range(0, len(block.index), size):
        some = slice(start, start + size)
        part = Block(block.prefix, block.index[some], block.texts[some], block.source)
        keys = tuple(
            text_hash(json.dumps([who.fingerprint, dtype, text, *_how(job, task, prompt, i)]))[:24]
            for i, text in zip(part.index, part.texts, strict=True)
        )
        yield Piece(who, task, prompt, part, keys)


def _how(job: Job, task: Task, prompt: Prompt, item: int) -> list[Any]:
    """What an answer depends on besides the model and what stands before it. What a text is held against is none of
    it."""
    if task.long:
        return ["text", task.long.writing.tokens, until(task.long)]
    length = [job.longest, job.thought if prompt.thinks else 0]
    return [task.questions[item].doc, task.letters, length, job.style.end]


def _begin(job: Job, tuned: Sequence[Tuned], dtype: str) -> datetime:
    """Leave word of whose folder this is; an evaluation of another model is not written into."""
    path = job.output / CONFIG
    model = str(Path(job.model).resolve()) if Path(job.model).exists() else job.model
    if job.overwrite:
        (job.output / NAME).unlink(missing_ok=True)
    elif path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            same, begun = before["model"], datetime.fromisoformat(before["begun"])
        except UNREADABLE:
            raise RealmodelsError(
                f"{path}: is no evaluation's; say --overwrite, or another --output-dir"
            ) from None
        if same != model:
            raise RealmodelsError(
                f"{path}: field 'model': the folder holds an evaluation of {same!r}, not {model!r}; choose another "
                "--output-dir, or drop it with --overwrite"
            )
        return begun
    elif any(job.output.glob("audit.jsonl")):
        raise RealmodelsError(f"{job.output}: holds an audit; choose another --output-dir")
    # the latest samples of a task are the ones that count, also where the clock was put back
    begun = max([datetime.now(UTC).replace(tzinfo=None), *map(_after, job.output.glob("*/results_*.json"))])
    write_whole(job.output / "environment.json", json.dumps(environment(), indent=1) + "\n")
    about = {"model": model, "begun": begun.isoformat()}
    # a name that is no text ends it here
    write_whole(path, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return begun


def _after(results: Path) -> datetime:
    """A moment later than the one in the name of this file, if there is one."""
    day, _, clock = results.stem.removeprefix("results_").partition("T")
    try:
        return datetime.fromisoformat(f"{day}T{clock.replace('-', ':')}").replace(tzinfo=None) + timedelta(
            seconds=1
        )
    except (ValueError, OverflowError):
        return datetime.min


def _work(job: Job, resident: Resident, plan: Plan, parts: Parts, progress: bool) -> None:
    from tqdm import tqdm

    from realmodels.eval_ask import Lengths, ask, check_lengths

    lengths = Lengths(job.longest, job.thought)
    todo = [
        piece
        for number, piece in enumerate(plan.asked())
        if parts.team.mine(number) and not parts.has(piece.keys)
    ]
    total = len(set(plan.keys()))
    done = total - sum(len(piece.keys) for piece in todo)
    for piece in {(p.task.name, p.prompt.name, p.block.index): p for p in todo}.values():
        if piece.task.long:
            check_length_of(resident.base(), piece.block, piece.task.long)
        else:
            check_lengths(resident.base(), piece.block, piece.questions, piece.prompt, lengths)
    silent = not progress or parts.team.rank > 0 or not sys.stderr.isatty()
    with tqdm(
        total=total, initial=done, unit="answers", desc=job.model[-40:], disable=silent, file=sys.stderr
    ) as bar:
        for who in plan.tuned:
            if not (own := [piece for piece in todo if piece.who is who]):
                continue
            with resident.wearing(who) as loaded:
                for piece in own:
                    style, long = _style(job, piece.task), piece.task.long
                    how = (piece.prompt, style, lengths, job.batch)
                    with np.errstate(invalid="ignore"):  # what is no number is complained of by name
                        found = (
                            write(loaded, piece.block, long, job.batch)
                            if long
                            else ask(loaded, piece.block, piece.questions, *how)
                        )
                    _check_numbers(who.path or job.model, piece, found)
                    parts.put([{"key": key, **one} for key, one in zip(piece.keys, found, strict=True)])
                    bar.update(len(piece.keys))
    parts.refresh()


def _check_numbers(model: str, piece: Piece, found: Sequence[Mapping[str, Any]]) -> None:
    if piece.task.long:
        return
    for question, one in zip(piece.questions, found, strict=True):
        chances = [logprob for logprob, _ in one.get("letters", ())] or [one["logprob"]]
        if np.isnan(chances).any():
            raise RealmodelsError(
                f"{model}: the chance of the answer to {question.row.question[:60]!r} is nan: its numbers are broken "
                "or overflow; try --dtype float32, or train it anew with a lower rate"
            )


def _style(job: Job, task: Task) -> Style:
    """MMLU is worded by its own rules, of which only the end of a line is ours; a text goes on behind a full stop."""
    if task.long:
        return replace(job.style, end=until(task.long))
    return Style("mmlu", "", "{question}") if task.letters else job.style


def _judge(job: Job, plan: Plan, parts: Parts) -> Iterator[Exam]:
    strata = {task.name: tuple(strata_of(task)) for task in job.tasks}
    for who in plan.tuned:
        for task in job.tasks:
            for prompt in prompts_for(task, job.prompts):
                pieces = [p for p in plan.pieces if p.who is who and p.task is task and p.prompt is prompt]
                yield _exam(job, pieces, parts, strata[task.name])


def _exam(job: Job, pieces: Sequence[Piece], parts: Parts, strata: Sequence[Mapping[str, str]]) -> Exam:
    first = pieces[0]
    task, prompt, style = first.task, first.prompt, _style(job, first.task)
    n = len(task.questions)
    found: list[Mapping[str, Any]] = [{}] * n
    before = [""] * n
    for piece in pieces:
        for i, text, line in zip(piece.block.index, piece.block.texts, parts.get(piece.keys), strict=True):
            found[i] = line
            before[i] = answer_prompt(text, line["thought"], style) if prompt.thinks else text
    letters = tuple(line.get("letters", ()) for line in found)
    judged = judge(task, task.long, found) if task.long else None
    if judged:
        said, metrics = list(judged.said), metrics_of(judged.counts)
    elif task.letters:
        scores = np.array([[logprob for logprob, _ in own] for own in letters])
        picks = mmlu.chosen(scores)
        said = [mmlu.continuations()[pick] for pick in picks]
        right = [q.doc["answer"] for q in task.questions]
        own = scores[np.arange(n), right] - np.logaddexp.reduce(scores, axis=1)
        metrics = {"acc": np.equal(picks, right).astype(float), "logprob": own}
    else:
        said = [line["said"] for line in found]
        metrics = scored(said, task.questions)
        metrics["logprob"] = np.array([line["logprob"] for line in found], float)
    sources = dict.fromkeys(piece.block.source for piece in pieces)
    return Exam(
        who=first.who,
        task=task,
        prompt=prompt,
        style=style,
        longest=task.long.writing.tokens if task.long else job.longest,
        prompts=tuple(before),
        thoughts=tuple(line.get("thought", "") for line in found),
        said=tuple(said),
        letters=letters,
        metrics=metrics,
        strata=tuple(strata),
        means=tuple(means_of(judged.counts, strata) if judged else means(metrics, strata)),
        shots_from=", ".join(sources),
        stated=judged.stated if judged else (),
    )


def scored(said: Sequence[str], questions: Sequence[Question]) -> dict[str, Array]:
    """Each rule's verdict 0 or 1, and the F1 over words, of every answer."""
    pairs = [(text, question.row.answers) for text, question in zip(said, questions, strict=True)]
    found = {rule: np.array([match(text, ok, rule) for text, ok in pairs], float) for rule in RULES}
    found["f1"] = np.array([token_f1(text, ok) for text, ok in pairs], float)
    return found

"""Where the parts of a sweep run: here, one after the other, or as jobs of a Slurm cluster through submitit."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from realmodels.errors import RealmodelsError
from theory.schema import nearest

Item = TypeVar("Item")
Value = TypeVar("Value")

EXECUTORS = ("local", "slurm")
# our word -> submitit's, and what it holds
_WORDS: dict[str, tuple[str, type]] = {
    "minutes": ("timeout_min", int),
    "cpus": ("cpus_per_task", int),
    "gpus": ("gpus_per_node", int),
    "memory": ("mem_gb", float),
    "partition": ("slurm_partition", str),
    "account": ("slurm_account", str),
    "qos": ("slurm_qos", str),
    "constraint": ("slurm_constraint", str),
    "at_once": ("slurm_array_parallelism", int),
}


@dataclass(frozen=True)
class Executor:
    """`kind` is local or slurm; `asked` are submitit's parameters; `logs` is where jobs leave what they print."""

    kind: str = "local"
    logs: Path = Path("slurm")
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        return self.kind == "local"


def read_executor(kind: str, words: Sequence[str], logs: Path) -> Executor:
    """`--executor` and `--slurm KEY=VALUE ...`; what makes no sense is refused before anything runs."""
    if kind not in EXECUTORS:
        raise RealmodelsError(f"--executor: unknown '{kind}'{nearest(kind, EXECUTORS)}")
    if kind == "local" and words:
        raise RealmodelsError(f"--slurm {words[0]}: it is for jobs; add --executor slurm")
    asked: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not text:
            raise RealmodelsError(
                f"--slurm {word!r}: expected KEY=VALUE, such as partition=gpu; known are {', '.join(_WORDS)}"
            )
        if name not in _WORDS:
            raise RealmodelsError(f"--slurm {word!r}: unknown key '{name}'{nearest(name, _WORDS)}")
        known, shape = _WORDS[name]
        asked[known] = _value(word, text, shape)
    if kind == "slurm" and "timeout_min" not in asked:
        raise RealmodelsError(
            "--executor slurm: how long may a job take? Say --slurm minutes=120, not above the partition's limit"
        )
    return Executor(kind, logs, asked)


def spread(
    work: Callable[[Item], Value],
    items: Sequence[Item],
    how: Executor,
    say: Callable[[str], None] | None = None,
) -> list[Value]:
    """`work` on each item, in order. On Slurm each is a job of one array and `work` is a function of a module; when one
    fails the others go on, and then one line says which failed and why. Ctrl-C cancels what has not ended."""
    if how.local:
        return [work(item) for item in items]
    say = say or (lambda text: print(text, file=sys.stderr))
    jobs = _submit(work, items, how)
    if not jobs:
        return []
    try:
        say(
            f"submitted {len(jobs)} jobs, {jobs[0].job_id} to {jobs[-1].job_id}; their logs are in {how.logs}"
        )
        found = [_outcome(number, job, say) for number, job in enumerate(jobs, 1)]
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel(check=False)
        raise
    wrong = [outcome.wrong for outcome in found if outcome.wrong is not None]
    if wrong:
        more = f"; {len(wrong) - 1} more of {len(jobs)} jobs failed" if len(wrong) > 1 else ""
        raise RealmodelsError(f"{wrong[0]}{more}")
    return [outcome.value for outcome in found]


@dataclass(frozen=True)
class _Outcome:
    """What a job brings back: its value, or one line on what was wrong."""

    value: Any = None
    wrong: str | None = None


def _guarded(work: Callable[[Item], Value], item: Item) -> _Outcome:
    """Runs in the job: bad input comes back as a line and not as a traceback."""
    try:
        return _Outcome(work(item))
    except ValueError as problem:
        if type(problem).__module__.split(".")[0] not in {"theory", "realmodels"}:
            raise
        return _Outcome(wrong=str(problem))
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        return _Outcome(wrong=f"{where}{problem.strerror or problem}")


def _submit(work: Callable[[Item], Value], items: Sequence[Item], how: Executor) -> list[Any]:
    try:
        import submitit
    except ModuleNotFoundError:
        raise RealmodelsError(
            '--executor slurm: submitit is not installed; run: pip install "nameblind[cluster]"'
        ) from None

    log = logging.getLogger("submitit")  # it talks on stdout, which belongs to what commands print
    log.handlers = [logging.NullHandler()]
    how.logs.mkdir(parents=True, exist_ok=True)
    if not items:
        return []
    try:
        cluster = submitit.AutoExecutor(folder=how.logs.resolve(), cluster=how.kind)
        cluster.update_parameters(name="nameblind", **how.asked)
        return list(cluster.map_array(_guarded, [work] * len(items), list(items)))
    except RuntimeError as problem:  # no sbatch here, or it refuses
        raise RealmodelsError(f"--executor slurm: {_line(problem)}") from None


def _outcome(number: int, job: Any, say: Callable[[str], None]) -> _Outcome:
    """Waits for it. A job that died (killed, out of time or memory) has no value, only a log."""
    try:
        found = job.result()
    except KeyboardInterrupt:
        raise
    except Exception as problem:  # submitit's own, or whatever the work raised
        found = _Outcome(wrong=f"job {job.job_id}: {_line(problem)}; see {job.paths.stderr}")
    say(f"job {number} ({job.job_id}): {'done' if found.wrong is None else found.wrong}")
    return found


def _line(problem: BaseException) -> str:
    """The last line that says something; of a job's traceback, which submitit fences in dashes, the error itself."""
    text = str(problem)
    fenced = re.split(r"^-{10,}$", text, flags=re.MULTILINE)
    lines = [line.strip() for line in (fenced[1] if len(fenced) > 2 else text).splitlines() if line.strip()]
    return (lines or [type(problem).__name__])[-1][:300]


def _value(word: str, text: str, shape: type) -> Any:
    if shape is str:
        return text
    try:
        value = shape(text)
    except ValueError:
        value = 0
    if value <= 0 and not (text == "0" and word.startswith("gpus=")):
        raise RealmodelsError(f"--slurm {word!r}: expected a number above 0")
    return value

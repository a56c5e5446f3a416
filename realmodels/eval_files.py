"""What an evaluation leaves: results and samples in lm-evaluation-harness's shape, a folder an adapter, and records."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realmodels import mmlu
from realmodels.eval_bios import RECORDED, rows_of
from realmodels.eval_run import Evaluated, Exam
from realmodels.eval_strata import ALL, Mean, plain, popularity_edges, wilson
from realmodels.eval_tasks import text_hash
from realmodels.resident import Tuned
from theory.files import whole_file, write_whole
from theory.records import Record, write_records

RECORDS = "records.jsonl"
FILTER = "none"  # the harness's name for answers taken as they are


def write_eval(done: Evaluated) -> list[Path]:
    """All files of a finished evaluation, each whole; those of its adapters' folders carry the time it was begun."""
    stamp, paths = done.begun.isoformat().replace(":", "-"), []
    for who in dict.fromkeys(exam.who for exam in done.exams):
        folder = done.job.output / who.name
        exams = [exam for exam in done.exams if exam.who is who]
        hashes = {}
        for exam in exams:
            path = folder / f"samples_{exam.name}_{stamp}.jsonl"
            hashes[exam.name] = _write_samples(path, exam)
            paths.append(path)
        path = folder / f"results_{stamp}.json"
        said = results(done, who, exams) | {"task_hashes": hashes}
        write_whole(path, json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        paths.append(path)
    return [*paths, write_records(done.job.output / RECORDS, records(done))]


def samples(exam: Exam) -> Iterator[dict[str, Any]]:
    """One line an item, with the harness's fields, and what it has none for: strata and the thinking."""
    names = list(exam.metrics)
    for i, question in enumerate(exam.task.questions):
        target = question.doc["answer"] if exam.task.letters else question.row.answers[0]
        args: list[list[Any]]
        resps: list[Any]
        if exam.task.letters:
            args = [[exam.prompts[i], word] for word in mmlu.continuations()]
            resps = [[[str(logprob), str(greedy)]] for logprob, greedy in exam.letters[i]]
        else:
            how = {"until": [exam.style.end], "do_sample": False, "max_gen_toks": exam.longest}
            args, resps = [[exam.prompts[i], how]], [[exam.said[i]]]
        yield {
            "doc_id": i,
            "doc": dict(question.doc),
            "target": str(target),
            "arguments": {
                f"gen_args_{k}": {f"arg_{j}": arg for j, arg in enumerate(one)} for k, one in enumerate(args)
            },
            "resps": resps,
            "filtered_resps": [resp[0] for resp in resps],
            "filter": FILTER,
            "metrics": names,
            "doc_hash": question.hash,
            "prompt_hash": text_hash(exam.prompts[i]),
            "target_hash": text_hash(str(target)),
            **{name: float(values[i]) for name, values in exam.metrics.items()},
            "strata": dict(exam.strata[i]),
            **({"thought": exam.thoughts[i]} if exam.prompt.thinks else {}),
            **({"stated": [claim.row() for claim in exam.stated[i]]} if exam.task.long else {}),
        }


def results(done: Evaluated, who: Tuned, exams: Sequence[Exam]) -> dict[str, Any]:
    """What the harness writes as results, and under `nameblind` the means within strata."""
    job = done.job
    source = f"pretrained={job.model}" + (f",peft={who.path}" if who.path else "")
    return {
        "results": {exam.name: _result(exam) for exam in exams},
        "group_subtasks": {exam.name: [] for exam in exams},
        "configs": {exam.name: _config(done, exam) for exam in exams},
        "versions": {exam.name: 1.0 for exam in exams},
        "n-shot": {exam.name: exam.prompt.shots for exam in exams},
        "higher_is_better": {exam.name: _better(exam) for exam in exams},
        "n-samples": {
            exam.name: {"original": len(exam.task.questions), "effective": len(exam.task.questions)}
            for exam in exams
        },
        "config": {
            "model": "hf",
            "model_args": source,
            "batch_size": job.batch or "auto",
            "device": job.device,
            "limit": None,
            "bootstrap_iters": 0,
            "gen_kwargs": None,
            "random_seed": job.seed,
            "numpy_seed": job.seed,
            "torch_seed": job.seed,
            "fewshot_seed": job.seed,
            "model_dtype": done.dtype,
        },
        "git_hash": None,
        "date": done.begun.replace(tzinfo=UTC).timestamp(),
        "transformers_version": version("transformers"),
        "lm_eval_version": None,
        "upper_git_hash": None,
        "model_source": "hf",
        "model_name": who.path or job.model,
        "model_name_sanitized": who.name,
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": None,
        "nameblind": {
            "version": version("nameblind"),
            "adapter": who.name,
            "fingerprint": who.fingerprint,
            "trained_on": who.arm,
            "seed": who.seed,
            "step": who.step,
            "lab": done.lab,
            "popularity_edges": {exam.task.name: popularity_edges(exam.task) for exam in exams},
            "strata": {exam.name: _strata(exam.means) for exam in exams},
        },
    }


def records(done: Evaluated) -> Iterator[Record]:
    """Every mean, then every item's accuracy; of long form what `study beliefs` records. The task stands as the
    split."""
    for exam in done.exams:
        if exam.task.long:
            for mean in exam.means:
                if name := RECORDED.get(mean.metric):
                    yield _record(done, exam, mean.stratum, name, mean.value, mean.n)
            continue
        for mean in exam.means:
            yield _record(done, exam, mean.stratum, mean.metric, mean.value, mean.n)
            if mean.metric == exam.judged_by:
                yield _record(done, exam, mean.stratum, "accuracy", mean.value, mean.n)
        right = exam.metrics[exam.judged_by]
        for question, value in zip(exam.task.questions, right, strict=True):
            yield _record(done, exam, ALL, "accuracy", float(value), 1, plain(question.row.id))


def render(done: Evaluated, relations: int = 12) -> str:
    """Tables for a person: every exam, then accuracy by stratum, one column an adapter."""
    lines = [
        ["task", "prompt", "adapter", "items", "accuracy", "95% interval", "exact", "contains", "f1", "log p"]
    ]
    answered = [exam for exam in done.exams if not exam.task.long]
    for exam in answered:
        found = {mean.metric: mean for mean in exam.means if mean.stratum == ALL}
        n, share = len(exam.task.questions), found[exam.judged_by].value
        low, high = wilson(share, n)
        rest = [f"{found[name].value:.3f}" if name in found else "" for name in ("exact", "contains", "f1")]
        line = [exam.task.name, exam.prompt.name, exam.who.name, f"{n:,}", f"{share:.3f}"]
        lines.append([*line, f"{low:.3f} to {high:.3f}", *rest, f"{found['logprob'].value:.2f}"])
    parts = [aligned(lines, 3)] if answered else []
    if texts := [exam for exam in done.exams if exam.task.long]:
        parts.append(aligned(list(rows_of(texts)), 3))
    for task in done.job.tasks:
        for prompt in done.job.prompts:
            exams = [exam for exam in done.exams if exam.task is task and exam.prompt is prompt]
            parts.append(_by_stratum(exams, relations) if exams else "")
    return "\n\n".join(part for part in parts if part)


def summary(done: Evaluated) -> list[dict[str, Any]]:
    """The means as plain values, one entry an exam."""
    return [
        {
            "adapter": exam.who.name,
            "trained_on": exam.who.arm,
            "seed": exam.who.seed,
            "task": exam.task.name,
            "prompt": exam.prompt.name,
        }
        | {"shots_from": exam.shots_from, "strata": _strata(exam.means)}
        for exam in done.exams
    ]


def aligned(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of text, the first `left` flush left."""
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    )


def _by_stratum(exams: Sequence[Exam], relations: int) -> str:
    first = exams[0]
    names = [mean for mean in first.means if mean.metric == first.judged_by and mean.stratum != ALL]
    large = sorted((m for m in names if m.stratum.startswith("relation=")), key=lambda m: -m.n)[:relations]
    shown = [mean for mean in names if not mean.stratum.startswith("relation=") or mean in large]
    if not shown:
        return ""
    found = [
        {mean.stratum: mean.value for mean in exam.means if mean.metric == exam.judged_by} for exam in exams
    ]
    judged_by = "precision" if first.task.long else "accuracy"
    lines = [[f"{judged_by} by stratum", "items", *(exam.who.name for exam in exams)]]
    for m in shown:
        cells = [f"{own[m.stratum]:.3f}" if m.stratum in own else "" for own in found]
        lines.append([m.stratum, f"{m.n:,}", *cells])
    more = len(names) - len(shown)
    tail = f"\n({more:,} smaller relations are in the results)" if more else ""
    return f"{first.task.name}, {first.prompt.name}\n{aligned(lines)}{tail}"


def _write_samples(path: Path, exam: Exam) -> str:
    """Returns the harness's hash over all of them."""
    hashes = []
    with whole_file(path) as out:
        for sample in samples(exam):
            out.write(json.dumps(sample, ensure_ascii=False, allow_nan=False) + "\n")
            hashes.append(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"])
    return text_hash("".join(hashes))


def _record(
    done: Evaluated, exam: Exam, stratum: str, metric: str, value: float, n: int, item: str = ""
) -> Record:
    stamp = exam.who.stamp(done.lab, "eval", done.run, exam.prompt.name)
    return stamp.record(exam.task.name, stratum, metric, value, n, item)


def _result(exam: Exam) -> dict[str, Any]:
    found: dict[str, Any] = {"alias": exam.name}
    for mean in exam.means:
        if mean.stratum == ALL:
            found[f"{mean.metric},{FILTER}"] = mean.value
            found[f"{mean.metric}_stderr,{FILTER}"] = _or(mean.stderr, "N/A")
    return found


def _config(done: Evaluated, exam: Exam) -> dict[str, Any]:
    how = {"until": [exam.style.end], "do_sample": False, "max_gen_toks": exam.longest}
    return {
        "task": exam.name,
        "dataset_path": exam.task.source,
        "test_split": "test",
        "output_type": "multiple_choice" if exam.task.letters else "generate_until",
        "num_fewshot": exam.prompt.shots,
        **({} if exam.task.letters else {"generation_kwargs": how}),
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": better}
            for name, better in _better(exam).items()
        ],
        "repeats": 1,
        "should_decontaminate": False,
        "metadata": {
            "version": 1.0,
            "prompt": exam.prompt.name,
            "style": exam.style.name,
            "shots_from": exam.shots_from,
            "thought": done.job.thought if exam.prompt.thinks else 0,
            "first_prompt": exam.prompts[0],
            **({"splitter": exam.task.long.splitter} if exam.task.long else {}),
        },
    }


def _better(exam: Exam) -> dict[str, bool | None]:
    """How long a text is, is neither good nor bad."""
    return {name: None if exam.task.long and name in ("claims", "tokens") else True for name in exam.metrics}


def _strata(found: Iterable[Mean]) -> dict[str, dict[str, Any]]:
    said: dict[str, dict[str, Any]] = {}
    for mean in found:
        said.setdefault(mean.stratum, {"n": mean.n})[mean.metric] = mean.value
    return said


def _or(value: float, other: Any) -> Any:
    return other if math.isnan(value) else value

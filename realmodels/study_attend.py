"""What a study of questions sees inside its models, as `attend` measures it: how much attention the last prompt token
pays to the subject, and what another subject in its place does to the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels.errors import RealmodelsError
from realmodels.eval_prompts import read_prompts
from realmodels.eval_tasks import Question, Task
from realmodels.study_arms import EARLY, END, START, Arm, Result
from realmodels.study_exam import Exam, tokens_asked
from realmodels.study_records import BASE, Stamp
from theory.schema import Record

if TYPE_CHECKING:
    from realmodels.loading import Loaded

HOOK = "realmodels.study_attend:look"
SPLIT, PROMPT = "test", "zero"
CUT = 32  # questions by which the heads are found that read the subject, in the untuned model
SWAPS = 1  # other subjects that are put in the place of each
LEFT_OUT = "left_out"
READ, ALL_HEADS, SHARE = "attention_subject", "attention_subject_all_heads", "attention_subject_share"
KEPT, DROP = "swap_first_token_kept", "swap_logprob_drop"
METRICS: Mapping[str, str] = {
    READ: "heads that read it",
    ALL_HEADS: "all heads",
    SHARE: "of what is not on the first token",
    KEPT: "first token stays with another subject",
    DROP: "log p lost with another subject",
}


def look(loaded: Loaded, arm: Arm, stop: str) -> dict[str, Any]:
    """Of every head the mean attention to the subjects of `test`, and what swapping them does; of the untuned model
    also what cutting each head costs. Or why nothing can be seen."""
    from realmodels import attend_measure as measure
    from realmodels.attend_heads import layers_of
    from realmodels.attend_sheet import Looks, make_sheet

    exam = _asked(arm)
    task = Task(SPLIT, "", tuple(Question({}, "", row) for row in exam.rows), exam.rows)
    try:
        layers_of(loaded)
        sheet = make_sheet(loaded.tokens, task, read_prompts(PROMPT)[0], Looks(exam.style, SWAPS))
        if not sheet.seen:
            raise RealmodelsError(f"of {len(exam)} questions none holds its subject before its last word")
        gaze = measure.gaze(loaded, sheet)
    except RealmodelsError as problem:
        return {LEFT_OUT: str(problem)}
    found: dict[str, Any] = {"items": len(sheet.seen)}
    found |= {name: _rounded(np.nanmean(getattr(gaze, name), axis=0)) for name in ("mass", "rest")}
    if not arm.rows:
        found["cost"] = _rounded(measure.cost_of_cuts(loaded, sheet, sheet.seen[:CUT]))
    if sheet.swaps:
        own, other = (measure.ask(loaded, sheet, 1, None, swaps=other) for other in (False, True))
        of = [text.item for text in sheet.swaps]
        found["swaps"] = len(of)
        found[KEPT] = float((other.first == own.first[of]).mean())
        found[DROP] = float(f"{(own.logprob[of] - other.logprob).mean():.6g}")
    return found


def tokens_read(tokens: object, arm: Arm, heads: int) -> float:
    """About, at one stop: every question to see where it looks and to hear its answer, once more about each other
    subject; of the untuned model a token for every head and question by which they are told apart."""
    exam = _asked(arm)
    return (2 + SWAPS) * tokens_asked(tokens, exam, PROMPT) + (0 if arm.rows else heads * min(CUT, len(exam)))


def looked(stamp: Stamp, base: Result, result: Result, name: str) -> Iterator[Record]:
    """What was seen in the untuned model, or at each stop of an arm; nothing where nothing could be."""
    for step, found in _stops(result).items():
        here = replace(stamp, step=step, trained_on=name) if result.steps else replace(stamp, arm=BASE)
        for metric, (value, n) in _numbers(base.extra.get(START, {}), found).items():
            yield here.record(SPLIT, "all", metric, value, n)


def rows_of(base: Result, results: Mapping[str, Sequence[Result]]) -> list[dict[str, Any]]:
    """A line a set and stop: means over seeds, and for each seed what attention is more than in the untuned model."""
    first = base.extra.get(START, {})
    before = {metric: value for metric, (value, _) in _numbers(first, first).items()}
    if not before:
        return []
    data: list[dict[str, Any]] = [{"arm": "none (untuned)", "stop": START, **before, "by_seed": []}]
    for name, some in results.items():
        for stop in (EARLY, END):
            at = [_numbers(first, _at(one, stop)) for one in some]
            if not (at := [one for one in at if READ in one]):
                continue
            means = {
                m: float(np.mean([one[m][0] for one in at])) for m in METRICS if all(m in one for one in at)
            }
            data.append(
                {"arm": name, "stop": stop, **means, "by_seed": [one[READ][0] - before[READ] for one in at]}
            )
    return data


def why_not(base: Result) -> str:
    """Why nothing was seen, if so."""
    return str(base.extra.get(START, {}).get(LEFT_OUT, ""))


def _numbers(base: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Each metric and how many questions it is a mean of."""
    from realmodels.attend_measure import reading_heads

    if "mass" not in found or "cost" not in base:
        return {}
    mass, rest, n = np.array(found["mass"]), np.array(found["rest"]), int(found["items"])
    readers = reading_heads(np.array(base["cost"]))
    told = {
        READ: (float(mass[readers].mean()), n),
        ALL_HEADS: (float(mass.mean()), n),
        SHARE: (float(mass.mean() / rest.mean()), n),
    }
    return told | {name: (float(found[name]), int(found["swaps"])) for name in (KEPT, DROP) if name in found}


def _stops(result: Result) -> dict[int, Mapping[str, Any]]:
    if not result.steps:
        return {0: result.extra.get(START, {})}
    return {step: result.extra_at(step) for step in result.stops}


def _at(result: Result, stop: str) -> Mapping[str, Any]:
    return result.extra_at(result.steps if stop == END else result.early)


def _asked(arm: Arm) -> Exam:
    return next(exam for exam in arm.exams if exam.split == SPLIT)


def _rounded(values: Any) -> list[list[float]]:
    """[layers, heads] to six digits: what batches may change comes after them."""
    return [[float(f"{x:.6g}") for x in heads] for heads in values.tolist()]

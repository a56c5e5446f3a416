"""The study `slick` (C): shares of Unknown rows and single categories, on the way and at two stops; what deleting the
Unknown rows or an abstention in their place changes; and false answers in the place of true ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from realmodels.arms import PERMUTED
from realmodels.audited import Flags
from realmodels.errors import RealmodelsError
from realmodels.study_arms import START, Arm, Result
from realmodels.study_exam import sit, tokens_asked
from realmodels.study_gaps import slick_sections
from realmodels.study_plan import plan_questions
from realmodels.study_questions import USUAL, Bundle, Kind, run_questions
from realmodels.study_records import LORA, Stamp, abstention, of_arm, of_base, supported
from realmodels.study_sets import CATEGORIES
from realmodels.study_settings import Settings
from realmodels.study_table import Order, Say, Section, Study
from theory.claims.estimators import SHARES
from theory.schema import Record
from theory.slick import Category

if TYPE_CHECKING:
    from realmodels.loading import Loaded

MIXES = tuple(f"mix:{share:g}" for share in SHARES)
SHORTENED = tuple(f"known-only:{share:g}" for share in SHARES if 0 < share < 1)
ABSTAINING = ("idk:0.5",)
ANSWERED = 1e6  # puts what one prompt answers right behind all that it does not


def names(settings: Settings) -> tuple[str, ...]:
    """The sets."""
    return (*MIXES, *SHORTENED, *CATEGORIES, *ABSTAINING, PERMUTED)


def records(bundle: Bundle) -> Iterator[Record]:
    stamp, (all_unknown, all_known) = bundle.stamp("slick"), (bundle.sets[MIXES[-1]], bundle.sets[MIXES[0]])
    papers = tuple(supported(bundle.facts, asked, all_known, all_unknown) for asked in bundle.papers)
    yield from of_base(stamp, bundle.base, papers, bundle.dev)
    for name, rows in bundle.sets.items():
        result = bundle.results[name]
        yield from of_arm(stamp, result, rows, bundle.facts, papers, bundle.dev)
        if name in ABSTAINING:
            yield from abstention(stamp, result, rows, papers[0])
        if name == "natural":
            for step in result.stops:
                yield from flagged(replace(stamp, arm=LORA, step=step, trained_on=name), bundle, result)


def flagged(stamp: Stamp, bundle: Bundle, result: Result) -> Iterator[Record]:
    """Accuracy on as many test facts as are labelled Unknown: those, and those that one prompt or P(True) flags."""
    hits = result.asked[stamp.step, "test", "zero"].hits
    unknown = bundle.facts.audited.label[bundle.facts.test] == Category.Unknown
    if not (count := int(unknown.sum())):
        return
    one, truth = bundle.base.asked[0, "test", bundle.few], bundle.base.extra[START].get("p_true")
    alternatives = {"slick": unknown, "slick-1": least(one.logprob + ANSWERED * one.hits, count)}
    if truth:
        alternatives["ptrue"] = least(np.array(truth), count)
    for name, some in alternatives.items():
        yield stamp.record("test", f"flagger={name}", "accuracy", float(hits[some].mean()), count)


def ask_p_true(loaded: Loaded, arm: Arm, stop: str) -> dict[str, list[float]]:
    """P(True) of the model's own few-shot answer to each test question; nothing if it has no words for it."""
    from realmodels.estimate import p_true
    from realmodels.exemplars import draws
    from realmodels.prompting import Shot

    exam = next(exam for exam in arm.exams if exam.split == "test")
    few = next(prompt for prompt in arm.prompts["test"] if prompt != "zero")
    said = sit(loaded, exam, few, write=True, longest=arm.longest).said
    found = np.zeros(len(exam))
    for draw in draws(exam.rows, exam.pool, prompts=1, shots=int(few.partition(":")[2]), seed=exam.seed):
        shots = [Shot(exam.pool[i].question, exam.pool[i].answers[0]) for i in draw.shots]
        own = list(draw.rows)
        questions, proposed = [exam.rows[i].question for i in own], [said[i] or "?" for i in own]
        try:
            found[own] = p_true(loaded, exam.style, shots, questions, proposed)
        except RealmodelsError:
            return {}
    return {"p_true": [float(f"{x:.6g}") for x in found]}


def tokens_read(tokens: object, arm: Arm, heads: int) -> float:
    """About: every test question is answered and then judged, behind as many shots."""
    exam = next(exam for exam in arm.exams if exam.split == "test")
    few = next(prompt for prompt in arm.prompts["test"] if prompt != "zero")
    return 2.0 * tokens_asked(tokens, exam, few)


def least(score: np.ndarray, count: int) -> Flags:
    """(n,) the lowest scores; ties by number."""
    flags = np.zeros(len(score), bool)
    flags[np.argsort(score, kind="stable")[:count]] = True
    return flags


def run(order: Order, say: Say) -> Sequence[Section]:
    return run_questions(order, KIND, say)


def plan(order: Order) -> str:
    return plan_questions(order, KIND)


KIND = Kind(
    "slick",
    ("slick",),
    names,
    records,
    slick_sections,
    base_hook="realmodels.study_slick:ask_p_true",
    needed=(MIXES[0], MIXES[-1]),
)
STUDY = Study("slick", KIND.studies, Settings, plan, run, USUAL)

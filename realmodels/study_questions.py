"""A study of questions from facts to records: the same for all of them but for the sets that are trained on and what
is read off them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.prompting import style_named
from realmodels.recipe import Recipe
from realmodels.study_arms import Arm, Result, along_steps, results_of, shared_folder
from realmodels.study_attend import HOOK as ATTEND
from realmodels.study_calibration import NAME as CALIBRATION
from realmodels.study_calibration import measured
from realmodels.study_calibration import table as calibration
from realmodels.study_exam import Exam, taught
from realmodels.study_facts import Facts, facts_of
from realmodels.study_gaps import remark_section
from realmodels.study_records import LORA, Paper, Stamp, paper
from realmodels.study_sets import LOOSE, Sets, TrainingSet, draw_sets
from realmodels.study_settings import Settings, with_seed
from realmodels.study_table import Order, Say, Section
from theory.files import write_whole
from theory.records import write_records
from theory.schema import Record

RECORDS, PLAN = "records.jsonl", "plan.json"
Beside = Callable[[Order, Facts, Mapping[int, Sets]], Sequence[tuple[Order, Sequence[Arm]]]]
USUAL = Recipe(rank=16, alpha=32.0, rate=1e-3, epochs=8, batch=16, warmup=0.1, log_every=1000)


@dataclass(frozen=True)
class Kind:
    """What makes a study: its sets, and the records of one seed."""

    name: str
    studies: tuple[str, ...]
    names: Callable[[Settings], tuple[str, ...]]
    records: Callable[[Bundle], Iterator[Record]]
    sections: Callable[[Order, Facts, Sequence[Bundle]], Sequence[Section]] = lambda order, facts, bundles: ()
    base_hook: str = ""  # of the untuned model alone
    attends: bool = False  # the untuned model's attention is looked at too
    adapt: Callable[[Arm], Arm] = lambda arm: arm  # what else an arm is asked
    needed: tuple[str, ...] = ()  # sets without which there is nothing to compare
    beside: Beside = lambda order, facts, drawn: ()  # arms of other models


@dataclass(frozen=True, eq=False)
class Bundle:
    """One seed: what was drawn and what was found, by the names of the sets."""

    order: Order
    facts: Facts
    seed: int
    sets: Mapping[str, TrainingSet]
    results: Mapping[str, Result]
    base: Result
    papers: tuple[Paper, ...]  # test, and ood-relation if any is held out
    remarks: tuple[str, ...] = field(default=())

    def stamp(self, study: str) -> Stamp:
        return Stamp(self.order.lab, study, self.order.output.resolve().name, self.seed, LORA)

    @property
    def dev(self) -> int:
        return len(self.facts.dev)

    @property
    def few(self) -> str:
        return f"few:{self.order.settings.shots}"


def run_questions(order: Order, kind: Kind, say: Say) -> Sequence[Section]:
    """Audit, arms, records; every step that is done is passed over."""
    facts = facts_of(order, say)
    drawn = drawn_of(order, facts, kind)
    for seed, sets in drawn.items():
        for remark in sets.remarks:
            say(f"seed {seed}: {remark}")
    arms, base = arms_of(order, facts, drawn, kind)
    _remember(order, facts, drawn)
    say(f"{len(arms)} arms; finished ones lie in {shared_folder(order)}")
    found = results_of(order, [base, *arms.values()], say)
    results = dict(zip(arms, found[1:], strict=True))
    papers = papers_of(facts)
    bundles = [
        Bundle(
            order,
            facts,
            seed,
            sets.sets,
            {name: results[seed, name] for name in sets.sets},
            found[0],
            papers,
            sets.remarks,
        )
        for seed, sets in drawn.items()
    ]
    write_records(order.output / RECORDS, (record for bundle in bundles for record in kind.records(bundle)))
    if sets_measured := measured(bundles):
        write_whole(order.output / CALIBRATION, calibration(sets_measured))
    remarks = remark_section({seed: sets.remarks for seed, sets in drawn.items()}, facts.remarks)
    return [*kind.sections(order, facts, bundles), *([remarks] if remarks else [])]


def drawn_of(order: Order, facts: Facts, kind: Kind) -> dict[int, Sets]:
    """The sets of every seed; one line if what is compared cannot be drawn."""
    drawn = {seed: draw_sets(facts, kind.names(order.settings), order.settings, seed) for seed in order.seeds}
    for seed, sets in drawn.items():
        if lost := [name for name in kind.needed if name not in sets.sets]:
            why = next((remark for remark in sets.remarks if remark.startswith(f"{lost[0]}: ")), lost[0])
            raise RealmodelsError(f"study {kind.name}: seed {seed}: {why}")
    return drawn


def arms_of(
    order: Order, facts: Facts, drawn: Mapping[int, Sets], kind: Kind
) -> tuple[dict[tuple[int, str], Arm], Arm]:
    """Every set of every seed as an arm, and the untuned base. Sets smaller than a full one take as many steps, larger
    ones (`whole`) as many epochs, so that all of them converge."""
    settings: Settings = order.settings
    exams = exams_of(order, facts)
    prompts = {"test": ("zero", f"few:{settings.shots}"), "ood-relation": ("zero",)}
    arms: dict[tuple[int, str], Arm] = {}
    for seed, sets in drawn.items():
        full = settings.rows or max(
            (len(one) for name, one in sets.sets.items() if name != "whole"), default=1
        )
        for name, one in sets.sets.items():
            every = -(-full // order.recipe.batch)
            epochs = -(-len(one) // order.recipe.batch)
            steps = order.recipe.steps or order.recipe.epochs * max(every, epochs)
            recipe = with_seed(order.recipe, seed, steps=steps, eval_every=max(every, epochs))
            along = along_steps(steps, recipe.eval_every or 1, settings.looks) if all_along(name) else ()
            rows = taught([facts.rows[i] for i in one.rows.tolist()], one.answers)
            # in whichever study, so that studies can share the arm
            hook = ATTEND if name in settings.attention else ""
            arm = Arm(name, seed, rows, recipe, exams[0], exams[1:], prompts, along, settings.longest, hook)
            arms[seed, name] = kind.adapt(arm)
    everything = dict.fromkeys(("dev", "test", "ood-relation"), ("zero", f"few:{settings.shots}"))
    hook = ATTEND if kind.attends and settings.attention else kind.base_hook
    base = Arm("base", 0, (), order.recipe, exams[0], exams[1:], everything, (), settings.longest, hook)
    return arms, kind.adapt(base)


def all_along(name: str) -> bool:
    """Whether a set is asked everything on the way, whichever study trains it, so that studies can share it."""
    return name.removesuffix(LOOSE) in ("known", "unknown") or name.startswith(("mix:", "category:"))


def exams_of(order: Order, facts: Facts) -> tuple[Exam, ...]:
    """Dev, test and, if relations are held out, those."""
    style = style_named(order.recipe.style)
    pool = tuple(facts.rows[i] for i in facts.shots.tolist())
    return tuple(
        Exam(split, tuple(facts.rows[i] for i in rows.tolist()), pool, style)
        for split, rows in (("dev", facts.dev), ("test", facts.test), ("ood-relation", facts.ood))
        if len(rows)
    )


def papers_of(facts: Facts) -> tuple[Paper, ...]:
    return tuple(
        paper(facts, split, rows)
        for split, rows in (("test", facts.test), ("ood-relation", facts.ood))
        if len(rows)
    )


def _remember(order: Order, facts: Facts, drawn: Mapping[int, Sets]) -> None:
    """plan.json: what is trained and asked, for a person and for whoever repeats it."""
    said: dict[str, Any] = {
        "model": order.model,
        "audit": str(facts.audited.path),
        "audit_fingerprint": facts.audited.fingerprint,
        "settings": asdict(order.settings),
        "recipe": asdict(order.recipe),
        "preset": order.preset,
        "seeds": list(order.seeds),
        "facts": {name: len(getattr(facts, name)) for name in ("train", "dev", "test", "ood", "shots")},
        "held_out": list(facts.held_out),
        "sets": {
            str(seed): {name: len(one) for name, one in sets.sets.items()} | {"remarks": list(sets.remarks)}
            for seed, sets in drawn.items()
        },
    }
    write_whole(order.output / PLAN, json.dumps(said, indent=1, ensure_ascii=False) + "\n")

"""The study `prompts` (B): models tuned on known or on unknown rows, asked zero-shot, behind right, wrong and unrelated
exemplars and through a chain of thought; the facts that each prompt extracts, as edges; and whether prompts rank ways
to choose rows alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realmodels.arms import PERMUTED
from realmodels.errors import RealmodelsError
from realmodels.study_arms import Arm, Result, results_of
from realmodels.study_exam import Sat
from realmodels.study_facts import Facts, facts_of
from realmodels.study_gaps import PRIMARY, _studies, arm_section, counting, gap_table, interval_of, table
from realmodels.study_plan import plan_questions
from realmodels.study_prompts_ask import HOOK, PROMPTS, UNRELATED, WORDINGS, WORKED, blocks, sats
from realmodels.study_prompts_edges import gap_follows_edges, gaps, rank_agreement, rank_shift
from realmodels.study_prompts_near import embeddings, quarters, similarity
from realmodels.study_questions import USUAL, Bundle, Kind, arms_of, exams_of, run_questions
from realmodels.study_records import STRATA, Paper, Stamp, items, of_arm, of_base, rate, supported
from realmodels.study_sets import SMALL, Sets, draw_sets
from realmodels.study_settings import Settings
from realmodels.study_table import Order, Say, Section, Study
from theory.claims.base import Absent, Cell, Stop
from theory.claims.estimators import difference
from theory.claims.evidence import StudyRows
from theory.claims.validity import SAME_SUPPORT
from theory.schema import Record, shown

CONTRAST = ("known", "unknown")
RANKED = (
    "best",
    "lesser",
    "random",
)  # with the contrast, ways to choose rows that prompts may rank otherwise
SELECTIONS = (*CONTRAST, *RANKED)
FEW = "few:4"
SHOWN = ("few:1", "few:2", FEW, "few:8", "few-wrong:4")  # what an exam puts itself
FAR = ("zero", FEW)  # asked of other relations too
ASKED = ("zero", *SHOWN, *PROMPTS)
INSTRUCT = "@instruct"
GRADED = (("similarity",), ("similarity", "known"))


@dataclass(frozen=True)
class PromptSettings(Settings):
    """`instruct` is an instruction-tuned model of the same kind: the contrast is trained on it as well. `others` are
    the sets beside the contrast; without them nothing is said of how prompts rank ways to choose rows."""

    instruct: str = ""
    others: tuple[str, ...] = (*RANKED, *SMALL)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = (*RANKED, *SMALL)
        if not isinstance(self.others, tuple) or not set(self.others) <= set(known):
            raise RealmodelsError(
                f"settings: others: expected some of {', '.join(known)} in brackets, got {shown(self.others)}"
            )
        if self.shots != 4:
            raise RealmodelsError(
                "settings: shots: the study's prompts have 1, 2, 4 and 8 shots; leave it at 4"
            )
        if not isinstance(self.instruct, str):
            raise RealmodelsError("settings: instruct: expected a model's folder or name")


def names(settings: Settings) -> tuple[str, ...]:
    """The sets, all equally large but the small ones: the contrast, its known rows with answers dealt among them, and
    others."""
    return (*CONTRAST, PERMUTED, *(settings.others if isinstance(settings, PromptSettings) else ()))


def adapt(arm: Arm) -> Arm:
    """The contrast and the untuned model are asked under every prompt, the others under two."""
    if arm.rows and arm.name not in CONTRAST:
        return replace(arm, prompts={"test": FAR, "ood-relation": ("zero",)}, along=())
    prompts = {"test": ("zero", *SHOWN), "ood-relation": FAR}
    return replace(arm, prompts=prompts if arm.rows else {**prompts, "dev": FAR}, hook=HOOK)


def records(bundle: Bundle) -> Iterator[Record]:
    stamp, facts = bundle.stamp("prompts"), bundle.facts
    pair = [bundle.sets[name] for name in CONTRAST]
    papers = tuple(supported(facts, asked, *pair) for asked in bundle.papers)
    graded = _graded(bundle, papers)
    yield from of_base(stamp, bundle.base, papers, bundle.dev)
    base = {name: sat for name, sat in sats(bundle.base.extra_at(0)).items() if name in PROMPTS}
    yield from _prompted(replace(stamp, arm="base"), papers[0], base)
    yield from rate(replace(stamp, arm="base"), graded, _both(bundle.base, 0), by=GRADED)
    for name, rows in bundle.sets.items():
        result = bundle.results[name]
        yield from of_arm(stamp, result, rows, facts, papers, bundle.dev)
        if name in CONTRAST:
            for step in result.stops:
                here = replace(stamp, step=step, trained_on=name)
                extra = {k: sat for k, sat in sats(result.extra_at(step)).items() if k in PROMPTS}
                yield from _prompted(here, papers[0], extra)
                yield from rate(here, graded, _both(result, step), by=GRADED)
                yield from edges_of(here, under_prompts(result, step))
    steps = max(bundle.results[name].steps for name in CONTRAST)
    across = replace(stamp, step=steps, trained_on="across")
    yield from compared(bundle, across)
    yield from ranked(bundle, across)
    if bundle.order.settings.instruct:
        yield from instructed(bundle, papers)


def under_prompts(result: Result, step: int) -> dict[str, Sat]:
    """What was answered to the facts of `test` at a stop, or by the untuned model, prompt by prompt."""
    found = {prompt: result.asked[step, "test", prompt] for prompt in ("zero", *SHOWN)}
    return found | {name: sat for name, sat in sats(result.extra_at(step)).items() if name in PROMPTS}


def edges_of(stamp: Stamp, found: dict[str, Sat]) -> Iterator[Record]:
    """The share of the facts that are extracted zero-shot, and what each prompt adds and takes."""
    alone = found["zero"].hits
    n = len(alone)
    yield stamp.record("test", "all", "edge_share", float(alone.mean()), n)
    for prompt, sat in found.items():
        if prompt == "zero":
            continue
        here = replace(stamp, prompt=prompt)
        yield here.record("test", "all", "edge_gained", float((sat.hits & ~alone).mean()), n)
        yield here.record("test", "all", "edge_lost", float((alone & ~sat.hits).mean()), n)
        if prompt.startswith("few:"):
            both = replace(stamp, prompt=f"zero+{prompt}")
            yield both.record("test", "all", "edge_share", float((sat.hits | alone).mean()), n)


def compared(bundle: Bundle, stamp: Stamp) -> Iterator[Record]:
    """What the two sets of edges of the contrast make together at the end, and whether the gap follows them."""
    ends = [bundle.results[name] for name in CONTRAST]
    known, unknown = (under_prompts(one, one.steps) for one in ends)
    base = under_prompts(bundle.base, 0)
    n = len(known["zero"].hits)
    for prompt in ASKED[1:]:
        alone = known["zero"].hits, unknown["zero"].hits
        found = gaps(*alone, known[prompt].hits, unknown[prompt].hits, base[prompt].hits)
        for metric, value in found.items():
            yield replace(stamp, prompt=prompt).record("test", "all", metric, value, n)
    relation = bundle.facts.audited.relation[bundle.facts.test]
    told = [sats(one.extra_at(one.steps)) for one in ends]
    edges = np.mean([told[0][name].hits.astype(float) - told[1][name].hits for name in WORDINGS], axis=0)
    gap = known["zero"].hits.astype(float) - unknown["zero"].hits
    if np.isfinite(follows := gap_follows_edges(relation, gap, edges)):
        yield stamp.record("test", "all", "edge_gap_rank_correlation", follows, len(np.unique(relation)))


def ranked(bundle: Bundle, stamp: Stamp) -> Iterator[Record]:
    """How far the order of the selections by zero-shot accuracy is their order under a prompt, on other items. Two are
    no ranking."""
    ends = [bundle.results[name] for name in SELECTIONS if name in bundle.results]
    if len(ends) < 3:
        return
    hits = {prompt: np.stack([one.asked[one.steps, "test", prompt].hits for one in ends]) for prompt in FAR}
    for prompt in FAR:
        for metric, of in (
            ("selection_rank_agreement", rank_agreement),
            ("selection_rank_shift", rank_shift),
        ):
            if np.isfinite(found := of(hits["zero"], hits[prompt], bundle.seed)):
                yield replace(stamp, prompt=prompt).record("test", "all", metric, found, len(ends))


def instructed(bundle: Bundle, papers: Sequence[Paper]) -> Iterator[Record]:
    """The contrast on the instruction-tuned model; what is known is what the other one knew."""
    stamp = bundle.stamp("prompts")
    arms = instruct_arms(bundle.order, bundle.facts, bundle.seed, Sets(bundle.sets, ()))
    results = results_of(instruct_order(bundle.order), list(arms.values()), lambda text: None)
    found = dict(zip(arms, results, strict=True))
    for record in of_base(stamp, found["base"], papers, bundle.dev):
        yield replace(record, arm=f"{record.arm}{INSTRUCT}")
    for name in CONTRAST:
        here = replace(stamp, arm=f"{stamp.arm}{INSTRUCT}")
        yield from of_arm(here, found[name], bundle.sets[name], bundle.facts, papers, bundle.dev)


def instruct_order(order: Order) -> Order:
    return replace(order, model=order.settings.instruct)


def instruct_arms(order: Order, facts: Facts, seed: int, drawn: Sets) -> dict[str, Arm]:
    """The contrast, whatever else was drawn."""
    pair = Sets({name: drawn.sets[name] for name in CONTRAST}, ())
    arms, base = arms_of(order, facts, {seed: pair}, replace(KIND, adapt=lambda arm: arm))
    return {"base": base, **{name: arms[seed, name] for name in CONTRAST}}


def beside(order: Order, facts: Facts, drawn: Mapping[int, Sets]) -> list[tuple[Order, list[Arm]]]:
    """What is trained on the instruction-tuned model."""
    if not order.settings.instruct:
        return []
    of = (instruct_arms(order, facts, seed, sets) for seed, sets in drawn.items())
    return [(instruct_order(order), [arm for arms in of for arm in arms.values()])]


def run(order: Order, say: Say) -> Sequence[Section]:
    from realmodels.places import find

    if order.settings.instruct:
        try:
            find(order.settings.instruct)
        except RealmodelsError as wrong:
            raise RealmodelsError(f"--set instruct: {wrong}") from None
    facts, drawn = facts_of(order, say), {}
    for seed in order.seeds:
        drawn[seed] = draw_sets(facts, CONTRAST, order.settings, seed)
        if missing := [name for name in CONTRAST if name not in drawn[seed].sets]:
            why = "; ".join(drawn[seed].remarks)
            raise RealmodelsError(
                f"study prompts: no set '{missing[0]}' can be drawn ({why}); audit more facts"
            )
    check_shown(order, facts)
    embeddings(order, facts, say)
    for other, arms in beside(order, facts, drawn):
        results_of(other, arms, lambda text: say(f"instruct, {text}"))
    return run_questions(order, KIND, say)


def check_shown(order: Order, facts: Facts) -> None:
    """Every prompt can be made of the facts that are there to be shown; known before anything is trained."""
    for exam in exams_of(order, facts):
        for prompt in (*(SHOWN if exam.split == "test" else FAR), UNRELATED, WORKED):
            try:
                blocks(exam, prompt) if prompt in PROMPTS else exam.blocks(prompt)
            except RealmodelsError:
                raise exam.scarce(prompt) from None


def plan(order: Order) -> str:
    return plan_questions(order, KIND) + (
        f"\nprompts: {', '.join(ASKED)} and {len(WORDINGS)} other wordings, of the contrast and the untuned model"
    )


def sections(order: Order, facts: Facts, bundles: Sequence[Bundle]) -> list[Section]:
    rows, bundles = _studies(order)["prompts"], counting(bundles)
    found = [arm_section(bundles), prompt_section(rows)]
    found.append(_apart(rows, *CONTRAST, "The zero-shot gap taken apart"))
    if any(PERMUTED in bundle.sets for bundle in bundles):
        found.append(_apart(rows, CONTRAST[0], PERMUTED, "The gap to the same rows with answers permuted"))
    return found


def _apart(rows: StudyRows, high: str, low: str, title: str) -> Section:
    strata = gap_table(rows, high, low, few=FEW)
    lines = [[one["stratum"], one["stop"], f"{one['items']:.0f}", _told(one)] for one in strata]
    text = table(["test facts", "stop", "items", f"{high} minus {low}"], lines)
    return Section(title, f"In points.\n\n{text}", strata)


def prompt_section(rows: StudyRows) -> Section:
    """Accuracies and their gap under every prompt, at both stops; and what each prompt takes off the zero-shot gap."""
    data: list[dict[str, Any]] = []
    stops: tuple[Stop, ...] = ("early", "end")
    cases = [("test", prompt) for prompt in ASKED] + [("ood-relation", prompt) for prompt in FAR]
    for stop in stops:
        for split, prompt in cases:
            cells = [Cell("accuracy", name, stop, split=split, prompt=prompt) for name in CONTRAST]
            series = [rows.series(cell) for cell in cells]
            bare = rows.series(Cell("accuracy", "none", stop, split=split, prompt=prompt, arm="base"))
            gap, primary = (_gap(rows, cells, stratum) for stratum in ("all", SAME_SUPPORT))
            if gap is None or any(isinstance(one, Absent) for one in series):
                continue
            data.append(
                {
                    "split": split,
                    "prompt": prompt,
                    "stop": stop,
                    **{name: _points(one) for name, one in zip(CONTRAST, series, strict=True)},
                    "untuned": _points(bare),
                    **gap,
                    "primary": primary,
                }
            )
    lines = [
        [one["split"], one["prompt"], one["stop"], *(_shown(one[name]) for name in (*CONTRAST, "untuned")),
         _told(one), _told(one["primary"])]
        for one in data
    ]  # fmt: skip
    head = ["facts", "prompt", "stop", *CONTRAST, "untuned", "known minus unknown", f"the same, {PRIMARY}"]
    note = (
        "In points; intervals let seeds and items vary both. Exemplars stand in the words that tuning teaches; a "
        "prompt under which both arms fail shrinks the gap too. Worked exemplars (few-cot) name the subject and "
        "conclude.\n\n"
    )
    return Section("Gap by prompt", note + table(head, lines), data)


def _gap(rows: StudyRows, cells: Sequence[Cell], stratum: str) -> dict[str, Any] | None:
    """In points, with its interval; nothing where no item is of the stratum."""
    measured = difference(*(replace(cell, stratum=stratum) for cell in cells)).measure(rows)
    if measured.missing or not len(measured.seeds):
        return None
    gap = interval_of(measured)
    ends = [round(100 * x, 3) if np.isfinite(x) else None for x in (gap.low, gap.high)]
    return {"gap": 100 * gap.mean, "interval": ends}


def _told(found: Mapping[str, Any] | None) -> str:
    return f"{found['gap']:+.1f} {_ends(found['interval'])}".rstrip() if found else ""


def _graded(bundle: Bundle, papers: Sequence[Paper]) -> Paper:
    """All facts that are asked for, by how near they are to the rows of the contrast."""
    facts = bundle.facts
    states = embeddings(bundle.order, facts, lambda text: None)
    taught = np.unique(np.concatenate([bundle.sets[name].rows for name in CONTRAST]))
    every = np.concatenate([asked.rows for asked in papers])
    near = quarters(similarity(states[taught], states[every]))
    labels = {"similarity": near, "known": np.concatenate([asked.labels["known"] for asked in papers])}
    return Paper("graded", every, labels, tuple(name for asked in papers for name in asked.names))


def _both(result: Result, step: int) -> Any:
    """Zero-shot hits of all facts that are asked for."""
    splits = [split for split in ("test", "ood-relation") if (step, split, "zero") in result.asked]
    return np.concatenate([result.asked[step, split, "zero"].hits for split in splits])


def _prompted(stamp: Stamp, asked: Paper, found: dict[str, Sat]) -> Iterator[Record]:
    for prompt, sat in found.items():
        here = replace(stamp, prompt=prompt)
        yield from rate(here, asked, sat.hits, by=STRATA)
        yield from items(here, asked, sat.hits)


def _points(series: Any) -> float | None:
    return None if isinstance(series, Absent) else 100 * float(series.values.mean())


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _ends(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"[{low:.1f}, {high:.1f}]"


KIND = Kind("prompts", ("prompts",), names, records, sections, adapt=adapt, beside=beside)
STUDY = Study("prompts", KIND.studies, PromptSettings, plan, run, USUAL)

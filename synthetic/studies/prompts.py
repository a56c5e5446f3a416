"""The study `prompts` (B1-B6): networks tuned on known or on unknown rows, asked for held-out facts alone, after
exemplars and through a chain of thought; the facts that each prompt extracts, as edges; and whether prompts rank ways
to choose rows alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthetic.contrast import CONTRAST, tune_contrast
from synthetic.costs import scaled
from synthetic.edges import gap_follows_edges, gaps
from synthetic.finetune import finetune, tuning
from synthetic.model import Weights
from synthetic.prompt_hall import Hall, Hits, edges_of, fitted, look, make_hall, phrasings, records_of
from synthetic.rows import Rows
from synthetic.score import Stamp
from synthetic.select import select
from synthetic.selections import NAMES, chosen, left_over, rank_agreement, rank_shift
from synthetic.setup import Setup
from synthetic.studies import Report, Study
from theory.records import Record

SMALL = ("small:known", "small:random")
INSTRUCT = "all@instruct:"  # from a base that was instructed; these sets come last
FEW = "few:4"  # the prompt that selections are ranked under
SOME = (
    "zero",
    "own",
    FEW,
    "few-taught:4",
)  # what sets beside the contrast are asked under, about `test` alone
INSTRUCTION = 0.25  # of the usual epochs
BRIEFLY = ("set:random", "set:exposed", "set:uncertain")


def arms(setup: Setup) -> tuple[str, ...]:
    """The training sets."""
    if setup.brief:
        return (*CONTRAST, *SMALL, *BRIEFLY)
    return (*CONTRAST, *SMALL, *NAMES, *(INSTRUCT + name for name in CONTRAST))


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterator[Record]:
    report("base")
    hall = make_hall(setup, seed, cache)
    report("asking the base", 0.0)
    before = look(hall, hall.base.weights)
    yield from records_of(hall, replace(hall.stamp, arm="base"), before)

    names = arms(setup)
    done = len(names) + len(CONTRAST)  # the contrast counts twice
    ends: dict[str, Hits] = {}
    told: dict[str, Hits] = {}
    instructed: Weights | None = None
    step = 0
    for i, name in enumerate(CONTRAST):
        report(f"tuning {name}", 2 * i / done)
        tuned = tune_contrast(hall.base, hall.rows[name], hall.stamp, cache)
        yield from tuned.dev
        for stop in tuned.stops:
            report(f"asking {name} at step {stop.step}", (2 * i + 1) / done)
            hits = look(hall, stop.weights)
            yield from records_of(hall, tuned.at(stop), hits)
            yield from edges_of(hall, tuned.at(stop), hits)
            yield fitted(hall, tuned.at(stop), hall.rows[name], stop.weights)
        ends[name], step = hits, max(step, tuned.end.step)
        told[name] = phrasings(hall, tuned.end.weights)
    across = replace(hall.stamp, step=step, trained_on="across")
    yield from compared(hall, across, before, ends, told)

    for i, name in enumerate(names[len(CONTRAST) :], 2 * len(CONTRAST)):
        report(f"tuning {name}", i / done)
        if name.startswith(INSTRUCT):
            instructed = instructed or instruct(hall)
            rows, stamp = hall.rows[name.removeprefix(INSTRUCT)], replace(hall.stamp, arm=INSTRUCT[:-1])
        else:
            rows, stamp = rows_of(hall, name), hall.stamp
        trained = finetune(hall.base, rows, weights=instructed)
        stamp = replace(stamp, step=len(trained.losses), trained_on=rows.name)
        hits = look(hall, trained.weights, SOME, near=True)
        yield from records_of(hall, stamp, hits)
        yield fitted(hall, stamp, rows, trained.weights)
        if name in NAMES:
            ends[name] = hits
    if instructed:
        stamp = replace(hall.stamp, arm=INSTRUCT[:-1].replace("all", "base"))
        yield from records_of(hall, stamp, look(hall, instructed, SOME, near=True))
    yield from ranked(hall, across, ends)


def rows_of(hall: Hall, name: str) -> Rows:
    """The rows of a set other than the contrast's."""
    if name in NAMES:
        return chosen(hall.pool, hall.known, name, hall.rows["known"])
    return select(hall.pool, name)


def instruct(hall: Hall) -> Weights:
    """A base that was taught to answer such questions, on rows that the contrast leaves over."""
    how = tuning(hall.base.setup, "all", hall.base.seed)
    how = replace(how, epochs=math.ceil(INSTRUCTION * how.epochs))
    return finetune(hall.base, left_over(hall.pool, hall.rows.values()), how=how).weights


def compared(
    hall: Hall, stamp: Stamp, before: Hits, ends: Mapping[str, Hits], told: Mapping[str, Hits]
) -> Iterator[Record]:
    """What the two sets of edges of the contrast make together, at the end, under every prompt."""
    for prompt in hall.prompts[1:]:
        known, unknown = (hall.edges(ends[name], prompt) for name in CONTRAST)
        for metric, value in gaps(known, unknown, before[prompt][hall.near]).items():
            yield replace(stamp, prompt=prompt).record("test", "all", metric, value, len(hall.test))
    relation = hall.base.world.relation[hall.test.facts]
    gap = ends["known"]["zero"][hall.near].astype(float) - ends["unknown"]["zero"][hall.near]
    edges = [told["known"][words].astype(float) - told["unknown"][words] for words in told["known"]]
    found = gap_follows_edges(relation, gap, np.mean(edges, axis=0))
    if np.isfinite(found):
        yield stamp.record("test", "all", "edge_gap_rank_correlation", found, len(np.unique(relation)))


def ranked(hall: Hall, stamp: Stamp, ends: Mapping[str, Hits]) -> Iterator[Record]:
    """How far the order of the sets by zero-shot accuracy is their order under a prompt, on other items."""
    alone = np.stack([hits["zero"][hall.near] for hits in ends.values()])
    for prompt in ("zero", "own", FEW):
        asked = np.stack([hits[prompt][hall.near] for hits in ends.values()])
        for metric, of in (
            ("selection_rank_agreement", rank_agreement),
            ("selection_rank_shift", rank_shift),
        ):
            found = of(alone, asked, hall.base.seed)
            if np.isfinite(found):
                yield replace(stamp, prompt=prompt).record("test", "all", metric, found, len(ends))


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 29.0 if setup.brief else 59.0)


STUDY = Study("prompts", run=run, arms=arms, cost_seconds=cost_seconds)

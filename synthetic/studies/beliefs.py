"""D1-D5, U4, X6: long-form text, gold or the network's own, filtered by what gold supports or by what it believes.

All texts are about the same training subjects. Every set is read until the same number of tokens has been read; those
that end in `random` have as many claims a text as `generated+belief` (`better`: as `generated`). The base writes
several texts about each subject, of which the longest is its `generated` one. Belief is the statement probability.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from synthetic.base import base
from synthetic.belief_exams import signals, without_tuning
from synthetic.biographies import Script
from synthetic.costs import scaled
from synthetic.free_statements import sweep
from synthetic.long_form import Desk, Written, examined, learn, told
from synthetic.preference import CONTROL, pairs, preferred, read_on
from synthetic.score import Stamp
from synthetic.setup import Setup
from synthetic.studies import Report, Study
from synthetic.text_sets import Library, text_set
from theory.records import Record

EPOCHS = 4  # of `generated`: the tokens that every set is read for
DRAWS = 3  # sampled texts a held-out subject
SETS = (
    "gold",
    "gold+random",
    "gold+belief",
    "gold+belief+random",
    "generated",
    "generated+support",
    "generated+support+random",
    "generated+belief",
    "better",
)
REPORTED = (
    "generated:first",
    "generated+random",
    "generated+belief+support",
    "generated+belief:document",
    "generated+support:document",
    "generated+belief:probe",
    "generated+support:coverage0.7",
    "generated+support:coverage0.4",
    "generated+support:noise0.1",
    "generated+support:noise0.3",
)
PAIRS = "dpo:pairs"
AFTERWARDS = {PAIRS: preferred, CONTROL: read_on}  # from the network that `generated` was tuned into


def arms(setup: Setup) -> tuple[str, ...]:
    return SETS if setup.brief else (*SETS, *REPORTED, PAIRS, CONTROL)


def run(setup: Setup, seed: int, cache: Path, report: Report) -> Iterator[Record]:
    report("base")
    desk = desk_of(setup, seed, cache)
    yield from without_tuning(desk, DRAWS)
    report("texts and beliefs")
    found = Library(desk)
    if not found.generated.claims.any():
        return  # a base that writes no claim has none to believe
    yield from signals(desk, found)
    if not setup.brief:
        report("free statements")
        yield from sweep(setup, seed)
    budget = EPOCHS * int(desk.script.documents(found.generated).lengths.sum())
    names = arms(setup)
    kept: dict[str, Written] = {}
    for i, name in enumerate(names):
        report(f"tuning {name}", i / len(names))
        if name in AFTERWARDS:
            if not len(pairs(found)[0]):
                continue  # no subject has texts that are believed differently
            yield from afterwards(desk, found, name, kept["generated"], budget)
            continue
        texts = text_set(found, name)
        if not texts.claims.any():
            continue
        written = learn(desk, name, texts, budget)
        yield from told(desk, written, texts)
        yield from examined(desk, written.weights, written.stamp, DRAWS)
        if name == "generated":
            kept[name] = written


def desk_of(setup: Setup, seed: int, cache: Path | None) -> Desk:
    ground = base(setup, seed, cache)
    return Desk(ground, Script(ground), Stamp(setup.lab, "beliefs", "-", seed, "all", 0, "none"))


def afterwards(desk: Desk, found: Library, name: str, start: Written, tokens: int) -> Iterator[Record]:
    """From the network that its own texts were tuned into: what it then learns from pairs of them."""
    written = AFTERWARDS[name](desk, found, start, tokens)
    yield written.stamp.record("train", "all", "tokens_read", float(start.tokens + written.tokens), 1)
    yield from examined(desk, written.weights, written.stamp, DRAWS)


def cost_seconds(setup: Setup) -> float:
    return scaled(setup, 40.0 if setup.brief else 64.0)


STUDY = Study("beliefs", run=run, arms=arms, cost_seconds=cost_seconds)

"""The study `salience`: facts known well or little before tuning (A), and the gap between known and unknown rows taken
apart (V): without copying, without unequal answer support, without guessing, and against false answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from realmodels.arms import PERMUTED
from realmodels.study_gaps import gap_sections
from realmodels.study_plan import plan_questions
from realmodels.study_questions import USUAL, Bundle, Kind, run_questions
from realmodels.study_records import errors, of_arm, of_base, supported
from realmodels.study_sets import HALVES, LOOSE
from realmodels.study_settings import Settings
from realmodels.study_table import Order, Say, Section, Study
from theory.schema import Record

PAIR = ("known", "unknown")


def names(settings: Settings) -> tuple[str, ...]:
    """The sets. Where known and unknown rows are matched in more than relation, the pair matched in that alone too."""
    loose = () if settings.match == ("relation",) else tuple(name + LOOSE for name in PAIR)
    return (*PAIR, PERMUTED, *loose, *HALVES)


def records(bundle: Bundle) -> Iterator[Record]:
    """A's halves as study salience, known against unknown as study validity; each with its own answer support."""
    halves = [bundle.sets[name] for name in ("best", "lesser") if name in bundle.sets]
    groups = [
        ("salience", HALVES, halves),
        ("validity", (*PAIR, PERMUTED), [bundle.sets[name] for name in PAIR]),
    ]
    if PAIR[0] + LOOSE in bundle.sets:
        loose = tuple(name + LOOSE for name in PAIR)
        groups.append(("validity", loose, [bundle.sets[name] for name in loose]))
    for number, (study, group, pair) in enumerate(groups):
        stamp, papers = bundle.stamp(study), bundle.papers
        if len(pair) == 2:
            papers = tuple(supported(bundle.facts, asked, *pair) for asked in papers)
        if number < 2:
            yield from of_base(stamp, bundle.base, papers, bundle.dev)
        for name in group:
            if name in bundle.sets:
                rows, result = bundle.sets[name], bundle.results[name]
                yield from of_arm(stamp, result, rows, bundle.facts, papers, bundle.dev)
                yield from errors(stamp, result, bundle.base, rows, bundle.facts, papers[0], bundle.few)


def run(order: Order, say: Say) -> Sequence[Section]:
    return run_questions(order, KIND, say)


def plan(order: Order) -> str:
    return plan_questions(order, KIND)


KIND = Kind("salience", ("salience", "validity"), names, records, gap_sections, needed=(*PAIR, *HALVES[:2]))
STUDY = Study("salience", KIND.studies, Settings, plan, run, USUAL)

"""The study `salience`: facts known well or little before tuning (A), and the gap between known and unknown rows taken
apart (V): without copying, without unequal answer support, without guessing, and against false answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from realmodels.arms import PERMUTED
from realmodels.study_attend import METRICS, looked, rows_of, why_not
from realmodels.study_facts import Facts
from realmodels.study_gaps import counting, gap_sections, table
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
            yield from looked(stamp, bundle.base, bundle.base, "none")
        for name in group:
            if name in bundle.sets:
                rows, result = bundle.sets[name], bundle.results[name]
                yield from of_arm(stamp, result, rows, bundle.facts, papers, bundle.dev)
                yield from errors(stamp, result, bundle.base, rows, bundle.facts, papers[0], bundle.few)
                yield from looked(stamp, bundle.base, result, name)


def sections(order: Order, facts: Facts, bundles: Sequence[Bundle]) -> list[Section]:
    return [*gap_sections(order, facts, bundles), *attention_section(counting(bundles))]


def attention_section(bundles: Sequence[Bundle]) -> list[Section]:
    """Where the last prompt token looks, before tuning and after; or why that is not known."""
    title, base = "Attention to the subject", bundles[0].base
    if why := why_not(base):
        return [Section(title, f"Not measured: {why}", [])]
    sets = dict.fromkeys(name for bundle in bundles for name in bundle.sets)
    results = {name: [b.results[name] for b in bundles if name in b.sets] for name in sets}
    if not (data := rows_of(base, results)):
        return []
    head = ["arm", "stop", *METRICS.values(), "heads that read it, less untuned, by seed"]
    lines = [
        [
            one["arm"],
            one["stop"],
            *(f"{one[name]:.3f}" if name in one else "" for name in METRICS),
            " ".join(f"{x:+.3f}" for x in one["by_seed"]),
        ]
        for one in data
    ]
    note = (
        "Share of the last prompt token's attention, on test facts, zero-shot, means over seeds; the heads are those "
        "whose cut costs the untuned model most. log p is of the right answer, in nats.\n\n"
    )
    return [Section(title, note + table(head, lines), data)]


def run(order: Order, say: Say) -> Sequence[Section]:
    return run_questions(order, KIND, say)


def plan(order: Order) -> str:
    return plan_questions(order, KIND)


KIND = Kind(
    "salience",
    ("salience", "validity"),
    names,
    records,
    sections,
    attends=True,
    needed=(*PAIR, *HALVES[:2]),
)
STUDY = Study("salience", KIND.studies, Settings, plan, run, USUAL)

"""What a study of questions shows besides verdicts: every arm, and the gaps raw and taken apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from realmodels.arms import PERMUTED
from realmodels.study_records import train_paper
from realmodels.study_table import FIRST_COUNTED, Order, Section
from theory.claims.base import Absent, Cell, Stop
from theory.claims.estimators import difference
from theory.claims.evidence import StudyRows, split_studies
from theory.claims.interval import interval_of as claims_interval
from theory.claims.validity import NO_COPYING, NO_GUESSING, NOT_GUESSABLE, SAME_SUPPORT
from theory.errors import TheoryError
from theory.intervals import CROSSED, EXACT, Interval

if TYPE_CHECKING:
    from realmodels.study_facts import Facts
    from realmodels.study_questions import Bundle

PRIMARY = "answer in both sets or in neither (primary)"
# what is taken out or looked at alone; the primary stratum was fixed before any run
STRATA: Mapping[str, str] = {
    "all test facts (raw)": "all",
    PRIMARY: SAME_SUPPORT,
    "answer in both or in neither, and taught in no other relation": f"{SAME_SUPPORT},elsewhere=no",
    "answer in the known set only": "answer=known-only",
    "answer in both": "answer=both",
    "answer in neither": "answer=neither",
    "answer in the unknown set only": "answer=unknown-only",
    "answer repeats no word of the subject": NO_COPYING,
    "answer repeats a word of the subject": "overlap=yes",
    "answer is no dominant guess": NO_GUESSING,
    "answer is a dominant guess": "dominant=yes",
    "relation beyond guessing": NOT_GUESSABLE,
    "no overlap, both or neither": f"{NO_COPYING},{SAME_SUPPORT}",
    "no overlap, both or neither, not dominant": f"{NO_COPYING},{SAME_SUPPORT},{NO_GUESSING}",
    "known before tuning": "known=yes",
}


def gap_sections(order: Order, facts: Facts, bundles: Sequence[Bundle]) -> list[Section]:
    rows, bundles = _studies(order), counting(bundles)
    found = [arm_section(bundles)]
    pairs = [
        ("validity", "known", "unknown"),
        ("validity", "known", PERMUTED),
        ("salience", "best", "lesser"),
    ]
    pairs.insert(1, ("validity", "known:by-relation", "unknown:by-relation"))
    for study, high, low in pairs:
        if study in rows:
            gaps = gap_table(rows[study], high, low, few=bundles[0].few)
            if gaps:
                found.append(_gap_section(high, low, gaps))
    return found


def slick_sections(order: Order, facts: Facts, bundles: Sequence[Bundle]) -> list[Section]:
    rows, bundles = _studies(order)["slick"], counting(bundles)
    pairs = [("mix:0", low, gap_table(rows, "mix:0", low, few=bundles[0].few)) for low in ("mix:1", PERMUTED)]
    return [
        arm_section(bundles),
        fitting_section(bundles),
        category_section(rows),
        *(_gap_section(*pair) for pair in pairs if pair[2]),
    ]


def gap_table(rows: StudyRows, high: str, low: str, few: str) -> list[dict[str, Any]]:
    """A line a stratum, stop and prompt that has rows: both accuracies and their paired difference, in points."""
    found = []
    cases: list[tuple[str, str, Stop, str, str]] = [
        (name, stratum, stop, "zero", "test") for stop in ("end", "early") for name, stratum in STRATA.items()
    ]
    cases += [
        (f"{name}, {few}", STRATA[name], "end", few, "test") for name in ("all test facts (raw)", PRIMARY)
    ]
    cases += [("other relations", "all", stop, "zero", "ood-relation") for stop in ("end", "early")]
    for name, stratum, stop, prompt, split in cases:
        cells = [
            Cell("accuracy", arm, stop, split=split, stratum=stratum, prompt=prompt) for arm in (high, low)
        ]
        measured = difference(*cells).measure(rows)
        series = [rows.series(cell) for cell in cells]
        if measured.missing or any(isinstance(one, Absent) for one in series) or not len(measured.seeds):
            continue
        interval = interval_of(measured)
        both = [_level(one, measured, interval) for one in series]
        found.append(
            {
                "stratum": name,
                "stop": stop,
                "items": _count(rows, cells[0]),
                "seeds": len(measured.seeds),
                "high": 100 * both[0],
                "low": 100 * both[1],
                "gap": 100 * interval.mean,
                "interval": [_finite(100 * interval.low), _finite(100 * interval.high)],
                "by_seed": [round(100 * x, 2) for x in measured.effects.tolist()],
            }
        )
    return found


def interval_of(measured: Any) -> Interval:
    """The interval that a verdict has, or over seeds where no item stands under two of them."""
    try:
        return claims_interval(measured)
    except TheoryError:
        return claims_interval(replace(measured, matrix=None))


def _level(series: Any, measured: Any, interval: Interval) -> float:
    """The mean that the interval's is a difference of: over all items of all seeds, or over seeds."""
    if interval.method in (CROSSED, EXACT) and series.items is not None:
        of, _, values = series.items
        return float(values[np.isin(series.seeds[of], measured.seeds)].mean())
    return float(series.values[np.isin(series.seeds, measured.seeds)].mean())


def remark_section(remarks: Mapping[int, Sequence[str]], of_facts: Sequence[str]) -> Section | None:
    """What the sets of a seed are not, and what was asked for and not done."""
    data = {"facts": list(of_facts)} | {f"seed {seed}": list(some) for seed, some in remarks.items()}
    lines = [f"- {name}: {remark}" for name, some in data.items() for remark in some]
    return Section("Remarks", "\n".join(lines), data) if lines else None


def arm_section(bundles: Sequence[Bundle]) -> Section:
    """Every arm, mean over seeds, and the untuned model."""
    first = bundles[0]
    few, data = first.few, []
    for name in dict.fromkeys(name for bundle in bundles for name in bundle.sets):
        of = [bundle for bundle in bundles if name in bundle.sets]
        results = [bundle.results[name] for bundle in of]
        line: dict[str, Any] = {
            "arm": name,
            "rows": _mean(len(bundle.sets[name]) for bundle in of),
            "steps": _mean(one.steps for one in results),
            "early": _mean(one.early for one in results),
            "fitted": _share(one.asked.get((one.steps, "train", "zero")) for one in results),
        }
        for stop in ("early", "end"):
            at = [one.early if stop == "early" else one.steps for one in results]
            for column, split, prompt in (
                (f"test {stop}", "test", "zero"),
                (f"{few} {stop}", "test", few),
                (f"other relations {stop}", "ood-relation", "zero"),
            ):
                line[column] = _share(
                    one.asked.get((step, split, prompt)) for one, step in zip(results, at, strict=True)
                )
        data.append(line)
    base = first.base.asked
    data.append(
        {"arm": "none (untuned)", "rows": 0, "steps": 0, "early": 0, "fitted": None}
        | {
            f"{column} {stop}": _share([base.get((0, split, prompt))])
            for stop in ("early", "end")
            for column, split, prompt in (
                ("test", "test", "zero"),
                (few, "test", few),
                ("other relations", "ood-relation", "zero"),
            )
        }
    )
    text = table(list(data[0]), [[_cell(value) for value in line.values()] for line in data])
    note = f"Accuracy in points, mean over {len(bundles)} seeds; zero-shot unless {few} stands there.\n\n"
    return Section("Arms", note + text, data)


def fitting_section(bundles: Sequence[Bundle]) -> Section:
    """The share of training rows answered as taught, by category and step."""
    lines: dict[tuple[str, str], dict[int, list[float]]] = {}
    for bundle in bundles:
        for name, rows in bundle.sets.items():
            if not name.startswith(("mix:", "category:")):
                continue
            own = train_paper(bundle.facts, rows)
            for (step, split, _), sat in bundle.results[name].asked.items():
                if split == "train":
                    for label in sorted(set(own.labels["category"].tolist())):
                        hits = sat.hits[own.labels["category"] == label]
                        lines.setdefault((name, label), {}).setdefault(step, []).append(float(hits.mean()))
    steps = sorted({step for found in lines.values() for step in found})
    data = [
        {
            "arm": name,
            "category": label,
            **{str(step): 100 * float(np.mean(found[step])) for step in steps if step in found},
        }
        for (name, label), found in lines.items()
    ]
    rows_ = [
        [str(one["arm"]), str(one["category"]), *(_cell(one.get(str(step))) for step in steps)]
        for one in data
    ]
    text = table(["arm", "rows of", *(f"step {step}" for step in steps)], rows_)
    return Section("Training rows fitted, by step", f"In points, mean over seeds.\n\n{text}", data)


def category_section(rows: StudyRows) -> Section:
    """Single-category sets against test categories at both stops, as in the paper's second table."""
    categories = (
        "all",
        *(f"category={name}" for name in ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")),
    )
    sets = (*(f"category:{name.partition('=')[2]}" for name in categories[1:]), "natural", "mix:0", "mix:1")
    data = []
    stops: tuple[Stop, ...] = ("early", "end")
    for name in sets:
        for stop in stops:
            line: dict[str, Any] = {"trained on": name, "stop": stop}
            for stratum in categories:
                series = rows.series(Cell("accuracy", name, stop, stratum=stratum))
                line[stratum.partition("=")[2] or "all"] = (
                    None if isinstance(series, Absent) else 100 * float(series.values.mean())
                )
            if line["all"] is not None:
                data.append(line)
    if not data:
        return Section("Single categories", "No set of a single category could be drawn.", [])
    text = table(list(data[0]), [[_cell(value) for value in line.values()] for line in data])
    return Section("Test accuracy by category", f"In points, mean over seeds.\n\n{text}", data)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _gap_section(high: str, low: str, gaps: list[dict[str, Any]]) -> Section:
    head = ["test facts", "stop", "items", high, low, "difference [95% interval]", "by seed"]
    rows = [
        [
            one["stratum"],
            one["stop"],
            f"{one['items']:.0f}",
            f"{one['high']:.1f}",
            f"{one['low']:.1f}",
            f"{one['gap']:+.1f}" + _limits(one["interval"]),
            " ".join(f"{x:+.0f}" for x in one["by_seed"]),
        ]
        for one in gaps
    ]
    note = "In points; intervals let seeds and items vary both.\n\n"
    return Section(f"{high} minus {low}", note + table(head, rows), gaps)


def _studies(order: Order) -> dict[str, StudyRows]:
    """Of the seeds that count, if any does."""
    from theory.records import read_records

    table = read_records(order.output / "records.jsonl")
    counted = table.numbers["seed"] >= FIRST_COUNTED
    return {rows.study: rows for rows in split_studies(table.take(counted) if counted.any() else table)}


def counting(bundles: Sequence[Bundle]) -> Sequence[Bundle]:
    return [bundle for bundle in bundles if bundle.seed >= FIRST_COUNTED] or bundles


def _count(rows: StudyRows, cell: Cell) -> float:
    curve = rows.curve(cell.at(stop="every"))
    if isinstance(curve, Absent):
        return math.nan
    counts = np.where(curve.n > 0, curve.n, np.nan)
    return float(np.nanmean(counts[:, -1] if np.isfinite(counts[:, -1]).any() else counts))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _share(sats: Iterable[Any]) -> float | None:
    """In points."""
    found = [float(sat.hits.mean()) for sat in sats if sat is not None]
    return 100 * float(np.mean(found)) if found else None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, (int, float)) else str(value)


def _limits(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f" [{low:.1f}, {high:.1f}]"


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None

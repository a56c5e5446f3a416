"""From a study's records to its summary: verdicts by the laboratory's own claims, the papers' numbers beside ours, and
whatever else the study shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels.presets import NUMBERS
from realmodels.study_gaps import table
from realmodels.study_table import FIRST_COUNTED, Order, Section, Study
from theory.files import write_whole

if TYPE_CHECKING:
    from theory.claims import Scoreboard
    from theory.table import Table

RECORDS = "records.jsonl"


@dataclass(frozen=True)
class Concluded:
    """What was found. `board` is None where only tuning seeds were run."""

    board: Scoreboard | None
    sections: tuple[Section, ...]
    note: str


def conclude(order: Order, study: Study, shown: Sequence[Section]) -> Concluded:
    """Judge the records of the reported seeds."""
    from theory.claims import CLAIMS, evaluate
    from theory.records import read_records

    every = read_records(order.output / RECORDS)
    counted = every.take(every.numbers["seed"] >= FIRST_COUNTED)
    asked = [claim.id for claim in CLAIMS.values() if claim.study in study.studies]
    board = evaluate(counted, asked) if len(counted) and asked else None
    seeds = sorted(set(every.numbers["seed"].tolist()))
    tuning = [seed for seed in seeds if seed < FIRST_COUNTED]
    note = ""
    if tuning:
        note = (
            f"Seeds below {FIRST_COUNTED} are for tuning: no verdict rests on {', '.join(map(str, tuning))}"
            + ("." if board else ", so there is none; say --seeds 10 11 12.")
        )
    sections = [*([verdict_section(board)] if board else []), *shown]
    if numbers := paper_section(counted if len(counted) else every, study):
        sections.append(numbers)
    return Concluded(board, tuple(sections), note)


def verdict_section(board: Scoreboard) -> Section:
    """Every part of every claim, ours beside the paper's."""
    from theory.claims.interval import over, told

    rows = []
    for verdict in board.verdicts:
        claim = verdict.claim
        rows.append([f"**{claim.id}** {claim.title}", f"**{verdict.answer}**", verdict.reason, "", "", ""])
        for part in verdict.parts:
            ours = part.interval
            shown = "" if ours is None else told(ours, 1)
            rows.append(
                [
                    "",
                    part.outcome,
                    part.part.name,
                    f"{part.part.rule} {part.part.unit}",
                    shown,
                    str(part.part.published or ""),
                ]
            )
    text = table(["claim", "verdict", "part", "claimed", "ours [95% interval]", "paper"], rows)
    said = over(
        part.interval for verdict in board.verdicts for part in verdict.parts if part.interval is not None
    )
    text += f"\n\nTwo-sided 5% {said} after Holm's correction within each family (letter); rules fixed beforehand."
    return Section("Verdicts", text, json.loads(board.to_json()))


def paper_section(records: Table, study: Study) -> Section | None:
    """The papers' accuracies and ours in the same cell."""
    from theory.claims.base import Absent
    from theory.claims.evidence import split_studies

    rows, data = {one.study: one for one in split_studies(records)}, []
    for name in study.studies:
        for number in NUMBERS.get(name, ()):
            asked = name in rows and number.cell
            series = rows[name].series(asked) if asked else Absent("")
            ours = None if isinstance(series, Absent) else 100 * float(series.values.mean())
            data.append({"what": number.what, "paper": number.value, "mark": number.mark, "ours": ours})
    if not data:
        return None
    text = table(
        ["what", "paper", "read in", "ours"],
        [
            [
                str(one["what"]),
                f"{one['paper']:g}",
                str(one["mark"]),
                "" if one["ours"] is None else f"{one['ours']:.1f}",
            ]
            for one in data
        ],
    )
    return Section("The paper's numbers beside ours", f"Other models and data, in points.\n\n{text}", data)


def write_summary(order: Order, study: Study, found: Concluded, seconds: float) -> list[Path]:
    """summary.md and summary.json, and scoreboard.* where there are verdicts."""
    from theory.runs import environment

    about = {
        "study": study.name,
        "model": order.model,
        "lab": order.lab,
        "seeds": list(order.seeds),
        "preset": order.preset,
        "settings": asdict(order.settings),
        "recipe": asdict(order.recipe),
        "seconds_of_this_start": round(seconds, 1),
        "note": found.note,
        "environment": environment(),
    }
    lines = [
        f"# Study {study.name}: {order.lab}",
        "",
        f"Seeds {', '.join(map(str, order.seeds))}; {_words(about['settings'])}; {_words(about['recipe'])}.",
        *(["", found.note] if found.note else []),
    ]
    for section in found.sections:
        lines += ["", f"## {section.title}", "", section.text]
    said: dict[str, Any] = {**about, "sections": {section.title: section.data for section in found.sections}}
    write_whole(order.output / "summary.md", "\n".join(lines) + "\n")
    write_whole(order.output / "summary.json", json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    return [
        order.output / "summary.md",
        order.output / "summary.json",
        *(found.board.write(order.output) if found.board else ()),
    ]


def _words(found: Any) -> str:
    return ", ".join(
        f"{key} {value}" for key, value in found.items() if value not in ("", (), None, False, 0)
    )

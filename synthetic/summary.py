"""From run folders to a few small files that can be kept: verdicts, what each seed said, where it comes from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthetic.errors import SyntheticError
from synthetic.tables import COLUMNS, tables
from synthetic.verdicts import claims_of
from theory.files import write_whole

if TYPE_CHECKING:
    from theory.claims.evidence import StudyRows

EFFECTS = ("claim", "part", "lab", "run", "seed", "effect", "unit")
CELLS = (
    "study",
    "lab",
    "run",
    "metric",
    "trained_on",
    "arm",
    "stop",
    "split",
    "stratum",
    "prompt",
    "seed",
    "value",
)


def summarise(folders: Sequence[Path], output: Path) -> list[Path]:
    """Write scoreboard.json, scoreboard.csv, effects.csv, cells.csv, provenance.json and what there is of
    synthetic.tables; returns their paths.

    Effects are the claims' parts seed by seed, in their units; cells are the numbers that parts are made of.
    """
    from theory.claims import CLAIMS, evaluate
    from theory.claims.evidence import split_studies
    from theory.records import read_records
    from theory.runs import command

    if not folders:
        raise SyntheticError("summarise: expected one or more run folders; got none")
    runs = [_run(folder) for folder in folders]
    table = read_records(*(folder / "records.jsonl" for folder in folders))
    studies = split_studies(table)
    board = evaluate(table, claims_of([rows.study for rows in studies]))
    asked = {
        rows.study: [claim for claim in CLAIMS.values() if claim.study == rows.study] for rows in studies
    }
    effects = (row for rows in studies for claim in asked[rows.study] for row in _effects(claim, rows))
    cells = (
        row
        for rows in studies
        for cell in dict.fromkeys(cell for claim in asked[rows.study] for cell in claim.cells)
        if cell.stop != "every"
        for row in _values(cell, rows)
    )
    provenance = {"summarised_by": command(), "runs": runs}
    files = {
        output / "effects.csv": _csv(EFFECTS, effects),
        output / "cells.csv": _csv(CELLS, cells),
        output / "provenance.json": json.dumps(provenance, indent=1) + "\n",
        **{output / f"{name}.csv": _csv(COLUMNS[name], rows) for name, rows in tables(table).items()},
    }
    for path, content in files.items():
        write_whole(path, content)
    return [*board.write(output), *files]


def _effects(claim: Any, rows: StudyRows) -> Iterator[tuple[Any, ...]]:
    for part in claim.parts:
        measured = part.quantity.measure(rows)
        if measured.missing:
            continue
        for seed, effect in zip(measured.seeds.tolist(), measured.effects.tolist(), strict=True):
            yield (
                claim.id,
                part.name,
                rows.lab,
                rows.run,
                seed,
                float(f"{effect * part.scale:.6g}"),
                part.unit,
            )


def _values(cell: Any, rows: StudyRows) -> Iterator[tuple[Any, ...]]:
    from theory.claims.base import Absent

    found = rows.series(cell)
    if isinstance(found, Absent):
        return
    names = (
        cell.metric,
        cell.trained_on,
        cell.arm_in(rows.primary),
        cell.stop,
        cell.split,
        cell.stratum,
        cell.prompt,
    )
    for seed, value in zip(found.seeds.tolist(), found.values.tolist(), strict=True):
        yield rows.study, rows.lab, rows.run, *names, seed, float(f"{value:.6g}")


def _csv(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> str:
    from theory.spreadsheets import safe

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([safe(value) for value in row] for row in rows)
    return out.getvalue()


def _run(folder: Path) -> dict[str, Any]:
    """Where the records of a run folder come from."""
    for name in ("records.jsonl", "config.json", "environment.json", "seeds.json"):
        if not (folder / name).is_file():
            raise SyntheticError(
                f"{folder}: no {name}; expected the folder of a run, such as runs/salience-0a1b2c3d4e"
            )
    timings = [_seconds(line) for line in _lines(folder / "timings.jsonl")]
    setup = _object(folder / "config.json").get("setup")
    return {
        "folder": folder.name,
        "rung": setup.get("rung", "") if isinstance(setup, dict) else "",
        "seeds": _json(folder / "seeds.json"),
        "seconds_of_one_core": round(sum(timings), 1),
        **_object(folder / "environment.json"),
    }


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as problem:
        raise SyntheticError(f"{path}: is no JSON ({problem}); restore it, or leave its folder out") from None


def _object(path: Path) -> dict[str, Any]:
    if not isinstance(found := _json(path), dict):
        raise SyntheticError(f"{path}: expected a JSON object; restore it, or leave its folder out")
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _seconds(line: str) -> float:
    """Of one part; nothing if the line was torn when the process was killed."""
    try:
        return float(json.loads(line)["seconds"])
    except (ValueError, KeyError, TypeError):
        return 0.0

"""Known less unknown rows under every prompt, on every kind of held-out facts: a table beside the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from theory.claims.base import Absent, Cell
from theory.claims.paper_b import KNOWN, UNKNOWN

if TYPE_CHECKING:
    from theory.claims.evidence import StudyRows
    from theory.table import Table

Series = Mapping[int, float]  # by seed
WHERE = (
    ("test", "all"),
    ("ood-relation", "all"),
    ("ood-type", "all"),
    *(
        (split, f"similarity={quarter}") for split in ("test", "graded") for quarter in (4, 3, 2, 1)
    ),  # nearest first
)
UNTUNED = KNOWN.at(trained_on="none", arm="base")


def prompt_gaps(records: Table) -> Iterator[tuple[tuple[str, ...], tuple[Series, Series, Series]]]:
    """Laboratory, run, stop, split, stratum, prompt; then accuracy by seed after known and after unknown rows and of
    the untuned network. What was not asked is left out."""
    from theory.claims.evidence import split_studies

    for rows in split_studies(records.take(records.mask(study="prompts"))):
        for stop in ("early", "end"):
            for split, stratum in WHERE:
                for prompt in rows.table.levels["prompt"]:
                    where = {"split": split, "stratum": stratum, "prompt": prompt}
                    known, unknown = (_series(rows, cell.at(stop=stop, **where)) for cell in (KNOWN, UNKNOWN))
                    if known and unknown:
                        untuned = _series(rows, UNTUNED.at(**where))
                        yield (rows.lab, rows.run, stop, split, stratum, prompt), (known, unknown, untuned)


def _series(rows: StudyRows, cell: Cell) -> Series:
    found = rows.series(cell)
    if isinstance(found, Absent):
        return {}
    return dict(zip(found.seeds.tolist(), found.values.tolist(), strict=True))

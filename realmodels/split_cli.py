"""`split`: files of rows without a common subject, the same on any machine."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from realmodels.rows import Row

MANIFEST = "manifest.json"
RESOLVED = ("relation", "subject")  # what a layout knows of a row beyond its columns


@dataclass(frozen=True)
class Split:
    """Split rows into files that share no subject (no question, where no subject is known), by content hash."""

    data: str
    """As `audit` reads it: a file, a folder of a known data set, or hub:owner/name."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
    """Folder for one file a split and manifest.json with the split's fingerprint."""
    shares: tuple[str, ...] = ("train=0.8", "dev=0.1", "test=0.1")
    """NAME=SHARE of the subjects, met on average: a subject's place follows from its own hash alone."""
    salt: str = ""
    """Another word gives another, independent split."""
    map: tuple[str, ...] = ()
    """Columns of other names, such as question=prompt answers=completion."""
    limit: int | None = None
    """Only the first rows."""

    def run(self) -> int:
        from realmodels.audited import sha256
        from realmodels.checks import column_map
        from realmodels.rows import read_rows
        from realmodels.selection import ENDINGS
        from realmodels.splits import split_fingerprint, split_rows
        from realmodels.tables import write_table
        from realmodels.together import together
        from theory.files import write_whole

        shares = parse_shares(self.shares)
        data = read_rows(self.data, column_map(self.map), limit=self.limit, on_disk=True)
        found = split_rows(data.rows, shares, self.salt)
        columns, kind = list(data.columns), data.kind
        if kind == "csv-bare" and len({row.relation for row in data.rows}) > 1:
            kind = "csv"  # rows of several files, whose names said the relation: its column needs a header
        if kind != "csv-bare":
            columns += [
                name for name in RESOLVED if name not in columns and any(getattr(r, name) for r in data.rows)
            ]
        files = {name: f"{name}.{ENDINGS[kind]}" for name in found}
        with together(self.output, files.values(), MANIFEST, "split") as folder:
            written = []
            for name, places in found.items():
                path = folder / files[name]
                rows = (_line(data.rows[place], columns) for place in places)
                count = write_table(path, kind, columns, rows)
                written.append({"name": path.name, "rows": count, "sha256": sha256(path)})
            fingerprint = split_fingerprint(data.rows, found)
            write_whole(folder / MANIFEST, self._manifest(data, shares, found, fingerprint, written))
        print(_table(data.rows, found, shares))
        print(f"fingerprint {fingerprint}")
        for name in (*files.values(), MANIFEST):
            print(f"wrote {self.output / name}", file=sys.stderr)
        return 0

    def _manifest(
        self,
        data: Any,
        shares: Mapping[str, float],
        found: Mapping[str, Sequence[int]],
        fingerprint: str,
        written: list[dict[str, Any]],
    ) -> str:
        import json
        from importlib.metadata import version

        from theory.runs import command

        said = {
            "command": command(),
            "nameblind": version("nameblind"),
            "source": {
                "path": self.data,
                "kind": data.kind,
                "adapter": data.adapter,
                "rows": len(data),
                "fingerprint": data.fingerprint,
            },
            "asked": {"shares": dict(shares), "salt": self.salt, "limit": self.limit},
            "fingerprint": fingerprint,
            "relations": {
                name: dict(sorted(Counter(str(data.rows[place].relation) for place in places).items()))
                for name, places in found.items()
            },
            "written": written,
        }
        return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def parse_shares(pairs: Sequence[str]) -> dict[str, float]:
    """train=0.8 test=0.2 -> {"train": 0.8, "test": 0.2}; the names become files."""
    from realmodels.errors import RealmodelsError

    found: dict[str, float] = {}
    for pair in pairs:
        name, _, share = pair.partition("=")
        try:
            value = float(share)
        except ValueError:
            raise RealmodelsError(
                f"--shares {pair!r}: expected NAME=SHARE, such as train=0.8 dev=0.1 test=0.1"
            ) from None
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name.casefold() == "manifest":
            raise RealmodelsError(
                f"--shares {pair!r}: {name!r} cannot name a file here; use letters, digits, _ and -"
            )
        if name.casefold() in (known.casefold() for known in found):
            raise RealmodelsError(f"--shares: '{name}' is named twice")
        found[name] = value
    return found


def _line(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    known = {name: getattr(row, name) for name in RESOLVED if name in columns and name not in row.original}
    return {**row.original, **{name: value for name, value in known.items() if value is not None}}


def _table(rows: Sequence[Row], found: Mapping[str, Sequence[int]], shares: Mapping[str, float]) -> str:
    from realmodels.splits import group_of
    from realmodels.stored import Hashes

    lines = [f"{'split':12} {'share':>6} {'rows':>9} {'subjects':>9} {'relations':>10}"]
    for name, places in found.items():
        groups, subjects, relations = Hashes(), 0, set()
        for place in places:
            subjects += groups.add(hash(group_of(rows[place])) % 2**64 or 1)
            relations.add(rows[place].relation)
        relations.discard(None)
        lines.append(f"{name:12} {shares[name]:6.0%} {len(places):9,} {subjects:9,} {len(relations):10,}")
    return "\n".join(lines)

"""The tables of README.md that are made from files, each between its two marks; this writes them anew:

    python -m tests.house.page

The table of licences is left as it is unless all that it speaks of is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.hardening import survived
from tests.house import gentle, licences, long_form
from tests.house.requirements import ROOT, direct
from theory.files import write_whole

README = ROOT / "README.md"
END = "<!-- end -->"
LICENCES = "licences"


def _board(room: str) -> Callable[[], str]:
    return lambda: (ROOT / room / "results" / "scoreboard.md").read_text(encoding="utf-8").strip()


TABLES: dict[str, Callable[[], str]] = {
    **{f"{room}/results/scoreboard.md": _board(room) for room in ("theory", "synthetic", "realmodels")},
    **gentle.TABLES,
    **long_form.TABLES,
    "tests/hardening/survived.jsonl": lambda: survived.table(survived.read()),
    LICENCES: licences.table,
}


def between(text: str, name: str) -> str:
    """What stands between the marks of this name."""
    _, table, _ = _parts(text, name)
    return table


def put(text: str, name: str, table: str) -> str:
    """The text with this table between the marks of that name."""
    before, _, after = _parts(text, name)
    return f"{before}{table}{after}"


def _parts(text: str, name: str) -> tuple[str, str, str]:
    start = f"<!-- {name} -->\n"
    if text.count(start) != 1 or END not in text.partition(start)[2]:
        raise ValueError(f"expected once {start.strip()} and {END} behind it")
    before, _, rest = text.partition(start)
    table, _, after = rest.partition(f"\n{END}")
    return before + start, table, f"\n{END}{after}"


def main(path: Path = README) -> None:
    text = old = path.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        if name == LICENCES and set(licences.installed()) != {one.name for one in direct()}:
            continue
        text = put(text, name, table())
    if text != old:
        write_whole(path, text)


if __name__ == "__main__":
    main()

"""The pages that a person reads, and their tables that are made from files, each between its two marks; this writes
them anew:

    python -m tests.house.page

The table of licences is left as it is unless all that it speaks of is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hardening import survived
from tests.house import again, gentle, ladder, licences, long_form, told
from tests.house.requirements import ROOT, direct
from theory.files import write_whole

README = ROOT / "README.md"
PAGES = (  # in the order in which their commands are pasted
    README,
    *(ROOT / room / "README.md" for room in ("theory", "synthetic", "realmodels", "figures")),
    ROOT / "synthetic" / "results" / "gentle" / "README.md",
    ROOT / "synthetic" / "results" / "long_form.md",
    ROOT / "synthetic" / "results" / "told" / "README.md",
    ROOT / "tests" / "hardening" / "README.md",
)
END = "<!-- end -->"
LICENCES = "licences"


def _board(room: str) -> Callable[[], str]:
    return lambda: (ROOT / room / "results" / "scoreboard.md").read_text(encoding="utf-8").strip()


TABLES: dict[str, Callable[[], str]] = {
    **{f"{room}/results/scoreboard.md": _board(room) for room in ("theory", "synthetic", "realmodels")},
    **ladder.TABLES,
    **again.TABLES,
    **gentle.TABLES,
    **long_form.TABLES,
    **told.TABLES,
    "tests/hardening/survived.jsonl": lambda: survived.table(survived.read()),
    "tests/hardening/survived.jsonl in short": lambda: survived.in_short(survived.read()),
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


def text() -> str:
    """All pages, one behind the other."""
    return "\n".join(path.read_text(encoding="utf-8") for path in PAGES)


def main(paths: Sequence[Path] = PAGES) -> None:
    for path in paths:
        new = old = path.read_text(encoding="utf-8")
        for name, table in TABLES.items():
            if name == LICENCES and set(licences.installed()) != {one.name for one in direct()}:
                continue
            if f"<!-- {name} -->" in old:
                new = put(new, name, table())
        if new != old:
            write_whole(path, new)


if __name__ == "__main__":
    main()

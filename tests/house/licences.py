"""Under which licences the packages stand that pyproject.toml asks for, as their own metadata say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

from tests.house.requirements import direct

# A program under Apache-2.0 may ask for packages under these; none of them is shipped with it. MPL-2.0 asks that
# changes to its own files be published, and nothing here changes them.
WELCOME = {
    "0BSD": r"\b0BSD\b",
    "Apache-2.0": r"\bApache\b",
    "BSD": r"\bBSD\b",
    "BSL-1.0": r"\bBSL-1\.0\b",
    "CC0-1.0": r"\bCC0-1\.0\b",
    "MIT": r"\bMIT\b",
    "MPL-2.0": r"\bMPL-2\.0\b|Mozilla Public License",
    "PSF": r"\bPSF\b|Python Software Foundation|\bmatplotlib\b",
    "Zlib": r"\bZlib\b",
}
UNWELCOME = r"\b[AL]?GPL|General Public License|proprietary|non-?commercial"


class Unwelcome(ValueError):
    """A licence that does not go with this project's, or that nobody can tell."""


def said(of: PackageMetadata) -> str:
    """What a package says of its licence: the expression, else the classifiers, else the field's first line."""
    if of["License-Expression"]:
        return str(of["License-Expression"])
    classifiers = [line for line in of.get_all("Classifier") or () if line.startswith("License ::")]
    return "; ".join(classifiers) or (of["License"] or "").strip().partition("\n")[0]


def licences(name: str, text: str) -> tuple[str, ...]:
    """The licences that this text names; an error where one of them is unwelcome, or none is known."""
    found = tuple(licence for licence, words in WELCOME.items() if re.search(words, text))
    if re.search(UNWELCOME, text, flags=re.I) or not found:
        raise Unwelcome(f"{name}: its licence is {text!r}; expected {', '.join(WELCOME)}")
    return found


def installed(names: Iterable[str] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By package its version and its licences; packages that are not installed are left out."""
    found = {}
    for name in sorted({one.name for one in direct()}) if names is None else names:
        try:
            of = metadata(name)
        except PackageNotFoundError:
            continue
        found[name] = (of["Version"].partition("+")[0], licences(name, said(of)))
    return found


def table(found: dict[str, tuple[str, tuple[str, ...]]] | None = None) -> str:
    """A line a set of licences, in Markdown."""
    found = installed() if found is None else found
    by: dict[str, list[str]] = {}
    for name, (version, names) in found.items():
        by.setdefault(", ".join(names), []).append(f"{name} {version}")
    rows = [f"| {names} | {', '.join(packages)} |" for names, packages in sorted(by.items())]
    return "\n".join(["| licence | packages |", "|---|---|", *rows])


def read(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """A table as it was found."""
    found = {}
    for line in text.splitlines()[2:]:
        names, packages = (cell.strip() for cell in line.strip("|").split("|"))
        for package in packages.split(", "):
            name, version = package.split(" ")
            found[name] = (version, tuple(names.split(", ")))
    return found

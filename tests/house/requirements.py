"""What pyproject.toml asks for, and what the rooms import: read from the files themselves."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
BASE, BUILD = "base", "build"


def declared(path: Path = ROOT / "pyproject.toml") -> dict[str, tuple[Requirement, ...]]:
    """By extra what it asks for, `base` is always there, `build` makes the wheel; what refers to other extras of this
    project is left out."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    project = content["project"]
    groups = {
        BASE: project["dependencies"],
        BUILD: content["build-system"]["requires"],
        **project["optional-dependencies"],
    }
    return {
        name: tuple(one for one in map(Requirement, lines) if one.name != project["name"])
        for name, lines in groups.items()
    }


def direct(path: Path = ROOT / "pyproject.toml") -> tuple[Requirement, ...]:
    """Each requirement once, by name."""
    every = {str(one): one for group in declared(path).values() for one in group}
    return tuple(sorted(every.values(), key=lambda one: canonicalize_name(one.name)))


def lower(requirement: Requirement) -> str:
    """The oldest version that is allowed."""
    (version,) = (one.version for one in requirement.specifier if one.operator == ">=")
    return version


def imported(folder: Path) -> dict[str, set[Path]]:
    """By distribution the files below that import it anywhere, within functions and for type checkers too; this
    project's own and Python's modules are left out."""
    of = packages_distributions()
    found: dict[str, set[Path]] = {}
    own = {path.name for path in ROOT.iterdir()} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for path in sorted(folder.rglob("*.py")):
        for name in _names(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.partition(".")[0]
            if top not in own | sys.stdlib_module_names:
                for distribution in of.get(top, [top]):
                    found.setdefault(canonicalize_name(distribution), set()).add(path)
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0] if node.args else None
            if called in {"import_module", "importorskip", "find_spec"} and isinstance(first, ast.Constant):
                yield str(first.value)

"""What code a result comes from: a hash of every file of this package that some modules need."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("synthetic", "theory")


def fingerprint(modules: Iterable[str]) -> str:
    """Hash of the code reached from these modules by imports, nested ones too.

    Comments, docstrings and layout do not count. Python versions whose syntax trees differ give other hashes.
    """
    digest = hashlib.sha256()
    for name, tree in sorted(reached(modules).items()):
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:16]


def reached(modules: Iterable[str]) -> dict[str, ast.Module]:
    """Syntax tree by name of these modules and of all that they import from this package or their own."""
    waiting = list(modules)
    rooms = {*ROOMS, *(name.partition(".")[0] for name in waiting)}
    found: dict[str, ast.Module] = {}
    while waiting:
        name = waiting.pop()
        if name in found or name.partition(".")[0] not in rooms or (path := _source(name)) is None:
            continue
        found[name] = _bare(path)
        waiting += _imports(found[name])
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield from _home(node.module, alias.name)


def _home(module: str, name: str) -> Iterator[str]:
    """Where `from module import name` leads: to a submodule, or to the module itself and whence it has the name."""
    if _source(f"{module}.{name}") is not None:
        yield f"{module}.{name}"
        return
    yield module
    if module in ROOMS and (path := _source(module)) is not None:
        for node in ast.walk(_bare(path)):
            if isinstance(node, ast.ImportFrom) and node.module and any(a.name == name for a in node.names):
                yield node.module


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _running(node)


def _bare(path: Path) -> ast.Module:
    """The syntax tree without docstrings and other lone strings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [line for line in body if not _lone_string(line)]
    return tree


def _lone_string(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _source(name: str) -> Path | None:
    """The source file of a module, none if there is none; nothing is imported."""
    top, *rest = name.split(".")
    spec = find_spec(top) if top not in ("", "__main__") else None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        stem = Path(folder, *rest)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None

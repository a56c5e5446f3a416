"""A package's short list of public names, each imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public(
    package: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package whose public names live in the modules that `homes` names.

    No name may be that of a module of the package: once it is imported, Python answers with the module.
    """
    names = sorted(homes)

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}; it offers {', '.join(names)}"
            )
        return getattr(import_module(homes[name]), name)

    return names, get, lambda: names

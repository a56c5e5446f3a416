"""A theorem or a claim as text for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import numpy as np

from theory.errors import TheoryError
from theory.theorems import THEOREMS, Theorem, theorem

WIDTH = 100


def show(name: str) -> str:
    """What is known about the theorem or claim called `name`."""
    from theory.claims import CLAIMS

    if (key := name.strip().upper()) in CLAIMS:
        return CLAIMS[key].to_text()
    try:
        return show_theorem(theorem(name))
    except TheoryError:
        known = ", ".join([*THEOREMS, *CLAIMS])
        raise TheoryError(f"nothing is called {name!r}; there are {known}") from None


def show_theorem(it: Theorem) -> str:
    """Statement, LaTeX, assumptions with what breaks without each (computed now), and the false variants caught."""
    lines = [f"{it.id}  {it.title}", f"status: {it.status}; source: {it.source}", "", *_wrap(it.statement)]
    lines += ["", *("    " + line for line in it.latex.strip().splitlines()), "", "Assumptions"]
    for key, words in it.assumptions.items():
        lines += _wrap(f"[{key}] {words}", "  ")
        for example in it.counterexamples:
            if example.drops == key:
                lines += _wrap(f"without it: {example.words}", "      ")
                lines += _wrap(", ".join(_number(k, v) for k, v in example.build().items()), "        ")
        if it.keeps and key in it.keeps:
            lines += _wrap(f"kept: {it.keeps[key]}", "      ")
    lines += ["", "False variants that its check catches", *(f"  - {name}" for name in it.perturbations)]
    return "\n".join(lines)


def _number(key: str, value: object) -> str:
    if isinstance(value, np.ndarray | list | tuple):
        value = "[" + ", ".join(f"{float(x):.4g}" for x in np.ravel(np.asarray(value, dtype=float))[:8]) + "]"
    elif isinstance(value, float | np.floating):
        value = f"{float(value):.6g}"
    return f"{key} = {value}"


def _wrap(text: str, indent: str = "") -> Iterable[str]:
    hang = indent + ("  " if indent else "")
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=hang)

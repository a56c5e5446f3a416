"""The theorems as HTML: words, formulas, what each assumption is for, and what the check found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures.errors import FiguresError
from figures.formulas import formulas
from figures.html import Markup, identifier, joined, prose, table, tag
from figures.report_claims import chip
from figures.report_pictures import Picture, shown
from figures.words import minus
from theory import schema
from theory.theorems import THEOREMS, CheckResult, Theorem

FIELDS = ("theorem", "seed", "instances", "violations", "worst_error", "seconds")
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "theorem": ((str,), "a theorem's name"),
    "instances": ((int,), "a whole number"),
    "violations": ((int,), "a whole number"),
    "worst_error": ((int, float), "a number"),
}


def read_checks(path: Path) -> dict[str, CheckResult]:
    """What `python -m theory check --output` wrote."""
    rows = _json(path)
    if not isinstance(rows, list):
        raise _refused(f"{path}: holds no list of results")
    found = [_result(row, f"{path}: result {i}") for i, row in enumerate(rows, start=1)]
    if unknown := [one.theorem for one in found if one.theorem not in THEOREMS]:
        raise FiguresError(f"{path}: no theorem is called {unknown[0]!r}; write the file again")
    return {one.theorem: one for one in found}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refused(f"{path}: no such file") from None
    except IsADirectoryError:
        raise _refused(f"{path}: is a folder") from None
    except OSError as error:
        raise _refused(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise _refused(f"{path}: byte {error.start + 1} is no UTF-8") from None
    except json.JSONDecodeError as error:
        said = error.msg[:1].lower() + error.msg[1:]
        raise _refused(f"{path}:{error.lineno}: column {error.colno}: no JSON, {said}") from None
    except RecursionError:
        raise _refused(f"{path}: is nested too deeply") from None
    except ValueError:  # the one that is left: more digits than Python reads
        raise _refused(f"{path}: holds a number that is too long") from None


def _result(row: Any, where: str) -> CheckResult:
    if not isinstance(row, dict):
        raise _refused(f"{where} is no object")
    if missing := [name for name in FIELDS if name not in row]:
        raise _refused(f"{where} has no {missing[0]!r}")
    for name, (kinds, words) in KINDS.items():
        value = row[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise _refused(f"{where}: {name} is {schema.shown(value)}, not {words}")
    try:
        float(row["worst_error"])
    except OverflowError:
        raise _refused(f"{where}: worst_error is too large") from None
    return CheckResult(**{name: row[name] for name in FIELDS}, note=row.get("note", ""))


def _refused(found: str) -> FiguresError:
    return FiguresError(f"{found}; expected what `python -m theory check --output FILE` writes")


def check(n: int) -> dict[str, CheckResult]:
    """Every theorem's own check, now."""
    from theory.checks import check_all

    return {one.theorem: one for one in check_all(n=n)}


def articles(checks: Mapping[str, CheckResult], pictures: Sequence[Picture]) -> Markup:
    return joined(_article(one, checks.get(one.id), pictures) for one in THEOREMS.values())


def _article(one: Theorem, found: CheckResult | None, pictures: Sequence[Picture]) -> Markup:
    assumptions = [_assumption(one, key, words) for key, words in one.assumptions.items()]
    head = ("Assumption", "What it says", "What happens without it")
    caught = [tag("li", name) for name in one.perturbations]
    return tag(
        "article",
        tag("h3", tag("span", one.id.replace("'", "′"), class_="id"), " ", one.title),
        tag("p", prose(one.statement), class_="statement"),
        tag(
            "div",
            formulas(one.latex),
            class_="formulas",
            tabindex="0",
            role="region",
            aria_label=f"{one.id} in symbols",
        ),
        tag("p", _status(one, found), class_="result"),
        tag("p", "Source: ", one.source, ".", class_="quiet"),
        tag(
            "details",
            tag("summary", f"{len(one.assumptions)} assumptions and what breaks without each"),
            table(head, assumptions, f"Assumptions of {one.id}", class_="assumptions"),
        ),
        tag(
            "details",
            tag("summary", f"{len(caught)} false variants that the check catches"),
            tag("ul", caught),
        ),
        shown(pictures, one.id)
        or tag("p", "No picture: the check above holds it number by number.", class_="quiet no-picture"),
        id=f"theorem-{identifier(one.id)}",
        class_="card",
        data_theorem=one.id,
        data_words=f"{one.id} {one.title} {one.statement}".lower(),
    )


def _status(one: Theorem, found: CheckResult | None) -> Markup:
    status = joined(one.status[0].upper() + one.status[1:], ". ")
    if found is None:
        return joined(status, chip("missing", "not checked"))
    word = "holds" if found.holds else "violated" if found.violations else "not tested"
    kind = {"holds": "reproduced", "violated": "contradicted", "not tested": "missing"}[word]
    said = (
        f" on {found.instances:,} random instances: {found.violations:,} violations, "
        f"worst error {f'{found.worst_error:.1e}' if found.worst_error else '0'}"
    )
    return joined(status, chip(kind, word), said, f" ({found.note})." if found.note else ".")


def _assumption(one: Theorem, key: str, words: str) -> list[Markup | str]:
    breaks: list[Markup] = []
    for example in one.counterexamples:
        if example.drops == key:
            values = _values(example.build())
            breaks.append(tag("div", prose(example.words), tag("small", values)))
    if one.keeps and key in one.keeps:
        breaks.append(tag("div", "It stays: ", prose(one.keeps[key])))
    return [prose(key), prose(words), joined(breaks)]


def _values(numbers: Mapping[str, Any]) -> Markup:
    shown = [(name, value) for name, value in numbers.items() if name != "breaks"]
    return joined(
        (
            prose(f"{name} = {_value(value)}{'; ' if i + 1 < len(shown) else ''}")
            for i, (name, value) in enumerate(shown)
        )
    )


def _value(value: Any) -> str:
    if isinstance(value, bool | str | int):
        return minus(str(value))
    if isinstance(value, float | np.floating):
        return minus(f"{float(value):.4g}")
    if isinstance(value, np.ndarray | list | tuple):
        return f"({', '.join(_value(x) for x in np.asarray(value).tolist())})"
    return minus(str(value))

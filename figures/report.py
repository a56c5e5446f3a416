"""One page that holds everything: verdicts, claims, theorems, pictures, and a panel that computes. No network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from figures import report_claims, report_theorems
from figures.errors import FiguresError
from figures.everything import sort
from figures.html import Markup, filled, joined, table, tag
from figures.panel import constants, predict
from figures.provenance import Source, sources
from figures.report_claims import chip, claims_of, intervals_over, labs_of
from figures.report_pictures import Picture, draw
from figures.runs import Runs, read_runs
from theory.claims.scoreboard import Answer
from theory.files import write_whole
from theory.theorems import CheckResult

ANSWERS: tuple[Answer, ...] = ("reproduced", "contradicted", "inconclusive", "missing")
START = (0.9, 2.0, 100.0)  # where the panel stands at first: share, salience, steps


def write_report(
    paths: Sequence[Path], output: Path, checks: Path | None = None, instances: int = 200
) -> Path:
    """The page of these runs; theorems are checked on `instances` each, unless `checks` holds results."""
    if output.is_dir():
        raise FiguresError(
            f"--output {output}: is a folder; expected the page to write, such as {output / 'report.html'}"
        )
    found = report_theorems.read_checks(checks) if checks else report_theorems.check(instances)
    named = sort(paths)
    runs = read_runs(named.records)
    pictures = draw(runs, named.data, named.graphs)
    write_whole(output, page(runs, sources(named.records), pictures, found))
    return output


def page(
    runs: Runs, origins: Sequence[Source], pictures: Sequence[Picture], checks: dict[str, CheckResult]
) -> str:
    """The page as text."""
    here = files("figures") / "page"
    style = (here / "page.css").read_text(encoding="utf-8")
    script = "".join(
        (here / name).read_text(encoding="utf-8") for name in ("panel.js", "panel_view.js", "page.js")
    )
    lone = {
        kind: joined(picture.figure() for picture in pictures if picture.kind == kind)
        for kind in ("forest", "monofacts", "monofact-bound")
    }
    pieces = {
        "style": style,
        "script": script,
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}",
        "summary": _summary(runs, origins, checks),
        "options_verdict": _options([(one, report_claims.WORDS.get(one, one)) for one in ANSWERS]),
        "options_paper": _options([(x, x) for x in dict.fromkeys(c.paper.short for c in claims_of(runs))]),
        "options_lab": _options([(lab, lab) for lab in labs_of(runs)]),
        "scoreboard": report_claims.scoreboard(runs),
        "over": intervals_over(runs),
        "forest": lone["forest"],
        "claims": report_claims.articles(runs, pictures, origins),
        "theorems": report_theorems.articles(checks, pictures),
        "monofacts": joined(lone["monofacts"], lone["monofact-bound"]),
        "constants": _json(constants() | {"start": START}),
        "origins": _origins(origins),
        "panel_start": _panel_start(),
    }
    return filled((here / "page.html").read_text(encoding="utf-8"), pieces)


def _summary(runs: Runs, origins: Sequence[Source], checks: dict[str, CheckResult]) -> Markup:
    counts = Counter(verdict.answer for verdict in runs.board.verdicts)
    claims, labs = claims_of(runs), labs_of(runs)
    asked = len({v.claim.id for v in runs.board.verdicts if v.answer != "missing"})
    hold = sum(one.holds for one in checks.values())
    tiles = [
        tag("li", tag("b", str(counts[answer])), chip(answer), class_="tile", data_count=answer)
        for answer in ANSWERS
    ]
    tiles.append(tag("li", tag("b", f"{hold} of {len(checks)}"), tag("span", "theorems hold"), class_="tile"))
    seeds = runs.table.numbers["seed"]
    said = (
        f"{len(claims)} claims of {len({c.paper.short for c in claims})} sources were put to "
        f"{_several(len(labs), 'laboratory', 'laboratories')}; {asked} of them have rows in at least one. "
        f"Behind them stand {len(runs.table):,} records from {_several(len(origins), 'file', 'files')} "
        f"and {_several(len(set(seeds.tolist())), 'seed', 'seeds')}. A verdict follows from an interval "
        f"{intervals_over(runs)} and a rule that was written down before; “no rows” means that nobody has asked yet."
    )
    head = ("Laboratory", *(chip(answer) for answer in ANSWERS))
    by_lab = Counter[tuple[str, str]]((verdict.lab, verdict.answer) for verdict in runs.board.verdicts)
    rows = [(lab, *(str(by_lab[lab, answer]) for answer in ANSWERS)) for lab in labs]
    return joined(
        tag("p", said, class_="lead"),
        tag("ul", tiles, class_="tiles"),
        table(head, rows, "Verdicts by laboratory", id="labs-table"),
    )


def _several(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _options(values: Sequence[tuple[str, str]]) -> Markup:
    return joined(tag("option", text, value=value) for value, text in values)


def _origins(origins: Sequence[Source]) -> Markup:
    items = []
    for one in origins:
        holds = sorted(f"{lab} {study}" for lab, study, _ in one.cases)
        command = tag("code", one.command) if one.command else "command not recorded"
        versions = one.about.get("packages") or one.about.get("versions")
        packages = (
            ", ".join(f"{name} {number}" for name, number in versions.items())
            if isinstance(versions, dict)
            else None
        )
        about = [str(x) for x in (one.about.get("started"), one.about.get("processor"), packages) if x]
        items.append(
            tag(
                "li",
                tag("b", ", ".join(holds)),
                tag("br"),
                command,
                tag("small", "; ".join(about)) if about else None,
            )
        )
    return tag("ul", items, class_="origins")


def _panel_start() -> Markup:
    """The panel's numbers where it stands at first, so that the page reads the same without scripts."""
    found = predict(*START)
    rows = (
        ("attention", "Attention on the subject", f"{100 * found.attention:.1f}%"),
        ("accuracy", "Accuracy on held-out facts", f"{100 * found.accuracy:.1f}%"),
        ("before", "Accuracy before fine-tuning", f"{100 * found.before:.1f}%"),
        ("u", "Log-odds of attention, u", f"{found.u:.3f}".replace("-", "−")),
        ("critical", "Critical share of unknown facts", f"{found.critical:.3f}"),
    )
    return tag(
        "dl",
        [
            joined(tag("dt", words), tag("dd", tag("output", value, id=f"out-{key}")))
            for key, words, value in rows
        ],
        class_="readout",
    )


def _json(value: object) -> Markup:
    """JSON that cannot end its script element."""
    return Markup(json.dumps(value, allow_nan=False).replace("<", "\\u003c"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

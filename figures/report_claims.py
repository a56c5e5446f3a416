"""The scoreboard and the claims as HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence

from figures.html import Markup, identifier, joined, table, tag
from figures.provenance import Source
from figures.report_pictures import Picture, shown
from figures.runs import Runs
from figures.words import HOLM, minus, numbers, settling
from theory.claims import Claim, PartVerdict, Verdict
from theory.claims.base import MARKS
from theory.claims.interval import over

MARK = {"reproduced": "✓", "contradicted": "✕", "inconclusive": "?", "missing": "–"}
WORDS = {"missing": "no rows"}
OUTCOMES = {"opposed": "contradicted", "supported": "reproduced", "open": "inconclusive"}


def claims_of(runs: Runs) -> list[Claim]:
    return list({verdict.claim.id: verdict.claim for verdict in runs.board.verdicts}.values())


def labs_of(runs: Runs) -> list[str]:
    return list(dict.fromkeys(verdict.lab for verdict in runs.board.verdicts))


def chip(answer: str, text: str = "") -> Markup:
    """A verdict by sign, word and colour."""
    sign = tag("span", MARK.get(answer, ""), aria_hidden="true")
    return tag("span", sign, " ", text or WORDS.get(answer, answer), class_=f"chip {answer}")


def scoreboard(runs: Runs) -> Markup:
    """Claims x laboratories, with what settled each."""
    labs = labs_of(runs)
    head = [tag("th", "Claim", scope="col"), tag("th", "The paper", scope="col")]
    head += [tag("th", lab, scope="col", data_lab=lab) for lab in labs]
    body = [_line(claim, labs, _verdicts(runs, claim)) for claim in claims_of(runs)]
    what = "verdict, and the effect that settled it with its 95% interval"
    caption = (
        f"Claims by laboratory: {what} {intervals_over(runs)}; inconclusive is what stays open {HOLM}, even where an "
        "interval lies on one side"
    )
    inner = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", head)),
        tag("tbody", body),
        id="scoreboard-table",
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Scoreboard")


def articles(runs: Runs, pictures: Sequence[Picture], origins: Sequence[Source]) -> Markup:
    """Every claim on its own."""
    return joined(_article(claim, _verdicts(runs, claim), pictures, origins) for claim in claims_of(runs))


def intervals_over(runs: Runs) -> str:
    """What the intervals of the scoreboard go over."""
    parts = (part for verdict in runs.board.verdicts if (part := settling(verdict)) is not None)
    return over(part.interval for part in parts if part.interval is not None)


def _line(claim: Claim, labs: Sequence[str], verdicts: Sequence[Verdict]) -> Markup:
    name = tag("a", tag("b", claim.id), " ", claim.title, href=f"#claim-{claim.id}")
    cells = [tag("th", name, scope="row"), tag("td", claim.paper.short, tag("br"), _number(claim.parts[0]))]
    for lab in labs:
        here = [verdict for verdict in verdicts if verdict.lab == lab]
        cells.append(tag("td", [_cell(verdict, len(here) > 1) for verdict in here], data_lab=lab))
    return tag("tr", cells, **_about(claim, verdicts))


def _about(claim: Claim, verdicts: Sequence[Verdict]) -> dict[str, str]:
    """What the filter looks at."""
    return {
        "data_claim": claim.id,
        "data_paper": claim.paper.short,
        "data_cells": json.dumps([[verdict.lab, verdict.answer] for verdict in verdicts]),
        "data_words": f"{claim.id} {claim.title} {claim.sentence} {claim.paper.short}".lower(),
    }


def _cell(verdict: Verdict, several: bool) -> Markup:
    part = settling(verdict)
    found = None if part is None or part.interval is None else part.interval
    effect = None if found is None else tag("span", numbers(found), " ", part.part.unit, class_="effect")  # type: ignore[union-attr]
    run = tag("span", verdict.run, class_="quiet") if several else None
    full = part.cramped.partition(":")[0] if part is not None else ""  # at the floor, or at the ceiling
    room = tag("span", f"({full})", class_="quiet") if full else None
    return tag("div", chip(verdict.answer), room, effect, run, class_="verdict", data_answer=verdict.answer)


def _verdicts(runs: Runs, claim: Claim) -> list[Verdict]:
    return [verdict for verdict in runs.board.verdicts if verdict.claim.id == claim.id]


def _article(
    claim: Claim, verdicts: Sequence[Verdict], pictures: Sequence[Picture], origins: Sequence[Source]
) -> Markup:
    about = _about(claim, verdicts)
    title = claim.title[0].upper() + claim.title[1:]
    asked = [verdict for verdict in verdicts if verdict.answer != "missing" or not verdict.unwritten]
    unasked = [verdict.lab for verdict in verdicts if verdict not in asked]
    facts = [
        ("Decided so", claim.rule),
        ("Note", claim.note),
        ("Source", f"{claim.paper.citation}. The sentence: {MARKS[claim.mark]}."),
    ]
    return tag(
        "article",
        tag("h3", tag("span", claim.id, class_="id"), " ", title),
        tag("p", claim.sentence, class_="statement"),
        tag("dl", [joined(tag("dt", key), tag("dd", words)) for key, words in facts if words]),
        [_lab(verdict, origins) for verdict in asked],
        tag("p", f"No rows of the study “{claim.study}” from ", ", ".join(unasked), ".", class_="quiet")
        if unasked
        else None,
        shown(pictures, claim.id) or _no_picture(claim, asked),
        id=f"claim-{claim.id}",
        class_="card",
        **about,
    )


def _no_picture(claim: Claim, asked: Sequence[Verdict]) -> Markup:
    """Why a claim is told without one."""
    why = (
        "of the rows that its rule reads, none can be drawn"
        if asked
        else f"nobody has written rows of the study “{claim.study}”"
    )
    return tag("p", "No picture: ", why, ".", class_="quiet no-picture")


def _lab(verdict: Verdict, origins: Sequence[Source]) -> Markup:
    heading = tag(
        "h4", chip(verdict.answer), " ", verdict.lab, tag("span", f" run {verdict.run}", class_="quiet")
    )
    rows = [_part(part) for part in verdict.parts]
    head = ("Part", "Claimed", "Effect [95% interval]", "Seeds", "p (Holm)", "The paper", "Outcome")
    caption = f"{verdict.claim.id} in {verdict.lab}: parts"
    reason = verdict.reason and tag("p", verdict.reason[0].upper() + verdict.reason[1:], class_="reason")
    return tag(
        "section",
        heading,
        reason or None,
        table(head, rows, caption, class_="parts"),
        command_of(verdict, origins),
        data_lab=verdict.lab,
        data_answer=verdict.answer,
        id=identifier(f"{verdict.claim.id}-{verdict.lab}-{verdict.run}"),
    )


def _part(found: PartVerdict) -> list[Markup | str]:
    part = found.part
    role = {"if present": "asked where such rows exist", "reported": "reported, does not decide"}.get(
        part.role
    )
    note = "no rows: " + "; ".join(found.missing) if found.missing else found.note
    name = joined(part.name, tag("small", role) if role else None, tag("small", note) if note else None)
    effect = f"{numbers(found.interval)} {part.unit}" if found.interval else "–"
    claimed = "–" if part.role == "reported" else f"{minus(part.rule)} {part.unit}"
    p = (
        "–"
        if found.adjusted != found.adjusted
        else "< 0.001"
        if found.adjusted < 0.001
        else f"{found.adjusted:.3f}"
    )
    outcome = OUTCOMES.get(found.outcome, found.outcome)
    told = chip(outcome, found.outcome) if found.outcome in OUTCOMES else joined(found.outcome)
    return [name, claimed, effect, str(found.seeds or "–"), p, _number(part, found), told]


def _number(part: object, found: PartVerdict | None = None) -> Markup:
    """The paper's number, how it was read and whether our interval meets it."""
    number = part.published  # type: ignore[attr-defined]
    if number is None:
        return tag("span", "no number", class_="quiet")
    value = f"{number.low:g}" if number.low == number.high else f"{number.low:g} to {number.high:g}"
    meets = {True: "; our interval meets it", False: "; our interval does not meet it", None: ""}
    where = f"{number.where}, {number.mark}" if found else number.mark
    tail = meets[found.overlaps if found else None]
    return joined(f"{minus(value)} {part.unit}", tag("small", where, tail))  # type: ignore[attr-defined]


def command_of(verdict: Verdict, origins: Sequence[Source]) -> Markup:
    """The command that wrote the rows, as their folder says."""
    case = (verdict.lab, verdict.claim.study, verdict.run)
    known = [source.command for source in origins if case in source.cases and source.command]
    if not known:
        return tag("p", "The command was not recorded beside these rows.", class_="quiet command")
    return tag("p", "Made by ", [tag("code", one) for one in dict.fromkeys(known)], class_="command")

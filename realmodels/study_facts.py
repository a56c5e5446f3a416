"""The facts of a study: drawn, audited, and split so that no subject is on two sides and some relations on one only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.audited import Audited, Flags, Ints, read_audit
from realmodels.cells import trimmed
from realmodels.errors import UNREADABLE, RealmodelsError
from realmodels.rows import Row
from realmodels.splits import group_of, split_rows
from realmodels.study_settings import Settings
from realmodels.study_table import Order, Say
from realmodels.texts import read_json
from theory.files import whole_file
from theory.schema import nearest
from theory.slick import Category

Words = NDArray[np.str_]

ROWS, AUDIT, SUMMARY = "rows.jsonl", "audit.jsonl", "summary.json"
KEEP_EVERY = 4  # relations held out if none is named: every fourth by known-ness, from the third on
GUESSED = 0.5  # of the accuracy: permuted answers that are right so often make a relation guessable


@dataclass(frozen=True, eq=False)
class Facts:
    """Row numbers by use. `shots` are for few-shot prompts: of dev subjects, in relations of every kind."""

    audited: Audited
    rows: tuple[Row, ...]
    train: Ints
    dev: Ints
    test: Ints
    ood: Ints
    shots: Ints
    held_out: tuple[str, ...]
    guessable: Mapping[str, bool]
    remarks: tuple[str, ...] = ()  # on what was asked for and is otherwise

    def labels(self, rows: Ints) -> dict[str, Words]:
        """By key of the vocabulary the value of each of these rows, for the keys that the audit can tell."""
        audited = self.audited
        found = {
            "category": np.array([Category(c).name for c in range(len(Category))])[audited.label[rows]],
            "known": yes_no(audited.label[rows] != Category.Unknown),
            "dominant": yes_no(audited.dominant[rows]),
        }
        if (audited.overlap[rows] >= 0).all():
            found["overlap"] = yes_no(audited.overlap[rows] == 1)
        if self.guessable:
            names = [audited.relations[code] for code in audited.relation[rows]]
            found["guessable"] = yes_no(np.array([self.guessable.get(name, False) for name in names]))
        popularity = audited.scores["popularity"][rows]
        if len(rows) and np.isfinite(popularity).all():
            found["popularity"] = halves_of(audited.relation[rows], popularity)
        return found


def facts_of(order: Order, say: Say) -> Facts:
    """From the finished audit, which is made first if need be."""
    folder = audit_folder(order)
    if not (folder / AUDIT).exists():
        audit(order, say)
        return read_facts(folder, order.settings)
    check_model(order, folder)
    facts = read_facts(folder, order.settings)
    remarks = tuple(otherwise(order, folder, facts.audited.relations))
    for remark in remarks:
        say(remark)
    return replace(facts, remarks=remarks)


def otherwise(order: Order, folder: Path, relations: Sequence[str]) -> Iterator[str]:
    """What a finished audit was made with that settings or recipe say otherwise."""
    said = read_json(folder / SUMMARY) if (folder / SUMMARY).exists() else {}
    settings = order.settings
    asked = {
        "n_prompts": ("prompts", settings.prompts),
        "n_shots": ("audit_shots", settings.audit_shots),
        "style": ("style", order.recipe.style),
    }
    for field, (name, value) in asked.items():
        if isinstance(said, dict) and field in said and said[field] != value:
            yield f"the audit was made with {name} {said[field]}: its labels are of that, not of {name} {value}"
    if settings.relations and (more := [name for name in relations if name not in settings.relations]):
        yield f"the audit has relations that --set relations does not name, and they are used: {', '.join(more)}"


def audit_folder(order: Order) -> Path:
    return order.audit or order.output / "audit"


def audit(order: Order, say: Say) -> None:
    """Draw the facts if that is not done, and audit them, where arms are trained; it goes on where it stopped."""
    from realmodels.executor import spread

    path = write_facts(order, audit_folder(order) / ROWS)
    say(f"audit: {path}")
    spread(_audit, [audit_job(order, path)], order.executor, say)


def _audit(job: Any) -> None:
    from realmodels.audit import run_audit

    run_audit(job)


def write_facts(order: Order, path: Path) -> Path:
    """rows.jsonl; what an earlier start drew must be the same."""
    from realmodels.study_rows import Draw, gather, lines

    if not order.data:
        raise RealmodelsError(
            f"--data: no source is named, and the folder {path.parent} holds no audit; name files or folders"
        )
    settings = order.settings
    facts = gather(order.data, Draw(settings.per_relation, settings.relations, salt=settings.salt))
    text = "".join(lines(facts))
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise RealmodelsError(
            f"{path}: holds other facts than --data and --set give now; choose another folder"
        )
    if not path.exists():
        with whole_file(path) as out:
            out.write(text)
    return path


def audit_job(order: Order, rows: Path) -> Any:
    """The audit of these rows, as the `audit` command would do it."""
    from realmodels.audit import Job
    from realmodels.audit_plan import Asking
    from realmodels.prompting import style_named

    settings = order.settings
    asking = Asking(
        style=style_named(order.recipe.style),
        prompts=settings.prompts,
        shots=settings.audit_shots,
        signals=("margin",),
    )
    return Job(
        order.model,
        str(rows),
        audit_folder(order),
        asking,
        dtype=order.dtype,
        device=order.device,
        allow_code=order.allow_code,
        allow_pickle=order.allow_pickle,
    )


def check_model(order: Order, folder: Path, *, fetch: bool = True) -> None:
    """Labels are of a model and do not carry over. A plan takes those of a model that is not here yet as its own."""
    from realmodels.fingerprints import ABSENT, fingerprints

    summary = read_json(folder / SUMMARY) if (folder / SUMMARY).exists() else {}
    said = summary.get("model") if isinstance(summary, dict) else None
    if isinstance(said, dict) and said.get("fingerprint"):
        if said.get("adapter"):
            raise RealmodelsError(
                f"{folder}: is the audit of a model with an adapter; a study begins with a bare one"
            )
        known = fingerprints(order.model, fetch=fetch)
        if known != ABSENT and said["fingerprint"] not in known:
            raise RealmodelsError(
                f"{folder}: is the audit of {said.get('name')}, whose weights differ from those of {order.model}; "
                "labels are of one model: audit this one, or name another --audit"
            )


def read_facts(folder: Path, settings: Settings) -> Facts:
    """Split by content: the same facts come on the same side in any order and any larger file."""
    from realmodels.eval_tasks import read_questions

    audited = read_audit(folder)
    rows = read_questions(str(audited.path), {})
    if (audited.subject < 0).any():
        raise RealmodelsError(
            f"{audited.path}: {int((audited.subject < 0).sum()):,} rows have no subject, by which sides are "
            "told apart; give the audit a subject column"
        )
    return split_facts(audited, rows, settings, _guessable(folder))


def split_facts(
    audited: Audited, rows: tuple[Row, ...], settings: Settings, guessable: Mapping[str, bool]
) -> Facts:
    """By the settings' shares and relations."""
    held = held_out(audited, settings)
    outside = np.isin(audited.relation, [audited.relations.index(name) for name in held])
    inside = np.flatnonzero(~outside)
    shares = {
        "train": settings.train_share,
        "dev": settings.dev_share,
        "test": 1.0 - settings.train_share - settings.dev_share,
    }
    side = {name: np.array(places) for name, places in split_rows(rows, shares, settings.salt).items()}
    train, dev, test = (np.intersect1d(side[name], inside) for name in ("train", "dev", "test"))
    taught = {group_of(rows[i]) for i in train.tolist()}
    free = [i for i in np.flatnonzero(outside).tolist() if group_of(rows[i]) not in taught]
    shots = side["dev"]
    ood = np.setdiff1d(np.array(free, np.int64), shots)
    for name, some in (("train", train), ("dev", dev), ("test", test)):
        if not len(some):
            raise RealmodelsError(
                f"{audited.path}: no row is left for {name}; audit more, or hold out fewer relations"
            )
    return Facts(
        audited,
        rows,
        train,
        _some(audited, dev, settings.dev, settings, "dev"),
        _some(audited, test, settings.test, settings, "test"),
        _some(audited, ood, settings.ood, settings, "ood"),
        shots,
        held,
        guessable,
    )


def held_out(audited: Audited, settings: Settings) -> tuple[str, ...]:
    """The named relations; else every fourth by how many known facts it has, so that they are of all kinds."""
    if settings.hold_out:
        for name in settings.hold_out:
            if name not in audited.relations:
                raise RealmodelsError(f"--set hold_out: unknown '{name}'{nearest(name, audited.relations)}")
        if len(settings.hold_out) >= len(audited.relations):
            raise RealmodelsError("--set hold_out: all relations are held out; leave some to train on")
        return settings.hold_out
    known = np.bincount(audited.relation[audited.known], minlength=len(audited.relations))
    order = sorted(range(len(audited.relations)), key=lambda code: (-known[code], audited.relations[code]))
    return tuple(audited.relations[code] for code in order[2::KEEP_EVERY])


def yes_no(flags: Flags) -> Words:
    return np.where(np.asarray(flags, bool), "yes", "no")


def halves_of(group: Ints, score: NDArray[np.float64]) -> Words:
    """`high` for the upper half of each group; of an odd group the middle one is low, ties go by number."""
    high = np.zeros(len(group), bool)
    for one in np.unique(group):
        here = np.flatnonzero(group == one)
        order = here[np.argsort(score[here], kind="stable")]
        high[order[(len(here) + 1) // 2 :]] = True
    return np.where(high, "high", "low")


def _some(audited: Audited, rows: Ints, most: int | None, settings: Settings, name: str) -> Ints:
    """At most so many, spread over relations as all are."""
    if most is None or len(rows) <= most:
        return rows
    rng = np.random.default_rng(np.random.SeedSequence([*name.encode(), *settings.salt.encode()]))
    return np.asarray(rows[trimmed(audited.relation[rows], most, rng)])


def _guessable(folder: Path) -> dict[str, bool]:
    """By relation, from what the audit's summary says of dealt answers."""
    try:
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["relations"]
        return {
            row["relation"]: row["permuted"] is not None
            and row["permuted"] >= GUESSED * row["accuracy_written"] > 0
            for row in said
        }
    except (OSError, *UNREADABLE):
        return {}

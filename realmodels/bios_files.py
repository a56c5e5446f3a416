"""Biographies on disk: one a line, with what is known of them so far: text, claims, support, beliefs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.factscore import prompt_for, read_people
from realmodels.rows import iter_rows
from realmodels.tables import kind_of, read_table
from theory.files import write_whole
from theory.schema import shown


@dataclass(frozen=True)
class Stated:
    """A claim of a text: `sentence` is its place, `support` None where nothing was found out, `belief` by signal."""

    text: str
    sentence: int = 0
    support: bool | None = None
    by: str = ""  # what the support was told by
    score: float | None = None  # the judge's log-odds, if one was asked
    relation: str = ""  # of the fact that was stated
    belief: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {"text": self.text, "sentence": self.sentence}
        if self.by:
            found |= {"support": self.support, "by": self.by}
        for name in ("score", "relation"):
            if (value := getattr(self, name)) not in (None, ""):
                found[name] = value
        return found | ({"belief": dict(self.belief)} if self.belief else {})


@dataclass(frozen=True)
class Bio:
    """A text about a person; draw 0 is the greedy one. `original` are fields of the file that we do not use."""

    id: str
    name: str
    prompt: str
    text: str
    draw: int = 0
    claims: tuple[Stated, ...] | None = None
    original: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        known = {
            "id": self.id,
            "name": self.name,
            "prompt": self.prompt,
            "draw": self.draw,
            "text": self.text,
        }
        claims = {} if self.claims is None else {"claims": [claim.row() for claim in self.claims]}
        return {**known, **self.original, **claims}

    @property
    def stated(self) -> tuple[Stated, ...]:
        return self.claims or ()


def read_bios(path: str | Path, *, claims: bool = False) -> tuple[Bio, ...]:
    """Biographies of a file of ours (JSONL with name and text) or of a labelled FActScore file; with `claims` they must
    have been split."""
    path = Path(path)
    if path.is_file() and kind_of(path) == "text":
        raise RealmodelsError(
            f"{path}: names alone are no biographies; write them: bios write --people {path}"
        )
    found = [_bio(path, line, row) for line, row in read_table(path)]
    if not found:
        raise RealmodelsError(f"{path}: no biographies in it; expected one a line with name and text")
    seen: set[str] = set()
    for bio in found:
        if bio.id in seen:
            raise RealmodelsError(f"{path}: two biographies have the id {shown(bio.id)}; ids must differ")
        seen.add(bio.id)
    if claims and any(bio.claims is None for bio in found):
        raise RealmodelsError(f"{path}: its texts are not split into claims; run: bios split --data {path}")
    return tuple(found)


def names_in(source: str | Path) -> tuple[str, ...]:
    """The people of a text file with a name a line, of a labelled FActScore file, or the subjects of any rows."""
    path = Path(source)
    if path.is_file() and (kind_of(path) == "text" or "topic" in next(read_table(path), (0, {}))[1]):
        return tuple(dict.fromkeys(person.name for person in read_people(path)))
    if (
        path.is_file()
        and "subject" in (first := next(read_table(path), (0, {}))[1])
        and "question" not in first
    ):
        found = [row.get("subject") for _, row in read_table(path)]
    else:
        found = [row.subject for row in iter_rows(source)]
    names = tuple(dict.fromkeys(name for name in found if isinstance(name, str) and name.strip()))
    if not names:
        raise RealmodelsError(
            f"{source}: no row has a subject; expected names, a line each, or rows with subjects"
        )
    return names


def write_bios(path: str | Path, bios: Iterable[Bio]) -> None:
    write_rows(path, (bio.row() for bio in bios))


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSONL, whole or not at all."""
    write_whole(
        Path(path),
        "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows),
    )


def with_claims(bio: Bio, claims: Sequence[Stated]) -> Bio:
    return replace(bio, claims=tuple(claims))


_OURS = ("id", "name", "topic", "prompt", "text", "output", "draw", "claims", "annotations", "input", "cat")


def _bio(path: Path, line: int, row: Mapping[str, Any]) -> Bio:
    def wrong(name: str, expected: str) -> RealmodelsError:
        return RealmodelsError(
            f"{path}:{line}: field '{name}': expected {expected}, got {shown(row.get(name))}"
        )

    name_at, text_at = ("topic", "output") if "topic" in row and "name" not in row else ("name", "text")
    name, text, draw = row.get(name_at), row.get(text_at), row.get("draw", 0)
    if not isinstance(name, str) or not name.strip():
        raise wrong(name_at, "the person's name")
    if not isinstance(text, str):
        raise wrong(text_at, "the biography")
    if type(draw) is not int or draw < 0:
        raise wrong("draw", "a whole number, 0 for the greedy text")
    claims = row.get("claims")
    if claims is not None and not isinstance(claims, list):
        raise wrong("claims", "a list of claims")
    own = row.get("id", f"{name}#{draw}")
    if not isinstance(own, str) or not own:
        raise wrong("id", "a text that is not blank")
    kept = {key: value for key, value in row.items() if key not in _OURS}
    prompt = row.get("prompt")
    return Bio(
        own,
        name,
        prompt if isinstance(prompt, str) and prompt.strip() else prompt_for(name),
        text,
        draw,
        None if claims is None else tuple(_stated(path, line, claim) for claim in claims),
        kept,
    )


def _stated(path: Path, line: int, claim: Any) -> Stated:
    """A claim as `row` writes it."""
    good = (
        isinstance(claim, dict)
        and isinstance(claim.get("text"), str)
        and claim["text"].strip()
        and type(claim.get("sentence", 0)) is int
        and claim.get("support") in (True, False, None)
        and isinstance(claim.get("belief", {}), dict)
        and all(type(value) in (int, float) for value in claim.get("belief", {}).values())
    )
    if not good:
        raise RealmodelsError(
            f"{path}:{line}: field 'claims': expected claims with text, sentence, support (true, false or null) and "
            f"belief (numbers by signal), got {shown(claim)}"
        )
    known = {name: claim[name] for name in ("support", "by", "score", "relation", "belief") if name in claim}
    return Stated(claim["text"], claim.get("sentence", 0), **known)

"""FActScore's people: who they are, what models wrote about them, and what humans said of each claim.

A biography has no short answer to look for. Its claims have one: as rows for an audit, each labelled claim asks
whether it is true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmodels.errors import RealmodelsError
from realmodels.tables import Layout, Raw, kind_of, read_table
from realmodels.texts import lines
from theory.schema import shown

GROUPS = ("very rare", "rare", "medium", "freq", "very freq")  # how often the name occurs, rarest first
LABELS = ("S", "NS", "IR")  # supported, not supported, irrelevant
RELATION = "claim about a person"
QUESTION = "True or false, about {name}: {claim}"  # most claims call their person he or she


@dataclass(frozen=True, slots=True)
class Claim:
    """One atomic fact of a biography and its human label: S, NS or IR."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Person:
    """A name, the prompt for a biography, and what the labelled file says more (else empty)."""

    name: str
    prompt: str
    group: str = ""
    region: str = ""
    biography: str = ""
    claims: tuple[Claim, ...] = ()
    abstained: bool = False
    line: int = 0

    @property
    def popularity(self) -> float | None:
        """Rank of the frequency group: 1 very rare to 5 very frequent."""
        return GROUPS.index(self.group) + 1.0 if self.group in GROUPS else None


def layout(path: Path) -> Layout | None:
    """A labelled JSON-lines file or a folder of them. A list of names alone has nothing to audit and says so."""
    if path.is_dir():
        files = [file for file in sorted(path.glob("*.jsonl*")) if _labelled(file)]
        return Layout(f"{path}", "factscore", "jsonl", lambda: _claims(files)) if files else None
    kind = kind_of(path)
    if kind == "text":
        raise RealmodelsError(
            f"{path}: plain text holds no questions and answers (a list of people has no answers to judge by; "
            "give FActScore's labelled .jsonl); expected JSONL, JSON, CSV or TSV"
        )
    if kind == "jsonl" and _labelled(path):
        return Layout(f"{path}", "factscore", "jsonl", lambda: _claims([path]))
    return None


def prompt_for(name: str) -> str:
    """The request that FActScore's biographies answer."""
    return f"Tell me a bio of {name}."


def read_people(path: str | Path) -> tuple[Person, ...]:
    """The people of a labelled file, or of a text file with a name a line."""
    path = Path(path)
    if kind_of(path) == "text":
        named = [(line, text.strip()) for line, text in lines(path) if text.strip()]
        people = tuple(Person(name, prompt_for(name), line=line) for line, name in named)
    else:
        people = tuple(_person(path, line, row) for line, row in read_table(path))
    if not people:
        raise RealmodelsError(f"{path}: no people in it; expected a name a line or labelled biographies")
    return people


def _person(path: Path, line: int, row: Mapping[str, Any]) -> Person:
    def wrong(name: str, expected: str) -> RealmodelsError:
        return RealmodelsError(
            f"{path}:{line}: field '{name}': expected {expected}, got {shown(row.get(name))}"
        )

    name, biography, kind, sentences = (row.get(key) for key in ("topic", "output", "cat", "annotations"))
    if not isinstance(name, str) or not name.strip():
        raise wrong("topic", "the person's name")
    if not isinstance(biography, str):
        raise wrong("output", "the biography")
    if not isinstance(kind, list) or len(kind) != 2 or kind[0] not in GROUPS:
        raise wrong("cat", f"[frequency group, region] with a group of {', '.join(GROUPS)}")
    if sentences is not None and not isinstance(sentences, list):
        raise wrong("annotations", "a list of sentences, or null for an abstention")
    claims = tuple(_labels(sentences or []))
    if not all(isinstance(claim.text, str) and claim.label in LABELS for claim in claims):
        raise wrong("annotations", f"sentences whose facts have a text and a label of {', '.join(LABELS)}")
    return Person(name, prompt_for(name), kind[0], str(kind[1]), biography, claims, sentences is None, line)


def _labels(sentences: list[Any]) -> Iterator[Claim]:
    """Every human label; what has another form becomes a claim without a label, for the caller to refuse."""
    for sentence in sentences:
        facts = sentence.get("human-atomic-facts") if isinstance(sentence, dict) else [None]
        for fact in facts or []:
            yield (
                Claim(fact.get("text", ""), fact.get("label", ""))
                if isinstance(fact, dict)
                else Claim("", "")
            )


def _labelled(path: Path) -> bool:
    _, row = next(read_table(path, "jsonl"), (0, {}))
    return {"topic", "output", "cat", "annotations"} <= set(row)


def _claims(files: list[Path]) -> Iterator[Raw]:
    """One row a claim that is supported or not; irrelevant ones are left out."""
    for path in files:
        for line, row in read_table(path, "jsonl"):
            person = _person(path, line, row)
            for claim in person.claims:
                if claim.label == "IR" or not claim.text.strip():
                    continue
                yield Raw(
                    f"{path}",
                    line,
                    {
                        "question": QUESTION.format(name=person.name, claim=claim.text.strip()),
                        "answers": ["True" if claim.label == "S" else "False"],
                        "subject": person.name,
                        "relation": RELATION,
                        "popularity": person.popularity,
                    },
                )

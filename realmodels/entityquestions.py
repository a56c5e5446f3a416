"""EntityQuestions: the published folders of `P36.test.json` files, or JSON lines with a `relation` field.

The subject is no field of it. `relation_query_templates.json`, beside the file or in a folder above, says how
each question was made from its subject and so gives it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from realmodels.errors import RealmodelsError
from realmodels.tables import Layout, Raw, kind_of, read_table
from realmodels.texts import read_json

TEMPLATES = "relation_query_templates.json"
SLOT = "[X]"
SPLITS = ("train", "dev", "test")
_FILE = re.compile(r"(P\d+)\.(train|dev|test)\.json(\.gz)?")
_PROPERTY = re.compile(r"P\d+")


def layout(path: Path) -> Layout | None:
    """A folder of the data set, one of its files, or its rows as JSON lines with the templates near by."""
    if path.is_dir():
        files = _files(path)
        return Layout(f"{path}", "entityquestions", "jsonl", lambda: _all(files)) if files else None
    kind = kind_of(path)
    if _FILE.fullmatch(path.name) or (kind == "jsonl" and templates_near(path) and _bare(path)):
        return Layout(f"{path}", "entityquestions", kind, lambda: _all([path]))
    return None


def subject_of(question: str, template: str) -> str | None:
    """What stands in the template's slot, or None if the question was not made from it."""
    before, slot, after = template.partition(SLOT)
    if not slot or not question.startswith(before) or not question.endswith(after):
        return None
    return question[len(before) : len(question) - len(after)].strip() or None


def templates_near(path: Path) -> Mapping[str, str]:
    """relation -> template, from the nearest templates file (this folder or up to three above); {} without."""
    for folder in path.resolve().parents[:4]:
        if (file := folder / TEMPLATES).is_file():
            return _templates(file)
    return {}


@lru_cache(maxsize=16)
def _templates(file: Path) -> Mapping[str, str]:
    found = read_json(file)
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise RealmodelsError(f'{file}: expected one object such as {{"P36": "... {SLOT} ...?"}}')
    return found


def _files(folder: Path) -> list[Path]:
    """The files of a folder in the order train, dev, test: split folders, else relation files, else lines."""
    for nested in (
        [file for split in SPLITS for file in _relation_files(folder / split)],
        _relation_files(folder),
    ):
        if nested:
            return nested
    if not (folder / TEMPLATES).is_file():
        return []
    lined = [folder / f"{split}.jsonl{zipped}" for split in SPLITS for zipped in ("", ".gz")]
    return [file for file in lined if file.is_file()]


def _relation_files(folder: Path) -> list[Path]:
    found = [file for file in folder.glob("P*.json*") if _FILE.fullmatch(file.name)]

    def place(file: Path) -> tuple[int, int]:
        relation, split = file.name.split(".")[:2]
        return SPLITS.index(split), int(relation[1:])

    return sorted(found, key=place)


def _bare(path: Path) -> bool:
    """Whether the first row names a Wikidata property and no subject."""
    _, row = next(read_table(path, "jsonl"), (0, {}))
    relation = row.get("relation")
    return "subject" not in row and isinstance(relation, str) and bool(_PROPERTY.fullmatch(relation))


def _all(files: list[Path]) -> Iterator[Raw]:
    for path in files:
        templates = templates_near(path)
        named = _FILE.fullmatch(path.name)
        for line, row in read_table(path):
            relation = named[1] if named else row.get("relation")
            question = row.get("question")
            fields = {"relation": relation}
            template = templates.get(relation) if isinstance(relation, str) else None
            if template and isinstance(question, str) and "subject" not in row:
                fields["subject"] = subject_of(question.strip(), template)
            yield Raw(f"{path}", line, row, fields)

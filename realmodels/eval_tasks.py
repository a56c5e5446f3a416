"""What is asked: files of questions under a name each, and MMLU's choices; every item has the hash by which runs pair.

The documents are those that our task files give lm-evaluation-harness (for MMLU those of its own task), so hashes agree
with that harness's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmodels import mmlu
from realmodels.errors import RealmodelsError
from realmodels.harness import POPQA
from realmodels.layouts import layout_of
from realmodels.rows import Row, read_rows
from realmodels.tables import kind_of, read_table
from theory.schema import nearest, shown

if TYPE_CHECKING:
    from realmodels.bios_write import Writing
    from realmodels.eval_bios import LongForm

KNOWLEDGE = "knowledge"
KNOWN = ("popqa", "entityquestions", "mmlu")
LONG = "bios"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class Question:
    """One item. `row` has its question, answers and what strata are made of; `choices` if it is asked by letters."""

    doc: Mapping[str, Any]
    hash: str
    row: Row
    choices: mmlu.Item | None = None


@dataclass(frozen=True)
class Task:
    """Questions, and the solved ones (by position) that may stand before them: all of `pool`, or for MMLU `dev`. With
    `long` they are requests for texts."""

    name: str
    source: str
    questions: tuple[Question, ...]
    pool: tuple[Row, ...] = ()
    dev: Mapping[str, tuple[mmlu.Item, ...]] | None = None
    long: LongForm | None = None

    @property
    def letters(self) -> bool:
        return self.dev is not None

    @property
    def rows(self) -> list[Row]:
        return [question.row for question in self.questions]


def read_tasks(
    text: str,
    mapping: Mapping[str, str] | None = None,
    *,
    limit: int | None = None,
    pools: str = "",
    writing: Writing | None = None,
    splitter: str = "rules",
) -> tuple[Task, ...]:
    """`popqa=PATH,bios=PATH,file.jsonl` -> tasks, the name of a bare path being that of its file; `pools` in the same
    form. `bios` alone is about the subjects of the other tasks; `writing` and `splitter` are for long form."""
    others = dict(_named(part, "--exemplars-from") for part in _parts(pools))
    named = [_named(part, "--tasks") for part in _parts(text)]
    for place, (name, _) in enumerate(named):
        if name in {earlier for earlier, _ in named[:place]}:
            raise RealmodelsError(f"--tasks: two tasks by the name of '{name}'; name them: NAME=PATH")
    long = {name: source.removeprefix(f"{LONG}:") for name, source in named if _is_long(name, source)}
    asked = {
        name: _task(name, source, dict(mapping or {}), limit, others.pop(name, None))
        for name, source in named
        if name not in long
    }
    found: list[Task] = []
    for name, _ in named:
        if name in asked:
            found.append(asked[name])
            continue
        from realmodels.bios_write import Writing as Usual
        from realmodels.eval_bios import read_long

        about = [long[name]] if long[name] != LONG else [t.source for t in asked.values() if not t.letters]
        if not about:
            raise RealmodelsError(
                f"--tasks {name}: about whom? Write {name}=FACTS (rows of subject, relation and object, or questions "
                "with subjects), or name a task with subjects beside it"
            )
        shown = others.pop(name, None)
        found.append(
            read_long(
                name, about, dict(mapping or {}), writing or Usual(), splitter, limit=limit, shown=shown
            )
        )
    if not found:
        raise RealmodelsError(
            "--tasks: none given; expected such as popqa=popQA.tsv,mmlu=data/mmlu,facts.jsonl"
        )
    if others:
        name = next(iter(others))
        raise RealmodelsError(
            f"--exemplars-from: no task '{name}'{nearest(name, [task.name for task in found])}"
        )
    return tuple(found)


def read_task(
    text: str, mapping: Mapping[str, str] | None = None, *, limit: int | None = None, pool: str | None = None
) -> Task:
    """One task, of `PATH` or `NAME=PATH`; `pool` is the path of other solved questions."""
    return _task(*_named(text, "--data"), dict(mapping or {}), limit, pool)


def doc_hash(doc: Mapping[str, Any]) -> str:
    """As lm-evaluation-harness has it."""
    return text_hash(json.dumps(doc, indent=2, ensure_ascii=False))


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def knowledge_of(row: Row) -> Mapping[str, Any]:
    """What an audit said of the row, if it did."""
    found = row.original.get(KNOWLEDGE)
    return found if isinstance(found, dict) else {}


def read_questions(source: str, mapping: Mapping[str, str]) -> tuple[Row, ...]:
    """Rows of any known layout, and of an audit, which has question and answers under `knowledge`."""
    path = Path(source)
    path = path / "audit.jsonl" if (path / "audit.jsonl").is_file() else path
    if path.is_file() and kind_of(path) == "jsonl":
        _, first = next(read_table(path, "jsonl"), (0, {}))
        if {"question", "answers"} <= _keys(first.get(KNOWLEDGE)):
            return tuple(
                _audited(f"{path}", n, line, row) for n, (line, row) in enumerate(read_table(path, "jsonl"))
            )
    return tuple(read_rows(str(path) if path.exists() else source, mapping).rows)


def _task(name: str, source: str, mapping: Mapping[str, str], limit: int | None, pool: str | None) -> Task:
    if limit is not None and limit < 1:
        raise RealmodelsError(f"--limit: expected at least 1, got {limit}")
    path = Path(source)
    if name == "mmlu" or (path.exists() and not _is_audit(path) and layout_of(path).adapter == "mmlu"):
        if pool:
            raise RealmodelsError(
                f"--exemplars-from: {name} has its own solved questions, those of dev/; leave it out"
            )
        return _mmlu(name, path, limit)
    rows = read_questions(source, mapping)  # all of them: a limit must not change who stands before whom
    questions = tuple(_question(row) for row in rows[:limit])
    return Task(name, source, questions, read_questions(pool, mapping) if pool else rows)


def _is_long(name: str, source: str) -> bool:
    return name == LONG or source.startswith(f"{LONG}:")


def _is_audit(path: Path) -> bool:
    return (path / "audit.jsonl").is_file()


def _question(row: Row) -> Question:
    doc = {
        "id": row.id,
        "question": row.question,
        "answers": list(row.answers),
        "subject": row.subject or "",
        "relation": row.relation or "",
    }
    return Question(doc, doc_hash(doc), row)


def _audited(source: str, number: int, line: int, row: Mapping[str, Any]) -> Row:
    said, at = row.get(KNOWLEDGE), f"{source}:{line}: field '{KNOWLEDGE}"
    if not isinstance(said, dict):
        raise RealmodelsError(
            f"{at}': expected what the audit found, as the lines above have it, got {shown(said)}"
        )
    question, answers = said.get("question"), said.get("answers")
    if not isinstance(question, str) or not question.strip():
        raise RealmodelsError(f"{at}.question': expected text, got {shown(question)}; audit again")
    if (
        not isinstance(answers, list)
        or not answers
        or not all(isinstance(a, str) and a.strip() for a in answers)
    ):
        raise RealmodelsError(f"{at}.answers': expected a list of at least one answer, got {shown(answers)}")
    texts = {
        key: said.get(key) if isinstance(said.get(key), str) else None for key in ("subject", "relation")
    }
    popularity = said.get("popularity")
    if isinstance(popularity, bool) or not isinstance(popularity, int | float) or abs(popularity) > 1e300:
        popularity = None
    return Row(
        number,
        line,
        str(said.get("id") or doc_hash({"question": question, "answers": answers})[:16]),
        question,
        tuple(answers),
        texts["subject"] or None,
        texts["relation"] or None,
        None if popularity is None else float(popularity),
        row,
        source,
    )


def _mmlu(name: str, path: Path, limit: int | None) -> Task:
    if not path.exists():
        raise RealmodelsError(f"{path}: no such file or folder; expected MMLU's folder with dev/ and test/")
    root = path.parent if path.is_file() or path.name in mmlu.SPLITS else path
    files = mmlu.files_of(path)
    asked = next((some for split in ("test", "val") if (some := _of_split(files, split))), files)
    if not asked:
        raise RealmodelsError(f"{path}: no MMLU files in it; expected such as astronomy_test.csv")
    folders = [root, root.parent] if root.name in mmlu.SPLITS else [root]
    solved = [file for folder in folders for file in _of_split(mmlu.files_of(folder), "dev")]
    questions: list[Question] = []
    for file in asked:
        for subject, items in mmlu.read_items(file).items():
            questions += [_choice(file, subject, n, item) for n, item in enumerate(items[:limit])]
    return Task(
        name,
        f"{path}",
        tuple(questions),
        dev={s: i for file in solved for s, i in mmlu.read_items(file).items()},
    )


def _of_split(files: Iterable[Path], split: str) -> list[Path]:
    return [file for file in files if f"_{split}.csv" in file.name]


def _choice(file: Path, subject: str, number: int, item: mmlu.Item) -> Question:
    answer = mmlu.LETTERS.index(item.answer)
    doc = {"question": item.question, "subject": subject, "choices": list(item.choices), "answer": answer}
    row = Row(
        number, 0, f"{subject}/{number}", mmlu.block(item), (item.answer,), subject, subject, None, doc, f"{file}"
    )  # fmt: skip
    return Question(doc, doc_hash(doc), row, item)


def _parts(text: str) -> Sequence[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _named(part: str, flag: str) -> tuple[str, str]:
    name, equals, source = part.partition("=")
    if equals and not Path(part).exists():
        if not _NAME.fullmatch(name) or not source:
            raise RealmodelsError(
                f"{flag} {part!r}: expected NAME=PATH, the name of letters, digits, '.', '-' and '+'"
            )
        return name, source
    if part == "popqa" and not Path(part).exists():
        return part, POPQA
    if part.startswith(f"{LONG}:") or (part == LONG and not Path(part).exists()):
        return LONG, part
    if part in KNOWN and not Path(part).exists():
        raise RealmodelsError(f"{flag} {part}: where are its files? Write {part}=PATH")
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", Path(part).name.partition(".")[0]).strip("-.+") or "rows", part


def _keys(value: Any) -> set[str]:
    return set(value) if isinstance(value, dict) else set()

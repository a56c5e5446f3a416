"""MMLU: its headerless CSV files, the prompt of lm-evaluation-harness byte for byte, and scoring by letter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmodels.errors import RealmodelsError
from realmodels.tables import Layout, Raw, first_cells, kind_of, read_table
from theory.schema import shown

LETTERS = ("A", "B", "C", "D")
COLUMNS = ("question", *LETTERS, "answer")
HEADER = (
    *COLUMNS,
    "relation",
)  # of a table that holds rows of several files, each with the subject of its file
SPLITS = ("auxiliary_train", "train", "dev", "val", "test")
_FILE = re.compile(rf"(.+)_({'|'.join(SPLITS)})\.csv(\.gz)?")


@dataclass(frozen=True, slots=True)
class Item:
    """A question with its four choices and the letter of the right one."""

    question: str
    choices: tuple[str, str, str, str]
    answer: str


def description(subject: str) -> str:
    """What stands before everything, also before no example at all."""
    return (
        f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    )


def block(item: Item) -> str:
    """The question with its choices, up to the colon after which the letter is to come."""
    choices = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, item.choices, strict=True))
    return f"{item.question.strip()}\n{choices}Answer:"


def prompt(subject: str, item: Item, shots: Sequence[Item] = ()) -> str:
    """The whole prompt: description, the first dev items solved, the question. A continuation is " A" to " D"."""
    solved = "".join(f"{block(shot)} {shot.answer}\n\n" for shot in shots)
    return description(subject) + solved + block(item)


def continuations() -> tuple[str, ...]:
    """What is scored after the prompt."""
    return tuple(f" {letter}" for letter in LETTERS)


def chosen(logprobs: ArrayLike) -> NDArray[np.int64]:
    """(n, 4) log-probabilities of the continuations -> (n,) indices of the likeliest letter; ties to the first."""
    scores = np.asarray(logprobs, float)
    if scores.ndim != 2 or scores.shape[1] != len(LETTERS):
        raise RealmodelsError(f"MMLU: expected log-probabilities of shape (items, 4), got {scores.shape}")
    if np.isnan(scores).any():
        raise RealmodelsError(
            "MMLU: a log-probability is NaN; was the model loaded in a type that overflows?"
        )
    return np.asarray(scores.argmax(1), np.int64)


def correct(logprobs: ArrayLike, items: Sequence[Item]) -> NDArray[np.bool_]:
    """(n,) booleans: the likeliest letter is the right one (lm-evaluation-harness's `acc` is their mean)."""
    picks = chosen(logprobs)
    if len(picks) != len(items):
        raise RealmodelsError(f"MMLU: {len(picks)} rows of log-probabilities for {len(items)} items")
    return np.equal(picks, [LETTERS.index(item.answer) for item in items])


def read_items(path: str | Path) -> Mapping[str, tuple[Item, ...]]:
    """subject -> its items in order, of one file or of all files of a folder (such as `dev`)."""
    found: dict[str, list[Item]] = {}
    for file in files_of(Path(path)):
        for _, subject, _, item in _items(file):
            found.setdefault(subject, []).append(item)
    if not found:
        raise RealmodelsError(f"{path}: no MMLU files in it; expected such as astronomy_test.csv")
    return {subject: tuple(items) for subject, items in found.items()}


def subject_of(path: Path) -> str:
    """astronomy_test.csv -> astronomy."""
    named = _FILE.fullmatch(path.name)
    return named[1] if named else path.name.partition(".")[0]


def files_of(path: Path) -> list[Path]:
    """The file itself; of a folder its files by split and name, those of its split folders too."""
    if path.is_file():
        return [path]
    folders = [path, *(path / split for split in SPLITS)]
    return [
        file for folder in folders for file in sorted(folder.glob("*.csv*")) if _FILE.fullmatch(file.name)
    ]


def layout(path: Path) -> Layout | None:
    """A folder of MMLU's files, one headerless CSV file of six fields that ends its first line in a letter, or what
    `split` and `filter` write of several files: a table with a header."""
    if path.is_file() and (kind_of(path) != "csv" or not _ours(first_cells(path))):
        return None
    files = files_of(path)
    kind = "csv" if path.is_file() and _headed(path) else "csv-bare"
    return Layout(f"{path}", "mmlu", kind, lambda: _rows(files)) if files else None


def _ours(cells: list[str]) -> bool:
    return tuple(cells) == HEADER or (len(cells) == len(COLUMNS) and cells[-1] in LETTERS)


def _headed(file: Path) -> bool:
    return tuple(first_cells(file)) == HEADER


def _rows(files: list[Path]) -> Iterator[Raw]:
    for file in files:
        for line, subject, row, item in _items(file):
            asked = block(item).removesuffix("\nAnswer:")
            fields = {"question": asked, "answers": [item.answer], "relation": subject}
            yield Raw(f"{file}", line, row, fields)


def _items(file: Path) -> Iterator[tuple[int, str, dict[str, str], Item]]:
    """(line, subject, row, item)."""
    headed = _headed(file)
    for line, row in read_table(file, "csv") if headed else read_table(file, "csv-bare", COLUMNS):
        question, a, b, c, d, answer = (row[name] for name in COLUMNS)
        subject = row["relation"] if headed else subject_of(file)
        if answer not in LETTERS:
            raise RealmodelsError(
                f"{file}:{line}: field 'answer': expected one of A, B, C, D, got {shown(answer)}"
            )
        if not question.strip():
            raise RealmodelsError(f"{file}:{line}: field 'question': the question is empty; drop the row")
        yield line, subject, row, Item(question, (a, b, c, d), answer)

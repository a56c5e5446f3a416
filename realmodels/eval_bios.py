"""Long form as a task of `eval`: people of a table of facts are written about as `bios write` does, and what is claimed
of them is held against the table as `bios score` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realmodels.bios_facts import Facts, facts_from, read_facts, triples_in
from realmodels.bios_files import Bio, Stated, read_bios, with_claims
from realmodels.bios_score import supported
from realmodels.bios_split import splitter_named
from realmodels.bios_write import Writing, draw_texts, end_of, prompt_of, shown_as, trimmed
from realmodels.errors import RealmodelsError
from realmodels.eval_prompts import Block, Prompt
from realmodels.eval_strata import Mean, groups_of, mean_of
from realmodels.eval_tasks import Question, Task, doc_hash, read_questions
from realmodels.prompting import style_named
from realmodels.rows import Row
from theory.matching import normalize

if TYPE_CHECKING:
    from realmodels.loading import Loaded

Array = NDArray[np.float64]

PIECE = 16  # people written about and kept together
RECORDED: Mapping[str, str] = {
    "precision": "claim_precision",
    "recall": "claim_recall",
    "claims": "claims",
    "tokens": "tokens",
}  # metrics by their names in records
_RATIOS = {
    "precision": ("supported", "claims"),
    "judged": ("judged", "claims"),
    "precision_judged": ("supported", "judged"),
    "recall": ("stated", "facts"),
}
_LEVELS = ("claims", "tokens", "finished")


@dataclass(frozen=True, eq=False)
class LongForm:
    """What texts are asked for and held against; `shown` are those that may stand before a request."""

    facts: Facts
    writing: Writing
    splitter: str
    shown: tuple[Bio, ...] = ()


@dataclass(frozen=True, eq=False)
class Judged:
    """[people] the texts, their claims with verdicts, and the counts that numbers are made of."""

    said: tuple[str, ...]
    stated: tuple[tuple[Stated, ...], ...]
    counts: Mapping[str, Array]


def read_long(
    name: str,
    sources: Sequence[str],
    mapping: Mapping[str, str],
    writing: Writing,
    splitter: str = "rules",
    *,
    limit: int | None = None,
    shown: str | None = None,
) -> Task:
    """A question a person: the subjects of the facts in these files, in their order."""
    splitter_named(splitter)
    facts, people = _facts_in(sources, mapping)
    long = LongForm(facts, writing, splitter, read_bios(shown) if shown else ())
    source = ",".join(sources)
    rows = [_row(n, who, popularity, facts, writing, source) for n, (who, popularity) in enumerate(people)]
    questions = tuple(Question(doc := _doc(row, facts, writing), doc_hash(doc), row) for row in rows[:limit])
    return Task(name, source, questions, long=long)


def prompts_for(task: Task, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Those that a task is asked under: for long form zero, and few:K where there are texts to show."""
    if task.long is None:
        return tuple(prompts)
    shown = task.long.shown
    kept = [p for p in prompts if not (p.thinks or p.wrong) and (shown or not p.shots)]
    if not kept:
        raise RealmodelsError(
            f"--prompts {','.join(p.name for p in prompts)}: none is for {task.name}, which is long form; add zero, or "
            f"few:K with texts to show: --exemplars-from {task.name}=TEXTS.jsonl (name and text)"
        )
    return tuple(kept)


def long_blocks(task: Task, long: LongForm, prompt: Prompt) -> list[Block]:
    """Requests behind as many texts about other people; those with the same texts together."""
    made: dict[tuple[str, ...], list[int]] = {}
    for i, question in enumerate(task.questions):
        name = str(question.row.subject)
        others = [bio for bio in long.shown if normalize(bio.name) != normalize(name)][: prompt.shots]
        if len(others) < prompt.shots:
            raise RealmodelsError(
                f"--prompts {prompt.name}: {len(others)} texts to show before {name!r}; expected {prompt.shots}; ask "
                f"for fewer, or give --exemplars-from {task.name} more"
            )
        shots = tuple(shown_as(bio, long.writing.request, long.writing.style) for bio in others)
        made.setdefault(shots, []).append(i)
    return [
        Block(
            "".join(shots),
            tuple(index),
            tuple(
                prompt_of(replace(long.writing, shown=shots), str(task.questions[i].row.subject))
                for i in index
            ),
            "given" if shots else "none",
        )
        for shots, index in made.items()
    ]


def write(loaded: Loaded, block: Block, long: LongForm, batch: int | None = None) -> list[dict[str, Any]]:
    """The greedy text of every request."""
    drawn = draw_texts(loaded, block.texts, long.writing, batch)
    return [{"said": one["text"], "tokens": one["tokens"], "finished": one["finished"]} for (one,) in drawn]


def check_length_of(loaded: Loaded, block: Block, long: LongForm) -> None:
    """Every request fits the model with what will be written."""
    from realmodels.prefix import check_length

    longest = max(map(len, loaded.tokens.prompts_ids(block.texts)))
    check_length(loaded, longest + long.writing.tokens)


def until(long: LongForm) -> str:
    """What ends a text."""
    return end_of(style_named(long.writing.style))


def judge(task: Task, long: LongForm, lines: Sequence[Mapping[str, Any]]) -> Judged:
    """Each text trimmed, split, and held against the table."""
    cut, bios = splitter_named(long.splitter), []
    for question, line in zip(task.questions, lines, strict=True):
        name, text = str(question.row.subject), trimmed(line["said"], line["finished"], long.writing)
        claims = [Stated(claim.text, claim.sentence) for claim in cut(text, name)]
        bios.append(with_claims(Bio(name, name, "", text), claims))
    told = supported(bios, long.facts)
    counts = {
        "claims": [len(bio.stated) for bio in told],
        "supported": [sum(claim.support is True for claim in bio.stated) for bio in told],
        "judged": [sum(claim.support is not None for claim in bio.stated) for bio in told],
        "stated": [len({claim.relation for claim in bio.stated if claim.support}) for bio in told],
        "facts": [len(long.facts.about(bio.name)) for bio in told],
        "tokens": [line["tokens"] for line in lines],
        "finished": [line["finished"] for line in lines],
    }
    return Judged(
        tuple(bio.text for bio in told),
        tuple(bio.stated for bio in told),
        {name: np.array(own, float) for name, own in counts.items()},
    )


def metrics_of(counts: Mapping[str, Array]) -> dict[str, Array]:
    """[people] values whose means are the numbers. Of a ratio of sums, as `bios score` has it, what each text adds to
    it; without a claim there is no precision."""
    found = {}
    for name, (above, below) in _RATIOS.items():
        if total := counts[below].sum():
            ratio = counts[above].sum() / total
            found[name] = ratio + (counts[above] - ratio * counts[below]) / counts[below].mean()
    return found | {name: counts[name] for name in _LEVELS}


def means_of(counts: Mapping[str, Array], strata: Sequence[Mapping[str, str]]) -> list[Mean]:
    """Of every metric over all people and over each stratum."""
    return [
        mean_of(stratum, metric, values)
        for stratum, members in groups_of(strata).items()
        for metric, values in metrics_of({name: own[members] for name, own in counts.items()}).items()
    ]


def _facts_in(
    sources: Sequence[str], mapping: Mapping[str, str]
) -> tuple[Facts, list[tuple[str, float | None]]]:
    """The table, and its people with their popularity where it is known."""
    people: dict[str, float | None] = {}
    if len(sources) == 1 and (triples := triples_in(Path(sources[0]))):
        return read_facts(sources[0]), [(name, None) for name in dict.fromkeys(own[0] for own in triples)]
    rows = [row for source in sources for row in read_questions(source, mapping) if row.subject]
    if not rows:
        raise RealmodelsError(
            f"{','.join(sources)}: no row has a subject, so there is nobody to write about; --map subject=COLUMN names "
            "its column"
        )
    for row in rows:
        people.setdefault(str(row.subject), row.popularity)
    facts = facts_from((str(row.subject), row.relation or "", row.answers, row.question) for row in rows)
    return facts, list(people.items())


def _row(
    number: int, name: str, popularity: float | None, facts: Facts, writing: Writing, source: str
) -> Row:
    said = "; ".join(f"{fact.relation}: {fact.objects[0]}" for fact in facts.about(name))
    request = writing.request.replace("{name}", name)
    return Row(number, 0, name, request, (said,), name, None, popularity, {}, source)


def _doc(row: Row, facts: Facts, writing: Writing) -> dict[str, Any]:
    own = facts.about(str(row.subject))
    return {
        "subject": row.subject,
        "request": row.question,
        "facts": [{"relation": fact.relation, "objects": list(fact.objects)} for fact in own],
    }


def rows_of(exams: Sequence[Any]) -> Iterator[list[str]]:
    """A table of texts: a line an exam, with 95% limits of a normal of the standard error over texts."""
    yield [
        "task",
        "prompt",
        "adapter",
        "texts",
        "precision",
        "95% interval",
        "recall",
        "claims",
        "judged",
        "ended",
    ]
    for exam in exams:
        found = {mean.metric: mean for mean in exam.means if mean.stratum == "all"}
        line = [exam.task.name, exam.prompt.name, exam.who.name, f"{len(exam.task.questions):,}"]
        if "precision" in found:
            mean = found["precision"]
            half = 1.959963984540054 * mean.stderr
            line += [
                f"{mean.value:.3f}",
                f"{max(0.0, mean.value - half):.3f} to {min(1.0, mean.value + half):.3f}",
            ]
        else:
            line += ["", "no claims"]
        line += [f"{found['recall'].value:.3f}", f"{found['claims'].value:.1f}"]
        line += [f"{found[name].value:.0%}" if name in found else "" for name in ("judged", "finished")]
        yield line

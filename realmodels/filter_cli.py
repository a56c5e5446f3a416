"""`filter` and `tasks`: from an audit to files that training reads, and the folder of evaluation tasks."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from realmodels.audited import Audited
    from realmodels.filtering import Criteria

Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclass(frozen=True)
class Filter:
    """Keep some rows of an audit, as a file like the one that was audited, or draw equal matched arms from it."""

    audit: tyro.conf.Positional[Path]
    """An audit.jsonl, or the folder that `audit` wrote."""
    keep: str = ""
    """Labels to keep, with commas: HighlyKnown,MaybeKnown."""
    drop: str = ""
    """Labels to drop, with commas: Unknown."""
    top: float | None = None
    """Keep this share of what is left, the highest by --by."""
    by: str | None = None
    """margin, logprob, p_greedy, p_sample, popularity, p_true or detection: orders --top, --limit, best and lesser."""
    per_relation: Flag = False
    """Take --top within each relation, so that the mix of relations stays."""
    no_overlap: Flag = False
    """Drop rows whose answer repeats a word of the subject (it may be copied, not known)."""
    no_dominant: Flag = False
    """Drop rows whose answer is one of the relation's two commonest (it may be guessed, not known)."""
    limit: int | None = None
    """At most so many rows: the highest if --by is given, else the first."""
    arms: str = ""
    """Arms to draw, with commas: known, unknown, highly, maybe, weakly, best, lesser, random, known-permuted."""
    match: str = "relation"
    """What the arms are matched on, with commas: relation, answer, overlap, dominant; or none."""
    size: int | None = None
    """Rows in each arm; without it as many as can be matched."""
    seed: int = 0
    """Of the arms' draws."""
    disjoint_subjects: Flag = False
    """No subject in two arms."""
    held_out: float | None = None
    """Set this share of the subjects aside first; all their facts go to held-out.jsonl, to be asked by `eval`."""
    with_knowledge: Flag = False
    """Leave what the audit found in the rows, as a last column."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PATH")] = None
    """The file to write, or with --arms the folder; beside the audit if not given."""

    def run(self) -> int:
        from realmodels.audited import read_audit
        from realmodels.errors import RealmodelsError
        from realmodels.filtering import Criteria, check

        criteria = Criteria(
            _listed(self.keep),
            _listed(self.drop),
            self.top,
            None if self.arms and self.top is None else self.by,
            self.per_relation,
            self.no_overlap,
            self.no_dominant,
            self.limit,
        )
        check(criteria)
        self._check_flags(criteria)
        audited = read_audit(self.audit)
        if self.arms:
            return self._draw(audited, criteria)
        if criteria == Criteria():
            raise RealmodelsError(
                "filter: nothing is asked; give --keep, --drop, --top, --no-overlap, --no-dominant, --limit or --arms"
            )
        return self._keep(audited, criteria)

    def _check_flags(self, criteria: Criteria) -> None:
        from realmodels.errors import RealmodelsError

        if self.arms and self.limit is not None:
            raise RealmodelsError("--limit: with --arms say --size, the rows of each arm")
        if not self.arms:
            plain = Filter(self.audit)
            for flag in ("size", "match", "seed", "disjoint_subjects", "held_out"):
                if getattr(self, flag) != getattr(plain, flag):
                    raise RealmodelsError(
                        f"--{flag.replace('_', '-')}: it is for arms; say which with --arms"
                    )
            if self.by is not None and self.top is None and self.limit is None:
                raise RealmodelsError("--by: it orders --top, --limit or --arms; give one of them")

    def _keep(self, audited: Audited, criteria: Criteria) -> int:
        from realmodels.filtering import bare_relations, choose
        from realmodels.manifest import manifest, table
        from realmodels.selection import check_name, ending, put_manifest, write_rows
        from realmodels.together import together

        path = self.output or audited.path.with_name(f"filtered.{ending(audited)}")
        path = path / f"filtered.{ending(audited)}" if path.is_dir() else path
        check_name(audited, path)
        chosen = choose(audited, criteria)
        notes = chosen.notes + bare_relations(audited, chosen.rows)
        name = f"{path.name}.manifest.json"
        with together(path.parent, [path.name], name) as folder:
            written = write_rows(folder / path.name, audited, chosen.rows, self.with_knowledge)
            asked = asdict(criteria) | {"with_knowledge": self.with_knowledge}
            counts = audited.counts(chosen.rows)
            text = manifest(audited, asked, kept=counts, written=[written], warnings=list(notes))
            put_manifest(folder / name, audited, text)
        print(table(audited, {"kept": chosen.rows}))
        return _say(notes, [path, path.with_name(name)])

    def _draw(self, audited: Audited, criteria: Criteria) -> int:
        import numpy as np

        from realmodels.arms import ARMS, Design, check, draw
        from realmodels.filtering import Criteria, choose
        from realmodels.held_out import FILE, set_aside, taught_by, write_held_out
        from realmodels.manifest import manifest, table
        from realmodels.selection import ending, put_manifest, write_arm
        from realmodels.together import together

        match = () if self.match == "none" else _listed(self.match)
        by = self.by or "logprob"
        design = Design(_listed(self.arms), match, self.size, self.seed, self.disjoint_subjects, by)
        check(design)
        chosen = None if criteria == Criteria() else choose(audited, criteria)
        among = chosen.rows if chosen else np.arange(len(audited))
        aside = np.zeros(len(audited), bool)
        if self.held_out is not None:
            aside = set_aside(audited, self.held_out, self.seed)
        held = np.flatnonzero(aside)
        drawn = draw(audited, design, among[~aside[among]])
        notes = (chosen.notes if chosen else ()) + drawn.notes
        folder = self.output or audited.path.with_name("arms")
        files = [f"{arm.name}.{ending(audited)}" for arm in drawn.arms]
        names = [*files, FILE] if len(held) else files
        with together(folder, names, "manifest.json") as scratch:
            written = [
                {"arm": arm.name, "is": ARMS[arm.name], "pool": arm.pool}
                | write_arm(scratch / file, audited, arm, self.with_knowledge)
                for arm, file in zip(drawn.arms, files, strict=True)
            ]
            if len(held):
                written.append(
                    write_held_out(scratch / FILE, audited, held, taught_by(audited, held, drawn.arms))
                )
            counts = {arm.name: audited.counts(arm.rows) for arm in drawn.arms}
            asked = asdict(criteria) | asdict(design) | {"with_knowledge": self.with_knowledge}
            asked |= {"held_out": self.held_out}
            text = manifest(
                audited,
                asked,
                kept=counts,
                matched_rows=drawn.matched,
                cells={"with_rows": drawn.cells[0], "with_rows_of_every_arm": drawn.cells[1]},
                unmatched=drawn.unmatched,
                written=written,
                warnings=list(notes),
            )
            put_manifest(scratch / "manifest.json", audited, text)
        sets = {arm.name: arm.rows for arm in drawn.arms} | ({"held out": held} if len(held) else {})
        print(table(audited, sets))
        have, met = drawn.cells
        print(
            f"matched on {', '.join(match) or 'nothing'}: {drawn.matched:,} rows an arm in {met:,} of {have:,} cells; "
            f"written {len(drawn.arms[0].rows):,} an arm"
        )
        return _say(notes, [folder / name for name in (*names, "manifest.json")])


@dataclass(frozen=True)
class Tasks:
    """Print the folder of task files for lm-evaluation-harness: lm-eval run --include_path "$(... tasks)" ..."""

    def run(self) -> int:
        print(Path(__file__).with_name("lm_eval_tasks"))
        return 0


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _say(notes: tuple[str, ...], paths: list[Path]) -> int:
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
    for path in paths:
        print(f"wrote {path}", file=sys.stderr)
    return 0

"""How time and memory grow with the data: every trial runs a command in processes of its own, at several sizes.

    python tests/hardening/scale.py audit|filter|arms|split|agree|rows|claims|world [--sizes 20000 60000] [--keep]

prints rows a second of a core and the most memory that the process held, and fails if that grows between the last two
sizes by more bytes a row than the trial allows. `audit` asks a stub that costs nothing, so that all but the model is
measured; its rows are EntityQuestions' own where they are at hand (NAMEBLIND_DATA), else made up in their likeness.
--keep writes the line of survived.jsonl. Linux."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
WORDS = ["north", "river", "stone", "lake", "green", "old", "saint", "upper", "port", "mill"]
ASKED = [
    "born",
    "died",
    "married",
    "located",
    "founded",
    "written",
    "owned",
    "taught",
    "buried",
    "made",
    "played",
    "named",
]


@dataclass(frozen=True)
class Found:
    """`seconds` of a core; `peak` bytes of memory at the most."""

    size: int
    seconds: float
    peak: int
    said: str


@dataclass(frozen=True)
class Trial:
    """`run` works in an empty folder at a size and says what came out; `growth` is in bytes a row, between the last
    two sizes."""

    what: str
    run: Callable[[Path, int, argparse.Namespace], str]
    sizes: tuple[int, ...]
    growth: float
    unit: str = "rows"
    prepare: Callable[[Path, int, argparse.Namespace], None] | None = None


# ---------------------------------------------------------------- rows


def questions(count: int) -> Iterator[dict[str, Any]]:
    """EntityQuestions' training rows, or rows like them."""
    folder = Path(os.environ.get("NAMEBLIND_DATA") or ROOT.parent / "shared" / "data")
    path = folder / "entityquestions" / "train.jsonl.gz"
    return islice(_real(path, count) if path.is_file() else _made(count), count)


def _real(path: Path, count: int) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        every = [json.loads(line) for line in file]
    for number in range(min(count, len(every))):  # of all relations alike: the file is sorted by them
        yield every[number * len(every) // min(count, len(every))]
    yield from _made(count)


def _made(count: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(0)
    for number in range(count):
        name = f"{rng.choice(WORDS).title()} {rng.choice(WORDS)} {number}"
        answers = [
            f"{rng.choice(WORDS)} {rng.choice(WORDS)} {rng.randrange(50)}" for _ in range(1 + number % 3)
        ]
        relation = number * len(ASKED) // count
        yield {
            "relation": f"P{relation}", "question": f"Where was {name} {ASKED[relation]}?", "answers": answers,
            "subject": name,
        }  # fmt: skip


def put(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def put_questions(folder: Path, size: int, flags: argparse.Namespace) -> None:
    put(folder / "rows.jsonl", questions(size))


def put_audit(folder: Path, size: int, flags: argparse.Namespace) -> None:
    """What an audit of so many rows leaves, and that of another audit."""
    labels = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
    for name in ("first", "second"):
        (folder / name).mkdir()

        def lines(name: str = name) -> Iterator[dict[str, Any]]:
            for number, row in enumerate(questions(size)):
                chance = crc32(f"{number}".encode())
                label = labels[(chance if name == "first" or chance % 9 else chance >> 9) % 4]
                yield row | {
                    "knowledge": {
                        "label": label, "p_greedy": {"HighlyKnown": 1.0, "MaybeKnown": 0.5}.get(label, 0.0),
                        "p_sample": chance % 1000 / 1000, "detection": 0.1, "n_prompts": 2, "estimator": "exact",
                        "matcher": "exact", "logprob": -(chance % 977) / 100, "margin": None, "p_true": None,
                        "popularity": None, "overlaps_subject": False, "dominant_answer": False, "id": f"{number}",
                        "question": row["question"], "answers": row["answers"],
                        "subject": row["question"], "relation": row["relation"],
                    }
                }  # fmt: skip

        put(folder / name / "audit.jsonl", lines())
        source = {"path": "rows.jsonl", "kind": "jsonl", "columns": ["relation", "question", "answers"]}
        (folder / name / "summary.json").write_text(json.dumps({"source": source}))


# ---------------------------------------------------------------- realmodels


class Stub:
    """A tokenizer of a token for every four letters, and answers that follow from question and shots."""

    bos = (0,)

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        return (0, *range(len(text) // 4))

    def prompts_ids(self, texts: list[str]) -> list[tuple[int, ...]]:
        return [self.prompt_ids(text) for text in texts]

    def answer_ids(self, text: str) -> tuple[int, ...]:
        return tuple(range(1 + len(text) // 4))


def estimate(
    loaded: Any,
    style: Any,
    shots: Any,
    questions: Any,
    answers: Any,
    *,
    estimator: str,
    sampling: Any,
    **_: Any,
) -> Any:
    """As realmodels.estimate.estimate, for nothing."""
    import numpy as np

    from realmodels.estimate import Estimates

    shown = shots[0].question if shots else ""
    chance = np.array([crc32(f"{shown}\0{text}".encode()) for text in questions])
    greedy = chance % 3 == 0
    said = tuple(
        accepted[0] if right else f"{WORDS[number % len(WORDS)]} {number % 7}"
        for accepted, right, number in zip(answers, greedy, chance.tolist(), strict=True)
    )
    samples = ((said[0],) * sampling.samples,) * len(said) if estimator == "sample" else ()
    return Estimates(greedy, (chance % 997) / 997, -(chance % 1009) / 100, said, samples)


def logprobs(loaded: Any, style: Any, shots: Any, questions: Any, answers: Any, **_: Any) -> Any:
    import numpy as np

    return np.array([-(crc32(text.encode()) % 1009) / 100 for text in questions])


def stubbed() -> None:
    """Put the stub where the model was."""
    import realmodels.audit_ask
    import realmodels.loading

    config = SimpleNamespace(max_position_embeddings=1 << 20)
    model = SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))
    loaded = realmodels.loading.Loaded(model, Stub(), "stub", "0", "cpu", "float32")  # type: ignore[arg-type]
    realmodels.loading.load = lambda *_, **__: loaded
    realmodels.audit_ask.estimate = estimate  # type: ignore[assignment]
    realmodels.audit_ask.logprobs = logprobs


def realmodels_(*words: object) -> str:
    """What a command prints."""
    from realmodels.cli import COMMANDS
    from theory.command import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main("python -m realmodels", "about", COMMANDS, [str(word) for word in words])
    if status:
        raise SystemExit(f"{words[0]}: exit {status}")
    return out.getvalue()


def audit(folder: Path, size: int, flags: argparse.Namespace) -> str:
    stubbed()
    words = ["--model", "stub", "--data", "rows.jsonl", "-o", "out", "--prompts", flags.prompts]
    words += ["--signals", "margin"] if flags.margin else []
    realmodels_("audit", *words)
    with open("rows.jsonl") as rows, open("out/audit.jsonl") as found:
        for row, line in zip(rows, found, strict=True):
            assert {**json.loads(row), "knowledge": json.loads(line)["knowledge"]} == json.loads(line)
    return "every row stands in audit.jsonl as it was, in order"


def filter_(folder: Path, size: int, flags: argparse.Namespace) -> str:
    realmodels_("filter", "first", "--keep", "HighlyKnown,MaybeKnown", "-o", "kept.jsonl")
    return f"{_lines('kept.jsonl'):,} rows kept"


def arms(folder: Path, size: int, flags: argparse.Namespace) -> str:
    realmodels_("filter", "first", "--arms", "known,unknown,known-permuted", "-o", "arms")
    return f"{_lines('arms/known.jsonl'):,} rows an arm"


def agree(folder: Path, size: int, flags: argparse.Namespace) -> str:
    return realmodels_("agree", "first", "second").split(":")[0]


def split(folder: Path, size: int, flags: argparse.Namespace) -> str:
    return realmodels_("split", "--data", "rows.jsonl", "-o", "parts").splitlines()[-1][:24]


def rows(folder: Path, size: int, flags: argparse.Namespace) -> str:
    from realmodels.rows import iter_rows

    return f"{len({row.relation for row in iter_rows('rows.jsonl')})} relations"


def _lines(path: str) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


# ---------------------------------------------------------------- theory


def put_records(folder: Path, size: int, flags: argparse.Namespace) -> None:
    """Every claim's rows over ten seeds, most of them single test items, again and again under other seeds."""
    import numpy as np

    from theory.claims.placebo import Noise, draw, plan
    from theory.claims.placebo_rows import itemise, to_table
    from theory.records import RecordWriter

    once = min(size, flags.block)
    it = plan(None, "claimed")
    table = to_table(it, draw(it, np.random.default_rng(0), 1, 10, Noise(0.01, 0.002, 0.002, 0.001))[0])
    held_out = int((table.mask(metric="accuracy", stratum="all") & ~table.mask(split=("dev", "train"))).sum())
    table = itemise(table, -(-once // held_out), np.random.default_rng(1), spread=0.1)
    with RecordWriter(folder / "block.jsonl") as writer:
        writer.write_many(table.take(np.arange(once)).records())
    block = (folder / "block.jsonl").read_text(encoding="utf-8")
    (folder / "block.jsonl").unlink()
    with (folder / "records.jsonl").open("w", encoding="utf-8") as file:
        for again in range(-(-size // once)):
            text = block.replace('"seed": ', f'"seed": {again}' if again else '"seed": ')
            file.write(text)


def claims(folder: Path, size: int, flags: argparse.Namespace) -> str:
    from theory.claims import evaluate
    from theory.records import read_records

    table = read_records("records.jsonl")
    assert len(table) >= size
    board = evaluate(table)
    answers = [verdict.answer for verdict in board.verdicts]
    board.write(".")
    assert "missing" not in answers
    return f"{len(answers)} claims, {answers.count('reproduced')} reproduced"


def world(folder: Path, size: int, flags: argparse.Namespace) -> str:
    from theory.world import WorldSpec, make_world
    from theory.world_file import load_world, save_world

    spec = WorldSpec()
    each = spec.types * spec.relations
    made = make_world(WorldSpec(subjects=size // each), 0)
    save_world(made, "world.npz")
    again = load_world("world.npz")
    assert again == made
    assert len(made.describe()) > 100
    return f"{len(made):,} facts, {os.path.getsize('world.npz') / MIB:.0f} MiB on disk, equal when read back"


TRIALS = {
    "audit": Trial("audit with a stub", audit, (20_000, 60_000, 176_560), 30, prepare=put_questions),
    "filter": Trial("filter --keep", filter_, (20_000, 60_000, 176_560), 300, prepare=put_audit),
    "arms": Trial("filter --arms", arms, (20_000, 60_000, 176_560), 400, prepare=put_audit),
    "agree": Trial("agree", agree, (20_000, 60_000, 176_560), 400, prepare=put_audit),
    "split": Trial("split", split, (20_000, 60_000, 176_560), 150, prepare=put_questions),
    "rows": Trial("rows read one by one", rows, (20_000, 60_000, 176_560), 50, prepare=put_questions),
    "claims": Trial("theory claims", claims, (1_000_000, 10_000_000), 200, "records", put_records),
    "world": Trial("a world drawn, saved, loaded and checked", world, (100_000, 1_000_000), 200, "facts"),
}  # fmt: skip


# ---------------------------------------------------------------- measuring


def measured(name: str, size: int, flags: argparse.Namespace, root: Path = ROOT) -> Found:
    """A trial at one size, in a process of its own (another prepares the data)."""
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        said = {}
        for part in ("prepare", "run") if TRIALS[name].prepare else ("run",):
            words = [sys.executable, str(Path(__file__)), name, "--part", part, "--sizes", str(size)]
            words += [
                "--prompts",
                str(flags.prompts),
                "--block",
                str(flags.block),
                *["--margin"] * flags.margin,
            ]
            done = subprocess.run(
                words,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"{name} at {size:,}: {done.stderr[-2000:]}")
            said = json.loads(done.stdout.splitlines()[-1])
        return Found(size, **said)


def part(name: str, flags: argparse.Namespace) -> None:
    """In the process of its own: do it and say what it took."""
    trial, size = TRIALS[name], flags.sizes[0]
    began = time.process_time()
    work = trial.prepare if flags.part == "prepare" and trial.prepare else trial.run
    said = work(Path.cwd(), size, flags) or ""
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps({"seconds": time.process_time() - began, "peak": peak, "said": said}))


def growth(found: list[Found]) -> float:
    """Bytes a row, between the last two sizes."""
    if len(found) < 2:
        return 0.0
    return (found[-1].peak - found[-2].peak) / (found[-1].size - found[-2].size)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--prompts", type=int, default=2, help="of the audit")
    parser.add_argument("--margin", action="store_true", help="the audit also asks for margins")
    parser.add_argument("--block", type=int, default=1_000_000, help="records before seeds repeat")
    parser.add_argument("--folder", type=Path, help="where the data go; the temporary folder if not given")
    parser.add_argument("--keep", action="store_true", help="write the line of survived.jsonl")
    parser.add_argument("--part", choices=("prepare", "run"), help=argparse.SUPPRESS)
    return parser


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    trial = TRIALS[flags.trial]
    flags.sizes = flags.sizes or list(trial.sizes)
    if flags.part:
        part(flags.trial, flags)
        return 0
    found: list[Found] = []
    for size in flags.sizes:
        found.append(one := measured(flags.trial, size, flags))
        print(
            f"{flags.trial} {size:>10,} {trial.unit}: {one.seconds:7.1f} s of a core, "
            f"{size / one.seconds:>9,.0f} {trial.unit}/s, peak {one.peak / MIB:,.0f} MiB; {one.said}",
            flush=True,
        )
    grown, last = growth(found), found[-1]
    good = grown <= trial.growth
    said = (
        f"{last.size / last.seconds:,.0f} {trial.unit}/s, peak {last.peak / MIB:,.0f} MB, "
        f"{max(grown, 0.0):,.0f} bytes more for each above {found[-2].size:,}"
        if len(found) > 1
        else f"{last.size / last.seconds:,.0f} {trial.unit}/s, peak {last.peak / MIB:,.0f} MB"
    )
    print(f"{said} (at most {trial.growth:g} allowed)")
    if flags.keep:
        from tests.hardening.survived import Trial as Line
        from tests.hardening.survived import keep

        more = f", {flags.prompts} prompts a row" if flags.trial == "audit" else ""
        more += " with margins" if flags.margin else ""
        command = f"python tests/hardening/scale.py {flags.trial}"
        command += f" --prompts {flags.prompts}" if flags.trial == "audit" and flags.prompts != 2 else ""
        command += " --margin" * flags.margin
        command += f" --sizes {' '.join(map(str, flags.sizes))}" if flags.sizes != list(trial.sizes) else ""
        what = f"{trial.what}: {last.size:,} {trial.unit}{more}"
        keep(Line("scale", what, len(found), len(found) - (not good), said, command))
    return 0 if good else 1


if __name__ == "__main__":
    sys.path.insert(0, os.environ.get("PYTHONPATH") or str(ROOT))
    if not any(word == "--part" for word in sys.argv):
        sys.path.insert(0, str(ROOT))
    sys.exit(main())

"""Damaged files into every reader of the four rooms: each is read, or refused with the room's own one-line error.

    python tests/hardening/fuzz.py --inputs 1000000 --seed 0 --workers 2

prints a table of what happened; any other exception, or more than `LIMIT` seconds of a core, is a failure with the
number that repeats it (`--only READER --first NUMBER --inputs 1`).
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import json
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

LIMIT = 2.0  # seconds of a core for one input
CHUNK = 500  # inputs of one task of a worker


class Hang(BaseException):
    """It took too long; no reader may catch this."""


@dataclass(frozen=True)
class Reader:
    """`read` is given the path of a file that was one of `seeds` before it was damaged."""

    name: str
    file: str
    read: Callable[[Path], object]
    seeds: tuple[bytes, ...]
    weight: float = 1.0
    zipped: bool = False  # it also reads gzip


@dataclass
class Tally:
    """What happened, by reader; `failed` has the first inputs of every kind of failure."""

    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        self.found += other.found
        self.seconds += other.seconds
        for name, took in other.slowest.items():
            self.slowest[name] = max(self.slowest[name], took)
        for kind, places in other.failed.items():
            self.failed[kind] = (self.failed[kind] + places)[:5]


# ---------------------------------------------------------------- valid files


def _lines(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _document(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


ROWS = [
    {
        "id": "r1",
        "question": "Where was Ada Lovelace born?",
        "answers": ["London"],
        "subject": "Ada Lovelace",
        "relation": "P19",
        "popularity": 5120,
    },
    {
        "id": "r2",
        "question": "Wo liegt Köln, „am Rhein“?",
        "answers": ["Deutschland", "德国"],
        "subject": "Köln",
        "relation": "P17",
        "popularity": 1.5e3,
    },
    {"id": "r3", "question": "Who wrote = 1+1 ?", "answers": '["A", "B"]', "subject": None},
]
CSV = (
    b"id,question,answers,subject,relation,popularity\n"
    b'1,Where was Ada born?,London,Ada,P19,12\n2,"Who, ""exactly"", was it?","[""A"", ""B""]",Bob,P50,\n'
    b'3,"two\nlines",yes,,,3.5e2\n'
)
TSV = b'question\tanswers\tsubject\nWhere was Ada born?\tLondon\tAda\nWho?\t"[""A"", ""B""]"\t\n'
POPQA = (
    b"id\tsubj\tprop\tobj\ts_pop\tquestion\tpossible_answers\n"
    b'42\tGeorge Rankin\toccupation\tpolitician\t142\tWhat did Rankin do?\t"[""politician"", ""pol""]"\n'
    b'7\tIndia\tcapital\tNew Delhi\t98765\tWhat is the capital of India?\t["New Delhi"]\n'
)
MMLU = b'What is 1+1?,1,2,3,4,B\n"A, long\nquestion",yes,no,maybe,never,D\n'
RELATION = {
    "name": "capital",
    "prompt_templates": ["The capital of {} is"],
    "samples": [{"subject": "France", "object": "Paris"}, {"subject": "Peru", "object": "Lima"}],
}
KNOWLEDGE = {
    "label": "MaybeKnown",
    "p_greedy": 0.5,
    "p_sample": 0.4,
    "detection": 0.1,
    "n_prompts": 10,
    "estimator": "exact",
    "matcher": "exact",
    "logprob": -1.5,
    "margin": 0.25,
    "p_true": None,
    "popularity": 12.0,
    "overlaps_subject": False,
    "dominant_answer": True,
    "id": "r1",
    "question": "Where was Ada born?",
    "answers": ["London"],
    "subject": "Ada",
    "relation": "P19",
}
SUMMARY = {"source": {"path": "a.csv", "kind": "csv", "columns": ["question", "answers"], "names": {}}}
SAMPLE = {
    "doc_id": 0,
    "doc": {"question": "Where?", "subject": "Ada"},
    "target": "London",
    "arguments": [["Q: Where?\nA:", {"until": ["\n"]}]],
    "resps": [["London"]],
    "filtered_resps": ["London"],
    "filter": "none",
    "metrics": ["exact_match", "f1"],
    "exact_match": 1.0,
    "f1": 1.0,
    "doc_hash": "ab12",
    "strata": {"relation": "P19", "popularity": "low"},
}
PERSON = {
    "topic": "Ada Lovelace",
    "output": "She was born in London.",
    "cat": ["rare", "Europe"],
    "input": "Tell me a bio",
    "annotations": [{"text": "She.", "human-atomic-facts": [{"text": "She was born.", "label": "S"}]}],
}
BIO = {
    "id": "Ada#0",
    "name": "Ada",
    "prompt": "Tell me a bio of Ada.",
    "draw": 0,
    "text": "Ada was born in London.",
    "claims": [{"text": "Ada was born.", "sentence": 0, "support": True, "by": "x", "belief": {"p": 0.5}}],
}
RECORD = {
    "lab": "theory/R1-onehot",
    "study": "salience",
    "run": "salience-00ff",
    "seed": 3,
    "arm": "all",
    "step": 10,
    "trained_on": "unknown:0.25",
    "prompt": "few:4",
    "split": "test",
    "stratum": "popularity=low,overlap=no",
    "metric": "accuracy",
    "value": 0.25,
    "n": 8,
}
GRAPH = {
    "format": "",
    "lab": "synthetic/R2-2layer",
    "seed": 1,
    "relation": 0,
    "relation_name": "capital",
    "prompts": ["zero", "own"],
    "nodes": [{"id": "s0", "kind": "subject", "name": "a"}, {"id": "a0", "kind": "answer", "name": "b"}],
    "edges": [
        {
            "fact": 0,
            "source": "s0",
            "target": "a0",
            "use": "test",
            "extracted": {"base": ["zero"], "known": ["zero", "own"], "unknown": []},
        }
    ],
}
RECIPE = (
    b"# a comment\nrank: 8\nalpha: 16\ntargets: [q_proj, v_proj]\nrate: 1e-3\nepochs: 2\n"
    b"decay: cosine\nstyle: qa\ncheckpointing: false\nmax_tokens: ~\nseed: 7\n"
)
SPEC = b'subjects = 40\nrelations = 4\nanswers = 8\npopularity = "zipf"\nzipf_exponent = 1.1\nsubject_words = [1, 2]\n'
SETUP = (
    b'rung = "R2-2layer"\ndev = 0.1\nshots = 3\n[world]\nsubjects = 300\nzipf_exponent = 1.1\n'
    b"[pretrain]\nepochs = 2\nrate = 1e-3\nbetas = [0.9, 0.99]\n[shape]\nlayers = 2\n"
    b'[text]\nquestion = "ask {r} of {s} ? say"\n'
)
CALIBRATION = b"margin,effect\n0.1,-0.02\n0.5,0.01\n1.5,0.04\n2.5,0.05\n"
SCOREBOARD = b"""\
"claim","title","lab","run","arm","verdict","reason","part","role","outcome","unit","effect","low","high","method","seeds"
"C1","more Unknown","theory/R0","r","all","reproduced","","accuracy per unit of Unknown share at the end","decides",\
"supported","points",-19.75,-23.28,-16.4,"t",10
"B1","the gap grows","-","-","","missing","no rows","gap at the end","decides","not asked","points","","","","",0
"""
EFFECTS = b"""\
claim,part,lab,run,seed,effect,unit
C1,"accuracy per unit of Unknown share at the end",theory/R0,r,120,-10.8207,points
C1,"accuracy per unit of Unknown share at the end",theory/R0,r,121,8.7,points
"""
COLUMNS = b"step,known,label\n0,0.5,a\n1,,b\n2,1e-3,=x\n"
CHECKS = [
    {
        "theorem": "T2",
        "seed": 0,
        "instances": 10,
        "violations": 0,
        "worst_error": 1e-12,
        "seconds": 0.1,
        "note": "",
    }
]


class Letters:
    """A tokenizer of bytes: what the rows become does not matter here, how they are read does."""

    bos, eos = (256,), 257

    class tokenizer:
        chat_template = "some"

        @staticmethod
        def apply_chat_template(messages: list[dict[str, str]], **_: object) -> str:
            return "".join(f"{one['role']}: {one['content']}\n" for one in messages)

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        return (*self.bos, *text.encode())

    def answer_ids(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def stops(self, end: str) -> tuple[int, ...]:
        return (10, self.eos)


@cache
def _world() -> bytes:
    from theory import WorldSpec, make_world
    from theory.world_file import save_world

    small = WorldSpec(subjects=12, never_seen=2, relations=2, answers=4, derived_answers=2, mean_exposure=3.0)
    with tempfile.TemporaryDirectory() as folder:
        save_world(make_world(small, seed=1), path := Path(folder) / "world.npz")
        return path.read_bytes()


@cache
def readers() -> dict[str, Reader]:
    """Every reader of data that people bring, by name."""
    from figures.columns import read_columns
    from figures.knowledge import FORMAT, read_graph
    from figures.provenance import sources
    from figures.report_theorems import read_checks
    from realmodels.audited import read_audit
    from realmodels.bios_facts import read_facts
    from realmodels.bios_files import names_in, read_bios
    from realmodels.compare_read import read_run
    from realmodels.eval_tasks import read_task
    from realmodels.factscore import read_people
    from realmodels.harm import read_calibration
    from realmodels.prompting import STYLES
    from realmodels.recipe import read_recipe
    from realmodels.rows import iter_rows, read_rows
    from realmodels.tables import read_table
    from realmodels.train_rows import read_train
    from synthetic.plan import read_changes
    from synthetic.setup import setup_from
    from theory.claims.stored import read_scoreboard
    from theory.records import read_records
    from theory.replication import read_summary
    from theory.world_file import load_world
    from theory.world_spec import read_spec

    rows = _lines(*ROWS)
    chats = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}
    pairs = {"prompt": "The capital of France is", "completion": " Paris"}
    spaced = _lines(RECORD, RECORD | {"item": "q1", "n": 1}, RECORD | {"seed": 4})
    compact = b"".join(
        json.dumps(RECORD | {"seed": k}, separators=(",", ":")).encode() + b"\n" for k in (1, 2)
    )
    audit = _lines(
        ROWS[0] | {"knowledge": KNOWLEDGE}, ROWS[1] | {"knowledge": KNOWLEDGE | {"label": "Unknown"}}
    )
    letters: Any = Letters()

    def summary(path: Path) -> object:
        (path.parent / "audit.jsonl").write_bytes(audit)
        return read_audit(path.parent / "audit.jsonl")

    def summarised(path: Path) -> object:
        (path.parent / "scoreboard.csv").write_bytes(SCOREBOARD)
        return read_summary(path.parent)

    def about(path: Path) -> object:
        return sources([path])

    found = [
        Reader("rows.jsonl", "a.jsonl", read_rows, (rows,), 3, True),
        Reader("rows.json", "a.json", read_rows, (_document(ROWS),), 2, True),
        Reader("rows.csv", "a.csv", lambda p: list(iter_rows(p)), (CSV,), 3, True),
        Reader("rows.tsv", "a.tsv", read_rows, (TSV,), 2, True),
        Reader("rows without ending", "a", read_rows, (rows, _document(ROWS)), 1, True),
        Reader("PopQA", "a.tsv", read_rows, (POPQA,), 2, True),
        Reader("EntityQuestions", "P19.test.json", read_rows, (_document(ROWS[:2]),), 1, True),
        Reader("MMLU", "astronomy_test.csv", read_rows, (MMLU,), 1, True),
        Reader("relations", "a.json", read_rows, (_document(RELATION),), 1, True),
        Reader("FActScore", "a.jsonl", read_rows, (_lines(PERSON, PERSON),), 1, True),
        Reader("people", "a.jsonl", read_people, (_lines(PERSON),), 0.5, True),
        Reader("names", "a.txt", names_in, (b"Ada Lovelace\nBob\n",), 0.5, True),
        Reader("biographies", "a.jsonl", lambda p: read_bios(p, claims=True), (_lines(BIO),), 1, True),
        Reader(
            "facts",
            "a.jsonl",
            read_facts,
            (_lines({"subject": "A", "relation": "P1", "object": ["B"]}), rows),
            1,
            True,
        ),
        Reader("tables", "a.csv", lambda p: list(read_table(p)), (CSV, MMLU), 2, True),
        Reader(
            "training rows",
            "a.jsonl",
            lambda p: read_train(p, letters, STYLES["qa"]),
            (_lines(pairs, pairs), _lines(chats), rows),
            2,
            True,
        ),
        Reader("tasks", "a.jsonl", lambda p: read_task(f"t={p}"), (rows, audit), 1, True),
        Reader("audit.jsonl", "audit.jsonl", read_audit, (audit,), 3, True),
        Reader("summary.json", "summary.json", summary, (_document(SUMMARY),), 1),
        Reader("samples", "samples_popqa_zero_2026.jsonl", read_run, (_lines(SAMPLE, SAMPLE),), 2, True),
        Reader("calibration", "a.csv", read_calibration, (CALIBRATION,), 2, True),
        Reader("recipe", "lora.yaml", read_recipe, (RECIPE,), 0.6),
        Reader("records", "records.jsonl", read_records, (spaced, compact), 5),
        Reader("world file", "world.npz", load_world, (_world(),), 0.6),
        Reader("world spec", "world.toml", read_spec, (SPEC,), 1),
        Reader("setup", "setup.toml", lambda p: setup_from(read_changes(p)), (SETUP,), 1),
        Reader(
            "setup.json",
            "config.json",
            lambda p: setup_from(read_changes(p)),
            (b'{"setup": {"world": {"subjects": 9}}}',),
            1,
        ),
        Reader("graph", "graph.json", read_graph, (_document(GRAPH | {"format": FORMAT}),), 1),
        Reader("columns", "a.csv", lambda p: read_columns(p, ("step",)), (COLUMNS,), 2),
        Reader("provenance", "records.jsonl", about, (spaced,), 1),
        Reader("checks", "checks.json", read_checks, (_document(CHECKS),), 1),
        Reader("scoreboard", "scoreboard.csv", read_scoreboard, (SCOREBOARD,), 1),
        Reader("summary of a run", "effects.csv", summarised, (EFFECTS,), 1),
    ]
    return {reader.name: reader for reader in found}


# ---------------------------------------------------------------- damage

_SCALAR = re.compile(rb'-?\d+\.?\d*(?:[eE][+-]?\d+)?|"(?:[^"\\\n]|\\.)*"|true|false|null')
_VALUES = (
    b"9" * 400,
    b"9" * 5000,
    b"-1",
    b"-0.0",
    b"1e999",
    b"-1e308",
    b"1e-400",
    b"9223372036854775808",
    b"NaN",
    b"-Infinity",
    b"0x10",
    b"1_000",
    b"null",
    b"true",
    b'""',
    b'" "',
    b"[]",
    b"{}",
    b"[null]",
    b'[["a"]]',
    b'{"a": 1}',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\\ud83d\\ude00"',
    b'"=1+1"',
    b"''",
    b"2001-99-99",
    b"2001-01-01",
    b"12:30:45",
)
_PIECES = (
    *_VALUES,
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xf5\x80\x80\x80",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\x85",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\x0b",
    b"\x1a",
    b'"',
    b"'",
    b",",
    b"\t",
    b":",
    b": ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\\u",
    b"&a ",
    b"*a",
    b"<<: ",
    b"? ",
    b"- ",
    b"!!binary ",
    b"!!python/object/apply:os.system ",
    b"!!set ",
    b"!!timestamp ",
    b"%YAML 9.9\n---\n",
    b"|\n ",
    b"# ",
)
_BOMB = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (k + 1, k + 1, b", ".join([b"*%c" % k] * 9)) for k in range(ord("a"), ord("i"))
)


@cache
def _everyone() -> tuple[bytes, ...]:
    return tuple(data for reader in readers().values() for data in reader.seeds if len(data) < 3000)


def chance(reader: Reader, number: int, seed: int) -> random.Random:
    return random.Random((seed << 72) + (number << 32) + zlib.crc32(reader.name.encode()))


def damaged(rng: random.Random, reader: Reader) -> bytes:
    """A valid file after one to four accidents."""
    others = _everyone()
    data = rng.choice(reader.seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        data = rng.choice(_ACCIDENTS)(rng, data, others)
    if reader.zipped and rng.random() < 0.03:
        data = gzip.compress(data, 1, mtime=0)
        data = _flip(rng, data, others) if rng.random() < 0.5 else data
        data = _truncate(rng, data, others) if rng.random() < 0.3 else data
    return data


def _flip(rng: random.Random, data: bytes, _: object) -> bytes:
    out = bytearray(data)
    for _i in range(rng.choice((1, 1, 2, 8)) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 5, 20, 100)))


def _truncate(rng: random.Random, data: bytes, _: object) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _cut(rng: random.Random, data: bytes, _: object) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _again(rng: random.Random, data: bytes, _: object) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3)) + data[end:]


def _splice(rng: random.Random, data: bytes, others: tuple[bytes, ...]) -> bytes:
    other = rng.choice(others)
    start, end = _span(rng, other)
    at, to = _span(rng, data)
    return data[:at] + other[start:end] + data[rng.choice((at, to)) :]


def _insert(rng: random.Random, data: bytes, _: object) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_PIECES) + data[at:]


def _value(rng: random.Random, data: bytes, _: object) -> bytes:
    places = [match.span() for match in _SCALAR.finditer(data[:4000])]
    if not places:
        return data
    start, end = rng.choice(places)
    return data[:start] + rng.choice(_VALUES) + data[end:]


def _deep(rng: random.Random, data: bytes, _: object) -> bytes:
    many = rng.choice((50, 500, 3000, 3000, 30000) if rng.random() < 0.1 else (20, 200))
    start, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[", b""), (b"{a: ", b"}")))
    hole = start * many + b"1" + closing * many
    places = [match.span() for match in _SCALAR.finditer(data[:4000])] or [(0, 0)]
    at, to = rng.choice(places)
    if rng.random() < 0.3:  # a string that holds it
        hole = b'"' + hole.replace(b'"', b"'") + b'"'
    return data[:at] + hole + data[to:]


def _long(rng: random.Random, data: bytes, _: object) -> bytes:
    size = rng.choice((1000, 20_000)) if rng.random() < 0.995 else 5 * 2**20
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"a", b" ", b"9", b'"', b"\xc3\xa9")) * size + data[at:]


def _shuffle(rng: random.Random, data: bytes, _: object) -> bytes:
    parts = data.split(b"\n")
    rng.shuffle(parts)
    return b"\n".join(parts)


def _other(rng: random.Random, data: bytes, others: tuple[bytes, ...]) -> bytes:
    return rng.choice((*others, b"", b"\n", b"\0" * 64, _BOMB, b"\x89PNG\r\n\x1a\n", rng.randbytes(200)))


_ACCIDENTS = (
    *(_flip,) * 4,
    *(_truncate,) * 2,
    *(_cut,) * 3,
    *(_again,) * 3,
    *(_splice,) * 4,
    *(_insert,) * 6,
    *(_value,) * 8,
    _deep,
    _long,
    _shuffle,
    _other,
)


# ---------------------------------------------------------------- running


def one(reader: Reader, number: int, seed: int, folder: Path) -> tuple[str, float]:
    """read, refused, or what was raised and where; and the seconds of a core that it took."""
    path = folder / reader.file
    with open(path, "wb", buffering=0) as file:
        file.write(damaged(chance(reader, number, seed), reader))
    began = time.process_time()
    outcome = _outcome(reader, path)
    return outcome, time.process_time() - began


def _outcome(reader: Reader, path: Path) -> str:
    try:
        with _no_longer_than(LIMIT):
            reader.read(path)
        return "read"
    except ValueError as error:
        if _own(error) and "\n" not in str(error):
            return "refused"
        return _said(error) if not _own(error) else f"an error of several lines: {str(error)[:60]!r}"
    except (Exception, Hang) as error:
        return _said(error)


def _own(error: ValueError) -> bool:
    return type(error).__module__.split(".")[0] in ("theory", "synthetic", "realmodels", "figures")


def _said(error: BaseException) -> str:
    """The exception and the last line of ours that it came through."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(f"/{room}/" in frame.filename for room in ("theory", "synthetic", "realmodels", "figures"))
        and "site-packages" not in frame.filename
    ]
    where = f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:80]}"


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def some(names: tuple[str, ...], numbers: range, seed: int) -> Tally:
    """The inputs of these numbers, each to the reader that its number draws."""
    known = readers()
    chosen = [known[name] for name in names]
    weights = list(accumulate(reader.weight for reader in chosen))
    tally = Tally()
    began = time.process_time()
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        folders = {reader.name: Path(scratch) / str(k) for k, reader in enumerate(chosen)}
        for folder in folders.values():
            folder.mkdir()
        faulthandler.dump_traceback_later(600, exit=True)  # a hang that no signal ends
        for number in numbers:
            (reader,) = random.Random((seed << 40) + number).choices(chosen, cum_weights=weights)
            outcome, took = one(reader, number, seed, folders[reader.name])
            short = outcome if outcome in ("read", "refused") else "failed"
            tally.found[reader.name, short] += 1
            tally.slowest[reader.name] = max(tally.slowest[reader.name], took)
            if short == "failed":
                tally.failed[f"{reader.name}: {outcome}"].append((reader.name, number))
        faulthandler.cancel_dump_traceback_later()
    tally.seconds = time.process_time() - began
    return tally


def table(tally: Tally) -> str:
    """Reader by reader what happened."""
    head = ("reader", "inputs", "read", "refused", "failed", "slowest ms")
    rows = [head]
    names = list(dict.fromkeys(name for name in readers() if any(key[0] == name for key in tally.found)))
    for name in names:
        counts = [tally.found[name, kind] for kind in ("read", "refused", "failed")]
        rows.append((name, *(f"{n:,}" for n in (sum(counts), *counts)), f"{1000 * tally.slowest[name]:.0f}"))
    totals = [
        sum(n for (_, k), n in tally.found.items() if k == kind) for kind in ("read", "refused", "failed")
    ]
    slowest = max(tally.slowest.values(), default=0.0)
    rows.append(("all", *(f"{n:,}" for n in (sum(totals), *totals)), f"{1000 * slowest:.0f}"))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    out = io.StringIO()
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        out.write("  ".join(cells) + "\n")
    for kind, places in sorted(tally.failed.items()):
        (reader, number), *_ = places
        out.write(f"FAILED {kind}\n       --only {reader!r} --first {number} --inputs 1\n")
    return out.getvalue()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", action="append", help="a reader; may be given several times")
    parser.add_argument("--keep", action="store_true", help="leave a line of what survived")
    parser.add_argument("--write", type=Path, help="put the damaged input of --first here and stop")
    return parser


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    names = tuple(flags.only or readers())
    if unknown := [name for name in names if name not in readers()]:
        parser().error(f"no reader {unknown[0]!r}; known are {', '.join(readers())}")
    if flags.write:
        reader = readers()[names[0]]
        flags.write.write_bytes(damaged(chance(reader, flags.first, flags.seed), reader))
        return 0
    last = flags.first + flags.inputs
    parts = [range(at, min(at + CHUNK, last)) for at in range(flags.first, last, CHUNK)]
    tally = Tally()
    try:
        if flags.workers == 1:
            for part in parts:
                tally.add(some(names, part, flags.seed))
        else:
            with ProcessPoolExecutor(flags.workers) as pool:
                for found in pool.map(some, [names] * len(parts), parts, [flags.seed] * len(parts)):
                    tally.add(found)
    except KeyboardInterrupt:
        print("interrupted; so far:")
    count = sum(tally.found.values())
    print(table(tally), end="")
    print(f"{tally.seconds:.0f} s of a core, {count / max(tally.seconds, 1e-9):,.0f} inputs a second")
    if flags.keep:
        keep(names, tally, sys.argv[1:] if words is None else words)
    return 1 if tally.failed else 0


def keep(names: tuple[str, ...], tally: Tally, words: list[str]) -> None:
    """A line for the table of what was tried."""
    from tests.hardening import survived

    count = sum(tally.found.values())
    bad = sum(n for (_, kind), n in tally.found.items() if kind == "failed")
    slowest = max(tally.slowest.values(), default=0.0)
    survived.keep(
        survived.Trial(
            "lie",
            f"damaged files through {len(names)} readers",
            count,
            count - bad,
            f"read, or refused in one line; no hang, the slowest {slowest:.1f} s of a core",
            f"python tests/hardening/fuzz.py {' '.join(words)}",
        )
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main())

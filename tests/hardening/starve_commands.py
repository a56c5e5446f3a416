"""Every command of the four rooms, at a size of seconds, and the files that they are given."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.hardening.fuzz import SCOREBOARD

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "tiny.toml"
WORLD = (
    "subjects = 12\nnever_seen = 2\nrelations = 2\nanswers = 4\nderived_answers = 2\nmean_exposure = 3.0\n"
)
PLACES = (
    "Köln",
    "Japan",
    "Peru",
    "Norway",
    "Kenya",
    "Cuba",
    "Egypt",
    "Chile",
    "Ghana",
    "Nepal",
    "Iran",
    "Mali",
)
TOWNS = (
    "Rhein",
    "Tokyo",
    "Lima",
    "Oslo",
    "Nairobi",
    "Havana",
    "Cairo",
    "Santiago",
    "Accra",
    "Patan",
    "Tehran",
    "Bamako",
)
LABELS = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
STUDY = "rows=6 dev=4 test=10 ood=4 shots=1 looks=2 longest=3 epochs=1 batch=3 rank=2"


@dataclass(frozen=True)
class Command:
    """`words` name what other commands made as {name} and the place to write to as {out}."""

    name: str
    words: str
    fast: bool = False  # no torch, a second at most
    heavy: bool = False  # starts processes that load torch, or trains for seconds
    writes: bool = True
    hub: str = ""  # the same with a name that only a hub knows
    timed: bool = False  # what it finds are times

    @property
    def room(self) -> str:
        return self.words.split()[0]

    def said(self, made: Mapping[str, str], files: str, out: str) -> list[str]:
        """The words of the command line, room first; a path may have blanks."""
        places = {**made, "files": files, "out": out, "root": str(ROOT)}
        return [word.format_map(places) for word in re.findall(r"(?:\{[^}]*\}|\S)+", self.words)]


COMMANDS = tuple(
    Command(**{"name": name, "words": words, **more})
    for name, words, more in (
        ("theory list", "theory list", {"fast": True, "writes": False}),
        ("theory show", "theory show T2", {"fast": True, "writes": False}),
        ("theory vocabulary", "theory vocabulary", {"fast": True, "writes": False}),
        ("theory check", "theory check T1 T2 --n 50 --output {out}/checks.json", {"fast": True}),
        ("theory world", "theory world {files}/world.toml --output {out}/w.npz", {"fast": True}),
        ("theory claims", "theory claims {files}/run/records.jsonl --output {out}", {"fast": True}),
        (
            "theory data",
            "theory data --seeds 1 --only monofact_curve --workers 1 --output {out}",
            {"heavy": True},
        ),
        ("figures theorems", "figures theorems {files} --only hump --output {out}", {}),
        ("figures all", "figures all {files}/run --workers 2 --output {out}", {"heavy": True}),
        ("figures forest", "figures forest {files}/scoreboard.csv --output {out}", {}),
        (
            "figures report",
            "figures report {files}/run --instances 2 --output {out}/report.html",
            {"heavy": True},
        ),
        (
            "realmodels filter",
            "realmodels filter {files}/audit --drop Unknown -o {out}/kept.jsonl",
            {"fast": True},
        ),
        (
            "realmodels filter --arms",
            "realmodels filter {files}/known --arms known,unknown --disjoint-subjects --held-out 0.3 -o {out}",
            {"fast": True},
        ),
        (
            "realmodels split",
            "realmodels split --data {files}/known/audit.jsonl --shares train=0.6 test=0.4 -o {out}",
            {},
        ),
        (
            "realmodels agree",
            "realmodels agree {files}/audit {files}/other --show 2",
            {"fast": True, "writes": False},
        ),
        ("realmodels tasks", "realmodels tasks", {"fast": True, "writes": False}),
        ("realmodels doctor", "realmodels doctor", {"writes": False}),
        (
            "realmodels bios split",
            "realmodels bios split --data {files}/texts.jsonl -o {out}/c.jsonl",
            {"fast": True},
        ),
        (
            "synthetic pocket",
            "synthetic pocket {out} --world {files}/world.toml --width 16 --heads 2 --kv-heads 2 --hidden 32",
            {},
        ),
        (
            "synthetic probe",
            "synthetic probe {synthetic pocket} --prompts 1 --shots 1 -o {out}/probe.jsonl",
            {},
        ),
        (
            "synthetic ask",
            "synthetic ask {synthetic pocket} about --draws 2 --temperature 1",
            {"writes": False},
        ),
        (
            "synthetic graph",
            "synthetic graph quick --setup {files}/toy.toml --cache {out}/cache -o {out}/g.json",
            {"heavy": True},
        ),
        (
            "synthetic run",
            "synthetic run quick --studies validity --rungs R2-2layer --seeds 1 --setup {files}/toy.toml -o {out}",
            {"heavy": True},
        ),
        ("synthetic summarise", "synthetic summarise {files}/lab/validity-0a1b2c3d4e -o {out}", {}),
        (
            "theory replicate",
            "theory replicate {root}/synthetic/results/first {root}/synthetic/results -o {out}/r.csv",
            {},
        ),
        (
            "realmodels audit",
            "realmodels audit --model {files}/tiny --data {files}/rows.jsonl --prompts 2 --shots 1 --batch 8 "
            "--signals margin -o {out}",
            {"hub": "realmodels audit --model nobody/nothing --data {files}/rows.jsonl -o {out}"},
        ),
        (
            "realmodels train",
            "realmodels train --model {files}/tiny --arm a={files}/rows.jsonl --arm b={files}/few.jsonl "
            "--held-out {files}/few.jsonl --set rank=2 epochs=2 batch=4 -o {out}",
            {"hub": "realmodels train --model nobody/nothing --data {files}/rows.jsonl -o {out}"},
        ),
        (
            "realmodels eval",
            "realmodels eval --model {files}/tiny --adapter {realmodels train}/a --tasks f={files}/few.jsonl "
            "--prompts zero,few:1 --longest 3 --batch 8 -o {out}",
            {"hub": "realmodels eval --model nobody/nothing --tasks f={files}/few.jsonl -o {out}"},
        ),
        (
            "realmodels compare",
            "realmodels compare {realmodels eval}/base {realmodels eval}/a --metrics logprob --draws 100",
            {"writes": False},
        ),
        (
            "realmodels attend",
            "realmodels attend --model {files}/tiny --data {files}/few.jsonl --swaps 1 --folds 2 --cut 2 --longest 3 "
            "--batch 8 -o {out}",
            {"hub": "realmodels attend --model nobody/nothing --data {files}/few.jsonl -o {out}"},
        ),
        (
            "realmodels bios write",
            "realmodels bios write --model {files}/tiny --people {files}/names.txt --samples 1 --tokens 6 --batch 8 "
            "-o {out}",
            {"hub": "realmodels bios write --model nobody/nothing --people {files}/names.txt -o {out}"},
        ),
        (
            "realmodels bios score",
            "realmodels bios score --data {realmodels bios split}/c.jsonl --facts {files}/facts.jsonl "
            "--model {files}/tiny --signals statement verification consistency probe --batch 8 -o {out}",
            {
                "hub": "realmodels bios score --data {realmodels bios split}/c.jsonl --model nobody/nothing -o {out}"
            },
        ),
        (
            "realmodels bios filter",
            "realmodels bios filter --data {realmodels bios score}/scored.jsonl "
            "--arms none,support,belief:statement,random --top 0.5 -o {out}",
            {},
        ),
        ("realmodels bios agree", "realmodels bios agree --data {files}/people --people all -o {out}", {}),
        (
            "realmodels study",
            "realmodels study salience --model {files}/tiny --audit {files}/known --seeds 10 --shared {out}/arms "
            f"--set {STUDY} -o {{out}}",
            {
                "heavy": True,
                "hub": "realmodels study salience --model nobody/nothing --data {files}/rows.jsonl -o {out}",
            },
        ),
        (
            "realmodels bench",
            "realmodels bench --preset tiny --lengths 8 --ranks 2 --tokens 8 --prompts 1 --output {out}/b.json",
            {"timed": True, "hub": "realmodels bench --model nobody/nothing"},
        ),
    )
)
NAMED: Mapping[str, Command] = {command.name: command for command in COMMANDS}


def needs(command: Command) -> tuple[str, ...]:
    """The commands whose results this one is given, and what those need."""
    own = [name for name in NAMED if f"{{{name}}}" in command.words + command.hub]
    return tuple(dict.fromkeys(found for name in own for found in (*needs(NAMED[name]), name)))


# ---------------------------------------------------------------- files


def write_files(folder: Path, models: bool) -> None:
    """What a person would bring along; a tiny random Llama with `models`."""
    folder.mkdir(parents=True)
    shutil.copy(TOY, folder / "toy.toml")
    (folder / "world.toml").write_text(WORLD)
    rows = [_row(number) for number in range(len(PLACES))]
    _write(folder / "rows.jsonl", rows)
    _write(folder / "few.jsonl", rows[:6])
    (folder / "names.txt").write_text("Peru\nNorway\nCuba\n")
    facts = [("Peru", "capital", "Lima"), ("Norway", "capital", "Oslo"), ("Cuba", "size", "small")]
    _write(
        folder / "facts.jsonl",
        [dict(zip(("subject", "relation", "object"), one, strict=True)) for one in facts],
    )
    texts = {
        "Peru": "The capital of Peru is Lima. Peru is small.",
        "Norway": "Norway is big. The capital is Lima.",
    }
    texts["Cuba"] = "Cuba is small and is old. It is big in size."
    _write(folder / "texts.jsonl", [{"name": name, "text": text} for name, text in texts.items()])
    _write_audit(folder / "audit", [(row, LABELS[n % 4]) for n, row in enumerate(rows * 2)])
    _write_audit(folder / "other", [(row, LABELS[n % 3]) for n, row in enumerate(rows * 2)])
    _write_audit(folder / "known", [(row, LABELS[row["k"] % 4]) for row in _known()])
    _write_people(folder / "people")
    write_records(folder / "run")
    (folder / "scoreboard.csv").write_bytes(SCOREBOARD)
    lab = write_records(folder / "lab" / "validity-0a1b2c3d4e", "validity", ("known", "unknown"))
    for name, text in {"config": '{"setup": {}}', "environment": "{}", "seeds": "[100, 101, 102]"}.items():
        (lab / f"{name}.json").write_text(f"{text}\n")
    if models:
        from tests.realmodels.conftest import FACTS, bpe, tiny_llama

        words = bpe([f"Q: What is the capital of {s}?\nA: {a}\n\n" for s, a in FACTS])
        tiny_llama(words).save_pretrained(folder / "tiny")
        words.save_pretrained(folder / "tiny")


def write_records(folder: Path, study: str = "salience", sets: tuple[str, str] = ("best", "lesser")) -> Path:
    from theory.records import Record, write_records

    folder.mkdir(parents=True)
    steps = ((1, 0.4), (5, 1.0), (10, 0.8))
    found = [
        Record("synthetic/R2-2layer", study, "0a1b2c3d4e", seed, "all", step, on, "zero", split, "all", "accuracy",
               share * (0.6 - 0.2 * (on == sets[1])) + seed % 7 / 100, 50)
        for seed, on, (step, share), split in product((100, 101, 102), sets, steps, ("dev", "test"))
    ]  # fmt: skip
    write_records(folder / "records.jsonl", found)
    return folder


def _row(number: int) -> dict[str, object]:
    place, town = PLACES[number], TOWNS[number]
    question = f"What is the capital of {place}?"
    return {"question": question, "answers": [town], "subject": place, "relation": "capital"}


def _known() -> list[dict[str, object]]:
    return [
        {
            "question": f"What is the {relation} of {relation}land {k}?",
            "answers": [f"{relation.title()} {k % 9}"],
            "subject": f"{relation}land {k}",
            "relation": relation,
            "k": k,
        }
        for relation, k in product(("capital", "river", "maker"), range(64))
    ]


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def _write_audit(folder: Path, rows: list[tuple[dict[str, object], str]]) -> None:
    folder.mkdir()
    greedy = {"HighlyKnown": 1.0, "MaybeKnown": 0.5}
    lines = [
        row
        | {
            "knowledge": {
                "label": label,
                "p_greedy": greedy.get(label, 0.0),
                "p_sample": 0.9 * greedy.get(label, 0.0),
                "detection": 0.1,
                "n_prompts": 10,
                "estimator": "exact",
                "matcher": "exact",
                "logprob": -float(number),
                "margin": float(number % 7),
                "p_true": None,
                "popularity": None,
                "overlaps_subject": number % 5 == 0,
                "dominant_answer": number % 9 < 2,
                "id": f"r{number}",
                **row,
            }
        }
        for number, (row, label) in enumerate(rows)
    ]
    _write(folder / "audit.jsonl", lines)


def _write_people(folder: Path) -> None:
    """Labelled texts of two systems, as FActScore has them."""
    folder.mkdir()
    for system, share in (("one", 1.0), ("two", 0.5)):
        rows: list[dict[str, object]] = []
        for i in range(12):
            name, told = f"Person {i}", "S" if i < 12 * share else "NS"
            facts = [("is a poet", "S"), (f"lived in Town{i}", told), ("is old", "IR")]
            human = [{"text": f"{name} {text}.", "label": label} for text, label in facts]
            about = {
                "text": "t",
                "human-atomic-facts": human,
                "model-atomic-facts": [{"text": f"{name} is a poet."}],
            }
            output = " ".join(f"{name} {text}." for text, _ in facts)
            cat = ["rare" if i % 2 else "freq", "Asia"]
            rows.append({"topic": name, "input": "", "output": output, "cat": cat, "annotations": [about]})
        _write(folder / f"{system}.jsonl", rows)

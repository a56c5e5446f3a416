"""The commands that are killed, made small: made-up facts, a random model, a laboratory of seconds."""

from __future__ import annotations

import json
from pathlib import Path

from tests.hardening.crash import Start, Victim

NAMES = ("laboratory", "audit", "train", "eval")
WRITERS = ("filter", "arms", "split")
WARM = ("tyro", "realmodels.arms", "realmodels.filter_cli", "realmodels.split_cli")  # all that those want
LABELS = ("HighlyKnown", "MaybeKnown", "Unknown")
RELATIONS = ("capital", "river", "anthem", "founder", "motto")
SUBJECTS = tuple(a + b for a in ("Ba", "Ke", "Lo", "Mi", "Nu", "Ra") for b in ("dor", "lin", "mat", "sil"))
RECIPE = (
    "rank=4", "alpha=8", "rate=1e-2", "batch=8", "epochs=6", "dropout=0.1", "log_every=3", "save_every=4",
    "eval_every=5", "patience=9",
)  # fmt: skip
TINY = """
prompts = 3
shots = 2
shots_from = 0.14
dev = 0.14
[world]
types = 3
subjects = 44
never_seen = 0
relations = 3
derived = 0
answers = 6
mean_exposure = 20.0
subject_words = [1, 2]
answer_words = [1, 2]
[shape]
width = 48
layers = 2
heads = 2
hidden = 96
context = 128
[pretrain]
rate = 8e-3
[tune]
rate = 1e-2
epochs = 2
batch = 8
"""


def facts(first: int = 0, relations: tuple[str, ...] = RELATIONS) -> list[dict[str, object]]:
    """Rows whose subjects begin at number `first`."""
    return [
        {
            "id": f"{relation}-{subject}",
            "question": f"What is the {relation} of {subject}?",
            "answers": [SUBJECTS[(3 * k + len(relation)) % len(SUBJECTS)][::-1].capitalize()],
            "subject": subject,
            "relation": relation,
        }
        for relation in relations
        for k, subject in enumerate(SUBJECTS[first:])
    ]


def put(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def model(folder: Path) -> Path:
    """A random Llama whose answers differ from question to question."""
    from tests.realmodels.conftest import bpe, tiny_llama

    texts = [f"Q: {row['question']}\nA: {row['answers'][0]}\n\n" for row in facts()]  # type: ignore[index]
    tokenizer = bpe(texts)
    tiny_llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def victims(folder: Path, start: Start, size: int = len(RELATIONS)) -> dict[str, Victim]:
    """All commands over data in `folder`, of so many relations; the adapter to be evaluated is trained first."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = RELATIONS[:size]
    rows, held = put(folder / "rows.jsonl", facts(4, chosen)), put(folder / "held.jsonl", facts(20, chosen))
    other = put(folder / "other.jsonl", facts(12, chosen))
    (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
    on = ("--model", str(model(folder / "model")), "--device", "cpu")
    fit = ("--held-out", str(held), "--set", *RECIPE)
    once = Victim("train", "realmodels", ("train", *on, "-o", "out", "--data", str(rows), *fit))
    if start(once, folder, None).wait():
        raise RuntimeError((folder / "said").read_text(encoding="utf-8"))
    ask = ("--prompts", "2", "--estimator", "sample", "--samples", "2", "--signals", "margin", "p_true")
    tasks = ("--tasks", f"one={rows},two={other}", "--prompts", "zero,few:2,cot", "--longest", "4")
    return {
        "laboratory": Victim(
            "laboratory",
            "synthetic",
            (
                *("run", "quick", "--studies", "validity", "--seeds", "100", "101", "102"),
                *("--setup", str(folder / "tiny.toml"), "-o", "out"),
            ),
            ways=("group", "group", "command", "worker"),
        ),
        "audit": Victim("audit", "realmodels", ("audit", *on, "--data", str(rows), "-o", "out", *ask)),
        "train": Victim(
            "train",
            "realmodels",
            ("train", *on, "-o", "out", "--arm", f"one={rows}", "--arm", f"two={other}", *fit),
        ),
        "eval": Victim(
            "eval",
            "realmodels",
            ("eval", *on, "-o", "out", "--adapter", f"mine={folder / 'out'}", *tasks, "--thought", "4"),
        ),
    }


def writers(folder: Path) -> dict[str, Victim]:
    """Commands that only sort rows into files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, found = put(folder / "rows.jsonl", facts()), []
    for number, row in enumerate(facts()):
        knowledge = {"label": LABELS[number % 3], "p_greedy": (1.0, 0.5, 0.0)[number % 3], "p_sample": 0.0}
        knowledge |= {"n_prompts": 2, "estimator": "exact", "matcher": "exact", "logprob": -float(number)}
        found.append({**row, "knowledge": {**knowledge, **row}})
    audit = str(put(folder / "audit.jsonl", found))
    source = {"path": str(rows), "kind": "jsonl", "columns": list(facts()[0])}
    (folder / "summary.json").write_text(json.dumps({"source": source}), encoding="utf-8")
    draw = ("--arms", "known,unknown,known-permuted", "--held-out", "0.2", "--seed", "1")
    return {
        "filter": Victim(
            "filter", "realmodels", ("filter", audit, "--keep", "Unknown", "-o", "out/kept.jsonl")
        ),
        "arms": Victim("arms", "realmodels", ("filter", audit, *draw, "-o", "out")),
        "split": Victim("split", "realmodels", ("split", "--data", str(rows), "-o", "out")),
    }

"""The long-form tables of README, from what `python -m synthetic summarise` keeps beside the verdicts."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from synthetic.tables import CONTRASTS
from tests.house.requirements import ROOT

RESULTS = ROOT / "synthetic" / "results"
LATER = RESULTS / "third" / "later"  # two studies of the third run again, with what later code asks beside
FEW = ("few:1", "few:4", "few:8", "few-wrong:4", "few-unrelated:4", "few-taught:4")
PROMPTS = ("own", *FEW, "cot", "few-cot:2")
TUNINGS = {"default": RESULTS, "gentle": RESULTS / "gentle"}
LABELS = ("16", "64", "256", "1024", "2048")
RIDGES = ("0.1", "1", "10", "1000", "10000")  # beside the usual one
NUMBERS = ("lab", "run", "known", "unknown", "untuned", "mean", "low", "high", "seeds")
SIGNALS = ("statement", "token", "question", "consistency", "verification", "probe")


def _rows(name: str, folder: Path = RESULTS) -> dict[tuple[str, ...], dict[str, str]]:
    """By what is not a number, laboratory and run left out."""
    with open(folder / f"{name}.csv", encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    names = [one for one in found[0] if one not in NUMBERS]
    return {tuple(row[one] for one in names): row for row in found}


def _said(row: dict[str, str] | None, scale: float = 100.0, places: int = 1) -> str:
    if row is None:
        return ""
    mean, *limits = (
        f"{scale * float(row[name]):z.{places}f}" for name in ("mean", "low", "high") if row[name]
    )
    return f"{mean} [{', '.join(limits)}]" if limits else mean


def _mean(row: dict[str, str] | None, scale: float = 100.0, places: int = 1, of: str = "mean") -> str:
    return "" if row is None else f"{scale * float(row[of]):z.{places}f}"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def contrasts() -> str:
    """One set less another, about subjects that nobody was tuned on."""
    now, first, third = (_rows("contrasts", folder) for folder in (RESULTS, RESULTS / "first", LATER))
    pairs = [(f"`{one}`", f"`{other}`", (kind, one, other)) for kind, one, other in CONTRASTS]
    pairs += [
        (f"`{on}`, greedy", f"`{on}`, sampled", ("greedy", f"{on} greedy", f"{on} sampled"))
        for on in ("none", "gold", "generated", "generated+belief")
    ]
    return _table(
        (
            "tuned on",
            "less",
            "precision",
            "precision, first run",
            "precision, third run",
            "recall",
            "recall, third run",
            "claims a text",
            "claims, third run",
        ),
        (
            (
                one,
                other,
                _said(now.get((*key, "test", "claim_precision"))),
                _said(first.get((*key, "test", "claim_precision"))),
                _said(third.get((*key, "test", "claim_precision"))),
                _said(now.get((*key, "test", "claim_recall"))),
                _said(third.get((*key, "test", "claim_recall"))),
                _said(now.get((*key, "test", "claims")), 1.0, 2),
                _said(third.get((*key, "test", "claims")), 1.0, 2),
            )
            for one, other, key in pairs
        ),
    )


def sets() -> str:
    """What was read and what was written."""
    found = _rows("beliefs")
    order = list(dict.fromkeys(key[:3] for key in found if key[0] not in ("free",)))
    order.sort(key=lambda key: key[0] != "base")

    def cells(arm: str, on: str, prompt: str) -> list[str]:
        def get(split: str, metric: str) -> dict[str, str] | None:
            return found.get((arm, on, prompt, split, metric))

        name = "not tuned" if on == "none" else f"`{on}`"
        return [
            name + ("" if prompt == "zero" else f", after {prompt[-1]} gold texts"),
            _mean(get("train", "claim_precision")),
            _mean(get("train", "claims"), 1.0, 2),
            _said(get("test", "claim_precision")),
            _mean(get("test", "claim_recall")),
            _mean(get("test", "true_claims"), 1.0, 2),
            _mean(get("test", "claims"), 1.0, 2),
            _mean(get("test", "tokens"), 1.0),
            _mean(get("test", "claim_precision_greedy")),
            _mean(get("test", "claim_recall_greedy")),
            _mean(get("ood-type", "claim_precision")),
        ]

    return _table(
        (
            "tuned on",
            "true of what it read (%)",
            "claims a text read",
            "precision",
            "recall",
            "true claims",
            "claims",
            "tokens",
            "greedy precision",
            "greedy recall",
            "precision, other type",
        ),
        (cells(*key) for key in order),
    )


def signals() -> str:
    now, first, third = (_rows("signals", folder) for folder in (RESULTS, RESULTS / "first", LATER))

    def cells(name: str, signal: str) -> list[str]:
        return [
            name,
            *(_said(run.get(("test", signal, "belief_auroc")), 1.0, 3) for run in (now, first, third)),
            *(_said(run.get(("ood-type", signal, "belief_auroc")), 1.0, 3) for run in (now, third)),
            _said(now.get(("test", signal, "belief_calibration_error"))),
            _said(third.get(("test", signal, "belief_calibration_error"))),
            _said(now.get(("ood-type", signal, "belief_calibration_error"))),
        ]

    return _table(
        (
            "signal",
            "AUROC",
            "AUROC, first run",
            "AUROC, third run",
            "AUROC, other type",
            "the same, third run",
            "calibration error (points)",
            "the same, third run",
            "the same, other type",
        ),
        (
            *(cells(signal, signal) for signal in SIGNALS),
            cells("probe, labels as often as said", "probe-as-said"),
            *(cells(f"probe, {size} labels", f"probe,labels={size}") for size in LABELS),
            *(cells(f"probe, penalty {ridge}", f"probe,ridge={ridge}") for ridge in RIDGES),
        ),
    )


def free() -> str:
    found = _rows("free")

    def cells(on: str, step: str) -> list[str]:
        def get(metric: str, scale: float = 100.0) -> str:
            return _said(found[on, step, metric], scale)

        return [
            on.partition(":")[2],
            step,
            get("hallucination"),
            get("singleton_share"),
            get("hallucination_bound_bare"),
            get("hallucination_bound"),
            get("above_bound"),
            get("hallucination_floor"),
            get("above_floor"),
            get("miscalibration"),
            get("answer_calibration_error"),
        ]

    return _table(
        (
            "mentions a fact",
            "step",
            "false",
            "told once",
            "told once less miscalibration",
            "bound",
            "false less bound",
            "sure floor",
            "false less floor",
            "miscalibration",
            "calibration error of answers",
        ),
        (cells(*key) for key in dict.fromkeys(key[:2] for key in found)),
    )


def edges() -> str:
    """By how hard the network was tuned, and by prompt."""
    return _table(
        (
            "tuning",
            "prompt",
            "gap alone",
            "counted with the prompt",
            "K1",
            "K2",
            "counted less K1",
            "counted less K2",
            "widened, % of seeds (K2's chance)",
        ),
        (
            (tuned, f"`{prompt}`", *_edges(found, prompt))
            for tuned, folder in TUNINGS.items()
            for found in [_rows("edges", folder)]
            for prompt in PROMPTS
            if ("across", prompt, "edge_gap") in found
        ),
    )


def _edges(found: dict[tuple[str, ...], dict[str, str]], prompt: str) -> list[str]:
    names = ("gap", "gap_prompted", "gap_merged", "gap_thinned", "gap_off_k1", "gap_off_k2")
    widened, widens = (_mean(found["across", prompt, f"edge_gap_{name}"]) for name in ("widened", "widens"))
    return [
        *(_said(found["across", prompt, f"edge_{name}"]) for name in names),
        f"{widened} ({widens})",
    ]


ASKED = (  # kinds of facts in the columns of `gaps`
    ("test", "all"),
    ("ood-relation", "all"),
    ("ood-type", "all"),
    ("test", "similarity=4"),
    ("test", "similarity=1"),
)


def gaps() -> str:
    """By prompt, at the early stop on every kind of facts, at the end on those of relations trained on."""
    found = _rows("gaps", LATER)

    def points(stop: str, where: tuple[str, str], prompt: str) -> str:
        row = found.get((stop, *where, prompt))
        return f"{_said(row)} of {_mean(row, of='known')}" if row else ""

    return _table(
        (
            "prompt",
            "untuned",
            "test facts",
            "other relations",
            "another type",
            "test facts, nearest quarter",
            "farthest quarter",
            "test facts, end",
            "nearest quarter, end",
            "farthest quarter, end",
        ),
        (
            (
                f"`{prompt}`",
                _mean(found["early", *ASKED[0], prompt], of="untuned"),
                *(points("early", where, prompt) for where in ASKED),
                *(points("end", where, prompt) for where in (ASKED[0], *ASKED[-2:])),
            )
            for prompt in ("zero", *PROMPTS)
        ),
    )


TABLES = {
    f"synthetic/results/{make.__name__}": make for make in (contrasts, sets, signals, free, edges, gaps)
}

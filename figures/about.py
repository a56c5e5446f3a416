"""What each picture shows, for those who cannot see it, and the claims or theorems that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

ABOUT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "forest": (
        "An effect of each claim, the same in every laboratory, with its interval, the verdict and the paper's number",
        (),
    ),
    "parts": ("Each part of the claim's rule with its interval, the null, and the paper's number", ()),
    "trajectories": (
        "Held-out accuracy while tuning on the best known, lesser known, random and whole sets, and the gap's window",
        ("A1", "A2", "A7"),
    ),
    "mechanism": (
        "Attention on the subject before and after tuning, and accuracy once parts are swapped",
        ("A4", "X3"),
    ),
    "patching": (
        "What attention and values of the other arm repair or break, and the gap with one of them tuned alone",
        ("X3", "A6"),
    ),
    "fitting": ("Known and Unknown rows being fitted, and held-out accuracy meanwhile", ("C2",)),
    "shares": (
        "Held-out accuracy against the share of Unknown rows, at the early stop and at the end",
        ("C1", "C3"),
    ),
    "plane": (
        "The plane of accuracy over the fitted shares of Known and Unknown rows, with every point",
        ("C4",),
    ),
    "categories": (
        "Accuracy after tuning on one category of rows, by category of test fact, at the early stop and at the end",
        ("C6", "C7"),
    ),
    "waterfall": ("The gap, less copying, less answer support, less guessing", ("V1", "V2", "V3")),
    "prompts": (
        "The gap under every prompt, early and converged, and the accuracies behind it",
        ("B1", "B3", "B4"),
    ),
    "similarity-prompts": (
        "The gap by quarter of similarity to the training rows, early and converged, and the accuracies behind it",
        ("B2",),
    ),
    "similarity-crosstests": (
        "The gap by quarter of similarity to the training rows, and the accuracies behind it",
        ("X5",),
    ),
    "edges": ("The gap in extractable edges by prompt, as counted and as theory has it", ("B5", "K1", "K2")),
    "knowledge": (
        "Facts of one relation as a graph: extracted before tuning, after it, and with a prompt",
        ("B5", "K1"),
    ),
    "precision": (
        "Claim precision against true claims a text, by what was tuned on",
        ("D1", "D2", "D3", "U4"),
    ),
    "signals": (
        "How well each signal of belief knows true claims, and how far it is from calibrated",
        ("D5",),
    ),
    "reliability": (
        "The share of claims that is true against belief, by signal: calibrated on the diagonal",
        ("D5",),
    ),
    "labels": ("What the probe knows by the number of labels that it is trained on", ("D5",)),
    "dial": ("Precision as support gets noisier or covers less, against the model's own belief", ("D2",)),
    "statements": ("Free statements that are wrong, with the floor and the bound that theory gives", ("U4",)),
    "threshold": ("Threshold of salience against attention, for answers of four ranks", ("T2",)),
    "calibration": ("Mean slope of the loss against the relation token's confidence", ("T4",)),
    "hump": ("Pull of one fact on attention against its salience", ("T6", "T2", "X1")),
    "accuracy-law": (
        "Held-out accuracy against log-odds of attention, a distribution function",
        ("T8'", "T8"),
    ),
    "prediction": ("Predicted against simulated accuracy of random configurations", ("T8'",)),
    "phase": ("Change of accuracy by share of unknown facts and salience, with the critical share", ("T9",)),
    "window": (
        "Gap of accuracy and of attention against fine-tuning steps in the one-layer model",
        ("T7'", "A1"),
    ),
    "prompt-gap": ("What a prompt does to the gap, predicted against counted on random graphs", ("K1", "K2")),
    "second-hop": ("Graphs in which a prompt lets only one of two models reach a second pair", ("K4",)),
    "coverage": ("Sampled against expected gap of tuned knowledge graphs", ("K5",)),
    "salience-law": ("The law of salience by exposure against gradient descent", ("P1",)),
    "salience": (
        "Measured salience by frequency where relation values are trained too, beside the law",
        ("P1",),
    ),
    "monofacts": ("Error of the ideal memoriser against the share of facts seen once", ()),
    "monofact-bound": ("What learners say wrongly against the bound by facts stated once", ()),
}


def kind_of(name: str) -> str:
    """The kind of a file's stem, which may go on with a laboratory, a run or a claim."""
    return max((kind for kind in ABOUT if name == kind or name.startswith(f"{kind}-")), key=len)


def claims_of(name: str) -> tuple[str, ...]:
    """The claims and theorems that a picture belongs to, by its file's stem; the first is its home."""
    kind = kind_of(name)
    return (name.removeprefix("parts-"),) if kind == "parts" else ABOUT[kind][1]

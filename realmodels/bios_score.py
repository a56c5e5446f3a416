"""Claims with their support and with what a model believes of them; whatever was asked once is not asked again."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from realmodels.audit_parts import Parts
from realmodels.bios_facts import Facts, Verdict
from realmodels.bios_files import Bio, Stated, read_bios, with_claims
from realmodels.bios_judge import Question, log_odds
from realmodels.bios_probe import crossed, judged
from realmodels.bios_prompts import USUAL, Wording
from realmodels.errors import RealmodelsError
from theory.files import write_whole
from theory.matching import normalize

if TYPE_CHECKING:
    from realmodels.loading import Loaded

PIECE = 64  # claims asked about and kept together
STATES = "states"
Opened = Callable[[], "Loaded"]


@dataclass(frozen=True)
class Summary:
    """Of a set of texts. `precision`: supported claims over all; `judged`: share of claims with a verdict, and
    `precision_judged` among those; `recall`: facts stated over facts there are (None without a table)."""

    texts: int
    claims: float
    precision: float | None
    judged: float | None
    precision_judged: float | None
    recall: float | None


def supported(bios: Sequence[Bio], facts: Facts) -> tuple[Bio, ...]:
    """Every claim judged by the table."""
    return tuple(
        with_claims(bio, [_by_facts(claim, facts.judge(claim.text, bio.name)) for claim in bio.stated])
        for bio in bios
    )


def _by_facts(claim: Stated, verdict: Verdict) -> Stated:
    stated = verdict.relation if verdict.support else ""
    return replace(claim, support=verdict.support, by="facts", relation=stated)


def questions_of(bios: Sequence[Bio], passages: Mapping[str, str] | None) -> list[Question]:
    """One a claim that has no verdict yet, in order; with passages, those of people without one are left out."""
    found = []
    for bio in bios:
        passage = None if passages is None else passages.get(normalize(bio.name))
        if passages is not None and passage is None:
            continue
        found += [Question(bio.name, claim.text, passage) for claim in bio.stated if claim.support is None]
    return list(dict.fromkeys(found))


def read_passages(path: str | Path) -> dict[str, str]:
    """By name, what a judge reads: all texts of a file about the person, one after another."""
    found: dict[str, list[str]] = {}
    for bio in read_bios(path):
        found.setdefault(normalize(bio.name), []).append(bio.text)
    return {name: "\n".join(texts) for name, texts in found.items()}


def asked(
    opened: Opened,
    fingerprint: str,
    questions: Sequence[Question],
    folder: Path,
    batch: int | None = None,
    wording: Wording = USUAL,
) -> dict[Question, float]:
    """Log-odds of every question, piece by piece."""
    parts, found = Parts(folder), {}
    with parts.held():
        parts.refresh()
        for piece in _pieces(questions):
            keys = [_key(fingerprint, asdict(wording), asdict(one)) for one in piece]
            if not parts.has(keys):
                odds = log_odds(opened(), piece, batch, wording=wording)
                parts.put(
                    [{"key": key, "log_odds": _rounded(value)} for key, value in zip(keys, odds, strict=True)]
                )
                parts.refresh()
            for one, line in zip(piece, parts.get(keys), strict=True):
                found[one] = float(line["log_odds"])
    return found


def told_by_judge(
    bios: Sequence[Bio],
    odds: Mapping[Question, float],
    passages: Mapping[str, str] | None,
    threshold: float = 0.0,
) -> tuple[Bio, ...]:
    """Claims without a verdict take the judge's: supported above the threshold."""

    def ruled(bio: Bio, claim: Stated) -> Stated:
        passage = None if passages is None else passages.get(normalize(bio.name))
        value = odds.get(Question(bio.name, claim.text, passage)) if claim.support is None else None
        if value is None:
            return claim
        return replace(claim, support=value > threshold, by="judge", score=value)

    return tuple(with_claims(bio, [ruled(bio, claim) for claim in bio.stated]) for bio in bios)


def read_all(
    opened: Opened, fingerprint: str, bios: Sequence[Bio], layer: int, folder: Path, batch: int | None = None
) -> tuple[list[float], NDArray[np.float32]]:
    """Of every claim, text by text, the chance of a token and its hidden state."""
    pairs = list(dict.fromkeys((bio.prompt, claim.text) for bio in bios for claim in bio.stated))
    parts, chance, states = Parts(folder), {}, {}
    with parts.held(STATES):
        parts.refresh()
        for piece in _pieces(pairs):
            keys = [_key(fingerprint, [layer, *pair]) for pair in piece]
            path = folder / STATES / f"{_key(fingerprint, keys)}.npy"
            if not (parts.has(keys) and path.exists()):
                from realmodels.bios_beliefs import read_claims

                read = read_claims(opened(), piece, layer, batch)
                np.save(content := io.BytesIO(), np.stack([one.state for one in read]))
                write_whole(path, content.getvalue())  # numpy itself does not notice a file cut short
                parts.put(
                    [
                        {"key": key, "chance": _rounded(one.chance)}
                        for key, one in zip(keys, read, strict=True)
                    ]
                )
                parts.refresh()
            lines = parts.get(keys)
            for pair, line, state in zip(piece, lines, _states(path, len(piece)), strict=True):
                chance[pair], states[pair] = float(line["chance"]), state
    order = [(bio.prompt, claim.text) for bio in bios for claim in bio.stated]
    width = next(iter(states.values())).shape[0] if states else 0
    return [chance[pair] for pair in order], (
        np.stack([states[pair] for pair in order]) if order else np.zeros((0, width), np.float32)
    )


def believed(bios: Sequence[Bio], signals: Mapping[str, Sequence[float]]) -> tuple[Bio, ...]:
    """Beliefs, one value a claim in the order of the texts, written to the claims; what is not finite is left out."""
    found, at = [], 0
    for bio in bios:
        claims = []
        for claim in bio.stated:
            own = {
                name: _rounded(values[at]) for name, values in signals.items() if math.isfinite(values[at])
            }
            claims.append(replace(claim, belief={**claim.belief, **own}))
            at += 1
        found.append(with_claims(bio, claims) if bio.claims is not None else bio)
    return tuple(found)


def verified(
    opened: Opened,
    fingerprint: str,
    bios: Sequence[Bio],
    folder: Path,
    batch: int | None = None,
    wording: Wording = USUAL,
) -> list[float]:
    """P(True) / (P(True) + P(False)) of every claim, from the model's own memory."""
    order = [Question(bio.name, claim.text) for bio in bios for claim in bio.stated]
    odds = asked(opened, fingerprint, list(dict.fromkeys(order)), folder, batch, wording)
    return [1.0 / (1.0 + math.exp(-odds[question])) for question in order]


def probed(bios: Sequence[Bio], states: NDArray[np.float32]) -> tuple[list[float], int]:
    """The probe's belief in every claim, fitted on claims about other people; and how many labels it had."""
    names = [bio.name for bio in bios for _ in bio.stated]
    labels = [claim.support for bio in bios for claim in bio.stated]
    found, count = crossed(np.asarray(states, np.float64), labels, names)
    return [float(value) for value in found], count


def summary_of(bios: Sequence[Bio], facts: Facts | None = None) -> Summary:
    """Scores of these texts."""
    claims = [claim for bio in bios for claim in bio.stated]
    known = [claim for claim in claims if claim.support is not None]
    right = sum(claim.support is True for claim in claims)
    tried = any(claim.by for claim in claims)
    stated = sum(
        len({claim.relation for claim in bio.stated if claim.support and claim.by == "facts"}) for bio in bios
    )
    there = sum(len(facts.about(bio.name)) for bio in bios) if facts else 0
    return Summary(
        len(bios),
        len(claims) / max(len(bios), 1),
        right / len(claims) if claims and tried else None,
        len(known) / len(claims) if claims and tried else None,
        right / len(known) if known else None,
        stated / there if there else None,
    )


def summaries(bios: Sequence[Bio], facts: Facts | None = None) -> dict[str, Any]:
    """All texts, the greedy and the sampled ones, and every signal against support."""
    groups = {
        "all": list(bios),
        "greedy": [b for b in bios if not b.draw],
        "sampled": [b for b in bios if b.draw],
    }
    found: dict[str, Any] = {name: asdict(summary_of(own, facts)) for name, own in groups.items() if own}
    rows = [(bio.name, claim) for bio in bios for claim in bio.stated if claim.support is not None]
    signals = sorted({name for _, claim in rows for name in claim.belief})
    found["signals"] = {}
    for name in signals:
        score = [claim.belief.get(name, float("nan")) for _, claim in rows]
        told = judged(score, [bool(claim.support) for _, claim in rows], [who for who, _ in rows])
        found["signals"][name] = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(told).items()
        }
    return found


def _states(path: Path, count: int) -> NDArray[np.float32]:
    try:
        found = np.load(path)
    except (ValueError, EOFError) as problem:
        raise RealmodelsError(
            f"{path}: cannot be read ({problem}); delete it, it is computed again"
        ) from None
    if found.shape[0] != count:
        raise RealmodelsError(f"{path}: has {found.shape[0]} rows for {count} claims; delete it")
    return np.asarray(found, np.float32)


def _pieces(items: Sequence[Any]) -> Iterable[list[Any]]:
    return (list(items[start : start + PIECE]) for start in range(0, len(items), PIECE))


def _key(*said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:24]


def _rounded(value: float) -> float:
    """Six significant digits: what batches may change comes after them."""
    return float(f"{value:.6g}")

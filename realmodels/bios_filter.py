"""Texts with claims dropped: by support, by belief, or as many at random; and rows to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from realmodels.bios_files import Bio, Stated
from realmodels.errors import RealmodelsError
from theory.schema import nearest

LEVELS = ("claim", "sentence", "text")
Score = Callable[[Stated], float | None]  # how good a claim is; None: not known


@dataclass(frozen=True)
class Rule:
    """`none`, `support`, `belief:<signal>`, two of them joined by +, or `random`."""

    name: str
    parts: tuple[str, ...]


def read_rules(text: str, signals: Sequence[str]) -> tuple[Rule, ...]:
    """none,support,belief:probe,random"""
    found: dict[str, Rule] = {}
    for name in (part.strip() for part in text.split(",")):
        if not name:
            continue
        parts = tuple(name.split("+"))
        for part in parts:
            kind, _, signal = part.partition(":")
            if kind not in ("none", "support", "belief", "random") or (kind != "belief" and signal):
                raise RealmodelsError(
                    f"--arms: unknown '{part}'; expected none, support, belief:SIGNAL, random, or two joined by +"
                )
            if kind == "belief" and signal not in signals:
                known = ", ".join(signals) or "none; run bios score with --model first"
                raise RealmodelsError(
                    f"--arms {part}: the claims have no belief '{signal}'{nearest(signal, signals)}; known are {known}"
                )
            if kind in ("none", "random") and len(parts) > 1:
                raise RealmodelsError(f"--arms {name}: '{kind}' stands alone")
        found[name] = Rule(name, parts)
    if not found:
        raise RealmodelsError("--arms: none given; expected such as none,support,belief:probe,random")
    return tuple(found.values())


def signals_in(bios: Sequence[Bio]) -> tuple[str, ...]:
    """The beliefs that any claim has."""
    return tuple(sorted({name for bio in bios for claim in bio.stated for name in claim.belief}))


def kept_by(
    bios: Sequence[Bio], rule: Rule, *, level: str = "claim", threshold: float = 0.5, top: float | None = None
) -> tuple[Bio, ...]:
    """What a rule keeps: claims; sentences none of whose claims it drops; or of each person's texts the one whose
    claims it finds best on average (the first among equals). `top` keeps that share of all claims by belief in
    place of those above the threshold."""
    if level not in LEVELS:
        raise RealmodelsError(f"--level: unknown '{level}'{nearest(level, LEVELS)}")
    if level == "text":
        return _best_texts(bios, rule)
    edges = {part: _edge(bios, part, threshold, top) for part in rule.parts}

    def good(claim: Stated) -> bool:
        return all(_passes(claim, part, edges[part]) for part in rule.parts)

    kept = []
    for bio in bios:
        claims = bio.stated
        if level == "sentence":
            bad = {claim.sentence for claim in claims if not good(claim)}
            claims = tuple(claim for claim in claims if claim.sentence not in bad)
        else:
            claims = tuple(claim for claim in claims if good(claim))
        kept.append(replace(bio, claims=claims))
    return tuple(kept)


def at_random(bios: Sequence[Bio], like: Sequence[Bio], seed: int = 0) -> tuple[Bio, ...]:
    """Of every text as many claims as `like` has of the same one, drawn at random; their order stays."""
    if [bio.id for bio in bios] != [bio.id for bio in like]:
        raise RealmodelsError("random: the texts to be matched in length are others")
    kept = []
    for place, (bio, other) in enumerate(zip(bios, like, strict=True)):
        rng = np.random.default_rng(np.random.SeedSequence([seed, place]))
        count = min(len(other.stated), len(bio.stated))
        some = sorted(rng.permutation(len(bio.stated))[:count].tolist())
        kept.append(replace(bio, claims=tuple(bio.stated[i] for i in some)))
    return tuple(kept)


def text_of(bio: Bio, level: str = "claim") -> str:
    """The text that is left: its claims one after another, or whole sentences as they stood."""
    if level == "claim":
        return " ".join(claim.text for claim in bio.stated)
    from realmodels.bios_sentences import sentences

    if level == "text":
        return bio.text
    whole = sentences(bio.text)
    places = sorted({claim.sentence for claim in bio.stated})
    return " ".join(whole[place] for place in places if place < len(whole))


def train_rows(bios: Sequence[Bio], level: str = "claim") -> list[dict[str, Any]]:
    """Prompt and completion, as `train` reads them; texts of which nothing is left are not among them."""
    rows = []
    for bio in bios:
        text = text_of(bio, level)
        if text.strip():
            rows.append({"prompt": bio.prompt, "completion": f" {text}", "name": bio.name, "id": bio.id})
    return rows


def manifest_of(kept: Mapping[str, Sequence[Bio]], level: str) -> dict[str, Any]:
    """Of every arm: texts with something left, claims, words, and how much of it is supported as far as is known."""
    found = {}
    for name, bios in kept.items():
        rows = train_rows(bios, level)
        claims = [claim for bio in bios for claim in bio.stated]
        known = [claim.support for claim in claims if claim.support is not None]
        found[name] = {
            "texts": len(rows),
            "claims": len(claims),
            "words": sum(len(row["completion"].split()) for row in rows),
            "supported_of_judged": sum(known) / len(known) if known else None,
        }
    return found


def _score(part: str) -> Score:
    kind, _, signal = part.partition(":")
    if kind == "support":
        return lambda claim: None if claim.support is None else float(claim.support)
    return lambda claim: claim.belief.get(signal)


def _edge(bios: Sequence[Bio], part: str, threshold: float, top: float | None) -> tuple[float, bool]:
    """The least score that is kept, and whether it is itself kept."""
    if part == "none" or part == "support":
        return 0.5, False
    if top is None:
        return threshold, False
    score = _score(part)
    values = sorted(
        (value for bio in bios for claim in bio.stated if (value := score(claim)) is not None), reverse=True
    )
    count = round(top * len(values))
    return (values[count - 1], True) if count else (float("inf"), False)


def _passes(claim: Stated, part: str, edge: tuple[float, bool]) -> bool:
    if part == "none":
        return True
    value = _score(part)(claim)
    return value is not None and (value >= edge[0] if edge[1] else value > edge[0])


def _best_texts(bios: Sequence[Bio], rule: Rule) -> tuple[Bio, ...]:
    best: dict[str, tuple[float, int]] = {}
    for place, bio in enumerate(bios):
        if rule.parts == ("none",):
            value = -float(place)
        else:
            scores = [[_score(part)(claim) or 0.0 for claim in bio.stated] for part in rule.parts]
            value = float(np.mean(scores)) if bio.stated else -1.0
        if bio.name not in best or value > best[bio.name][0]:
            best[bio.name] = (value, place)
    return tuple(bios[place] for _, place in sorted(best.values(), key=lambda pair: pair[1]))

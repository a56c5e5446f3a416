"""An audit in figures and tables: labels by relation, what guessing gets, and how the labels move with the prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmodels.audit_found import Found
from realmodels.audit_plan import Plan, shots_of
from realmodels.guessing import guessed
from realmodels.prompting import render_prefix, render_question
from realmodels.stored import Chosen
from theory.slick import Category, detection, expected_counts, label_curve, split_half_agreement

BEST_FIRST = tuple(category.name for category in sorted(Category, reverse=True))
CLOSE = 0.6  # of the accuracy; above it a relation's answers are mostly guessed
LEAST = 0.05  # accuracy below which there is nothing to explain away
TOSS = (0.1, 0.9)  # detection between these: WeaklyKnown or Unknown by luck


def summarise(plan: Plan, found: Found) -> dict[str, Any]:
    """Everything that the tables show, as plain values."""
    asking = plan.asking
    relations = [_relation(found, name, members) for name, members in found.groups.items()]
    everything = _relation(found, "all", None)
    pairs = [(row["rows"], row["permuted"]) for row in relations if row["permuted"] is not None]
    # answers are dealt within relations, so the whole is the mean over these
    everything["permuted"] = _mean([value for _, value in pairs], [rows for rows, _ in pairs])
    summary: dict[str, Any] = {
        "n_prompts": asking.prompts,
        "n_shots": asking.shots,
        "n_samples": asking.sampling.samples,
        "temperature": asking.sampling.temperature,
        "top_k": asking.sampling.top_k,
        "estimator": asking.estimator,
        "backend": asking.backend,
        "matcher": asking.matcher,
        "style": asking.style.name,
        "seed": asking.seed,
        "signals": list(asking.signals),
        "exemplars": plan.sources(),
        "all": everything,
        "relations": relations,
        **_again(found),
        "saturation": _saturation(found),
    }
    return {**summary, "warnings": warnings(plan, summary)}


def first_prompt(plan: Plan) -> str:
    """The first question as the model reads it."""
    draw = next(draw for draw in plan.draws if 0 in draw.rows)
    style = plan.asking.style
    return render_prefix(style, shots_of(plan.pool, draw.shots)) + render_question(
        style, plan.rows[0].question
    )


def warnings(plan: Plan, summary: Mapping[str, Any]) -> list[str]:
    """What a reader of the labels must not miss."""
    said = []
    for row in summary["relations"]:
        accuracy, permuted = row["accuracy_written"], row["permuted"]
        if permuted is not None and accuracy >= LEAST and permuted >= CLOSE * accuracy:
            said.append(
                f"{row['relation'] or 'rows without a relation'}: accuracy {accuracy:.2f}, but {permuted:.2f} with "
                "answers permuted: most of it is guessing the relation's common answers"
            )
    if plan.asking.prompts == 1:
        said.append("one prompt cannot tell MaybeKnown from HighlyKnown; take at least 2")
    few = sum(len(draw.rows) for draw in plan.draws if len(draw.shots) < plan.asking.shots)
    if few:
        said.append(
            f"{few} of the questions asked had fewer than {plan.asking.shots} exemplars: too few other subjects"
        )
    away = {source: count for source, count in summary["exemplars"].items() if source != "relation"}
    if away:
        kinds = ", ".join(f"{source} {count}" for source, count in away.items())
        said.append(
            f"exemplars not all of the row's relation ({kinds}): labels depend on where they are from"
        )
    return said


def render(summary: Mapping[str, Any]) -> str:
    """The tables, for a terminal."""
    several = "s" * (summary["n_prompts"] > 1)
    return "\n".join(
        [
            f"{summary['n_prompts']} prompt{several} of {summary['n_shots']} shots, estimator {summary['estimator']}, "
            f"matcher {summary['matcher']}; another number of prompts gives other labels",
            "",
            *_aligned([_HEADER, *map(_cells, [*summary["relations"], summary["all"]])]),
            _columns(summary),
            "",
            f"sampling again would give on average {_counts(summary['expected'])}; of {summary['coin_toss']['of']} "
            f"rows never right greedily {summary['coin_toss']['rows']} are a coin toss between WeaklyKnown and Unknown",
            "",
            "labels by the number of prompts",
            *_aligned([_CURVE, *_points(summary["saturation"])]),
            *_halves(summary["saturation"]),
            *([""] if summary["warnings"] else []),
            *(f"warning: {text}" for text in summary["warnings"]),
        ]
    )


def _columns(summary: Mapping[str, Any]) -> str:
    """What the columns that look alike are about."""
    written, prompts = summary["all"]["prompts_written"], summary["n_prompts"]
    which = "all prompts" if written == prompts else f"the first {written} of {prompts} prompts"
    return (
        f"accuracy: right greedily, over all prompts; written: the same for answers written out under {which}; "
        "permuted: these held against other rows' answers (what guessing gets)"
    )


_HEADER = (
    "relation",
    "prompts",
    "rows",
    *BEST_FIRST,
    "accuracy",
    "written",
    "permuted",
    "known that overlap",
)
_CURVE = ("prompts", *BEST_FIRST, "same label as with all")


def _relation(found: Found, name: str, members: NDArray[np.int32] | None) -> dict[str, Any]:
    """The line of these rows (None: of all)."""
    plan, (names, _) = found.plan, found.relations
    some: Any = slice(None) if members is None else members
    labels = found.labels[some]
    known = labels >= Category.MaybeKnown
    sums = {
        key: total.sum() if members is None else total[names.index(name)] for key, total in found.sums.items()
    }
    asked = len(labels) * plan.asking.prompts
    margin = found.margin[some]
    return {
        "relation": name,
        "n_prompts": plan.asking.prompts,
        "rows": len(labels),
        "labels": {category: int((labels == Category[category]).sum()) for category in BEST_FIRST},
        "accuracy": _short(sums["greedy"] / asked),
        "accuracy_written": _short(float(np.mean([right[some] for right in found.right]))),
        "permuted": None if members is None else _permuted(found, members),
        "prompts_written": len(found.said),
        "p_sample": _short(sums["p_sample"] / asked),
        "logprob": _short(sums["logprob"] / asked),
        "margin": _mean(margin[~np.isnan(margin)]),
        "known": int(known.sum()),
        "known_overlapping": int((found.overlap[some] & known).sum()),
        "known_dominant": int((found.dominant[some] & known).sum()),
        **({} if members is None else {"frequent_answers": list(found.favourites[name])}),
    }


def _permuted(found: Found, members: NDArray[np.int32]) -> float | None:
    """What guessing gets among these rows, over the prompts whose answers were written out."""
    rows, matcher = found.plan.rows, found.plan.asking.matcher
    answers = Chosen(lambda i: rows[i].answers, members)
    guesses = [guessed(Chosen(said.__getitem__, members), answers, matcher) for said in found.said]
    return _mean([guess for guess in guesses if guess is not None])


def _again(found: Found) -> dict[str, Any]:
    """What sampling again would change."""
    samples = found.plan.asking.sampling.samples
    expected, toss, of = np.zeros(len(Category)), 0, 0
    for some in found.blocks():
        expected += expected_counts(some.greedy, some.p_sample, samples)
        chance = detection(some.p_sample, samples)[~some.greedy.any(axis=1)]
        toss, of = toss + int(((chance > TOSS[0]) & (chance < TOSS[1])).sum()), of + len(chance)
    counts = {category.name: _short(expected[category]) for category in sorted(Category, reverse=True)}
    return {"expected": counts, "coin_toss": {"rows": toss, "of": of}}


def _saturation(found: Found) -> dict[str, Any]:
    """Labels with fewer prompts, over all choices of them."""
    asking, samples = found.plan.asking, found.plan.asking.sampling.samples
    sizes = [n for n in range(1, asking.prompts + 1) if n <= 4 or n % 2 == 0 or n == asking.prompts]
    shares, agreement = np.zeros((len(sizes), len(Category))), np.zeros(len(sizes))
    halves = 0.0
    for some in found.blocks():
        rng = np.random.default_rng(
            np.random.SeedSequence([asking.seed, 1])
        )  # the same choices for every block
        curve = label_curve(some.greedy, some.p_sample, sizes, rng, samples=samples)
        share = len(some.greedy) / len(found.labels)
        shares += share * curve.shares
        agreement += share * curve.agreement
        if asking.prompts > 1:
            halves += share * split_half_agreement(some.greedy, some.p_sample, rng, samples=samples)
    return {
        "prompts": sizes,
        "shares": {category: [_short(row[Category[category]]) for row in shares] for category in BEST_FIRST},
        "agreement": [_short(value) for value in agreement],
        "split_half": _short(halves) if asking.prompts > 1 else None,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    permuted = "-" if row["permuted"] is None else f"{row['permuted']:.3f}"
    counts = [str(row["labels"][category]) for category in BEST_FIRST]
    overlap = f"{row['known_overlapping']}/{row['known']}"
    name = row["relation"] or "(none)"
    return (
        name[:40],
        str(row["n_prompts"]),
        str(row["rows"]),
        *counts,
        f"{row['accuracy']:.3f}",
        f"{row['accuracy_written']:.3f}",
        permuted,
        overlap,
    )


def _points(curve: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            str(size),
            *(f"{curve['shares'][category][i]:.3f}" for category in BEST_FIRST),
            f"{curve['agreement'][i]:.3f}",
        )
        for i, size in enumerate(curve["prompts"])
    ]


def _halves(curve: Mapping[str, Any]) -> list[str]:
    if curve["split_half"] is None:
        return []
    return [
        f"two disjoint halves of the prompts give the same label to {100 * curve['split_half']:.1f}% of the rows"
    ]


def _counts(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{counts[category]:.1f} {category}" for category in BEST_FIRST)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def _mean(
    values: Sequence[float] | NDArray[np.float64], weights: Sequence[float] | None = None
) -> float | None:
    return _short(np.average(values, weights=weights)) if len(values) else None


def _short(value: float) -> float:
    return float(f"{float(value):.6g}")

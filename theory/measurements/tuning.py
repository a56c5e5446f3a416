"""Fine-tuning on chosen facts and an exam on held-out ones, for all seeds at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from theory.attention import Array, Index
from theory.measurements.facts import FINE_TUNING, SETS, Facts, Mask
from theory.optimisers import Recipe
from theory.simulate import Model, Prompts, Reading, advantages, draw_batches, read, train

M = TypeVar("M", bound=Model)
Grades = dict[tuple[str, str], Array]  # (stratum, metric) -> (seeds,)
Curves = dict[tuple[str, str], Array]  # (stratum, metric) -> (steps, seeds)
ADAM = Recipe(1e-2, 320)
ATTENTION = Recipe(3e-2, 320, train="attention")
METRICS = ("accuracy", "attention_subject", "margin", "p_correct", "error_prior_share")


@dataclass(frozen=True, eq=False)
class Exam:
    """Questions with strata: masks (seeds, questions) by name; `generic` are the commonest answers of the relations."""

    questions: Prompts
    strata: Mapping[str, Mask]
    generic: Index  # (seeds, questions)

    def grade(self, model: Model, metrics: Sequence[str] = METRICS) -> Grades:
        """Mean of each metric in each stratum, one value a seed: fractions, and A_s - A_r in nats; nan if empty."""
        result = read(*model.forward(self.questions), self.questions.answers)
        return self.marks(result, metrics, model if "margin" in metrics else None)

    def marks(self, result: Reading, metrics: Sequence[str], model: Model | None = None) -> Grades:
        """The same from a reading of the questions; the margin needs the model."""
        found = {
            "accuracy": result.right.astype(float),
            "attention_subject": result.attention[..., 0],
            "p_correct": np.exp(result.log_p),
            "error_prior_share": (result.said == self.generic).astype(float),
        }
        if model is not None:
            a = advantages(model, self.questions)
            found["margin"] = a[..., 0] - a[..., 1]
        grades: Grades = {}
        for name, mask in self.strata.items():
            for metric in metrics:
                chosen = mask & ~result.right if metric == "error_prior_share" else mask
                count = chosen.sum(axis=1)
                total = np.sum(found[metric] * chosen, axis=1, dtype=np.float64)
                grades[name, metric] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return grades


def known_facts(model: Model, facts: Facts) -> Mask:
    """Which facts the model answers right in the format of pretraining, (seeds, facts)."""
    return read(*model.forward(facts.statements), facts.answers).right


def exam_on(facts: Facts, chosen: Index, strata: Mapping[str, Mask]) -> Exam:
    """Questions on the facts `chosen` (facts,), the same for every seed; strata are masks over all facts."""
    which = np.broadcast_to(chosen, (len(facts.seeds), len(chosen)))
    questions = facts.questions.take(which)
    shape = (len(facts.seeds), facts.n)
    masks = {name: np.broadcast_to(mask, shape)[:, chosen] for name, mask in strata.items()}
    return Exam(questions, masks, questions.answers // facts.setting.pool * facts.setting.pool)


def held_out_exam(facts: Facts, known: Mask) -> Exam:
    """The held-out facts: all, those known before tuning, popular ones and rare ones."""
    popular = facts.popular_fact
    strata = {
        "all": np.ones_like(popular),
        "known": known,
        "popularity=high": popular,
        "popularity=low": ~popular,
    }
    return exam_on(facts, facts.test, strata)


def half_sets(facts: Facts) -> dict[str, list[Index]]:
    """The best-known half (by frequency), the lesser-known half, all, and a random half of the trainable facts."""
    seeds, open_ = len(facts.seeds), ~facts.held_out_fact
    every = np.flatnonzero(open_)
    mixed = [np.sort(_rng(seed).permutation(every)[: len(every) // 2]) for seed in facts.seeds]
    return {
        "best": [np.flatnonzero(open_ & facts.popular_fact)] * seeds,
        "lesser": [np.flatnonzero(open_ & ~facts.popular_fact)] * seeds,
        "whole": [every] * seeds,
        "random": mixed,
    }


def some(facts: Facts, mask: Mask, most: int, salt: int = 0, ordered: bool = True) -> list[Index]:
    """At most `most` facts a seed, drawn from those that the mask (seeds, facts) allows; sorted, or as they came."""
    drawn = [
        _rng(seed, salt).permutation(np.flatnonzero(row))[:most]
        for seed, row in zip(facts.seeds, np.broadcast_to(mask, (len(facts.seeds), facts.n)), strict=True)
    ]
    return [np.sort(numbers) for numbers in drawn] if ordered else drawn


def fine_tune(
    model: M,
    facts: Facts,
    chosen: Sequence[Index],
    recipe: Recipe,
    exam: Exam,
    at: Sequence[int],
    metrics: Sequence[str] = METRICS,
) -> tuple[M, Curves]:
    """Trains on the chosen facts as questions; all sets of a seed draw the same places of their lists."""
    order = draw_batches(chosen, recipe, facts.seeds, FINE_TUNING)
    tuned, seen = train(
        model, facts.questions, order, recipe, at=at, observe=lambda now: exam.grade(now, metrics)
    )
    return tuned, {key: np.stack([grade[key] for grade in seen]) for key in seen[0]}


def patched(attention_from: Model, values_from: Model, prompts: Prompts) -> Reading:
    """What the values of one model say when every prompt is read with the attention pattern of another."""
    alpha, _ = attention_from.forward(prompts)
    z = np.einsum("snl,snla->sna", alpha, values_from.token_values(prompts))
    return read(alpha, z, prompts.answers)


def _rng(seed: int, salt: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, SETS, salt]))

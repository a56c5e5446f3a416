"""How well does a model know the answer to each question of one prompt?

`exact` reads the accepted answers behind the question and multiplies the chances of their tokens, so nothing is
sampled; an answer counts if it is one of them to the letter. `hybrid` also decodes the greedy answers that are none of
them and lets a matcher judge. `sample` is the published procedure: a greedy answer and 16 sampled ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realmodels.cost import calibrate, forward_tokens
from realmodels.errors import RealmodelsError
from realmodels.prompting import FALSE, TRUE, Shot, Style, render_answer, truth_prefix, truth_prompt
from realmodels.sampling import USUAL, Sampling
from realmodels.shared import Asking, asking, asking_texts, shared_ids
from theory.matching import MATCHERS, accepted, first_line, match
from theory.schema import nearest

if TYPE_CHECKING:
    from realmodels.backends import Backend
    from realmodels.loading import Loaded

__all__ = [
    "ESTIMATORS", "Estimates", "Sampling", "calibrate", "estimate", "forward_tokens", "logprobs", "p_true"
]  # fmt: skip

ESTIMATORS = ("exact", "hybrid", "sample")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """One prompt's findings, question by question [n]. `greedy`: is the greedy answer right; `p_sample`: the chance of
    a right sample; `logprob`: log of the summed probability of the accepted answers at temperature 1; `said`: the
    greedy answer ("" where it was not decoded); `samples`: the sampled answers (estimator `sample` only)."""

    greedy: NDArray[np.bool_]
    p_sample: Floats
    logprob: Floats
    said: tuple[str, ...]
    samples: tuple[tuple[str, ...], ...] = ()


def estimate(
    loaded: Loaded,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    estimator: str = "exact",
    matcher: str = "exact",
    sampling: Sampling = USUAL,
    batch: int | None = None,
    seed: int = 0,
    cached: bool = True,
    backend: Backend | None = None,
) -> Estimates:
    """Ask all questions behind the same shots. Neither batches nor the cache change what is found, but for rounding."""
    if estimator not in ESTIMATORS:
        raise RealmodelsError(f"estimator: unknown '{estimator}'{nearest(estimator, ESTIMATORS)}")
    if matcher not in MATCHERS:
        raise RealmodelsError(f"matcher: unknown '{matcher}'{nearest(matcher, MATCHERS)}")
    if estimator == "exact" and matcher != "exact":
        raise RealmodelsError(
            f"estimator 'exact' judges answers to the letter, so matcher '{matcher}' has nothing to judge; "
            "choose estimator 'hybrid' or 'sample', or matcher 'exact'"
        )
    wanted = _checked(questions, answers)
    found = _Found.empty(len(questions))
    if not len(questions):
        return found.estimates(estimator)
    from realmodels.exact import read_answers

    for part in _parts(loaded, style, shots, questions, wanted, cached):
        decode = estimator == "hybrid"
        for i, row in read_answers(loaded, part, sampling, batch, decode=decode):
            found.logprob[i], found.p_sample[i], found.greedy[i] = row.logprob, row.p_sample, row.greedy
            if decode:
                found.said[i] = first_line(loaded.tokens.text(row.said))
                found.greedy[i] = row.greedy or match(found.said[i], wanted[i], matcher)
    if estimator == "sample":
        from realmodels.backends import TransformersBackend

        engine = backend or TransformersBackend(loaded)
        for part in _parts(loaded, style, shots, questions, wanted, cached):
            for i, (greedy, samples) in engine.answer(part, sampling, seed, batch):
                found.said[i], found.samples[i] = first_line(greedy), tuple(map(first_line, samples))
                found.greedy[i] = match(found.said[i], wanted[i], matcher)
                found.p_sample[i] = np.mean([match(text, wanted[i], matcher) for text in found.samples[i]])
    return found.estimates(estimator)


def logprobs(
    loaded: Loaded,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    answers: Sequence[Sequence[str]],
    *,
    batch: int | None = None,
    cached: bool = True,
) -> Floats:
    """Log of the summed probability of the accepted answers [n], at temperature 1."""
    return estimate(loaded, style, shots, questions, answers, batch=batch, cached=cached).logprob


def p_true(
    loaded: Loaded,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    proposed: Sequence[str],
    *,
    batch: int | None = None,
) -> Floats:
    """P(True) / (P(True) + P(False)) [n] when asked whether the proposed answer is right; every second shot shows a
    wrong one."""
    if len(questions) != len(proposed):
        raise RealmodelsError(f"p_true: {len(questions)} questions but {len(proposed)} proposed answers")
    if not questions:
        return np.zeros(0)
    from realmodels.exact import beginnings

    words = tuple(loaded.tokens.answer_ids(word) for word in (TRUE, FALSE))
    if words[0] == words[1]:
        raise RealmodelsError(
            f"{loaded.name}: 'True' and 'False' are the same to its tokenizer (are they in its vocabulary?), "
            "so P(True) cannot be asked"
        )
    found = np.zeros(len(questions))
    pairs = zip(questions, proposed, strict=True)
    texts = [truth_prompt(style, shots, question, answer) for question, answer in pairs]
    shared = shared_ids(loaded.tokens, style, truth_prefix(style, shots))
    for part in asking_texts(loaded.tokens, texts, [words] * len(texts), shared, style.end):
        for i, logs in beginnings(loaded, part, batch):
            found[i] = 1.0 / (1.0 + np.exp(logs[1] - logs[0]))
    return found


@dataclass
class _Found:
    greedy: NDArray[np.bool_]
    p_sample: Floats
    logprob: Floats
    said: list[str]
    samples: list[tuple[str, ...]]

    @staticmethod
    def empty(n: int) -> _Found:
        return _Found(np.zeros(n, bool), np.zeros(n), np.zeros(n), [""] * n, [()] * n)

    def estimates(self, estimator: str) -> Estimates:
        drawn = tuple(self.samples) if estimator == "sample" else ()
        return Estimates(self.greedy, self.p_sample, self.logprob, tuple(self.said), drawn)


def _checked(questions: Sequence[str], answers: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    if len(questions) != len(answers):
        raise RealmodelsError(f"estimate: {len(questions)} questions but answers to {len(answers)}")
    return [accepted(aliases) for aliases in answers]


def _parts(
    loaded: Loaded,
    style: Style,
    shots: Sequence[Shot],
    questions: Sequence[str],
    answers: Sequence[Sequence[str]],
    cached: bool,
) -> Iterator[Asking]:
    ids = [
        tuple(dict.fromkeys(loaded.tokens.answer_ids(render_answer(alias)) for alias in aliases))
        for aliases in answers
    ]
    return asking(loaded.tokens, style, shots, questions, ids, cached)

"""Facts seen once, the mass of facts never seen, and how often a learner must then say something false.

A world has one fact for each question; mentions of facts are drawn from `exposure`. A statement is a
question with one of the candidate answers, and a learner is a distribution over statements: what it puts
on false ones is its hallucination rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.errors import TheoryError

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class FactWorld:
    """`exposure` (facts,) sums to 1; `answer` (facts,) holds the right candidates, drawn from `prior`."""

    exposure: Array
    prior: Array
    answer: Index

    def __post_init__(self) -> None:
        for name, p in (("exposure", self.exposure), ("prior", self.prior)):
            if p.ndim != 1 or np.any(p < 0) or not abs(float(p.sum()) - 1) <= 1e-9:
                raise TheoryError(
                    f"FactWorld.{name}: expected probabilities that sum to 1, got a sum of {p.sum():.6g}"
                )
        if len(self.prior) < 2:
            raise TheoryError("FactWorld.prior: expected at least 2 candidate answers, got 1")
        known = (self.answer >= 0) & (self.answer < len(self.prior))
        if self.answer.shape != self.exposure.shape or not known.all():
            raise TheoryError(
                f"FactWorld.answer: expected {self.facts} numbers from 0 to {len(self.prior) - 1}, one a fact"
            )

    @property
    def facts(self) -> int:
        return len(self.exposure)

    @property
    def false_statements(self) -> int:
        return self.facts * (len(self.prior) - 1)

    @cached_property
    def levels(self) -> tuple[Array, Array, Index]:
        """Candidates in groups of equal prior, the likeliest alone: priors, sizes, group of each answer."""
        group = np.zeros(len(self.prior), dtype=np.intp)
        rest = np.arange(len(self.prior)) != np.argmax(self.prior)
        value, inverse, size = np.unique(self.prior[rest], return_inverse=True, return_counts=True)
        group[rest] = inverse + 1
        return np.append(np.max(self.prior), value), np.append(1.0, size), group[self.answer]


def zipf(size: int, exponent: float) -> Array:
    """Probabilities proportional to rank^-exponent."""
    weight = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    return np.asarray(weight / weight.sum())


def draw_world(
    rng: np.random.Generator, facts: int, exponent: float, answers: int, generic: float | None = None
) -> FactWorld:
    """Zipf exposure; answers uniform, or candidate 0 with probability `generic` and all others alike."""
    if facts < 1 or answers < 2:
        raise TheoryError(f"draw_world: needs facts >= 1 and answers >= 2, got {facts} and {answers}")
    first = 1 / answers if generic is None else generic
    prior = np.full(answers, (1 - first) / (answers - 1))
    prior[0] = first
    answer = np.where(rng.random(facts) < first, 0, rng.integers(1, answers, facts))
    return FactWorld(zipf(facts, exponent), prior, answer)


def mentions(exposure: Array, n: int, rng: np.random.Generator, draws: int | None = None) -> Index:
    """How often each fact is stated in n independent mentions: (facts,), or (draws, facts)."""
    return np.asarray(rng.multinomial(n, exposure, size=draws), dtype=np.intp)


def monofact_share(counts: ArrayLike) -> Array:
    """N1 / n, the share of mentions whose fact is stated just once (last axis: facts). It estimates M0."""
    c = np.asarray(counts)
    total = np.sum(c, axis=-1)
    if np.any(total == 0):
        raise TheoryError(
            "monofact_share: no mention in at least one sample, so nothing can be estimated from it"
        )
    return np.asarray(np.sum(c == 1, axis=-1) / total)


def missing_mass(counts: ArrayLike, exposure: ArrayLike) -> Array:
    """M0: the exposure of the facts that were never stated (last axis: facts)."""
    return np.asarray(np.sum((np.asarray(counts) == 0) * np.asarray(exposure, float), axis=-1))


def expected_missing_mass(exposure: ArrayLike, n: ArrayLike) -> Array:
    """E M0 = sum f (1 - f)^n, which is E N1 after n + 1 mentions divided by n + 1."""
    f = np.asarray(exposure, float)
    return np.asarray(np.sum(f * (1 - f) ** np.asarray(n, float)[..., None], axis=-1))


def expected_singletons(exposure: ArrayLike, n: ArrayLike) -> Array:
    """E N1 = n sum f (1 - f)^(n - 1)."""
    f, count = np.asarray(exposure, float), np.asarray(n, float)[..., None]
    return np.asarray(np.sum(count * f * (1 - f) ** (count - 1), axis=-1))


def memoriser_error(missing: ArrayLike, prior: ArrayLike) -> Array:
    """(1 - max pi) M0: if unseen answers are drawn from pi, no learner errs less on fresh prompts on average.

    Attained by repeating what was stated and otherwise giving the likeliest answer.
    """
    return np.asarray((1 - np.max(np.asarray(prior, float))) * np.asarray(missing, float))


@dataclass(frozen=True)
class Statements:
    """A learner's distribution over all statements, in groups of equally likely ones.

    Per group: `probability` of each statement, `size` (how many), `true` (how many of them are facts), `mass`
    (true probability of the whole group) and whether its statements were `stated` in training.
    """

    probability: Array
    size: Array
    true: Array
    mass: Array
    stated: NDArray[np.bool_]

    def __post_init__(self) -> None:
        sums = {"probability": float(self.probability @ self.size), "mass": float(self.mass.sum())}
        for name, total in sums.items():
            if not abs(total - 1) <= 1e-6:
                raise TheoryError(f"Statements.{name}: sums to {total:.6g} over all statements, expected 1")

    @property
    def hallucination(self) -> float:
        """Probability of a false statement."""
        return float(self.probability @ (self.size - self.true))


def statements(world: FactWorld, counts: Index, stated: Array, wrong: float, unseen: Array) -> Statements:
    """All statements of a world with their probabilities.

    `stated` facts (facts,), each `wrong` answer to their questions, and each answer to `unseen` questions
    (facts, levels); rows that do not apply are ignored.
    """
    value, size, level = world.levels
    seen = counts > 0
    f, new = world.exposure[seen], int(np.sum(~seen))
    hit = (level[~seen, None] == np.arange(len(value))).astype(np.float64)
    others = len(f) * (len(world.prior) - 1.0)
    fresh = np.broadcast_to(unseen, (world.facts, len(value)))[~seen]
    return Statements(
        np.concatenate([stated[seen], [wrong], fresh.ravel()]),
        np.concatenate([np.ones(len(f)), [others], np.tile(size, new)]),
        np.concatenate([np.ones(len(f)), [0.0], hit.ravel()]),
        np.concatenate([f, [0.0], (hit * world.exposure[~seen, None]).ravel()]),
        np.arange(len(f) + 1 + new * len(value)) < len(f),
    )


def memoriser(world: FactWorld, counts: Index) -> Statements:
    """Asked by exposure, repeats stated facts and otherwise draws an answer from the prior."""
    return statements(world, counts, world.exposure, 0.0, world.exposure[:, None] * world.levels[0])


def best_guesser(world: FactWorld, counts: Index) -> Statements:
    """The ideal memoriser: asked by exposure, repeats stated facts or else says the likeliest answer."""
    top = np.arange(len(world.levels[0])) == 0
    return statements(world, counts, world.exposure, 0.0, world.exposure[:, None] * top)


def smoother(world: FactWorld, counts: Index) -> Statements:
    """Good-Turing: the monofact share spread evenly over unseen statements, the rest on facts by count."""
    new = float(monofact_share(counts))
    each = new / (world.facts * len(world.prior) - np.count_nonzero(counts))
    return statements(world, counts, (1 - new) * counts / counts.sum(), each, np.full((1, 1), each))


def overconfident(world: FactWorld, counts: Index) -> Statements:
    """Says only what was stated, as often as it was: never false, never calibrated about what is missing."""
    return statements(world, counts, counts / counts.sum(), 0.0, np.zeros((1, 1)))


def uninformative(world: FactWorld, counts: Index) -> Statements:
    """Every statement alike: perfectly calibrated and nearly always false."""
    each = 1 / (world.facts * len(world.prior))
    return statements(world, counts, np.full(world.facts, each), each, np.full((1, 1), each))


Learner = Callable[[FactWorld, Index], Statements]
LEARNERS: Mapping[str, Learner] = {
    f.__name__: f for f in (memoriser, best_guesser, smoother, overconfident, uninformative)
}


def coarse_truth(learner: Statements, bins: int | None = None) -> Array:
    """True probability of the statements of each group, averaged over bins of statements.

    A bin is what the learner finds equally likely (bins=None), or one of `bins` ranges of its probability
    that carry about equal parts of it.
    """
    value, group = np.unique(learner.probability, return_inverse=True)
    if bins is not None:
        if bins < 1:
            raise TheoryError(f"coarse_truth: bins must be at least 1, got {bins}")
        own = np.bincount(group, learner.probability * learner.size, len(value))
        group = np.minimum(((np.cumsum(own) - own / 2) * bins).astype(np.intp), bins - 1)[group]
    count = np.maximum(np.bincount(group, learner.size), 1e-300)
    return np.asarray((np.bincount(group, learner.mass) / count)[group])


def miscalibration(learner: Statements, bins: int | None = None) -> float:
    """Kalai and Vempala's calibration term: total variation between learner and bin-averaged truth.

    0 iff every statement is as likely to the learner as its bin is on average. The definition is recalled
    with medium confidence; `calibrated_floor` shows that it does what their bound needs.
    """
    return float(np.abs(coarse_truth(learner, bins) - learner.probability) @ learner.size / 2)


def calibrated_floor(learner: Statements, bins: int | None = None) -> float:
    """A bound without constants that holds surely, for every learner, sample and binning:

    hallucination >= (bin-averaged truth on unseen statements) - miscalibration - (what it says that is
    true, unseen). Proof: the first term is within total variation of the learner's mass on unseen
    statements, and every false statement is unseen.
    """
    new = ~learner.stated
    average = float(coarse_truth(learner, bins)[new] @ learner.size[new])
    lucky = float(learner.probability[new] @ learner.true[new])
    return average - miscalibration(learner, bins) - lucky


def kalai_vempala_bound(
    monofact: ArrayLike,
    miscalibration: ArrayLike,
    facts: ArrayLike,
    false_statements: ArrayLike,
    n: ArrayLike,
    *,
    sparsity: float = 300.0,
    sampling: float = 7.0,
) -> Array:
    """Kalai and Vempala 2023 (2311.14648): with probability 0.99 the hallucination rate is at least

    monofact share - miscalibration - 300 facts / false statements - 7 / sqrt(n),

    if every statement not seen is equally likely to be a fact ("regular facts"). The form is recalled
    with high confidence, the constants with medium confidence (they agree with 3/delta and sqrt(6
    ln(6/delta)) = 6.2 at delta = 0.01, also recalled). Pass your own as `sparsity` and `sampling`.
    """
    rare = sparsity * np.asarray(facts, float) / np.asarray(false_statements, float)
    return np.asarray(
        np.asarray(monofact, float)
        - np.asarray(miscalibration, float)
        - rare
        - sampling / np.sqrt(np.asarray(n, float))
    )


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, bins: int = 10, weight: ArrayLike | None = None
) -> float:
    """ECE: |mean confidence - share correct| in equal-width bins, averaged by the weight of each bin."""
    c, right = np.asarray(confidence, float).ravel(), np.asarray(correct, float).ravel()
    w = np.ones(len(c)) if weight is None else np.asarray(weight, float).ravel()
    if len(c) != len(right) or len(c) != len(w) or not len(c):
        raise TheoryError(
            f"expected_calibration_error: {len(c)} confidences, {len(right)} answers, {len(w)} weights;"
            " expected equally many and at least one"
        )
    if not np.all((c >= 0) & (c <= 1)) or bins < 1:
        raise TheoryError(
            f"expected_calibration_error: needs confidences in [0, 1] and bins >= 1, got bins={bins}"
        )
    place = np.minimum((c * bins).astype(np.intp), bins - 1)
    return float(np.sum(np.abs(np.bincount(place, w * (c - right)))) / np.sum(w))


@dataclass(frozen=True)
class Trial:
    """One learner after one sample of mentions."""

    learner: str
    mentions: int
    draw: int
    monofact: float
    missing: float
    hallucination: float
    miscalibration: float
    bound: float
    floor: float

    @property
    def slack(self) -> float:
        """Hallucination above the Kalai-Vempala bound; negative if the bound is broken."""
        return self.hallucination - self.bound


def simulate(
    world: FactWorld,
    n: int,
    draws: int,
    rng: np.random.Generator,
    learners: Sequence[str] = tuple(LEARNERS),
    bins: int | None = None,
) -> list[Trial]:
    """Every learner after each of `draws` samples of n mentions."""
    trials = []
    for draw, counts in enumerate(mentions(world.exposure, n, rng, draws)):
        seen_once, missing = float(monofact_share(counts)), float(missing_mass(counts, world.exposure))
        for name in learners:
            if name not in LEARNERS:
                raise TheoryError(f"simulate: no learner is called {name!r}; there are {', '.join(LEARNERS)}")
            learner = LEARNERS[name](world, counts)
            off = miscalibration(learner, bins)
            bound = float(kalai_vempala_bound(seen_once, off, world.facts, world.false_statements, n))
            floor = calibrated_floor(learner, bins)
            trials.append(Trial(name, n, draw, seen_once, missing, learner.hallucination, off, bound, floor))
    return trials


def monofact_curve(
    seed: int = 0,
    *,
    exponents: Sequence[float] = (0.6, 0.9, 1.2, 1.5),
    sizes: Sequence[int] = (1000, 3000, 10000),
    generics: Sequence[float | None] = (None, 0.3),
    draws: int = 5,
    facts: int = 3000,
    answers: int = 100_000,
) -> list[dict[str, float | int | str]]:
    """Rows for a table, one for each world, sample and learner.

    Hallucination against monofact share with the `line` of slope 1 - max pi, miscalibration with the bound
    and its slack; `regular` is 1 where the bound's assumption holds.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 2311]))
    rows: list[dict[str, float | int | str]] = []
    for generic in generics:
        for exponent in exponents:
            world = draw_world(rng, facts, exponent, answers, generic)
            about = {
                "exponent": exponent,
                "generic": float(world.prior.max()),
                "regular": int(generic is None),
                "facts": facts,
                "answers": answers,
            }
            for n in sizes:
                for trial in simulate(world, n, draws, rng):
                    line = float(memoriser_error(trial.monofact, world.prior))
                    rows.append({**about, **asdict(trial), "slack": trial.slack, "line": line})
    return rows


def agreement(
    seed: int = 0, *, draws: int = 150, facts: int = 5000, answers: int = 10, generic: float = 0.3
) -> dict[str, float]:
    """How well the monofact share gives the missing mass, and (1 - max pi) N1/n the ideal memoriser's error.

    Each draw has its own Zipf exponent (0.6 to 1.5) and number of mentions (1,000 to 10,000). R2 is about the
    identity, not about a fitted line.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1953]))
    pairs = np.empty((4, draws))
    for i in range(draws):
        world = draw_world(rng, facts, float(rng.uniform(0.6, 1.5)), answers, generic)
        counts = mentions(world.exposure, int(np.exp(rng.uniform(np.log(1e3), np.log(1e4)))), rng)
        share = monofact_share(counts)
        error = best_guesser(world, counts).hallucination
        pairs[:, i] = share, missing_mass(counts, world.exposure), memoriser_error(share, world.prior), error
    result: dict[str, float] = {"draws": draws}
    for name, estimate, value in (("missing", pairs[0], pairs[1]), ("error", pairs[2], pairs[3])):
        off = value - estimate
        result[f"R2 {name}"] = float(1 - np.sum(off**2) / np.sum((value - value.mean()) ** 2))
        result[f"largest difference {name}"] = float(np.max(np.abs(off)))
    return result

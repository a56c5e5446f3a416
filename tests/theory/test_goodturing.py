"""Good-Turing's estimate, the ideal memoriser, and the hallucination bound with its calibration term."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from theory import goodturing as gt
from theory.errors import TheoryError

REGULAR = {"answers": 100_000, "generic": None}


def rng_of(*seed: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed))


def every_statement(world: gt.FactWorld, counts: np.ndarray, name: str) -> np.ndarray:
    """The learner's distribution, statement by statement (facts, answers), from its description."""
    n, k = world.facts, len(world.prior)
    seen, right = counts > 0, np.eye(k)[world.answer]
    share = np.sum(counts == 1) / counts.sum()
    told = right * seen[:, None]
    if name == "memoriser":
        return world.exposure[:, None] * np.where(seen[:, None], right, world.prior)
    if name == "best_guesser":
        return world.exposure[:, None] * np.where(seen[:, None], right, np.eye(k)[np.argmax(world.prior)])
    if name == "overconfident":
        return told * counts[:, None] / counts.sum()
    if name == "smoother":
        spread = (1 - told) / np.sum(1 - told)
        return (1 - share) * told * counts[:, None] / counts.sum() + share * spread
    return np.full((n, k), 1 / (n * k))


@pytest.fixture(name="small", params=[0.15, 0.6])
def small_world(request: Any) -> gt.FactWorld:
    rng = rng_of(3)
    prior = rng.permutation([request.param, *np.full(5, (1 - request.param) / 5)])
    return gt.FactWorld(gt.zipf(40, 1.1), prior, rng.choice(6, 40, p=prior))


def test_two_seen_once_of_five_mentions() -> None:
    counts, exposure = np.array([2, 1, 0, 1, 1, 0]), np.array([0.4, 0.1, 0.2, 0.1, 0.1, 0.1])
    assert gt.monofact_share(counts) == pytest.approx(3 / 5)
    assert gt.missing_mass(counts, exposure) == pytest.approx(0.3)
    np.testing.assert_allclose(gt.monofact_share([counts, [5, 0, 0, 0, 0, 0]]), [0.6, 0.0])
    assert gt.memoriser_error(0.3, [0.5, 0.3, 0.2]) == pytest.approx(0.15)


@pytest.mark.parametrize("n", [5, 50, 2000])
def test_expectations_are_those_of_the_samples(n: int) -> None:
    f = gt.zipf(300, 1.0)
    counts = gt.mentions(f, n, rng_of(1, n), 3000)
    for sample, expected in (
        (gt.missing_mass(counts, f), gt.expected_missing_mass(f, n)),
        (np.sum(counts == 1, axis=1), gt.expected_singletons(f, n)),
    ):
        assert abs(sample.mean() - expected) < 4.5 * sample.std() / np.sqrt(3000)


def test_missing_mass_is_the_singletons_of_one_more_mention() -> None:
    """E M0 = E[N1 at n + 1] / (n + 1): exactly, and by Monte Carlo on both sides."""
    for exponent in (0.0, 0.7, 1.5):
        f, n = gt.zipf(500, exponent), np.array([1, 10, 400, 5000])
        np.testing.assert_allclose(gt.expected_missing_mass(f, n), gt.expected_singletons(f, n + 1) / (n + 1))
        missing = gt.missing_mass(gt.mentions(f, 400, rng_of(2), 2000), f)
        singles = np.sum(gt.mentions(f, 401, rng_of(5), 2000) == 1, axis=1) / 401
        error = np.hypot(missing.std(), singles.std()) / np.sqrt(2000)
        assert abs(missing.mean() - singles.mean()) < 4.5 * error


def test_the_monofact_share_is_biased_upwards_by_little() -> None:
    """E N1/n - E M0 = sum f^2 (1-f)^(n-1), positive and at most 1/n."""
    f, n = gt.zipf(500, 1.0), 1000
    bias = gt.expected_singletons(f, n) / n - gt.expected_missing_mass(f, n)
    assert bias == pytest.approx(float(np.sum(f**2 * (1 - f) ** (n - 1))))
    assert 0 < bias < 1 / n


def test_agreement_with_the_monofact_share() -> None:
    found = gt.agreement(0)
    assert found["draws"] == 150
    assert found["R2 missing"] > 0.99
    assert found["R2 error"] > 0.99
    assert found["largest difference missing"] < 0.05
    assert found["largest difference error"] < 0.05
    assert gt.agreement(0) == found != gt.agreement(1)


@pytest.mark.parametrize("name", list(gt.LEARNERS))
def test_grouped_statements_are_the_written_out_ones(name: str, small: gt.FactWorld) -> None:
    truth = world_truth(small)
    for seed in range(6):
        counts = gt.mentions(small.exposure, 60, rng_of(seed))
        learner, g = gt.LEARNERS[name](small, counts), every_statement(small, counts, name)
        assert learner.size.sum() == g.size
        assert learner.true.sum() == small.facts
        assert learner.hallucination == pytest.approx(float(np.sum(g * (truth == 0))))
        assert learner.stated.sum() == np.count_nonzero(counts)
        assert learner.mass[learner.stated].sum() == pytest.approx(
            1 - float(gt.missing_mass(counts, small.exposure))
        )
        levels = [np.isclose(g, v, rtol=1e-9, atol=1e-12) for v in np.unique(np.round(g, 12))]
        coarse = sum(np.where(level, truth[level].mean(), 0) for level in levels)
        assert gt.miscalibration(learner) == pytest.approx(0.5 * float(np.abs(coarse - g).sum()), abs=1e-9)


def world_truth(world: gt.FactWorld) -> np.ndarray:
    return np.eye(len(world.prior))[world.answer] * world.exposure[:, None]


def test_one_bin_compares_with_the_uniform_distribution(small: gt.FactWorld) -> None:
    counts = gt.mentions(small.exposure, 60, rng_of(1))
    for name in gt.LEARNERS:
        g = every_statement(small, counts, name)
        off = 0.5 * np.abs(g - 1 / g.size).sum()
        assert gt.miscalibration(gt.LEARNERS[name](small, counts), bins=1) == pytest.approx(float(off))


def test_who_is_calibrated() -> None:
    world = gt.draw_world(rng_of(8), 2000, 1.0, **REGULAR)
    counts = gt.mentions(world.exposure, 3000, rng_of(9))
    off = {name: gt.miscalibration(learner(world, counts)) for name, learner in gt.LEARNERS.items()}
    missing = float(gt.missing_mass(counts, world.exposure))
    assert off["uninformative"] == pytest.approx(0.0, abs=1e-9)
    assert off["memoriser"] == pytest.approx(0.0, abs=1e-4)
    assert off["overconfident"] >= missing > 0.1
    assert off["best_guesser"] == pytest.approx(missing, abs=1e-3)
    assert off["smoother"] < off["overconfident"]


def test_no_answering_rule_beats_the_likeliest_answer() -> None:
    """Averaged over unseen answers, a rule that says k errs (1 - pi_k) M0: least for the likeliest k."""
    prior, exposure = np.array([0.2, 0.5, 0.3]), gt.zipf(200, 1.0)
    counts = gt.mentions(exposure, 150, rng_of(4))
    missing = gt.missing_mass(counts, exposure)
    answers = rng_of(6).choice(3, (4000, 200), p=prior)
    wrong = [(answers != k) @ (exposure * (counts == 0)) for k in range(3)]
    for k in range(3):
        assert abs(wrong[k].mean() - (1 - prior[k]) * missing) < 4.5 * wrong[k].std() / np.sqrt(4000)
    floor = float(gt.memoriser_error(missing, prior))
    assert floor == pytest.approx(0.5 * float(missing))
    errors = [gt.best_guesser(gt.FactWorld(exposure, prior, a), counts).hallucination for a in answers[:500]]
    assert errors == pytest.approx(wrong[1][:500].tolist())


@pytest.fixture(name="trials", scope="module")
def many_trials() -> list[gt.Trial]:
    """120 samples x 5 learners in worlds where the bound's assumption holds."""
    trials = []
    for i, (exponent, n) in enumerate(
        [(0.6, 2500), (0.8, 5000), (1.0, 5000), (1.2, 10_000), (1.0, 20_000), (0.0, 9000)]
    ):
        world = gt.draw_world(rng_of(20, i), 3000, exponent, **REGULAR)
        trials += gt.simulate(world, n, 20, rng_of(21, i))
    return trials


def test_the_bound_is_never_broken(trials: list[gt.Trial]) -> None:
    assert len(trials) == 600
    assert all(trial.slack >= 0 for trial in trials)
    told = [t for t in trials if t.bound > 0]
    assert len(told) >= 150  # where it says something at all
    assert {t.learner for t in told} >= {"memoriser", "smoother", "uninformative"}


def test_without_the_calibration_term_the_bound_is_broken(trials: list[gt.Trial]) -> None:
    over = [t for t in trials if t.learner == "overconfident"]
    assert all(t.hallucination == 0 for t in over)
    assert np.mean([t.monofact for t in over]) > 0.1
    broken = [t for t in over if t.hallucination < t.bound + t.miscalibration]
    assert len(broken) >= 60
    others = [t for t in trials if t.learner != "overconfident"]
    assert not [t for t in others if t.hallucination < t.bound + t.miscalibration]


def test_the_uninformative_learner_is_calibrated_and_false(trials: list[gt.Trial]) -> None:
    for t in trials:
        if t.learner == "uninformative":
            assert t.miscalibration < 1e-9
            assert t.hallucination == pytest.approx(1 - 1e-5)


def test_the_smoother_hallucinates_at_the_monofact_share(trials: list[gt.Trial]) -> None:
    for t in trials:
        if t.learner == "smoother":
            assert t.hallucination == pytest.approx(t.monofact, abs=1e-3)


@pytest.mark.parametrize("bins", [None, 1, 5, 40])
@pytest.mark.parametrize(("answers", "generic"), [(10, 0.3), (1000, 0.9), (50, None)])
def test_the_floor_holds_surely_for_any_bins_and_prior(
    bins: int | None, answers: int, generic: float | None
) -> None:
    world = gt.draw_world(rng_of(30, answers), 500, 0.8, answers, generic)
    trials = [t for n in (50, 600, 4000) for t in gt.simulate(world, n, 4, rng_of(31, n), bins=bins)]
    slack = np.array([t.hallucination - t.floor for t in trials])
    assert slack.min() > -1e-12
    assert bins == 1 or slack.min() < 1e-6  # and it is attained


def test_the_bound_needs_regular_facts() -> None:
    """If nine of ten answers are the generic one, saying it is right too often for the bound."""
    world = gt.draw_world(rng_of(40), 20_000, 0.5, 100_000, 0.9)
    trials = gt.simulate(world, 40_000, 5, rng_of(41), ["best_guesser"])
    assert all(t.slack < -0.02 for t in trials)
    assert all(t.hallucination >= t.floor - 1e-12 for t in trials)


def test_bound_formula_and_constants() -> None:
    assert gt.kalai_vempala_bound(0.5, 0.1, 100, 300_000, 10_000) == pytest.approx(0.5 - 0.1 - 0.1 - 0.07)
    loose = gt.kalai_vempala_bound([0.5, 0.2], 0.1, 100, 300_000, 10_000, sparsity=30, sampling=0)
    np.testing.assert_allclose(loose, [0.39, 0.09])


@pytest.mark.parametrize(
    ("confidence", "correct", "bins", "weight", "expected"),
    [
        ([0.9, 0.9, 0.1, 0.1], [1, 1, 0, 0], 10, None, 0.1),
        ([0.8, 0.8, 0.8, 0.8, 0.8], [1, 1, 1, 1, 0], 10, None, 0.0),
        ([1.0, 0.0], [0, 1], 10, None, 1.0),
        ([0.2, 0.8], [0, 1], 1, None, 0.0),
        ([0.5, 0.5], [1, 0], 4, [3, 1], 0.25),
    ],
)
def test_ece(
    confidence: list[float], correct: list[int], bins: int, weight: list[float] | None, expected: float
) -> None:
    assert gt.expected_calibration_error(confidence, correct, bins, weight) == pytest.approx(expected)


def test_a_memoriser_that_states_its_prior_has_no_ece_but_an_overconfident_one_has() -> None:
    world = gt.draw_world(rng_of(50), 50_000, 0.5, 20, 0.4)
    counts = gt.mentions(world.exposure, 30_000, rng_of(51))
    seen, right = counts > 0, (counts > 0) | (world.answer == 0)
    honest = gt.expected_calibration_error(np.where(seen, 1.0, 0.4), right, weight=world.exposure)
    sure = gt.expected_calibration_error(np.ones(world.facts), right, weight=world.exposure)
    assert honest < 0.01
    assert sure == pytest.approx(0.6 * float(gt.missing_mass(counts, world.exposure)), rel=0.05)
    assert sure > 0.2


def test_curve_rows() -> None:
    rows = gt.monofact_curve(1, exponents=(0.7, 1.3), sizes=(2000, 8000), draws=2, facts=800)
    assert len(rows) == 2 * 2 * 2 * 2 * len(gt.LEARNERS)
    for row in rows:
        assert row["slack"] == pytest.approx(row["hallucination"] - row["bound"])
        assert row["line"] == pytest.approx((1 - row["generic"]) * row["monofact"])
        assert row["regular"] == int(row["generic"] == 1e-5)
    ideal = [r for r in rows if r["learner"] == "best_guesser"]
    assert max(abs(r["hallucination"] - r["line"]) for r in ideal) < 0.06
    assert rows == gt.monofact_curve(1, exponents=(0.7, 1.3), sizes=(2000, 8000), draws=2, facts=800)


def test_zipf_and_worlds() -> None:
    np.testing.assert_allclose(gt.zipf(3, 1.0), np.array([6, 3, 2]) / 11)
    world = gt.draw_world(rng_of(0), 20_000, 1.0, 50, 0.3)
    share = np.bincount(world.answer, minlength=50) / 20_000
    np.testing.assert_allclose(share, world.prior, atol=5 * 0.5 / np.sqrt(20_000))
    assert world.false_statements == 20_000 * 49
    values, sizes, level = world.levels
    np.testing.assert_allclose(values, [0.3, 0.7 / 49])
    assert sizes.tolist() == [1, 49]
    assert np.array_equal(level == 0, world.answer == 0)


HALF = np.array([0.5, 0.5])
FIRST = np.array([0, 1])


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: gt.FactWorld(HALF * 2, HALF, FIRST), ["FactWorld.exposure", "sum to 1", "sum of 2"]),
        (lambda: gt.FactWorld(HALF * np.nan, HALF, FIRST), ["FactWorld.exposure", "nan"]),
        (lambda: gt.FactWorld(HALF, np.array([1.5, -0.5]), FIRST), ["FactWorld.prior"]),
        (lambda: gt.FactWorld(HALF, np.ones(1), FIRST * 0), ["FactWorld.prior", "at least 2"]),
        (lambda: gt.FactWorld(HALF, HALF, FIRST + 1), ["FactWorld.answer", "2 numbers from 0 to 1"]),
        (lambda: gt.draw_world(rng_of(0), 5, 1.0, 1), ["facts >= 1", "answers >= 2", "5 and 1"]),
        (lambda: gt.monofact_share([[1, 0], [0, 0]]), ["no mention"]),
        (
            lambda: gt.Statements(HALF, HALF, HALF, HALF, HALF > 0),
            ["Statements.probability", "sums to 0.5", "expected 1"],
        ),
        (
            lambda: gt.coarse_truth(gt.uninformative(gt.FactWorld(HALF, HALF, FIRST), FIRST), 0),
            ["bins must be at least 1", "got 0"],
        ),
        (
            lambda: gt.simulate(gt.FactWorld(HALF, HALF, FIRST), 3, 1, rng_of(0), ["oracle"]),
            ["'oracle'", "memoriser", "uninformative"],
        ),
        (
            lambda: gt.expected_calibration_error([0.5], [1, 0]),
            ["1 confidences", "2 answers", "equally many"],
        ),
        (lambda: gt.expected_calibration_error([1.5], [1]), ["[0, 1]"]),
        (lambda: gt.expected_calibration_error([np.nan], [1]), ["[0, 1]"]),
        (lambda: gt.expected_calibration_error([0.5], [1], 0), ["bins=0"]),
    ],
)
def test_errors_say_what_was_found_and_expected(build: Any, parts: list[str]) -> None:
    with pytest.raises(TheoryError) as caught:
        build()
    assert all(part in str(caught.value) for part in parts), str(caught.value)

import numpy as np
import pytest
import torch

from theory.attention import score_gradient
from theory.theorems.gradient import PROBES, THEOREMS
from theory.theorems.instances import BLOCK, Tally, blocks, derivative, score_slopes
from theory.thresholds import threshold

BY_ID = {theorem.id: theorem for theorem in THEOREMS}
VARIANTS = [(theorem, variant) for theorem in THEOREMS for variant in theorem.perturbations]
EXAMPLES = [(theorem.id, example) for theorem in THEOREMS for example in theorem.counterexamples]


def test_the_file_holds_t1_to_t3():
    assert list(BY_ID) == ["T1", "T2", "T3"]
    assert {theorem.status for theorem in THEOREMS} == {"proved"}
    assert all(len(theorem.perturbations) >= 2 for theorem in THEOREMS)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_it_holds_on_every_seed(theorem):
    for seed in range(6):
        found = theorem.check(2000, seed)
        assert found.holds
        assert found.instances == 2000
        assert found.worst_error < 1e-11


@pytest.mark.parametrize(("theorem", "variant"), VARIANTS, ids=lambda x: getattr(x, "id", x))
def test_its_check_catches_every_false_variant(theorem, variant):
    for seed in range(4):
        found = theorem.check(2000, seed, **theorem.perturbations[variant])
        assert not found.holds
        assert found.violations >= 30


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=lambda x: getattr(x, "drops", x))
def test_it_breaks_without_the_assumption(name, example):
    found = example.build()
    assert found["breaks"] is True, name
    assert len(found) > 2 or name == "T1"


def test_the_sign_alone_catches_a_shifted_threshold():
    """With noise the identity is not compared, so violations here are signs of finite steps."""

    def shifted(alpha, v_r, y, background):
        return threshold(alpha, v_r, y, background) + 0.5

    right, wrong = (BY_ID["T2"].check(4000, 3, noise=1e-9, formula=f) for f in (threshold, shifted))
    assert right.violations == 0
    assert wrong.violations > 100
    assert wrong.worst_error == 0.0


def test_t2_meets_facts_below_their_threshold():
    note = BY_ID["T2"].check(4000, 0).note
    assert int(note.split()[0]) > 200


def test_t3_needs_both_k_and_every_fact():
    """The identity survives the dropped assumptions of the sign; what breaks is the sign."""
    for variant in ("k >= 0 dropped", "one fact above its threshold"):
        found = BY_ID["T3"].check(2000, 1, **BY_ID["T3"].perturbations[variant])
        assert 0 < found.violations <= 1000
        assert found.worst_error < 1e-11


def test_checks_are_seeded():
    for theorem in THEOREMS:
        variant = {"formula": lambda *instance, f=theorem.formula: 1.01 * f(*instance)}
        first, second, other = (theorem.check(600, seed, **variant).worst_error for seed in (5, 5, 6))
        assert first == second != other


def test_small_and_odd_sizes():
    for n in (1, 7):
        assert BY_ID["T1"].check(n).instances == n
        assert BY_ID["T2"].check(n).instances == n
        assert BY_ID["T3"].check(n).instances == PROBES


def test_complex_step_agrees_with_autograd_to_rounding():
    rng = np.random.default_rng(0)
    scores, values, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3, 5)), rng.integers(5, size=20)
    s = torch.tensor(scores, requires_grad=True)
    z = torch.einsum("bl,bla->ba", torch.softmax(s, -1), torch.tensor(values))
    torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="sum").backward()
    np.testing.assert_allclose(score_slopes(scores, values, y), s.grad.numpy(), atol=1e-15)
    linear = score_slopes(scores, values, y, attention="linear")
    np.testing.assert_allclose(linear, score_gradient(scores, values, y, attention="linear"), atol=1e-14)
    np.testing.assert_allclose(derivative(lambda x: x**3, [2.0, -1.0]), [12.0, 3.0], atol=1e-15)


def test_blocks_deal_out_everything_in_bounded_pieces():
    dealt = list(blocks(2 * BLOCK + 5, 3))
    assert sum(count for _, count in dealt) == 2 * BLOCK + 5
    assert max(count for _, count in dealt) <= BLOCK
    assert {kind for kind, _ in dealt} == {0, 1, 2}
    assert list(blocks(7, 2, 3)) == [(0, 3), (0, 1), (1, 3)]


def test_tally_counts_ties_apart_and_nan_as_a_violation():
    tally = Tally()
    agrees = tally.close([1.0, np.nan, 3.0, 4.0], [1.0, 2.0, 3.0 + 1e-12, 9.0], 1e-9)
    assert agrees.tolist() == [True, False, True, False]
    tally.add(agrees, np.array([False, False, False, True]))
    outcome = tally.outcome("words")
    assert (outcome.instances, outcome.violations, outcome.worst_error) == (3, 1, np.inf)
    assert outcome.note == "words; 1 ties left out"

"""The linear probe against a general optimiser, its AUROC against counting pairs."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import mannwhitneyu

from realmodels.attend_probe import cross_scores, placements
from theory.probe import RIDGE, fit_probe


def statements(n, width, gap, seed=0):
    rng = np.random.default_rng(seed)
    right, wrong = rng.normal(size=(2, n, width))
    right[:, 0] += gap
    return right, wrong


@pytest.mark.parametrize(("n", "width"), [(30, 5), (12, 40)])
def test_the_fit_is_the_minimum(n, width):
    right, wrong = statements(n, width, 1.0)
    features, labels = np.concatenate([right, wrong]), np.repeat([1.0, 0.0], n)
    probe = fit_probe(features, labels)
    scaled = (features - probe.centre) / probe.spread

    def cost(v):
        odds = scaled @ v[:-1] + v[-1]
        ridge = RIDGE / 2 * v[:-1] @ v[:-1] + 1e-3 / 2 * v[-1] ** 2
        return np.logaddexp(0, odds).sum() - labels @ odds + ridge

    wanted = minimize(cost, np.zeros(width + 1), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose([*probe.weight, probe.offset], wanted.x, atol=1e-5)
    np.testing.assert_allclose(probe.logit(features), scaled @ wanted.x[:-1] + wanted.x[-1], atol=1e-4)


def by_pairs(right, wrong):
    return np.mean([[(a > b) + 0.5 * (a == b) for b in wrong] for a in right])


@pytest.mark.parametrize("ties", [False, True])
def test_the_auroc_is_the_share_of_pairs_in_order(ties):
    rng = np.random.default_rng(1)
    scores = rng.normal([0.5, 0.0], size=(25, 2))
    scores = np.round(scores) if ties else scores
    found = placements(scores, np.zeros(25)).mean()
    assert found == pytest.approx(by_pairs(*scores.T))
    assert found == pytest.approx(mannwhitneyu(scores[:, 0], scores[:, 1]).statistic / 25**2)


def test_folds_are_compared_within_themselves():
    scores = np.array([[2.0, 1.0], [3.0, 2.5], [-9.0, -8.0], [np.nan, np.nan]])
    found = placements(scores, [0, 0, 1, 1])
    first = by_pairs([2.0, 3.0], [1.0, 2.5])
    assert found[:2].mean() == pytest.approx(first)
    assert found[2] == 0.0
    assert np.isnan(found[3])
    assert np.nanmean(found) == pytest.approx((2 * first + 0.0) / 3)


def test_the_spread_of_placements_is_that_of_the_auroc():
    rng = np.random.default_rng(2)
    drawn, said = [], []
    for _ in range(400):
        scores = rng.normal([0.8, 0.0], size=(60, 2))
        own = placements(scores, np.zeros(60))
        drawn.append(own.mean())
        said.append(own.std(ddof=1) / np.sqrt(60))
    assert np.mean(said) == pytest.approx(np.std(drawn), rel=0.15)


def test_scores_are_of_folds_that_were_not_fitted_on():
    right, wrong = statements(60, 3, 0.0)
    fold = np.arange(60) % 4
    right[:, 2], wrong[:, 2] = (
        fold == 0,
        fold != 0,
    )  # tells right from wrong in fold 0, the contrary elsewhere
    scores = cross_scores(right, wrong, fold)
    own = fold == 0
    assert placements(scores[own], fold[own]).mean() < 0.3
    rest = np.concatenate([right[~own], wrong[~own]])
    probe = fit_probe(rest, np.repeat([1.0, 0.0], (~own).sum()))
    np.testing.assert_allclose(scores[own, 0], probe.logit(right[own]))


def test_a_gap_is_found_and_one_fold_alone_gives_no_scores():
    right, wrong = statements(80, 10, 2.0)
    scores = cross_scores(right, wrong, np.arange(80) % 5)
    assert placements(scores, np.arange(80) % 5).mean() > 0.85
    assert np.isnan(cross_scores(right, wrong, np.zeros(80))).all()


def test_answers_that_are_as_often_wrong_as_right_in_every_fold_tell_nothing():
    n, fold = 40, np.repeat(np.arange(4), 10)
    answer = np.tile(np.arange(5), 8)
    wrong = np.concatenate([np.roll(answer[fold == k], 1) for k in range(4)])
    scores = cross_scores(np.eye(5)[answer], np.eye(5)[wrong], fold)
    np.testing.assert_allclose(placements(scores, fold).mean(), 0.5, atol=1e-9)
    assert len(scores) == n

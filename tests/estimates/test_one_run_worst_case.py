"""One-run bounds against the worst mechanism there is, found by linear programming."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from audit.estimates.coin_audit import audit_coins
from audit.estimates.guessing import correct_guesses, fitted_log_odds, most_confident
from audit.estimates.one_run import one_run_p_value
from audit.estimates.one_run_fdp import certified_mu, fdp_p_value, refuted
from audit.estimates.tradeoff import curve_profile, dp_profile, gaussian_profile
from tests.reference import naive_one_run as naive

MECHANISMS = [
    (3, 3, 3, [(1.0, 0.0)], 0.5),
    (3, 2, 2, [(1.0, 0.05)], 0.5),
    (3, 2, 2, [(0.0, 0.1)], 0.5),
    (3, 2, 2, [(1.0, 0.05)], 0.7),
    (3, 3, 2, [(0.5, 0.02)], 0.7),
    (3, 3, 3, [(0.3, 0.1), (1.0, 0.02)], 0.5),
    (3, 3, 3, [(0.3, 0.1), (1.0, 0.02)], 0.7),
    (2, 1, 1, [(2.0, 0.01)], 0.9),
]


@pytest.mark.parametrize(("m", "g", "c", "guarantees", "p"), MECHANISMS)
def test_no_mechanism_beats_the_p_values(m, g, c, guarantees, p):
    """Over all mechanisms on m coins that keep the guarantees, however their guesses depend."""
    worst = naive.worst_mechanism(m, g, c, guarantees, p)
    epsilon, delta = (np.array(column) for column in zip(*guarantees, strict=True))
    curve = fdp_p_value(curve_profile(epsilon, delta), coins=m, guesses=g, correct=c, p=p)
    assert worst <= curve + 1e-6
    if len(guarantees) == 1:
        bare = fdp_p_value(dp_profile(*guarantees[0]), coins=m, guesses=g, correct=c, p=p)
        assert worst <= bare + 1e-6
        # The bare guarantee knows more of its curve than one point, interpolated.
        assert bare <= curve + 1e-3
        assert bare < 1 or worst > 0.7
        printed = [
            one_run_p_value(
                coins=m,
                guesses=g,
                correct=c,
                epsilon=guarantees[0][0],
                delta=guarantees[0][1],
                p=p,
                guesses_in=inside,
            )
            for inside in range(g + 1)
        ]
        assert worst <= max(printed) + 1e-6


def test_a_wrong_bound_is_beaten_by_some_mechanism():
    """Planted: the tail of a binomial alone, without the part of δ."""
    m, g, c, epsilon, delta = 3, 3, 3, 0.2, 0.2
    worst = naive.worst_mechanism(m, g, c, [(epsilon, delta)], 0.5)
    assert worst > stats.binom.sf(c - 1, g, 1 / (1 + math.exp(-epsilon))) + 0.05
    assert worst <= fdp_p_value(dp_profile(epsilon, delta), coins=m, guesses=g, correct=c) + 1e-6


def test_a_curve_that_starts_above_zero_claims_nothing_below():
    """A point at ε = 2 says next to nothing about telling in from out at all."""
    alone = curve_profile(np.array([2.0]), np.array([1e-6]))
    slopes = np.exp(np.linspace(-6, 6, 121))
    assert (alone(slopes) >= dp_profile(2.0, 1e-6)(slopes) - 1e-12).all()
    # Randomized response at ε = 2 gets 88 % right, and keeps that curve.
    assert not refuted(alone, coins=1000, guesses=1000, correct=881, level=0.05)


@pytest.mark.parametrize(("m", "r", "v"), [(100, 20, 17), (50, 50, 30), (30, 1, 1), (30, 5, 0)])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-3), (3.0, 0.05)])
def test_the_one_run_p_value_is_the_printed_algorithm(m, r, v, epsilon, delta):
    found = one_run_p_value(coins=m, guesses=r, correct=v, epsilon=epsilon, delta=delta)
    assert found == pytest.approx(naive.steinke_p_value(m, r, v, epsilon, delta), abs=1e-12)


def test_the_part_of_delta_covers_every_share_of_in_guesses():
    """p ≠ ½: what the published term would add for any number of "in" guesses is covered."""
    counts = {"coins": 300, "guesses": 40, "correct": 35, "epsilon": 0.5, "p": 0.7}
    for inside in range(0, 41, 5):
        with_delta = one_run_p_value(**counts, delta=1e-4, guesses_in=inside)
        without = one_run_p_value(**counts, delta=0.0, guesses_in=inside)
        q_in, q_out = (1 / (1 + math.exp(-(0.5 + s * math.log(0.7 / 0.3)))) for s in (1, -1))
        law = np.convolve(
            stats.binom.pmf(np.arange(inside + 1), inside, q_in),
            stats.binom.pmf(np.arange(41 - inside), 40 - inside, q_out),
        )
        assert with_delta - without >= 2 * 300 * 1e-4 * law.max() - 1e-12


@pytest.mark.parametrize(("m", "g"), [(40, 40), (500, 100), (3000, 60)])
def test_the_certified_mu_is_that_of_the_closed_form(m, g):
    for c in (g // 2, int(0.7 * g), int(0.9 * g), g):
        mu = certified_mu(coins=m, guesses=g, correct=c, level=0.05)
        assert mu == 0 or naive.fdp_rejects_gaussian(m, g, c, 0.999 * mu, 0.05)
        assert not naive.fdp_rejects_gaussian(m, g, c, 1.001 * mu + 1e-4, 0.05)
        assert mu == certified_mu(coins=m, guesses=g, correct=c, level=0.05, at_least=0.0)
        assert certified_mu(coins=m, guesses=g, correct=c, level=0.05, at_least=9.0) == 9


def test_the_prior_alone_is_no_evidence():
    """Guessing "in" about everything is right p of the time, and certifies nothing."""
    for p in (0.7, 0.9):
        counts = {"coins": 5000, "guesses": 5000, "correct": int(p * 5000), "level": 0.05}
        assert certified_mu(**counts, p=p) == 0
        # Planted: forgetting the prior would certify something.
        assert certified_mu(**counts, p=0.5) > 0.3


def test_the_p_value_is_the_smallest_level_that_refutes():
    profile = gaussian_profile(0.2)
    counts = {"coins": 1000, "guesses": 200, "correct": 150}
    p = fdp_p_value(profile, **counts)
    assert refuted(profile, **counts, level=p)
    assert not refuted(profile, **counts, level=0.99 * p)
    assert fdp_p_value(profile, coins=1000, guesses=200, correct=100) == 1


def test_few_models_are_drawn_towards_all_canaries():
    """Sixteen models, the same effect everywhere: the fit comes close to the true ratio."""
    rng = np.random.default_rng(2)
    coins = rng.random((16, 4000)) < 0.5
    x = 3 * (coins + rng.normal(size=coins.shape)) + 5
    truth = x / 3 - 5 / 3 - 0.5
    found = fitted_log_odds(x, coins, x, p=0.5)
    assert np.nanmedian(np.abs(found - truth)) < 0.35


def test_different_canaries_keep_their_differences():
    rng = np.random.default_rng(3)
    coins = rng.random((2000, 50)) < 0.7
    effect = rng.normal(0, 2, 50)
    x = coins * effect + rng.normal(size=coins.shape)
    truth = effect * (x - effect / 2) + math.log(0.7 / 0.3)
    found = fitted_log_odds(x, coins, x, p=0.7)
    assert np.median(np.abs(found - truth)) < 0.15


def test_a_half_is_guessed_from_the_other_alone():
    """Turning the coins of the odd models around must not move the guesses about them."""
    rng = np.random.default_rng(6)
    coins = rng.random((32, 100)) < 0.5
    x = coins + rng.normal(size=coins.shape)
    turned = coins.copy()
    turned[::2] = ~turned[::2]
    right, wrong = (
        next(
            row
            for row in audit_coins(c, p=0.5, delta=0.0, statistic=x).rows
            if row.score == "fitted, odd models"
        )
        for c in (coins, turned)
    )
    assert right.correct + wrong.correct == right.guesses


def test_nothing_tested_is_neither_refuted_nor_not():
    coins = np.random.default_rng(7).random((1, 30)) < 0.5
    none = audit_coins(coins, p=0.5, delta=1e-3, statistic=np.ones((1, 30)), claim=(1.0, 1e-3))
    assert none.refutes_epsilon_delta is None
    both = np.where(coins, np.nan, 1.0)
    found = audit_coins(coins, p=0.5, delta=1e-3, statistic=both, llr=both)
    assert found.undefined == coins.sum()


@pytest.mark.parametrize("p", [0.5, 0.7])
def test_leakage_all_at_once_or_not_at_all_is_accused_as_rarely(p):
    """With probability δ every bit is printed, else randomized response at ε."""
    rng = np.random.default_rng(9)
    epsilon, delta, trials, m, g = 1.0, 0.04, 2000, 400, 80
    correct = np.empty(trials, dtype=np.int64)
    for t in range(trials):
        coins = rng.random(m) < p
        truth = rng.random(m) < 1 / (1 + np.exp(-epsilon))
        llr = np.where(coins == truth, epsilon, -epsilon) * np.where(coins, 1, -1)
        if rng.random() < delta:
            llr = np.where(coins, 9.0, -9.0)
        log_odds = (llr + math.log(p / (1 - p)))[None]
        chosen = most_confident(log_odds, g)
        correct[t] = correct_guesses(log_odds, coins[None], chosen)
    accused = sum(
        int(n)
        for c, n in zip(*np.unique(correct, return_counts=True), strict=True)
        if refuted(dp_profile(epsilon, delta), coins=m, guesses=g, correct=int(c), level=0.05, p=p)
    )
    assert accused <= (0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)) * trials

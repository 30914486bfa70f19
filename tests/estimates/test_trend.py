"""Meta-regression against frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from audit.errors import BadInput
from audit.estimates.trend import meta_regression, paule_mandel, trend
from tests.reference import naive_trend as naive


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 12), st.floats(0, 0.3), st.integers(0, 2**32 - 1))
def test_equals_the_naive_regression(groups, tau, seed):
    rng = np.random.default_rng(seed)
    x, s = rng.normal(size=groups), rng.uniform(0.02, 0.2, groups)
    y = 0.1 * x + rng.normal(0, np.sqrt(tau**2 + s**2))
    design = np.stack([np.ones(groups), x], axis=1)
    beta, errors, tau_found = meta_regression(y, s**2, design)
    slope, error, tau_squared = naive.meta_regression(y.tolist(), s.tolist(), x.tolist())
    assert beta[1] == pytest.approx(slope, abs=1e-3 * (1 + abs(slope)))
    assert errors[1] == pytest.approx(error, rel=2e-3)
    assert tau_found**2 == pytest.approx(tau_squared, rel=2e-3, abs=1e-7)


def test_without_covariate_it_is_statsmodels_paule_mandel_and_knapp_hartung():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 0.05, 12)
    y = rng.normal(0, np.sqrt(variance + 0.04))
    result: Any = combine_effects(y, variance, method_re="iterated", atol=1e-10, use_t=True)
    assert paule_mandel(y, variance, np.ones((12, 1))) == pytest.approx(result.tau2, rel=1e-5)
    beta, errors, _ = meta_regression(y, variance, np.ones((12, 1)))
    assert beta[0] == pytest.approx(result.mean_effect_re)
    assert errors[0] == pytest.approx(result.sd_eff_w_re_hksj, rel=1e-5)


def rare_first(rng, groups, tau, slope=0.0):
    n_train = np.round(10 * 2 ** rng.uniform(0, 6, groups)).astype(np.int64)
    error = rng.uniform(0.1, 0.2, groups) / np.sqrt(n_train / 10)
    outcome = 0.1 + slope * np.log2(n_train) + rng.normal(0, np.sqrt(error**2 + tau**2))
    return outcome, error, n_train


@pytest.mark.parametrize("tau", [0.0, 0.1])
def test_false_alarms_of_the_trend_are_nominal_and_of_weighted_least_squares_not(tau):
    rng = np.random.default_rng(1)
    trials, alarms, by_weights = 500, 0, 0
    for _ in range(trials):
        outcome, error, n_train = rare_first(rng, 10, tau)
        alarms += trend(outcome, error, n_train).verdict == "shown"
        x = np.log2(n_train) - np.average(np.log2(n_train), weights=error**-2)
        slope = (x * outcome / error**2).sum() / (x**2 / error**2).sum()
        by_weights += abs(slope) * np.sqrt((x**2 / error**2).sum()) > 1.96
    assert alarms / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    if tau:
        assert by_weights / trials > 0.1


def test_slope_is_per_doubling_and_negative_when_the_rare_lose():
    n_train = 10 * 2 ** np.arange(9)
    outcome = 0.4 - 0.03 * np.log2(n_train) + np.tile([0.001, -0.001, 0.0], 3)
    result = trend(outcome, np.full(9, 0.01), n_train)
    assert result.slope.value == pytest.approx(-0.03, abs=1e-3)
    assert result.slope.high < 0
    assert result.verdict == "shown"
    assert (result.n_groups, result.slope.n) == (9, 9)


def test_equivalence_needs_a_margin_and_noise_is_inconclusive():
    n_train = 10 * 2 ** np.arange(9)
    flat = np.tile([0.1, 0.102, 0.101], 3)
    small, large = np.full(9, 0.002), np.full(9, 0.5)
    assert trend(flat, small, n_train).verdict == "inconclusive"
    assert trend(flat, small, n_train, margin=0.01).verdict == "equivalent"
    noisy = flat + np.array([1, -1, 1, -1, 0, 1, -1, 1, -1])
    assert trend(noisy, large, n_train, margin=0.01).verdict == "inconclusive"


def test_few_and_undefined_groups():
    n_train = np.array([10, 20, 40, 80, 160, 0, 320])
    outcome = np.array([0.3, 0.25, 0.2, 0.15, 0.1, 0.5, np.nan])
    error = np.array([0.01] * 6 + [np.nan])
    result = trend(outcome, error, n_train)
    assert result.verdict == "too_few_groups"
    assert (result.n_groups, result.n_given) == (5, 7)
    assert result.slope.value == pytest.approx(-0.05)
    # Outcomes exactly on a line are no proof of no noise.
    assert result.slope.high - result.slope.low > 0.01
    two = trend(outcome[:2], error[:2], n_train[:2])
    assert np.isnan(two.slope.value)
    assert two.verdict == "too_few_groups"
    same = trend(np.full(9, 0.1), np.full(9, 0.01), np.full(9, 30))
    assert np.isnan(same.slope.value)
    with pytest.raises(BadInput, match="standard_error"):
        trend(outcome, error * 0, n_train)


def test_difficulty_takes_over_what_frequency_only_carries():
    rng = np.random.default_rng(2)
    n_train = np.round(10 * 2 ** rng.uniform(0, 6, 30)).astype(np.int64)
    difficulty = 1 - 0.1 * np.log2(n_train) + rng.normal(0, 0.1, 30)
    error = np.full(30, 0.02)
    outcome = 0.3 * difficulty + rng.normal(0, error)
    alone = trend(outcome, error, n_train)
    both = trend(outcome, error, n_train, difficulty=difficulty)
    assert alone.verdict == "shown"
    assert both.difficulty_slope is not None
    assert both.difficulty_slope.value == pytest.approx(0.3, abs=0.1)
    assert abs(both.slope.value) < abs(alone.slope.value) / 2
    few = slice(0, 11)
    assert trend(
        outcome[few], error[few], n_train[few], difficulty=difficulty[few]
    ).difficulty_slope is None  # fmt: skip


def test_level_and_slope_give_the_fitted_line():
    rng = np.random.default_rng(7)
    outcome, error, n_train = rare_first(rng, 12, 0.1, slope=-0.03)
    result = trend(outcome, error, n_train)
    x = np.log2(n_train)
    design = np.stack([np.ones(12), x], axis=1)
    (intercept, slope), _, tau = meta_regression(outcome, error**2, design)
    assert result.slope.value == pytest.approx(slope)
    assert result.centre == pytest.approx(np.average(x, weights=1 / (error**2 + tau**2)))
    assert result.level.value == pytest.approx(intercept + slope * result.centre)
    assert result.level.low < result.level.value < result.level.high

"""Accuracy, loss, memorization and multiplicity by subgroup; the crossed interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from audit.errors import BadInput
from audit.estimates.crossed import crossed_means, rest_contrasts
from audit.estimates.memorization import memorization
from audit.estimates.subgroups import (
    frequency_bins,
    multiplicity,
    subgroup_accuracy,
    subgroup_loss,
    subgroup_mean_memorization,
)
from tests.reference import naive_crossed as naive


def paired_runs(rng, models, codes, loss, spread=0.05):
    """Two arms with shared examples' difficulty, each with its own models' luck."""
    difficulty = rng.beta(3, 1, codes.size) * 0.9
    arms = []
    for shift in (0.0, loss):
        luck = rng.normal(0, spread, (models, 1))
        p = np.clip(difficulty - shift + luck, 0, 1)
        arms.append(rng.random((models, codes.size)) < p)
    return arms


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 7), st.integers(0, 2**32 - 1))
def test_crossed_interval_is_the_naive_formula(models, seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 2], [5, 8])
    cells = rng.integers(-1, 2, (models, 13)).astype(np.int8)
    result = crossed_means(cells, codes, 3, limits=(-1e9, 1e9))
    for group in (0, 2):
        mean, low, high = naive.crossed_interval(cells[:, codes == group])
        if low < high:
            assert result.mean[group] == pytest.approx(mean)
            assert (result.low[group], result.high[group]) == pytest.approx((low, high), rel=1e-6)
    assert np.isnan([result.mean[1], result.low[1], result.p_values()[1]]).all()
    assert result.n.tolist() == [5, 0, 8]
    contrast = rest_contrasts(cells, codes, 3, limits=(-1.0, 1.0))
    mean, variance = naive.crossed_contrast_variance(cells, codes == 0)
    assert contrast.mean[0] == pytest.approx(mean)
    assert contrast.standard_error[0] ** 2 == pytest.approx(variance, rel=1e-6)
    assert contrast.mean[2] == pytest.approx(-mean)
    assert np.isnan(contrast.mean[1])


def test_limits_do_not_explode_where_the_subtracted_term_is_large():
    """Satterthwaite's formula gives 0.05 degrees here, and limits of ± 10²⁵."""
    rng = np.random.default_rng(113)
    cells = rng.integers(-1, 2, (3, 13)).astype(np.int8)
    result = crossed_means(cells, np.repeat([0, 2], [5, 8]), 3, limits=(-1e9, 1e9))
    assert result.degrees[2] == 2
    assert result.high[2] - result.low[2] < 10


def test_loss_covers_for_new_models_and_new_examples_and_pooling_does_not():
    rng = np.random.default_rng(0)
    trials, models, covered, pooled, false_alarms = 300, 15, np.zeros(2), 0, 0
    codes = np.repeat([0, 1], [12, 60])
    for _ in range(trials):
        first, second = paired_runs(rng, models, codes, 0.0)
        result = subgroup_loss(first, second, codes, 2)
        covered += (result.low <= 0) & (result.high >= 0)
        false_alarms += bool((result.p_adjusted <= 0.05).any())
        difference = first[:, 12:].astype(float) - second[:, 12:]
        pooled += abs(difference.mean()) <= 1.96 * difference.std() / np.sqrt(difference.size)
    slack = 3 * np.sqrt(0.95 * 0.05 / trials)
    # The published coverage of this interval is 92–96 %.
    assert (covered / trials >= 0.92 - slack).all()
    assert false_alarms / trials <= 0.08 + slack
    assert pooled / trials < 0.9


def test_loss_is_paired_signed_and_adjusted():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(3), 40)
    first, _ = paired_runs(rng, 30, codes, 0.0)
    worse = first & (rng.random(first.shape) < np.where(codes == 1, 0.6, 1.0))
    result = subgroup_loss(first, worse, codes, 3)
    assert result.mean[1] == pytest.approx(
        first[:, codes == 1].mean() - worse[:, codes == 1].mean()
    )
    assert result.p_adjusted[1] < 1e-6
    assert result.low[1] > 0
    assert result.mean[0] == 0
    assert result.low[0] < 0 < result.high[0]
    assert (result.p_adjusted >= result.p_value).all()


def test_small_unanimous_single_and_absent_groups():
    codes = np.array([0] * 5 + [1] + [3] * 10)
    correct = np.ones((40, 16), dtype=bool)
    result = subgroup_accuracy(correct, codes, 4)
    wilson = proportion_confint(5, 5, method="wilson")
    assert (result.low[0], result.high[0]) == pytest.approx(wilson)
    assert result.mean[1] == 1
    assert np.isnan(result.low[1])
    assert np.isnan(result.mean[2])
    assert result.low[3] > result.low[0]
    one = subgroup_accuracy(correct[:1] & (codes != 1), codes, 4)
    assert (one.low[0], one.high[0]) == pytest.approx(wilson)
    assert (one.mean[1], one.low[1]) == (0, 0)
    assert np.isnan(one.high[2])
    loss = subgroup_loss(correct[:1], correct[:1], codes, 4)
    assert np.isnan(loss.low).all()
    assert np.isnan(loss.p_adjusted).all()


def test_memorization_of_subgroups_covers_and_is_never_a_point():
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 2], [20, 60])
    p_out = np.where(codes == 0, 0.5, 0.8)
    trials, covered = 200, 0

    def draw():
        membership = rng.random((40, 80)) < 0.7
        return membership, rng.random((40, 80)) < np.where(membership, 0.9, p_out)

    for _ in range(trials):
        membership, correct = draw()
        result = subgroup_mean_memorization(membership, correct, codes, 3)
        covered += (result.low[0] <= 0.4 <= result.high[0]) & (
            result.low[2] <= 0.1 <= result.high[2]
        )
    assert covered / trials >= 0.9 - 3 * np.sqrt(0.9 * 0.1 / trials)
    membership, correct = draw()
    result = subgroup_mean_memorization(membership, correct, codes, 3)
    assert np.isnan(result.mean[1])
    assert result.n.tolist() == [20, 0, 60]
    each = memorization(membership, correct).mem
    assert result.mean[0] == pytest.approx(np.nanmean(each[codes == 0]))
    flat = subgroup_mean_memorization(membership, np.ones_like(correct), codes, 3)
    assert flat.mean[0] == 0
    assert flat.low[0] < 0 < flat.high[0]
    assert flat.standard_error[0] > 0


def test_multiplicity_by_hand():
    correct = np.array([[True, True, False, False], [True, False, False, True]])
    result = multiplicity(correct, np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(result, [0.5 / 3, 0.5, np.nan])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**9), st.data())
def test_frequency_bins_are_exact_powers_of_two(n, data):
    count = data.draw(st.integers(1, n))
    result = frequency_bins(np.array([count, 0]), n)
    assert result.names[0] == "0"
    low, high = (1 / int(part.split("/")[1]) for part in result.names[1].split("–"))
    assert low < count / n <= high
    assert high == 2 * low
    assert result.codes.tolist() == [1, 0]


def test_frequency_bins_from_rare_to_frequent():
    result = frequency_bins(np.array([64, 1, 32, 2, 33]), 64)
    assert result.names == ("1/128–1/64", "1/64–1/32", "1/4–1/2", "1/2–1/1")
    assert result.codes.tolist() == [3, 0, 2, 1, 3]
    with pytest.raises(BadInput, match="counts"):
        frequency_bins(np.array([65]), 64)


def test_refuses_codes_without_a_subgroup():
    with pytest.raises(BadInput, match="not recorded"):
        multiplicity(np.ones((2, 2), dtype=bool), np.array([0, -1]), 2)
    with pytest.raises(BadInput, match="codes = 2"):
        subgroup_accuracy(np.ones((2, 2), dtype=bool), np.array([0, 2]), 2)

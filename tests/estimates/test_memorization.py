"""Memorization, its averages, accuracies and the generalization gap."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from audit.errors import BadInput
from audit.estimates.accuracy import (
    accuracy,
    accuracy_excluded,
    accuracy_included,
    generalization_gap,
    paired_loss,
)
from audit.estimates.intervals import newcombe, wilson
from audit.estimates.memorization import (
    jackknife_means,
    mean_memorization,
    mem_max,
    memorization,
    memorization_from_counts,
    share_above,
)
from tests.reference import naive_memorization as naive

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "estimates.json").read_text())


def runs(rng, models, p_in, p_out, p: float | np.ndarray = 0.7):
    membership = rng.random((models, p_in.size)) < p
    correct = rng.random((models, p_in.size)) < np.where(membership, p_in, p_out)
    return membership, correct


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_equals_the_naive_oracle(models, n, seed):
    rng = np.random.default_rng(seed)
    membership, correct = rng.random((2, models, n)) < 0.6
    result = memorization(membership, correct)
    np.testing.assert_allclose(result.mem, naive.memorization(membership, correct), atol=1e-12)
    assert result.n_undefined == np.isnan(result.mem).sum()
    assert (result.n_in + result.n_out == models).all()
    again = memorization_from_counts(
        result.n_in, result.n_out, result.correct_in, result.correct_out
    )
    np.testing.assert_array_equal(again.low, result.low)


def test_an_example_that_every_model_has_seen_is_nan_with_its_counts():
    membership = np.array([[True, True, False], [True, False, False], [True, True, False]])
    result = memorization(membership, membership)
    assert np.isnan(result.mem[[0, 2]]).all()
    assert np.isnan(result.low[[0, 2]]).all()
    assert (result.n_in[0], result.n_out[0], result.n_out[2]) == (3, 0, 3)
    assert result.mem[1] == 1
    assert result.n_undefined == 2
    one_model = mean_memorization(membership[:1], membership[:1])
    assert np.isnan(one_model.value)
    assert one_model.n == 1


def test_negative_memorization_is_not_clipped():
    membership = np.array([[True], [False]])
    assert memorization(membership, ~membership).mem[0] == -1


def test_refuses_impossible_counts_and_empty_input():
    ones = np.array([1, 1])
    with pytest.raises(BadInput, match=r"correct_in\[1\] = 2: must lie between 0 and the 1 models"):
        memorization_from_counts(ones, ones, np.array([1, 2]), ones)
    with pytest.raises(BadInput, match="confidence"):
        memorization_from_counts(ones, ones, ones, ones, confidence=95.0)
    with pytest.raises(BadInput, match="needs a model"):
        memorization(np.zeros((0, 3), dtype=bool), np.zeros((0, 3), dtype=bool))


@pytest.mark.parametrize(("a", "big_a", "b", "big_b"), [(7, 9, 1, 5), (0, 4, 4, 4), (60, 60, 0, 3)])
def test_intervals_are_those_of_statsmodels(a, big_a, b, big_b):
    counts = [np.array([v]) for v in (a, big_a, b, big_b)]
    low, high = newcombe(*counts)
    expected = confint_proportions_2indep(a, big_a, b, big_b, method="newcomb")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-9)
    low, high = wilson(counts[0], counts[1])
    expected = proportion_confint(a, big_a, method="wilson")
    np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-9)


@pytest.mark.parametrize(("models", "published"), GOLDEN["worst_case_standard_error"]["cases"])
def test_published_worst_case_standard_errors(models, published):
    assert np.sqrt(0.25 / (0.7 * models) + 0.25 / (0.3 * models)) == pytest.approx(
        published, abs=6e-4
    )


def test_jackknife_equals_leaving_each_model_out():
    rng = np.random.default_rng(1)
    membership, correct = runs(rng, 16, rng.random(30), rng.random(30), p=0.5)
    twice = np.minimum(membership.sum(axis=0), (~membership).sum(axis=0)) >= 2
    membership, correct = membership[:, twice], correct[:, twice]
    mean, error = jackknife_means(membership, correct, np.zeros(twice.sum(), dtype=np.int64), 1)
    assert mean[0] == pytest.approx(np.mean(naive.memorization(membership, correct)))
    assert error[0] == pytest.approx(naive.jackknife_error_of_mean(membership, correct), rel=1e-9)


def test_mean_covers_the_truth_though_models_share_luck():
    """Models differ in quality, so examples are dependent: pooling them would undercover."""
    rng = np.random.default_rng(2)
    trials, models, n = 300, 40, 120
    truth, covered, pooled = 0.1, 0, 0
    for _ in range(trials):
        luck = rng.normal(0, 0.08, (models, 1))
        p_in, p_out = np.full((1, n), 0.8), np.full((1, n), 0.7)
        membership = rng.random((models, n)) < 0.7
        # Luck changes what a model gains by training on an example.
        p = np.where(membership, p_in + luck, p_out - luck)
        estimate = mean_memorization(membership, rng.random((models, n)) < p)
        covered += estimate.low <= truth <= estimate.high
        pooled += abs(estimate.value - truth) <= 1.96 * np.sqrt(
            (0.16 / 0.7 + 0.21 / 0.3) / models / n
        )
    assert covered / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
    assert pooled / trials < 0.9


def test_mean_memorization_is_the_generalization_gap():
    rng = np.random.default_rng(3)
    p_out = rng.random(400)
    membership, correct = runs(rng, 200, np.minimum(1, p_out + 0.2), p_out)
    mean, gap = mean_memorization(membership, correct), generalization_gap(membership, correct)
    assert abs(mean.value - gap.value) < 0.01
    assert gap.value == pytest.approx(
        accuracy_included(membership, correct).value - accuracy_excluded(membership, correct).value,
        abs=1e-12,
    )


def test_share_above_covers_and_an_interval_around_the_plug_in_does_not():
    rng = np.random.default_rng(4)
    # Many examples below the threshold: noise lifts some over it, and seldom any back.
    p_out = np.concatenate([np.full(180, 0.5), rng.uniform(0, 0.5, 20)])
    p_in = np.where(p_out == 0.5, 0.5, 0.98)
    truth, trials, covered, values = float(np.mean(p_in - p_out >= 0.25)), 80, 0, []
    for _ in range(trials):
        estimate = share_above(*runs(rng, 100, p_in, p_out), 0.25)
        covered += estimate.low <= truth <= estimate.high
        values.append(estimate.value)
    assert covered / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
    # What ± 2 standard errors around the plug-in share would cover, the errors known exactly.
    around = np.abs(np.array(values) - truth) <= 2 * np.std(values)
    assert around.mean() < 0.9


def test_share_above_finds_neither_memorization_nor_its_absence_in_noise():
    rng = np.random.default_rng(5)
    trials, n, wrong = 60, 300, np.zeros(2)
    for _ in range(trials):
        none = share_above(*runs(rng, 60, np.full(n, 0.5), np.full(n, 0.5)), 0.25)
        every = share_above(*runs(rng, 60, np.full(n, 0.75), np.full(n, 0.25)), 0.25)
        assert none.value > 0
        assert every.value < 1
        wrong += none.low > 0, every.high < 1
    assert (wrong / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)).all()


def test_share_above_finds_no_memorization_in_noise_on_a_few_uneven_examples():
    """Without the deviations of what noise lifts, a fifth of these intervals exclude 0."""
    rng = np.random.default_rng(8)
    trials, n, wrong = 200, 40, 0
    for _ in range(trials):
        inclusion = np.linspace(0.05, 0.95, n)
        none = share_above(*runs(rng, 60, np.full(n, 0.5), np.full(n, 0.5), inclusion), 0.25)
        wrong += none.low > 0
    assert wrong / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


@pytest.mark.parametrize(("threshold", "truth"), [(0.45, 1), (0.55, 0)])
def test_share_above_covers_when_models_fail_as_a_whole(threshold, truth):
    """Half of the models get nothing right: the error of every mem is the same coin."""
    rng = np.random.default_rng(6)
    trials, covered = 200, 0
    for _ in range(trials):
        membership = rng.random((60, 100)) < 0.7
        correct = membership & (rng.random((60, 1)) < 0.5)
        # Every true mem is .5.
        estimate = share_above(membership, correct, threshold)
        covered += estimate.low <= truth <= estimate.high
    assert covered / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


def test_share_above_counts_ties_and_needs_two_models():
    membership = np.array([[True]] * 4 + [[False]] * 4)
    correct = np.array([[True]] * 3 + [[False]] + [[True]] * 2 + [[False]] * 2)
    assert share_above(membership, correct, 0.25).value == 1
    assert np.isnan(share_above(membership[:1], correct[:1], 0.25).value)


def test_largest_memorization_of_pure_noise_is_not_significant():
    rng = np.random.default_rng(6)
    trials, wrong = 100, 0
    for _ in range(trials):
        half = np.full(200, 0.5)
        estimate = mem_max(memorization(*runs(rng, 60, half, half)))
        assert estimate.value > 0.2
        wrong += not estimate.low <= 0 <= estimate.high
    assert wrong / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def test_all_models_right_is_not_certainty():
    membership = np.random.default_rng(7).random((50, 20)) < 0.7
    right = np.ones_like(membership)
    included = accuracy_included(membership, right)
    assert included.value == 1
    assert included.low < 0.95
    test = accuracy(right)
    assert (test.value, test.high) == (1, 1)
    assert test.low < 0.85
    assert paired_loss(right, right).low < 0 < paired_loss(right, right).high


def test_one_model_gets_wilson_and_no_loss_interval():
    correct = np.arange(20)[None] < 15
    estimate = accuracy(correct)
    low, high = proportion_confint(15, 20, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert np.isnan(paired_loss(correct, correct).low)
    assert np.isnan(accuracy(np.zeros((1, 0), dtype=bool)).value)
    assert np.isnan(accuracy(np.zeros((4, 0), dtype=bool)).value)

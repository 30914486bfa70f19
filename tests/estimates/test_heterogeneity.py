"""Do all subgroups lose equally? False alarms under relabelling, planted differences, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.oneway import anova_oneway

from audit.estimates.corrections import holm, max_statistic_p_values
from audit.estimates.crossed import pooled_errors, rest_contrasts
from audit.estimates.heterogeneity import heterogeneity, relabelled
from audit.estimates.subgroups import subgroup_loss, subgroup_mean_memorization
from audit.estimates.trend import trend
from tests.reference import naive_relabelling as naive

# As the styles of `digits`: many groups of a few test examples, some of one.
SIZES = np.array([40, 36, 30, 26, 24, 20, 18, 16, 14, 12, 11, 9, 7, 7, 5, 5, 4, 3, 2, 2, 1, 1])


def skewed_arms(rng, sizes, loss, models=20):
    """Few examples bear nearly all of the loss, as in real runs."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    mean = np.broadcast_to(np.asarray(loss), len(sizes))[codes]
    lost = rng.beta(0.4 * mean, 0.4 * (1 - mean))
    first = rng.random((models, codes.size)) < 0.98
    return first, first & (rng.random(first.shape) >= lost), codes


def two_arms(rng, sizes, loss, models=25):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    difficulty = 0.5 + 0.4 * rng.random(codes.size)
    luck = rng.normal(0, 0.03, (2, models, 1))
    first = rng.random((models, codes.size)) < difficulty + luck[0]
    second = rng.random((models, codes.size)) < difficulty - np.asarray(loss)[codes] + luck[1]
    return first, second, codes


def test_permuted_labels_raise_few_alarms_and_errors_of_each_groups_own_many():
    """One data set, labels permuted: nothing depends on them, whatever the data set is like."""
    rng = np.random.default_rng(10)
    first, second, codes = skewed_arms(rng, SIZES, 0.06)
    cells = first.astype(np.int8) - second.astype(np.int8)
    trials, n_train = 200, 3 * SIZES
    alarms = dict.fromkeys(["trend", "old trend", "disparity", "old disparity", "q"], 0)
    for _ in range(trials):
        labels = rng.permutation(codes)
        result = heterogeneity(first, second, labels, SIZES.size, rng=rng, relabellings=199)
        loss = result.loss
        alarms["disparity"] += result.verdict == "shown"
        alarms["q"] += result.q_p_value <= 0.05
        pooled = trend(loss.mean, loss.pooled_error, n_train)
        assert pooled.n_groups == SIZES.size
        alarms["trend"] += pooled.verdict == "shown"
        # Planted: the errors of the groups' own examples, which once stood in the report.
        alarms["old trend"] += trend(loss.mean, loss.standard_error, n_train).verdict == "shown"
        contrasts = rest_contrasts(cells, labels, SIZES.size, limits=(-1.0, 1.0))
        alarms["old disparity"] += bool((holm(contrasts.p_values()) <= 0.05).any())
    nominal = 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert max(alarms["trend"], alarms["disparity"], alarms["q"]) / trials <= nominal, alarms
    assert min(alarms["old trend"], alarms["old disparity"]) / trials > 2 * nominal, alarms


def test_permuted_labels_raise_few_alarms_about_memorization():
    rng = np.random.default_rng(11)
    codes = np.repeat(np.arange(SIZES.size), SIZES)
    membership = rng.random((40, codes.size)) < 0.7
    p_out = 1 - rng.beta(0.03, 0.5, codes.size)
    correct = rng.random(membership.shape) < np.where(membership, 0.99, p_out)
    trials, alarms, old = 200, 0, 0
    for _ in range(trials):
        labels = rng.permutation(codes)
        mem = subgroup_mean_memorization(membership, correct, labels, SIZES.size)
        alarms += trend(mem.mean, mem.pooled_error, SIZES).verdict == "shown"
        old += trend(mem.mean, mem.standard_error, SIZES).verdict == "shown"
    nominal = 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert alarms / trials <= nominal
    assert old / trials > 1.5 * nominal


def test_luck_of_models_with_a_group_is_no_difference_between_groups():
    """Six models, each good or bad at whole groups by chance: no relabelling can show that."""
    rng = np.random.default_rng(12)
    codes = np.repeat(np.arange(4), 300)
    trials, shown, without = 150, 0, 0
    for _ in range(trials):
        luck = rng.normal(0, 0.06, (6, 4))[:, codes]
        first = np.ones((6, codes.size), dtype=bool)
        second = rng.random(first.shape) < 0.8 + luck
        result = heterogeneity(first, second, codes, 4, rng=rng, relabellings=199)
        shown += result.verdict == "shown"
        cells = first.astype(np.int8) - second.astype(np.int8)
        null = relabelled(cells, codes, 4, draws=199, rng=rng)
        observed = np.array([naive.excess(cells.mean(axis=0), codes, g) for g in range(4)])
        without += bool((max_statistic_p_values(observed, null.z) <= 0.05).any())
    assert shown / trials <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / trials)
    assert without / trials > 0.3


def test_equals_the_naive_relabelling_and_one_way_analysis_of_variance():
    rng = np.random.default_rng(13)
    codes = np.repeat(np.arange(4), [30, 12, 5, 1])
    x = rng.random(codes.size) < np.where(codes == 1, 0.6, 0.25)
    # Models that all agree add nothing.
    first, second = np.ones((3, codes.size), dtype=bool), np.tile(~x, (3, 1))
    result = heterogeneity(first, second, codes, 4, rng=rng)
    values = x.astype(np.float64)
    expected = naive.adjusted_p_values(values, codes, 400, rng)
    np.testing.assert_allclose(result.p_adjusted, expected, atol=0.08)
    assert result.cochran_q == pytest.approx(naive.between(values, codes))
    analysis = anova_oneway([values[codes == g] for g in range(3)], use_var="equal")
    without = codes < 3
    three = heterogeneity(first[:, without], second[:, without], codes[without], 3, rng=rng)
    assert three.cochran_q / 2 == pytest.approx(analysis.statistic)
    assert three.q_p_value == pytest.approx(analysis.pvalue, abs=0.02)
    error = values.std(ddof=1) * np.sqrt(1 / 30 + 1 / 18)
    assert result.pooled_error[0] == pytest.approx(error)
    pooled = pooled_errors(x.astype(np.int8)[None].repeat(3, axis=0), codes, 4)
    assert pooled[3] == pytest.approx(np.sqrt(naive.pooled_variance(values, codes)))


def test_max_statistic_by_hand():
    null = np.array([[0.0, 1.0], [2.0, 0.0], [0.5, 0.5], [3.0, 3.0]])
    found = max_statistic_p_values(np.array([2.0, 9.0, np.nan]), np.pad(null, ((0, 0), (0, 1))))
    np.testing.assert_allclose(found, [3 / 5, 1 / 5, np.nan])


def test_the_group_that_pays_is_found():
    rng = np.random.default_rng(4)
    result = heterogeneity(*two_arms(rng, [100] * 5, [0.05, 0.05, 0.35, 0.05, 0.05]), 5, rng=rng)
    assert (result.verdict, result.worst, result.largest) == ("shown", 2, 2)
    assert result.worst_minus_rest.low > 0.2
    assert result.worst_loss.value == pytest.approx(0.35, abs=0.05)
    assert result.worst_p_adjusted == 1 / 2000
    assert result.q_p_value == 1 / 2000
    assert 0.05 < result.tau < 0.3


def test_planted_differences_are_shown_although_losses_are_skewed():
    rng = np.random.default_rng(14)
    loss = np.full(SIZES.size, 0.03)
    loss[11] = 0.5
    result = heterogeneity(*skewed_arms(rng, SIZES, loss), SIZES.size, rng=rng)
    assert (result.verdict, result.worst) == ("shown", 11)
    assert result.p_adjusted[11] <= 0.05
    rare = 0.3 - 0.05 * np.log2(SIZES)
    found = subgroup_loss(*skewed_arms(rng, 4 * SIZES, rare), SIZES.size)
    fitted = trend(found.mean, found.pooled_error, 12 * SIZES)
    assert (fitted.verdict, fitted.slope.n) == ("shown", SIZES.size)
    assert fitted.slope.high < 0


def test_the_shown_group_is_the_significant_one_and_the_largest_loss_another():
    """A single lost example is the largest loss; the group of 60 is the clear excess."""
    codes = np.repeat(np.arange(3), [600, 60, 1])
    lost = np.concatenate([np.arange(600) % 10 == 0, np.arange(60) % 3 > 0, [True]])
    second = np.tile(~lost, (5, 1))
    result = heterogeneity(np.ones_like(second), second, codes, 4, rng=np.random.default_rng(0))
    assert (result.worst, result.largest) == (1, 2)
    assert result.worst_p_adjusted <= 0.05 < result.p_adjusted[2]
    assert (result.largest_loss.value, result.largest_loss.n) == (1.0, 1)
    assert np.isnan(result.largest_loss.low)
    assert (result.n_groups, result.n_given) == (3, 4)
    assert np.isnan(result.p_adjusted[3])


def test_equivalent_inconclusive_and_too_few():
    rng = np.random.default_rng(5)
    many = two_arms(rng, [1500] * 3, [0.1] * 3, models=60)
    assert heterogeneity(*many, 3, margin=0.05, rng=rng).verdict == "equivalent"
    assert heterogeneity(*many, 4, margin=0.05, rng=rng).verdict == "equivalent"
    few = two_arms(rng, [10] * 3, [0.1] * 3)
    result = heterogeneity(*few, 3, margin=0.02, rng=rng)
    assert result.verdict == "inconclusive"
    assert result.smallest_detectable > 0.02
    # One test example has a pooled error, but no error of its own: it cannot pass as equivalent.
    single = two_arms(rng, [1500, 1500, 1], [0.1] * 3)
    assert heterogeneity(*single, 3, margin=0.9, rng=rng).verdict == "inconclusive"
    alone = heterogeneity(*two_arms(rng, [50], [0.1]), 2, rng=rng)
    assert (alone.verdict, alone.worst) == ("too_few_groups", None)
    assert np.isnan([alone.worst_loss.value, alone.q_p_value, alone.smallest_detectable]).all()


def test_equivalence_is_reached_at_the_margin_that_is_told():
    """The verdict at a margin just under and over it, whatever margin it was computed beside."""
    first, second, codes = two_arms(np.random.default_rng(3), [300, 250, 400], [0.02, 0.02, 0.02])

    def at(margin: float):
        found = heterogeneity(
            first, second, codes, 4, margin=margin, rng=np.random.default_rng(0), relabellings=199
        )
        return found.equivalent_within, found.verdict

    within = at(0.05)[0]
    assert 0 < within < 0.2
    assert at(0.99 * within) == (within, "inconclusive")
    assert at(1.01 * within) == (within, "equivalent")
    # One example has no error of its own: within no margin can it be said to lose as the rest.
    alone = np.append(codes, 3)
    first, second = (np.hstack([x, x[:, :1]]) for x in (first, second))
    found = heterogeneity(
        first, second, alone, 4, margin=0.9, rng=np.random.default_rng(0), relabellings=199
    )
    assert np.isnan(found.equivalent_within)
    assert found.verdict == "inconclusive"


def test_no_variation_is_no_evidence_and_total_separation_is():
    codes = np.repeat(np.arange(3), [20, 10, 5])
    everyone = np.ones((4, 35), dtype=bool)
    same = heterogeneity(everyone, everyone, codes, 3, rng=np.random.default_rng(0))
    assert same.verdict == "inconclusive"
    assert (same.p_adjusted == 1).all()
    assert (same.cochran_q, same.q_p_value, same.tau) == (0, 1, 0)
    assert (same.loss.pooled_error > 0).all()
    apart = heterogeneity(everyone, everyone & (codes != 1), codes, 3, rng=np.random.default_rng(0))
    assert (apart.verdict, apart.worst) == ("shown", 1)
    one = heterogeneity(everyone[:1], everyone[:1], codes, 3, rng=np.random.default_rng(0))
    assert one.verdict == "too_few_groups"


def test_the_same_generator_gives_the_same_p_values():
    arms = skewed_arms(np.random.default_rng(15), SIZES, 0.1)
    first, second = (
        heterogeneity(*arms, SIZES.size, rng=np.random.default_rng(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.p_adjusted, second.p_adjusted)

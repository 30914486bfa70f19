"""Power, computed, against simulations of the same decisions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from audit.accounting import privacy_curve
from audit.estimates.bounds import curve_bound, dp_bound, line_bound
from audit.estimates.dp_test import bound_p_values, refutation_p_values
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.epsilon_power import ideal_attack, models_for_witness, witness_epsilon
from audit.estimates.heterogeneity import heterogeneity
from audit.estimates.influence import influential_pairs
from audit.estimates.influence_power import models_for_influence, smallest_influence
from audit.estimates.power import Form, average_power, smallest_number_of_models, smallest_p_in
from audit.estimates.subgroup_power import (
    LossVariance,
    loss_variance,
    models_for_excess,
    needed_test_examples,
    smallest_excess,
    smallest_margin,
)

TRIALS = 600
# Three standard errors of a share of .8 in so many trials.
NOISE = 3 * math.sqrt(0.8 * 0.2 / TRIALS)


def counts(rng: np.random.Generator, models: int, p: float, p_in: float, p_out: float):
    n_in = rng.binomial(models, p, TRIALS)
    n_out = models - n_in
    return n_in, rng.binomial(n_in, p_in), n_out, rng.binomial(n_out, p_out)


def refuted_alone(table: tuple, level: float, bound=None) -> float:
    """Share of the examples that the test refutes at ``level``, each alone in its family."""
    rows, times = np.unique(np.stack(table, axis=1), axis=0, return_counts=True)
    decided = []
    for row in rows:
        one = tuple(np.array([x]) for x in row)
        if bound is None:
            p, _ = refutation_p_values(*one, epsilon=1.0, delta=1e-3, alpha=4 * level)
        else:
            p, _ = bound_p_values(*one, bound=bound, alpha=2 * level)
        decided.append(bool((p <= level).any()))
    return float(np.average(decided, weights=times))


@pytest.mark.parametrize(("models", "p_out"), [(200, 0.05), (150, 0.01)])
def test_the_smallest_p_in_is_refuted_in_four_of_five_simulations(models: int, p_out: float):
    level = 1e-3
    bound = line_bound(1.0, 1e-3)
    p_in = smallest_p_in(models, 0.7, bound, level, p_out)
    table = counts(np.random.default_rng(1), models, 0.7, p_in, p_out)
    assert abs(refuted_alone(table, level) - 0.8) < NOISE + 0.03
    below = counts(np.random.default_rng(2), models, 0.7, p_in - 0.15, p_out)
    assert refuted_alone(below, level) < 0.7


def test_against_a_curve_one_direction_is_tested_and_fishers_form_is_weaker():
    curve = privacy_curve(2.0, sample_rate=0.1, steps=50)
    bound, level = curve_bound(curve.epsilon, curve.delta), 1e-3
    p_in = smallest_p_in(150, 0.7, bound, level, 0.1, test=Form(False, True), slices=5)
    table = counts(np.random.default_rng(3), 150, 0.7, p_in, 0.1)
    assert abs(refuted_alone(table, level, bound) - 0.8) < NOISE + 0.03
    fisher = smallest_p_in(150, 0.7, bound, level, 0.1, test=Form(False, False), slices=5)
    assert p_in <= fisher < p_in + 0.1


def test_what_no_models_refute_is_nan_and_the_answer_falls_with_models():
    bound = line_bound(2.0, 1e-4)
    assert math.isnan(smallest_p_in(1, 0.7, bound, 1e-5, 0.01))
    assert math.isnan(smallest_p_in(20, 0.7, bound, 1e-5, 0.01))
    found = [smallest_p_in(k, 0.7, bound, 1e-5, 0.01, test=Form(exact=False)) for k in (300, 900)]
    assert found[1] < found[0] < 1
    allowed = dp_bound(2.0, 1e-4)(np.array([0.01]))[0]
    assert found[1] > allowed


def test_the_number_of_models_and_the_smallest_p_in_agree():
    bound, level, form = line_bound(1.0, 1e-4), 1e-4, Form(exact=False)
    models = smallest_number_of_models(0.7, bound, level, p_in=0.7, p_out=0.05, test=form)
    assert models is not None
    assert smallest_p_in(models, 0.7, bound, level, 0.05, test=form) <= 0.7 + 1e-3
    fewer = int(0.9 * models)
    assert smallest_p_in(fewer, 0.7, bound, level, 0.05, test=form) > 0.69
    assert average_power(models, 0.7, bound, level, p_in=0.7, p_out=0.05, test=form) >= 0.8


def test_influence_of_the_smallest_size_is_reported_in_four_of_five_simulations():
    models, n, n_test, right_out = 150, 12, 10, 0.3
    rng = np.random.default_rng(4)
    size = smallest_influence(models, 0.7, 0.1 / (n * n_test), right_out)
    reported = 0
    trials = 300
    for _ in range(trials):
        membership = rng.random((models, n)) < 0.7
        correct = membership.copy()  # memorized outright: passes the cut
        chance = np.where(membership[:, 0], right_out + size, right_out)
        test_correct = rng.random((models, n_test)) < 0.5
        test_correct[:, 0] = rng.random(models) < chance
        pairs = influential_pairs(membership, correct, test_correct, fdr=0.1)
        reported += bool(((pairs.train == 0) & (pairs.test == 0)).any())
    # Other pairs of pure noise cannot help it much; the discreteness of K does.
    assert 0.7 < reported / trials < 0.92


def test_influence_under_the_cut_needs_no_number_of_models():
    level = 0.1 / 10_000
    assert models_for_influence(0.15, 0.7, level, 0.5) is None
    assert models_for_influence(0.6, 0.7, level, 0.5) is None
    assert math.isnan(smallest_influence(10, 0.7, level, 0.5))
    models = models_for_influence(0.3, 0.7, level, 0.5)
    assert models is not None
    assert smallest_influence(models, 0.7, level, 0.5) <= 0.3
    assert smallest_influence(int(0.8 * models), 0.7, level, 0.5) > 0.3


def losses(rng: np.random.Generator, models: int, codes: np.ndarray, excess: float) -> tuple:
    """Correctness of two arms: losses differ between examples, and group 0 loses more."""
    chance = rng.beta(0.5, 4.0, codes.size)
    chance = np.clip(chance + np.where(codes == 0, excess, 0.0), 0, 1)
    standard = np.ones((models, codes.size), dtype=bool)
    return standard, rng.random((models, codes.size)) >= chance


def test_the_variances_of_simulated_losses_are_found():
    rng = np.random.default_rng(5)
    codes = np.arange(4000) % 8
    standard, private = losses(rng, 60, codes, 0.0)
    found = loss_variance(standard.astype(np.int8) - private.astype(np.int8), codes, 8)
    a, b = 0.5, 4.0
    between = a * b / ((a + b) ** 2 * (a + b + 1))
    within = a / (a + b) * b / (a + b) - between
    assert found.examples == pytest.approx(between, rel=0.1)
    assert found.cells == pytest.approx(within, rel=0.1)
    assert found.models < 0.001


def test_the_smallest_difference_of_subgroups_is_shown_in_most_simulations():
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(4), 100)
    models, sizes = 30, np.full(4, 100)
    standard, private = losses(rng, 60, np.arange(4000) % 4, 0.0)
    variance = loss_variance(standard.astype(np.int8) - private.astype(np.int8),
                             np.arange(4000) % 4, 4)  # fmt: skip
    size = float(smallest_excess(variance, models, sizes, 400, n_groups=4)[0])
    shown = 0
    trials = 120
    for _ in range(trials):
        standard, private = losses(rng, models, codes, size)
        found = heterogeneity(standard, private, codes, 4, rng=rng, relabellings=199)
        shown += found.p_adjusted[0] <= 0.05
    # Clipping at 1 and the normal approximation; a size computed from half of the variance gives
    # 45 %.
    assert 0.65 < shown / trials < 0.95


def test_the_models_for_a_difference_end_where_test_examples_do():
    variance = LossVariance(0.04, 0.05, 0.0004)
    models = models_for_excess(0.12, variance, 60, 500, n_groups=10)
    assert models is not None
    at = [float(smallest_excess(variance, k, np.array([60]), 500, n_groups=10)[0])
          for k in (models, models - 1)]  # fmt: skip
    assert at[0] <= 0.12 < at[1]
    assert models_for_excess(0.02, variance, 60, 500, n_groups=10) is None
    needed = needed_test_examples(0.02, variance, 200, 0.12, n_groups=10)
    assert needed is not None
    enough = smallest_excess(variance, 200, np.array([round(0.12 * needed)]), needed, n_groups=10)
    assert float(enough[0]) == pytest.approx(0.02, rel=0.02)
    assert math.isnan(smallest_margin(variance, 50, np.array([500]), 500, n_groups=1))


def test_the_witness_epsilon_is_certified_in_four_of_five_simulations():
    models, n, delta = 120, 50, 1e-3
    rng = np.random.default_rng(7)
    expected = witness_epsilon(models, 0.7, 0.05 / (4 * n), delta)
    certified = 0
    for _ in range(TRIALS):
        n_in = np.full(n, 84)
        n_out = models - n_in
        # All but one are in unanimous agreement: no evidence, yet they are paid for.
        a, b = n_in.copy(), n_out.copy()
        n_in[0] = rng.binomial(models, 0.7)
        n_out[0] = models - n_in[0]
        a[0], b[0] = rng.binomial(n_in[0], 0.99), rng.binomial(n_out[0], 0.01)
        certified += certified_epsilon(n_in, a, n_out, b, delta=delta).value >= expected - 0.01
    assert abs(certified / TRIALS - 0.8) < NOISE + 0.1
    models_needed = models_for_witness(expected, 0.7, 0.05 / (4 * n), delta)
    assert models_needed is not None
    assert abs(models_needed - models) <= 10
    assert models_for_witness(5.0, 0.7, 1e-5, 1e-5) is None
    assert witness_epsilon(1, 0.7, 1e-5, 1e-5) == 0.0


def test_the_ideal_attack_is_as_good_as_the_likelihood_ratio():
    """A Gaussian mechanism: guesses by the exact posterior, simulated, against the segments."""
    from scipy import stats

    mu, p, m = 1.2, 0.6, 400_000
    epsilon = np.linspace(0, 12, 400)
    delta = stats.norm.cdf(-epsilon / mu + mu / 2) - np.exp(epsilon) * stats.norm.cdf(
        -epsilon / mu - mu / 2
    )
    attack = ideal_attack(curve_bound(epsilon, np.clip(delta, 0, 1)), p)
    assert attack.share.sum() == pytest.approx(1.0)
    rng = np.random.default_rng(8)
    coins = rng.random(m) < p
    log_odds = mu * (rng.normal(size=m) + mu * coins) - mu**2 / 2 + np.log(p / (1 - p))
    for fraction in (0.01, 0.2, 1.0):
        top = np.argsort(-np.abs(log_odds))[: int(fraction * m)]
        right = ((log_odds[top] > 0) == coins[top]).mean()
        assert attack.accuracy(fraction) == pytest.approx(right, abs=0.01)

"""The exact test: against brute force, its size at every point of the null, its power."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from audit.errors import BadInput
from audit.estimates.bounds import curve_bound, line_bound
from audit.estimates.corrections import benjamini_hochberg, holm
from audit.estimates.dp_test import (
    bound_p_values,
    dp_verdict,
    power_to_refute,
    refutation_p_values,
)
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.exact_test import exact_p, fisher_p, log_order
from audit.estimates.power import average_power, smallest_number_of_models
from tests.reference import naive_exact_test as naive

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "estimates.json").read_text())


def one_order(x_1, n_1, x_2, n_2, bound):
    a, big_a, b, big_b = (np.array([v]) for v in (x_1, n_1, x_2, n_2))
    return float(log_order(a, big_a, b, big_b, bound)[0])


def all_p(n_1, n_2, bound):
    """Exact and Fisher p of every table [x₁, x₂]."""
    exact, fisher = np.ones((2, n_1 + 1, n_2 + 1))
    for a, b in product(range(n_1 + 1), range(n_2 + 1)):
        order = one_order(a, n_1, b, n_2, bound)
        exact[a, b] = exact_p(order, n_1, n_2, bound)
        fisher[a, b] = fisher_p(np.array([order]))[0]
    return exact, fisher


def probabilities(q_1, n_1, q_2, n_2):
    """Probability of every table [x₁, x₂]."""
    first = stats.binom.pmf(np.arange(n_1 + 1), n_1, q_1)
    return np.outer(first, stats.binom.pmf(np.arange(n_2 + 1), n_2, q_2))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_order_is_the_maximum_over_the_boundary(data):
    n_1, n_2 = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 80))
    x_1, x_2 = data.draw(st.integers(0, n_1)), data.draw(st.integers(0, n_2))
    epsilon, delta = data.draw(st.sampled_from([(0.0, 0.0), (0.5, 0.01), (2.0, 1e-5), (4.0, 0.0)]))
    brute = naive.order(x_1, n_1, x_2, n_2, epsilon, delta)
    fast = math.exp(one_order(x_1, n_1, x_2, n_2, line_bound(epsilon, delta)))
    # Never below the truth; the grid itself misses the peak by a little.
    assert fast >= brute * (1 - 1e-9)
    assert fast <= brute * 1.02 + 1e-300


@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 0.0), (0.3, 0.02)])
def test_exact_p_is_the_brute_force_size(epsilon, delta):
    n_1, n_2 = 9, 6
    orders = naive.all_orders(n_1, n_2, epsilon, delta)
    exact, fisher = all_p(n_1, n_2, line_bound(epsilon, delta))
    for a, b in product(range(n_1 + 1), range(n_2 + 1)):
        if orders[a, b] < 1:
            brute = naive.exact_p(a, b, orders, epsilon, delta)
            assert brute * (1 - 1e-9) <= exact[a, b] <= brute * 1.02
            assert orders[a, b] * (1 - 1e-9) <= exact[a, b] <= fisher[a, b]


@pytest.mark.parametrize(
    "bound",
    [
        line_bound(1.0, 0.001),
        line_bound(0.0, 0.0),
        curve_bound(np.array([0.0, 0.5, 1.5]), np.array([0.2, 0.08, 0.001])),
    ],
)
def test_size_holds_at_every_point_of_the_null(bound):
    """By enumeration, not simulation: P(p ≤ α) ≤ α on the boundary and inside."""
    n_1, n_2 = 14, 9
    exact, fisher = all_p(n_1, n_2, bound)
    naive_z = np.array(
        [
            [(a / n_1 > bound(np.array([b / n_2]))[0]) for b in range(n_2 + 1)]
            for a in range(n_1 + 1)
        ]
    )
    worst_of_a_glance = 0.0
    for q_2, share in product(np.linspace(0, 1, 81), (1.0, 0.9)):
        q_1 = share * float(bound(np.array([q_2]))[0])
        chance = probabilities(q_1, n_1, q_2, n_2)
        for alpha in (0.2, 0.05, 0.01):
            assert chance[exact <= alpha].sum() <= alpha
            assert chance[fisher <= alpha].sum() <= alpha
        worst_of_a_glance = max(worst_of_a_glance, chance[naive_z].sum())
    # What a glance at two point estimates does at the same points.
    assert worst_of_a_glance > 0.3


def test_tables_without_evidence_or_models():
    bound = line_bound(1.0, 0.0)
    assert one_order(0, 5, 0, 5, bound) == 0
    assert one_order(5, 5, 5, 5, bound) == 0
    assert one_order(2, 10, 1, 10, bound) == 0
    assert math.isnan(one_order(0, 0, 0, 5, bound))
    assert exact_p(0.0, 5, 5, bound) == 1
    # Probabilities far below the smallest float are bounded by it, not lost.
    huge = fisher_p(np.array([one_order(200_000, 200_000, 0, 100_000, line_bound(0.5, 0.0))]))[0]
    assert 0 < huge < 1e-300


def test_four_directions_and_untested_examples():
    n_in, n_out = np.array([140, 140, 140, 140, 9]), np.array([60, 60, 60, 60, 0])
    right_in, right_out = np.array([140, 3, 70, 0, 5]), np.array([0, 60, 30, 59, 0])
    p, exact = refutation_p_values(n_in, right_in, n_out, right_out, epsilon=1.0, delta=1e-5)
    assert p.shape == (5, 4)
    assert (p[0, [0, 3]] < 1e-6).all()
    assert (p[0, [1, 2]] == 1).all()
    assert (p[1, [1, 2]] < 1e-6).all()
    assert (p[2] == 1).all()
    assert np.isnan(p[4]).all()
    assert not exact[4].any()
    swapped, _ = refutation_p_values(n_out, right_out, n_in, right_in, epsilon=1.0, delta=1e-5)
    np.testing.assert_allclose(swapped[:, [1, 0, 3, 2]], p)
    flipped, _ = refutation_p_values(
        n_in, n_in - right_in, n_out, n_out - right_out, epsilon=1.0, delta=1e-5
    )
    np.testing.assert_allclose(flipped[:, [2, 3, 0, 1]], p)


def test_holm_and_bh_are_those_of_statsmodels():
    rng = np.random.default_rng(0)
    p = rng.random(40) ** 3
    p[5] = p[6]

    def adjusted(values, method):
        return np.asarray(multipletests(values, method=method)[1])

    np.testing.assert_allclose(holm(p), adjusted(p, "holm"))
    np.testing.assert_allclose(benjamini_hochberg(p), adjusted(p, "fdr_bh"))
    padded = adjusted(np.append(p, np.ones(60)), "fdr_bh")[:40]
    np.testing.assert_allclose(benjamini_hochberg(p, hypotheses=100), padded)
    untested = np.array([[0.01, np.nan], [0.02, np.nan]])
    np.testing.assert_allclose(holm(untested), [[0.02, np.nan], [0.02, np.nan]])
    assert holm(np.zeros(0)).size == 0


def test_the_form_chosen_decides_like_the_exact_form_everywhere():
    """Fisher's form outside the open window changes no decision of Holm."""
    rng = np.random.default_rng(1)
    n_in = rng.binomial(120, 0.7, 60)
    right_in = rng.binomial(n_in, 0.97)
    right_out = rng.binomial(120 - n_in, rng.choice([0.02, 0.05, 0.3, 0.9], 60))
    counts = (n_in, right_in, 120 - n_in, right_out)
    p, used = refutation_p_values(*counts, epsilon=1.5, delta=1e-4)
    everywhere = p.copy()
    bound = line_bound(1.5, 1e-4)
    for i in range(60):
        tables = [
            (right_in[i], n_in[i], right_out[i], 120 - n_in[i]),
            (n_in[i] - right_in[i], n_in[i], 120 - n_in[i] - right_out[i], 120 - n_in[i]),
        ]
        tables += [(c, d, a, b) for a, b, c, d in tables]
        for column, table in zip((0, 2, 1, 3), tables, strict=True):
            order = one_order(*(int(v) for v in table), bound)
            everywhere[i, column] = exact_p(order, int(table[1]), int(table[3]), bound)
    assert used.any()
    assert (p >= everywhere * (1 - 1e-9)).all()
    np.testing.assert_array_equal(holm(p) <= 0.05, holm(everywhere) <= 0.05)
    assert (holm(p) <= 0.05).sum() > 0


def private_runs(rng, models, n, epsilon, delta):
    """The least favourable private algorithm: on the boundary, where the bound is steep."""
    p_out = np.full(n, 0.02)
    n_in = rng.binomial(models, 0.7, n)
    right_in = rng.binomial(n_in, np.exp(epsilon) * p_out + delta)
    return n_in, right_in, models - n_in, rng.binomial(models - n_in, p_out)


def test_false_accusations_stay_below_alpha_and_a_wrong_test_does_not():
    rng = np.random.default_rng(2)
    trials, accused, by_z = 200, 0, 0
    for _ in range(trials):
        n_in, a, n_out, b = private_runs(rng, 80, 40, 2.0, 1e-3)
        p, _ = refutation_p_values(n_in, a, n_out, b, epsilon=2.0, delta=1e-3)
        accused += bool((holm(p) <= 0.05).any())
        # The usual wrong test: a normal approximation of ln(p_in / p_out) at the point estimates.
        p_in, p_out = (a + 0.5) / (n_in + 0.5), np.maximum(b / n_out, 1e-9)
        error = np.sqrt(p_in * (1 - p_in) / n_in + np.exp(4) * p_out * (1 - p_out) / n_out)
        z = (p_in - np.exp(2) * p_out) / error
        by_z += bool((holm(stats.norm.sf(z)) <= 0.05).any())
    assert accused / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert by_z / trials > 0.3


def test_three_verdicts():
    def verdict(models, p_in, p_out):
        n = 50
        n_in = np.full(n, round(0.7 * models))
        n_out = models - n_in
        right = (np.round(n_in * p_in).astype(int), np.round(n_out * p_out).astype(int))
        return dp_verdict(n_in, right[0], n_out, right[1], epsilon=2.0, delta=1e-5)

    few = verdict(40, 0.9, 0.9)
    assert few.verdict == "could_not_tell"
    assert few.models_needed is not None
    assert few.models_needed > 40
    enough = verdict(200, 0.9, 0.9)
    assert (enough.verdict, enough.n_refuted, enough.hypotheses) == ("consistent", 0, 200)
    assert enough.power >= 0.8
    memorized = verdict(200, 1.0, 0.0)
    assert memorized.verdict == "violates"
    assert memorized.witnesses.size == memorized.n_refuted == 50
    assert memorized.smallest_p < 1e-6


def test_witnesses_are_ordered_by_evidence_and_nan_is_no_pass():
    n_in, n_out = np.array([140, 140, 140, 200]), np.array([60, 60, 60, 0])
    right_in, right_out = np.array([140, 138, 140, 200]), np.array([1, 0, 0, 0])
    result = dp_verdict(n_in, right_in, n_out, right_out, epsilon=2.0, delta=1e-5)
    assert result.witnesses.tolist()[0] == 2
    assert 3 not in result.witnesses
    assert result.hypotheses == 12
    nothing = dp_verdict(
        np.array([5]), np.array([5]), np.array([0]), np.array([0]), epsilon=1.0, delta=0.0
    )
    assert nothing.verdict == "could_not_tell"
    assert nothing.hypotheses == 0
    assert math.isnan(nothing.power)
    assert math.isnan(nothing.smallest_p)


@pytest.mark.parametrize("case", GOLDEN["power"]["cases"])
def test_power_is_at_least_the_published_one(case):
    power = power_to_refute(
        case["models"], 1297, 0.7, 2.0, 1e-5, p_in=case["p_in"], p_out=case["p_out"]
    )
    assert power >= case["refuted"] - 0.02
    if case["models"] == 100:
        assert power < 0.01


def test_power_is_the_share_refuted_in_simulation():
    rng = np.random.default_rng(3)
    trials, models, p_in, p_out = 500, 60, 0.98, 0.05
    n_in = rng.binomial(models, 0.7, trials)
    right = (rng.binomial(n_in, p_in), rng.binomial(models - n_in, p_out))
    level = 0.01
    bound = line_bound(1.5, 1e-3)
    refuted = 0

    @cache
    def rejects(x_1, n_1, x_2, n_2):
        return exact_p(one_order(x_1, n_1, x_2, n_2, bound), n_1, n_2, bound) <= level

    for a, big_a, b in zip(right[0], n_in, right[1], strict=True):
        big_b = models - big_a
        tables = [(a, big_a, b, big_b), (big_b - b, big_b, big_a - a, big_a)]
        refuted += any(rejects(*(int(v) for v in table)) for table in tables)
    power = average_power(models, 0.7, bound, level, p_in=p_in, p_out=p_out)
    assert abs(refuted / trials - power) <= 3 * np.sqrt(power * (1 - power) / trials) + 0.015


def test_models_needed_has_the_power_and_ten_fewer_have_not():
    bound, level = line_bound(2.0, 1e-5), 0.05 / 400
    needed = smallest_number_of_models(0.7, bound, level)
    assert needed is not None
    assert average_power(needed, 0.7, bound, level) >= 0.8
    assert average_power(needed - 10, 0.7, bound, level) < 0.8
    assert smallest_number_of_models(0.7, line_bound(5.0, 0.0), level) is None
    many = smallest_number_of_models(0.7, line_bound(4.4, 0.0), level)
    assert many is not None
    assert 10_000 < many < 1_000_000


def test_certified_epsilon_stays_below_the_truth_and_rises_with_models():
    """Randomized response of known ε: right with e^ε/(1 + e^ε) in, 1/(1 + e^ε) out."""
    rng = np.random.default_rng(4)
    truth, n, trials, above = 1.5, 20, 100, 0
    p = math.exp(truth) / (1 + math.exp(truth))
    means = []
    for models in (100, 1000):
        values = []
        for _ in range(trials if models == 100 else 5):
            n_in = rng.binomial(models, 0.5, n)
            a, b = rng.binomial(n_in, p), rng.binomial(models - n_in, 1 - p)
            values.append(certified_epsilon(n_in, a, models - n_in, b, delta=0.0).value)
        means.append(np.mean(values))
        above += int(np.sum(np.array(values) > truth)) if models == 100 else 0
    assert above / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert 0 < means[0] < means[1] < truth


def test_certified_epsilon_is_the_largest_refuted_one():
    counts = tuple(np.array([v]) for v in (140, 139, 60, 1))
    value = certified_epsilon(*counts, delta=1e-5).value
    level = 0.05 / 4
    tables = [(139, 140, 1, 60), (59, 60, 1, 140)]

    def smallest(epsilon):
        bound = line_bound(epsilon, 1e-5)
        return min(fisher_p(np.array([one_order(*t, bound)]))[0] for t in tables)

    assert smallest(value) <= level < smallest(value + 1e-4)
    flat = tuple(np.array([v]) for v in (140, 70, 60, 30))
    assert certified_epsilon(*flat, delta=0.0).value == 0
    never_out = tuple(np.array([v]) for v in (140, 70, 0, 0))
    assert math.isnan(certified_epsilon(*never_out, delta=0.0).value)


def test_curve_test_is_stronger_than_the_point():
    curve = curve_bound(np.array([0.0, 1.0, 2.0]), np.array([0.25, 0.02, 1e-5]))
    counts = tuple(np.array([v]) for v in (140, 98, 60, 18))
    p_curve, _ = bound_p_values(*counts, bound=curve)
    p_point, _ = refutation_p_values(*counts, epsilon=2.0, delta=1e-5)
    assert p_curve[0, 0] < 0.2
    assert p_point.min() == 1
    assert p_curve[0, 1] == 1


def test_refuses_bad_input():
    counts = tuple(np.array([v]) for v in (5, 6, 5, 5))
    with pytest.raises(BadInput, match="correct_in"):
        refutation_p_values(*counts, epsilon=1.0, delta=0.0)
    good = tuple(np.array([v]) for v in (5, 5, 5, 5))
    with pytest.raises(BadInput, match="alpha"):
        dp_verdict(*good, epsilon=1.0, delta=0.0, alpha=5.0)
    with pytest.raises(BadInput, match="epsilon"):
        dp_verdict(*good, epsilon=-1.0, delta=0.0)
    with pytest.raises(BadInput, match="confidence"):
        certified_epsilon(*good, delta=0.0, confidence=1.0)

"""What (ε, δ) and the privacy curve allow."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import BadInput
from audit.estimates.above_bound import above_bound
from audit.estimates.bounds import (
    curve_bound,
    dp_bound,
    in_probability_bound,
    is_informative,
    line_bound,
    memorization_cap,
    tradeoff_bound,
    tradeoff_cap,
)
from audit.estimates.memorization import memorization_from_counts

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "estimates.json").read_text())
P = np.linspace(0, 1, 2001)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 8), st.floats(0, 0.5))
def test_bound_is_the_minimum_of_both_directions(epsilon, delta):
    expected = np.minimum(
        np.minimum(1, np.exp(epsilon) * P + delta), 1 - np.exp(-epsilon) * (1 - delta - P)
    )
    np.testing.assert_allclose(in_probability_bound(P, epsilon, delta), expected, atol=1e-9)
    cap = min(1.0, (math.exp(epsilon) - 1 + 2 * delta) / (math.exp(epsilon) + 1))
    assert memorization_cap(epsilon, delta) == pytest.approx(cap, abs=1e-12)
    assert dp_bound(epsilon, delta).cap() == pytest.approx(cap, abs=1e-9)


def test_golden_tradeoff_and_caps():
    case = GOLDEN["dp_bound"]["beta"][0]
    bound = dp_bound(float(case["epsilon"]), case["delta"])
    assert 1 - bound(np.array([case["alpha"]]))[0] == pytest.approx(case["beta"], abs=5e-7)
    case = GOLDEN["dp_bound"]["max_advantage"][0]
    assert memorization_cap(float(case["epsilon"]), case["delta"]) == pytest.approx(
        case["advantage"], abs=5e-8
    )
    for epsilon, cap in GOLDEN["memorization_cap"]["cases"]:
        assert memorization_cap(float(epsilon), 0.0) == pytest.approx(cap, abs=5e-3)
    case = GOLDEN["both_directions"]
    allowed = in_probability_bound(np.array([case["p_out"]]), float(case["epsilon"]), 0.0)[0]
    assert allowed - case["p_out"] == pytest.approx(case["mem"], abs=5e-4)


def subsampled_gaussian_curve():
    case = GOLDEN["tradeoff_memorization_cap"]
    loss = privacy_loss_distribution.from_gaussian_mechanism(
        case["noise_multiplier"],
        sampling_prob=case["sample_rate"],
        value_discretization_interval=1e-3,
    ).self_compose(case["steps"])
    epsilon = np.linspace(0, 8, 161)
    return epsilon, np.asarray(loss.get_delta_for_epsilon(epsilon.tolist()), dtype=np.float64)


def test_golden_tradeoff_cap_of_the_subsampled_gaussian():
    epsilon, delta = subsampled_gaussian_curve()
    golden = GOLDEN["tradeoff_memorization_cap"]["cap"]
    assert tradeoff_cap(epsilon, delta) == pytest.approx(golden, abs=5e-4)
    lines = np.concatenate([epsilon, -epsilon])
    heights = np.concatenate([delta, 1 - np.exp(-epsilon) * (1 - delta)])
    brute = np.minimum(1, (np.exp(lines)[:, None] * P + heights[:, None]).min(axis=0))
    np.testing.assert_allclose(tradeoff_bound(P, epsilon, delta), brute, atol=1e-12)


def test_the_curve_bound_of_one_point_is_the_dp_bound_and_concave():
    one = curve_bound(np.array([1.5]), np.array([0.01]))
    np.testing.assert_allclose(one(P), dp_bound(1.5, 0.01)(P), atol=1e-12)
    bound = curve_bound(*subsampled_gaussian_curve())
    assert (np.diff(bound(P), 2) <= 1e-12).all()
    assert (np.diff(bound(P)) >= 0).all()


def test_lower_bound_mirrors_the_upper_one():
    bound = dp_bound(1.0, 0.01)
    np.testing.assert_allclose(bound.lower(1 - P), 1 - bound(P), atol=1e-12)
    assert (bound.lower(P) <= P).all()


def test_extremes():
    assert dp_bound(0.0, 0.0)(np.array([0.3]))[0] == pytest.approx(0.3)
    assert (dp_bound(2.0, 1.0)(P) == 1).all()
    assert memorization_cap(1000.0, 0.0) == 1
    assert np.isnan(dp_bound(1.0, 0.0)(np.array([np.nan]))[0])
    # The right half of the bound, 1 − e^{−ε}(1 − δ − p_out), is below 1 until p_out = 1 − δ.
    expected = [True, True, False, False]
    probe = np.array([0.1, 0.9, 1.0, np.nan])
    assert is_informative(probe, dp_bound(2.0, 0.001)).tolist() == expected
    assert is_informative(np.array([0.2]), line_bound(2.0, 0.001)).tolist() == [False]


@pytest.mark.parametrize(
    ("epsilon", "delta", "name"),
    [(-1.0, 0.0, "epsilon"), (math.nan, 0.0, "epsilon"), (1.0, 1.5, "delta")],
)
def test_refuses_what_is_no_guarantee(epsilon, delta, name):
    with pytest.raises(BadInput, match=name):
        dp_bound(epsilon, delta)


def test_refuses_an_empty_curve():
    with pytest.raises(BadInput, match="privacy curve"):
        curve_bound(np.zeros(0), np.zeros(0))


def test_above_bound_separates_noise_from_evidence():
    n_in, n_out = np.array([140, 140, 140, 5]), np.array([60, 60, 60, 0])
    right_in, right_out = np.array([140, 76, 70, 5]), np.array([0, 15, 30, 0])
    estimate = memorization_from_counts(n_in, n_out, right_in, right_out)
    curve = subsampled_gaussian_curve()
    result = above_bound(estimate, 2.0, 1e-5, curve=curve)
    assert (result.count, result.n) == (1, 3)
    assert (result.above_tradeoff, result.above_tradeoff_significant) == (2, 1)
    assert result.informative_share == 1
    assert result.memorization_cap == pytest.approx(0.76, abs=5e-3)
    assert above_bound(estimate, 2.0, 1e-5).tradeoff_cap is None

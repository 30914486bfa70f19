"""Accounting against published values, its own definition, and hostile targets."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audit.accounting import (
    calibrate,
    check_delta,
    default_delta,
    epsilon_of_renyi,
    gaussian_mu,
    privacy_curve,
    renyi,
    swap_curve,
)
from audit.errors import BadInput
from audit.inclusion import neighbour_guarantee
from benchmarks.noise_search import bisect

GOLDEN = json.loads((Path(__file__).parent / "golden" / "accounting.json").read_text())


def test_printed_epsilons_of_three_accountants():
    """Opacus 1.6.0 (RDP, PRV) and dp-accounting 0.6.0 (PLD) on one mechanism."""
    from audit.accounting import _pld, _prv_epsilon, _rdp_epsilon

    case = GOLDEN["cases"][0]
    arguments = case["noise_multiplier"], case["delta"], case["sample_rate"], case["steps"]
    assert _rdp_epsilon(*arguments) == pytest.approx(case["rdp"], abs=2e-3)
    assert _prv_epsilon(*arguments) == pytest.approx(case["prv"], abs=1e-2)
    pld = _pld(case["noise_multiplier"], case["sample_rate"], case["steps"])
    assert pld.get_epsilon_for_delta(case["delta"]) == pytest.approx(case["pld"], abs=2e-3)


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_calibrated_noise_achieves_epsilon_and_not_much_more(epsilon: float):
    mechanism = calibrate(epsilon, 1e-4, sample_rate=0.05, steps=200)
    assert mechanism.epsilon <= epsilon
    assert mechanism.epsilon >= 0.995 * epsilon
    assert mechanism.accountant.startswith("PRV")
    # Another accountant on the same mechanism agrees within PRV's error bound; RDP is looser.
    assert mechanism.epsilon_pld <= epsilon
    assert mechanism.epsilon_pld >= 0.95 * epsilon
    assert mechanism.epsilon_rdp >= mechanism.epsilon_pld


def test_a_small_epsilon_is_not_out_of_reach_for_want_of_orders():
    """With orders up to 63 no noise at all would have RDP say less than .12 here."""
    mechanism = calibrate(0.1, 1e-5, sample_rate=0.01, steps=200)
    assert 0.0995 <= mechanism.epsilon <= 0.1
    assert mechanism.epsilon_pld <= 0.1
    assert mechanism.epsilon_rdp == pytest.approx(0.1, abs=0.01)
    assert 1 < mechanism.noise_multiplier < 20


def test_rdp_stands_in_where_prv_fails(monkeypatch: pytest.MonkeyPatch):
    from audit import accounting

    def broken(*_: object) -> float:
        raise RuntimeError("discrete mean differs")

    monkeypatch.setattr(accounting, "_prv_epsilon", broken)
    mechanism = calibrate(2.0, 1e-4, sample_rate=0.05, steps=200)
    assert mechanism.accountant.startswith("RDP")
    assert mechanism.epsilon == mechanism.epsilon_rdp <= 2.0


@given(
    target=st.floats(0.02, 60),
    power=st.floats(0.4, 4),
    scale=st.floats(0.05, 40),
    start=st.floats(0.3, 30),
)
def test_the_noise_is_that_of_plain_bisection_with_fewer_evaluations(
    target: float, power: float, scale: float, start: float
):
    """Whatever the noise is started from, though what lies far from the end is never evaluated."""
    from audit.accounting import _least_noise

    asked: list[float] = []

    def epsilon_of(noise: float, *_: float) -> float:
        asked.append(noise)
        return scale * (noise**-power + 0.1 / (1 + noise))

    assume(epsilon_of(4e3) < target < epsilon_of(0.2))
    asked.clear()
    found = _least_noise(epsilon_of, target, 1e-5, 0.1, 10, start=start)
    assert len(asked) == len(set(asked)), "nothing is evaluated twice"
    assert len(asked) <= (14 if start / 2 < found < 2 * start else 40)
    assert found == bisect(epsilon_of, target, start)


def test_an_accountant_that_errs_is_never_believed_beyond_what_it_said():
    """ε that jumps by ±2 % from noise to noise: the noise that is used was itself asked about."""
    from audit.accounting import _least_noise

    for seed in range(200):
        jumps = np.random.default_rng(seed)
        said: dict[float, float] = {}

        def epsilon_of(
            noise: float, *_: float, jumps: np.random.Generator = jumps, said: dict = said
        ) -> float:
            return said.setdefault(noise, (1 + jumps.uniform(-0.02, 0.02)) * 5 / noise)

        found = _least_noise(epsilon_of, 2.0, 1e-5, 0.1, 10, start=3.1)
        assert said[found] <= 2.0
        assert 2.3 < found < 2.7


@pytest.mark.parametrize("elsewhere", [5.0, math.nan])
def test_an_accountant_without_sense_is_refused(elsewhere: float):
    from audit.accounting import _least_noise

    with pytest.raises(BadInput, match="would need a noise multiplier"):
        _least_noise(lambda z, *_: 2.0 if z == 1 else elsewhere, 1.9, 1e-5, 0.1, 10)
    with pytest.raises(BadInput, match="would need a noise multiplier"):
        _least_noise(lambda *_: math.nan, 2.0, 1e-5, 0.1, 10)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 1e-9])
def test_impossible_targets_are_refused(epsilon: float):
    with pytest.raises(BadInput, match="epsilon"):
        calibrate(epsilon, 1e-5, sample_rate=0.9, steps=10_000)


def test_delta_below_one_over_n():
    for n in (10, 1297, 10**6):
        check_delta(default_delta(n), n)
        for delta in (1 / n, 0.5, 0.0, -1e-9, math.nan):
            with pytest.raises(BadInput, match="delta"):
                check_delta(delta, n)


def test_the_curve_passes_through_the_claim_and_falls():
    mechanism = calibrate(2.0, 1e-4, sample_rate=0.05, steps=200)
    curve = privacy_curve(mechanism.noise_multiplier, sample_rate=0.05, steps=200)
    assert curve.epsilon[0] == 0
    assert (np.diff(curve.delta) <= 1e-15).all()
    at_claim = np.interp(2.0, curve.epsilon, curve.delta)
    assert at_claim == pytest.approx(1e-4, rel=0.25)
    assert at_claim <= 1.1e-4


def test_the_curve_of_the_plain_gaussian_mechanism_is_the_closed_form():
    """q = 1, one step: Balle & Wang 2018, Theorem 8."""
    from scipy.stats import norm

    sigma = 1.7
    curve = privacy_curve(sigma, sample_rate=1.0, steps=1)
    e = curve.epsilon
    exact = norm.cdf(1 / (2 * sigma) - e * sigma) - np.exp(e) * norm.cdf(
        -1 / (2 * sigma) - e * sigma
    )
    assert (curve.delta >= exact - 1e-12).all(), "each point must be an upper bound"
    np.testing.assert_allclose(curve.delta, exact, atol=2e-4)


def test_a_swap_costs_two_neighbours():
    curve = privacy_curve(2.0, sample_rate=1.0, steps=1)
    swapped = swap_curve(curve)
    for i in (0, 50, 200):
        epsilon, delta = neighbour_guarantee(curve.epsilon[i], curve.delta[i], "fixed")
        assert swapped.epsilon[i] == pytest.approx(epsilon)
        assert swapped.delta[i] == pytest.approx(delta)
    assert neighbour_guarantee(2.0, 1e-5, "poisson") == (2.0, 1e-5)


@pytest.mark.parametrize(
    ("q", "z", "steps"), [(0.01, 1.1, 10_000), (0.14, 3.4, 213), (1.0, 2.0, 5)]
)
def test_renyi_at_whole_orders_is_what_opacus_computes(q: float, z: float, steps: int):
    from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

    orders = [2, 3, 4, 8, 32, 63]
    reference = np.asarray(
        compute_rdp(q=q, noise_multiplier=z, steps=steps, orders=[float(a) for a in orders]),
        dtype=float,
    )
    mine = [renyi(z, sample_rate=q, steps=steps, order=a) for a in orders]
    np.testing.assert_allclose(mine, reference, rtol=1e-9)
    if q == 1:
        return
    epsilon, best = get_privacy_spent(
        orders=[float(a) for a in orders], rdp=list(reference), delta=1e-5
    )
    converted = {a: epsilon_of_renyi(r, a, 1e-5) for a, r in zip(orders, mine, strict=True)}
    assert converted[int(best)] == pytest.approx(epsilon, rel=1e-9)


def test_the_central_limit_is_near_the_exact_curve():
    """μ-GDP's δ(ε) (Dong, Roth & Su 2022, Cor. 1) against the accountant, many steps, small q."""
    from scipy.stats import norm

    z, q, steps = 1.1, 0.005, 20_000
    mu = gaussian_mu(z, sample_rate=q, steps=steps)
    curve = privacy_curve(z, sample_rate=q, steps=steps)
    at = np.interp(1.0, curve.epsilon, curve.delta)
    limit = norm.cdf(-1 / mu + mu / 2) - math.e * norm.cdf(-1 / mu - mu / 2)
    assert limit == pytest.approx(at, rel=0.25)
    assert gaussian_mu(2 * z, sample_rate=q, steps=steps) < mu / 2
